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
 * Exact only for noise whose log moment generating function scales by phi. With ten instances and blocks as long as a burst, false alarms
 * were 5.3 and 6.8% at a coefficient of variation of 0.5 and 1 where 5% are allowed (statistics page); with 2+1 instances and blocks of 10 s
 * under bursts of a minute 48% (tests/bench/validity.c), for phi within a block does not see that its neighbours burst together. So it is for
 * blocks not shorter than a burst and for estimates; burst_guard.h is the default. */
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
