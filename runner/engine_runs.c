#include "runner/engine_priv.h"

#include "base/alloc.h"
#include "gates/sources/source.h"
#include "base/clock.h"
#include "base/file.h"
#include "runner/git/git.h"

#include <string.h>

/* ---- rows ---- */

int run_event(struct engine *engine, int64_t run_id, const char *kind, const char *actor, json_t *data, struct error **err)
{
	cleanup_json json_t *taken = data;
	char subject[32];
	snprintf(subject, sizeof(subject), "run/%lld", (long long)run_id);
	return event_append(engine->core, kind, subject, run_id, actor, taken, err);
}

int run_state_is(struct engine *engine, int64_t run_id, const char *state, bool *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err, "SELECT state = ? FROM run WHERE id = ?", "si", state, run_id) < 0)
		return -1;
	int more = db_step(q, err);
	if (more >= 0)
		*ret = more > 0 && db_int(q, 0);
	return more < 0 ? -1 : 0;
}

int run_insert(struct engine *engine, const struct run_request *request, const char *actor, int64_t *ret_run, struct error **err)
{
	cleanup_free char *facts = json_text(request->facts);
	if (db_run(engine->core->db, err,
		   "INSERT INTO run (repository, delivery_row, facts, commit_sha, source_dir, created_ms) VALUES (?, nullif(?, 0), ?, ?, ?, ?)",
		   "sisssi", request->repository, request->delivery_row, facts, json_string_or(request->facts, "commit", ""), request->source_dir,
		   clock_wall_ms()) < 0)
		return -1;
	int64_t id = db_last_id(engine->core->db);
	if (run_event(engine, id, "run.created", actor, json_pack("{s:s}", "repository", request->repository), err) < 0)
		return -1;
	*ret_run = id;
	return 0;
}

int run_finish(struct engine *engine, int64_t run_id, enum outcome outcome, const char *reason, struct error **err)
{
	if (db_run(engine->core->db, err,
		   "UPDATE run SET state = 'finished', outcome = ?, reason = ?, finished_ms = ? WHERE id = ? AND state <> 'finished'", "ssii",
		   outcome_name(outcome), reason ? reason : "", clock_wall_ms(), run_id) < 0)
		return -1;
	if (db_changes(engine->core->db) == 0)
		return 0;
	cleanup_free char *work = xasprintf("runs/%lld/work", (long long)run_id), *source = xasprintf("runs/%lld/source", (long long)run_id);
	engine_remove_folder(engine, work);
	engine_remove_folder(engine, source);
	engine_wake(engine); /* its places and its concurrency group are free now */
	planned_run_drop(engine, run_id);
	return run_event(engine, run_id, "run.finished", NULL,
			 json_pack("{s:s, s:s}", "outcome", outcome_name(outcome), "reason", reason ? reason : ""), err);
}

/* ---- plans ---- */

static void planned_run_free(struct planned_run *run)
{
	if (!run)
		return;
	plan_free(run->plan);
	pipeline_free(run->pipeline);
	json_decref(run->facts_json);
	arena_free(run->arena);
	free(run);
}
DEFINE_CLEANUP(struct planned_run, planned_run_free);

void planned_run_drop(struct engine *engine, int64_t run_id)
{
	for (struct planned_run **at = &engine->plans; *at; at = &(*at)->next)
		if ((*at)->id == run_id) {
			struct planned_run *run = *at;
			*at = run->next;
			planned_run_free(run);
			return;
		}
}

void planned_runs_drop(struct engine *engine)
{
	while (engine->plans)
		planned_run_drop(engine, engine->plans->id);
}

void stage_closure(const struct pipeline *pipeline, size_t index, bool *needs)
{
	const struct stage *stage = &pipeline->stages[index];
	for (size_t i = 0; i < stage->n_needs; i++)
		if (!needs[stage->needs[i]]) {
			needs[stage->needs[i]] = true;
			stage_closure(pipeline, stage->needs[i], needs);
		}
}

/* `--stage train`: all its cells, and what they need. */
static bool *select_stages(const struct pipeline *pipeline, const char *name, struct arena *arena)
{
	if (!name[0])
		return NULL;
	bool *selected = arena_alloc(arena, (pipeline->n_stages + 1) * sizeof(*selected));
	for (size_t i = 0; i < pipeline->n_stages; i++)
		if (strcmp(pipeline->stages[i].name, name) == 0 || strcmp(pipeline->stages[i].id, name) == 0) {
			selected[i] = true;
			stage_closure(pipeline, i, selected);
		}
	return selected;
}

/* Everything but the checks; *ret_text is the pipeline's text for excerpts. NULL pipeline or plan: see diags. */
static int load(struct engine *engine, int64_t run_id, struct planned_run **ret, char **ret_text, struct diag_list *diags, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err, "SELECT repository, facts, pipeline_file, pipeline, source_dir, commit_sha FROM run WHERE id = ?",
		     "i", run_id) < 0)
		return -1;
	int more = db_step(q, err);
	if (more <= 0 || db_is_null(q, 3))
		return more < 0 ? -1 : error_set(err, ERROR_NOT_FOUND, 0, "run %lld has no pipeline", (long long)run_id);
	CLEANUP(planned_run_free) struct planned_run *run = xcalloc(1, sizeof(*run));
	run->id = run_id;
	run->arena = arena_new();
	const char *facts = db_text(q, 1), *text = db_text(q, 3);
	if (json_parse(facts, strlen(facts), &run->facts_json, err) < 0 ||
	    facts_from_json(run->facts_json, db_text(q, 0), (uint64_t)run_id, run->arena, &run->facts, err) < 0)
		return -1;
	run->facts.commit = arena_strdup(run->arena, db_text(q, 5));
	if (!db_is_null(q, 4))
		run->source = arena_printf(run->arena, "%s/runs/%lld/source", engine->core->config->state, (long long)run_id);
	run->pipeline = pipeline_parse(arena_strdup(run->arena, db_text(q, 2)), text, strlen(text), stage_kinds(), diags);
	if (run->pipeline && diag_errors(diags) == 0)
		run->plan = plan_new(run->pipeline, &run->facts, diags);
	if (run->pipeline)
		run->selected = select_stages(run->pipeline, json_string_or(run->facts_json, "only_stage", ""), run->arena);
	if (ret_text)
		*ret_text = xstrdup(text);
	*ret = STEAL(run);
	return 0;
}

int planned_run_get(struct engine *engine, int64_t run_id, struct planned_run **ret, struct error **err)
{
	for (struct planned_run *run = engine->plans; run; run = run->next)
		if (run->id == run_id) {
			*ret = run;
			return 0;
		}
	cleanup_diags struct diag_list *diags = diag_list_new();
	CLEANUP(planned_run_free) struct planned_run *run = NULL;
	if (load(engine, run_id, &run, NULL, diags, err) < 0)
		return -1;
	if (!run->plan)
		return error_set(err, ERROR_INVALID, 0, "the stored pipeline is not one that this build understands: %s",
				 diag_count(diags) ? diag_at(diags, 0)->message : "no reason given");
	run->next = engine->plans;
	engine->plans = run;
	*ret = STEAL(run);
	return 0;
}

/* ---- a pipeline that has just been fetched ---- */

/* The language cannot know which targets this operator has. */
static void check_targets(const struct engine *engine, const struct pipeline *pipeline, struct diag_list *diags)
{
	const struct config *config = engine->core->config;
	const char *names[64];
	size_t n = 0;
	for (; n < config->n_targets && n < ARRAY_SIZE(names); n++)
		names[n] = config->targets[n].name;
	for (size_t i = 0; i < pipeline->n_stages; i++) {
		const struct stage *stage = &pipeline->stages[i];
		const struct yaml_node *target = strcmp(stage->kind, "deploy") == 0 ? yaml_get(stage->body, "target") : NULL;
		const char *name = yaml_text(target, NULL);
		if (!name || config_target(config, name))
			continue;
		const char *nearest = nearest_word(name, names, n);
		cleanup_free char *hint = nearest ? xasprintf("did you mean \"%s\"?", nearest) : NULL;
		yaml_error(diags, target, "unknown-target", hint, "stage \"%s\" deploys to \"%s\", which the operator's file does not name",
			   stage->id, name);
	}
}

/* Nor which metric sources. */
static void check_sources(const struct engine *engine, const struct pipeline *pipeline, struct diag_list *diags)
{
	const struct config *config = engine->core->config;
	const char *names[64] = {SOURCE_APP};
	size_t n = 1;
	for (size_t i = 0; i < config->n_sources && n < ARRAY_SIZE(names); i++)
		names[n++] = config->sources[i].name;
	for (size_t i = 0; i < pipeline->n_stages; i++) {
		const struct stage *stage = &pipeline->stages[i];
		bool deploys = strcmp(stage->kind, "deploy") == 0;
		const struct yaml_node *metrics = deploys ? yaml_get(yaml_get(stage->body, "analysis"), "metrics") : NULL;
		for (size_t k = 0; metrics && metrics->kind == YAML_SEQUENCE && k < metrics->n; k++) {
			const struct yaml_node *source = yaml_get(metrics->values[k], "source");
			const char *name = yaml_text(source, NULL);
			if (!name || strcmp(name, SOURCE_APP) == 0 || config_source(config, name))
				continue;
			const char *nearest = nearest_word(name, names, n);
			cleanup_free char *hint = nearest ? xasprintf("did you mean \"%s\"?", nearest) : NULL;
			yaml_error(diags, source, "unknown-source", hint,
				   "stage \"%s\" reads the metric source \"%s\", which the operator's file does not name", stage->id, name);
		}
	}
}

static void check_only_stage(const struct planned_run *run, struct diag_list *diags)
{
	const char *only = json_string_or(run->facts_json, "only_stage", "");
	if (!only[0] || pipeline_find(run->pipeline, only) >= 0)
		return;
	const char **names = arena_alloc(run->arena, (run->pipeline->n_stages + 1) * sizeof(*names));
	for (size_t i = 0; i < run->pipeline->n_stages; i++)
		names[i] = run->pipeline->stages[i].name;
	const char *nearest = nearest_word(only, names, run->pipeline->n_stages);
	cleanup_free char *hint = nearest ? xasprintf("did you mean \"%s\"?", nearest) : NULL;
	yaml_error(diags, run->pipeline->root, "unknown-stage", hint, "there is no stage \"%s\"", only);
}

static int refuse(struct engine *engine, int64_t run_id, const struct diag_list *diags, const char *text, struct error **err)
{
	cleanup_buf struct buf b;
	buf_init(&b, 8 << 20);
	diag_print(diags, text, false, &b);
	cleanup_free char *relative = xasprintf("runs/%lld", (long long)run_id), *dir = core_path(engine->core, relative);
	cleanup_free char *file = path_join(dir, "lint.txt");
	if (dir_make(dir, 0711, err) < 0 || file_write_atomic(file, b.data, b.len, 0600, err) < 0)
		return -1;
	const struct diag *first = NULL;
	for (size_t i = 0; i < diag_count(diags) && !first; i++)
		first = diag_at(diags, i)->severity == DIAG_ERROR ? diag_at(diags, i) : NULL;
	cleanup_free char *reason =
		first ? xasprintf("%s:%u:%u: %s", first->file, first->line, first->column, first->message) : xstrdup("bad pipeline");
	return run_finish(engine, run_id, OUTCOME_FAILED, reason, err);
}

static int insert_stages(struct engine *engine, const struct planned_run *run, struct error **err)
{
	for (size_t i = 0; i < run->pipeline->n_stages; i++) {
		const struct stage *stage = &run->pipeline->stages[i];
		if (db_run(engine->core->db, err, "INSERT INTO stage (run_id, idx, name, kind) VALUES (?, ?, ?, ?)", "iiss", run->id, (int64_t)i,
			   stage->id, stage->kind) < 0)
			return -1;
	}
	return db_run(engine->core->db, err, "UPDATE run SET name = ?, concurrency_group = ?, state = 'queued' WHERE id = ?", "ssi",
		      run->pipeline->name ? run->pipeline->name : "", run->pipeline->concurrency.present ? run->pipeline->concurrency.group : NULL,
		      run->id);
}

int run_plan(struct engine *engine, int64_t run_id, struct error **err)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	CLEANUP(planned_run_free) struct planned_run *run = NULL;
	cleanup_free char *text = NULL;
	if (load(engine, run_id, &run, &text, diags, err) < 0)
		return -1;
	if (run->pipeline && !engine->core->local) {
		check_targets(engine, run->pipeline, diags);
		check_sources(engine, run->pipeline, diags);
	}
	if (run->pipeline)
		check_only_stage(run, diags);
	if (diag_errors(diags) > 0 || !run->pipeline)
		return refuse(engine, run_id, diags, text, err);
	/* A person who asks for a run, or runs a checkout by hand, has no need of a trigger. */
	const char *why = NULL;
	if (!json_bool_or(run->facts_json, "asked", false) && !plan_is_triggered(run->pipeline, &run->facts, run->arena, &why))
		return run_finish(engine, run_id, OUTCOME_SKIPPED, why, err);
	if (insert_stages(engine, run, err) < 0)
		return -1;
	planned_run_drop(engine, run_id);
	run->next = engine->plans;
	engine->plans = STEAL(run);
	return 0;
}
