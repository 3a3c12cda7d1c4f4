/* Latency with a ratio: is the candidate more than r times as slow as stable, near the quantile that the metric names?
 *
 * The ladder. Both arms' latencies are counted into one fixed ladder of buckets. Its edges are geometric, 0.5 ms x 1.2^(i/3): steps of
 * 6.3% from 0.5 ms to 51.8 s, and 1.2, the ratio that people write, is exactly three of them. Bucket 0 is below the first edge, the last
 * one is open; an edge belongs to the bucket above it (bucket i: edge(i-1) <= latency < edge(i)).
 *
 * The pair. Stable's requests at or above x_k are compared with the candidate's at or above x_j. Harm rounds r x_k up to an edge and
 * fine rounds it down, so both claims hold for r itself: harm, null P(B >= r x) <= P(A >= x): x_j >= r x_k makes B's probability only
 * smaller; fine, null P(B >= r x) >= P(A >= x): x_j <= r x_k makes it only larger. What is lost: nothing for r = 1, 1.2, 1.44; else harm
 * is looked for at up to 6.3% above r and fine at up to 6.3% below it (r = 1.1: harm from 1.129, fine up to 1.063; 1.25: 1.275 and 1.2;
 * 1.5: 1.531 and 1.44; 2: 2.07 and 1.95). For 1 < r < 1.063 fine would be compared at r = 1 and cannot be reached by an equal candidate.
 * A source that measures in whole milliseconds (HAProxy's timers do) makes ">= x" mean ">= ceil(x)": give its resolution, and the pairs
 * are chosen so that the rounding stays on the safe side.
 *
 * The slots. For each slot the edge is chosen before the block from stable's past: the edge just below its q-quantile, the edge just
 * above it, and for harm also the edge that twice (1 - q) exceed. Each slot is a margin test of two binomials with m = 0 (block2x2.h),
 * so that stable's own latency may drift from block to block.
 *   Harm: the mean of the slots' e-processes (an e-process, never below max E / K: better than Bonferroni's alpha/K).
 *     Null: in no block do more of the candidate's requests exceed r x than of stable's exceed x, at the slots' edges x.
 *   Fine: every slot at the two sides of the quantile (the smaller e-process; no correction: intersection-union). With x_low <= Q_A <= x_high,
 *     both rejected say P(B >= r x_high) < P(A >= x_high) <= 1 - q: the candidate's quantile is below r x_high, x_high one step above x_low.
 * A far better or worse body of the distribution does not decide: the metric names a quantile. Bets begin when stable's past holds 2 /
 * (1 - q) requests (p99: 200). Independence of requests is assumed: against bursts in one instance hand the pair's counts to
 * burst_guard.h (exceedance_pair, exceedance_count). */
#ifndef GATES_STATS_EXCEEDANCE_H
#define GATES_STATS_EXCEEDANCE_H

#include "gates/stats/block2x2.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the ladder ---- */
#define LATENCY_LADDER_BUCKETS 192

/* Upper edge of bucket i in milliseconds; INFINITY for the last one (and beyond). */
double latency_ladder_edge(size_t i);
/* The bucket of a latency; negative ones and NaN count as 0. */
size_t latency_ladder_index(double ms);
/* The q-quantile's bucket's upper edge (of the open one its lower edge, so the value is finite); NAN without data. */
double latency_ladder_quantile(const uint64_t buckets[LATENCY_LADDER_BUCKETS], double q);

/* ---- pairs of edges ---- */
/* For stable's edge k (requests at or above edge(k)) the candidate's edge that a ratio >= 1 asks for, rounded to the safe side of `null`.
 * resolution_ms: the source's rounding down (1 for whole milliseconds), 0 for none. False if the ladder ends before. */
bool exceedance_pair(size_t k, double ratio, double resolution_ms, enum block_null null, size_t *ret_j);
/* Requests at or above edge(k). */
uint64_t exceedance_count(const uint64_t buckets[LATENCY_LADDER_BUCKETS], size_t k);
uint64_t latency_ladder_total(const uint64_t buckets[LATENCY_LADDER_BUCKETS]);

/* ---- the test ---- */
#define EXCEEDANCE_SLOTS 3 /* below the quantile, above it, twice its tail */
struct exceedance {
	double stable[LATENCY_LADDER_BUCKETS]; /* counts of past blocks */
	struct eprocess harm[EXCEEDANCE_SLOTS];
	struct eprocess fine[EXCEEDANCE_SLOTS - 1];
	double harm_log_max; /* of the combined process */
	double fine_log_max;
};

/* The slots' edges for the next block, from the past: false while the past is too short. ret_k[slot] are stable's edges. */
bool exceedance_edges(const struct exceedance *state, double q, size_t ret_k[EXCEEDANCE_SLOTS]);
/* A block of both arms' buckets. 0 < q < 1, ratio >= 1, the same at every call. */
void exceedance_add(struct exceedance *state, const uint64_t stable[LATENCY_LADDER_BUCKETS],
		    const uint64_t candidate[LATENCY_LADDER_BUCKETS], double q, double ratio, double resolution_ms);
/* A new step: fine starts afresh; harm and what is known of stable go on. */
void exceedance_step(struct exceedance *state);
/* ln E now; their largest so far are harm_log_max, fine_log_max. */
double exceedance_log_e_harm(const struct exceedance *state);
double exceedance_log_e_fine(const struct exceedance *state);
#endif
