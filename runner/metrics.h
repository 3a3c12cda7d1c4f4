/* What Penstock tells about itself at /metrics: OpenMetrics text 1.0. Gauges are read from the rows when asked; what rows do not remember
 * is counted here since the daemon's start. */
#ifndef RUNNER_METRICS_H
#define RUNNER_METRICS_H

#include "base/json.h"
#include "runner/core.h"
#include "runner/version.h"

#define METRICS_CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* name, label */
#define DELIVERY_RESULTS(X)                                                                                                                          \
	X(ACCEPTED, "accepted")                                                                                                                      \
	X(DUPLICATE, "duplicate")                                                                                                                    \
	X(IGNORED, "ignored")                                                                                                                        \
	X(FORGED, "forged")                                                                                                                          \
	X(INVALID, "invalid")
enum delivery_result {
#define X(name, label) DELIVERY_##name,
	DELIVERY_RESULTS(X)
#undef X
		N_DELIVERY_RESULTS
};
void metrics_count_delivery(enum delivery_result result);

/* Counts failed commits from now on. */
void metrics_watch(struct core *core);
/* Families of these rollouts, as rollouts_json() shows them. Pure. */
struct buf;
void metrics_of_rollouts(const json_t *rollouts, struct buf *out);
/* *ret is allocated. */
int metrics_text(struct core *core, char **ret, struct error **err) must_check;
#endif
