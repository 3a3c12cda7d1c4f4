/* What `penstock explain` says: one rollout's evidence in words and numbers. Pure: JSON in, text out. */
#ifndef RUNNER_CLI_EXPLAIN_TEXT_H
#define RUNNER_CLI_EXPLAIN_TEXT_H

#include "runner/cli/screen.h"

/* `events`: those of the rollout, oldest first. */
void add_explanation(struct screen *screen, const json_t *rollout, const json_t *events);
#endif
