/* Confidence sequences for the difference theta_b - theta_a and the ratio theta_b / theta_a of two arms' event rates, valid at every look and for any
 * split, while the rates themselves drift. They invert the block 2x2 e-tests (block2x2.h): on a fixed grid of boundaries d each direction has an
 * e-process of its own, "theta_b <= boundary(d)" and "theta_b >= boundary(d)", at alpha / 2 each. The lower bound is the last grid point from below
 * up to which every null "at most d" has been rejected, the upper one the last from above down to which every "at least d" has: so only the e-process
 * at the grid point next to the truth can make a bound wrong, and the bounds are rounded outwards. Running intersection: they never widen.
 *
 * What they say: a difference (ratio) that stays the same is inside, for ever, with probability 1 - alpha. If it changes, a lower bound L says that
 * it cannot have been at most L in all blocks.
 *
 * The bet of a block, for each boundary: theta_a = past_rate, theta_b = past_rate plus the difference (times the ratio) of the blocks before, each
 * block by itself weighted n_a n_b / (n_a + n_b) (Mantel, Haenszel), so that a split that changes while the rates drift does not bias it, with half
 * an event of prior for equality. An estimate on the null's side of a boundary makes no bet there. One alternative a boundary (plug-in) instead of a
 * mixture.
 *
 * State: doubles only, all zero = fresh; 2.4 KB for a difference, 1.2 KB for a ratio. Cost of a block: one boundary point and four logarithms a grid
 * point: about 7 microseconds for a difference (margins), 1.6 for a ratio. So: one block a second or a scrape, not one a request. */
#ifndef GATES_STATS_RATE_SEQUENCE_H
#define GATES_STATS_RATE_SEQUENCE_H

#include "gates/stats/block2x2.h"

/* Grid of differences: 0 and +-{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8} x 10^-4 .. 10^-1 up to 0.5. Outside: -1 and 1 (nothing known). */
#define RATE_DIFFERENCE_GRID 77
/* Grid of ratios: 1, {1.05, 1.1, 1.2, 1.3, 1.4, 1.5, 1.7, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 15, 20} and 1 over each. Outside: 0 and infinity. */
#define RATE_RATIO_GRID 37

struct rate_difference {
	double weight, sum;                         /* of the blocks so far: sum of w, sum of w (y_b / n_b - y_a / n_a) */
	double log_e[RATE_DIFFERENCE_GRID];         /* of "at most": present. A boundary's two e-processes never bet on the same block ... */
	double log_e_least[RATE_DIFFERENCE_GRID];   /* of "at least" */
	double log_max[RATE_DIFFERENCE_GRID];       /* ... the largest so far of "at most" */
	double log_max_least[RATE_DIFFERENCE_GRID]; /* and of "at least" */
};
struct rate_ratio {
	double events_a, events_b; /* sum of y_a n_b / (n_a + n_b), sum of y_b n_a / (n_a + n_b) */
	double log_e[RATE_RATIO_GRID], log_e_least[RATE_RATIO_GRID];
	double log_max[RATE_RATIO_GRID], log_max_least[RATE_RATIO_GRID];
};

/* One block. past_rate: the caller's estimate of the stable rate from past blocks, strictly between 0 and 1. Blocks that lack an arm, have y > n or
 * come with another past_rate are left out. */
void rate_difference_add(struct rate_difference *state, const struct block2x2 *block, double past_rate);
void rate_ratio_add(struct rate_ratio *state, const struct block2x2 *block, double past_rate);

/* The bounds now, for any 0 < alpha < 1 (two-sided; each bound by itself has alpha / 2). */
void rate_difference_bounds(const struct rate_difference *state, double alpha, double *ret_low, double *ret_high);
void rate_ratio_bounds(const struct rate_ratio *state, double alpha, double *ret_low, double *ret_high);

/* The i-th grid point, ascending. */
double rate_difference_grid(size_t i);
double rate_ratio_grid(size_t i);
#endif
