/* The state of an analysis, for analysis.c (evidence), analysis_json.c (storage) and analysis_verdict.c (verdicts and their words). */
#ifndef GATES_ANALYSIS_PRIV_H
#define GATES_ANALYSIS_PRIV_H

#include "gates/analysis.h"
#include "gates/stats/block2x2.h"
#include "gates/stats/split.h"

#define LATENCY_BUCKETS 24
#define SPLIT_ALPHA 0.001

struct metric_state {
	bool decides;            /* error_rate with a margin against stable; everything else is shown only */
	double margin;
	struct eprocess worse;   /* over the whole rollout */
	struct eprocess fine;    /* of this step */
};

struct analysis {
	const struct rollout_spec *spec;
	double alpha;
	unsigned step;
	bool provider_answers;
	struct arm_counts stable, candidate; /* over the whole rollout; `assigned` is not kept here */
	uint64_t step_stable, step_candidate; /* completed in this step */
	struct split_check split;
	struct metric_state metrics[ROLLOUT_MAX_METRICS];
};
#endif
