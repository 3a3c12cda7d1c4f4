#include "gates/stats/exchangeable.h"

#include "gates/stats/stored.h"

#include <math.h>

static const double stakes[EXCHANGEABLE_STAKES] = {0.1, 0.2, 0.35, 0.5, 0.7, 0.9};

static double uniform(struct rng *rng)
{
	return ((double)(rng_next(rng) >> 11) + 0.5) * 0x1p-53;
}

/* More draws than these are taken from the normal law, whose error is then far below the draws' own spread: a window's counts have no bound. */
#define MOST_DRAWN 1000000

static uint64_t normal_draw(struct rng *rng, double mean, double variance, double most)
{
	double z = sqrt(-2 * log(uniform(rng))) * cos(2 * M_PI * uniform(rng));
	return stored_count(fmin(round(mean + sqrt(fmax(variance, 0)) * z), most));
}

uint64_t hypergeometric(struct rng *rng, uint64_t n, uint64_t y, uint64_t n_sample)
{
	if (y > n - y) /* count the rarer kind */
		return n_sample - hypergeometric(rng, n, n - y, n_sample);
	if (n_sample < y) /* the law is the same with errors and sample exchanged */
		return hypergeometric(rng, n, n_sample, y);
	if (n_sample > n - n_sample && n - n_sample < y)
		return y - hypergeometric(rng, n, y, n - n_sample);
	uint64_t drawn = 0;
	if (y > MOST_DRAWN) {
		double share = (double)n_sample / (double)n, mean = (double)y * share;
		return normal_draw(rng, mean, mean * (1 - share) * ((double)(n - y) / (double)(n - 1)), (double)y);
	}
	for (uint64_t i = 0; i < y; i++)
		drawn += uniform(rng) * (double)(n - i) < (double)(n_sample - drawn);
	return drawn;
}

/* Binomial by the gaps between successes. */
static uint64_t binomial(struct rng *rng, uint64_t n, double p)
{
	if (!(p > 0) || n == 0)
		return 0;
	if (p >= 1)
		return n;
	if ((double)n * p > MOST_DRAWN)
		return normal_draw(rng, (double)n * p, (double)n * p * (1 - p), (double)n);
	uint64_t drawn = 0;
	double at = 0, scale = log1p(-p);
	for (;;) {
		at += floor(log(uniform(rng)) / scale) + 1;
		if (at > (double)n)
			return drawn;
		drawn++;
	}
}

struct thinned {
	uint64_t y;
	double tie; /* orders what is equal */
};

static struct thinned thin(struct rng *rng, const struct instance_counts *counts, uint64_t common, double flip)
{
	uint64_t y = counts->y < counts->n ? counts->y : counts->n;
	y = hypergeometric(rng, counts->n, y, common);
	y += binomial(rng, common - y, flip);
	return (struct thinned){.y = y, .tie = uniform(rng)};
}

static uint64_t least_requests(const struct instance_counts *counts, size_t n, uint64_t least)
{
	for (size_t i = 0; i < n; i++)
		if (counts[i].n && counts[i].n < least)
			least = counts[i].n;
	return least;
}

static double flip_probability(const struct exchangeable *state, double margin, enum block_null null)
{
	if (null == NULL_NOT_FINE)
		return margin;
	double rate = state->past_n > 0 ? state->past_y / state->past_n : 0;
	return fmin(margin / (1 - fmin(fmax(2 * rate, 0.1), 0.9)), 1);
}

/* The mean over the candidate's instances of 2 (R - 1) / K - 1; 0 if one arm is missing. */
static double mean_rank(const struct exchangeable *state, const struct instance_counts *stable, size_t n_stable,
			const struct instance_counts *candidate, size_t n_candidate, double margin, enum block_null null, uint64_t seed)
{
	struct thinned copies[EXCHANGEABLE_INSTANCES];
	struct rng rng;
	uint64_t common = least_requests(candidate, n_candidate, least_requests(stable, n_stable, UINT64_MAX));
	double flip = flip_probability(state, margin, null), sum = 0, judged = 0;
	size_t k = 0;
	rng_seed(&rng, seed + stored_count(state->blocks));
	for (size_t i = 0; i < n_stable && k < EXCHANGEABLE_INSTANCES; i++)
		if (stable[i].n)
			copies[k++] = thin(&rng, &stable[i], common, flip);
	for (size_t i = 0; i < n_candidate && k > 0; i++) {
		if (!candidate[i].n)
			continue;
		struct thinned mine = thin(&rng, &candidate[i], common, 0);
		size_t below = 0;
		for (size_t j = 0; j < k; j++)
			below += copies[j].y < mine.y || (copies[j].y == mine.y && copies[j].tie < mine.tie);
		sum += 2 * (double)below / (double)k - 1;
		judged++;
	}
	return judged > 0 ? sum / judged : 0;
}

void exchangeable_add(struct exchangeable *state, const struct instance_counts *stable, size_t n_stable,
		      const struct instance_counts *candidate, size_t n_candidate, double margin, enum block_null null, uint64_t seed)
{
	double t = mean_rank(state, stable, n_stable, candidate, n_candidate, margin, null, seed);
	if (null == NULL_NOT_FINE)
		t = -t;
	for (size_t i = 0; i < EXCHANGEABLE_STAKES; i++)
		state->log_e[i] += log1p(stakes[i] * t);
	for (size_t i = 0; i < n_stable; i++) {
		state->past_n += (double)stable[i].n;
		state->past_y += fmin((double)stable[i].y, (double)stable[i].n);
	}
	state->blocks++;
	state->log_max = fmax(state->log_max, exchangeable_log_e(state));
}

double exchangeable_log_e(const struct exchangeable *state)
{
	double top = -INFINITY, sum = 0;
	for (size_t i = 0; i < EXCHANGEABLE_STAKES; i++)
		top = fmax(top, state->log_e[i]);
	for (size_t i = 0; i < EXCHANGEABLE_STAKES; i++)
		sum += exp(state->log_e[i] - top);
	return top + log(sum / EXCHANGEABLE_STAKES);
}
