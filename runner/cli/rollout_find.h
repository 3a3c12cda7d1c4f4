/* Which rollout a person means. */
#ifndef RUNNER_CLI_ROLLOUT_FIND_H
#define RUNNER_CLI_ROLLOUT_FIND_H

#include "runner/cli/client.h"

/* "7", "#7", "rollout/7": that number. */
bool rollout_number(const char *word, int64_t *ret);
/* A number; else a target, whose newest rollout is meant; NULL: the one that is under way, or else the newest of all. NOT_FOUND; INVALID: several
 * are under way and none was named. */
int rollout_find(const struct cli_arguments *arguments, const char *word, int64_t *ret, struct error **err) must_check;
/* The rollout, a new reference. */
int rollout_fetch(const struct cli_arguments *arguments, int64_t id, json_t **ret, struct error **err) must_check;
/* Appends the events of the rollout with ids greater than `after` to the array. */
int rollout_events(const struct cli_arguments *arguments, int64_t id, int64_t after, json_t *events, struct error **err) must_check;
#endif
