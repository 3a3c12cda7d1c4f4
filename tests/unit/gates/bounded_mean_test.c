#include "gates/stats/bounded_mean.h"

#include "gates/stats/rng.h"
#include "tests/support/support.h"

#include <math.h>
#include <stdlib.h>

static void assert_near(double value, double expected, double within)
{
	if (!(fabs(value - expected) <= within))
		fail_msg("%.12g, expected %.12g", value, expected);
}

static double uniform(struct rng *rng)
{
	return ((double)(rng_next(rng) >> 11) + 0.5) * 0x1p-53;
}

static bool coin(struct rng *rng, double p)
{
	return uniform(rng) < p;
}

/* numpy, after confseq's predmix.py (predmix_empbern_cs) and betting (lambda_predmix_eb without truncation, trunc_scale 1/2, theta 1/2):
 *   x = np.array([(i*37%101)/100 for i in range(1,301)])**0.5
 *   t = np.arange(1,n+1); mu = (.5+np.cumsum(x))/(t+1); s2 = np.append(.25, ((.25+np.cumsum((x-mu)**2))/(t+1))[:-1])
 *   l = np.minimum(.5, np.sqrt(2*np.log(1/.025)/(t*np.log(1+t)*s2))); v = (x-np.append(0,(np.cumsum(x)/t)[:-1]))**2; psi = -np.log(1-l)-l
 *   low = np.cumsum(l*x)/np.cumsum(l)-(np.log(1/.025)+np.cumsum(v*psi))/np.cumsum(l); high = 1 - the same of 1-x */
static void sequences_are_those_of_confseq(void **state)
{
	(void)state;
	static const struct {
		int n;
		double low, high, grid_low, grid_high, up, down;
	} cases[] = {
		{10, 0, 1, 0.35, 0.875, 1.6067979773038525, -2.445862482169727},
		{100, 0.5742727924571088, 0.7678165716294145, 0.595, 0.74, 11.427364602136826, -17.621521639515166},
		{300, 0.6178538957614782, 0.7152629288375327, 0.625, 0.715, 22.22042862007959, -30.824884675501337},
	};
	struct mean_cs cs = {0};
	struct mean_grid grid = {0};
	int n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		while (n++ < cases[i].n) {
			double x = sqrt((double)(n * 37 % 101) / 100);
			assert_true(mean_cs_add(&cs, x, 0.05) && mean_grid_add(&grid, x, 0.05));
		}
		n--;
		struct mean_bounds now = mean_cs_now(&cs, 0.05), betting = mean_grid_now(&grid, 0.05);
		assert_near(now.low, cases[i].low, 1e-12);
		assert_near(now.high, cases[i].high, 1e-12);
		assert_near(grid.up[99], cases[i].up, 1e-11);
		assert_near(grid.down[99], cases[i].down, 1e-11);
		assert_near(betting.low, cases[i].grid_low, 1e-12);
		assert_near(betting.high, cases[i].grid_high, 1e-12);
	}
	assert_near(mean_cs_running(&cs).low, 0.6178538957614782, 1e-12);
	assert_near(mean_cs_running(&cs).high, 0.7146476250907403, 1e-12);
}

/* statistics.md 1(c): EB half-width at alpha 0.05, Bernoulli scores; means of 3 runs, which the page rounds to .001. */
static void half_widths_are_the_published_ones(void **state)
{
	(void)state;
	static const struct {
		double mean, width[3];
	} cases[] = {{0.9, {0.035, 0.013, 0.008}}, {0.5, {0.064, 0.025, 0.016}}, {0.99, {0.012, 0.004, 0.002}}};
	const int at[] = {1000, 10000, 30000};
	struct rng rng;
	rng_seed(&rng, 20260304);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double sum[3] = {0};
		for (int run = 0; run < 3; run++) {
			struct mean_cs cs = {0};
			for (int j = 0, n = 1; j < 3; n++) {
				assert_true(mean_cs_add(&cs, coin(&rng, cases[i].mean), 0.05));
				if (n == at[j]) {
					struct mean_bounds now = mean_cs_now(&cs, 0.05);
					sum[j++] += (now.high - now.low) / 2 / 3;
				}
			}
		}
		for (int j = 0; j < 3; j++)
			assert_near(sum[j], cases[i].width[j], 0.0006 + 0.05 * cases[i].width[j]);
	}
}

static void what_is_no_score_is_refused(void **state)
{
	(void)state;
	struct mean_cs cs = {0}, fresh = {0};
	struct mean_grid grid = {0};
	struct mean_bet bet = {0};
	const double bad[] = {-0.1, 1.1, NAN, INFINITY};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(mean_cs_add(&cs, bad[i], 0.05));
		assert_false(mean_grid_add(&grid, bad[i], 0.05));
		assert_false(mean_bet_randomised(&bet, bad[i], true, 0.1, 0, NULL_NOT_WORSE));
	}
	assert_false(mean_bet_randomised(&bet, 0.5, true, 1, 0, NULL_NOT_WORSE));
	assert_false(mean_bet_add(&bet, 2, -1, 1, 0, NULL_NOT_WORSE));
	assert_true(mean_bet_block(&bet, 0, 0, 5, 1, 0, NULL_NOT_WORSE) && bet.n == 0);
	assert_false(mean_bet_block(&bet, 1, 2, 5, 1, 0, NULL_NOT_WORSE));
	assert_memory_equal(&cs, &fresh, sizeof(cs));
	assert_true(mean_cs_now(&cs, 0.05).low == 0 && mean_cs_now(&cs, 0.05).high == 1);
	assert_true(mean_grid_now(&grid, 0.05).low == 0 && mean_grid_now(&grid, 0.05).high == 1);
	assert_near(mean_grid_log_e(&grid, &grid, 0, NULL_NOT_WORSE), 0, 0);
	assert_near(mean_grid_log_e(&grid, &grid, 0.1, NULL_NOT_FINE), 0, 0);
	double u = -1;
	assert_true(unit_scale(3, 1, 5, &u) && u == 0.5);
	assert_false(unit_scale(6, 1, 5, &u));
	assert_false(unit_scale(NAN, 1, 5, &u));
	assert_false(unit_scale(1, 1, 1, &u));
	assert_true(u == 0.5);
}

/* At alpha 0.05 a look at every observation: at most 36 of 500 runs miss (scipy.stats.binom.cdf(36, 500, .05) = 0.988). Scores: x = u^a of uniform u,
 * mean 1/(1+a); coins. */
static void sequences_cover_at_every_look(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 20260305);
	int missed = 0, missed_coin = 0, missed_grid = 0;
	for (int run = 0; run < 500; run++) {
		struct mean_cs cs = {0}, of_coin = {0};
		struct mean_grid grid = {0};
		for (int t = 0; t < 1000; t++) {
			double u = uniform(&rng);
			assert_true(mean_cs_add(&cs, u * sqrt(u), 0.05) && mean_cs_add(&of_coin, u < 0.9, 0.05));
		}
		for (int t = 0; t < 20; t++)
			assert_true(mean_grid_add(&grid, coin(&rng, 0.905), 0.05));
		missed += mean_cs_running(&cs).low > 0.4 || mean_cs_running(&cs).high < 0.4;
		missed_coin += mean_cs_running(&of_coin).low > 0.9 || mean_cs_running(&of_coin).high < 0.9;
		missed_grid += mean_grid_now(&grid, 0.05).low >= 0.905 || mean_grid_now(&grid, 0.05).high < 0.905;
	}
	assert_in_range(missed, 0, 36);
	assert_in_range(missed_coin, 0, 36);
	assert_in_range(missed_grid, 0, 36);
}

/* Every fair bet has expectation 1 at the boundary of its null, whatever the scores: exact over all outcomes of one observation after a random past.
 */
static void bets_are_fair_at_the_margin(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 20260306);
	for (int null = NULL_NOT_WORSE; null <= NULL_NOT_FINE; null++)
		for (int round = 0; round < 50; round++) {
			double p = 0.05 + 0.9 * uniform(&rng), margin = 0.2 * uniform(&rng), mean_a = 0.7 * uniform(&rng), mean_b = mean_a + margin;
			struct mean_bet past = {0};
			for (int t = 0; t < 40; t++)
				assert_true(mean_bet_randomised(&past, uniform(&rng), coin(&rng, p), p, margin, (enum block_null)null));
			double expected[MEAN_BETS] = {0};
			for (int outcome = 0; outcome < 4; outcome++) {
				struct mean_bet bet = past;
				bool candidate = outcome & 1;
				double x = outcome >> 1, mean = candidate ? mean_b : mean_a;
				double chance = (candidate ? p : 1 - p) * (x > 0 ? mean : 1 - mean);
				assert_true(mean_bet_randomised(&bet, x, candidate, p, margin, (enum block_null)null));
				for (int i = 0; i < MEAN_BETS; i++)
					expected[i] += chance * exp(bet.log_e[i] - past.log_e[i]);
			}
			for (int i = 0; i < MEAN_BETS; i++)
				assert_near(expected[i], 1, 1e-9);
		}
}

struct outcome {
	int alarms, median; /* of alarms; requests */
};

static int by_size(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;
	return (x > y) - (x < y);
}

/* Scored requests, 10% of them the candidate's, with a look at each; the base drifts by a day's swing if asked to. */
static struct outcome randomised(struct rng *rng, int runs, int requests, double mean_a, double mean_b, double swing, double margin,
				 enum block_null null)
{
	struct outcome outcome = {0};
	int at[500];
	for (int run = 0; run < runs; run++) {
		struct mean_bet bet = {0};
		int t = 0;
		while (t < requests && bet.log_max < log(20)) {
			bool candidate = coin(rng, 0.1);
			double shift = swing * sin(t / 300.0);
			assert_true(mean_bet_randomised(&bet, coin(rng, (candidate ? mean_b : mean_a) + shift), candidate, 0.1, margin, null));
			t++;
		}
		outcome.alarms += bet.log_max >= log(20);
		at[run] = t;
	}
	qsort(at, (size_t)runs, sizeof(at[0]), by_size);
	outcome.median = at[runs / 2];
	return outcome;
}

static void false_verdicts_are_rare_and_true_ones_come(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 20260307);
	/* At the margin, either way, flat and swinging by 10 points: at most 36 of 500. Errors 10%, margin 2 points. */
	assert_in_range(randomised(&rng, 500, 1500, 0.1, 0.12, 0, 0.02, NULL_NOT_WORSE).alarms, 0, 36);
	assert_in_range(randomised(&rng, 500, 1500, 0.2, 0.22, 0.1, 0.02, NULL_NOT_FINE).alarms, 0, 36);
	/* 10% against 30%: all found, in about 1,100 requests, 110 of them the candidate's. Equal means inside 5 points: fine. */
	struct outcome worse = randomised(&rng, 40, 20000, 0.1, 0.3, 0, 0.02, NULL_NOT_WORSE);
	assert_int_equal(worse.alarms, 40);
	assert_in_range(worse.median, 200, 1300);
	struct outcome fine = randomised(&rng, 40, 30000, 0.1, 0.1, 0, 0.05, NULL_NOT_FINE);
	assert_int_equal(fine.alarms, 40);
	assert_in_range(fine.median, 1000, 6500);
}

/* Blocks of 20 requests of each arm whose base swings; and two streams without pairing. */
static void blocks_and_streams(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 20260308);
	int alarms = 0, found = 0;
	for (int run = 0; run < 520; run++) {
		struct mean_bet bet = {0};
		double true_b = run < 500 ? 0.05 : 0.25;
		for (int block = 0; block < 100; block++) {
			double sum_a = 0, sum_b = 0, base = 0.3 + 0.2 * sin(block / 10.0);
			for (int i = 0; i < 20; i++) {
				sum_a += coin(&rng, base);
				sum_b += coin(&rng, base + true_b);
			}
			assert_true(mean_bet_block(&bet, 20, sum_a, 20, sum_b, 0.05, NULL_NOT_WORSE));
		}
		*(run < 500 ? &alarms : &found) += bet.log_max >= log(20);
	}
	assert_in_range(alarms, 0, 36);
	assert_int_equal(found, 20);

	struct mean_cs a = {0}, b = {0};
	struct mean_grid grid_a = {0}, grid_b = {0};
	for (int t = 0; t < 2000; t++) {
		double x = coin(&rng, 0.2), y = coin(&rng, 0.35);
		assert_true(mean_cs_add(&a, x, 0.025) && mean_cs_add(&b, y, 0.025) && mean_grid_add(&grid_a, x, 0.05) &&
			    mean_grid_add(&grid_b, y, 0.05));
	}
	struct mean_bounds difference = mean_difference(&a, &b, 0.05);
	assert_true(difference.low > 0.05 && difference.low < 0.15 && difference.high > 0.15 && difference.high < 0.25);
	assert_true(mean_grid_log_e(&grid_a, &grid_b, 0, NULL_NOT_WORSE) > log(20));
	assert_true(mean_grid_log_e(&grid_a, &grid_b, 0.15, NULL_NOT_WORSE) < log(20));
	assert_true(mean_grid_log_e(&grid_a, &grid_b, 0.3, NULL_NOT_FINE) > log(20));
	assert_true(mean_grid_log_e(&grid_a, &grid_b, 0.15, NULL_NOT_FINE) < log(20));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequences_are_those_of_confseq),
		cmocka_unit_test(half_widths_are_the_published_ones),
		cmocka_unit_test(what_is_no_score_is_refused),
		cmocka_unit_test(sequences_cover_at_every_look),
		cmocka_unit_test(bets_are_fair_at_the_margin),
		cmocka_unit_test(false_verdicts_are_rare_and_true_ones_come),
		cmocka_unit_test(blocks_and_streams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
