#include "deployers/process/instances.h"

#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "deployers/haproxy/frontend.h"
#include "deployers/process/instance_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

void instance_free(struct instance *instance)
{
	if (!instance)
		return;
	strlist_done(&instance->argv);
	strlist_done(&instance->env);
	free(instance->health_path);
	free(instance->version);
	free(instance->dir);
	free(instance->folder);
	free(instance);
}

void instances_done(struct instances *instances)
{
	for (size_t i = 0; i < instances->n; i++)
		instance_free(instances->items[i]);
	free(instances->items);
	free(instances->state_dir);
	*instances = (struct instances){0};
}

struct instance *instances_find(const struct instances *instances, unsigned id)
{
	for (size_t i = 0; i < instances->n; i++)
		if (instances->items[i]->id == id)
			return instances->items[i];
	return NULL;
}

char *instance_attempt_dir(const struct instance *instance)
{
	return instance->starts ? xasprintf("%s/starts/%06u", instance->folder, instance->starts) : NULL;
}

/* ---- the record ---- */

static json_t *list_to_json(const struct strlist *list)
{
	json_t *array = json_array();
	for (size_t i = 0; i < list->n; i++)
		json_array_append_new(array, json_string(list->items[i]));
	return array;
}

static void list_from_json(const json_t *array, struct strlist *list)
{
	size_t i;
	json_t *item;
	json_array_foreach(array, i, item) if (json_is_string(item)) strlist_add(list, json_string_value(item));
}

int instance_save(const struct instance *in, struct error **err)
{
	char slot[2] = {slot_letter(in->slot), '\0'};
	cleanup_json json_t *crashes = json_array();
	for (size_t i = 0; i < CRASHES_KEPT && in->crashes_ms[i]; i++)
		json_array_append_new(crashes, json_integer(in->crashes_ms[i]));
	cleanup_json json_t *json =
		json_pack("{s:i, s:i, s:i, s:i, s:i, s:s, s:s, s:i, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:o, s:o, s:s*, s:b, s:s,"
			  " s:b, s:I, s:I, s:i, s:i, s:O}",
			  "id", (int)in->id, "replica", (int)in->replica, "starts", (int)in->starts, "quick_exits", (int)in->quick_exits,
			  "ended_starts", (int)in->ended_starts, "image", in->image, "slot", slot, "port", (int)in->port, "admitted", in->admitted,
			  "stopping", in->stopping, "retired", in->retired, "created_ms", (json_int_t)in->created_ms, "started_ms",
			  (json_int_t)in->started_ms, "next_start_ms", (json_int_t)in->next_start_ms, "wait_from_ms", (json_int_t)in->wait_from_ms,
			  "health_within_ms", (json_int_t)in->health_within_ms, "health_path", in->health_path, "version", in->version, "argv",
			  list_to_json(&in->argv), "env", list_to_json(&in->env), "dir", in->dir, "host_base", in->host_base, "message", in->message,
			  "restarting", in->restarting, "restart_after_ms", (json_int_t)in->restart_after_ms, "memory_bytes",
			  (json_int_t)in->memory_bytes, "cpu", (int)in->cpu, "up_start", (int)in->up_start, "crashes_ms", crashes);
	if (!json)
		return error_set(err, ERROR_INTERNAL, 0, "instance i%u: its record cannot be written as JSON", in->id);
	cleanup_free char *text = json_text_pretty(json);
	cleanup_free char *path = path_join(in->folder, "instance.json");
	return file_write_atomic(path, text, strlen(text), 0600, err);
}

static unsigned unsigned_of(const json_t *json, const char *key)
{
	int64_t value = json_int_or(json, key, 0);
	return value < 0 || value > 1000000000 ? 0 : (unsigned)value;
}

static void read_crashes(const json_t *array, struct instance *in)
{
	size_t i;
	json_t *item;
	json_array_foreach(array, i, item) if (i < CRASHES_KEPT && json_is_integer(item)) in->crashes_ms[i] = json_integer_value(item);
}

static int read_record(const char *folder, struct instance **ret, struct error **err)
{
	cleanup_free char *path = path_join(folder, "instance.json");
	cleanup_json json_t *json = NULL;
	const char *image;
	if (json_read(path, 1024 * 1024, &json, err) < 0 || json_need_string(json, "image", &image, err) < 0)
		return -1;
	struct instance *in = xcalloc(1, sizeof(*in));
	in->id = unsigned_of(json, "id");
	in->replica = unsigned_of(json, "replica");
	in->starts = unsigned_of(json, "starts");
	in->quick_exits = unsigned_of(json, "quick_exits");
	in->ended_starts = unsigned_of(json, "ended_starts");
	in->slot = slot_from_letter(json_string_or(json, "slot", "-")[0]);
	in->port = (uint16_t)unsigned_of(json, "port");
	in->admitted = json_bool_or(json, "admitted", false);
	in->stopping = json_bool_or(json, "stopping", false);
	in->retired = json_bool_or(json, "retired", false);
	in->created_ms = json_int_or(json, "created_ms", 0);
	in->started_ms = json_int_or(json, "started_ms", 0);
	in->next_start_ms = json_int_or(json, "next_start_ms", 0);
	in->wait_from_ms = json_int_or(json, "wait_from_ms", 0);
	in->health_within_ms = (uint64_t)json_int_or(json, "health_within_ms", 30000);
	in->health_path = xstrdup(json_string_or(json, "health_path", "/"));
	in->version = xstrdup(json_string_or(json, "version", ""));
	in->dir = xstrdup(json_string_or(json, "dir", NULL));
	in->host_base = json_bool_or(json, "host_base", false);
	in->restarting = json_bool_or(json, "restarting", false);
	in->restart_after_ms = (uint64_t)json_int_or(json, "restart_after_ms", 0);
	in->memory_bytes = (uint64_t)json_int_or(json, "memory_bytes", 0);
	in->cpu = unsigned_of(json, "cpu");
	in->limits_known = json_object_get(json, "cpu") != NULL;
	in->up_start = unsigned_of(json, "up_start");
	read_crashes(json_object_get(json, "crashes_ms"), in);
	list_from_json(json_object_get(json, "argv"), &in->argv);
	list_from_json(json_object_get(json, "env"), &in->env);
	snprintf(in->image, sizeof(in->image), "%s", image);
	snprintf(in->message, sizeof(in->message), "%s", json_string_or(json, "message", ""));
	in->folder = xstrdup(folder);
	if (!in->id || in->slot == SLOT_NONE || !in->port || !in->argv.n || !digest_is_valid(in->image)) {
		instance_free(in);
		return error_set(err, ERROR_INVALID, 0, "%s is no instance's record", path);
	}
	*ret = in;
	return 0;
}

static void keep(struct instances *instances, struct instance *instance)
{
	instances->items = xgrow(instances->items, &instances->capacity, instances->n + 1, sizeof(*instances->items));
	size_t at = instances->n++;
	for (; at > 0 && instances->items[at - 1]->id > instance->id; at--)
		instances->items[at] = instances->items[at - 1];
	instances->items[at] = instance;
}

int instances_open(const char *state_dir, struct instances *ret, struct error **err)
{
	cleanup_free char *all = path_join(state_dir, "instances");
	if (dir_make(all, 0711, err) < 0)
		return -1;
	cleanup_dir DIR *entries = opendir(all);
	if (!entries)
		return error_set(err, ERROR_IO, errno, "cannot read %s", all);
	struct instances instances = {.state_dir = xstrdup(state_dir)};
	for (struct dirent *entry; (entry = readdir(entries));) {
		if (entry->d_name[0] == '.' || instances.n == MAX_INSTANCES)
			continue;
		cleanup_free char *folder = path_join(all, entry->d_name);
		struct instance *instance = NULL;
		cleanup_error struct error *bad = NULL;
		if (read_record(folder, &instance, &bad) < 0) {
			/* Nothing is started before its record is on disk, so an unreadable one was never whole. */
			log_write(LOG_WARNING, "process", "%s is dropped: %s", folder, error_message(bad));
			if (tree_remove(folder, err) < 0) {
				instances_done(&instances);
				return -1;
			}
			continue;
		}
		keep(&instances, instance);
	}
	*ret = instances;
	return 0;
}

int instances_add(struct instances *instances, struct instance *instance, struct error **err)
{
	instance->folder = xasprintf("%s/instances/%06u", instances->state_dir, instance->id);
	if (dir_make(instance->folder, 0711, err) < 0 || instance_save(instance, err) < 0) {
		instance_free(instance);
		return -1;
	}
	keep(instances, instance);
	return 0;
}

int instances_remove(struct instances *instances, unsigned id, struct error **err)
{
	for (size_t i = 0; i < instances->n; i++) {
		struct instance *instance = instances->items[i];
		if (instance->id != id)
			continue;
		instance_log_keep(instances->state_dir, instance);
		if (tree_remove(instance->folder, err) < 0)
			return -1;
		instance_free(instance);
		memmove(&instances->items[i], &instances->items[i + 1], (instances->n - i - 1) * sizeof(instances->items[0]));
		instances->n--;
		return 0;
	}
	return 0;
}

uint16_t instances_free_port(const struct instances *instances, uint16_t first, uint16_t last)
{
	for (unsigned port = first; port <= last; port++) {
		bool taken = false;
		for (size_t i = 0; i < instances->n; i++)
			taken = taken || instances->items[i]->port == port;
		if (!taken && loopback_port_is_free((uint16_t)port))
			return (uint16_t)port;
	}
	return 0;
}
