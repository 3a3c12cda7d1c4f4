/* Runs as they are shown: the list and one of them. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "runner/api/api_priv.h"
#include "runner/rollouts_view.h"

#include <string.h>

enum { DEFAULT_LIMIT = 50, MAX_LIMIT = 1000, MAX_DIAGNOSTICS = 16 << 20 };

static const char run_columns[] = "SELECT id, repository, facts, commit_sha, state, outcome, reason, created_ms, started_ms, finished_ms,"
				  " pipeline_file, name, rerun_of, cancel_by FROM run";

static json_t *parse_or_null(const char *text)
{
	json_t *json = NULL;
	return text && json_parse(text, strlen(text), &json, NULL) == 0 ? json : json_null();
}

static json_t *run_json(const struct db_stmt *q)
{
	cleanup_json json_t *facts = parse_or_null(db_text(q, 2));
	static const char *const of_facts[] = {"branch", "tag", "message", "author"};
	json_t *run = json_object();
	api_set(run, "id", json_integer(db_int(q, 0)));
	api_set(run, "repository", api_text(db_text(q, 1)));
	api_set(run, "event", api_text(json_string_or(facts, "kind", "")));
	for (size_t i = 0; i < ARRAY_SIZE(of_facts); i++)
		api_set(run, of_facts[i], api_text(json_string_or(facts, of_facts[i], "")));
	api_set(run, "commit", api_text(db_text(q, 3)));
	api_set(run, "state", api_text(db_text(q, 4)));
	api_set(run, "outcome", api_text(db_text(q, 5)));
	api_set(run, "reason", api_text(db_text(q, 6)));
	api_set(run, "created_ms", json_integer(db_int(q, 7)));
	api_set(run, "started_ms", api_number_or_null(q, 8));
	api_set(run, "finished_ms", api_number_or_null(q, 9));
	api_set(run, "pipeline", api_text(db_text(q, 10)));
	api_set(run, "name", api_text(db_text(q, 11)));
	api_set(run, "rerun_of", api_number_or_null(q, 12));
	api_set(run, "cancelled_by", api_text(db_text(q, 13)));
	return run;
}

/* ---- the list ---- */

/* Enough for one line a run: names and how they stand. */
static int add_stage_line(struct core *core, json_t *run, int64_t run_id, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_json json_t *stages = json_array();
	int more;
	if (db_query(core->db, &q, err, "SELECT name, state, outcome FROM stage WHERE run_id = ? ORDER BY idx", "i", run_id) < 0)
		return -1;
	while ((more = db_step(q, err)) > 0)
		json_array_append_new(stages, json_pack("{s:o, s:o, s:o}", "name", api_text(db_text(q, 0)), "state", api_text(db_text(q, 1)),
							"outcome", api_text(db_text(q, 2))));
	api_set(run, "stages", json_incref(stages));
	return more;
}

static bool known_state(const char *state)
{
	static const char *const states[] = {"queued", "syncing", "running", "finished"};
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (strcmp(state, states[i]) == 0)
			return true;
	return false;
}

int api_list_runs(struct http_call *call, struct error **err)
{
	struct core *core = http_core(call);
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_json json_t *runs = json_array();
	cleanup_free char *sql = xasprintf("%s WHERE (?1 IS NULL OR repository = ?1) AND (?2 IS NULL OR state = ?2)"
					   " AND (?3 IS NULL OR json_extract(facts, '$.branch') = ?3) ORDER BY id DESC LIMIT ?4",
					   run_columns);
	const char *state = http_query(call, "state");
	int64_t limit;
	int more;
	if (state && !known_state(state))
		return error_set(err, ERROR_INVALID, 0, "state: \"%.40s\" is none of queued, syncing, running, finished", state);
	if (api_number(call, "limit", DEFAULT_LIMIT, MAX_LIMIT, &limit, err) < 0 ||
	    db_query(core->db, &q, err, sql, "sssi", http_query(call, "repository"), state, http_query(call, "branch"), limit) < 0)
		return -1;
	while ((more = db_step(q, err)) > 0) {
		json_t *run = run_json(q);
		json_array_append_new(runs, run);
		if (add_stage_line(core, run, db_int(q, 0), err) < 0)
			return -1;
	}
	return more < 0 ? -1 : http_reply_json(call, 200, json_pack("{s:O}", "runs", runs));
}

/* ---- one ---- */

static json_t *stage_json(const struct db_stmt *q)
{
	json_t *stage = json_object();
	api_set(stage, "name", api_text(db_text(q, 0)));
	api_set(stage, "kind", api_text(db_text(q, 1)));
	api_set(stage, "state", api_text(db_text(q, 2)));
	api_set(stage, "outcome", api_text(db_text(q, 3)));
	api_set(stage, "reason", api_text(db_text(q, 4)));
	api_set(stage, "started_ms", api_number_or_null(q, 5));
	api_set(stage, "finished_ms", api_number_or_null(q, 6));
	api_set(stage, "attempts", json_integer(db_int(q, 7)));
	api_set(stage, "result", parse_or_null(db_text(q, 8)));
	api_set(stage, "outputs", api_text(db_text(q, 9)));
	api_set(stage, "image", api_text(db_text(q, 10)));
	return stage;
}

static int add_stages(struct core *core, json_t *run, int64_t run_id, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_json json_t *stages = json_array();
	int more;
	if (db_query(core->db, &q, err,
		     "SELECT name, kind, state, outcome, reason, started_ms, finished_ms,"
		     " (SELECT count(*) FROM attempt WHERE stage_id = stage.id), result, outputs, image"
		     " FROM stage WHERE run_id = ? ORDER BY idx",
		     "i", run_id) < 0)
		return -1;
	while ((more = db_step(q, err)) > 0)
		json_array_append_new(stages, stage_json(q));
	api_set(run, "stages", json_incref(stages));
	return more;
}

/* The newest rollout of the run's deploy stages, or null. */
static int add_rollout(struct core *core, json_t *run, int64_t run_id, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err, "SELECT max(rollout.id) FROM rollout JOIN stage ON stage.id = rollout.stage_id WHERE stage.run_id = ?", "i",
		     run_id) < 0 ||
	    db_step(q, err) < 0)
		return -1;
	json_t *rollout = db_is_null(q, 0) ? json_null() : rollouts_json(core, db_int(q, 0), err);
	if (!rollout)
		return -1;
	api_set(run, "rollout", rollout);
	return 0;
}

/* What lint said about a pipeline that could not be planned. */
static void add_diagnostics(struct core *core, json_t *run, int64_t run_id)
{
	cleanup_free char *relative = xasprintf("runs/%lld/lint.txt", (long long)run_id), *path = core_path(core, relative), *text = NULL;
	bool found = file_read(path, MAX_DIAGNOSTICS, &text, NULL, NULL) == 0;
	api_set(run, "diagnostics", found ? api_text(text) : json_null());
}

int api_get_run(struct http_call *call, struct error **err)
{
	struct core *core = http_core(call);
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_free char *sql = xasprintf("%s WHERE id = ?", run_columns);
	int64_t id;
	if (api_id(call, "run", &id, err) < 0 || db_query(core->db, &q, err, sql, "i", id) < 0)
		return -1;
	int more = db_step(q, err);
	if (more <= 0)
		return more < 0 ? -1 : error_set(err, ERROR_NOT_FOUND, 0, "there is no run %lld", (long long)id);
	cleanup_json json_t *run = run_json(q);
	if (add_stages(core, run, id, err) < 0 || add_rollout(core, run, id, err) < 0)
		return -1;
	add_diagnostics(core, run, id);
	return http_reply_json(call, 200, json_incref(run));
}
