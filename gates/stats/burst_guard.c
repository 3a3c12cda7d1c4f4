#include "gates/stats/burst_guard.h"

#include "gates/stats/beta.h"

#include <math.h>
#include <string.h>

/* Noise ratios of the two arms within a window, the last standing for everything beyond; and odds of the alternatives against the edge of the
 * margin: on the same grid, so that in a window with many errors the ratio that was realised has an alternative as near as it has a null. */
static const double worse_ratios[BURST_NODES] = {0.5, 0.7, 0.85, 1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8, 12, 20, 40, 100, 400, 2500, INFINITY};
static const double worse_odds[BURST_ALTERNATIVES] = {1.25, 1.6, 2, 2.5, 3.2, 4, 6.4, 12, 40, 100, 400, 2500};
/* Fine: the same upside down. */
static const double fine_ratios[BURST_NODES] = {2, 1 / 0.7, 1 / 0.85, 1, 1 / 1.25, 1 / 1.6, 0.5, 0.4, 1 / 3.2, 0.25,
						0.2, 1 / 6.4, 0.125, 1.0 / 12, 0.05, 0.025, 0.01, 0.0025, 0.0004, 0};
static const double fine_odds[BURST_ALTERNATIVES] = {1 / 1.25, 1 / 1.6, 0.5, 0.4, 1 / 3.2, 0.25, 1 / 6.4, 1.0 / 12, 0.025, 0.01, 0.0025, 0.0004};

static const double *node_ratios(enum block_null null)
{
	return null == NULL_NOT_WORSE ? worse_ratios : fine_ratios;
}

static const double *alternative_odds(enum block_null null)
{
	return null == NULL_NOT_WORSE ? worse_odds : fine_odds;
}

static const double stakes[BURST_STAKES] = {0.1, 0.35, 0.7, 0.95};

#define LIMIT_Z 1.645
#define MOST_CV2 1.0
#define LEAST_CV2 0.01
#define SEEN_FACTOR 1.5 /* windows and bursts do not begin together: two half bursts vary less than one */
#define SPREAD 10 /* how much less noise the alternatives carry than the null: between power without noise (100) and caution (1) */
#define MOST_SHAPE 1e9 /* no noise, as far as the grid can tell; larger ones take ever longer */
#define FADE 0.8 /* a window */
#define LEAST_WEIGHT 1e-9

/* ---- the block's factor ---- */

/* The point (a, ratio a + margin) of the null's boundary that minimises n_a KL(alt_a || a) + n_b KL(alt_b || ratio a + margin): the
 * Poisson form is a quadratic equation and a start; Newton's steps on the binomial form, kept inside their bracket, end it. */
static double boundary(double n_a, double n_b, double alt_a, double alt_b, double ratio, double margin)
{
	if (!(ratio > 0))
		return alt_a; /* only the candidate's rate is bound */
	double own = (fmin(alt_b, 1) - margin) / ratio, low = fmax(fmin(alt_a, own), 0), high = fmin(fmax(alt_a, own), fmin(1, (1 - margin) / ratio));
	double square = ratio * (n_a + n_b * ratio);
	double linear = n_a * margin - n_a * alt_a * ratio + n_b * ratio * (margin - alt_b);
	double a = (-linear + sqrt(linear * linear + 4 * square * n_a * alt_a * margin)) / (2 * square);
	for (int i = 0; i < 60; i++) {
		if (!(a > low && a < high))
			a = low + (high - low) / 2;
		double b = ratio * a + margin, va = a * (1 - a), vb = b * (1 - b);
		double slope = n_a * (a - alt_a) / va + ratio * n_b * (b - alt_b) / vb;
		if (slope < 0)
			low = a;
		else
			high = a;
		double curve = n_a * (va - (a - alt_a) * (1 - 2 * a)) / (va * va) +
			       ratio * ratio * n_b * (vb - (b - alt_b) * (1 - 2 * b)) / (vb * vb);
		double step = slope / curve;
		if (fabs(step) < 1e-9 * a || high - low < 1e-12 * a)
			break;
		a -= step; /* quadratic from here: the point is exact to 1e-16 once a step is below 1e-9 */
	}
	return a;
}

/* An arm's part of the factor; the alternative's logarithms are the same for every node. */
struct alternative {
	double rate, log_rate, log_rest;
};

static struct alternative alternative_of(double rate)
{
	return (struct alternative){.rate = rate, .log_rate = log(rate), .log_rest = log1p(-rate)};
}

static double log_ratio(double n, double y, const struct alternative *alt, double theta)
{
	return (y > 0 ? y * (alt->log_rate - log(theta)) : 0) + (n > y ? (n - y) * (alt->log_rest - log1p(-theta)) : 0);
}

struct pooled {
	double n, y, squares; /* squares: of n, for the effective number of instances */
};

static struct pooled pool(const struct instance_counts *counts, size_t n)
{
	struct pooled sum = {0, 0, 0};
	for (size_t i = 0; i < n; i++) {
		double requests = (double)counts[i].n;
		sum.n += requests;
		sum.y += fmin((double)counts[i].y, requests);
		sum.squares += requests * requests;
	}
	return sum;
}

/* ---- the noise ---- */

/* An upper limit for the squared coefficient of variation: the variance of a gamma variable's estimate by Wilson and Hilferty's chi-square,
 * with fewer degrees of freedom the more skewed the noise may be. 1 at first: more is believed when seen, less when shown. */
static double noise_cv2(const struct burst_guard *guard)
{
	if (!(guard->noise_weight > 0))
		return MOST_CV2;
	double seen = SEEN_FACTOR * guard->noise_sum / guard->noise_weight, counts = guard->noise_counts / guard->noise_weight, limit = MOST_CV2;
	for (int i = 0; i < 20; i++) {
		double freedom = guard->noise_weight / (1 + 3 * limit), c = 2 / (9 * freedom), root = 1 - c - LIMIT_Z * sqrt(c);
		double next = root > 0.05 ? fmax(seen + counts, 0.2 * counts) / (root * root * root) - counts : MOST_CV2;
		limit = fmin(limit, fmax(next, LEAST_CV2));
	}
	return fmax(seen, limit);
}

/* P(noise ratio beyond `ratio`, upwards for worse and downwards for fine): both arms' mean noise is gamma with shape k / cv2, so
 * candidate's part of the sum is beta. */
static double noise_tail(double ratio, double shape_stable, double shape_candidate, enum block_null null)
{
	if (isinf(ratio) || !(ratio > 0))
		return 0;
	shape_stable = fmin(shape_stable, MOST_SHAPE);
	shape_candidate = fmin(shape_candidate, MOST_SHAPE);
	double sum = shape_stable + ratio * shape_candidate, of_stable = shape_stable / sum, of_candidate = ratio * shape_candidate / sum;
	return exp(null == NULL_NOT_WORSE ? log_incomplete_beta(shape_stable, shape_candidate, of_stable, of_candidate)
					  : log_incomplete_beta(shape_candidate, shape_stable, of_candidate, of_stable));
}

/* The noise that makes the null's ratio uncertain does the same to the alternative's: row i spreads alternative i over all of them; what
 * falls near 1 or beyond is not bet. Without this an alternative without noise would win against a null with more noise than there is. */
static void spread_alternatives(struct burst_guard *guard, double shape_stable, double shape_candidate, enum block_null null)
{
	const double *odds = alternative_odds(null);
	double last = null == NULL_NOT_WORSE ? INFINITY : 0;
	for (size_t i = 0; i < BURST_ALTERNATIVES; i++) {
		double before = noise_tail(sqrt(odds[0]) / odds[i], shape_stable, shape_candidate, null);
		for (size_t k = 0; k < BURST_ALTERNATIVES; k++) {
			double edge = k + 1 < BURST_ALTERNATIVES ? sqrt(odds[k] * odds[k + 1]) : last;
			double tail = noise_tail(edge / odds[i], shape_stable, shape_candidate, null);
			guard->spread[i][k] = fmax(before - tail, 0);
			before = fmin(before, tail);
		}
	}
}

static double stable_rate(const struct burst_guard *guard)
{
	return (guard->past_y + 0.05) / (guard->past_n + 10);
}

static void open_window(struct burst_guard *guard, const struct pooled *stable, const struct pooled *candidate, double margin,
			enum block_null null)
{
	double cv2 = noise_cv2(guard), before = 1, noisy = stable_rate(guard) / (stable_rate(guard) + margin);
	double shape_a = stable->n * stable->n / stable->squares / cv2, shape_b = candidate->n * candidate->n / candidate->squares / cv2;
	memset(guard->log_factor, 0, sizeof(guard->log_factor));
	for (size_t j = 0; j < BURST_NODES; j++) {
		double tail = noise_tail(node_ratios(null)[j], shape_a, shape_b, null);
		guard->node_weight[j] = fmax(before - tail, 0);
		before = fmin(before, tail);
	}
	/* Only stable's part of the edge is noisy, the margin is not. */
	spread_alternatives(guard, SPREAD * shape_a / (noisy * noisy), SPREAD * shape_b / (noisy * noisy), null);
	guard->open = 1;
}

/* A squared coefficient of variation, free of the counts' own variance, and its weight: few counts say little. `spread` corrects for
 * dividing by the square of the same few instances' mean. */
static void learn(struct burst_guard *guard, double excess, double scale, double freedom, double mean, double spread)
{
	if (!(scale > 0) || !(mean > 0))
		return;
	double information = mean / (1 + mean), weight = freedom * information * information;
	guard->noise_sum += weight * spread * excess / scale;
	guard->noise_weight += weight;
	guard->noise_counts += weight / mean;
}

static void learn_from_window(struct burst_guard *guard)
{
	double n = 0, y = 0, count = 0, excess = 0, scale = 0;
	for (size_t i = 0; i < BURST_INSTANCES; i++) {
		n += guard->n[i];
		y += guard->y[i];
		count += guard->n[i] > 0;
	}
	if (!(n > 0))
		return;
	for (size_t i = 0; i < BURST_INSTANCES; i++) {
		double expected = y * guard->n[i] / n, rest = 1 - guard->n[i] / n, off = guard->y[i] - expected;
		excess += off * off - expected * rest;
		scale += expected * expected * rest;
	}
	if (count >= 2) {
		learn(guard, excess, scale, count - 1, y / count, (count + 1) / count);
	} else if (guard->last_n > 0) { /* one instance: against itself a window ago, drift of the load included */
		double all = n + guard->last_n, rate = (y + guard->last_y) / all;
		double mine = rate * n, theirs = rate * guard->last_n, share = n / all;
		double off = y - mine;
		learn(guard, 2 * off * off - 2 * mine * (1 - share), mine * mine * (1 - share) + theirs * theirs * share, 0.5,
		      (mine + theirs) / 2, 1.5);
	}
	guard->last_n = n;
	guard->last_y = y;
}

/* ---- evidence ---- */

/* 1 / sum_j w_j / e_j of alternative i. */
static double alternative_e(const struct burst_guard *guard, size_t i)
{
	double least = INFINITY, sum = 0;
	for (size_t j = 0; j < BURST_NODES; j++)
		if (guard->node_weight[j] > 0)
			least = fmin(least, guard->log_factor[i][j]);
	for (size_t j = 0; j < BURST_NODES; j++)
		if (guard->node_weight[j] > 0)
			sum += guard->node_weight[j] * exp(least - guard->log_factor[i][j]);
	return exp(fmin(least - log(sum), 600));
}

/* Each alternative's e-value with its noise, and their mean. */
static void window_e(const struct burst_guard *guard, double ret_e[BURST_ALTERNATIVES + 1])
{
	double point[BURST_ALTERNATIVES];
	for (size_t i = 0; i < BURST_ALTERNATIVES; i++)
		point[i] = alternative_e(guard, i);
	ret_e[BURST_ALTERNATIVES] = 0;
	for (size_t i = 0; i < BURST_ALTERNATIVES; i++) {
		ret_e[i] = 1;
		for (size_t k = 0; k < BURST_ALTERNATIVES; k++)
			ret_e[i] += guard->spread[i][k] * (point[k] - 1);
		ret_e[BURST_ALTERNATIVES] += ret_e[i] / BURST_ALTERNATIVES;
	}
}

double burst_guard_log_e(const struct burst_guard *guard)
{
	double e[BURST_ALTERNATIVES + 1], log_e[BURST_ALTERNATIVES + 1][BURST_STAKES], top = -INFINITY, kept = 0, anew = 0;
	if (guard->open > 0)
		window_e(guard, e);
	for (size_t i = 0; i <= BURST_ALTERNATIVES; i++)
		for (size_t s = 0; s < BURST_STAKES; s++) {
			log_e[i][s] = guard->log_done[i][s] + (guard->open > 0 ? log1p(stakes[s] * (e[i] - 1)) : 0);
			top = fmax(top, log_e[i][s]);
		}
	for (size_t s = 0; s < BURST_STAKES; s++) {
		for (size_t i = 0; i < BURST_ALTERNATIVES; i++)
			kept += exp(log_e[i][s] - top) / BURST_ALTERNATIVES;
		anew += exp(log_e[BURST_ALTERNATIVES][s] - top);
	}
	return top + log((kept + anew) / (2 * BURST_STAKES));
}

void burst_guard_end_window(struct burst_guard *guard)
{
	double e[BURST_ALTERNATIVES + 1];
	if (!(guard->open > 0))
		return;
	window_e(guard, e);
	for (size_t i = 0; i <= BURST_ALTERNATIVES; i++)
		for (size_t s = 0; s < BURST_STAKES; s++)
			guard->log_done[i][s] += log1p(stakes[s] * (e[i] - 1));
	learn_from_window(guard);
	memset(guard->n, 0, sizeof(guard->n));
	memset(guard->y, 0, sizeof(guard->y));
	guard->past_n *= FADE;
	guard->past_y *= FADE;
	guard->open = 0;
}

static void bet(struct burst_guard *guard, const struct pooled *stable, const struct pooled *candidate, double margin, enum block_null null)
{
	struct alternative a = alternative_of(stable_rate(guard));
	double edge = a.rate + margin, sign = null == NULL_NOT_WORSE ? 1 : -1;
	if (edge >= 1)
		return; /* no rate lies beyond the margin */
	for (size_t i = 0; i < BURST_ALTERNATIVES; i++) {
		double odds = alternative_odds(null)[i] * edge / (1 - edge);
		struct alternative b = alternative_of(odds / (1 + odds));
		for (size_t j = 0; j < BURST_NODES; j++) {
			double ratio = node_ratios(null)[j];
			if (guard->node_weight[j] < LEAST_WEIGHT || !(sign * (b.rate - margin) > sign * ratio * a.rate))
				continue;
			double theta_a = boundary(stable->n, candidate->n, a.rate, b.rate, ratio, margin), theta_b = ratio * theta_a + margin;
			if (theta_a > 0 && theta_a < 1 && theta_b > 0 && theta_b < 1)
				guard->log_factor[i][j] += log_ratio(stable->n, stable->y, &a, theta_a) +
							   log_ratio(candidate->n, candidate->y, &b, theta_b);
		}
	}
}

static void add(struct burst_guard *guard, const struct instance_counts *stable, size_t n_stable, const struct instance_counts *candidate,
		size_t n_candidate, double margin, enum block_null null)
{
	struct pooled a = pool(stable, n_stable), b = pool(candidate, n_candidate);
	if (a.n > 0 && b.n > 0) {
		if (!(guard->open > 0))
			open_window(guard, &a, &b, margin, null);
		bet(guard, &a, &b, margin, null);
		guard->log_max = fmax(guard->log_max, burst_guard_log_e(guard));
	}
	if (guard->open > 0)
		for (size_t i = 0; i < n_stable; i++) {
			guard->n[i % BURST_INSTANCES] += (double)stable[i].n;
			guard->y[i % BURST_INSTANCES] += fmin((double)stable[i].y, (double)stable[i].n);
		}
	guard->past_n += a.n;
	guard->past_y += a.y;
}

void burst_guard_add(struct burst_guard *guard, const struct instance_counts *stable, size_t n_stable,
		     const struct instance_counts *candidate, size_t n_candidate, double margin, uint64_t seed)
{
	(void)seed;
	add(guard, stable, n_stable, candidate, n_candidate, margin, NULL_NOT_WORSE);
}

void burst_guard_add_fine(struct burst_guard *guard, const struct instance_counts *stable, size_t n_stable,
			  const struct instance_counts *candidate, size_t n_candidate, double margin)
{
	add(guard, stable, n_stable, candidate, n_candidate, margin, NULL_NOT_FINE);
}

void burst_guard_step(struct burst_guard *guard)
{
	burst_guard_end_window(guard);
	memset(guard->log_done, 0, sizeof(guard->log_done));
	guard->log_max = 0;
}
