/* Canary: a ladder of weights; a step is left when its evidence suffices, never before hold.at_least. */
#include "deployers/rollout_priv.h"

#include "base/clock.h"

static void percent(uint32_t ppm, char ret[16])
{
	if (ppm % 10000 == 0)
		snprintf(ret, 16, "%u%%", ppm / 10000);
	else
		snprintf(ret, 16, "%g%%", ppm / 10000.0);
}

static void next_step(struct turn *turn, const char *decided_by, const char *why)
{
	const struct rollout_spec *spec = turn->in->spec;
	struct rollout *next = turn->next;
	char share[16];
	if (next->step + 1 >= spec->n_steps) {
		enter(turn, ROLLOUT_PROMOTING, decided_by, "%s", why);
		return;
	}
	next->step++;
	percent(spec->steps_ppm[next->step], share);
	enter(turn, ROLLOUT_STEPPING, decided_by, "step %u of %zu, %s: %s", next->step + 1, spec->n_steps, share, why);
	turn->out->new_step = true;
}

static void ready(struct turn *turn)
{
	const struct rollout_spec *spec = turn->in->spec;
	struct rollout *next = turn->next;
	char share[16];
	if (next->skip_waiting) {
		enter(turn, ROLLOUT_PROMOTING, "operator", "the steps were skipped by a person; all copies are ready");
	} else if (!spec->n_steps) {
		enter(turn, ROLLOUT_PROMOTING, "health", "no steps were asked for; all copies are ready");
	} else {
		next->step = 0;
		percent(spec->steps_ppm[0], share);
		enter(turn, ROLLOUT_STEPPING, "health", "step 1 of %zu, %s: all copies are ready", spec->n_steps, share);
		turn->out->new_step = true;
	}
}

/* Waiting can bring evidence for these; for the others only somebody who mends something can. */
static bool is_policy_matter(enum verdict verdict)
{
	return verdict == VERDICT_UNDECIDED || verdict == VERDICT_FINE;
}

static void at_the_end_of_hold(struct turn *turn, const struct analysis_verdict *verdict, const char *reason)
{
	const struct rollout_spec *spec = turn->in->spec;
	char span[SPAN_SIZE], share[16];
	clock_span(spec->hold_at_most_ms, span);
	percent(spec->steps_ppm[turn->next->step], share);
	if (is_policy_matter(verdict->verdict) && spec->undecided == UNDECIDED_PROMOTE)
		next_step(turn, "policy", "undecided after hold.at_most; the policy is to go on");
	else if (is_policy_matter(verdict->verdict) && spec->undecided == UNDECIDED_ROLLBACK)
		go_back(turn, "policy", "undecided after %s at %s; the policy is to go back: %s", span, share, reason);
	else
		wait_for(turn, true, "a person, or more evidence: %s after %s at %s%s%.120s", verdict_name(verdict->verdict), span, share,
			 reason[0] ? ": " : "", reason);
}

static const char *what_is_missing(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_NO_DATA:
		return "requests: without traffic there is no verdict";
	case VERDICT_PROVIDER_ERROR:
		return "the source of the counts, which does not answer";
	case VERDICT_SPLIT_BROKEN:
		return "the split to be right again; its counts prove nothing";
	case VERDICT_FINE:
		return "enough requests on the candidate";
	case VERDICT_UNDECIDED:
	case VERDICT_WORSE:
		return "evidence";
	}
	abort();
}

static void judge(struct turn *turn)
{
	static const struct analysis_verdict nothing = {.verdict = VERDICT_PROVIDER_ERROR};
	const struct rollout_spec *spec = turn->in->spec;
	const struct analysis_verdict *verdict = turn->in->verdict ? turn->in->verdict : &nothing;
	int64_t elapsed = elapsed_ms(turn), begun = turn->next->step_since_ms + turn->next->paused_ms;
	bool enough = verdict->step_candidate_requests >= spec->min_requests;
	bool long_enough = elapsed >= (int64_t)spec->hold_at_least_ms;
	if (!long_enough)
		wake_at(turn, begun + (int64_t)spec->hold_at_least_ms);
	if (spec->hold_at_most_ms && elapsed < (int64_t)spec->hold_at_most_ms)
		wake_at(turn, begun + (int64_t)spec->hold_at_most_ms);
	if (long_enough && verdict->verdict == VERDICT_FINE && enough)
		next_step(turn, "analysis", verdict->reason[0] ? verdict->reason : "the candidate is fine");
	else if (spec->hold_at_most_ms && elapsed >= (int64_t)spec->hold_at_most_ms)
		at_the_end_of_hold(turn, verdict, verdict->verdict == VERDICT_FINE ? "fine, but on too few requests" : verdict->reason);
	else if (verdict->verdict == VERDICT_FINE && enough)
		wait_for(turn, false, "hold.at_least to pass");
	else
		wait_for(turn, verdict->verdict == VERDICT_SPLIT_BROKEN, "%s", what_is_missing(verdict->verdict));
}

static void step(struct turn *turn)
{
	const struct rollout_spec *spec = turn->in->spec;
	if (has_deciding_metrics(spec)) {
		judge(turn);
	} else if (elapsed_ms(turn) >= (int64_t)spec->hold_at_least_ms) {
		next_step(turn, "time", "hold.at_least has passed; nothing else was asked for");
	} else {
		wait_for(turn, false, "hold.at_least to pass");
		wake_at(turn, turn->next->step_since_ms + turn->next->paused_ms + (int64_t)spec->hold_at_least_ms);
	}
}

const struct strategy_ops strategy_canary = {
	.name = "canary",
	.doc = "the candidate gets its share of the traffic step by step, and is judged at each",
	.ready = ready,
	.step = step,
};
