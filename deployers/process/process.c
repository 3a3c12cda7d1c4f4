/* The target kind `process`: copies as local processes behind a HAProxy of ours (docs/targets/process.md). */
#include "deployers/process/process.h"

#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "deployers/process/process_priv.h"

#include <assert.h>
#include <string.h>

struct process *process_of(struct target *target)
{
	struct process *process = (struct process *)(void *)target;
	assert(process->magic == PROCESS_MAGIC);
	return process;
}

static void on_router_exit(void *arg)
{
	struct process *process = arg;
	assert(process->magic == PROCESS_MAGIC);
	log_write(LOG_WARNING, process->subject, "HAProxy has ended; it is started again");
	pass_soon(process, 0);
}

static void process_close(struct target *target)
{
	struct process *process = process_of(target);
	loop_timer_stop(process->pass_timer);
	observers_drop(process);
	router_close(process->router);
	replies_drop(process);
	waiters_drop(process);
	image_job_drop(process->image_job);
	image_removal_drop(process->image_removal);
	path_probe_drop(process->path_probe);
	instances_done(&process->instances);
	desired_done(&process->desired);
	process_settings_done(&process->settings);
	free(process->name);
	free(process->state_dir);
	free(process->layout);
	free(process->self);
	free(process->subject);
	process->magic = 0;
	free(process);
}

static int open_router(struct process *process, struct error **err)
{
	const struct process_settings *s = &process->settings;
	struct router_settings settings = {.target = process->name,
					   .frontend = s->frontend,
					   .preview = s->preview,
					   .max_connections = s->max_connections,
					   .threads = s->threads,
					   .request_timeout_ms = s->request_timeout_ms,
					   .drain_ms = s->drain_ms};
	struct router_callbacks callbacks = {.on_line = tally_line, .on_broken = tally_broken, .on_exit = on_router_exit, .arg = process};
	cleanup_free char *dir = path_join(process->state_dir, "haproxy");
	return router_open(process->loop, dir, &settings, s->haproxy, &callbacks, &process->router, err);
}

/* A copy that was up before us gets its time anew: nobody was there to see it up. */
static void forgive_our_absence(struct process *process)
{
	int64_t now_ms = clock_wall_ms();
	for (size_t i = 0; i < process->instances.n; i++)
		if (process->instances.items[i]->admitted)
			process->instances.items[i]->wait_from_ms = now_ms;
}

/* We may have been killed between writing that a copy shall end and telling it. */
static int tell_again(const struct process *process, struct error **err)
{
	for (size_t i = 0; i < process->instances.n; i++) {
		const struct instance *in = process->instances.items[i];
		cleanup_free char *attempt_dir = in->stopping || in->restarting ? instance_attempt_dir(in) : NULL;
		enum attempt_state state;
		if (!attempt_dir)
			continue;
		if (attempt_state(attempt_dir, &state, err) < 0 || (state == ATTEMPT_RUNNING && attempt_cancel(attempt_dir, err) < 0))
			return error_context(err, "copy i%u", in->id);
	}
	return 0;
}

static int open_state(struct process *process, struct error **err)
{
	if (desired_load(process, err) < 0 || instances_open(process->state_dir, &process->instances, err) < 0)
		return -1;
	for (size_t i = 0; i < process->instances.n; i++)
		if (process->instances.items[i]->id > process->last_instance)
			process->last_instance = process->instances.items[i]->id;
	forgive_our_absence(process);
	if (tell_again(process, err) < 0)
		return -1;
	tally_open(process);
	return open_router(process, err);
}

static int process_open(const struct target_config *config, struct loop *loop, struct target **ret, struct error **err)
{
	struct process *process = xcalloc(1, sizeof(*process));
	process->base.ops = &process_target_ops;
	process->magic = PROCESS_MAGIC;
	process->loop = loop;
	process->name = xstrdup(config->name);
	process->state_dir = xstrdup(config->state_dir);
	process->layout = xstrdup(config->layout);
	process->self = xstrdup(config->self);
	process->subject = xasprintf("target/%s", config->name);
	process->last_reply = &process->replies;
	process->split_changed_ms = clock_mono_ms();
	if (process_settings_read(config->body, &process->settings, err) < 0 || open_state(process, err) < 0) {
		process_close(&process->base);
		return error_context(err, "target %s", config->name);
	}
	images_forget_unused(process);
	pass_soon(process, 0);
	*ret = &process->base;
	return 0;
}

static void take_desired(struct process *process, struct kept_desired *kept)
{
	repair_is_over(process); /* what is left of it is the way to what is wanted now */
	desired_done(&process->desired);
	process->desired = *kept;
	process->has_desired = true;
	process->applied = 0;
	process->failures = process->repeats = 0;
	process->trouble[0] = process->bad_image[0] = '\0';
}

static void process_apply(struct target *target, const struct desired *desired, target_done_fn done, void *arg)
{
	struct process *process = process_of(target);
	struct kept_desired kept;
	struct error *err = NULL;
	if (desired_copy(desired, &kept, &err) < 0) {
		error_context(&err, "target %s", process->name);
		reply_done(process, done, arg, desired->generation, err);
		return;
	}
	if (!process->settings.preview)
		kept.plan.preview = 0;
	desired_inherit(&process->desired, &kept);
	if (process->has_desired && desired_equal(&kept, &process->desired)) {
		desired_done(&kept);
	} else {
		waiters_tell(process, process->desired.plan.generation, ERROR_CONFLICT, "superseded by a newer desired state");
		take_desired(process, &kept);
		if (desired_save(process, &err) < 0) {
			error_context(&err, "target %s", process->name);
			reply_done(process, done, arg, desired->generation, err);
			return;
		}
	}
	waiters_add(process, done, arg);
	pass_soon(process, 0);
}

static void process_observe(struct target *target, target_actual_fn done, void *arg)
{
	observe_start(process_of(target), done, arg);
}

static void process_counts(struct target *target, target_counts_fn done, void *arg)
{
	reply_counts(process_of(target), done, arg);
}

const struct target_ops process_target_ops = {
	.name = "process",
	.doc = "copies as local processes in a sandbox, behind a HAProxy that Penstock runs",
	.config = &process_schema,
	.open = process_open,
	.apply = process_apply,
	.observe = process_observe,
	.counts = process_counts,
	.close = process_close,
};
