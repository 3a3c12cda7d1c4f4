/* The harm test that a bad minute of one instance does not fool: counts per instance in, one e-process out.
 *
 * Example:
 *   burst_guard_add(&guard, stable, n_stable, candidate, n_candidate, 0.005, seed);   each block, as short as one likes
 *   if (burst length passed) burst_guard_end_window(&guard);                         60 s is the usual burst length
 *   burst_guard_log_e(&guard) against ln(1/alpha)
 * Instances keep their place in the arrays within a window; end the window when the set of instances changes. */
#ifndef GATES_STATS_BURST_GUARD_H
#define GATES_STATS_BURST_GUARD_H

#include <stddef.h>
#include <stdint.h>

struct instance_counts {
	uint64_t n, y; /* requests of one instance, and errors (or exceedances) among them; y <= n */
};

#define BURST_WINDOW_MS 60000 /* the burst length for which the numbers above were measured */
#define BURST_ALTERNATIVES 12
#define BURST_NODES 20
#define BURST_STAKES 4
#define BURST_INSTANCES 32 /* more than these are counted together, the 33rd with the first and so on */

/* All doubles, all zero = fresh. */
struct burst_guard {
	/* the present window */
	double log_factor[BURST_ALTERNATIVES][BURST_NODES];
	double node_weight[BURST_NODES];
	double spread[BURST_ALTERNATIVES][BURST_ALTERNATIVES]; /* what noise makes of each alternative in this window */
	double n[BURST_INSTANCES], y[BURST_INSTANCES]; /* of stable's instances */
	double open;                                   /* 1 once the window's nodes are chosen */
	/* finished windows */
	double log_done[BURST_ALTERNATIVES + 1][BURST_STAKES]; /* each alternative kept throughout; the last: their mean in every window */
	double past_n, past_y;          /* stable's, of finished blocks, the older ones fading */
	double noise_sum, noise_weight, noise_counts; /* of squared coefficients of variation; of the counts' own variance */
	double last_n, last_y;          /* the window before, for one instance */
	double log_max; /* the largest ln E so far */
};

/* One block of both arms. margin as in block2x2.h: null rate_candidate <= rate_stable + margin. The seed is for kernels that draw at
 * random (exchangeable.h); the default draws nothing and ignores it. Absurd counts (y > n) count as y = n. */
void burst_guard_add(struct burst_guard *guard, const struct instance_counts *stable, size_t n_stable,
		     const struct instance_counts *candidate, size_t n_candidate, double margin, uint64_t seed);
/* The burst length has passed, the split or the set of instances has changed. Empty windows are harmless. */
void burst_guard_end_window(struct burst_guard *guard);
/* ln E now, the open window included. */
double burst_guard_log_e(const struct burst_guard *guard);
#endif
