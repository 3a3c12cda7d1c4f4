#include "gates/sequential/latency.h"

#include "gates/stats/quantile_band.h"
#include "gates/stats/stored.h"

#include <math.h>

#define SHARPEST_AT 10000.0 /* requests per arm */

void latency_arm_add(struct latency_arm *arm, const struct arm_counts *counts)
{
	double n = 0;
	for (size_t i = 0; i < LATENCY_LADDER_BUCKETS; i++) {
		arm->buckets[i] += (double)counts->latency_buckets[i];
		n += (double)counts->latency_buckets[i];
	}
	arm->n += n;
	arm->step_n += n;
	arm->sum_us += (double)counts->latency_sum_us;
}

double latency_arm_value(const struct latency_arm *arm, double q)
{
	uint64_t buckets[LATENCY_LADDER_BUCKETS];
	if (!(arm->n > 0))
		return (double)NAN;
	if (!(q > 0))
		return arm->sum_us / 1000 / arm->n;
	for (size_t i = 0; i < LATENCY_LADDER_BUCKETS; i++)
		buckets[i] = stored_count(arm->buckets[i]);
	return latency_ladder_quantile(buckets, q);
}

void latency_arm_interval(const struct latency_arm *arm, double q, double alpha, double *ret_low, double *ret_high)
{
	double edges[LATENCY_LADDER_BUCKETS - 1];
	*ret_low = *ret_high = (double)NAN;
	if (!(arm->n > 0) || !(q > 0 && q < 1))
		return;
	for (size_t i = 0; i < LATENCY_LADDER_BUCKETS - 1; i++)
		edges[i] = latency_ladder_edge(i);
	const struct histogram histogram = {edges, arm->buckets, LATENCY_LADDER_BUCKETS - 1};
	const struct fixed_quantile test = {.q = q, .t_opt = SHARPEST_AT, .alpha_opt = alpha};
	struct quantile_interval interval = fixed_quantile_interval(&test, &histogram, alpha);
	*ret_low = fmax(interval.low, 0);
	*ret_high = interval.high;
}

void latency_arm_imagine(const struct latency_arm *arm, double n, bool worst, struct arm_counts *ret)
{
	double carried = 0;
	*ret = (struct arm_counts){0};
	for (size_t i = 0; i < LATENCY_LADDER_BUCKETS && !worst; i++) {
		/* Rounded so that the sum is right: what one bucket loses the next one gets. */
		double exact = arm->buckets[i] / arm->n * n + carried, whole = floor(exact + 1e-9);
		ret->latency_buckets[i] = stored_count(whole);
		carried = exact - whole;
	}
	if (worst)
		ret->latency_buckets[LATENCY_LADDER_BUCKETS - 1] = stored_count(n);
	ret->completed = latency_ladder_total(ret->latency_buckets);
}
