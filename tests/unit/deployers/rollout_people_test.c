/* The rollout machine and people: pause, resume, promote, rollback, and what is refused. */
#include "tests/unit/deployers/rollout_story.h"

/* ---- people ---- */

static void a_pause_stops_the_clock_but_not_safety(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	fine(&s, 500);
	turn_after(&s, 5000);
	give(&s, ROLLOUT_PAUSE);
	expect_state(&s, "paused");
	turn_after(&s, 500000);
	expect_state(&s, "paused");
	assert_string_equal(s.r.waits_for, "a person: `penstock resume`, `promote` or `rollback`");
	assert_int_equal(weight(&s, C), 50000);
	give(&s, ROLLOUT_RESUME);
	expect_state(&s, "stepping");
	turn_after(&s, 4999);
	assert_int_equal(s.r.step, 0);
	turn_after(&s, 1);
	assert_int_equal(s.r.step, 1);

	begin_stepping(&s);
	give(&s, ROLLOUT_PAUSE);
	s.verdict = (struct analysis_verdict){.verdict = VERDICT_WORSE, .reason = "worse"};
	turn(&s);
	expect_state(&s, "rolling_back");
}

static void a_pause_before_the_candidate_is_ready_keeps_it_without_traffic(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	turn(&s);
	give(&s, ROLLOUT_PAUSE);
	obey_desired(&s);
	turn_after(&s, 1000000);
	expect_state(&s, "paused");
	assert_int_equal(weight(&s, C), 0);
	give(&s, ROLLOUT_RESUME);
	expect_state(&s, "starting");
	turn(&s);
	expect_state(&s, "stepping");
}

static void promote_leaves_one_step_and_the_next_is_judged_again(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	s.in.command_by = "uid:0(root)";
	give(&s, ROLLOUT_PROMOTE);
	expect_state(&s, "stepping");
	assert_int_equal(s.r.step, 1);
	assert_true(s.out.new_step);
	assert_string_equal(s.r.reason, "step 2 of 2, 25%: promoted by uid:0(root)");
	assert_string_equal(s.r.decided_by, "operator");
	obey_desired(&s);
	turn_after(&s, 20000);
	assert_string_equal(s.r.waits_for, "evidence");
	assert_int_equal(weight(&s, C), 250000);
	give(&s, ROLLOUT_PROMOTE);
	expect_state(&s, "promoting");
	assert_string_equal(s.r.reason, "promoted by uid:0(root)");
}

static void promote_leaves_a_pause(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	turn(&s);
	give(&s, ROLLOUT_PAUSE);
	give(&s, ROLLOUT_PROMOTE);
	assert_null(s.out.refused);
	expect_state(&s, "starting");
	begin_stepping(&s);
	give(&s, ROLLOUT_PAUSE);
	give(&s, ROLLOUT_PROMOTE);
	expect_state(&s, "stepping");
	assert_int_equal(s.r.step, 1);
}

static void rollback_is_instant_while_the_old_copies_are_kept(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	s.in.command_by = "uid:0(root)";
	give(&s, ROLLOUT_PROMOTE_FULL);
	assert_string_equal(s.r.reason, "promoted in an emergency by uid:0(root)");
	assert_true(s.out.desired.hurry);
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "keeping_old");
	give(&s, ROLLOUT_ROLLBACK);
	expect_state(&s, "rolling_back");
	assert_false(s.out.desired.hurry);
	assert_int_equal(weight(&s, S), 1000000);
	assert_int_equal(copies(&s, C), 2);
	assert_string_equal(s.r.reason, "rolled back by uid:0(root)");
	obey_and_look_twice(&s);
	expect_state(&s, "rolled_back");
}

static void a_rollback_that_nobody_asked_for_by_name_tells_what_happened(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	s.in.command_why = "superseded by run 3";
	give(&s, ROLLOUT_ROLLBACK);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.r.reason, "rolled back: superseded by run 3");
}

static void promote_while_keeping_ends_the_keeping(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	give(&s, ROLLOUT_PROMOTE_FULL);
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "keeping_old");
	give(&s, ROLLOUT_PROMOTE);
	turn(&s);
	expect_state(&s, "promoted");
}

static void put_into(struct story *s, const char *state)
{
	begin_stepping(s);
	if (strcmp(state, "starting") == 0) {
		begin_as(s, true);
		turn(s);
	} else if (strcmp(state, "paused") == 0) {
		give(s, ROLLOUT_PAUSE);
	} else if (strcmp(state, "promoting") == 0) {
		give(s, ROLLOUT_PROMOTE_FULL);
	} else if (strcmp(state, "rolling_back") == 0 || strcmp(state, "rolled_back") == 0) {
		give(s, ROLLOUT_ROLLBACK);
	} else if (strcmp(state, "promoted") == 0) {
		s->spec.keep_old_ms = 0;
		give(s, ROLLOUT_PROMOTE_FULL);
	}
	if (strcmp(state, "rolled_back") == 0 || strcmp(state, "promoted") == 0)
		obey_and_look_twice(s);
	expect_state(s, state);
}

static void refusals_say_why(void **state)
{
	(void)state;
	static const struct {
		const char *state;
		enum rollout_command command;
		const char *refused;
	} cases[] = {
		{"starting", ROLLOUT_RESUME, "it is not paused"},
		{"starting", ROLLOUT_PROMOTE, "no step has begun, its copies are being started; `promote --full` skips all steps"},
		{"starting", ROLLOUT_APPROVE, "nothing here asks for an approval"},
		{"stepping", ROLLOUT_APPROVE, "nothing here asks for an approval"},
		{"promoted", ROLLOUT_APPROVE, "the rollout is finished"},
		{"promoting", ROLLOUT_PROMOTE_FULL, "it is being promoted already"},
		{"rolling_back", ROLLOUT_PROMOTE_FULL, "it is going back to a stable release that is ready; push a new release instead"},
		{"rolled_back", ROLLOUT_PROMOTE_FULL, "the rollout is finished"},
		{"promoted", ROLLOUT_ROLLBACK_NOW, "the rollout is finished"},
		{"stepping", ROLLOUT_RESUME, "it is not paused"},
		{"paused", ROLLOUT_PAUSE, "it is paused already"},
		{"promoting", ROLLOUT_PROMOTE, "it is being promoted already"},
		{"promoting", ROLLOUT_PAUSE,
		 "all traffic is moving to the candidate; this ends in a moment, and the old copies are kept for keep_old"},
		{"rolling_back", ROLLOUT_ROLLBACK, "it is going back already"},
		{"rolling_back", ROLLOUT_PAUSE, "it is going back; that is not stopped halfway"},
		{"rolled_back", ROLLOUT_PROMOTE, "the rollout is finished"},
		{"rolled_back", ROLLOUT_RESUME, "it is not paused"},
		{"promoted", ROLLOUT_ROLLBACK, "the rollout is finished"},
		{"promoted", ROLLOUT_PAUSE, "the rollout is finished"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct story s;
		put_into(&s, cases[i].state);
		enum rollout_state before = s.r.state;
		give(&s, cases[i].command);
		assert_non_null(s.out.refused);
		assert_string_equal(s.out.refused, cases[i].refused);
		assert_true(s.r.state == before || before == ROLLOUT_PROMOTING);
	}
}

static void harm_wins_over_a_command_in_the_same_turn(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	s.verdict = (struct analysis_verdict){.verdict = VERDICT_WORSE, .reason = "worse"};
	give(&s, ROLLOUT_PROMOTE);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.out.refused, "the candidate has just been found harmful; it is going back");
}

static void a_first_release_can_be_taken_back_to_nothing(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, false);
	turn(&s);
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "promoting");
	give(&s, ROLLOUT_ROLLBACK);
	expect_state(&s, "rolling_back");
	assert_int_equal(weight(&s, C), 0);
	assert_int_equal(copies(&s, C), 2);
	obey_and_look_twice(&s);
	expect_state(&s, "failed");
	assert_int_equal(s.out.desired.n_arms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pause_stops_the_clock_but_not_safety),
		cmocka_unit_test(a_pause_before_the_candidate_is_ready_keeps_it_without_traffic),
		cmocka_unit_test(promote_leaves_one_step_and_the_next_is_judged_again),
		cmocka_unit_test(promote_leaves_a_pause),
		cmocka_unit_test(rollback_is_instant_while_the_old_copies_are_kept),
		cmocka_unit_test(a_rollback_that_nobody_asked_for_by_name_tells_what_happened),
		cmocka_unit_test(promote_while_keeping_ends_the_keeping),
		cmocka_unit_test(refusals_say_why),
		cmocka_unit_test(harm_wins_over_a_command_in_the_same_turn),
		cmocka_unit_test(a_first_release_can_be_taken_back_to_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
