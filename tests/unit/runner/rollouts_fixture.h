/* The surroundings of the rollout controller's tests: a scripted target that outlives the daemon, a fake clock, real rows. */
#ifndef TESTS_UNIT_RUNNER_ROLLOUTS_FIXTURE_H
#define TESTS_UNIT_RUNNER_ROLLOUTS_FIXTURE_H

#include "tests/support/support.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "runner/replay.h"
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
	uint64_t repairs; /* of the driver's own */
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
	struct actual actual = {.generation = world.generation, .router_ok = true, .seen_at_ms = now_ms, .repairs = world.repairs, .repaired = "the map said no", .repair_took_ms = 7};
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

/* ---- the replay: whatever a test did, its rollouts recompute to the same decisions ---- */

static struct release release_of(const json_t *json, struct arena *arena)
{
	return (struct release){.id = json_int_or(json, "id", 0),
				.run_id = json_int_or(json, "run", 0),
				.repository = arena_strdup(arena, json_string_or(json, "repository", "")),
				.version = arena_strdup(arena, json_string_or(json, "version", "")),
				.image = arena_strdup(arena, json_string_or(json, "image", "")),
				.commit = arena_strdup(arena, json_string_or(json, "commit", ""))};
}

static void replay_rollout(int64_t id, struct replay_report *ret)
{
	cleanup_error struct error *err = NULL;
	cleanup_arena struct arena *arena = arena_new();
	cleanup_json json_t *all = rollout_observations_json(d.core, id, 0, 1000000, &err);
	assert_no_error(err);
	const json_t *setup = json_object_get(all, "rollout");
	struct rollout_spec spec;
	assert_ok(rollout_spec_from_json(json_object_get(setup, "spec"), arena, &spec, &err), err);
	struct release candidate = release_of(json_object_get(setup, "candidate"), arena), stable = release_of(json_object_get(setup, "stable"), arena);
	const struct replay_setup with = {.spec = &spec, .candidate = &candidate, .stable = stable.id ? &stable : NULL};
	CLEANUP(replay_free) struct replay *replay = replay_new(&with);
	size_t i;
	json_t *row;
	json_array_foreach(json_object_get(all, "observations"), i, row)
	{
		int64_t row_id = json_int_or(row, "id", 0);
		assert_ok(replay_row(replay, row_id, (unsigned)json_int_or(row, "step", 0), json_object_get(row, "row"), &err), err);
	}
	replay_report(replay, ret);
}

static void all_replays_agree(void)
{
	cleanup_error struct error *err = NULL;
	cleanup_stmt struct db_stmt *q = NULL;
	assert_ok(db_query(d.core->db, &q, &err, "SELECT DISTINCT rollout_id FROM observation", ""), err);
	while (db_step(q, &err) > 0) {
		struct replay_report report;
		replay_rollout(db_int(q, 0), &report);
		if (report.differs_at || report.agreed != report.turns || !report.has_begin)
			fail_msg("rollout %lld: %s", (long long)db_int(q, 0), report.difference);
	}
	assert_no_error(err);
}

static int teardown(void **state)
{
	if (d.core) {
		all_replays_agree();
		stop_daemon();
	}
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
#endif
