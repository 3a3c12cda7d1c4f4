/* Rollouts as rows. A row with finished_ms NULL is under way (one a target, by a unique index); 0 waits for the one before it. */
#include "runner/rollouts_priv.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "runner/replay.h"

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

/* Another version of the program stored this state: the observations say it all once more. */
static int analysis_rebuild(struct core *core, struct active *active, struct error **err)
{
	const struct replay_setup setup = {.spec = &active->spec,
					   .stable = active->stable.id ? &active->stable : NULL,
					   .candidate = &active->candidate};
	CLEANUP(replay_free) struct replay *replay = replay_new(&setup);
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err, "SELECT id, step, block FROM observation WHERE rollout_id = ? ORDER BY id", "i", active->machine.id) < 0)
		return -1;
	int more;
	unsigned step = 0;
	while ((more = db_step(q, err)) > 0) {
		cleanup_json json_t *row = NULL;
		const char *text = db_text(q, 2);
		step = (unsigned)db_int(q, 1);
		if (json_parse(text, strlen(text), &row, err) < 0 || replay_row(replay, db_int(q, 0), step, row, err) < 0)
			return -1;
	}
	if (more < 0)
		return -1;
	active->analysis = replay_steal_analysis(replay);
	if (step != active->machine.step)
		analysis_step(active->analysis, active->machine.step);
	return 0;
}

static int analysis_read(struct core *core, const struct db_stmt *q, int column, struct active *active, json_t **ret_categories, struct error **err)
{
	if (!active->spec.n_metrics)
		return 0;
	if (db_is_null(q, column)) {
		active->analysis = analysis_new(&active->spec);
		return 0;
	}
	cleanup_json json_t *json = NULL;
	cleanup_error struct error *unusable = NULL;
	const char *text = db_text(q, column);
	if (json_parse(text, strlen(text), &json, err) < 0)
		return error_context(err, "analysis");
	*ret_categories = json_incref(json_object_get(json, "sources"));
	if (analysis_from_json(&active->spec, json, &active->analysis, &unusable) == 0)
		return 0;
	if (error_code_of(unusable) == ERROR_UNSUPPORTED)
		return analysis_rebuild(core, active, err) < 0 ? error_context(err, "analysis, from its observations") : 0;
	error_move(err, STEAL(unusable));
	return error_context(err, "analysis");
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
	    rollout_from_json(machine, &active->machine, err) < 0)
		return -1;
	if (active->stable.id && stable_replicas(core, target, arena, &active->stable_replicas, err) < 0)
		return -1;
	active->machine_text = json_text(machine);
	active->command = arena_strdup(arena, db_text(q, 6));
	active->command_by = arena_strdup(arena, db_text(q, 7));
	active->run_id = active->stage_id ? active->candidate.run_id : 0;
	return analysis_read(core, q, 5, active, &active->categories, err);
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
	feeds_free(active->feeds);
	json_decref(active->categories);
	analysis_free(active->analysis);
	free(active->machine_text);
	arena_free(active->arena);
	free(active);
}

/* With what the sources' categories stand for: evidence is kept by position. */
static json_t *analysis_json(const struct active *active)
{
	json_t *json = analysis_to_json(active->analysis);
	if (active->feeds)
		json_object_set_new(json, "sources", feeds_categories(active->feeds));
	else if (active->categories)
		json_object_set(json, "sources", active->categories);
	return json;
}

int active_save(struct core *core, struct active *active, const struct rollout *machine, const json_t *verdict, bool *ret_changed,
		struct error **err)
{
	cleanup_json json_t *json = rollout_to_json(machine);
	char *text = json_text(json);
	*ret_changed = strcmp(text, active->machine_text) != 0;
	if (!*ret_changed && !verdict) {
		free(text);
		return 0;
	}
	free(active->machine_text);
	active->machine_text = text;
	cleanup_json json_t *analysis = active->analysis ? analysis_json(active) : NULL;
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

struct waiting {
	int64_t id, stable, generation, candidate, window_ms;
};

/* The next one that waits, with what it starts from: the live release and the generation as they are now. */
static int next_waiting(struct core *core, const char *target, struct waiting *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	*ret = (struct waiting){0};
	if (db_query(core->db, &q, err,
		     "SELECT rollout.id, coalesce(target.live_release, 0), target.generation, rollout.candidate,"
		     " coalesce(json_extract(rollout.spec, '$.rollback_window_ms'), 0)"
		     " FROM rollout JOIN target ON target.name = rollout.target WHERE rollout.target = ? AND rollout.finished_ms = 0"
		     " AND NOT EXISTS (SELECT 1 FROM rollout AS other WHERE other.target = rollout.target AND other.finished_ms IS NULL)"
		     " ORDER BY rollout.id LIMIT 1",
		     "s", target) < 0)
		return -1;
	int more = db_step(q, err);
	if (more > 0)
		*ret = (struct waiting){db_int(q, 0), db_int(q, 1), db_int(q, 2), db_int(q, 3), db_int(q, 4)};
	return more < 0 ? -1 : 0;
}

/* When the image was live last on the target, if it then made way for a newer release; 0: never, or it was taken back, by the analysis or
 * by a person's rollback: what was found bad gets no fast track. */
static int live_until(struct core *core, const char *target, int64_t release, int64_t *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	*ret = 0;
	if (db_query(core->db, &q, err,
		     "SELECT json_extract(mine.machine, '$.state'), json_extract(next.machine, '$.promoted_at_ms'), next.stage_id IS NULL"
		     " FROM rollout AS mine JOIN release ON release.id = mine.candidate"
		     " LEFT JOIN rollout AS next ON next.id = (SELECT min(later.id) FROM rollout AS later WHERE later.target = mine.target"
		     "  AND later.id > mine.id AND json_extract(later.machine, '$.promoted_at_ms') > 0"
		     "  AND json_extract(later.machine, '$.state') = 'promoted')"
		     " WHERE mine.target = ?1 AND release.image = (SELECT image FROM release WHERE id = ?2)"
		     " AND json_extract(mine.machine, '$.promoted_at_ms') > 0 ORDER BY mine.id DESC LIMIT 1",
		     "si", target, release) < 0)
		return -1;
	int more = db_step(q, err);
	if (more > 0 && strcmp(db_text(q, 0), "promoted") == 0 && !db_is_null(q, 1) && db_int(q, 2) == 0)
		*ret = db_int(q, 1);
	return more < 0 ? -1 : 0;
}

int waiting_activate(struct core *core, const char *target, struct error **err)
{
	struct waiting waiting;
	int64_t until_ms = 0, now = clock_wall_ms();
	if (next_waiting(core, target, &waiting, err) < 0)
		return -1;
	if (!waiting.id)
		return 0;
	if (waiting.window_ms && live_until(core, target, waiting.candidate, &until_ms, err) < 0)
		return -1;
	struct rollout machine;
	rollout_start(waiting.id, waiting.stable != 0, now, &machine);
	machine.generation = (uint64_t)waiting.generation;
	machine.fast_track = until_ms && now - until_ms <= waiting.window_ms;
	machine.was_live_ms = machine.fast_track ? until_ms : 0;
	cleanup_json json_t *json = rollout_to_json(&machine), *begin = json_pack("{s:s, s:O}", "kind", "begin", "machine", json);
	cleanup_free char *text = json_text(json);
	if (db_run(core->db, err, "UPDATE rollout SET machine = ?, stable = nullif(?, 0), finished_ms = NULL WHERE id = ?", "sii", text,
		   waiting.stable, waiting.id) < 0)
		return -1;
	return observation_insert(core, waiting.id, 0, begin, err);
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

int observation_insert(struct core *core, int64_t rollout, unsigned step, const json_t *row, struct error **err)
{
	cleanup_free char *text = json_text(row);
	return db_run(core->db, err, "INSERT INTO observation (rollout_id, step, block, at_ms) VALUES (?, ?, ?, ?)", "iisi", rollout, (int64_t)step,
		      text, clock_wall_ms());
}
