#include "gates/stats/mixture.h"

#include "gates/stats/rng.h"
#include "tests/support/support.h"

#include <math.h>

static void assert_near(double value, double expected, double within)
{
	if (!(fabs(value - expected) <= within))
		fail_msg("%.12g, expected %.12g", value, expected);
}

/* confseq, test/uniform_boundaries_unittest.cpp ("all target values are from a reference implementation in R"), tolerance 1e-5 as there. */
static void values_are_those_of_confseqs_unit_test(void **state)
{
	(void)state;
	const enum mixture_side two = MIXTURE_TWO_SIDED, one = MIXTURE_ONE_SIDED;
	double rho = normal_mixture_rho(100, 0.05, two), rho_one = normal_mixture_rho(100, 0.05, one);
	assert_near(rho, 12.60056, 1e-5);
	assert_near(normal_mixture_log(10, 100, rho, two), -0.6510052, 1e-5);
	assert_near(normal_mixture_bound(100, 0.05, rho, two), 30.35209, 1e-5);
	assert_near(normal_mixture_log(10, 100, rho_one, one), -0.06502391, 1e-5);
	assert_near(normal_mixture_bound(100, 0.05, rho_one, one), 27.66071, 1e-5);
	struct beta_binomial mixture;
	beta_binomial_init(&mixture, 100, 0.05, 0.2, 0.8, two);
	assert_near(beta_binomial_log(&mixture, 10, 100), -0.6941012, 1e-5);
	assert_near(beta_binomial_bound(&mixture, 100, 0.05), 31.4308, 1e-4);
	beta_binomial_init(&mixture, 100, 0.05, 0.2, 0.8, one);
	assert_near(beta_binomial_log(&mixture, 10, 100), -0.07134019, 1e-5);
	assert_near(beta_binomial_bound(&mixture, 100, 0.05), 28.41238, 1e-5);
	assert_near(stitched_bound(100, 0.05, 10, 3, 1.4, 2), 64.48755, 1e-5);
	assert_near(stitched_bound(100, 0.05, 10, -1, 1.4, 2), 28.99389, 1e-5);
}

static void intervals_of_rates_are_those_of_confseq(void **state)
{
	(void)state;
	/* confseq's unit test, BernoulliConfidenceIntervalTest */
	static const struct {
		double successes, trials, t_opt, low, high;
	} cases[] = {
		{700, 1000, 100, 0.651629, 0.745949},
		{15, 50, 50, 0.129556, 0.511896},
		{5, 50, 50, 0.013021, 0.269264},
		{1, 50, 50, 0, 0.13489},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double low, high;
		bernoulli_interval(cases[i].successes, cases[i].trials, 0.05, cases[i].t_opt, 0.05, &low, &high);
		assert_near(low, cases[i].low, 2e-6);
		assert_near(high, cases[i].high, 2e-6);
	}
	double low, high;
	bernoulli_interval(0, 0, 0.05, 100, 0.05, &low, &high);
	assert_true(low == 0 && high == 1);
	bernoulli_interval(0, 100, 0.05, 100, 0.05, &low, &high);
	assert_true(low == 0 && high > 0.02 && high < 0.2);
	bernoulli_interval(100, 100, 0.05, 100, 0.05, &low, &high);
	assert_true(high == 1 && low < 0.98 && low > 0.8);
	bernoulli_interval(3e8, 1e9, 0.05, 1e9, 0.05, &low, &high);
	assert_near(high - 0.3, 3.03 * sqrt(0.21 / 1e9), 1e-6);
}

/* scipy.special.zeta([1.4, 2, 1.01, 5]) */
static void zeta_is_scipys(void **state)
{
	(void)state;
	assert_near(riemann_zeta(1.4), 3.1055472779775806, 1e-12);
	assert_near(riemann_zeta(2), 1.6449340668482264, 1e-12);
	assert_near(riemann_zeta(1.01), 100.57794333849677, 1e-9);
	assert_near(riemann_zeta(5), 1.03692775514337, 1e-12);
}

/* "normal-mixture CS at its best time is 3.03 sigma / sqrt(n)" (statistics.md); the closed form 1.7 sqrt((ln ln 2t + .72 ln(10.4/a)) / t) */
static void half_widths_for_large_n(void **state)
{
	(void)state;
	assert_near(robbins_half_width(10000, 4, 0.05, 10000), 3.0352 * 2 / 100, 1e-4);
	assert_true(isinf(robbins_half_width(0, 1, 0.05, 100)));
	/* python3: 1.7*sqrt((log(log(2000))+.72*log(208))/1000) */
	assert_near(lil_half_width(1000, 0.05), 0.13026143259867531, 1e-14);
	double rho = normal_mixture_rho(100, 0.05, MIXTURE_ONE_SIDED);
	assert_true(normal_mixture_bound(100, 0.05, rho, MIXTURE_ONE_SIDED) < normal_mixture_bound(100, 0.05, rho, MIXTURE_TWO_SIDED));
}

/* Probability, exactly: the log forms are test martingales of Bernoulli(p) steps, E[exp(log_t)] = 1 at every t and for every p. */
static void the_beta_binomial_is_a_martingale(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++)
		for (double p = 0.1; p < 1; p += 0.2) {
			struct beta_binomial mixture;
			beta_binomial_init(&mixture, 20, 0.05, p, 1 - p, (enum mixture_side)side);
			double n = 40, sum = 0, log_choose = 0;
			for (double y = 0; y <= n; y++) {
				sum += exp(log_choose + y * log(p) + (n - y) * log1p(-p) + beta_binomial_log(&mixture, y - n * p, n * p * (1 - p)));
				log_choose += log((n - y) / (y + 1));
			}
			assert_near(sum, 1, 1e-10);
		}
}

/* 500 runs of 2,000 Bernoulli(0.3) trials with a look at each: the interval at alpha 0.05 misses the rate at some look in at most
 * 36 of them with probability 0.988 if the promise is just kept (scipy.stats.binom.cdf(36, 500, .05)). The look asks the e-process at the truth,
 * which is what the interval inverts. */
static void intervals_cover_at_every_look(void **state)
{
	(void)state;
	struct beta_binomial mixture;
	beta_binomial_init(&mixture, 0.21 * 500, 0.05, 0.3, 0.7, MIXTURE_TWO_SIDED);
	struct rng rng;
	rng_seed(&rng, 20260301);
	int missed = 0;
	for (int run = 0; run < 500; run++) {
		double y = 0;
		for (int t = 1; t <= 2000; t++) {
			y += rng_below(&rng, 1000000) < 300000;
			if (beta_binomial_log(&mixture, y - 0.3 * t, 0.21 * t) >= log(20)) {
				double low, high;
				bernoulli_interval(y, t, 0.05, 500, 0.05, &low, &high);
				assert_true(low > 0.3 || high < 0.3);
				missed++;
				break;
			}
		}
	}
	assert_in_range(missed, 0, 36);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_those_of_confseqs_unit_test),
		cmocka_unit_test(intervals_of_rates_are_those_of_confseq),
		cmocka_unit_test(zeta_is_scipys),
		cmocka_unit_test(half_widths_for_large_n),
		cmocka_unit_test(the_beta_binomial_is_a_martingale),
		cmocka_unit_test(intervals_cover_at_every_look),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
