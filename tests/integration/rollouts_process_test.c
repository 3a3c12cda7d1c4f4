/* Rollouts carried out for real: the controller, the process target, HAProxy, copies in sandboxes, requests all the time. */
#include "tests/integration/process_rig.h"

#include "artifacts/commands.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "runner/rollouts_priv.h"

#include <string.h>

static struct stage_rig {
	struct rig *rig;
	struct config config;
	struct config_target target;
	struct yaml_doc *doc;
	struct core *core;
	struct rollouts *rollouts;
	char told[512];
} s;

static int finish_stage(struct engine *engine, int64_t stage_id, enum outcome outcome, const char *reason, struct error **err)
{
	(void)engine;
	snprintf(s.told, sizeof(s.told), "%s: %s", outcome_name(outcome), reason);
	return db_run(s.core->db, err, "UPDATE stage SET state = 'finished', outcome = ? WHERE id = ?", "si", outcome_name(outcome), stage_id);
}

static void start_daemon(void)
{
	static const struct rollouts_seams seams = {.find_target = target_find, .finish_stage = finish_stage};
	cleanup_error struct error *err = NULL;
	assert_ok(core_open(&s.config, &s.core, &err), err);
	assert_ok(rollouts_open_with(s.core, &seams, &s.rollouts, &err), err);
	s.core->rollouts = s.rollouts;
}

static void stop_daemon(void)
{
	rollouts_close(s.rollouts);
	core_close(s.core);
	s.core = NULL;
}

static int setup(void **state)
{
	if (rig_setup(state) < 0)
		return -1;
	memset(&s, 0, sizeof(s));
	s.rig = *state;
	cleanup_diags struct diag_list *diags = diag_list_new();
	s.doc = yaml_parse("penstock.yml", s.rig->config, strlen(s.rig->config), diags);
	s.target = (struct config_target){.name = "prod", .kind = "process", .body = yaml_root(s.doc)};
	s.config = (struct config){.file = "penstock.yml", .state = s.rig->state_dir, .targets = &s.target, .n_targets = 1};
	free(s.rig->layout);
	s.rig->layout = path_join(s.rig->state_dir, "oci");
	start_daemon();
	return 0;
}

/* What is being taken away has gone; the driver waits for the processes it stopped. */
static void settle(void)
{
	const struct watched *watched = rollouts_find(s.rollouts, "prod");
	uint64_t deadline = clock_mono_ms() + 20000;
	while (clock_mono_ms() < deadline && !(watched->has_actual && watched->actual.generation >= watched->want.generation))
		loop_turn(s.core->loop);
}

static int teardown(void **state)
{
	if (s.core) {
		settle();
		stop_daemon();
	}
	yaml_doc_free(s.doc);
	char *target_dir = path_join(s.rig->state_dir, "targets/prod"); /* whose copies and HAProxy the rig ends */
	free(s.rig->state_dir);
	s.rig->state_dir = target_dir;
	return rig_teardown(state);
}

static void run_sql(const char *sql)
{
	cleanup_error struct error *err = NULL;
	core_event_begin(s.core);
	assert_ok(db_run(s.core->db, &err, sql, ""), err);
	core_event_end(s.core, true);
	core_commit(s.core);
}

static const char *sql_text(const char *sql)
{
	static char text[4096];
	cleanup_error struct error *err = NULL;
	cleanup_stmt struct db_stmt *q = NULL;
	assert_ok(db_query(s.core->db, &q, &err, sql, ""), err);
	int more = db_step(q, &err);
	assert_no_error(err);
	snprintf(text, sizeof(text), "%s", more > 0 && db_text(q, 0) ? db_text(q, 0) : "");
	return text;
}

static void deploy(int64_t run, const char *version, const char *behaviour)
{
	cleanup_error struct error *err = NULL;
	cleanup_free char *image = rig_image(s.rig, version, behaviour);
	char sql[600];
	long long n = (long long)run;
	struct rollout_spec spec = {.target = "prod",
				    .image_stage = "image",
				    .replicas = 2,
				    .health_path = "/healthz",
				    .health_within_ms = 20000,
				    .strategy = STRATEGY_CANARY,
				    .steps_ppm = {100000, 300000},
				    .n_steps = 2,
				    .hold_at_least_ms = 1000,
				    .hold_at_most_ms = 60000,
				    .min_requests = 50,
				    .alpha = 0.05,
				    .metrics = {{.metric = "error_rate", .versus_stable = true, .margin = 0.03}},
				    .n_metrics = 1,
				    .keep_old_ms = 3000};
	snprintf(sql, sizeof(sql), "INSERT INTO run (id, repository, facts, created_ms) VALUES (%lld, 'fraud', '{}', 1)", n);
	run_sql(sql);
	snprintf(sql, sizeof(sql), "INSERT INTO stage (id, run_id, idx, name, kind, state) VALUES (%lld, %lld, 0, 'release', 'deploy', 'running')", n,
		 n);
	run_sql(sql);
	snprintf(sql, sizeof(sql),
		 "INSERT INTO release (id, run_id, stage_id, repository, version, image, commit_sha, port, created_ms)"
		 " VALUES (%lld, %lld, %lld, 'fraud', '%s', '%s', 'c0ffee', 8080, 1)",
		 n, n, n, version, image);
	run_sql(sql);
	int64_t id;
	core_event_begin(s.core);
	assert_ok(rollouts_start(s.rollouts, run, run, &spec, &id, &err), err);
	core_event_end(s.core, true);
}

static const char *state_now(void)
{
	return sql_text("SELECT json_extract(machine, '$.state') FROM rollout ORDER BY id DESC LIMIT 1");
}

static void until(const char *state)
{
	uint64_t deadline = clock_mono_ms() + 60000;
	while (strcmp(state_now(), state) != 0) {
		if (clock_mono_ms() > deadline)
			fail_msg("still %s, not %s: %s", state_now(), state, sql_text("SELECT machine FROM rollout ORDER BY id DESC LIMIT 1"));
		loop_turn(s.core->loop);
	}
}

static void command(enum rollout_command what)
{
	cleanup_error struct error *err = NULL;
	int64_t id;
	core_event_begin(s.core);
	assert_ok(rollouts_command(s.rollouts, "prod", what, "uid:0(root)", &id, &err), err);
	core_event_end(s.core, true);
}

static const char *live(void)
{
	return sql_text("SELECT version FROM target JOIN release ON release.id = target.live_release");
}

static void a_good_model_is_promoted_across_a_restart_and_no_request_fails(void **state)
{
	(void)state;
	struct load_result result;
	char body[64];
	deploy(1, "v1", "ok");
	until("promoted");
	struct load *load = load_start(s.rig);
	deploy(2, "v2", "ok");
	until("stepping");
	stop_daemon();
	start_daemon();
	until("keeping_old");
	assert_string_equal(live(), "v2");
	command(ROLLOUT_ROLLBACK); /* at once: the old copies are still there */
	until("rolled_back");
	assert_string_equal(live(), "v1");
	assert_int_equal(rig_get(s.rig, body), 200);
	assert_string_equal(body, "v1");
	load_stop(load, &result);
	if (result.failed)
		fail_msg("%llu of %llu requests failed, the last: %s", (unsigned long long)result.failed, (unsigned long long)result.requests,
			 result.last_failure);
	assert_true(result.requests > 200);
}

static void a_server_that_fails_one_request_in_ten_is_taken_back(void **state)
{
	(void)state;
	struct load_result result;
	deploy(1, "v1", "ok");
	until("promoted");
	struct load *load = load_start(s.rig);
	deploy(2, "v2", "fail");
	until("rolled_back");
	load_stop(load, &result);
	assert_string_equal(live(), "v1");
	assert_true(strncmp(s.told, "rolled_back: error_rate: ", 25) == 0);
	/* What failed is the candidate's own share: a tenth of a tenth. */
	assert_true(result.failed * 20 < result.requests);
}

static void a_server_that_crashes_is_taken_back_without_traffic(void **state)
{
	(void)state;
	deploy(1, "v1", "ok");
	until("promoted");
	deploy(2, "v2", "crash");
	until("rolled_back");
	assert_true(strncmp(s.told, "rolled_back: the candidate did not become ready: ", 49) == 0);
	assert_string_equal(sql_text("SELECT count(*) FROM event WHERE kind = 'rollout.step'"), "0");
	assert_string_equal(live(), "v1");
}

int main(int argc, char **argv)
{
	/* The target's children run its own executable: here that is us. */
	if (argc > 1 && strcmp(argv[1], "unpack") == 0)
		return unpack_command(argc - 1, argv + 1);
	setenv("PENSTOCK_LEADER", LEADER_PATH, 1);
	if (!getenv("VERBOSE"))
		log_set_level((enum log_level)(LOG_ERROR + 1));
	loop_free(loop_new()); /* libuv keeps a pipe for ever, from its first loop on */
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_good_model_is_promoted_across_a_restart_and_no_request_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_fails_one_request_in_ten_is_taken_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_crashes_is_taken_back_without_traffic, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
