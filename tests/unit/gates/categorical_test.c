#include "gates/stats/categorical.h"

#include "gates/stats/rng.h"
#include "tests/support/support.h"

#include <math.h>
#include <stdlib.h>

static const struct categorical_test three = {.n = 3, .n_k = 2, .k = {10, 100}};

static void assert_near(double value, double expected, double within)
{
	if (!(fabs(value - expected) <= within))
		fail_msg("%.12g, expected %.12g", value, expected);
}

static double uniform(struct rng *rng)
{
	return ((double)(rng_next(rng) >> 11) + 0.5) * 0x1p-53;
}

static size_t draw(struct rng *rng, const double *p, size_t n)
{
	double u = uniform(rng);
	size_t j = 0;
	while (j + 1 < n && u >= p[j])
		u -= p[j++];
	return j;
}

/* One request's counts. */
struct request {
	double a[CATEGORIES_MAX], b[CATEGORIES_MAX];
};

static struct request request_draw(struct rng *rng, size_t n, double share, const double *p_a, const double *p_b)
{
	struct request request = {0};
	if (uniform(rng) < share)
		request.b[draw(rng, p_b, n)] = 1;
	else
		request.a[draw(rng, p_a, n)] = 1;
	return request;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* scipy: g = lambda k: (betaln(k*p+b,k*(1-p)+a)-betaln(k*p,k*(1-p))-b*log(p)-a*log(1-p)).sum(), a = 630,180,90, b = 60,25,15, p = .1;
 *   f = lambda k: gammaln(k)-gammaln(k+n.sum())+(gammaln(k*pi+n)-gammaln(k*pi)-n*log(pi)).sum(), pi = .5,.3,.2, n = 40,35,25;
 *   logsumexp([g(10),g(100)])-log(2), the same of f */
static void evidence_is_scipys(void **state)
{
	(void)state;
	const double a[] = {630, 180, 90}, b[] = {60, 25, 15}, pi[] = {5, 3, 2}, counts[] = {40, 35, 25}, half[] = {315, 90, 45},
		     rest[] = {30, 12, 8};
	struct categorical at_once = {0};
	categorical_add(&at_once, &three, 0.1, a, b);
	assert_near(categorical_now(&at_once, &three), -1.2246818796788, 1e-9);
	assert_near(categorical_fit_log_e(&three, pi, counts), -0.09143345750989884, 1e-9);
	const double never[] = {1, 1, 0}, none[] = {0, 0, 0};
	assert_true(isinf(categorical_fit_log_e(&three, never, counts)));
	assert_near(categorical_fit_log_e(&three, pi, none), 0, 1e-12);
	/* The same in two pieces; a share of nothing or all is left out; a new share begins a new factor. */
	struct categorical pieces = {0};
	const double other_b[] = {30, 13, 7};
	categorical_add(&pieces, &three, 0.1, half, rest);
	categorical_add(&pieces, &three, 0, a, none);
	categorical_add(&pieces, &three, 1, none, a);
	categorical_add(&pieces, &three, 0.1, half, other_b);
	assert_true(categorical_now(&pieces, &three) == categorical_now(&at_once, &three));
	categorical_add(&pieces, &three, 0.5, half, half);
	const struct categorical_test only = {.n = 3, .n_k = 1, .k = {10}};
	struct categorical first = {0}, second = {0}, both = {0};
	categorical_add(&first, &only, 0.1, a, b);
	categorical_add(&second, &only, 0.5, half, half);
	categorical_add(&both, &only, 0.1, a, b);
	categorical_add(&both, &only, 0.5, half, half);
	assert_near(categorical_now(&both, &only), categorical_now(&first, &only) + categorical_now(&second, &only), 1e-12);
	assert_true(pieces.log_max >= categorical_now(&at_once, &three));
	assert_int_equal(sizeof(struct categorical) % sizeof(double), 0);
}

static double median_requests(struct rng *rng, double k, const double *p_b, int every)
{
	static const double p_a[] = {0.7, 0.2, 0.1};
	const struct categorical_test test = {.n = 3, .n_k = 1, .k = {k}};
	double at[101];
	for (size_t run = 0; run < ARRAY_SIZE(at); run++) {
		struct categorical one = {0};
		double t = 0;
		while (one.log_max < log(20)) {
			struct request sum = {0};
			for (int i = 0; i < every; i++, t++) {
				struct request request = request_draw(rng, 3, 0.1, p_a, p_b);
				for (size_t j = 0; j < 3; j++) {
					sum.a[j] += request.a[j];
					sum.b[j] += request.b[j];
				}
			}
			categorical_add(&one, &test, 0.1, sum.a, sum.b);
		}
		at[run] = t;
	}
	qsort(at, ARRAY_SIZE(at), sizeof(at[0]), by_size);
	return at[ARRAY_SIZE(at) / 2];
}

/* statistics.md 1(d): p = .1, alpha .05, (.7, .2, .1) against ..., median total requests; 101 runs, so within 20%. */
static void medians_are_those_of_the_planning_table(void **state)
{
	(void)state;
	const double b_15[] = {0.6, 0.25, 0.15}, b_13[] = {0.65, 0.22, 0.13}, b_30[] = {0.4, 0.3, 0.3};
	struct rng rng;
	rng_seed(&rng, 20260309);
	assert_near(median_requests(&rng, 100, b_15, 5), 2161, 430);
	assert_near(median_requests(&rng, 10, b_15, 5), 4006, 800);
	assert_near(median_requests(&rng, 100, b_13, 20), 8409, 1680);
	assert_near(median_requests(&rng, 100, b_30, 1), 305, 65);
	assert_near(median_requests(&rng, 10, b_30, 1), 305, 65);
}

/* 500 runs of 600 requests of no difference, probabilities swinging for both, a look at each at alpha 0.05: at most 36 alarms
 * (scipy.stats.binom.cdf(36, 500, .05) = 0.988). Goodness of fit likewise, without the swing. */
static void alarms_are_rare_at_every_look(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 20260310);
	int alarms = 0, fit_alarms = 0;
	const double steady[] = {0.7, 0.2, 0.1};
	for (int run = 0; run < 500; run++) {
		struct categorical one = {0};
		double counts[3] = {0}, most = 0;
		for (int t = 0; t < 600; t++) {
			double swing = 0.3 * sin(t / 50.0), p[] = {0.5 + swing, 0.3 - swing / 2, 0.2 - swing / 2};
			double share = t < 300 ? 0.1 : 0.25;
			struct request request = request_draw(&rng, 3, share, p, p);
			categorical_add(&one, &three, share, request.a, request.b);
			counts[draw(&rng, steady, 3)]++;
			if (t % 5 == 0)
				most = fmax(most, categorical_fit_log_e(&three, steady, counts));
		}
		alarms += one.log_max >= log(20);
		fit_alarms += most >= log(20);
	}
	assert_in_range(alarms, 0, 36);
	assert_in_range(fit_alarms, 0, 36);
}

/* Two distributions whose total variation is `tv`, exactly. */
static void pair_of(struct rng *rng, size_t n, double tv, double *p_a, double *p_b)
{
	double sum_a = 0, common[CATEGORIES_MAX], sum = 0;
	size_t cut = 1 + rng_below(rng, n - 1);
	for (size_t j = 0; j < n; j++)
		sum += common[j] = uniform(rng);
	for (size_t j = 0; j < cut; j++)
		sum_a += common[j];
	for (size_t j = 0; j < n; j++) {
		double shared = (1 - tv) * common[j] / sum;
		p_a[j] = shared + (j < cut ? tv * common[j] / sum_a : 0);
		p_b[j] = shared + (j < cut ? 0 : tv * common[j] / (sum - sum_a));
	}
}

/* At the null's boundary the expectation of each bet's factor is at most 1 (for fine: exactly 1 on the set where the arms differ), summed over all
 * outcomes of one request after a random past. */
static void bets_on_drift_are_fair(void **state)
{
	(void)state;
	enum { N = 6 };
	struct rng rng;
	rng_seed(&rng, 20260311);
	for (int round = 0; round < 100; round++) {
		double limit = 0.02 + 0.4 * uniform(&rng), share = 0.02 + 0.9 * uniform(&rng), p_a[N], p_b[N];
		pair_of(&rng, N, limit, p_a, p_b);
		struct drift past = {0};
		for (int t = 0; t < 30; t++) {
			struct request request = request_draw(&rng, N, share, p_a, p_b);
			drift_add(&past, N, limit, share, request.a, request.b);
		}
		double worse[DRIFT_BETS] = {0}, fine[DRIFT_BETS] = {0};
		for (size_t outcome = 0; outcome < 2 * N; outcome++) {
			size_t j = outcome / 2;
			struct request request = {0};
			(outcome % 2 ? request.b : request.a)[j] = 1;
			double chance = outcome % 2 ? share * p_b[j] : (1 - share) * p_a[j];
			struct drift next = past;
			drift_add(&next, N, limit, share, request.a, request.b);
			for (size_t i = 0; i < DRIFT_BETS; i++) {
				double gain = next.out[i] - past.out[i];
				for (size_t k = 0; k < N; k++)
					gain += p_b[k] > p_a[k] ? next.in[i][k] - past.in[i][k] : 0;
				fine[i] += chance * exp(gain);
				worse[i] += chance * exp(next.worse[i] - past.worse[i]);
			}
		}
		for (size_t i = 0; i < DRIFT_BETS; i++) {
			assert_true(worse[i] <= 1 + 1e-12);
			assert_near(fine[i], 1, 1e-9);
		}
	}
}

/* The least over sets, category by category, is the least over all of them. */
static void the_least_set_is_found(void **state)
{
	(void)state;
	enum { N = 5 };
	struct rng rng;
	rng_seed(&rng, 20260312);
	double p_a[N], p_b[N];
	pair_of(&rng, N, 0.2, p_a, p_b);
	struct drift drift = {0};
	for (int t = 0; t < 500; t++) {
		struct request request = request_draw(&rng, N, 0.3, p_a, p_b);
		drift_add(&drift, N, 0.1, 0.3, request.a, request.b);
	}
	double sum = 0;
	for (size_t i = 0; i < DRIFT_BETS; i++) {
		double least = (double)INFINITY;
		for (unsigned set = 0; set < 1U << N; set++) {
			double value = drift.out[i];
			for (size_t j = 0; j < N; j++)
				value += set >> j & 1U ? drift.in[i][j] : 0;
			least = fmin(least, value);
		}
		sum += exp(least) / DRIFT_BETS;
	}
	assert_near(drift_fine(&drift, N), log(sum), 1e-9);
}

struct tally {
	int worse, fine;
	double median_worse, median_fine;
};

static struct tally drift_runs(struct rng *rng, int runs, int requests, size_t n, double tv, double limit, double share, int block)
{
	struct tally tally = {0};
	double worse_at[500], fine_at[500];
	for (int run = 0; run < runs; run++) {
		double p_a[CATEGORIES_MAX], p_b[CATEGORIES_MAX];
		for (size_t j = 0; j < n; j++) {
			p_a[j] = 1 / (double)n;
			p_b[j] = p_a[j] + (j < n / 2 ? tv : -tv) / (double)(n / 2);
		}
		struct drift drift = {0};
		worse_at[run] = fine_at[run] = (double)INFINITY;
		for (int t = 0; t < requests; t += block) {
			struct request sum = {0};
			for (int i = 0; i < block; i++) {
				if (uniform(rng) < share)
					sum.b[draw(rng, p_b, n)]++;
				else
					sum.a[draw(rng, p_a, n)]++;
			}
			drift_add(&drift, n, limit, share, sum.a, sum.b);
			if (drift.max_worse >= log(20) && isinf(worse_at[run]))
				worse_at[run] = t + block;
			if (drift.max_fine >= log(20) && isinf(fine_at[run]))
				fine_at[run] = t + block;
		}
		tally.worse += isfinite(worse_at[run]);
		tally.fine += isfinite(fine_at[run]);
	}
	qsort(worse_at, (size_t)runs, sizeof(worse_at[0]), by_size);
	qsort(fine_at, (size_t)runs, sizeof(fine_at[0]), by_size);
	tally.median_worse = worse_at[runs / 2];
	tally.median_fine = fine_at[runs / 2];
	return tally;
}

static void drift_is_judged_against_its_limit(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 20260313);
	/* At the limit neither may be said: a look at each request, 500 runs, at most 36. */
	struct tally at_limit = drift_runs(&rng, 500, 400, 4, 0.1, 0.1, 0.3, 1);
	assert_in_range(at_limit.worse, 0, 36);
	assert_in_range(at_limit.fine, 0, 36);
	/* Two categories, where the least set gives nothing away. */
	at_limit = drift_runs(&rng, 500, 1000, 2, 0.2, 0.2, 0.5, 10);
	assert_in_range(at_limit.worse, 0, 36);
	assert_in_range(at_limit.fine, 0, 36);
	/* The header's numbers: 10 categories, limit 0.1, 10:90. */
	struct tally same = drift_runs(&rng, 21, 16000, 10, 0, 0.1, 0.1, 100);
	assert_true(same.worse == 0 && same.fine >= 20);
	assert_in_range(same.median_fine, 6500, 9500);
	struct tally apart = drift_runs(&rng, 21, 8000, 10, 0.3, 0.1, 0.1, 100);
	assert_true(apart.fine == 0 && apart.worse == 21);
	assert_in_range(apart.median_worse, 900, 1900);
}

/* numpy: w = (-1/(1-p), 1/p), rho(v) = v/(2 log(1/alpha)+log(1+2 log(1/alpha))), V = diag(n)/4, W1 = outer(w,w)/rho(n_opt/4 (1/p+1/(1-p))) +
 * diag(.32/(n_opt (1-p)), .32/(n_opt p)), W2 = diag(1/rho(n_opt (1-p)/4), 1/rho(n_opt p/4)), c = (-1/n_a, 1/n_b), radius the smaller of
 * sqrt((2 log(1/(share alpha))+log(det(I+W@V)))*(c@(V+inv(W))@c)) for (W1, .8), (W2, .2); alpha .025 above, .025/3 below */
static void bounds_are_numpys(void **state)
{
	(void)state;
	const double a[] = {630, 180, 90}, b[] = {60, 25, 15}, far_a[] = {9000, 500, 500}, far_b[] = {100, 400, 500}, none[] = {0, 0, 0};
	const struct drift_plan plan = {.share = 0.1, .n_opt = 1000};
	struct drift_bounds bounds = tv_bounds(3, a, b, &plan, 0.05);
	assert_near(tv_estimate(3, a, b), 0.1, 1e-12);
	assert_near(bounds.high, 0.27741137176032804, 1e-9);
	assert_true(bounds.low == 0);
	bounds = tv_bounds(3, far_a, far_b, &plan, 0.05);
	assert_near(bounds.high, 0.8602227650448018, 1e-9);
	assert_near(bounds.low, 0.7344916002605953, 1e-9);
	/* ((pb-pa)*log(pb/pa)).sum() */
	assert_near(psi_estimate(3, far_a, far_b, 0), 3.5217474933042388, 1e-12);
	bounds = psi_bounds(3, far_a, far_b, &plan, 0, 0.05);
	assert_true(bounds.low > 2 && bounds.low < 3.5217474933042388 && bounds.high > 3.5217474933042388 && bounds.high < 6);
	bounds = tv_bounds(3, a, none, &plan, 0.05);
	assert_true(bounds.low == 0 && bounds.high == 1);
	bounds = psi_bounds(3, none, none, &plan, 0, 0.05);
	assert_true(bounds.low == 0 && isinf(bounds.high));
	bounds = psi_bounds(3, none, none, &plan, 1e-4, 0.05);
	assert_true(bounds.low == 0 && isfinite(bounds.high));
	const double gone[] = {0, 5, 5}, there[] = {5, 5, 0};
	assert_true(isinf(psi_estimate(3, gone, there, 0)) && isfinite(psi_estimate(3, gone, there, 1e-4)));
}

/* Total variation v of any two distributions comes with a PSI of at least 2v ln((1+v)/(1-v)). */
static void psi_is_at_least_what_total_variation_says(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 20260314);
	for (int round = 0; round < 2000; round++) {
		double v = 0.9 * uniform(&rng), p_a[5], p_b[5];
		pair_of(&rng, 5, v, p_a, p_b);
		assert_near(tv_estimate(5, p_a, p_b), v, 1e-9);
		assert_true(psi_estimate(5, p_a, p_b, 0) >= 2 * v * log((1 + v) / (1 - v)) - 1e-9);
	}
	const double left[] = {0.6, 0.4}, right[] = {0.4, 0.6};
	assert_near(psi_estimate(2, left, right, 0), 0.4 * log(1.2 / 0.8), 1e-12);
}

/* 500 runs of 1,500 requests with a look at every fifth (PSI: every 250th): at alpha 0.1 in all, 0.05 a side, the truth is left at some look in at
 * most 36 on each side. */
static void bounds_cover_at_every_look(void **state)
{
	(void)state;
	enum { N = 4 };
	const struct drift_plan plan = {.share = 0.3, .n_opt = 1000};
	struct rng rng;
	rng_seed(&rng, 20260315);
	int low = 0, high = 0, psi = 0;
	for (int run = 0; run < 500; run++) {
		double p_a[N], p_b[N], a[N] = {0}, b[N] = {0}, v = run % 2 ? 0.05 : 0.3;
		pair_of(&rng, N, v, p_a, p_b);
		double truth = psi_estimate(N, p_a, p_b, 1e-4);
		int below = 0, above = 0, psi_out = 0;
		for (int t = 1; t <= 1500; t++) {
			if (uniform(&rng) < 0.3)
				b[draw(&rng, p_b, N)]++;
			else
				a[draw(&rng, p_a, N)]++;
			if (t % 5)
				continue;
			struct drift_bounds bounds = tv_bounds(N, a, b, &plan, 0.1);
			below |= bounds.high < v;
			above |= bounds.low > v;
			if (t % 250)
				continue;
			bounds = psi_bounds(N, a, b, &plan, 1e-4, 0.1);
			psi_out |= bounds.low > truth || bounds.high < truth;
		}
		low += above;
		high += below;
		psi += psi_out;
	}
	assert_in_range(low, 0, 36);
	assert_in_range(high, 0, 36);
	assert_in_range(psi, 0, 66); /* scipy.stats.binom.ppf(.99, 500, .1) */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(evidence_is_scipys),
		cmocka_unit_test(medians_are_those_of_the_planning_table),
		cmocka_unit_test(alarms_are_rare_at_every_look),
		cmocka_unit_test(bets_on_drift_are_fair),
		cmocka_unit_test(the_least_set_is_found),
		cmocka_unit_test(drift_is_judged_against_its_limit),
		cmocka_unit_test(bounds_are_numpys),
		cmocka_unit_test(psi_is_at_least_what_total_variation_says),
		cmocka_unit_test(bounds_cover_at_every_look),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
