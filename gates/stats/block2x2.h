/* The block 2x2 e-test: two binomial counts a block, evidence that multiplies over blocks and is valid at every look.
 *
 * A block has n_a, n_b trials and y_a, y_b events of two arms. The null is a side of a boundary, in every block anew (the rates themselves may
 * drift):
 *   margin m:  theta_b <= theta_a + m  ("worse" is to be shown)  or  theta_b >= theta_a + m  ("fine" is to be shown),  -1 < m < 1;
 *   ratio r:   theta_b <= r theta_a                              or  theta_b >= r theta_a,                             r > 0.
 * m = 0 and r = 1 are the plain test of equality (one-sided; block2x2_equal for theta_a = theta_b).
 * An alternative (alt_a, alt_b), chosen before the block from the past, is compared with the point of the boundary that minimises
 * n_a KL(alt_a || theta_a) + n_b KL(alt_b || theta_b). That point's first-order condition is sum_g n_g E_theta[ratio_g] <= n_a + n_b for every
 * theta of the null, as each of these null sets is convex; so by the weighted inequality of means the block's factor has expectation at most 1
 * there. Source: Turner, Ly, Gruenwald, arXiv 2106.02693; margins: Turner, Gruenwald, arXiv 2203.09785.
 *
 * An e-process is a weighted mean of products over a few alternatives. Reject when it reaches 1/alpha (Ville).
 * Cost, blocks of an e-process (six or four alternatives) a second and core: 3 to 8 M with m = 0 or a ratio (closed forms), 1.5 to 2 M
 * with a margin (three or four Newton steps). */
#ifndef GATES_STATS_BLOCK2X2_H
#define GATES_STATS_BLOCK2X2_H

#include <stddef.h>
#include <stdint.h>

enum block_null { NULL_NOT_WORSE /* theta_b <= boundary */, NULL_NOT_FINE /* theta_b >= boundary */ };
enum boundary_kind { BOUNDARY_MARGIN, BOUNDARY_RATIO };
struct boundary {
	enum boundary_kind kind;
	double value; /* m or r */
};

struct block2x2 {
	uint64_t n_a, y_a, n_b, y_b; /* y <= n */
};

/* Metrics of which more is better (accuracy, conversions): y counts successes, and worse means theta_b < theta_a - m. That is the same question about
 * failures: n - y events, 1 - rate, same margin. (eprocess_bet_on does it by itself.) */
struct block2x2 block2x2_failures(const struct block2x2 *successes);
/* The arms in each other's place: theta_b <= theta_a - m of the one is theta_b >= theta_a + m of the other, ratio r becomes 1/r. */
struct block2x2 block2x2_swapped(const struct block2x2 *block);

/* theta_a of the boundary point, alternative and point strictly between 0 and 1; NaN if there is no such point. */
double boundary_point(double n_a, double n_b, double alt_a, double alt_b, struct boundary boundary);
/* ln of the block's factor; 0 (no bet) if the alternative lies in the null or the block lacks one arm. Finite. */
double boundary_log_factor(const struct block2x2 *block, double alt_a, double alt_b, struct boundary boundary, enum block_null null);
/* Null theta_a = theta_b, any alternative. */
double block2x2_equal(const struct block2x2 *block, double alt_a, double alt_b);

/* The same for a margin. */
double block2x2_boundary(double n_a, double n_b, double alt_a, double alt_b, double margin, enum block_null null);
double block2x2_log_factor(const struct block2x2 *block, double alt_a, double alt_b, double margin, enum block_null null);

/* ---- e-processes ---- */
#define EPROCESS_MAX 6
struct eprocess {                   /* doubles only; all zero = fresh */
	double log_e[EPROCESS_MAX]; /* of each alternative, without its weight */
	double log_max;             /* the largest ln E so far; anytime p = exp(-log_max) */
};

enum better { LOWER_IS_BETTER /* y counts errors */, HIGHER_IS_BETTER /* y counts successes */ };

/* One block's bets. past_a is the caller's estimate of the stable rate from past blocks, strictly between 0 and 1.
 * What is asked, with null NULL_NOT_WORSE ("worse?") and NULL_NOT_FINE ("fine?"):
 *   lower is better:   theta_b against theta_a + m (m >= 0)  or  r theta_a (r >= 1);
 *   higher is better:  theta_b against theta_a - m           or  theta_a / r.
 * The alternatives (docs/statistics.md), theta_a = past_a:
 *   worse: odds of theta_b {1.25, 1.5, 2, 3, 5, 10} times those of the boundary (divided by them if higher is better), equal weights;
 *   fine:  theta_b half way to the boundary, equal, and with half and a tenth of the bad events, with weights 1/4, 1/2, 1/8, 1/8. */
void eprocess_bet_on(struct eprocess *process, const struct block2x2 *block, double past_a, struct boundary boundary, enum block_null null,
		     enum better better);
/* A margin, lower is better. */
void eprocess_bet(struct eprocess *process, const struct block2x2 *block, double past_a, double margin, enum block_null null);
/* ln of the weighted mean now. */
double eprocess_log_e(const struct eprocess *process, enum block_null null);
#endif
