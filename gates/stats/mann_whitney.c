#include "gates/stats/mann_whitney.h"

#include "gates/stats/normal.h"
#include "gates/stats/rng.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;
	return (a > b) - (a < b);
}

/* Both arrays sorted: a shift keeps x in order, so that ranking is one merge. */
struct samples {
	const double *x, *y;
	size_t m, n;
};

struct ranks {
	double sum_x, ties; /* ties: sum of t^3 - t */
};

static struct ranks rank(const struct samples *samples, double mu)
{
	struct ranks ranks = {0, 0};
	size_t i = 0, j = 0;
	while (i < samples->m || j < samples->n) {
		double next = i < samples->m ? samples->x[i] - mu : samples->y[j];
		if (j < samples->n && samples->y[j] < next)
			next = samples->y[j];
		size_t i_0 = i, j_0 = j;
		while (i < samples->m && samples->x[i] - mu == next)
			i++;
		while (j < samples->n && samples->y[j] == next)
			j++;
		double t = (double)(i - i_0 + j - j_0);
		ranks.sum_x += (double)(i - i_0) * ((double)(i_0 + j_0) + (t + 1) / 2);
		ranks.ties += t * t * t - t;
	}
	return ranks;
}

static double w_of(const struct samples *samples, double mu)
{
	double m = (double)samples->m, n = (double)samples->n;
	struct ranks ranks = rank(samples, mu);
	double d = ranks.sum_x - m * (m + 1) / 2 - m * n / 2;
	double sigma = sqrt(m * n / 12 * ((m + n + 1) - ranks.ties / ((m + n) * (m + n - 1))));
	return sigma > 0 ? (d - 0.5 * ((d > 0) - (d < 0))) / sigma : NAN;
}

/* ---- Brent's root finder (Algorithms for Minimization without Derivatives, 1973, chapter 4), with the tolerance and the end of R's uniroot ---- */

#define TOLERANCE 1e-4
#define ROUNDS 1000

/* The step from b by the secant (two different points) or inverse quadratic interpolation (three), or half the bracket if that is too bold. */
static double interpolated(double a, double fa, double b, double fb, double c, double fc, double half, double before, double least)
{
	if (fabs(before) < least || fabs(fa) <= fabs(fb))
		return half;
	double s = fb / fa, p, q;
	if (a == c) {
		p = 2 * half * s;
		q = 1 - s;
	} else {
		double u = fa / fc, v = fb / fc;
		p = s * (2 * half * u * (u - v) - (b - a) * (v - 1));
		q = (u - 1) * (v - 1) * (s - 1);
	}
	if (p > 0)
		q = -q;
	else
		p = -p;
	return p < 1.5 * half * q - fabs(least * q) / 2 && p < fabs(before * q / 2) ? p / q : half;
}

static double root(const struct samples *samples, double low, double high, double z)
{
	double a = low, b = high, fa = w_of(samples, a) - z, fb = w_of(samples, b) - z, c = a, fc = fa;
	for (int round = 0; round < ROUNDS; round++) {
		double before = b - a;
		if (fabs(fc) < fabs(fb)) { /* b is the best guess */
			a = b, b = c, c = a;
			fa = fb, fb = fc, fc = fa;
		}
		double least = 2 * DBL_EPSILON * fabs(b) + TOLERANCE / 2, half = (c - b) / 2;
		if (fabs(half) <= least || fb == 0)
			return b;
		double step = interpolated(a, fa, b, fb, c, fc, half, before, least);
		if (fabs(step) < least)
			step = step > 0 ? least : -least;
		a = b, fa = fb;
		b += step;
		fb = w_of(samples, b) - z;
		if ((fb > 0 && fc > 0) || (fb < 0 && fc < 0))
			c = a, fc = fa;
	}
	return b;
}

static double end(const struct samples *samples, double low, double high, double z)
{
	if (w_of(samples, low) - z <= 0)
		return low;
	if (w_of(samples, high) - z >= 0)
		return high;
	return root(samples, low, high, z);
}

static void sorted_copy(double *to, const double *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = isnan(from[i]) ? INFINITY : from[i];
	qsort(to, n, sizeof(*to), ascending);
}

bool mann_whitney(const double *x, size_t m, const double *y, size_t n, double confidence, double *work, struct mann_whitney *ret)
{
	if (m == 0 || n == 0)
		return false;
	sorted_copy(work, x, m);
	sorted_copy(work + m, y, n);
	struct samples samples = {.x = work, .y = work + m, .m = m, .n = n};
	double low = work[0] - work[m + n - 1], high = work[m - 1] - work[m];
	/* An infinite point (NaN counts as one) leaves nothing to search; sigma is 0 only if all is tied. */
	if (!isfinite(low) || !isfinite(high) || isnan(w_of(&samples, low)) || isnan(w_of(&samples, high)))
		return false;
	double z = normal_quantile(1 - (1 - confidence) / 2), w = w_of(&samples, 0);
	double m_d = (double)m, n_d = (double)n;
	*ret = (struct mann_whitney){
		.low = end(&samples, low, high, z),
		.high = end(&samples, low, high, -z),
		.estimate = root(&samples, low, high, 0),
		.w = w,
		.p = isnan(w) ? 1 : normal_two_sided_p(w),
		.cles = (2 * rank(&samples, 0).sum_x - m_d * (m_d + 1)) / (2 * m_d * n_d),
	};
	return true;
}

/* ---- Kayenta's verdict ---- */

static bool constant(const double *values, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (values[i] != values[0])
			return false;
	return true;
}

static double mean(const double *values, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += values[i];
	return sum / (double)n;
}

static void jitter(double *values, size_t n, struct rng *rng)
{
	for (size_t i = 0; i < n; i++)
		values[i] += values[i] * 1e-5 * normal_quantile(((double)(rng_next(rng) >> 11) + 0.5) * 0x1p-53);
}

static bool equal_sets(const double *x, size_t m, const double *y, size_t n, double *work)
{
	sorted_copy(work, x, m);
	sorted_copy(work + m, y, n);
	return m == n && memcmp(work, work + m, n * sizeof(*work)) == 0;
}

enum canary_class canary_classify(const double *x, size_t m, const double *y, size_t n, enum canary_direction direction, uint64_t seed,
				  double *work, struct mann_whitney *ret)
{
	if (m == 0 || n == 0)
		return CANARY_NODATA;
	if (equal_sets(x, m, y, n, work) || (constant(x, m) && constant(y, n) && x[0] == y[0]))
		return CANARY_PASS;
	double *x_used = work + m + n, *y_used = x_used + m;
	memcpy(x_used, x, m * sizeof(*x));
	memcpy(y_used, y, n * sizeof(*y));
	if (constant(x, m) && constant(y, n)) {
		struct rng rng;
		rng_seed(&rng, seed);
		jitter(x_used, m, &rng);
		jitter(y_used, n, &rng);
	}
	if (!mann_whitney(x_used, m, y_used, n, 0.98, work, ret))
		return CANARY_ERROR;
	double mean_x = mean(x_used, m), mean_y = mean(y_used, n), effect = mean_x == 0 || mean_y == 0 ? NAN : mean_x / mean_y;
	double bound = 0.25 * fabs(ret->estimate);
	if (direction != CANARY_DECREASE && ret->low > bound && (isnan(effect) || effect >= 1))
		return CANARY_HIGH;
	if (direction != CANARY_INCREASE && ret->high < -bound && (isnan(effect) || effect <= 1))
		return CANARY_LOW;
	return CANARY_PASS;
}
