/* Making a copy (its record on disk comes first) and starting it in its sandbox. */
#include "artifacts/capture.h"
#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "deployers/haproxy/frontend.h"
#include "deployers/process/instance_log.h"
#include "deployers/process/process_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static inline void image_config_done_scoped(struct image_config *config)
{
	image_config_done(config);
}

static void copy_list(char *const *from, struct strlist *to)
{
	for (size_t i = 0; from && from[i]; i++)
		strlist_add(to, from[i]);
}

/* A health path belongs to a slot: all copies of an image are asked the same question. */
static const char *health_path_for(const struct process *process, const char *image)
{
	for (size_t i = 0; i < process->instances.n; i++)
		if (strcmp(process->instances.items[i]->image, image) == 0)
			return process->instances.items[i]->health_path;
	return desired_settings(process, image)->health_path;
}

int instance_create(struct process *process, const struct plan_action *action, struct error **err)
{
	__attribute__((cleanup(image_config_done_scoped))) struct image_config config = {0};
	if (process->instances.n >= MAX_INSTANCES)
		return error_set(err, ERROR_TOO_LARGE, 0, "a target may have at most %d copies", MAX_INSTANCES);
	if (image_config_read(process->layout, action->image, &config, err) < 0)
		return error_context(err, "image %.19s", action->image);
	if (!config.entrypoint || !config.entrypoint[0])
		return error_set(err, ERROR_INVALID, 0, "image %.19s has no entrypoint: nothing says what to start (`entrypoint` of the build stage)",
				 action->image);
	uint16_t port = instances_free_port(&process->instances, process->settings.port_first, process->settings.port_last);
	if (!port)
		return error_set(err, ERROR_UNAVAILABLE, 0, "no free port in %u-%u: widen the target's `ports`, or stop what uses them",
				 process->settings.port_first, process->settings.port_last);
	const struct kept_settings *settings = desired_settings(process, action->image);
	if (!settings)
		return error_set(err, ERROR_INTERNAL, 0, "image %.19s is not desired", action->image);
	struct instance *in = xcalloc(1, sizeof(*in));
	in->id = process->last_instance + 1;
	in->replica = action->replica;
	in->slot = action->slot;
	in->port = port;
	in->created_ms = in->wait_from_ms = clock_wall_ms();
	in->health_within_ms = settings->health_within_ms;
	in->restart_after_ms = settings->restart_after_ms;
	in->health_path = xstrdup(health_path_for(process, action->image));
	in->host_base = config.host_base;
	in->dir = xstrdup(config.dir);
	snprintf(in->image, sizeof(in->image), "%s", action->image);
	copy_list(config.entrypoint, &in->argv);
	copy_list(config.env, &in->env);
	const struct kept_desired *desired = &process->desired;
	for (unsigned i = 0; i < desired->plan.n_arms; i++) {
		if (strcmp(desired->plan.arms[i].image, action->image) != 0)
			continue;
		in->version = xstrdup(desired->arms[i].version ? desired->arms[i].version : "");
		strlist_addf(&in->env, "PENSTOCK_RELEASE=%s", in->version);
		strlist_addf(&in->env, "PENSTOCK_COMMIT=%s", desired->arms[i].commit ? desired->arms[i].commit : "");
	}
	if (!in->version)
		in->version = xstrdup("");
	process->last_instance = in->id;
	if (desired_save(process, err) < 0) {
		instance_free(in);
		return -1;
	}
	return instances_add(&process->instances, in, err);
}

/* ---- the sandbox ---- */

struct bind_list {
	struct sandbox_bind *items;
	size_t n, capacity;
	struct strlist paths; /* own the strings */
};

static void bind_list_done(struct bind_list *list)
{
	free(list->items);
	strlist_done(&list->paths);
}

static void bind_add(struct bind_list *list, char *from, char *to)
{
	strlist_take(&list->paths, from);
	strlist_take(&list->paths, to);
	list->items = xgrow(list->items, &list->capacity, list->n + 1, sizeof(*list->items));
	list->items[list->n++] = (struct sandbox_bind){.from = from, .to = to};
}

static bool is_the_hosts(const char *name)
{
	static const char *const names[] = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "proc", "dev", "sys", "tmp"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* An image with `base: host` brings folders of its own, like /app, which stand beside the host's /usr. */
static int bind_top_level(const char *rootfs, struct bind_list *list, struct error **err)
{
	cleanup_dir DIR *entries = opendir(rootfs);
	if (!entries)
		return error_set(err, ERROR_IO, errno, "cannot read %s", rootfs);
	for (struct dirent *entry; (entry = readdir(entries));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (is_the_hosts(entry->d_name))
			return error_set(
				err, ERROR_INVALID, 0,
				"the image has files under /%s, which `base: host` takes from the host: put them elsewhere (/app), or build with "
				"`base: none`",
				entry->d_name);
		bind_add(list, path_join(rootfs, entry->d_name), xasprintf("/%s", entry->d_name));
	}
	return 0;
}

static bool has_variable(const struct strlist *env, const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < env->n; i++)
		if (strncmp(env->items[i], name, len) == 0 && env->items[i][len] == '=')
			return true;
	return false;
}

static bool is_ours(const char *variable)
{
	static const char *const names[] = {"PORT=", "PENSTOCK_TARGET=", "PENSTOCK_IMAGE=", "PENSTOCK_REPLICA=", "PENSTOCK_INSTANCE="};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static void environment(const struct process *process, const struct instance *in, struct strlist *env)
{
	for (size_t i = 0; i < in->env.n; i++)
		if (!is_ours(in->env.items[i]))
			strlist_add(env, in->env.items[i]);
	if (!has_variable(&in->env, "PATH"))
		strlist_add(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (!has_variable(&in->env, "LANG"))
		strlist_add(env, "LANG=C.UTF-8");
	if (!has_variable(&in->env, "HOME"))
		strlist_add(env, "HOME=/tmp");
	strlist_addf(env, "PORT=%u", in->port);
	strlist_addf(env, "PENSTOCK_TARGET=%s", process->name);
	strlist_addf(env, "PENSTOCK_IMAGE=%s", in->image);
	strlist_addf(env, "PENSTOCK_REPLICA=%u", in->replica);
	strlist_addf(env, "PENSTOCK_INSTANCE=i%u", in->id);
}

static int start_attempt(const struct process *process, const struct instance *in, const char *attempt_dir, struct error **err)
{
	cleanup_free char *rootfs = image_dir(process, in->image);
	cleanup_strlist struct strlist env = {0};
	struct bind_list binds = {0};
	if (in->host_base && bind_top_level(rootfs, &binds, err) < 0) {
		bind_list_done(&binds);
		return -1;
	}
	environment(process, in, &env);
	struct attempt_command command = {.name = "serve", .argv = strlist_items(&in->argv), .env = strlist_items(&env)};
	command.sandbox = (struct sandbox){.enabled = true,
					   .rootfs = in->host_base ? NULL : rootfs,
					   .binds = binds.items,
					   .n_binds = binds.n,
					   .dir = in->dir ? in->dir : "/",
					   .network = true};
	struct attempt_spec spec = {.dir = attempt_dir,
				    .commands = &command,
				    .n_commands = 1,
				    .grace_ms = process->settings.grace_ms,
				    .limits = {.memory_bytes = in->memory_bytes, .cpu = in->cpu, .log_max_bytes = 16u << 20}};
	int status = attempt_start(&spec, err);
	bind_list_done(&binds);
	return status;
}

static void forget_old_starts(const struct instance *in)
{
	if (in->starts < 4)
		return;
	cleanup_free char *dir = xasprintf("%s/starts/%06u", in->folder, in->starts - 3);
	cleanup_error struct error *err = NULL;
	if (tree_remove(dir, &err) < 0)
		log_write(LOG_WARNING, "process", "%s", error_message(err));
}

/* What is wanted now; a copy that has crashed with other limits has not crashed with these. */
static void take_limits(const struct process *process, struct instance *in)
{
	const struct kept_settings *settings = desired_settings(process, in->image);
	if (!settings)
		return;
	uint64_t memory_bytes = desired_memory(process, settings);
	if (in->limits_known && (in->memory_bytes != memory_bytes || in->cpu != settings->cpu)) {
		instance_forget_crashes(in);
		in->wait_from_ms = clock_wall_ms();
	}
	in->memory_bytes = memory_bytes;
	in->cpu = settings->cpu;
	in->limits_known = true;
}

int instance_start(struct process *process, struct instance *in, struct error **err)
{
	if (!loopback_port_is_free(in->port)) {
		log_write(LOG_WARNING, process->subject, "copy i%u has lost its port %u to another program; another copy takes its place", in->id,
			  in->port);
		in->retired = true;
		return instance_save(in, err);
	}
	/* A folder that was made but never started (we were killed in between) is used again. */
	enum attempt_state state = ATTEMPT_FINISHED;
	cleanup_free char *latest = instance_attempt_dir(in);
	if (latest && attempt_state(latest, &state, err) < 0)
		return -1;
	if (state != ATTEMPT_NEW)
		in->starts++;
	take_limits(process, in);
	in->started_ms = clock_wall_ms();
	if (in->starts == 1)
		in->wait_from_ms = in->started_ms; /* unpacking the image is not the copy's fault */
	cleanup_free char *attempt_dir = instance_attempt_dir(in);
	if (instance_save(in, err) < 0 || dir_make(attempt_dir, 0700, err) < 0 || start_attempt(process, in, attempt_dir, err) < 0)
		return -1;
	log_write(LOG_INFO, process->subject, "copy i%u of %s started on port %u (slot %c), its log: %s/log", in->id,
		  in->version[0] ? in->version : in->image, in->port, slot_letter(in->slot), attempt_dir);
	instance_log_show(process->state_dir, in);
	forget_old_starts(in);
	return 0;
}
