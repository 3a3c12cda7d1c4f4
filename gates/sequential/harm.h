/* Harm of a metric made of trials and events: one e-process over the whole rollout behind the guard against bursts that the rollout asked for.
 *
 *   none          block 2x2 e-process; requests are independent given the rate.
 *   default       burst_guard.h: the arms' noise ratio is integrated out, its size learned from stable's own instances.
 *   exchangeable  exchangeable.h on windows of burst length: ranks; exact, slow.
 *   tempered      block 2x2, each factor's logarithm divided by stable's dispersion (tempering.h).
 * Blocks may be as short as one likes: they are merged here into windows of BURST_WINDOW_MS (or of one block, if that is longer).
 *
 * The guards know margins only. A ratio r becomes one: events that are bad are thinned, each of the candidate's kept with probability 1/r, so that the
 * null theta_b <= r theta_a is theta_b' <= theta_a of the thinned ones, exactly (above 100,000 events in a block y/r is taken, whose own
 * spread is below 0.3%); with events that are good theta_b >= theta_a / r is implied, in failures, by f_b <= f_a + (1 - 1/r) being false. */
#ifndef GATES_SEQUENTIAL_HARM_H
#define GATES_SEQUENTIAL_HARM_H

#include "gates/sequential/sequential.h"
#include "gates/stats/exchangeable.h"
#include "gates/stats/tempering.h"

/* One arm's trials and events, by instance where that is known. */
struct harm_arm {
	uint64_t n, y;
	unsigned n_instances;      /* at least 1 */
	struct instance_counts instances[MEASURE_INSTANCES];
	double names[MEASURE_INSTANCES]; /* 0: not known by instance */
};
struct harm_block {
	struct harm_arm stable, candidate;
	double span_ms;
	uint32_t weight_ppm;
	uint64_t number;
};
struct harm_window {
	double names[MEASURE_INSTANCES], n[MEASURE_INSTANCES], y[MEASURE_INSTANCES], n_instances;
};

/* All doubles, all zero = fresh. */
struct harm {
	double log_max;           /* the largest ln E so far */
	double span_ms, weight_ppm, is_open; /* of the present window */
	struct tempering noise;   /* over finished windows */
	struct harm_window stable, candidate;
	union {
		struct eprocess plain;
		struct burst_guard guard;
		struct exchangeable ranks;
	} process;
};

/* The arm of a measure: what is not known by instance counts as one more. */
void harm_arm_of(const struct measure_arm *arm, const uint32_t *ids, struct harm_arm *ret);
/* past_a: stable's rate before the block, strictly between 0 and 1. */
void harm_add(struct harm *harm, enum burst_guard_kind bursts, const struct harm_block *block, double past_a, struct boundary boundary,
	      enum better better);
double harm_dispersion(const struct harm *harm); /* NAN: not measured yet */
#endif
