/* What happens by itself in each state, at most one transition a turn. */
#include "deployers/rollout_priv.h"

/* A driver tells `failed` when a copy is not ready within health_within of its start; before that comes unpacking. This is for targets that tell
 * nothing. */
#define STARTING_SLACK_MS 60000

enum rollout_state state_beneath(const struct rollout *rollout)
{
	return rollout->state == ROLLOUT_PAUSED ? rollout->paused_from : rollout->state;
}

int64_t elapsed_ms(const struct turn *turn)
{
	const struct rollout *next = turn->next;
	int64_t until = next->state == ROLLOUT_PAUSED ? next->state_since_ms : turn->in->now_ms;
	int64_t elapsed = until - next->step_since_ms - next->paused_ms;
	return elapsed > 0 ? elapsed : 0; /* a wall clock may be set back */
}

bool has_deciding_metrics(const struct rollout_spec *spec)
{
	for (size_t i = 0; i < spec->n_metrics; i++)
		if (!spec->metrics[i].informational)
			return true;
	return false;
}

uint32_t wanted_ppm(const struct turn *turn)
{
	switch (state_beneath(turn->next)) {
	case ROLLOUT_STEPPING:
		return turn->in->spec->steps_ppm[turn->next->step];
	case ROLLOUT_PROMOTING:
	case ROLLOUT_KEEPING_OLD:
	case ROLLOUT_PROMOTED:
		return ALL_PPM;
	case ROLLOUT_STARTING:
	case ROLLOUT_PAUSED:
	case ROLLOUT_ROLLING_BACK:
	case ROLLOUT_ROLLED_BACK:
	case ROLLOUT_FAILED:
		return 0;
	}
	abort();
}

static void rolling_back_is_over(struct turn *turn)
{
	struct rollout *next = turn->next;
	next->state = next->has_stable ? ROLLOUT_ROLLED_BACK : ROLLOUT_FAILED; /* the reason stays: it tells why, not that */
	next->state_since_ms = turn->in->now_ms;
	next->step_since_ms = turn->in->now_ms;
	next->paused_ms = 0;
}

static void starting(struct turn *turn)
{
	const struct rollout_spec *spec = turn->in->spec;
	const char *trouble = turn->in->trouble;
	int64_t deadline = 2 * (int64_t)spec->health_within_ms + STARTING_SLACK_MS;
	if (turn->known && turn->candidate.ready >= spec->replicas) {
		if (!turn->next->has_stable)
			enter(turn, ROLLOUT_PROMOTING, "health", spec->replicas == 1 ? "first release: its copy is ready" : "first release: all %u copies are ready",
			      spec->replicas);
		else
			strategy_find(spec->strategy)->ready(turn);
	} else if (trouble && turn->in->trouble_is_final) {
		go_back(turn, "target", "the target cannot run it: %s", trouble);
	} else if (elapsed_ms(turn) >= deadline) {
		if (trouble || !turn->known)
			go_back(turn, "target", "the target did not start it: %s", trouble ? trouble : "it does not answer");
		else
			go_back(turn, "health", "%u of %u copies ready when time was up%s%s", turn->candidate.ready, spec->replicas,
				turn->candidate.message[0] ? ": " : "", turn->candidate.message);
	} else {
		wait_for(turn, false, "the candidate's %u cop%s to be ready", spec->replicas, spec->replicas == 1 ? "y" : "ies");
		wake_at(turn, turn->next->step_since_ms + turn->next->paused_ms + deadline);
	}
}

/* A share that the router does not show yet is no step: its clock stands until it was read back once. */
static bool step_is_confirmed(struct turn *turn)
{
	struct rollout *next = turn->next;
	uint32_t wanted = wanted_ppm(turn);
	bool confirmed = turn->applied && turn->candidate.weight_ppm == wanted && next->candidate.weight_ppm == wanted;
	if (!confirmed && !next->step_confirmed) {
		next->step_since_ms = next->state == ROLLOUT_PAUSED ? next->state_since_ms : turn->in->now_ms;
		next->paused_ms = 0;
	}
	next->step_confirmed = next->step_confirmed || confirmed;
	if (confirmed)
		return true;
	if (turn->known && !turn->stable.ready && next->has_stable)
		wait_for(turn, true, "the stable release, which has no ready copy; its traffic goes to the candidate");
	else if (turn->known && turn->candidate.ready < turn->in->spec->replicas)
		wait_for(turn, false, "the candidate's missing copies");
	else
		wait_for(turn, turn->in->trouble != NULL, "%u.%02u%% of the traffic to reach the candidate%s%s", wanted / 10000, wanted % 10000 / 100,
			 turn->in->trouble ? ": " : "", turn->in->trouble ? turn->in->trouble : "");
	return false;
}

static void promoting(struct turn *turn)
{
	struct rollout *next = turn->next;
	bool there = turn->applied && turn->candidate.ready > 0 && next->candidate.weight_ppm == ALL_PPM && turn->candidate.weight_ppm == ALL_PPM &&
		     !turn->stable.weight_ppm;
	if (!there) {
		bool down = turn->known && !turn->candidate.ready;
		wait_for(turn, down, down ? "a ready copy of the candidate" : "all traffic to be seen on the candidate");
		return;
	}
	bool keep = next->has_stable && turn->in->spec->keep_old_ms > 0;
	char decided_by[sizeof(next->decided_by)], reason[sizeof(next->reason)];
	memcpy(decided_by, next->decided_by, sizeof(decided_by)); /* what led to the promotion stays the reason */
	memcpy(reason, next->reason, sizeof(reason));
	next->promoted_at_ms = turn->in->now_ms;
	enter(turn, keep ? ROLLOUT_KEEPING_OLD : ROLLOUT_PROMOTED, decided_by, "%s", reason);
}

static void keeping_old(struct turn *turn)
{
	struct rollout *next = turn->next;
	int64_t keep = (int64_t)turn->in->spec->keep_old_ms;
	if (!next->skip_waiting && elapsed_ms(turn) < keep) {
		wait_for(turn, false, "keep_old to end; until then `penstock rollback` is instant");
		wake_at(turn, next->step_since_ms + next->paused_ms + keep);
	} else if (!turn->applied || turn->stable.weight_ppm || turn->candidate.weight_ppm != ALL_PPM || !turn->candidate.ready) {
		wait_for(turn, turn->known && !turn->candidate.ready, "all traffic to be seen on the candidate before the old copies are removed");
	} else {
		next->state = ROLLOUT_PROMOTED;
		next->state_since_ms = turn->in->now_ms;
	}
}

static void rolling_back(struct turn *turn)
{
	const struct rollout *next = turn->next;
	bool off = turn->known && !next->candidate.weight_ppm && !turn->candidate.weight_ppm;
	if (off) {
		rolling_back_is_over(turn);
	} else if (next->has_stable && turn->known && next->candidate.weight_ppm && !turn->stable.ready) {
		wait_for(turn, true, "the stable release, which has no ready copy; traffic stays with the candidate until it has");
	} else if (next->has_stable && turn->known && next->candidate.weight_ppm && !stable_is_fit(turn)) {
		wait_for(turn, false, "all copies of the stable release to be ready");
		wake_at(turn, next->step_since_ms + (int64_t)turn->in->spec->health_within_ms);
	} else {
		wait_for(turn, false, "the candidate's traffic to be seen at zero");
	}
}

static void same_image(struct turn *turn)
{
	const struct rollout_spec *spec = turn->in->spec;
	if (turn->applied && turn->candidate.ready >= spec->replicas && turn->candidate.weight_ppm == ALL_PPM) {
		turn->next->promoted_at_ms = turn->in->now_ms;
		enter(turn, ROLLOUT_PROMOTED, "", "the same image is live already; nothing to compare");
	} else if (elapsed_ms(turn) >= 2 * (int64_t)spec->health_within_ms + STARTING_SLACK_MS) {
		bool target = turn->in->trouble || !turn->known;
		enter(turn, ROLLOUT_FAILED, target ? "target" : "health", "%u of %u copies ready when time was up%s%s", turn->candidate.ready,
		      spec->replicas, turn->in->trouble ? ": " : "", turn->in->trouble ? turn->in->trouble : "");
	} else {
		wait_for(turn, false, "the live image's %u cop%s to be ready", spec->replicas, spec->replicas == 1 ? "y" : "ies");
		wake_at(turn, turn->next->step_since_ms + 2 * (int64_t)spec->health_within_ms + STARTING_SLACK_MS);
	}
}

/* The target shows that the candidate has lost copies it had. */
static bool lost_health(struct turn *turn, bool some_are_enough)
{
	struct rollout *next = turn->next;
	const struct arm_status *arm = &turn->candidate;
	unsigned replicas = turn->in->spec->replicas;
	if (!turn->known)
		return false;
	if (arm->ready >= replicas)
		next->unready_since_ms = 0;
	else if (!next->unready_since_ms)
		next->unready_since_ms = turn->in->now_ms;
	int64_t lacking = next->unready_since_ms ? turn->in->now_ms - next->unready_since_ms : 0;
	bool long_enough = next->unready_since_ms && lacking >= (int64_t)turn->in->spec->health_within_ms;
	/* None ready while a change is on its way (a router that restarts shows that for a moment) is not yet harm. */
	bool none = !arm->ready && (turn->settled || long_enough);
	if (next->unready_since_ms)
		wake_at(turn, next->unready_since_ms + (int64_t)turn->in->spec->health_within_ms);
	return none || (arm->failed && arm->ready < replicas) || (long_enough && !some_are_enough);
}

static const char *health_text(const struct turn *turn, char *text, size_t size)
{
	const struct arm_status *arm = &turn->candidate;
	snprintf(text, size, "the candidate lost its health: %u of %u copies ready%s%s", arm->ready, turn->in->spec->replicas,
		 arm->message[0] ? ": " : "", arm->message);
	return text;
}

bool state_harm(struct turn *turn)
{
	struct rollout *next = turn->next;
	const struct analysis_verdict *verdict = turn->in->verdict;
	char text[240];
	if (turn->same_image)
		return false;
	switch (state_beneath(next)) {
	case ROLLOUT_STARTING:
		if (turn->known && turn->candidate.failed && turn->candidate.ready < turn->in->spec->replicas) {
			go_back(turn, "health", "the candidate did not become ready: %s",
				turn->candidate.message[0] ? turn->candidate.message : "no reason given");
			return true;
		}
		return false;
	case ROLLOUT_STEPPING:
		if (lost_health(turn, false)) {
			go_back(turn, "health", "%s", health_text(turn, text, sizeof(text)));
			return true;
		}
		if (verdict && verdict->verdict == VERDICT_WORSE) {
			go_back(turn, "analysis", "%s", verdict->reason[0] ? verdict->reason : "the candidate is worse");
			return true;
		}
		return false;
	case ROLLOUT_PROMOTING:
	case ROLLOUT_KEEPING_OLD:
		/* Once all traffic is on the candidate, going back helps only if there is something to go back to. */
		if (!lost_health(turn, state_beneath(next) == ROLLOUT_KEEPING_OLD) || !next->has_stable || !turn->stable.ready)
			return false;
		go_back(turn, "health", "%s", health_text(turn, text, sizeof(text)));
		return true;
	case ROLLOUT_PAUSED:
	case ROLLOUT_ROLLING_BACK:
	case ROLLOUT_PROMOTED:
	case ROLLOUT_ROLLED_BACK:
	case ROLLOUT_FAILED:
		return false;
	}
	abort();
}

void state_act(struct turn *turn)
{
	if (turn->same_image) {
		same_image(turn);
		return;
	}
	switch (turn->next->state) {
	case ROLLOUT_STARTING:
		starting(turn);
		return;
	case ROLLOUT_STEPPING:
		if (step_is_confirmed(turn))
			strategy_find(turn->in->spec->strategy)->step(turn);
		return;
	case ROLLOUT_PAUSED:
		if (turn->next->paused_from == ROLLOUT_STEPPING)
			step_is_confirmed(turn);
		wait_for(turn, true, "a person: `penstock resume`, `promote` or `rollback`");
		return;
	case ROLLOUT_PROMOTING:
		promoting(turn);
		return;
	case ROLLOUT_KEEPING_OLD:
		keeping_old(turn);
		return;
	case ROLLOUT_ROLLING_BACK:
		rolling_back(turn);
		return;
	case ROLLOUT_PROMOTED:
	case ROLLOUT_ROLLED_BACK:
	case ROLLOUT_FAILED:
		return;
	}
	abort();
}
