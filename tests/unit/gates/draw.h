/* Random draws for the simulations in these tests, the same on every machine for one seed, and the limit for counting alarms. */
#ifndef TESTS_UNIT_GATES_DRAW_H
#define TESTS_UNIT_GATES_DRAW_H

#include "gates/stats/rng.h"

#include <math.h>

static inline double draw_uniform(struct rng *rng)
{
	return ((double)(rng_next(rng) >> 11) + 0.5) * 0x1p-53;
}

/* Exact, by the gaps between successes. */
static inline uint64_t draw_binomial(struct rng *rng, uint64_t n, double p)
{
	if (p <= 0)
		return 0;
	if (p > 0.5)
		return n - draw_binomial(rng, n, 1 - p);
	uint64_t hits = 0;
	double step = log1p(-p);
	for (double at = floor(log(draw_uniform(rng)) / step); at < (double)n; at += 1 + floor(log(draw_uniform(rng)) / step))
		hits++;
	return hits;
}

/* The most alarms that `runs` fair runs may show: the least x with P(Binomial(runs, alpha) > x) <= 1%. With fixed seeds a test that passes always
 * passes; a test whose rate is half as much again as alpha would hardly ever have passed (500 runs at 5%: 37). */
static inline int alarms_allowed(int runs, double alpha)
{
	double log_p = runs * log1p(-alpha), below = 0;
	for (int x = 0;; x++) {
		below += exp(log_p);
		if (1 - below <= 0.01)
			return x;
		log_p += log((double)(runs - x) / (x + 1)) + log(alpha) - log1p(-alpha);
	}
}
#endif
