#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "deployers/process/process_priv.h"

#include <stdio.h>
#include <string.h>

static void settings_set(struct kept_settings *to, const struct kept_settings *from)
{
	char *path = xstrdup(from->health_path);
	free(to->health_path);
	*to = *from;
	to->health_path = path;
}

void desired_done(struct kept_desired *desired)
{
	for (unsigned i = 0; i < PLAN_ARMS; i++) {
		free(desired->arms[i].version);
		free(desired->arms[i].commit);
		free(desired->arms[i].settings.health_path);
	}
	free(desired->asked.health_path);
	*desired = (struct kept_desired){0};
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool settings_equal(const struct kept_settings *a, const struct kept_settings *b)
{
	return same_text(a->health_path, b->health_path) && a->health_within_ms == b->health_within_ms &&
	       a->restart_after_ms == b->restart_after_ms && a->memory_bytes == b->memory_bytes && a->cpu == b->cpu;
}

bool desired_equal(const struct kept_desired *a, const struct kept_desired *b)
{
	if (a->plan.n_arms != b->plan.n_arms || a->plan.generation != b->plan.generation || a->plan.preview != b->plan.preview ||
	    a->plan.hurry != b->plan.hurry || !settings_equal(&a->asked, &b->asked))
		return false;
	for (unsigned i = 0; i < a->plan.n_arms; i++)
		if (strcmp(a->plan.arms[i].image, b->plan.arms[i].image) != 0 || a->plan.arms[i].replicas != b->plan.arms[i].replicas ||
		    a->plan.arms[i].weight_ppm != b->plan.arms[i].weight_ppm)
			return false;
	return true;
}

static struct plan_arm *find_arm(struct kept_desired *desired, const char *image)
{
	for (unsigned i = 0; i < desired->plan.n_arms; i++)
		if (strcmp(desired->plan.arms[i].image, image) == 0)
			return &desired->plan.arms[i];
	return NULL;
}

static int copy_arm(const struct arm *arm, struct kept_desired *kept, struct error **err)
{
	if (!arm->release || !arm->release->image || !digest_is_valid(arm->release->image))
		return error_set(err, ERROR_INVALID, 0, "an arm has no image digest");
	if (arm->weight_ppm > PPM)
		return error_set(err, ERROR_INVALID, 0, "an arm's weight of %u is more than 1,000,000", arm->weight_ppm);
	if (arm->weight_ppm && !arm->replicas)
		return error_set(err, ERROR_INVALID, 0, "release %s shall have traffic but no copies",
				 arm->release->version ? arm->release->version : "?");
	/* The same commit gives the same bytes: a release that is deployed again is one arm with the weights of both. */
	struct plan_arm *same = find_arm(kept, arm->release->image);
	if (same) {
		same->weight_ppm += arm->weight_ppm;
		same->replicas = arm->replicas > same->replicas ? arm->replicas : same->replicas;
		return 0;
	}
	unsigned i = kept->plan.n_arms;
	if (i == PLAN_ARMS)
		return error_set(err, ERROR_UNSUPPORTED, 0, "a third arm (a fresh baseline) is not available in this build");
	struct plan_arm *to = &kept->plan.arms[i];
	snprintf(to->image, sizeof(to->image), "%s", arm->release->image);
	to->replicas = arm->replicas;
	to->weight_ppm = arm->weight_ppm;
	kept->arms[i] =
		(struct kept_arm){.version = xstrdup(arm->release->version), .commit = xstrdup(arm->release->commit), .release_id = arm->release->id};
	kept->plan.n_arms++;
	return 0;
}

static int check_sum(const struct kept_desired *kept, struct error **err)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < kept->plan.n_arms; i++)
		sum += kept->plan.arms[i].weight_ppm;
	if (sum && sum != PPM)
		return error_set(err, ERROR_INVALID, 0, "the arms' weights add up to %llu and not to 1,000,000", (unsigned long long)sum);
	return 0;
}

int desired_copy(const struct desired *desired, struct kept_desired *ret, struct error **err)
{
	if (desired->n_arms > MAX_ARMS)
		return error_set(err, ERROR_INVALID, 0, "%u arms are more than there can be", desired->n_arms);
	const char *health_path = desired->health_path ? desired->health_path : "/";
	if (!health_path_is_sound(health_path))
		return error_set(err, ERROR_INVALID, 0, "the health path \"%.60s\" must begin with \"/\" and hold no blanks, quotes, #, %% or $",
				 health_path);
	struct kept_desired kept = {.plan.generation = desired->generation, .plan.hurry = desired->hurry};
	for (unsigned i = 0; i < desired->n_arms; i++)
		if (copy_arm(&desired->arms[i], &kept, err) < 0) {
			desired_done(&kept);
			return -1;
		}
	if (check_sum(&kept, err) < 0) {
		desired_done(&kept);
		return -1;
	}
	if (desired->preview > desired->n_arms) {
		desired_done(&kept);
		return error_set(err, ERROR_INVALID, 0, "preview is arm %u of %u", desired->preview, desired->n_arms);
	}
	if (desired->preview)
		kept.plan.preview = 1 + (unsigned)(find_arm(&kept, desired->arms[desired->preview - 1].release->image) - kept.plan.arms);
	kept.asked = (struct kept_settings){.health_path = xstrdup(health_path),
					    .health_within_ms = desired->health_within_ms,
					    .restart_after_ms = desired->restart_after_ms,
					    .memory_bytes = desired->memory_bytes,
					    .cpu = desired->cpu};
	for (unsigned i = 0; i < kept.plan.n_arms; i++)
		settings_set(&kept.arms[i].settings, &kept.asked);
	*ret = kept;
	return 0;
}

void desired_inherit(const struct kept_desired *before, struct kept_desired *desired)
{
	bool changed = !settings_equal(&before->asked, &desired->asked);
	for (unsigned i = 0; i < desired->plan.n_arms; i++)
		for (unsigned n = 0; n < before->plan.n_arms; n++)
			if (strcmp(before->plan.arms[n].image, desired->plan.arms[i].image) == 0 && !(changed && i + 1 == desired->plan.n_arms))
				settings_set(&desired->arms[i].settings, &before->arms[n].settings);
}

const struct kept_settings *desired_settings(const struct process *process, const char *image)
{
	for (unsigned i = 0; i < process->desired.plan.n_arms; i++)
		if (strcmp(process->desired.plan.arms[i].image, image) == 0)
			return &process->desired.arms[i].settings;
	return NULL;
}

uint64_t desired_memory(const struct process *process, const struct kept_settings *settings)
{
	return settings->memory_bytes ? settings->memory_bytes : process->settings.memory_bytes;
}

/* ---- on disk ---- */

static json_t *settings_json(const struct kept_settings *settings)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:i}", "health_path", settings->health_path ? settings->health_path : "/", "health_within_ms",
			 (json_int_t)settings->health_within_ms, "restart_after_ms", (json_int_t)settings->restart_after_ms, "memory_bytes",
			 (json_int_t)settings->memory_bytes, "cpu", (int)settings->cpu);
}

static void settings_from_json(const json_t *json, struct kept_settings *settings)
{
	struct kept_settings read = {.health_within_ms = (uint64_t)json_int_or(json, "health_within_ms", 30000),
				     .restart_after_ms = (uint64_t)json_int_or(json, "restart_after_ms", 0),
				     .memory_bytes = (uint64_t)json_int_or(json, "memory_bytes", 0),
				     .cpu = (unsigned)json_int_or(json, "cpu", 0)};
	cleanup_free char *path = xstrdup(json_string_or(json, "health_path", "/"));
	read.health_path = path;
	settings_set(settings, &read);
}

int desired_save(const struct process *process, struct error **err)
{
	const struct kept_desired *desired = &process->desired;
	cleanup_json json_t *arms = json_array();
	for (unsigned i = 0; i < desired->plan.n_arms; i++)
		json_array_append_new(arms,
				      json_pack("{s:s, s:i, s:i, s:s*, s:s*, s:I, s:o}", "image", desired->plan.arms[i].image, "replicas",
						(int)desired->plan.arms[i].replicas, "weight_ppm", (int)desired->plan.arms[i].weight_ppm, "version",
						desired->arms[i].version, "commit", desired->arms[i].commit, "release",
						(json_int_t)desired->arms[i].release_id, "settings", settings_json(&desired->arms[i].settings)));
	cleanup_json json_t *json =
		json_pack("{s:b, s:I, s:I, s:i, s:i, s:b, s:o, s:O}", "has_desired", process->has_desired, "generation",
			  (json_int_t)desired->plan.generation, "applied", (json_int_t)process->applied, "last_instance", (int)process->last_instance,
			  "preview", (int)desired->plan.preview, "hurry", desired->plan.hurry, "asked", settings_json(&desired->asked), "arms", arms);
	if (!json)
		return error_set(err, ERROR_INTERNAL, 0, "the desired state cannot be written as JSON");
	cleanup_free char *text = json_text_pretty(json);
	cleanup_free char *path = path_join(process->state_dir, "desired.json");
	return file_write_atomic(path, text, strlen(text), 0600, err);
}

static int load_arm(const json_t *json, struct kept_desired *kept, struct error **err)
{
	const char *image;
	if (json_need_string(json, "image", &image, err) < 0)
		return -1;
	struct release release = {.id = json_int_or(json, "release", 0),
				  .version = json_string_or(json, "version", NULL),
				  .commit = json_string_or(json, "commit", NULL),
				  .image = image};
	struct arm arm = {.release = &release,
			  .replicas = (unsigned)json_int_or(json, "replicas", 0),
			  .weight_ppm = (uint32_t)json_int_or(json, "weight_ppm", 0)};
	return copy_arm(&arm, kept, err);
}

/* Files of an older release have one setting for all arms, at the top. */
static void load_settings(const json_t *json, struct kept_desired *kept)
{
	const json_t *arms = json_object_get(json, "arms"), *asked = json_object_get(json, "asked");
	settings_from_json(asked ? asked : json, &kept->asked);
	for (unsigned i = 0; i < kept->plan.n_arms; i++) {
		const json_t *own = json_object_get(json_array_get(arms, i), "settings");
		settings_from_json(own ? own : asked ? asked : json, &kept->arms[i].settings);
	}
	kept->plan.preview = (unsigned)json_int_or(json, "preview", 0);
	if (kept->plan.preview > kept->plan.n_arms)
		kept->plan.preview = 0;
}

int desired_load(struct process *process, struct error **err)
{
	cleanup_free char *path = path_join(process->state_dir, "desired.json");
	cleanup_json json_t *json = NULL;
	if (!path_exists(path))
		return 0;
	if (json_read(path, 1024 * 1024, &json, err) < 0)
		return -1;
	struct kept_desired kept = {.plan.generation = (uint64_t)json_int_or(json, "generation", 0),
				    .plan.hurry = json_bool_or(json, "hurry", false)};
	size_t i;
	json_t *arm;
	json_array_foreach(json_object_get(json, "arms"), i, arm)
	{
		if (load_arm(arm, &kept, err) < 0) {
			desired_done(&kept);
			return error_context(err, "%s", path);
		}
	}
	load_settings(json, &kept);
	process->desired = kept;
	process->has_desired = json_bool_or(json, "has_desired", false);
	process->applied = (uint64_t)json_int_or(json, "applied", 0);
	process->last_instance = (unsigned)json_int_or(json, "last_instance", 0);
	return 0;
}
