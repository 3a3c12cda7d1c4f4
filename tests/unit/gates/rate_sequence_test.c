#include "gates/stats/rate_sequence.h"

#include "base/alloc.h"
#include "tests/support/support.h"
#include "tests/unit/gates/draw.h"

#include <string.h>

static struct block2x2 draw(struct rng *rng, uint64_t n, double share, double a, double b)
{
	uint64_t n_b = draw_binomial(rng, n, share), n_a = n - n_b;
	return (struct block2x2){n_a, draw_binomial(rng, n_a, a), n_b, draw_binomial(rng, n_b, b)};
}

/* The stable rate so far, from blocks before. */
struct past {
	double n, y;
};

static double past_rate(const struct past *past)
{
	return (past->y + 0.05) / (past->n + 10);
}

static void past_add(struct past *past, const struct block2x2 *block)
{
	past->n += (double)block->n_a;
	past->y += (double)block->y_a;
}

static void the_grids_ascend_and_are_symmetric(void **state)
{
	(void)state;
	for (size_t i = 0; i < RATE_DIFFERENCE_GRID; i++) {
		assert_true(i == 0 || rate_difference_grid(i) > rate_difference_grid(i - 1));
		assert_true(rate_difference_grid(i) == -rate_difference_grid(RATE_DIFFERENCE_GRID - 1 - i));
	}
	for (size_t i = 0; i < RATE_RATIO_GRID; i++) {
		assert_true(i == 0 || rate_ratio_grid(i) > rate_ratio_grid(i - 1));
		assert_true(fabs(rate_ratio_grid(i) * rate_ratio_grid(RATE_RATIO_GRID - 1 - i) - 1) < 1e-15);
	}
	assert_true(rate_difference_grid(0) == -0.5 && rate_difference_grid(38) == 0 && rate_difference_grid(39) == 1e-4);
	assert_true(rate_ratio_grid(0) == 1.0 / 20 && rate_ratio_grid(18) == 1 && rate_ratio_grid(36) == 20);
}

static void nothing_is_known_before_the_first_block(void **state)
{
	(void)state;
	struct rate_difference difference = {0};
	struct rate_ratio ratio = {0};
	double low, high;
	static const struct block2x2 useless[] = {{10, 1, 0, 0}, {0, 0, 10, 1}, {10, 11, 10, 1}, {10, 1, 10, 11}};
	for (size_t i = 0; i < ARRAY_SIZE(useless); i++) {
		rate_difference_add(&difference, &useless[i], 0.1);
		rate_ratio_add(&ratio, &useless[i], 0.1);
	}
	static const struct block2x2 block = {1000, 10, 1000, 10};
	static const double no_rates[] = {0, 1, -1, (double)NAN};
	for (size_t i = 0; i < ARRAY_SIZE(no_rates); i++) {
		rate_difference_add(&difference, &block, no_rates[i]);
		rate_ratio_add(&ratio, &block, no_rates[i]);
	}
	const struct rate_difference fresh = {0};
	assert_memory_equal(&difference, &fresh, sizeof(fresh));
	rate_difference_bounds(&difference, 0.05, &low, &high);
	assert_true(low == -1 && high == 1);
	rate_ratio_bounds(&ratio, 0.05, &low, &high);
	assert_true(low == 0 && isinf(high));
}

/* Each bound is what the e-tests with that boundary, run by themselves, have rejected. */
static void the_bounds_invert_the_tests(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 2);
	struct rate_difference difference = {0};
	double log_e[2][RATE_DIFFERENCE_GRID] = {{0}}, log_max[2][RATE_DIFFERENCE_GRID] = {{0}}, weight = 0, sum = 0;
	struct past past = {0};
	for (int i = 0; i < 40; i++) {
		const struct block2x2 block = draw(&rng, 1000, 0.3, 0.02, 0.05);
		double a = past_rate(&past), b = fmax(a + sum / (weight + 0.5 / a), a / 100);
		for (size_t d = 0; d < RATE_DIFFERENCE_GRID; d++) {
			for (enum block_null null = NULL_NOT_WORSE; null <= NULL_NOT_FINE; null++) {
				log_e[null][d] += block2x2_log_factor(&block, a, b, rate_difference_grid(d), null);
				log_max[null][d] = fmax(log_max[null][d], log_e[null][d]);
			}
		}
		double w = (double)block.n_a * (double)block.n_b / 1000;
		weight += w;
		sum += w * ((double)block.y_b / (double)block.n_b - (double)block.y_a / (double)block.n_a);
		rate_difference_add(&difference, &block, a);
		past_add(&past, &block);
	}
	for (size_t d = 0; d < RATE_DIFFERENCE_GRID; d++) {
		assert_true(fabs(difference.log_max[d] - log_max[0][d]) < 1e-9);
		assert_true(fabs(difference.log_max_least[d] - log_max[1][d]) < 1e-9);
	}
	double low, high, wide_low, wide_high;
	rate_difference_bounds(&difference, 0.05, &low, &high);
	rate_difference_bounds(&difference, 1e-6, &wide_low, &wide_high);
	assert_true(low > 0 && low < 0.03 && high > 0.03 && high < 0.06);
	assert_true(wide_low <= low && wide_high >= high && wide_high - wide_low > high - low);
	for (size_t d = 0; d < RATE_DIFFERENCE_GRID; d++) {
		assert_int_equal(rate_difference_grid(d) <= low, log_max[0][d] >= log(40));
		assert_int_equal(rate_difference_grid(d) >= high, log_max[1][d] >= log(40));
	}
}

static void the_state_is_doubles_and_resumes_bit_for_bit(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 6);
	struct rate_difference whole = {0}, parts = {0};
	struct rate_ratio whole_ratio = {0}, parts_ratio = {0};
	struct past past = {0};
	for (int i = 0; i < 50; i++) {
		const struct block2x2 block = draw(&rng, 500, 0.2, 0.05, 0.07);
		rate_difference_add(&whole, &block, past_rate(&past));
		rate_ratio_add(&whole_ratio, &block, past_rate(&past));
		double stored[sizeof(parts) / sizeof(double)], stored_ratio[sizeof(parts_ratio) / sizeof(double)];
		memcpy(stored, &parts, sizeof(parts));
		memcpy(stored_ratio, &parts_ratio, sizeof(parts_ratio));
		memset(&parts, 0xff, sizeof(parts));
		memset(&parts_ratio, 0xff, sizeof(parts_ratio));
		memcpy(&parts, stored, sizeof(parts));
		memcpy(&parts_ratio, stored_ratio, sizeof(parts_ratio));
		rate_difference_add(&parts, &block, past_rate(&past));
		rate_ratio_add(&parts_ratio, &block, past_rate(&past));
		past_add(&past, &block);
	}
	assert_memory_equal(&whole, &parts, sizeof(whole));
	assert_memory_equal(&whole_ratio, &parts_ratio, sizeof(whole_ratio));
}

/* ---- promises, by simulation: 500 runs, a look at every block ---- */

struct world {
	double base, swing, difference, ratio;
	uint64_t requests;
};
struct tally {
	int missed, excludes_none;
	double low, high; /* means at the end */
};

static struct tally simulate(uint64_t seed, int runs, int blocks, const struct world *world, bool of_ratio)
{
	static const double ladder[] = {0.05, 0.25, 0.5};
	struct tally tally = {0};
	struct rng rng;
	rng_seed(&rng, seed);
	for (int run = 0; run < runs; run++) {
		struct rate_difference difference = {0};
		struct rate_ratio ratio = {0};
		struct past past = {0};
		bool missed = false;
		double low = 0, high = 0, before_low = -1, before_high = (double)INFINITY, truth = of_ratio ? world->ratio : world->difference;
		for (int i = 0; i < blocks; i++) {
			/* the rate swings with the day, and the share climbs with the day too */
			double a = world->base * (1 + world->swing * sin(i * 0.15)), b = of_ratio ? a * world->ratio : a + world->difference;
			const struct block2x2 block = draw(&rng, world->requests, ladder[i * 3 / blocks], a, b);
			if (of_ratio) {
				rate_ratio_add(&ratio, &block, past_rate(&past));
				rate_ratio_bounds(&ratio, 0.05, &low, &high);
			} else {
				rate_difference_add(&difference, &block, past_rate(&past));
				rate_difference_bounds(&difference, 0.05, &low, &high);
			}
			assert_true(low >= before_low && high <= before_high); /* never wider */
			before_low = low;
			before_high = high;
			missed = missed || low > truth || high < truth;
			past_add(&past, &block);
		}
		tally.missed += missed;
		tally.excludes_none += of_ratio ? low >= 1 || high <= 1 : low >= 0 || high <= 0;
		tally.low += low / runs;
		tally.high += high / runs;
	}
	return tally;
}

static void the_true_difference_stays_inside(void **state)
{
	(void)state;
	static const struct world worlds[] = {
		{.base = 0.02, .requests = 300},
		{.base = 0.02, .swing = 0.9, .requests = 300},
		{.base = 0.05, .swing = 0.5, .difference = 0.02, .requests = 300},
		{.base = 0.4, .swing = 0.9, .difference = 0.03, .requests = 100},
		{.base = 0.9, .swing = 0.05, .difference = -0.04, .requests = 100},
	};
	for (size_t i = 0; i < ARRAY_SIZE(worlds); i++) {
		struct tally tally = simulate(50 + i, 500, 45, &worlds[i], false);
		if (tally.missed > alarms_allowed(500, 0.05))
			fail_msg("world %zu: %d of 500 missed", i, tally.missed);
	}
}

static void the_true_ratio_stays_inside(void **state)
{
	(void)state;
	static const struct world worlds[] = {
		{.base = 0.02, .ratio = 1, .requests = 300},
		{.base = 0.04, .swing = 0.9, .ratio = 1.5, .requests = 300},
		{.base = 0.4, .swing = 0.5, .ratio = 0.5, .requests = 100},
		{.base = 0.6, .swing = 0.3, .ratio = 1.1, .requests = 100},
	};
	for (size_t i = 0; i < ARRAY_SIZE(worlds); i++) {
		struct tally tally = simulate(60 + i, 500, 45, &worlds[i], true);
		if (tally.missed > alarms_allowed(500, 0.05))
			fail_msg("world %zu: %d of 500 missed", i, tally.missed);
	}
}

/* 120,000 requests, 34,000 of them the candidate's, base rate 1%. The standard error of the difference is 0.063 points, and an anytime-valid interval
 * is about 3 of them to either side (fixed sample: 2), before it is rounded to the grid. */
static void bounds_are_about_as_tight_as_they_can_be(void **state)
{
	(void)state;
	const struct world same = {.base = 0.01, .ratio = 1, .requests = 2000},
			   twice = {.base = 0.01, .difference = 0.01, .ratio = 2, .requests = 2000};
	struct tally tally = simulate(70, 60, 60, &same, false);
	assert_true(tally.low < -0.0012 && tally.low > -0.0032 && tally.high > 0.0012 && tally.high < 0.0032);
	tally = simulate(71, 60, 60, &same, true);
	assert_true(tally.low > 0.72 && tally.low < 0.9 && tally.high < 1.4 && tally.high > 1.1);
	tally = simulate(72, 60, 60, &twice, false);
	assert_int_equal(tally.excludes_none, 60);
	assert_true(tally.low > 0.006 && tally.low < 0.0095 && tally.high < 0.0155 && tally.high > 0.0105);
	tally = simulate(73, 60, 60, &twice, true);
	assert_int_equal(tally.excludes_none, 60);
	assert_true(tally.low > 1.45 && tally.low < 1.9 && tally.high < 2.8 && tally.high > 2.1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_grids_ascend_and_are_symmetric),
		cmocka_unit_test(nothing_is_known_before_the_first_block),
		cmocka_unit_test(the_bounds_invert_the_tests),
		cmocka_unit_test(the_state_is_doubles_and_resumes_bit_for_bit),
		cmocka_unit_test(the_true_difference_stays_inside),
		cmocka_unit_test(the_true_ratio_stays_inside),
		cmocka_unit_test(bounds_are_about_as_tight_as_they_can_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
