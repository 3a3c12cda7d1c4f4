/* The rollout controller on a scripted target and a fake clock: real rows, real analysis, no sleeping. */
#include "tests/support/support.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "runner/rollouts_priv.h"
#include "runner/rollouts_view.h"

/* ---- the target: outlives the daemon, as real ones do ---- */

struct fake_arm {
	char image[72], message[80];
	unsigned replicas, ready;
	uint32_t weight;
	bool failed;
	double error_rate, errors_due; /* of this image's server, whenever it runs */
};
static struct world {
	struct fake_arm arms[6];
	size_t n;
	uint64_t generation;
	double requests_per_second;
	int64_t counted_at_ms;
	bool slow_start; /* copies come up only when the test says so */
	bool mixed;      /* the counts were drawn with several shares */
	bool refuses_open, silent;
	enum error_code apply_fails; /* 0, which is INVALID: it does not */
	unsigned applies, opens;
} world;
static int64_t now_ms;

static struct fake_arm *arm_of(const char *image)
{
	for (size_t i = 0; i < world.n; i++)
		if (strcmp(world.arms[i].image, image) == 0)
			return &world.arms[i];
	assert_true(world.n < ARRAY_SIZE(world.arms));
	struct fake_arm *arm = &world.arms[world.n++];
	snprintf(arm->image, sizeof(arm->image), "%s", image);
	return arm;
}

static int fake_open(const struct target_config *config, struct loop *loop, struct target **ret, struct error **err);

static const struct arm *wanted_arm(const struct desired *desired, const char *image)
{
	for (unsigned i = 0; i < desired->n_arms; i++)
		if (strcmp(desired->arms[i].release->image, image) == 0)
			return &desired->arms[i];
	return NULL;
}

static void do_apply(const struct desired *desired)
{
	for (unsigned i = 0; i < desired->n_arms; i++) {
		struct fake_arm *arm = arm_of(desired->arms[i].release->image);
		/* Promise 3, seen from the target's side. */
		if (desired->arms[i].weight_ppm > arm->weight && !arm->ready)
			fail_msg("%s is given weight, but has no ready copy", arm->image);
		arm->replicas = desired->arms[i].replicas;
		if (!world.slow_start && !arm->failed)
			arm->ready = arm->replicas;
	}
	for (size_t i = 0; i < world.n; i++) {
		const struct arm *wanted = wanted_arm(desired, world.arms[i].image);
		if (!wanted && world.arms[i].weight)
			fail_msg("%s is taken away with %u ppm of the traffic", world.arms[i].image, world.arms[i].weight);
		if (!wanted)
			world.arms[i].replicas = world.arms[i].ready = 0;
		world.arms[i].weight = wanted ? wanted->weight_ppm : 0;
	}
	world.generation = desired->generation;
}

static void fake_apply(struct target *target, const struct desired *desired, target_done_fn done, void *arg)
{
	cleanup_error struct error *err = NULL;
	(void)target;
	world.applies++;
	if (world.apply_fails)
		error_set(&err, world.apply_fails, 0, "no free port in 20000-20001");
	else
		do_apply(desired);
	done(arg, desired->generation, err);
}

static void fake_observe(struct target *target, target_actual_fn done, void *arg)
{
	struct actual actual = {.generation = world.generation, .router_ok = true, .seen_at_ms = now_ms};
	cleanup_error struct error *err = NULL;
	(void)target;
	if (world.silent) {
		error_set(&err, ERROR_UNAVAILABLE, 0, "haproxy: connection refused");
		done(arg, NULL, err);
		return;
	}
	for (size_t i = 0; i < world.n; i++) {
		const struct fake_arm *arm = &world.arms[i];
		if (!arm->replicas && !arm->weight)
			continue;
		struct arm_status *status = &actual.arms[actual.n_arms++];
		*status = (struct arm_status){.replicas = arm->replicas, .ready = arm->ready, .weight_ppm = arm->weight, .failed = arm->failed};
		snprintf(status->image, sizeof(status->image), "%s", arm->image);
		snprintf(status->message, sizeof(status->message), "%s", arm->message);
	}
	done(arg, &actual, NULL);
}

static void fake_counts(struct target *target, target_counts_fn done, void *arg)
{
	struct counts_report report = {0};
	double requests = world.requests_per_second * (double)(now_ms - world.counted_at_ms) / 1000;
	(void)target;
	world.counted_at_ms = now_ms;
	for (size_t i = 0; i < world.n && requests >= 1; i++) {
		struct fake_arm *arm = &world.arms[i];
		uint64_t n = (uint64_t)(requests * arm->weight / 1e6 + 0.5);
		if (!arm->weight)
			continue;
		arm->errors_due += (double)n * arm->error_rate;
		uint64_t errors = (uint64_t)arm->errors_due;
		arm->errors_due -= (double)errors;
		struct arm_report *told = &report.arms[report.n_arms++];
		snprintf(told->image, sizeof(told->image), "%s", arm->image);
		told->counts = (struct arm_counts){
			.assigned = n, .completed = n, .errors = errors, .latency_sum_us = n * 3000, .latency_buckets = {[4] = n}};
	}
	for (size_t i = 0; i < world.n; i++)
		if (world.arms[i].weight && world.arms[i].weight < 1000000 && world.arms[i].weight <= 500000)
			report.weight_ppm_min = report.weight_ppm_max = world.arms[i].weight;
	if (world.mixed)
		report.weight_ppm_min = 0;
	done(arg, &report, NULL);
}

static void fake_close(struct target *target)
{
	free(target);
}

static const struct target_ops fake_ops = {
	.name = "fake", .open = fake_open, .apply = fake_apply, .observe = fake_observe, .counts = fake_counts, .close = fake_close};

static int fake_open(const struct target_config *config, struct loop *loop, struct target **ret, struct error **err)
{
	(void)config;
	(void)loop;
	world.opens++;
	if (world.refuses_open)
		return error_set(err, ERROR_MISSING, 0, "haproxy is not installed: apt-get install haproxy");
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->ops = &fake_ops;
	return 0;
}

static const struct target_ops *find_fake(const char *kind)
{
	return strcmp(kind, "fake") == 0 ? &fake_ops : NULL;
}

/* ---- the daemon ---- */

static struct daemon {
	struct config config;
	struct config_target target;
	struct core *core;
	struct rollouts *rollouts;
	char told[512]; /* how stages ended: "release of run 2: success; ..." */
} d;

static int finish_stage(struct engine *engine, int64_t stage_id, enum outcome outcome, const char *reason, struct error **err)
{
	(void)engine;
	size_t len = strlen(d.told);
	snprintf(d.told + len, sizeof(d.told) - len, "%sstage %lld %s: %s", len ? "; " : "", (long long)stage_id, outcome_name(outcome), reason);
	return db_run(d.core->db, err, "UPDATE stage SET state = 'finished', outcome = ? WHERE id = ?", "si", outcome_name(outcome), stage_id);
}

static void start_daemon(void)
{
	static const struct rollouts_seams seams = {.find_target = find_fake, .finish_stage = finish_stage};
	cleanup_error struct error *err = NULL;
	assert_ok(core_open(&d.config, &d.core, &err), err);
	assert_ok(rollouts_open_with(d.core, &seams, &d.rollouts, &err), err);
	d.core->rollouts = d.rollouts;
}

static void stop_daemon(void)
{
	rollouts_close(d.rollouts);
	core_close(d.core);
	d.core = NULL;
}

static int setup(void **state)
{
	log_set_level((enum log_level)(LOG_ERROR + 1)); /* what goes wrong here is meant to */
	fixture_setup(state);
	const struct fixture *fixture = *state;
	memset(&world, 0, sizeof(world));
	memset(&d, 0, sizeof(d));
	world.requests_per_second = 400;
	now_ms = 1764000000000;
	clock_set_fake(&now_ms);
	d.target = (struct config_target){.name = "prod", .kind = "fake"};
	d.config = (struct config){.file = "penstock.yml", .state = fixture->dir, .targets = &d.target, .n_targets = 1};
	start_daemon();
	return 0;
}

static int teardown(void **state)
{
	if (d.core)
		stop_daemon();
	clock_set_fake(NULL);
	return fixture_teardown(state);
}

/* Lets time pass; the daemon ticks as often as it would. */
static void pass(int64_t ms)
{
	for (int64_t end = now_ms + ms; now_ms < end; now_ms += TICK_MS) {
		rollouts_tick(d.rollouts);
		core_commit(d.core);
	}
}

static void run_sql(const char *sql)
{
	cleanup_error struct error *err = NULL;
	core_event_begin(d.core);
	assert_ok(db_run(d.core->db, &err, sql, ""), err);
	core_event_end(d.core, true);
	core_commit(d.core);
}

/* The one value of a query, as text. */
static const char *sql_text(const char *sql)
{
	static char text[4096];
	cleanup_error struct error *err = NULL;
	cleanup_stmt struct db_stmt *q = NULL;
	assert_ok(db_query(d.core->db, &q, &err, sql, ""), err);
	int more = db_step(q, &err);
	assert_no_error(err);
	snprintf(text, sizeof(text), "%s", more > 0 && db_text(q, 0) ? db_text(q, 0) : "");
	return text;
}

static const char *image_of(int64_t run)
{
	static char image[72];
	snprintf(image, sizeof(image), "sha256:%064lld", (long long)run);
	return image;
}

static struct rollout_spec canary(void)
{
	return (struct rollout_spec){
		.target = "prod",
		.image_stage = "image",
		.replicas = 2,
		.health_path = "/healthz",
		.health_within_ms = 10000,
		.strategy = STRATEGY_CANARY,
		.steps_ppm = {50000, 250000},
		.n_steps = 2,
		.hold_at_least_ms = 3000,
		.hold_at_most_ms = 120000,
		.min_requests = 50,
		.alpha = 0.05,
		.metrics = {{.metric = "error_rate", .versus_stable = true, .margin = 0.03},
			    {.metric = "latency_p99", .versus_stable = true, .informational = true}},
		.n_metrics = 2,
		.keep_old_ms = 20000,
	};
}

/* Run n with one deploy stage, whose id is n too, and one release, again n. */
static int64_t deploy_with(int64_t run, const struct rollout_spec *spec, struct error **err)
{
	char sql[600];
	long long n = (long long)run;
	snprintf(sql, sizeof(sql), "INSERT INTO run (id, repository, facts, created_ms) VALUES (%lld, 'fraud', '{}', 1)", n);
	run_sql(sql);
	snprintf(sql, sizeof(sql), "INSERT INTO stage (id, run_id, idx, name, kind, state) VALUES (%lld, %lld, 0, 'release', 'deploy', 'running')", n,
		 n);
	run_sql(sql);
	snprintf(sql, sizeof(sql),
		 "INSERT INTO release (id, run_id, stage_id, repository, version, image, commit_sha, port, created_ms)"
		 " VALUES (%lld, %lld, %lld, 'fraud', 'v%lld', '%s', 'c0ffee', 80, 1)",
		 n, n, n, n, image_of(run));
	run_sql(sql);
	int64_t id = 0;
	core_event_begin(d.core);
	int result = rollouts_start(d.rollouts, run, run, spec, &id, err);
	core_event_end(d.core, result == 0);
	core_commit(d.core);
	return id;
}

static int64_t deploy(int64_t run)
{
	cleanup_error struct error *err = NULL;
	struct rollout_spec spec = canary();
	int64_t id = deploy_with(run, &spec, &err);
	assert_no_error(err);
	return id;
}

static int command(enum rollout_command what, struct error **err)
{
	int64_t id;
	core_event_begin(d.core);
	int result = rollouts_command(d.rollouts, "prod", what, "uid:0(root)", &id, err);
	core_event_end(d.core, result == 0);
	core_commit(d.core);
	return result;
}

static void command_ok(enum rollout_command what)
{
	cleanup_error struct error *err = NULL;
	assert_ok(command(what, &err), err);
}

static const char *state_now(void)
{
	return sql_text("SELECT json_extract(machine, '$.state') FROM rollout ORDER BY id DESC LIMIT 1");
}

/* Until the newest rollout is in that state; within two minutes of fake time. */
static void until(const char *state)
{
	for (int i = 0; i < 480 && strcmp(state_now(), state) != 0; i++)
		pass(TICK_MS);
	if (strcmp(state_now(), state) != 0)
		fail_msg("still %s, not %s: %s", state_now(), state, sql_text("SELECT machine FROM rollout ORDER BY id DESC LIMIT 1"));
}

static const char *live(void)
{
	return sql_text("SELECT coalesce(live_release, 0) || ' after ' || coalesce(previous_release, 0) FROM target");
}

static const char *events(void)
{
	return sql_text("SELECT group_concat(kind, ' ') FROM (SELECT kind FROM event WHERE kind <> 'target.opened' ORDER BY id)");
}

/* Version 1 live, its keep_old over. */
static void first_release(void)
{
	deploy(1);
	until("promoted");
	assert_string_equal(live(), "1 after 0");
	run_sql("DELETE FROM event");
	d.told[0] = '\0';
}

/* ---- the ordinary ways ---- */

static void a_first_release_goes_live(void **state)
{
	(void)state;
	deploy(1);
	until("promoted");
	assert_string_equal(d.told, "stage 1 success: first release: all 2 copies are ready");
	assert_string_equal(live(), "1 after 0");
	assert_string_equal(events(), "rollout.created rollout.promoting rollout.promoted");
	assert_int_equal(arm_of(image_of(1))->weight, 1000000);
	assert_int_equal(arm_of(image_of(1))->replicas, 2);
}

static void a_good_candidate_is_promoted_on_evidence(void **state)
{
	(void)state;
	first_release();
	deploy(2);
	until("keeping_old");
	assert_true(strncmp(d.told, "stage 2 success: error_rate", 27) == 0);
	assert_string_equal(live(), "2 after 1");
	assert_int_equal(arm_of(image_of(2))->weight, 1000000);
	assert_int_equal(arm_of(image_of(1))->replicas, 2); /* kept */
	until("promoted");
	assert_int_equal(arm_of(image_of(1))->replicas, 0);
	assert_string_equal(events(), "rollout.created rollout.step rollout.step rollout.promoting rollout.promoted rollout.finished");
	assert_string_equal(sql_text("SELECT json_extract(data, '$.verdict.verdict') FROM event WHERE kind = 'rollout.promoting'"), "fine");
	assert_string_equal(sql_text("SELECT json_extract(data, '$.decided_by') FROM event WHERE kind = 'rollout.promoting'"), "analysis");
	assert_true(strtol(sql_text("SELECT count(*) FROM observation WHERE json_extract(block, '$.dropped') IS NULL"), NULL, 10) >= 4);
	assert_string_equal(sql_text("SELECT count(DISTINCT json_extract(block, '$.weight_ppm')) FROM observation"
				     " WHERE json_extract(block, '$.dropped') IS NULL"),
			    "2");
}

static void a_candidate_that_fails_one_request_in_ten_is_taken_back(void **state)
{
	(void)state;
	first_release();
	arm_of(image_of(2))->error_rate = 0.1;
	deploy(2);
	until("rolled_back");
	assert_string_equal(live(), "1 after 0");
	assert_int_equal(arm_of(image_of(2))->replicas, 0);
	assert_int_equal(arm_of(image_of(1))->weight, 1000000);
	assert_true(strncmp(d.told, "stage 2 rolled_back: error_rate: ", 33) == 0);
	assert_string_equal(events(), "rollout.created rollout.step rollout.rolling_back rollout.rolled_back");
	assert_string_equal(sql_text("SELECT json_extract(verdict, '$.verdict') FROM rollout WHERE candidate = 2"), "worse");
}

static void no_traffic_is_no_verdict(void **state)
{
	(void)state;
	first_release();
	world.requests_per_second = 0;
	deploy(2);
	pass(200000);
	assert_string_equal(state_now(), "stepping");
	assert_string_equal(sql_text("SELECT json_extract(machine, '$.held') FROM rollout WHERE candidate = 2"), "1");
	assert_non_null(strstr(events(), "rollout.waiting"));
	assert_string_equal(d.told, "");
	world.requests_per_second = 400;
	until("keeping_old");
}

static void counts_that_were_drawn_with_several_shares_are_not_evidence(void **state)
{
	(void)state;
	first_release();
	world.mixed = true;
	deploy(2);
	pass(60000);
	assert_string_equal(state_now(), "stepping");
	assert_string_equal(sql_text("SELECT count(*) FROM observation WHERE json_extract(block, '$.dropped') IS NULL"), "0");
	assert_string_equal(sql_text("SELECT max(json_extract(block, '$.dropped')) FROM observation"), "the step's weight was not confirmed yet");
	assert_true(strtol(sql_text("SELECT count(*) FROM observation WHERE json_extract(block, '$.dropped') LIKE 'mixed%'"), NULL, 10) > 10);
	world.mixed = false;
	until("keeping_old");
}

/* ---- people ---- */

static void pause_resume_promote_and_rollback_by_hand(void **state)
{
	(void)state;
	cleanup_error struct error *none = NULL, *again = NULL;
	first_release();
	assert_int_equal(command(ROLLOUT_PAUSE, &none), -1);
	assert_error(none, ERROR_CONFLICT, "target prod has no rollout under way");
	deploy(2);
	until("stepping");
	command_ok(ROLLOUT_PAUSE);
	assert_string_equal(state_now(), "paused");
	assert_int_equal(command(ROLLOUT_PAUSE, &again), -1);
	assert_error(again, ERROR_CONFLICT, "rollout 2 on prod: it is paused already");
	pass(100000);
	assert_string_equal(state_now(), "paused");
	assert_int_equal(arm_of(image_of(2))->weight, 50000);
	command_ok(ROLLOUT_RESUME);
	assert_string_equal(state_now(), "stepping");
	command_ok(ROLLOUT_PROMOTE);
	until("keeping_old");
	assert_string_equal(d.told, "stage 2 success: promoted by uid:0(root), skipping what was left of the steps");
	command_ok(ROLLOUT_ROLLBACK); /* the old copies are still there: at once */
	pass(1000);
	assert_string_equal(state_now(), "rolled_back");
	assert_int_equal(arm_of(image_of(1))->weight, 1000000);
	assert_string_equal(live(), "1 after 0");
	assert_string_equal(sql_text("SELECT actor FROM event WHERE kind = 'rollout.rolling_back'"), "uid:0(root)");
}

static void rollback_goes_to_the_release_before_and_then_further(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	first_release();
	for (int64_t run = 2; run <= 3; run++) {
		deploy(run);
		until("promoted");
	}
	assert_string_equal(live(), "3 after 2");
	command_ok(ROLLOUT_ROLLBACK);
	until("keeping_old");
	assert_string_equal(live(), "2 after 1");
	assert_int_equal(arm_of(image_of(2))->weight, 1000000);
	until("promoted");
	command_ok(ROLLOUT_ROLLBACK);
	until("promoted");
	assert_string_equal(live(), "1 after 0");
	assert_int_equal(command(ROLLOUT_ROLLBACK, &err), -1);
	assert_error(err, ERROR_NOT_FOUND, "target prod has no previous release to go back to");
}

static void an_unknown_target_is_told(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	int64_t id;
	core_event_begin(d.core);
	assert_int_equal(rollouts_command(d.rollouts, "pord", ROLLOUT_PAUSE, "x", &id, &err), -1);
	core_event_end(d.core, false);
	assert_error(err, ERROR_NOT_FOUND, "there is no target \"pord\"; targets: prod");
}

static void a_cancelled_run_takes_its_rollout_back(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	first_release();
	deploy(2);
	until("stepping");
	core_event_begin(d.core);
	assert_ok(rollouts_cancel_stage(d.rollouts, 2, "uid:0(root)", &err), err);
	core_event_end(d.core, true);
	until("rolled_back");
	assert_string_equal(d.told, "stage 2 cancelled: cancelled by uid:0(root)");
	assert_string_equal(live(), "1 after 0");
}

/* ---- the newer one wins ---- */

static void a_newer_release_supersedes_the_one_under_way(void **state)
{
	(void)state;
	first_release();
	deploy(2);
	until("stepping");
	deploy(3);
	deploy(4); /* takes the place of 3, which never began */
	assert_string_equal(d.told, "stage 3 cancelled: superseded by run 4");
	until("stepping"); /* the newest: 4 */
	assert_string_equal(sql_text("SELECT candidate FROM rollout WHERE finished_ms IS NULL"), "4");
	assert_string_equal(d.told, "stage 3 cancelled: superseded by run 4; stage 2 cancelled: superseded by run 4");
	assert_int_equal(arm_of(image_of(2))->replicas, 0);
	until("promoted");
	assert_string_equal(live(), "4 after 1");
}

static void an_older_run_that_comes_late_does_not_supersede(void **state)
{
	(void)state;
	first_release();
	deploy(5);
	until("stepping");
	deploy(4);
	assert_string_equal(d.told, "stage 4 cancelled: superseded by run 5");
	assert_string_equal(sql_text("SELECT candidate FROM rollout WHERE finished_ms IS NULL"), "5");
}

static void a_newer_release_does_not_wait_for_keep_old(void **state)
{
	(void)state;
	first_release();
	deploy(2);
	until("keeping_old");
	deploy(3);
	pass(3000);
	assert_string_equal(state_now(), "stepping");
	assert_string_equal(live(), "2 after 1");
	assert_int_equal(arm_of(image_of(1))->replicas, 0);
}

/* ---- restarts ---- */

static void a_restart_goes_on_with_the_same_evidence(void **state)
{
	(void)state;
	first_release();
	deploy(2);
	until("stepping");
	pass(2500);
	cleanup_free char *before = xstrdup(sql_text("SELECT machine || analysis FROM rollout WHERE candidate = 2"));
	stop_daemon();
	start_daemon();
	assert_string_equal(sql_text("SELECT machine || analysis FROM rollout WHERE candidate = 2"), before);
	until("keeping_old");
	assert_string_equal(live(), "2 after 1");
	assert_string_equal(sql_text("SELECT count(*) FROM event WHERE kind = 'rollout.step'"), "2");
}

static void a_restart_in_every_moment_leads_to_the_same_end(void **state)
{
	(void)state;
	first_release();
	deploy(2);
	for (int i = 0; i < 400 && strcmp(state_now(), "promoted") != 0; i++) {
		pass(i % 3 ? TICK_MS : 1000);
		stop_daemon();
		start_daemon();
	}
	assert_string_equal(state_now(), "promoted");
	assert_string_equal(live(), "2 after 1");
	assert_true(strncmp(d.told, "stage 2 success", 15) == 0);
	assert_null(strstr(d.told, ";"));
}

static void an_intent_that_was_never_handed_over_is_handed_over_after_the_restart(void **state)
{
	(void)state;
	first_release();
	deploy(2);
	/* The daemon dies between the commit and the router write: the row says 5%, the target says 0. */
	until("stepping");
	stop_daemon();
	arm_of(image_of(2))->weight = 0;
	arm_of(image_of(1))->weight = 1000000;
	world.generation--;
	start_daemon();
	pass(2000);
	assert_int_equal(arm_of(image_of(2))->weight, 50000);
	until("keeping_old");
}

/* ---- what goes wrong ---- */

static void drift_is_put_right_and_told(void **state)
{
	(void)state;
	first_release();
	pass(10000);
	unsigned applies = world.applies;
	arm_of(image_of(1))->replicas = arm_of(image_of(1))->ready = 1;
	pass(20000);
	assert_int_equal(arm_of(image_of(1))->replicas, 2);
	assert_int_equal(world.applies, applies + 1);
	assert_string_equal(events(), "target.repaired");
	assert_string_equal(sql_text("SELECT json_extract(data, '$.found') FROM event WHERE kind = 'target.repaired'"), "1 of 2 copies of v1 exist");
}

static void a_failed_apply_is_tried_again(void **state)
{
	(void)state;
	first_release();
	world.apply_fails = ERROR_UNAVAILABLE;
	deploy(2);
	pass(8000);
	assert_string_equal(state_now(), "starting");
	assert_true(world.applies >= 3);
	world.apply_fails = 0;
	until("keeping_old");
}

static void what_the_target_can_never_do_ends_infra(void **state)
{
	(void)state;
	first_release();
	world.apply_fails = ERROR_MISSING;
	deploy(2);
	pass(2000);
	assert_string_equal(d.told, "stage 2 infra: the target cannot run it: no free port in 20000-20001");
	assert_string_equal(live(), "1 after 0");
}

static void a_target_that_never_answers_ends_infra(void **state)
{
	(void)state;
	first_release();
	world.silent = true;
	deploy(2);
	pass(100000);
	assert_string_equal(d.told, "stage 2 infra: the target did not start it: haproxy: connection refused");
	assert_string_equal(live(), "1 after 0");
	world.silent = false;
	pass(10000);
	assert_int_equal(arm_of(image_of(1))->weight, 1000000);
	assert_int_equal(arm_of(image_of(2))->replicas, 0);
}

static void a_crashing_candidate_goes_back_though_its_copies_never_come_up(void **state)
{
	(void)state;
	first_release();
	struct fake_arm *arm = arm_of(image_of(2));
	arm->failed = true;
	snprintf(arm->message, sizeof(arm->message), "exited 1 three times");
	deploy(2);
	until("rolled_back");
	assert_string_equal(d.told, "stage 2 rolled_back: the candidate did not become ready: exited 1 three times");
}

static void a_broken_target_does_not_stop_the_daemon(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	stop_daemon();
	world.refuses_open = true;
	start_daemon();
	pass(5000);
	assert_string_equal(sql_text("SELECT json_extract(data, '$.error') FROM event WHERE kind = 'target.broken'"),
			    "haproxy is not installed: apt-get install haproxy");
	assert_string_equal(sql_text("SELECT count(*) FROM event WHERE kind = 'target.broken'"), "1");
	struct rollout_spec spec = canary();
	deploy_with(1, &spec, &err);
	assert_error(err, ERROR_UNAVAILABLE, "target prod: haproxy is not installed: apt-get install haproxy");
	assert_string_equal(sql_text("SELECT count(*) FROM rollout"), "0");
	unsigned opens = world.opens;
	world.refuses_open = false;
	pass(70000);
	assert_int_equal(world.opens, opens + 1);
	deploy(2);
	until("promoted");
}

static void an_event_that_is_not_kept_leaves_memory_as_it_was(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	int64_t id;
	first_release();
	deploy(2);
	until("stepping");
	core_event_begin(d.core);
	assert_ok(rollouts_command(d.rollouts, "prod", ROLLOUT_ROLLBACK, "x", &id, &err), err);
	core_event_end(d.core, false);
	core_commit(d.core);
	assert_string_equal(state_now(), "stepping");
	until("keeping_old");
}

static void a_row_that_cannot_be_read_stops_only_its_target(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	first_release();
	deploy(2);
	until("stepping");
	stop_daemon();
	start_daemon();
	run_sql("UPDATE rollout SET machine = '{\"state\":\"flying\"}' WHERE candidate = 2");
	stop_daemon();
	start_daemon();
	unsigned applies = world.applies;
	pass(60000);
	assert_int_equal(world.applies, applies);
	assert_int_equal(arm_of(image_of(2))->weight, 50000);
	assert_int_equal(command(ROLLOUT_PAUSE, &err), -1);
	assert_error(err, ERROR_INTERNAL, "target prod: rollout 2: rollout: key \"state\": \"flying\" is no state of a rollout");
}

/* ---- shown ---- */

static void rollouts_and_targets_are_shown(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	first_release();
	deploy(2);
	until("stepping");
	pass(1500);
	cleanup_json json_t *one = rollouts_json(d.core, 2, &err), *all = rollouts_json(d.core, 0, &err), *targets = targets_json(d.core, &err);
	assert_no_error(err);
	assert_int_equal(json_array_size(all), 2);
	assert_true(json_equal(json_array_get(all, 0), one));
	assert_string_equal(json_string_or(one, "state", ""), "stepping");
	assert_int_equal(json_int_or(one, "step", 0), 1);
	assert_int_equal(json_int_or(one, "steps", 0), 2);
	assert_int_equal(json_int_or(one, "weight_ppm", 0), 50000);
	assert_int_equal(json_int_or(one, "run", 0), 2);
	assert_string_equal(json_string_or(json_object_get(one, "candidate"), "version", ""), "v2");
	assert_string_equal(json_string_or(json_object_get(one, "stable"), "version", ""), "v1");
	assert_int_equal(json_array_size(json_object_get(json_object_get(one, "verdict"), "metrics")), 2);
	assert_int_equal(json_array_size(json_object_get(json_object_get(one, "actual"), "arms")), 2);
	const json_t *target = json_array_get(targets, 0);
	assert_string_equal(json_string_or(target, "name", ""), "prod");
	assert_int_equal(json_int_or(target, "rollout", 0), 2);
	assert_string_equal(json_string_or(json_object_get(target, "live"), "version", ""), "v1");
	assert_null(rollouts_json(d.core, 99, &err));
	assert_error(err, ERROR_NOT_FOUND, "there is no rollout 99");
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	loop_free(loop_new()); /* libuv opens a pipe with its first loop and keeps it */
	const struct CMUnitTest tests[] = {
		test(a_first_release_goes_live),
		test(a_good_candidate_is_promoted_on_evidence),
		test(a_candidate_that_fails_one_request_in_ten_is_taken_back),
		test(no_traffic_is_no_verdict),
		test(counts_that_were_drawn_with_several_shares_are_not_evidence),
		test(pause_resume_promote_and_rollback_by_hand),
		test(rollback_goes_to_the_release_before_and_then_further),
		test(an_unknown_target_is_told),
		test(a_cancelled_run_takes_its_rollout_back),
		test(a_newer_release_supersedes_the_one_under_way),
		test(an_older_run_that_comes_late_does_not_supersede),
		test(a_newer_release_does_not_wait_for_keep_old),
		test(a_restart_goes_on_with_the_same_evidence),
		test(a_restart_in_every_moment_leads_to_the_same_end),
		test(an_intent_that_was_never_handed_over_is_handed_over_after_the_restart),
		test(drift_is_put_right_and_told),
		test(a_failed_apply_is_tried_again),
		test(what_the_target_can_never_do_ends_infra),
		test(a_target_that_never_answers_ends_infra),
		test(a_crashing_candidate_goes_back_though_its_copies_never_come_up),
		test(a_broken_target_does_not_stop_the_daemon),
		test(an_event_that_is_not_kept_leaves_memory_as_it_was),
		test(a_row_that_cannot_be_read_stops_only_its_target),
		test(rollouts_and_targets_are_shown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
