/* What happens by itself in each state, at most one transition a turn. */
#include "deployers/rollout_priv.h"

#include "base/clock.h"

#define STARTING_SLACK_MS 60000

int64_t coming_up_ms(const struct rollout_spec *spec)
{
	return 2 * (int64_t)spec->health_within_ms + STARTING_SLACK_MS;
}

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

static bool is_canary(const struct turn *turn)
{
	return turn->in->spec->strategy == STRATEGY_CANARY;
}

/* A canary that waits for a person keeps the traffic of its step. */
static bool has_a_step(const struct turn *turn)
{
	enum rollout_state state = state_beneath(turn->next);
	return state == ROLLOUT_STEPPING || (state == ROLLOUT_AWAITING && is_canary(turn));
}

uint32_t wanted_ppm(const struct turn *turn)
{
	switch (state_beneath(turn->next)) {
	case ROLLOUT_STEPPING:
	case ROLLOUT_AWAITING:
		return has_a_step(turn) ? turn->in->spec->steps_ppm[turn->next->step] : 0;
	case ROLLOUT_PROMOTING:
	case ROLLOUT_KEEPING_OLD:
	case ROLLOUT_PROMOTED:
		return ALL_PPM;
	case ROLLOUT_STARTING:
	case ROLLOUT_VERIFYING:
	case ROLLOUT_PAUSED:
	case ROLLOUT_ROLLING_BACK:
	case ROLLOUT_ROLLED_BACK:
	case ROLLOUT_FAILED:
		return 0;
	}
	abort();
}

static unsigned copies_of_step(const struct turn *turn, unsigned step)
{
	const struct rollout_spec *spec = turn->in->spec;
	unsigned asked = step < spec->n_steps ? spec->terms[step].replicas : 0;
	return asked && asked < spec->replicas ? asked : spec->replicas;
}

unsigned wanted_copies(const struct turn *turn)
{
	const struct rollout *next = turn->next;
	switch (state_beneath(next)) {
	case ROLLOUT_STARTING:
		return is_canary(turn) && next->has_stable && !next->fast_track && !next->emergency ? copies_of_step(turn, 0)
												    : turn->in->spec->replicas;
	case ROLLOUT_STEPPING:
	case ROLLOUT_AWAITING:
		return has_a_step(turn) ? copies_of_step(turn, next->step) : turn->in->spec->replicas;
	case ROLLOUT_VERIFYING:
	case ROLLOUT_PROMOTING:
	case ROLLOUT_KEEPING_OLD:
	case ROLLOUT_PROMOTED:
		return turn->in->spec->replicas;
	case ROLLOUT_PAUSED:
	case ROLLOUT_ROLLING_BACK: /* none is added for the way back; those that may have traffic stay */
	case ROLLOUT_ROLLED_BACK:
	case ROLLOUT_FAILED:
		return 0;
	}
	abort();
}

const char *copies_are_ready(const struct rollout_spec *spec, char space[COPIES_SIZE])
{
	if (spec->replicas == 1)
		return "its copy is ready";
	snprintf(space, COPIES_SIZE, "all %u copies are ready", spec->replicas);
	return space;
}

unsigned needed_copies(const struct turn *turn)
{
	return turn->next->emergency ? 1 : wanted_copies(turn);
}

unsigned copies_before(const struct turn *turn)
{
	const struct rollout *next = turn->next;
	unsigned needed = needed_copies(turn), before = needed;
	if (state_beneath(next) == ROLLOUT_STEPPING && next->step)
		before = copies_of_step(turn, next->step - 1);
	else if (state_beneath(next) == ROLLOUT_PROMOTING && is_canary(turn) && next->has_stable && !next->fast_track)
		before = copies_of_step(turn, next->step);
	return before < needed ? before : needed;
}

static void rolling_back_is_over(struct turn *turn)
{
	struct rollout *next = turn->next;
	next->state = next->has_stable ? ROLLOUT_ROLLED_BACK : ROLLOUT_FAILED; /* the reason stays: it tells why, not that */
	next->state_since_ms = turn->in->now_ms;
	next->step_since_ms = turn->in->now_ms;
	next->paused_ms = 0;
}

static const char *plural(unsigned n)
{
	return n == 1 ? "y" : "ies";
}

static void begin_fast_track(struct turn *turn)
{
	const struct rollout *next = turn->next;
	char live[48] = "within the rollback window", when[RFC3339_SIZE];
	if (next->was_live_ms) {
		clock_rfc3339(next->was_live_ms, when);
		snprintf(live, sizeof(live), "until %s", when);
	}
	unsigned copies = turn->in->spec->replicas;
	enter(turn, ROLLOUT_PROMOTING, "policy", "fast track: it was live %s; %s%u cop%s ready", live, copies == 1 ? "its " : "all ", copies,
	      copies == 1 ? "y is" : "ies are");
}

/* The copies it begins with are ready. */
static void begin(struct turn *turn)
{
	char copies[COPIES_SIZE];
	const struct rollout_spec *spec = turn->in->spec;
	const struct rollout *next = turn->next;
	if (next->emergency)
		enter(turn, ROLLOUT_PROMOTING, "operator", "promoted in an emergency: %u of %u copies ready", turn->candidate.ready, spec->replicas);
	else if (!next->has_stable)
		enter(turn, ROLLOUT_PROMOTING, "health",
		      "first release: %s", copies_are_ready(spec, copies));
	else if (next->fast_track)
		begin_fast_track(turn);
	else
		strategy_find(spec->strategy)->ready(turn);
}

static void starting(struct turn *turn)
{
	const struct rollout_spec *spec = turn->in->spec;
	const char *trouble = turn->in->trouble;
	int64_t deadline = coming_up_ms(spec);
	unsigned needed = needed_copies(turn);
	if (turn->known && turn->candidate.ready >= needed) {
		begin(turn);
	} else if (trouble && turn->in->trouble_is_final) {
		go_back(turn, "target", "the target cannot run it: %s", trouble);
	} else if (elapsed_ms(turn) >= deadline) {
		if (trouble || !turn->known)
			go_back(turn, "target", "the target did not start it: %s", trouble ? trouble : "it does not answer");
		else
			go_back(turn, "health", "%u of %u copies ready when time was up%s%s", turn->candidate.ready, needed,
				turn->candidate.message[0] ? ": " : "", turn->candidate.message);
	} else {
		wait_for(turn, false, "the candidate's %u cop%s to be ready", needed, plural(needed));
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
	else if (turn->known && turn->candidate.ready < needed_copies(turn))
		wait_for(turn, false, "the candidate's missing copies");
	else
		wait_for(turn, turn->in->trouble != NULL, "%u.%02u%% of the traffic to reach the candidate%s%s", wanted / 10000, wanted % 10000 / 100,
			 turn->in->trouble ? ": " : "", turn->in->trouble ? turn->in->trouble : "");
	return false;
}

static const char second_look[] = "a second look to confirm it, before copies are removed";

static void promoting(struct turn *turn)
{
	struct rollout *next = turn->next;
	bool keep = next->has_stable && turn->in->spec->keep_old_ms > 0;
	bool there = turn->applied && turn->candidate.ready > 0 && next->candidate.weight_ppm == ALL_PPM && turn->candidate.weight_ppm == ALL_PPM &&
		     !turn->stable.weight_ppm;
	if (!there) {
		bool down = turn->known && !turn->candidate.ready;
		unsigned needed = needed_copies(turn);
		if (turn->known && !down && turn->candidate.ready < needed)
			wait_for(turn, false, "all %u copies of the candidate to be ready", needed);
		else
			wait_for(turn, down, down ? "a ready copy of the candidate" : "all traffic to be seen on the candidate");
		return;
	}
	if (next->has_stable && !keep && !turn->twice) {
		wait_for(turn, false, "%s", second_look);
		return;
	}
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
	} else if (!turn->twice) {
		wait_for(turn, false, "%s", second_look);
	} else {
		next->state = ROLLOUT_PROMOTED;
		next->state_since_ms = turn->in->now_ms;
	}
}

static void rolling_back(struct turn *turn)
{
	const struct rollout *next = turn->next;
	bool off = next->exposed ? turn->applied : turn->known && !turn->candidate.weight_ppm;
	if (off && !next->candidate.weight_ppm && (turn->twice || !next->exposed)) {
		rolling_back_is_over(turn);
	} else if (off && !next->candidate.weight_ppm) {
		wait_for(turn, false, "%s", second_look);
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
	} else if (elapsed_ms(turn) >= coming_up_ms(spec)) {
		bool target = turn->in->trouble || !turn->known;
		enter(turn, ROLLOUT_FAILED, target ? "target" : "health", "%u of %u copies ready when time was up%s%s", turn->candidate.ready,
		      spec->replicas, turn->in->trouble ? ": " : "", turn->in->trouble ? turn->in->trouble : "");
	} else {
		wait_for(turn, false, "the live image's %u cop%s to be ready", spec->replicas, spec->replicas == 1 ? "y" : "ies");
		wake_at(turn, turn->next->step_since_ms + 2 * (int64_t)spec->health_within_ms + STARTING_SLACK_MS);
	}
}

/* The target shows that the candidate has lost copies it had, or does not get those it needs next. */
static bool lost_health(struct turn *turn, bool some_are_enough)
{
	struct rollout *next = turn->next;
	const struct seen_arm *arm = &turn->candidate;
	unsigned needed = needed_copies(turn);
	if (!turn->known)
		return false;
	if (arm->ready >= needed)
		next->unready_since_ms = 0;
	else if (!next->unready_since_ms)
		next->unready_since_ms = turn->in->now_ms;
	int64_t patience = arm->ready < copies_before(turn) ? (int64_t)turn->in->spec->health_within_ms : coming_up_ms(turn->in->spec);
	int64_t lacking = next->unready_since_ms ? turn->in->now_ms - next->unready_since_ms : 0;
	bool long_enough = next->unready_since_ms && lacking >= patience;
	/* None ready while a change is on its way (a router that restarts shows that for a moment) is not yet harm. */
	bool none = !arm->ready && (turn->settled || long_enough);
	if (next->unready_since_ms)
		wake_at(turn, next->unready_since_ms + patience);
	return none || (arm->failed && arm->ready < needed) || (long_enough && !some_are_enough);
}

static const char *health_text(const struct turn *turn, char *text, size_t size)
{
	const struct seen_arm *arm = &turn->candidate;
	snprintf(text, size, "the candidate lost its health: %u of %u copies ready%s%s", arm->ready, needed_copies(turn), arm->message[0] ? ": " : "",
		 arm->message);
	return text;
}

static bool harm_while_judged(struct turn *turn)
{
	const struct analysis_verdict *verdict = turn->in->verdict;
	char text[240];
	if (lost_health(turn, false)) {
		go_back(turn, "health", "%s", health_text(turn, text, sizeof(text)));
		return true;
	}
	if (has_a_step(turn) && verdict && verdict->verdict == VERDICT_WORSE) {
		go_back(turn, "analysis", "%s", verdict->reason[0] ? verdict->reason : "the candidate is worse");
		return true;
	}
	if (state_beneath(turn->next) == ROLLOUT_VERIFYING && !turn->next->verified && turn->in->verify == VERIFY_FAILED) {
		const char *why = turn->in->verify_why;
		go_back(turn, "verify", "the verify command failed%s%s", why && why[0] ? ": " : "", why ? why : "");
		return true;
	}
	return false;
}

/* The last step is left, but its traffic stays until all copies are there: so long it is judged. */
static bool harm_while_growing(struct turn *turn)
{
	const struct analysis_verdict *verdict = turn->in->verdict;
	if (turn->next->emergency || turn->next->candidate.weight_ppm == ALL_PPM || !verdict || verdict->verdict != VERDICT_WORSE)
		return false;
	go_back(turn, "analysis", "%s", verdict->reason[0] ? verdict->reason : "the candidate is worse");
	return true;
}

bool state_harm(struct turn *turn)
{
	struct rollout *next = turn->next;
	char text[240];
	if (turn->same_image)
		return false;
	switch (state_beneath(next)) {
	case ROLLOUT_STARTING:
		if (turn->known && turn->candidate.failed && turn->candidate.ready < needed_copies(turn)) {
			go_back(turn, "health", "the candidate did not become ready: %s",
				turn->candidate.message[0] ? turn->candidate.message : "no reason given");
			return true;
		}
		return false;
	case ROLLOUT_VERIFYING:
	case ROLLOUT_STEPPING:
	case ROLLOUT_AWAITING:
		return harm_while_judged(turn);
	case ROLLOUT_PROMOTING:
		if (harm_while_growing(turn))
			return true;
		/* fall through */
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

static void awaiting(struct turn *turn)
{
	bool approval = !has_a_step(turn) || turn->in->spec->terms[turn->next->step].approve;
	if (has_a_step(turn))
		step_is_confirmed(turn);
	wait_for(turn, true, "a person: `penstock %s`, `promote` or `rollback`", approval ? "approve" : "resume");
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
	case ROLLOUT_VERIFYING:
		strategy_find(turn->in->spec->strategy)->step(turn);
		return;
	case ROLLOUT_AWAITING:
		awaiting(turn);
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
