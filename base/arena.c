#include "base/arena.h"

#include "base/alloc.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__)
#define PASS_THROUGH 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PASS_THROUGH 1
#endif
#endif
#ifndef PASS_THROUGH
#define PASS_THROUGH 0
#endif

#define CHUNK_BYTES ((size_t)16 * 1024)

struct chunk {
	struct chunk *next;
	size_t used, size;
	max_align_t bytes[];
};

struct arena {
	struct chunk *chunks; /* the first one is the one being filled */
};

struct arena *arena_new(void)
{
	return xcalloc(1, sizeof(struct arena));
}

void arena_free(struct arena *arena)
{
	if (!arena)
		return;
	for (struct chunk *chunk = arena->chunks, *next; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(arena);
}

static struct chunk *chunk_new(size_t size)
{
	if (size > SIZE_MAX / 2)
		abort();
	struct chunk *chunk = xcalloc(1, sizeof(*chunk) + size);
	chunk->size = size;
	return chunk;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct chunk *first = arena->chunks;
	size_t start = first ? (first->used + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t) : 0;
	if (!PASS_THROUGH && first && start <= first->size && size <= first->size - start) {
		first->used = start + size;
		return (char *)first->bytes + start;
	}
	/* A large piece gets a chunk of its own, behind the one being filled, so that the rest of that is not wasted. */
	bool alone = PASS_THROUGH || size > CHUNK_BYTES / 4;
	struct chunk *chunk = chunk_new(alone ? size : CHUNK_BYTES);
	chunk->used = size;
	if (alone && first) {
		chunk->next = first->next;
		first->next = chunk;
	} else {
		chunk->next = first;
		arena->chunks = chunk;
	}
	return chunk->bytes;
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
	len = strnlen(text, len);
	char *copy = arena_alloc(arena, len + 1);
	memcpy(copy, text, len);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return text ? arena_strndup(arena, text, strlen(text)) : NULL;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvasprintf(fmt, args);
	va_end(args);
	return arena_strdup(arena, text);
}
