#include "gates/sources/openmetrics/page.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/utf8.h"
#include "gates/sources/samples.h"

#include <string.h>

static const char *const type_names[] = {
#define X(name, text) text,
	PAGE_TYPES(X)
#undef X
};

const char *page_type_name(enum page_type type)
{
	return type_names[type];
}

struct reader {
	const char *at, *end; /* of the present line */
	size_t line;
	bool openmetrics, eof;
	struct arena *arena;
	struct page page;
	size_t families_capacity, samples_capacity;
	struct page_label labels[PAGE_MAX_LABELS];
	size_t n_labels;
};

/* What stands where the reader is, for messages. */
#define HERE(r) (int)((r)->end - (r)->at < 40 ? (r)->end - (r)->at : 40), (r)->at

static bool is_name_start(char c, bool colon)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':');
}

static size_t name_length(const char *at, const char *end, bool colon)
{
	size_t len = 0;

	while (at + len < end && (is_name_start(at[len], colon) || (len && at[len] >= '0' && at[len] <= '9')))
		len++;
	return len;
}

static void skip_blanks(struct reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t'))
		r->at++;
}

static bool take(struct reader *r, char c)
{
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

/* The next word up to a blank; NULL if there is none. */
static const char *take_word(struct reader *r, size_t *ret_len)
{
	const char *word = r->at;

	while (r->at < r->end && *r->at != ' ' && *r->at != '\t')
		r->at++;
	*ret_len = (size_t)(r->at - word);
	return *ret_len ? word : NULL;
}

static int fail(const struct reader *r, struct error **err, const char *what)
{
	return error_set(err, ERROR_INVALID, 0, "line %zu: %s", r->line, what);
}

/* ---- samples ---- */

/* A quoted label value: \\, \" and \n are the only escapes. */
static int read_quoted(struct reader *r, const char **ret, struct error **err)
{
	if (!take(r, '"'))
		return error_set(err, ERROR_INVALID, 0, "line %zu: expected a quoted label value, found \"%.*s\"", r->line, HERE(r));
	const char *close = r->at;
	while (close < r->end && *close != '"')
		close += *close == '\\' ? 2 : 1;
	if (close >= r->end)
		return fail(r, err, "a label value without its closing quote");
	char *value = arena_alloc(r->arena, (size_t)(close - r->at) + 1);
	size_t len = 0;
	while (r->at < close) {
		char c = *r->at++;
		if (c == '\\') {
			if (!strchr("\\\"n", *r->at))
				return fail(r, err, "in a label value only \\\\, \\\" and \\n may follow a backslash");
			c = *r->at++;
			c = c == 'n' ? '\n' : c;
		}
		value[len++] = c;
	}
	r->at++;
	*ret = value;
	return 0;
}

static int read_label(struct reader *r, struct error **err)
{
	size_t len = name_length(r->at, r->end, false);

	if (len == 0)
		return error_set(err, ERROR_INVALID, 0, "line %zu: expected a label name, found \"%.*s\"", r->line, HERE(r));
	if (r->n_labels == PAGE_MAX_LABELS)
		return error_set(err, ERROR_INVALID, 0, "line %zu: more than %d labels", r->line, PAGE_MAX_LABELS);
	struct page_label *label = &r->labels[r->n_labels];
	label->name = arena_strndup(r->arena, r->at, len);
	r->at += len;
	skip_blanks(r);
	if (!take(r, '='))
		return error_set(err, ERROR_INVALID, 0, "line %zu: label \"%s\" has no \"=\"", r->line, label->name);
	skip_blanks(r);
	if (read_quoted(r, &label->value, err) < 0)
		return -1;
	for (size_t i = 0; i < r->n_labels; i++)
		if (strcmp(r->labels[i].name, label->name) == 0)
			return error_set(err, ERROR_INVALID, 0, "line %zu: label \"%s\" stands there twice", r->line, label->name);
	r->n_labels++;
	return 0;
}

static int read_labels(struct reader *r, struct error **err)
{
	r->n_labels = 0;
	if (!take(r, '{'))
		return 0;
	for (;;) {
		skip_blanks(r);
		if (take(r, '}'))
			return 0;
		if (read_label(r, err) < 0)
			return -1;
		skip_blanks(r);
		if (take(r, ','))
			continue;
		if (!take(r, '}'))
			return error_set(err, ERROR_INVALID, 0, "line %zu: expected \",\" or \"}\" after a label, found \"%.*s\"", r->line, HERE(r));
		return 0;
	}
}

static int read_number(struct reader *r, const char *what, double *ret, struct error **err)
{
	size_t len;
	const char *word = take_word(r, &len);

	if (!word || !sample_number(word, len, ret))
		return error_set(err, ERROR_INVALID, 0, "line %zu: expected %s, found \"%.*s\"", r->line, what, (int)(len < 40 ? len : 40),
				 word ? word : "");
	return 0;
}

/* ` # {trace_id="x"} 0.67 1520879607.789`: checked, so that a broken line is not taken for a good one, and forgotten. */
static int skip_exemplar(struct reader *r, struct error **err)
{
	double ignored;

	take(r, '#');
	skip_blanks(r);
	if (r->at == r->end || *r->at != '{')
		return fail(r, err, "expected an exemplar's labels after \"#\"");
	if (read_labels(r, err) < 0)
		return -1;
	skip_blanks(r);
	if (read_number(r, "an exemplar's value", &ignored, err) < 0)
		return -1;
	skip_blanks(r);
	if (r->at < r->end && read_number(r, "an exemplar's timestamp", &ignored, err) < 0)
		return -1;
	return 0;
}

static int compare_labels(const void *a, const void *b)
{
	return strcmp(((const struct page_label *)a)->name, ((const struct page_label *)b)->name);
}

static void add_series(struct buf *out, const struct page_sample *sample, const char *without)
{
	char before = '{';

	buf_adds(out, sample->name);
	for (size_t i = 0; i < sample->n_labels; i++) {
		if (without && strcmp(sample->labels[i].name, without) == 0)
			continue;
		buf_addf(out, "%c%s=\"", before, sample->labels[i].name);
		for (const char *c = sample->labels[i].value; *c; c++) {
			if (*c == '\\' || *c == '"')
				buf_addc(out, '\\');
			if (*c == '\n')
				buf_adds(out, "\\n");
			else
				buf_addc(out, *c);
		}
		buf_addc(out, '"');
		before = ',';
	}
	if (before == ',')
		buf_addc(out, '}');
}

const char *page_series_without(const struct page_sample *sample, const char *label, struct arena *arena)
{
	struct buf text cleanup_buf;

	buf_init(&text, 4 * (size_t)PAGE_MAX_BYTES);
	add_series(&text, sample, label);
	return arena_strndup(arena, text.data, text.len);
}

static void keep_sample(struct reader *r, struct page_sample *sample)
{
	if (r->n_labels)
		qsort(r->labels, r->n_labels, sizeof(r->labels[0]), compare_labels);
	sample->labels = arena_alloc(r->arena, (r->n_labels + 1) * sizeof(r->labels[0]));
	memcpy(sample->labels, r->labels, r->n_labels * sizeof(r->labels[0]));
	sample->n_labels = r->n_labels;
	sample->line = r->line;
	sample->series = page_series_without(sample, NULL, r->arena);
	r->page.samples[r->page.n_samples++] = *sample;
}

static int read_sample(struct reader *r, struct error **err)
{
	struct page_sample sample = {0};
	double ignored;
	size_t len = name_length(r->at, r->end, true);

	if (len == 0)
		return error_set(err, ERROR_INVALID, 0, "line %zu: expected the name of a metric, found \"%.*s\"", r->line, HERE(r));
	if (r->page.n_samples == PAGE_MAX_SAMPLES)
		return error_set(err, ERROR_TOO_LARGE, 0, "line %zu: more than %d samples", r->line, PAGE_MAX_SAMPLES);
	sample.name = arena_strndup(r->arena, r->at, len);
	r->at += len;
	skip_blanks(r);
	if (read_labels(r, err) < 0)
		return -1;
	skip_blanks(r);
	if (read_number(r, "a number", &sample.value, err) < 0)
		return -1;
	if (r->page.n_samples == r->samples_capacity) {
		size_t capacity = r->samples_capacity ? 2 * r->samples_capacity : 256;
		struct page_sample *grown = arena_alloc(r->arena, capacity * sizeof(*grown));
		if (r->page.n_samples)
			memcpy(grown, r->page.samples, r->page.n_samples * sizeof(*grown));
		r->page.samples = grown;
		r->samples_capacity = capacity;
	}
	keep_sample(r, &sample);
	skip_blanks(r);
	if (r->at < r->end && *r->at != '#' && read_number(r, "a timestamp", &ignored, err) < 0)
		return -1;
	skip_blanks(r);
	if (r->at == r->end)
		return 0;
	if (r->openmetrics && *r->at == '#' && skip_exemplar(r, err) < 0)
		return -1;
	skip_blanks(r);
	if (r->at < r->end)
		return error_set(err, ERROR_INVALID, 0, "line %zu: the line goes on with \"%.*s\" where it should end", r->line, HERE(r));
	return 0;
}

/* ---- lines that begin with "#" ---- */

static int read_type(struct reader *r, const char *name, size_t name_len, struct error **err)
{
	size_t len;

	skip_blanks(r);
	const char *word = take_word(r, &len);
	for (size_t i = 0; word && i < ARRAY_SIZE(type_names); i++) {
		if (strlen(type_names[i]) != len || memcmp(type_names[i], word, len) != 0)
			continue;
		if (r->page.n_families == r->families_capacity) {
			size_t capacity = r->families_capacity ? 2 * r->families_capacity : 64;
			struct page_family *grown = arena_alloc(r->arena, capacity * sizeof(*grown));
			if (r->page.n_families)
				memcpy(grown, r->page.families, r->page.n_families * sizeof(*grown));
			r->page.families = grown;
			r->families_capacity = capacity;
		}
		r->page.families[r->page.n_families++] =
			(struct page_family){.name = arena_strndup(r->arena, name, name_len), .type = (enum page_type)i};
		return 0;
	}
	return error_set(err, ERROR_INVALID, 0, "line %zu: \"%.*s\" is no type of metric", r->line, (int)(len < 40 ? len : 40), word ? word : "");
}

static bool is_word(const char *word, size_t len, const char *expected)
{
	return word && strlen(expected) == len && memcmp(word, expected, len) == 0;
}

static int read_comment(struct reader *r, struct error **err)
{
	size_t len, name_len;

	r->at++;
	skip_blanks(r);
	const char *word = take_word(r, &len);
	if (is_word(word, len, "EOF")) {
		if (r->openmetrics && r->at < r->end)
			return fail(r, err, "\"# EOF\" is not alone");
		r->eof = r->openmetrics;
		return 0;
	}
	bool type = is_word(word, len, "TYPE");
	if (!type && !is_word(word, len, "HELP") && !is_word(word, len, "UNIT"))
		return r->openmetrics ? fail(r, err, "after \"#\" only HELP, TYPE, UNIT and EOF may stand in OpenMetrics") : 0;
	skip_blanks(r);
	const char *name = r->at;
	name_len = name_length(r->at, r->end, true);
	r->at += name_len;
	if (name_len == 0 || (r->at < r->end && *r->at != ' ' && *r->at != '\t'))
		return error_set(err, ERROR_INVALID, 0, "line %zu: expected the name of a metric after \"%.*s\"", r->line, (int)len, word);
	return type ? read_type(r, name, name_len, err) : 0;
}

static int read_line(struct reader *r, struct error **err)
{
	if (r->eof)
		return fail(r, err, "something follows \"# EOF\"");
	if (r->end - r->at > 1 << 20)
		return fail(r, err, "the line is longer than 1 MiB");
	if (!r->openmetrics)
		skip_blanks(r);
	if (r->at == r->end)
		return r->openmetrics ? fail(r, err, "an empty line is no OpenMetrics") : 0;
	return *r->at == '#' ? read_comment(r, err) : read_sample(r, err);
}

/* ---- the whole page ---- */

static int compare_samples(const void *a, const void *b)
{
	const struct page_sample *one = a, *two = b;
	int order = strcmp(one->name, two->name);

	return order ? order : strcmp(one->series, two->series);
}

static int compare_families(const void *a, const void *b)
{
	return strcmp(((const struct page_family *)a)->name, ((const struct page_family *)b)->name);
}

static int check_twins(struct page *page, struct error **err)
{
	if (page->n_samples)
		qsort(page->samples, page->n_samples, sizeof(*page->samples), compare_samples);
	if (page->n_families)
		qsort(page->families, page->n_families, sizeof(*page->families), compare_families);
	for (size_t i = 1; i < page->n_samples; i++) {
		const struct page_sample *one = &page->samples[i - 1], *two = &page->samples[i];
		if (compare_samples(one, two) == 0)
			return error_set(err, ERROR_INVALID, 0, "lines %zu and %zu: %s stands there twice",
					 one->line < two->line ? one->line : two->line, one->line < two->line ? two->line : one->line, one->series);
	}
	for (size_t i = 1; i < page->n_families; i++)
		if (compare_families(&page->families[i - 1], &page->families[i]) == 0)
			return error_set(err, ERROR_INVALID, 0, "%s has two TYPE lines", page->families[i].name);
	return 0;
}

int page_parse(const char *text, size_t len, bool openmetrics, struct arena *arena, struct page *ret, struct error **err)
{
	cleanup_free struct reader *r = xcalloc(1, sizeof(*r));
	const char *at = text, *end = text + len;

	r->openmetrics = openmetrics;
	r->arena = arena;
	if (len > PAGE_MAX_BYTES)
		return error_set(err, ERROR_TOO_LARGE, 0, "the page is longer than %d bytes", PAGE_MAX_BYTES);
	if (memchr(text, '\0', len) || utf8_valid_prefix(text, len) != len)
		return error_set(err, ERROR_INVALID, 0, "the page is no UTF-8 text");
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		r->line++;
		r->at = at;
		r->end = newline ? newline : end;
		/* Only "# EOF" may do without. */
		if (!newline && !(openmetrics && end - at == 5 && memcmp(at, "# EOF", 5) == 0))
			return fail(r, err, "the page ends in the middle of a line");
		if (read_line(r, err) < 0)
			return -1;
		at = r->end + (newline != NULL);
	}
	if (openmetrics && !r->eof)
		return error_set(err, ERROR_INVALID, 0, "the page ends after line %zu without \"# EOF\": it is not whole", r->line);
	if (check_twins(&r->page, err) < 0)
		return -1;
	*ret = r->page;
	return 0;
}

const struct page_family *page_find_family(const struct page *page, const char *name)
{
	struct page_family key = {.name = name};

	return page->n_families ? bsearch(&key, page->families, page->n_families, sizeof(key), compare_families) : NULL;
}

const struct page_sample *page_find_samples(const struct page *page, const char *name, size_t *ret_n)
{
	size_t low = 0, high = page->n_samples, n = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(page->samples[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	while (low + n < page->n_samples && strcmp(page->samples[low + n].name, name) == 0)
		n++;
	*ret_n = n;
	return n ? &page->samples[low] : NULL;
}

/* By halves, as a stranger's page may be asked for each of its series. */
const struct page_sample *page_find_series(const struct page *page, const char *name, const char *series)
{
	struct page_sample key = {.name = name, .series = series};

	return page->n_samples ? bsearch(&key, page->samples, page->n_samples, sizeof(key), compare_samples) : NULL;
}

const char *page_label_value(const struct page_sample *sample, const char *name)
{
	for (size_t i = 0; i < sample->n_labels; i++)
		if (strcmp(sample->labels[i].name, name) == 0)
			return sample->labels[i].value;
	return NULL;
}
