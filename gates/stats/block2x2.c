#include "gates/stats/block2x2.h"

#include <math.h>
#include <stdbool.h>

static bool in_null(double alt_a, double alt_b, double margin, enum block_null null)
{
	double beyond = alt_b - margin - alt_a;
	return null == NULL_NOT_WORSE ? beyond <= 0 : beyond >= 0;
}

/* d/dtheta of n KL(alt || theta). */
static double pull(double n, double alt, double theta)
{
	return n * (theta - alt) / (theta * (1 - theta));
}

double block2x2_boundary(double n_a, double n_b, double alt_a, double alt_b, double margin, enum block_null null)
{
	/* The sum of divergences is convex along the boundary and its least point lies between the two arms' own least points,
	 * alt_a and alt_b - margin, as far as both rates stay between 0 and 1. */
	double low = null == NULL_NOT_WORSE ? alt_a : alt_b - margin;
	double high = null == NULL_NOT_WORSE ? alt_b - margin : alt_a;
	if (low < 0)
		low = 0;
	if (high > 1 - margin)
		high = 1 - margin;
	for (int i = 0; i < 200; i++) {
		double middle = low + (high - low) / 2;
		if (middle <= low || middle >= high)
			break;
		if (pull(n_a, alt_a, middle) + pull(n_b, alt_b, middle + margin) < 0)
			low = middle;
		else
			high = middle;
	}
	return low + (high - low) / 2;
}

static double log_ratio(uint64_t n, uint64_t y, double alt, double theta)
{
	double sum = 0;
	if (y)
		sum += (double)y * (log(alt) - log(theta));
	if (n > y)
		sum += (double)(n - y) * (log1p(-alt) - log1p(-theta));
	return sum;
}

double block2x2_log_factor(const struct block2x2 *block, double alt_a, double alt_b, double margin, enum block_null null)
{
	if (!block->n_a || !block->n_b || in_null(alt_a, alt_b, margin, null))
		return 0;
	double theta = block2x2_boundary((double)block->n_a, (double)block->n_b, alt_a, alt_b, margin, null);
	double theta_b = theta + margin;
	if (!(theta > 0) || !(theta < 1) || !(theta_b > 0) || !(theta_b < 1))
		return 0; /* The bracket has no double inside: nothing can be won there. */
	return log_ratio(block->n_a, block->y_a, alt_a, theta) + log_ratio(block->n_b, block->y_b, alt_b, theta_b);
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

static double alternative(enum block_null null, size_t i, double alt_a, double margin)
{
	if (null == NULL_NOT_WORSE) {
		double edge = alt_a + margin;
		if (edge >= 1)
			return 0; /* no rate lies beyond the margin: no bet */
		double odds = worse_odds[i] * edge / (1 - edge);
		return odds / (1 + odds);
	}
	switch (i) {
	case 0:
		return alt_a + margin / 2 < 1 ? alt_a + margin / 2 : alt_a;
	case 1:
		return alt_a;
	case 2:
		return alt_a / 2;
	}
	return alt_a / 10;
}

void eprocess_bet(struct eprocess *process, const struct block2x2 *block, double alt_a, double margin, enum block_null null)
{
	for (size_t i = 0; i < alternatives(null); i++)
		process->log_e[i] += block2x2_log_factor(block, alt_a, alternative(null, i, alt_a, margin), margin, null);
	double now = eprocess_log_e(process, null);
	if (now > process->log_max)
		process->log_max = now;
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
