/* The small world that the rollout machine is played against: what is really there, and what may happen to it. */
#ifndef TESTS_UNIT_DEPLOYERS_ROLLOUT_WORLD_H
#define TESTS_UNIT_DEPLOYERS_ROLLOUT_WORLD_H

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
	bool previews;                /* the preview address shows the candidate */
	struct rollout_arm wanted[2]; /* last handed to the driver */
	bool wanted_preview, done;    /* done: the driver has reached it */
	bool late;                    /* a write of what was wanted before may still land */
	uint32_t late_weight[2];
	bool may_lie; /* the router has one lie left */
	enum verdict verdict;
	enum verify_status verify;
	bool answers, router_ok;
	int64_t now_ms, looks;
};

struct node {
	struct rollout r;
	struct world w;
};

/* ---- looking ---- */

enum lie { HONEST, LIE_OLD, LIE_NOTHING, LIE_DONE };

static void look_at_arm(const struct node *n, int i, enum lie lie, struct actual *ret)
{
	const struct world *w = &n->w;
	uint32_t before = i == STABLE && n->r.has_stable ? ALL : 0;
	uint32_t weight = lie == LIE_OLD ? before : lie == LIE_DONE ? w->wanted[i].weight_ppm : w->arm[i].weight;
	if (!w->arm[i].replicas && !weight)
		return;
	struct arm_status *arm = &ret->arms[ret->n_arms++];
	arm->replicas = w->arm[i].replicas;
	arm->ready = w->arm[i].ready;
	arm->failed = w->arm[i].failed;
	arm->weight_ppm = weight;
	memcpy(arm->image, i == STABLE ? S : C, sizeof(S));
}

/* A look as the machine gets it; a lie shows the weights as they were before the rollout, or nothing at all, or claims that all is done. */
static const struct actual *look(const struct node *n, enum lie lie)
{
	static struct actual actual; /* instances and messages stay empty */
	const struct world *w = &n->w;
	actual.generation = w->done || lie == LIE_DONE ? n->r.generation : 0;
	actual.router_ok = w->router_ok;
	actual.seen_at_ms = w->looks;
	actual.n_arms = 0;
	memcpy(actual.preview_url, "http://p", sizeof("http://p"));
	memcpy(actual.preview_image, (lie == LIE_DONE ? w->wanted_preview : w->previews) ? C : "\0", 2);
	if (actual.preview_image[0])
		memcpy(actual.preview_image, C, sizeof(C));
	for (int i = 0; i < 2 && lie != LIE_NOTHING; i++)
		look_at_arm(n, i, lie, &actual);
	return &actual;
}

static const struct arm_status *seen(const struct actual *actual, const char *image)
{
	static const struct arm_status none;
	for (unsigned i = 0; actual && i < actual->n_arms; i++)
		if (strcmp(actual->arms[i].image, image) == 0)
			return &actual->arms[i];
	return &none;
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

static void set_ready(struct world *w, int arm, unsigned ready)
{
	w->arm[arm].ready = ready < w->arm[arm].replicas ? ready : w->arm[arm].replicas;
	w->arm[arm].failed = false;
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
	w->previews = w->wanted_preview;
	w->done = true;
	w->late = false;
}

static void candidate_fails_for_good(struct world *w)
{
	set_ready(w, CANDIDATE, 0);
	w->arm[CANDIDATE].failed = w->arm[CANDIDATE].replicas > 0;
}

static void router_forgets(struct world *w, bool has_stable)
{
	w->done = w->previews = w->may_lie = false;
	w->arm[CANDIDATE].weight = 0;
	w->arm[STABLE].weight = has_stable ? ALL : 0;
}

static void old_write_lands(struct world *w)
{
	for (int i = 0; i < 2; i++)
		w->arm[i].weight = w->late_weight[i];
	w->late = w->done = false;
}

#define MOVES(X)                                                                                                                                     \
	X(LOOK, (void)w)                                                                                                                             \
	X(TIME, w->now_ms += UNIT_MS)                                                                                                                \
	X(START, driver_starts_copies(w))                                                                                                            \
	X(WEIGHTS, driver_sets_weights(w))                                                                                                           \
	X(PREVIEW, w->previews = w->wanted_preview)                                                                                                  \
	X(FINISH, driver_finishes(w))                                                                                                                \
	X(LATE, if (w->late) old_write_lands(w))                                                                                                     \
	X(C_READY, set_ready(w, CANDIDATE, REPLICAS))                                                                                                \
	X(C_HALF, set_ready(w, CANDIDATE, 1))                                                                                                        \
	X(C_DOWN, set_ready(w, CANDIDATE, 0))                                                                                                        \
	X(C_FAILED, candidate_fails_for_good(w))                                                                                                     \
	X(S_READY, set_ready(w, STABLE, REPLICAS))                                                                                                   \
	X(S_HALF, set_ready(w, STABLE, 1))                                                                                                           \
	X(S_DOWN, set_ready(w, STABLE, 0))                                                                                                           \
	X(SILENT, w->answers = false)                                                                                                                \
	X(ANSWERS, w->answers = w->router_ok = true)                                                                                                 \
	X(ROUTER_DOWN, w->router_ok = false)                                                                                                         \
	X(ROUTER_FORGETS, router_forgets(w, r->has_stable))                                                                                          \
	X(FINE, w->verdict = VERDICT_FINE)                                                                                                           \
	X(UNDECIDED, w->verdict = VERDICT_UNDECIDED)                                                                                                 \
	X(WORSE, w->verdict = VERDICT_WORSE)                                                                                                         \
	X(NO_DATA, w->verdict = VERDICT_NO_DATA)                                                                                                     \
	X(VERIFY_RUNS, w->verify = VERIFY_RUNNING)                                                                                                   \
	X(VERIFY_PASSES, w->verify = VERIFY_PASSED)                                                                                                  \
	X(VERIFY_FAILS, w->verify = VERIFY_FAILED)
enum move {
#define X(name, act) MOVE_##name,
	MOVES(X)
#undef X
		N_MOVES
};

static void move_world(const struct rollout *r, struct world *w, enum move move)
{
	(void)r;
	switch (move) {
#define X(name, act)                                                                                                                                 \
	case MOVE_##name:                                                                                                                            \
		act;                                                                                                                                 \
		break;
		MOVES(X)
#undef X
	case N_MOVES:
		break;
	}
}
#endif
