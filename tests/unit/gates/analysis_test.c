#include "tests/unit/gates/analysis_world.h"

#include "base/alloc.h"
#include "gates/stats/block2x2.h"
#include "gates/stats/holm.h"
#include "gates/stats/split.h"

/* ---- kernels ---- */

static void holm_steps_down(void **state)
{
	(void)state;
	const double log_e[] = {log(39), log(100), log(1)};
	double bound[3];
	bool rejected[3];
	holm(log_e, 3, 0.05, bound, rejected);
	assert_true(fabs(exp(bound[1]) - 60) < 1e-9 && rejected[1]);
	assert_true(fabs(exp(bound[0]) - 40) < 1e-9 && !rejected[0]);
	assert_true(fabs(exp(bound[2]) - 40) < 1e-9 && !rejected[2]); /* to be the next it would have to reach 40, not 20 */
	const double weak[] = {log(59), log(59), log(59)};
	holm(weak, 3, 0.05, bound, rejected);
	for (size_t i = 0; i < 3; i++)
		assert_true(fabs(exp(bound[i]) - 60) < 1e-9 && !rejected[i]); /* nobody's evidence looks as if it were enough */
}

/* One stretch, one k of the mixture: statistics as published for the beta-binomial mixture (confseq's unit test, log -.6941012 for
 * its own parameters, is the same expression with other k); here the closed form at a few points. */
static void the_split_check_is_the_mean_of_beta_binomials(void **state)
{
	(void)state;
	struct split_check check = {0};
	split_add(&check, 500000, 3, 7);
	double sum = 0;
	const double ks[] = {10, 100, 1000, 10000};
	for (size_t i = 0; i < 4; i++) {
		double a = ks[i] / 2;
		sum += exp(lgamma(a + 7) + lgamma(a + 3) - lgamma(ks[i] + 10) - 2 * lgamma(a) + lgamma(ks[i]) + 10 * log(2)) / 4;
	}
	assert_true(fabs(split_log_e(&check) - log(sum)) < 1e-9);
	split_add(&check, 0, 5, 5);
	split_add(&check, 1000000, 5, 5);
	assert_true(fabs(split_log_e(&check) - log(sum)) < 1e-9);
}

/* ---- promises, by simulation ---- */

struct outcome_counts {
	int worse, fine, split;
};

/* `runs` rollouts of `blocks` blocks; the base rate swings by `swing` around `base` and the candidate's is `extra` above it. */
static struct outcome_counts simulate(uint64_t first_seed, int runs, int blocks, uint64_t requests, uint32_t ppm, double margin, double base,
				      double swing, double extra)
{
	struct outcome_counts counts = {0};
	for (int run = 0; run < runs; run++) {
		struct world w;
		seed(&w, first_seed + (uint64_t)run);
		struct rollout_spec spec = spec_of(margin);
		CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
		struct analysis_verdict verdict;
		bool fine = false, split = false;
		for (int i = 0; i < blocks; i++) {
			double rate = base * (1 + swing * sin(i / 20.0));
			struct analysis_block block = draw(&w, requests, ppm, rate, rate + extra);
			add(analysis, &block);
			analysis_verdict(analysis, &verdict);
			fine = fine || verdict.metrics[0].verdict == VERDICT_FINE;
			split = split || verdict.verdict == VERDICT_SPLIT_BROKEN;
			if (verdict.verdict == VERDICT_WORSE)
				break;
		}
		counts.worse += verdict.verdict == VERDICT_WORSE;
		counts.fine += fine;
		counts.split += split;
	}
	return counts;
}

#define RUNS 200

/* alpha is 0.05; 5 standard errors above it for 200 runs would be 0.127, but e-processes stay far below alpha: 0.05 + 1.5 errors. */
static const int few = (int)(RUNS * 0.075);

static void equal_arms_are_seldom_called_worse(void **state)
{
	(void)state;
	static const struct {
		double base, swing, margin;
		uint32_t ppm;
		uint64_t requests;
	} worlds[] = {
		{0.01, 0, 0, 100000, 1000},    {0.01, 0.9, 0, 100000, 1000}, {0.001, 0, 0, 50000, 400}, {0.2, 0.5, 0, 500000, 200},
		{0.01, 0, 0.005, 50000, 1000}, {0, 0, 0.03, 50000, 400},     {1, 0, 0.03, 50000, 400},
	};
	for (size_t i = 0; i < ARRAY_SIZE(worlds); i++) {
		struct outcome_counts c =
			simulate(1000 * i, RUNS, 150, worlds[i].requests, worlds[i].ppm, worlds[i].margin, worlds[i].base, worlds[i].swing, 0);
		assert_in_range(c.worse, 0, few);
		assert_in_range(c.split, 0, 2);
	}
}

static void at_the_margin_neither_verdict_comes_often(void **state)
{
	(void)state;
	static const struct {
		double base, swing, margin;
		uint32_t ppm;
	} worlds[] = {
		{0.01, 0, 0.005, 50000}, {0.01, 0.9, 0.005, 250000}, {0.0005, 0, 0.03, 50000}, {0.0005, 0, 0.03, 250000}, {0.1, 0.5, 0.02, 500000}};
	for (size_t i = 0; i < ARRAY_SIZE(worlds); i++) {
		struct outcome_counts c = simulate(50000 + 1000 * i, RUNS, 150, 1000, worlds[i].ppm, worlds[i].margin, worlds[i].base,
						   worlds[i].swing, worlds[i].margin);
		assert_in_range(c.worse, 0, few);
		assert_in_range(c.fine, 0, few);
	}
}

static void harmless_differences_inside_the_margin_are_not_called_worse(void **state)
{
	(void)state;
	struct outcome_counts c = simulate(90000, RUNS / 2, 400, 1000, 100000, 0.005, 0.01, 0, 0.002);
	assert_int_equal(c.worse, 0);
}

/* Candidate requests (completed, in the step) until the wanted verdict, as the median of runs; blocks of one second. */
static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double needed(enum verdict wanted, uint64_t requests, uint32_t ppm, double margin, double base, double candidate, double *ret_p90)
{
	double all[101];
	for (int run = 0; run < 101; run++) {
		struct world w;
		seed(&w, 777 + (uint64_t)run);
		struct rollout_spec spec = spec_of(margin);
		CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
		struct analysis_verdict verdict = {.verdict = VERDICT_UNDECIDED};
		for (int i = 0; i < 3000 && verdict.verdict != wanted; i++) {
			struct analysis_block block = draw(&w, requests, ppm, base, candidate);
			add(analysis, &block);
			analysis_verdict(analysis, &verdict);
		}
		assert_int_equal(verdict.verdict, wanted);
		all[run] = (double)verdict.step_candidate_requests;
	}
	qsort(all, 101, sizeof(all[0]), by_size);
	*ret_p90 = all[90];
	return all[50];
}

/* Bounds beside the planning numbers of docs/statistics.md. */
static void evidence_comes_as_fast_as_planned(void **state)
{
	(void)state;
	static const struct {
		enum verdict wanted;
		uint64_t requests;
		uint32_t ppm;
		double margin, base, candidate, at_most;
	} plans[] = {
		{VERDICT_FINE, 400, 50000, 0.005, 0, 0, 720},         /* planned: about 700 */
		{VERDICT_FINE, 1000, 50000, 0.005, 0.01, 0.01, 4800}, /* planned: 82,000 in all, 4,100 of them the candidate's */
		{VERDICT_WORSE, 400, 50000, 0.005, 0, 0.1, 40},       /* planned: 550 in all, 28 of them the candidate's */
		{VERDICT_FINE, 400, 50000, 0.03, 0, 0, 125},          /* the quickstart's steps */
		{VERDICT_FINE, 400, 250000, 0.03, 0, 0, 200},
		{VERDICT_WORSE, 400, 50000, 0.03, 0, 0.1, 130}, /* the quickstart's faulty candidate */
		{VERDICT_WORSE, 400, 50000, 0.03, 0, 1, 21},
		{VERDICT_WORSE, 1000, 100000, 0, 0.01, 0.02, 1500}, /* planned: 11,000 in all */
	};
	for (size_t i = 0; i < ARRAY_SIZE(plans); i++) {
		double p90,
			median = needed(plans[i].wanted, plans[i].requests, plans[i].ppm, plans[i].margin, plans[i].base, plans[i].candidate, &p90);
		print_message("%s at %.0f%% share, margin %.1f points, %.1f%% against %.1f%%: median %.0f, 90%% within %.0f candidate requests\n",
			      verdict_name(plans[i].wanted), plans[i].ppm / 1e4, 100 * plans[i].margin, 100 * plans[i].candidate, 100 * plans[i].base,
			      median, p90);
		assert_true(median <= plans[i].at_most);
	}
}

/* ---- state ---- */

static void a_resumed_analysis_continues_bit_for_bit(void **state)
{
	(void)state;
	struct rollout_spec spec = spec_of(0.005);
	spec.n_metrics = 2;
	spec.metrics[1] =
		(struct analysis_metric){.metric = "latency_p99", .kind = METRIC_LATENCY, .versus_stable = true, .ratio = 1.2, .quantile = 0.99};
	struct world w;
	seed(&w, 4242);
	CLEANUP(analysis_free) struct analysis *whole = analysis_new(&spec);
	struct analysis *resumed = analysis_new(&spec);
	for (int i = 0; i < 120; i++) {
		struct analysis_block block = draw(&w, 700, i < 60 ? 50000 : 250000, 0.013, 0.015);
		block.candidate.latency_buckets[i % 24] = block.candidate.completed;
		if (i == 60) {
			analysis_step(whole, 1);
			analysis_step(resumed, 1);
		}
		add(whole, &block);
		add(resumed, &block);
		if (i % 7 == 3) { /* as stored in a database: text */
			cleanup_json json_t *json = analysis_to_json(resumed);
			cleanup_free char *text = json_text(json);
			cleanup_json json_t *read = NULL;
			cleanup_error struct error *err = NULL;
			assert_ok(json_parse(text, strlen(text), &read, &err), err);
			analysis_free(resumed);
			assert_ok(analysis_from_json(&spec, read, &resumed, &err), err);
		}
	}
	CLEANUP(analysis_free) struct analysis *last = resumed;
	cleanup_json json_t *a = analysis_to_json(whole), *b = analysis_to_json(last);
	cleanup_free char *text_a = json_text(a), *text_b = json_text(b);
	assert_string_equal(text_a, text_b);
	struct analysis_verdict va, vb;
	analysis_verdict(whole, &va);
	analysis_verdict(last, &vb);
	assert_memory_equal(&va.metrics[0].log_e_worse, &vb.metrics[0].log_e_worse, sizeof(double));
	assert_memory_equal(&va.metrics[0].log_e_fine, &vb.metrics[0].log_e_fine, sizeof(double));
	assert_string_equal(va.reason, vb.reason);
}

static void a_state_of_another_rollout_is_refused(void **state)
{
	(void)state;
	struct rollout_spec spec = spec_of(0.01), other = spec_of(0.01);
	other.metrics[0].metric = "latency_p99";
	CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
	cleanup_json json_t *json = analysis_to_json(analysis);
	CLEANUP(analysis_free) struct analysis *ret = NULL;
	cleanup_error struct error *err = NULL, *err2 = NULL, *err3 = NULL;
	assert_int_equal(analysis_from_json(&other, json, &ret, &err), -1);
	assert_error(err, ERROR_INVALID, "analysis state: metric 1 is \"error_rate\", the rollout's is \"latency_p99\"");
	json_object_del(json_object_get(json, "split"), "n_a");
	assert_int_equal(analysis_from_json(&spec, json, &ret, &err2), -1);
	assert_error(err2, ERROR_INVALID, "analysis state: split: key \"n_a\": expected an integer");
	cleanup_json json_t *empty = json_object();
	assert_int_equal(analysis_from_json(&spec, empty, &ret, &err3), -1);
	assert_error(err3, ERROR_UNSUPPORTED, "analysis state: of version 0; this program reads version 2: replay the observations");
}

static json_t *with_number(const struct analysis *analysis, size_t metric, size_t n, json_t *number)
{
	json_t *json = analysis_to_json(analysis), *states = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append(states, number);
	json_object_set_new(json_array_get(json_object_get(json, "metrics"), metric), "state", states);
	json_decref(number);
	return json;
}

static void a_damaged_state_is_refused_or_harmless(void **state)
{
	(void)state;
	static const double numbers[] = {-1e18, 1e18, 1e308, -1e308, 33, -0.5, 0x1p53};
	struct rollout_spec spec = spec_of(0.01);
	CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
	cleanup_json json_t *fresh = analysis_to_json(analysis);
	size_t size = (size_t)json_int_or(json_array_get(json_object_get(fresh, "metrics"), 0), "size", 0);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		cleanup_json json_t *json = with_number(analysis, 0, size, json_real(numbers[i])), *stored = NULL;
		cleanup_error struct error *err = NULL;
		struct analysis *damaged = NULL;
		struct analysis_verdict verdict;
		char change[300];
		struct world w;
		assert_ok(analysis_from_json(&spec, json, &damaged, &err), err);
		seed(&w, i);
		for (int k = 0; k < 3; k++) {
			struct analysis_block block = draw(&w, 700, 50000, 0.013, 0.015);
			add(damaged, &block);
		}
		analysis_step(damaged, 1);
		analysis_verdict(damaged, &verdict);
		analysis_what_would_change(damaged, 0, change, sizeof(change));
		stored = analysis_to_json(damaged);
		assert_int_equal(json_array_size(json_object_get(stored, "metrics")), spec.n_metrics);
		analysis_free(damaged);
	}
	/* What is not finite is stored as null, and refused. */
	cleanup_json json_t *json = with_number(analysis, 0, 3, json_null());
	cleanup_error struct error *err = NULL, *err2 = NULL;
	struct analysis *ret = NULL;
	assert_int_equal(analysis_from_json(&spec, json, &ret, &err), -1);
	assert_int_equal(error_code_of(err), ERROR_INVALID);
	assert_non_null(strstr(error_message(err), "key \"state\": expected"));
	json_t *parsed = NULL;
	assert_int_equal(json_parse("[1e999]", 7, &parsed, &err2), -1);
}

static void absurd_blocks_are_refused_and_change_nothing(void **state)
{
	(void)state;
	struct rollout_spec spec = spec_of(0.01);
	CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
	struct analysis_block good = {.stable = {.assigned = 95, .completed = 95, .errors = 1},
				      .candidate = {.assigned = 5, .completed = 5},
				      .weight_ppm = 50000,
				      .from_ms = 1,
				      .to_ms = 2};
	add(analysis, &good);
	cleanup_json json_t *before = analysis_to_json(analysis);
	static const struct {
		struct analysis_block block;
		const char *message;
	} cases[] = {
		{{.candidate = {.completed = 5, .errors = 6}}, "block of counts: candidate: 6 errors among 5 completed requests"},
		{{.stable = {.completed = UINT64_MAX}}, "block of counts: stable: counts beyond 2^53"},
		{{.candidate = {.latency_buckets = {[3] = UINT64_MAX}}}, "block of counts: candidate: counts beyond 2^53"},
		{{.weight_ppm = 1000001}, "block of counts: a share of 1000001 millionths"},
		{{.from_ms = 2, .to_ms = 1}, "block of counts: ends before it begins"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		assert_int_equal(analysis_add(analysis, &cases[i].block, &err), -1);
		assert_error(err, ERROR_INVALID, cases[i].message);
	}
	const struct analysis_block empty = {.weight_ppm = 50000};
	add(analysis, &empty);
	cleanup_json json_t *after = analysis_to_json(analysis);
	assert_true(json_equal(before, after));
}

/* ---- verdicts ---- */

static void silence_is_no_verdict(void **state)
{
	(void)state;
	struct rollout_spec spec = spec_of(0.03);
	CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
	struct analysis_verdict verdict;
	analysis_verdict(analysis, &verdict);
	assert_int_equal(verdict.verdict, VERDICT_NO_DATA);
	assert_string_equal(verdict.reason, "no data: the candidate has had no requests in this step");
	assert_true(isnan(verdict.metrics[0].candidate));
	struct analysis_block block = {.stable = {.assigned = 10, .completed = 10}, .weight_ppm = 500000};
	add(analysis, &block);
	assert_int_equal(verdict_of(analysis), VERDICT_NO_DATA);
	block.candidate = (struct arm_counts){.assigned = 10, .completed = 10};
	add(analysis, &block);
	assert_int_equal(verdict_of(analysis), VERDICT_UNDECIDED);
	analysis_provider(analysis, false);
	assert_int_equal(verdict_of(analysis), VERDICT_PROVIDER_ERROR);
	analysis_provider(analysis, true);
	analysis_step(analysis, 1);
	assert_int_equal(verdict_of(analysis), VERDICT_NO_DATA);
}

static void verdicts_explain_themselves(void **state)
{
	(void)state;
	struct rollout_spec spec = spec_of(0.03);
	CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
	struct analysis_block block = {
		.stable = {.assigned = 380, .completed = 380}, .candidate = {.assigned = 20, .completed = 20}, .weight_ppm = 50000};
	struct analysis_verdict verdict;
	add(analysis, &block);
	analysis_verdict(analysis, &verdict);
	assert_int_equal(verdict.verdict, VERDICT_UNDECIDED);
	for (int i = 0; i < 6; i++)
		add(analysis, &block);
	analysis_verdict(analysis, &verdict);
	assert_int_equal(verdict.verdict, VERDICT_FINE);
	assert_non_null(strstr(verdict.reason, "error_rate: 0% against 0% (margin 3 points) over 140 requests of this step, e-value "));
	assert_non_null(strstr(verdict.reason, " >= 20"));
	assert_int_equal(verdict.step_candidate_requests, 140);
	analysis_step(analysis, 1);
	block.candidate.errors = 5;
	for (int i = 0; i < 5; i++)
		add(analysis, &block);
	analysis_verdict(analysis, &verdict);
	assert_int_equal(verdict.verdict, VERDICT_WORSE);
	assert_non_null(strstr(verdict.reason, "error_rate: 10.4% against 0% (margin 3 points) over 240 requests, e-value "));
	assert_true(verdict.metrics[0].log_e_worse >= verdict.metrics[0].log_threshold_worse);
	/* Harm is not forgotten with a new step, nor with silence. */
	analysis_step(analysis, 2);
	assert_int_equal(verdict_of(analysis), VERDICT_WORSE);
	analysis_provider(analysis, false);
	assert_int_equal(verdict_of(analysis), VERDICT_WORSE);
}

static void a_split_that_is_not_applied_is_noticed(void **state)
{
	(void)state;
	static const double actual[] = {0, 0.25, 0.08};
	static const int within_requests[] = {400, 60, 6000};
	for (size_t i = 0; i < ARRAY_SIZE(actual); i++) {
		struct rollout_spec spec = spec_of(0.03);
		CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
		struct world w;
		seed(&w, 5);
		int requests = 0;
		while (verdict_of(analysis) != VERDICT_SPLIT_BROKEN && requests < 100000) {
			struct analysis_block block = draw(&w, 20, (uint32_t)(actual[i] * 1e6), 0, 0);
			block.weight_ppm = 50000;
			add(analysis, &block);
			requests += 20;
		}
		struct analysis_verdict verdict;
		analysis_verdict(analysis, &verdict);
		assert_int_equal(verdict.verdict, VERDICT_SPLIT_BROKEN);
		assert_true(verdict.split_p <= 0.001);
		print_message("a share of %.0f%% instead of 5%% is noticed after %d requests\n", 100 * actual[i], requests);
		assert_in_range(requests, 0, within_requests[i]);
		assert_non_null(strstr(verdict.reason, "traffic is not split as it should be: "));
	}
}

static void what_does_not_decide_is_shown(void **state)
{
	(void)state;
	struct rollout_spec spec = {.alpha = 0.05, .n_metrics = 2};
	spec.metrics[0] = (struct analysis_metric){.metric = "latency_p99", .kind = METRIC_LATENCY, .quantile = 0.99};
	spec.metrics[1] = (struct analysis_metric){
		.metric = "prediction_drift", .kind = METRIC_DISTRIBUTION, .source = "app", .at_most = 0.1, .informational = true};
	CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
	assert_int_equal(verdict_of(analysis), VERDICT_NO_DATA);
	struct analysis_block block = {
		.stable = {.assigned = 50, .completed = 50, .latency_buckets = {[4] = 50}},
		.candidate = {.assigned = 50, .completed = 50, .errors = 50, .latency_buckets = {[LATENCY_LADDER_BUCKETS - 1] = 50}},
		.weight_ppm = 500000};
	add(analysis, &block);
	struct analysis_verdict verdict;
	analysis_verdict(analysis, &verdict);
	assert_int_equal(verdict.verdict, VERDICT_FINE);
	assert_string_equal(verdict.reason, "no metric decides: steps are left after their hold time");
	assert_true(verdict.metrics[0].informational && verdict.metrics[0].stable == latency_ladder_edge(4));
	assert_true(verdict.metrics[0].candidate == latency_ladder_edge(LATENCY_LADDER_BUCKETS - 2));
	assert_int_equal(verdict.metrics[1].verdict, VERDICT_NO_DATA);
}

/* ---- several metrics, steps, sources ---- */

static struct rollout_spec spec_of_all_kinds(enum burst_guard_kind bursts)
{
	struct rollout_spec spec = {.alpha = 0.05, .n_metrics = 5, .bursts = bursts};
	spec.metrics[0] = (struct analysis_metric){.metric = "error_rate", .versus_stable = true, .margin = 0.01};
	spec.metrics[1] =
		(struct analysis_metric){.metric = "latency_p99", .kind = METRIC_LATENCY, .versus_stable = true, .ratio = 1.2, .quantile = 0.99};
	spec.metrics[2] = (struct analysis_metric){.metric = "prediction_drift", .kind = METRIC_DISTRIBUTION, .source = "app", .at_most = 0.1};
	spec.metrics[3] =
		(struct analysis_metric){.metric = "accuracy", .source = "labels", .versus_stable = true, .ratio = 1.1, .higher_is_better = true};
	spec.metrics[4] =
		(struct analysis_metric){.metric = "score", .kind = METRIC_MEAN, .source = "app", .versus_stable = true, .margin = 0.1, .high = 1};
	return spec;
}

/* One second of everything, both arms alike. */
static void add_everything(struct analysis *analysis, struct world *w, int i)
{
	cleanup_error struct error *err = NULL;
	struct analysis_block block = draw(w, 400, 250000, 0.01, 0.01);
	block.from_ms = 1000 * i;
	block.to_ms = block.from_ms + 1000;
	block.stable.latency_buckets[30] = block.stable.completed - block.stable.completed / 50;
	block.stable.latency_buckets[40] = block.stable.completed / 50;
	block.candidate.latency_buckets[30] = block.candidate.completed;
	add(analysis, &block);
	struct measure classes = {.stable = {.n = 90, .n_counts = 2}, .candidate = {.n = 30, .n_counts = 2}};
	classes.stable.counts[0] = binomial(w, 90, 0.4);
	classes.stable.counts[1] = 90 - classes.stable.counts[0];
	classes.candidate.counts[0] = binomial(w, 30, 0.4);
	classes.candidate.counts[1] = 30 - classes.candidate.counts[0];
	assert_ok(analysis_measure(analysis, 2, &classes, &err), err);
	const struct measure right = {{.n = 90, .y = binomial(w, 90, 0.9)}, {.n = 30, .y = binomial(w, 30, 0.9)}};
	assert_ok(analysis_measure(analysis, 3, &right, &err), err);
	const struct measure score = {{.n = 90, .sum = 45 + uniform(w)}, {.n = 30, .sum = 15 + uniform(w)}};
	assert_ok(analysis_measure(analysis, 4, &score, &err), err);
}

static void every_kind_is_resumed_bit_for_bit_with_every_guard(void **state)
{
	(void)state;
	static const enum burst_guard_kind guards[] = {BURSTS_DEFAULT, BURSTS_NONE, BURSTS_EXCHANGEABLE, BURSTS_TEMPERED};
	for (size_t g = 0; g < ARRAY_SIZE(guards); g++) {
		struct rollout_spec spec = spec_of_all_kinds(guards[g]);
		struct world w, again;
		seed(&w, g);
		seed(&again, g);
		CLEANUP(analysis_free) struct analysis *whole = analysis_new(&spec);
		CLEANUP(analysis_free) struct analysis *resumed = analysis_new(&spec);
		for (int i = 0; i < 150; i++) {
			if (i == 70) {
				analysis_step(whole, 1);
				analysis_step(resumed, 1);
			}
			add_everything(whole, &w, i);
			add_everything(resumed, &again, i);
			if (i % 11 != 5)
				continue;
			cleanup_json json_t *json = analysis_to_json(resumed), *read = NULL;
			cleanup_free char *text = json_text(json);
			cleanup_error struct error *err = NULL;
			struct analysis *next_one = NULL;
			assert_ok(json_parse(text, strlen(text), &read, &err), err);
			assert_ok(analysis_from_json(&spec, read, &next_one, &err), err);
			analysis_free(resumed);
			resumed = next_one;
		}
		cleanup_json json_t *a = analysis_to_json(whole), *b = analysis_to_json(resumed);
		cleanup_free char *text_a = json_text(a), *text_b = json_text(b);
		assert_string_equal(text_a, text_b);
		struct analysis_verdict va, vb;
		analysis_verdict(whole, &va);
		analysis_verdict(resumed, &vb);
		assert_string_equal(va.reason, vb.reason);
		for (size_t i = 0; i < va.n_metrics; i++) {
			assert_memory_equal(&va.metrics[i].low, &vb.metrics[i].low, sizeof(double));
			assert_int_equal(va.metrics[i].verdict, vb.metrics[i].verdict);
			assert_int_not_equal(va.metrics[i].verdict, VERDICT_WORSE);
			assert_true(va.metrics[i].blocks == 150 && analysis_state_bytes(whole, i) > 0);
		}
		print_message("guard %zu: a state of %zu bytes of JSON after 150 blocks of five metrics\n", g, strlen(text_a));
	}
}

/* "Evidence across steps": four steps by three metrics, no difference. A fresh harm test per step gives 20% false alarms. */
static void four_steps_of_three_metrics_alarm_seldom(void **state)
{
	(void)state;
	int worse = 0;
	for (int run = 0; run < RUNS / 2; run++) {
		struct rollout_spec spec = {.alpha = 0.05, .n_metrics = 3, .bursts = BURSTS_NONE};
		for (size_t i = 0; i < 3; i++)
			spec.metrics[i] = (struct analysis_metric){.metric = i == 0   ? "a"
									     : i == 1 ? "b"
										      : "c",
								   .source = "app",
								   .versus_stable = true};
		CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
		struct world w;
		seed(&w, 333000 + (uint64_t)run);
		for (int i = 0; i < 120 && verdict_of(analysis) != VERDICT_WORSE; i++) {
			if (i && i % 30 == 0)
				analysis_step(analysis, (unsigned)i / 30);
			for (size_t m = 0; m < 3; m++) {
				cleanup_error struct error *err = NULL;
				const struct measure measure = {{.n = 900, .y = binomial(&w, 900, 0.02)}, {.n = 100, .y = binomial(&w, 100, 0.02)}};
				assert_ok(analysis_measure(analysis, m, &measure, &err), err);
			}
		}
		worse += verdict_of(analysis) == VERDICT_WORSE;
	}
	assert_in_range(worse, 0, few / 2);
}

static void holms_thresholds_are_shown_and_decide(void **state)
{
	(void)state;
	struct rollout_spec spec = spec_of_all_kinds(BURSTS_NONE);
	CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
	struct analysis_verdict verdict;
	struct world w;
	seed(&w, 1);
	for (int i = 0; i < 30; i++) {
		cleanup_error struct error *err = NULL;
		add_everything(analysis, &w, i);
		const struct measure wrong = {{.n = 90, .y = 81}, {.n = 30, .y = 3}};
		assert_ok(analysis_measure(analysis, 3, &wrong, &err), err);
	}
	analysis_verdict(analysis, &verdict);
	assert_int_equal(verdict.verdict, VERDICT_WORSE);
	assert_int_equal(verdict.metrics[3].verdict, VERDICT_WORSE);
	assert_true(fabs(exp(verdict.metrics[3].log_threshold_worse) - 100) < 1e-6); /* the first of five */
	for (size_t i = 0; i < 5; i++)
		if (i != 3)
			assert_true(verdict.metrics[i].log_threshold_worse < log(81) && verdict.metrics[i].verdict != VERDICT_WORSE);
	assert_non_null(strstr(verdict.reason, "accuracy: "));
	assert_true(verdict.metrics[3].p_anytime < 1e-6);
}

static void each_source_speaks_for_its_own_metric(void **state)
{
	(void)state;
	struct rollout_spec spec = spec_of_all_kinds(BURSTS_NONE);
	CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
	struct analysis_verdict verdict;
	struct world w;
	seed(&w, 2);
	add_everything(analysis, &w, 0);
	analysis_source(analysis, 2, false, "connection refused");
	analysis_source(analysis, 3, true, NULL);
	analysis_verdict(analysis, &verdict);
	static const enum verdict expected[] = {VERDICT_UNDECIDED, VERDICT_UNDECIDED, VERDICT_PROVIDER_ERROR, VERDICT_NO_DATA, VERDICT_UNDECIDED};
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(verdict.metrics[i].verdict, expected[i]);
	assert_int_equal(verdict.verdict, VERDICT_PROVIDER_ERROR);
	assert_string_equal(verdict.reason, "prediction_drift: its source does not answer: connection refused");
	analysis_look(analysis, &verdict);
	analysis_source(analysis, 2, false, NULL);
	analysis_verdict(analysis, &verdict);
	assert_int_equal(verdict.verdict, VERDICT_NO_DATA);
	analysis_look(analysis, &verdict);
	analysis_verdict(analysis, &verdict);
	assert_int_equal(verdict.metrics[2].looks[VERDICT_PROVIDER_ERROR], 1);
	assert_int_equal(verdict.metrics[2].looks[VERDICT_UNDECIDED], 1);
	assert_int_equal(verdict.metrics[3].looks[VERDICT_NO_DATA], 2);
	/* The router's silence is not that of the sources. */
	analysis_source(analysis, 3, false, NULL);
	analysis_provider(analysis, false);
	analysis_verdict(analysis, &verdict);
	assert_int_equal(verdict.metrics[0].verdict, VERDICT_PROVIDER_ERROR);
	assert_int_equal(verdict.metrics[4].verdict, VERDICT_UNDECIDED);
}

static void a_broken_split_leaves_only_the_harm_that_was_found_before(void **state)
{
	(void)state;
	for (int harm_first = 0; harm_first < 2; harm_first++) {
		struct rollout_spec spec = spec_of(0.01);
		CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
		struct analysis_block good = {.stable = {.assigned = 380, .completed = 380},
					      .candidate = {.assigned = 20, .completed = 20},
					      .weight_ppm = 50000,
					      .to_ms = 1000};
		struct analysis_block bad = good, unsplit = good;
		bad.candidate.errors = 10;
		unsplit.candidate.assigned = unsplit.candidate.completed = 300;
		if (harm_first)
			for (int i = 0; i < 10; i++)
				add(analysis, &bad);
		add(analysis, &unsplit);
		for (int i = 0; i < 50; i++)
			add(analysis, &bad);
		assert_int_equal(verdict_of(analysis), harm_first ? VERDICT_WORSE : VERDICT_SPLIT_BROKEN);
	}
}

static void people_are_told_what_would_change_a_verdict(void **state)
{
	(void)state;
	struct rollout_spec spec = spec_of(0.03);
	CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
	struct analysis_block block = {
		.stable = {.assigned = 380, .completed = 380}, .candidate = {.assigned = 20, .completed = 20}, .weight_ppm = 50000, .to_ms = 1000};
	char text[200];
	analysis_what_would_change(analysis, 0, text, sizeof(text));
	assert_string_equal(text, "requests of both arms");
	for (int i = 0; i < 3; i++)
		add(analysis, &block);
	analysis_what_would_change(analysis, 0, text, sizeof(text));
	print_message("%s\n", text);
	unsigned more = 0, errors = 0;
	assert_int_equal(sscanf(text, "fine after about %u more requests of the candidate at these rates; worse after about %u more errors in a row",
				&more, &errors),
			 2);
	/* And so it comes. */
	assert_in_range(more, 40, 80);
	for (unsigned i = 0; i < more + 19; i += 20)
		add(analysis, &block);
	assert_int_equal(verdict_of(analysis), VERDICT_FINE);
	analysis_what_would_change(analysis, 0, text, sizeof(text));
	assert_int_equal(strncmp(text, "fine already; worse after about ", 32), 0);
	block.candidate.errors = 20;
	for (unsigned i = 0; i < 10; i++)
		add(analysis, &block);
	analysis_what_would_change(analysis, 0, text, sizeof(text));
	assert_string_equal(text, "nothing: harm that was found stays found");
}

/* One copy against one, guarded, blocks of a second: seconds until the verdict. */
static void the_guard_finds_gross_faults_and_clean_candidates_within_seconds(void **state)
{
	(void)state;
	static const struct {
		enum verdict wanted;
		uint64_t requests;
		uint32_t ppm;
		double margin, base, candidate;
		int at_most;
	} cases[] = {
		{VERDICT_FINE, 400, 50000, 0.03, 0, 0, 12},     {VERDICT_FINE, 400, 50000, 0.005, 0, 0, 60},
		{VERDICT_FINE, 80, 500000, 0.03, 0, 0, 8},      {VERDICT_FINE, 400, 50000, 0.03, 0.01, 0.01, 60},
		{VERDICT_WORSE, 400, 50000, 0.03, 0, 0.1, 20},  {VERDICT_WORSE, 400, 50000, 0.03, 0, 0.2, 10},
		{VERDICT_WORSE, 400, 50000, 0.005, 0, 0.1, 12}, {VERDICT_WORSE, 800, 50000, 0.03, 0, 0.1, 12},
		{VERDICT_WORSE, 400, 50000, 0.03, 0.01, 1, 10},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double seconds[11];
		for (int run = 0; run < 11; run++) {
			struct rollout_spec spec = spec_of(cases[i].margin);
			spec.bursts = BURSTS_DEFAULT;
			CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&spec);
			struct world w;
			seed(&w, 31 + (uint64_t)run);
			int t = 0;
			for (; t < 300 && verdict_of(analysis) != cases[i].wanted; t++) {
				struct analysis_block block = draw(&w, cases[i].requests, cases[i].ppm, cases[i].base, cases[i].candidate);
				block.from_ms = 1000 * t;
				block.to_ms = block.from_ms + 1000;
				add(analysis, &block);
			}
			seconds[run] = t;
		}
		qsort(seconds, 11, sizeof(seconds[0]), by_size);
		print_message("guarded, one copy each: %s at %.0f%% of %.0f/s, margin %.1f points, %.1f%% against %.1f%%: median %.0f, 90%% within "
			      "%.0f s\n",
			      verdict_name(cases[i].wanted), cases[i].ppm / 1e4, (double)cases[i].requests, 100 * cases[i].margin,
			      100 * cases[i].candidate, 100 * cases[i].base, seconds[5], seconds[9]);
		assert_true(seconds[5] <= cases[i].at_most);
	}
}

static void quantiles_are_upper_edges_of_rungs(void **state)
{
	(void)state;
	struct arm_counts counts = {.latency_buckets = {[0] = 50, [30] = 40, [60] = 10}};
	assert_true(latency_quantile_ms(&counts, 0.5) == 0.5);
	assert_true(fabs(latency_quantile_ms(&counts, 0.9) / latency_ladder_edge(30) - 1) < 1e-12);
	assert_true(fabs(latency_quantile_ms(&counts, 0.99) / latency_ladder_edge(60) - 1) < 1e-12);
	assert_true(isnan(latency_quantile_ms(&(struct arm_counts){0}, 0.5)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holm_steps_down),
		cmocka_unit_test(the_split_check_is_the_mean_of_beta_binomials),
		cmocka_unit_test(equal_arms_are_seldom_called_worse),
		cmocka_unit_test(at_the_margin_neither_verdict_comes_often),
		cmocka_unit_test(harmless_differences_inside_the_margin_are_not_called_worse),
		cmocka_unit_test(evidence_comes_as_fast_as_planned),
		cmocka_unit_test(a_resumed_analysis_continues_bit_for_bit),
		cmocka_unit_test(a_state_of_another_rollout_is_refused),
		cmocka_unit_test(a_damaged_state_is_refused_or_harmless),
		cmocka_unit_test(absurd_blocks_are_refused_and_change_nothing),
		cmocka_unit_test(silence_is_no_verdict),
		cmocka_unit_test(verdicts_explain_themselves),
		cmocka_unit_test(a_split_that_is_not_applied_is_noticed),
		cmocka_unit_test(what_does_not_decide_is_shown),
		cmocka_unit_test(every_kind_is_resumed_bit_for_bit_with_every_guard),
		cmocka_unit_test(four_steps_of_three_metrics_alarm_seldom),
		cmocka_unit_test(holms_thresholds_are_shown_and_decide),
		cmocka_unit_test(each_source_speaks_for_its_own_metric),
		cmocka_unit_test(a_broken_split_leaves_only_the_harm_that_was_found_before),
		cmocka_unit_test(people_are_told_what_would_change_a_verdict),
		cmocka_unit_test(the_guard_finds_gross_faults_and_clean_candidates_within_seconds),
		cmocka_unit_test(quantiles_are_upper_edges_of_rungs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
