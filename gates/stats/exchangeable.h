/* Exchangeable instances: a test of the candidate's instances against stable's by ranks, exact whatever noise each instance has of its
 * own.
 *
 * Under the null the candidate's instance is one more of stable's kind: in each block its true rate and theirs are exchangeable. Thin
 * every instance to a common number of requests (hypergeometric draws, so the rates stay), rank the candidate's errors among those of K
 * stable instances (ties at random), R = 1 .. K+1. R is uniform, so t = 2 (R - 1) / K - 1 has expectation 0 and each factor 1 + lambda t
 * expectation 1. E is the mean of the products for lambda = .1 .2 .35 .5 .7 .9. With several candidate instances t is their mean: each
 * is compared with the K stable ones only, and a mean of e-values is an e-value; it is the rank-sum statistic, and as a factor is linear
 * in t, nothing is gained by keeping an e-process for each.
 *
 * Valid if noise is drawn anew between blocks: make the block longer than a burst. Needs at least ln 20 / ln 1.9 = 4.7 blocks, and from
 * K = 1 on works, though blindly to size: burst_guard.h finds gross harm sooner.
 *
 * Margin, "worse": null rate <= rate of an exchangeable copy + m. Each of stable's successes is turned into an error with probability m'
 * = m / (1 - u), which makes a copy's rate theta + m' (1 - theta) >= theta + m as long as theta <= u; so the candidate's errors are
 * stochastically at most an exchangeable copy's, its rank at most uniform, the factor's expectation at most 1. u is 1/10 or, if more,
 * twice stable's rate in past blocks, at most 9/10: above u the margin that is tested is m (1 - theta) / (1 - u). Margin, "fine": null
 * rate >= rate of a copy + m. Turning successes into errors with probability m makes a copy's rate theta + m (1 - theta) <= theta + m
 * for every theta: the factor 1 - lambda t has expectation at most 1 without condition.
 *
 * Draws come from the caller's seed and the block's number: a replay is the same bit for bit. */
#ifndef GATES_STATS_EXCHANGEABLE_H
#define GATES_STATS_EXCHANGEABLE_H

#include "gates/stats/block2x2.h"
#include "gates/stats/burst_guard.h"
#include "gates/stats/rng.h"

#define EXCHANGEABLE_STAKES 6
#define EXCHANGEABLE_INSTANCES 256 /* of stable, those that served in the block; more are left out */

/* All doubles, all zero = fresh. */
struct exchangeable {
	double log_e[EXCHANGEABLE_STAKES];
	double blocks;         /* seen, for the draws */
	double past_n, past_y; /* stable's */
	double log_max;
};

/* One block of counts per instance. Instances without requests are left out; a block without both arms is no bet. */
void exchangeable_add(struct exchangeable *state, const struct instance_counts *stable, size_t n_stable,
		      const struct instance_counts *candidate, size_t n_candidate, double margin, enum block_null null, uint64_t seed);
double exchangeable_log_e(const struct exchangeable *state);

/* How many of y errors among n requests are in a random sample of n_sample <= n of them. O(min(y, n - y, n_sample, n - n_sample)). */
uint64_t hypergeometric(struct rng *rng, uint64_t n, uint64_t y, uint64_t n_sample);
#endif
