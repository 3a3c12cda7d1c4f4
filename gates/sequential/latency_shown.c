#include "gates/sequential/latency.h"
#include "gates/sequential/rows.h"

#include <math.h>

/* All doubles, all zero = fresh. */
struct latency_shown {
	struct latency_arm stable, candidate;
};

static bool takes(const struct analysis_metric *metric)
{
	(void)metric;
	return true;
}

static bool bounded(const struct analysis_metric *metric)
{
	(void)metric;
	return false;
}

static size_t state_size(const struct sequential_subject *subject)
{
	(void)subject;
	return sizeof(struct latency_shown);
}

static void add(const struct sequential_subject *subject, void *state, const struct sequential_block *block)
{
	struct latency_shown *latency = state;
	(void)subject;
	latency_arm_add(&latency->stable, block->stable);
	latency_arm_add(&latency->candidate, block->candidate);
}

static void step(const struct sequential_subject *subject, void *state)
{
	struct latency_shown *latency = state;
	(void)subject;
	latency->stable.step_n = latency->candidate.step_n = 0;
}

static void read_state(const struct sequential_subject *subject, const void *state, struct sequential_reading *ret)
{
	const struct latency_shown *latency = state;
	double q = subject->metric->quantile;
	*ret = (struct sequential_reading){
		.stable = latency_arm_value(&latency->stable, q),
		.candidate = latency_arm_value(&latency->candidate, q),
		.low = (double)NAN,
		.high = (double)NAN,
		.bound = (double)NAN,
		.n_stable = latency->stable.n,
		.n_candidate = latency->candidate.n,
		.step_n_stable = latency->stable.step_n,
		.step_n_candidate = latency->candidate.step_n,
		.dispersion = (double)NAN,
		.unit = "ms",
	};
	ret->estimate = ret->candidate / ret->stable;
}

static bool imagine(const struct sequential_subject *subject, const void *state, double n, bool worst, struct sequential_space *space,
		    struct sequential_block *ret)
{
	(void)subject;
	(void)state;
	(void)n;
	(void)worst;
	(void)space;
	(void)ret;
	return false; /* nothing can change what only is shown */
}

const struct sequential_ops sequential_latency_shown = {
	.name = "latency_shown",
	.doc = "a quantile or the mean of the latency, shown beside the verdicts",
	.source = "none: it never decides",
	.kind = METRIC_LATENCY,
	.takes = takes,
	.bounded = bounded,
	.state_size = state_size,
	.add = add,
	.step = step,
	.read = read_state,
	.imagine = imagine,
};
