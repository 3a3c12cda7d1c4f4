/* Inside runner/metrics*.c only: lines of OpenMetrics text. All samples of a family stand together, after its head. */
#ifndef RUNNER_METRICS_PRIV_H
#define RUNNER_METRICS_PRIV_H

#include "base/buf.h"
#include "runner/metrics.h"

void metrics_head(struct buf *out, const char *name, const char *type, const char *help);
void metrics_escaped(struct buf *out, const char *text); /* of a label */

/* metrics_rollouts.c: the newest rollout of every target that has begun. */
int metrics_add_rollouts(struct core *core, struct buf *out, struct error **err) must_check;
#endif
