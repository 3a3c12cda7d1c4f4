/* Tempering: evidence divided by the dispersion that stable itself shows.
 *
 * phi is the Pearson dispersion of stable's counts: sum of (y - e)^2 / (e (1 - p)) over the degrees of freedom, at least 1. With several
 * instances each is compared with their common rate within the block (so a load that drifts does not count as noise); with a single
 * counter a block is compared with the block before (then drift counts as noise, on the safe side). A block's ln factor is divided by
 * the phi of the past, so what is multiplied stays predictable:
 *
 *   log_e += log_factor / tempering_phi(&state);        phi of the past; INFINITY, no bet, while fewer than TEMPERING_WAIT blocks are known
 *   tempering_observe(&state, stable, n);               then learn from the block
 *
 * Exact only for noise whose log moment generating function scales by phi; by simulation (statistics page; tests/bench/validity.c) false
 * alarms reach 5 to 7% at a coefficient of variation of 0.5 to 1 where 5% are allowed, with ten instances, and more with two. So it is
 * an estimate's guard, and the direction "fine" may use it: burst_guard.h is the one for harm. */
#ifndef GATES_STATS_TEMPERING_H
#define GATES_STATS_TEMPERING_H

#include "gates/stats/burst_guard.h"

#define TEMPERING_WAIT 2

/* All doubles, all zero = fresh. */
struct tempering {
	double pearson, freedom; /* sums */
	double blocks;           /* with requests */
	double last_n, last_y;   /* of the block before */
};

void tempering_observe(struct tempering *state, const struct instance_counts *stable, size_t n);
/* At least 1; INFINITY while fewer than TEMPERING_WAIT blocks, or no comparison at all, are known. */
double tempering_phi(const struct tempering *state);
#endif
