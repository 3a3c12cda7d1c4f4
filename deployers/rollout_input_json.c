/* What a turn was given, as JSON, so that it can be played again. */
#include "deployers/rollout_priv.h"

#define COUNT_MAX UINT32_MAX

static const char *const verify_names[] = {
	[VERIFY_NONE] = "none", [VERIFY_RUNNING] = "running", [VERIFY_PASSED] = "passed", [VERIFY_FAILED] = "failed"};

static void set(json_t *object, const char *key, json_t *value)
{
	if (!value || json_object_set_new(object, key, value) < 0)
		abort();
}

/* Texts come from drivers and people, and may hold anything. */
static void set_text(json_t *object, const char *key, const char *text)
{
	char clean[512];
	copy_text(clean, sizeof(clean), text ? text : "");
	set(object, key, text ? json_string(clean) : json_null());
}

static json_t *arm_json(const struct arm_status *arm)
{
	json_t *json = json_object();
	set_text(json, "image", arm->image);
	set(json, "replicas", json_integer(arm->replicas));
	set(json, "ready", json_integer(arm->ready));
	set(json, "weight_ppm", json_integer(arm->weight_ppm));
	set(json, "failed", json_boolean(arm->failed));
	set_text(json, "message", arm->message);
	return json;
}

static json_t *actual_json(const struct actual *actual)
{
	if (!actual)
		return json_null();
	json_t *json = json_object(), *arms = json_array();
	for (unsigned i = 0; i < actual->n_arms && i < MAX_ARMS; i++)
		json_array_append_new(arms, arm_json(&actual->arms[i]));
	set(json, "arms", arms);
	set(json, "generation", json_integer((json_int_t)actual->generation));
	set(json, "seen_at_ms", json_integer((json_int_t)actual->seen_at_ms));
	set(json, "router_ok", json_boolean(actual->router_ok));
	set_text(json, "preview_image", actual->preview_image);
	set_text(json, "preview_url", actual->preview_url);
	return json;
}

json_t *rollout_input_to_json(const struct rollout_input *input)
{
	json_t *json = json_object();
	set(json, "now_ms", json_integer((json_int_t)input->now_ms));
	set(json, "actual", actual_json(input->actual));
	set(json, "verify", json_string(verify_names[input->verify]));
	set_text(json, "verify_why", input->verify_why);
	set(json, "command", json_string(rollout_command_name(input->command)));
	set_text(json, "command_by", input->command_by);
	set_text(json, "command_why", input->command_why);
	set(json, "stable_replicas", json_integer(input->stable_replicas));
	set_text(json, "trouble", input->trouble);
	set(json, "trouble_is_final", json_boolean(input->trouble_is_final));
	return json;
}

/* ---- reading ---- */

static int need_count(const json_t *json, const char *key, int64_t max, int64_t *ret, struct error **err)
{
	int64_t value;
	if (json_need_int(json, key, &value, err) < 0)
		return -1;
	if (value < 0 || value > max)
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": %lld is not between 0 and %lld", key, (long long)value, (long long)max);
	*ret = value;
	return 0;
}

/* null and absent stay NULL. A text longer than the room for it is cut: the machine cuts it too. */
static const char *text_or_null(const json_t *json, const char *key, char *room, size_t size)
{
	const char *text = json_string_or(json, key, NULL);
	if (!text)
		return NULL;
	copy_text(room, size, text);
	return room;
}

static int read_arm(const json_t *json, struct arm_status *ret, struct error **err)
{
	int64_t replicas, ready, ppm;
	if (need_count(json, "replicas", COUNT_MAX, &replicas, err) < 0 || need_count(json, "ready", COUNT_MAX, &ready, err) < 0 ||
	    need_count(json, "weight_ppm", UINT32_MAX, &ppm, err) < 0)
		return -1;
	*ret = (struct arm_status){
		.replicas = (unsigned)replicas, .ready = (unsigned)ready, .weight_ppm = (uint32_t)ppm, .failed = json_bool_or(json, "failed", false)};
	copy_text(ret->image, sizeof(ret->image), json_string_or(json, "image", ""));
	copy_text(ret->message, sizeof(ret->message), json_string_or(json, "message", ""));
	return 0;
}

static int read_actual(const json_t *json, struct actual *ret, struct error **err)
{
	const json_t *arms = json_object_get(json, "arms");
	int64_t generation;
	*ret = (struct actual){.router_ok = json_bool_or(json, "router_ok", false), .n_arms = (unsigned)json_array_size(arms)};
	if (!json_is_array(arms) || json_array_size(arms) > MAX_ARMS)
		return error_set(err, ERROR_INVALID, 0, "key \"arms\": expected a list of at most %d", MAX_ARMS);
	if (need_count(json, "generation", INT64_MAX, &generation, err) < 0 || json_need_int(json, "seen_at_ms", &ret->seen_at_ms, err) < 0)
		return -1;
	ret->generation = (uint64_t)generation;
	for (unsigned i = 0; i < ret->n_arms; i++)
		if (read_arm(json_array_get(arms, i), &ret->arms[i], err) < 0)
			return error_context(err, "arms[%u]", i);
	copy_text(ret->preview_image, sizeof(ret->preview_image), json_string_or(json, "preview_image", ""));
	copy_text(ret->preview_url, sizeof(ret->preview_url), json_string_or(json, "preview_url", ""));
	return 0;
}

static int read_names(const json_t *json, struct rollout_input *in, struct error **err)
{
	const char *command = json_string_or(json, "command", ""), *verify = json_string_or(json, "verify", "none");
	if (!rollout_command_from_name(command, &in->command))
		return error_set(err, ERROR_INVALID, 0, "key \"command\": \"%.40s\" is no command of a rollout", command);
	for (size_t i = 0; i < ARRAY_SIZE(verify_names); i++) {
		if (strcmp(verify_names[i], verify) == 0) {
			in->verify = (enum verify_status)i;
			return 0;
		}
	}
	return error_set(err, ERROR_INVALID, 0, "key \"verify\": \"%.40s\" is no state of a verification", verify);
}

int rollout_input_from_json(const json_t *json, struct rollout_input_store *store, struct rollout_input *ret, struct error **err)
{
	struct rollout_input in = {0};
	const json_t *actual = json_object_get(json, "actual");
	int64_t stable_replicas;
	if (!json_is_object(json))
		return error_set(err, ERROR_INVALID, 0, "rollout input: expected an object");
	if (json_need_int(json, "now_ms", &in.now_ms, err) < 0 || read_names(json, &in, err) < 0 ||
	    need_count(json, "stable_replicas", COUNT_MAX, &stable_replicas, err) < 0)
		return error_context(err, "rollout input");
	if (json_is_object(actual)) {
		if (read_actual(actual, &store->actual, err) < 0)
			return error_context(err, "rollout input: key \"actual\"");
		in.actual = &store->actual;
	}
	in.stable_replicas = (unsigned)stable_replicas;
	in.trouble_is_final = json_bool_or(json, "trouble_is_final", false);
	in.verify_why = text_or_null(json, "verify_why", store->verify_why, sizeof(store->verify_why));
	in.command_by = text_or_null(json, "command_by", store->command_by, sizeof(store->command_by));
	in.command_why = text_or_null(json, "command_why", store->command_why, sizeof(store->command_why));
	in.trouble = text_or_null(json, "trouble", store->trouble, sizeof(store->trouble));
	*ret = in;
	return 0;
}
