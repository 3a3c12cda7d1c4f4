/* Draws for the simulations of gates/stats: uniform, normal, gamma and binomial numbers from a fixed seed, and counts per instance whose
 * rates carry gamma noise. Everything inline: only tests that simulate pay for it. */
#ifndef TESTS_NOISY_COUNTS_H
#define TESTS_NOISY_COUNTS_H

#include "gates/stats/burst_guard.h"
#include "gates/stats/rng.h"

#include <math.h>

static inline double draw_uniform(struct rng *rng)
{
	return ((double)(rng_next(rng) >> 11) + 0.5) * 0x1p-53;
}

static inline double draw_normal(struct rng *rng)
{
	return sqrt(-2 * log(draw_uniform(rng))) * cos(2 * M_PI * draw_uniform(rng));
}

/* Marsaglia, Tsang, "A simple method for generating gamma variables" (2000); mean = shape. */
static inline double draw_gamma(struct rng *rng, double shape)
{
	if (shape < 1)
		return draw_gamma(rng, shape + 1) * pow(draw_uniform(rng), 1 / shape);
	double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
	for (;;) {
		double x = draw_normal(rng), v = 1 + c * x;
		v = v * v * v;
		if (v > 0 && log(draw_uniform(rng)) < x * x / 2 + d - d * v + d * log(v))
			return d * v;
	}
}

/* Exact, by the gaps between successes. */
static inline uint64_t draw_binomial(struct rng *rng, uint64_t n, double p)
{
	uint64_t hits = 0;
	if (p <= 0)
		return 0;
	if (p >= 1)
		return n;
	if (p > 0.5)
		return n - draw_binomial(rng, n, 1 - p);
	double scale = log1p(-p);
	for (double at = floor(log(draw_uniform(rng)) / scale); at < (double)n; at += 1 + floor(log(draw_uniform(rng)) / scale))
		hits++;
	return hits;
}

/* Noise of mean 1 with this coefficient of variation. */
static inline double draw_noise(struct rng *rng, double cv)
{
	return cv > 0 ? draw_gamma(rng, 1 / (cv * cv)) * cv * cv : 1;
}

/* One arm: instances whose rate is base * noise + extra. */
#define NOISY_INSTANCES 16
struct noisy_arm {
	size_t n;
	double noise[NOISY_INSTANCES];
	struct instance_counts counts[NOISY_INSTANCES];
};

static inline void noisy_redraw(struct rng *rng, struct noisy_arm *arm, double cv)
{
	for (size_t i = 0; i < arm->n; i++)
		arm->noise[i] = draw_noise(rng, cv);
}

static inline void noisy_draw(struct rng *rng, struct noisy_arm *arm, uint64_t requests, double base, double extra)
{
	for (size_t i = 0; i < arm->n; i++)
		arm->counts[i] = (struct instance_counts){.n = requests,
							  .y = draw_binomial(rng, requests, fmin(base * arm->noise[i] + extra, 1))};
}
#endif
