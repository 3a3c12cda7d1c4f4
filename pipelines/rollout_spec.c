#include "pipelines/rollout_spec.h"

#include <math.h>
#include <string.h>

static const char *const strategies[] = {
	[STRATEGY_CANARY] = "canary", [STRATEGY_BLUE_GREEN] = "blue_green", [STRATEGY_IMMEDIATE] = "immediate"};
static const char *const undecided_names[] = {
	[UNDECIDED_HOLD] = "hold", [UNDECIDED_PROMOTE] = "promote", [UNDECIDED_ROLLBACK] = "rollback"};
static const char *const burst_names[] = {[BURSTS_DEFAULT] = "default",
					  [BURSTS_NONE] = "none",
					  [BURSTS_EXCHANGEABLE] = "exchangeable",
					  [BURSTS_TEMPERED] = "tempered"};
static const char *const kind_names[] = {
#define X(name, text, doc) [METRIC_##name] = text,
	METRIC_KINDS(X)
#undef X
};
static const char *const distance_names[] = {[DISTANCE_TOTAL_VARIATION] = "total_variation", [DISTANCE_PSI] = "psi"};

const char *strategy_name(enum strategy strategy)
{
	return strategy < ARRAY_SIZE(strategies) ? strategies[strategy] : "";
}

const char *metric_kind_name(enum metric_kind kind)
{
	return kind < ARRAY_SIZE(kind_names) ? kind_names[kind] : "";
}

const char *distance_name(enum distance distance)
{
	return distance < ARRAY_SIZE(distance_names) ? distance_names[distance] : "";
}

static void set(json_t *object, const char *key, json_t *value)
{
	if (!value || json_object_set_new(object, key, value) < 0)
		abort(); /* texts of a spec come from parsed YAML, which is UTF-8; numbers are finite */
}

/* Absent is NULL, both ways. */
static void set_text(json_t *object, const char *key, const char *text)
{
	if (text)
		set(object, key, json_string(text));
}

static json_t *metric_to_json(const struct analysis_metric *metric)
{
	json_t *json = json_object();

	set(json, "metric", json_string(metric->metric));
	set(json, "kind", json_string(kind_names[metric->kind]));
	set(json, "versus_stable", json_boolean(metric->versus_stable));
	set(json, "higher_is_better", json_boolean(metric->higher_is_better));
	set(json, "margin", json_real(metric->margin));
	set(json, "ratio", json_real(metric->ratio));
	set(json, "at_most", json_real(metric->at_most));
	set(json, "distance", json_string(distance_names[metric->distance]));
	set(json, "quantile", json_real(metric->quantile));
	set(json, "low", json_real(metric->low));
	set(json, "high", json_real(metric->high));
	set(json, "informational", json_boolean(metric->informational));
	set_text(json, "source", metric->source);
	set_text(json, "events", metric->events);
	set_text(json, "total", metric->total);
	set_text(json, "value", metric->value);
	set_text(json, "distribution", metric->distribution);
	set_text(json, "by", metric->by);
	set(json, "every_ms", json_integer((json_int_t)metric->every_ms));
	return json;
}

static json_t *terms_to_json(const struct step_terms *terms)
{
	json_t *json = json_object();

	set(json, "hold_at_least_ms", json_integer((json_int_t)terms->hold_at_least_ms));
	set(json, "hold_at_most_ms", json_integer((json_int_t)terms->hold_at_most_ms));
	set(json, "replicas", json_integer(terms->replicas));
	set(json, "pause", json_boolean(terms->pause));
	set(json, "approve", json_boolean(terms->approve));
	return json;
}

/* What came after version 0.1 of the language; a row without one of these keys means what that version did. */
static void set_later_keys(json_t *json, const struct rollout_spec *spec)
{
	json_t *terms = json_array();

	for (size_t i = 0; i < spec->n_steps; i++)
		json_array_append_new(terms, terms_to_json(&spec->terms[i]));
	set(json, "terms", terms);
	set(json, "no_data", json_string(undecided_names[spec->no_data]));
	set(json, "provider_error", json_string(undecided_names[spec->provider_error]));
	set(json, "split_broken", json_string(undecided_names[spec->split_broken]));
	set(json, "bursts", json_string(burst_names[spec->bursts]));
	set(json, "rollback_window_ms", json_integer((json_int_t)spec->rollback_window_ms));
	set(json, "newer_waits", json_boolean(spec->newer_waits));
	set_text(json, "verify_run", spec->verify_run);
	set(json, "verify_timeout_ms", json_integer((json_int_t)spec->verify_timeout_ms));
	set(json, "verify_approve", json_boolean(spec->verify_approve));
	set(json, "restart_after_ms", json_integer((json_int_t)spec->restart_after_ms));
	set(json, "memory_bytes", json_integer((json_int_t)spec->memory_bytes));
	set(json, "cpu", json_integer(spec->cpu));
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
	set_later_keys(json, spec);
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

/* ---- keys that may be missing: *ret stays as it is then ---- */

static int maybe_text(const json_t *json, const char *key, struct arena *arena, const char **ret, struct error **err)
{
	return json_object_get(json, key) ? need_text(json, key, arena, ret, err) : 0;
}

static int maybe_amount(const json_t *json, const char *key, uint64_t *ret, struct error **err)
{
	return json_object_get(json, key) ? need_amount(json, key, INT64_MAX, ret, err) : 0;
}

static int maybe_count(const json_t *json, const char *key, unsigned *ret, struct error **err)
{
	uint64_t value = *ret;

	if (json_object_get(json, key) && need_amount(json, key, 100000, &value, err) < 0)
		return -1;
	*ret = (unsigned)value;
	return 0;
}

static int maybe_number(const json_t *json, const char *key, double *ret, struct error **err)
{
	return json_object_get(json, key) ? need_number(json, key, ret, err) : 0;
}

static int maybe_bool(const json_t *json, const char *key, bool *ret, struct error **err)
{
	return json_object_get(json, key) ? need_bool(json, key, ret, err) : 0;
}

static int maybe_word(const json_t *json, const char *key, const char *const *words, size_t n, unsigned *ret, struct error **err)
{
	return json_object_get(json, key) ? need_word(json, key, words, n, ret, err) : 0;
}

static int read_terms(const json_t *json, struct rollout_spec *spec, struct error **err)
{
	const json_t *list;

	if (!json_object_get(json, "terms"))
		return 0;
	if (need_list(json, "terms", ROLLOUT_MAX_STEPS, &list, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		struct step_terms *terms = &spec->terms[i];

		if (maybe_amount(item, "hold_at_least_ms", &terms->hold_at_least_ms, err) < 0 ||
		    maybe_amount(item, "hold_at_most_ms", &terms->hold_at_most_ms, err) < 0 ||
		    maybe_count(item, "replicas", &terms->replicas, err) < 0 || maybe_bool(item, "pause", &terms->pause, err) < 0 ||
		    maybe_bool(item, "approve", &terms->approve, err) < 0)
			return error_context(err, "step %zu", i + 1);
	}
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

/* A metric of version 0.1 told its kind by its name: error_rate, or latency_p<digits>. */
static void guess_kind(struct analysis_metric *metric)
{
	double unit = 0.1;

	metric->kind = METRIC_RATE;
	if (strncmp(metric->metric, "latency_p", 9) != 0)
		return;
	metric->kind = METRIC_LATENCY;
	for (const char *digit = metric->metric + 9; *digit >= '0' && *digit <= '9'; digit++, unit /= 10)
		metric->quantile += (*digit - '0') * unit;
}

static int read_later_metric(const json_t *item, struct arena *arena, struct analysis_metric *metric, struct error **err)
{
	unsigned kind, distance = DISTANCE_TOTAL_VARIATION;

	guess_kind(metric);
	kind = metric->kind;
	if (maybe_word(item, "kind", kind_names, ARRAY_SIZE(kind_names), &kind, err) < 0 ||
	    maybe_bool(item, "higher_is_better", &metric->higher_is_better, err) < 0 ||
	    maybe_number(item, "at_most", &metric->at_most, err) < 0 ||
	    maybe_word(item, "distance", distance_names, ARRAY_SIZE(distance_names), &distance, err) < 0 ||
	    maybe_number(item, "quantile", &metric->quantile, err) < 0 || maybe_number(item, "low", &metric->low, err) < 0 ||
	    maybe_number(item, "high", &metric->high, err) < 0 || maybe_text(item, "source", arena, &metric->source, err) < 0 ||
	    maybe_text(item, "events", arena, &metric->events, err) < 0 || maybe_text(item, "total", arena, &metric->total, err) < 0 ||
	    maybe_text(item, "value", arena, &metric->value, err) < 0 ||
	    maybe_text(item, "distribution", arena, &metric->distribution, err) < 0 || maybe_text(item, "by", arena, &metric->by, err) < 0 ||
	    maybe_amount(item, "every_ms", &metric->every_ms, err) < 0)
		return -1;
	metric->kind = (enum metric_kind)kind;
	metric->distance = (enum distance)distance;
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

		metric->at_most = -1;
		if (need_text(item, "metric", arena, &metric->metric, err) < 0 ||
		    need_bool(item, "versus_stable", &metric->versus_stable, err) < 0 ||
		    need_number(item, "margin", &metric->margin, err) < 0 || need_number(item, "ratio", &metric->ratio, err) < 0 ||
		    need_bool(item, "informational", &metric->informational, err) < 0 || read_later_metric(item, arena, metric, err) < 0)
			return error_context(err, "metric %zu", i + 1);
	}
	return 0;
}

static int read_later_keys(const json_t *json, struct arena *arena, struct rollout_spec *spec, struct error **err)
{
	unsigned no_data = UNDECIDED_HOLD, provider_error = UNDECIDED_HOLD, split_broken = UNDECIDED_HOLD, bursts = BURSTS_DEFAULT;

	if (read_terms(json, spec, err) < 0 ||
	    maybe_word(json, "no_data", undecided_names, ARRAY_SIZE(undecided_names), &no_data, err) < 0 ||
	    maybe_word(json, "provider_error", undecided_names, ARRAY_SIZE(undecided_names), &provider_error, err) < 0 ||
	    maybe_word(json, "split_broken", undecided_names, ARRAY_SIZE(undecided_names), &split_broken, err) < 0 ||
	    maybe_word(json, "bursts", burst_names, ARRAY_SIZE(burst_names), &bursts, err) < 0 ||
	    maybe_amount(json, "rollback_window_ms", &spec->rollback_window_ms, err) < 0 ||
	    maybe_bool(json, "newer_waits", &spec->newer_waits, err) < 0 || maybe_text(json, "verify_run", arena, &spec->verify_run, err) < 0 ||
	    maybe_amount(json, "verify_timeout_ms", &spec->verify_timeout_ms, err) < 0 ||
	    maybe_bool(json, "verify_approve", &spec->verify_approve, err) < 0 ||
	    maybe_amount(json, "restart_after_ms", &spec->restart_after_ms, err) < 0 ||
	    maybe_amount(json, "memory_bytes", &spec->memory_bytes, err) < 0 || maybe_count(json, "cpu", &spec->cpu, err) < 0)
		return -1;
	spec->no_data = (enum undecided)no_data;
	spec->provider_error = (enum undecided)provider_error;
	spec->split_broken = (enum undecided)split_broken;
	spec->bursts = (enum burst_guard_kind)bursts;
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
	    need_amount(json, "keep_old_ms", INT64_MAX, &spec.keep_old_ms, err) < 0 || read_later_keys(json, arena, &spec, err) < 0)
		return error_context(err, "rollout");
	spec.replicas = (unsigned)replicas;
	spec.strategy = (enum strategy)strategy;
	spec.undecided = (enum undecided)undecided;
	*ret = spec;
	return 0;
}
