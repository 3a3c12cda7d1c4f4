#include "gates/stats/event_label.h"

#include "gates/stats/beta.h"
#include "gates/stats/split.h"
#include "tests/support/support.h"
#include "tests/unit/gates/draw.h"

#include <string.h>

static void assert_near(double value, double expected, double tolerance)
{
	if (!(fabs(value - expected) <= tolerance * fmax(1, fabs(expected))))
		fail_msg("%.17g is not %.17g", value, expected);
}

static double two_arms(double p, double k, double n_a, double n_b)
{
	const double share[] = {1 - p, p}, n[] = {n_a, n_b};
	return event_label_log_e(share, n, 2, k);
}

/* R: f <- function(p,k,na,nb) lbeta(k*p+nb,k*(1-p)+na)-lbeta(k*p,k*(1-p))-nb*log(p)-na*log(1-p) */
static void two_arms_agree_with_r(void **state)
{
	(void)state;
	assert_near(two_arms(0.1, 100, 850, 150), 9.86711686329427096, 1e-12);
	assert_near(two_arms(0.05, 10, 3, 0), 0.01350695872141222, 1e-13);
	assert_near(two_arms(0.5, 10, 3, 7), 0.06477664472483591, 1e-13);
	assert_near(two_arms(0.1, 10, 0, 20), 29.93210683354785573, 1e-13);
}

/* R: k<-50; p<-c(.7,.2,.1); n<-c(600,260,140); lgamma(k)-lgamma(k+sum(n))+sum(lgamma(k*p+n)-lgamma(k*p)-n*log(p)) */
static void three_arms_agree_with_r(void **state)
{
	(void)state;
	const double share[] = {7, 2, 1}, n[] = {600, 260, 140};
	assert_near(event_label_log_e(share, n, 3, 50), 18.50794693714943, 1e-12);
	const double with_none[] = {7, 0, 2, 1}, n_with_none[] = {600, 99, 260, 140};
	assert_near(event_label_log_e(with_none, n_with_none, 4, 50), 18.50794693714943, 1e-12);
	const double alone[] = {0, 1, 0};
	assert_true(event_label_log_e(alone, n, 3, 50) == 0);
}

/* Python's decimal with 60 digits, Stirling's series after a shift beyond 100. Differences of lgamma are wrong by units here. */
static void large_counts_keep_their_digits(void **state)
{
	(void)state;
	assert_near(two_arms(0.05, 10000, 950e9, 50e9), -9.210507482215446, 1e-11);
	assert_near(two_arms(0.1, 100, 900e6, 100.05e6), 3.1802409278150865, 1e-11);
	assert_near(two_arms(0.5, 10, 5e14, 5e14 + 1e8), -11.143055019904589, 1e-9);
	assert_near(two_arms(0.001, 1000, 1e9, 1e6 + 5000), 0.97807938607186429, 1e-11);
}

/* R: pbeta(x, a, b, log.p=TRUE) */
static void the_incomplete_beta_agrees_with_r(void **state)
{
	(void)state;
	assert_near(log_incomplete_beta(5, 20, 0.1, 0.9), -2.464223400016333, 1e-13);
	assert_near(log_incomplete_beta(5, 20, 0.9, 0.1), -7.121525499999965e-17, 1e-13);
	assert_near(log_incomplete_beta(900, 300, 0.2, 0.8), -845.3388820229521, 1e-13);
	assert_near(log_incomplete_beta(900, 300, 0.75, 0.25), -0.7020532671103955, 1e-12);
	assert_near(log_incomplete_beta(0.3, 0.7, 0.5, 0.5), -0.3180429215160339, 1e-12);
	assert_near(log_incomplete_beta(1e5, 9.1e5, 0.1, 0.9), -4.460675845250214e-04, 1e-12);
	assert_true(log_incomplete_beta(2, 3, 1, 0) == 0 && log_incomplete_beta(2, 3, 0, 1) == -(double)INFINITY);
}

/* R: w <- function(p,k,na,nb) f(p,k,na,nb)+pbeta(1-p,k*(1-p)+na,k*p+nb,log.p=TRUE)-pbeta(1-p,k*(1-p),k*p,log.p=TRUE) */
static void worse_only_agrees_with_r(void **state)
{
	(void)state;
	assert_near(event_label_log_e_worse(0.1, 850, 150, 100), 10.6339595590295080, 1e-12);
	assert_near(event_label_log_e_worse(0.1, 950, 50, 100), -3.0106869781695256, 1e-12);
	assert_near(event_label_log_e_worse(0.05, 3, 0, 10), -0.2160705768471611, 1e-12);
	assert_near(event_label_log_e_worse(0.5, 7000, 3000, 10), -7.3941319146077289, 1e-10);
	assert_near(event_label_log_e_worse(0.1, 0, 20, 10), 30.8803514744682879, 1e-12);
}

/* k = rho / (p (1-p)) - 1 at alpha 0.05 is t_opt / 7.94 - 1, for every p; rho for v_opt = p (1-p) t_opt as in confseq (v_opt 100: 12.60056). */
static void k_comes_from_the_number_of_events(void **state)
{
	(void)state;
	assert_near(event_label_k(400, 0.05), 12.60056 / 0.25 - 1, 1e-6);
	assert_near(event_label_k(90, 0.05), 90 / 7.94 - 1, 1e-3);
	assert_near(event_label_k(79000, 0.05), 10000, 0.01);
	assert_true(event_label_k(3, 0.05) == 1);
	assert_near(event_label_share(0.1, 1), 0.1, 1e-15);
	assert_near(event_label_share(0.1, 2), 0.2 / 1.1, 1e-15);
}

/* The mean of E over all outcomes of n labels with probability theta. */
static double expectation(int n, double theta, double (*log_e)(double n_a, double n_b))
{
	double sum = 0;
	for (int hits = 0; hits <= n; hits++)
		sum += exp(lgamma(n + 1) - lgamma(hits + 1) - lgamma(n - hits + 1) + hits * log(theta) + (n - hits) * log1p(-theta) +
			   log_e(n - hits, hits));
	return sum;
}

static double e_two_sided(double n_a, double n_b)
{
	return two_arms(0.2, 7, n_a, n_b);
}

static double e_worse(double n_a, double n_b)
{
	return event_label_log_e_worse(0.2, n_a, n_b, 7);
}

static double e_ratio(double n_a, double n_b)
{
	return event_label_log_e_worse(event_label_share(0.1, 2.25), n_a, n_b, 7); /* p = 0.2 */
}

static double e_grid(double n_a, double n_b)
{
	struct event_grid grid = {0};
	event_grid_add(&grid, 0.2, n_a, n_b);
	return event_grid_now(&grid);
}

static void every_form_is_fair_under_its_null(void **state)
{
	(void)state;
	for (int n = 1; n <= 60; n += 7) {
		assert_near(expectation(n, 0.2, e_two_sided), 1, 1e-11);
		assert_near(expectation(n, 0.2, e_worse), 1, 1e-11);
		assert_near(expectation(n, 0.2, e_ratio), 1, 1e-11);
		assert_near(expectation(n, 0.2, e_grid), 1, 1e-11);
		for (double theta = 0.01; theta < 0.2; theta += 0.03) {
			assert_true(expectation(n, theta, e_worse) < 1);
			assert_true(expectation(n, theta, e_grid) < 1);
		}
		assert_true(expectation(n, 0.4, e_worse) > 1 && expectation(n, 0.4, e_grid) > 1);
	}
}

static void stretches_multiply_and_k_are_averaged(void **state)
{
	(void)state;
	const struct event_label_test test = {EVENT_LABEL_TWO_SIDED, 2, 2, {10, 100}};
	struct event_label label = {0};
	assert_true(event_label_now(&label, &test) == 0);
	const double five[] = {0.95, 0.05}, ten[] = {0.9, 0.1}, nothing[] = {1, 0}, n[] = {40, 9}, m[] = {5, 6}, zero[] = {0, 0};
	event_label_add(&label, &test, five, n);
	event_label_add(&label, &test, nothing, m);
	event_label_add(&label, &test, ten, zero);
	event_label_add(&label, &test, five, m);
	event_label_add(&label, &test, ten, n);
	double expected =
		log((exp(two_arms(0.05, 10, 45, 15) + two_arms(0.1, 10, 40, 9)) + exp(two_arms(0.05, 100, 45, 15) + two_arms(0.1, 100, 40, 9))) / 2);
	assert_near(event_label_now(&label, &test), expected, 1e-12);
	assert_true(label.log_max >= event_label_now(&label, &test));
	double highest = label.log_max;
	const double many[] = {9000, 1000};
	event_label_add(&label, &test, ten, many);
	assert_true(event_label_now(&label, &test) < highest && label.log_max == highest);

	const struct event_label_test worse = {EVENT_LABEL_WORSE, 2, 1, {10}};
	struct event_label one = {0};
	assert_true(event_label_now(&one, &worse) == 0);
	event_label_add(&one, &worse, five, n);
	event_label_add(&one, &worse, ten, m);
	assert_near(event_label_now(&one, &worse), event_label_log_e_worse(0.05, 40, 9, 10) + event_label_log_e_worse(0.1, 5, 6, 10), 1e-12);
}

static void the_state_is_doubles_and_resumes_bit_for_bit(void **state)
{
	(void)state;
	const struct event_label_test test = {EVENT_LABEL_WORSE, 2, 2, {10, 100}};
	struct event_label whole = {0}, parts = {0};
	struct rng rng;
	rng_seed(&rng, 5);
	for (int i = 0; i < 200; i++) {
		double p = i < 90 ? 0.05 : 0.25;
		const double share[] = {1 - p, p}, n[] = {(double)rng_below(&rng, 30), (double)rng_below(&rng, 4)};
		event_label_add(&whole, &test, share, n);
		double stored[sizeof(parts) / sizeof(double)];
		memcpy(stored, &parts, sizeof(parts));
		memset(&parts, 0xff, sizeof(parts));
		memcpy(&parts, stored, sizeof(parts));
		event_label_add(&parts, &test, share, n);
		assert_memory_equal(&whole, &parts, sizeof(whole));
	}
}

static void the_sample_ratio_check_is_its_mixture(void **state)
{
	(void)state;
	const struct event_label_test test = {EVENT_LABEL_TWO_SIDED, 2, 4, {10, 100, 1000, 10000}};
	struct event_label label = {0};
	struct split_check check = {0};
	const double share[] = {0.95, 0.05}, n[] = {100, 17};
	event_label_add(&label, &test, share, n);
	split_add(&check, 50000, 100, 17);
	assert_near(split_log_e(&check), event_label_now(&label, &test), 1e-12);
	assert_near(split_p(&check), exp(-label.log_max), 1e-12);
}

/* ---- the confidence sequence ---- */

/* R: uniroot on nb*log(theta)+na*log(1-theta)-(lbeta(k*p+nb,k*(1-p)+na)-lbeta(k*p,k*(1-p))+log(alpha)), both sides, on log-odds */
static void bounds_agree_with_r(void **state)
{
	(void)state;
	struct event_bounds theta, ratio;
	event_label_bounds(0.1, 850, 150, 100, 0.05, &theta, &ratio);
	assert_near(theta.low, 0.1155674351667778, 1e-12);
	assert_near(theta.high, 0.1894203472088345, 1e-12);
	assert_near(ratio.low, 1.176016078396133, 1e-12);
	assert_near(ratio.high, 2.103165455744204, 1e-12);
	event_label_bounds(0.1, 0, 0, 100, 0.05, &theta, &ratio);
	assert_true(theta.low == 0 && theta.high == 1 && ratio.low == 0 && isinf(ratio.high));
	event_label_bounds(0.1, 50, 0, 100, 0.05, &theta, NULL);
	assert_true(theta.low == 0 && theta.high > 0 && theta.high < 1);
	event_label_bounds(0.1, 0, 50, 100, 0.05, NULL, &ratio);
	assert_true(ratio.low > 1 && isinf(ratio.high));
}

static void bounds_and_test_agree(void **state)
{
	(void)state;
	for (double hits = 0; hits < 60; hits++) {
		struct event_bounds ratio;
		event_label_bounds(0.1, 200, hits, 100, 0.05, NULL, &ratio);
		assert_int_equal(two_arms(0.1, 100, 200, hits) >= log(20), ratio.low > 1 || ratio.high < 1);
	}
}

static void the_true_ratio_stays_inside(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 21);
	const double p = 0.1, truth = 2, theta = event_label_share(p, truth);
	int missed = 0;
	double width = 0;
	for (int run = 0; run < 500; run++) {
		double n_a = 0, n_b = 0;
		bool out = false;
		for (int block = 0; block < 80 && !out; block++) {
			double hits = (double)draw_binomial(&rng, 25, theta);
			n_b += hits;
			n_a += 25 - hits;
			struct event_bounds ratio;
			event_label_bounds(p, n_a, n_b, 100, 0.05, NULL, &ratio);
			out = ratio.low > truth || ratio.high < truth;
			if (block == 79)
				width += log(ratio.high / ratio.low) / 500;
		}
		missed += out;
	}
	assert_true(missed <= alarms_allowed(500, 0.05));
	assert_true(width > 0.2 && width < 0.5); /* 2,000 events, 364 of them the candidate's: a fixed sample gives 0.23 */
}

/* ---- promises, by simulation ---- */

/* reference page on statistics, planning of the event-label test: mean events to the alarm at alpha 0.05, a look at every event */
static void alarms_come_as_planned(void **state)
{
	(void)state;
	static const struct {
		double p, k, ratio, events;
	} rows[] = {
		{0.05, 10, 1.5, 957}, {0.05, 10, 2, 285}, {0.05, 10, 5, 36},   {0.05, 10, 10, 17}, {0.1, 10, 1.5, 514}, {0.1, 10, 2, 157},
		{0.1, 10, 5, 23},     {0.1, 10, 10, 12},  {0.5, 10, 1.5, 228}, {0.5, 10, 2, 74},   {0.5, 10, 5, 23},    {0.5, 10, 10, 16},
		{0.1, 100, 1.5, 460}, {0.1, 100, 2, 180}, {0.1, 100, 5, 40},   {0.1, 100, 10, 23},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rng rng;
		rng_seed(&rng, 100 + i);
		const int runs = 600;
		double theta = event_label_share(rows[i].p, rows[i].ratio), sum = 0;
		for (int run = 0; run < runs; run++) {
			double n_a = 0, n_b = 0;
			do {
				if (draw_uniform(&rng) < theta)
					n_b++;
				else
					n_a++;
			} while (two_arms(rows[i].p, rows[i].k, n_a, n_b) < log(20));
			sum += n_a + n_b;
		}
		if (!(fabs(sum / runs / rows[i].events - 1) < 0.1))
			fail_msg("share %g, k %g, ratio %g: %g events, not %g", rows[i].p, rows[i].k, rows[i].ratio, sum / runs, rows[i].events);
	}
}

/* A look at every event; the share moves up the ladder meanwhile, the load and the error rate do what they like. */
static void false_alarms_stay_below_alpha(void **state)
{
	(void)state;
	const struct event_label_test two = {EVENT_LABEL_TWO_SIDED, 2, 1, {10}}, worse = {EVENT_LABEL_WORSE, 2, 1, {10}};
	static const double ladder[] = {0.05, 0.25, 0.5};
	struct rng rng;
	rng_seed(&rng, 31);
	const int runs = 500;
	int alarms[3] = {0}, better = 0;
	for (int run = 0; run < runs; run++) {
		struct event_label a = {0}, b = {0}, c = {0};
		struct event_grid grid = {0};
		for (int event = 0; event < 450; event++) {
			double p = ladder[event / 150];
			double hit = draw_uniform(&rng) < p, improved = draw_uniform(&rng) < event_label_share(p, 0.5);
			const double share[] = {1 - p, p}, n[] = {1 - hit, hit}, m[] = {1 - improved, improved};
			event_label_add(&a, &two, share, n);
			event_label_add(&b, &worse, share, n);
			event_grid_add(&grid, p, n[0], n[1]);
			event_label_add(&c, &worse, share, m);
		}
		alarms[0] += a.log_max >= log(20);
		alarms[1] += b.log_max >= log(20);
		alarms[2] += grid.log_max >= log(20);
		better += c.log_max >= log(20);
	}
	for (size_t i = 0; i < 3; i++)
		assert_true(alarms[i] <= alarms_allowed(runs, 0.05));
	assert_true(better <= 2); /* an improvement is not called worse */
}

static void the_one_sided_forms_are_faster(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 41);
	const int runs = 400;
	const double p = 0.1, theta = event_label_share(p, 2);
	double two = 0, one = 0, grid_events = 0;
	for (int run = 0; run < runs; run++) {
		double n_a = 0, n_b = 0;
		bool done_two = false, done_one = false, done_grid = false;
		struct event_grid grid = {0};
		while (!done_two || !done_one || !done_grid) {
			double hit = draw_uniform(&rng) < theta;
			n_b += hit;
			n_a += 1 - hit;
			event_grid_add(&grid, p, 1 - hit, hit);
			two += !done_two;
			one += !done_one;
			grid_events += !done_grid;
			done_two = done_two || two_arms(p, 100, n_a, n_b) >= log(20);
			done_one = done_one || event_label_log_e_worse(p, n_a, n_b, 100) >= log(20);
			done_grid = done_grid || grid.log_max >= log(20);
		}
	}
	assert_true(one < 0.9 * two && one > 0.6 * two);
	assert_true(grid_events < two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_arms_agree_with_r),
		cmocka_unit_test(three_arms_agree_with_r),
		cmocka_unit_test(large_counts_keep_their_digits),
		cmocka_unit_test(the_incomplete_beta_agrees_with_r),
		cmocka_unit_test(worse_only_agrees_with_r),
		cmocka_unit_test(k_comes_from_the_number_of_events),
		cmocka_unit_test(every_form_is_fair_under_its_null),
		cmocka_unit_test(stretches_multiply_and_k_are_averaged),
		cmocka_unit_test(the_state_is_doubles_and_resumes_bit_for_bit),
		cmocka_unit_test(the_sample_ratio_check_is_its_mixture),
		cmocka_unit_test(bounds_agree_with_r),
		cmocka_unit_test(bounds_and_test_agree),
		cmocka_unit_test(the_true_ratio_stays_inside),
		cmocka_unit_test(alarms_come_as_planned),
		cmocka_unit_test(false_alarms_stay_below_alpha),
		cmocka_unit_test(the_one_sided_forms_are_faster),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
