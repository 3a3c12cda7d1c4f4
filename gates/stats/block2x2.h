/* The block 2x2 e-test with a margin: two binomial counts a block, evidence that multiplies over blocks and is valid at every look.
 *
 * A block has n_a, n_b trials and y_a, y_b events of two arms. The null says theta_b <= theta_a + m ("worse" is to be shown) or
 * theta_b >= theta_a + m ("fine" is to be shown), in every block anew: the rates themselves may drift. An alternative (alt_a, alt_b),
 * chosen before the block from the past, is compared with the point of the null's boundary, theta_b = theta_a + m, that minimises
 * n_a KL(alt_a || theta_a) + n_b KL(alt_b || theta_b). That point's first-order condition is sum_g n_g E_theta[ratio_g] <= n_a + n_b for
 * every theta of the (convex) null, so by the weighted inequality of means the block's factor has expectation at most 1 there.
 * Source: Turner, Ly, Gruenwald, arXiv 2106.02693; margins: Turner, Gruenwald, arXiv 2203.09785.
 *
 * An e-process is a weighted mean of products over a few alternatives. Reject when it reaches 1/alpha (Ville). */
#ifndef GATES_STATS_BLOCK2X2_H
#define GATES_STATS_BLOCK2X2_H

#include <stddef.h>
#include <stdint.h>

enum block_null { NULL_NOT_WORSE /* theta_b <= theta_a + m */, NULL_NOT_FINE /* theta_b >= theta_a + m */ };

struct block2x2 {
	uint64_t n_a, y_a, n_b, y_b; /* y <= n */
};

/* theta_a of the boundary point. 0 < alt_a, alt_b < 1, 0 <= margin < 1, and the alternative is outside the null. */
double block2x2_boundary(double n_a, double n_b, double alt_a, double alt_b, double margin, enum block_null null);
/* ln of the block's factor; 0 (no bet) if the alternative lies in the null or the block lacks one arm. Finite. */
double block2x2_log_factor(const struct block2x2 *block, double alt_a, double alt_b, double margin, enum block_null null);

/* ---- e-processes ---- */
#define EPROCESS_MAX 6
struct eprocess {
	double log_e[EPROCESS_MAX]; /* of each alternative, without its weight */
	double log_max;             /* the largest ln E so far; anytime p = exp(-log_max) */
};

/* Bets of both directions, with the alternatives that gates/analysis uses (docs/statistics.md):
 *   worse: odds of theta_b are {1.25, 1.5, 2, 3, 5, 10} times those of alt_a + m, equal weights;
 *   fine:  theta_b is alt_a + m/2, alt_a, alt_a/2, alt_a/10, with weights 1/4, 1/2, 1/8, 1/8.
 * alt_a is the caller's estimate of the stable rate from past blocks, strictly between 0 and 1. */
void eprocess_bet(struct eprocess *process, const struct block2x2 *block, double alt_a, double margin, enum block_null null);
/* ln of the weighted mean now. */
double eprocess_log_e(const struct eprocess *process, enum block_null null);
#endif
