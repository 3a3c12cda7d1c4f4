/* What a copy's record and the clock say: does it hang, does it keep crashing, is it too late? */
#include "deployers/process/instances.h"

#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#define MINUTE 60000
#define NOW 100000000

static struct instance_view look(const struct instance *in, enum attempt_state state, enum instance_health health, int64_t now_ms)
{
	struct instance_view view;
	instance_view_of(in, state, health, now_ms, 5000, &view);
	return view;
}

/* Started at NOW, seen up at once. */
static struct instance copy(void)
{
	return (struct instance){.id = 7,
				 .starts = 2,
				 .up_start = 2,
				 .started_ms = NOW,
				 .wait_from_ms = NOW,
				 .health_within_ms = 30000,
				 .restart_after_ms = 20000,
				 .health_path = (char *)(uintptr_t) "/healthz"};
}

static void a_copy_hangs_when_it_was_up_and_answers_nothing_for_so_long(void **state)
{
	static const struct {
		const char *title;
		enum attempt_state state;
		int64_t deaf_for_ms; /* -1: not deaf */
		unsigned up_start;
		uint64_t restart_after_ms;
		bool stopping, restarting, hung;
	} cases[] = {
		{"it answers", ATTEMPT_RUNNING, -1, 2, 20000, false, false, false},
		{"not yet", ATTEMPT_RUNNING, 19999, 2, 20000, false, false, false},
		{"now", ATTEMPT_RUNNING, 20000, 2, 20000, false, false, true},
		{"it never was up: health_within counts", ATTEMPT_RUNNING, 50000, 0, 20000, false, false, false},
		{"it was, but in the start before", ATTEMPT_RUNNING, 50000, 1, 20000, false, false, false},
		{"nobody wants it restarted", ATTEMPT_RUNNING, 50000, 2, 0, false, false, false},
		{"it does not run", ATTEMPT_FINISHED, 50000, 2, 20000, false, false, false},
		{"it is being stopped", ATTEMPT_RUNNING, 50000, 2, 20000, true, false, false},
		{"it is being restarted", ATTEMPT_RUNNING, 50000, 2, 20000, false, true, false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct instance in = copy();
		in.up_start = cases[i].up_start;
		in.restart_after_ms = cases[i].restart_after_ms;
		in.stopping = cases[i].stopping;
		in.restarting = cases[i].restarting;
		in.deaf_since_ms = cases[i].deaf_for_ms < 0 ? 0 : NOW;
		struct instance_view view = look(&in, cases[i].state, HEALTH_DEAF, NOW + cases[i].deaf_for_ms);
		if (view.hung != cases[i].hung)
			fail_msg("%s: hung %d", cases[i].title, view.hung);
	}
}

static void three_quick_ends_in_a_row_are_a_crash_loop(void **state)
{
	struct instance in = copy();
	(void)state;
	snprintf(in.message, sizeof(in.message), "exit status 3");
	for (unsigned n = 1; n <= 3; n++) {
		assert_false(look(&in, ATTEMPT_FINISHED, HEALTH_UNKNOWN, NOW).failed);
		instance_crashed(&in, 200, NOW);
	}
	struct instance_view view = look(&in, ATTEMPT_FINISHED, HEALTH_UNKNOWN, NOW);
	assert_true(view.failed);
	assert_false(view.start_due);
	assert_string_equal(view.message, "ended 3 times right after its start: exit status 3");
	/* One that is up again is none for the moment. */
	assert_false(look(&in, ATTEMPT_RUNNING, HEALTH_UP, NOW + 2000).failed);
	/* A longer life breaks the row. */
	instance_crashed(&in, 30000, NOW + 40000);
	assert_int_equal(in.quick_exits, 0);
}

static void so_are_five_ends_in_ten_minutes(void **state)
{
	struct instance in = copy();
	(void)state;
	snprintf(in.message, sizeof(in.message), "killed by SIGSEGV");
	for (unsigned n = 0; n < 4; n++) {
		instance_crashed(&in, MINUTE, NOW + (int64_t)n * MINUTE);
		in.wait_from_ms = NOW + (int64_t)n * MINUTE;
		assert_false(look(&in, ATTEMPT_FINISHED, HEALTH_UNKNOWN, NOW + (int64_t)n * MINUTE).failed);
	}
	instance_crashed(&in, MINUTE, NOW + 4 * MINUTE);
	in.wait_from_ms = NOW + 4 * MINUTE;
	struct instance_view view = look(&in, ATTEMPT_FINISHED, HEALTH_UNKNOWN, NOW + 4 * MINUTE);
	assert_true(view.failed);
	assert_string_equal(view.message, "crashed 5 times within 10 minutes: killed by SIGSEGV");
	/* Once the first is ten minutes ago it is not. */
	in.wait_from_ms = NOW + 10 * MINUTE;
	assert_false(look(&in, ATTEMPT_FINISHED, HEALTH_UNKNOWN, NOW + 10 * MINUTE).failed);
}

static void pauses_grow_with_recent_crashes_and_a_good_while_ends_them(void **state)
{
	static const int64_t pauses[] = {250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
	struct instance in = copy();
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pauses); i++) {
		instance_crashed(&in, 100, NOW + (int64_t)i);
		assert_int_equal(in.next_start_ms - (NOW + (int64_t)i), pauses[i]);
		assert_int_equal(instance_recent_crashes(&in, NOW + (int64_t)i), i < CRASHES_KEPT ? i + 1 : CRASHES_KEPT);
	}
	instance_crashed(&in, 11 * MINUTE, NOW + 11 * MINUTE);
	assert_int_equal(in.next_start_ms - (NOW + 11 * MINUTE), 250);
	instance_forget_crashes(&in);
	assert_int_equal(instance_recent_crashes(&in, NOW + 11 * MINUTE), 0);
	assert_true(look(&in, ATTEMPT_FINISHED, HEALTH_UNKNOWN, NOW).start_due);
}

static void one_that_was_up_is_restarted_before_it_is_given_up(void **state)
{
	struct instance in = copy();
	(void)state;
	/* Never up in this start: its time is health_within. */
	in.up_start = 1;
	assert_false(look(&in, ATTEMPT_RUNNING, HEALTH_DEAF, NOW + 29999).failed);
	assert_true(look(&in, ATTEMPT_RUNNING, HEALTH_DEAF, NOW + 30000).failed);
	/* Up before: restart_after and then health_within. */
	in.up_start = 2;
	assert_false(look(&in, ATTEMPT_RUNNING, HEALTH_DEAF, NOW + 49999).failed);
	assert_true(look(&in, ATTEMPT_RUNNING, HEALTH_DEAF, NOW + 50000).failed);
	assert_int_equal(instance_restarts(&in), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_hangs_when_it_was_up_and_answers_nothing_for_so_long),
		cmocka_unit_test(three_quick_ends_in_a_row_are_a_crash_loop),
		cmocka_unit_test(so_are_five_ends_in_ten_minutes),
		cmocka_unit_test(pauses_grow_with_recent_crashes_and_a_good_while_ends_them),
		cmocka_unit_test(one_that_was_up_is_restarted_before_it_is_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
