/* Which copies and which weights the arms get. Every rule of promise 3 ("no traffic to a copy that is not ready, no copy taken away
 * while traffic may reach it") is in this file. */
#include "deployers/rollout_priv.h"

static bool is_full(const struct seen_arm *arm, unsigned replicas)
{
	return arm->ready > 0 && arm->ready >= replicas;
}

bool stable_is_fit(const struct turn *turn)
{
	if (!turn->known || !turn->stable.ready)
		return false;
	/* Fewer copies than there should be are good enough where the alternative is worse: the candidate has none, the stable arm
	 * carries most of the traffic with them already, or the missing copies had their time to come. */
	return is_full(&turn->stable, turn->stable_replicas) || turn->next->emergency || !turn->candidate.ready ||
	       turn->stable.weight_ppm >= ALL_PPM / 2 || elapsed_ms(turn) >= (int64_t)turn->in->spec->health_within_ms;
}

/* With a stable arm: the candidate's share, given what the state wants and what was last desired. */
static uint32_t share(const struct turn *turn, uint32_t wanted)
{
	uint32_t last = turn->next->candidate.weight_ppm;
	if (!turn->known)
		return last;
	bool stable_up = turn->stable.ready > 0, candidate_up = turn->candidate.ready > 0;
	if (stable_up && !candidate_up)
		return 0;
	if (!stable_up && candidate_up)
		/* The healthy one takes all, unless it never had any traffic: then it is not proven enough to be let in by an accident. */
		return last > 0 || wanted > 0 ? ALL_PPM : 0;
	if (!stable_up)
		return last; /* Both are down: moving traffic helps nobody. */
	if (wanted > last)
		return is_full(&turn->candidate, needed_copies(turn)) ? wanted : last;
	if (wanted < last && turn->next->state == ROLLOUT_ROLLING_BACK)
		return stable_is_fit(turn) ? wanted : last;
	return wanted;
}

/* Copies are only ever added while the candidate may have traffic: a step that asks for fewer than the one before takes none away. */
static unsigned copies(const struct turn *turn)
{
	unsigned wanted = wanted_copies(turn), last = turn->next->candidate.replicas;
	return wanted > last ? wanted : last;
}

static void place_first_release(struct turn *turn)
{
	struct rollout_arm *candidate = &turn->next->candidate;
	uint32_t wanted = wanted_ppm(turn);
	bool raise = wanted > candidate->weight_ppm;
	candidate->replicas = turn->next->state == ROLLOUT_FAILED ? 0 : copies(turn);
	if (turn->next->state == ROLLOUT_FAILED || !raise || (turn->known && turn->candidate.ready > 0))
		candidate->weight_ppm = wanted;
}

/* The same image again, perhaps with other replicas: one arm, whose weight never moves. */
static void place_same_image(struct turn *turn)
{
	bool took = turn->next->state != ROLLOUT_FAILED;
	turn->next->stable = (struct rollout_arm){took ? 0 : turn->stable_replicas, took ? 0 : ALL_PPM};
	turn->next->candidate = (struct rollout_arm){took ? turn->in->spec->replicas : 0, took ? ALL_PPM : 0};
}

void place_arms(struct turn *turn)
{
	struct rollout *next = turn->next;
	if (turn->same_image) {
		place_same_image(turn);
		return;
	}
	if (!next->has_stable) {
		place_first_release(turn);
		next->exposed = next->exposed || next->candidate.weight_ppm > 0;
		return;
	}
	bool gone = next->state == ROLLOUT_ROLLED_BACK || next->state == ROLLOUT_FAILED;
	bool won = next->state == ROLLOUT_PROMOTED;
	uint32_t ppm = won ? ALL_PPM : gone ? 0 : share(turn, wanted_ppm(turn));
	next->candidate = (struct rollout_arm){gone ? 0 : copies(turn), ppm};
	next->stable = (struct rollout_arm){won ? 0 : turn->stable_replicas, ALL_PPM - ppm};
	next->exposed = next->exposed || ppm > 0;
}
