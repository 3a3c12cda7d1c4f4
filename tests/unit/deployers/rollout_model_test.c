/* The rollout machine against an adversary: every reachable state of a small world is visited (copies die and come back, the target
 * does half of what it was asked or never finishes, answers late or not at all, people give commands at any point, the daemon restarts), and what
 * deployers/rollout.h promises is checked on each turn. Then long random walks with the same moves and stale observations. */
#include "tests/support/support.h"

#include "base/alloc.h"
#include "deployers/rollout.h"

#define S "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define C "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define ALL 1000000u
#define REPLICAS 2u
#define UNIT_MS 100000 /* every duration of the spec; time moves by this or not at all */

static const struct release old_release = {.id = 1, .version = "1", .image = S};
static const struct release new_release = {.id = 2, .version = "2", .image = C};

enum { STABLE, CANDIDATE };

/* What is really there. */
struct world {
	struct {
		unsigned replicas, ready;
		uint32_t weight;
		bool failed;
	} arm[2];
	struct rollout_arm wanted[2]; /* last handed to the driver */
	uint64_t wanted_generation, generation;
	enum verdict verdict;
	bool answers, router_ok;
	int64_t now_ms;
};

struct node {
	struct rollout r;
	struct world w;
};

static struct rollout_spec spec;
static bool has_stable;

static void fail_at(const struct node *before, const struct rollout_output *out, const char *what)
{
	cleanup_json json_t *a = rollout_to_json(&before->r), *b = rollout_to_json(&out->next);
	cleanup_free char *from = json_text(a), *to = json_text(b);
	const struct world *w = &before->w;
	fail_msg("%s\n  from %s\n  to %s\n  world: stable %u/%u ready, %u ppm; candidate %u/%u ready, %u ppm; generation %llu of %llu; verdict %s",
		 what, from, to, w->arm[0].ready, w->arm[0].replicas, w->arm[0].weight, w->arm[1].ready, w->arm[1].replicas, w->arm[1].weight,
		 (unsigned long long)w->generation, (unsigned long long)w->wanted_generation, verdict_name(w->verdict));
}

static struct actual look(const struct world *w)
{
	struct actual actual = {.generation = w->generation, .router_ok = w->router_ok};
	for (int i = 0; i < 2; i++) {
		if (!w->arm[i].replicas && !w->arm[i].weight)
			continue;
		struct arm_status *arm = &actual.arms[actual.n_arms++];
		*arm = (struct arm_status){
			.replicas = w->arm[i].replicas, .ready = w->arm[i].ready, .weight_ppm = w->arm[i].weight, .failed = w->arm[i].failed};
		snprintf(arm->image, sizeof(arm->image), "%s", i == STABLE ? S : C);
	}
	return actual;
}

static const struct arm_status *seen(const struct actual *actual, const char *image)
{
	static const struct arm_status none;
	for (unsigned i = 0; actual && i < actual->n_arms; i++)
		if (strcmp(actual->arms[i].image, image) == 0)
			return &actual->arms[i];
	return &none;
}

/* ---- the promises ---- */

static void check_weights(const struct node *before, const struct actual *actual, const struct rollout_output *out)
{
	const struct rollout *was = &before->r, *is = &out->next;
	bool known = actual && actual->router_ok;
	if (is->candidate.weight_ppm > was->candidate.weight_ppm && !(known && seen(actual, C)->ready))
		fail_at(before, out, "weight was raised on a candidate that is not seen ready");
	if (is->stable.weight_ppm > was->stable.weight_ppm && !(known && seen(actual, S)->ready))
		fail_at(before, out, "weight was raised on a stable arm that is not seen ready");
	if (has_stable && is->stable.weight_ppm + is->candidate.weight_ppm != ALL)
		fail_at(before, out, "the weights do not add up");
	uint32_t sum = 0;
	for (unsigned i = 0; i < out->desired.n_arms; i++)
		sum += out->desired.arms[i].weight_ppm;
	if (sum != is->stable.weight_ppm + is->candidate.weight_ppm)
		fail_at(before, out, "weight went to an arm without copies");
	if (known && has_stable && !rollout_is_final(was->state) && is->candidate.weight_ppm && !seen(actual, C)->ready && seen(actual, S)->ready)
		fail_at(before, out, "the candidate keeps weight though only the stable arm is ready");
}

static void check_removal(const struct node *before, const struct actual *actual, const struct rollout_output *out)
{
	static const char *const images[] = {S, C};
	for (int i = 0; i < 2; i++) {
		const struct rollout_arm *was = i == STABLE ? &before->r.stable : &before->r.candidate;
		const struct rollout_arm *is = i == STABLE ? &out->next.stable : &out->next.candidate;
		if (!was->replicas || is->replicas)
			continue;
		if (seen(actual, images[i])->weight_ppm)
			fail_at(before, out, "copies were given up while their weight is seen");
		if (before->w.arm[i].weight)
			fail_at(before, out, "copies were given up that really have weight");
		if (before->w.wanted[i].weight_ppm)
			fail_at(before, out, "copies were given up while the driver may still give them weight");
	}
}

static void check_decisions(const struct node *before, const struct rollout_input *in, const struct rollout_output *out)
{
	enum rollout_state was = before->r.state, is = out->next.state;
	bool judged = in->verdict && (was == ROLLOUT_STEPPING || (was == ROLLOUT_PAUSED && before->r.paused_from == ROLLOUT_STEPPING));
	if (judged && in->verdict->verdict == VERDICT_WORSE && is != ROLLOUT_ROLLING_BACK)
		fail_at(before, out, "harm did not take it back");
	if (was == ROLLOUT_STEPPING && in->command == ROLLOUT_NONE && (is == ROLLOUT_PROMOTING || out->new_step) &&
	    !(in->verdict && in->verdict->verdict == VERDICT_FINE))
		fail_at(before, out, "a step was left without a verdict");
	if (!rollout_is_final(is) && !out->next.waits_for[0])
		fail_at(before, out, "it waits, but does not say for what");
	if (is == ROLLOUT_PROMOTED && was != ROLLOUT_PROMOTED && (!before->w.arm[CANDIDATE].replicas || before->w.arm[CANDIDATE].weight != ALL))
		fail_at(before, out, "promoted without all traffic");
	if (rollout_is_final(was) && (is != was || out->changed_desired))
		fail_at(before, out, "a final state changed");
	if (out->refused && in->command == ROLLOUT_NONE)
		fail_at(before, out, "refused without a command");
	if (out->changed_desired != (out->next.generation == before->r.generation + 1))
		fail_at(before, out, "the generation does not follow the desired state");
}

/* One turn: look, decide, hand the answer to the driver. */
static void take_turn(struct node *n, enum rollout_command command, const struct actual *stale)
{
	struct actual actual = stale ? *stale : look(&n->w);
	struct analysis_verdict verdict = {.verdict = n->w.verdict, .step_candidate_requests = 1000};
	struct rollout_input in = {
		.spec = &spec,
		.stable = has_stable ? &old_release : NULL,
		.candidate = &new_release,
		.actual = n->w.answers ? &actual : NULL,
		.verdict = &verdict,
		.command = command,
		.now_ms = n->w.now_ms,
	};
	struct rollout_output out;
	rollout_next(&n->r, &in, &out);
	check_weights(n, in.actual, &out);
	check_removal(n, in.actual, &out);
	check_decisions(n, &in, &out);
	n->r = out.next;
	n->w.wanted[STABLE] = out.next.stable;
	n->w.wanted[CANDIDATE] = out.next.candidate;
	n->w.wanted_generation = out.next.generation;
}

/* ---- what may happen ---- */

static void driver_starts_copies(struct world *w)
{
	for (int i = 0; i < 2; i++)
		if (w->wanted[i].replicas > w->arm[i].replicas)
			w->arm[i].replicas = w->wanted[i].replicas;
}

static void driver_sets_weights(struct world *w)
{
	for (int i = 0; i < 2; i++)
		w->arm[i].weight = w->wanted[i].weight_ppm;
}

static void driver_finishes(struct world *w)
{
	driver_starts_copies(w);
	driver_sets_weights(w);
	for (int i = 0; i < 2; i++) {
		w->arm[i].replicas = w->wanted[i].replicas;
		if (w->arm[i].ready > w->arm[i].replicas)
			w->arm[i].ready = w->arm[i].replicas;
		w->arm[i].failed = w->arm[i].failed && w->arm[i].replicas;
	}
	w->generation = w->wanted_generation;
}

static void set_ready(struct world *w, int arm, unsigned ready)
{
	w->arm[arm].ready = ready < w->arm[arm].replicas ? ready : w->arm[arm].replicas;
	w->arm[arm].failed = false;
}

enum move {
	MOVE_TIME,
	MOVE_START,
	MOVE_WEIGHTS,
	MOVE_FINISH,
	MOVE_C_READY,
	MOVE_C_HALF,
	MOVE_C_DOWN,
	MOVE_C_FAILED,
	MOVE_S_READY,
	MOVE_S_HALF,
	MOVE_S_DOWN,
	MOVE_SILENT,
	MOVE_ANSWERS,
	MOVE_ROUTER_DOWN,
	MOVE_ROUTER_RESTARTED,
	MOVE_FINE,
	MOVE_UNDECIDED,
	MOVE_WORSE,
	MOVE_NO_DATA,
	MOVE_PROMOTE,
	MOVE_ROLLBACK,
	MOVE_PAUSE,
	MOVE_RESUME,
	N_MOVES
};

static enum rollout_command move_world(struct world *w, enum move move)
{
	switch (move) {
	case MOVE_TIME:
		w->now_ms += UNIT_MS;
		break;
	case MOVE_START:
		driver_starts_copies(w);
		break;
	case MOVE_WEIGHTS:
		driver_sets_weights(w);
		break;
	case MOVE_FINISH:
		driver_finishes(w);
		break;
	case MOVE_C_READY:
		set_ready(w, CANDIDATE, REPLICAS);
		break;
	case MOVE_C_HALF:
		set_ready(w, CANDIDATE, 1);
		break;
	case MOVE_C_DOWN:
		set_ready(w, CANDIDATE, 0);
		break;
	case MOVE_C_FAILED:
		set_ready(w, CANDIDATE, 0);
		w->arm[CANDIDATE].failed = w->arm[CANDIDATE].replicas > 0;
		break;
	case MOVE_S_READY:
		set_ready(w, STABLE, REPLICAS);
		break;
	case MOVE_S_HALF:
		set_ready(w, STABLE, 1);
		break;
	case MOVE_S_DOWN:
		set_ready(w, STABLE, 0);
		break;
	case MOVE_SILENT:
		w->answers = false;
		break;
	case MOVE_ANSWERS:
		w->answers = w->router_ok = true;
		break;
	case MOVE_ROUTER_DOWN:
		w->router_ok = false;
		break;
	case MOVE_ROUTER_RESTARTED:
		w->generation = 0;
		w->arm[CANDIDATE].weight = 0;
		w->arm[STABLE].weight = has_stable ? ALL : 0;
		break;
	case MOVE_FINE:
		w->verdict = VERDICT_FINE;
		break;
	case MOVE_UNDECIDED:
		w->verdict = VERDICT_UNDECIDED;
		break;
	case MOVE_WORSE:
		w->verdict = VERDICT_WORSE;
		break;
	case MOVE_NO_DATA:
		w->verdict = VERDICT_NO_DATA;
		break;
	case MOVE_PROMOTE:
		return ROLLOUT_PROMOTE;
	case MOVE_ROLLBACK:
		return ROLLOUT_ROLLBACK;
	case MOVE_PAUSE:
		return ROLLOUT_PAUSE;
	case MOVE_RESUME:
		return ROLLOUT_RESUME;
	case N_MOVES:
		break;
	}
	return ROLLOUT_NONE;
}

/* A router that forgets its map gives all to the stable slot; when that has been given up the move is another machine's matter. */
static bool is_possible(const struct node *n, enum move move)
{
	return move != MOVE_ROUTER_RESTARTED || (has_stable && n->r.stable.replicas && !n->r.skip_waiting && n->r.state != ROLLOUT_KEEPING_OLD);
}

/* From here on everything works: it must end, or be held for a reason only a person can take away. */
static void check_it_ends(const struct node *start, enum verdict verdict)
{
	struct node n = *start;
	n.w.answers = n.w.router_ok = true;
	n.w.verdict = verdict;
	for (int i = 0; i < 40 && !rollout_is_final(n.r.state); i++) {
		driver_finishes(&n.w);
		if (verdict != VERDICT_FINE)
			n.w.generation = 0; /* one copy never comes up, so the driver never says that it is done */
		set_ready(&n.w, STABLE, REPLICAS);
		set_ready(&n.w, CANDIDATE, REPLICAS);
		n.w.now_ms += UNIT_MS;
		take_turn(&n, ROLLOUT_NONE, NULL);
		if (n.r.held && (n.r.state == ROLLOUT_PAUSED || verdict != VERDICT_FINE))
			return;
	}
	if (!rollout_is_final(n.r.state)) {
		struct rollout_output out = {.next = n.r};
		fail_at(start, &out, "it does not end though everything works");
	}
}

static void begin_node(struct node *n)
{
	*n = (struct node){.w = {.answers = true, .router_ok = true, .now_ms = 1, .verdict = VERDICT_UNDECIDED}};
	if (has_stable) {
		n->w.arm[STABLE].replicas = n->w.arm[STABLE].ready = REPLICAS;
		n->w.arm[STABLE].weight = ALL;
	}
	rollout_start(1, has_stable, n->w.now_ms, &n->r);
}

static void use_spec(enum strategy strategy, enum undecided undecided, uint64_t keep_old_ms)
{
	spec = (struct rollout_spec){
		.target = "prod",
		.replicas = REPLICAS,
		.health_path = "/",
		.health_within_ms = UNIT_MS,
		.strategy = strategy,
		.steps_ppm = {50000, 500000},
		.n_steps = 2,
		.hold_at_least_ms = UNIT_MS,
		.hold_at_most_ms = 2 * UNIT_MS,
		.min_requests = 100,
		.alpha = 0.05,
		.metrics = {{.metric = "error_rate", .versus_stable = true}},
		.n_metrics = 1,
		.undecided = undecided,
		.keep_old_ms = keep_old_ms,
	};
}

/* ---- every reachable state ---- */

static int64_t units_since(int64_t then, int64_t now)
{
	int64_t units = (now - then) / UNIT_MS;
	return units < 4 ? units : 4; /* no deadline is further away than that */
}

/* Two nodes with the same key have the same future. */
struct key {
	uint64_t bits[3];
	uint32_t weights[6];
};

static struct key key_of(const struct node *n)
{
	const struct rollout *r = &n->r;
	const struct world *w = &n->w;
	int64_t until = r->state == ROLLOUT_PAUSED ? r->state_since_ms : w->now_ms;
	struct key key = {.weights = {r->stable.weight_ppm, r->candidate.weight_ppm, w->arm[0].weight, w->arm[1].weight, w->wanted[0].weight_ppm,
				      w->wanted[1].weight_ppm}};
	key.bits[0] = (uint64_t)r->state | (uint64_t)r->paused_from << 4 | (uint64_t)r->step << 8 | (uint64_t)r->exposed << 12 |
		      (uint64_t)r->step_confirmed << 13 | (uint64_t)r->skip_waiting << 14 | (uint64_t)(r->unready_since_ms != 0) << 15 |
		      (uint64_t)units_since(r->step_since_ms + r->paused_ms, until) << 16 |
		      (uint64_t)(r->unready_since_ms ? units_since(r->unready_since_ms, w->now_ms) : 0) << 20 | (uint64_t)r->stable.replicas << 24 |
		      (uint64_t)r->candidate.replicas << 28;
	for (int i = 0; i < 2; i++)
		key.bits[1] |= ((uint64_t)w->arm[i].replicas | (uint64_t)w->arm[i].ready << 4 | (uint64_t)w->arm[i].failed << 8) << (i * 16);
	key.bits[2] =
		(uint64_t)w->verdict | (uint64_t)w->answers << 4 | (uint64_t)w->router_ok << 5 | (uint64_t)(w->generation == r->generation) << 6;
	return key;
}

struct visited {
	struct key *keys;
	bool *used;
	size_t capacity, n;
};

static bool visit(struct visited *v, const struct key *key)
{
	uint64_t hash = 1469598103934665603u;
	const unsigned char *bytes = (const unsigned char *)key;
	for (size_t i = 0; i < sizeof(*key); i++)
		hash = (hash ^ bytes[i]) * 1099511628211u;
	size_t at = hash & (v->capacity - 1);
	while (v->used[at]) {
		if (memcmp(&v->keys[at], key, sizeof(*key)) == 0)
			return false;
		at = (at + 1) & (v->capacity - 1);
	}
	v->used[at] = true;
	v->keys[at] = *key;
	assert_true(++v->n < v->capacity / 2);
	return true;
}

static size_t visit_all(void)
{
	struct visited v = {.capacity = (size_t)1 << 21};
	v.keys = xcalloc(v.capacity, sizeof(*v.keys));
	v.used = xcalloc(v.capacity, sizeof(*v.used));
	struct node *stack = NULL;
	size_t capacity = 0, n = 1;
	stack = xgrow(stack, &capacity, 1, sizeof(*stack));
	begin_node(&stack[0]);
	while (n) {
		struct node from = stack[--n];
		if (rollout_is_final(from.r.state))
			continue;
		for (int move = 0; move < N_MOVES; move++) {
			struct node to = from;
			if (!is_possible(&from, (enum move)move))
				continue;
			enum rollout_command command = move_world(&to.w, (enum move)move);
			take_turn(&to, command, NULL);
			struct key key = key_of(&to);
			if (!visit(&v, &key))
				continue;
			check_it_ends(&to, VERDICT_FINE);
			if (v.n % 8 == 0) /* the same machine waits on the other side; a sample keeps the suite short */
				check_it_ends(&to, VERDICT_UNDECIDED);
			stack = xgrow(stack, &capacity, n + 1, sizeof(*stack));
			stack[n++] = to;
		}
	}
	size_t states = v.n;
	free(stack);
	free(v.keys);
	free(v.used);
	return states;
}

static void every_reachable_state_keeps_the_promises(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool has_stable;
		enum strategy strategy;
		enum undecided undecided;
		uint64_t keep_ms;
	} cases[] = {
		{"first release", false, STRATEGY_CANARY, UNDECIDED_HOLD, UNIT_MS},
		{"immediate", true, STRATEGY_IMMEDIATE, UNDECIDED_HOLD, UNIT_MS},
		{"canary", true, STRATEGY_CANARY, UNDECIDED_HOLD, UNIT_MS},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		has_stable = cases[i].has_stable;
		use_spec(cases[i].strategy, cases[i].undecided, cases[i].keep_ms);
		size_t states = visit_all();
		print_message("%s: %zu states\n", cases[i].name, states);
		assert_true(states > 50);
	}
}

/* ---- long walks ---- */

static uint64_t random_next(uint64_t *seed)
{
	*seed += 0x9e3779b97f4a7c15u; /* splitmix64, public domain constants */
	uint64_t z = *seed;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void restart(struct node *n)
{
	cleanup_json json_t *json = rollout_to_json(&n->r);
	cleanup_error struct error *err = NULL;
	struct rollout again;
	assert_ok(rollout_from_json(json, &again, &err), err);
	assert_int_equal(memcmp(&again.state, &n->r.state, sizeof(again.state)), 0);
	n->r = again;
}

/* A walk mostly helps the rollout along, so that it reaches the far states, and strikes now and then. */
static void walk(uint64_t seed, unsigned turns)
{
	static const enum move helpful[] = {MOVE_TIME, MOVE_FINISH, MOVE_C_READY, MOVE_S_READY, MOVE_ANSWERS, MOVE_FINE, MOVE_FINISH};
	struct node n;
	struct actual old = {.router_ok = true};
	begin_node(&n);
	for (unsigned i = 0; i < turns && !rollout_is_final(n.r.state); i++) {
		uint64_t draw = random_next(&seed);
		enum move move = draw % 5 ? helpful[(draw >> 8) % ARRAY_SIZE(helpful)] : (enum move)((draw >> 8) % N_MOVES);
		if (!is_possible(&n, move))
			continue;
		enum rollout_command command = move_world(&n.w, move);
		n.w.now_ms += (int64_t)((draw >> 32) % 7000);
		uint64_t generation = n.r.generation;
		if (move == MOVE_ROUTER_RESTARTED)
			old.n_arms = 0;
		bool stale = (draw >> 16) % 11 == 0 && old.n_arms;
		take_turn(&n, command, stale ? &old : NULL);
		if ((draw >> 20) % 13 == 0)
			old = look(&n.w);
		if (n.r.generation != generation)
			old.n_arms = 0; /* a look that began before the last change was handed over is never handed in */
		if ((draw >> 24) % 17 == 0)
			restart(&n);
	}
	if (!rollout_is_final(n.r.state))
		check_it_ends(&n, VERDICT_FINE);
}

static void random_walks_keep_the_promises(void **state)
{
	(void)state;
	static const enum undecided policies[] = {UNDECIDED_HOLD, UNDECIDED_ROLLBACK};
	for (uint64_t seed = 1; seed <= 30000; seed++) {
		has_stable = seed % 8 != 0;
		use_spec(seed % 7 ? STRATEGY_CANARY : STRATEGY_IMMEDIATE, policies[seed % 2], seed % 3 ? UNIT_MS : 0);
		walk(seed * 7919, 200);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reachable_state_keeps_the_promises),
		cmocka_unit_test(random_walks_keep_the_promises),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
