/* The rollout machine against an adversary: every reachable state of a small world is visited. Copies die, come back, fail for good; the
 * driver does half of what it was asked, or never finishes, or an old write lands late; the target answers late or not at all, its router
 * forgets, and lies once (shows what was before, shows nothing, claims to be done); the daemon restarts; people give every command at any
 * point; a newer release takes this one's place. What deployers/rollout.h promises is checked on each turn, from each state it must end
 * once things work again, and there must be a way back. A table of wrong machines shows that these checks can fail. Then long random walks.
 *
 * PENSTOCK_MODEL=full visits larger worlds (minutes). */
#include "tests/unit/deployers/rollout_world.h"

static struct rollout_spec spec;
static bool has_stable, fast_track, calm;

/* ---- failing ---- */

typedef void (*next_fn)(const struct rollout *, const struct rollout_input *, struct rollout_output *);
static next_fn next_turn = rollout_next; /* or a wrong one */
static bool expects_failure;
static const char *caught; /* what a wrong machine was caught at */

static void fail_at(const struct node *before, const struct rollout *after, const char *what)
{
	if (expects_failure) {
		caught = caught ? caught : what;
		return;
	}
	cleanup_json json_t *a = rollout_to_json(&before->r), *b = rollout_to_json(after);
	cleanup_free char *from = json_text(a), *to = json_text(b);
	const struct world *w = &before->w;
	fail_msg("%s\n  from %s\n  to %s\n  world: stable %u/%u ready, %u ppm; candidate %u/%u ready, %u ppm; verdict %s; answers %d, router %d, "
		 "lies %d",
		 what, from, to, w->arm[0].ready, w->arm[0].replicas, w->arm[0].weight, w->arm[1].ready, w->arm[1].replicas, w->arm[1].weight,
		 verdict_name(w->verdict), w->answers, w->router_ok, w->may_lie);
}

/* ---- the promises ---- */

static enum rollout_state beneath(const struct rollout *r)
{
	return r->state == ROLLOUT_PAUSED ? r->paused_from : r->state;
}

static void check_weights(const struct node *before, const struct rollout_input *in, const struct rollout_output *out)
{
	const struct rollout *was = &before->r, *is = &out->next;
	bool known = in->actual && in->actual->router_ok;
	if (is->candidate.weight_ppm > was->candidate.weight_ppm && !(known && seen(in->actual, C)->ready))
		fail_at(before, is, "weight was raised on a candidate that is not seen ready");
	if (is->stable.weight_ppm > was->stable.weight_ppm && !(known && seen(in->actual, S)->ready))
		fail_at(before, is, "weight was raised on a stable arm that is not seen ready");
	if (has_stable && is->stable.weight_ppm + is->candidate.weight_ppm != ALL)
		fail_at(before, is, "the weights do not add up");
	uint32_t sum = 0;
	for (unsigned i = 0; i < out->desired.n_arms; i++)
		sum += out->desired.arms[i].weight_ppm;
	if (sum != is->stable.weight_ppm + is->candidate.weight_ppm)
		fail_at(before, is, "weight went to an arm without copies");
	if (known && has_stable && !rollout_is_final(was->state) && is->candidate.weight_ppm && !seen(in->actual, C)->ready &&
	    seen(in->actual, S)->ready)
		fail_at(before, is, "the candidate keeps weight though only the stable arm is ready");
}

static void check_removal(const struct node *before, const struct rollout_output *out)
{
	const struct world *w = &before->w;
	for (int i = 0; i < 2; i++) {
		const struct rollout_arm *was = i == STABLE ? &before->r.stable : &before->r.candidate;
		const struct rollout_arm *is = i == STABLE ? &out->next.stable : &out->next.candidate;
		if (was->replicas <= is->replicas)
			continue;
		if (w->arm[i].weight)
			fail_at(before, &out->next, "copies were given up that really have weight");
		if (w->wanted[i].weight_ppm || (w->late && w->late_weight[i]))
			fail_at(before, &out->next, "copies were given up while the driver may still give them weight");
	}
}

static bool takes_back(enum rollout_state state)
{
	return state == ROLLOUT_ROLLING_BACK || state == ROLLOUT_ROLLED_BACK || state == ROLLOUT_FAILED;
}

static bool policy_allows(enum verdict verdict)
{
	return (verdict == VERDICT_UNDECIDED && spec.undecided == UNDECIDED_PROMOTE) ||
	       (verdict == VERDICT_NO_DATA && spec.no_data == UNDECIDED_PROMOTE);
}

static void check_steps(const struct node *before, const struct rollout_input *in, const struct rollout_output *out)
{
	const struct rollout *was = &before->r, *is = &out->next;
	enum rollout_state from = beneath(was);
	bool canary = spec.strategy == STRATEGY_CANARY, stepped = from == ROLLOUT_STEPPING || (from == ROLLOUT_AWAITING && canary);
	bool onwards = is->state == ROLLOUT_PROMOTING || out->new_step;
	if (stepped && in->verdict->verdict == VERDICT_WORSE && !takes_back(is->state) && in->command != ROLLOUT_PROMOTE_FULL)
		fail_at(before, is, "harm did not take it back");
	if (in->command != ROLLOUT_NONE || !onwards)
		return;
	const struct step_terms *terms = &spec.terms[was->step];
	if (was->state == ROLLOUT_STEPPING && in->verdict->verdict != VERDICT_FINE && !policy_allows(in->verdict->verdict))
		fail_at(before, is, "a step was left without a verdict");
	if (was->state == ROLLOUT_STEPPING && (terms->pause || terms->approve) && !was->approved_by[0])
		fail_at(before, is, "a step that waits for a person was left without one");
	if (was->state == ROLLOUT_AWAITING || was->state == ROLLOUT_PAUSED)
		fail_at(before, is, "it went on without a person");
	if (was->state == ROLLOUT_VERIFYING && spec.verify_run && !was->verified && in->verify != VERIFY_PASSED)
		fail_at(before, is, "promoted without verification");
	if (was->state == ROLLOUT_VERIFYING && spec.verify_approve && !was->approved_by[0])
		fail_at(before, is, "promoted without approval");
}

static void check_decisions(const struct node *before, const struct rollout_input *in, const struct rollout_output *out)
{
	const struct rollout *is = &out->next;
	enum rollout_state was = before->r.state, now = is->state;
	bool previews = beneath(is) == ROLLOUT_VERIFYING || (beneath(is) == ROLLOUT_AWAITING && spec.strategy == STRATEGY_BLUE_GREEN);
	if (!rollout_is_final(now) && !is->waits_for[0])
		fail_at(before, is, "it waits, but does not say for what");
	if (now == ROLLOUT_PROMOTED && was != ROLLOUT_PROMOTED && has_stable &&
	    (!before->w.arm[CANDIDATE].replicas || before->w.arm[CANDIDATE].weight != ALL))
		fail_at(before, is, "promoted without all traffic");
	if (rollout_is_final(was) && (now != was || out->changed_desired))
		fail_at(before, is, "a final state changed");
	if (out->refused && in->command == ROLLOUT_NONE)
		fail_at(before, is, "refused without a command");
	if (out->changed_desired != (is->generation == before->r.generation + 1))
		fail_at(before, is, "the generation does not follow the desired state");
	if ((out->desired.preview != 0) != previews || (previews && out->desired.arms[out->desired.preview - 1].release != &new_release))
		fail_at(before, is, "the preview address is not as it should be");
	if (out->verify_due && !(in->actual && strcmp(in->actual->preview_image, C) == 0))
		fail_at(before, is, "to be verified before it is shown");
}

/* The daemon may restart at any point: what is stored says all that counts. */
static void check_restart(const struct node *n)
{
	cleanup_json json_t *json = rollout_to_json(&n->r);
	cleanup_error struct error *err = NULL;
	struct rollout again;
	assert_ok(rollout_from_json(json, &again, &err), err);
	cleanup_json json_t *twice = rollout_to_json(&again);
	if (!json_equal(json, twice))
		fail_at(n, &again, "a restart forgets");
}

/* ---- one turn: look, decide, hand the answer to the driver ---- */

static void hand_over(struct world *w, const struct rollout_output *out)
{
	for (int i = 0; i < 2; i++) {
		const struct rollout_arm *is = i == STABLE ? &out->next.stable : &out->next.candidate;
		if (w->wanted[i].weight_ppm != is->weight_ppm) {
			w->late = !calm;
			w->late_weight[STABLE] = w->wanted[STABLE].weight_ppm;
			w->late_weight[CANDIDATE] = w->wanted[CANDIDATE].weight_ppm;
			break;
		}
	}
	w->wanted[STABLE] = out->next.stable;
	w->wanted[CANDIDATE] = out->next.candidate;
	w->wanted_preview = out->desired.preview != 0;
	w->done = w->done && !out->changed_desired;
}

static void take_turn(struct node *n, enum rollout_command command, enum lie lie, struct rollout_output *out)
{
	static struct analysis_verdict verdict = {.step_candidate_requests = 1000};
	verdict.verdict = n->w.verdict;
	n->w.looks++;
	struct rollout_input in = {
		.spec = &spec,
		.stable = has_stable ? &old_release : NULL,
		.candidate = &new_release,
		.actual = n->w.answers ? look(n, lie) : NULL,
		.verdict = &verdict,
		.verify = n->w.verify,
		.command = command,
		.now_ms = n->w.now_ms,
	};
	if (in.actual || calm)
		n->w.late = false; /* such a look is only handed in when no older write can land behind it */
	next_turn(&n->r, &in, out);
	check_weights(n, &in, out);
	check_removal(n, out);
	check_steps(n, &in, out);
	check_decisions(n, &in, out);
	n->r = out->next;
	hand_over(&n->w, out);
}

/* ---- from here on everything works ---- */

struct fair {
	enum verdict verdict;
	bool never_done;            /* one more copy never comes, so the driver never says that it is done */
	enum rollout_command first; /* what a person asks for in the beginning */
};

/* What a person does who sees what it waits for; `held_for` turns already. */
static enum rollout_command person(const struct rollout *r, unsigned held_for)
{
	if (r->state == ROLLOUT_PAUSED)
		return ROLLOUT_RESUME;
	if (r->state == ROLLOUT_AWAITING)
		return spec.strategy == STRATEGY_BLUE_GREEN || spec.terms[r->step].approve ? ROLLOUT_APPROVE : ROLLOUT_RESUME;
	return held_for >= 3 ? ROLLOUT_PROMOTE : ROLLOUT_NONE;
}

static void check_it_ends(const struct node *start, const struct fair *fair)
{
	struct node n = *start;
	struct rollout_output out = {.next = n.r};
	unsigned held_for = 0;
	n.w.answers = n.w.router_ok = true;
	n.w.verdict = fair->verdict;
	n.w.verify = VERIFY_NONE;
	for (int i = 0; i < 60 && !rollout_is_final(n.r.state); i++) {
		driver_finishes(&n.w);
		n.w.done = !fair->never_done;
		set_ready(&n.w, STABLE, REPLICAS);
		set_ready(&n.w, CANDIDATE, REPLICAS);
		n.w.now_ms += UNIT_MS;
		n.w.verify = out.verify_due ? VERIFY_PASSED : VERIFY_NONE;
		held_for = n.r.held ? held_for + 1 : 0;
		take_turn(&n, i == 0 && fair->first != ROLLOUT_NONE ? fair->first : person(&n.r, held_for), HONEST, &out);
	}
	if (!rollout_is_final(n.r.state))
		fail_at(start, &n.r, "it does not end though everything works and people answer");
	bool back = fair->first == ROLLOUT_ROLLBACK || fair->first == ROLLOUT_ROLLBACK_NOW;
	if (back && !(takes_back(n.r.state) && n.r.stable.weight_ppm == (has_stable ? ALL : 0) && !n.r.candidate.replicas))
		fail_at(start, &n.r, "there was no way back");
}

static void check_endings(const struct node *n, uint64_t which)
{
	static const struct fair endings[] = {
		{VERDICT_FINE, false, ROLLOUT_NONE},
		{VERDICT_UNDECIDED, true, ROLLOUT_NONE},
		{VERDICT_UNDECIDED, true, ROLLOUT_ROLLBACK},
		{VERDICT_NO_DATA, false, ROLLOUT_ROLLBACK_NOW},
	};
	if (!rollout_is_final(n->r.state))
		check_it_ends(n, &endings[which % ARRAY_SIZE(endings)]);
}

/* ---- worlds ---- */

struct play {
	const char *name;
	bool has_stable, fast_track;
	enum strategy strategy;
	enum undecided policy;
	uint64_t keep_ms;
	struct step_terms terms[2];
	size_t n_steps;
	bool verify, verify_approve;
	bool full_only; /* with PENSTOCK_MODEL=full only */
	bool calm;      /* ... are there late writes, a silent router, half of the stable copies: other plays have them */
};
static const struct play plays[] = {
	{.name = "first release"},
	{.name = "immediate", .has_stable = true, .calm = true, .strategy = STRATEGY_IMMEDIATE, .keep_ms = UNIT_MS},
	{.name = "fast track, nothing kept", .has_stable = true, .fast_track = true, .n_steps = 1},
	{.name = "blue-green", .has_stable = true, .calm = true, .strategy = STRATEGY_BLUE_GREEN, .verify = true, .verify_approve = true},
	{.name = "canary, one step", .has_stable = true, .calm = true, .n_steps = 1, .terms = {{.replicas = 1, .pause = true}}},
	{.name = "canary, approved, by policy",
	 .has_stable = true,
	 .n_steps = 1,
	 .policy = UNDECIDED_PROMOTE,
	 .terms = {{.approve = true}},
	 .full_only = true},
	{.name = "canary, two steps",
	 .has_stable = true,
	 .n_steps = 2,
	 .keep_ms = UNIT_MS,
	 .terms = {{.replicas = 1, .pause = true}, {.approve = true}},
	 .full_only = true},
	{.name = "blue-green, kept", .has_stable = true, .strategy = STRATEGY_BLUE_GREEN, .verify = true, .keep_ms = UNIT_MS, .full_only = true},
};

static bool is_full_model(void)
{
	const char *model = getenv("PENSTOCK_MODEL");
	return model && strcmp(model, "full") == 0;
}

static void use_play(const struct play *play)
{
	calm = play->calm && !is_full_model();
	has_stable = play->has_stable;
	fast_track = play->fast_track;
	spec = (struct rollout_spec){
		.target = "prod",
		.replicas = REPLICAS,
		.health_path = "/",
		.health_within_ms = UNIT_MS,
		.strategy = play->strategy,
		.steps_ppm = {50000, 500000},
		.n_steps = play->n_steps,
		.terms = {play->terms[0], play->terms[1]},
		.hold_at_least_ms = UNIT_MS,
		.hold_at_most_ms = 2 * UNIT_MS,
		.min_requests = 100,
		.alpha = 0.05,
		.metrics = {{.metric = "error_rate", .versus_stable = true}},
		.n_metrics = 1,
		.undecided = play->policy,
		.no_data = play->policy == UNDECIDED_PROMOTE ? UNDECIDED_ROLLBACK : UNDECIDED_HOLD,
		.keep_old_ms = play->keep_ms,
		.verify_run = play->verify ? "true" : NULL,
		.verify_approve = play->verify_approve,
	};
}

static void begin_node(struct node *n)
{
	*n = (struct node){.w = {.answers = true, .router_ok = true, .may_lie = true, .now_ms = UNIT_MS, .verdict = VERDICT_UNDECIDED}};
	if (has_stable) {
		n->w.arm[STABLE].replicas = n->w.arm[STABLE].ready = REPLICAS;
		n->w.arm[STABLE].weight = n->w.wanted[STABLE].weight_ppm = ALL;
	}
	rollout_start(1, has_stable, n->w.now_ms, &n->r);
	n->r.fast_track = fast_track;
}

/* Moves that this play can never tell apart are not made. */
static bool matters(const struct node *n, enum move move)
{
	bool verdict = move >= MOVE_FINE && move <= MOVE_NO_DATA, verify = move >= MOVE_VERIFY_RUNS && move <= MOVE_VERIFY_FAILS;
	bool stable = move >= MOVE_S_READY && move <= MOVE_S_DOWN;
	if (verdict)
		return spec.n_steps && !fast_track;
	if (verify || move == MOVE_PREVIEW)
		return spec.verify_run && n->r.state != ROLLOUT_PROMOTING && n->r.state != ROLLOUT_KEEPING_OLD && n->r.state != ROLLOUT_ROLLING_BACK;
	if (move == MOVE_LATE || move == MOVE_ROUTER_DOWN || move == MOVE_S_HALF)
		return !calm && (has_stable || !stable);
	return has_stable || !stable;
}

/* ---- every reachable state ---- */

static uint64_t units_since(int64_t then, int64_t now)
{
	int64_t units = (now - then) / UNIT_MS;
	return units < 0 ? 0 : units < 3 ? (uint64_t)units : 3; /* no deadline is further away than that */
}

/* Two nodes with the same key have the same future. */
struct key {
	uint64_t bits[3];
};

static void put(uint64_t *bits, unsigned *at, unsigned width, uint64_t value)
{
	assert_true(value >> width == 0 && *at + width <= 64);
	*bits |= value << *at;
	*at += width;
}

static uint64_t weight_index(uint32_t ppm)
{
	static const uint32_t weights[] = {0, 50000, 500000, 1000000, 950000};
	for (size_t i = 0; i < ARRAY_SIZE(weights); i++)
		if (weights[i] == ppm)
			return i;
	fail_msg("a weight of %u was never asked for", ppm);
	return 0;
}

static uint64_t key_of_rollout(const struct rollout *r, int64_t now_ms)
{
	uint64_t bits = 0;
	unsigned at = 0;
	int64_t until = r->state == ROLLOUT_PAUSED ? r->state_since_ms : now_ms;
	bool clock = beneath(r) != ROLLOUT_PROMOTING && beneath(r) != ROLLOUT_AWAITING; /* these have no clock of their own */
	put(&bits, &at, 4, (uint64_t)r->state);
	put(&bits, &at, 4, (uint64_t)beneath(r));
	put(&bits, &at, 2, r->step);
	put(&bits, &at, 1, r->exposed);
	put(&bits, &at, 1, r->step_confirmed);
	put(&bits, &at, 1, r->skip_waiting);
	put(&bits, &at, 1, r->emergency);
	put(&bits, &at, 1, r->verified);
	put(&bits, &at, 1, r->preview);
	put(&bits, &at, 1, r->approved_by[0] != '\0');
	put(&bits, &at, 1, r->seen_applied_ms != 0);
	put(&bits, &at, 2, clock ? units_since(r->step_since_ms + r->paused_ms, until) : 0);
	put(&bits, &at, 1, r->unready_since_ms != 0);
	put(&bits, &at, 2, r->unready_since_ms ? units_since(r->unready_since_ms, now_ms) : 0);
	put(&bits, &at, 2, r->stable.replicas);
	put(&bits, &at, 2, r->candidate.replicas);
	put(&bits, &at, 3, weight_index(r->stable.weight_ppm));
	put(&bits, &at, 3, weight_index(r->candidate.weight_ppm));
	return bits;
}

static struct key key_of(const struct node *n)
{
	const struct world *w = &n->w;
	struct key key = {.bits = {key_of_rollout(&n->r, w->now_ms), 0, 0}};
	unsigned at = 0;
	for (int i = 0; i < 2; i++) {
		put(&key.bits[1], &at, 2, w->arm[i].replicas);
		put(&key.bits[1], &at, 2, w->arm[i].ready);
		put(&key.bits[1], &at, 1, w->arm[i].failed);
		put(&key.bits[1], &at, 3, weight_index(w->arm[i].weight));
		put(&key.bits[1], &at, 3, w->late ? weight_index(w->late_weight[i]) : 0);
	}
	put(&key.bits[1], &at, 3, (uint64_t)w->verdict);
	put(&key.bits[1], &at, 2, (uint64_t)w->verify);
	put(&key.bits[1], &at, 1, w->late);
	put(&key.bits[1], &at, 1, w->done);
	put(&key.bits[1], &at, 1, w->previews);
	put(&key.bits[1], &at, 1, w->may_lie);
	put(&key.bits[1], &at, 1, w->answers);
	put(&key.bits[1], &at, 1, w->router_ok);
	return key;
}

struct visited {
	struct key *keys; /* all zero: empty */
	size_t capacity, n;
};

static size_t place_of(const struct visited *v, const struct key *key)
{
	uint64_t hash = (key->bits[0] * 0x9e3779b97f4a7c15u) ^ (key->bits[1] * 0xbf58476d1ce4e5b9u);
	size_t at = (hash ^ hash >> 29) & (v->capacity - 1);
	while (v->keys[at].bits[2] && memcmp(&v->keys[at], key, sizeof(*key)) != 0)
		at = (at + 1) & (v->capacity - 1);
	return at;
}

static bool visit(struct visited *v, const struct node *n)
{
	struct key key = key_of(n);
	key.bits[2] = 1;
	if (2 * v->n >= v->capacity) {
		struct visited larger = {.capacity = v->capacity ? 2 * v->capacity : 1 << 16, .n = v->n};
		larger.keys = xcalloc(larger.capacity, sizeof(*larger.keys));
		for (size_t i = 0; i < v->capacity; i++)
			if (v->keys[i].bits[2])
				larger.keys[place_of(&larger, &v->keys[i])] = v->keys[i];
		free(v->keys);
		*v = larger;
	}
	size_t at = place_of(v, &key);
	if (v->keys[at].bits[2])
		return false;
	v->keys[at] = key;
	v->n++;
	return true;
}

/* Waits to be visited: without its texts, of which none decides anything. */
struct packed {
	struct world w;
	int64_t state_since_ms, step_since_ms, paused_ms, unready_since_ms, seen_applied_ms;
	uint64_t generation;
	struct rollout_arm stable, candidate;
	unsigned char state, paused_from, step;
	bool exposed, step_confirmed, skip_waiting, emergency, verified, preview, approved, held;
};

static struct packed pack(const struct node *n)
{
	const struct rollout *r = &n->r;
	return (struct packed){n->w,
			       r->state_since_ms,
			       r->step_since_ms,
			       r->paused_ms,
			       r->unready_since_ms,
			       r->seen_applied_ms,
			       r->generation,
			       r->stable,
			       r->candidate,
			       (unsigned char)r->state,
			       (unsigned char)r->paused_from,
			       (unsigned char)r->step,
			       r->exposed,
			       r->step_confirmed,
			       r->skip_waiting,
			       r->emergency,
			       r->verified,
			       r->preview,
			       r->approved_by[0] != '\0',
			       r->held};
}

static void unpack(const struct packed *p, struct node *ret)
{
	*ret = (struct node){.w = p->w,
			     .r = {.id = 1,
				   .state = (enum rollout_state)p->state,
				   .paused_from = (enum rollout_state)p->paused_from,
				   .step = p->step,
				   .state_since_ms = p->state_since_ms,
				   .step_since_ms = p->step_since_ms,
				   .paused_ms = p->paused_ms,
				   .has_stable = has_stable,
				   .generation = p->generation,
				   .stable = p->stable,
				   .candidate = p->candidate,
				   .exposed = p->exposed,
				   .step_confirmed = p->step_confirmed,
				   .skip_waiting = p->skip_waiting,
				   .unready_since_ms = p->unready_since_ms,
				   .held = p->held,
				   .fast_track = fast_track,
				   .emergency = p->emergency,
				   .verified = p->verified,
				   .approved_by = {p->approved ? 'x' : '\0'},
				   .preview = p->preview,
				   .seen_applied_ms = p->seen_applied_ms}};
}

struct search {
	struct visited visited;
	struct packed *stack;
	size_t capacity, n;
	size_t turns;
	size_t max_states; /* 0: all */
};

static void go(struct search *s, const struct node *from, enum move move, enum rollout_command command, enum lie lie)
{
	struct node to = *from;
	struct rollout_output out;
	move_world(&to.r, &to.w, move);
	if (move != MOVE_LOOK && memcmp(&to.w, &from->w, sizeof(to.w)) == 0)
		return; /* nothing has happened */
	to.w.may_lie = to.w.may_lie && lie == HONEST;
	take_turn(&to, command, lie, &out);
	s->turns++;
	if (!visit(&s->visited, &to))
		return;
	if (s->visited.n % 32 == 0)
		check_restart(&to);
	if (s->visited.n % 4 == 0)
		check_endings(&to, s->visited.n / 4);
	if (rollout_is_final(to.r.state))
		return;
	s->stack = xgrow(s->stack, &s->capacity, s->n + 1, sizeof(*s->stack));
	s->stack[s->n++] = pack(&to);
}

static void visit_all(struct search *s)
{
	struct node from;
	begin_node(&from);
	go(s, &from, MOVE_LOOK, ROLLOUT_NONE, HONEST);
	while (s->n && !caught && (!s->max_states || s->visited.n < s->max_states)) {
		struct packed top = s->stack[--s->n];
		unpack(&top, &from);
		for (int move = 0; move < N_MOVES; move++)
			if (matters(&from, (enum move)move))
				go(s, &from, (enum move)move, ROLLOUT_NONE, HONEST);
		for (int command = ROLLOUT_PROMOTE; command <= ROLLOUT_APPROVE; command++)
			go(s, &from, MOVE_LOOK, (enum rollout_command)command, HONEST);
		for (int lie = LIE_OLD; from.w.may_lie && from.w.answers && lie <= LIE_DONE; lie++)
			go(s, &from, MOVE_LOOK, ROLLOUT_NONE, (enum lie)lie);
	}
	free(s->stack);
	free(s->visited.keys);
}

static void every_reachable_state_keeps_the_promises(void **state)
{
	(void)state;
	size_t states = 0, turns = 0;
	for (size_t i = 0; i < ARRAY_SIZE(plays); i++) {
		if (plays[i].full_only && !is_full_model())
			continue;
		struct search search = {0};
		use_play(&plays[i]);
		visit_all(&search);
		print_message("%s: %zu states, %zu turns\n", plays[i].name, search.visited.n, search.turns);
		states += search.visited.n;
		turns += search.turns;
	}
	print_message("all: %zu states, %zu turns\n", states, turns);
}

/* ---- wrong machines, each of which must be caught ---- */

static void believes_copies_ready(const struct rollout *r, const struct rollout_input *in, struct rollout_output *out)
{
	struct rollout_input wrong = *in;
	struct actual actual;
	if (in->actual) {
		actual = *in->actual;
		for (unsigned i = 0; i < actual.n_arms; i++)
			actual.arms[i].ready = REPLICAS;
		wrong.actual = &actual;
	}
	rollout_next(r, &wrong, out);
}

static void takes_copies_before_traffic(const struct rollout *r, const struct rollout_input *in, struct rollout_output *out)
{
	rollout_next(r, in, out);
	if (out->next.state == ROLLOUT_ROLLING_BACK)
		out->next.candidate.replicas = 0;
}

static void believes_one_look(const struct rollout *r, const struct rollout_input *in, struct rollout_output *out)
{
	struct rollout wrong = *r;
	if (!wrong.seen_applied_ms)
		wrong.seen_applied_ms = -1;
	rollout_next(&wrong, in, out);
}

static void does_not_go_back_on_harm(const struct rollout *r, const struct rollout_input *in, struct rollout_output *out)
{
	struct rollout_input wrong = *in;
	wrong.verdict = NULL;
	rollout_next(r, &wrong, out);
}

static void is_silent(const struct rollout *r, const struct rollout_input *in, struct rollout_output *out)
{
	rollout_next(r, in, out);
	if (out->next.state == ROLLOUT_VERIFYING)
		out->next.waits_for[0] = '\0';
}

static void does_not_wait_for_people(const struct rollout *r, const struct rollout_input *in, struct rollout_output *out)
{
	static struct rollout_spec wrong_spec;
	struct rollout_input wrong = *in;
	wrong_spec = *in->spec;
	memset(wrong_spec.terms, 0, sizeof(wrong_spec.terms));
	wrong_spec.verify_approve = false;
	wrong.spec = &wrong_spec;
	rollout_next(r, &wrong, out);
}

static void does_not_go_back_when_told(const struct rollout *r, const struct rollout_input *in, struct rollout_output *out)
{
	struct rollout_input wrong = *in;
	if (wrong.command == ROLLOUT_ROLLBACK && r->state == ROLLOUT_KEEPING_OLD)
		wrong.command = ROLLOUT_NONE;
	rollout_next(r, &wrong, out);
}

static void never_lets_go(const struct rollout *r, const struct rollout_input *in, struct rollout_output *out)
{
	struct rollout_input wrong = *in;
	if (r->state == ROLLOUT_KEEPING_OLD)
		wrong.now_ms = r->step_since_ms;
	rollout_next(r, &wrong, out);
}

static void verifies_what_is_not_shown(const struct rollout *r, const struct rollout_input *in, struct rollout_output *out)
{
	rollout_next(r, in, out);
	out->verify_due = out->next.state == ROLLOUT_VERIFYING && !out->next.verified;
}

static void wants_every_copy_for_the_way_back(const struct rollout *r, const struct rollout_input *in, struct rollout_output *out)
{
	struct rollout_input wrong = *in;
	wrong.stable_replicas = REPLICAS + 1; /* one that never comes */
	if (r->state == ROLLOUT_ROLLING_BACK)
		wrong.now_ms = r->step_since_ms;
	rollout_next(r, &wrong, out);
}

static void wrong_machines_are_caught(void **state)
{
	(void)state;
	static const struct {
		next_fn next;
		const char *play, *caught;
	} cases[] = {
		{believes_copies_ready, "first release", "weight was raised on a candidate that is not seen ready"},
		{believes_copies_ready, "immediate", "weight was raised on a candidate that is not seen ready"},
		{takes_copies_before_traffic, "immediate", "copies were given up"},
		{believes_one_look, "immediate", "copies were given up"},
		{believes_one_look, "fast track, nothing kept", "copies were given up"},
		{does_not_go_back_on_harm, "canary, one step", "harm did not take it back"},
		{is_silent, "blue-green", "it waits, but does not say for what"},
		{does_not_wait_for_people, "canary, one step", "a step that waits for a person was left without one"},
		{does_not_wait_for_people, "blue-green", "promoted without approval"},
		{does_not_go_back_when_told, "immediate", "there was no way back"},
		{never_lets_go, "immediate", "it does not end"},
		{verifies_what_is_not_shown, "blue-green", "to be verified before it is shown"},
		{wants_every_copy_for_the_way_back, "immediate", "it does not end"},
	};
	expects_failure = true;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct search search = {0};
		const struct play *play = plays;
		while (strcmp(play->name, cases[i].play) != 0)
			play++;
		use_play(play);
		next_turn = cases[i].next;
		caught = NULL;
		visit_all(&search);
		print_message("%zu: caught after %zu states: %s\n", i, search.visited.n, caught ? caught : "not at all");
		assert_non_null(caught);
		assert_int_equal(strncmp(caught, cases[i].caught, strlen(cases[i].caught)), 0);
	}
	expects_failure = false;
	next_turn = rollout_next;
	caught = NULL;
}

/* ---- long walks, with odd times ---- */

static uint64_t random_next(uint64_t *seed)
{
	*seed += 0x9e3779b97f4a7c15u; /* splitmix64, public domain constants */
	uint64_t z = *seed;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* A walk mostly helps the rollout along, so that it reaches the far states, and strikes now and then. */
static void walk(uint64_t seed, unsigned turns)
{
	static const enum move helpful[] = {MOVE_TIME,    MOVE_FINISH, MOVE_C_READY, MOVE_S_READY,
					    MOVE_ANSWERS, MOVE_FINE,   MOVE_FINISH,  MOVE_VERIFY_PASSES};
	struct node n;
	struct rollout_output out;
	begin_node(&n);
	for (unsigned i = 0; i < turns && !rollout_is_final(n.r.state); i++) {
		uint64_t draw = random_next(&seed);
		enum move move = draw % 5 ? helpful[(draw >> 8) % ARRAY_SIZE(helpful)] : (enum move)((draw >> 8) % N_MOVES);
		enum rollout_command command = (draw >> 16) % 23 ? ROLLOUT_NONE : (enum rollout_command)((draw >> 24) % (ROLLOUT_APPROVE + 1));
		move_world(&n.r, &n.w, move);
		/* After the move: a router that forgets and in the same moment claims that it has not cannot be seen through. */
		enum lie lie = n.w.may_lie && (draw >> 32) % 13 == 0 ? (enum lie)((draw >> 40) % 4) : HONEST;
		n.w.now_ms += (int64_t)((draw >> 48) % 7000);
		n.w.may_lie = n.w.may_lie && lie == HONEST;
		take_turn(&n, command, lie, &out);
		if ((draw >> 44) % 17 == 0)
			check_restart(&n);
	}
	check_endings(&n, seed);
}

static void random_walks_keep_the_promises(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= (is_full_model() ? 200000 : 6000); seed++) {
		use_play(&plays[seed % ARRAY_SIZE(plays)]);
		calm = false;
		walk(seed * 7919, 200);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reachable_state_keeps_the_promises),
		cmocka_unit_test(wrong_machines_are_caught),
		cmocka_unit_test(random_walks_keep_the_promises),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
