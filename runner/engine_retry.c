#include "runner/engine_priv.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <string.h>

struct old_run {
	char *state, *facts, *file;
	bool has_pipeline;
};

static void old_run_done(struct old_run *old)
{
	free(old->state);
	free(old->facts);
	free(old->file);
}

static int read_old(struct engine *engine, int64_t run_id, struct old_run *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err,
		     "SELECT state, facts, pipeline_file, pipeline IS NOT NULL AND EXISTS (SELECT 1 FROM stage WHERE run_id = run.id) FROM run WHERE "
		     "id = ?",
		     "i", run_id) < 0)
		return -1;
	int more = db_step(q, err);
	if (more <= 0)
		return more < 0 ? -1 : error_set(err, ERROR_NOT_FOUND, 0, "there is no run %lld", (long long)run_id);
	*ret = (struct old_run){xstrdup(db_text(q, 0)), xstrdup(db_text(q, 1)), xstrdup(db_text(q, 2)), db_int(q, 3)};
	return 0;
}

/* Same commit, same inputs, same text. One that never got as far as a pipeline begins with the sync again. */
static int insert_copy(struct engine *engine, int64_t run_id, const char *actor, int64_t *ret_run, struct error **err)
{
	if (db_run(engine->core->db, err,
		   "INSERT INTO run (repository, delivery_row, pipeline_file, facts, commit_sha, pipeline, source_dir, rerun_of, created_ms) "
		   "SELECT repository, delivery_row, pipeline_file, facts, commit_sha, pipeline, source_dir, id, ? FROM run WHERE id = ?",
		   "ii", clock_wall_ms(), run_id) < 0)
		return -1;
	*ret_run = db_last_id(engine->core->db);
	return run_event(engine, *ret_run, "run.created", actor, json_pack("{s:I}", "rerun_of", (json_int_t)run_id), err);
}

static bool needs_any(const struct pipeline *pipeline, size_t index, const bool *again, bool *scratch)
{
	memset(scratch, 0, pipeline->n_stages * sizeof(*scratch));
	stage_closure(pipeline, index, scratch);
	for (size_t i = 0; i < pipeline->n_stages; i++)
		if (scratch[i] && again[i])
			return true;
	return false;
}

static int reuse_stage(struct engine *engine, int64_t old_run, int64_t new_run, size_t idx, struct error **err)
{
	struct db *db = engine->core->db;
	cleanup_free char *reason = xasprintf("reused from run %lld", (long long)old_run);
	if (db_run(db, err,
		   "UPDATE stage SET state = 'finished', outcome = old.outcome, reason = ?, outputs = old.outputs, result = old.result, image = "
		   "old.image, "
		   "started_ms = old.started_ms, finished_ms = old.finished_ms FROM stage AS old "
		   "WHERE old.run_id = ? AND old.idx = ? AND old.outcome = 'success' AND stage.run_id = ? AND stage.idx = old.idx",
		   "siii", reason, old_run, (int64_t)idx, new_run) < 0)
		return -1;
	return db_run(db, err,
		      "INSERT INTO release (run_id, stage_id, repository, version, image, commit_sha, port, created_ms) "
		      "SELECT new.run_id, new.id, release.repository, version, release.image, commit_sha, port, ? FROM release "
		      "JOIN stage AS old ON old.id = release.stage_id JOIN stage AS new ON new.idx = old.idx "
		      "WHERE old.run_id = ? AND old.idx = ? AND new.run_id = ? AND new.outcome = 'success'",
		      "iiii", clock_wall_ms(), old_run, (int64_t)idx, new_run);
}

static int reuse_before(struct engine *engine, int64_t old_run, int64_t new_run, const char *from_stage, struct error **err)
{
	struct planned_run *run;
	if (planned_run_get(engine, new_run, &run, err) < 0)
		return -1;
	const struct pipeline *pipeline = run->pipeline;
	cleanup_free bool *again = xcalloc(pipeline->n_stages + 1, sizeof(*again)), *scratch = xcalloc(pipeline->n_stages + 1, sizeof(*scratch));
	for (size_t i = 0; i < pipeline->n_stages; i++)
		again[i] = strcmp(pipeline->stages[i].name, from_stage) == 0 || strcmp(pipeline->stages[i].id, from_stage) == 0;
	for (size_t i = 0; i < pipeline->n_stages; i++)
		if (!again[i] && !needs_any(pipeline, i, again, scratch) && reuse_stage(engine, old_run, new_run, i, err) < 0)
			return -1;
	return 0;
}

static int check_from(struct engine *engine, int64_t run_id, const struct old_run *old, const char *from_stage, struct error **err)
{
	struct planned_run *run;
	if (!from_stage)
		return 0;
	if (!old->has_pipeline)
		return error_set(err, ERROR_CONFLICT, 0, "run %lld has no stages to begin from: retry it as a whole", (long long)run_id);
	if (planned_run_get(engine, run_id, &run, err) < 0)
		return -1;
	bool known = pipeline_find(run->pipeline, from_stage) >= 0;
	planned_run_drop(engine, run_id);
	return known ? 0 : error_set(err, ERROR_NOT_FOUND, 0, "run %lld has no stage \"%s\"", (long long)run_id, from_stage);
}

int engine_retry_run(struct engine *engine, int64_t run_id, const char *from_stage, const char *actor, int64_t *ret_run, struct error **err)
{
	__attribute__((cleanup(old_run_done))) struct old_run old = {0};
	int64_t id;
	if (read_old(engine, run_id, &old, err) < 0)
		return -1;
	if (strcmp(old.state, "finished") != 0)
		return error_set(err, ERROR_CONFLICT, 0, "run %lld has not finished: cancel it first", (long long)run_id);
	if (check_from(engine, run_id, &old, from_stage, err) < 0 || insert_copy(engine, run_id, actor, &id, err) < 0)
		return -1;
	/* The stages before are written down as done at once, before the first turn could start them. */
	if (from_stage && (run_plan(engine, id, err) < 0 || reuse_before(engine, run_id, id, from_stage, err) < 0))
		return -1;
	engine_wake(engine);
	*ret_run = id;
	return 0;
}
