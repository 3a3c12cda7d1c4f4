#include "gates/stats/block2x2.h"

#include "base/alloc.h"
#include "tests/support/support.h"
#include "tests/unit/gates/draw.h"

#include <stdlib.h>

static const struct boundary none = {BOUNDARY_MARGIN, 0};

static void assert_near(double value, double expected, double tolerance)
{
	if (!(fabs(value - expected) <= tolerance * fmax(1, fabs(expected))))
		fail_msg("%.17g is not %.17g", value, expected);
}

/* scipy.optimize.brentq on d/dt [n_a KL(alt_a || t) + n_b KL(alt_b || boundary(t))], rtol 1e-15 */
static void the_point_agrees_with_scipy(void **state)
{
	(void)state;
	static const struct {
		double n_a, n_b, alt_a, alt_b;
		struct boundary boundary;
		double point;
	} rows[] = {
		{900, 100, 0.01, 0.05, {BOUNDARY_MARGIN, 0.005}, 0.012590592069308317},
		{900, 100, 0.01, 0.01, {BOUNDARY_MARGIN, 0.03}, 0.009213525571360903},
		{20, 1000, 0.3, 0.1, {BOUNDARY_MARGIN, -0.05}, 0.1521026838657768},
		{900, 100, 0.01, 0.05, {BOUNDARY_RATIO, 1.5}, 0.013352779679702395},
		{500, 500, 0.2, 0.1, {BOUNDARY_RATIO, 0.8}, 0.1673950246927193},
		{950, 50, 0.4, 0.3, {BOUNDARY_RATIO, 2}, 0.3529830522383856},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_near(boundary_point(rows[i].n_a, rows[i].n_b, rows[i].alt_a, rows[i].alt_b, rows[i].boundary) / rows[i].point, 1, 1e-13);
	assert_near(boundary_point(900, 100, 0.01, 0.05, none), 0.014, 1e-15);
	assert_near(boundary_point(900, 100, 0.01, 0.05, (struct boundary){BOUNDARY_RATIO, 1}), 0.014, 1e-15);
	assert_true(isnan(boundary_point(10, 10, 0.5, 0.5, (struct boundary){BOUNDARY_MARGIN, 1})));
}

static double slow_factor(const struct block2x2 *block, double alt_a, double alt_b, double m)
{
	long double low = fmaxl(0, fminl(alt_a, (long double)alt_b - m)), high = fminl(1 - (long double)m, fmaxl(alt_a, (long double)alt_b - m));
	for (int i = 0; i < 200; i++) {
		long double t = (low + high) / 2, u = t + m;
		long double pull = block->n_a * (t - alt_a) / (t * (1 - t)) + block->n_b * (u - alt_b) / (u * (1 - u));
		*(pull < 0 ? &low : &high) = t;
	}
	long double t = (low + high) / 2, u = t + m;
	return (double)(block->y_a * logl(alt_a / t) + (block->n_a - block->y_a) * logl((1 - (long double)alt_a) / (1 - t)) +
			block->y_b * logl(alt_b / u) + (block->n_b - block->y_b) * logl((1 - (long double)alt_b) / (1 - u)));
}

/* The point by bisection in long double; margins and rates as rollouts have them. */
static void newton_finds_what_bisection_finds(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 3);
	for (int i = 0; i < 4000; i++) {
		double alt_a = pow(10, -5 * draw_uniform(&rng)) * 0.9, alt_b = pow(10, -5 * draw_uniform(&rng)) * 0.9;
		double m = pow(10, -4 * draw_uniform(&rng)) / 2;
		const uint64_t n_a = 1 + rng_below(&rng, 20000), n_b = 1 + rng_below(&rng, 2000);
		const struct block2x2 block = {n_a, draw_binomial(&rng, n_a, alt_a), n_b, draw_binomial(&rng, n_b, alt_b)};
		enum block_null null = alt_b > alt_a + m ? NULL_NOT_WORSE : NULL_NOT_FINE;
		assert_near(block2x2_log_factor(&block, alt_a, alt_b, m, null), slow_factor(&block, alt_a, alt_b, m), 1e-12);
	}
}

static double log_binomial(uint64_t n, uint64_t y, double p)
{
	double ln = lgamma((double)n + 1) - lgamma((double)y + 1) - lgamma((double)(n - y) + 1);
	return ln + (y ? (double)y * log(p) : 0) + (n > y ? (double)(n - y) * log1p(-p) : 0);
}

/* The mean factor of all outcomes of a block, computed and not simulated. */
static double expectation(uint64_t n_a, uint64_t n_b, double a, double b, double (*log_factor)(const struct block2x2 *, const void *),
			  const void *with)
{
	double sum = 0;
	for (uint64_t y_a = 0; y_a <= n_a; y_a++) {
		for (uint64_t y_b = 0; y_b <= n_b; y_b++) {
			const struct block2x2 block = {n_a, y_a, n_b, y_b};
			sum += exp(log_binomial(n_a, y_a, a) + log_binomial(n_b, y_b, b) + log_factor(&block, with));
		}
	}
	return sum;
}

struct one_bet {
	uint64_t n_a, n_b;
	double alt_a, alt_b;
	struct boundary boundary;
	enum block_null null;
};

static double one_factor(const struct block2x2 *block, const void *with)
{
	const struct one_bet *one = with;
	return boundary_log_factor(block, one->alt_a, one->alt_b, one->boundary, one->null);
}

static double edge_of(double a, struct boundary boundary)
{
	return boundary.kind == BOUNDARY_RATIO ? a * boundary.value : a + boundary.value;
}

static void a_block_bets_fairly_under_every_null(void **state)
{
	(void)state;
	static const struct one_bet bets[] = {
		{19, 5, 0.01, 0.2, {BOUNDARY_RATIO, 1.5}, NULL_NOT_WORSE},  {12, 12, 0.3, 0.9, {BOUNDARY_RATIO, 2}, NULL_NOT_WORSE},
		{20, 1, 0.9, 0.8, {BOUNDARY_RATIO, 0.5}, NULL_NOT_WORSE},   {19, 5, 0.1, 0.1, {BOUNDARY_RATIO, 1.5}, NULL_NOT_FINE},
		{12, 12, 0.6, 0.5, {BOUNDARY_RATIO, 1.2}, NULL_NOT_FINE},   {5, 19, 0.5, 0.05, {BOUNDARY_RATIO, 0.25}, NULL_NOT_FINE},
		{19, 5, 0.3, 0.4, {BOUNDARY_MARGIN, -0.1}, NULL_NOT_WORSE}, {12, 12, 0.5, 0.2, {BOUNDARY_MARGIN, -0.2}, NULL_NOT_FINE},
		{12, 9, 0.5, 0.8, {BOUNDARY_MARGIN, 0.1}, NULL_NOT_WORSE},  {12, 9, 0.5, 0.55, {BOUNDARY_MARGIN, 0}, NULL_NOT_WORSE},
	};
	static const double rates[] = {0.001, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.999};
	for (size_t i = 0; i < ARRAY_SIZE(bets); i++) {
		const struct one_bet *bet = &bets[i];
		for (size_t a = 0; a < ARRAY_SIZE(rates); a++) {
			for (double beyond = 0; beyond < 1; beyond += 0.11) {
				double b = edge_of(rates[a], bet->boundary) + (bet->null == NULL_NOT_WORSE ? -beyond : beyond);
				if (b > 0 && b < 1)
					assert_true(expectation(bet->n_a, bet->n_b, rates[a], b, one_factor, bet) <= 1 + 1e-9);
			}
		}
		assert_true(expectation(bet->n_a, bet->n_b, bet->alt_a, bet->alt_b, one_factor, bet) > 1);
	}
}

static double equal_factor(const struct block2x2 *block, const void *with)
{
	const double *alt = with;
	return block2x2_equal(block, alt[0], alt[1]);
}

static void equality_bets_fairly_on_either_side(void **state)
{
	(void)state;
	static const double alts[][2] = {{0.1, 0.3}, {0.3, 0.1}, {0.5, 0.5}, {0.01, 0.9}};
	for (size_t i = 0; i < ARRAY_SIZE(alts); i++) {
		for (double rate = 0.01; rate < 1; rate += 0.07)
			assert_true(expectation(17, 6, rate, rate, equal_factor, alts[i]) <= 1 + 1e-9);
		assert_true(expectation(17, 6, alts[i][0], alts[i][1], equal_factor, alts[i]) >= 1 - 1e-12);
	}
	const struct block2x2 block = {900, 9, 100, 5};
	double expected = 9 * log(0.01 / 0.014) + 891 * log(0.99 / 0.986) + 5 * log(0.05 / 0.014) + 95 * log(0.95 / 0.986);
	assert_near(block2x2_equal(&block, 0.01, 0.05), expected, 1e-12);
}

/* ---- direction ---- */

static void failures_for_successes_is_the_margin_the_other_way(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 4);
	for (int i = 0; i < 3000; i++) {
		double alt_a = 0.02 + 0.96 * draw_uniform(&rng), alt_b = 0.02 + 0.96 * draw_uniform(&rng), m = draw_uniform(&rng) / 2;
		const struct block2x2 block = {90, rng_below(&rng, 91), 30, rng_below(&rng, 31)};
		const struct block2x2 failures = block2x2_failures(&block), swapped = block2x2_swapped(&block);
		for (enum block_null null = NULL_NOT_WORSE; null <= NULL_NOT_FINE; null++) {
			enum block_null other = null == NULL_NOT_WORSE ? NULL_NOT_FINE : NULL_NOT_WORSE;
			double direct = block2x2_log_factor(&block, alt_a, alt_b, -m, other);
			assert_near(block2x2_log_factor(&failures, 1 - alt_a, 1 - alt_b, m, null), direct, 1e-11);
			assert_near(block2x2_log_factor(&swapped, alt_b, alt_a, m, null), direct, 1e-11);
			double r = 0.2 + 3 * draw_uniform(&rng);
			assert_near(boundary_log_factor(&swapped, alt_b, alt_a, (struct boundary){BOUNDARY_RATIO, r}, null),
				    boundary_log_factor(&block, alt_a, alt_b, (struct boundary){BOUNDARY_RATIO, 1 / r}, other), 1e-11);
		}
	}
}

static void more_is_better_is_the_same_question_about_failures(void **state)
{
	(void)state;
	const struct block2x2 successes = {900, 810, 100, 70}, failures = block2x2_failures(&successes);
	for (enum block_null null = NULL_NOT_WORSE; null <= NULL_NOT_FINE; null++) {
		struct eprocess high = {0}, low = {0};
		eprocess_bet_on(&high, &successes, 0.9, (struct boundary){BOUNDARY_MARGIN, 0.05}, null, HIGHER_IS_BETTER);
		eprocess_bet(&low, &failures, 1 - 0.9, 0.05, null);
		assert_memory_equal(&high, &low, sizeof(high));
		assert_true((eprocess_log_e(&high, null) > 3) == (null == NULL_NOT_WORSE));
	}
}

struct question {
	double past_a;
	struct boundary boundary;
	enum block_null null;
	enum better better;
};

static double asked(const struct block2x2 *block, const void *with)
{
	const struct question *q = with;
	struct eprocess process = {0};
	eprocess_bet_on(&process, block, q->past_a, q->boundary, q->null, q->better);
	return eprocess_log_e(&process, q->null);
}

/* Higher is better: the null "not worse" is theta_b >= theta_a - m or theta_a / r. */
static void questions_of_either_direction_are_fair(void **state)
{
	(void)state;
	static const struct boundary boundaries[] = {{BOUNDARY_MARGIN, 0.05}, {BOUNDARY_RATIO, 1.25}, {BOUNDARY_MARGIN, 0}};
	static const double rates[] = {0.02, 0.1, 0.4, 0.7, 0.93};
	for (size_t i = 0; i < ARRAY_SIZE(boundaries) * 4; i++) {
		struct question q = {0.8, boundaries[i / 4], i & 1 ? NULL_NOT_FINE : NULL_NOT_WORSE, i & 2 ? HIGHER_IS_BETTER : LOWER_IS_BETTER};
		if (q.better == LOWER_IS_BETTER)
			q.past_a = 0.1;
		double gained = 0;
		for (size_t a = 0; a < ARRAY_SIZE(rates); a++) {
			double down = q.boundary.kind == BOUNDARY_RATIO ? rates[a] / q.boundary.value : rates[a] - q.boundary.value;
			double edge = q.better == LOWER_IS_BETTER ? edge_of(rates[a], q.boundary) : down;
			bool below = (q.null == NULL_NOT_WORSE) == (q.better == LOWER_IS_BETTER); /* the null is the rates below the edge */
			for (double beyond = 0; beyond < 1; beyond += 0.15) {
				double b = edge + (below ? -beyond : beyond);
				if (b > 0 && b < 1)
					assert_true(expectation(20, 8, rates[a], b, asked, &q) <= 1 + 1e-9);
				double other = edge - (below ? -beyond : beyond);
				if (other > 0 && other < 1)
					gained = fmax(gained, expectation(20, 8, rates[a], other, asked, &q));
			}
		}
		assert_true(gained > 1.5); /* and it wins where the null is wrong */
	}
}

/* ---- promises, by simulation ---- */

static struct block2x2 draw(struct rng *rng, uint64_t n, double share, double a, double b)
{
	uint64_t n_b = draw_binomial(rng, n, share), n_a = n - n_b;
	return (struct block2x2){n_a, draw_binomial(rng, n_a, a), n_b, draw_binomial(rng, n_b, b)};
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* reference page on statistics, (a2): median of all requests to the alarm at alpha 0.05, blocks of 1,000, running pooled rate */
static void detection_takes_as_long_as_planned(void **state)
{
	(void)state;
	static const struct {
		double base, ratio, share, requests;
	} rows[] = {
		{0.01, 2, 0.1, 11000},   {0.01, 2, 0.5, 5000},   {0.01, 1.5, 0.1, 35000}, {0.01, 5, 0.1, 2000},
		{0.001, 2, 0.1, 108000}, {0.001, 10, 0.1, 4000}, {0.05, 1.5, 0.1, 8000},
	};
	enum { RUNS = 401 };
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		double taken[RUNS];
		struct rng rng;
		rng_seed(&rng, 200 + i);
		for (int run = 0; run < RUNS; run++) {
			struct eprocess process = {0};
			double n = 0, y = 0;
			while (process.log_max < log(20)) {
				const struct block2x2 block = draw(&rng, 1000, rows[i].share, rows[i].base, rows[i].base * rows[i].ratio);
				eprocess_bet_on(&process, &block, (y + 0.05) / (n + 50), none, NULL_NOT_WORSE, LOWER_IS_BETTER);
				n += 1000;
				y += (double)(block.y_a + block.y_b);
			}
			taken[run] = n;
		}
		qsort(taken, RUNS, sizeof(taken[0]), by_size);
		/* The median is a whole number of blocks. */
		if (!(fabs(taken[RUNS / 2] - rows[i].requests) <= fmax(0.1 * rows[i].requests, rows[i].requests > 5000 ? 1000 : 0)))
			fail_msg("base %g, ratio %g, share %g: %g requests, not %g", rows[i].base, rows[i].ratio, rows[i].share, taken[RUNS / 2],
				 rows[i].requests);
	}
}

struct outcomes {
	int worse, fine;
};

/* 500 runs, a look at every block; the base rate swings between 0.1 and 1.9 times, the share climbs if it is 0. */
static struct outcomes simulate(uint64_t seed, int blocks, uint64_t requests, double share, double base, double swing, struct boundary boundary,
				enum better better, double (*candidate)(double))
{
	struct outcomes outcomes = {0};
	static const double ladder[] = {0.05, 0.25, 0.5};
	struct rng rng;
	rng_seed(&rng, seed);
	for (int run = 0; run < 500; run++) {
		struct eprocess worse = {0}, fine = {0};
		double n = 0, y = 0;
		for (int i = 0; i < blocks; i++) {
			double rate = base * (1 + swing * sin(i * 0.3));
			const struct block2x2 block = draw(&rng, requests, share > 0 ? share : ladder[i * 3 / blocks], rate, candidate(rate));
			double bad = (better == LOWER_IS_BETTER ? y : n - y), rate_of_bad = (bad + 0.05) / (n + 10);
			double past = better == LOWER_IS_BETTER ? rate_of_bad : 1 - rate_of_bad;
			eprocess_bet_on(&worse, &block, past, boundary, NULL_NOT_WORSE, better);
			eprocess_bet_on(&fine, &block, past, boundary, NULL_NOT_FINE, better);
			n += (double)block.n_a;
			y += (double)block.y_a;
		}
		outcomes.worse += worse.log_max >= log(20);
		outcomes.fine += fine.log_max >= log(20);
	}
	return outcomes;
}

static double same(double rate)
{
	return rate;
}

static double two_points_more(double rate)
{
	return rate + 0.02;
}

static double half_more(double rate)
{
	return rate * 1.5;
}

static double a_fifth_of_a_point_more(double rate)
{
	return rate + 0.002;
}

static double two_points_less(double rate)
{
	return rate - 0.02;
}

static double a_fifth_less(double rate)
{
	return rate / 1.2;
}

static void false_alarms_stay_below_alpha(void **state)
{
	(void)state;
	static const struct {
		double base, swing;
		struct boundary boundary;
		enum better better;
		double (*candidate)(double);
	} rows[] = {
		{0.02, 0, {BOUNDARY_MARGIN, 0}, LOWER_IS_BETTER, same},
		{0.02, 0.9, {BOUNDARY_MARGIN, 0}, LOWER_IS_BETTER, same},
		{0.02, 0.9, {BOUNDARY_MARGIN, 0.02}, LOWER_IS_BETTER, two_points_more}, /* on the boundary: neither is to be shown */
		{0.04, 0, {BOUNDARY_RATIO, 1.5}, LOWER_IS_BETTER, half_more},
		{0.04, 0.9, {BOUNDARY_RATIO, 1.5}, LOWER_IS_BETTER, half_more},
		{0.9, 0.05, {BOUNDARY_MARGIN, 0.02}, HIGHER_IS_BETTER, two_points_less},
		{0.5, 0.5, {BOUNDARY_RATIO, 1.2}, HIGHER_IS_BETTER, a_fifth_less},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct outcomes o = simulate(300 + i, 60, 400, 0, rows[i].base, rows[i].swing, rows[i].boundary, rows[i].better, rows[i].candidate);
		if (o.worse > alarms_allowed(500, 0.05) || o.fine > alarms_allowed(500, 0.05))
			fail_msg("row %zu: %d worse, %d fine of 500", i, o.worse, o.fine);
	}
}

/* 0.2 points worse within a margin of 0.5 points: not "worse", where equality calls it so in the end. Tiny blocks of a 5% arm (20 requests) may have
 * three errors at once: there the promise is alpha, and what happens is at most 1%. */
static void harmless_is_not_worse(void **state)
{
	(void)state;
	const struct boundary half_a_point = {BOUNDARY_MARGIN, 0.005};
	struct outcomes o = simulate(400, 80, 1000, 0.25, 0.01, 0, half_a_point, LOWER_IS_BETTER, a_fifth_of_a_point_more);
	assert_int_equal(o.worse, 0);
	assert_true(o.fine > 350);
	o = simulate(401, 120, 400, 0, 0.01, 0, half_a_point, LOWER_IS_BETTER, a_fifth_of_a_point_more);
	assert_true(o.worse <= 5);
	o = simulate(402, 120, 1000, 0.5, 0.01, 0, none, LOWER_IS_BETTER, a_fifth_of_a_point_more);
	assert_true(o.worse > 300);
}

static void higher_is_better_finds_both(void **state)
{
	(void)state;
	struct outcomes o = simulate(402, 90, 400, 0, 0.9, 0, (struct boundary){BOUNDARY_MARGIN, 0.05}, HIGHER_IS_BETTER, same);
	assert_true(o.worse == 0 && o.fine > 450);
	o = simulate(403, 90, 400, 0, 0.9, 0, (struct boundary){BOUNDARY_RATIO, 1.05}, HIGHER_IS_BETTER, a_fifth_less);
	assert_true(o.worse > 490 && o.fine == 0);
	o = simulate(404, 90, 400, 0, 0.1, 0.5, (struct boundary){BOUNDARY_RATIO, 1.5}, LOWER_IS_BETTER, same);
	assert_true(o.worse == 0 && o.fine > 300);
}

static void extreme_counts_and_rates_stay_finite(void **state)
{
	(void)state;
	static const double rates[] = {1e-300, 1e-12, 0.5, 1 - 1e-12}, values[] = {1e-12, 0.333, 0.999};
	const uint64_t big = UINT64_C(1) << 53;
	for (int i = 0; i < 8; i++) {
		const struct block2x2 block = {big, i & 1 ? big : 0, i & 2 ? big : 1, i & 4 ? 1 : 0};
		for (size_t k = 0; k < ARRAY_SIZE(rates) * ARRAY_SIZE(values) * 8; k++) {
			double value = values[k / 8 % 3];
			const struct boundary boundary = {k & 1 ? BOUNDARY_RATIO : BOUNDARY_MARGIN, k & 1 ? 1 / value : value};
			enum block_null null = k & 2 ? NULL_NOT_FINE : NULL_NOT_WORSE;
			struct eprocess process = {0};
			eprocess_bet_on(&process, &block, rates[k / 24], boundary, null, k & 4 ? HIGHER_IS_BETTER : LOWER_IS_BETTER);
			assert_true(isfinite(eprocess_log_e(&process, null)));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_point_agrees_with_scipy),
		cmocka_unit_test(newton_finds_what_bisection_finds),
		cmocka_unit_test(a_block_bets_fairly_under_every_null),
		cmocka_unit_test(equality_bets_fairly_on_either_side),
		cmocka_unit_test(failures_for_successes_is_the_margin_the_other_way),
		cmocka_unit_test(more_is_better_is_the_same_question_about_failures),
		cmocka_unit_test(questions_of_either_direction_are_fair),
		cmocka_unit_test(detection_takes_as_long_as_planned),
		cmocka_unit_test(false_alarms_stay_below_alpha),
		cmocka_unit_test(harmless_is_not_worse),
		cmocka_unit_test(higher_is_better_finds_both),
		cmocka_unit_test(extreme_counts_and_rates_stay_finite),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
