/* The rollout controller: the thin shell around deployers/rollout.h. Opens the operator's targets, drives the active rollout of each,
 * feeds the analysis, keeps live targets in repair, finishes deploy stages. Calls are made inside an event. */
#ifndef RUNNER_ROLLOUTS_H
#define RUNNER_ROLLOUTS_H

#include "deployers/rollout.h"
#include "runner/core.h"

int rollouts_open(struct core *core, struct rollouts **ret, struct error **err) must_check;
void rollouts_close(struct rollouts *rollouts); /* leaves traffic as it is */

/* Starts a rollout for a deploy stage. Policy for an active rollout on the target: a newer release supersedes it (the old one is rolled
 * back first, its stage ends `cancelled`, "superseded by run N"); one that is being promoted is let to its end. If the active one is of a newer run,
 * this stage ends `cancelled` instead, before the call returns. NOT_FOUND: no such target; UNAVAILABLE: it cannot be opened, with the reason. */
int rollouts_start(struct rollouts *rollouts, int64_t stage_id, int64_t release_id, const struct rollout_spec *spec, int64_t *ret_rollout,
		   struct error **err) must_check;
/* The run of a deploy stage was cancelled: the rollout goes back. */
int rollouts_cancel_stage(struct rollouts *rollouts, int64_t stage_id, const char *actor, struct error **err) must_check;

/* By hand, for a target's active rollout. PROMOTE, PAUSE, RESUME without an active rollout are CONFLICT. ROLLBACK without one goes back to the
 * target's previous release at once (a new rollout with the immediate strategy, no analysis); NOT_FOUND if there is no previous release. */
int rollouts_command(struct rollouts *rollouts, const char *target, enum rollout_command command, const char *actor, int64_t *ret_rollout,
		     struct error **err) must_check;
#endif
