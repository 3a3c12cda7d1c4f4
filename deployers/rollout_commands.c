/* What people ask for: done, or refused with the reason. */
#include "deployers/rollout_priv.h"

static const char *const names[] = {[ROLLOUT_NONE] = "",
#define X(name, text, doc) [ROLLOUT_##name] = text,
				    ROLLOUT_COMMANDS(X)
#undef X
};

const char *rollout_command_name(enum rollout_command command)
{
	return names[command];
}

bool rollout_command_from_name(const char *name, enum rollout_command *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], name) == 0) {
			*ret = (enum rollout_command)i;
			return true;
		}
	}
	return false;
}

bool is_emergency(enum rollout_command command)
{
	return command == ROLLOUT_PROMOTE_FULL || command == ROLLOUT_ROLLBACK_NOW;
}

static const char finished[] = "the rollout is finished";

static const char *who(const struct turn *turn)
{
	return turn->in->command_by ? turn->in->command_by : "a person";
}

/* ---- the clock ---- */

static const char *stop_clock(struct turn *turn)
{
	struct rollout *next = turn->next;
	switch (next->state) {
	case ROLLOUT_STARTING:
	case ROLLOUT_VERIFYING:
	case ROLLOUT_STEPPING:
	case ROLLOUT_KEEPING_OLD:
		next->paused_from = next->state;
		next->state = ROLLOUT_PAUSED;
		next->state_since_ms = turn->in->now_ms;
		return NULL;
	case ROLLOUT_AWAITING:
		return "it waits for a person already";
	case ROLLOUT_PAUSED:
		return "it is paused already";
	case ROLLOUT_PROMOTING:
		return "all traffic is moving to the candidate; this ends in a moment, and the old copies are kept for keep_old";
	case ROLLOUT_ROLLING_BACK:
		return "it is going back; that is not stopped halfway";
	case ROLLOUT_PROMOTED:
	case ROLLOUT_ROLLED_BACK:
	case ROLLOUT_FAILED:
		return finished;
	}
	abort();
}

static void start_clock(struct turn *turn)
{
	struct rollout *next = turn->next;
	int64_t span = turn->in->now_ms - next->state_since_ms;
	next->paused_ms += span > 0 ? span : 0;
	next->state = next->paused_from;
	next->state_since_ms = turn->in->now_ms;
}

/* ---- onwards ---- */

static void leave(struct turn *turn, const char *did)
{
	char why[200];
	snprintf(why, sizeof(why), "%s %.150s", did, who(turn));
	strategy_find(turn->in->spec->strategy)->leave(turn, "operator", why);
}

static const struct step_terms *terms_of(const struct turn *turn)
{
	return &turn->in->spec->terms[turn->next->step];
}

static bool is_canary(const struct turn *turn)
{
	return turn->in->spec->strategy == STRATEGY_CANARY;
}

static const char *resume(struct turn *turn)
{
	if (turn->next->state == ROLLOUT_PAUSED) {
		start_clock(turn);
		return NULL;
	}
	if (turn->next->state != ROLLOUT_AWAITING)
		return "it is not paused";
	if (!is_canary(turn) || terms_of(turn)->approve)
		return "it waits for `penstock approve`";
	leave(turn, "resumed by");
	return NULL;
}

/* An approval may come before the evidence does. */
static const char *approve(struct turn *turn)
{
	struct rollout *next = turn->next;
	enum rollout_state state = state_beneath(next);
	if (rollout_is_final(state))
		return finished;
	bool verification = !is_canary(turn) && (state == ROLLOUT_VERIFYING || state == ROLLOUT_AWAITING) && turn->in->spec->verify_approve;
	bool step = is_canary(turn) && (state == ROLLOUT_STEPPING || state == ROLLOUT_AWAITING) && terms_of(turn)->approve;
	if (!verification && !step)
		return state == ROLLOUT_AWAITING ? "it waits for `penstock resume`; no approval was asked for" : "nothing here asks for an approval";
	if (next->approved_by[0])
		return "it is approved already";
	if (next->state == ROLLOUT_AWAITING)
		leave(turn, "approved by");
	else
		copy_text(next->approved_by, sizeof(next->approved_by), who(turn));
	return NULL;
}

static const char *promote(struct turn *turn)
{
	struct rollout *next = turn->next;
	switch (state_beneath(next)) {
	case ROLLOUT_STARTING:
		if (next->state != ROLLOUT_PAUSED)
			return "no step has begun, its copies are being started; `promote --full` skips all steps";
		start_clock(turn);
		return NULL;
	case ROLLOUT_STEPPING:
	case ROLLOUT_AWAITING:
	case ROLLOUT_VERIFYING:
		leave(turn, "promoted by");
		return NULL;
	case ROLLOUT_KEEPING_OLD:
		if (next->state == ROLLOUT_PAUSED)
			start_clock(turn);
		next->skip_waiting = true;
		return NULL;
	case ROLLOUT_ROLLING_BACK:
		if (!next->has_stable)
			return "the first release is being taken back; push it again";
		if (!turn->known || turn->stable.ready || !turn->candidate.ready)
			return "it is going back to a stable release that is ready; push a new release instead";
		next->emergency = false;
		enter(turn, ROLLOUT_PROMOTING, "operator", "promoted by %s: the stable release has no ready copy", who(turn));
		return NULL;
	case ROLLOUT_PROMOTING:
		return "it is being promoted already";
	case ROLLOUT_PROMOTED:
	case ROLLOUT_ROLLED_BACK:
	case ROLLOUT_FAILED:
		return finished;
	case ROLLOUT_PAUSED:
		break;
	}
	abort();
}

/* Complaint of many: the fix could not be rolled out because the stable release was broken. This always can, as soon as one copy is ready. */
static const char *promote_full(struct turn *turn)
{
	struct rollout *next = turn->next;
	switch (state_beneath(next)) {
	case ROLLOUT_STARTING:
		if (next->state == ROLLOUT_PAUSED)
			start_clock(turn);
		snprintf(next->decided_by, sizeof(next->decided_by), "operator");
		break;
	case ROLLOUT_STEPPING:
	case ROLLOUT_AWAITING:
	case ROLLOUT_VERIFYING:
		enter(turn, ROLLOUT_PROMOTING, "operator", "promoted in an emergency by %s", who(turn));
		break;
	case ROLLOUT_KEEPING_OLD: /* ending it here would take the way back away in an emergency */
		return "all traffic goes to the candidate already; the old copies are kept so that `rollback` is instant (`promote` without --full "
		       "ends that)";
	case ROLLOUT_ROLLING_BACK:
		if (!next->has_stable)
			return "the first release is being taken back; push it again";
		if (!turn->known || turn->stable.ready)
			return "it is going back to a stable release that is ready; push a new release instead";
		enter(turn, ROLLOUT_PROMOTING, "operator", "promoted in an emergency by %s: the stable release has no ready copy", who(turn));
		break;
	case ROLLOUT_PROMOTING:
		if (next->emergency)
			return "it is being promoted already";
		break;
	case ROLLOUT_PROMOTED:
	case ROLLOUT_ROLLED_BACK:
	case ROLLOUT_FAILED:
		return finished;
	case ROLLOUT_PAUSED:
		abort();
	}
	next->emergency = true;
	return NULL;
}

/* ---- back ---- */

/* "rolled back by uid:0(root)", "rolled back: superseded by run 3" */
#define ROLLED_BACK_FORMAT "rolled back%s %s"
#define ROLLED_BACK_ARGS(in) (in)->command_why ? ":" : " by", (in)->command_why ? (in)->command_why : (in)->command_by ? (in)->command_by : "a person"

static const char *rollback(struct turn *turn)
{
	bool now = turn->in->command == ROLLOUT_ROLLBACK_NOW;
	if (rollout_is_final(turn->next->state))
		return finished;
	if (turn->next->state == ROLLOUT_ROLLING_BACK) {
		if (!now || turn->next->emergency)
			return "it is going back already";
	} else {
		go_back(turn, "operator", ROLLED_BACK_FORMAT, ROLLED_BACK_ARGS(turn->in));
	}
	turn->next->emergency = now;
	return NULL;
}

/* ---- all of them ---- */

static const char *obey_same_image(struct turn *turn)
{
	enum rollout_command command = turn->in->command;
	if (rollout_is_final(turn->next->state))
		return finished;
	if (command != ROLLOUT_ROLLBACK && command != ROLLOUT_ROLLBACK_NOW)
		return "the same image is live already; there are no steps to take";
	enter(turn, ROLLOUT_FAILED, "operator", ROLLED_BACK_FORMAT, ROLLED_BACK_ARGS(turn->in));
	return NULL;
}

const char *obey(struct turn *turn)
{
	if (turn->in->command == ROLLOUT_NONE)
		return NULL;
	if (turn->same_image)
		return obey_same_image(turn);
	switch (turn->in->command) {
	case ROLLOUT_PROMOTE:
		return promote(turn);
	case ROLLOUT_PROMOTE_FULL:
		return promote_full(turn);
	case ROLLOUT_ROLLBACK:
	case ROLLOUT_ROLLBACK_NOW:
		return rollback(turn);
	case ROLLOUT_PAUSE:
		return stop_clock(turn);
	case ROLLOUT_RESUME:
		return resume(turn);
	case ROLLOUT_APPROVE:
		return approve(turn);
	case ROLLOUT_NONE:
		break;
	}
	abort();
}
