#include "runner/engine_priv.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <string.h>

#define SYNC_TIMEOUT_MS (10 * 60 * 1000)
#define SYNC_MAX_OUTPUT (48 << 20)

bool sync_is_going_on(const struct engine *engine, int64_t run_id)
{
	for (const struct helper *helper = engine->helpers; helper; helper = helper->next)
		if (helper->run_id == run_id)
			return true;
	return false;
}

void sync_cancel(struct engine *engine, int64_t run_id)
{
	for (struct helper *helper = engine->helpers; helper; helper = helper->next)
		if (helper->run_id == run_id)
			child_cancel(helper->child);
}

/* ---- what it brought back ---- */

/* The commit knows its author and message better than the webhook does. */
static json_t *completed_facts(const json_t *facts, const json_t *found)
{
	json_t *complete = json_deep_copy(facts);
	static const char *const keys[] = {"author", "message"};
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!json_string_or(complete, keys[i], "")[0])
			json_object_set_new(complete, keys[i], json_string(json_string_or(found, keys[i], "")));
	if (!json_string_or(complete, "branch", "")[0] && json_string_or(found, "branch", "")[0])
		json_object_set(complete, "branch", json_object_get(found, "branch"));
	if (json_is_integer(json_object_get(found, "timestamp")))
		json_object_set(complete, "timestamp", json_object_get(found, "timestamp"));
	json_t *changed = json_object_get(found, "changed");
	json_object_set_new(complete, "changed", json_is_array(changed) ? json_incref(changed) : json_null());
	json_object_set_new(complete, "commit", json_string(json_string_or(found, "commit", "")));
	return complete;
}

/* Each further pipeline of the commit is a run of its own, for the same delivery. */
static int another_run(struct engine *engine, int64_t run_id, const char *facts, int64_t *ret_run, struct error **err)
{
	if (db_run(engine->core->db, err,
		   "INSERT INTO run (repository, delivery_row, facts, source_dir, created_ms) "
		   "SELECT repository, delivery_row, ?, source_dir, ? FROM run WHERE id = ?",
		   "sii", facts, clock_wall_ms(), run_id) < 0)
		return -1;
	*ret_run = db_last_id(engine->core->db);
	return run_event(engine, *ret_run, "run.created", NULL, json_pack("{s:I}", "sibling", (json_int_t)run_id), err);
}

static int adopt_pipeline(struct engine *engine, int64_t run_id, const char *facts, const char *commit, const json_t *pipeline, struct error **err)
{
	if (db_run(engine->core->db, err, "UPDATE run SET facts = ?, commit_sha = ?, pipeline_file = ?, pipeline = ? WHERE id = ?", "ssssi", facts,
		   commit, json_string_or(pipeline, "file", ""), json_string_or(pipeline, "text", ""), run_id) < 0)
		return -1;
	return run_plan(engine, run_id, err);
}

static int adopt(struct engine *engine, int64_t run_id, const json_t *facts, const json_t *found, struct error **err)
{
	cleanup_json json_t *complete = completed_facts(facts, found);
	cleanup_free char *text = json_text(complete);
	const char *commit = json_string_or(found, "commit", "");
	const json_t *pipelines = json_object_get(found, "pipelines");
	if (db_run(engine->core->db, err, "UPDATE run SET facts = ?, commit_sha = ? WHERE id = ?", "ssi", text, commit, run_id) < 0)
		return -1;
	if (json_array_size(pipelines) == 0)
		return run_finish(engine, run_id, OUTCOME_SKIPPED, "the commit has neither .penstock.yml nor .penstock/*.yml", err);
	for (size_t i = 0; i < json_array_size(pipelines); i++) {
		int64_t id = run_id;
		if (i > 0 && another_run(engine, run_id, text, &id, err) < 0)
			return -1;
		if (adopt_pipeline(engine, id, text, commit, json_array_get(pipelines, i), err) < 0)
			return -1;
	}
	return 0;
}

static int fail(struct engine *engine, int64_t run_id, const struct child_result *result, struct error **err)
{
	cleanup_error struct error *why = NULL;
	bool theirs = !result->timed_out && result->signal == 0 && (result->exit_code == 1 || result->exit_code == 2);
	if (result->timed_out)
		error_set(&why, ERROR_TIMEOUT, 0,
			  "fetching the repository took longer than 10 minutes and was stopped: look after the network, then retry the run");
	else if (child_expect_success(result, "git-sync", &why) == 0)
		error_set(&why, ERROR_PROTOCOL, 0, "git-sync: no answer");
	/* The last line is the child's own error, worded for people. */
	size_t len = strlen(result->err_text);
	while (len > 0 && result->err_text[len - 1] == '\n')
		len--;
	cleanup_free char *told = xstrndup(result->err_text, len);
	const char *last = strrchr(told, '\n') ? strrchr(told, '\n') + 1 : told;
	const char *reason = last[0] && !result->timed_out && result->signal == 0 ? last : error_message(why);
	return run_finish(engine, run_id, theirs ? OUTCOME_FAILED : OUTCOME_INFRA, reason, err);
}

static int conclude(struct engine *engine, int64_t run_id, const struct child_result *result, struct error **err)
{
	bool syncing;
	if (run_state_is(engine, run_id, "syncing", &syncing, err) < 0)
		return -1;
	if (!syncing) /* cancelled in the meantime */
		return 0;
	cleanup_json json_t *found = NULL;
	if (result->exit_code != 0 || result->signal || result->timed_out || json_parse(result->out, result->out_len, &found, NULL) < 0)
		return fail(engine, run_id, result, err);
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_json json_t *facts = NULL;
	if (db_query(engine->core->db, &q, err, "SELECT facts FROM run WHERE id = ?", "i", run_id) < 0 || db_step(q, err) <= 0 ||
	    json_parse(db_text(q, 0), strlen(db_text(q, 0)), &facts, err) < 0)
		return -1;
	return adopt(engine, run_id, facts, found, err);
}

static void on_done(void *arg, const struct child_result *result)
{
	struct helper *helper = arg;
	struct engine *engine = helper->engine;
	int64_t run_id = helper->run_id;
	helper_remove(helper);
	if (engine->closing)
		return;
	cleanup_error struct error *err = NULL;
	core_event_begin(engine->core);
	int concluded = conclude(engine, run_id, result, &err);
	core_event_end(engine->core, concluded == 0);
	if (concluded < 0) {
		log_write(LOG_ERROR, "engine", "run %lld: %s", (long long)run_id, error_message(err));
		engine_recover_later(engine);
	}
	engine_wake(engine);
}

/* ---- starting ---- */

struct sync_arg {
	struct engine *engine;
	int64_t run_id;
	struct strlist argv;
};

static void sync_arg_free(struct core *core, void *arg)
{
	struct sync_arg *sync = arg;
	(void)core;
	strlist_done(&sync->argv);
	free(sync);
}

static void launch(struct core *core, void *arg)
{
	struct sync_arg *sync = arg;
	struct engine *engine = sync->engine;
	cleanup_error struct error *err = NULL;
	struct helper *helper = helper_add(engine, sync->run_id);
	const struct child_spec spec = {.argv = strlist_items(&sync->argv), .timeout_ms = SYNC_TIMEOUT_MS, .max_output = SYNC_MAX_OUTPUT};
	if (child_start(core->loop, &spec, on_done, helper, &helper->child, &err) < 0) {
		helper_remove(helper);
		core_event_begin(core);
		core_event_end(core, run_finish(engine, sync->run_id, OUTCOME_INFRA, error_message(err), NULL) == 0);
	}
	sync_arg_free(core, sync);
}

static void add_fetch(struct strlist *argv, const char *url, const char *mirror, const char *commit, const char *ref, const char *before)
{
	const char *const pairs[][2] = {{"--url", url}, {"--mirror", mirror}, {"--commit", commit}, {"--ref", ref}, {"--before", before}};
	strlist_add(argv, "fetch");
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		if (pairs[i][1] && pairs[i][1][0]) {
			strlist_add(argv, pairs[i][0]);
			strlist_add(argv, pairs[i][1]);
		}
}

static void add_snapshot(struct strlist *argv, const char *from, const char *to)
{
	strlist_add(argv, "snapshot");
	strlist_add(argv, "--from");
	strlist_add(argv, from);
	strlist_add(argv, "--to");
	strlist_add(argv, to);
}

int sync_start(struct engine *engine, int64_t run_id, struct error **err)
{
	struct core *core = engine->core;
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_json json_t *facts = NULL;
	if (db_query(core->db, &q, err, "SELECT repository, facts, source_dir FROM run WHERE id = ?", "i", run_id) < 0 || db_step(q, err) <= 0 ||
	    json_parse(db_text(q, 1), strlen(db_text(q, 1)), &facts, err) < 0)
		return -1;
	if (!json_bool_or(facts, "trusted", false))
		return run_finish(engine, run_id, OUTCOME_SKIPPED,
				  "it comes from a fork or an unknown sender: running those is not available in this build", err);
	const struct config_repository *repository = config_repository(core->config, db_text(q, 0));
	if (db_is_null(q, 2) && !repository)
		return run_finish(engine, run_id, OUTCOME_INFRA, "the repository is no longer in penstock.yml: put it back, then retry the run", err);
	if (db_run(core->db, err, "UPDATE run SET state = 'syncing', started_ms = coalesce(started_ms, ?) WHERE id = ?", "ii", clock_wall_ms(),
		   run_id) < 0)
		return -1;
	struct sync_arg *sync = xcalloc(1, sizeof(*sync));
	sync->engine = engine;
	sync->run_id = run_id;
	strlist_add(&sync->argv, core->self);
	strlist_add(&sync->argv, "git-sync");
	if (db_is_null(q, 2)) {
		cleanup_free char *relative = xasprintf("git/%s.git", repository->name), *mirror = core_path(core, relative);
		add_fetch(&sync->argv, repository->url, mirror, json_string_or(facts, "commit", ""), json_string_or(facts, "ref", ""),
			  json_string_or(facts, "before", ""));
	} else {
		cleanup_free char *relative = xasprintf("runs/%lld", (long long)run_id), *dir = core_path(core, relative),
				  *to = path_join(dir, "source");
		if (dir_make(dir, 0711, err) < 0) {
			sync_arg_free(core, sync);
			return -1;
		}
		add_snapshot(&sync->argv, db_text(q, 2), to);
	}
	core_effect(core, launch, sync_arg_free, sync);
	return 0;
}
