/* The rollout controller on a scripted target and a fake clock: real rows, real analysis, no sleeping. */
#include "tests/unit/runner/rollouts_fixture.h"

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
	assert_true(strtol(sql_text("SELECT count(*) FROM observation WHERE json_extract(block, '$.kind') = 'counts' AND json_extract(block, '$.dropped') IS NULL"), NULL, 10) >= 4);
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
	assert_string_equal(sql_text("SELECT count(*) FROM observation WHERE json_extract(block, '$.kind') = 'counts' AND json_extract(block, '$.dropped') IS NULL"), "0");
	assert_string_equal(sql_text("SELECT max(json_extract(block, '$.dropped')) FROM observation"), "the step's weight was not confirmed yet");
	assert_true(strtol(sql_text("SELECT count(*) FROM observation WHERE json_extract(block, '$.dropped') LIKE 'mixed%'"), NULL, 10) > 10);
	world.mixed = false;
	until("keeping_old");
}

static void a_replay_notices_what_was_changed_afterwards(void **state)
{
	(void)state;
	struct replay_report report;
	first_release();
	deploy(2);
	until("keeping_old");
	replay_rollout(2, &report);
	assert_true(report.counts >= 6 && report.turns >= 5 && report.agreed == report.turns && !report.differs_at);
	/* One request less among the stable release's. */
	run_sql("UPDATE observation SET block = json_set(block, '$.stable.completed', json_extract(block, '$.stable.completed') - 1)"
		" WHERE id = (SELECT min(id) FROM observation WHERE rollout_id = 2 AND json_extract(block, '$.kind') = 'counts'"
		" AND json_extract(block, '$.dropped') IS NULL)");
	replay_rollout(2, &report);
	assert_true(report.differs_at > 0);
	assert_true(report.agreed < report.turns);
	run_sql("DELETE FROM observation WHERE rollout_id = 2");
}

/* ---- the rollback window ---- */

static int64_t deploy_image_again(int64_t run, int64_t image_run, uint64_t window_ms)
{
	cleanup_error struct error *err = NULL;
	struct rollout_spec spec = canary();
	char sql[300];
	spec.rollback_window_ms = window_ms;
	snprintf(sql, sizeof(sql), "INSERT INTO run (id, repository, facts, created_ms) VALUES (%lld, 'fraud', '{}', 1)", (long long)run);
	run_sql(sql);
	snprintf(sql, sizeof(sql), "INSERT INTO stage (id, run_id, idx, name, kind, state) VALUES (%lld, %lld, 0, 'release', 'deploy', 'running')",
		 (long long)run, (long long)run);
	run_sql(sql);
	snprintf(sql, sizeof(sql),
		 "INSERT INTO release (id, run_id, stage_id, repository, version, image, commit_sha, port, created_ms)"
		 " VALUES (%lld, %lld, %lld, 'fraud', 'v%lld', '%s', 'c0ffee', 80, 1)",
		 (long long)run, (long long)run, (long long)run, (long long)run, image_of(image_run));
	run_sql(sql);
	int64_t id = 0;
	core_event_begin(d.core);
	assert_ok(rollouts_start(d.rollouts, run, run, &spec, &id, &err), err);
	core_event_end(d.core, true);
	core_commit(d.core);
	return id;
}

static void what_was_live_a_moment_ago_goes_the_fast_track(void **state)
{
	(void)state;
	first_release();
	deploy(2);
	until("promoted");
	deploy_image_again(3, 1, 3600000);
	pass(2500);
	assert_string_equal(state_now(), "keeping_old");
	assert_string_equal(sql_text("SELECT json_extract(machine, '$.fast_track') FROM rollout WHERE candidate = 3"), "1");
	assert_string_equal(sql_text("SELECT count(*) FROM event WHERE kind = 'rollout.step' AND subject = 'rollout/3'"), "0");
}

static void what_was_live_too_long_ago_is_judged(void **state)
{
	(void)state;
	first_release();
	deploy(2);
	until("promoted");
	pass(20000);
	deploy_image_again(3, 1, 10000);
	pass(2500);
	assert_string_equal(state_now(), "stepping");
}

static void what_was_taken_back_is_judged_again(void **state)
{
	(void)state;
	first_release();
	deploy(2);
	until("promoted");
	command_ok(ROLLOUT_ROLLBACK); /* by hand: release 2 was found bad */
	until("promoted");
	deploy_image_again(3, 2, 3600000);
	pass(3000);
	assert_string_equal(state_now(), "stepping");
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
	command_ok(ROLLOUT_PROMOTE_FULL);
	until("keeping_old");
	assert_string_equal(d.told, "stage 2 success: promoted in an emergency by uid:0(root)");
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

static void a_newer_release_waits_if_it_was_asked_to(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	struct rollout_spec spec = canary();
	spec.newer_waits = true;
	first_release();
	deploy_with(2, &spec, &err);
	assert_no_error(err);
	until("stepping");
	deploy(3);
	pass(1000);
	assert_string_equal(sql_text("SELECT json_extract(machine, '$.state') FROM rollout WHERE id = 2"), "stepping");
	until("stepping"); /* the newest, after the end of the other */
	assert_string_equal(sql_text("SELECT json_extract(machine, '$.state') FROM rollout WHERE id = 2"), "promoted");
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
	assert_string_equal(sql_text("SELECT machine ->> 'reason' FROM rollout WHERE candidate = 2"), "rolled back: superseded by run 4");
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

static void what_the_driver_has_put_right_by_itself_is_told_once(void **state)
{
	(void)state;
	first_release();
	pass(10000);
	world.repairs++;
	pass(20000);
	assert_string_equal(events(), "target.repaired");
	assert_string_equal(sql_text("SELECT data FROM event WHERE kind = 'target.repaired'"), "{\"after_ms\":7,\"found\":\"the map said no\"}");
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
		test(a_replay_notices_what_was_changed_afterwards),
		test(what_was_live_a_moment_ago_goes_the_fast_track),
		test(what_was_live_too_long_ago_is_judged),
		test(what_was_taken_back_is_judged_again),
		test(pause_resume_promote_and_rollback_by_hand),
		test(rollback_goes_to_the_release_before_and_then_further),
		test(an_unknown_target_is_told),
		test(a_newer_release_waits_if_it_was_asked_to),
		test(a_cancelled_run_takes_its_rollout_back),
		test(a_newer_release_supersedes_the_one_under_way),
		test(an_older_run_that_comes_late_does_not_supersede),
		test(a_newer_release_does_not_wait_for_keep_old),
		test(a_restart_goes_on_with_the_same_evidence),
		test(a_restart_in_every_moment_leads_to_the_same_end),
		test(an_intent_that_was_never_handed_over_is_handed_over_after_the_restart),
		test(drift_is_put_right_and_told),
		test(what_the_driver_has_put_right_by_itself_is_told_once),
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
