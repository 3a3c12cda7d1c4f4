/* The test of harm, and of safety, that a bad minute of one instance does not fool: counts per instance in, one e-process out. The
 * default.
 *
 * Example:
 *   burst_guard_add(&guard, stable, n_stable, candidate, n_candidate, 0.005, seed);   each block, as short as one likes
 *   if (burst length passed) burst_guard_end_window(&guard);                         60 s is the usual burst length
 *   burst_guard_log_e(&guard) against ln(1/alpha); guard.log_max is the largest so far
 * Instances keep their place in the arrays within a window; end the window when the set of instances or the split changes, never because
 * of what was counted.
 *
 * The model. Within a window, which is about as long as a burst, each instance's own error rate carries a factor of its own, of mean 1,
 * drawn anew in the next window; the load and what all instances share may vary as they like from block to block. For a ratio R of the
 * two arms' mean factors, the null "rate_b <= R rate_a + margin" is the margin test of block2x2.h with a slanted boundary: its factor
 * e_R, multiplied over the window's blocks, is an e-process for every R' <= R. R itself is not known, its law is: the factors are taken
 * as gamma with squared coefficient of variation cv2, so with K and C equal instances R is F(2C/cv2, 2K/cv2) (unequal ones count as
 * Kish's effective number). The window's e-value is the likelihood ratio against that mixture, the harmonic mean 1 / sum_j w_j / e_(R_j)
 * over a grid R_j with w_j = P(R_(j-1) < R <= R_j), R rounded up, the tail beyond 2,500 counted as "nothing can be said" (e = 1). So
 * evidence in a window is capped at 1 / P(R > observed ratio): a minute in which the candidate is three times as bad counts for little
 * with one instance against one, a minute in which it is 100 times as bad, or bad where stable has no errors at all, decides. A window's
 * value enters the process as 1 + stake (e - 1), for four stakes, so that one window cannot ruin it; processes for twelve alternatives
 * (the odds of the margin's edge times 1.25 to 2,500), each kept throughout, and for their mean are averaged.
 *
 * cv2 is learned from stable alone, before each window: the spread of its instances within past windows (one instance: between
 * successive windows), less what the counts' own variance explains; an upper 95% limit of it, 1 at first, more if more is seen. So the
 * test begins prepared for noise of a coefficient of variation of 1, and sharpens as stable proves quiet.
 *
 * What is proved and what is measured. For fixed R each window's product is an e-process, whatever the base rate does. Their harmonic
 * mean over R has expectation at most 1 + ln(1 / least weight) in any case; with margin 0 and rare errors it is the likelihood ratio
 * against the mixture, so an e-value if that law is the truth. That it stays below alpha with a margin, with less noise than assumed
 * (for which the alternatives are noisy too), while cv2 is learned, and with bursts that straddle windows, is not proved but was checked
 * by simulation (tests/bench/validity.c repeats the kind): 64 worlds of two hours, 400 runs each, a look every 10 s, burst edges at a
 * random offset from the windows' edges, margin 0, alpha 0.05, instances 1+1, 2+1, 2+2, 9+1, noise CV 0, 0.3, 0.7, 1, mean errors of an
 * instance in a minute 1, 4, 20, 150: false alarms 0 to 4.2%, median 0.3%. Two constants (how noisy the alternatives are, how far seen
 * noise is raised) were chosen on nine worlds of this kind before. Noise more spread than gamma of CV 1 at the same mean (an instance
 * that is wholly down every other minute) is beyond it until learned: exchangeable.h is exact there.
 *
 * Compared (statistics page, 1(a4): base 1%, 600 requests an instance and minute, margin 0, 60 windows of a minute; share found and mean
 * minutes at 1.5, 2, 5%; "ranks" and "tempered" are that page's figures for 9+1):
 *
 *   noise    | ranks, 9+1                    | tempered, 9+1                  | burst guard, 9+1                | burst guard, 2+1              | 1+1
 *   none     | 100% 13.4  100% 8.1  100% 7.0 | 100% 9.9   100% 3.9  100% 3.0  | 99% 23.6   100% 7.8   100% 2.9  | 98% 26.7  100% 12.3  100% 4.3 | 92% 37.5  100% 16.8  100% 6.0
 *   CV 0.5   | 94% 26.8   100% 13.8 100% 7.4 | 98% 17.2   100% 6.1  100% 3.0  | 90% 32.0   100% 13.7  100% 3.4  | 73% 35.5  100% 19.0  100% 5.3 | 40% 40.1  99% 26.8   100% 7.2
 *   CV 1     | 41% 33.8   84% 28.8  100% 12  | 80% 23.0   100% 13.1 100% 3.9  | 43% 33.0   91% 26.1   100% 5.5  | 21% 34.7  74% 31.1   100% 8.7 | 14% 35.2  58% 35.3   100% 13.2
 *   false    | 3.3  2.8  1.5%                | 0.5  5.3  6.8%                 | at most 4.2% in all worlds above
 *
 * Ranks need five windows however gross the harm; tempering breaks its promise from CV 0.5 on and must first learn phi. Gross harm in
 * the first window, in blocks of a second, 380 and 20 requests: 10% against none with a margin of 3 points: 9.6 s with 1+1, 6.1 s with
 * 2+1, 3.6 s with 2+2. All requests failing against 1% of stable's, margin 3 points: 1 s with 2+1 and 2+2; 60 s with 1+1, where a single
 * bad minute of one instance must not decide. 10% against 0.1%, margin 0.5 points: 59, 16 and 12 s. Put several instances into an arm
 * where that matters.
 *
 * Fine, the same upside down (R rounded down, the last node R = 0: then only "rate_b >= margin" is left of the null, and a candidate far
 * inside the margin still proves itself). It needs it as much: where block2x2.h sees the sums only, half an hour of noise of CV 1 in 2+1
 * instances made a candidate on the edge of its margin "fine" in 38% of runs. Seconds until fine, 380 and 20 requests an instance and
 * second: margin 3 points, no errors: 8 (160 of the candidate's requests) for any number of instances with one of the candidate; margin
 * 0.5 points, no errors: 43, 0.1% errors: 51 to 85; margin 3 points, 1% errors: 15 to 27; margin 1 point, 1% errors: 1.6 to 5 minutes.
 *
 * Other guards: exchangeable.h (any noise, whole windows only), tempering.h (cheap, for estimates). */
#ifndef GATES_STATS_BURST_GUARD_H
#define GATES_STATS_BURST_GUARD_H

#include "gates/stats/block2x2.h"

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
/* The other direction, in a state of its own: null rate_candidate >= rate_stable + margin. */
void burst_guard_add_fine(struct burst_guard *guard, const struct instance_counts *stable, size_t n_stable,
			  const struct instance_counts *candidate, size_t n_candidate, double margin);
/* A new step: ends the window, evidence starts afresh, what is known of stable and its noise stays. For "fine". */
void burst_guard_step(struct burst_guard *guard);
/* The burst length has passed, the split or the set of instances has changed. Empty windows are harmless. */
void burst_guard_end_window(struct burst_guard *guard);
/* ln E now, the open window included. */
double burst_guard_log_e(const struct burst_guard *guard);
#endif
