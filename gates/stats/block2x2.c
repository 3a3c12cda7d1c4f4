#include "gates/stats/block2x2.h"

#include <math.h>
#include <stdbool.h>

struct block2x2 block2x2_failures(const struct block2x2 *successes)
{
	struct block2x2 failures = *successes;
	failures.y_a = successes->n_a - successes->y_a;
	failures.y_b = successes->n_b - successes->y_b;
	return failures;
}

struct block2x2 block2x2_swapped(const struct block2x2 *block)
{
	return (struct block2x2){block->n_b, block->y_b, block->n_a, block->y_a};
}

/* ---- the boundary ---- */

static double boundary_of(double theta_a, struct boundary boundary)
{
	return boundary.kind == BOUNDARY_RATIO ? theta_a * boundary.value : theta_a + boundary.value;
}

static bool in_null(double alt_a, double alt_b, struct boundary boundary, enum block_null null)
{
	double edge = boundary_of(alt_a, boundary);
	return null == NULL_NOT_WORSE ? alt_b <= edge : alt_b >= edge;
}

/* Along theta_b = r t the first-order condition is a quadratic, r N t^2 - B t + C = 0; its smaller root is the point. */
static double ratio_point(double n_a, double n_b, double alt_a, double alt_b, double r)
{
	double b = n_a * (1 + alt_a * r) + n_b * (r + alt_b), c = n_a * alt_a + n_b * alt_b;
	double inner = b * b - 4 * r * (n_a + n_b) * c;
	return 2 * c / (b + sqrt(inner > 0 ? inner : 0));
}

/* Along theta_b = t + m the condition is the cubic n_a (t - alt_a)(t + m)(1 - t - m) + n_b (t + m - alt_b) t (1 - t) = 0: its sign is that of the
 * derivative of the (convex) sum of divergences, which has its only zero between the two arms' own, alt_a and alt_b - m. */
static double margin_point(double n_a, double n_b, double alt_a, double alt_b, double m)
{
	double own = alt_b - m, low = alt_a < own ? alt_a : own, high = alt_a < own ? own : alt_a;
	low = fmax(low, fmax(0, -m));
	high = fmin(high, fmin(1, 1 - m));
	/* Start: each arm pulls with the precision that a rate in the middle would give it. */
	double middle = low + (high - low) / 2;
	double pull_a = n_a * (middle + m) * (1 - middle - m), pull_b = n_b * middle * (1 - middle);
	double t = pull_a + pull_b > 0 ? (pull_a * alt_a + pull_b * own) / (pull_a + pull_b) : middle;
	if (!(t > low && t < high))
		t = middle;
	double before = high - low;
	for (int i = 0; i < 200; i++) {
		double u = t + m, in_a = t * (1 - t), in_b = u * (1 - u);
		double value = n_a * (t - alt_a) * in_b + n_b * (u - alt_b) * in_a;
		if (value < 0)
			low = t;
		else
			high = t;
		double slope = n_a * (in_b + (t - alt_a) * (1 - 2 * u)) + n_b * (in_a + (u - alt_b) * (1 - 2 * t));
		double step = value / slope, next = t - step;
		/* A Newton step doubles the digits: after a short one none are missing. */
		if (slope > 0 && fabs(step) <= 1e-9 * fmin(fmin(t, 1 - t), fmin(u, 1 - u)))
			return next;
		/* Bisect where Newton leaves the bracket or creeps. */
		if (!(slope > 0 && next > low && next < high && fabs(step) <= before / 2)) {
			next = low + (high - low) / 2;
			if (next <= low || next >= high)
				return next;
		}
		before = fabs(next - t);
		t = next;
	}
	return t;
}

double boundary_point(double n_a, double n_b, double alt_a, double alt_b, struct boundary boundary)
{
	double point;
	if (boundary.kind == BOUNDARY_RATIO)
		point = ratio_point(n_a, n_b, alt_a, alt_b, boundary.value);
	else if (boundary.value == 0)
		point = (n_a * alt_a + n_b * alt_b) / (n_a + n_b);
	else
		point = margin_point(n_a, n_b, alt_a, alt_b, boundary.value);
	double theta_b = boundary_of(point, boundary);
	return point > 0 && point < 1 && theta_b > 0 && theta_b < 1 ? point : (double)NAN;
}

double block2x2_boundary(double n_a, double n_b, double alt_a, double alt_b, double margin, enum block_null null)
{
	(void)null; /* both nulls have the same boundary */
	return boundary_point(n_a, n_b, alt_a, alt_b, (struct boundary){BOUNDARY_MARGIN, margin});
}

/* ---- a block's factor ---- */

/* ln(alt / theta), exact where they are close too. */
static double log_of(double alt, double theta)
{
	double u = (alt - theta) / theta;
	return fabs(u) < 0.5 ? log1p(u) : log(alt) - log(theta);
}

static double log_ratio(uint64_t n, uint64_t y, double alt, double theta)
{
	double sum = 0;
	if (y)
		sum += (double)y * log_of(alt, theta);
	if (n > y) {
		double u = (theta - alt) / (1 - theta);
		sum += (double)(n - y) * (fabs(u) < 0.5 ? log1p(u) : log1p(-alt) - log1p(-theta));
	}
	return sum;
}

double boundary_log_factor(const struct block2x2 *block, double alt_a, double alt_b, struct boundary boundary, enum block_null null)
{
	if (!block->n_a || !block->n_b || in_null(alt_a, alt_b, boundary, null))
		return 0;
	double theta = boundary_point((double)block->n_a, (double)block->n_b, alt_a, alt_b, boundary);
	if (isnan(theta))
		return 0; /* no double lies on the boundary: nothing can be won there */
	return log_ratio(block->n_a, block->y_a, alt_a, theta) + log_ratio(block->n_b, block->y_b, alt_b, boundary_of(theta, boundary));
}

double block2x2_equal(const struct block2x2 *block, double alt_a, double alt_b)
{
	/* The diagonal is convex as well, and it is the boundary on whichever side of it the alternative lies. */
	return boundary_log_factor(block, alt_a, alt_b, (struct boundary){BOUNDARY_MARGIN, 0}, alt_b > alt_a ? NULL_NOT_WORSE : NULL_NOT_FINE);
}

double block2x2_log_factor(const struct block2x2 *block, double alt_a, double alt_b, double margin, enum block_null null)
{
	return boundary_log_factor(block, alt_a, alt_b, (struct boundary){BOUNDARY_MARGIN, margin}, null);
}

/* ---- e-processes ---- */

static const double worse_odds[] = {1.25, 1.5, 2, 3, 5, 10};
static const double fine_weights[] = {0.25, 0.5, 0.125, 0.125};
#define N_WORSE (sizeof(worse_odds) / sizeof(worse_odds[0]))
#define N_FINE (sizeof(fine_weights) / sizeof(fine_weights[0]))

static size_t alternatives(enum block_null null)
{
	return null == NULL_NOT_WORSE ? N_WORSE : N_FINE;
}

static double weight(enum block_null null, size_t i)
{
	return null == NULL_NOT_WORSE ? 1.0 / (double)N_WORSE : fine_weights[i];
}

static double times_odds(double rate, double factor)
{
	double odds = factor * rate / (1 - rate);
	return odds / (1 + odds);
}

/* theta_b of the i-th alternative for a metric whose events are bad; 0: no bet. */
static double bad_alternative(enum block_null null, size_t i, double past_a, struct boundary boundary)
{
	double edge = boundary_of(past_a, boundary);
	if (null == NULL_NOT_WORSE)
		return edge < 1 ? times_odds(edge, worse_odds[i]) : 0; /* no rate lies beyond an edge of 1 */
	switch (i) {
	case 0: {
		double between = boundary.kind == BOUNDARY_RATIO ? past_a * sqrt(boundary.value) : past_a + boundary.value / 2;
		return between < 1 ? between : past_a;
	}
	case 1:
		return past_a;
	case 2:
		return past_a / 2;
	}
	return past_a / 10;
}

/* The same for a ratio of successes, where the edge is past_a / r. */
static double good_alternative(enum block_null null, size_t i, double past_a, double r)
{
	if (null == NULL_NOT_WORSE)
		return times_odds(past_a / r, 1 / worse_odds[i]);
	switch (i) {
	case 0:
		return past_a / sqrt(r);
	case 1:
		return past_a;
	case 2:
		return 1 - (1 - past_a) / 2;
	}
	return 1 - (1 - past_a) / 10;
}

/* ln of the factor of the i-th alternative. */
static double bet(const struct block2x2 *block, size_t i, double past_a, struct boundary boundary, enum block_null null, enum better better)
{
	if (better == LOWER_IS_BETTER)
		return boundary_log_factor(block, past_a, bad_alternative(null, i, past_a, boundary), boundary, null);
	if (boundary.kind == BOUNDARY_MARGIN) {
		struct block2x2 failures = block2x2_failures(block);
		return boundary_log_factor(&failures, 1 - past_a, bad_alternative(null, i, 1 - past_a, boundary), boundary, null);
	}
	/* theta_b >= theta_a / r is theta_a <= r theta_b: the same null with the arms in each other's place. */
	struct block2x2 swapped = block2x2_swapped(block);
	return boundary_log_factor(&swapped, good_alternative(null, i, past_a, boundary.value), past_a, boundary, null);
}

void eprocess_bet_on(struct eprocess *process, const struct block2x2 *block, double past_a, struct boundary boundary, enum block_null null,
		     enum better better)
{
	for (size_t i = 0; i < alternatives(null); i++)
		process->log_e[i] += bet(block, i, past_a, boundary, null, better);
	double now = eprocess_log_e(process, null);
	if (now > process->log_max)
		process->log_max = now;
}

void eprocess_bet(struct eprocess *process, const struct block2x2 *block, double past_a, double margin, enum block_null null)
{
	eprocess_bet_on(process, block, past_a, (struct boundary){BOUNDARY_MARGIN, margin}, null, LOWER_IS_BETTER);
}

double eprocess_log_e(const struct eprocess *process, enum block_null null)
{
	double top = process->log_e[0], sum = 0;
	for (size_t i = 1; i < alternatives(null); i++)
		if (process->log_e[i] > top)
			top = process->log_e[i];
	for (size_t i = 0; i < alternatives(null); i++)
		sum += weight(null, i) * exp(process->log_e[i] - top);
	return top + log(sum);
}
