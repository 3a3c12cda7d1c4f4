#include "tests/support/support.h"

#include "pipelines/rollout_spec.h"

#include <string.h>

static const struct rollout_spec example = {
	.target = "prod",
	.image_stage = "image",
	.replicas = 2,
	.health_path = "/healthz",
	.health_within_ms = 30000,
	.strategy = STRATEGY_CANARY,
	.steps_ppm = {50000, 250000, 999999},
	.n_steps = 3,
	.hold_at_least_ms = 1000,
	.hold_at_most_ms = 1800000,
	.min_requests = 100,
	.alpha = 0.05,
	.terms = {{.hold_at_least_ms = 5000, .hold_at_most_ms = 60000, .replicas = 1}, {.pause = true}, {.approve = true}},
	.metrics = {{.metric = "error_rate", .versus_stable = true, .margin = 0.03, .at_most = -1},
		    {.metric = "latency_p99", .kind = METRIC_LATENCY, .versus_stable = true, .ratio = 1.2, .quantile = 0.99, .at_most = -1,
		     .informational = true},
		    {.metric = "prediction_drift", .kind = METRIC_DISTRIBUTION, .at_most = 0.1, .distance = DISTANCE_PSI, .source = "app",
		     .distribution = "penstock_predictions_total", .by = "class"},
		    {.metric = "quality", .kind = METRIC_MEAN, .versus_stable = true, .higher_is_better = true, .margin = 0.25, .at_most = -1,
		     .low = -1, .high = 3, .source = "prom", .value = "avg(quality{version=\"{{version}}\"})", .every_ms = 15000},
		    {.metric = "conversion", .versus_stable = true, .margin = 0.01, .at_most = -1, .source = "prom", .events = "orders_total",
		     .total = "visits_total"}},
	.n_metrics = 5,
	.undecided = UNDECIDED_ROLLBACK,
	.no_data = UNDECIDED_PROMOTE,
	.provider_error = UNDECIDED_ROLLBACK,
	.bursts = BURSTS_TEMPERED,
	.keep_old_ms = 600000,
	.rollback_window_ms = 86400000,
	.newer_waits = true,
	.verify_run = "./smoke.sh",
	.verify_timeout_ms = 300000,
	.verify_approve = true,
	.restart_after_ms = 30000,
	.memory_bytes = 1u << 30,
	.cpu = 2,
};

static void a_spec_survives_json(void **state)
{
	cleanup_arena struct arena *arena = arena_new();
	cleanup_json json_t *json = rollout_spec_to_json(&example), *again = NULL, *parsed = NULL;
	cleanup_error struct error *err = NULL;
	struct rollout_spec spec;

	(void)state;
	cleanup_free char *text = json_text(json);
	assert_ok(json_parse(text, strlen(text), &parsed, &err), err);
	assert_ok(rollout_spec_from_json(parsed, arena, &spec, &err), err);
	again = rollout_spec_to_json(&spec);
	cleanup_free char *text_again = json_text(again);
	assert_string_equal(text_again, text);
	assert_string_equal(spec.target, "prod");
	assert_int_equal(spec.n_steps, 3);
	assert_int_equal(spec.steps_ppm[2], 999999);
	assert_true(spec.metrics[0].margin == 0.03 && spec.alpha == 0.05);
	assert_true(spec.metrics[1].informational && !spec.metrics[0].informational);
	assert_int_equal(spec.undecided, UNDECIDED_ROLLBACK);
	assert_true(spec.terms[1].pause && spec.terms[2].approve && spec.terms[0].replicas == 1);
	assert_string_equal(spec.metrics[2].by, "class");
	assert_null(spec.metrics[3].by);
	assert_string_equal(spec.verify_run, "./smoke.sh");
	assert_string_equal(strategy_name(spec.strategy), "canary");
}

/* A row of version 0.1: the later keys are not there. */
static void a_spec_of_the_first_version_means_what_it_meant(void **state)
{
	static const char *const later[] = {"terms",       "no_data",           "provider_error", "split_broken",     "bursts",       "rollback_window_ms",
					    "newer_waits", "verify_run", "verify_timeout_ms", "verify_approve", "restart_after_ms", "memory_bytes", "cpu"};
	static const char *const later_of_metrics[] = {"kind",  "higher_is_better", "at_most", "distance", "quantile", "low", "high", "source",
						       "events", "total",           "value",   "distribution", "by", "every_ms"};
	cleanup_arena struct arena *arena = arena_new();
	cleanup_json json_t *json = rollout_spec_to_json(&example);
	cleanup_error struct error *err = NULL;
	struct rollout_spec spec;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(later); i++)
		json_object_del(json, later[i]);
	for (size_t i = 0; i < 5; i++)
		for (size_t j = 0; j < ARRAY_SIZE(later_of_metrics); j++)
			json_object_del(json_array_get(json_object_get(json, "metrics"), i), later_of_metrics[j]);
	assert_ok(rollout_spec_from_json(json, arena, &spec, &err), err);
	assert_int_equal(spec.metrics[0].kind, METRIC_RATE);
	assert_int_equal(spec.metrics[1].kind, METRIC_LATENCY);
	assert_true(spec.metrics[1].quantile > 0.9899 && spec.metrics[1].quantile < 0.9901);
	assert_null(spec.metrics[0].source);
	assert_int_equal(spec.no_data, UNDECIDED_HOLD);
	assert_int_equal(spec.restart_after_ms, 0);
	assert_null(spec.verify_run);
	assert_false(spec.terms[1].pause);
}

static const struct {
	const char *key, *json, *message;
} broken[] = {
	{"terms", "[{\"replicas\": -1}]", "rollout: step 1: key \"replicas\": -1 is out of range"},
	{"no_data", "\"pass\"", "rollout: key \"no_data\": unknown word \"pass\""},
	{"bursts", "\"often\"", "rollout: key \"bursts\": unknown word \"often\""},
	{"verify_run", "[]", "rollout: key \"verify_run\": expected a string"},
	{"target", NULL, "rollout: key \"target\": expected a string"},
	{"replicas", "-1", "rollout: key \"replicas\": -1 is out of range"},
	{"replicas", "\"2\"", "rollout: key \"replicas\": expected an integer"},
	{"strategy", "\"yolo\"", "rollout: key \"strategy\": unknown word \"yolo\""},
	{"steps_ppm", "[50000, 50000]", "rollout: key \"steps_ppm\": expected increasing whole numbers up to 1000000"},
	{"steps_ppm", "[0]", "rollout: key \"steps_ppm\": expected increasing whole numbers up to 1000000"},
	{"steps_ppm", "[1000001]", "rollout: key \"steps_ppm\": expected increasing whole numbers up to 1000000"},
	{"steps_ppm", "3", "rollout: key \"steps_ppm\": expected a list"},
	{"steps_ppm", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33]",
	 "rollout: key \"steps_ppm\": at most 32 items"},
	{"alpha", "\"0.05\"", "rollout: key \"alpha\": expected a number"},
	{"metrics", "[{\"metric\": \"error_rate\"}]", "rollout: metric 1: key \"versus_stable\": expected true or false"},
	{"metrics", "[3]", "rollout: metric 1: key \"metric\": expected a string"},
	{"undecided", "\"\"", "rollout: key \"undecided\": unknown word \"\""},
};

static void a_broken_spec_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		cleanup_arena struct arena *arena = arena_new();
		cleanup_json json_t *json = rollout_spec_to_json(&example);
		cleanup_error struct error *err = NULL;
		struct rollout_spec spec = {.replicas = 77};

		if (broken[i].json)
			json_object_set_new(json, broken[i].key, json_loads(broken[i].json, JSON_DECODE_ANY, NULL));
		else
			json_object_del(json, broken[i].key);
		assert_int_equal(rollout_spec_from_json(json, arena, &spec, &err), -1);
		assert_error(err, ERROR_INVALID, broken[i].message);
		assert_int_equal(spec.replicas, 77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_spec_survives_json),
					   cmocka_unit_test(a_spec_of_the_first_version_means_what_it_meant),
					   cmocka_unit_test(a_broken_spec_is_refused)};

	return cmocka_run_group_tests_name("rollout_spec", tests, NULL, NULL);
}
