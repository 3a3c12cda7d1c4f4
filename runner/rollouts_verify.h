/* The verify command of a blue-green rollout: an attempt like a stage's, in the commit's files, with the preview address in its
 * environment. It survives the daemon; what it is doing is asked of its folder each time, never remembered.
 *
 *     state/runs/<run>/attempts/verify-<rollout>    spec, log, exit record; kept with the run's logs
 *     state/runs/<run>/work/verify-<rollout>        its workspace; removed with the run's */
#ifndef RUNNER_ROLLOUTS_VERIFY_H
#define RUNNER_ROLLOUTS_VERIFY_H

#include "deployers/rollout.h"
#include "runner/core.h"

struct verify_order {
	int64_t rollout_id, run_id;
	const struct rollout_spec *spec;
	const struct release *candidate;
	const char *preview_url;
};
/* Starts it unless it runs, has run, or there is none. After the commit that says VERIFYING. */
int verify_start(struct core *core, const struct verify_order *order, struct error **err) must_check;
/* VERIFY_NONE: not started. `why`: how it failed, and where its log is. */
enum verify_status verify_look(struct core *core, int64_t run_id, int64_t rollout_id, char *why, size_t size);
/* The rollout goes another way: it is told to end. */
void verify_cancel(struct core *core, int64_t run_id, int64_t rollout_id);
#endif
