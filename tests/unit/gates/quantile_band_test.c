#include "gates/stats/quantile_band.h"

#include "gates/stats/rng.h"
#include "tests/support/support.h"

#include <math.h>

static const struct dkw from_one = {.t_min = 1, .closed_form = 1}, from_100 = {.t_min = 100};

static void assert_near(double value, double expected, double within)
{
	if (!(fabs(value - expected) <= within))
		fail_msg("%.12g, expected %.12g", value, expected);
}

static double uniform(struct rng *rng)
{
	return ((double)(rng_next(rng) >> 11) + 0.5) * 0x1p-53;
}

/* Constants: statistics.md 1(b); radius: confseq, uniform_boundaries_unittest.cpp, EmpiricalProcessLILTest. The closed form is never the smaller
 * one, so both are valid. */
static void radii_are_the_published_ones(void **state)
{
	(void)state;
	static const double published[][2] = {{0.05, 8.1227}, {0.025, 8.6226}, {0.01, 9.2835}, {0.005, 9.7834}, {0.001, 10.9431}};
	for (size_t i = 0; i < ARRAY_SIZE(published); i++)
		assert_near(dkw_constant(published[i][0]), published[i][1], 6e-5);
	assert_near(dkw_radius(&from_100, 1000, 0.05), 0.08204769, 2e-7);
	assert_true(isinf(dkw_radius(&from_100, 99, 0.05)));
	/* python3: .85*sqrt((log(log(e*1000))+.8*log(1612/.05))/1000) */
	assert_near(dkw_radius(&from_one, 1000, 0.05), 0.08656912837667055, 1e-14);
	for (double alpha = 0.4; alpha > 1e-12; alpha /= 2)
		assert_true(dkw_error(0.8 * log(1612 / alpha)) <= alpha);
	assert_near(dkw_radius(&from_one, 1000, 0.9), 0.85 * sqrt((log1p(log(1000)) + dkw_constant(0.9)) / 1000), 1e-12);
}

/* confseq, QuantileABTest.TestPValue: 1..1000 against the same shifted, t_opt 100, alpha_opt 0.05. */
static void quantile_p_values_are_those_of_confseq(void **state)
{
	(void)state;
	static const struct {
		double q;
		size_t shift;
		double p;
	} cases[] = {{0.5, 70, 0.814704}, {0.5, 85, 0.0838055}, {0.5, 100, 0.0054947}, {0.9, 55, 0.0340463}};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double edges[1200], a[1201] = {0}, b[1201] = {0};
		for (size_t j = 0; j < 1200; j++) {
			edges[j] = (double)(j + 1);
			a[j] = j < 1000;
			b[j] = j >= cases[i].shift && j < 1000 + cases[i].shift;
		}
		const struct fixed_quantile test = {.q = cases[i].q, .t_opt = 100, .alpha_opt = 0.05};
		const struct histogram of_a = {edges, a, 1200}, of_b = {edges, b, 1200};
		assert_near(exp(-quantile_ab_log_e(&test, &of_a, &of_b)), cases[i].p, 1e-6);
		assert_near(exp(-quantile_ab_log_e(&test, &of_b, &of_a)), cases[i].p, 1e-6);
		/* The direction alone needs less. */
		assert_true(quantile_order_log_e(&test, &of_a, &of_b, QUANTILE_B_LARGER) > quantile_ab_log_e(&test, &of_a, &of_b));
		assert_true(quantile_order_log_e(&test, &of_a, &of_b, QUANTILE_B_SMALLER) <= 0);
		assert_true(quantile_order_log_e(&test, &of_b, &of_a, QUANTILE_B_SMALLER) > quantile_ab_log_e(&test, &of_a, &of_b));
	}
}

static void a_p_value_is_the_least_level_that_rejects(void **state)
{
	(void)state;
	const struct dkw both[] = {from_one, from_100};
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		double p = dkw_p_value(&both[i], 0.1, 3000, 4000);
		assert_true(p > 1e-6 && p < 0.5);
		double at = dkw_radius(&both[i], 3000, p / 2) + dkw_radius(&both[i], 4000, p / 2);
		assert_near(at, 0.1, 1e-7);
		assert_true(dkw_p_value(&both[i], 0, 3000, 4000) == 1);
		assert_true(dkw_p_value(&both[i], 1, 0, 4000) == 1);
		assert_true(dkw_p_value(&both[i], 0.5, 1e6, 1e6) < 1e-100);
	}
}

/* Requests until a gap of the whole distribution is certain to stand out, alpha 0.05, t >= 1: statistics.md 1(b), Planning. */
static void sample_sizes_are_those_of_the_planning_table(void **state)
{
	(void)state;
	static const double plan[][3] = {{.2, 788, 349}, {.1, 3198, 1417}, {.05, 12957, 5743}, {.02, 82150, 36432}, {.01, 331702, 147142}};
	for (size_t i = 0; i < ARRAY_SIZE(plan); i++) {
		double equal = plan[i][1], canary = plan[i][2];
		assert_true(dkw_p_value(&from_one, plan[i][0], equal + 1, equal + 1) < 0.05);
		assert_true(dkw_p_value(&from_one, plan[i][0], equal - 1, equal - 1) >= 0.05);
		assert_true(dkw_p_value(&from_one, plan[i][0], canary + 1, 9 * (canary + 1)) < 0.05);
		assert_true(dkw_p_value(&from_one, plan[i][0], canary - 1, 9 * (canary - 1)) >= 0.05);
	}
}

static void quantiles_come_as_buckets(void **state)
{
	(void)state;
	/* 1..1000, edges at each ten: d = 0.0868 at t >= 1, so ranks floor(1000 (.5 - d)) + 1 = 414 and ceil(1000 (.5 + d)) = 587 */
	double edges[99], counts[100];
	for (size_t i = 0; i < 100; i++) {
		counts[i] = 10;
		if (i < 99)
			edges[i] = 10 * (double)(i + 1);
	}
	const struct histogram histogram = {edges, counts, 99};
	struct quantile_interval band = dkw_quantile(&from_one, &histogram, 0.5, 0.05);
	assert_true(band.low == 410 && band.high == 590);
	band = dkw_quantile(&from_one, &histogram, 0.99, 0.05);
	assert_true(band.low == 900 && isinf(band.high));
	/* A fixed quantile is known better: confseq's rate interval at 1,000 trials is about 0.5 +- 0.048 at best */
	const struct fixed_quantile median = {.q = 0.5, .t_opt = 1000, .alpha_opt = 0.05};
	struct quantile_interval fixed = fixed_quantile_interval(&median, &histogram, 0.05);
	assert_true(fixed.low == 450 && fixed.high == 550);
	const struct fixed_quantile tail = {.q = 0.99, .t_opt = 1000, .alpha_opt = 0.05};
	fixed = fixed_quantile_interval(&tail, &histogram, 0.05);
	assert_true(fixed.low >= 960 && isinf(fixed.high));
	band = dkw_quantile_difference(&from_one, &histogram, &histogram, 0.5, 0.05);
	assert_true(band.low < -150 && band.high == -band.low);
	double empty[100] = {0};
	const struct histogram none = {edges, empty, 99};
	band = dkw_quantile(&from_one, &none, 0.5, 0.05);
	assert_true(isinf(band.low) && isinf(band.high));
	assert_true(quantile_ab_log_e(&median, &none, &none) == 0);
	assert_true(histogram_gap(&none, &histogram, GAP_EQUALITY) == 0);
	fixed = fixed_quantile_interval(&median, &none, 0.05);
	assert_true(isinf(fixed.low) && isinf(fixed.high));
}

static void a_service_level_is_judged_at_one_value(void **state)
{
	(void)state;
	const struct fixed_quantile test = {.q = 0.99, .t_opt = 1000, .alpha_opt = 0.05};
	assert_true(fixed_quantile_edge_log_e(&test, 990, 1000) < 0);
	assert_true(fixed_quantile_edge_log_e(&test, 970, 1000) > log(20));
	assert_near(fixed_quantile_edge_log_e(&test, 0, 0), 0, 1e-12);
}

#define EDGES 15
struct race {
	double edges[EDGES], a[EDGES + 1], b[EDGES + 1];
	struct histogram of_a, of_b;
};

static void race_init(struct race *race)
{
	*race = (struct race){.of_a = {race->edges, race->a, EDGES}, .of_b = {race->edges, race->b, EDGES}};
	for (size_t i = 0; i < EDGES; i++)
		race->edges[i] = (double)(i + 1) / (EDGES + 1);
}

static void race_step(struct race *race, struct rng *rng, double share, double stretch)
{
	int to_b = uniform(rng) < share;
	double x = uniform(rng) * (to_b ? stretch : 1);
	size_t i = 0;
	while (i < EDGES && x > race->edges[i])
		i++;
	(to_b ? race->b : race->a)[i]++;
}

/* A/A, 500 runs of 600 requests, 30% of them B's, a look at each at alpha 0.05: at most 36 alarms (scipy.stats.binom.cdf(36, 500, .05) = 0.988) for
 * each test; and their power against B's values stretched by 1.6, in one direction only. */
static void alarms_are_rare_at_every_look_and_come_when_due(void **state)
{
	(void)state;
	const struct fixed_quantile test = {.q = 0.75, .t_opt = 200, .alpha_opt = 0.05};
	struct rng rng;
	rng_seed(&rng, 20260302);
	int alarms[2][5] = {{0}};
	for (int differs = 0; differs < 2; differs++)
		for (int run = 0; run < (differs ? 20 : 500); run++) {
			struct race race;
			race_init(&race);
			int fired[5] = {0};
			for (int t = 0; t < (differs ? 2000 : 600); t++) {
				race_step(&race, &rng, 0.3, differs ? 1.6 : 1);
				if (differs && t % 50)
					continue;
				double n_a = histogram_total(&race.of_a), n_b = histogram_total(&race.of_b);
				double d = dkw_radius(&from_one, n_a, 0.025) + dkw_radius(&from_one, n_b, 0.025);
				fired[0] |= histogram_gap(&race.of_a, &race.of_b, GAP_EQUALITY) > d;
				fired[1] |= histogram_gap(&race.of_a, &race.of_b, GAP_SLOWER_B) > d;
				if (t % 20)
					continue;
				fired[2] |= quantile_ab_log_e(&test, &race.of_a, &race.of_b) >= log(20);
				fired[3] |= quantile_order_log_e(&test, &race.of_a, &race.of_b, QUANTILE_B_LARGER) >= log(20);
				fired[4] |= quantile_order_log_e(&test, &race.of_a, &race.of_b, QUANTILE_B_SMALLER) >= log(20);
			}
			for (int i = 0; i < 5; i++)
				alarms[differs][i] += fired[i];
		}
	for (int i = 0; i < 5; i++)
		assert_in_range(alarms[0][i], 0, 36);
	for (int i = 0; i < 4; i++)
		assert_int_equal(alarms[1][i], 20);
	assert_int_equal(alarms[1][4], 0);
}

/* 500 runs of 1,000 values, looked at by fours: at alpha 0.05 the fixed-quantile interval misses the quantile at some look in at most 36 runs. */
static void quantile_intervals_cover_at_every_look(void **state)
{
	(void)state;
	const struct fixed_quantile test = {.q = 0.9, .t_opt = 300, .alpha_opt = 0.05};
	struct rng rng;
	rng_seed(&rng, 20260303);
	int missed = 0;
	for (int run = 0; run < 500; run++) {
		double below = 0;
		int out = 0;
		for (int t = 1; t <= 1000 && !out; t++) {
			below += uniform(&rng) < 0.9;
			out = t % 4 == 0 && fixed_quantile_edge_log_e(&test, below, t) >= log(20);
		}
		missed += out;
	}
	assert_in_range(missed, 1, 36);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(radii_are_the_published_ones),
		cmocka_unit_test(quantile_p_values_are_those_of_confseq),
		cmocka_unit_test(a_p_value_is_the_least_level_that_rejects),
		cmocka_unit_test(sample_sizes_are_those_of_the_planning_table),
		cmocka_unit_test(quantiles_come_as_buckets),
		cmocka_unit_test(a_service_level_is_judged_at_one_value),
		cmocka_unit_test(alarms_are_rare_at_every_look_and_come_when_due),
		cmocka_unit_test(quantile_intervals_cover_at_every_look),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
