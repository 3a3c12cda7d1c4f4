/* A small world with fixed seeds for the analysis's tests: xoshiro256** (Blackman, Vigna) seeded by splitmix64, blocks of requests drawn from
 * it, and an analysis of one rate. */
#ifndef TESTS_UNIT_GATES_ANALYSIS_WORLD_H
#define TESTS_UNIT_GATES_ANALYSIS_WORLD_H

#include "gates/analysis.h"
#include "tests/support/support.h"

#include <math.h>

struct world {
	uint64_t s[4];
};

static uint64_t next(struct world *w)
{
	uint64_t *s = w->s, x = s[1] * 5, t = s[1] << 17;
	x = ((x << 7) | (x >> 57)) * 9;
	s[2] ^= s[0], s[3] ^= s[1], s[1] ^= s[2], s[0] ^= s[3], s[2] ^= t;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return x;
}

static void seed(struct world *w, uint64_t x)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = (x += UINT64_C(0x9E3779B97F4A7C15));
		z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
		w->s[i] = z ^ (z >> 31);
	}
}

static double uniform(struct world *w)
{
	return ((double)(next(w) >> 11) + 0.5) * 0x1p-53;
}

/* Exact, by the gaps between successes. */
static uint64_t binomial(struct world *w, uint64_t n, double p)
{
	uint64_t hits = 0;
	if (p <= 0)
		return 0;
	if (p > 0.5)
		return n - binomial(w, n, 1 - p);
	for (double at = floor(log(uniform(w)) / log1p(-p)); at < (double)n; at += 1 + floor(log(uniform(w)) / log1p(-p)))
		hits++;
	return hits;
}

static struct rollout_spec spec_of(double margin)
{
	struct rollout_spec spec = {.alpha = 0.05, .n_metrics = 1, .bursts = BURSTS_NONE};
	spec.metrics[0] = (struct analysis_metric){.metric = "error_rate", .versus_stable = true, .margin = margin};
	return spec;
}

static struct analysis_block draw(struct world *w, uint64_t requests, uint32_t ppm, double stable, double candidate)
{
	struct analysis_block block = {.weight_ppm = ppm, .to_ms = 1000};
	block.candidate.assigned = block.candidate.completed = binomial(w, requests, ppm / 1e6);
	block.stable.assigned = block.stable.completed = requests - block.candidate.assigned;
	block.stable.errors = binomial(w, block.stable.completed, stable);
	block.candidate.errors = binomial(w, block.candidate.completed, candidate);
	return block;
}

static void add(struct analysis *analysis, const struct analysis_block *block)
{
	cleanup_error struct error *err = NULL;
	assert_ok(analysis_add(analysis, block, &err), err);
}

static enum verdict verdict_of(const struct analysis *analysis)
{
	struct analysis_verdict verdict;
	analysis_verdict(analysis, &verdict);
	return verdict.verdict;
}
#endif
