/* The commands that look into one rollout; see table.c. */
#ifndef RUNNER_CLI_ROLLOUT_COMMANDS_H
#define RUNNER_CLI_ROLLOUT_COMMANDS_H

#include "base/json.h"
#include "runner/cli/options.h"

int cli_rollout(int argc, char **argv); /* watch, show, list */
int cli_explain(int argc, char **argv);
int cli_replay(int argc, char **argv);

/* `penstock rollouts` with these arguments. Returns the exit status. */
int rollouts_print(const struct cli_arguments *arguments);
/* The exit status of a rollout that has ended: 0 promoted, 4 rolled back, 1 otherwise. */
int rollout_status(const json_t *rollout);
/* A copy without the stamps that change at every look: what is left is equal if nothing happened. New reference. */
json_t *rollout_without_times(const json_t *rollout);
#endif
