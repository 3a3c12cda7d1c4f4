/* The deploy stage's language: what it accepts becomes a rollout_spec, what it refuses is told at its place. */
#include "tests/support/support.h"

#include "base/alloc.h"
#include "stages/deploy/deploy.h"

static const struct stage_kind run_kind = {.name = "run", .schema = &schema_string};
static const struct stage_kind build_kind = {.name = "build", .schema = &schema_any};
static const struct stage_kind *const kinds[] = {&run_kind, &build_kind, &deploy_stage.kind, NULL};

/* The deploy body begins in line 7, column 1 of this pipeline. */
#define HEAD                                                                                                                                         \
	"version: 1\n"                                                                                                                               \
	"name: fraud\n"                                                                                                                              \
	"stages:\n"                                                                                                                                  \
	"  train: {run: make}\n"                                                                                                                     \
	"  image: {needs: [train], build: {}}\n"                                                                                                     \
	"  release: {needs: [image], deploy: {\n"

static struct pipeline *parse(const char *text, char **ret_told)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	struct pipeline *pipeline = pipeline_parse("p.yml", text, strlen(text), kinds, diags);
	cleanup_buf struct buf told;
	buf_init(&told, 65536);
	for (size_t i = 0; i < diag_count(diags); i++) {
		const struct diag *diag = diag_at(diags, i);
		buf_addf(&told, "%u:%u: %s%s%s%s\n", diag->line, diag->column, diag->severity == DIAG_WARNING ? "warning: " : "", diag->message,
			 diag->hint ? "; " : "", diag->hint ? diag->hint : "");
	}
	*ret_told = buf_steal(&told);
	return pipeline;
}

static void check_told(const char *text, const char *expected)
{
	cleanup_free char *told = NULL;
	cleanup_pipeline struct pipeline *pipeline = parse(text, &told);
	(void)pipeline;
	assert_string_equal(told, expected);
}

static void mistakes_are_told_at_their_place(void **state)
{
	(void)state;
	static const struct {
		const char *body, *told;
	} cases[] = {
		{"strategy: immediate", "6:37: the key \"target\" is missing in \"deploy\"\n"
					"6:37: the key \"image\" is missing in \"deploy\"\n"},
		{"target: prod, image: image, strategy: {canary: {}, immediate: {}}",
		 "7:39: a strategy is exactly one of canary, blue_green and immediate\n"},
		{"target: prod, image: image, strategy: rolling",
		 "7:39: \"strategy\" must be one of canary, blue_green or immediate, not \"rolling\"\n"},
		{"target: prod, image: image, strategy: {blue_green: {verify: {timeout: 5m}}}",
		 "7:61: the key \"run\" is missing in \"verify\"\n"},
		{"target: prod, image: image, strategy: {blue_green: {verify: \" \"}}", "7:61: verify.run is empty\n"},
		{"target: prod, image: image, strategy: {blue_green: {verify: {run: ./smoke.sh, timeout: 2d}}}",
		 "7:88: verify.timeout must be between 1s and 24h, not 2d\n"},
		{"target: prod, image: image, strategy: {canary: {steps: [{weight: 5%, replicas: 2}]}}",
		 "7:80: a step cannot have more copies than `replicas`, which is 1\n"},
		{"target: prod, image: image, strategy: {canary: {steps: [{weight: 5%, pause: true, approve: true}]}}",
		 "7:77: a step waits for `approve` or for `resume`, not for both; leave out `pause`\n"},
		{"target: prod, image: image, strategy: {canary: {steps: [{pause: true}]}}", "7:57: the key \"weight\" is missing in an item of \"steps\"\n"},
		{"target: prod, image: image, strategy: {canary: {steps: [5%, {weight: 5%}]}}", "7:70: steps must grow, but 5% comes after 5%\n"},
		{"target: prod, image: image, strategy: {canary: {steps: [{weight: 5%, hold: {at_most: 30s}}]}}",
		 "7:86: hold.at_most must not be shorter than hold.at_least (1m if not given)\n"},
		{"target: prod, image: image, resources: {memory: 1Mi}", "7:49: resources.memory must be at least 16Mi, not 1Mi\n"},
		{"target: prod, image: image, health: {restart_after: 1s}",
		 "7:53: health.restart_after must be 0s or between 2s and 1h, not 1s\n"},
		{"target: prod, image: image, rollback_window: 2y",
		 "7:46: \"rollback_window\" must be a duration such as 90s, 15m, 2h or 3d, not \"2y\"\n"},
		{"target: prod, image: image, rollback_window: 500d", "7:46: rollback_window must be at most 365d, not 500d\n"},
		{"target: prod, image: image, newer_release: queue", "7:44: \"newer_release\" must be one of supersede or wait, not \"queue\"\n"},
		{"target: prod, image: image, strategy: {canary: {steps: [5, 25%]}}",
		 "7:57: an item of \"steps\" must be at most 1, not 5; did you mean 5%?\n"},
		{"target: prod, image: image, strategy: {canary: {steps: [25%, 5%, 5%]}}", "7:62: steps must grow, but 5% comes after 25%\n"
											   "7:66: steps must grow, but 5% comes after 5%\n"},
		{"target: prod, image: image, strategy: {canary: {steps: [0%, 5%]}}", "7:57: a step must be at least 0.0001%, not 0%\n"},
		{"target: prod, image: image, strategy: {canary: {steps: []}}", "7:56: \"steps\" must have at least 1 item, not 0\n"},
		{"target: prod, image: image, strategy: {canary: {hold: {at_least: 10m, at_most: 5m}}}",
		 "7:80: hold.at_most must not be shorter than hold.at_least\n"},
		{"target: prod, image: image, strategy: {canary: {hold: {at_least: 2h}}}",
		 "7:66: hold.at_most (30m if not given) must not be shorter than hold.at_least\n"},
		{"target: prod, image: image, replicas: 0", "7:39: \"replicas\" must be at least 1, not 0\n"},
		{"target: prod, image: image, health: {path: healthz}",
		 "7:44: health.path must begin with \"/\" and have no spaces, such as /healthz\n"},
		{"target: prod, image: image, health: {within: 30}",
		 "7:46: \"within\" must be a duration such as 90s, 15m, 2h or 3d, not \"30\"; add a unit: did you mean 30s?\n"},
		{"target: prod, image: image, health: {within: 3h}", "7:46: health.within must be between 1s and 1h, not 3h\n"},
		{"target: prod, image: image, keep_old: 90d", "7:39: keep_old must be at most 30d, not 90d\n"},
		{"target: prod, image: image, analysys: {}", "7:29: unknown key \"analysys\" in \"deploy\"; did you mean \"analysis\"?\n"},
		{"target: prod, image: image, analysis: {alpha: 0, metrics: [{metric: error_rate, no_worse_than: stable, margin: 3%}]}",
		 "7:47: alpha must be above 0 and at most 0.5, not 0\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: eror_rate, no_worse_than: stable, margin: 3%}]}",
		 "7:59: \"eror_rate\" is no metric of a rollout; did you mean \"error_rate\"?\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: cost}]}",
		 "7:59: \"cost\" is no metric of a rollout; built in: error_rate, latency_mean, latency_p50, latency_p90, latency_p95, latency_p99, "
		 "latency_p999, prediction_drift, score_distribution, feature_bins., accuracy, conversion; your own needs a `source`\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: cost, source: prom}]}",
		 "7:50: cost needs one of `events` and `total`, `value`, `distribution`\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: cost, value: avg(cost), no_worse_than: stable, margin: 0.5}]}",
		 "7:50: cost is no built-in metric and does not say where its numbers come from; add `source`\n"
		 "7:50: cost does not say between which bounds its values lie; without them no number of readings proves anything; add `range: "
		 "[lowest, highest]`\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: cost, source: prom, value: avg(cost), range: [1, 0], no_worse_than: stable}]}",
		 "7:50: cost needs a margin: without one no candidate can ever be shown to be fine; add `margin`, in the metric's own unit\n"
		 "7:104: the range must grow, but 0 is not above 1\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: sales, source: prom, events: a, no_worse_than: stable, margin: 200%}]}",
		 "7:50: sales needs both `events` and `total`\n"
		 "7:122: the margin of a rate is at most 100%, not 200%\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: accuracy, no_worse_than: stable, ratio: 1.1}]}",
		 "7:99: where higher is better the ratio is above 0 and at most 1, not 1.1\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: feature_bins.a b, at_most: 0.1}]}",
		 "7:59: metric \"feature_bins.a b\": \"a b\" must be of letters, digits and any of _ . : / -\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: prediction_drift, margin: 1%, every: 10ms}]}",
		 "7:77: a margin is for rates and means, not for prediction_drift, which is a distribution\n"
		 "7:96: `every` must be between 1s and 1h, not 10ms\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: error_rate, no_worse_than: stable}]}",
		 "7:50: error_rate needs a margin: without one no candidate can ever be shown to be fine; add `margin: 0.5%`, in percentage "
		 "points\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: error_rate, margin: 3%}]}",
		 "7:50: error_rate does not say what it is compared with; add `no_worse_than: stable`\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: error_rate, no_worse_than: stable, margin: 0%}]}",
		 "7:102: the margin must be above 0: with none, no candidate can ever be shown to be fine\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: error_rate, no_worse_than: stable, margin: 1%, ratio: 1.2}]}",
		 "7:106: error_rate has a margin and a ratio; leave one out\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: error_rate, no_worse_than: stable, ratio: 0.9}]}",
		 "7:101: the ratio must be between 1 and 100, not 0.9\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: error_rate, events: a, total: b, no_worse_than: stable, margin: 1%}]}",
		 "7:71: error_rate is counted by the router; `events` needs a source; add `source`, or leave it out\n"
		 "7:82: error_rate is counted by the router; `total` needs a source; add `source`, or leave it out\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: error_rate, no_worse_than: production, margin: 1%}]}",
		 "7:86: \"no_worse_than\" must be stable, not \"production\"\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: latency_p99, ratio: 1.2}]}",
		 "7:50: latency_p99 does not say what it is compared with; add `no_worse_than: stable`\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: latency_p99, margin: 1%}]}",
		 "7:72: a margin is for rates and means, not for latency_p99, which is a latency\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: latency_p99, source: prom}]}",
		 "7:72: latency_p99 is measured by the router; leave `source` out\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: latency_mean, no_worse_than: stable, ratio: 1.2}]}",
		 "7:96: latency_mean is only shown: one slow request can move a mean by any amount, so that no number of them proves anything; "
		 "judge a quantile, such as latency_p99\n"},
		{"target: prod, image: image, strategy: immediate, analysis: {metrics: [{metric: latency_p50}]}",
		 "7:60: warning: only a canary is judged by its analysis: here all traffic moves at once; use `strategy: canary`, or leave the "
		 "analysis out\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: latency_p50}, {metric: latency_p50}]}",
		 "7:82: \"latency_p50\" is there twice; the first is at line 7\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: latency_p50}]}",
		 "7:39: warning: nothing decides in this canary: its steps are left by time alone; add `analysis: {metrics: [{metric: error_rate, "
		 "no_worse_than: stable, margin: 0.5%}]}`\n"},
		{"target: prod, image: image, analysis: {metrics: [{metric: error_rate, show: true}]}",
		 "7:39: warning: nothing decides in this canary: its steps are left by time alone; add `analysis: {metrics: [{metric: error_rate, "
		 "no_worse_than: stable, margin: 0.5%}]}`\n"},
		{"target: prod, image: image", "6:37: warning: nothing decides in this canary: its steps are left by time alone; add `analysis: "
					       "{metrics: [{metric: error_rate, no_worse_than: stable, margin: 0.5%}]}`\n"},
		{"target: prod, image: image, analysis: {undecided: wait, metrics: []}",
		 "7:51: \"undecided\" must be one of hold, promote or rollback, not \"wait\"\n"
		 "7:66: \"metrics\" must have at least 1 item, not 0\n"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *text = xasprintf("%s%s}}\n", HEAD, cases[i].body);
		check_told(text, cases[i].told);
	}
}

static void the_image_must_come_from_a_needed_build_stage(void **state)
{
	(void)state;
	static const struct {
		const char *needs, *image, *told;
	} cases[] = {
		{"[image]", "image", ""},
		{"[smoke]", "image", ""}, /* needed through another stage */
		{"[image]", "imgae", "8:21: `image: imgae` names no stage; did you mean \"image\"?\n"},
		{"[image]", "train", "8:21: `image: train` names a run stage; only build stages make images; did you mean \"image\"?\n"},
		{"[train]", "image",
		 "8:21: `image: image` names a stage that \"release\" does not need, so it may not be built yet; add it to `needs`\n"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *text = xasprintf("version: 1\nname: fraud\nstages:\n  train: {run: make}\n  image: {needs: [train], build: {}}\n"
						    "  smoke: {needs: [image], run: make smoke}\n  release: {needs: %s, deploy: {target: prod,\n"
						    "             image: %s, strategy: immediate}}\n",
						    cases[i].needs, cases[i].image);
		check_told(text, cases[i].told);
	}
}

static void without_a_build_stage_that_is_the_advice(void **state)
{
	(void)state;
	check_told("version: 1\nname: fraud\nstages:\n  release: {deploy: {target: prod, image: image, strategy: immediate}}\n",
		   "4:43: `image: image` names no stage; add a build stage\n");
}

static void the_cells_of_a_matrix_are_many_images(void **state)
{
	(void)state;
	static const char start[] = "version: 1\nname: fraud\nstages:\n  image: {matrix: {arch: [a, b]}, build: {}}\n"
				    "  release: {needs: [image], deploy: {target: prod, strategy: immediate, image: ";
	cleanup_free char *all = xasprintf("%simage}}\n", start), *one = xasprintf("%s\"image (arch=a)\"}}\n", start);
	check_told(all, "5:80: `image: image` names 2 stages, the cells of a matrix; name one of them, such as \"image (arch=a)\"\n");
	check_told(one, "");
}

/* ---- what it means ---- */

static void prepare_body(const char *body, struct arena *arena, struct stage_work *ret)
{
	cleanup_free char *text = xasprintf("%s%s}}\n", HEAD, body), *told = NULL;
	cleanup_pipeline struct pipeline *pipeline = parse(text, &told);
	assert_non_null(pipeline);
	const struct stage *stage = &pipeline->stages[pipeline_find(pipeline, "release")];
	struct plan_stage planned = {.stage = stage, .body = stage->body};
	struct stage_facts facts = {.planned = &planned, .arena = arena};
	cleanup_error struct error *err = NULL;
	assert_ok(deploy_stage.prepare(&facts, ret, &err), err);
	assert_int_equal(ret->type, WORK_ROLLOUT);
}

static void a_whole_body_becomes_a_spec(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct stage_work work;
	prepare_body("target: prod, image: image, replicas: 3, health: {path: /ready, within: 45s},\n"
		     "strategy: {canary: {steps: [1%, 12.5%, 50%, 100%], hold: {at_least: 90s, at_most: 10m}}},\n"
		     "analysis: {alpha: 0.01, min_requests: 250, undecided: rollback, metrics: [\n"
		     "  {metric: error_rate, no_worse_than: stable, margin: 0.5%}, {metric: latency_p99, no_worse_than: stable, show: true}]},\n"
		     "keep_old: 1h",
		     arena, &work);
	const struct rollout_spec *spec = &work.rollout;
	assert_string_equal(spec->target, "prod");
	assert_string_equal(spec->image_stage, "image");
	assert_int_equal(spec->replicas, 3);
	assert_string_equal(spec->health_path, "/ready");
	assert_int_equal(spec->health_within_ms, 45000);
	assert_int_equal(spec->strategy, STRATEGY_CANARY);
	assert_int_equal(spec->n_steps, 3);
	assert_int_equal(spec->steps_ppm[0], 10000);
	assert_int_equal(spec->steps_ppm[1], 125000);
	assert_int_equal(spec->steps_ppm[2], 500000);
	assert_int_equal(spec->hold_at_least_ms, 90000);
	assert_int_equal(spec->hold_at_most_ms, 600000);
	assert_int_equal(spec->min_requests, 250);
	assert_true(spec->alpha == 0.01);
	assert_int_equal(spec->undecided, UNDECIDED_ROLLBACK);
	assert_int_equal(spec->n_metrics, 2);
	assert_string_equal(spec->metrics[0].metric, "error_rate");
	assert_true(spec->metrics[0].margin == 0.005 && spec->metrics[0].versus_stable && !spec->metrics[0].informational);
	assert_string_equal(spec->metrics[1].metric, "latency_p99");
	assert_true(spec->metrics[1].informational);
	assert_int_equal(spec->keep_old_ms, 3600000);
}

static void the_whole_language_of_rollouts_is_read(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct stage_work work;
	prepare_body("target: prod, image: image, replicas: 4, health: {restart_after: 10s}, resources: {memory: 1Gi, cpu: 2},\n"
		     "strategy: {canary: {steps: [{weight: 1%, replicas: 1, hold: {at_least: 10s, at_most: 5m}}, {weight: 25%, pause: true},\n"
		     "  {weight: 50%, approve: true}]}},\n"
		     "analysis: {no_data: promote, provider_error: rollback, split_broken: rollback, bursts: tempered, metrics: [\n"
		     "  {metric: latency_p99, no_worse_than: stable, ratio: 1.2}, {metric: prediction_drift, at_most: 0.1, source: app},\n"
		     "  {metric: feature_bins.amount, at_most: 0.2, distance: psi, every: 30s},\n"
		     "  {metric: accuracy, no_worse_than: stable, margin: 2%},\n"
		     "  {metric: cost, source: prom, value: avg(cost), range: [-1, 3.5], no_worse_than: stable, margin: 0.25},\n"
		     "  {metric: sales, source: prom, better: higher, events: orders, total: visits, no_worse_than: stable, ratio: 0.95}]},\n"
		     "rollback_window: 2h, newer_release: wait",
		     arena, &work);
	const struct rollout_spec *spec = &work.rollout;
	assert_int_equal(spec->restart_after_ms, 10000);
	assert_int_equal(spec->memory_bytes, 1u << 30);
	assert_int_equal(spec->cpu, 2);
	assert_int_equal(spec->n_steps, 3);
	assert_int_equal(spec->terms[0].replicas, 1);
	assert_int_equal(spec->terms[0].hold_at_most_ms, 300000);
	assert_true(spec->terms[1].pause && spec->terms[2].approve && !spec->terms[1].approve);
	assert_int_equal(spec->no_data, UNDECIDED_PROMOTE);
	assert_int_equal(spec->provider_error, UNDECIDED_ROLLBACK);
	assert_int_equal(spec->split_broken, UNDECIDED_ROLLBACK);
	assert_int_equal(spec->bursts, BURSTS_TEMPERED);
	assert_int_equal(spec->rollback_window_ms, 7200000);
	assert_true(spec->newer_waits);
	const struct analysis_metric *m = spec->metrics;
	assert_true(m[0].kind == METRIC_LATENCY && m[0].ratio == 1.2 && m[0].quantile == 0.99 && !m[0].informational && !m[0].source);
	assert_true(m[1].kind == METRIC_DISTRIBUTION && m[1].at_most == 0.1 && !m[1].informational);
	assert_string_equal(m[1].source, "app");
	assert_string_equal(m[1].by, "class|le");
	assert_true(m[2].distance == DISTANCE_PSI && m[2].every_ms == 30000);
	assert_string_equal(m[2].distribution, "penstock_feature{feature=\"amount\"}");
	assert_true(m[3].kind == METRIC_RATE && m[3].higher_is_better && m[3].margin == 0.02);
	assert_string_equal(m[3].total, "penstock_labeled_total");
	assert_true(m[4].kind == METRIC_MEAN && m[4].low == -1 && m[4].high == 3.5 && m[4].margin == 0.25 && !m[4].higher_is_better);
	assert_true(m[5].kind == METRIC_RATE && m[5].higher_is_better && m[5].ratio == 0.95);
	assert_string_equal(m[5].events, "orders");
}

static void blue_green_is_read(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct stage_work work;
	prepare_body("target: prod, image: image, strategy: {blue_green: {verify: {run: ./smoke.sh, timeout: 90s}, approve: true}}", arena, &work);
	assert_int_equal(work.rollout.strategy, STRATEGY_BLUE_GREEN);
	assert_string_equal(work.rollout.verify_run, "./smoke.sh");
	assert_int_equal(work.rollout.verify_timeout_ms, 90000);
	assert_true(work.rollout.verify_approve);
	assert_int_equal(work.rollout.n_steps, 0);
	prepare_body("target: prod, image: image, strategy: blue_green", arena, &work);
	assert_int_equal(work.rollout.strategy, STRATEGY_BLUE_GREEN);
	assert_null(work.rollout.verify_run);
}

static void defaults_are_those_of_the_manual(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	struct stage_work work;
	prepare_body("target: prod, image: image", arena, &work);
	const struct rollout_spec *spec = &work.rollout;
	assert_int_equal(spec->replicas, 1);
	assert_string_equal(spec->health_path, "/healthz");
	assert_int_equal(spec->health_within_ms, 30000);
	assert_int_equal(spec->strategy, STRATEGY_CANARY);
	assert_int_equal(spec->n_steps, 3);
	assert_int_equal(spec->steps_ppm[0], 50000);
	assert_int_equal(spec->hold_at_least_ms, 60000);
	assert_int_equal(spec->hold_at_most_ms, 1800000);
	assert_int_equal(spec->min_requests, 100);
	assert_true(spec->alpha == 0.05);
	assert_int_equal(spec->undecided, UNDECIDED_HOLD);
	assert_int_equal(spec->keep_old_ms, 600000);
	prepare_body("target: prod, image: image, strategy: immediate", arena, &work);
	assert_int_equal(work.rollout.strategy, STRATEGY_IMMEDIATE);
	assert_int_equal(work.rollout.n_steps, 0);
}

static void what_was_filled_in_is_checked_again(void **state)
{
	(void)state;
	cleanup_diags struct diag_list *diags = diag_list_new();
	static const char text[] = "{target: prod, image: image, replicas: many}";
	cleanup_yaml struct yaml_doc *doc = yaml_parse("p.yml", text, strlen(text), diags);
	cleanup_arena struct arena *arena = arena_new();
	struct plan_stage planned = {.body = yaml_root(doc)};
	struct stage_facts facts = {.planned = &planned, .arena = arena};
	struct stage_work work;
	cleanup_error struct error *err = NULL;
	assert_int_equal(deploy_stage.prepare(&facts, &work, &err), -1);
	assert_error(err, ERROR_INVALID, "deploy: p.yml:1:40: \"replicas\" must be a whole number, not \"many\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes_are_told_at_their_place),
		cmocka_unit_test(the_image_must_come_from_a_needed_build_stage),
		cmocka_unit_test(without_a_build_stage_that_is_the_advice),
		cmocka_unit_test(the_cells_of_a_matrix_are_many_images),
		cmocka_unit_test(a_whole_body_becomes_a_spec),
		cmocka_unit_test(the_whole_language_of_rollouts_is_read),
		cmocka_unit_test(blue_green_is_read),
		cmocka_unit_test(defaults_are_those_of_the_manual),
		cmocka_unit_test(what_was_filled_in_is_checked_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
