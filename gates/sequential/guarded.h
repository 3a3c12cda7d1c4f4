/* Trials and events of two arms, tested in one direction behind the guard against bursts that the rollout asked for.
 *
 *   none          block 2x2 e-process; requests are independent given the rate.
 *   default       a weighted mean of two e-processes. First burst_guard.h: the arms' noise ratio is integrated out, its size learned from stable's
 * own instances; it holds for noise up to a coefficient of variation of 1, and is slow where one copy stands against one. For harm, with weight 1/4,
 * gross: block 2x2 against margin + B times stable's average rate so far (one event more than was seen), B = 2 / alpha in the first window and 1 /
 * alpha from then on. It holds as long as no copy's bad minute is worse than that: with gamma noise of CV 1 and a base rate far above the margin that
 * fails in about 2% of rollouts at alpha 0.05 (by simulation all false alarms together stay below 5%), with a base rate below a third of the margin
 * hardly ever. It finds a candidate that fails outright within seconds. For safety, with weight 1/2, tempered (below), once stable's copies have been
 * compared a few times: it holds as far as stable's dispersion so far tells the noise. exchangeable  exchangeable.h on windows of burst length:
 * ranks; exact, slow. tempered      block 2x2, each factor's logarithm divided by stable's dispersion (tempering.h). Blocks may be as short as one
 * likes: they are merged here into windows of BURST_WINDOW_MS (or of one block, if that is longer).
 *
 * The guards know margins only. A ratio r becomes one: events that are bad are thinned, each of the candidate's kept with probability 1/r, so that
 * the boundary theta_b = r theta_a is theta_b' = theta_a of the thinned ones, exactly (above 100,000 events in a block y/r is taken, whose own spread
 * is below 0.3%). With events that are good, harm asks in failures for more: f_b > f_a + 1 - 1/r implies theta_b < theta_a / r; fine has no such
 * margin and is tempered instead. */
#ifndef GATES_SEQUENTIAL_GUARDED_H
#define GATES_SEQUENTIAL_GUARDED_H

#include "gates/sequential/sequential.h"
#include "gates/stats/exchangeable.h"
#include "gates/stats/tempering.h"

/* One arm's trials and events, by instance where that is known. */
struct guarded_arm {
	uint64_t n, y;
	unsigned n_instances; /* at least 1 */
	struct instance_counts instances[MEASURE_INSTANCES];
	double names[MEASURE_INSTANCES]; /* 0: not known by instance */
};
struct guarded_block {
	struct guarded_arm stable, candidate;
	double span_ms;
	uint32_t weight_ppm;
	uint64_t number;
};
struct guarded_window {
	double names[MEASURE_INSTANCES], n[MEASURE_INSTANCES], y[MEASURE_INSTANCES], n_instances;
};

/* All doubles, all zero = fresh. */
struct guarded {
	double log_max;                      /* the largest ln E so far */
	double span_ms, weight_ppm, is_open; /* of the present window */
	struct tempering noise;              /* over finished windows */
	struct guarded_window stable, candidate;
	double n_a, y_a;       /* stable's so far, of bad events */
	struct eprocess plain; /* none and tempered; default: gross, or tempered */
	union {
		struct burst_guard guard;
		struct exchangeable ranks;
	} process;
};

/* The arm of a measure: what is not known by instance counts as one more. */
void guarded_arm_of(const struct measure_arm *arm, const uint32_t *ids, struct guarded_arm *ret);
/* What is asked: the same at every call. NULL_NOT_WORSE: harm; NULL_NOT_FINE: safety. */
struct guarded_question {
	struct boundary boundary;
	enum better better;
	enum block_null null;
	double alpha;   /* of one metric */
	double freedom; /* safety by default: comparisons of stable's copies (or windows) before its dispersion is believed */
};
/* past_a: stable's rate before the block, strictly between 0 and 1. */
void guarded_add(struct guarded *guarded, enum burst_guard_kind bursts, const struct guarded_block *block, double past_a,
		 const struct guarded_question *question);
/* A new step, for safety: evidence afresh, what is known of the noise stays. */
void guarded_step(struct guarded *guarded, enum burst_guard_kind bursts, const struct guarded_question *question);
/* ln E now; the largest so far is log_max. */
double guarded_now(const struct guarded *guarded, enum burst_guard_kind bursts, const struct guarded_question *question);
double guarded_dispersion(const struct guarded *guarded); /* NAN: not measured yet */
#endif
