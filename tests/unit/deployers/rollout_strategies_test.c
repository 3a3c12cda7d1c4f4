/* The rollout machine, told as stories: steps with terms of their own, people in the way, verification, fast track, emergencies,
 * policies, and what a turn was given, played again. */
#include "tests/unit/deployers/rollout_story.h"

static void obey_and_turn(struct story *s)
{
	obey_desired(s);
	turn(s);
}

/* ---- canary: terms ---- */

static void begin_with_terms(struct story *s, struct step_terms first, struct step_terms second)
{
	begin_as(s, true);
	s->spec.replicas = 4;
	s->in.stable_replicas = 2;
	s->spec.terms[0] = first;
	s->spec.terms[1] = second;
	turn(s);
	obey_and_turn(s);
	obey_and_turn(s);
	expect_state(s, "stepping");
	assert_true(s->r.step_confirmed);
}

static void a_step_has_copies_of_its_own_and_promotion_has_all(void **state)
{
	(void)state;
	struct story s;
	begin_with_terms(&s, (struct step_terms){.replicas = 1}, (struct step_terms){.replicas = 3});
	assert_string_equal(s.r.reason, "step 1 of 2, 5%: its copies are ready");
	assert_int_equal(copies(&s, C), 1);
	fine(&s, 500);
	turn_after(&s, 10000);
	assert_int_equal(s.r.step, 1);
	assert_int_equal(copies(&s, C), 3);
	assert_int_equal(weight(&s, C), 50000); /* not before they are ready */
	turn_after(&s, 60000);
	assert_string_equal(s.r.waits_for, "the candidate's missing copies");
	expect_state(&s, "stepping"); /* it has lost none: it has as long as in the beginning */
	obey_and_turn(&s);
	assert_int_equal(weight(&s, C), 250000);
	obey_and_turn(&s);
	turn_after(&s, 10000);
	expect_state(&s, "promoting");
	assert_int_equal(copies(&s, C), 4);
	assert_int_equal(weight(&s, C), 250000);
	s.actual.arms[0].replicas = 4;
	turn(&s);
	assert_string_equal(s.r.waits_for, "all 4 copies of the candidate to be ready");
	obey_and_turn(&s);
	assert_int_equal(weight(&s, C), 1000000);
}

static void it_is_judged_until_all_copies_are_there(void **state)
{
	(void)state;
	struct story s;
	begin_with_terms(&s, (struct step_terms){.replicas = 1}, (struct step_terms){.replicas = 1});
	give(&s, ROLLOUT_PROMOTE);
	give(&s, ROLLOUT_PROMOTE);
	expect_state(&s, "promoting");
	assert_int_equal(weight(&s, C), 250000);
	s.verdict = (struct analysis_verdict){.verdict = VERDICT_WORSE, .reason = "worse"};
	s.in.verdict = &s.verdict;
	struct rollout_output out;
	s.in.actual = &s.actual;
	rollout_next(&s.r, &s.in, &out);
	assert_int_equal(out.next.state, ROLLOUT_ROLLING_BACK);
	assert_string_equal(out.next.reason, "worse");
}

static void copies_that_never_come_take_it_back(void **state)
{
	(void)state;
	struct story s;
	begin_with_terms(&s, (struct step_terms){.replicas = 1}, (struct step_terms){.replicas = 3});
	give(&s, ROLLOUT_PROMOTE);
	turn(&s);
	turn_after(&s, 119999);
	expect_state(&s, "stepping");
	turn_after(&s, 1);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.r.reason, "the candidate lost its health: 1 of 3 copies ready");
	assert_int_equal(copies(&s, C), 3); /* what may have traffic stays */
}

static void a_step_with_fewer_copies_takes_none_away(void **state)
{
	(void)state;
	struct story s;
	begin_with_terms(&s, (struct step_terms){.replicas = 3}, (struct step_terms){.replicas = 1});
	give(&s, ROLLOUT_PROMOTE);
	assert_int_equal(copies(&s, C), 3);
	assert_int_equal(weight(&s, C), 250000);
}

static void a_step_has_a_hold_of_its_own(void **state)
{
	(void)state;
	struct story s;
	begin_with_terms(&s, (struct step_terms){.hold_at_least_ms = 20000, .hold_at_most_ms = 30000}, (struct step_terms){0});
	fine(&s, 500);
	turn_after(&s, 19999);
	assert_int_equal(s.r.step, 0);
	turn_after(&s, 1);
	assert_int_equal(s.r.step, 1);
	begin_with_terms(&s, (struct step_terms){.hold_at_most_ms = 30000}, (struct step_terms){0});
	s.spec.undecided = UNDECIDED_ROLLBACK;
	turn_after(&s, 30000);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.r.reason, "undecided after 30.0s at 5%; the policy is to go back");
}

static void a_step_waits_for_people_when_its_evidence_suffices(void **state)
{
	(void)state;
	static const struct {
		struct step_terms terms;
		enum rollout_command refused, leaves;
		const char *waits_for, *why_refused, *reason;
	} cases[] = {
		{{.pause = true},
		 ROLLOUT_APPROVE,
		 ROLLOUT_RESUME,
		 "a person: `penstock resume`, `promote` or `rollback`",
		 "it waits for `penstock resume`; no approval was asked for",
		 "step 2 of 2, 25%: resumed by ann"},
		{{.approve = true},
		 ROLLOUT_RESUME,
		 ROLLOUT_APPROVE,
		 "a person: `penstock approve`, `promote` or `rollback`",
		 "it waits for `penstock approve`",
		 "step 2 of 2, 25%: approved by ann"},
		{{.pause = true, .approve = true},
		 ROLLOUT_RESUME,
		 ROLLOUT_APPROVE,
		 "a person: `penstock approve`, `promote` or `rollback`",
		 "it waits for `penstock approve`",
		 "step 2 of 2, 25%: approved by ann"},
		{{.approve = true},
		 ROLLOUT_PAUSE,
		 ROLLOUT_PROMOTE,
		 "a person: `penstock approve`, `promote` or `rollback`",
		 "it waits for a person already",
		 "step 2 of 2, 25%: promoted by ann"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct story s;
		begin_with_terms(&s, cases[i].terms, (struct step_terms){0});
		s.in.command_by = "ann";
		fine(&s, 500);
		turn_after(&s, 10000);
		expect_state(&s, "awaiting");
		assert_string_equal(s.r.decided_by, "analysis");
		turn_after(&s, 3600000); /* hold.at_most does not run */
		expect_state(&s, "awaiting");
		assert_true(s.r.held);
		assert_string_equal(s.r.waits_for, cases[i].waits_for);
		assert_int_equal(weight(&s, C), 50000);
		give(&s, cases[i].refused);
		assert_string_equal(s.out.refused, cases[i].why_refused);
		give(&s, cases[i].leaves);
		assert_null(s.out.refused);
		expect_state(&s, "stepping");
		assert_int_equal(s.r.step, 1);
		assert_true(s.out.new_step);
		assert_string_equal(s.r.reason, cases[i].reason);
		assert_string_equal(s.r.decided_by, "operator");
	}
}

static void what_waits_for_people_still_goes_back(void **state)
{
	(void)state;
	struct story s;
	begin_with_terms(&s, (struct step_terms){.approve = true}, (struct step_terms){0});
	fine(&s, 500);
	turn_after(&s, 10000);
	expect_state(&s, "awaiting");
	s.verdict = (struct analysis_verdict){.verdict = VERDICT_WORSE, .reason = "worse after all"};
	give(&s, ROLLOUT_APPROVE);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.out.refused, "the candidate has just been found harmful; it is going back");
	assert_string_equal(s.r.reason, "worse after all");

	begin_with_terms(&s, (struct step_terms){.pause = true}, (struct step_terms){0});
	fine(&s, 500);
	turn_after(&s, 10000);
	s.actual.arms[0].ready = 0;
	turn(&s);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.r.decided_by, "health");
}

static void an_approval_may_come_before_the_evidence(void **state)
{
	(void)state;
	struct story s;
	begin_with_terms(&s, (struct step_terms){.approve = true}, (struct step_terms){.approve = true});
	s.in.command_by = "ann";
	give(&s, ROLLOUT_APPROVE);
	assert_null(s.out.refused);
	assert_string_equal(s.r.approved_by, "ann");
	give(&s, ROLLOUT_APPROVE);
	assert_string_equal(s.out.refused, "it is approved already");
	turn_after(&s, 10000);
	assert_int_equal(s.r.step, 0); /* it does not replace the evidence */
	fine(&s, 500);
	turn(&s);
	expect_state(&s, "stepping");
	assert_int_equal(s.r.step, 1);
	assert_string_equal(s.r.approved_by, ""); /* of that step only */
	obey_and_turn(&s);
	turn_after(&s, 10000);
	expect_state(&s, "awaiting");
}

/* ---- policies ---- */

static void each_verdict_has_its_own_policy(void **state)
{
	(void)state;
	static const struct {
		enum verdict verdict;
		size_t policy; /* offset in the spec */
	} cases[] = {
		{VERDICT_UNDECIDED, offsetof(struct rollout_spec, undecided)},
		{VERDICT_FINE, offsetof(struct rollout_spec, undecided)}, /* on too few requests */
		{VERDICT_NO_DATA, offsetof(struct rollout_spec, no_data)},
		{VERDICT_PROVIDER_ERROR, offsetof(struct rollout_spec, provider_error)},
		{VERDICT_SPLIT_BROKEN, offsetof(struct rollout_spec, split_broken)},
	};
	static const enum undecided policies[] = {UNDECIDED_HOLD, UNDECIDED_PROMOTE, UNDECIDED_ROLLBACK};
	static const char *const ends[] = {"stepping", "stepping", "rolling_back"};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(policies); j++) {
			struct story s;
			begin_stepping(&s);
			memcpy((char *)&s.spec + cases[i].policy, &policies[j], sizeof(policies[j]));
			s.verdict = (struct analysis_verdict){.verdict = cases[i].verdict, .reason = "why"};
			turn_after(&s, 59999);
			assert_int_equal(s.r.step, 0);
			turn_after(&s, 1);
			expect_state(&s, ends[j]);
			assert_int_equal(s.r.step, policies[j] == UNDECIDED_PROMOTE);
			assert_string_equal(s.r.decided_by, policies[j] == UNDECIDED_HOLD ? "health" : "policy");
			assert_int_equal(s.r.held, policies[j] == UNDECIDED_HOLD);
		}
	}
}

static void a_policy_says_why(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	s.spec.no_data = UNDECIDED_PROMOTE;
	s.spec.terms[0].pause = true;
	s.verdict = (struct analysis_verdict){.verdict = VERDICT_NO_DATA};
	turn_after(&s, 60000);
	expect_state(&s, "awaiting"); /* a policy answers for the analysis, not for people */
	assert_string_equal(s.r.reason, "no_data after 1m00s at 5%; the policy is to go on");
	assert_string_equal(s.r.decided_by, "policy");
}

/* ---- blue-green ---- */

static void begin_blue_green(struct story *s, bool verify, bool approve)
{
	begin_as(s, true);
	s->spec.strategy = STRATEGY_BLUE_GREEN;
	s->spec.verify_run = verify ? "./smoke.sh" : NULL;
	s->spec.verify_approve = approve;
	snprintf(s->actual.preview_url, sizeof(s->actual.preview_url), "http://127.0.0.1:9001");
	turn(s);
	assert_int_equal(s->out.desired.preview, 0);
	obey_and_turn(s);
}

static void show_preview(struct story *s, const char *image)
{
	obey_desired(s);
	snprintf(s->actual.preview_image, sizeof(s->actual.preview_image), "%s", image);
	turn(s);
}

static void blue_green_verifies_what_the_preview_shows_and_then_switches(void **state)
{
	(void)state;
	struct story s;
	begin_blue_green(&s, true, false);
	expect_state(&s, "verifying");
	assert_string_equal(s.r.reason, "all 2 copies are ready, to be shown on the preview address");
	assert_int_equal(s.out.desired.preview, 2);
	assert_ptr_equal(s.out.desired.arms[1].release, &new_release);
	assert_int_equal(weight(&s, C), 0);
	assert_true(s.out.changed_desired);
	show_preview(&s, S);
	assert_false(s.out.verify_due); /* not before it was read back */
	assert_string_equal(s.r.waits_for, "the preview address to show the candidate");
	show_preview(&s, C);
	assert_true(s.out.verify_due);
	assert_string_equal(s.r.waits_for, "the verify command");
	s.in.verify = VERIFY_RUNNING;
	turn_after(&s, 500000);
	expect_state(&s, "verifying");
	assert_true(s.out.verify_due);
	s.in.verify = VERIFY_PASSED;
	turn(&s);
	expect_state(&s, "promoting");
	assert_string_equal(s.r.reason, "verified on the preview address");
	assert_string_equal(s.r.decided_by, "verify");
	assert_int_equal(s.out.desired.preview, 0);
	assert_int_equal(weight(&s, C), 1000000);
	obey_and_turn(&s);
	expect_state(&s, "keeping_old");
	turn_after(&s, 100000);
	expect_state(&s, "promoted");
}

static void a_failed_verification_goes_back_with_the_commands_words(void **state)
{
	(void)state;
	struct story s;
	begin_blue_green(&s, true, false);
	show_preview(&s, C);
	s.in.verify = VERIFY_FAILED;
	s.in.verify_why = "exit code 1; see `penstock logs rollout/7`";
	turn(&s);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.r.reason, "the verify command failed: exit code 1; see `penstock logs rollout/7`");
	assert_string_equal(s.r.decided_by, "verify");
	assert_int_equal(s.out.desired.preview, 0);
	turn(&s);
	expect_state(&s, "rolled_back");
	assert_int_equal(weight(&s, S), 1000000);
}

static void a_verification_may_need_an_approval(void **state)
{
	(void)state;
	struct story s;
	begin_blue_green(&s, true, true);
	show_preview(&s, C);
	s.in.verify = VERIFY_PASSED;
	turn(&s);
	expect_state(&s, "awaiting");
	assert_int_equal(s.out.desired.preview, 2); /* people look at it */
	turn(&s);
	assert_string_equal(s.r.waits_for, "a person: `penstock approve`, `promote` or `rollback`");
	give(&s, ROLLOUT_RESUME);
	assert_string_equal(s.out.refused, "it waits for `penstock approve`");
	s.in.command_by = "ann";
	give(&s, ROLLOUT_APPROVE);
	expect_state(&s, "promoting");
	assert_string_equal(s.r.reason, "approved by ann");

	begin_blue_green(&s, true, true);
	s.in.command_by = "ann";
	give(&s, ROLLOUT_APPROVE);
	expect_state(&s, "verifying");
	show_preview(&s, C);
	s.in.verify = VERIFY_PASSED;
	turn(&s);
	expect_state(&s, "promoting");
	assert_string_equal(s.r.reason, "verified on the preview address, and approved by ann");
}

static void blue_green_without_verification_goes_straight_on(void **state)
{
	(void)state;
	struct story s;
	begin_blue_green(&s, false, false);
	expect_state(&s, "promoting");
	assert_string_equal(s.r.reason, "all 2 copies are ready; no verification was asked for");
}

static void a_target_without_a_preview_address_cannot_verify(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	s.spec.strategy = STRATEGY_BLUE_GREEN;
	s.spec.verify_run = "./smoke.sh";
	turn(&s);
	obey_and_turn(&s);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.r.reason, "target prod has no preview address to verify it on: set `preview` for it in the operator's file");
	assert_string_equal(s.r.decided_by, "target");
	s.spec.verify_run = NULL; /* people can approve without */
	s.spec.verify_approve = true;
	begin_as(&s, true);
	s.spec.strategy = STRATEGY_BLUE_GREEN;
	s.spec.verify_approve = true;
	turn(&s);
	obey_and_turn(&s);
	turn(&s);
	expect_state(&s, "awaiting");
	assert_int_equal(s.out.desired.preview, 0);
}

static void a_preview_that_never_shows_it_goes_back(void **state)
{
	(void)state;
	struct story s;
	begin_blue_green(&s, true, false);
	s.in.trouble = "haproxy: set map: connection refused";
	turn_after(&s, 119999);
	expect_state(&s, "verifying");
	assert_string_equal(s.r.waits_for, "the preview address to show the candidate: haproxy: set map: connection refused");
	assert_true(s.r.held);
	turn_after(&s, 1);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.r.decided_by, "target");
}

static void a_person_may_accept_the_verification(void **state)
{
	(void)state;
	struct story s;
	begin_blue_green(&s, true, true);
	give(&s, ROLLOUT_PAUSE);
	expect_state(&s, "paused");
	assert_int_equal(s.out.desired.preview, 2);
	give(&s, ROLLOUT_PROMOTE);
	expect_state(&s, "promoting");
	assert_string_equal(s.r.reason, "promoted by a person");
}

static void a_failed_verification_takes_a_paused_one_back(void **state)
{
	(void)state;
	struct story s;
	begin_blue_green(&s, true, false);
	show_preview(&s, C);
	give(&s, ROLLOUT_PAUSE);
	s.in.verify = VERIFY_FAILED;
	turn(&s);
	expect_state(&s, "rolling_back");
	assert_string_equal(s.r.reason, "the verify command failed");
}

/* ---- fast track ---- */

static void what_was_live_lately_skips_steps_and_analysis(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	s.r.fast_track = true;
	s.r.was_live_ms = 1764000000000;
	s.spec.terms[0].replicas = 1;
	turn(&s);
	assert_int_equal(copies(&s, C), 2); /* all of them: there is no first step */
	obey_and_turn(&s);
	expect_state(&s, "promoting");
	assert_string_equal(s.r.reason, "fast track: it was live until 2025-11-24T16:00:00Z; all 2 copies are ready");
	assert_string_equal(s.r.decided_by, "policy");
	turn(&s);
	expect_state(&s, "promoting"); /* the weights are read back all the same */
	obey_and_turn(&s);
	expect_state(&s, "keeping_old");
}

/* ---- emergencies ---- */

static void promote_full_takes_one_ready_copy_whatever_the_state(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	turn(&s);
	s.in.command_by = "ann";
	give(&s, ROLLOUT_PROMOTE_FULL);
	assert_null(s.out.refused);
	expect_state(&s, "starting");
	assert_int_equal(weight(&s, C), 0);
	turn(&s);
	assert_string_equal(s.r.waits_for, "the candidate's 1 copy to be ready");
	s.actual.arms[0].replicas = 2;
	s.actual.arms[0].ready = 1;
	turn(&s);
	expect_state(&s, "promoting");
	assert_int_equal(weight(&s, C), 1000000);
	assert_int_equal(copies(&s, C), 2);
	s.actual.arms[0].weight_ppm = 1000000;
	s.actual.arms[1].weight_ppm = 0;
	turn(&s);
	expect_state(&s, "keeping_old");
	turn_after(&s, 99000); /* with one copy of two: that is what was asked for */
	expect_state(&s, "keeping_old");
	give(&s, ROLLOUT_PROMOTE_FULL); /* once more, in a hurry: the way back stays */
	assert_non_null(s.out.refused);
	assert_false(s.r.skip_waiting);
}

static void promote_full_beats_the_verdict(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	s.verdict = (struct analysis_verdict){.verdict = VERDICT_WORSE, .reason = "worse"};
	give(&s, ROLLOUT_PROMOTE_FULL);
	assert_null(s.out.refused);
	expect_state(&s, "promoting");
}

static void the_fix_goes_out_though_the_stable_release_is_broken(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	give(&s, ROLLOUT_ROLLBACK);
	s.actual.arms[1].ready = 0;
	s.actual.arms[0].ready = 0;
	give(&s, ROLLOUT_PROMOTE);
	assert_string_equal(s.out.refused, "it is going back to a stable release that is ready; push a new release instead");
	give(&s, ROLLOUT_PROMOTE_FULL);
	assert_null(s.out.refused);
	expect_state(&s, "promoting");
	assert_int_equal(weight(&s, C), 0); /* not before a copy is ready */
	s.actual.arms[0].ready = 1;
	turn(&s);
	assert_int_equal(weight(&s, C), 1000000);
}

static void rollback_now_takes_one_copy_but_never_none(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	give(&s, ROLLOUT_PROMOTE_FULL);
	obey_and_turn(&s);
	expect_state(&s, "keeping_old");
	s.actual.arms[1].ready = 0;
	give(&s, ROLLOUT_ROLLBACK_NOW);
	expect_state(&s, "rolling_back");
	assert_int_equal(weight(&s, S), 0);
	s.actual.arms[1].ready = 1;
	turn(&s);
	assert_int_equal(weight(&s, S), 1000000);

	begin_stepping(&s);
	give(&s, ROLLOUT_PROMOTE_FULL);
	obey_and_turn(&s);
	s.actual.arms[1].ready = 1;
	give(&s, ROLLOUT_ROLLBACK); /* waits for both */
	assert_int_equal(weight(&s, S), 0);
	give(&s, ROLLOUT_ROLLBACK);
	assert_string_equal(s.out.refused, "it is going back already");
	give(&s, ROLLOUT_ROLLBACK_NOW);
	assert_null(s.out.refused);
	assert_int_equal(weight(&s, S), 1000000);
}

/* ---- a router that lies ---- */

static void one_lie_takes_no_copies(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	give(&s, ROLLOUT_ROLLBACK);
	struct actual truth = s.actual; /* 5% on the candidate still */
	obey_and_turn(&s);              /* claims that it is done */
	expect_state(&s, "rolling_back");
	s.actual = truth;
	turn(&s);
	expect_state(&s, "rolling_back");
	assert_int_equal(copies(&s, C), 2);
	obey_and_turn(&s);
	expect_state(&s, "rolling_back");
	s.looks--; /* the same look once more is no second one */
	turn(&s);
	expect_state(&s, "rolling_back");
	turn(&s);
	expect_state(&s, "rolled_back");
}

/* ---- what is told to the target, what is stored ---- */

static void the_target_is_told_what_the_spec_says_of_copies(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	s.spec.restart_after_ms = 7000;
	s.spec.memory_bytes = 1 << 20;
	s.spec.cpu = 2;
	turn(&s);
	assert_int_equal(s.out.desired.restart_after_ms, 7000);
	assert_int_equal(s.out.desired.memory_bytes, 1 << 20);
	assert_int_equal(s.out.desired.cpu, 2);
}

static void a_row_of_the_first_version_is_read(void **state)
{
	(void)state;
	static const char *const newer[] = {"fast_track", "was_live_ms", "emergency", "verified", "approved_by", "preview", "seen_applied_ms"};
	struct rollout r, again;
	cleanup_error struct error *err = NULL;
	rollout_start(1, true, 5, &r);
	cleanup_json json_t *json = rollout_to_json(&r);
	for (size_t i = 0; i < ARRAY_SIZE(newer); i++)
		assert_int_equal(json_object_del(json, newer[i]), 0);
	assert_ok(rollout_from_json(json, &again, &err), err);
	cleanup_json json_t *a = rollout_to_json(&r), *b = rollout_to_json(&again);
	assert_true(json_equal(a, b));
}

static void what_a_turn_was_given_is_played_again(void **state)
{
	(void)state;
	struct story s;
	begin_blue_green(&s, true, true);
	show_preview(&s, C);
	s.in.verify = VERIFY_FAILED;
	s.in.verify_why = "exit code 1";
	s.in.command = ROLLOUT_PROMOTE_FULL;
	s.in.command_by = "ann";
	s.in.command_why = "superseded by run 3";
	s.in.trouble = "caf\xc3\xa9 \xff";
	s.in.trouble_is_final = true;
	s.in.stable_replicas = 3;
	s.actual.arms[0].failed = true;
	snprintf(s.actual.arms[0].message, sizeof(s.actual.arms[0].message), "exited 137");
	s.in.actual = &s.actual;
	cleanup_json json_t *json = rollout_input_to_json(&s.in);
	struct rollout_input_store store;
	struct rollout_input again;
	cleanup_error struct error *err = NULL;
	assert_ok(rollout_input_from_json(json, &store, &again, &err), err);
	cleanup_json json_t *twice = rollout_input_to_json(&again);
	assert_true(json_equal(json, twice));
	assert_int_equal(again.command, ROLLOUT_PROMOTE_FULL);
	assert_int_equal(again.verify, VERIFY_FAILED);
	assert_string_equal(again.trouble, "caf\xc3\xa9 ?");
	again.spec = s.in.spec;
	again.stable = s.in.stable;
	again.candidate = s.in.candidate;
	struct rollout_output first, second;
	rollout_next(&s.r, &s.in, &first);
	rollout_next(&s.r, &again, &second);
	cleanup_json json_t *a = rollout_to_json(&first.next), *b = rollout_to_json(&second.next);
	assert_true(json_equal(a, b));

	struct rollout_input nothing = {.now_ms = 5}, read;
	cleanup_json json_t *empty = rollout_input_to_json(&nothing);
	assert_ok(rollout_input_from_json(empty, &store, &read, &err), err);
	assert_null(read.actual);
	assert_null(read.trouble);
}

static void a_damaged_input_is_told(void **state)
{
	(void)state;
	static const struct {
		const char *key, *value, *message;
	} cases[] = {
		{"now_ms", "\"x\"", "rollout input: key \"now_ms\": expected an integer"},
		{"command", "\"fly\"", "rollout input: key \"command\": \"fly\" is no command of a rollout"},
		{"verify", "\"maybe\"", "rollout input: key \"verify\": \"maybe\" is no state of a verification"},
		{"stable_replicas", "-1", "rollout input: key \"stable_replicas\": -1 is not between 0 and 4294967295"},
		{"actual", "{\"arms\": [1, 2, 3, 4]}", "rollout input: key \"actual\": key \"arms\": expected a list of at most 3"},
		{"actual", "{\"arms\": [1], \"generation\": 1, \"seen_at_ms\": 1}",
		 "rollout input: key \"actual\": arms[0]: key \"replicas\": expected an integer"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rollout_input in = {.now_ms = 1}, again;
		struct rollout_input_store store;
		cleanup_json json_t *json = rollout_input_to_json(&in);
		cleanup_error struct error *err = NULL;
		assert_int_equal(json_object_set_new(json, cases[i].key, json_loads(cases[i].value, JSON_DECODE_ANY, NULL)), 0);
		assert_int_equal(rollout_input_from_json(json, &store, &again, &err), -1);
		assert_error(err, ERROR_INVALID, cases[i].message);
	}
}

static void commands_have_names(void **state)
{
	(void)state;
	for (int i = ROLLOUT_NONE; i <= ROLLOUT_APPROVE; i++) {
		enum rollout_command again;
		assert_true(rollout_command_from_name(rollout_command_name((enum rollout_command)i), &again));
		assert_int_equal(again, i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_step_has_copies_of_its_own_and_promotion_has_all),
		cmocka_unit_test(it_is_judged_until_all_copies_are_there),
		cmocka_unit_test(copies_that_never_come_take_it_back),
		cmocka_unit_test(a_step_with_fewer_copies_takes_none_away),
		cmocka_unit_test(a_step_has_a_hold_of_its_own),
		cmocka_unit_test(a_step_waits_for_people_when_its_evidence_suffices),
		cmocka_unit_test(what_waits_for_people_still_goes_back),
		cmocka_unit_test(an_approval_may_come_before_the_evidence),
		cmocka_unit_test(each_verdict_has_its_own_policy),
		cmocka_unit_test(a_policy_says_why),
		cmocka_unit_test(blue_green_verifies_what_the_preview_shows_and_then_switches),
		cmocka_unit_test(a_failed_verification_goes_back_with_the_commands_words),
		cmocka_unit_test(a_verification_may_need_an_approval),
		cmocka_unit_test(blue_green_without_verification_goes_straight_on),
		cmocka_unit_test(a_target_without_a_preview_address_cannot_verify),
		cmocka_unit_test(a_preview_that_never_shows_it_goes_back),
		cmocka_unit_test(a_person_may_accept_the_verification),
		cmocka_unit_test(a_failed_verification_takes_a_paused_one_back),
		cmocka_unit_test(what_was_live_lately_skips_steps_and_analysis),
		cmocka_unit_test(promote_full_takes_one_ready_copy_whatever_the_state),
		cmocka_unit_test(promote_full_beats_the_verdict),
		cmocka_unit_test(the_fix_goes_out_though_the_stable_release_is_broken),
		cmocka_unit_test(rollback_now_takes_one_copy_but_never_none),
		cmocka_unit_test(one_lie_takes_no_copies),
		cmocka_unit_test(the_target_is_told_what_the_spec_says_of_copies),
		cmocka_unit_test(a_row_of_the_first_version_is_read),
		cmocka_unit_test(what_a_turn_was_given_is_played_again),
		cmocka_unit_test(a_damaged_input_is_told),
		cmocka_unit_test(commands_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
