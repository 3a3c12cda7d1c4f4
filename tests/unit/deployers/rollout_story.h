/* For tests of the rollout machine: a story is told turn by turn, each with what the target shows then. */
#ifndef TESTS_UNIT_DEPLOYERS_ROLLOUT_STORY_H
#define TESTS_UNIT_DEPLOYERS_ROLLOUT_STORY_H

#include "tests/support/support.h"

#include "base/alloc.h"
#include "deployers/rollout.h"

#define unused __attribute__((unused))
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
	int64_t looks;
};

unused static struct rollout_spec canary_spec(void)
{
	return (struct rollout_spec){
		.target = "prod",
		.replicas = 2,
		.health_path = "/healthz",
		.health_within_ms = 30000,
		.strategy = STRATEGY_CANARY,
		.steps_ppm = {50000, 250000},
		.n_steps = 2,
		.hold_at_least_ms = 10000,
		.hold_at_most_ms = 60000,
		.min_requests = 100,
		.alpha = 0.05,
		.metrics = {{.metric = "error_rate", .versus_stable = true, .margin = 0.03}},
		.n_metrics = 1,
		.undecided = UNDECIDED_HOLD,
		.keep_old_ms = 100000,
	};
}

unused static void begin_as(struct story *s, bool has_stable)
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
unused static void turn(struct story *s)
{
	s->in.actual = &s->actual;
	s->actual.seen_at_ms = ++s->looks;
	s->in.verdict = s->r.state == ROLLOUT_STEPPING || s->r.state == ROLLOUT_PAUSED || s->r.state == ROLLOUT_AWAITING ? &s->verdict : NULL;
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
unused static void obey_desired(struct story *s)
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

/* It does, and that is seen twice: what gives up copies is not done after one look. */
unused static void obey_and_look_twice(struct story *s)
{
	obey_desired(s);
	turn(s);
	turn(s);
}

unused static void turn_after(struct story *s, int64_t ms)
{
	s->in.now_ms += ms;
	turn(s);
}

/* Until its candidate has 5% and that was read back. */
unused static void begin_stepping(struct story *s)
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

unused static uint32_t weight(const struct story *s, const char *image)
{
	for (unsigned i = 0; i < s->out.desired.n_arms; i++)
		if (strcmp(s->out.desired.arms[i].release->image, image) == 0)
			return s->out.desired.arms[i].weight_ppm;
	return 0;
}

unused static unsigned copies(const struct story *s, const char *image)
{
	for (unsigned i = 0; i < s->out.desired.n_arms; i++)
		if (strcmp(s->out.desired.arms[i].release->image, image) == 0)
			return s->out.desired.arms[i].replicas;
	return 0;
}

#define expect_state(s, name) assert_string_equal(rollout_state_name((s)->r.state), name)

unused static void fine(struct story *s, uint64_t requests)
{
	s->verdict = (struct analysis_verdict){.verdict = VERDICT_FINE, .step_candidate_requests = requests, .reason = "error_rate: fine"};
}

unused static void give(struct story *s, enum rollout_command command)
{
	s->in.command = command;
	turn(s);
}
#endif
