/* The rollout machine, told as stories: each line is one turn with what the target shows, and what is expected then. */
#include "tests/support/support.h"

#include "base/alloc.h"
#include "deployers/rollout.h"

#define S "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define C "sha256:2222222222222222222222222222222222222222222222222222222222222222"

static const struct release old_release = {.id = 1, .version = "1", .image = S, .port = 80};
static const struct release new_release = {.id = 2, .version = "2", .image = C, .port = 80};

struct story {
	struct rollout r;
	struct rollout_spec spec;
	struct rollout_input in;
	struct rollout_output out;
	struct actual actual;
	struct analysis_verdict verdict;
};

static struct rollout_spec canary_spec(void)
{
	return (struct rollout_spec){
		.target = "prod", .replicas = 2, .health_path = "/healthz", .health_within_ms = 30000,
		.strategy = STRATEGY_CANARY, .steps_ppm = {50000, 250000}, .n_steps = 2,
		.hold_at_least_ms = 10000, .hold_at_most_ms = 60000, .min_requests = 100, .alpha = 0.05,
		.metrics = {{.metric = "error_rate", .versus_stable = true, .margin = 0.03}}, .n_metrics = 1,
		.undecided = UNDECIDED_HOLD, .keep_old_ms = 100000,
	};
}

static void begin_as(struct story *s, bool has_stable)
{
	*s = (struct story){.spec = canary_spec()};
	rollout_start(7, has_stable, 1000, &s->r);
	s->in = (struct rollout_input){.spec = &s->spec, .stable = has_stable ? &old_release : NULL, .candidate = &new_release, .now_ms = 1000};
	s->verdict = (struct analysis_verdict){.verdict = VERDICT_UNDECIDED};
	s->actual = (struct actual){.router_ok = true, .n_arms = has_stable ? 2 : 1};
	snprintf(s->actual.arms[0].image, sizeof(s->actual.arms[0].image), "%s", C);
	if (has_stable) {
		snprintf(s->actual.arms[1].image, sizeof(s->actual.arms[1].image), "%s", S);
		s->actual.arms[1].replicas = s->actual.arms[1].ready = 2;
		s->actual.arms[1].weight_ppm = 1000000;
	}
}

/* One turn; the machine goes through its JSON each time, as after a restart. */
static void turn(struct story *s)
{
	s->in.actual = &s->actual;
	s->in.verdict = s->r.state == ROLLOUT_STEPPING || s->r.state == ROLLOUT_PAUSED ? &s->verdict : NULL;
	rollout_next(&s->r, &s->in, &s->out);
	cleanup_json json_t *json = rollout_to_json(&s->out.next);
	cleanup_error struct error *err = NULL;
	struct rollout again;
	assert_ok(rollout_from_json(json, &again, &err), err);
	cleanup_json json_t *twice = rollout_to_json(&again);
	assert_true(json_equal(json, twice));
	s->r = again;
	s->in.command = ROLLOUT_NONE;
}

/* The target does what it was asked to, at once, with all copies ready. */
static void obey_desired(struct story *s)
{
	for (unsigned i = 0; i < s->actual.n_arms; i++) {
		struct arm_status *arm = &s->actual.arms[i];
		arm->replicas = arm->ready = 0;
		arm->weight_ppm = 0;
		for (unsigned j = 0; j < s->out.desired.n_arms; j++) {
			if (strcmp(s->out.desired.arms[j].release->image, arm->image) == 0) {
				arm->replicas = arm->ready = s->out.desired.arms[j].replicas;
				arm->weight_ppm = s->out.desired.arms[j].weight_ppm;
			}
		}
	}
	s->actual.generation = s->out.desired.generation;
}

static void turn_after(struct story *s, int64_t ms)
{
	s->in.now_ms += ms;
	turn(s);
}

/* Until its candidate has 5% and that was read back. */
static void begin_stepping(struct story *s)
{
	begin_as(s, true);
	turn(s);
	obey_desired(s);
	turn(s);
	assert_int_equal(s->r.state, ROLLOUT_STEPPING);
	obey_desired(s);
	turn(s);
	assert_int_equal(s->r.state, ROLLOUT_STEPPING);
	assert_true(s->r.step_confirmed);
}

static uint32_t weight(const struct story *s, const char *image)
{
	for (unsigned i = 0; i < s->out.desired.n_arms; i++)
		if (strcmp(s->out.desired.arms[i].release->image, image) == 0)
			return s->out.desired.arms[i].weight_ppm;
	return 0;
}

static unsigned copies(const struct story *s, const char *image)
{
	for (unsigned i = 0; i < s->out.desired.n_arms; i++)
		if (strcmp(s->out.desired.arms[i].release->image, image) == 0)
			return s->out.desired.arms[i].replicas;
	return 0;
}

#define expect_state(s, name) assert_string_equal(rollout_state_name((s)->r.state), name)

static void fine(struct story *s, uint64_t requests)
{
	s->verdict = (struct analysis_verdict){.verdict = VERDICT_FINE, .step_candidate_requests = requests, .reason = "error_rate: fine"};
}

static void give(struct story *s, enum rollout_command command)
{
	s->in.command = command;
	turn(s);
}

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
		{VERDICT_NO_DATA, 0, "requests: without traffic there is no verdict", "a person, or more evidence: no_data after 1m00s at 5%: why"},
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
	assert_int_equal(s.r.step, 1); /* the evidence is there ... */
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
	obey_desired(&s);
	turn(&s);
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
	give(&s, ROLLOUT_PROMOTE);
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "keeping_old");
	s.actual.arms[0].ready = 0;
	turn(&s);
	expect_state(&s, "rolling_back");
	assert_int_equal(weight(&s, S), 1000000);
	assert_string_equal(s.r.decided_by, "health");
}

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

static void promote_skips_the_steps_even_before_the_candidate_is_ready(void **state)
{
	(void)state;
	struct story s;
	begin_as(&s, true);
	turn(&s);
	give(&s, ROLLOUT_PROMOTE);
	expect_state(&s, "starting");
	assert_int_equal(weight(&s, C), 0);
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "promoting");
	assert_string_equal(s.r.decided_by, "operator");
}

static void rollback_is_instant_while_the_old_copies_are_kept(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	s.in.command_by = "uid:0(root)";
	give(&s, ROLLOUT_PROMOTE);
	assert_string_equal(s.r.reason, "promoted by uid:0(root), skipping what was left of the steps");
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "keeping_old");
	give(&s, ROLLOUT_ROLLBACK);
	expect_state(&s, "rolling_back");
	assert_int_equal(weight(&s, S), 1000000);
	assert_int_equal(copies(&s, C), 2);
	assert_string_equal(s.r.reason, "rolled back by uid:0(root)");
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "rolled_back");
}

static void promote_while_keeping_ends_the_keeping(void **state)
{
	(void)state;
	struct story s;
	begin_stepping(&s);
	give(&s, ROLLOUT_PROMOTE);
	obey_desired(&s);
	turn(&s);
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
		give(s, ROLLOUT_PROMOTE);
	} else if (strcmp(state, "rolling_back") == 0 || strcmp(state, "rolled_back") == 0) {
		give(s, ROLLOUT_ROLLBACK);
	} else if (strcmp(state, "promoted") == 0) {
		s->spec.keep_old_ms = 0;
		give(s, ROLLOUT_PROMOTE);
	}
	if (strcmp(state, "rolled_back") == 0 || strcmp(state, "promoted") == 0) {
		obey_desired(s);
		turn(s);
	}
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
	obey_desired(&s);
	turn(&s);
	expect_state(&s, "failed");
	assert_int_equal(s.out.desired.n_arms, 0);
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
		{"step", "33", "rollout: key \"step\": 33 is not between 0 and 32"},
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
		cmocka_unit_test(the_undecided_policy_is_only_for_the_undecided),
		cmocka_unit_test(a_step_begins_when_its_weight_was_read_back),
		cmocka_unit_test(an_unanswering_target_changes_nothing),
		cmocka_unit_test(losing_every_ready_copy_is_harm),
		cmocka_unit_test(losing_one_copy_stops_the_climb_and_is_harm_if_it_lasts),
		cmocka_unit_test(nothing_ready_while_a_change_is_under_way_is_given_time),
		cmocka_unit_test(a_rollback_waits_for_the_stable_release_while_the_candidate_serves),
		cmocka_unit_test(a_person_may_promote_when_the_stable_release_is_dead),
		cmocka_unit_test(a_promoted_candidate_that_dies_while_the_old_is_kept_goes_back),
		cmocka_unit_test(a_pause_stops_the_clock_but_not_safety),
		cmocka_unit_test(a_pause_before_the_candidate_is_ready_keeps_it_without_traffic),
		cmocka_unit_test(promote_skips_the_steps_even_before_the_candidate_is_ready),
		cmocka_unit_test(rollback_is_instant_while_the_old_copies_are_kept),
		cmocka_unit_test(promote_while_keeping_ends_the_keeping),
		cmocka_unit_test(refusals_say_why),
		cmocka_unit_test(harm_wins_over_a_command_in_the_same_turn),
		cmocka_unit_test(a_first_release_can_be_taken_back_to_nothing),
		cmocka_unit_test(a_damaged_row_is_told),
		cmocka_unit_test(a_long_reason_is_cut_between_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
