#include "gates/stats/exceedance.h"
#include "tests/support/noisy_counts.h"
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

#define assert_near(value, expected, tolerance) assert_true(fabs((value) - (expected)) <= (tolerance))
#define LN_20 2.995732273553991

static void the_ladder_has_1_2_as_three_steps(void **state)
{
	(void)state;
	assert_near(latency_ladder_edge(0), 0.5, 0);
	assert_near(latency_ladder_edge(3), 0.6, 1e-12);
	assert_true(latency_ladder_edge(LATENCY_LADDER_BUCKETS - 2) > 50000);
	assert_true(isinf(latency_ladder_edge(LATENCY_LADDER_BUCKETS - 1)) && isinf(latency_ladder_edge(SIZE_MAX)));
	for (size_t i = 0; i + 1 < LATENCY_LADDER_BUCKETS; i++) {
		double edge = latency_ladder_edge(i);
		assert_int_equal(latency_ladder_index(edge), i + 1);
		assert_int_equal(latency_ladder_index(nextafter(edge, 0)), i);
	}
	assert_int_equal(latency_ladder_index(-1), 0);
	assert_int_equal(latency_ladder_index(NAN), 0);
	assert_int_equal(latency_ladder_index(INFINITY), LATENCY_LADDER_BUCKETS - 1);
}

static void quantiles_are_upper_edges_and_finite(void **state)
{
	(void)state;
	uint64_t buckets[LATENCY_LADDER_BUCKETS] = {0};
	assert_true(isnan(latency_ladder_quantile(buckets, 0.5)));
	buckets[10] = 99;
	buckets[20] = 1;
	assert_near(latency_ladder_quantile(buckets, 0.5), latency_ladder_edge(10), 0);
	assert_near(latency_ladder_quantile(buckets, 0.99), latency_ladder_edge(10), 0);
	assert_near(latency_ladder_quantile(buckets, 0.995), latency_ladder_edge(20), 0);
	buckets[LATENCY_LADDER_BUCKETS - 1] = 1000;
	assert_true(isfinite(latency_ladder_quantile(buckets, 0.99)));
	assert_int_equal(exceedance_count(buckets, 19), 1001); /* at or above the lower edge of bucket 20 */
	assert_int_equal(exceedance_count(buckets, 20), 1000);
}

static void pairs_are_rounded_to_the_safe_side(void **state)
{
	(void)state;
	static const double ratios[] = {1, 1.05, 1.1, 1.2, 1.25, 1.44, 1.5, 2, 5}, resolutions[] = {0, 1, 10};
	for (size_t r = 0; r < 9; r++)
		for (size_t s = 0; s < 3; s++)
			for (size_t k = 0; k < 120; k++) {
				size_t up, down;
				double unit = resolutions[s], x = latency_ladder_edge(k);
				assert_true(exceedance_pair(k, ratios[r], unit, NULL_NOT_WORSE, &up));
				assert_true(exceedance_pair(k, ratios[r], unit, NULL_NOT_FINE, &down));
				double y_up = latency_ladder_edge(up), y_down = latency_ladder_edge(down);
				if (unit > 0) {
					x = ceil(x / unit - 1e-9) * unit;
					y_up = ceil(y_up / unit - 1e-9) * unit;
					y_down = ceil(y_down / unit - 1e-9) * unit;
				}
				assert_true(y_up >= ratios[r] * x * (1 - 1e-8));
				assert_true(y_down <= ratios[r] * x * (1 + 1e-8));
			}
	size_t j;
	assert_true(exceedance_pair(30, 1.2, 0, NULL_NOT_WORSE, &j) && j == 33);
	assert_true(exceedance_pair(30, 1.2, 0, NULL_NOT_FINE, &j) && j == 33);
	assert_false(exceedance_pair(LATENCY_LADDER_BUCKETS - 3, 1.2, 0, NULL_NOT_WORSE, &j));
}

/* Lognormal latencies, median 40 ms, sigma 0.5: p99 128 ms. Share of runs in which harm, or fine, is shown within `blocks` of 1,000 and 250
 * requests; stable's latency swings by `swing` from block to block, and the candidate's with it. */
struct shown {
	double harm, fine;
};

static void fill(struct rng *rng, uint64_t *buckets, int requests, double scale, bool whole_ms)
{
	memset(buckets, 0, LATENCY_LADDER_BUCKETS * sizeof(*buckets));
	for (int i = 0; i < requests; i++) {
		double ms = scale * exp(0.5 * draw_normal(rng));
		buckets[latency_ladder_index(whole_ms ? floor(ms) : ms)]++;
	}
}

static struct shown simulate(uint64_t seed, double median, double slower, double swing, double q, double resolution_ms, int runs, int blocks)
{
	struct shown shown = {0, 0};
	uint64_t stable[LATENCY_LADDER_BUCKETS], candidate[LATENCY_LADDER_BUCKETS];
	for (int run = 0; run < runs; run++) {
		struct rng rng;
		struct exceedance test = {0};
		rng_seed(&rng, seed + (uint64_t)run * 1000);
		for (int block = 0; block < blocks; block++) {
			double scale = median * exp(swing * sin(block / 5.0));
			fill(&rng, stable, 1000, scale, resolution_ms > 0);
			fill(&rng, candidate, 250, scale * slower, resolution_ms > 0);
			exceedance_add(&test, stable, candidate, q, 1.2, resolution_ms);
		}
		shown.harm += test.harm_log_max >= LN_20;
		shown.fine += test.fine_log_max >= LN_20;
	}
	shown.harm /= runs;
	shown.fine /= runs;
	return shown;
}

static void false_verdicts_stay_under_alpha_on_the_boundary(void **state)
{
	(void)state;
	/* Exactly 1.2 times as slow, the edge of both nulls; 100 runs: 5% + 3 standard errors = 11.5%. */
	struct shown edge = simulate(1, 40, 1.2, 0, 0.99, 0, 100, 25), swinging = simulate(2, 40, 1.2, 0.5, 0.9, 0, 100, 25);
	assert_true(edge.harm <= 0.115 && edge.fine <= 0.115);
	assert_true(swinging.harm <= 0.115 && swinging.fine <= 0.115);
}

static void whole_milliseconds_do_not_make_harm(void **state)
{
	(void)state;
	/* At 4 ms a millisecond is more than the ratio. */
	struct shown coarse = simulate(3, 4, 1.2, 0, 0.9, 1, 60, 25);
	assert_true(coarse.harm <= 0.13 && coarse.fine <= 0.13);
}

static void slow_and_equal_candidates_are_told_apart(void **state)
{
	(void)state;
	struct shown slow = simulate(4, 40, 1.6, 0, 0.99, 0, 20, 30), equal = simulate(5, 40, 1, 0.3, 0.99, 0, 20, 60);
	assert_true(slow.harm >= 0.95 && slow.fine == 0);
	assert_true(equal.harm == 0 && equal.fine >= 0.9);
}

static void a_step_forgets_safety_and_keeps_harm(void **state)
{
	(void)state;
	struct rng rng;
	struct exceedance test = {0}, copy;
	uint64_t stable[LATENCY_LADDER_BUCKETS], candidate[LATENCY_LADDER_BUCKETS];
	rng_seed(&rng, 9);
	for (int block = 0; block < 20; block++) {
		fill(&rng, stable, 1000, 40, false);
		fill(&rng, candidate, 250, 36, false);
		exceedance_add(&test, stable, candidate, 0.95, 1.2, 0);
	}
	double harm = exceedance_log_e_harm(&test);
	assert_true(exceedance_log_e_fine(&test) > 0);
	memcpy(&copy, &test, sizeof(copy)); /* doubles only: a copy goes on bit for bit */
	exceedance_add(&test, stable, candidate, 0.95, 1.2, 0);
	exceedance_add(&copy, stable, candidate, 0.95, 1.2, 0);
	assert_memory_equal(&test, &copy, sizeof(copy));
	harm = exceedance_log_e_harm(&test);
	exceedance_step(&test);
	assert_near(exceedance_log_e_fine(&test), 0, 1e-12);
	assert_near(exceedance_log_e_harm(&test), harm, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ladder_has_1_2_as_three_steps),
		cmocka_unit_test(quantiles_are_upper_edges_and_finite),
		cmocka_unit_test(pairs_are_rounded_to_the_safe_side),
		cmocka_unit_test(false_verdicts_stay_under_alpha_on_the_boundary),
		cmocka_unit_test(whole_milliseconds_do_not_make_harm),
		cmocka_unit_test(slow_and_equal_candidates_are_told_apart),
		cmocka_unit_test(a_step_forgets_safety_and_keeps_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
