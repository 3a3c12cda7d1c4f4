/* Random numbers that are the same everywhere: xoshiro256** (Blackman, Vigna, 2018), seeded by splitmix64. For resampling, not secrets. */
#ifndef GATES_STATS_RNG_H
#define GATES_STATS_RNG_H

#include <stdint.h>

struct rng { uint64_t s[4]; };
void rng_seed(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
/* Uniform in [0, n), n < 2^32: the high half of a product (the bias, below n / 2^32, does not matter for resampling). */
static inline uint64_t rng_below(struct rng *rng, uint64_t n)
{
	return ((rng_next(rng) >> 32) * n) >> 32;
}
#endif
