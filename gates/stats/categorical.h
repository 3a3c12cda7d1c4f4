/* Classes, bins, status codes: do the arms' answers fall into categories alike, and if not, by how much? At every look.
 *
 *   struct categorical   is there any difference? Two-sample test on random labels; finds trivial drift at large n: gate on the measures below
 *   categorical_fit_*    one sample against known probabilities
 *   struct drift         e-processes "total variation above / below a limit": what a gate with at_most decides by
 *   tv_bounds, psi_bounds confidence sequences for the size of the drift: what a person is shown
 *
 * What they need:
 *   random labels  each request goes to the candidate with a known probability (the share), whatever it is; categories may drift over the day.
 *                  categorical, drift
 *   iid within arm the arm's probabilities stand still. categorical_fit, tv_bounds, psi_bounds
 * Counts are doubles, indexed by category; shares of 0 and 1 split nothing and are left out. State: doubles only, all zero = fresh; the caller keeps
 * to one number of categories, one k and one limit for one state. 10 categories, adds a second and core: categorical 1 M (two k's), drift 1.4 M,
 * tv_bounds 3 M, psi_bounds 3,500; state 1.1 and 4.2 kB. Sources: Lindon, Malek, arXiv 2011.03567 (label tests); Waudby-Smith, Ramdas, arXiv
 * 2010.09686 (bets); the bounds on total variation and PSI are built here, proofs below. */
#ifndef GATES_STATS_CATEGORICAL_H
#define GATES_STATS_CATEGORICAL_H

#include <stddef.h>

#define CATEGORIES_MAX 64
#define CATEGORICAL_MIXTURE_MAX 4

/* ---- any difference ---- */
/* ln E = sum over categories j of lnB(kp + N_Bj, k(1-p) + N_Aj) - lnB(kp, k(1-p)) - N_Bj ln p - N_Aj ln(1-p): given its category, a request's label
 * is Bernoulli(p) under the null. A factor for each stretch of constant share; mean over the k's: small k for gross, large k for slight differences.
 */
struct categorical_test {
	size_t n;                          /* categories, 1 .. CATEGORIES_MAX */
	size_t n_k;                        /* 1 .. CATEGORICAL_MIXTURE_MAX */
	double k[CATEGORICAL_MIXTURE_MAX]; /* usual: 10, 100 */
};
struct categorical {
	double log_done[CATEGORICAL_MIXTURE_MAX];    /* of finished stretches */
	double share;                                /* of the present stretch; 0: none yet */
	double a[CATEGORIES_MAX], b[CATEGORIES_MAX]; /* counts of the present stretch */
	double log_max;                              /* largest ln E so far; anytime p = exp(-log_max) */
};
void categorical_add(struct categorical *state, const struct categorical_test *test, double share, const double *a, const double *b);
double categorical_now(const struct categorical *state, const struct categorical_test *test);

/* ---- goodness of fit ---- */
/* lnG(k) - lnG(k + N) + sum_i [lnG(k pi_i + n_i) - lnG(k pi_i) - n_i ln pi_i], mean over the k's. pi is divided by its sum; a count where pi is 0 is
 * INFINITY. Pure in the counts: the caller keeps the largest ln E. */
double categorical_fit_log_e(const struct categorical_test *test, const double *pi, const double *counts);

/* ---- above or below a limit of total variation ---- */
/* TV = max over sets S of categories of P_B(S) - P_A(S). For one request and a set S, z(S) = (1{in S} - c)(1{B}/p - 1{A}/(1-p)) has the mean
 * P_B(S) - P_A(S) for any c and p fixed before it.
 *
 * Worse, null TV <= limit: S is the set where B led in past blocks, c its share in them: E z(S) <= TV <= limit, so prod (1 + lambda (z - limit)) is
 * an e-process. Holds under any drift of both arms. lambda: 1/2 .. 1/64 of the most allowed, equal weights. Nothing is staked on the first block.
 *
 * Fine, null TV >= limit: some set S* has E z(S*) >= limit: prod (1 + lambda (limit - z(S*))) is an e-process, and so is whatever lies below it: its
 * least over all S. ln of the product is a sum over requests of a term that only asks whether the request's category is in S, so the least is found
 * category by category: sum_j min(in_j, out_j). No correction for the 2^n sets. lambda and c: six fixed pairs around the best bet for this limit. S*
 * must stay the same set: when both arms drift, the two must differ in one direction.
 *
 * Within a block the bets stand still, so that counts are all that is needed. Planning: limit 0.1, 10:90, alpha 0.05, blocks of 100, median of all
 * requests (a tenth of them the candidate's), beside it tv_bounds with 0.05 on that side:
 *
 *   fine   TV 0, 10 equal categories 7,800 (9,100); TV 0.05 12,100 (13,100); TV 0, each category 0.4 of the one before 4,800 (6,100);
 *          TV 0, 64 equal categories 26,200 (26,100)
 *   worse  TV 0.3, 10 categories 1,400 (2,100); TV 0.15 16,700 (26,600) */
#define DRIFT_BETS 6
struct drift {
	double n;                                          /* requests so far */
	double lead[CATEGORIES_MAX], seen[CATEGORIES_MAX]; /* sum of N_B/p - N_A/(1-p); of N_A + N_B */
	double worse[DRIFT_BETS];                          /* ln of each bet's capital */
	double out[DRIFT_BETS];                            /* fine: sum over j of out_j */
	double in[DRIFT_BETS][CATEGORIES_MAX];             /* fine: in_j - out_j */
	double max_worse, max_fine;                        /* largest ln E so far */
};
/* 0 < limit < 1. */
void drift_add(struct drift *drift, size_t n, double limit, double share, const double *a, const double *b);
double drift_worse(const struct drift *drift);          /* ln E against TV <= limit */
double drift_fine(const struct drift *drift, size_t n); /* ln E against TV >= limit */

/* ---- how much ---- */
/* For which counts the bounds shall be tightest; they hold whatever is put here. */
struct drift_plan {
	double share; /* the candidate's, 0 < share < 1 */
	double n_opt; /* requests of both arms */
};
/* Half the sum of |differences of shares|; 0 if an arm is empty. Biased upwards for small counts. */
double tv_estimate(size_t n, const double *a, const double *b);
/* Sum of (q_j - p_j) ln(q_j / p_j) with p, q = (count + smoothing N) / (N + n smoothing N): PSI of the arms' probabilities after mixing in a little
 * of the uniform, which keeps empty categories finite. smoothing 0: plain, INFINITY where only one arm is empty. */
double psi_estimate(size_t n, const double *a, const double *b, double smoothing);

struct drift_bounds {
	double low, high;
};
/* TV at level alpha, alpha/2 on each side; TV_t is the estimate now.
 *
 * high: TV_t + r(alpha/2). Proof: let S* be the (unknown, fixed) set with P_B(S*) - P_A(S*) = TV. TV_t >= its empirical difference >= TV - r for all
 * t by the bound for this one set. No union over sets: r does not grow with n, though TV_t itself is biased.
 *
 * low: TV_t - r(alpha/2 / (2^(n-1) - 1)): union over the sets up to complement.
 *
 * r(alpha) bounds |error of P_B,t(S) - P_A,t(S)| for one set at all t: 1{in S} is 1/4-sub-Gaussian (variance proxy), so exp(l's - l'Vl/2),
 * V = diag(n_A, n_B)/4, s the arms' centred sums, is a supermartingale for each l in R^2; mixed over l ~ N(0, W): s'(V + W^-1)^-1 s <= R =
 * 2 ln(1/alpha) + ln det(I + W V) for all t, and the greatest c's there, c = (-1/n_A, 1/n_B), is sqrt(R c'(V + W^-1)c). W leans along
 * (-1/(1-p), 1/p), which is what c is while the split holds (level 0.8 alpha), or is diagonal (0.2 alpha); r is the smaller. */
struct drift_bounds tv_bounds(size_t n, const double *a, const double *b, const struct drift_plan *plan, double alpha);
/* PSI (smoothed as above) at level alpha. Intervals for all 2n category rates at once (bernoulli_interval at alpha / (4n) each); a term's greatest
 * and least value over its two intervals lie at their ends, as |q - p| and |ln q/p| grow together. low: at least, by TV's lower bound at alpha/2
 * (Gilardoni 2006), 2 V ln((1+V)/(1-V)). high is INFINITY with smoothing 0 while a category may be empty. Much wider than TV's: no difference in 10
 * categories at 10:90 is within 0.1 after 35,000 requests only (TV 0.1 is the smaller drift besides: PSI 0.1 is a TV of about 0.16). Prefer a limit
 * on TV. */
struct drift_bounds psi_bounds(size_t n, const double *a, const double *b, const struct drift_plan *plan, double smoothing, double alpha);
#endif
