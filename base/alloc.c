#include "base/alloc.h"

#include <stdint.h>
#include <unistd.h>

static _Noreturn void out_of_memory(void)
{
	static const char text[] = "penstock: out of memory\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
	(void)ignored;
	abort();
}

void *xmalloc(size_t size)
{
	void *memory = malloc(size ? size : 1);
	if (!memory)
		out_of_memory();
	return memory;
}

void *xcalloc(size_t count, size_t size)
{
	void *memory = count && size ? calloc(count, size) : calloc(1, 1);
	if (!memory)
		out_of_memory();
	return memory;
}

void *xrealloc(void *old, size_t size)
{
	void *memory = realloc(old, size ? size : 1);
	if (!memory)
		out_of_memory();
	return memory;
}

void *xgrow(void *array, size_t *capacity, size_t need, size_t element_size)
{
	if (need <= *capacity)
		return array;
	size_t wanted = *capacity ? *capacity : 8;
	while (wanted < need) {
		if (wanted > SIZE_MAX / 2)
			out_of_memory();
		wanted *= 2;
	}
	size_t bytes;
	if (__builtin_mul_overflow(wanted, element_size, &bytes))
		out_of_memory();
	array = xrealloc(array, bytes);
	*capacity = wanted;
	return array;
}

char *xstrdup(const char *text)
{
	return text ? xmemdup(text, strlen(text) + 1) : NULL;
}

char *xstrndup(const char *text, size_t len)
{
	len = strnlen(text, len);
	char *copy = xmalloc(len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

void *xmemdup(const void *bytes, size_t len)
{
	void *copy = xmalloc(len);
	if (len)
		memcpy(copy, bytes, len);
	return copy;
}

char *xvasprintf(const char *fmt, va_list args)
{
	char *text;
	if (vasprintf(&text, fmt, args) < 0)
		out_of_memory();
	return text;
}

char *xasprintf(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	char *text = xvasprintf(fmt, args);
	va_end(args);
	return text;
}

void strlist_take(struct strlist *list, char *text)
{
	list->items = xgrow(list->items, &list->capacity, list->n + 2, sizeof(*list->items));
	list->items[list->n++] = text;
	list->items[list->n] = NULL;
}

void strlist_add(struct strlist *list, const char *text)
{
	strlist_take(list, xstrdup(text));
}

void strlist_addf(struct strlist *list, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	strlist_take(list, xvasprintf(fmt, args));
	va_end(args);
}

const char *const *strlist_items(const struct strlist *list)
{
	static const char *const empty[] = {NULL};
	return list->items ? (const char *const *)list->items : empty;
}

void strlist_done(struct strlist *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct strlist){0};
}
