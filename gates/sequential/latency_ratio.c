#include "gates/sequential/harm.h"
#include "gates/sequential/latency.h"
#include "gates/sequential/rows.h"

#include <math.h>

#define RESOLUTION_MS 1.0 /* what the routers' timers are rounded down to */

/* All doubles, all zero = fresh. */
struct latency_ratio {
	struct exceedance test;   /* holds stable's ladder too, but not its sum */
	struct latency_arm stable, candidate;
	struct harm harm;         /* of the pair just below the quantile, behind the guard; unused with `bursts: none` */
};

static bool takes(const struct analysis_metric *metric)
{
	return metric->versus_stable && metric->ratio >= 1 && metric->quantile > 0 && metric->quantile < 1;
}

static size_t state_size(const struct sequential_subject *subject)
{
	(void)subject;
	return sizeof(struct latency_ratio);
}

/* The pair's counts as trials and events: margin 0, the ratio is in the edges. Latencies are not known by instance. */
static void guarded(const struct sequential_subject *subject, struct latency_ratio *latency, const struct sequential_block *block)
{
	size_t k[EXCEEDANCE_SLOTS], j;
	if (!exceedance_edges(&latency->test, subject->metric->quantile, k) ||
	    !exceedance_pair(k[0], subject->metric->ratio, RESOLUTION_MS, NULL_NOT_WORSE, &j))
		return;
	struct measure measure = {
		.stable = {.n = latency_ladder_total(block->stable->latency_buckets), .y = exceedance_count(block->stable->latency_buckets, k[0])},
		.candidate = {.n = latency_ladder_total(block->candidate->latency_buckets), .y = exceedance_count(block->candidate->latency_buckets, j)},
	};
	struct harm_block counts = {.span_ms = block->span_ms, .weight_ppm = block->weight_ppm, .number = block->number};
	double above = 0.5;
	for (size_t i = k[0] + 1; i < LATENCY_LADDER_BUCKETS; i++)
		above += latency->test.stable[i];
	harm_arm_of(&measure.stable, NULL, &counts.stable);
	harm_arm_of(&measure.candidate, NULL, &counts.candidate);
	harm_add(&latency->harm, subject->bursts, &counts, above / (latency->stable.n + 1), (struct boundary){BOUNDARY_MARGIN, 0}, LOWER_IS_BETTER);
}

static void add(const struct sequential_subject *subject, void *state, const struct sequential_block *block)
{
	struct latency_ratio *latency = state;
	if (subject->bursts != BURSTS_NONE)
		guarded(subject, latency, block);
	exceedance_add(&latency->test, block->stable->latency_buckets, block->candidate->latency_buckets, subject->metric->quantile,
		       subject->metric->ratio, RESOLUTION_MS);
	latency_arm_add(&latency->stable, block->stable);
	latency_arm_add(&latency->candidate, block->candidate);
}

static void step(const struct sequential_subject *subject, void *state)
{
	struct latency_ratio *latency = state;
	(void)subject;
	exceedance_step(&latency->test);
	latency->stable.step_n = latency->candidate.step_n = 0;
}

static void read_state(const struct sequential_subject *subject, const void *state, struct sequential_reading *ret)
{
	const struct latency_ratio *latency = state;
	double q = subject->metric->quantile, low_a, high_a, low_b, high_b;
	latency_arm_interval(&latency->stable, q, subject->alpha / 2, &low_a, &high_a);
	latency_arm_interval(&latency->candidate, q, subject->alpha / 2, &low_b, &high_b);
	*ret = (struct sequential_reading){
		.stable = latency_arm_value(&latency->stable, q),
		.candidate = latency_arm_value(&latency->candidate, q),
		.low = low_b / high_a,
		.high = low_a > 0 ? high_b / low_a : (double)INFINITY,
		.bound = subject->metric->ratio,
		.log_e_worse = subject->bursts == BURSTS_NONE ? latency->test.harm_log_max : latency->harm.log_max,
		.log_e_fine = latency->test.fine_log_max,
		.n_stable = latency->stable.n,
		.n_candidate = latency->candidate.n,
		.step_n_stable = latency->stable.step_n,
		.step_n_candidate = latency->candidate.step_n,
		.dispersion = harm_dispersion(&latency->harm),
		.unit = "ms",
	};
	ret->estimate = ret->candidate / ret->stable;
	if (!(ret->low >= 0))
		ret->low = ret->n_stable > 0 && ret->n_candidate > 0 ? 0 : (double)NAN;
}

static bool imagine(const struct sequential_subject *subject, const void *state, double n, bool worst, struct sequential_space *space,
		    struct sequential_block *ret)
{
	const struct latency_ratio *latency = state;
	(void)subject;
	if (!(latency->stable.n > 0 && latency->candidate.n > 0))
		return false;
	latency_arm_imagine(&latency->stable, fmax(1, n * latency->stable.n / latency->candidate.n), false, &space->stable);
	latency_arm_imagine(&latency->candidate, n, worst, &space->candidate);
	*ret = (struct sequential_block){.stable = &space->stable, .candidate = &space->candidate};
	return true;
}

static bool bounded(const struct analysis_metric *metric)
{
	return takes(metric);
}

const struct sequential_ops sequential_latency_ratio = {
	.name = "latency_ratio",
	.doc = "a quantile of the latency, at most so many times stable's: exceedances on a ladder of edges",
	.source = "exceedances as block 2x2 e-tests: Turner, Ly, Gruenwald, arXiv 2106.02693; interval: Howard, Ramdas, arXiv 1906.09712",
	.kind = METRIC_LATENCY,
	.takes = takes,
	.bounded = bounded,
	.state_size = state_size,
	.add = add,
	.step = step,
	.read = read_state,
	.imagine = imagine,
};
