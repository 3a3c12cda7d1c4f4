/* What goes into an analysis, as JSON: written, read back, and refused where it cannot be. */
#include "gates/analysis.h"

#include "base/alloc.h"
#include "tests/support/support.h"

static json_t *parsed(const char *text)
{
	cleanup_error struct error *err = NULL;
	json_t *json = NULL;
	assert_ok(json_parse(text, strlen(text), &json, &err), err);
	return json;
}

static void a_block_comes_back_as_it_was(void **state)
{
	(void)state;
	static const struct analysis_block block = {.stable = {.assigned = 11,
							       .completed = 10,
							       .errors = 2,
							       .latency_sum_us = 5000,
							       .latency_buckets = {[0] = 4, [191] = 6},
							       .n_instances = 2,
							       .instances = {{4, 2}, {6, 0}},
							       .instance_ids = {7, 4000000000u}},
						    .candidate = {.assigned = 1, .completed = 1, .latency_buckets = {[100] = 1}},
						    .weight_ppm = 50000,
						    .from_ms = 1000,
						    .to_ms = 2000};
	struct analysis_block back;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *json = analysis_block_to_json(&block);
	assert_ok(analysis_block_from_json(json, &back, &err), err);
	assert_memory_equal(&block, &back, sizeof(block));
}

static void version_1_blocks_go_to_the_nearest_rungs(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *json = parsed("{\"weight_ppm\": 50000, \"from_ms\": 0, \"to_ms\": 9, \"gap\": true,"
					   " \"stable\": {\"assigned\": 6, \"completed\": 6, \"errors\": 0, \"latency_sum_us\": 9,"
					   "  \"latency_buckets\": [1,0,0,0,0,0,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,3]},"
					   " \"candidate\": {\"assigned\": 0, \"completed\": 0, \"errors\": 0, \"latency_sum_us\": 0,"
					   "  \"latency_buckets\": [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}}");
	struct analysis_block block;
	assert_ok(analysis_block_from_json(json, &block, &err), err);
	assert_int_equal(block.stable.latency_buckets[latency_ladder_index(0.999)], 1);
	assert_int_equal(block.stable.latency_buckets[latency_ladder_index(9.99)], 2);
	assert_int_equal(block.stable.latency_buckets[latency_ladder_index(5000)], 3);
	assert_int_equal(latency_ladder_total(block.stable.latency_buckets), 6);
}

#define ARM "{\"assigned\": 1, \"completed\": 1, \"errors\": 0, \"latency_sum_us\": 0, \"latency\": []}"
#define BLOCK(arm) "{\"weight_ppm\": 1, \"from_ms\": 0, \"to_ms\": 1, \"stable\": " arm ", \"candidate\": " ARM "}"

static void absurd_blocks_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"[]", "block of counts: expected an object"},
		{"{}", "block of counts: key \"weight_ppm\": expected an integer"},
		{BLOCK("{\"assigned\": -1}"), "block of counts: stable: key \"assigned\": negative"},
		{BLOCK("{\"assigned\": 9007199254740993}"), "block of counts: stable: key \"assigned\": beyond 2^53"},
		{BLOCK("{\"assigned\": 1.5}"), "block of counts: stable: key \"assigned\": expected an integer"},
		{BLOCK("{\"assigned\": 1, \"completed\": 1, \"errors\": 2, \"latency_sum_us\": 0, \"latency\": []}"),
		 "block of counts: stable: 2 errors among 1 completed requests"},
		{BLOCK("{\"assigned\": 1, \"completed\": 1, \"errors\": 0, \"latency_sum_us\": 0, \"latency\": [[192, 1]]}"),
		 "block of counts: stable: key \"latency\": bucket 192 of 192"},
		{BLOCK("{\"assigned\": 1, \"completed\": 1, \"errors\": 0, \"latency_sum_us\": 0, \"latency\": [[1]]}"),
		 "block of counts: stable: key \"latency\": expected rows of 2 numbers"},
		{BLOCK("{\"assigned\": 1, \"completed\": 1, \"errors\": 0, \"latency_sum_us\": 0, \"latency\": [], \"instances\": [[1, 2, 0]]}"),
		 "block of counts: stable: instances with 2 and 0 events of 1 and 0"},
		{BLOCK("{\"assigned\": 1, \"completed\": 1, \"errors\": 0, \"latency_sum_us\": 0, \"latency_buckets\": [1]}"),
		 "block of counts: stable: key \"latency_buckets\": expected 24 numbers"},
		{"{\"weight_ppm\": 1000001, \"from_ms\": 0, \"to_ms\": 1, \"stable\": " ARM ", \"candidate\": " ARM "}",
		 "block of counts: a share of 1000001 millionths"},
		{"{\"weight_ppm\": 1, \"from_ms\": 2, \"to_ms\": 1, \"stable\": " ARM ", \"candidate\": " ARM "}",
		 "block of counts: ends before it begins"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		cleanup_json json_t *json = parsed(cases[i].text);
		struct analysis_block block;
		assert_int_equal(analysis_block_from_json(json, &block, &err), -1);
		assert_error(err, ERROR_INVALID, cases[i].message);
	}
}

static void measures_come_back_as_they_were(void **state)
{
	(void)state;
	static const struct {
		enum metric_kind kind;
		struct measure measure;
	} cases[] = {
		{METRIC_RATE, {.stable = {.n = 10, .y = 3, .n_instances = 2, .instances = {{4, 3}, {6, 0}}}, .candidate = {.n = 2}}},
		{METRIC_DISTRIBUTION,
		 {.stable = {.n = 6, .counts = {1, 2, 3}, .n_counts = 3}, .candidate = {.n = 1, .counts = {0, 0, 1}, .n_counts = 3}}},
		{METRIC_MEAN, {.stable = {.n = 3, .sum = 0.1 + 0.2}, .candidate = {.n = 1, .sum = -7.25}}},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		cleanup_json json_t *json = measure_to_json(&cases[i].measure, cases[i].kind);
		cleanup_free char *text = json_text(json);
		cleanup_json json_t *read = parsed(text);
		struct measure back;
		assert_ok(measure_from_json(read, cases[i].kind, &back, &err), err);
		assert_memory_equal(&cases[i].measure, &back, sizeof(back));
	}
}

static void absurd_measures_are_refused(void **state)
{
	(void)state;
	static const struct {
		enum metric_kind kind;
		const char *text, *message;
	} cases[] = {
		{METRIC_RATE, "{}", "measure: key \"stable\": expected an object"},
		{METRIC_RATE, "{\"stable\": {\"n\": 1, \"y\": 2}, \"candidate\": {\"n\": 1, \"y\": 0}}", "measure: stable: 2 events among 1 trials"},
		{METRIC_RATE, "{\"stable\": {\"n\": 1, \"y\": 0}, \"candidate\": {\"n\": -1, \"y\": 0}}", "measure: candidate: key \"n\": negative"},
		{METRIC_RATE, "{\"stable\": {\"n\": 1, \"y\": 1, \"instances\": [[1, 0], [1, 0]]}, \"candidate\": {\"n\": 1, \"y\": 0}}",
		 "measure: stable: instances with 2 and 0 events of 1 and 1"},
		{METRIC_DISTRIBUTION, "{\"stable\": {\"counts\": [1, -1]}, \"candidate\": {\"counts\": []}}",
		 "measure: stable: key \"counts\": negative"},
		{METRIC_DISTRIBUTION, "{\"stable\": {\"counts\": [9007199254740992]}, \"candidate\": {\"counts\": []}}",
		 "measure: stable: key \"counts\": category 1 has 9007199254740992"},
		{METRIC_MEAN, "{\"stable\": {\"n\": 1}, \"candidate\": {\"n\": 1, \"sum\": 0}}", "measure: stable: key \"sum\": expected a number"},
		{METRIC_LATENCY, "{\"stable\": {\"n\": 1}, \"candidate\": {}}", "measure: a latency is counted by the router"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		cleanup_json json_t *json = parsed(cases[i].text);
		struct measure measure;
		assert_int_equal(measure_from_json(json, cases[i].kind, &measure, &err), -1);
		assert_error(err, ERROR_INVALID, cases[i].message);
	}
}

/* What a source hands over is not believed either. */
static void an_analysis_refuses_absurd_measures_and_stays_as_it_is(void **state)
{
	(void)state;
	struct rollout_spec spec = {.alpha = 0.05, .n_metrics = 4};
	spec.metrics[0] = (struct analysis_metric){.metric = "rate", .kind = METRIC_RATE, .source = "app", .versus_stable = true, .margin = 0.1};
	spec.metrics[1] = (struct analysis_metric){.metric = "classes", .kind = METRIC_DISTRIBUTION, .source = "app", .at_most = 0.1};
	spec.metrics[2] = (struct analysis_metric){
		.metric = "score", .kind = METRIC_MEAN, .source = "app", .versus_stable = true, .margin = 0.1, .low = 0, .high = 1};
	spec.metrics[3] = (struct analysis_metric){.metric = "latency_p99", .kind = METRIC_LATENCY, .quantile = 0.99};
	static const struct {
		size_t metric;
		struct measure measure;
		const char *message;
	} cases[] = {
		{0, {.stable = {.n = 1, .y = 2}}, "rate: stable: 2 events among 1 trials"},
		{0, {.candidate = {.n = UINT64_MAX}}, "rate: candidate: counts beyond 2^53"},
		{1, {.stable = {.n = 3, .counts = {1, 1}, .n_counts = 2}}, "classes: stable: counts that add up to 2, not 3"},
		{1, {.stable = {.n = 1, .counts = {0, 0, 1}, .n_counts = 2}}, "classes: stable: category 3 has 1"},
		{1, {.stable = {.n_counts = 65}}, "classes: stable: 65 categories, at most 64"},
		{2, {.stable = {.n = 2, .sum = 2.5}}, "score: stable: 2 values between 0 and 1 cannot add up to 2.5"},
		{2, {.stable = {.n = 2, .sum = -1}}, "score: stable: 2 values between 0 and 1 cannot add up to -1"},
		{3, {.stable = {.n = 1}}, "latency_p99: a latency is counted by the router, not by a source"},
	};
	CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
	cleanup_json json_t *before = analysis_to_json(analysis);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		assert_int_equal(analysis_measure(analysis, cases[i].metric, &cases[i].measure, &err), -1);
		assert_error(err, ERROR_INVALID, cases[i].message);
	}
	cleanup_json json_t *after = analysis_to_json(analysis);
	assert_true(json_equal(before, after));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_comes_back_as_it_was), cmocka_unit_test(version_1_blocks_go_to_the_nearest_rungs),
		cmocka_unit_test(absurd_blocks_are_refused),    cmocka_unit_test(measures_come_back_as_they_were),
		cmocka_unit_test(absurd_measures_are_refused),  cmocka_unit_test(an_analysis_refuses_absurd_measures_and_stays_as_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
