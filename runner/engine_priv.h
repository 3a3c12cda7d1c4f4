/* Inside the engine only (runner/engine*.c, baseline.c, retention.c).
 *
 * engine.c         open, close, the turn: what each unfinished run needs next
 * engine_runs.c    a run's row, its plan, how it is created, planned, finished
 * engine_sync.c    the git child and what it brings back
 * engine_stages.c  obeys the scheduler: starts, skips, cancels, deploys
 * engine_work.c    one attempt: its folders, its spec, its start
 * engine_account.c one attempt that has ended: outcome, outputs, release, retry
 * engine_retry.c   a stored run once more
 *
 * Memory holds only what can be had from the rows again: plans, and registrations on the loop. */
#ifndef RUNNER_ENGINE_PRIV_H
#define RUNNER_ENGINE_PRIV_H

#include "base/attempt/attempt.h"
#include "base/child.h"
#include "runner/engine.h"
#include "runner/facts.h"
#include "runner/scheduler.h"
#include "stages/stage.h"

/* A run whose pipeline is known, as its rows say. */
struct planned_run {
	int64_t id;
	struct arena *arena;
	json_t *facts_json;
	struct event_facts facts;
	struct pipeline *pipeline;
	struct plan *plan;
	bool *selected;     /* NULL: all stages */
	const char *source; /* local runs: the snapshot's folder, else NULL */
	struct planned_run *next;
};

/* A helper process on the loop: git-sync of a run, or the removal of a workspace. */
struct helper {
	struct engine *engine;
	int64_t run_id; /* sync; 0: removal */
	struct child *child;
	struct helper *next;
};

struct watched {
	struct engine *engine;
	int64_t attempt_id;
	struct attempt_watch *watch;
	struct watched *next;
};

struct engine {
	struct core *core;
	struct planned_run *plans;
	struct helper *helpers;
	struct watched *watched;
	struct loop_timer *turn, *recover, *retention;
	bool closing;
};

/* ---- engine.c ---- */
void engine_wake(struct engine *engine);          /* a turn, soon */
void engine_recover_later(struct engine *engine); /* something could not be written down: look again in a second */
void engine_watch(struct engine *engine, int64_t attempt_id, const char *dir);
void engine_unwatch(struct engine *engine, int64_t attempt_id);
struct helper *helper_add(struct engine *engine, int64_t run_id);
void helper_remove(struct helper *helper);
/* Removes a folder beneath state by a child, after the commit. */
void engine_remove_folder(struct engine *engine, const char *relative);

/* ---- engine_runs.c ---- */
int planned_run_get(struct engine *engine, int64_t run_id, struct planned_run **ret, struct error **err) must_check; /* owned by the engine */
void planned_run_drop(struct engine *engine, int64_t run_id);
void planned_runs_drop(struct engine *engine);
/* Parses and checks a run's pipeline text and writes its stages down; a mistake or a condition finishes the run. */
int run_plan(struct engine *engine, int64_t run_id, struct error **err) must_check;
/* Also forgets its plan: no struct planned_run of it may be used afterwards. */
int run_finish(struct engine *engine, int64_t run_id, enum outcome outcome, const char *reason, struct error **err) must_check;
int run_event(struct engine *engine, int64_t run_id, const char *kind, const char *actor, json_t *data /* taken */, struct error **err) must_check;
int run_insert(struct engine *engine, const struct run_request *request, const char *actor, int64_t *ret_run, struct error **err) must_check;
int run_state_is(struct engine *engine, int64_t run_id, const char *state, bool *ret, struct error **err) must_check;

/* ---- engine_sync.c ---- */
bool sync_is_going_on(const struct engine *engine, int64_t run_id);
int sync_start(struct engine *engine, int64_t run_id, struct error **err) must_check;
void sync_cancel(struct engine *engine, int64_t run_id);

/* ---- engine_stages.c ---- */
int run_advance(struct engine *engine, int64_t run_id, struct error **err) must_check;
int stage_finish(struct engine *engine, int64_t stage_id, enum outcome outcome, const char *reason, struct error **err) must_check;
int stage_event(struct engine *engine, int64_t stage_id, const char *kind, json_t *data /* taken */, struct error **err) must_check;

/* ---- engine_work.c ---- */
/* After the commit that holds the attempt's row: starts it, or attaches to it, or writes down why not. */
void work_launch(struct engine *engine, int64_t attempt_id);
/* Paths relative to state; allocated. */
char *attempt_dir(int64_t run_id, int64_t idx, int64_t number);
char *attempt_work_dir(int64_t run_id, int64_t idx, int64_t number);
char *incoming_name(int64_t attempt_id, const char *what); /* "outputs", "image" */

/* ---- engine_account.c ---- */
/* Writes down how an attempt ended; a second call changes nothing. */
int account_attempt(struct engine *engine, int64_t attempt_id, struct error **err) must_check;
/* The same for one that never ran. */
int account_unstarted(struct engine *engine, int64_t attempt_id, enum outcome outcome, bool may_retry, const char *reason,
		      struct error **err) must_check;

/* ---- baseline.c ---- */
/* {"metrics": [...], "paired": [...]} of the score stages in `among` (by index; NULL: all of the run), merged. New reference. */
int merged_metrics(struct engine *engine, int64_t run_id, const struct pipeline *pipeline, const bool *among, json_t **ret,
		   struct error **err) must_check;
struct baseline {
	int64_t release_id, run_id; /* 0: there is none */
	char version[128];
};
/* What is live where this pipeline deploys to. */
int baseline_find(struct engine *engine, const struct planned_run *run, struct baseline *ret, struct error **err) must_check;
/* The manifest of captured outputs of the baseline's run that holds `path`; "" if that run declares no such output. */
int baseline_outputs(struct engine *engine, const struct baseline *baseline, const char *path, char ret_manifest[DIGEST_SIZE],
		     struct error **err) must_check;

/* ---- retention.c ---- */
int retention_run(struct engine *engine, struct error **err) must_check;

/* The stage's index set of all it needs, directly or not; needs[i] is set for them. */
void stage_closure(const struct pipeline *pipeline, size_t index, bool *needs);
#endif
