/* A growable string with a mandatory maximum and a sticky error: append without checking, ask once at the end.
 *
 *     struct buf b; buf_init(&b, 64 * 1024);
 *     buf_addf(&b, "stage %s", name);
 *     if (b.failed) ...          // it would have grown past its maximum
 *     char *text = buf_steal(&b); // NUL-terminated, owned by the caller
 *
 * Contents are always NUL-terminated (data is "" when empty, never NULL). */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data;
	size_t len, capacity, max;
	bool failed;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_done(struct buf *b);
void buf_reset(struct buf *b); /* empties, clears the error, keeps the memory */
void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_adds(struct buf *b, const char *text);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
char *buf_steal(struct buf *b);
static inline void buf_done_scoped(struct buf *b)
{
	buf_done(b);
}
#define cleanup_buf __attribute__((cleanup(buf_done_scoped)))
#endif
