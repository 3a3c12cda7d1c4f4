#include "gates/stats/burst_guard.h"
#include "tests/support/noisy_counts.h"
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

#define LN_20 2.995732273553991

/* Forty minutes of noise, each counted in six blocks; bursts begin `phase` blocks after the windows. */
struct hour {
	size_t stable, candidate; /* instances */
	double cv, base, extra, margin;
	uint64_t n_stable, n_candidate; /* requests of an instance in a block */
	int phase;
	bool fine; /* which direction */
};

static double alarms(const struct hour *hour, uint64_t seed, int runs, double *ret_mean_blocks)
{
	int hits = 0, blocks = 0;
	for (int run = 0; run < runs; run++) {
		struct rng rng;
		struct burst_guard guard;
		struct noisy_arm a = {.n = hour->stable}, b = {.n = hour->candidate};
		memset(&guard, 0, sizeof(guard));
		rng_seed(&rng, seed + (uint64_t)run * 1000);
		for (int block = 0; block < 240 && guard.log_max < LN_20; block++) {
			if (block == 0 || (block + hour->phase) % 6 == 0) {
				noisy_redraw(&rng, &a, hour->cv);
				noisy_redraw(&rng, &b, hour->cv);
			}
			noisy_draw(&rng, &a, hour->n_stable, hour->base, 0);
			noisy_draw(&rng, &b, hour->n_candidate, hour->base, hour->extra);
			if (hour->fine)
				burst_guard_add_fine(&guard, a.counts, a.n, b.counts, b.n, hour->margin);
			else
				burst_guard_add(&guard, a.counts, a.n, b.counts, b.n, hour->margin, 0);
			if (block % 6 == 5)
				burst_guard_end_window(&guard);
			blocks += guard.log_max >= LN_20 ? block + 1 : 0;
		}
		hits += guard.log_max >= LN_20;
	}
	if (ret_mean_blocks)
		*ret_mean_blocks = hits ? (double)blocks / hits : INFINITY;
	return (double)hits / runs;
}

static void one_instances_bad_minutes_alarm_no_more_than_alpha(void **state)
{
	(void)state;
	/* Long runs and finer grids: tests/bench/validity.c. Here 30 runs of 40 minutes each; more than 5 would come by chance in 0.3% at 5%. */
	static const struct hour hours[] = {
		{1, 1, 1, 0.01, 0, 0, 100, 100, 0, false},
		{1, 1, 1, 0.05, 0, 0, 500, 50, 3, false},
		{2, 1, 0.5, 0.01, 0, 0, 100, 100, 3, false},
		{9, 1, 1, 0.01, 0, 0, 100, 100, 3, false},
		{2, 2, 1, 0.01, 0.01, 0.01, 300, 100, 2, false},
		{1, 1, 1, 0.03, 0.01, 0.01, 300, 100, 3, true},
		{2, 1, 1, 0.01, 0.01, 0.01, 300, 100, 2, true},
	};
	for (size_t i = 0; i < sizeof(hours) / sizeof(hours[0]); i++)
		assert_true(alarms(&hours[i], 10 * i + 1, 30, NULL) <= 5.0 / 30);
}

static void gross_harm_is_found_within_the_first_window(void **state)
{
	(void)state;
	/* Blocks of a second: 380 and 20 requests; one instance each; 10% against nothing with a margin of 3 points. */
	struct hour hour = {1, 1, 0, 0, 0.1, 0.03, 380, 20, 0, false};
	struct burst_guard guard;
	struct rng rng;
	struct noisy_arm a = {.n = 1}, b = {.n = 1};
	memset(&guard, 0, sizeof(guard));
	rng_seed(&rng, 7);
	noisy_redraw(&rng, &a, 0);
	noisy_redraw(&rng, &b, 0);
	int seconds = 0;
	for (; guard.log_max < LN_20 && seconds < 60; seconds++) {
		noisy_draw(&rng, &a, hour.n_stable, hour.base, 0);
		noisy_draw(&rng, &b, hour.n_candidate, hour.base, hour.extra);
		burst_guard_add(&guard, a.counts, 1, b.counts, 1, hour.margin, 0);
	}
	assert_true(seconds <= 20);
}

static void moderate_harm_is_found_once_stable_has_shown_to_be_quiet(void **state)
{
	(void)state;
	static const struct hour quiet = {2, 1, 0, 0.01, 0.01, 0, 100, 100, 0, false}, noisy = {2, 1, 1, 0.01, 0.04, 0, 100, 100, 0, false};
	double minutes;
	assert_true(alarms(&quiet, 1, 12, &minutes) >= 0.95);
	assert_true(minutes / 6 < 25);
	assert_true(alarms(&noisy, 2, 12, NULL) >= 0.9);
}

static void a_candidate_without_errors_is_fine_within_seconds(void **state)
{
	(void)state;
	struct burst_guard guard;
	struct instance_counts stable = {380, 0}, candidate = {20, 0};
	memset(&guard, 0, sizeof(guard));
	int seconds = 0;
	for (; guard.log_max < LN_20 && seconds < 60; seconds++)
		burst_guard_add_fine(&guard, &stable, 1, &candidate, 1, 0.03);
	assert_int_equal(seconds, 8);
	burst_guard_step(&guard); /* a new step asks again, and knows stable already */
	assert_true(guard.log_max == 0 && fabs(burst_guard_log_e(&guard)) < 1e-12);
	for (; guard.log_max < LN_20 && seconds < 60; seconds++)
		burst_guard_add_fine(&guard, &stable, 1, &candidate, 1, 0.03);
	assert_true(seconds <= 16);
}

static void state_is_doubles_and_goes_on_bit_for_bit(void **state)
{
	(void)state;
	struct burst_guard guard, copy;
	struct instance_counts stable[] = {{380, 4}, {400, 2}}, candidate[] = {{20, 1}}, absurd[] = {{5, 9}};
	memset(&guard, 0, sizeof(guard));
	assert_true(burst_guard_log_e(&guard) == 0 || fabs(burst_guard_log_e(&guard)) < 1e-12);
	burst_guard_end_window(&guard); /* nothing yet: harmless */
	for (int i = 0; i < 100; i++) {
		burst_guard_add(&guard, stable, 2, candidate, 1, 0.005, 0);
		if (i == 50)
			memcpy(&copy, &guard, sizeof(copy));
		if (i >= 50 && i < 99) {
			if (i % 7 == 0) {
				burst_guard_end_window(&guard);
				burst_guard_end_window(&copy);
			}
			burst_guard_add(&copy, stable, 2, candidate, 1, 0.005, 0);
		}
	}
	assert_memory_equal(&guard, &copy, sizeof(copy));
	double before = guard.log_max;
	burst_guard_add(&guard, stable, 2, NULL, 0, 0.005, 0); /* one arm: no bet */
	burst_guard_add(&guard, NULL, 0, candidate, 1, 0.005, 0);
	assert_true(guard.log_max == before);
	burst_guard_add(&guard, stable, 2, absurd, 1, 0.005, 0);
	assert_true(isfinite(burst_guard_log_e(&guard)));
	burst_guard_add(&guard, stable, 2, candidate, 1, 0.999, 0);
	burst_guard_add(&guard, stable, 2, candidate, 1, 1, 0);
	assert_true(isfinite(burst_guard_log_e(&guard)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_instances_bad_minutes_alarm_no_more_than_alpha),
		cmocka_unit_test(gross_harm_is_found_within_the_first_window),
		cmocka_unit_test(moderate_harm_is_found_once_stable_has_shown_to_be_quiet),
		cmocka_unit_test(a_candidate_without_errors_is_fine_within_seconds),
		cmocka_unit_test(state_is_doubles_and_goes_on_bit_for_bit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
