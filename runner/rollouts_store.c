/* Rollouts as rows. A row with finished_ms NULL is under way (one a target, by a unique index); 0 waits for the one before it. */
#include "runner/rollouts_priv.h"

#include "base/alloc.h"
#include "base/clock.h"

int release_read(struct core *core, int64_t id, struct arena *arena, struct release *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err, "SELECT run_id, repository, version, image, commit_sha, port FROM release WHERE id = ?", "i", id) < 0)
		return -1;
	int more = db_step(q, err);
	if (more < 0)
		return -1;
	if (!more)
		return error_set(err, ERROR_NOT_FOUND, 0, "there is no release %lld", (long long)id);
	*ret = (struct release){
		.id = id,
		.run_id = db_int(q, 0),
		.repository = arena_strdup(arena, db_text(q, 1)),
		.version = arena_strdup(arena, db_text(q, 2)),
		.image = arena_strdup(arena, db_text(q, 3)),
		.commit = arena_strdup(arena, db_text(q, 4)),
		.port = (uint16_t)db_int(q, 5),
	};
	return 0;
}

static int spec_read(const char *text, struct arena *arena, struct rollout_spec *ret, struct error **err)
{
	cleanup_json json_t *json = NULL;
	if (json_parse(text, strlen(text), &json, err) < 0 || rollout_spec_from_json(json, arena, ret, err) < 0)
		return error_context(err, "spec");
	return 0;
}

/* Of the live release; 0 if it is not known. */
static int stable_replicas(struct core *core, const char *target, struct arena *arena, unsigned *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	struct rollout_spec spec;
	*ret = 0;
	if (db_query(core->db, &q, err, "SELECT spec FROM target WHERE name = ? AND spec IS NOT NULL", "s", target) < 0)
		return -1;
	int more = db_step(q, err);
	if (more <= 0)
		return more;
	if (spec_read(db_text(q, 0), arena, &spec, err) < 0)
		return -1;
	*ret = spec.replicas;
	return 0;
}

/* A state that another version of the program stored: the same blocks again, in the same order. */
static int analysis_replay(struct core *core, int64_t rollout_id, struct active *active, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	int more;
	int64_t step = 0;
	if (db_query(core->db, &q, err, "SELECT step, block FROM observation WHERE rollout_id = ? ORDER BY id", "i", rollout_id) < 0)
		return -1;
	active->analysis = analysis_new(&active->spec);
	while ((more = db_step(q, err)) > 0) {
		cleanup_json json_t *json = NULL;
		struct analysis_block block;
		const char *text = db_text(q, 1);
		if (json_parse(text, strlen(text), &json, err) < 0)
			return error_context(err, "observation");
		for (; step < db_int(q, 0); step++)
			analysis_step(active->analysis, (unsigned)step + 1);
		if (json_object_get(json, "dropped"))
			continue;
		if (analysis_block_from_json(json, &block, err) < 0 || analysis_add(active->analysis, &block, err) < 0)
			return error_context(err, "observation");
	}
	for (; step < (int64_t)active->machine.step; step++)
		analysis_step(active->analysis, (unsigned)step + 1);
	return more;
}

static int analysis_read(struct core *core, const struct db_stmt *q, int column, int64_t id, struct active *active, struct error **err)
{
	bool judged = active->spec.n_metrics > 0;
	if (!judged)
		return 0;
	if (db_is_null(q, column)) {
		active->analysis = analysis_new(&active->spec);
		return 0;
	}
	cleanup_json json_t *json = NULL;
	cleanup_error struct error *why = NULL;
	const char *text = db_text(q, column);
	if (json_parse(text, strlen(text), &json, err) < 0)
		return error_context(err, "analysis");
	if (analysis_from_json(&active->spec, json, &active->analysis, &why) == 0)
		return 0;
	if (error_code_of(why) != ERROR_UNSUPPORTED)
		return error_move(err, STEAL(why)), error_context(err, "analysis");
	return analysis_replay(core, id, active, err);
}

static int fill(struct core *core, const struct db_stmt *q, const char *target, struct active *active, struct error **err)
{
	struct arena *arena = active->arena;
	cleanup_json json_t *machine = NULL;
	const char *text = db_text(q, 4);
	active->stage_id = db_int(q, 0);
	if (release_read(core, db_int(q, 1), arena, &active->candidate, err) < 0 ||
	    (!db_is_null(q, 2) && release_read(core, db_int(q, 2), arena, &active->stable, err) < 0) ||
	    spec_read(db_text(q, 3), arena, &active->spec, err) < 0 || json_parse(text, strlen(text), &machine, err) < 0 ||
	    rollout_from_json(machine, &active->machine, err) < 0 || analysis_read(core, q, 5, db_int(q, 8), active, err) < 0)
		return -1;
	active->machine_text = json_text(machine);
	active->command = arena_strdup(arena, db_text(q, 6));
	active->command_by = arena_strdup(arena, db_text(q, 7));
	active->run_id = active->stage_id ? active->candidate.run_id : 0;
	return active->stable.id ? stable_replicas(core, target, arena, &active->stable_replicas, err) : 0;
}

int active_load(struct core *core, const char *target, struct active **ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err,
		     "SELECT stage_id, candidate, stable, spec, machine, analysis, command, command_by, id FROM rollout"
		     " WHERE target = ? AND finished_ms IS NULL",
		     "s", target) < 0)
		return -1;
	int more = db_step(q, err);
	if (more < 0)
		return -1;
	if (!more) {
		*ret = NULL;
		return 0;
	}
	struct active *active = xcalloc(1, sizeof(*active));
	active->arena = arena_new();
	active->block_from_ms = clock_wall_ms();
	if (fill(core, q, target, active, err) < 0) {
		error_context(err, "rollout %lld", (long long)db_int(q, 8));
		active_free(active);
		return -1;
	}
	*ret = active;
	return 0;
}

void active_free(struct active *active)
{
	if (!active)
		return;
	analysis_free(active->analysis);
	free(active->machine_text);
	arena_free(active->arena);
	free(active);
}

int active_save(struct core *core, struct active *active, const struct rollout *machine, const json_t *verdict, struct error **err)
{
	cleanup_json json_t *json = rollout_to_json(machine);
	char *text = json_text(json);
	if (strcmp(text, active->machine_text) == 0 && !verdict) {
		free(text);
		return 0;
	}
	free(active->machine_text);
	active->machine_text = text;
	cleanup_json json_t *analysis = active->analysis ? analysis_to_json(active->analysis) : NULL;
	cleanup_free char *analysis_text = analysis ? json_text(analysis) : NULL, *verdict_text = verdict ? json_text(verdict) : NULL;
	return db_run(core->db, err, "UPDATE rollout SET machine = ?, analysis = ?, verdict = coalesce(?, verdict) WHERE id = ?", "sssi", text,
		      analysis_text, verdict_text, machine->id);
}

int rollout_insert(struct core *core, const char *target, int64_t stage_id, int64_t candidate, const struct rollout_spec *spec, bool waits,
		   int64_t *ret, struct error **err)
{
	cleanup_json json_t *json = rollout_spec_to_json(spec);
	cleanup_free char *spec_text = json_text(json);
	int64_t now = clock_wall_ms();
	if (db_run(core->db, err,
		   "INSERT INTO rollout (target, stage_id, candidate, spec, machine, created_ms, finished_ms) VALUES (?, nullif(?, 0), ?, ?, '{}', "
		   "?, 0)",
		   "siisi", target, stage_id, candidate, spec_text, now) < 0)
		return -1;
	*ret = db_last_id(core->db);
	return waits ? 0 : waiting_activate(core, target, err);
}

/* The next one that waits, with what it starts from: the live release and the generation as they are now. */
static int next_waiting(struct core *core, const char *target, int64_t *ret_id, int64_t *ret_stable, int64_t *ret_generation, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err,
		     "SELECT rollout.id, coalesce(target.live_release, 0), target.generation FROM rollout JOIN target ON target.name = rollout.target"
		     " WHERE rollout.target = ? AND rollout.finished_ms = 0"
		     " AND NOT EXISTS (SELECT 1 FROM rollout AS other WHERE other.target = rollout.target AND other.finished_ms IS NULL)"
		     " ORDER BY rollout.id LIMIT 1",
		     "s", target) < 0)
		return -1;
	int more = db_step(q, err);
	if (more < 0)
		return -1;
	*ret_id = more ? db_int(q, 0) : 0;
	*ret_stable = more ? db_int(q, 1) : 0;
	*ret_generation = more ? db_int(q, 2) : 0;
	return 0;
}

int waiting_activate(struct core *core, const char *target, struct error **err)
{
	int64_t id, stable, generation;
	if (next_waiting(core, target, &id, &stable, &generation, err) < 0)
		return -1;
	if (!id)
		return 0;
	struct rollout machine;
	rollout_start(id, stable != 0, clock_wall_ms(), &machine);
	machine.generation = (uint64_t)generation;
	cleanup_json json_t *json = rollout_to_json(&machine);
	cleanup_free char *text = json_text(json);
	return db_run(core->db, err, "UPDATE rollout SET machine = ?, stable = nullif(?, 0), finished_ms = NULL WHERE id = ?", "sii", text, stable,
		      id);
}

/* ---- the target's own row ---- */

int idle_desired(struct core *core, const char *target, struct arena *arena, struct desired *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	*ret = (struct desired){.route.kind = ROUTE_RANDOM};
	if (db_query(core->db, &q, err, "SELECT generation, live_release, spec FROM target WHERE name = ?", "s", target) < 0)
		return -1;
	int more = db_step(q, err);
	if (more <= 0)
		return more;
	ret->generation = (uint64_t)db_int(q, 0);
	if (db_is_null(q, 1))
		return 0;
	struct release *live = arena_alloc(arena, sizeof(*live));
	struct rollout_spec spec;
	if (db_is_null(q, 2))
		return error_set(err, ERROR_INTERNAL, 0, "target %s has a live release but no spec", target);
	if (release_read(core, db_int(q, 1), arena, live, err) < 0 || spec_read(db_text(q, 2), arena, &spec, err) < 0)
		return error_context(err, "target %s", target);
	ret->arms[ret->n_arms++] = (struct arm){live, spec.replicas, 1000000};
	ret->health_path = spec.health_path;
	ret->health_within_ms = spec.health_within_ms;
	ret->restart_after_ms = spec.restart_after_ms;
	ret->memory_bytes = spec.memory_bytes;
	ret->cpu = spec.cpu;
	return 0;
}

/* What was live on the target before `release` was promoted by a deploy stage; 0: nothing, or not known. By following this chain a
 * second `rollback` goes further back instead of forth to what was just left. */
static int release_before(struct core *core, const char *target, int64_t release, int64_t *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err,
		     "SELECT coalesce(stable, 0) FROM rollout WHERE target = ? AND candidate = ? AND stage_id IS NOT NULL"
		     " AND json_extract(machine, '$.promoted_at_ms') > 0 ORDER BY id DESC LIMIT 1",
		     "si", target, release) < 0)
		return -1;
	int more = db_step(q, err);
	if (more < 0)
		return -1;
	*ret = more ? db_int(q, 0) : 0;
	return 0;
}

static int set_live(struct core *core, const char *target, int64_t live, int64_t previous, const char *spec, struct error **err)
{
	return db_run(core->db, err,
		      "UPDATE target SET live_release = nullif(?, 0), previous_release = nullif(?, 0), spec = ?, changed_ms = ? WHERE name = ?",
		      "iisis", live, previous, spec, clock_wall_ms(), target);
}

static int previous_of_target(struct core *core, const char *target, int64_t *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err, "SELECT coalesce(previous_release, 0) FROM target WHERE name = ?", "s", target) < 0)
		return -1;
	int more = db_step(q, err);
	if (more < 0)
		return -1;
	*ret = more ? db_int(q, 0) : 0;
	return 0;
}

int target_promoted(struct core *core, const char *target, const struct active *active, struct error **err)
{
	int64_t previous = active->stable.id;
	if (!active->stage_id && release_before(core, target, active->candidate.id, &previous, err) < 0)
		return -1;
	/* The same image again: going back to it would change nothing, so what was before stays what is before. */
	if (active->stage_id && active->stable.id && strcmp(active->stable.image, active->candidate.image) == 0 &&
	    previous_of_target(core, target, &previous, err) < 0)
		return -1;
	cleanup_json json_t *json = rollout_spec_to_json(&active->spec);
	cleanup_free char *spec = json_text(json);
	return set_live(core, target, active->candidate.id, previous, spec, err);
}

/* The spec a release was last promoted with; *ret is malloced, NULL if there is none. */
static int spec_of_release(struct core *core, const char *target, int64_t release, char **ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err, "SELECT spec FROM rollout WHERE target = ? AND candidate = ? ORDER BY id DESC LIMIT 1", "si", target,
		     release) < 0)
		return -1;
	int more = db_step(q, err);
	if (more < 0)
		return -1;
	*ret = more ? xstrdup(db_text(q, 0)) : NULL;
	return 0;
}

int target_taken_back(struct core *core, const char *target, const struct active *active, struct error **err)
{
	int64_t previous = 0;
	cleanup_free char *spec = NULL;
	if (active->stable.id &&
	    (release_before(core, target, active->stable.id, &previous, err) < 0 || spec_of_release(core, target, active->stable.id, &spec, err) < 0))
		return -1;
	return set_live(core, target, active->stable.id, previous, spec, err);
}

/* ---- observations ---- */

int observation_insert(struct core *core, const struct active *active, const struct analysis_block *block, const char *dropped, bool gap,
		       struct error **err)
{
	cleanup_json json_t *json = analysis_block_to_json(block);
	if (gap)
		json_object_set_new(json, "gap", json_true());
	if (dropped)
		json_object_set_new(json, "dropped", json_string(dropped)); /* not fed to the analysis; a replay skips it too */
	cleanup_free char *text = json_text(json);
	return db_run(core->db, err, "INSERT INTO observation (rollout_id, step, block, at_ms) VALUES (?, ?, ?, ?)", "iisi", active->machine.id,
		      (int64_t)active->machine.step, text, block->to_ms);
}
