/* Memory that cannot fail: out of memory aborts, which is safe because every size that comes from outside has a limit. */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stdarg.h>
#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
/* Grows *array of *capacity elements to hold at least `need`; doubles. */
void *xgrow(void *array, size_t *capacity, size_t need, size_t element_size);
char *xstrdup(const char *text); /* NULL gives NULL */
char *xstrndup(const char *text, size_t len);
void *xmemdup(const void *bytes, size_t len);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list args) __attribute__((format(printf, 1, 0)));

/* A NULL-terminated, growing list of owned strings (argv, env, paths). Zero-initialise it: `struct strlist list = {0};` */
struct strlist {
	char **items; /* NULL-terminated once anything was added; use strlist_items() for an always valid array */
	size_t n, capacity;
};
void strlist_add(struct strlist *list, const char *text);       /* copies */
void strlist_take(struct strlist *list, char *text);            /* owns */
void strlist_addf(struct strlist *list, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *const *strlist_items(const struct strlist *list);   /* NULL-terminated, never NULL */
void strlist_done(struct strlist *list);
static inline void strlist_done_scoped(struct strlist *list)
{
	strlist_done(list);
}
#define cleanup_strlist __attribute__((cleanup(strlist_done_scoped)))
#endif
