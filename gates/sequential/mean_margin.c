/* A bounded mean as trials and events: n values within [0, 1] that sum to s count as n trials with s events.
 *
 * The block factor is c^s times a constant, and c^x <= 1 - x + x c for x in [0, 1], so its expectation is at most that of Bernoulli trials of the
 * same mean: every e-process of rates is one of means. s is rounded at random to one of its two neighbours, with the probabilities that keep its
 * mean. The factor is convex in the sum and trials are the more spread of the two, so this costs nothing either (Jensen). Only sums are needed, never
 * the values; what is lost is that values with little spread could be told apart sooner. */
#include "gates/sequential/rates.h"
#include "gates/sequential/rows.h"
#include "gates/stats/rng.h"

#include <math.h>

/* All doubles, all zero = fresh. */
struct mean_margin {
	struct rates rates;
	double sum_a, sum_b;     /* as they came */
	double weight, weighted; /* sum of n_a n_b / (n_a + n_b), and with it of the blocks' differences */
};

static double range_of(const struct analysis_metric *metric)
{
	return metric->high > metric->low ? metric->high - metric->low : 1;
}

static struct boundary boundary_of(const struct sequential_subject *subject)
{
	return (struct boundary){BOUNDARY_MARGIN, fmin(fmax(subject->metric->margin / range_of(subject->metric), 0), 0.999)};
}

/* Ranks need copies to rank, and rates well below one half: the default guard stands in. */
static struct sequential_subject guarded_subject(const struct sequential_subject *subject)
{
	struct sequential_subject ret = *subject;
	if (ret.bursts == BURSTS_EXCHANGEABLE)
		ret.bursts = BURSTS_DEFAULT;
	return ret;
}

static bool takes(const struct analysis_metric *metric)
{
	(void)metric;
	return true;
}

static bool bounded(const struct analysis_metric *metric)
{
	return metric->versus_stable && metric->high > metric->low;
}

static size_t state_size(const struct sequential_subject *subject)
{
	(void)subject;
	return sizeof(struct mean_margin);
}

static struct measure_arm as_trials(const struct analysis_metric *metric, const struct measure_arm *values, struct rng *rng)
{
	double exact = (values->sum - (double)values->n * metric->low) / range_of(metric), u = (double)(rng_next(rng) >> 11) * 0x1p-53;
	struct measure_arm trials = {.n = values->n};
	exact = fmin(fmax(exact, 0), (double)values->n);
	trials.y = (uint64_t)fmin(floor(exact + u), (double)values->n);
	return trials;
}

static void add(const struct sequential_subject *subject, void *state, const struct sequential_block *block)
{
	struct mean_margin *mean = state;
	struct guarded_block counts = {.span_ms = block->span_ms, .weight_ppm = block->weight_ppm, .number = block->number};
	struct rng rng;
	rng_seed(&rng, block->number);
	struct measure_arm stable = as_trials(subject->metric, &block->measure->stable, &rng);
	struct measure_arm candidate = as_trials(subject->metric, &block->measure->candidate, &rng);
	guarded_arm_of(&stable, NULL, &counts.stable);
	guarded_arm_of(&candidate, NULL, &counts.candidate);
	const struct sequential_subject guarded = guarded_subject(subject);
	rates_add(&mean->rates, &guarded, &counts, boundary_of(subject));
	const struct measure_arm *a = &block->measure->stable, *b = &block->measure->candidate;
	mean->sum_a += a->sum;
	mean->sum_b += b->sum;
	if (a->n && b->n) {
		double weight = (double)a->n / (double)(a->n + b->n) * (double)b->n;
		mean->weight += weight;
		mean->weighted += weight * (b->sum / (double)b->n - a->sum / (double)a->n);
	}
}

static void step(const struct sequential_subject *subject, void *state)
{
	struct mean_margin *mean = state;
	const struct sequential_subject guarded = guarded_subject(subject);
	rates_step(&mean->rates, &guarded, boundary_of(subject));
}

static void read_state(const struct sequential_subject *subject, const void *state, struct sequential_reading *ret)
{
	const struct mean_margin *mean = state;
	double range = range_of(subject->metric);
	rates_read(&mean->rates, subject, BOUNDARY_MARGIN, ret);
	ret->stable = mean->rates.n_a > 0 ? mean->sum_a / mean->rates.n_a : (double)NAN;
	ret->candidate = mean->rates.n_b > 0 ? mean->sum_b / mean->rates.n_b : (double)NAN;
	ret->estimate = mean->weight > 0 ? mean->weighted / mean->weight : (double)NAN;
	ret->low *= range;
	ret->high *= range;
	ret->bound = bounded(subject->metric) ? fmax(subject->metric->margin, 0) : (double)NAN;
	ret->unit = "";
}

static bool imagine(const struct sequential_subject *subject, const void *state, double n, bool worst, struct sequential_space *space,
		    struct sequential_block *ret)
{
	const struct mean_margin *mean = state;
	const struct analysis_metric *metric = subject->metric;
	*ret = (struct sequential_block){.measure = &space->measure};
	if (!rates_imagine(&mean->rates, subject, n, worst, &space->measure))
		return false;
	struct measure_arm *stable = &space->measure.stable, *candidate = &space->measure.candidate;
	stable->sum = (double)stable->n * mean->sum_a / mean->rates.n_a;
	candidate->sum = (double)candidate->n * (worst ? (metric->higher_is_better ? metric->low : metric->high) : mean->sum_b / mean->rates.n_b);
	return true;
}

const struct sequential_ops sequential_mean_margin = {
	.name = "mean_margin",
	.doc = "mean of values between two bounds, within a margin of stable's",
	.source = "block 2x2 e-test with a margin on bounded values (convexity): Turner, Ly, Gruenwald, arXiv 2106.02693, 2203.09785",
	.kind = METRIC_MEAN,
	.takes = takes,
	.bounded = bounded,
	.state_size = state_size,
	.add = add,
	.step = step,
	.read = read_state,
	.imagine = imagine,
};
