#include "gates/sequential/guarded.h"
#include "gates/sequential/latency.h"
#include "gates/sequential/rows.h"

#include <math.h>

#define BELIEVED_AFTER 1.0 /* comparison of windows: tails are noisier, and one must not wait for them for ever */
#define RESOLUTION_MS 1.0  /* what the routers' timers are rounded down to */

/* All doubles, all zero = fresh. */
struct latency_ratio {
	struct exceedance test; /* holds stable's ladder too, but not its sum */
	struct latency_arm stable, candidate;
	/* Behind the guard, unused with `bursts: none`: harm of the pair just below the quantile; fine of the pairs at its two sides. */
	struct guarded harm, fine[EXCEEDANCE_SLOTS - 1];
	double fine_log_max;
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

static struct guarded_question question_of(const struct sequential_subject *subject, enum block_null null)
{
	return (struct guarded_question){
		{BOUNDARY_MARGIN, 0}, LOWER_IS_BETTER, null, null == NULL_NOT_WORSE ? subject->alpha_each : subject->alpha, BELIEVED_AFTER};
}

/* A pair's counts as trials and events: margin 0, the ratio is in the edges. Latencies are not known by instance. */
static void guarded_pair(const struct sequential_subject *subject, struct latency_ratio *latency, struct guarded *guarded,
			 const struct sequential_block *block, size_t k, const struct guarded_question *question)
{
	const uint64_t *stable = block->stable->latency_buckets, *candidate = block->candidate->latency_buckets;
	struct guarded_block counts = {.span_ms = block->span_ms, .weight_ppm = block->weight_ppm, .number = block->number};
	size_t j;
	double above = 0.5;
	if (!exceedance_pair(k, subject->metric->ratio, RESOLUTION_MS, question->null, &j))
		return;
	const struct measure_arm a = {.n = latency_ladder_total(stable), .y = exceedance_count(stable, k)};
	const struct measure_arm b = {.n = latency_ladder_total(candidate), .y = exceedance_count(candidate, j)};
	for (size_t i = k + 1; i < LATENCY_LADDER_BUCKETS; i++)
		above += latency->test.stable[i];
	guarded_arm_of(&a, NULL, &counts.stable);
	guarded_arm_of(&b, NULL, &counts.candidate);
	guarded_add(guarded, subject->bursts, &counts, above / (latency->stable.n + 1), question);
}

static void guarded_block(const struct sequential_subject *subject, struct latency_ratio *latency, const struct sequential_block *block)
{
	size_t k[EXCEEDANCE_SLOTS];
	double least = INFINITY;
	const struct guarded_question harm = question_of(subject, NULL_NOT_WORSE), fine = question_of(subject, NULL_NOT_FINE);
	if (!exceedance_edges(&latency->test, subject->metric->quantile, k))
		return;
	guarded_pair(subject, latency, &latency->harm, block, k[0], &harm);
	for (size_t i = 0; i < EXCEEDANCE_SLOTS - 1; i++) {
		guarded_pair(subject, latency, &latency->fine[i], block, k[i], &fine);
		least = fmin(least, guarded_now(&latency->fine[i], subject->bursts, &fine));
	}
	latency->fine_log_max = fmax(latency->fine_log_max, least);
}

static void add(const struct sequential_subject *subject, void *state, const struct sequential_block *block)
{
	struct latency_ratio *latency = state;
	if (subject->bursts != BURSTS_NONE)
		guarded_block(subject, latency, block);
	exceedance_add(&latency->test, block->stable->latency_buckets, block->candidate->latency_buckets, subject->metric->quantile,
		       subject->metric->ratio, RESOLUTION_MS);
	latency_arm_add(&latency->stable, block->stable);
	latency_arm_add(&latency->candidate, block->candidate);
}

static void step(const struct sequential_subject *subject, void *state)
{
	struct latency_ratio *latency = state;
	const struct guarded_question fine = question_of(subject, NULL_NOT_FINE);
	exceedance_step(&latency->test);
	for (size_t i = 0; i < EXCEEDANCE_SLOTS - 1; i++)
		guarded_step(&latency->fine[i], subject->bursts, &fine);
	latency->fine_log_max = 0;
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
		.log_e_fine = subject->bursts == BURSTS_NONE ? latency->test.fine_log_max : latency->fine_log_max,
		.n_stable = latency->stable.n,
		.n_candidate = latency->candidate.n,
		.step_n_stable = latency->stable.step_n,
		.step_n_candidate = latency->candidate.step_n,
		.dispersion = guarded_dispersion(&latency->harm),
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
