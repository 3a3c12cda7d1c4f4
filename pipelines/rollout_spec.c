#include "pipelines/rollout_spec.h"

#include <math.h>
#include <string.h>

static const char *const strategies[] = {
	[STRATEGY_CANARY] = "canary", [STRATEGY_BLUE_GREEN] = "blue_green", [STRATEGY_IMMEDIATE] = "immediate"};
static const char *const undecided_names[] = {
	[UNDECIDED_HOLD] = "hold", [UNDECIDED_PROMOTE] = "promote", [UNDECIDED_ROLLBACK] = "rollback"};

const char *strategy_name(enum strategy strategy)
{
	return strategy < ARRAY_SIZE(strategies) ? strategies[strategy] : "";
}

static void set(json_t *object, const char *key, json_t *value)
{
	if (!value || json_object_set_new(object, key, value) < 0)
		abort(); /* texts of a spec come from parsed YAML, which is UTF-8; numbers are finite */
}

static json_t *metric_to_json(const struct analysis_metric *metric)
{
	json_t *json = json_object();

	set(json, "metric", json_string(metric->metric));
	set(json, "versus_stable", json_boolean(metric->versus_stable));
	set(json, "margin", json_real(metric->margin));
	set(json, "ratio", json_real(metric->ratio));
	set(json, "informational", json_boolean(metric->informational));
	return json;
}

json_t *rollout_spec_to_json(const struct rollout_spec *spec)
{
	json_t *json = json_object(), *steps = json_array(), *metrics = json_array();

	set(json, "target", json_string(spec->target));
	set(json, "image_stage", json_string(spec->image_stage));
	set(json, "replicas", json_integer(spec->replicas));
	set(json, "health_path", json_string(spec->health_path));
	set(json, "health_within_ms", json_integer((json_int_t)spec->health_within_ms));
	set(json, "strategy", json_string(strategies[spec->strategy]));
	for (size_t i = 0; i < spec->n_steps; i++)
		json_array_append_new(steps, json_integer(spec->steps_ppm[i]));
	set(json, "steps_ppm", steps);
	set(json, "hold_at_least_ms", json_integer((json_int_t)spec->hold_at_least_ms));
	set(json, "hold_at_most_ms", json_integer((json_int_t)spec->hold_at_most_ms));
	set(json, "min_requests", json_integer((json_int_t)spec->min_requests));
	set(json, "alpha", json_real(spec->alpha));
	for (size_t i = 0; i < spec->n_metrics; i++)
		json_array_append_new(metrics, metric_to_json(&spec->metrics[i]));
	set(json, "metrics", metrics);
	set(json, "undecided", json_string(undecided_names[spec->undecided]));
	set(json, "keep_old_ms", json_integer((json_int_t)spec->keep_old_ms));
	return json;
}

static int need_text(const json_t *json, const char *key, struct arena *arena, const char **ret, struct error **err)
{
	const char *text;

	if (json_need_string(json, key, &text, err) < 0)
		return -1;
	*ret = arena_strdup(arena, text);
	return 0;
}

static int need_amount(const json_t *json, const char *key, uint64_t max, uint64_t *ret, struct error **err)
{
	int64_t value;

	if (json_need_int(json, key, &value, err) < 0)
		return -1;
	if (value < 0 || (uint64_t)value > max)
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": %lld is out of range", key, (long long)value);
	*ret = (uint64_t)value;
	return 0;
}

static int need_number(const json_t *json, const char *key, double *ret, struct error **err)
{
	const json_t *value = json_object_get(json, key);

	if (!json_is_number(value) || !isfinite(json_number_value(value)))
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected a number", key);
	*ret = json_number_value(value);
	return 0;
}

static int need_bool(const json_t *json, const char *key, bool *ret, struct error **err)
{
	const json_t *value = json_object_get(json, key);

	if (!json_is_boolean(value))
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected true or false", key);
	*ret = json_is_true(value);
	return 0;
}

static int need_word(const json_t *json, const char *key, const char *const *words, size_t n, unsigned *ret, struct error **err)
{
	const char *text;

	if (json_need_string(json, key, &text, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(words[i], text) == 0) {
			*ret = (unsigned)i;
			return 0;
		}
	}
	return error_set(err, ERROR_INVALID, 0, "key \"%s\": unknown word \"%s\"", key, text);
}

static int need_list(const json_t *json, const char *key, size_t max, const json_t **ret, struct error **err)
{
	const json_t *list = json_object_get(json, key);

	if (!json_is_array(list))
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected a list", key);
	if (json_array_size(list) > max)
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": at most %zu items", key, max);
	*ret = list;
	return 0;
}

static int read_steps(const json_t *json, struct rollout_spec *spec, struct error **err)
{
	const json_t *list;

	if (need_list(json, "steps_ppm", ROLLOUT_MAX_STEPS, &list, err) < 0)
		return -1;
	spec->n_steps = json_array_size(list);
	for (size_t i = 0; i < spec->n_steps; i++) {
		const json_t *item = json_array_get(list, i);
		json_int_t ppm = json_integer_value(item);

		if (!json_is_integer(item) || ppm <= (i ? (json_int_t)spec->steps_ppm[i - 1] : 0) || ppm > 1000000)
			return error_set(err, ERROR_INVALID, 0, "key \"steps_ppm\": expected increasing whole numbers up to 1000000");
		spec->steps_ppm[i] = (uint32_t)ppm;
	}
	return 0;
}

static int read_metrics(const json_t *json, struct arena *arena, struct rollout_spec *spec, struct error **err)
{
	const json_t *list;

	if (need_list(json, "metrics", ROLLOUT_MAX_METRICS, &list, err) < 0)
		return -1;
	spec->n_metrics = json_array_size(list);
	for (size_t i = 0; i < spec->n_metrics; i++) {
		const json_t *item = json_array_get(list, i);
		struct analysis_metric *metric = &spec->metrics[i];

		if (need_text(item, "metric", arena, &metric->metric, err) < 0 ||
		    need_bool(item, "versus_stable", &metric->versus_stable, err) < 0 ||
		    need_number(item, "margin", &metric->margin, err) < 0 || need_number(item, "ratio", &metric->ratio, err) < 0 ||
		    need_bool(item, "informational", &metric->informational, err) < 0)
			return error_context(err, "metric %zu", i + 1);
	}
	return 0;
}

int rollout_spec_from_json(const json_t *json, struct arena *arena, struct rollout_spec *ret, struct error **err)
{
	struct rollout_spec spec = {0};
	uint64_t replicas;
	unsigned strategy, undecided;

	if (!json_is_object(json))
		return error_set(err, ERROR_INVALID, 0, "rollout: expected an object");
	if (need_text(json, "target", arena, &spec.target, err) < 0 || need_text(json, "image_stage", arena, &spec.image_stage, err) < 0 ||
	    need_amount(json, "replicas", 1000, &replicas, err) < 0 || need_text(json, "health_path", arena, &spec.health_path, err) < 0 ||
	    need_amount(json, "health_within_ms", INT64_MAX, &spec.health_within_ms, err) < 0 ||
	    need_word(json, "strategy", strategies, ARRAY_SIZE(strategies), &strategy, err) < 0 || read_steps(json, &spec, err) < 0 ||
	    need_amount(json, "hold_at_least_ms", INT64_MAX, &spec.hold_at_least_ms, err) < 0 ||
	    need_amount(json, "hold_at_most_ms", INT64_MAX, &spec.hold_at_most_ms, err) < 0 ||
	    need_amount(json, "min_requests", INT64_MAX, &spec.min_requests, err) < 0 || need_number(json, "alpha", &spec.alpha, err) < 0 ||
	    read_metrics(json, arena, &spec, err) < 0 ||
	    need_word(json, "undecided", undecided_names, ARRAY_SIZE(undecided_names), &undecided, err) < 0 ||
	    need_amount(json, "keep_old_ms", INT64_MAX, &spec.keep_old_ms, err) < 0)
		return error_context(err, "rollout");
	spec.replicas = (unsigned)replicas;
	spec.strategy = (enum strategy)strategy;
	spec.undecided = (enum undecided)undecided;
	*ret = spec;
	return 0;
}
