#include "base/diag.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/utf8.h"

#include <stdint.h>

#define MAX_KEPT 1000

struct diag_list {
	struct arena *arena;
	struct diag *items; /* sorted */
	size_t n, capacity, errors, dropped;
	struct diag last; /* tells that some were dropped; the last one, if there is one */
};

struct diag_list *diag_list_new(void)
{
	struct diag_list *list = xcalloc(1, sizeof(*list));
	list->arena = arena_new();
	return list;
}

void diag_list_free(struct diag_list *list)
{
	if (!list)
		return;
	free(list->items);
	arena_free(list->arena);
	free(list);
}

/* A copy that is valid UTF-8 on one line: these texts quote files that may hold anything. */
static const char *copy_clean(struct arena *arena, const char *text)
{
	if (!text)
		return NULL;
	size_t len = strlen(text);
	cleanup_buf struct buf clean;
	buf_init(&clean, len * 4 + 1);
	for (size_t i = 0; i < len;) {
		uint32_t c;
		size_t n = utf8_decode(text + i, len - i, &c);
		if (n == 0)
			buf_adds(&clean, UTF8_REPLACEMENT);
		else if (n == 1 && utf8_is_unprintable(c))
			buf_addf(&clean, "\\x%02x", (unsigned)c);
		else if (utf8_is_unprintable(c))
			buf_adds(&clean, UTF8_REPLACEMENT);
		else
			buf_add(&clean, text + i, n);
		i += n ? n : 1;
	}
	return arena_strdup(arena, clean.data);
}

static int compare_places(const struct diag *a, const struct diag *b)
{
	int files = strcmp(a->file ? a->file : "", b->file ? b->file : "");
	if (files)
		return files;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->column < b->column ? -1 : a->column > b->column;
}

static void drop(struct diag_list *list, const struct diag *diag)
{
	if (list->dropped++ == 0)
		list->last = (struct diag){
			.severity = DIAG_WARNING,
			.file = copy_clean(list->arena, diag->file),
			.code = "too-many",
			.message = "more than 1,000 mistakes; the rest is not told",
		};
	if (diag->severity == DIAG_ERROR) {
		list->last.severity = DIAG_ERROR;
		list->errors++;
	}
}

void diag_add(struct diag_list *list, const struct diag *diag)
{
	if (list->n == MAX_KEPT) {
		drop(list, diag);
		return;
	}
	/* Most come in order, so the place is looked for from the end; equal places keep the order they were told in. */
	size_t at = list->n;
	while (at > 0 && compare_places(diag, &list->items[at - 1]) < 0)
		at--;
	list->items = xgrow(list->items, &list->capacity, list->n + 1, sizeof(*list->items));
	memmove(list->items + at + 1, list->items + at, (list->n - at) * sizeof(*list->items));
	list->items[at] = *diag;
	list->items[at].file = copy_clean(list->arena, diag->file);
	list->items[at].code = arena_strdup(list->arena, diag->code);
	list->items[at].message = copy_clean(list->arena, diag->message);
	list->items[at].hint = copy_clean(list->arena, diag->hint);
	list->n++;
	list->errors += diag->severity == DIAG_ERROR;
}

size_t diag_count(const struct diag_list *list)
{
	return list->n + (list->dropped > 0);
}

size_t diag_errors(const struct diag_list *list)
{
	return list->errors;
}

const struct diag *diag_at(const struct diag_list *list, size_t i)
{
	return i < list->n ? &list->items[i] : &list->last;
}

json_t *diag_json(const struct diag_list *list)
{
	json_t *all = json_array();
	for (size_t i = 0; i < diag_count(list); i++) {
		const struct diag *d = diag_at(list, i);
		json_t *one = json_pack("{s:s?, s:I, s:I, s:s, s:s?, s:s?, s:s?}", "file", d->file, "line", (json_int_t)d->line, "column",
					(json_int_t)d->column, "severity", d->severity == DIAG_ERROR ? "error" : "warning", "code",
					d->code, "message", d->message, "hint", d->hint);
		if (!one || json_array_append_new(all, one) < 0)
			abort(); /* All texts are valid UTF-8: copy_clean(). */
	}
	return all;
}

/* Distances longer than this are of no interest: no name in the language is. */
#define WORD_MAX 128

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Optimal string alignment distance (Damerau-Levenshtein without editing a transposed pair again), ignoring case. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];
	for (size_t j = 0; j <= b_len; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			bool same = lower(a[i - 1]) == lower(b[j - 1]);
			row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + !same);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
				row[j] = least(row[j], before[j - 2] + 1);
		}
		unsigned *free_row = before;
		before = above;
		above = row;
		row = free_row;
	}
	return above[b_len];
}

const char *nearest_word(const char *word, const char *const *candidates, size_t n)
{
	const char *nearest = NULL;
	unsigned nearest_distance = WORD_MAX;
	size_t len = strlen(word);
	if (len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t other = candidates[i] ? strlen(candidates[i]) : WORD_MAX + 1;
		if (other > WORD_MAX)
			continue;
		unsigned longer = (unsigned)(len > other ? len : other), far = longer / 3 ? longer / 3 : 1;
		unsigned d = distance(word, len, candidates[i], other);
		/* d == longer: not one letter in common. */
		if (d <= far && d < longer && d < nearest_distance) {
			nearest = candidates[i];
			nearest_distance = d;
		}
	}
	return nearest;
}
