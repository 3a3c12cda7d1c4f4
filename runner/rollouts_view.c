#include "runner/rollouts_view.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "runner/rollouts_priv.h"

#define MAX_SHOWN 200

static const char rollout_columns[] = "SELECT rollout.id, rollout.target, coalesce(rollout.stage_id, 0), rollout.candidate, coalesce(rollout.stable, "
				      "0), rollout.spec, rollout.machine,"
				      " rollout.verdict, rollout.command, rollout.created_ms, rollout.finished_ms, stage.name FROM rollout"
				      " LEFT JOIN stage ON stage.id = rollout.stage_id";

static void set(json_t *object, const char *key, json_t *value)
{
	if (!value || json_object_set_new(object, key, value) < 0)
		abort(); /* texts from our own rows and buffers, which are UTF-8 */
}

/* Text that a driver made: shown even if it is not UTF-8. */
static json_t *outside_text(const char *text)
{
	json_t *json = json_string(text);
	return json ? json : json_string("(unprintable)");
}

static int release_json(struct core *core, int64_t id, json_t **ret, struct error **err)
{
	cleanup_arena struct arena *arena = arena_new();
	struct release release;
	if (!id) {
		*ret = json_null();
		return 0;
	}
	if (release_read(core, id, arena, &release, err) < 0)
		return -1;
	*ret = json_pack("{s:I, s:s, s:s, s:s, s:I, s:s}", "id", (json_int_t)id, "version", release.version, "image", release.image, "repository",
			 release.repository, "run", (json_int_t)release.run_id, "commit", release.commit);
	return 0;
}

static json_t *arm_json(const struct watched *watched, const struct arm_status *arm)
{
	const char *version = "";
	for (unsigned i = 0; watched->has_want && i < watched->want.n_arms; i++)
		if (strcmp(watched->want.arms[i].release->image, arm->image) == 0)
			version = watched->want.arms[i].release->version;
	json_t *json = json_object();
	set(json, "image", outside_text(arm->image));
	set(json, "version", json_string(version));
	set(json, "replicas", json_integer(arm->replicas));
	set(json, "ready", json_integer(arm->ready));
	set(json, "weight_ppm", json_integer(arm->weight_ppm));
	set(json, "failed", json_boolean(arm->failed));
	set(json, "message", outside_text(arm->message));
	return json;
}

static json_t *actual_json(const struct watched *watched)
{
	if (!watched || !watched->has_actual)
		return json_null();
	const struct actual *actual = &watched->actual;
	json_t *json = json_object(), *arms = json_array();
	for (unsigned i = 0; i < actual->n_arms && i < MAX_ARMS; i++)
		json_array_append_new(arms, arm_json(watched, &actual->arms[i]));
	set(json, "seen_ms", json_integer(actual->seen_at_ms));
	set(json, "generation", json_integer((json_int_t)actual->generation));
	set(json, "router_ok", json_boolean(actual->router_ok));
	set(json, "message", outside_text(actual->message));
	set(json, "preview_url", outside_text(actual->preview_url));
	set(json, "preview_image", outside_text(actual->preview_image));
	set(json, "arms", arms);
	return json;
}

static json_t *parse_or_null(const char *text)
{
	json_t *json = NULL;
	return text && json_parse(text, strlen(text), &json, NULL) == 0 ? json : json_null();
}

/* What the machine's row says; a damaged row is shown as such. */
static void show_machine(json_t *shown, const char *text, bool waits)
{
	cleanup_json json_t *json = parse_or_null(text);
	struct rollout machine = {0};
	cleanup_error struct error *err = NULL;
	bool readable = !waits && rollout_from_json(json, &machine, &err) == 0;
	set(shown, "state", json_string(waits ? "waiting" : readable ? rollout_state_name(machine.state) : "unreadable"));
	set(shown, "step", json_integer(readable && rollout_is_judged(&machine) ? machine.step + 1 : 0));
	set(shown, "weight_ppm", json_integer(machine.candidate.weight_ppm));
	set(shown, "reason", json_string(waits ? "" : readable ? machine.reason : error_message(err)));
	set(shown, "decided_by", json_string(machine.decided_by));
	set(shown, "waits_for", json_string(waits ? "the rollout before it" : machine.waits_for));
	set(shown, "held", json_boolean(machine.held));
	set(shown, "generation", json_integer((json_int_t)machine.generation));
	int64_t until = machine.state == ROLLOUT_PAUSED ? machine.state_since_ms : clock_wall_ms();
	int64_t elapsed = readable && rollout_is_judged(&machine) && machine.step_confirmed ? until - machine.step_since_ms - machine.paused_ms : 0;
	set(shown, "step_elapsed_ms", json_integer(elapsed > 0 ? elapsed : 0));
	set(shown, "fast_track", json_boolean(machine.fast_track));
	set(shown, "emergency", json_boolean(machine.emergency));
	set(shown, "approved_by", json_string(machine.approved_by));
}

static void show_verify(struct core *core, json_t *shown, const struct watched *watched)
{
	static const char *const names[] = {
		[VERIFY_NONE] = "none", [VERIFY_RUNNING] = "running", [VERIFY_PASSED] = "passed", [VERIFY_FAILED] = "failed"};
	const struct active *active = watched ? watched->active : NULL;
	bool verifies = active && active->machine.id == json_int_or(shown, "id", 0) && active->spec.verify_run && active->run_id;
	char why[256] = "";
	enum verify_status status = verifies ? verify_look(core, active->run_id, active->machine.id, why, sizeof(why)) : VERIFY_NONE;
	set(shown, "verify", json_pack("{s:s, s:o}", "status", names[status], "why", outside_text(why)));
}

static void show_spec(json_t *shown, const char *text)
{
	cleanup_json json_t *spec = parse_or_null(text);
	set(shown, "steps", json_integer((json_int_t)json_array_size(json_object_get(spec, "steps_ppm"))));
	set(shown, "strategy", json_string(json_string_or(spec, "strategy", "")));
	set(shown, "replicas", json_integer(json_int_or(spec, "replicas", 0)));
	set(shown, "alpha", json_real(json_number_or(spec, "alpha", 0)));
	set(shown, "policies",
	    json_pack("{s:s, s:s, s:s, s:s}", "undecided", json_string_or(spec, "undecided", "hold"), "no_data", json_string_or(spec, "no_data", "hold"),
		      "provider_error", json_string_or(spec, "provider_error", "hold"), "split_broken", json_string_or(spec, "split_broken", "hold")));
	set(shown, "spec", json_incref(spec));
}

static int row_json(struct core *core, const struct db_stmt *q, json_t **ret, struct error **err)
{
	json_t *candidate, *stable;
	if (release_json(core, db_int(q, 3), &candidate, err) < 0)
		return -1;
	if (release_json(core, db_int(q, 4), &stable, err) < 0) {
		json_decref(candidate);
		return -1;
	}
	bool finished = !db_is_null(q, 10) && db_int(q, 10) != 0, waits = !db_is_null(q, 10) && !finished;
	const struct watched *watched = core->rollouts ? rollouts_find(core->rollouts, db_text(q, 1)) : NULL;
	json_t *shown = json_object();
	set(shown, "id", json_integer(db_int(q, 0)));
	set(shown, "target", json_string(db_text(q, 1)));
	set(shown, "run", db_int(q, 2) ? json_incref(json_object_get(candidate, "run")) : json_null());
	set(shown, "stage", db_is_null(q, 11) ? json_null() : json_string(db_text(q, 11)));
	set(shown, "candidate", candidate);
	set(shown, "stable", stable);
	show_spec(shown, db_text(q, 5));
	show_machine(shown, db_text(q, 6), waits);
	set(shown, "verdict", parse_or_null(db_text(q, 7)));
	set(shown, "asked", json_string(db_text(q, 8)));
	set(shown, "created_ms", json_integer(db_int(q, 9)));
	set(shown, "finished_ms", finished ? json_integer(db_int(q, 10)) : json_null());
	show_verify(core, shown, finished || waits ? NULL : watched);
	set(shown, "actual", finished || waits ? json_null() : actual_json(watched));
	*ret = shown;
	return 0;
}

static json_t *one_json(struct core *core, int64_t id, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_free char *sql = xasprintf("%s WHERE rollout.id = ?", rollout_columns);
	if (db_query(core->db, &q, err, sql, "i", id) < 0)
		return NULL;
	int more = db_step(q, err);
	json_t *shown = NULL;
	if (more == 0)
		error_set(err, ERROR_NOT_FOUND, 0, "there is no rollout %lld", (long long)id);
	return more > 0 && row_json(core, q, &shown, err) == 0 ? shown : NULL;
}

json_t *rollouts_json(struct core *core, int64_t id, struct error **err)
{
	if (id)
		return one_json(core, id, err);
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_free char *sql = xasprintf("%s ORDER BY rollout.id DESC LIMIT ?", rollout_columns);
	if (db_query(core->db, &q, err, sql, "i", (int64_t)MAX_SHOWN) < 0)
		return NULL;
	cleanup_json json_t *list = json_array();
	int more;
	while ((more = db_step(q, err)) > 0) {
		json_t *shown;
		if (row_json(core, q, &shown, err) < 0)
			return NULL;
		json_array_append_new(list, shown);
	}
	return more < 0 ? NULL : json_incref(list);
}

static json_t *text_or_null(const char *text)
{
	return text && text[0] ? outside_text(text) : json_null();
}

static int target_json(struct core *core, const struct db_stmt *q, json_t **ret, struct error **err)
{
	json_t *live, *previous;
	const struct watched *watched = core->rollouts ? rollouts_find(core->rollouts, db_text(q, 0)) : NULL;
	const struct config_target *config = config_target(core->config, db_text(q, 0));
	if (release_json(core, db_int(q, 1), &live, err) < 0)
		return -1;
	if (release_json(core, db_int(q, 2), &previous, err) < 0) {
		json_decref(live);
		return -1;
	}
	json_t *shown = json_object();
	set(shown, "name", json_string(db_text(q, 0)));
	set(shown, "kind", config ? json_string(config->kind) : json_null());
	set(shown, "live", live);
	set(shown, "previous", previous);
	set(shown, "generation", json_integer(db_int(q, 3)));
	set(shown, "rollout", db_is_null(q, 4) ? json_null() : json_integer(db_int(q, 4)));
	set(shown, "changed_ms", db_is_null(q, 5) ? json_null() : json_integer(db_int(q, 5)));
	set(shown, "error",
	    text_or_null(!watched                ? NULL
			 : watched->row_error[0] ? watched->row_error
			 : watched->target       ? watched->look_error
						 : watched->open_error));
	set(shown, "trouble", text_or_null(watched ? watched->trouble : NULL));
	set(shown, "drift", text_or_null(watched ? watched->drift : NULL));
	set(shown, "actual", actual_json(watched));
	*ret = shown;
	return 0;
}

json_t *targets_json(struct core *core, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err,
		     "SELECT name, coalesce(live_release, 0), coalesce(previous_release, 0), generation,"
		     " (SELECT id FROM rollout WHERE rollout.target = target.name AND finished_ms IS NULL), changed_ms FROM target ORDER BY name",
		     "") < 0)
		return NULL;
	cleanup_json json_t *list = json_array();
	int more;
	while ((more = db_step(q, err)) > 0) {
		json_t *shown;
		if (target_json(core, q, &shown, err) < 0)
			return NULL;
		json_array_append_new(list, shown);
	}
	return more < 0 ? NULL : json_incref(list);
}
