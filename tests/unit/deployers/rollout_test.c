/* The rollout machine, told as stories: the ordinary ways, holding, health, and what is stored. */
#include "tests/unit/deployers/rollout_story.h"

/* ---- the ordinary ways ---- */

static void a_good_candidate_climbs_all_steps_and_is_promoted(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	turn(&s);
	expect_state(&s, "starting");
	assert_int_equal(copies(&s, C), 2);
	assert_int_equal(weight(&s, C), 0);
	assert_int_equal(weight(&s, S), 1000000);
	assert_int_equal(s.r.generation, 1);
	assert_string_equal(s.r.waits_for, "the candidate's 2 copies to be ready");

	s.actual.arms[0].replicas = 2;
	s.actual.arms[0].ready = 1;
	s.actual.generation = 1;
	turn_after(&s, 500);
	expect_state(&s, "starting");
	obey_desired(&s);
	turn_after(&s, 500);
	expect_state(&s, "stepping");
	assert_string_equal(s.r.reason, "step 1 of 2, 5%: all copies are ready");
	assert_true(s.out.new_step);
	assert_int_equal(weight(&s, C), 50000);
	assert_int_equal(weight(&s, S), 950000);

	obey_desired(&s);
	fine(&s, 500);
	turn_after(&s, 500);
	assert_string_equal(s.r.waits_for, "hold.at_least to pass");
	assert_int_equal(s.out.wake_at_ms, s.in.now_ms - 500 + 10000);
	turn_after(&s, 9499);
	expect_state(&s, "stepping");
	assert_int_equal(s.r.step, 0);
	turn_after(&s, 1);
	assert_int_equal(s.r.step, 1);
	assert_true(s.out.new_step);
	assert_string_equal(s.r.decided_by, "analysis");
	assert_int_equal(weight(&s, C), 250000);

	obey_desired(&s);
	turn(&s);
	turn_after(&s, 10000);
	expect_state(&s, "promoting");
	assert_int_equal(weight(&s, C), 1000000);
	assert_int_equal(weight(&s, S), 0);
	assert_int_equal(copies(&s, S), 2);
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "keeping_old");
	assert_string_equal(s.r.reason, "error_rate: fine");
	assert_int_equal(copies(&s, S), 2);
	turn_after(&s, 99999);
	expect_state(&s, "keeping_old");
	turn_after(&s, 1);
	expect_state(&s, "promoted");
	assert_int_equal(copies(&s, S), 0);
	assert_int_equal(weight(&s, C), 1000000);
	assert_string_equal(s.r.waits_for, "");
}

static void harm_goes_back_at_once_and_removes_the_candidate_only_at_zero(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	s.verdict = (struct analysis_verdict){.verdict = VERDICT_WORSE, .reason = "error_rate: 10.2% against 0.1%"};
	turn_after(&s, 10);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.r.reason, "error_rate: 10.2% against 0.1%");
	assert_string_equal(s.r.decided_by, "analysis");
	assert_int_equal(weight(&s, C), 0);
	assert_int_equal(copies(&s, C), 2);
	turn_after(&s, 500); /* the router still shows 5% */
	expect_state(&s, "rolling_back");
	assert_int_equal(copies(&s, C), 2);
	assert_string_equal(s.r.waits_for, "the candidate's traffic to be seen at zero");
	obey_desired(&s);
	turn_after(&s, 500); /* one look may lie */
	expect_state(&s, "rolling_back");
	assert_string_equal(s.r.waits_for, "a second look to confirm it, before copies are removed");
	turn_after(&s, 500);
	expect_state(&s, "rolled_back");
	assert_string_equal(s.r.reason, "error_rate: 10.2% against 0.1%");
	assert_int_equal(copies(&s, C), 0);
	assert_int_equal(weight(&s, S), 1000000);
}

static void a_first_release_is_switched_as_soon_as_it_is_ready(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, false);
	turn(&s);
	assert_int_equal(weight(&s, C), 0);
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "promoting");
	assert_int_equal(weight(&s, C), 1000000);
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "promoted");
	assert_string_equal(s.r.reason, "first release: all 2 copies are ready");
}

static void a_first_release_that_never_gets_ready_fails(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, false);
	turn(&s);
	s.actual.arms[0] = (struct arm_status){.image = C, .replicas = 2, .failed = true, .message = "exited 1 three times"};
	turn(&s);
	expect_state(&s, "failed");
	assert_string_equal(s.r.reason, "the candidate did not become ready: exited 1 three times");
	assert_string_equal(s.r.decided_by, "health");
	assert_int_equal(s.out.desired.n_arms, 0);
}

static void a_candidate_that_never_gets_ready_goes_back(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	turn(&s);
	s.actual.arms[0].replicas = 2;
	s.actual.arms[0].ready = 1;
	turn_after(&s, 119999);
	expect_state(&s, "starting");
	turn_after(&s, 1);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.r.reason, "1 of 2 copies ready when time was up");
	turn(&s); /* it never had weight, so the driver need not confirm what it cannot do */
	expect_state(&s, "rolled_back");
	assert_int_equal(copies(&s, C), 0);
	assert_int_equal(weight(&s, S), 1000000);
}

static void a_target_that_cannot_run_it_ends_it_at_once(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, false);
	s.in.trouble = "no free port in 20000-20001";
	turn(&s);
	expect_state(&s, "starting");
	s.in.trouble_is_final = true;
	turn(&s);
	expect_state(&s, "failed");
	assert_string_equal(s.r.decided_by, "target");
	assert_string_equal(s.r.reason, "the target cannot run it: no free port in 20000-20001");
}

static void an_immediate_rollout_switches_when_ready_and_keeps_the_old(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	s.spec.strategy = STRATEGY_IMMEDIATE;
	turn(&s);
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "promoting");
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "keeping_old");
}

static void the_same_image_again_needs_no_steps(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	struct release again = new_release;
	again.image = S;
	s.in.candidate = &again;
	s.spec.replicas = 3;
	s.in.stable_replicas = 2;
	turn(&s);
	assert_int_equal(s.out.desired.n_arms, 1);
	assert_int_equal(copies(&s, S), 3);
	assert_int_equal(weight(&s, S), 1000000);
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "promoted");
	assert_string_equal(s.r.reason, "the same image is live already; nothing to compare");
	assert_int_equal(copies(&s, S), 3);
}

static void steps_without_metrics_go_by_time(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	s.spec.metrics[0].informational = true;
	turn(&s);
	obey_desired(&s);
	turn(&s);
	obey_desired(&s);
	turn(&s);
	turn_after(&s, 9999);
	assert_int_equal(s.r.step, 0);
	turn_after(&s, 1);
	assert_int_equal(s.r.step, 1);
	assert_string_equal(s.r.decided_by, "time");
}

/* ---- holding ---- */

static void what_is_not_evidence_never_promotes(void **state)
{
	(void)state;
	static const struct {
		enum verdict verdict;
		uint64_t requests;
		const char *waits_before, *waits_after;
	} cases[] = {
		{VERDICT_NO_DATA, 0, "requests, or a source's numbers: without them there is no verdict",
		 "a person, or more evidence: no_data after 1m00s at 5%: why"},
		{VERDICT_PROVIDER_ERROR, 0, "the source of the counts, which does not answer",
		 "a person, or more evidence: provider_error after 1m00s at 5%: why"},
		{VERDICT_SPLIT_BROKEN, 900, "the split to be right again; its counts prove nothing",
		 "a person, or more evidence: split_broken after 1m00s at 5%: why"},
		{VERDICT_UNDECIDED, 900, "evidence", "a person, or more evidence: undecided after 1m00s at 5%: why"},
		{VERDICT_FINE, 99, "enough requests on the candidate",
		 "a person, or more evidence: fine after 1m00s at 5%: fine, but on too few requests"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct story s;
		begin_stepping(&s);
		s.verdict = (struct analysis_verdict){.verdict = cases[i].verdict, .step_candidate_requests = cases[i].requests, .reason = "why"};
		turn_after(&s, 30000);
		expect_state(&s, "stepping");
		assert_string_equal(s.r.waits_for, cases[i].waits_before);
		turn_after(&s, 30000);
		expect_state(&s, "stepping");
		assert_int_equal(s.r.step, 0);
		assert_string_equal(s.r.waits_for, cases[i].waits_after);
		assert_true(s.r.held);
		fine(&s, 100); /* evidence that comes late is still evidence */
		turn_after(&s, 1);
		assert_int_equal(s.r.step, 1);
	}
}

/* Every look has other numbers; people are told once, and again when it is another verdict or another metric that holds it up. */
static void a_hold_is_told_once_for_each_thing_that_is_waited_for(void **state)
{
	(void)state;
	static const char first[] =
		"a person, or more evidence: undecided after 1m00s at 5%: latency_p99: 15 ms against 12.5 ms (ratio 1.2) over 9838 requests "
		"of this step; e-value 1 of 20 for fine, 1 of 40 for worse";
	struct story s;
	begin_stepping(&s);
	s.verdict = (struct analysis_verdict){.verdict = VERDICT_UNDECIDED, .step_candidate_requests = 9838};
	snprintf(s.verdict.reason, sizeof(s.verdict.reason), "%s", strstr(first, "latency_p99"));
	turn_after(&s, 60000);
	assert_true(s.r.held);
	assert_string_equal(s.r.waits_for, first); /* whole */
	snprintf(s.verdict.reason, sizeof(s.verdict.reason), "latency_p99: 16 ms against 12.5 ms (ratio 1.2) over 9900 requests");
	turn_after(&s, 1000);
	assert_string_equal(s.r.waits_for, first);
	snprintf(s.verdict.reason, sizeof(s.verdict.reason), "error_rate: 1%% against 1%%");
	turn_after(&s, 1000);
	assert_string_equal(s.r.waits_for, "a person, or more evidence: undecided after 1m00s at 5%: error_rate: 1% against 1%");
	s.verdict.verdict = VERDICT_NO_DATA;
	snprintf(s.verdict.reason, sizeof(s.verdict.reason), "no data: the candidate has had no requests in this step");
	turn_after(&s, 1000);
	assert_non_null(strstr(s.r.waits_for, "evidence: no_data after 1m00s at 5%: no data: "));
}

static void the_undecided_policy_is_only_for_the_undecided(void **state)
{
	(void)state;
	static const struct {
		enum undecided policy;
		enum verdict verdict;
		const char *state;
		unsigned step;
		const char *decided_by;
	} cases[] = {
		{UNDECIDED_PROMOTE, VERDICT_UNDECIDED, "stepping", 1, "policy"},
		{UNDECIDED_PROMOTE, VERDICT_FINE, "stepping", 1, "policy"},
		{UNDECIDED_PROMOTE, VERDICT_NO_DATA, "stepping", 0, "health"},
		{UNDECIDED_PROMOTE, VERDICT_SPLIT_BROKEN, "stepping", 0, "health"},
		{UNDECIDED_ROLLBACK, VERDICT_UNDECIDED, "rolling_back", 0, "policy"},
		{UNDECIDED_ROLLBACK, VERDICT_NO_DATA, "stepping", 0, "health"},
		{UNDECIDED_ROLLBACK, VERDICT_PROVIDER_ERROR, "stepping", 0, "health"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct story s;
		begin_stepping(&s);
		s.spec.undecided = cases[i].policy;
		s.verdict.verdict = cases[i].verdict;
		turn_after(&s, 60000);
		expect_state(&s, cases[i].state);
		assert_int_equal(s.r.step, cases[i].step);
		assert_string_equal(s.r.decided_by, cases[i].decided_by);
	}
}

static void a_step_begins_when_its_weight_was_read_back(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	turn(&s);
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "stepping");
	fine(&s, 500);
	turn_after(&s, 20000); /* the router does not take the weight */
	assert_string_equal(s.r.waits_for, "5.00% of the traffic to reach the candidate");
	assert_false(s.r.held);
	s.in.trouble = "haproxy: set map: connection refused";
	turn_after(&s, 20000);
	assert_string_equal(s.r.waits_for, "5.00% of the traffic to reach the candidate: haproxy: set map: connection refused");
	assert_true(s.r.held);
	obey_desired(&s);
	turn(&s);
	assert_int_equal(s.r.step, 0);
	turn_after(&s, 10000);
	assert_int_equal(s.r.step, 1);
}

static void an_unanswering_target_changes_nothing(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	fine(&s, 500);
	s.in.now_ms += 40000;
	s.in.actual = NULL;
	s.in.verdict = &s.verdict;
	rollout_next(&s.r, &s.in, &s.out);
	assert_int_equal(s.out.next.state, ROLLOUT_STEPPING);
	assert_int_equal(s.out.next.step, 0);
	assert_false(s.out.changed_desired);
	s.actual.router_ok = false;
	s.actual.arms[0].ready = 0;
	turn(&s);
	expect_state(&s, "stepping");
	assert_false(s.out.changed_desired);
}

/* ---- health ---- */

static void losing_every_ready_copy_is_harm(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	s.actual.arms[0].ready = 0;
	snprintf(s.actual.arms[0].message, sizeof(s.actual.arms[0].message), "exited 137");
	turn(&s);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.r.decided_by, "health");
	assert_string_equal(s.r.reason, "the candidate lost its health: 0 of 2 copies ready: exited 137");
	assert_int_equal(weight(&s, C), 0);
}

static void losing_one_copy_stops_the_climb_and_is_harm_if_it_lasts(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	fine(&s, 500);
	s.actual.arms[0].ready = 1;
	turn_after(&s, 10000);
	expect_state(&s, "stepping");
	assert_int_equal(s.r.step, 1);          /* the evidence is there ... */
	assert_int_equal(weight(&s, C), 50000); /* ... but no more traffic goes to half of its copies */
	turn(&s);
	assert_string_equal(s.r.waits_for, "the candidate's missing copies");
	turn_after(&s, 30000);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.r.decided_by, "health");
}

static void nothing_ready_while_a_change_is_under_way_is_given_time(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	s.actual.arms[0].ready = 0;
	s.actual.generation = 0; /* the router has just been restarted */
	turn(&s);
	expect_state(&s, "stepping");
	turn_after(&s, 29999);
	expect_state(&s, "stepping");
	turn_after(&s, 1);
	expect_state(&s, "rolling_back");
}

static void a_rollback_waits_for_the_stable_release_while_the_candidate_serves(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	s.actual.arms[1].ready = 0;
	turn(&s);
	expect_state(&s, "stepping");
	assert_int_equal(weight(&s, C), 1000000); /* the healthy one takes all */
	obey_desired(&s);
	s.actual.arms[1].ready = 0;
	turn(&s);
	assert_true(s.r.held);
	assert_string_equal(s.r.waits_for, "the stable release, which has no ready copy; its traffic goes to the candidate");
	give(&s, ROLLOUT_ROLLBACK);
	expect_state(&s, "rolling_back");
	assert_int_equal(weight(&s, C), 1000000);
	turn_after(&s, 3600000);
	expect_state(&s, "rolling_back");
	assert_int_equal(weight(&s, C), 1000000);
	assert_int_equal(copies(&s, C), 2);
	assert_string_equal(s.r.waits_for, "the stable release, which has no ready copy; traffic stays with the candidate until it has");
	s.actual.arms[1].ready = 2;
	turn(&s);
	assert_int_equal(weight(&s, S), 1000000);
	obey_and_look_twice(&s);
	expect_state(&s, "rolled_back");
}

static void a_person_may_promote_when_the_stable_release_is_dead(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	give(&s, ROLLOUT_ROLLBACK);
	give(&s, ROLLOUT_PROMOTE);
	assert_string_equal(s.out.refused, "it is going back to a stable release that is ready; push a new release instead");
	s.actual.arms[1].ready = 0;
	give(&s, ROLLOUT_PROMOTE);
	assert_null(s.out.refused);
	expect_state(&s, "promoting");
	assert_int_equal(weight(&s, C), 1000000);
}

static void a_promoted_candidate_that_dies_while_the_old_is_kept_goes_back(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	give(&s, ROLLOUT_PROMOTE_FULL);
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "keeping_old");
	s.actual.arms[0].ready = 0;
	turn(&s);
	expect_state(&s, "rolling_back");
	assert_int_equal(weight(&s, S), 1000000);
	assert_string_equal(s.r.decided_by, "health");
}

/* ---- stored rows ---- */

static void a_damaged_row_is_told(void **state)
{
	(void)state;
	static const struct {
		const char *key;
		const char *value;
		const char *message;
	} cases[] = {
		{"state", "\"flying\"", "rollout: key \"state\": \"flying\" is no state of a rollout"},
		{"step", "32", "rollout: key \"step\": 32 is not between 0 and 31"},
		{"generation", "-1", "rollout: key \"generation\": -1 is not between 0 and 9223372036854775807"},
		{"candidate", "{}", "rollout: key \"candidate\": key \"replicas\": expected an integer"},
		{"reason", "7", "rollout: key \"reason\": expected a string"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rollout r;
		rollout_start(1, true, 5, &r);
		cleanup_json json_t *json = rollout_to_json(&r);
		json_t *value = json_loads(cases[i].value, JSON_DECODE_ANY, NULL);
		assert_int_equal(json_object_set_new(json, cases[i].key, value), 0);
		cleanup_error struct error *err = NULL;
		assert_int_equal(rollout_from_json(json, &r, &err), -1);
		assert_error(err, ERROR_INVALID, cases[i].message);
	}
}

static void a_long_reason_is_cut_between_characters(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	s.verdict = (struct analysis_verdict){.verdict = VERDICT_WORSE};
	memset(s.verdict.reason, 'x', sizeof(s.verdict.reason) - 1);
	turn(&s);
	assert_int_equal(strlen(s.r.reason), 255);
	begin_stepping(&s);
	char who[300];
	for (size_t i = 0; i + 2 < sizeof(who); i += 2)
		memcpy(who + i, "\xc3\xa9", 3);
	s.in.command_by = who;
	give(&s, ROLLOUT_ROLLBACK); /* its JSON could not be made of half a character */
	assert_true(strlen(s.r.reason) >= 253);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_candidate_climbs_all_steps_and_is_promoted),
		cmocka_unit_test(harm_goes_back_at_once_and_removes_the_candidate_only_at_zero),
		cmocka_unit_test(a_first_release_is_switched_as_soon_as_it_is_ready),
		cmocka_unit_test(a_first_release_that_never_gets_ready_fails),
		cmocka_unit_test(a_candidate_that_never_gets_ready_goes_back),
		cmocka_unit_test(a_target_that_cannot_run_it_ends_it_at_once),
		cmocka_unit_test(an_immediate_rollout_switches_when_ready_and_keeps_the_old),
		cmocka_unit_test(the_same_image_again_needs_no_steps),
		cmocka_unit_test(steps_without_metrics_go_by_time),
		cmocka_unit_test(what_is_not_evidence_never_promotes),
		cmocka_unit_test(a_hold_is_told_once_for_each_thing_that_is_waited_for),
		cmocka_unit_test(the_undecided_policy_is_only_for_the_undecided),
		cmocka_unit_test(a_step_begins_when_its_weight_was_read_back),
		cmocka_unit_test(an_unanswering_target_changes_nothing),
		cmocka_unit_test(losing_every_ready_copy_is_harm),
		cmocka_unit_test(losing_one_copy_stops_the_climb_and_is_harm_if_it_lasts),
		cmocka_unit_test(nothing_ready_while_a_change_is_under_way_is_given_time),
		cmocka_unit_test(a_rollback_waits_for_the_stable_release_while_the_candidate_serves),
		cmocka_unit_test(a_person_may_promote_when_the_stable_release_is_dead),
		cmocka_unit_test(a_promoted_candidate_that_dies_while_the_old_is_kept_goes_back),
		cmocka_unit_test(a_damaged_row_is_told),
		cmocka_unit_test(a_long_reason_is_cut_between_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
