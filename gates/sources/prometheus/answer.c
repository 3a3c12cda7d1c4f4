#include "gates/sources/prometheus/answer.h"

#include "base/buf.h"
#include "base/json.h"
#include "gates/sources/samples.h"

#include <math.h>
#include <string.h>

enum { MAX_LABELS = 128, MAX_POINTS = 12000 };

const char *answer_label(const struct answer_series *series, const char *name)
{
	for (size_t i = 0; i < series->n_labels; i++)
		if (strcmp(series->labels[i].name, name) == 0)
			return series->labels[i].value;
	return NULL;
}

const char *answer_series_without(const struct answer_series *series, const char *label, struct arena *arena)
{
	struct buf text cleanup_buf;
	const char *name = answer_label(series, "__name__");
	char before = '{';

	buf_init(&text, 4 * (size_t)ANSWER_MAX_BYTES);
	buf_adds(&text, name ? name : "");
	for (size_t i = 0; i < series->n_labels; i++) {
		if (strcmp(series->labels[i].name, "__name__") == 0 || (label && strcmp(series->labels[i].name, label) == 0))
			continue;
		buf_addf(&text, "%c%s=\"", before, series->labels[i].name);
		for (const char *c = series->labels[i].value; *c; c++) {
			if (*c == '\\' || *c == '"')
				buf_addc(&text, '\\');
			buf_addc(&text, *c);
		}
		buf_addc(&text, '"');
		before = ',';
	}
	if (before == ',')
		buf_addc(&text, '}');
	return arena_strdup(arena, text.len ? text.data : "{}");
}

const char *answer_group(const struct answer_series *series, struct arena *arena)
{
	const char *instance = answer_label(series, "instance"), *job = answer_label(series, "job");

	if (!instance)
		return "";
	return job ? arena_printf(arena, "%s (%s)", instance, job) : instance;
}

static int bad(struct error **err, const char *what)
{
	return error_set(err, ERROR_PROTOCOL, 0, "%s; is this a Prometheus?", what);
}

static int compare_labels(const void *a, const void *b)
{
	return strcmp(((const struct answer_label *)a)->name, ((const struct answer_label *)b)->name);
}

static int read_labels(const json_t *metric, struct arena *arena, struct answer_series *ret, struct error **err)
{
	const char *name;
	json_t *value;
	size_t n = json_object_size(metric);

	if (!json_is_object(metric) || n > MAX_LABELS)
		return bad(err, "a series has no mapping of labels");
	ret->labels = arena_alloc(arena, (n + 1) * sizeof(*ret->labels));
	json_object_foreach((json_t *)(uintptr_t)metric, name, value)
	{
		if (!json_is_string(value))
			return bad(err, "a label is no string");
		ret->labels[ret->n_labels++] =
			(struct answer_label){.name = arena_strdup(arena, name), .value = arena_strdup(arena, json_string_value(value))};
	}
	if (n)
		qsort(ret->labels, n, sizeof(*ret->labels), compare_labels);
	ret->series = answer_series_without(ret, NULL, arena);
	return 0;
}

/* [1435781451.781, "1"] */
static int read_point(const json_t *pair, const struct answer_series *of, struct answer_point *ret, struct error **err)
{
	const json_t *at = json_array_get(pair, 0), *value = json_array_get(pair, 1);

	if (json_array_size(pair) != 2 || !json_is_number(at) || !json_is_string(value))
		return error_set(err, ERROR_PROTOCOL, 0, "%s: a sample is a pair of a time and a quoted number", of->series);
	ret->at_s = json_number_value(at);
	if (!sample_number(json_string_value(value), json_string_length(value), &ret->value))
		return error_set(err, ERROR_PROTOCOL, 0, "%s: \"%.40s\" is no number", of->series, json_string_value(value));
	return 0;
}

/* Half a millisecond: times are written with three digits. */
static bool same_time(double a, double b)
{
	return fabs(a - b) < 0.0005;
}

static int read_instant(const json_t *value, const struct answer_asked *asked, struct arena *arena, struct answer_series *series, struct error **err)
{
	series->points = arena_alloc(arena, sizeof(*series->points));
	series->n_points = 1;
	if (read_point(value, series, series->points, err) < 0)
		return -1;
	if (!same_time(series->points[0].at_s, asked->to_s))
		return error_set(err, ERROR_PROTOCOL, 0, "%s: asked for the time %.3f, the answer is of %.3f", series->series, asked->to_s,
				 series->points[0].at_s);
	return 0;
}

static int read_range(const json_t *values, const struct answer_asked *asked, struct arena *arena, struct answer_series *series, struct error **err)
{
	size_t n = json_array_size(values);

	if (!json_is_array(values) || n > MAX_POINTS)
		return error_set(err, ERROR_PROTOCOL, 0, "%s: expected at most %d samples", series->series, MAX_POINTS);
	series->points = arena_alloc(arena, (n + 1) * sizeof(*series->points));
	for (size_t i = 0; i < n; i++) {
		struct answer_point *point = &series->points[series->n_points++];
		if (read_point(json_array_get(values, i), series, point, err) < 0)
			return -1;
		if (i && point->at_s <= point[-1].at_s)
			return error_set(err, ERROR_PROTOCOL, 0, "%s: time goes back, from %.3f to %.3f", series->series, point[-1].at_s,
					 point->at_s);
		if (point->at_s < asked->from_s - 0.0005 || point->at_s > asked->to_s + 0.0005)
			return error_set(err, ERROR_PROTOCOL, 0, "%s: asked for the time from %.3f to %.3f, a sample is of %.3f", series->series,
					 asked->from_s, asked->to_s, point->at_s);
	}
	return 0;
}

static int read_series(const json_t *item, const struct answer_asked *asked, struct arena *arena, struct answer_series *series, struct error **err)
{
	if (!json_is_object(item))
		return bad(err, "a series is no mapping");
	if (read_labels(json_object_get(item, "metric"), arena, series, err) < 0)
		return -1;
	if (json_object_get(item, "histogram") || json_object_get(item, "histograms"))
		return error_set(err, ERROR_UNSUPPORTED, 0,
				 "%s: native histograms are not available in this build; keep the classic buckets (scrape_classic_histograms)",
				 series->series);
	if (asked->range)
		return read_range(json_object_get(item, "values"), asked, arena, series, err);
	return read_instant(json_object_get(item, "value"), asked, arena, series, err);
}

static int compare_series(const void *a, const void *b)
{
	return strcmp(((const struct answer_series *)a)->series, ((const struct answer_series *)b)->series);
}

static int read_all(const json_t *result, const struct answer_asked *asked, struct arena *arena, struct answer *ret, struct error **err)
{
	size_t n = json_array_size(result);

	if (!json_is_array(result))
		return bad(err, "`result` is no list");
	if (n > SAMPLES_MAX)
		return error_set(err, ERROR_TOO_LARGE, 0, "more than %d series match; select fewer", SAMPLES_MAX);
	ret->series = arena_alloc(arena, (n + 1) * sizeof(*ret->series));
	for (size_t i = 0; i < n; i++)
		if (read_series(json_array_get(result, i), asked, arena, &ret->series[ret->n_series++], err) < 0)
			return -1;
	if (n)
		qsort(ret->series, n, sizeof(*ret->series), compare_series);
	for (size_t i = 1; i < n; i++)
		if (compare_series(&ret->series[i - 1], &ret->series[i]) == 0)
			return error_set(err, ERROR_PROTOCOL, 0, "%s stands there twice", ret->series[i].series);
	return 0;
}

static int read_scalar(const json_t *result, const struct answer_asked *asked, struct arena *arena, struct answer *ret, struct error **err)
{
	ret->series = arena_alloc(arena, sizeof(*ret->series));
	ret->n_series = 1;
	ret->series->series = "the result";
	return read_instant(result, asked, arena, ret->series, err);
}

static int read_data(const json_t *data, const struct answer_asked *asked, struct arena *arena, struct answer *ret, struct error **err)
{
	const char *type = json_string_or(data, "resultType", "");
	const json_t *result = json_object_get(data, "result");

	if (!asked->range && strcmp(type, "scalar") == 0)
		return read_scalar(result, asked, arena, ret, err);
	if (strcmp(type, asked->range ? "matrix" : "vector") == 0)
		return read_all(result, asked, arena, ret, err);
	if (strcmp(type, "matrix") == 0 || strcmp(type, "string") == 0)
		return error_set(err, ERROR_INVALID, 0, "the query gives a %s; an instant vector or a scalar is needed",
				 strcmp(type, "matrix") == 0 ? "range of samples" : "string");
	return error_set(err, ERROR_PROTOCOL, 0, "\"%.40s\" is no type of result; is this a Prometheus?", type);
}

/* {"status": "error", "errorType": "bad_data", "error": "..."} */
static int tell_error(const json_t *answer, long status, struct error **err)
{
	const char *type = json_string_or(answer, "errorType", "unknown"), *text = json_string_or(answer, "error", "no reason");
	bool refused = strcmp(type, "bad_data") == 0 || strcmp(type, "execution") == 0;

	return error_set(err, refused ? ERROR_INVALID : ERROR_UNAVAILABLE, 0, "Prometheus says %s (status %ld): %.400s", type, status, text);
}

static bool is_partial(const json_t *answer)
{
	const json_t *data = json_object_get(answer, "data");

	return json_bool_or(answer, "isPartial", false) || json_bool_or(data, "isPartial", false) || json_bool_or(answer, "partial", false);
}

int answer_parse(const char *body, size_t len, long status, const struct answer_asked *asked, struct arena *arena, struct answer *ret,
		 struct error **err)
{
	cleanup_json json_t *answer = NULL;
	cleanup_error struct error *problem = NULL;
	struct answer whole = {0};

	if (json_parse(body, len, &answer, &problem) < 0 || !json_is_object(answer)) {
		if (status != 200)
			return error_set(err, ERROR_UNAVAILABLE, 0, "answers %ld instead of 200", status);
		return error_set(err, ERROR_PROTOCOL, 0, "the answer is no JSON: %s", problem ? error_message(problem) : "not a mapping");
	}
	const char *word = json_string_or(answer, "status", "");
	if (strcmp(word, "error") == 0)
		return tell_error(answer, status, err);
	if (status != 200)
		return error_set(err, ERROR_UNAVAILABLE, 0, "answers %ld instead of 200", status);
	if (strcmp(word, "success") != 0)
		return bad(err, "`status` is neither \"success\" nor \"error\"");
	const json_t *warnings = json_object_get(answer, "warnings");
	if (warnings && !json_is_null(warnings) && !(json_is_array(warnings) && json_array_size(warnings) == 0)) {
		const char *first = json_string_value(json_array_get(warnings, 0));
		return error_set(err, ERROR_UNAVAILABLE, 0, "the answer may be partial, Prometheus warns: %.400s", first ? first : "(no text)");
	}
	if (is_partial(answer))
		return error_set(err, ERROR_UNAVAILABLE, 0, "the answer is partial");
	if (read_data(json_object_get(answer, "data"), asked, arena, &whole, err) < 0)
		return -1;
	*ret = whole;
	return 0;
}
