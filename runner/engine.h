/* Runs: from a stored event to a finished run. Owned by the daemon (`serve`) and by `penstock run`, the same code.
 *
 * queued -> syncing (child `penstock git-sync`) -> running (stages) -> finished. Everything is derived from rows; engine_open()
 * re-attaches to what runs. All calls are made inside an event (core_event_begin) unless said otherwise. */
#ifndef RUNNER_ENGINE_H
#define RUNNER_ENGINE_H

#include "runner/core.h"

int engine_open(struct core *core, struct engine **ret, struct error **err) must_check;
void engine_close(struct engine *engine); /* leaves attempts running */

struct run_request {
	const char *repository;
	int64_t delivery_row;      /* 0: none */
	const json_t *facts;       /* kind, branch, tag, ref, commit, before, author, message, trusted, inputs{} */
	const char *source_dir;    /* local runs: this folder's files instead of a mirror */
	const char *only_stage;    /* local runs: this stage and what it needs */
	const char *actor;
};
/* Inserts the run (state queued); work begins with the next commit. */
int engine_create_run(struct engine *engine, const struct run_request *request, int64_t *ret_run, struct error **err) must_check;
/* CONFLICT if the run is finished. Cancelling twice is fine. */
int engine_cancel_run(struct engine *engine, int64_t run_id, const char *actor, struct error **err) must_check;
/* A new run with the same pipeline text, commit and inputs; from_stage (or NULL) reuses the outputs of the stages before it. */
int engine_retry_run(struct engine *engine, int64_t run_id, const char *from_stage, const char *actor, int64_t *ret_run, struct error **err) must_check;

/* The rollout controller tells how the rollout of a deploy stage ended. */
int engine_finish_stage(struct engine *engine, int64_t stage_id, enum outcome outcome, const char *reason, struct error **err) must_check;

bool engine_idle(const struct engine *engine);  /* nothing queued, syncing or running: `penstock run` ends then */
#endif
