#include "deployers/rollout_priv.h"

#include <stdarg.h>

static const struct {
	const char *name;
	bool final;
} states[] = {
#define X(name, text, final, doc) [ROLLOUT_##name] = {text, final},
	ROLLOUT_STATES(X)
#undef X
};

const char *rollout_state_name(enum rollout_state state)
{
	return states[state].name;
}

bool rollout_state_from_name(const char *name, enum rollout_state *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (strcmp(states[i].name, name) == 0) {
			*ret = (enum rollout_state)i;
			return true;
		}
	}
	return false;
}

bool rollout_is_final(enum rollout_state state)
{
	return states[state].final;
}

const struct strategy_ops *strategy_find(enum strategy strategy)
{
	switch (strategy) {
	case STRATEGY_CANARY:
		return &strategy_canary;
	case STRATEGY_BLUE_GREEN: /* Without its preview checks, which the deploy stage refuses in this build, it is this. */
	case STRATEGY_IMMEDIATE:
		return &strategy_immediate;
	}
	abort();
}

void rollout_start(int64_t id, bool has_stable, int64_t now_ms, struct rollout *ret)
{
	*ret = (struct rollout){
		.id = id,
		.state = ROLLOUT_STARTING,
		.paused_from = ROLLOUT_STARTING,
		.state_since_ms = now_ms,
		.step_since_ms = now_ms,
		.has_stable = has_stable,
		.stable.weight_ppm = has_stable ? ALL_PPM : 0,
	};
}

/* ---- what the other files build on ---- */

static void say(char *ret, size_t size, const char *fmt, va_list args) __attribute__((format(printf, 3, 0)));
static void say(char *ret, size_t size, const char *fmt, va_list args)
{
	char text[512];
	vsnprintf(text, sizeof(text), fmt, args);
	size_t len = strlen(text);
	if (len >= size) { /* Cut between characters: what is stored as JSON must stay UTF-8. */
		len = size - 1;
		while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(ret, text, len);
	ret[len] = '\0';
}

static void go_to(struct turn *turn, enum rollout_state state, const char *decided_by)
{
	struct rollout *next = turn->next;
	if (state == ROLLOUT_PROMOTING || state == ROLLOUT_KEEPING_OLD)
		next->skip_waiting = false;
	next->state = state;
	next->paused_from = state;
	next->state_since_ms = turn->in->now_ms;
	next->step_since_ms = turn->in->now_ms;
	next->paused_ms = 0;
	next->step_confirmed = false;
	next->unready_since_ms = 0;
	if (decided_by != next->decided_by)
		snprintf(next->decided_by, sizeof(next->decided_by), "%s", decided_by);
}

void enter(struct turn *turn, enum rollout_state state, const char *decided_by, const char *fmt, ...)
{
	go_to(turn, state, decided_by);
	va_list args;
	va_start(args, fmt);
	say(turn->next->reason, sizeof(turn->next->reason), fmt, args);
	va_end(args);
}

void go_back(struct turn *turn, const char *decided_by, const char *fmt, ...)
{
	struct rollout *next = turn->next;
	/* A candidate that never had traffic has none to lose, so if nothing can be read back nothing has to be. */
	bool nothing_to_undo = state_beneath(next) == ROLLOUT_STARTING && !next->exposed;
	bool over = nothing_to_undo && (!turn->known || (!next->has_stable && !turn->candidate.weight_ppm));
	go_to(turn, over ? ROLLOUT_FAILED : ROLLOUT_ROLLING_BACK, decided_by);
	va_list args;
	va_start(args, fmt);
	say(next->reason, sizeof(next->reason), fmt, args);
	va_end(args);
}

void wait_for(struct turn *turn, bool held, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	say(turn->next->waits_for, sizeof(turn->next->waits_for), fmt, args);
	va_end(args);
	turn->next->held = held;
}

void wake_at(struct turn *turn, int64_t at_ms)
{
	if (at_ms < turn->out->wake_at_ms)
		turn->out->wake_at_ms = at_ms;
}

/* ---- commands ---- */

static const char *stop_clock(struct turn *turn)
{
	struct rollout *next = turn->next;
	switch (next->state) {
	case ROLLOUT_STARTING:
	case ROLLOUT_STEPPING:
	case ROLLOUT_KEEPING_OLD:
		next->paused_from = next->state;
		next->state = ROLLOUT_PAUSED;
		next->state_since_ms = turn->in->now_ms;
		return NULL;
	case ROLLOUT_PAUSED:
		return "it is paused already";
	case ROLLOUT_PROMOTING:
		return "all traffic is moving to the candidate; this ends in a moment, and the old copies are kept for keep_old";
	case ROLLOUT_ROLLING_BACK:
		return "it is going back; that is not stopped halfway";
	case ROLLOUT_PROMOTED:
	case ROLLOUT_ROLLED_BACK:
	case ROLLOUT_FAILED:
		return "the rollout is finished";
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

static const char *promote(struct turn *turn)
{
	struct rollout *next = turn->next;
	const char *who = turn->in->command_by ? turn->in->command_by : "a person";
	if (next->state == ROLLOUT_PAUSED)
		start_clock(turn);
	switch (next->state) {
	case ROLLOUT_STARTING:
	case ROLLOUT_KEEPING_OLD:
		next->skip_waiting = true;
		return NULL;
	case ROLLOUT_STEPPING:
		enter(turn, ROLLOUT_PROMOTING, "operator", "promoted by %s, skipping what was left of the steps", who);
		return NULL;
	case ROLLOUT_ROLLING_BACK:
		if (!next->has_stable)
			return "the first release is being taken back; push it again";
		if (!turn->known || turn->stable.ready || !turn->candidate.ready)
			return "it is going back to a stable release that is ready; push a new release instead";
		enter(turn, ROLLOUT_PROMOTING, "operator", "promoted by %s: the stable release has no ready copy", who);
		return NULL;
	case ROLLOUT_PROMOTING:
		return "it is being promoted already";
	case ROLLOUT_PROMOTED:
	case ROLLOUT_ROLLED_BACK:
	case ROLLOUT_FAILED:
		return "the rollout is finished";
	case ROLLOUT_PAUSED:
		break;
	}
	abort();
}

/* "rolled back by uid:0(root)", "rolled back: superseded by run 3" */
#define ROLLED_BACK_FORMAT "rolled back%s %s"
#define ROLLED_BACK_ARGS(in) (in)->command_why ? ":" : " by", (in)->command_why ? (in)->command_why : (in)->command_by ? (in)->command_by : "a person"

static const char *rollback(struct turn *turn)
{
	if (rollout_is_final(turn->next->state))
		return "the rollout is finished";
	if (turn->next->state == ROLLOUT_ROLLING_BACK)
		return "it is going back already";
	go_back(turn, "operator", ROLLED_BACK_FORMAT, ROLLED_BACK_ARGS(turn->in));
	return NULL;
}

static const char *obey_same_image(struct turn *turn)
{
	if (rollout_is_final(turn->next->state))
		return "the rollout is finished";
	if (turn->in->command != ROLLOUT_ROLLBACK)
		return "the same image is live already; there are no steps to take";
	enter(turn, ROLLOUT_FAILED, "operator", ROLLED_BACK_FORMAT, ROLLED_BACK_ARGS(turn->in));
	return NULL;
}

static const char *obey(struct turn *turn)
{
	if (turn->in->command == ROLLOUT_NONE)
		return NULL;
	if (turn->same_image)
		return obey_same_image(turn);
	switch (turn->in->command) {
	case ROLLOUT_PROMOTE:
		return promote(turn);
	case ROLLOUT_ROLLBACK:
		return rollback(turn);
	case ROLLOUT_PAUSE:
		return stop_clock(turn);
	case ROLLOUT_RESUME:
		if (turn->next->state != ROLLOUT_PAUSED)
			return "it is not paused";
		start_clock(turn);
		return NULL;
	case ROLLOUT_NONE:
		break;
	}
	abort();
}

/* ---- one turn ---- */

static void see(struct turn *turn)
{
	const struct actual *actual = turn->in->actual;
	turn->known = actual && actual->router_ok;
	if (!turn->known)
		return;
	for (unsigned i = 0; i < actual->n_arms && i < MAX_ARMS; i++) {
		const struct arm_status *arm = &actual->arms[i];
		if (strcmp(arm->image, turn->in->candidate->image) == 0)
			turn->candidate = *arm;
		else if (turn->in->stable && strcmp(arm->image, turn->in->stable->image) == 0)
			turn->stable = *arm;
	}
	const struct rollout *now = turn->now;
	uint32_t stable = turn->same_image ? 0 : now->stable.weight_ppm;
	/* Not the generation: a driver reaches that only when every copy is up, and a rollback must not wait for a copy that never comes. */
	turn->applied = turn->stable.weight_ppm == stable && turn->candidate.weight_ppm == (turn->same_image ? ALL_PPM : now->candidate.weight_ppm);
	turn->settled = turn->applied && actual->generation >= now->generation;
}

static void add_arm(struct desired *desired, const struct release *release, const struct rollout_arm *arm)
{
	if (release && arm->replicas > 0)
		desired->arms[desired->n_arms++] = (struct arm){release, arm->replicas, arm->weight_ppm};
}

static void tell_desired(const struct turn *turn)
{
	const struct rollout_input *in = turn->in;
	struct desired *desired = &turn->out->desired;
	*desired = (struct desired){
		.route.kind = ROUTE_RANDOM,
		.generation = turn->next->generation,
		.health_path = in->spec->health_path,
		.health_within_ms = in->spec->health_within_ms,
	};
	add_arm(desired, in->stable, &turn->next->stable);
	add_arm(desired, in->candidate, &turn->next->candidate);
}

static bool same_arm(const struct rollout_arm *a, const struct rollout_arm *b)
{
	return a->replicas == b->replicas && a->weight_ppm == b->weight_ppm;
}

static void take_turn(struct turn *turn)
{
	struct rollout *next = turn->next;
	next->waits_for[0] = '\0';
	next->held = false;
	bool harmed = state_harm(turn);
	if (harmed && (turn->in->command == ROLLOUT_PROMOTE || turn->in->command == ROLLOUT_PAUSE || turn->in->command == ROLLOUT_RESUME))
		turn->out->refused = "the candidate has just been found harmful; it is going back";
	else if (!harmed)
		turn->out->refused = obey(turn);
	if (!harmed && next->state == turn->now->state)
		state_act(turn);
	place_arms(turn);
	turn->out->changed_state = next->state != turn->now->state;
	if ((turn->out->changed_state || turn->out->new_step) && !rollout_is_final(next->state)) {
		wait_for(turn, false, "the next look at the target");
		wake_at(turn, turn->in->now_ms);
	}
	turn->out->changed_desired = !same_arm(&next->stable, &turn->now->stable) || !same_arm(&next->candidate, &turn->now->candidate);
	if (turn->out->changed_desired)
		next->generation++;
}

void rollout_next(const struct rollout *rollout, const struct rollout_input *input, struct rollout_output *ret)
{
	struct rollout_output out = {.next = *rollout, .wake_at_ms = INT64_MAX};
	struct turn turn = {.now = rollout, .in = input, .out = &out, .next = &out.next};
	turn.stable_replicas = input->stable_replicas ? input->stable_replicas : input->spec->replicas;
	turn.same_image = rollout->has_stable && input->stable && strcmp(input->stable->image, input->candidate->image) == 0;
	see(&turn);
	if (rollout_is_final(rollout->state))
		out.refused = obey(&turn);
	else
		take_turn(&turn);
	tell_desired(&turn);
	*ret = out;
}
