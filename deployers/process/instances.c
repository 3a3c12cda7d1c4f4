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
	cleanup_json json_t *json =
		json_pack("{s:i, s:i, s:i, s:i, s:i, s:s, s:s, s:i, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:o, s:o, s:s*, s:b, s:s}",
			  "id", (int)in->id, "replica", (int)in->replica, "starts", (int)in->starts, "quick_exits", (int)in->quick_exits,
			  "ended_starts", (int)in->ended_starts, "image", in->image, "slot", slot, "port", (int)in->port, "admitted", in->admitted,
			  "stopping", in->stopping, "retired", in->retired, "created_ms", (json_int_t)in->created_ms, "started_ms",
			  (json_int_t)in->started_ms, "next_start_ms", (json_int_t)in->next_start_ms, "wait_from_ms", (json_int_t)in->wait_from_ms,
			  "health_within_ms", (json_int_t)in->health_within_ms, "health_path", in->health_path, "version", in->version, "argv",
			  list_to_json(&in->argv), "env", list_to_json(&in->env), "dir", in->dir, "host_base", in->host_base, "message", in->message);
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

/* ---- looking ---- */

uint64_t instance_backoff_ms(unsigned quick_exits)
{
	uint64_t pause = BACKOFF_FIRST_MS;
	if (!quick_exits)
		return 0;
	for (unsigned i = 1; i < quick_exits && pause < BACKOFF_MAX_MS; i++)
		pause *= 2;
	return pause < BACKOFF_MAX_MS ? pause : BACKOFF_MAX_MS;
}

/* Cut to size between characters: it goes into JSON. */
static void describe(char *ret, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void describe(char *ret, size_t size, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvasprintf(fmt, args);
	va_end(args);
	size_t n = strlen(text);
	if (n >= size)
		for (n = size - 1; n && ((unsigned char)text[n] & 0xc0) == 0x80;)
			n--;
	memcpy(ret, text, n);
	ret[n] = '\0';
}

static void note_end(struct instance *in, const char *attempt_dir, enum attempt_state state, int64_t now_ms)
{
	struct exit_record record = {.ended_ms = now_ms};
	cleanup_error struct error *unreadable = NULL;
	char last[100];
	instance_log_last(attempt_dir, last, sizeof(last));
	if (state == ATTEMPT_FINISHED && attempt_exit_record(attempt_dir, &record, &unreadable) == 0)
		describe(in->message, sizeof(in->message), "%s%s%s", record.message[0] ? record.message : "ended", last[0] ? "; last line: " : "",
			 last);
	else
		describe(in->message, sizeof(in->message), "was lost (killed with its leader, or the machine went down)");
	int64_t lived = record.ended_ms - in->started_ms;
	in->quick_exits = lived < QUICK_EXIT_MS ? in->quick_exits + 1 : 1;
	in->next_start_ms = now_ms + (int64_t)instance_backoff_ms(in->quick_exits);
	in->ended_starts = in->starts;
}

static enum run_state run_state_of(const struct instance *in, enum attempt_state state)
{
	switch (state) {
	case ATTEMPT_NEW:
		return in->stopping ? RUN_STOPPED : RUN_NEW;
	case ATTEMPT_RUNNING:
		return in->stopping ? RUN_STOPPING : RUN_RUNNING;
	case ATTEMPT_FINISHED:
	case ATTEMPT_LOST:
		break;
	}
	return in->stopping ? RUN_STOPPED : RUN_DEAD;
}

/* A copy that has been up for a while has earned a clean slate. */
static bool note_up(struct instance *in, int64_t now_ms)
{
	in->wait_from_ms = now_ms;
	if (!in->quick_exits || now_ms - in->started_ms < QUICK_EXIT_MS)
		return false;
	in->quick_exits = 0;
	return true;
}

int instance_look(struct instance *in, bool up, int64_t now_ms, uint64_t drain_ms, struct instance_view *ret, struct error **err)
{
	enum attempt_state state = ATTEMPT_NEW;
	cleanup_free char *attempt_dir = instance_attempt_dir(in);
	if (attempt_dir && attempt_state(attempt_dir, &state, err) < 0)
		return -1;
	bool changed = false;
	if ((state == ATTEMPT_FINISHED || state == ATTEMPT_LOST) && in->ended_starts != in->starts) {
		note_end(in, attempt_dir, state, now_ms);
		changed = true;
	}
	up = up && state == ATTEMPT_RUNNING;
	if (up)
		changed = note_up(in, now_ms) || changed;
	if (changed && instance_save(in, err) < 0)
		return -1;
	*ret = (struct instance_view){.id = in->id,
				      .slot = in->slot,
				      .replica = in->replica,
				      .port = in->port,
				      .retired = in->retired,
				      .admitted = in->admitted,
				      .run = run_state_of(in, state)};
	bool overdue = !up && now_ms >= in->wait_from_ms + (int64_t)in->health_within_ms;
	bool looping = !up && in->quick_exits >= QUICK_EXITS_MAX;
	ret->failed = overdue || looping;
	ret->waiting = !up && !ret->failed;
	ret->start_due = now_ms >= in->next_start_ms;
	ret->drain_overdue = in->drain_since_ms && now_ms >= in->drain_since_ms + (int64_t)drain_ms;
	snprintf(ret->image, sizeof(ret->image), "%s", in->image);
	if (looping)
		describe(ret->message, sizeof(ret->message), "ended %u times right after its start: %s", in->quick_exits, in->message);
	else if (overdue)
		describe(ret->message, sizeof(ret->message), "not healthy (GET %s) within %llu s%s%s", in->health_path,
			 (unsigned long long)in->health_within_ms / 1000, in->message[0] ? "; " : "", in->message);
	else
		describe(ret->message, sizeof(ret->message), "%s", in->message);
	return 0;
}
