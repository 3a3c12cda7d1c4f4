#include "data/check_priv.h"

#include "base/alloc.h"
#include "base/utf8.h"

#define SHOWN_BYTES 120

/* Where a value came first, as one number. */
static uint64_t mark_of(const struct checking *c)
{
	return (uint64_t)c->file << 48 | c->line;
}

static char *shown(const char *value, size_t len)
{
	if (len <= SHOWN_BYTES)
		return xstrndup(value, len);
	size_t end = SHOWN_BYTES;
	while (end > 0 && ((unsigned char)value[end] & 0xc0) == 0x80)
		end--;
	return xasprintf("%.*s... (%zu bytes)", (int)end, value, len);
}

void check_offend(struct checking *c, size_t at, const char *value, size_t len, const char *note, const uint64_t *first_mark)
{
	struct check_row *row = &c->report->checks[at];
	row->count++;
	if (row->n_examples == CHECK_MAX_EXAMPLES)
		return;
	struct check_example *example = &row->examples[row->n_examples++];
	*example = (struct check_example){.file = c->file, .line = c->line, .value = shown(value, len), .note = note};
	if (first_mark) {
		example->first_file = (size_t)(*first_mark >> 48);
		example->first_line = *first_mark & ((UINT64_C(1) << 48) - 1);
	}
}

static void offend(struct checking *c, struct column_state *s, enum check_kind kind, const char *note)
{
	check_offend(c, s->at[kind], s->value.text, s->value.len, note, NULL);
}

/* ---- one value ---- */

static bool is_below(const struct value *value, const struct data_bound *bound)
{
	struct value other = {.type = bound->is_whole ? value->type : VALUE_FLOAT64, .whole = bound->whole, .number = bound->number};
	return value_compare(value, &other) < 0;
}

static bool is_above(const struct value *value, const struct data_bound *bound)
{
	struct value other = {.type = bound->is_whole ? value->type : VALUE_FLOAT64, .whole = bound->whole, .number = bound->number};
	return value_compare(value, &other) > 0;
}

static void check_length(struct checking *c, struct column_state *s)
{
	const struct data_range *range = &s->column->length;
	double length = (double)utf8_count(s->value.text, s->value.len);
	if ((range->min.given && length < range->min.number) || (range->max.given && length > range->max.number))
		offend(c, s, CHECK_LENGTH, NULL);
}

static void check_pattern(struct checking *c, struct column_state *s)
{
	int rc = pcre2_match(s->pattern, (PCRE2_SPTR)s->value.text, s->value.len, 0, PCRE2_NO_UTF_CHECK, s->match, s->limits);
	if (rc == PCRE2_ERROR_NOMATCH)
		offend(c, s, CHECK_MATCHES, NULL);
	else if (rc < 0) /* a pattern that backtracks without end, on this value: not shown to match */
		offend(c, s, CHECK_MATCHES, "the pattern needs too many steps");
}

static int check_unique(struct checking *c, struct column_state *s, struct fingerprint fingerprint, struct error **err)
{
	uint64_t first;
	switch (value_set_add(s->distinct, fingerprint, mark_of(c), &first)) {
	case SET_KNOWN:
		check_offend(c, s->at[CHECK_UNIQUE], s->value.text, s->value.len, NULL, &first);
		return 0;
	case SET_NEW:
		return 0;
	case SET_FULL:
		return error_set(err, ERROR_TOO_LARGE, 0, "%s:%llu: column %s: unique can tell at most %zu values apart", c->report->files[c->file],
				 (unsigned long long)c->line, s->column->name, UNIQUE_MAX);
	}
	abort();
}

static int gather(struct checking *c, struct column_state *s, struct error **err)
{
	enum value_type type = s->value.type;
	if (type != VALUE_STRING) {
		if (s->values == 1 || value_compare(&s->value, &s->least) < 0)
			s->least = s->value;
		if (s->values == 1 || value_compare(&s->value, &s->greatest) > 0)
			s->greatest = s->value;
	}
	if (type == VALUE_INT64 || type == VALUE_FLOAT64 || type == VALUE_BOOL)
		moments_add(&s->moments, s->value.number);
	if (s->column->n_quantiles && !samples_add(&s->samples, s->value.number))
		return error_set(err, ERROR_TOO_LARGE, 0, "%s:%llu: column %s: quantiles are taken of at most %zu values", c->report->files[c->file],
				 (unsigned long long)c->line, s->column->name, SAMPLES_MAX);
	return 0;
}

static int check_value(struct checking *c, struct column_state *s, struct error **err)
{
	const struct data_column *column = s->column;
	s->values++;
	struct fingerprint fingerprint = fingerprint_of_value(&s->value);
	if (s->allowed && !value_set_has(s->allowed, fingerprint))
		offend(c, s, CHECK_IN, NULL);
	if (s->pattern)
		check_pattern(c, s);
	if (s->at[CHECK_LENGTH] != NO_CHECK)
		check_length(c, s);
	if (column->value.min.given && is_below(&s->value, &column->value.min))
		offend(c, s, CHECK_MIN, NULL);
	if (column->value.max.given && is_above(&s->value, &column->value.max))
		offend(c, s, CHECK_MAX, NULL);
	if (column->unique) {
		if (check_unique(c, s, fingerprint, err) < 0)
			return -1;
	} else if (!s->distinct_full)
		s->distinct_full = value_set_add(s->distinct, fingerprint, 0, NULL) == SET_FULL;
	return gather(c, s, err);
}

/* An unquoted empty field is a null. */
static int check_field(struct checking *c, struct column_state *s, const struct csv_field *field, struct error **err)
{
	if (field->len == 0 && !field->quoted) {
		s->summary->nulls++;
		if (s->column->required)
			check_offend(c, s->at[CHECK_REQUIRED], "", 0, NULL, NULL);
		return 0;
	}
	s->has_value = value_read(s->column->type, field->text, field->len, &s->value);
	if (s->has_value)
		return check_value(c, s, err);
	check_offend(c, s->at[CHECK_TYPE], field->text, field->len, NULL, NULL);
	return 0;
}

/* ---- several columns ---- */

static bool holds(enum data_operator op, int order)
{
	switch (op) {
	case DATA_LESS:
		return order < 0;
	case DATA_AT_MOST:
		return order <= 0;
	case DATA_MORE:
		return order > 0;
	case DATA_AT_LEAST:
		return order >= 0;
	case DATA_EQUAL:
		return order == 0;
	case DATA_DIFFERENT:
		return order != 0;
	}
	abort();
}

static void check_pair(struct checking *c, struct table_check_state *t)
{
	const struct value *left = &c->columns[t->check->columns[0]].value, *right = &c->columns[t->check->columns[1]].value;
	if (holds(t->check->op, value_compare(left, right)))
		return;
	buf_reset(&t->key);
	buf_add(&t->key, left->text, left->len);
	buf_adds(&t->key, ", ");
	buf_add(&t->key, right->text, right->len);
	check_offend(c, t->at, t->key.data, t->key.len, NULL, NULL);
}

static int check_together(struct checking *c, struct table_check_state *t, struct error **err)
{
	buf_reset(&t->key);
	for (size_t i = 0; i < t->check->n_columns; i++) {
		struct fingerprint part = fingerprint_of_value(&c->columns[t->check->columns[i]].value);
		buf_add(&t->key, &part, sizeof(part));
	}
	uint64_t first;
	enum value_set_added added = value_set_add(t->seen, fingerprint_of_bytes(t->key.data, t->key.len), mark_of(c), &first);
	if (added == SET_FULL)
		return error_set(err, ERROR_TOO_LARGE, 0, "%s:%llu: unique (%s) can tell at most %zu rows apart", c->report->files[c->file],
				 (unsigned long long)c->line, t->check->text, UNIQUE_MAX);
	if (added == SET_NEW)
		return 0;
	buf_reset(&t->key);
	for (size_t i = 0; i < t->check->n_columns; i++) {
		const struct value *value = &c->columns[t->check->columns[i]].value;
		buf_adds(&t->key, i ? ", " : "");
		buf_add(&t->key, value->text, value->len);
	}
	check_offend(c, t->at, t->key.data, t->key.len, NULL, &first);
	return 0;
}

static bool all_have_values(const struct checking *c, const struct data_table_check *check)
{
	for (size_t i = 0; i < check->n_columns; i++)
		if (!c->columns[check->columns[i]].has_value)
			return false;
	return true;
}

int check_record(struct checking *c, const struct csv_record *record, struct error **err)
{
	c->line = record->line;
	c->report->rows++;
	for (size_t i = 0; i < c->schema->n_columns; i++) {
		struct column_state *s = &c->columns[i];
		s->has_value = false;
		if (s->place >= 0 && check_field(c, s, &record->fields[s->place], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < c->schema->n_checks; i++) {
		struct table_check_state *t = &c->checks[i];
		if (!all_have_values(c, t->check))
			continue;
		if (t->check->kind != DATA_UNIQUE)
			check_pair(c, t);
		else if (check_together(c, t, err) < 0)
			return -1;
	}
	return 0;
}
