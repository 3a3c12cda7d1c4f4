#include "gates/stats/exchangeable.h"
#include "tests/support/noisy_counts.h"
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

#define assert_near(value, expected, tolerance) assert_true(fabs((value) - (expected)) <= (tolerance))

#define LN_20 2.995732273553991

static void thinning_is_hypergeometric(void **state)
{
	(void)state;
	/* Mean and variance by the textbook: N 50, y errors, n drawn; every branch of the draw. */
	static const struct { uint64_t n, y, sample; } cases[] = {{50, 5, 20}, {50, 45, 20}, {50, 20, 5}, {50, 20, 45}, {50, 0, 9}, {50, 50, 9}, {50, 7, 50}};
	struct rng rng;
	rng_seed(&rng, 5);
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		double n = (double)cases[c].n, y = (double)cases[c].y, k = (double)cases[c].sample, sum = 0, squares = 0;
		int draws = 40000;
		for (int i = 0; i < draws; i++) {
			double drawn = (double)hypergeometric(&rng, cases[c].n, cases[c].y, cases[c].sample);
			assert_true(drawn <= y && drawn <= k && drawn >= k - (n - y));
			sum += drawn;
			squares += drawn * drawn;
		}
		double mean = sum / draws, variance = squares / draws - mean * mean;
		double expected = k * y / n * (n - y) / n * (n - k) / (n - 1);
		assert_near(mean, k * y / n, 5 * sqrt(expected / draws) + 1e-9);
		assert_near(variance, expected, 0.05 * expected + 1e-9);
	}
}

/* Share of runs whose E reaches 20 within 60 blocks. */
static double alarms(uint64_t seed, size_t k, size_t c, double cv, double base, double candidate, double margin, enum block_null null, int runs)
{
	int hits = 0;
	for (int run = 0; run < runs; run++) {
		struct rng rng;
		struct exchangeable test = {0};
		struct noisy_arm a = {.n = k}, b = {.n = c};
		rng_seed(&rng, seed + (uint64_t)run * 1000);
		for (int block = 0; block < 60; block++) {
			noisy_redraw(&rng, &a, cv);
			noisy_redraw(&rng, &b, cv);
			noisy_draw(&rng, &a, 600, base, 0);
			noisy_draw(&rng, &b, 300, margin > 0 ? base : candidate, margin > 0 ? candidate - base : 0);
			exchangeable_add(&test, a.counts, k, b.counts, c, margin, null, (uint64_t)run * 77);
		}
		hits += test.log_max >= LN_20;
	}
	return (double)hits / runs;
}

static void false_alarms_stay_under_alpha_whatever_the_noise(void **state)
{
	(void)state;
	static const size_t arms[][2] = {{1, 1}, {2, 2}, {9, 1}};
	/* 400 runs: 5% + 3 standard errors = 8.3%. */
	for (size_t i = 0; i < 3; i++) {
		assert_true(alarms(1 + i, arms[i][0], arms[i][1], 1, 0.01, 0.01, 0, NULL_NOT_WORSE, 400) < 0.083);
		assert_true(alarms(20 + i, arms[i][0], arms[i][1], 1, 0.01, 0.03, 0.02, NULL_NOT_WORSE, 400) < 0.083);
		assert_true(alarms(40 + i, arms[i][0], arms[i][1], 1, 0.01, 0.03, 0.02, NULL_NOT_FINE, 400) < 0.083);
	}
}

static void harm_and_safety_are_found(void **state)
{
	(void)state;
	assert_true(alarms(60, 9, 1, 0, 0.01, 0.05, 0, NULL_NOT_WORSE, 50) > 0.98);
	assert_true(alarms(61, 9, 1, 1, 0.01, 0.05, 0, NULL_NOT_WORSE, 50) > 0.8);
	assert_true(alarms(62, 1, 1, 0, 0.01, 0.2, 0.02, NULL_NOT_WORSE, 50) > 0.98);
	assert_true(alarms(63, 2, 2, 0.5, 0.01, 0.01, 0.05, NULL_NOT_FINE, 50) > 0.98);
}

static void the_margin_is_on_the_safe_side_above_a_tenth(void **state)
{
	(void)state;
	/* Stable at 30%: the flips must grow with the rate; the first block, which knows nothing yet, cannot alarm. */
	assert_true(alarms(70, 2, 1, 0, 0.3, 0.4, 0.1, NULL_NOT_WORSE, 400) < 0.083);
}

static void a_replay_is_the_same_bit_for_bit(void **state)
{
	(void)state;
	struct instance_counts stable[] = {{1000, 12}, {900, 9}, {0, 0}}, candidate[] = {{300, 5}, {310, 3}};
	struct exchangeable first = {0}, second = {0}, other = {0};
	for (int block = 0; block < 20; block++) {
		exchangeable_add(&first, stable, 3, candidate, 2, 0.005, NULL_NOT_WORSE, 42);
		exchangeable_add(&second, stable, 3, candidate, 2, 0.005, NULL_NOT_WORSE, 42);
		exchangeable_add(&other, stable, 3, candidate, 2, 0.005, NULL_NOT_WORSE, 43);
	}
	assert_memory_equal(&first, &second, sizeof(first));
	assert_memory_not_equal(&first, &other, sizeof(first));
	double before = exchangeable_log_e(&first);
	exchangeable_add(&first, stable, 3, candidate, 0, 0.005, NULL_NOT_WORSE, 42); /* an arm is missing: no bet */
	assert_true(exchangeable_log_e(&first) == before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thinning_is_hypergeometric),
		cmocka_unit_test(false_alarms_stay_under_alpha_whatever_the_noise),
		cmocka_unit_test(harm_and_safety_are_found),
		cmocka_unit_test(the_margin_is_on_the_safe_side_above_a_tenth),
		cmocka_unit_test(a_replay_is_the_same_bit_for_bit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
