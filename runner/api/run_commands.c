/* What can be done to runs: start one by hand, cancel, retry. */
#include "base/alloc.h"
#include "runner/api/api_priv.h"
#include "runner/engine.h"

#include <string.h>

static bool is_commit(const char *text)
{
	size_t len = strlen(text);
	return (len == 40 || len == 64) && strspn(text, "0123456789abcdef") == len;
}

/* What git itself refuses in a branch name, and what could be taken for an option. */
static bool is_branch(const char *text)
{
	if (!text[0] || text[0] == '-' || text[0] == '/' || strlen(text) > 200 || strstr(text, "..") || strstr(text, "@{") || strstr(text, "//"))
		return false;
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr("~^:?*[\\", *p))
			return false;
	return true;
}

static int read_text(const json_t *body, const char *key, const char **ret, struct error **err)
{
	const json_t *value = json_object_get(body, key);
	if (value && !json_is_string(value))
		return error_set(err, ERROR_INVALID, 0, "body: key \"%s\": expected a string", key);
	*ret = value ? json_string_value(value) : "";
	return 0;
}

static int check_inputs(const json_t *inputs, struct error **err)
{
	const char *key;
	json_t *value;
	if (inputs && !json_is_object(inputs))
		return error_set(err, ERROR_INVALID, 0, "body: key \"inputs\": expected an object");
	json_object_foreach((json_t *)(uintptr_t)inputs, key, value)
	{
		if (!json_is_string(value))
			return error_set(err, ERROR_INVALID, 0, "body: input \"%.40s\": expected a string", key);
	}
	return 0;
}

static int manual_facts(struct core *core, const json_t *body, const char *actor, json_t **ret, struct error **err)
{
	const char *repository, *branch, *commit;
	json_t *inputs = json_object_get(body, "inputs");
	if (json_need_string(body, "repository", &repository, err) < 0 || read_text(body, "branch", &branch, err) < 0 ||
	    read_text(body, "commit", &commit, err) < 0 || check_inputs(inputs, err) < 0)
		return -1;
	if (!config_repository(core->config, repository))
		return error_set(err, ERROR_NOT_FOUND, 0, "there is no repository \"%.100s\" in %s", repository, core->config->file);
	/* git-sync fetches what it can name exactly: a branch may have moved on by the time it looks. */
	if (!branch[0] || !commit[0])
		return error_set(err, ERROR_INVALID, 0, "body: say which \"commit\" of which \"branch\"");
	if (!is_branch(branch))
		return error_set(err, ERROR_INVALID, 0, "body: \"branch\" is no name of a branch");
	if (!is_commit(commit))
		return error_set(err, ERROR_INVALID, 0, "body: \"commit\" must be a whole commit id in lower case");
	cleanup_free char *ref = xasprintf("refs/heads/%s", branch);
	*ret = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:o}", "kind", "manual", "branch", branch, "ref", ref, "commit", commit, "started_by", actor,
			 "trusted", true, "inputs", inputs ? json_deep_copy(inputs) : json_object());
	return 0;
}

int api_create_run(struct http_call *call, struct error **err)
{
	struct core *core = http_core(call);
	cleanup_json json_t *body = NULL, *facts = NULL;
	int64_t id;
	if (api_body(call, "repository branch commit inputs", &body, err) < 0 || manual_facts(core, body, http_actor(call), &facts, err) < 0)
		return -1;
	const struct run_request request = {
		.repository = json_string_value(json_object_get(body, "repository")), .facts = facts, .actor = http_actor(call)};
	if (engine_create_run(core->engine, &request, &id, err) < 0)
		return -1;
	return http_reply_json(call, 202, json_pack("{s:I}", "run", (json_int_t)id));
}

int api_cancel_run(struct http_call *call, struct error **err)
{
	struct core *core = http_core(call);
	cleanup_json json_t *body = NULL;
	int64_t id;
	if (api_id(call, "run", &id, err) < 0 || api_body(call, "", &body, err) < 0 || api_need_run(core, id, err) < 0 ||
	    engine_cancel_run(core->engine, id, http_actor(call), err) < 0)
		return -1;
	return http_reply_json(call, 202, json_pack("{s:I}", "run", (json_int_t)id));
}

int api_retry_run(struct http_call *call, struct error **err)
{
	struct core *core = http_core(call);
	cleanup_json json_t *body = NULL;
	const char *from;
	int64_t id, again;
	if (api_id(call, "run", &id, err) < 0 || api_body(call, "from", &body, err) < 0 || read_text(body, "from", &from, err) < 0 ||
	    api_need_run(core, id, err) < 0 || engine_retry_run(core->engine, id, from[0] ? from : NULL, http_actor(call), &again, err) < 0)
		return -1;
	return http_reply_json(call, 202, json_pack("{s:I, s:I}", "run", (json_int_t)again, "rerun_of", (json_int_t)id));
}
