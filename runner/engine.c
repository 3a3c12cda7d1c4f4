#include "runner/engine_priv.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <string.h>

#define MAX_SYNCS 4
#define RECOVER_MS 1000
#define RETENTION_MS (60 * 60 * 1000)

/* ---- helpers: children on the loop ---- */

struct helper *helper_add(struct engine *engine, int64_t run_id)
{
	struct helper *helper = xcalloc(1, sizeof(*helper));
	*helper = (struct helper){.engine = engine, .run_id = run_id, .next = engine->helpers};
	engine->helpers = helper;
	return helper;
}

void helper_remove(struct helper *helper)
{
	for (struct helper **at = &helper->engine->helpers; *at; at = &(*at)->next)
		if (*at == helper) {
			*at = helper->next;
			break;
		}
	free(helper);
}

static void on_removed(void *arg, const struct child_result *result)
{
	struct helper *helper = arg;
	if (!helper->engine->closing && (result->signal || result->exit_code != 0))
		log_write(LOG_WARNING, "engine", "a workspace could not be removed: %s", result->err_text);
	helper_remove(helper);
}

struct removal {
	struct engine *engine;
	char *path;
};

static void drop_removal(struct core *core, void *arg)
{
	struct removal *removal = arg;
	(void)core;
	free(removal->path);
	free(removal);
}

static void launch_removal(struct core *core, void *arg)
{
	struct removal *removal = arg;
	const char *const argv[] = {"rm", "-rf", "--", removal->path, NULL};
	cleanup_error struct error *err = NULL;
	struct helper *helper = helper_add(removal->engine, 0);
	if (child_start(core->loop, &(struct child_spec){.argv = argv}, on_removed, helper, &helper->child, &err) < 0) {
		log_write(LOG_WARNING, "engine", "a workspace could not be removed: %s", error_message(err));
		helper_remove(helper);
	}
	drop_removal(core, removal);
}

void engine_remove_folder(struct engine *engine, const char *relative)
{
	struct removal *removal = xcalloc(1, sizeof(*removal));
	*removal = (struct removal){.engine = engine, .path = core_path(engine->core, relative)};
	if (access(removal->path, F_OK) < 0)
		drop_removal(engine->core, removal);
	else
		core_effect(engine->core, launch_removal, drop_removal, removal);
}

/* ---- attempts that run ---- */

static void on_attempt_done(void *arg, enum attempt_state state)
{
	struct watched *watched = arg;
	struct engine *engine = watched->engine;
	int64_t attempt_id = watched->attempt_id;
	(void)state; /* read again when it is accounted for */
	engine_unwatch(engine, attempt_id);
	cleanup_error struct error *err = NULL;
	core_event_begin(engine->core);
	int accounted = account_attempt(engine, attempt_id, &err);
	core_event_end(engine->core, accounted == 0);
	if (accounted < 0) {
		log_write(LOG_ERROR, "engine", "attempt %lld: %s", (long long)attempt_id, error_message(err));
		engine_recover_later(engine);
	}
	engine_wake(engine);
}

void engine_watch(struct engine *engine, int64_t attempt_id, const char *dir)
{
	engine_unwatch(engine, attempt_id);
	struct watched *watched = xcalloc(1, sizeof(*watched));
	*watched = (struct watched){.engine = engine, .attempt_id = attempt_id, .next = engine->watched};
	engine->watched = watched;
	watched->watch = attempt_watch_start(engine->core->loop, dir, on_attempt_done, watched);
}

void engine_unwatch(struct engine *engine, int64_t attempt_id)
{
	for (struct watched **at = &engine->watched; *at; at = &(*at)->next)
		if ((*at)->attempt_id == attempt_id) {
			struct watched *watched = *at;
			*at = watched->next;
			attempt_watch_stop(watched->watch);
			free(watched);
			return;
		}
}

/* ---- the turn ---- */

struct run_row {
	int64_t id;
	char *repository, *cancel_by;
	bool queued, syncing, has_pipeline;
};

struct run_rows {
	struct run_row *items;
	size_t n, capacity;
};

static void run_rows_done(struct run_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		free(rows->items[i].repository);
		free(rows->items[i].cancel_by);
	}
	free(rows->items);
}

static int read_unfinished(struct engine *engine, struct run_rows *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err,
		     "SELECT id, repository, cancel_by, state, EXISTS (SELECT 1 FROM stage WHERE run_id = run.id) FROM run "
		     "WHERE state IN ('queued', 'syncing', 'running') ORDER BY id",
		     "") < 0)
		return -1;
	int more;
	while ((more = db_step(q, err)) > 0) {
		ret->items = xgrow(ret->items, &ret->capacity, ret->n + 1, sizeof(*ret->items));
		ret->items[ret->n++] = (struct run_row){
			.id = db_int(q, 0),
			.repository = xstrdup(db_text(q, 1)),
			.cancel_by = xstrdup(db_text(q, 2)),
			.queued = strcmp(db_text(q, 3), "queued") == 0,
			.syncing = strcmp(db_text(q, 3), "syncing") == 0,
			.has_pipeline = db_int(q, 4),
		};
	}
	return more;
}

static unsigned count_syncs(const struct engine *engine)
{
	unsigned n = 0;
	for (const struct helper *helper = engine->helpers; helper; helper = helper->next)
		n += helper->run_id != 0;
	return n;
}

/* A rerun brings its pipeline's text along, and needs no sync. */
static int begin_run(struct engine *engine, const struct run_row *row, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err, "SELECT pipeline IS NOT NULL AND source_dir IS NULL FROM run WHERE id = ?", "i", row->id) < 0 ||
	    db_step(q, err) <= 0)
		return -1;
	bool planned = db_int(q, 0);
	db_stmt_free(STEAL(q));
	if (!planned)
		return sync_start(engine, row->id, err);
	engine_wake(engine); /* this turn's rows do not know the stages yet: the next one admits the run */
	return run_plan(engine, row->id, err);
}

static int turn_one(struct engine *engine, const struct run_row *row, struct error **err)
{
	if (row->cancel_by && (row->queued || row->syncing)) {
		cleanup_free char *reason = xasprintf("cancelled by %s", row->cancel_by);
		sync_cancel(engine, row->id);
		return run_finish(engine, row->id, OUTCOME_CANCELLED, reason, err);
	}
	if (row->syncing && !sync_is_going_on(engine, row->id))
		return sync_start(engine, row->id, err); /* it ended with a daemon before us */
	if (row->queued && !row->has_pipeline && count_syncs(engine) < MAX_SYNCS)
		return begin_run(engine, row, err);
	if (!row->queued && !row->syncing)
		return run_advance(engine, row->id, err);
	return 0;
}

/* One run's trouble stays its own: a row that cannot be read ends that run, not the daemon. */
static void turn_guarded(struct engine *engine, const struct run_row *row)
{
	struct core *core = engine->core;
	cleanup_error struct error *err = NULL;
	core_event_begin(core);
	int turned = turn_one(engine, row, &err);
	core_event_end(core, turned == 0);
	if (turned == 0)
		return;
	log_write(LOG_ERROR, "engine", "run %lld: %s", (long long)row->id, error_message(err));
	if (error_retryable(err)) {
		engine_recover_later(engine);
		return;
	}
	core_event_begin(core);
	core_event_end(core, run_finish(engine, row->id, OUTCOME_INFRA, error_message(err), NULL) == 0);
}

static int start_run(struct engine *engine, int64_t run_id, struct error **err)
{
	if (db_run(engine->core->db, err, "UPDATE run SET state = 'running', started_ms = coalesce(started_ms, ?) WHERE id = ?", "ii",
		   clock_wall_ms(), run_id) < 0)
		return -1;
	engine_wake(engine);
	return run_event(engine, run_id, "run.started", NULL, NULL, err);
}

static int admit_one(struct engine *engine, const struct run_row *row, const struct sched_admitted *admitted, struct error **err)
{
	switch (admitted->admission) {
	case ADMIT_RUNNING:
	case ADMIT_WAIT:
		return 0;
	case ADMIT_GO:
		return start_run(engine, row->id, err);
	case ADMIT_SUPERSEDED: {
		cleanup_free char *reason = xasprintf("superseded by run %lld (queue: latest)", (long long)admitted->by);
		return run_finish(engine, row->id, OUTCOME_CANCELLED, reason, err);
	}
	}
	return 0;
}

/* Runs whose stages are known, waiting or running, in the order they came. */
static int admit(struct engine *engine, const struct run_rows *rows, struct error **err)
{
	size_t n = 0;
	cleanup_free struct sched_run *runs = xcalloc(rows->n + 1, sizeof(*runs));
	cleanup_free struct sched_admitted *admitted = xcalloc(rows->n + 1, sizeof(*admitted));
	cleanup_free size_t *origin = xcalloc(rows->n + 1, sizeof(*origin));
	for (size_t i = 0; i < rows->n; i++) {
		const struct run_row *row = &rows->items[i];
		struct planned_run *run;
		if (!row->has_pipeline || row->syncing || (row->queued && row->cancel_by))
			continue;
		cleanup_error struct error *why = NULL;
		if (planned_run_get(engine, row->id, &run, &why) < 0) {
			if (!row->queued)
				continue; /* turn_guarded() has told why */
			if (run_finish(engine, row->id, OUTCOME_INFRA, error_message(why), err) < 0)
				return -1;
			continue;
		}
		origin[n] = i;
		runs[n++] = (struct sched_run){
			.id = row->id,
			.repository = row->repository,
			.group = run->pipeline->concurrency.present ? run->pipeline->concurrency.group : NULL,
			.limit = run->pipeline->concurrency.limit,
			.latest = run->pipeline->concurrency.latest,
			.running = !row->queued,
		};
	}
	scheduler_admit(runs, n, admitted);
	for (size_t i = 0; i < n; i++)
		if (admit_one(engine, &rows->items[origin[i]], &admitted[i], err) < 0)
			return -1;
	return 0;
}

static void on_turn(void *arg)
{
	struct engine *engine = arg;
	cleanup_error struct error *err = NULL;
	loop_timer_stop(STEAL(engine->turn));
	struct run_rows rows = {0};
	int done = read_unfinished(engine, &rows, &err);
	for (size_t i = 0; done == 0 && i < rows.n; i++)
		turn_guarded(engine, &rows.items[i]);
	if (done == 0) {
		core_event_begin(engine->core);
		done = admit(engine, &rows, &err);
		core_event_end(engine->core, done == 0);
	}
	if (done < 0) {
		log_write(LOG_ERROR, "engine", "%s", error_message(err));
		engine_recover_later(engine);
	}
	run_rows_done(&rows);
}

void engine_wake(struct engine *engine)
{
	if (!engine->turn && !engine->closing)
		engine->turn = loop_timer_start(engine->core->loop, 0, 0, on_turn, engine);
}

/* ---- from rows to memory ---- */

/* Attaches to everything that has been started and not yet accounted for. */
static int attach(struct engine *engine, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err, "SELECT id FROM attempt WHERE state <> 'finished' ORDER BY id", "") < 0)
		return -1;
	cleanup_free int64_t *ids = NULL;
	size_t n = 0, capacity = 0;
	int more;
	while ((more = db_step(q, err)) > 0) {
		ids = xgrow(ids, &capacity, n + 1, sizeof(*ids));
		ids[n++] = db_int(q, 0);
	}
	db_stmt_free(STEAL(q));
	for (size_t i = 0; i < n; i++)
		work_launch(engine, ids[i]);
	return more;
}

static void forget(struct engine *engine)
{
	planned_runs_drop(engine);
	while (engine->watched)
		engine_unwatch(engine, engine->watched->attempt_id);
}

static void reload(struct engine *engine)
{
	cleanup_error struct error *err = NULL;
	forget(engine);
	if (attach(engine, &err) < 0) {
		log_write(LOG_ERROR, "engine", "%s", error_message(err));
		engine_recover_later(engine);
	}
	engine_wake(engine);
}

static void on_recover(void *arg)
{
	struct engine *engine = arg;
	loop_timer_stop(STEAL(engine->recover));
	reload(engine);
}

void engine_recover_later(struct engine *engine)
{
	if (!engine->recover && !engine->closing)
		engine->recover = loop_timer_start(engine->core->loop, RECOVER_MS, 0, on_recover, engine);
}

/* After a failed commit. What the rows say may have to be written again at once, which is for a later turn: a full disk is still full. */
static void on_reload(void *arg)
{
	struct core *core = arg;
	if (!core->engine)
		return;
	forget(core->engine);
	engine_recover_later(core->engine);
}

static void on_retention(void *arg)
{
	struct engine *engine = arg;
	cleanup_error struct error *err = NULL;
	core_event_begin(engine->core);
	int done = retention_run(engine, &err);
	core_event_end(engine->core, done == 0);
	if (done < 0)
		log_write(LOG_ERROR, "retention", "%s", error_message(err));
}

int engine_open(struct core *core, struct engine **ret, struct error **err)
{
	struct engine *engine = xcalloc(1, sizeof(*engine));
	engine->core = core;
	core->engine = engine;
	if (attach(engine, err) < 0) {
		engine_close(engine);
		return error_context(err, "engine");
	}
	core_on_reload(core, on_reload, core);
	engine->retention = loop_timer_start(core->loop, RETENTION_MS, RETENTION_MS, on_retention, engine);
	engine_wake(engine);
	*ret = engine;
	return 0;
}

void engine_close(struct engine *engine)
{
	if (!engine)
		return;
	struct core *core = engine->core;
	core_commit(core); /* effects that wait hold pointers to us */
	engine->closing = true;
	loop_timer_stop(engine->turn);
	loop_timer_stop(engine->recover);
	loop_timer_stop(engine->retention);
	for (struct helper *helper = engine->helpers; helper; helper = helper->next)
		child_cancel(helper->child);
	while (engine->helpers && loop_turn(core->loop))
		;
	forget(engine);
	core->engine = NULL;
	free(engine);
}

/* ---- calls ---- */

int engine_create_run(struct engine *engine, const struct run_request *request, int64_t *ret_run, struct error **err)
{
	cleanup_json json_t *facts = json_deep_copy(request->facts);
	if (request->only_stage)
		json_object_set_new(facts, "only_stage", json_string(request->only_stage));
	struct run_request complete = *request;
	complete.facts = facts;
	if (!json_is_object(facts) || !json_string_or(facts, "kind", "")[0])
		return error_set(err, ERROR_INVALID, 0, "a run needs the facts of an event");
	if (run_insert(engine, &complete, request->actor, ret_run, err) < 0)
		return -1;
	engine_wake(engine);
	return 0;
}

int engine_cancel_run(struct engine *engine, int64_t run_id, const char *actor, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err, "SELECT state, cancel_by IS NOT NULL FROM run WHERE id = ?", "i", run_id) < 0)
		return -1;
	int more = db_step(q, err);
	if (more <= 0)
		return more < 0 ? -1 : error_set(err, ERROR_NOT_FOUND, 0, "there is no run %lld", (long long)run_id);
	if (strcmp(db_text(q, 0), "finished") == 0)
		return error_set(err, ERROR_CONFLICT, 0, "run %lld is finished already", (long long)run_id);
	if (db_int(q, 1))
		return 0;
	db_stmt_free(STEAL(q));
	if (db_run(engine->core->db, err, "UPDATE run SET cancel_by = ? WHERE id = ?", "si", actor ? actor : "penstock", run_id) < 0)
		return -1;
	engine_wake(engine);
	return run_event(engine, run_id, "run.cancel", actor, NULL, err);
}

bool engine_idle(const struct engine *engine)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (engine->helpers || engine->turn || engine->watched || db_in_transaction(engine->core->db))
		return false;
	return db_query(engine->core->db, &q, NULL, "SELECT 1 FROM run WHERE state <> 'finished' LIMIT 1", "") == 0 && db_step(q, NULL) == 0;
}
