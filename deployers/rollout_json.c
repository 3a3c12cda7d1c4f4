#include "deployers/rollout_priv.h"

static json_t *arm_json(const struct rollout_arm *arm)
{
	return json_pack("{s:I, s:I}", "replicas", (json_int_t)arm->replicas, "weight_ppm", (json_int_t)arm->weight_ppm);
}

static void set(json_t *object, const char *key, json_t *value)
{
	if (!value || json_object_set_new(object, key, value) < 0)
		abort(); /* our own texts, which are UTF-8 */
}

json_t *rollout_to_json(const struct rollout *rollout)
{
	json_t *json = json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:s, s:s, s:o, s:o, s:b, s:b, s:b, s:I, s:s, s:b}", "id",
				 (json_int_t)rollout->id, "state", rollout_state_name(rollout->state), "paused_from",
				 rollout_state_name(rollout->paused_from), "step", (json_int_t)rollout->step, "state_since_ms",
				 (json_int_t)rollout->state_since_ms, "step_since_ms", (json_int_t)rollout->step_since_ms, "promoted_at_ms",
				 (json_int_t)rollout->promoted_at_ms, "paused_ms", (json_int_t)rollout->paused_ms, "has_stable", rollout->has_stable,
				 "generation", (json_int_t)rollout->generation, "reason", rollout->reason, "decided_by", rollout->decided_by,
				 "stable", arm_json(&rollout->stable), "candidate", arm_json(&rollout->candidate), "exposed", rollout->exposed,
				 "step_confirmed", rollout->step_confirmed, "skip_waiting", rollout->skip_waiting, "unready_since_ms",
				 (json_int_t)rollout->unready_since_ms, "waits_for", rollout->waits_for, "held", rollout->held);
	if (!json)
		abort();
	set(json, "fast_track", json_boolean(rollout->fast_track));
	set(json, "was_live_ms", json_integer((json_int_t)rollout->was_live_ms));
	set(json, "emergency", json_boolean(rollout->emergency));
	set(json, "verified", json_boolean(rollout->verified));
	set(json, "approved_by", json_string(rollout->approved_by));
	set(json, "preview", json_boolean(rollout->preview));
	set(json, "seen_applied_ms", json_integer((json_int_t)rollout->seen_applied_ms));
	return json;
}

static int need_state(const json_t *json, const char *key, enum rollout_state *ret, struct error **err)
{
	const char *name;
	if (json_need_string(json, key, &name, err) < 0)
		return -1;
	if (!rollout_state_from_name(name, ret))
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": \"%s\" is no state of a rollout", key, name);
	return 0;
}

static int need_number(const json_t *json, const char *key, int64_t max, int64_t *ret, struct error **err)
{
	int64_t value;
	if (json_need_int(json, key, &value, err) < 0)
		return -1;
	if (value < 0 || value > max)
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": %lld is not between 0 and %lld", key, (long long)value, (long long)max);
	*ret = value;
	return 0;
}

static int need_text(const json_t *json, const char *key, char *ret, size_t size, struct error **err)
{
	const char *text;
	if (json_need_string(json, key, &text, err) < 0)
		return -1;
	if (strlen(text) >= size)
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": longer than %zu bytes", key, size - 1);
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

static int need_arm(const json_t *json, const char *key, struct rollout_arm *ret, struct error **err)
{
	const json_t *arm = json_object_get(json, key);
	int64_t replicas, ppm;
	if (need_number(arm, "replicas", UINT32_MAX, &replicas, err) < 0 || need_number(arm, "weight_ppm", ALL_PPM, &ppm, err) < 0)
		return error_context(err, "key \"%s\"", key);
	*ret = (struct rollout_arm){(unsigned)replicas, (uint32_t)ppm};
	return 0;
}

static int read_numbers(const json_t *json, struct rollout *r, struct error **err)
{
	int64_t step, generation;
	if (need_number(json, "id", INT64_MAX, &r->id, err) < 0 || need_number(json, "step", ROLLOUT_MAX_STEPS - 1, &step, err) < 0 ||
	    need_number(json, "generation", INT64_MAX, &generation, err) < 0 || json_need_int(json, "state_since_ms", &r->state_since_ms, err) < 0 ||
	    json_need_int(json, "step_since_ms", &r->step_since_ms, err) < 0 || json_need_int(json, "promoted_at_ms", &r->promoted_at_ms, err) < 0 ||
	    json_need_int(json, "paused_ms", &r->paused_ms, err) < 0 || json_need_int(json, "unready_since_ms", &r->unready_since_ms, err) < 0)
		return -1;
	r->step = (unsigned)step;
	r->generation = (uint64_t)generation;
	return 0;
}

static int read_pause(const json_t *json, struct rollout *r, struct error **err)
{
	if (need_state(json, "state", &r->state, err) < 0 || need_state(json, "paused_from", &r->paused_from, err) < 0)
		return -1;
	bool paused_from_something = r->paused_from != ROLLOUT_PAUSED && !rollout_is_final(r->paused_from);
	if (r->state == ROLLOUT_PAUSED && !paused_from_something)
		return error_set(err, ERROR_INVALID, 0, "key \"paused_from\": \"%s\" cannot be paused", rollout_state_name(r->paused_from));
	return 0;
}

/* What rows of an older version do not have keeps its default. */
static void read_newer(const json_t *json, struct rollout *r)
{
	r->fast_track = json_bool_or(json, "fast_track", false);
	r->was_live_ms = json_int_or(json, "was_live_ms", 0);
	r->emergency = json_bool_or(json, "emergency", false);
	r->verified = json_bool_or(json, "verified", false);
	copy_text(r->approved_by, sizeof(r->approved_by), json_string_or(json, "approved_by", ""));
	r->preview = json_bool_or(json, "preview", false);
	r->seen_applied_ms = json_int_or(json, "seen_applied_ms", 0);
}

int rollout_from_json(const json_t *json, struct rollout *ret, struct error **err)
{
	struct rollout r = {0};
	if (!json_is_object(json))
		return error_set(err, ERROR_INVALID, 0, "rollout: expected an object");
	if (read_pause(json, &r, err) < 0 || read_numbers(json, &r, err) < 0 || need_arm(json, "stable", &r.stable, err) < 0 ||
	    need_arm(json, "candidate", &r.candidate, err) < 0 || need_text(json, "reason", r.reason, sizeof(r.reason), err) < 0 ||
	    need_text(json, "decided_by", r.decided_by, sizeof(r.decided_by), err) < 0 ||
	    need_text(json, "waits_for", r.waits_for, sizeof(r.waits_for), err) < 0)
		return error_context(err, "rollout");
	r.has_stable = json_bool_or(json, "has_stable", false);
	r.exposed = json_bool_or(json, "exposed", true); /* the careful answer */
	r.step_confirmed = json_bool_or(json, "step_confirmed", false);
	r.skip_waiting = json_bool_or(json, "skip_waiting", false);
	r.held = json_bool_or(json, "held", false);
	read_newer(json, &r);
	*ret = r;
	return 0;
}
