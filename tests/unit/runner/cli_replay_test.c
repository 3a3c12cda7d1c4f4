/* `penstock replay` on a file: a rollout of the daemon's own, as `--save` keeps it, then changed by hand. */
#include "tests/support/command_run.h"
#include "tests/unit/runner/rollouts_fixture.h"

#include "base/file.h"
#include "runner/cli/rollout_commands.h"

#include <string.h>

/* What `--save` writes of the newest rollout; a new reference. */
static json_t *saved_rollout(void)
{
	cleanup_error struct error *err = NULL;
	int64_t id = strtoll(sql_text("SELECT max(id) FROM rollout"), NULL, 10);
	cleanup_json json_t *page = rollout_observations_json(d.core, id, 0, 100000, &err);
	assert_no_error(err);
	assert_true(json_is_false(json_object_get(page, "more")));
	return json_pack("{s:i, s:O, s:O}", "penstock_replay", 1, "rollout", json_object_get(page, "rollout"), "observations",
			 json_object_get(page, "observations"));
}

static json_t *a_canary_that_was_taken_back(void)
{
	first_release();
	arm_of(image_of(2))->error_rate = 0.2;
	deploy(2);
	until("stepping");
	command_ok(ROLLOUT_PAUSE);
	pass(1000);
	command_ok(ROLLOUT_RESUME);
	until("rolled_back");
	assert_non_null(strstr(events(), "rollout.resumed"));
	return saved_rollout();
}

static struct said replay_of(struct fixture *fixture, const json_t *saved, const char *more)
{
	cleanup_free char *text = json_text(saved), *path = fixture_write(fixture, "saved.json", text);
	cleanup_free char *line = xasprintf("replay %s%s", path, more);
	return command_line(fixture, cli_replay, line);
}

static json_t *first_row(const json_t *saved, const char *kind)
{
	const json_t *observation;
	size_t i;
	json_array_foreach(json_object_get(saved, "observations"), i, observation)
	{
		json_t *row = json_object_get(observation, "row");
		if (strcmp(json_string_or(row, "kind", "counts"), kind) == 0 && !json_object_get(row, "dropped"))
			return row;
	}
	fail_msg("there is no row of kind %s", kind);
	return NULL;
}

static void what_the_daemon_decided_is_decided_again(void **state)
{
	cleanup_json json_t *saved = a_canary_that_was_taken_back();
	cleanup_said struct said said = replay_of(*state, saved, ""), json = replay_of(*state, saved, " --json");
	unsigned long long decisions, agreed, blocks;
	assert_string_equal(said.err, "");
	assert_int_equal(said.status, 0);
	assert_int_equal(sscanf(said.out, "%llu decisions, %llu agreed; %llu blocks", &decisions, &agreed, &blocks), 3);
	assert_true(decisions > 3 && decisions == agreed && blocks > 0);
	assert_int_equal(json.status, 0);
	assert_non_null(strstr(json.out, "\"agree\": true"));
	assert_non_null(strstr(json.out, "\"evidence_only\": false"));
}

static void a_changed_count_is_a_difference(void **state)
{
	cleanup_json json_t *saved = a_canary_that_was_taken_back();
	json_t *candidate = json_object_get(first_row(saved, "counts"), "candidate");
	json_object_set_new(candidate, "completed", json_integer(json_int_or(candidate, "completed", 0) + 7));
	json_object_del(candidate, "instances");
	cleanup_said struct said said = replay_of(*state, saved, ""), json = replay_of(*state, saved, " --json");
	assert_int_equal(said.status, 1);
	assert_non_null(strstr(said.out, "\nthe first difference is in observation "));
	assert_non_null(strstr(said.out, "recomputed ..."));
	assert_int_equal(json.status, 1);
	assert_non_null(strstr(json.out, "\"agree\": false"));
}

/* As version 0.1 stored them: counts, and nothing else. */
static void without_stored_decisions_the_evidence_alone_is_recomputed(void **state)
{
	cleanup_json json_t *saved = a_canary_that_was_taken_back(), *counts = json_array();
	const json_t *observation;
	size_t i;
	json_array_foreach(json_object_get(saved, "observations"), i, observation)
	{
		if (strcmp(json_string_or(json_object_get(observation, "row"), "kind", ""), "counts") == 0)
			json_array_append(counts, (json_t *)(uintptr_t)observation);
	}
	json_object_set(saved, "observations", counts);
	cleanup_said struct said said = replay_of(*state, saved, "");
	assert_int_equal(said.status, 0);
	assert_non_null(strstr(said.out, "0 decisions, 0 agreed; "));
	assert_non_null(strstr(said.out, "(version 0.1): only its evidence could be recomputed\nthe evidence at its end: worse: error_rate: "));
}

static json_t *with_rows(const json_t *saved, size_t from, size_t to, bool backwards)
{
	json_t *copy = json_deep_copy(saved), *rows = json_array();
	for (size_t i = from; i < to; i++) {
		json_t *row = json_array_get(json_object_get(saved, "observations"), i);
		if (backwards)
			json_array_insert(rows, 0, row);
		else
			json_array_append(rows, row);
	}
	json_object_set_new(copy, "observations", rows);
	return copy;
}

static void rows_that_are_missing_or_in_another_order_are_told(void **state)
{
	cleanup_json json_t *saved = a_canary_that_was_taken_back();
	size_t n = json_array_size(json_object_get(saved, "observations"));
	cleanup_json json_t *cut = with_rows(saved, 0, n - 1, false), *backwards = with_rows(saved, 0, n, true),
			    *tail = with_rows(saved, 1, n, false);
	cleanup_said struct said said_cut = replay_of(*state, cut, ""), said_backwards = replay_of(*state, backwards, "");
	assert_int_equal(said_cut.status, 2);
	assert_non_null(
		strstr(said_cut.err, "the rollout has ended (rolled_back), but its observations end while it is rolling_back: some are missing"));
	assert_int_equal(said_backwards.status, 2);
	assert_non_null(strstr(said_backwards.err, ": it stands behind number "));
	/* As a rollout that version 0.1 began: what comes behind the first turn is recomputed all the same. */
	cleanup_said struct said said_tail = replay_of(*state, tail, "");
	assert_int_equal(said_tail.status, 0);
	assert_non_null(strstr(said_tail.out, "\nwhat it began with was not stored (version 0.1): "));
	json_t *candidate = json_object_get(first_row(tail, "counts"), "candidate");
	json_object_set_new(candidate, "completed", json_integer(json_int_or(candidate, "completed", 0) + 7));
	json_object_del(candidate, "instances");
	cleanup_said struct said said_changed = replay_of(*state, tail, "");
	assert_int_equal(said_changed.status, 1);
}

static void damaged_files_are_refused(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		const char *text, *err;
	} cases[] = {
		{"{}", "penstock replay: %s/saved.json: this is no file that `penstock replay --save` of this version has written\n"},
		{"[]", "penstock replay: %s/saved.json: this is no file that `penstock replay --save` of this version has written\n"},
		{"{\"penstock_replay\":2}",
		 "penstock replay: %s/saved.json: this is no file that `penstock replay --save` of this version has written\n"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json json_t *json = json_loads(cases[i].text, 0, NULL);
		cleanup_said struct said said = replay_of(fixture, json, "");
		assert_int_equal(said.status, 2);
		assert_string_equal(said.err, fixture_text(fixture, cases[i].err));
	}
	static const char *const broken[] = {"{\"penstock_replay\":1}", "{\"penstock_replay\":1,\"rollout\":{\"spec\":{}},\"observations\":3}"};
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		cleanup_json json_t *json = json_loads(broken[i], 0, NULL);
		cleanup_said struct said said = replay_of(fixture, json, "");
		assert_int_equal(said.status, 2);
		assert_string_equal(said.out, "");
	}
	cleanup_json json_t *saved = a_canary_that_was_taken_back();
	json_object_set_new(first_row(saved, "turn"), "machine", json_string("gone"));
	cleanup_said struct said said = replay_of(fixture, saved, "");
	assert_int_equal(said.status, 2);
	assert_non_null(strstr(said.err, "observation "));
}

int main(void)
{
	loop_free(loop_new()); /* libuv keeps a pipe for signals from its first loop on */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_the_daemon_decided_is_decided_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_changed_count_is_a_difference, setup, teardown),
		cmocka_unit_test_setup_teardown(without_stored_decisions_the_evidence_alone_is_recomputed, setup, teardown),
		cmocka_unit_test_setup_teardown(rows_that_are_missing_or_in_another_order_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_files_are_refused, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
