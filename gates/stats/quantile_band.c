#include "gates/stats/quantile_band.h"

#include "gates/stats/mixture.h"

#include <math.h>

#define LEADING 0.85 /* the paper's choice of A */

double histogram_total(const struct histogram *histogram)
{
	double sum = 0;
	for (size_t i = 0; i <= histogram->n_edges; i++)
		sum += histogram->counts[i];
	return sum;
}

/* ---- bands for the whole distribution ---- */

static double error_at(double constant, double eta)
{
	double root = LEADING - sqrt(2 * (eta - 1) / constant);
	double g = 2 / eta * root * root;
	if (root <= 0 || g <= 1)
		return (double)INFINITY;
	return 4 * exp(-g * constant) * (1 + 1 / ((g - 1) * log(eta)));
}

double dkw_error(double constant)
{
	if (!(constant > 0))
		return (double)INFINITY;
	/* g(eta) falls from 2 A^2 = 1.445; where it meets 1 the bound ends. */
	double low = 1, high = 2 * LEADING * LEADING;
	for (int i = 0; i < 100; i++) {
		double middle = (low + high) / 2;
		if (sqrt(middle / 2) + sqrt(2 * (middle - 1) / constant) < LEADING)
			low = middle;
		else
			high = middle;
	}
	/* Unimodal in between (infinite at both ends): golden section. Any eta is valid, so an inexact least costs sharpness only. */
	const double golden = 0.6180339887498949;
	double left = 1, right = low, x = right - golden * (right - left), y = left + golden * (right - left);
	double at_x = error_at(constant, x), at_y = error_at(constant, y);
	for (int i = 0; i < 80; i++) {
		if (at_x < at_y) {
			right = y;
			y = x;
			at_y = at_x;
			x = right - golden * (right - left);
			at_x = error_at(constant, x);
		} else {
			left = x;
			x = y;
			at_x = at_y;
			y = left + golden * (right - left);
			at_y = error_at(constant, y);
		}
	}
	return fmin(at_x, at_y);
}

double dkw_constant(double alpha)
{
	double low = 0, high = 8;
	while (dkw_error(high) > alpha)
		high *= 2;
	for (int i = 0; i < 60; i++) {
		double middle = (low + high) / 2;
		if (dkw_error(middle) > alpha)
			low = middle;
		else
			high = middle;
	}
	return high;
}

static double radius(const struct dkw *dkw, double t, double constant)
{
	if (!(t >= dkw->t_min))
		return (double)INFINITY;
	return LEADING * sqrt((log1p(log(t / dkw->t_min)) + constant) / t);
}

static double constant_of(const struct dkw *dkw, double alpha)
{
	/* The closed form is a bound for alpha up to 0.49 only. */
	return dkw->closed_form && alpha < 0.4 ? 0.8 * log(1612 / alpha) : dkw_constant(alpha);
}

double dkw_radius(const struct dkw *dkw, double t, double alpha)
{
	if (!(t >= dkw->t_min))
		return (double)INFINITY;
	return radius(dkw, t, constant_of(dkw, alpha));
}

double histogram_gap(const struct histogram *a, const struct histogram *b, enum dkw_gap kind)
{
	double n_a = histogram_total(a), n_b = histogram_total(b), sum_a = 0, sum_b = 0, widest = 0;
	if (!(n_a > 0) || !(n_b > 0))
		return 0;
	for (size_t i = 0; i < a->n_edges; i++) {
		sum_a += a->counts[i];
		sum_b += b->counts[i];
		double gap = sum_a / n_a - sum_b / n_b;
		widest = fmax(widest, kind == GAP_EQUALITY ? fabs(gap) : gap);
	}
	return widest;
}

double dkw_p_value(const struct dkw *dkw, double gap, double n_a, double n_b)
{
	if (!(n_a >= dkw->t_min) || !(n_b >= dkw->t_min))
		return 1;
	/* The largest C at which the gap still stands out; alpha falls with C. */
	double low = 0, high = 1;
	while (radius(dkw, n_a, high) + radius(dkw, n_b, high) < gap && high < 1e9)
		high *= 2;
	for (int i = 0; i < 100; i++) {
		double middle = (low + high) / 2;
		if (radius(dkw, n_a, middle) + radius(dkw, n_b, middle) < gap)
			low = middle;
		else
			high = middle;
	}
	double alpha = 2 * (dkw->closed_form ? 1612 * exp(-high / 0.8) : dkw_error(high));
	return alpha < 0.8 ? alpha : 1; /* alpha / 2 up to 0.4, where both forms hold */
}

/* ---- intervals of quantiles ---- */

/* The bucket of the order statistic with this rank (1 .. n). */
static size_t bucket_of_rank(const struct histogram *histogram, double rank)
{
	double sum = 0;
	for (size_t i = 0; i < histogram->n_edges; i++) {
		sum += histogram->counts[i];
		if (sum >= rank)
			return i;
	}
	return histogram->n_edges;
}

static double bucket_low(const struct histogram *histogram, size_t bucket)
{
	return bucket ? histogram->edges[bucket - 1] : -(double)INFINITY;
}

static double bucket_high(const struct histogram *histogram, size_t bucket)
{
	return bucket < histogram->n_edges ? histogram->edges[bucket] : (double)INFINITY;
}

struct quantile_interval dkw_quantile(const struct dkw *dkw, const struct histogram *histogram, double q, double alpha)
{
	struct quantile_interval interval = {-(double)INFINITY, (double)INFINITY};
	double n = histogram_total(histogram), d = dkw_radius(dkw, n, alpha);
	if (!isfinite(d))
		return interval;
	double first = floor(n * (q - d)) + 1, last = ceil(n * (q + d));
	if (first >= 1)
		interval.low = bucket_low(histogram, bucket_of_rank(histogram, first));
	if (last <= n)
		interval.high = bucket_high(histogram, bucket_of_rank(histogram, last));
	return interval;
}

struct quantile_interval dkw_quantile_difference(const struct dkw *dkw, const struct histogram *a, const struct histogram *b, double q, double alpha)
{
	struct quantile_interval of_a = dkw_quantile(dkw, a, q, alpha / 2), of_b = dkw_quantile(dkw, b, q, alpha / 2);
	return (struct quantile_interval){of_b.low - of_a.high, of_b.high - of_a.low};
}

/* ---- one fixed quantile ---- */

/* One arm's mixture at a count up to x: two-sided, or one-sided towards more (sign 1) or fewer (-1) than q n requests up to x. */
struct arm {
	struct beta_binomial mixture;
	double q, n;
	int sign;      /* 0: two-sided */
	double lowest; /* the count at which ln E is least */
};

static double arm_log(const struct arm *arm, double below)
{
	double s = below - arm->q * arm->n;
	return beta_binomial_log(&arm->mixture, arm->sign < 0 ? -s : s, arm->q * (1 - arm->q) * arm->n);
}

static void arm_init(struct arm *arm, const struct fixed_quantile *test, double n, int sign)
{
	double q = test->q;
	*arm = (struct arm){.q = q, .n = n, .sign = sign};
	/* The mirrored steps q - 1{x} lie between -(1 - q) and q. */
	beta_binomial_init(&arm->mixture, test->t_opt * q * (1 - q), test->alpha_opt, sign < 0 ? 1 - q : q, sign < 0 ? q : 1 - q,
			   sign ? MIXTURE_ONE_SIDED : MIXTURE_TWO_SIDED);
	if (sign) {
		arm->lowest = sign > 0 ? 0 : n;
		return;
	}
	/* ln E is convex in the count (a mixture of exponentials): golden section. */
	const double golden = 0.6180339887498949;
	double left = 0, right = n;
	for (int i = 0; i < 40; i++) {
		double x = right - golden * (right - left), y = left + golden * (right - left);
		if (arm_log(arm, x) < arm_log(arm, y))
			right = y;
		else
			left = x;
	}
	arm->lowest = (left + right) / 2;
}

/* The least of ln E over counts between two. */
static double arm_least(const struct arm *arm, double low, double high)
{
	return arm_log(arm, fmin(fmax(arm->lowest, low), high));
}

static double least_product(const struct fixed_quantile *test, const struct histogram *a, const struct histogram *b, int sign)
{
	struct arm arm_a, arm_b;
	double n_a = histogram_total(a), n_b = histogram_total(b), below_a = 0, below_b = 0, least = (double)INFINITY;
	if (!(n_a > 0) && !(n_b > 0))
		return 0;
	arm_init(&arm_a, test, n_a, sign);
	arm_init(&arm_b, test, n_b, -sign);
	for (size_t i = 0; i <= a->n_edges; i++) {
		double value = arm_least(&arm_a, below_a, below_a + a->counts[i]) + arm_least(&arm_b, below_b, below_b + b->counts[i]);
		least = fmin(least, value);
		below_a += a->counts[i];
		below_b += b->counts[i];
	}
	return least;
}

double quantile_ab_log_e(const struct fixed_quantile *test, const struct histogram *a, const struct histogram *b)
{
	return least_product(test, a, b, 0);
}

/* B larger: were Q_B <= Q_A, then at any x in [Q_B, Q_A) F_A(x) <= q <= F_B(x) would hold: bet on more of A's and fewer of B's requests up to x. */
double quantile_order_log_e(const struct fixed_quantile *test, const struct histogram *a, const struct histogram *b,
			    enum quantile_direction alternative)
{
	return least_product(test, a, b, alternative == QUANTILE_B_LARGER ? 1 : -1);
}

double fixed_quantile_edge_log_e(const struct fixed_quantile *test, double below, double n)
{
	struct arm arm;
	arm_init(&arm, test, n, 0);
	return arm_log(&arm, below);
}

struct quantile_interval fixed_quantile_interval(const struct fixed_quantile *test, const struct histogram *histogram, double alpha)
{
	struct quantile_interval interval = {-(double)INFINITY, (double)INFINITY};
	double n = histogram_total(histogram), threshold = -log(alpha), below = 0;
	if (!(n > 0))
		return interval;
	struct arm arm;
	arm_init(&arm, test, n, 0);
	int seen = 0;
	for (size_t i = 0; i <= histogram->n_edges; i++) {
		int stands = arm_least(&arm, below, below + histogram->counts[i]) < threshold;
		below += histogram->counts[i];
		if (stands && !seen)
			interval.low = bucket_low(histogram, i);
		if (stands)
			interval.high = bucket_high(histogram, i);
		seen = seen || stands;
	}
	return interval;
}
