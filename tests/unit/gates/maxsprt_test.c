#include "gates/stats/maxsprt.h"

#include "base/alloc.h"
#include "tests/support/support.h"
#include "tests/unit/gates/draw.h"

/* What is printed must agree to its last digit. */
static void assert_printed(double value, double printed, int digits)
{
	if (!(fabs(value - printed) <= 0.5 * pow(10, -digits) * (1 + 1e-6)))
		fail_msg("%.12g is not %.*f", value, digits, printed);
}

/* Kulldorff et al. 2011, table 1; R package Sequential: CV.Poisson(SampleSize=T, alpha=0.05, M=1). */
static void critical_values_are_the_published_ones(void **state)
{
	(void)state;
	static const struct {
		double horizon, critical;
	} rows[] = {
		{1, 2.853937}, {2, 3.046977}, {5, 3.297183}, {10, 3.467952}, {20, 3.628123}, {50, 3.819903}, {100, 3.952321},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_printed(maxsprt_poisson_critical(rows[i].horizon, 0.05, 1), rows[i].critical, 6);
	assert_printed(maxsprt_poisson_critical(10, 0.05, 3), 3.064248, 6);
}

/* The manual of Sequential, Performance.Poisson(SampleSize=10, cv, M, RR=2). */
static void power_and_times_are_the_published_ones(void **state)
{
	(void)state;
	struct maxsprt_performance one = maxsprt_poisson_performance(10, maxsprt_poisson_critical(10, 0.05, 1), 1, 2);
	assert_printed(one.power, 0.6850634, 7);
	assert_printed(one.signal_time, 4.130985, 6);
	assert_printed(one.sample_size, 5.979353, 6);
	struct maxsprt_performance three = maxsprt_poisson_performance(10, maxsprt_poisson_critical(10, 0.05, 3), 3, 2);
	assert_printed(three.power, 0.7329625, 7);
	assert_printed(three.signal_time, 4.071636, 6);
	assert_printed(three.sample_size, 5.654732, 6);
}

static void the_true_alpha_of_a_critical_value_is_alpha(void **state)
{
	(void)state;
	for (unsigned least = 1; least <= 4; least++) {
		for (double alpha = 0.001; alpha < 0.2; alpha *= 4) {
			double critical = maxsprt_poisson_critical(30, alpha, least);
			assert_true(fabs(maxsprt_poisson_performance(30, critical, least, 1).power / alpha - 1) < 1e-9);
		}
	}
}

static void what_has_no_answer_is_nan(void **state)
{
	(void)state;
	assert_true(isnan(maxsprt_poisson_critical(1, 0.05, 8))); /* 8 events where 1 is expected are rarer than 5% */
	assert_true(isnan(maxsprt_poisson_critical(0, 0.05, 1)));
	assert_true(isnan(maxsprt_poisson_critical(1e9, 0.05, 1)));
	assert_true(isnan(maxsprt_poisson_critical(10, 0, 1)));
	assert_true(isnan(maxsprt_poisson_critical(10, 0.05, 0)));
	assert_true(isnan(maxsprt_poisson_performance(10, 3, 1, 0).power));
	assert_true(isnan(maxsprt_poisson_performance(10, (double)NAN, 1, 1).power));
}

/* python3 -c "from math import log; print(3-10+10*log(10/3), 7*log(.7)+3*log(.3)-7*log(.5)-3*log(.5))" */
static void likelihood_ratios(void **state)
{
	(void)state;
	assert_true(fabs(maxsprt_poisson_llr(10, 3) - 5.039728043259361) < 1e-12);
	assert_true(maxsprt_poisson_llr(3, 3) == 0 && maxsprt_poisson_llr(0, 3) == 0);
	assert_true(fabs(maxsprt_binomial_llr(7, 10, 0.5) - 0.8228287850505176) < 1e-12);
	assert_true(maxsprt_binomial_llr(5, 10, 0.5) == 0 && maxsprt_binomial_llr(0, 0, 0.5) == 0);
	assert_true(fabs(maxsprt_binomial_llr(10, 10, 0.1) - 10 * log(10)) < 1e-12);
}

/* The chain against arrivals drawn one by one, through the stream. */
static void the_stream_signals_as_often_as_computed(void **state)
{
	(void)state;
	const double horizon = 10, critical = 3.467952;
	static const double ratios[] = {1, 2};
	for (size_t i = 0; i < 2; i++) {
		struct maxsprt_performance expected = maxsprt_poisson_performance(horizon, critical, 1, ratios[i]);
		struct rng rng;
		rng_seed(&rng, 11);
		const int runs = 20000;
		double signals = 0, times = 0;
		for (int run = 0; run < runs; run++) {
			struct maxsprt stream = {0};
			for (;;) {
				double gap = -log(draw_uniform(&rng)) / ratios[i];
				if (stream.expected + gap > horizon)
					break;
				maxsprt_poisson_add(&stream, 1, gap, 1);
				if (stream.log_max >= critical) {
					signals++;
					times += stream.expected;
					break;
				}
			}
		}
		double p = expected.power;
		assert_true(fabs(signals / runs - p) < 4 * sqrt(p * (1 - p) / runs));
		assert_true(fabs(times / signals / expected.signal_time - 1) < 0.05);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(critical_values_are_the_published_ones),
		cmocka_unit_test(power_and_times_are_the_published_ones),
		cmocka_unit_test(the_true_alpha_of_a_critical_value_is_alpha),
		cmocka_unit_test(what_has_no_answer_is_nan),
		cmocka_unit_test(likelihood_ratios),
		cmocka_unit_test(the_stream_signals_as_often_as_computed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
