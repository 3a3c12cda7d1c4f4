/* The state of an analysis, for analysis.c (evidence), analysis_blocks.c (checks and JSON of what goes in), analysis_json.c (storage),
 * analysis_verdict.c (verdicts), analysis_words.c (reasons) and analysis_change.c (what would change them). */
#ifndef GATES_ANALYSIS_PRIV_H
#define GATES_ANALYSIS_PRIV_H

#include "gates/analysis.h"
#include "gates/sequential/sequential.h"
#include "gates/stats/split.h"

#define SPLIT_ALPHA 0.001
/* Counts are doubles in the formulas, which hold whole numbers exactly up to here. */
#define MAX_COUNT (UINT64_C(1) << 53)

struct metric_state {
	struct sequential_subject subject;
	const struct sequential_ops *test;
	double *state; /* the test's, state_size bytes */
	size_t state_size;
	bool decides;           /* it has a bound and is not shown only */
	bool harm_before_split; /* found worse before the split broke: stays worse */
	bool no_data;           /* its source answered with nothing */
	uint64_t blocks;
	uint64_t looks[N_VERDICTS];
	char trouble[120]; /* why its source does not answer; "": it does */
};

struct analysis {
	const struct rollout_spec *spec;
	double alpha;
	unsigned step;
	uint64_t blocks;  /* of all metrics; with began_ms the seed of what is drawn */
	int64_t began_ms; /* from_ms of the first block of the router's; 0: none yet */
	bool provider_answers;
	bool split_broken;                    /* since the check fired */
	uint32_t weight_ppm;                  /* the router's last block's, for the measures of sources; 0: not known */
	uint64_t step_stable, step_candidate; /* the router's, completed in this step */
	struct split_check split;
	struct metric_state metrics[ROLLOUT_MAX_METRICS];
};

/* Fed by the router's counts rather than by a source of its own. */
bool analysis_is_routers(const struct analysis_metric *metric);
/* NULL if the block can be believed; else INVALID. */
int analysis_check_block(const struct analysis_block *block, struct error **err) must_check;
int analysis_check_measure(const struct analysis_metric *metric, const struct measure *measure, struct error **err) must_check;
/* A metric's evidence as it stands; Holm's rejections for harm of all deciding metrics. */
void analysis_read_metric(const struct analysis *analysis, size_t i, struct sequential_reading *ret);
void analysis_harm(const struct analysis *analysis, double ret_log_threshold[ROLLOUT_MAX_METRICS], bool ret_rejected[ROLLOUT_MAX_METRICS]);
/* The sentence for people, of the worst deciding metric (NULL: none decides). */
void analysis_reason(const struct analysis *analysis, const struct metric_verdict *worst, struct analysis_verdict *ret);
/* "4.1e3", also where e^x would overflow. */
const char *analysis_e_value(double log_e, char space[24]);
#endif
