#include "runner/engine_priv.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "runner/rollouts.h"

#include <string.h>

/* ---- rows ---- */

int stage_event(struct engine *engine, int64_t stage_id, const char *kind, json_t *data, struct error **err)
{
	cleanup_json json_t *taken = data;
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err, "SELECT run_id, name FROM stage WHERE id = ?", "i", stage_id) < 0 || db_step(q, err) <= 0)
		return -1;
	cleanup_free char *subject = xasprintf("run/%lld/%s", (long long)db_int(q, 0), db_text(q, 1));
	int64_t run_id = db_int(q, 0);
	db_stmt_free(STEAL(q));
	return event_append(engine->core, kind, subject, run_id, NULL, taken, err);
}

int stage_finish(struct engine *engine, int64_t stage_id, enum outcome outcome, const char *reason, struct error **err)
{
	if (db_run(engine->core->db, err,
		   "UPDATE stage SET state = 'finished', outcome = ?, reason = ?, finished_ms = ? WHERE id = ? AND state <> 'finished'", "ssii",
		   outcome_name(outcome), reason ? reason : "", clock_wall_ms(), stage_id) < 0)
		return -1;
	if (db_changes(engine->core->db) == 0)
		return 0;
	engine_wake(engine);
	return stage_event(engine, stage_id, "stage.finished",
			   json_pack("{s:s, s:s}", "outcome", outcome_name(outcome), "reason", reason ? reason : ""), err);
}

int engine_finish_stage(struct engine *engine, int64_t stage_id, enum outcome outcome, const char *reason, struct error **err)
{
	return stage_finish(engine, stage_id, outcome, reason, err);
}

struct stage_row {
	int64_t id;
	enum sched_state state;
	enum outcome outcome;
};

static int read_stages(struct engine *engine, const struct planned_run *run, struct stage_row *rows, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err, "SELECT id, idx, state, outcome FROM stage WHERE run_id = ?", "i", run->id) < 0)
		return -1;
	int more;
	size_t seen = 0;
	while ((more = db_step(q, err)) > 0) {
		int64_t idx = db_int(q, 1);
		if (idx < 0 || (uint64_t)idx >= run->plan->n_stages)
			break;
		struct stage_row row = {.id = db_int(q, 0), .state = SCHED_WAITING, .outcome = OUTCOME_NONE};
		if (strcmp(db_text(q, 2), "running") == 0)
			row.state = SCHED_RUNNING;
		else if (strcmp(db_text(q, 2), "finished") == 0 && outcome_from_name(db_text(q, 3), &row.outcome))
			row.state = SCHED_FINISHED;
		rows[idx] = row;
		seen++;
	}
	if (more < 0)
		return -1;
	return seen == run->plan->n_stages ? 0 : error_set(err, ERROR_INTERNAL, 0, "the stored stages do not fit the stored pipeline");
}

static int free_places(struct engine *engine, unsigned *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err, "SELECT count(*) FROM attempt WHERE state <> 'finished'", "") < 0 || db_step(q, err) <= 0)
		return -1;
	unsigned taken = (unsigned)db_int(q, 0), limit = engine->core->config->parallel_stages;
	*ret = limit > taken ? limit - taken : 0;
	return 0;
}

/* ---- deploy stages ---- */

/* NULL: this event may send releases there. */
static char *why_not_allowed(const struct config_target *target, const struct event_facts *facts)
{
	if (!facts->trusted || facts->kind == EVENT_PULL_REQUEST)
		return xasprintf("pull requests and untrusted runs may not deploy");
	bool tag = facts->kind == EVENT_TAG || facts->tag;
	const struct globs *globs = tag ? &target->allow_tags : &target->allow_branches;
	const char *name = tag ? facts->tag : facts->branch;
	if (name && globs_match(globs, name))
		return NULL;
	return xasprintf("target \"%s\" does not allow %s \"%s\" (allow, in penstock.yml)", target->name, tag ? "tag" : "branch", name ? name : "");
}

static int find_release(struct engine *engine, int64_t run_id, const char *image_stage, int64_t *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err,
		     "SELECT release.id FROM release JOIN stage ON stage.id = release.stage_id WHERE release.run_id = ? AND stage.name = ?", "is",
		     run_id, image_stage) < 0)
		return -1;
	int more = db_step(q, err);
	if (more < 0)
		return -1;
	*ret = more ? db_int(q, 0) : 0;
	return 0;
}

static int start_rollout(struct engine *engine, const struct planned_run *run, int64_t stage_id, const struct rollout_spec *spec, struct error **err)
{
	const struct config_target *target = config_target(engine->core->config, spec->target);
	cleanup_error struct error *why = NULL;
	int64_t release, rollout;
	if (!target) {
		cleanup_free char *reason = xasprintf("target \"%s\" is no longer in penstock.yml", spec->target);
		return stage_finish(engine, stage_id, OUTCOME_INFRA, reason, err);
	}
	cleanup_free char *denied = why_not_allowed(target, &run->facts);
	if (denied)
		return stage_finish(engine, stage_id, OUTCOME_FAILED, denied, err);
	if (find_release(engine, run->id, spec->image_stage, &release, err) < 0)
		return -1;
	if (!release) {
		cleanup_free char *reason = xasprintf("stage \"%s\" has built no image", spec->image_stage);
		return stage_finish(engine, stage_id, OUTCOME_FAILED, reason, err);
	}
	if (!engine->core->rollouts)
		return stage_finish(engine, stage_id, OUTCOME_SKIPPED, "there is no rollout controller here", err);
	if (rollouts_start(engine->core->rollouts, stage_id, release, spec, &rollout, &why) < 0)
		return stage_finish(engine, stage_id, OUTCOME_INFRA, error_message(why), err);
	return 0;
}

static int start_deploy(struct engine *engine, const struct planned_run *run, size_t idx, int64_t stage_id, struct error **err)
{
	if (engine->core->local)
		return stage_finish(engine, stage_id, OUTCOME_SKIPPED, "a local run deploys nowhere", err);
	cleanup_arena struct arena *arena = arena_new();
	const struct stage_facts facts = {.planned = &run->plan->stages[idx], .event = &run->facts, .arena = arena};
	struct stage_work work = {0};
	cleanup_error struct error *why = NULL;
	int result = stage_find("deploy")->prepare(&facts, &work, &why);
	if (result < 0)
		result = stage_finish(engine, stage_id, OUTCOME_FAILED, error_message(why), err);
	else
		result = start_rollout(engine, run, stage_id, &work.rollout, err);
	stage_work_done(&work);
	return result;
}

/* ---- obeying the scheduler ---- */

struct launch {
	struct engine *engine;
	int64_t attempt_id;
};

static void drop_launch(struct core *core, void *arg)
{
	(void)core;
	free(arg);
}

static void on_launch(struct core *core, void *arg)
{
	struct launch *launch = arg;
	(void)core;
	work_launch(launch->engine, launch->attempt_id);
	free(launch);
}

static int start_attempt(struct engine *engine, int64_t run_id, size_t idx, int64_t stage_id, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err, "SELECT coalesce(max(number), 0) + 1 FROM attempt WHERE stage_id = ?", "i", stage_id) < 0 ||
	    db_step(q, err) <= 0)
		return -1;
	int64_t number = db_int(q, 0);
	db_stmt_free(STEAL(q));
	cleanup_free char *dir = attempt_dir(run_id, (int64_t)idx, number);
	if (db_run(engine->core->db, err, "INSERT INTO attempt (stage_id, number, dir, started_ms) VALUES (?, ?, ?, ?)", "iisi", stage_id, number,
		   dir, clock_wall_ms()) < 0)
		return -1;
	struct launch *launch = xcalloc(1, sizeof(*launch));
	*launch = (struct launch){.engine = engine, .attempt_id = db_last_id(engine->core->db)};
	core_effect(engine->core, on_launch, drop_launch, launch);
	return stage_event(engine, stage_id, "attempt.started", json_pack("{s:I}", "number", (json_int_t)number), err);
}

static int start_stage(struct engine *engine, const struct planned_run *run, size_t idx, int64_t stage_id, struct error **err)
{
	if (db_run(engine->core->db, err, "UPDATE stage SET state = 'running', started_ms = coalesce(started_ms, ?) WHERE id = ?", "ii",
		   clock_wall_ms(), stage_id) < 0 ||
	    stage_event(engine, stage_id, "stage.started", NULL, err) < 0)
		return -1;
	if (strcmp(run->pipeline->stages[idx].kind, "deploy") == 0)
		return start_deploy(engine, run, idx, stage_id, err);
	return start_attempt(engine, run->id, idx, stage_id, err);
}

static void on_cancel(struct core *core, void *arg)
{
	cleanup_free char *dir = arg;
	(void)core;
	/* An attempt that is not there any more has nothing to be cancelled. */
	cleanup_error struct error *err = NULL;
	if (attempt_cancel(dir, &err) < 0)
		error_context(&err, "cancel");
}

static int cancel_stage(struct engine *engine, const struct planned_run *run, size_t idx, int64_t stage_id, const char *actor, struct error **err)
{
	if (strcmp(run->pipeline->stages[idx].kind, "deploy") == 0)
		return engine->core->rollouts ? rollouts_cancel_stage(engine->core->rollouts, stage_id, actor, err) : 0;
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err, "SELECT dir FROM attempt WHERE stage_id = ? AND state <> 'finished'", "i", stage_id) < 0)
		return -1;
	int more;
	while ((more = db_step(q, err)) > 0)
		core_effect(engine->core, on_cancel, drop_launch, core_path(engine->core, db_text(q, 0)));
	return more;
}

static int obey(struct engine *engine, const struct planned_run *run, const struct stage_row *rows, const struct sched_action *action,
		const char *cancel_by, struct error **err)
{
	int64_t stage_id = rows[action->stage].id;
	switch (action->verb) {
	case SCHED_START:
		return start_stage(engine, run, action->stage, stage_id, err);
	case SCHED_SKIP:
		return stage_finish(engine, stage_id, action->outcome, action->reason, err);
	case SCHED_CANCEL:
		return cancel_stage(engine, run, action->stage, stage_id, cancel_by, err);
	}
	return 0;
}

static int conclude(struct engine *engine, const struct planned_run *run, const struct stage_row *rows, const struct sched_decision *decision,
		    struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_free char *reason = xstrdup(decision->reason);
	if (decision->blamed >= 0) {
		if (db_query(engine->core->db, &q, err, "SELECT name, reason FROM stage WHERE id = ?", "i", rows[decision->blamed].id) < 0 ||
		    db_step(q, err) <= 0)
			return -1;
		free(reason);
		reason = xasprintf("%s: %s", db_text(q, 0), db_text(q, 1));
		db_stmt_free(STEAL(q));
	}
	return run_finish(engine, run->id, decision->outcome, reason, err);
}

int run_advance(struct engine *engine, int64_t run_id, struct error **err)
{
	struct planned_run *run;
	if (planned_run_get(engine, run_id, &run, err) < 0)
		return -1;
	cleanup_arena struct arena *arena = arena_new();
	size_t n = run->plan->n_stages;
	struct stage_row *rows = arena_alloc(arena, (n + 1) * sizeof(*rows));
	struct sched_stage *stages = arena_alloc(arena, (n + 1) * sizeof(*stages));
	struct sched_input input = {.plan = run->plan, .stages = stages, .selected = run->selected};
	cleanup_stmt struct db_stmt *q = NULL;
	if (read_stages(engine, run, rows, err) < 0 || free_places(engine, &input.free_slots, err) < 0 ||
	    db_query(engine->core->db, &q, err, "SELECT cancel_by FROM run WHERE id = ?", "i", run_id) < 0 || db_step(q, err) <= 0)
		return -1;
	input.cancelled_by = arena_strdup(arena, db_text(q, 0));
	input.cancelled = input.cancelled_by != NULL;
	db_stmt_free(STEAL(q));
	for (size_t i = 0; i < n; i++)
		stages[i] = (struct sched_stage){
			.state = rows[i].state, .outcome = rows[i].outcome, .free_of_slots = strcmp(run->pipeline->stages[i].kind, "deploy") == 0};
	struct sched_decision decision;
	scheduler_next(&input, arena, &decision);
	for (size_t i = 0; i < decision.n; i++)
		if (obey(engine, run, rows, &decision.actions[i], input.cancelled_by, err) < 0)
			return -1;
	return decision.finished ? conclude(engine, run, rows, &decision, err) : 0;
}
