/* What users of other rollout controllers reported of switching and going back, told to our machine (docs/peers.md). Each test is named for
 * its threads. */
#include "tests/unit/deployers/rollout_story.h"

static void harm(struct story *s)
{
	s->verdict = (struct analysis_verdict){.verdict = VERDICT_WORSE, .reason = "error_rate: worse"};
}

/* A failed analysis ends the climb wherever it finds it: while people are waited for, while it is paused, at any step. */
static void argo_1411_flagger_1801_harm_is_heeded_wherever_it_stands(void **state)
{
	(void)state;
	static const struct {
		bool approve;
		enum rollout_command command;
		const char *state;
	} cases[] = {
		{false, ROLLOUT_NONE, "stepping"},
		{true, ROLLOUT_NONE, "awaiting"},
		{false, ROLLOUT_PAUSE, "paused"},
		{false, ROLLOUT_PROMOTE, "stepping"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct story s;
		begin_stepping(&s);
		s.spec.terms[0].approve = cases[i].approve;
		if (cases[i].approve) {
			fine(&s, 500);
			turn_after(&s, 10000);
		}
		if (cases[i].command != ROLLOUT_NONE)
			give(&s, cases[i].command);
		expect_state(&s, cases[i].state);
		harm(&s);
		turn_after(&s, 1);
		expect_state(&s, "rolling_back");
		assert_int_equal(weight(&s, C), 0);
	}
}

/* The promotion does not get through and stable is down by then: going back would be the outage. */
static void flagger_1898_going_back_never_takes_the_only_healthy_copies(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	give(&s, ROLLOUT_PROMOTE_FULL);
	expect_state(&s, "promoting");
	obey_desired(&s);
	s.actual.generation--; /* the target is not done */
	s.actual.arms[1].ready = 0;
	give(&s, ROLLOUT_ROLLBACK);
	expect_state(&s, "rolling_back");
	for (int i = 0; i < 10; i++) {
		assert_int_equal(weight(&s, C), 1000000);
		assert_int_equal(copies(&s, C), 2);
		assert_int_equal(copies(&s, S), 2);
		turn_after(&s, 3600000);
	}
	s.actual.arms[1].ready = 2;
	turn(&s);
	assert_int_equal(weight(&s, S), 1000000);
	assert_int_equal(copies(&s, C), 2); /* until its traffic was read back as none */
	obey_and_look_twice(&s);
	expect_state(&s, "rolled_back");
}

/* All traffic at once on a stable release that is not at its size: not without being asked to. */
static void argo_3020_traffic_goes_back_when_stable_is_at_full_size(void **state)
{
	(void)state;
	for (int now = 0; now < 2; now++) {
		struct story s;
		begin_stepping(&s);
		s.spec.keep_old_ms = 3600000;
		give(&s, ROLLOUT_PROMOTE_FULL);
		obey_desired(&s);
		turn(&s);
		expect_state(&s, "keeping_old");
		assert_int_equal(copies(&s, S), 2); /* it has kept its size all the while */
		s.actual.arms[1].ready = 1;
		give(&s, now ? ROLLOUT_ROLLBACK_NOW : ROLLOUT_ROLLBACK);
		expect_state(&s, "rolling_back");
		assert_int_equal(weight(&s, S), now ? 1000000 : 0);
		s.actual.arms[1].ready = 2;
		turn(&s);
		assert_int_equal(weight(&s, S), 1000000);
	}
}

/* The old copies go after the switch was read back, and then not at the first look. */
static void argo_2235_old_copies_outlive_the_switch(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	s.spec.keep_old_ms = 0;
	give(&s, ROLLOUT_PROMOTE_FULL);
	for (int minute = 0; minute < 60; minute++) {
		turn_after(&s, 60000); /* the router does not show the switch */
		expect_state(&s, "promoting");
		assert_int_equal(copies(&s, S), 2);
	}
	obey_desired(&s);
	turn(&s);
	assert_int_equal(copies(&s, S), 2);
	turn(&s);
	expect_state(&s, "promoted");
	assert_int_equal(copies(&s, S), 0);
}

/* Nothing is in progress: then there is nothing that an abort may touch. */
static void argo_1292_a_command_after_the_end_changes_nothing(void **state)
{
	(void)state;
	static const enum rollout_command commands[] = {ROLLOUT_ROLLBACK, ROLLOUT_ROLLBACK_NOW, ROLLOUT_PROMOTE, ROLLOUT_PROMOTE_FULL,
							ROLLOUT_PAUSE,    ROLLOUT_RESUME,       ROLLOUT_APPROVE};
	struct story s;
	begin_stepping(&s);
	give(&s, ROLLOUT_ROLLBACK);
	obey_and_look_twice(&s);
	expect_state(&s, "rolled_back");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		give(&s, commands[i]);
		assert_non_null(s.out.refused);
		assert_false(s.out.changed_desired);
		assert_int_equal(copies(&s, S), 2);
		assert_int_equal(weight(&s, S), 1000000);
	}
}

/* Stable is broken, so that nothing can be compared with it and nothing of it will come up: the fix still goes out. */
static void argo_1774_a_fix_goes_out_though_stable_is_broken(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	s.actual.arms[1].ready = 0;
	turn(&s);
	s.actual.arms[0].replicas = 2;
	s.actual.arms[0].ready = 1;
	turn(&s);
	assert_int_equal(weight(&s, C), 0);
	give(&s, ROLLOUT_PROMOTE_FULL);
	turn(&s);
	expect_state(&s, "promoting");
	assert_int_equal(weight(&s, C), 1000000); /* with one ready copy, without analysis and steps */
	assert_int_equal(copies(&s, C), 2);
}

/* What should happen at the end of a step without traffic is the user's to say, apart from what happens when the evidence is undecided. */
static void argo_1905_flagger_1035_silence_has_a_policy_of_its_own(void **state)
{
	(void)state;
	static const struct {
		enum undecided policy;
		const char *state;
		unsigned step;
		bool held;
	} cases[] = {
		{UNDECIDED_HOLD, "stepping", 0, true},
		{UNDECIDED_PROMOTE, "stepping", 1, false},
		{UNDECIDED_ROLLBACK, "rolling_back", 0, false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct story s;
		begin_stepping(&s);
		s.spec.no_data = cases[i].policy;
		s.spec.undecided = UNDECIDED_ROLLBACK;
		s.verdict = (struct analysis_verdict){.verdict = VERDICT_NO_DATA, .reason = "no data"};
		turn_after(&s, 59999);
		expect_state(&s, "stepping");
		assert_int_equal(s.r.step, 0);
		turn_after(&s, 1);
		expect_state(&s, cases[i].state);
		assert_int_equal(s.r.step, cases[i].step);
		assert_int_equal(s.r.held, cases[i].held);
		if (!cases[i].held)
			continue;
		fine(&s, 500); /* the values come after all */
		turn_after(&s, 3600000);
		assert_int_equal(s.r.step, 1);
	}
}

/* Both deadlines fire: of copies that never come up, and of a step. An abort is obeyed in the same turn. */
static void argo_4128_deadlines_fire_and_an_abort_is_obeyed(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	turn(&s);
	turn_after(&s, 2 * 30000 + 60000);
	expect_state(&s, "rolling_back");
	begin_as(&s, true);
	turn(&s);
	give(&s, ROLLOUT_ROLLBACK);
	expect_state(&s, "rolling_back");
	begin_stepping(&s);
	s.spec.undecided = UNDECIDED_ROLLBACK;
	turn_after(&s, 60000);
	expect_state(&s, "rolling_back");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(argo_1411_flagger_1801_harm_is_heeded_wherever_it_stands),
		cmocka_unit_test(flagger_1898_going_back_never_takes_the_only_healthy_copies),
		cmocka_unit_test(argo_3020_traffic_goes_back_when_stable_is_at_full_size),
		cmocka_unit_test(argo_2235_old_copies_outlive_the_switch),
		cmocka_unit_test(argo_1292_a_command_after_the_end_changes_nothing),
		cmocka_unit_test(argo_1774_a_fix_goes_out_though_stable_is_broken),
		cmocka_unit_test(argo_1905_flagger_1035_silence_has_a_policy_of_its_own),
		cmocka_unit_test(argo_4128_deadlines_fire_and_an_abort_is_obeyed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
