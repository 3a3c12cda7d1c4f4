#include "gates/analysis_priv.h"

#include "base/alloc.h"


/* Doubles are written with 17 digits (jansson's default) and read back to the same bits; all of them are finite. */

static json_t *count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *arm_to_json(const struct arm_counts *arm)
{
	json_t *json = json_object(), *buckets = json_array();
	json_object_set_new(json, "assigned", count(arm->assigned));
	json_object_set_new(json, "completed", count(arm->completed));
	json_object_set_new(json, "errors", count(arm->errors));
	json_object_set_new(json, "latency_sum_us", count(arm->latency_sum_us));
	for (size_t i = 0; i < LATENCY_BUCKETS; i++)
		json_array_append_new(buckets, count(arm->latency_buckets[i]));
	json_object_set_new(json, "latency_buckets", buckets);
	return json;
}

static json_t *reals_to_json(const double *values, size_t n)
{
	json_t *json = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(json, json_real(values[i]));
	return json;
}

static json_t *process_to_json(const struct eprocess *process)
{
	json_t *json = json_object();
	json_object_set_new(json, "log_e", reals_to_json(process->log_e, EPROCESS_MAX));
	json_object_set_new(json, "log_max", json_real(process->log_max));
	return json;
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

json_t *analysis_to_json(const struct analysis *analysis)
{
	json_t *json = json_object(), *metrics = json_array();
	for (size_t i = 0; i < analysis->spec->n_metrics; i++) {
		json_t *metric = json_object();
		json_object_set_new(metric, "metric", json_string(analysis->spec->metrics[i].metric));
		json_object_set_new(metric, "worse", process_to_json(&analysis->metrics[i].worse));
		json_object_set_new(metric, "fine", process_to_json(&analysis->metrics[i].fine));
		json_array_append_new(metrics, metric);
	}
	json_object_set_new(json, "version", json_integer(1));
	json_object_set_new(json, "step", count(analysis->step));
	json_object_set_new(json, "provider_answers", json_boolean(analysis->provider_answers));
	json_object_set_new(json, "stable", arm_to_json(&analysis->stable));
	json_object_set_new(json, "candidate", arm_to_json(&analysis->candidate));
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

static int read_real(const json_t *json, const char *key, double *ret, struct error **err)
{
	const json_t *value = json_object_get(json, key);
	if (!json_is_number(value))
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected a number", key);
	*ret = json_number_value(value);
	return 0;
}

static int read_reals(const json_t *json, const char *key, double *ret, size_t n, struct error **err)
{
	const json_t *array = json_object_get(json, key);
	if (!json_is_array(array) || json_array_size(array) != n)
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected %zu numbers", key, n);
	for (size_t i = 0; i < n; i++) {
		const json_t *value = json_array_get(array, i);
		if (!json_is_number(value))
			return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected %zu numbers", key, n);
		ret[i] = json_number_value(value);
	}
	return 0;
}

static int read_arm(const json_t *json, const char *name, struct arm_counts *ret, struct error **err)
{
	const json_t *arm = json_object_get(json, name), *buckets = json_object_get(arm, "latency_buckets");
	if (read_count(arm, "assigned", &ret->assigned, err) < 0 || read_count(arm, "completed", &ret->completed, err) < 0 ||
	    read_count(arm, "errors", &ret->errors, err) < 0 || read_count(arm, "latency_sum_us", &ret->latency_sum_us, err) < 0)
		return error_context(err, "%s", name);
	for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
		const json_t *bucket = json_array_get(buckets, i);
		if (!json_is_integer(bucket) || json_integer_value(bucket) < 0)
			return error_set(err, ERROR_INVALID, 0, "%s: key \"latency_buckets\": expected %d counts", name, LATENCY_BUCKETS);
		ret->latency_buckets[i] = (uint64_t)json_integer_value(bucket);
	}
	return 0;
}

static int read_process(const json_t *metric, const char *name, struct eprocess *ret, struct error **err)
{
	const json_t *json = json_object_get(metric, name);
	if (read_reals(json, "log_e", ret->log_e, EPROCESS_MAX, err) < 0 || read_real(json, "log_max", &ret->log_max, err) < 0)
		return error_context(err, "%s", name);
	return 0;
}

static int read_split(const json_t *json, struct split_check *ret, struct error **err)
{
	uint64_t ppm = 0;
	if (read_reals(json, "log_done", ret->log_done, SPLIT_MIXTURE, err) < 0 || read_real(json, "log_max", &ret->log_max, err) < 0 ||
	    read_count(json, "ppm", &ppm, err) < 0 || read_count(json, "n_a", &ret->n_a, err) < 0 || read_count(json, "n_b", &ret->n_b, err) < 0)
		return error_context(err, "split");
	if (ppm >= 1000000)
		return error_set(err, ERROR_INVALID, 0, "split: key \"ppm\": not below 1000000");
	ret->ppm = (uint32_t)ppm;
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
		if (read_process(metric, "worse", &analysis->metrics[i].worse, err) < 0 ||
		    read_process(metric, "fine", &analysis->metrics[i].fine, err) < 0)
			return error_context(err, "metric \"%s\"", name);
	}
	return 0;
}

int analysis_from_json(const struct rollout_spec *spec, const json_t *json, struct analysis **ret, struct error **err)
{
	CLEANUP(analysis_free) struct analysis *analysis = analysis_new(spec);
	uint64_t step = 0;
	if (json_int_or(json, "version", 0) != 1)
		return error_set(err, ERROR_INVALID, 0, "analysis state: not of version 1");
	if (read_count(json, "step", &step, err) < 0 || read_arm(json, "stable", &analysis->stable, err) < 0 ||
	    read_arm(json, "candidate", &analysis->candidate, err) < 0 ||
	    read_count(json, "step_stable", &analysis->step_stable, err) < 0 ||
	    read_count(json, "step_candidate", &analysis->step_candidate, err) < 0 ||
	    read_split(json_object_get(json, "split"), &analysis->split, err) < 0 || read_metrics(json, analysis, err) < 0)
		return error_context(err, "analysis state");
	analysis->step = (unsigned)step;
	analysis->provider_answers = json_bool_or(json, "provider_answers", true);
	*ret = STEAL(analysis);
	return 0;
}
