#include "gates/analysis_priv.h"

#include "base/alloc.h"

#include <math.h>

/* The state, version 2. Doubles are written with 17 digits (jansson's default) and read back to the same bits; all of them are finite. A test's state
 * is an array of its doubles without the zeroes at the end. A state of other sizes was stored by a program with other tests. */

static json_t *count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *reals_to_json(const double *values, size_t n)
{
	json_t *json = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(json, isfinite(values[i]) ? json_real(values[i]) : json_null()); /* refused when read back */
	return json;
}

static json_t *state_to_json(const double *values, size_t n)
{
	static const double zero; /* of bits, as -0.0 is none */
	while (n && memcmp(&values[n - 1], &zero, sizeof(zero)) == 0)
		n--;
	return reals_to_json(values, n);
}

static json_t *split_to_json(const struct split_check *split)
{
	json_t *json = json_object();
	json_object_set_new(json, "log_done", reals_to_json(split->log_done, SPLIT_MIXTURE));
	json_object_set_new(json, "log_max", json_real(split->log_max));
	json_object_set_new(json, "ppm", count(split->ppm));
	json_object_set_new(json, "n_a", count(split->n_a));
	json_object_set_new(json, "n_b", count(split->n_b));
	return json;
}

static json_t *metric_to_json(const struct metric_state *metric)
{
	json_t *json = json_object(), *looks = json_array();
	for (size_t i = 0; i < N_VERDICTS; i++)
		json_array_append_new(looks, count(metric->looks[i]));
	json_object_set_new(json, "metric", json_string(metric->subject.metric->metric));
	json_object_set_new(json, "test", json_string(metric->test->name));
	json_object_set_new(json, "size", count(metric->state_size / sizeof(double)));
	json_object_set_new(json, "state", state_to_json(metric->state, metric->state_size / sizeof(double)));
	json_object_set_new(json, "blocks", count(metric->blocks));
	json_object_set_new(json, "looks", looks);
	json_object_set_new(json, "harm_before_split", json_boolean(metric->harm_before_split));
	json_object_set_new(json, "no_data", json_boolean(metric->no_data));
	if (metric->trouble[0])
		json_object_set_new(json, "trouble", json_stringn_nocheck(metric->trouble, strlen(metric->trouble)));
	return json;
}

json_t *analysis_to_json(const struct analysis *analysis)
{
	json_t *json = json_object(), *metrics = json_array();
	for (size_t i = 0; i < analysis->spec->n_metrics; i++)
		json_array_append_new(metrics, metric_to_json(&analysis->metrics[i]));
	json_object_set_new(json, "version", json_integer(2));
	json_object_set_new(json, "step", count(analysis->step));
	json_object_set_new(json, "blocks", count(analysis->blocks));
	json_object_set_new(json, "began_ms", json_integer((json_int_t)analysis->began_ms));
	json_object_set_new(json, "provider_answers", json_boolean(analysis->provider_answers));
	json_object_set_new(json, "split_broken", json_boolean(analysis->split_broken));
	json_object_set_new(json, "weight_ppm", count(analysis->weight_ppm));
	json_object_set_new(json, "step_stable", count(analysis->step_stable));
	json_object_set_new(json, "step_candidate", count(analysis->step_candidate));
	json_object_set_new(json, "split", split_to_json(&analysis->split));
	json_object_set_new(json, "metrics", metrics);
	return json;
}

/* ---- back ---- */

static int read_count(const json_t *json, const char *key, uint64_t *ret, struct error **err)
{
	int64_t value;
	if (json_need_int(json, key, &value, err) < 0)
		return -1;
	if (value < 0)
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": negative", key);
	*ret = (uint64_t)value;
	return 0;
}

static int read_reals(const json_t *json, const char *key, double *ret, size_t least, size_t most, struct error **err)
{
	const json_t *array = json_object_get(json, key);
	size_t n = json_array_size(array);
	if (!json_is_array(array) || n < least || n > most)
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected %zu numbers", key, most);
	for (size_t i = 0; i < n; i++) {
		const json_t *value = json_array_get(array, i);
		if (!json_is_number(value))
			return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected %zu numbers", key, most);
		ret[i] = json_number_value(value);
		if (!isfinite(ret[i]))
			return error_set(err, ERROR_INVALID, 0, "key \"%s\": number %zu is not finite", key, i + 1);
	}
	return 0;
}

static int read_split(const json_t *json, struct split_check *ret, struct error **err)
{
	uint64_t ppm = 0;
	double log_max = 0;
	if (read_reals(json, "log_done", ret->log_done, SPLIT_MIXTURE, SPLIT_MIXTURE, err) < 0 || read_count(json, "ppm", &ppm, err) < 0 ||
	    read_count(json, "n_a", &ret->n_a, err) < 0 || read_count(json, "n_b", &ret->n_b, err) < 0)
		return error_context(err, "split");
	log_max = json_number_or(json, "log_max", -1);
	if (ppm >= 1000000 || log_max < 0)
		return error_set(err, ERROR_INVALID, 0, "split: key \"%s\": %s", ppm >= 1000000 ? "ppm" : "log_max",
				 ppm >= 1000000 ? "not below 1000000" : "expected a number, 0 or more");
	ret->ppm = (uint32_t)ppm;
	ret->log_max = log_max;
	return 0;
}

static int read_metric(const json_t *json, struct metric_state *ret, struct error **err)
{
	const json_t *looks = json_object_get(json, "looks");
	size_t size = ret->state_size / sizeof(double);
	if (strcmp(json_string_or(json, "test", ""), ret->test->name) != 0 || (size_t)json_int_or(json, "size", -1) != size)
		return error_set(err, ERROR_UNSUPPORTED, 0, "stored by a program with another test (%s, %d numbers; here %s, %zu)",
				 json_string_or(json, "test", "none"), (int)json_int_or(json, "size", 0), ret->test->name, size);
	if (read_reals(json, "state", ret->state, 0, size, err) < 0 || read_count(json, "blocks", &ret->blocks, err) < 0)
		return -1;
	if (json_array_size(looks) != N_VERDICTS)
		return error_set(err, ERROR_INVALID, 0, "key \"looks\": expected %d numbers", N_VERDICTS);
	for (size_t i = 0; i < N_VERDICTS; i++) {
		json_int_t n = json_integer_value(json_array_get(looks, i));
		if (n < 0)
			return error_set(err, ERROR_INVALID, 0, "key \"looks\": negative");
		ret->looks[i] = (uint64_t)n;
	}
	ret->harm_before_split = json_bool_or(json, "harm_before_split", false);
	ret->no_data = json_bool_or(json, "no_data", false);
	snprintf(ret->trouble, sizeof(ret->trouble), "%s", json_string_or(json, "trouble", ""));
	return 0;
}

static int read_metrics(const json_t *json, struct analysis *analysis, struct error **err)
{
	const json_t *metrics = json_object_get(json, "metrics");
	if (json_array_size(metrics) != analysis->spec->n_metrics)
		return error_set(err, ERROR_INVALID, 0, "it has %zu metrics, the rollout %zu", json_array_size(metrics), analysis->spec->n_metrics);
	for (size_t i = 0; i < analysis->spec->n_metrics; i++) {
		const json_t *metric = json_array_get(metrics, i);
		const char *name = json_string_or(metric, "metric", "");
		if (strcmp(name, analysis->spec->metrics[i].metric) != 0)
			return error_set(err, ERROR_INVALID, 0, "metric %zu is \"%s\", the rollout's is \"%s\"", i + 1, name,
					 analysis->spec->metrics[i].metric);
		if (read_metric(metric, &analysis->metrics[i], err) < 0)
			return error_context(err, "metric \"%s\"", name);
	}
	return 0;
}

int analysis_from_json(const struct rollout_spec *spec, const json_t *json, struct analysis **ret, struct error **err)
{
	CLEANUP(analysis_free) struct analysis *analysis = analysis_new(spec);
	uint64_t step = 0, weight = 0;
	int64_t version = json_int_or(json, "version", 0);
	if (version != 2)
		return error_set(err, ERROR_UNSUPPORTED, 0, "analysis state: of version %d; this program reads version 2: replay the observations",
				 (int)version);
	if (read_count(json, "step", &step, err) < 0 || read_count(json, "blocks", &analysis->blocks, err) < 0 ||
	    read_count(json, "weight_ppm", &weight, err) < 0 || read_count(json, "step_stable", &analysis->step_stable, err) < 0 ||
	    read_count(json, "step_candidate", &analysis->step_candidate, err) < 0 ||
	    read_split(json_object_get(json, "split"), &analysis->split, err) < 0 || read_metrics(json, analysis, err) < 0)
		return error_context(err, "analysis state");
	analysis->step = (unsigned)step;
	analysis->weight_ppm = weight > 1000000 ? 0 : (uint32_t)weight;
	analysis->began_ms = json_int_or(json, "began_ms", 0);
	analysis->provider_answers = json_bool_or(json, "provider_answers", true);
	analysis->split_broken = json_bool_or(json, "split_broken", false);
	*ret = STEAL(analysis);
	return 0;
}
