/* Starting, cancelling and steering by hand. All inside the caller's event. */
#include "runner/rollouts_priv.h"

#include "base/alloc.h"
#include "base/clock.h"

static int need_watched(struct rollouts *rollouts, const char *target, struct watched **ret, struct error **err)
{
	*ret = rollouts_find(rollouts, target);
	if (*ret)
		return 0;
	cleanup_buf struct buf names;
	buf_init(&names, 4096);
	for (size_t i = 0; i < rollouts->n_watched; i++)
		buf_addf(&names, "%s%s", i ? ", " : "", rollouts->watched[i]->name);
	return error_set(err, ERROR_NOT_FOUND, 0, "there is no target \"%s\"; targets: %s", target, names.len ? names.data : "none");
}

static int need_open(struct watched *watched, struct error **err)
{
	if (watched->row_error[0])
		return error_set(err, ERROR_INTERNAL, 0, "target %s: %s", watched->name, watched->row_error);
	if (!watched_open(watched))
		return error_set(err, ERROR_UNAVAILABLE, 0, "target %s: %s", watched->name, watched->open_error);
	return 0;
}

static int tell_created(struct watched *watched, int64_t rollout, int64_t run_id, const struct release *candidate, bool waits, const char *actor,
			struct error **err)
{
	char subject[48];
	snprintf(subject, sizeof(subject), "rollout/%lld", (long long)rollout);
	cleanup_json json_t *data =
		json_pack("{s:s, s:{s:I, s:s, s:s, s:I}, s:b}", "target", watched->name, "candidate", "id", (json_int_t)candidate->id, "version",
			  candidate->version, "image", candidate->image, "run", (json_int_t)candidate->run_id, "waits", waits);
	return event_append(watched->rollouts->core, "rollout.created", subject, run_id, actor, data, err);
}

/* ---- superseding ---- */

/* Ends a rollout that never began. */
static int drop_waiting(struct watched *watched, int64_t rollout, int64_t stage_id, const char *reason, struct error **err)
{
	struct rollouts *rollouts = watched->rollouts;
	struct core *core = rollouts->core;
	struct rollout machine;
	rollout_start(rollout, false, clock_wall_ms(), &machine);
	machine.state = machine.paused_from = ROLLOUT_FAILED;
	snprintf(machine.reason, sizeof(machine.reason), "%s", reason);
	snprintf(machine.decided_by, sizeof(machine.decided_by), "operator");
	cleanup_json json_t *json = rollout_to_json(&machine);
	cleanup_free char *text = json_text(json);
	if (db_run(core->db, err, "UPDATE rollout SET machine = ?, finished_ms = ? WHERE id = ?", "sii", text, clock_wall_ms(), rollout) < 0)
		return -1;
	return stage_id ? rollouts->seams.finish_stage(core->engine, stage_id, OUTCOME_CANCELLED, reason, err) : 0;
}

static int drop_all_waiting(struct watched *watched, const char *reason, struct error **err)
{
	struct core *core = watched->rollouts->core;
	for (;;) {
		cleanup_stmt struct db_stmt *q = NULL;
		if (db_query(core->db, &q, err,
			     "SELECT id, coalesce(stage_id, 0) FROM rollout WHERE target = ? AND finished_ms = 0 ORDER BY id LIMIT 1", "s",
			     watched->name) < 0)
			return -1;
		int more = db_step(q, err);
		if (more <= 0)
			return more;
		int64_t rollout = db_int(q, 0), stage_id = db_int(q, 1);
		db_stmt_free(STEAL(q));
		if (drop_waiting(watched, rollout, stage_id, reason, err) < 0)
			return -1;
	}
}

/* Asks the active rollout to go away, for a reason that its stage will end with. */
static int ask_away(struct watched *watched, const char *command, const char *reason, struct error **err)
{
	struct active *active = watched->active;
	if (active->command[0] && strcmp(active->command, COMMAND_CANCEL) == 0)
		return 0; /* The first reason stays. */
	if (db_run(watched->rollouts->core->db, err, "UPDATE rollout SET command = ?, command_by = ? WHERE id = ?", "ssi", command, reason,
		   active->machine.id) < 0)
		return -1;
	active->command = arena_strdup(active->arena, command);
	active->command_by = arena_strdup(active->arena, reason);
	watched->look_at_ms = 0;
	return 0;
}

static int make_room(struct watched *watched, const char *reason, struct error **err)
{
	if (drop_all_waiting(watched, reason, err) < 0)
		return -1;
	/* `newer_release: wait`: the one under way is let to its end. */
	return watched->active && !watched->active->spec.newer_waits ? ask_away(watched, COMMAND_SUPERSEDE, reason, err) : 0;
}

static int load_if_none(struct watched *watched, struct error **err)
{
	watched->look_at_ms = 0;
	return watched->active ? 0 : active_load(watched->rollouts->core, watched->name, &watched->active, err);
}

/* ---- starting ---- */

int rollouts_start(struct rollouts *rollouts, int64_t stage_id, int64_t release_id, const struct rollout_spec *spec, int64_t *ret_rollout,
		   struct error **err)
{
	struct watched *watched;
	struct release candidate;
	cleanup_arena struct arena *arena = arena_new();
	if (need_watched(rollouts, spec->target, &watched, err) < 0 || need_open(watched, err) < 0 ||
	    release_read(rollouts->core, release_id, arena, &candidate, err) < 0)
		return -1;
	watched_effect(watched); /* if the caller's event is not kept, memory goes back with it */
	const struct active *active = watched->active;
	char reason[64];
	int64_t id;
	if (active && active->run_id > candidate.run_id) {
		snprintf(reason, sizeof(reason), "superseded by run %lld", (long long)active->run_id);
		if (rollout_insert(rollouts->core, watched->name, stage_id, release_id, spec, true, &id, err) < 0 ||
		    drop_waiting(watched, id, stage_id, reason, err) < 0)
			return -1;
		*ret_rollout = id;
		return 0;
	}
	snprintf(reason, sizeof(reason), "superseded by run %lld", (long long)candidate.run_id);
	if (make_room(watched, reason, err) < 0 ||
	    rollout_insert(rollouts->core, watched->name, stage_id, release_id, spec, active != NULL, &id, err) < 0 ||
	    tell_created(watched, id, candidate.run_id, &candidate, active != NULL, NULL, err) < 0 || load_if_none(watched, err) < 0)
		return -1;
	*ret_rollout = id;
	return 0;
}

static int find_by_stage(struct core *core, int64_t stage_id, int64_t *ret_id, bool *ret_waits, char **ret_target, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err, "SELECT id, finished_ms IS NOT NULL, target FROM rollout WHERE stage_id = ? AND coalesce(finished_ms, 0) = 0",
		     "i", stage_id) < 0)
		return -1;
	int more = db_step(q, err);
	if (more <= 0)
		return more;
	*ret_id = db_int(q, 0);
	*ret_waits = db_int(q, 1) != 0;
	*ret_target = xstrdup(db_text(q, 2));
	return 1;
}

int rollouts_cancel_stage(struct rollouts *rollouts, int64_t stage_id, const char *actor, struct error **err)
{
	cleanup_free char *target = NULL;
	int64_t id = 0;
	bool waits = false;
	int found = find_by_stage(rollouts->core, stage_id, &id, &waits, &target, err);
	if (found <= 0)
		return found;
	struct watched *watched = rollouts_find(rollouts, target);
	cleanup_free char *reason = xasprintf("cancelled by %s", actor ? actor : "a person");
	if (waits)
		return drop_waiting(watched, id, stage_id, reason, err);
	if (!watched->active)
		return error_set(err, ERROR_INTERNAL, 0, "target %s: %s", target, watched->row_error);
	watched_effect(watched);
	return ask_away(watched, COMMAND_CANCEL, reason, err);
}

/* ---- by hand ---- */

/* The previous release and the spec it was deployed with, to be carried out at once and unjudged. */
static int previous_release(struct watched *watched, struct arena *arena, int64_t *ret_release, struct rollout_spec *ret_spec, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(watched->rollouts->core->db, &q, err,
		     "SELECT rollout.candidate, rollout.spec FROM target JOIN rollout ON rollout.target = target.name AND rollout.candidate = "
		     "target.previous_release"
		     " WHERE target.name = ? ORDER BY rollout.id DESC LIMIT 1",
		     "s", watched->name) < 0)
		return -1;
	int more = db_step(q, err);
	if (more < 0)
		return -1;
	if (!more)
		return error_set(err, ERROR_NOT_FOUND, 0, "target %s has no previous release to go back to", watched->name);
	cleanup_json json_t *json = NULL;
	const char *text = db_text(q, 1);
	*ret_release = db_int(q, 0);
	if (json_parse(text, strlen(text), &json, err) < 0 || rollout_spec_from_json(json, arena, ret_spec, err) < 0)
		return error_context(err, "target %s: spec of the previous release", watched->name);
	ret_spec->strategy = STRATEGY_IMMEDIATE;
	ret_spec->n_steps = ret_spec->n_metrics = 0;
	return 0;
}

static int go_back_by_hand(struct watched *watched, const char *actor, int64_t *ret_rollout, struct error **err)
{
	struct core *core = watched->rollouts->core;
	cleanup_arena struct arena *arena = arena_new();
	struct rollout_spec spec;
	struct release candidate;
	int64_t release, id;
	if (previous_release(watched, arena, &release, &spec, err) < 0 || need_open(watched, err) < 0 ||
	    release_read(core, release, arena, &candidate, err) < 0 || rollout_insert(core, watched->name, 0, release, &spec, false, &id, err) < 0 ||
	    tell_created(watched, id, 0, &candidate, false, actor, err) < 0 || load_if_none(watched, err) < 0)
		return -1;
	*ret_rollout = id;
	return 0;
}

int rollouts_command(struct rollouts *rollouts, const char *target, enum rollout_command command, const char *actor, int64_t *ret_rollout,
		     struct error **err)
{
	struct watched *watched;
	if (need_watched(rollouts, target, &watched, err) < 0)
		return -1;
	if (watched->row_error[0])
		return error_set(err, ERROR_INTERNAL, 0, "target %s: %s", target, watched->row_error);
	watched_effect(watched);
	if (!watched->active && command == ROLLOUT_ROLLBACK)
		return go_back_by_hand(watched, actor, ret_rollout, err);
	if (!watched->active && command == ROLLOUT_ROLLBACK_NOW) /* as soon as one copy of the release before is ready */
		return go_back_by_hand(watched, actor, ret_rollout, err) < 0 ? -1 : drive_active(watched, NULL, ROLLOUT_PROMOTE_FULL, actor, NULL, err);
	if (!watched->active)
		return error_set(err, ERROR_CONFLICT, 0, "target %s has no rollout under way", target);
	int64_t id = watched->active->machine.id;
	const char *refused = NULL;
	if (drive_active(watched, NULL, command, actor, &refused, err) < 0)
		return -1;
	if (refused)
		return error_set(err, ERROR_CONFLICT, 0, "rollout %lld on %s: %s", (long long)id, target, refused);
	watched->look_at_ms = 0;
	*ret_rollout = id;
	return 0;
}
