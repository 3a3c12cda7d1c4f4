#include "gates/sequential/rates.h"

#include "gates/stats/stored.h"

#include <math.h>

#define BELIEVED_AFTER 4.0
#define PRIOR_EVENTS 0.05
#define PRIOR_REQUESTS 10.0

static enum better better_of(const struct sequential_subject *subject)
{
	return subject->metric->higher_is_better ? HIGHER_IS_BETTER : LOWER_IS_BETTER;
}

double rates_past(const struct rates *rates, enum better better)
{
	double events = better == HIGHER_IS_BETTER ? PRIOR_REQUESTS - PRIOR_EVENTS : PRIOR_EVENTS;
	return (rates->y_a + events) / (rates->n_a + PRIOR_REQUESTS);
}

void rates_add(struct rates *rates, const struct sequential_subject *subject, const struct guarded_block *block, struct boundary boundary)
{
	const struct block2x2 counts = {block->stable.n, block->stable.y, block->candidate.n, block->candidate.y};
	enum better better = better_of(subject);
	double past = rates_past(rates, better);
	if (!counts.n_a && !counts.n_b)
		return;
	const struct guarded_question harm = {boundary, better, NULL_NOT_WORSE, subject->alpha_each, 0};
	const struct guarded_question fine = {boundary, better, NULL_NOT_FINE, subject->alpha, BELIEVED_AFTER};
	guarded_add(&rates->harm, subject->bursts, block, past, &harm);
	guarded_add(&rates->fine, subject->bursts, block, past, &fine);
	if (boundary.kind == BOUNDARY_RATIO)
		rate_ratio_add(&rates->interval.ratio, &counts, past);
	else
		rate_difference_add(&rates->interval.difference, &counts, past);
	rates->n_a += (double)counts.n_a;
	rates->y_a += (double)counts.y_a;
	rates->n_b += (double)counts.n_b;
	rates->y_b += (double)counts.y_b;
	rates->step_n_a += (double)counts.n_a;
	rates->step_n_b += (double)counts.n_b;
}

void rates_step(struct rates *rates, const struct sequential_subject *subject, struct boundary boundary)
{
	const struct guarded_question fine = {boundary, better_of(subject), NULL_NOT_FINE, subject->alpha, BELIEVED_AFTER};
	guarded_step(&rates->fine, subject->bursts, &fine);
	rates->step_n_a = rates->step_n_b = 0;
}

static double divided(double a, double b)
{
	return b > 0 ? a / b : (double)NAN;
}

void rates_read(const struct rates *rates, const struct sequential_subject *subject, enum boundary_kind kind, struct sequential_reading *ret)
{
	*ret = (struct sequential_reading){
		.stable = divided(rates->y_a, rates->n_a),
		.candidate = divided(rates->y_b, rates->n_b),
		.log_e_worse = rates->harm.log_max,
		.log_e_fine = rates->fine.log_max,
		.n_stable = rates->n_a,
		.n_candidate = rates->n_b,
		.step_n_stable = rates->step_n_a,
		.step_n_candidate = rates->step_n_b,
		.dispersion = guarded_dispersion(&rates->harm),
	};
	if (kind == BOUNDARY_RATIO) {
		ret->estimate = divided(rates->interval.ratio.events_b, rates->interval.ratio.events_a);
		rate_ratio_bounds(&rates->interval.ratio, subject->alpha, &ret->low, &ret->high);
	} else {
		/* Each block by itself: a split that changes while the rates drift does not bias it. */
		ret->estimate = divided(rates->interval.difference.sum, rates->interval.difference.weight);
		rate_difference_bounds(&rates->interval.difference, subject->alpha, &ret->low, &ret->high);
	}
}

static uint64_t whole(double n)
{
	return stored_count(round(n));
}

static struct measure_arm imagined(double n, double rate)
{
	struct measure_arm arm = {.n = whole(n)};
	arm.y = whole(fmin(rate * n, (double)arm.n));
	return arm;
}

bool rates_imagine(const struct rates *rates, const struct sequential_subject *subject, double n, bool worst, struct measure *ret)
{
	if (!(rates->n_a > 0 && rates->n_b > 0))
		return false;
	double rate_b = rates->y_b / rates->n_b, ratio = rates->n_a / rates->n_b;
	if (worst)
		rate_b = better_of(subject) == HIGHER_IS_BETTER ? 0 : 1;
	*ret = (struct measure){.stable = imagined(fmax(1, n * ratio), rates->y_a / rates->n_a), .candidate = imagined(n, rate_b)};
	return true;
}
