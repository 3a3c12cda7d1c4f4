#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "deployers/process/process_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { REPEATS_MAX = 8, TELL_AFTER_FAILURES = 4, FAILURE_PAUSE_MAX_MS = 5000 };

/* ---- looking ---- */

/* Between the map's change and its requests having reached their servers. */
static bool split_settled(struct process *process, const struct router_state *state)
{
	if (state->has_split != process->seen_has_split || !split_equal(&state->split, &process->seen_split)) {
		process->seen_has_split = state->has_split;
		process->seen_split = state->split;
		process->split_changed_ms = clock_mono_ms();
	}
	return clock_mono_ms() - process->split_changed_ms >= SETTLED_AFTER_MS;
}

static enum instance_health health_of(const struct router_state *state, const struct instance *in)
{
	const struct server_state *server = router_state_server(state, in->id);
	if (!server || server->slot != in->slot || server->port != in->port || server->admin == SERVER_MAINT)
		return HEALTH_UNKNOWN;
	if (!server->up)
		return HEALTH_DEAF;
	return !server->checked ? HEALTH_UNKNOWN : server->admin == SERVER_READY ? HEALTH_UP : HEALTH_ANSWERS;
}

static void note_draining(const struct router_state *state, struct instance *in, int64_t now_ms)
{
	const struct server_state *server = router_state_server(state, in->id);
	if (!server || server->admin == SERVER_READY)
		in->drain_since_ms = 0;
	else if (!in->drain_since_ms)
		in->drain_since_ms = now_ms;
}

/* How it is watched changes at once, how it is run with its next start. */
static int compare_settings(const struct process *process, struct instance *in, struct error **err)
{
	const struct kept_settings *settings = desired_settings(process, in->image);
	in->outdated = in->other_path = false;
	if (!settings)
		return 0;
	in->outdated = in->limits_known && (in->memory_bytes != desired_memory(process, settings) || in->cpu != settings->cpu);
	in->other_path = strcmp(in->health_path, settings->health_path) != 0;
	if (in->health_within_ms == settings->health_within_ms && in->restart_after_ms == settings->restart_after_ms)
		return 0;
	in->health_within_ms = settings->health_within_ms;
	in->restart_after_ms = settings->restart_after_ms;
	return instance_save(in, err);
}

int pass_look(struct process *process, bool runs, const struct router_state *state, struct plan_observed *ret, struct instance_view **ret_views,
	      struct error **err)
{
	const char *paths[SLOTS] = {NULL, NULL};
	int64_t now_ms = clock_wall_ms();
	struct instance_view *views = xcalloc(process->instances.n + 1, sizeof(*views));
	for (size_t i = 0; i < process->instances.n; i++) {
		struct instance *in = process->instances.items[i];
		paths[in->slot] = in->health_path;
		note_draining(state, in, now_ms);
		if (compare_settings(process, in, err) < 0 ||
		    instance_look(in, health_of(state, in), now_ms, process->settings.drain_ms, &views[i], err) < 0) {
			free(views);
			return error_context(err, "copy i%u", in->id);
		}
	}
	*ret = (struct plan_observed){
		.router_runs = runs || state->answers, .router = *state, .instances = views, .n_instances = process->instances.n};
	router_config_mark(router_settings_of(process->router), paths, ret->mark);
	ret->disk_is_wrong = disk_is_wrong(process, ret);
	*ret_views = views;
	return 0;
}

/* ---- ends of passes ---- */

static bool same_action(const struct plan_action *a, const struct plan_action *b)
{
	return a->kind == b->kind && a->id == b->id && strcmp(a->server, b->server) == 0 && strcmp(a->image, b->image) == 0 &&
	       a->replica == b->replica && split_equal(&a->split, &b->split);
}

static bool is_rest(enum plan_kind kind)
{
	return kind == PLAN_DONE || kind == PLAN_WAIT || kind == PLAN_FAILED;
}

/* Will the same be true in a moment? */
static bool is_lasting(enum error_code code)
{
	return code == ERROR_MISSING || code == ERROR_CONFLICT || code == ERROR_INVALID || code == ERROR_UNSUPPORTED || code == ERROR_DENIED ||
	       code == ERROR_NO_SPACE || code == ERROR_NOT_FOUND || code == ERROR_TOO_LARGE;
}

static uint64_t failure_pause_ms(unsigned failures)
{
	uint64_t pause = 100;
	for (unsigned i = 1; i < failures && pause < FAILURE_PAUSE_MAX_MS; i++)
		pause *= 2;
	return pause < FAILURE_PAUSE_MAX_MS ? pause : FAILURE_PAUSE_MAX_MS;
}

static void pass_failed(struct process *process, const struct error *err)
{
	process->failures++;
	bool tell = is_lasting(error_code_of(err)) || process->failures >= TELL_AFTER_FAILURES;
	if (strcmp(process->trouble, error_message(err)) != 0)
		log_write(tell ? LOG_ERROR : LOG_WARNING, process->subject, "%s: %s", plan_kind_name(process->action.kind), error_message(err));
	snprintf(process->trouble, sizeof(process->trouble), "%s", error_message(err));
	if (process->action.kind == PLAN_CREATE && tell) {
		snprintf(process->bad_image, sizeof(process->bad_image), "%s", process->action.image);
		snprintf(process->bad_image_why, sizeof(process->bad_image_why), "%s", error_message(err));
	}
	if (tell)
		waiters_tell(process, process->desired.plan.generation, error_code_of(err), error_message(err));
}

static void all_is_well(struct process *process)
{
	uint64_t generation = process->desired.plan.generation;
	cleanup_error struct error *err = NULL;
	if (process->applied != generation) {
		process->applied = generation;
		if (desired_save(process, &err) < 0)
			log_write(LOG_WARNING, process->subject, "%s", error_message(err));
	}
	repair_is_over(process);
	waiters_tell(process, generation, ERROR_INTERNAL, NULL);
}

static uint64_t rest(struct process *process)
{
	switch (process->action.kind) {
	case PLAN_DONE:
		all_is_well(process);
		return LOOK_AGAIN_MS;
	case PLAN_FAILED:
		waiters_tell(process, process->desired.plan.generation, ERROR_UNAVAILABLE, process->action.reason);
		return FAILED_AGAIN_MS;
	case PLAN_WAIT:
		return WAIT_MS;
	case PLAN_CREATE:
		process->bad_image[0] = '\0';
		return 0;
	case PLAN_DELETE_SERVER:
		return process->repeats ? WAIT_MS : 0;
	case PLAN_START_ROUTER:
	case PLAN_RELOAD_ROUTER:
	case PLAN_START:
	case PLAN_ADD_SERVER:
	case PLAN_ADMIT:
	case PLAN_SET_SPLIT:
	case PLAN_DRAIN:
	case PLAN_CUT:
	case PLAN_DISABLE:
	case PLAN_WRITE_DISK:
	case PLAN_ADOPT_PATH:
	case PLAN_RESTART:
	case PLAN_STOP:
	case PLAN_REMOVE:
		break;
	}
	return 0;
}

void pass_finished(struct process *process, struct error *err)
{
	uint64_t delay;
	assert(process->busy);
	process->busy = false;
	if (err) {
		pass_failed(process, err);
		error_free(err);
		delay = failure_pause_ms(process->failures);
	} else {
		process->failures = 0;
		process->trouble[0] = '\0';
		delay = rest(process);
	}
	if (process->again && !process->failures)
		delay = 0;
	process->again = false;
	pass_soon(process, delay);
}

/* ---- passes ---- */

static void note_repeat(struct process *process, const struct plan_action *next)
{
	process->repeats = !is_rest(next->kind) && same_action(&process->action, next) ? process->repeats + 1 : 0;
	process->action = *next;
}

static void on_observed(void *arg, bool runs, const struct router_state *state, const struct error *router_err)
{
	struct process *process = arg;
	struct plan_observed observed;
	struct instance_view *views = NULL;
	struct error *err = NULL;
	assert(process->magic == PROCESS_MAGIC);
	if (pass_look(process, runs, state, &observed, &views, &err) < 0) {
		process->action = (struct plan_action){.kind = PLAN_WAIT};
		pass_finished(process, err);
		return;
	}
	observed.split_settled = split_settled(process, state);
	struct plan_action action;
	process_plan(&observed, &process->desired.plan, &action);
	note_repeat(process, &action);
	if (process->repeats > REPEATS_MAX && action.kind != PLAN_DELETE_SERVER) {
		error_set(&err, ERROR_PROTOCOL, 0, "HAProxy accepts `%s%s%s` but does not show it afterwards", plan_kind_name(action.kind),
			  action.server[0] ? " " : "", action.server);
		pass_finished(process, err);
	} else if (action.kind == PLAN_WAIT && runs && !state->answers && router_err) {
		error_set(&err, ERROR_UNAVAILABLE, 0, "%s", error_message(router_err));
		pass_finished(process, err);
	} else {
		repair_note(process, &observed);
		action_do(process, &observed);
	}
	free(views);
}

static void on_pass_timer(void *arg)
{
	struct process *process = arg;
	assert(process->magic == PROCESS_MAGIC);
	loop_timer_stop(process->pass_timer);
	process->pass_timer = NULL;
	process->busy = true;
	router_observe(process->router, on_observed, process);
}

void pass_soon(struct process *process, uint64_t delay_ms)
{
	if (!process->has_desired)
		return;
	if (process->busy) {
		process->again = true;
		return;
	}
	loop_timer_stop(process->pass_timer);
	process->pass_timer = loop_timer_start(process->loop, delay_ms, 0, on_pass_timer, process);
}
