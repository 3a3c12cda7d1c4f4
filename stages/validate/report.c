#include "stages/validate/validate_priv.h"

#include "base/utf8.h"
#include "stages/result.h"

#include <math.h>

#define REASON_CHECKS 3
#define REASON_EXAMPLES 3
#define REASON_BYTES 420

static json_t *number_json(double x)
{
	return isfinite(x) ? json_real(x) : json_null();
}

static json_t *or_null(json_t *value)
{
	return value ? json_incref(value) : json_null();
}

/* Data from strangers' files may hold anything that UTF-8 can say; JSON escapes what it must. */
static json_t *example_json(const struct check_report *report, const struct check_example *example)
{
	json_t *ret = json_pack("{s:I}", "line", (json_int_t)example->line);
	json_object_set_new(ret, "value", json_string(example->value));
	if (report->n_files > 1)
		json_object_set_new(ret, "file", json_string(report->files[example->file]));
	if (example->note)
		json_object_set_new(ret, "note", json_string(example->note));
	if (example->first_line) {
		json_object_set_new(ret, "first_line", json_integer((json_int_t)example->first_line));
		if (report->n_files > 1)
			json_object_set_new(ret, "first_file", json_string(report->files[example->first_file]));
	}
	return ret;
}

static json_t *check_json(const struct check_report *report, const struct check_row *row)
{
	json_t *ret = json_object(), *examples = json_array();
	for (size_t i = 0; i < row->n_examples; i++)
		json_array_append_new(examples, example_json(report, &row->examples[i]));
	json_object_set_new(ret, "column", row->column ? json_string(row->column) : json_null());
	json_object_set_new(ret, "check", json_string(row->name));
	json_object_set_new(ret, "expected", or_null(row->expected));
	json_object_set_new(ret, "observed", or_null(row->observed));
	json_object_set_new(ret, "verdict", json_string(check_verdict_name(row->verdict)));
	json_object_set_new(ret, "count", json_integer((json_int_t)row->count));
	if (row->counts_rows)
		json_object_set_new(ret, "fraction", report->rows ? json_real((double)row->count / (double)report->rows) : json_null());
	json_object_set_new(ret, "examples", examples);
	return ret;
}

static json_t *column_json(const struct column_summary *column)
{
	json_t *ret = json_object();
	json_object_set_new(ret, "name", json_string(column->name));
	json_object_set_new(ret, "type", json_string(value_type_name(column->type)));
	json_object_set_new(ret, "present", json_boolean(column->present));
	json_object_set_new(ret, "nulls", json_integer((json_int_t)column->nulls));
	json_object_set_new(ret, "distinct", column->distinct_is_all ? json_integer((json_int_t)column->distinct) : json_null());
	if (!column->distinct_is_all)
		json_object_set_new(ret, "distinct_more_than", json_integer((json_int_t)column->distinct));
	json_object_set_new(ret, "min", or_null(column->min));
	json_object_set_new(ret, "max", or_null(column->max));
	json_object_set_new(ret, "mean", number_json(column->mean));
	json_object_set_new(ret, "sd", number_json(column->sd));
	return ret;
}

json_t *validate_report_json(const struct check_report *report)
{
	json_t *ret = json_object(), *columns = json_array(), *checks = json_array(), *files = json_array();
	cleanup_buf struct buf reason;
	buf_init(&reason, 1 << 20);
	validate_reason(report, &reason);
	for (size_t i = 0; i < report->n_columns; i++)
		json_array_append_new(columns, column_json(&report->columns[i]));
	for (size_t i = 0; i < report->n_checks; i++)
		json_array_append_new(checks, check_json(report, &report->checks[i]));
	for (size_t i = 0; i < report->n_files; i++)
		json_array_append_new(files, json_string(report->files[i]));
	json_object_set_new(ret, "verdict", json_string(report->passed ? "pass" : "fail"));
	json_object_set_new(ret, "rows", json_integer((json_int_t)report->rows));
	json_object_set_new(ret, "bytes", json_integer((json_int_t)report->bytes));
	json_object_set_new(ret, "files", files);
	json_object_set_new(ret, "columns", columns);
	json_object_set_new(ret, "checks", checks);
	if (!report->passed)
		json_object_set_new(ret, "reason", json_string(reason.data));
	return ret;
}

/* ---- for people ---- */

/* What must not reach a terminal becomes a replacement character. */
static void add_printable(struct buf *out, const char *text)
{
	size_t len = strlen(text);
	for (size_t i = 0; i < len;) {
		uint32_t c;
		size_t step = utf8_decode(text + i, len - i, &c);
		if (step == 0 || utf8_is_unprintable(c))
			buf_adds(out, c == '\t' || c == '\n' || c == '\r' ? " " : UTF8_REPLACEMENT);
		else
			buf_add(out, text + i, step);
		i += step ? step : 1;
	}
}

/* The plainest decimal that reads as the same number: 0.3, not 0.29999999999999999. */
static void add_number(struct buf *out, double x, int digits)
{
	char text[40];
	for (; digits < 18; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, x);
		if (digits < 15 || strtod(text, NULL) == x)
			break;
	}
	buf_adds(out, text);
}

static void add_json(struct buf *out, const json_t *value, int digits)
{
	if (json_is_string(value))
		add_printable(out, json_string_value(value));
	else if (json_is_real(value))
		add_number(out, json_real_value(value), digits);
	else if (json_is_integer(value))
		buf_addf(out, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		buf_adds(out, json_is_true(value) ? "true" : "false");
	else if (json_is_array(value)) {
		for (size_t i = 0; i < json_array_size(value); i++) {
			buf_adds(out, i ? ", " : "");
			add_json(out, json_array_get(value, i), digits);
		}
	} else
		buf_adds(out, "-");
}

static void add_example(struct buf *out, const struct check_report *report, const struct check_row *row, const struct check_example *example)
{
	if (report->n_files > 1) {
		add_printable(out, report->files[example->file]);
		buf_adds(out, " ");
	}
	if (row->kind == CHECK_PRESENT || row->kind == CHECK_EXTRA_COLUMNS) {
		add_printable(out, row->kind == CHECK_PRESENT ? example->note : example->value);
		return;
	}
	buf_addf(out, "line %llu", (unsigned long long)example->line);
	if (row->kind == CHECK_REQUIRED)
		return;
	buf_adds(out, ": ");
	if (example->value[0])
		add_printable(out, example->value);
	else
		buf_adds(out, "\"\"");
	if (example->note)
		buf_addf(out, " (%s)", example->note);
	if (example->first_line && report->n_files > 1 && example->first_file != example->file)
		buf_addf(out, " (first in %s on line %llu)", report->files[example->first_file], (unsigned long long)example->first_line);
	else if (example->first_line)
		buf_addf(out, " (first on line %llu)", (unsigned long long)example->first_line);
}

/* "min 0: ", "unique: "; a check that only says yes has nothing to expect. */
static void add_expectation(struct buf *out, const struct check_row *row)
{
	if (row->column) {
		add_printable(out, row->column);
		buf_adds(out, ": ");
	}
	buf_adds(out, row->name);
	if (row->expected && !json_is_true(row->expected)) {
		buf_adds(out, " ");
		add_json(out, row->expected, 15);
	}
	buf_adds(out, ": ");
}

static void add_failure(struct buf *out, const struct check_report *report, const struct check_row *row, size_t max_examples)
{
	add_expectation(out, row);
	if (row->counts_rows) {
		double percent = report->rows ? 100 * (double)row->count / (double)report->rows : 0;
		buf_addf(out, "%llu of %llu row%s (%.*f%%): ", (unsigned long long)row->count, (unsigned long long)report->rows,
			 report->rows == 1 ? "" : "s", percent < 0.01 ? 4 : 2, percent);
	} else if (row->observed)
		add_json(out, row->observed, 6);
	size_t shown = row->n_examples < max_examples ? row->n_examples : max_examples;
	for (size_t i = 0; i < shown; i++) {
		buf_adds(out, i ? ", " : "");
		add_example(out, report, row, &row->examples[i]);
	}
	if (row->count > shown)
		buf_adds(out, shown ? ", ..." : "");
}

void validate_reason(const struct check_report *report, struct buf *out)
{
	size_t told = 0, failed = 0;
	for (int rows_first = 1; rows_first >= 0; rows_first--) {
		for (size_t i = 0; i < report->n_checks; i++) {
			const struct check_row *row = &report->checks[i];
			if (row->verdict != CHECK_FAIL || row->counts_rows != (rows_first == 1))
				continue;
			failed++;
			cleanup_buf struct buf one;
			buf_init(&one, 1 << 20);
			add_failure(&one, report, row, REASON_EXAMPLES);
			if (told < REASON_CHECKS && (told == 0 || out->len + one.len + 2 <= REASON_BYTES)) {
				buf_addf(out, "%s%s", told ? "; " : "", one.data);
				told++;
			}
		}
	}
	if (failed > told)
		buf_addf(out, " (and %zu more failing check%s)", failed - told, failed - told == 1 ? "" : "s");
}

void validate_print_failures(const struct check_report *report, struct buf *out)
{
	for (size_t i = 0; i < report->n_checks; i++) {
		const struct check_row *row = &report->checks[i];
		if (row->verdict != CHECK_FAIL)
			continue;
		if (report->n_files == 1) {
			add_printable(out, report->files[0]);
			buf_adds(out, ": ");
		}
		add_failure(out, report, row, CHECK_MAX_EXAMPLES);
		buf_addc(out, '\n');
	}
}

static char *json_cell(const json_t *value)
{
	struct buf cell;
	buf_init(&cell, 1 << 20);
	add_json(&cell, value, 6);
	return buf_steal(&cell);
}

static char *name_cell(const char *name)
{
	struct buf cell;
	buf_init(&cell, 1 << 22);
	add_printable(&cell, name);
	return buf_steal(&cell);
}

void validate_print_columns(const struct check_report *report, struct buf *out)
{
	cleanup_result_table struct result_table table = {.n_columns = 8};
	static const char *const heads[] = {"column", "type", "nulls", "distinct", "min", "max", "mean", "sd"};
	result_table_row(&table, heads);
	for (size_t i = 0; i < report->n_columns; i++) {
		const struct column_summary *column = &report->columns[i];
		cleanup_free char *name = name_cell(column->name), *min = json_cell(column->min), *max = json_cell(column->max);
		char nulls[32], distinct[40], mean[40] = "-", sd[40] = "-";
		snprintf(nulls, sizeof(nulls), "%llu", (unsigned long long)column->nulls);
		snprintf(distinct, sizeof(distinct), "%s%llu", column->distinct_is_all ? "" : "> ", (unsigned long long)column->distinct);
		if (isfinite(column->mean))
			snprintf(mean, sizeof(mean), "%.6g", column->mean);
		if (isfinite(column->sd))
			snprintf(sd, sizeof(sd), "%.6g", column->sd);
		const char *const there[] = {name, value_type_name(column->type), nulls, distinct, min, max, mean, sd};
		const char *const missing[] = {name, value_type_name(column->type), "-", "-", "-", "-", "-", "not there"};
		result_table_row(&table, column->present ? there : missing);
	}
	result_table_print(&table, out);
}
