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

static void leave(struct turn *turn, const char *decided_by, const char *why)
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

/* What was asked of the step has come; some steps then wait for a person. An approval that came earlier counts. */
static void suffices(struct turn *turn, const char *decided_by, const char *why)
{
	const struct step_terms *terms = &turn->in->spec->terms[turn->next->step];
	if (turn->next->approved_by[0] || (!terms->approve && !terms->pause))
		leave(turn, decided_by, why);
	else
		await_person(turn, decided_by, why);
}

static uint64_t hold_at_least(const struct turn *turn)
{
	uint64_t own = turn->in->spec->terms[turn->next->step].hold_at_least_ms;
	return own ? own : turn->in->spec->hold_at_least_ms;
}

static uint64_t hold_at_most(const struct turn *turn)
{
	uint64_t own = turn->in->spec->terms[turn->next->step].hold_at_most_ms;
	return own ? own : turn->in->spec->hold_at_most_ms;
}

static void ready(struct turn *turn)
{
	const struct rollout_spec *spec = turn->in->spec;
	struct rollout *next = turn->next;
	char share[16];
	if (!spec->n_steps) {
		enter(turn, ROLLOUT_PROMOTING, "health", "no steps were asked for; all copies are ready");
	} else {
		next->step = 0;
		percent(spec->steps_ppm[0], share);
		enter(turn, ROLLOUT_STEPPING, "health", "step 1 of %zu, %s: %s copies are ready", spec->n_steps, share,
		      wanted_copies(turn) < spec->replicas ? "its" : "all");
		turn->out->new_step = true;
	}
}

/* Each kind of missing answer has its own policy; FINE here is fine on too few requests. */
static enum undecided policy_of(const struct rollout_spec *spec, enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_UNDECIDED:
	case VERDICT_FINE:
		return spec->undecided;
	case VERDICT_NO_DATA:
		return spec->no_data;
	case VERDICT_PROVIDER_ERROR:
		return spec->provider_error;
	case VERDICT_SPLIT_BROKEN:
		return spec->split_broken;
	case VERDICT_WORSE: /* went back before it came here */
		return UNDECIDED_ROLLBACK;
	}
	abort();
}

/* The numbers of a reason change with every look. Only another verdict, or another metric ("latency_p99: ..."), is something new to wait for, and to
 * be told; until then the words stay those of the moment from which it held. */
static bool holds_for_the_same(const struct rollout *before, const char *why, const char *reason)
{
	return before->held && strncmp(before->waits_for, why, strlen(why) - strnlen(reason, 150) + strcspn(reason, ":")) == 0;
}

static void at_the_end_of_hold(struct turn *turn, const struct analysis_verdict *verdict, const char *reason)
{
	const struct rollout_spec *spec = turn->in->spec;
	char span[SPAN_SIZE], share[16], why[240];
	clock_span(hold_at_most(turn), span);
	percent(spec->steps_ppm[turn->next->step], share);
	const char *colon = reason[0] ? ": " : "";
	switch (policy_of(spec, verdict->verdict)) {
	case UNDECIDED_PROMOTE:
		snprintf(why, sizeof(why), "%s after %s at %s; the policy is to go on%s%.150s", verdict_name(verdict->verdict), span, share, colon,
			 reason);
		suffices(turn, "policy", why);
		return;
	case UNDECIDED_ROLLBACK:
		go_back(turn, "policy", "%s after %s at %s; the policy is to go back%s%s", verdict_name(verdict->verdict), span, share, colon,
			reason);
		return;
	case UNDECIDED_HOLD:
		snprintf(why, sizeof(why), "a person, or more evidence: %s after %s at %s%s%.150s", verdict_name(verdict->verdict), span, share,
			 colon, reason);
		wait_for(turn, true, "%s", holds_for_the_same(turn->now, why, reason) ? turn->now->waits_for : why);
		return;
	}
	abort();
}

static const char *what_is_missing(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_NO_DATA:
		return "requests, or a source's numbers: without them there is no verdict";
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
	int64_t at_least = (int64_t)hold_at_least(turn), at_most = (int64_t)hold_at_most(turn);
	bool long_enough = elapsed >= at_least;
	if (!long_enough)
		wake_at(turn, begun + at_least);
	if (at_most && elapsed < at_most)
		wake_at(turn, begun + at_most);
	if (long_enough && verdict->verdict == VERDICT_FINE && enough)
		suffices(turn, "analysis", verdict->reason[0] ? verdict->reason : "the candidate is fine");
	else if (at_most && elapsed >= at_most)
		at_the_end_of_hold(turn, verdict, verdict->verdict == VERDICT_FINE ? "fine, but on too few requests" : verdict->reason);
	else if (verdict->verdict == VERDICT_FINE && enough)
		wait_for(turn, false, "hold.at_least to pass");
	else
		wait_for(turn, verdict->verdict == VERDICT_SPLIT_BROKEN, "%s", what_is_missing(verdict->verdict));
}

static void step(struct turn *turn)
{
	int64_t at_least = (int64_t)hold_at_least(turn);
	if (has_deciding_metrics(turn->in->spec)) {
		judge(turn);
	} else if (elapsed_ms(turn) >= at_least) {
		suffices(turn, "time", "hold.at_least has passed; nothing else was asked for");
	} else {
		wait_for(turn, false, "hold.at_least to pass");
		wake_at(turn, turn->next->step_since_ms + turn->next->paused_ms + at_least);
	}
}

const struct strategy_ops strategy_canary = {
	.name = "canary",
	.doc = "the candidate gets its share of the traffic step by step, and is judged at each",
	.ready = ready,
	.step = step,
	.leave = leave,
};
