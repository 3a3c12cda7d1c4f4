/* What is live, what was released, and rollouts. */
#include "runner/api/api_priv.h"
#include "runner/rollouts.h"
#include "runner/rollouts_view.h"

#include <string.h>

enum { DEFAULT_OBSERVATIONS = 200, DEFAULT_LIMIT = 50, MAX_LIMIT = 1000 };

static json_t *release_row(const struct db_stmt *q)
{
	json_t *release = json_object();
	api_set(release, "id", json_integer(db_int(q, 0)));
	api_set(release, "run", json_integer(db_int(q, 1)));
	api_set(release, "stage", api_text(db_text(q, 2)));
	api_set(release, "repository", api_text(db_text(q, 3)));
	api_set(release, "version", api_text(db_text(q, 4)));
	api_set(release, "image", api_text(db_text(q, 5)));
	api_set(release, "commit", api_text(db_text(q, 6)));
	api_set(release, "created_ms", json_integer(db_int(q, 7)));
	return release;
}

static int add_live_on(struct core *core, json_t *release, int64_t id, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_json json_t *names = json_array();
	int more;
	if (db_query(core->db, &q, err, "SELECT name FROM target WHERE live_release = ? ORDER BY name", "i", id) < 0)
		return -1;
	while ((more = db_step(q, err)) > 0)
		json_array_append_new(names, api_text(db_text(q, 0)));
	api_set(release, "live_on", json_incref(names));
	return more;
}

int api_list_releases(struct http_call *call, struct error **err)
{
	struct core *core = http_core(call);
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_json json_t *releases = json_array();
	int64_t limit;
	int more;
	if (api_number(call, "limit", DEFAULT_LIMIT, MAX_LIMIT, &limit, err) < 0 ||
	    db_query(core->db, &q, err,
		     "SELECT release.id, release.run_id, stage.name, repository, version, release.image, commit_sha, created_ms FROM release"
		     " JOIN stage ON stage.id = release.stage_id WHERE ?1 IS NULL OR repository = ?1 ORDER BY release.id DESC LIMIT ?2",
		     "si", http_query(call, "repository"), limit) < 0)
		return -1;
	while ((more = db_step(q, err)) > 0) {
		json_t *release = release_row(q);
		json_array_append_new(releases, release);
		if (add_live_on(core, release, db_int(q, 0), err) < 0)
			return -1;
	}
	return more < 0 ? -1 : http_reply_json(call, 200, json_pack("{s:O}", "releases", releases));
}

int api_list_targets(struct http_call *call, struct error **err)
{
	json_t *targets = targets_json(http_core(call), err);
	return targets ? http_reply_json(call, 200, json_pack("{s:o}", "targets", targets)) : -1;
}

int api_list_rollouts(struct http_call *call, struct error **err)
{
	cleanup_json json_t *all = rollouts_json(http_core(call), 0, err);
	const char *target = http_query(call, "target");
	if (!all)
		return -1;
	json_t *rollouts = json_array();
	for (size_t i = 0; i < json_array_size(all); i++) {
		json_t *rollout = json_array_get(all, i);
		if (!target || strcmp(json_string_or(rollout, "target", ""), target) == 0)
			json_array_append(rollouts, rollout);
	}
	return http_reply_json(call, 200, json_pack("{s:o}", "rollouts", rollouts));
}

int api_get_rollout(struct http_call *call, struct error **err)
{
	int64_t id;
	if (api_id(call, "rollout", &id, err) < 0)
		return -1;
	json_t *rollout = rollouts_json(http_core(call), id, err);
	return rollout ? http_reply_json(call, 200, rollout) : -1;
}

int api_list_observations(struct http_call *call, struct error **err)
{
	int64_t id, after, limit;
	if (api_id(call, "rollout", &id, err) < 0 || api_number(call, "after", 0, INT64_MAX, &after, err) < 0 ||
	    api_number(call, "limit", DEFAULT_OBSERVATIONS, MAX_LIMIT, &limit, err) < 0)
		return -1;
	json_t *page = rollout_observations_json(http_core(call), id, after, limit, err);
	return page ? http_reply_json(call, 200, page) : -1;
}

/* The path names the command; what turns it into an emergency is in the query, ?full=true or ?now=true, or in the body, {"full": true}. One
 * that does not belong to the command is refused: an emergency must not become something else in silence. */
static const struct target_command {
	const char *name, *key;
	enum rollout_command command, emergency;
} target_commands[] = {
	{"promote", "full", ROLLOUT_PROMOTE, ROLLOUT_PROMOTE_FULL},
	{"rollback", "now", ROLLOUT_ROLLBACK, ROLLOUT_ROLLBACK_NOW},
	{"pause", "", ROLLOUT_PAUSE, ROLLOUT_NONE},
	{"resume", "", ROLLOUT_RESUME, ROLLOUT_NONE},
	{"approve", "", ROLLOUT_APPROVE, ROLLOUT_NONE},
};

static const struct target_command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(target_commands); i++)
		if (strcmp(target_commands[i].name, name) == 0)
			return &target_commands[i];
	return NULL;
}

static int read_flag(const struct http_call *call, const struct target_command *found, bool *ret, struct error **err)
{
	static const char *const flags[] = {"full", "now"};
	*ret = false;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		const char *value = http_query(call, flags[i]);
		if (!value)
			continue;
		if (strcmp(flags[i], found->key) != 0)
			return error_set(err, ERROR_INVALID, 0, "%s takes no ?%s", found->name, flags[i]);
		*ret = api_flag(call, flags[i]);
		if (!*ret && strcmp(value, "false") != 0 && strcmp(value, "0") != 0)
			return error_set(err, ERROR_INVALID, 0, "%s: expected true or false, not \"%.20s\"", flags[i], value);
	}
	return 0;
}

static int read_command(const struct http_call *call, enum rollout_command *ret, struct error **err)
{
	bool flag;
	const struct target_command *found = find_command(http_param(call, "command"));
	cleanup_json json_t *body = NULL;
	if (!found)
		return error_set(err, ERROR_NOT_FOUND, 0, "a target has no command \"%.40s\"; there are promote, rollback, pause, resume, approve",
				 http_param(call, "command"));
	if (read_flag(call, found, &flag, err) < 0 || api_body(call, found->key, &body, err) < 0)
		return -1;
	const json_t *emergency = found->key[0] ? json_object_get(body, found->key) : NULL;
	if (emergency && !json_is_boolean(emergency))
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected true or false", found->key);
	*ret = flag || json_is_true(emergency) ? found->emergency : found->command;
	return 0;
}

int api_command_target(struct http_call *call, struct error **err)
{
	struct core *core = http_core(call);
	const char *target = http_param(call, "name");
	enum rollout_command command;
	int64_t id;
	if (read_command(call, &command, err) < 0)
		return -1;
	if (!core->rollouts)
		return error_set(err, ERROR_UNAVAILABLE, 0, "rollouts are not open");
	if (rollouts_command(core->rollouts, target, command, http_actor(call), &id, err) < 0)
		return -1;
	return http_reply_json(call, 202,
			       json_pack("{s:I, s:o, s:s}", "rollout", (json_int_t)id, "target", api_text(target), "command",
					 rollout_command_name(command)));
}
