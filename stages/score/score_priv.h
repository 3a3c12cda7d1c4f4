/* Between score.c (the kind), measure.c (predictions in, result out) and command.c (`penstock score`). */
#ifndef STAGES_SCORE_SCORE_PRIV_H
#define STAGES_SCORE_SCORE_PRIV_H

#include "base/alloc.h"
#include "base/json.h"
#include "gates/metrics.h"

#define SCORE_MAX_METRICS 32
#define SCORE_MAX_SLICES 16          /* columns */
#define SCORE_MAX_SLICE_VALUES 1000  /* distinct values of one */

struct score_request {
	const char *predictions, *against; /* paths; against may be NULL */
	enum metric_task task;
	const char *label, *prediction;    /* columns */
	enum metric_id metrics[SCORE_MAX_METRICS];
	size_t n_metrics;
	const char *slices[SCORE_MAX_SLICES];
	size_t n_slices;
	struct metric_options options;
};

/* The usual metrics of a task, when none are named. */
void score_default_metrics(struct score_request *request);

/* {"rows", "task", "metrics": [{"name", "slice", "value", "low", "high", "se", "confidence", "n", "method"}], "paired": [...],
 * "against": null or {"rows", "same_rows", "note"}}. A metric that cannot be computed for a slice has value null and a note; for all
 * rows that is INVALID. Errors of files name line and column. */
int score_measure(const struct score_request *request, json_t **ret, struct error **err) must_check;
#endif
