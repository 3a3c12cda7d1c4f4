/* Means of bounded scores (accuracy, ratings, model scores), x in [0, 1], at every look. Source: Waudby-Smith, Ramdas, "Estimating means of bounded
 * random variables by betting", JRSS B 86(1) 2024, arXiv 2010.09686; for the randomised difference Howard et al., Ann. Statist. 2021, arXiv
 * 1810.08240, its corollary on average treatment effects. Numbers agree with its software confseq (predmix.py, tests).
 *
 *   struct mean_cs    empirical Bernstein confidence sequence: 9 doubles, about 16 M observations a second and core
 *   struct mean_grid  betting confidence sequence: narrower, above all for few observations or means near 0 or 1; 401 doubles and 400 logarithms an
 *                     observation (about 350,000 a second and core)
 *   struct mean_bet   e-process for a difference of means against a margin, in one direction; 13 doubles, about 6 M a second and core
 *
 * What they need: E[x_t | past] constant for the first two (any dependence else); for mean_bet see each way to feed it. State: doubles only, all zero
 * = fresh. Adds refuse (false, nothing changed) what is not within [0, 1]. */
#ifndef GATES_STATS_BOUNDED_MEAN_H
#define GATES_STATS_BOUNDED_MEAN_H

#include <stdbool.h>

#include "gates/stats/block2x2.h"

/* x of [low, high] on [0, 1]; false (and *ret untouched) if it is outside or NaN, or the range is not one. Differences and margins scale by
 * 1 / (high - low). */
bool unit_scale(double x, double low, double high, double *ret);

struct mean_bounds {
	double low, high;
};

/* ---- empirical Bernstein ---- */
/* lambda_t = min(1/2, sqrt(2 ln(2/alpha) / (s2_{t-1} t ln(1+t)))), s2_t = (1/4 + sum (x_i - m_i)^2) / (t+1), m_t = (1/2 + sum x) / (t+1);
 * (sum lambda x -+ (ln(2/alpha) + sum (x_i - mean_{i-1})^2 psi(lambda_i))) / sum lambda, psi(l) = -ln(1-l) - l. */
struct mean_cs {
	double n, sum, deviations;          /* sum x; sum (x_i - m_i)^2 */
	double bets, bets_x;                /* sum lambda; sum lambda x */
	double spent_low, spent_high;       /* sum v psi, of x and of 1 - x: the first observation's differ (mean_0 = 0 in both) */
	double best_low, best_low_mirrored; /* largest lower bound so far of x and of 1 - x */
};
/* alpha tunes the bets and the running intersection; stay with one. */
bool mean_cs_add(struct mean_cs *cs, double x, double alpha);
/* Of this look. Holds for any alpha, sharpest for that of the adds. */
struct mean_bounds mean_cs_now(const struct mean_cs *cs, double alpha);
/* The intersection of all looks so far, at the alpha of the adds. May be empty (low > high): the mean was not constant. */
struct mean_bounds mean_cs_running(const struct mean_cs *cs);
/* mean_B - mean_A from two streams whose adds took alpha / 2 each: no pairing, no known split; each mean constant. */
struct mean_bounds mean_difference(const struct mean_cs *a, const struct mean_cs *b, double alpha);

/* ---- betting ---- */
/* K+_t(m) = prod (1 + min(lambda_i, 1/(2m)) (x_i - m)), K-_t(m) = prod (1 - min(lambda_i, 1/(2(1-m))) (x_i - m)), the same lambda_i without the
 * 1/2; m stays while max(K+, K-) / 2 < 1/alpha. K+ falls and K- rises with m, so that the set is an interval; its ends are the outermost rejected
 * points of a grid of 1/200, which is valid without a correction. */
#define MEAN_GRID 200
struct mean_grid {
	double n, sum, deviations;
	double up[MEAN_GRID - 1], down[MEAN_GRID - 1]; /* ln K+ and ln K- at m = 1/200 .. 199/200 */
};
bool mean_grid_add(struct mean_grid *grid, double x, double alpha);
struct mean_bounds mean_grid_now(const struct mean_grid *grid, double alpha);
/* ln E for a difference of two independent streams of constant means, no known split needed: against mean_B <= mean_A + margin (NULL_NOT_WORSE) or >=
 * (NULL_NOT_FINE): the least over mean_A of the product of both arms' (1 + K) / 2. The grid rounds the margin by up to 1/100 to the safe side. */
double mean_grid_log_e(const struct mean_grid *a, const struct mean_grid *b, double margin, enum block_null null);

/* ---- e-process for a difference against a margin ---- */
/* Bets 1 + lambda (z - m) (fine: 1 + lambda (m - z)) on a difference z whose range [low, high] is known before it: under the null, E[z | past] <= m
 * (fine: >= m), the capital has no drift upwards. lambda: 1/2, 1/4 .. 1/128 of the most that keeps the capital positive, and a plug-in of the best
 * bet, mean / (var + mean^2) of the past, equal weights. E is the mean of the eight capitals. */
#define MEAN_BETS 8
struct mean_bet {
	double log_e[MEAN_BETS];
	double n, sum, squares; /* of z - m (fine: m - z) */
	double sum_x;           /* of the scores, for mean_bet_randomised */
	double log_max;         /* largest ln E so far; anytime p = exp(-log_max) */
};
/* Any z with E[z | past] = the difference. false if z is outside its range. */
bool mean_bet_add(struct mean_bet *bet, double z, double low, double high, double margin, enum block_null null);
/* One scored request: x of the candidate (or not), to which it had been sent with probability p, 0 < p < 1, whatever x is. z = (x - c)(1{B}/p -
 * 1{A}/(1-p)), c the mean of past scores. Needs random labels and the known p (which may change at any time) and nothing else: scores may drift and
 * depend on each other as long as the arms share it. */
bool mean_bet_randomised(struct mean_bet *bet, double x, bool candidate, double p, double margin, enum block_null null);
/* One block's means: z = sum_b / n_b - sum_a / n_a. Needs, in each block, E[mean of an arm] = that arm's mean then, the arms' difference being what
 * is tested: scores may drift from block to block. A block without one arm is left out. One bet a block, and capital grows at most by half: many
 * small blocks find more than few large ones. */
bool mean_bet_block(struct mean_bet *bet, double n_a, double sum_a, double n_b, double sum_b, double margin, enum block_null null);
double mean_bet_now(const struct mean_bet *bet);
#endif
