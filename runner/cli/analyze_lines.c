#include "runner/cli/analyze_lines.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "runner/cli/screen.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MOST_DIGITS 6 /* of a quantile: latency_p999999 */
#define MOST_SECONDS 31622400.0 /* a year */

static const double whole = 9007199254740992.0; /* 2^53 */
static const uint64_t most_counted = UINT64_C(1) << 53;

/* ---- one line ---- */

static int know_keys(const json_t *object, const char *const *known, const char *where, struct error **err)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)object, key, value)
	{
		size_t i = 0;
		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (!known[i])
			return error_set(err, ERROR_INVALID, 0, "%s%sunknown key \"%s\"", where, *where ? ": " : "", key);
	}
	return 0;
}

static bool has(const json_t *json, const char *key)
{
	return json_object_get(json, key) != NULL;
}

static int kind_of(const json_t *arm, enum metric_kind *ret, struct error **err)
{
	if (has(arm, "counts"))
		*ret = METRIC_DISTRIBUTION;
	else if (has(arm, "ms") || has(arm, "latency"))
		*ret = METRIC_LATENCY;
	else if (has(arm, "values") || has(arm, "sum"))
		*ret = METRIC_MEAN;
	else if (has(arm, "n") && has(arm, "y"))
		*ret = METRIC_RATE;
	else
		return error_set(err, ERROR_INVALID, 0, "expected \"n\" and \"y\", \"counts\", \"values\", \"n\" and \"sum\", \"ms\" or \"latency\"");
	return 0;
}

/* What would be read past is told: each kind has its own keys, and values of one kind are told in one way. */
static int know_arm(const json_t *arm, enum metric_kind kind, struct error **err)
{
	static const char *const keys[] = {"n", "y", "instances", "counts", "values", "sum", "ms", "latency"};
	const char *main_key = kind == METRIC_RATE           ? "y"
			       : kind == METRIC_DISTRIBUTION ? "counts"
			       : kind == METRIC_LATENCY      ? (has(arm, "ms") ? "ms" : "latency")
							     : (has(arm, "values") ? "values" : "sum");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		bool with_n = strcmp(keys[i], "n") == 0 && (kind == METRIC_RATE || strcmp(main_key, "sum") == 0);
		bool of_rate = strcmp(keys[i], "instances") == 0 && kind == METRIC_RATE;
		if (has(arm, keys[i]) && !with_n && !of_rate && strcmp(keys[i], main_key) != 0)
			return error_set(err, ERROR_INVALID, 0, "\"%s\" beside \"%s\": only one of them can be counted", keys[i], main_key);
	}
	return 0;
}

static int number_at(const json_t *array, size_t i, const char *key, double least, double most, double *ret, struct error **err)
{
	const json_t *value = json_array_get(array, i);
	double number = json_number_value(value);
	if (!json_is_number(value) || !(number >= least && number <= most))
		return error_set(err, ERROR_INVALID, 0, "\"%s\": number %zu is not one between %g and %g", key, i + 1, least, most);
	*ret = number;
	return 0;
}

static int read_values(const json_t *arm, const struct analysis_metric *metric, struct measure_arm *ret, struct error **err)
{
	const json_t *values = json_object_get(arm, "values");
	if (!json_is_array(values))
		return error_set(err, ERROR_INVALID, 0, "\"values\": expected an array");
	for (size_t i = 0; i < json_array_size(values); i++) {
		double x;
		if (number_at(values, i, "values", metric->low, metric->high, &x, err) < 0)
			return -1;
		ret->sum += x;
		ret->n++;
	}
	return 0;
}

static int read_latencies(const json_t *arm, struct arm_counts *ret, struct error **err)
{
	const json_t *ms = json_object_get(arm, "ms"), *rungs = json_object_get(arm, "latency");
	if (!json_is_array(ms) && !json_is_array(rungs))
		return error_set(err, ERROR_INVALID, 0, "\"%s\": expected an array", ms ? "ms" : "latency");
	for (size_t i = 0; i < json_array_size(ms); i++) {
		double x;
		if (number_at(ms, i, "ms", 0, 1e12, &x, err) < 0)
			return -1;
		ret->latency_buckets[latency_ladder_index(x)]++;
		ret->completed++;
		ret->latency_sum_us += (uint64_t)(x * 1000);
	}
	for (size_t i = 0; i < json_array_size(rungs); i++) {
		const json_t *row = json_array_get(rungs, i);
		double rung, n;
		if (json_array_size(row) != 2)
			return error_set(err, ERROR_INVALID, 0, "\"latency\": expected rows of two numbers");
		if (number_at(row, 0, "latency", 0, LATENCY_LADDER_BUCKETS - 1, &rung, err) < 0 ||
		    number_at(row, 1, "latency", 0, whole / 256, &n, err) < 0)
			return -1;
		if (rung != floor(rung) || n != floor(n))
			return error_set(err, ERROR_INVALID, 0, "\"latency\": row %zu: expected whole numbers", i + 1);
		ret->latency_buckets[(size_t)rung] += (uint64_t)n;
		ret->completed += (uint64_t)n;
		if (ret->completed > most_counted)
			return error_set(err, ERROR_INVALID, 0, "\"latency\": more than 2^53 requests");
	}
	return 0;
}

/* Means may come as values; all else is as the analysis stores it. */
static int read_arms(const json_t *json, const struct analysis_metric *metric, struct analyze_line *ret, struct error **err)
{
	static const char *const known[] = {"n", "y", "counts", "values", "sum", "instances", "ms", "latency", NULL};
	static const char *const names[] = {"stable", "candidate"};
	struct measure_arm *measures[] = {&ret->measure.stable, &ret->measure.candidate};
	struct arm_counts *latencies[] = {&ret->block.stable, &ret->block.candidate};
	cleanup_json json_t *plain = json_object();
	for (int i = 0; i < 2; i++) {
		const json_t *arm = json_object_get(json, names[i]);
		enum metric_kind kind;
		if (know_keys(arm, known, names[i], err) < 0)
			return -1;
		if (kind_of(arm, &kind, err) < 0)
			return error_context(err, "%s", names[i]);
		if (know_arm(arm, kind, err) < 0)
			return error_context(err, "%s", names[i]);
		if (kind != metric->kind)
			return error_set(err, ERROR_INVALID, 0, "%s: a %s, but metric \"%s\" is a %s", names[i], metric_kind_name(kind),
					 metric->metric, metric_kind_name(metric->kind));
		if (kind == METRIC_LATENCY) {
			if (read_latencies(arm, latencies[i], err) < 0)
				return error_context(err, "%s", names[i]);
		} else if (kind == METRIC_MEAN && has(arm, "values")) {
			if (read_values(arm, metric, measures[i], err) < 0)
				return error_context(err, "%s", names[i]);
			json_object_set_new(plain, names[i], json_pack("{s:I, s:f}", "n", (json_int_t)measures[i]->n, "sum", measures[i]->sum));
		} else {
			json_object_set(plain, names[i], (json_t *)arm);
		}
	}
	return metric->kind == METRIC_LATENCY ? 0 : measure_from_json(plain, metric->kind, &ret->measure, err);
}

static int read_beside(const json_t *json, struct analyze_line *ret, struct error **err)
{
	static const char *const known[] = {"metric", "stable", "candidate", "weight", "step", "seconds", NULL};
	const json_t *weight = json_object_get(json, "weight"), *step = json_object_get(json, "step"), *seconds = json_object_get(json, "seconds");
	if (know_keys(json, known, "", err) < 0)
		return -1;
	if (weight && !(json_is_number(weight) && json_number_value(weight) >= 0 && json_number_value(weight) <= 1))
		return error_set(err, ERROR_INVALID, 0, "\"weight\": expected the candidate's share, between 0 and 1");
	if (step && !(json_is_integer(step) && json_integer_value(step) >= 0 && json_integer_value(step) <= 1000000))
		return error_set(err, ERROR_INVALID, 0, "\"step\": expected a number, 0 or more");
	if (seconds && !(json_is_number(seconds) && json_number_value(seconds) > 0 && json_number_value(seconds) <= MOST_SECONDS))
		return error_set(err, ERROR_INVALID, 0, "\"seconds\": expected how long was counted");
	ret->weight = weight ? json_number_value(weight) : -1;
	ret->step = step ? json_integer_value(step) : -1;
	ret->seconds = seconds ? json_number_value(seconds) : 0;
	return 0;
}

static bool is_printable(const char *text)
{
	uint32_t c;
	for (size_t n, left = strlen(text); left; text += n, left -= n) {
		n = utf8_decode(text, left, &c);
		if (!n || utf8_is_unprintable(c))
			return false;
	}
	return true;
}

static int parse(const char *line, size_t len, json_t **ret, const char **ret_metric, struct error **err)
{
	if (json_parse(line, len, ret, err) < 0)
		return -1;
	if (!json_is_object(*ret))
		return error_set(err, ERROR_INVALID, 0, "expected an object");
	if (json_need_string(*ret, "metric", ret_metric, err) < 0)
		return -1;
	if (!**ret_metric || strlen(*ret_metric) > 200)
		return error_set(err, ERROR_INVALID, 0, "key \"metric\": expected a name of at most 200 bytes");
	if (!is_printable(*ret_metric))
		return error_set(err, ERROR_INVALID, 0, "key \"metric\": a name with characters that cannot be printed");
	for (int i = 0; i < 2; i++)
		if (!json_is_object(json_object_get(*ret, i ? "candidate" : "stable")))
			return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected an object", i ? "candidate" : "stable");
	return 0;
}

static size_t find(const struct rollout_spec *spec, const char *name)
{
	size_t i = 0;
	while (i < spec->n_metrics && strcmp(spec->metrics[i].metric, name) != 0)
		i++;
	return i;
}

/* ---- all lines ---- */

static bool next_line(const char **at, const char *end, const char **ret_line, size_t *ret_len)
{
	if (*at >= end)
		return false;
	const char *newline = memchr(*at, '\n', (size_t)(end - *at));
	const char *stop = newline ? newline : end;
	*ret_line = *at;
	*ret_len = (size_t)(stop - *at);
	*at = newline ? newline + 1 : end;
	return true;
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return false;
	return true;
}

/* The quantile that a name like latency_p99 or latency_p999 tells (two digits are hundredths, three thousandths); the 99th for names that tell
 * none, and an error for those that tell one that there is not: p0, p100, or nines beyond what a number can hold. */
static int quantile_of(const char *name, double *ret, struct error **err)
{
	const char *digits = strstr(name, "_p");
	size_t n = digits ? strspn(digits + 2, "0123456789") : 0;
	double q = 0, unit = 0.1;
	*ret = 0.99;
	if (!n || digits[2 + n])
		return 0;
	for (size_t i = 0; i < n; i++, unit /= 10)
		q += (digits[2 + i] - '0') * unit;
	if (strcmp(digits + 2, "100") == 0 || n > MOST_DIGITS || !(q > 0 && q < 1))
		return error_set(err, ERROR_INVALID, 0, "\"%s\" names no quantile: expected one like latency_p50, latency_p99 or latency_p999", name);
	*ret = q;
	return 0;
}

static int know_metric(const json_t *json, const char *name, struct arena *arena, struct rollout_spec *spec, bool named[ROLLOUT_MAX_METRICS],
		       size_t *ret, struct error **err)
{
	size_t i = find(spec, name);
	enum metric_kind kind;
	if (i == ROLLOUT_MAX_METRICS)
		return error_set(err, ERROR_INVALID, 0, "more than %d metrics", ROLLOUT_MAX_METRICS);
	if (i < spec->n_metrics && named[i]) {
		*ret = i;
		return 0;
	}
	double quantile = 0;
	if (kind_of(json_object_get(json, "stable"), &kind, err) < 0)
		return error_context(err, "stable");
	if (kind == METRIC_LATENCY && quantile_of(name, &quantile, err) < 0)
		return -1;
	if (i == spec->n_metrics) {
		spec->metrics[spec->n_metrics++] =
			(struct analysis_metric){.metric = arena_strdup(arena, name), .at_most = 0.1, .low = 0, .high = 1, .margin = 0};
	}
	struct analysis_metric *metric = &spec->metrics[i];
	metric->kind = kind;
	metric->versus_stable = true;
	metric->source = kind == METRIC_LATENCY ? NULL : "recorded";
	if (kind == METRIC_LATENCY) {
		metric->quantile = quantile;
		metric->ratio = metric->ratio > 0 ? metric->ratio : 1.2;
	}
	named[i] = true;
	*ret = i;
	return 0;
}

/* A share of nothing or of everything, as the split counts it in millionths, leaves an arm without requests. */
static int check_weight(const struct analyze_line *line, uint64_t stable, uint64_t candidate, struct error **err)
{
	if (line->weight < 0)
		return 0;
	long long ppm = llround(line->weight * 1e6);
	if ((ppm <= 0 && candidate) || (ppm >= 1000000 && stable))
		return error_set(err, ERROR_INVALID, 0, "\"weight\": %g, but the %s has requests", line->weight, ppm <= 0 ? "candidate" : "stable arm");
	return 0;
}

/* The formulas hold whole numbers exactly up to 2^53: what a metric's lines add up to must stay below. */
static int add_up(const struct analyze_line *line, const char *metric, uint64_t counted[ROLLOUT_MAX_METRICS], struct error **err)
{
	uint64_t stable = line->measure.stable.n + line->block.stable.completed;
	uint64_t candidate = line->measure.candidate.n + line->block.candidate.completed;
	if (check_weight(line, stable, candidate, err) < 0)
		return -1;
	if (stable + candidate > most_counted - counted[line->metric])
		return error_set(err, ERROR_INVALID, 0, "with this line the counts of metric \"%s\" add up beyond 2^53", metric);
	counted[line->metric] += stable + candidate;
	return 0;
}

static int check_line(const char *line, size_t len, struct arena *arena, struct rollout_spec *spec, bool *named,
		      uint64_t counted[ROLLOUT_MAX_METRICS], bool *ret_instances, struct error **err)
{
	struct analyze_line checked = {0};
	cleanup_json json_t *json = NULL;
	const char *name;
	if (parse(line, len, &json, &name, err) < 0 || know_metric(json, name, arena, spec, named, &checked.metric, err) < 0 ||
	    read_beside(json, &checked, err) < 0 || read_arms(json, &spec->metrics[checked.metric], &checked, err) < 0)
		return -1;
	*ret_instances = *ret_instances || checked.measure.stable.n_instances || checked.measure.candidate.n_instances;
	/* What the analysis itself refuses is told here too, before anything is counted. */
	struct rollout_spec alone = {.alpha = 0.05, .n_metrics = 1, .bursts = BURSTS_NONE};
	alone.metrics[0] = spec->metrics[checked.metric];
	CLEANUP(analysis_free) struct analysis *trial = analysis_new(&alone);
	if ((alone.metrics[0].kind == METRIC_LATENCY ? analysis_latency(trial, 0, &checked.block, err)
						     : analysis_measure(trial, 0, &checked.measure, err)) < 0)
		return -1;
	return add_up(&checked, name, counted, err);
}

size_t analyze_check(const char *file, const char *text, size_t len, struct arena *arena, struct rollout_spec *spec, bool named[ROLLOUT_MAX_METRICS],
		     bool *ret_instances, struct buf *mistakes)
{
	const char *at = text, *end = text + len, *line;
	size_t number = 0, wrong = 0, line_len;
	uint64_t counted[ROLLOUT_MAX_METRICS] = {0};
	while (next_line(&at, end, &line, &line_len)) {
		cleanup_error struct error *err = NULL;
		number++;
		if (is_blank(line, line_len) || check_line(line, line_len, arena, spec, named, counted, ret_instances, &err) == 0)
			continue;
		wrong++;
		buf_addf(mistakes, "%s:%zu: ", file, number);
		screen_add_safe(mistakes, error_message(err), 0); /* it may quote the file */
		buf_adds(mistakes, "\n");
	}
	return wrong;
}

bool analyze_next(const char **at, const char *end, const struct rollout_spec *spec, struct analyze_line *ret)
{
	const char *line, *name;
	size_t len;
	do {
		if (!next_line(at, end, &line, &len))
			return false;
	} while (is_blank(line, len));
	cleanup_json json_t *json = NULL;
	*ret = (struct analyze_line){0};
	if (parse(line, len, &json, &name, NULL) < 0)
		return false;
	ret->metric = find(spec, name);
	return read_beside(json, ret, NULL) == 0 && read_arms(json, &spec->metrics[ret->metric], ret, NULL) == 0;
}
