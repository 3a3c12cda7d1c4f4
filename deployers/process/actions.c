/* One action of the plan each. What changes the router is written to disk before it is told to the running process. */
#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "base/log.h"
#include "deployers/process/process_priv.h"

#include <stdio.h>
#include <string.h>

static struct error *copy_error(const struct error *err)
{
	struct error *copy = NULL;
	if (err)
		error_set(&copy, error_code_of(err), 0, "%s", error_message(err));
	return copy;
}

static void on_router_done(void *arg, const struct error *err)
{
	pass_finished(arg, copy_error(err));
}

/* A server with connections cannot be deleted yet: that is no failure, it is tried again. */
static void on_deleted(void *arg, const struct error *err)
{
	struct process *process = arg;
	if (err && strstr(error_message(err), "connections")) {
		pass_finished(process, NULL);
		return;
	}
	pass_finished(process, copy_error(err));
}

/* What the last HAProxy was seen with goes on; where nobody remembers, nobody gets traffic until the plan has seen who is up. */
static int need_split_file(struct process *process, struct error **err)
{
	static const struct split nothing = {.candidate = SLOT_NONE, .preview = SLOT_NONE};
	if (router_has_split_file(process->router))
		return 0;
	return router_write_split(process->router, process->seen_has_split ? &process->seen_split : &nothing, err);
}

static int start_router(struct process *process, const struct plan_observed *observed, struct error **err)
{
	if (disk_write_config(process, observed, err) < 0 || need_split_file(process, err) < 0)
		return -1;
	router_start(process->router, observed->mark, on_router_done, process);
	return 0;
}

static int reload_router(struct process *process, const struct plan_observed *observed, struct error **err)
{
	if (disk_write_config(process, observed, err) < 0 || need_split_file(process, err) < 0)
		return -1;
	router_reload(process->router, observed->mark, on_router_done, process);
	return 0;
}

static void command(struct process *process, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void command(struct process *process, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvasprintf(fmt, args);
	va_end(args);
	router_command(process->router, text, process->action.kind == PLAN_DELETE_SERVER ? on_deleted : on_router_done, process);
}

/* From now on the file that a reload reads has, or has not, this copy. */
static int set_admitted(struct process *process, const struct plan_observed *observed, unsigned id, bool admitted, struct error **err)
{
	struct instance *in = instances_find(&process->instances, id);
	if (!in)
		return 0; /* a stranger's server was never in it */
	in->admitted = admitted;
	return instance_save(in, err) < 0 ? -1 : disk_write_config(process, observed, err);
}

static int set_split(struct process *process, const struct plan_observed *observed, struct error **err)
{
	const struct split *split = &process->action.split;
	if (router_write_split(process->router, split, err) < 0)
		return -1;
	char text[SPLIT_TEXT_SIZE];
	split_format(split, text);
	log_write(LOG_INFO, process->subject, "split %s", text);
	router_set_split(process->router, split, observed->router.split_entries == 1 && observed->router.has_split, on_router_done, process);
	return 0;
}

static int stop_instance(struct process *process, struct error **err)
{
	struct instance *in = instances_find(&process->instances, process->action.id);
	cleanup_free char *attempt_dir = in ? instance_attempt_dir(in) : NULL;
	if (!attempt_dir)
		return 0;
	in->stopping = true;
	if (instance_save(in, err) < 0)
		return -1;
	log_write(LOG_INFO, process->subject, "copy i%u on port %u is stopped", in->id, in->port);
	return attempt_cancel(attempt_dir, err);
}

static int write_disk(struct process *process, const struct plan_observed *observed, struct error **err)
{
	if (disk_write_config(process, observed, err) < 0)
		return -1;
	return observed->router.has_split ? router_write_split(process->router, &observed->router.split, err) : 0;
}

/* Written first: the end that comes then is one that we asked for. */
static int restart_instance(struct process *process, struct error **err)
{
	struct instance *in = instances_find(&process->instances, process->action.id);
	cleanup_free char *attempt_dir = in ? instance_attempt_dir(in) : NULL;
	if (!attempt_dir)
		return 0;
	in->restarting = true;
	if (instance_save(in, err) < 0)
		return -1;
	log_write(LOG_WARNING, process->subject, "copy i%u on port %u runs but has not answered its health check (GET %s) for %g s: it is restarted",
		  in->id, in->port, in->health_path, (double)in->restart_after_ms / 1000);
	return attempt_cancel(attempt_dir, err);
}

static int create(struct process *process, struct error **err)
{
	if (instance_create(process, &process->action, err) < 0)
		return -1;
	tally_slots(process);
	return 0;
}

static int start_instance(struct process *process, struct error **err)
{
	struct instance *in = instances_find(&process->instances, process->action.id);
	return in ? instance_start(process, in, err) : 0;
}

static int remove_instance(struct process *process, struct error **err)
{
	if (instances_remove(&process->instances, process->action.id, err) < 0)
		return -1;
	images_forget_unused(process);
	return 0;
}

/* 1: goes on, and ends in pass_finished() later; 0: done. */
static int act(struct process *process, const struct plan_observed *observed, struct error **err)
{
	const struct plan_action *action = &process->action;
	const char *name = process->name;
	char slot = slot_letter(action->slot);
	switch (action->kind) {
	case PLAN_START_ROUTER:
		return start_router(process, observed, err) < 0 ? -1 : 1;
	case PLAN_RELOAD_ROUTER:
		return reload_router(process, observed, err) < 0 ? -1 : 1;
	case PLAN_CREATE:
		if (image_is_unpacked(process, action->image))
			return create(process, err);
		image_unpack_start(process, action->image);
		return 1;
	case PLAN_START:
		return start_instance(process, err);
	case PLAN_ADD_SERVER: {
		const struct instance *in = instances_find(&process->instances, action->id);
		if (!in)
			return 0;
		/* In drain mode it is checked but gets no requests; leaving maintenance any other way it would count as up, unchecked. */
		command(process,
			"add server %s-%c/%s 127.0.0.1:%u check inter %d rise %d fall %d;enable health %s-%c/%s;set server %s-%c/%s state drain",
			name, slot, action->server, in->port, CHECK_INTERVAL_MS, CHECK_RISE, CHECK_FALL, name, slot, action->server, name, slot,
			action->server);
		return 1;
	}
	case PLAN_ADMIT:
		if (set_admitted(process, observed, action->id, true, err) < 0)
			return -1;
		command(process, "set server %s-%c/%s state ready", name, slot, action->server);
		return 1;
	case PLAN_SET_SPLIT:
		return set_split(process, observed, err) < 0 ? -1 : 1;
	case PLAN_DRAIN:
		if (set_admitted(process, observed, action->id, false, err) < 0)
			return -1;
		command(process, "set server %s-%c/%s state drain", name, slot, action->server);
		return 1;
	case PLAN_CUT:
		log_write(LOG_WARNING, process->subject, "requests still with %s after `drain` are cut off", action->server);
		command(process, "shutdown sessions server %s-%c/%s", name, slot, action->server);
		return 1;
	case PLAN_DISABLE:
		command(process, "set server %s-%c/%s state maint", name, slot, action->server);
		return 1;
	case PLAN_DELETE_SERVER:
		command(process, "del server %s-%c/%s", name, slot, action->server);
		return 1;
	case PLAN_WRITE_DISK:
		return write_disk(process, observed, err);
	case PLAN_ADOPT_PATH:
		health_path_adopt(process, observed);
		return 1;
	case PLAN_RESTART:
		return restart_instance(process, err);
	case PLAN_STOP:
		return stop_instance(process, err);
	case PLAN_REMOVE:
		return remove_instance(process, err);
	case PLAN_DONE:
	case PLAN_WAIT:
	case PLAN_FAILED:
		return 0;
	}
	return 0;
}

void action_do(struct process *process, const struct plan_observed *observed)
{
	struct error *err = NULL;
	int status = act(process, observed, &err);
	if (status <= 0)
		pass_finished(process, err);
}
