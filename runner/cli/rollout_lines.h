/* Rollouts and releases as lines for people, shared by `show`, `rollouts` and `targets`. */
#ifndef RUNNER_CLI_ROLLOUT_LINES_H
#define RUNNER_CLI_ROLLOUT_LINES_H

#include "runner/cli/screen.h"

/* "rollout 3 to prod: stepping, step 2 of 3, 25% to 1.4.0; waits for ...", and the reason on a second line. */
void add_rollout_lines(struct screen *screen, const json_t *rollout, unsigned indent);
enum ink rollout_ink(const json_t *rollout);
#endif
