/* Memory with one lifetime: a parsed file, a plan, a request. Allocate freely, free once.
 * Under AddressSanitizer every allocation is its own malloc, so that overruns are seen. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/cleanup.h"

#include <stddef.h>

struct arena;
struct arena *arena_new(void);
void arena_free(struct arena *arena);
void *arena_alloc(struct arena *arena, size_t size); /* zeroed, aligned for any type */
char *arena_strdup(struct arena *arena, const char *text); /* NULL gives NULL */
char *arena_strndup(struct arena *arena, const char *text, size_t len);
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
DEFINE_CLEANUP(struct arena, arena_free);
#define cleanup_arena CLEANUP(arena_free)
#endif
