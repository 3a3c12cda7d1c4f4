#include "gates/sequential/rates.h"
#include "gates/sequential/rows.h"

#include <math.h>

static struct boundary boundary_of(const struct sequential_subject *subject)
{
	return (struct boundary){BOUNDARY_MARGIN, fmin(fmax(subject->metric->margin, 0), 0.999)};
}

static bool takes(const struct analysis_metric *metric)
{
	return !(metric->ratio > 0);
}

static bool bounded(const struct analysis_metric *metric)
{
	return metric->versus_stable;
}

static size_t state_size(const struct sequential_subject *subject)
{
	(void)subject;
	return sizeof(struct rates);
}

static void add(const struct sequential_subject *subject, void *state, const struct sequential_block *block)
{
	struct guarded_block counts = {.span_ms = block->span_ms, .weight_ppm = block->weight_ppm, .number = block->number};
	guarded_arm_of(&block->measure->stable, block->stable_ids, &counts.stable);
	guarded_arm_of(&block->measure->candidate, block->candidate_ids, &counts.candidate);
	rates_add(state, subject, &counts, boundary_of(subject));
}

static void step(const struct sequential_subject *subject, void *state)
{
	rates_step(state, subject, boundary_of(subject));
}

static void read_state(const struct sequential_subject *subject, const void *state, struct sequential_reading *ret)
{
	rates_read(state, subject, BOUNDARY_MARGIN, ret);
	ret->bound = bounded(subject->metric) ? fmax(subject->metric->margin, 0) : (double)NAN;
	ret->unit = "%";
}

static bool imagine(const struct sequential_subject *subject, const void *state, double n, bool worst, struct sequential_space *space,
		    struct sequential_block *ret)
{
	*ret = (struct sequential_block){.measure = &space->measure};
	return rates_imagine(state, subject, n, worst, &space->measure);
}

const struct sequential_ops sequential_rate_margin = {
	.name = "rate_margin",
	.doc = "share of events among trials, within a margin of stable's",
	.source = "block 2x2 e-test with a margin: Turner, Ly, Gruenwald, arXiv 2106.02693, 2203.09785",
	.kind = METRIC_RATE,
	.takes = takes,
	.bounded = bounded,
	.state_size = state_size,
	.add = add,
	.step = step,
	.read = read_state,
	.imagine = imagine,
};
