#include "deployers/rollout_priv.h"

#include "base/utf8.h"

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

bool rollout_is_judged(const struct rollout *rollout)
{
	enum rollout_state state = state_beneath(rollout);
	uint32_t ppm = rollout->candidate.weight_ppm;
	return state == ROLLOUT_STEPPING || (state == ROLLOUT_AWAITING && ppm > 0) || (state == ROLLOUT_PROMOTING && ppm > 0 && ppm < ALL_PPM);
}

const struct strategy_ops *strategy_find(enum strategy strategy)
{
	switch (strategy) {
	case STRATEGY_CANARY:
		return &strategy_canary;
	case STRATEGY_BLUE_GREEN:
		return &strategy_blue_green;
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

void copy_text(char *ret, size_t size, const char *text)
{
	size_t len = 0, left = strlen(text);
	while (left) {
		uint32_t c;
		size_t n = utf8_decode(text, left, &c), room = n ? n : 1;
		if (len + room >= size)
			break;
		if (n)
			memmove(ret + len, text, n);
		else
			ret[len] = '?'; /* a driver's message may hold anything; what is stored as JSON must be UTF-8 */
		len += room;
		text += room;
		left -= room;
	}
	ret[len] = '\0';
}

static void say(char *ret, size_t size, const char *fmt, va_list args) __attribute__((format(printf, 3, 0)));
static void say(char *ret, size_t size, const char *fmt, va_list args)
{
	char text[512];
	vsnprintf(text, sizeof(text), fmt, args);
	copy_text(ret, size, text);
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
	next->verified = false;
	next->approved_by[0] = '\0';
	next->preview = false;
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
	bool nothing_to_undo = next->state != ROLLOUT_ROLLING_BACK && !next->exposed;
	bool over = nothing_to_undo && (!turn->known || (!next->has_stable && !turn->candidate.weight_ppm));
	next->emergency = false;
	go_to(turn, over ? ROLLOUT_FAILED : ROLLOUT_ROLLING_BACK, decided_by);
	va_list args;
	va_start(args, fmt);
	say(next->reason, sizeof(next->reason), fmt, args);
	va_end(args);
}

void await_person(struct turn *turn, const char *decided_by, const char *why)
{
	struct rollout *next = turn->next;
	next->state = next->paused_from = ROLLOUT_AWAITING;
	next->state_since_ms = turn->in->now_ms;
	copy_text(next->decided_by, sizeof(next->decided_by), decided_by);
	copy_text(next->reason, sizeof(next->reason), why);
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

/* ---- one turn ---- */

static void see(struct turn *turn)
{
	const struct actual *actual = turn->in->actual;
	turn->known = actual && actual->router_ok;
	if (!turn->known)
		return;
	for (unsigned i = 0; i < actual->n_arms && i < MAX_ARMS; i++) {
		const struct arm_status *arm = &actual->arms[i];
		const struct seen_arm seen = {arm->ready, arm->weight_ppm, arm->failed, arm->message};
		if (strcmp(arm->image, turn->in->candidate->image) == 0)
			turn->candidate = seen;
		else if (turn->in->stable && strcmp(arm->image, turn->in->stable->image) == 0)
			turn->stable = seen;
	}
	const struct rollout *now = turn->now;
	uint32_t stable = turn->same_image ? 0 : now->stable.weight_ppm;
	/* Not the generation: a driver reaches that only when every copy is up, and a rollback must not wait for a copy that never comes. */
	turn->applied = turn->stable.weight_ppm == stable && turn->candidate.weight_ppm == (turn->same_image ? ALL_PPM : now->candidate.weight_ppm);
	turn->settled = turn->applied && actual->generation >= now->generation;
}

/* One look may lie; two in a row that show the same are believed where a mistake could not be undone. */
static void remember_look(struct turn *turn)
{
	struct rollout *next = turn->next;
	if (!turn->known)
		return; /* no look */
	int64_t seen_at_ms = turn->in->actual->seen_at_ms > 0 ? turn->in->actual->seen_at_ms : turn->in->now_ms;
	if (!turn->applied)
		next->seen_applied_ms = 0;
	else if (!next->seen_applied_ms)
		next->seen_applied_ms = seen_at_ms;
	else
		turn->twice = next->seen_applied_ms != seen_at_ms;
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
		.hurry = turn->next->emergency,
		.health_path = in->spec->health_path,
		.health_within_ms = in->spec->health_within_ms,
		.restart_after_ms = in->spec->restart_after_ms,
		.memory_bytes = in->spec->memory_bytes,
		.cpu = in->spec->cpu,
	};
	add_arm(desired, in->stable, &turn->next->stable);
	unsigned before = desired->n_arms;
	add_arm(desired, in->candidate, &turn->next->candidate);
	desired->preview = turn->next->preview && desired->n_arms > before ? desired->n_arms : 0;
}

static bool same_arm(const struct rollout_arm *a, const struct rollout_arm *b)
{
	return a->replicas == b->replicas && a->weight_ppm == b->weight_ppm;
}

static bool same_desired(const struct rollout *a, const struct rollout *b)
{
	return same_arm(&a->stable, &b->stable) && same_arm(&a->candidate, &b->candidate) && a->preview == b->preview && a->emergency == b->emergency;
}

static bool harm_forbids(enum rollout_command command)
{
	return command != ROLLOUT_NONE && command != ROLLOUT_ROLLBACK;
}

static void take_turn(struct turn *turn)
{
	struct rollout *next = turn->next;
	enum rollout_command command = turn->in->command;
	next->waits_for[0] = '\0';
	next->held = false;
	/* In an emergency a person knows better; their word is obeyed even in the turn that finds harm. */
	bool harmed = !is_emergency(command) && state_harm(turn);
	if (!harmed)
		turn->out->refused = obey(turn);
	else if (harm_forbids(command))
		turn->out->refused = "the candidate has just been found harmful; it is going back";
	if (!harmed && next->state == turn->now->state && !turn->out->new_step)
		state_act(turn);
	place_arms(turn);
	turn->out->changed_state = next->state != turn->now->state;
	if ((turn->out->changed_state || turn->out->new_step) && !rollout_is_final(next->state)) {
		wait_for(turn, false, "the next look at the target");
		wake_at(turn, turn->in->now_ms);
	}
	turn->out->changed_desired = !same_desired(next, turn->now);
	if (turn->out->changed_desired) {
		next->generation++;
		next->seen_applied_ms = 0;
	}
}

void rollout_next(const struct rollout *rollout, const struct rollout_input *input, struct rollout_output *ret)
{
	struct rollout_output out = {.next = *rollout, .wake_at_ms = INT64_MAX};
	struct turn turn = {.now = rollout, .in = input, .out = &out, .next = &out.next, .stable.message = "", .candidate.message = ""};
	turn.stable_replicas = input->stable_replicas ? input->stable_replicas : input->spec->replicas;
	turn.same_image = rollout->has_stable && input->stable && strcmp(input->stable->image, input->candidate->image) == 0;
	see(&turn);
	remember_look(&turn);
	if (rollout_is_final(rollout->state))
		out.refused = obey(&turn);
	else
		take_turn(&turn);
	tell_desired(&turn);
	*ret = out;
}
