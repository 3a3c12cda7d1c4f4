#include "data/check_priv.h"

#include "base/clock.h"

#include <math.h>

json_t *check_value_json(const struct value *value)
{
	char text[VALUE_TIMESTAMP_SIZE];
	switch (value->type) {
	case VALUE_INT64:
		return json_integer(value->whole);
	case VALUE_FLOAT64:
		return json_real(value->number);
	case VALUE_BOOL:
		return json_boolean(value->whole);
	case VALUE_STRING:
		return json_stringn(value->text, value->len);
	case VALUE_TIMESTAMP:
		value_timestamp_text(value->whole, text);
		return json_string(text);
	}
	abort();
}

static void judge(struct checking *c, size_t at, json_t *observed, bool good)
{
	struct check_row *row = &c->report->checks[at];
	row->observed = observed;
	row->verdict = good ? CHECK_PASS : CHECK_FAIL;
}

/* A number that is none (no values, or too large for a double) fails whatever range is asked for: no data is no pass. */
static void judge_range(struct checking *c, size_t at, const struct data_range *range, double number)
{
	bool good = isfinite(number) && !(range->min.given && number < range->min.number) && !(range->max.given && number > range->max.number);
	json_t *observed = !isfinite(number)                              ? json_null()
			   : c->report->checks[at].kind == CHECK_DISTINCT ? json_integer((json_int_t)number)
									  : json_real(number);
	judge(c, at, observed, good);
}

/* More values than we count: enough for `min` as far as they were counted; `max` is exceeded or cannot be told, which is no pass. */
static void judge_distinct(struct checking *c, const struct column_state *s)
{
	const struct data_range *range = &s->column->distinct;
	double counted = (double)value_set_count(s->distinct);
	if (!s->distinct_full) {
		judge_range(c, s->at[CHECK_DISTINCT], range, counted);
		return;
	}
	bool good = !range->max.given && (!range->min.given || counted >= range->min.number);
	cleanup_buf struct buf text;
	buf_init(&text, 64);
	buf_addf(&text, "more than %.0f", counted);
	judge(c, s->at[CHECK_DISTINCT], json_string(text.data), good);
}

static void judge_age(struct checking *c, const struct column_state *s)
{
	size_t at = s->at[CHECK_MAX_AGE];
	if (s->values == 0) {
		judge(c, at, json_null(), false);
		return;
	}
	int64_t oldest_ms = clock_wall_ms() - (int64_t)s->column->max_age_ms;
	judge(c, at, check_value_json(&s->greatest), s->greatest.whole / 1000 >= oldest_ms);
}

static void finish_column(struct checking *c, struct column_state *s)
{
	const struct data_column *column = s->column;
	struct column_summary *summary = s->summary;
	uint64_t rows = c->report->rows;
	summary->distinct = value_set_count(s->distinct);
	summary->distinct_is_all = !s->distinct_full;
	summary->mean = moments_mean(&s->moments);
	summary->sd = moments_sd(&s->moments);
	if (s->values && column->type != VALUE_STRING) {
		summary->min = check_value_json(&s->least);
		summary->max = check_value_json(&s->greatest);
	}
	if (s->at[CHECK_NULL_FRACTION] != NO_CHECK)
		judge_range(c, s->at[CHECK_NULL_FRACTION], &column->null_fraction, rows ? (double)summary->nulls / (double)rows : 0);
	if (s->at[CHECK_MEAN] != NO_CHECK)
		judge_range(c, s->at[CHECK_MEAN], &column->mean, summary->mean);
	if (s->at[CHECK_SD] != NO_CHECK)
		judge_range(c, s->at[CHECK_SD], &column->sd, summary->sd);
	if (s->at[CHECK_DISTINCT] != NO_CHECK)
		judge_distinct(c, s);
	if (s->at[CHECK_MAX_AGE] != NO_CHECK)
		judge_age(c, s);
	for (size_t i = 0; i < column->n_quantiles; i++)
		judge_range(c, s->first_quantile + i, &column->quantiles[i].range, samples_quantile(&s->samples, column->quantiles[i].fraction));
}

/* Nothing can be said of what is not there. */
static void skip_column(struct checking *c, const struct column_state *s)
{
	for (size_t i = 0; i < c->report->n_checks; i++) {
		struct check_row *row = &c->report->checks[i];
		if (row->column == s->column->name && row->kind != CHECK_PRESENT && row->count == 0)
			row->verdict = CHECK_SKIP;
	}
}

static void finish_table_check(struct checking *c, const struct table_check_state *t)
{
	struct check_row *row = &c->report->checks[t->at];
	for (size_t i = 0; i < t->check->n_columns; i++)
		if (!c->columns[t->check->columns[i]].summary->present && row->count == 0)
			row->verdict = CHECK_SKIP;
}

void check_finish(struct checking *c)
{
	struct check_report *report = c->report;
	if (c->min_rows != NO_CHECK)
		judge(c, c->min_rows, json_integer((json_int_t)report->rows), (double)report->rows >= c->schema->rows.min.number);
	if (c->max_rows != NO_CHECK)
		judge(c, c->max_rows, json_integer((json_int_t)report->rows), (double)report->rows <= c->schema->rows.max.number);
	for (size_t i = 0; i < c->schema->n_columns; i++) {
		finish_column(c, &c->columns[i]);
		if (!c->columns[i].summary->present)
			skip_column(c, &c->columns[i]);
	}
	for (size_t i = 0; i < c->schema->n_checks; i++)
		finish_table_check(c, &c->checks[i]);
	report->passed = true;
	for (size_t i = 0; i < report->n_checks; i++) {
		if (report->checks[i].count > 0)
			report->checks[i].verdict = CHECK_FAIL;
		report->passed = report->passed && report->checks[i].verdict != CHECK_FAIL;
	}
}
