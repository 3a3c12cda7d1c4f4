#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "deployers/process/process_priv.h"

#include <stdio.h>
#include <string.h>

void desired_done(struct kept_desired *desired)
{
	for (unsigned i = 0; i < PLAN_ARMS; i++) {
		free(desired->arms[i].version);
		free(desired->arms[i].commit);
	}
	free(desired->health_path);
	*desired = (struct kept_desired){0};
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

bool desired_equal(const struct kept_desired *a, const struct kept_desired *b)
{
	if (a->plan.n_arms != b->plan.n_arms || a->plan.generation != b->plan.generation || !same_text(a->health_path, b->health_path) ||
	    a->health_within_ms != b->health_within_ms)
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
	kept->arms[i] = (struct kept_arm){xstrdup(arm->release->version), xstrdup(arm->release->commit), arm->release->id};
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
	struct kept_desired kept = {.plan.generation = desired->generation, .health_within_ms = desired->health_within_ms};
	for (unsigned i = 0; i < desired->n_arms; i++)
		if (copy_arm(&desired->arms[i], &kept, err) < 0) {
			desired_done(&kept);
			return -1;
		}
	if (check_sum(&kept, err) < 0) {
		desired_done(&kept);
		return -1;
	}
	kept.health_path = xstrdup(health_path);
	*ret = kept;
	return 0;
}

int desired_save(const struct process *process, struct error **err)
{
	const struct kept_desired *desired = &process->desired;
	cleanup_json json_t *arms = json_array();
	for (unsigned i = 0; i < desired->plan.n_arms; i++)
		json_array_append_new(arms, json_pack("{s:s, s:i, s:i, s:s*, s:s*, s:I}", "image", desired->plan.arms[i].image, "replicas",
						      (int)desired->plan.arms[i].replicas, "weight_ppm", (int)desired->plan.arms[i].weight_ppm,
						      "version", desired->arms[i].version, "commit", desired->arms[i].commit, "release",
						      (json_int_t)desired->arms[i].release_id));
	cleanup_json json_t *json =
		json_pack("{s:b, s:I, s:I, s:i, s:s*, s:I, s:O}", "has_desired", process->has_desired, "generation",
			  (json_int_t)desired->plan.generation, "applied", (json_int_t)process->applied, "last_instance", (int)process->last_instance,
			  "health_path", desired->health_path, "health_within_ms", (json_int_t)desired->health_within_ms, "arms", arms);
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

int desired_load(struct process *process, struct error **err)
{
	cleanup_free char *path = path_join(process->state_dir, "desired.json");
	cleanup_json json_t *json = NULL;
	if (!path_exists(path))
		return 0;
	if (json_read(path, 1024 * 1024, &json, err) < 0)
		return -1;
	struct kept_desired kept = {.plan.generation = (uint64_t)json_int_or(json, "generation", 0),
				    .health_within_ms = (uint64_t)json_int_or(json, "health_within_ms", 30000)};
	size_t i;
	json_t *arm;
	json_array_foreach(json_object_get(json, "arms"), i, arm)
	{
		if (load_arm(arm, &kept, err) < 0) {
			desired_done(&kept);
			return error_context(err, "%s", path);
		}
	}
	kept.health_path = xstrdup(json_string_or(json, "health_path", "/"));
	process->desired = kept;
	process->has_desired = json_bool_or(json, "has_desired", false);
	process->applied = (uint64_t)json_int_or(json, "applied", 0);
	process->last_instance = (unsigned)json_int_or(json, "last_instance", 0);
	return 0;
}
