#include "base/buf.h"

#include "base/alloc.h"

static char nothing[1]; /* what an empty buffer points at; never written */

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){.data = nothing, .max = max_bytes};
}

void buf_done(struct buf *b)
{
	if (b->capacity)
		free(b->data);
	*b = (struct buf){.data = nothing};
}

void buf_reset(struct buf *b)
{
	if (b->capacity)
		b->data[0] = '\0';
	b->len = 0;
	b->failed = false;
}

/* Makes room for len more bytes and the NUL. */
static bool reserve(struct buf *b, size_t len)
{
	if (b->failed || len > b->max - b->len) {
		b->failed = true;
		return false;
	}
	size_t need = b->len + len + 1;
	if (need <= b->capacity)
		return true;
	size_t capacity = b->capacity ? b->capacity : 64;
	while (capacity < need)
		capacity *= 2;
	if (capacity > b->max + 1)
		capacity = b->max + 1;
	b->data = xrealloc(b->capacity ? b->data : NULL, capacity);
	b->capacity = capacity;
	return true;
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
	if (!len || !reserve(b, len))
		return;
	memcpy(b->data + b->len, bytes, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_vaddf(struct buf *b, const char *fmt, va_list args)
{
	va_list again;
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, fmt, args);
	if (len < 0) {
		b->failed = true;
	} else if (len > 0 && reserve(b, (size_t)len)) {
		vsnprintf(b->data + b->len, (size_t)len + 1, fmt, again);
		b->len += (size_t)len;
	}
	va_end(again);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	buf_vaddf(b, fmt, args);
	va_end(args);
}

char *buf_steal(struct buf *b)
{
	char *text = b->capacity ? b->data : xstrdup("");
	*b = (struct buf){.data = nothing, .max = b->max};
	return text;
}
