/* What the tests of trials and events share: rate_margin, rate_ratio, and mean_margin after rounding. */
#ifndef GATES_SEQUENTIAL_RATES_H
#define GATES_SEQUENTIAL_RATES_H

#include "gates/sequential/guarded.h"
#include "gates/stats/rate_sequence.h"

/* All doubles, all zero = fresh. */
struct rates {
	double n_a, y_a, n_b, y_b; /* over the whole rollout */
	double step_n_a, step_n_b;
	union {
		struct rate_difference difference;
		struct rate_ratio ratio;
	} interval;
	struct guarded harm, fine; /* fine: of this step */
};

/* Stable's rate as the bets take it, from what was seen before: half a percent of bad events on the word of ten requests at first. Any
 * guess is valid; this one costs little. */
double rates_past(const struct rates *rates, enum better better);
void rates_add(struct rates *rates, const struct sequential_subject *subject, const struct guarded_block *block, struct boundary boundary);
void rates_step(struct rates *rates, const struct sequential_subject *subject, struct boundary boundary);
void rates_read(const struct rates *rates, const struct sequential_subject *subject, enum boundary_kind kind, struct sequential_reading *ret);
/* As sequential_ops.imagine. */
bool rates_imagine(const struct rates *rates, const struct sequential_subject *subject, double n, bool worst, struct measure *ret);
#endif
