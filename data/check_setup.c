#include "data/check_priv.h"

#include "base/alloc.h"

#define KEY_MAX ((size_t)64 * 1024 * 1024)

static size_t add(struct checking *c, enum check_kind kind, const char *column, const char *name, json_t *expected, bool counts_rows)
{
	struct check_report *report = c->report;
	report->checks = xgrow(report->checks, &report->checks_capacity, report->n_checks + 1, sizeof(*report->checks));
	report->checks[report->n_checks] = (struct check_row){.kind = kind,
							      .column = column,
							      .name = name ? name : check_kind_name(kind),
							      .expected = expected,
							      .counts_rows = counts_rows,
							      .verdict = CHECK_PASS};
	return report->n_checks++;
}

/* "at least 10, at most 500" */
static json_t *range_json(const struct data_range *range)
{
	cleanup_buf struct buf text;
	buf_init(&text, 1 << 20);
	if (range->min.given)
		buf_addf(&text, "at least %s", range->min.text);
	if (range->max.given)
		buf_addf(&text, "%sat most %s", text.len ? ", " : "", range->max.text);
	return json_string(text.data);
}

static json_t *bound_json(const struct data_bound *bound, enum value_type type)
{
	if (type == VALUE_TIMESTAMP)
		return json_string(bound->text);
	return bound->is_whole ? json_integer(bound->whole) : json_real(bound->number);
}

static bool is_asked(const struct data_range *range)
{
	return range->min.given || range->max.given;
}

static void add_allowed(struct column_state *s, json_t *expected)
{
	s->allowed = value_set_new(SIZE_MAX);
	for (size_t i = 0; i < s->column->n_in; i++) {
		struct value value;
		if (value_read(s->column->type, s->column->in[i].text, s->column->in[i].len, &value))
			(void)value_set_add(s->allowed, fingerprint_of_value(&value), 0, NULL);
		json_array_append_new(expected, json_string(s->column->in[i].text));
	}
}

static void compile(struct column_state *s)
{
	int code;
	PCRE2_SIZE offset;
	s->pattern = pcre2_compile((PCRE2_SPTR)s->column->matches, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_DOLLAR_ENDONLY, &code, &offset, NULL);
	if (!s->pattern) /* the schema has compiled it once already */
		abort();
	s->match = pcre2_match_data_create_from_pattern(s->pattern, NULL);
	s->limits = pcre2_match_context_create(NULL);
	pcre2_set_match_limit(s->limits, MATCH_STEPS);
	pcre2_set_heap_limit(s->limits, 16 * 1024); /* KiB */
}

static void add_aggregates(struct checking *c, struct column_state *s)
{
	const struct data_column *column = s->column;
	const struct {
		enum check_kind kind;
		const struct data_range *range;
	} ranges[] = {
		{CHECK_NULL_FRACTION, &column->null_fraction},
		{CHECK_MEAN, &column->mean},
		{CHECK_SD, &column->sd},
		{CHECK_DISTINCT, &column->distinct},
	};
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (is_asked(ranges[i].range))
			s->at[ranges[i].kind] = add(c, ranges[i].kind, column->name, NULL, range_json(ranges[i].range), false);
	s->first_quantile = c->report->n_checks;
	for (size_t i = 0; i < column->n_quantiles; i++)
		(void)add(c, CHECK_QUANTILE, column->name, column->quantiles[i].name, range_json(&column->quantiles[i].range), false);
}

static void add_column(struct checking *c, struct column_state *s)
{
	const struct data_column *column = s->column;
	const char *name = column->name;
	s->at[CHECK_PRESENT] = column->may_be_missing ? NO_CHECK : add(c, CHECK_PRESENT, name, NULL, json_true(), false);
	s->at[CHECK_TYPE] = add(c, CHECK_TYPE, name, NULL, json_string(value_type_name(column->type)), true);
	if (column->required)
		s->at[CHECK_REQUIRED] = add(c, CHECK_REQUIRED, name, NULL, json_true(), true);
	if (column->unique)
		s->at[CHECK_UNIQUE] = add(c, CHECK_UNIQUE, name, NULL, json_true(), true);
	if (column->n_in) {
		json_t *expected = json_array();
		add_allowed(s, expected);
		s->at[CHECK_IN] = add(c, CHECK_IN, name, NULL, expected, true);
	}
	if (column->matches) {
		compile(s);
		s->at[CHECK_MATCHES] = add(c, CHECK_MATCHES, name, NULL, json_string(column->matches), true);
	}
	if (is_asked(&column->length))
		s->at[CHECK_LENGTH] = add(c, CHECK_LENGTH, name, NULL, range_json(&column->length), true);
	if (column->value.min.given)
		s->at[CHECK_MIN] = add(c, CHECK_MIN, name, NULL, bound_json(&column->value.min, column->type), true);
	if (column->value.max.given)
		s->at[CHECK_MAX] = add(c, CHECK_MAX, name, NULL, bound_json(&column->value.max, column->type), true);
	if (column->max_age_ms)
		s->at[CHECK_MAX_AGE] = add(c, CHECK_MAX_AGE, name, NULL, json_string(column->max_age), false);
	add_aggregates(c, s);
	s->distinct = value_set_new(column->unique ? UNIQUE_MAX : is_asked(&column->distinct) ? DISTINCT_MAX : DISTINCT_SHOWN);
}

static void add_table_check(struct checking *c, struct table_check_state *t)
{
	static const enum check_kind kinds[] = {
		[DATA_COMPARE] = CHECK_COMPARE, [DATA_UNIQUE] = CHECK_UNIQUE, [DATA_POINT_IN_TIME] = CHECK_POINT_IN_TIME};
	t->at = add(c, kinds[t->check->kind], NULL, NULL, json_string(t->check->text), true);
	buf_init(&t->key, KEY_MAX);
	if (t->check->kind == DATA_UNIQUE)
		t->seen = value_set_new(UNIQUE_MAX);
}

void check_setup(struct checking *c)
{
	const struct data_schema *schema = c->schema;
	const struct data_range *rows = &schema->rows;
	c->min_rows = rows->min.given ? add(c, CHECK_MIN_ROWS, NULL, NULL, json_integer(rows->min.whole), false) : NO_CHECK;
	c->max_rows = rows->max.given ? add(c, CHECK_MAX_ROWS, NULL, NULL, json_integer(rows->max.whole), false) : NO_CHECK;
	c->extra_columns = schema->reject_extra_columns ? add(c, CHECK_EXTRA_COLUMNS, NULL, NULL, json_string("reject"), false) : NO_CHECK;
	c->report->columns = xcalloc(schema->n_columns, sizeof(*c->report->columns));
	c->report->n_columns = schema->n_columns;
	c->columns = xcalloc(schema->n_columns, sizeof(*c->columns));
	for (size_t i = 0; i < schema->n_columns; i++) {
		struct column_state *s = &c->columns[i];
		s->column = &schema->columns[i];
		s->summary = &c->report->columns[i];
		*s->summary = (struct column_summary){.name = s->column->name, .type = s->column->type};
		for (size_t kind = 0; kind < N_CHECK_KINDS; kind++)
			s->at[kind] = NO_CHECK;
		add_column(c, s);
	}
	c->checks = xcalloc(schema->n_checks ? schema->n_checks : 1, sizeof(*c->checks));
	for (size_t i = 0; i < schema->n_checks; i++) {
		c->checks[i].check = &schema->checks[i];
		add_table_check(c, &c->checks[i]);
	}
}

void check_done(struct checking *c)
{
	for (size_t i = 0; c->columns && i < c->schema->n_columns; i++) {
		struct column_state *s = &c->columns[i];
		value_set_free(s->distinct);
		value_set_free(s->allowed);
		samples_done(&s->samples);
		pcre2_match_data_free(s->match);
		pcre2_match_context_free(s->limits);
		pcre2_code_free(s->pattern);
	}
	for (size_t i = 0; c->checks && i < c->schema->n_checks; i++) {
		value_set_free(c->checks[i].seen);
		buf_done(&c->checks[i].key);
	}
	free(c->columns);
	free(c->checks);
}
