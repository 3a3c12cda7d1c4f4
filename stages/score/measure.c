#include "stages/score/score_priv.h"

#include "data/table.h"

#include <math.h>

/* Predictions as the metrics want them. */
struct predictions {
	struct table *table; /* label, prediction, slices ... */
	double *y;
	size_t n;
};

static void predictions_done(struct predictions *p)
{
	table_free(p->table);
	free(p->y);
}
#define cleanup_predictions __attribute__((cleanup(predictions_done)))

static const double *prediction_column(const struct predictions *p)
{
	return p->table->columns[1].float64;
}

/* Labels of binary tasks are written in many ways: 0, 1, true, False, 1.0. */
static bool binary_label(const char *text, double *ret)
{
	size_t len = strlen(text);
	bool yes;
	if (value_bool(text, len, &yes)) {
		*ret = yes;
		return true;
	}
	return value_float64(text, len, ret) && (*ret == 0 || *ret == 1);
}

static int read_labels(const char *path, enum metric_task task, struct predictions *p, struct error **err)
{
	const struct table_column *column = &p->table->columns[0];
	p->y = xcalloc(p->n, sizeof(*p->y));
	if (task == TASK_REGRESSION) {
		if (p->n)
			memcpy(p->y, column->float64, p->n * sizeof(*p->y));
		return 0;
	}
	cleanup_free double *values = xcalloc(column->n_dictionary, sizeof(*values));
	for (size_t i = 0; i < column->n_dictionary; i++)
		if (!binary_label(column->dictionary[i], &values[i]))
			return error_set(err, ERROR_INVALID, 0, "%s: column \"%s\": \"%.60s\" is no label of a binary task; expected 0, 1, true or false",
					 path, column->name, column->dictionary[i]);
	for (size_t i = 0; i < p->n; i++)
		p->y[i] = values[column->code[i]];
	return 0;
}

static int read_predictions(const struct score_request *request, const char *path, bool with_slices, struct predictions *ret, struct error **err)
{
	struct table_want wants[2 + SCORE_MAX_SLICES] = {
		{request->label, request->task == TASK_BINARY ? VALUE_STRING : VALUE_FLOAT64, false},
		{request->prediction, VALUE_FLOAT64, false},
	};
	size_t n = 2;
	for (size_t i = 0; with_slices && i < request->n_slices; i++)
		wants[n++] = (struct table_want){request->slices[i], VALUE_STRING, true};
	if (table_read_csv(path, wants, n, NULL, &ret->table, err) < 0)
		return -1;
	ret->n = ret->table->n_rows;
	if (!ret->n)
		return error_set(err, ERROR_INVALID, 0, "%s: no rows, only a header", path);
	return read_labels(path, request->task, ret, err);
}

/* ---- rows of the result ---- */

static json_t *number_or_null(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *row_of(enum metric_id id, const char *slice, size_t n)
{
	json_t *row = json_object();
	json_object_set_new(row, "name", json_string(metric_name(id)));
	json_object_set_new(row, "slice", slice ? json_string(slice) : json_null());
	json_object_set_new(row, "n", json_integer((json_int_t)n));
	return row;
}

static void set_interval(json_t *row, double low, double high, double se, double confidence, const char *method)
{
	json_object_set_new(row, "low", number_or_null(low));
	json_object_set_new(row, "high", number_or_null(high));
	json_object_set_new(row, "se", number_or_null(se));
	json_object_set_new(row, "confidence", json_real(confidence));
	json_object_set_new(row, "method", json_string(method));
}

/* What cannot be computed is told in the row if it is about a slice, else it is an error. */
static int excuse(json_t *row, const char *value_key, const char *slice, struct error **problem, struct error **err)
{
	if (!slice) {
		error_move(err, STEAL(*problem));
		return -1;
	}
	json_object_set_new(row, value_key, json_null());
	json_object_set_new(row, "note", json_string(error_message(*problem)));
	return 0;
}

static int add_values(const struct score_request *request, const struct metric_rows *rows, const char *slice, json_t *list, struct error **err)
{
	for (size_t i = 0; i < request->n_metrics; i++) {
		enum metric_id id = request->metrics[i];
		struct metric_value value;
		cleanup_error struct error *problem = NULL;
		json_t *row = row_of(id, slice, rows->n);
		json_array_append_new(list, row);
		if (metric_compute(id, rows, &request->options, &value, &problem) < 0) {
			if (excuse(row, "value", slice, &problem, err) < 0)
				return -1;
			continue;
		}
		json_object_set_new(row, "value", number_or_null(value.value));
		set_interval(row, value.low, value.high, value.se, request->options.confidence, value.method);
	}
	return 0;
}

static int add_differences(const struct score_request *request, const struct metric_rows *rows, const double *other, const char *slice, json_t *list,
			   struct error **err)
{
	for (size_t i = 0; i < request->n_metrics; i++) {
		enum metric_id id = request->metrics[i];
		struct metric_difference d;
		cleanup_error struct error *problem = NULL;
		json_t *row = row_of(id, slice, rows->n);
		json_array_append_new(list, row);
		if (metric_compare(id, rows, other, &request->options, &d, &problem) < 0) {
			if (excuse(row, "difference", slice, &problem, err) < 0)
				return -1;
			continue;
		}
		json_object_set_new(row, "difference", number_or_null(d.difference));
		json_object_set_new(row, "p", number_or_null(d.p));
		set_interval(row, d.low, d.high, d.se, request->options.confidence, d.method);
	}
	return 0;
}

/* ---- slices ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(**(const char *const *const *)a, **(const char *const *const *)b);
}

/* Copies of the rows whose slice column has this code. */
static size_t select_rows(const struct table_column *column, uint32_t code, const double *from, size_t n, double *to)
{
	size_t found = 0;
	for (size_t i = 0; i < n; i++)
		if (column->code[i] == code)
			to[found++] = from[i];
	return found;
}

static int measure_slice(const struct score_request *request, const struct predictions *p, const double *other, size_t column_index, uint32_t code,
			 json_t *result, struct error **err)
{
	const struct table_column *column = &p->table->columns[column_index];
	cleanup_free double *y = xcalloc(p->n, sizeof(*y)), *x = xcalloc(p->n, sizeof(*x)), *z = xcalloc(p->n, sizeof(*z));
	cleanup_free char *name = xasprintf("%s=%s", column->name, column->dictionary[code]);
	size_t n = select_rows(column, code, p->y, p->n, y);
	select_rows(column, code, prediction_column(p), p->n, x);
	const struct metric_rows rows = {.task = request->task, .y = y, .p = x, .n = n};
	if (add_values(request, &rows, name, json_object_get(result, "metrics"), err) < 0)
		return -1;
	if (!other)
		return 0;
	select_rows(column, code, other, p->n, z);
	return add_differences(request, &rows, z, name, json_object_get(result, "paired"), err);
}

static int measure_slices(const struct score_request *request, const struct predictions *p, const double *other, json_t *result, struct error **err)
{
	for (size_t c = 2; c < 2 + request->n_slices; c++) {
		const struct table_column *column = &p->table->columns[c];
		size_t n = column->n_dictionary;
		if (n > SCORE_MAX_SLICE_VALUES)
			return error_set(err, ERROR_TOO_LARGE, 0, "%s: column \"%s\" has %zu distinct values; a slice has at most %d",
					 request->predictions, column->name, n, SCORE_MAX_SLICE_VALUES);
		cleanup_free char ***order = xcalloc(n, sizeof(*order)); /* by name, so that the result does not depend on the rows' order */
		for (size_t i = 0; i < n; i++)
			order[i] = &column->dictionary[i];
		qsort(order, n, sizeof(*order), by_text);
		for (size_t i = 0; i < n; i++)
			if (measure_slice(request, p, other, c, (uint32_t)(order[i] - column->dictionary), result, err) < 0)
				return -1;
	}
	return 0;
}

/* ---- production ---- */

/* Are these the same rows? By number and labels: predictions carry no other key. */
static const char *difference_of_rows(const struct predictions *p, const struct predictions *other)
{
	if (p->n != other->n)
		return "the other model predicted another number of rows";
	for (size_t i = 0; i < p->n; i++)
		if (p->y[i] != other->y[i])
			return "the other model's rows have other labels";
	return NULL;
}

/* What keeps two models from being compared row by row is told in the result; it is no error, or no release could ever rename a column. */
static int read_other(const struct score_request *request, const struct predictions *p, struct predictions *ret, bool *ret_comparable, json_t *result,
		      struct error **err)
{
	*ret_comparable = false;
	if (!request->against)
		return 0;
	cleanup_error struct error *problem = NULL;
	bool readable = read_predictions(request, request->against, false, ret, &problem) == 0;
	if (!readable && error_code_of(problem) != ERROR_INVALID)
		return error_move(err, STEAL(problem));
	const char *note = readable ? difference_of_rows(p, ret) : error_message(problem);
	*ret_comparable = !note;
	json_t *against = json_object();
	json_object_set_new(against, "rows", json_integer((json_int_t)ret->n));
	json_object_set_new(against, "same_rows", json_boolean(!note));
	if (note)
		json_object_set_new(against, "note", json_sprintf("not compared row by row: %s", note));
	json_object_set_new(result, "against", against);
	return 0;
}

int score_measure(const struct score_request *request, json_t **ret, struct error **err)
{
	cleanup_predictions struct predictions mine = {0}, production = {0};
	cleanup_json json_t *result = json_object();
	bool comparable;
	if (read_predictions(request, request->predictions, true, &mine, err) < 0)
		return -1;
	json_object_set_new(result, "rows", json_integer((json_int_t)mine.n));
	json_object_set_new(result, "task", json_string(task_name(request->task)));
	json_object_set_new(result, "metrics", json_array());
	json_object_set_new(result, "paired", json_array());
	json_object_set_new(result, "against", json_null());
	if (read_other(request, &mine, &production, &comparable, result, err) < 0)
		return -1;
	const double *other = comparable ? prediction_column(&production) : NULL;
	const struct metric_rows rows = {.task = request->task, .y = mine.y, .p = prediction_column(&mine), .n = mine.n};
	if (add_values(request, &rows, NULL, json_object_get(result, "metrics"), err) < 0 ||
	    (other && add_differences(request, &rows, other, NULL, json_object_get(result, "paired"), err) < 0) ||
	    measure_slices(request, &mine, other, result, err) < 0)
		return error_context(err, "%s", request->predictions);
	*ret = STEAL(result);
	return 0;
}
