/* What is: read from HAProxy's sockets and the attempts' locks each time it is asked. */
#include "base/alloc.h"
#include "base/clock.h"
#include "deployers/process/process_priv.h"

#include <stdio.h>
#include <string.h>

struct observer {
	struct observer *next;
	struct process *process;
	target_actual_fn done;
	void *arg;
};

static struct arm_status *arm_for(struct actual *actual, const char *image)
{
	for (unsigned i = 0; i < actual->n_arms && i < MAX_ARMS; i++)
		if (strcmp(actual->arms[i].image, image) == 0)
			return &actual->arms[i];
	if (actual->n_arms == MAX_ARMS)
		return NULL;
	struct arm_status *arm = &actual->arms[actual->n_arms++];
	snprintf(arm->image, sizeof(arm->image), "%s", image);
	return arm;
}

static void add_address(struct arm_status *arm, const struct plan_observed *observed, const struct instance_view *view, const struct instance *in)
{
	if (view->run != RUN_RUNNING || arm->n_instances == MAX_SEEN_INSTANCES)
		return;
	struct instance_status *status = &arm->instances[arm->n_instances++];
	status->id = view->id;
	status->ready = plan_takes_traffic(observed, view);
	status->restarts = in ? instance_restarts(in) : 0;
	snprintf(status->address, sizeof(status->address), "127.0.0.1:%u", view->port);
}

static void add_instance(struct actual *actual, const struct process *process, const struct plan_observed *observed, const struct instance_view *view)
{
	const struct plan_desired *desired = &process->desired.plan;
	struct arm_status *arm = arm_for(actual, view->image);
	if (!arm)
		return;
	arm->replicas += view->run == RUN_RUNNING;
	arm->outdated += view->run == RUN_RUNNING && view->outdated;
	arm->ready = plan_ready(observed, view->image);
	arm->weight_ppm = plan_weight(observed, view->image);
	add_address(arm, observed, view, instances_find(&process->instances, view->id));
	if (!plan_wants(observed, desired, view))
		return;
	/* Why one has failed for good says more than what another is still trying. */
	bool says_more = view->failed || !arm->failed;
	arm->failed = arm->failed || view->failed;
	if (view->message[0] && says_more)
		snprintf(arm->message, sizeof(arm->message), "%.*s", (int)sizeof(arm->message) - 1, view->message);
}

/* What people see there: nothing while none of its copies is up. */
static void add_preview(struct actual *actual, const struct process *process, const struct plan_observed *observed)
{
	const char *address = process->settings.preview;
	if (!address)
		return;
	const char *colon = strrchr(address, ':');
	bool anywhere = address[0] == ':' || address[0] == '*';
	snprintf(actual->preview_url, sizeof(actual->preview_url), "http://%s%s", anywhere ? "127.0.0.1" : "", anywhere ? colon : address);
	const struct router_state *router = &observed->router;
	int slot = router->answers && router->has_split ? router->split.preview : SLOT_NONE;
	for (size_t i = 0; slot != SLOT_NONE && i < observed->n_instances; i++)
		if (observed->instances[i].slot == slot && plan_takes_traffic(observed, &observed->instances[i]))
			snprintf(actual->preview_image, sizeof(actual->preview_image), "%s", observed->instances[i].image);
}

/* An arm that is wanted but has no copies: on its way, or impossible. */
static void add_missing(struct actual *actual, const struct process *process)
{
	const struct plan_desired *desired = &process->desired.plan;
	for (unsigned i = 0; i < desired->n_arms; i++) {
		struct arm_status *arm = arm_for(actual, desired->arms[i].image);
		if (!arm || arm->replicas || strcmp(process->bad_image, desired->arms[i].image) != 0)
			continue;
		arm->failed = true;
		snprintf(arm->message, sizeof(arm->message), "%s", process->bad_image_why);
	}
}

static void add_fallbacks(struct actual *actual, const struct process *process)
{
	for (int slot = 0; slot < SLOTS; slot++) {
		if (!process->tally.fell_back[slot])
			continue;
		for (unsigned i = 0; i < actual->n_arms && i < MAX_ARMS; i++)
			if (strcmp(actual->arms[i].image, process->tally.slot_image[slot]) == 0 && !actual->arms[i].message[0])
				snprintf(actual->arms[i].message, sizeof(actual->arms[i].message),
					 "%llu requests meant for it were answered by the other arm, since none of its copies was up",
					 (unsigned long long)process->tally.fell_back[slot]);
	}
}

static void router_message(const struct process *process, const struct plan_observed *observed, const struct error *router_err, struct actual *actual)
{
	const struct router_state *router = &observed->router;
	actual->router_ok = router->answers && router->has_split && router->split_entries == 1 && strcmp(router->mark, observed->mark) == 0;
	if (actual->router_ok)
		return;
	const char *why = process->trouble;
	if (!why[0])
		why = !observed->router_runs                 ? "HAProxy is not running"
		      : !router->answers                     ? error_message(router_err)
		      : strcmp(router->mark, observed->mark) ? "HAProxy runs with another configuration and is about to be reloaded"
							     : "HAProxy's map was changed by hand and cannot be read";
	snprintf(actual->message, sizeof(actual->message), "%s", why);
}

static void observer_free(struct observer *observer)
{
	struct observer **at = &observer->process->observers;
	while (*at != observer)
		at = &(*at)->next;
	*at = observer->next;
	free(observer);
}

static void on_observed(void *arg, bool runs, const struct router_state *state, const struct error *router_err)
{
	struct observer *observer = arg;
	struct process *process = observer->process;
	target_actual_fn done = observer->done;
	void *done_arg = observer->arg;
	observer_free(observer);
	struct actual actual = {.generation = process->applied,
				.seen_at_ms = clock_wall_ms(),
				.repairs = process->repairs,
				.repairing = process->unwell && process->found[0],
				.repair_took_ms = process->repair_took_ms};
	memcpy(actual.repaired, process->repaired, sizeof(actual.repaired));
	struct plan_observed observed;
	struct instance_view *views = NULL;
	cleanup_error struct error *err = NULL;
	if (pass_look(process, runs, state, &observed, &views, &err) < 0) {
		done(done_arg, NULL, err);
		return;
	}
	/* The desired arms first, in their order: what matters most must not be pushed out by what is on its way out. */
	for (unsigned i = 0; i < process->desired.plan.n_arms; i++)
		arm_for(&actual, process->desired.plan.arms[i].image);
	for (size_t i = 0; i < observed.n_instances; i++)
		add_instance(&actual, process, &observed, &views[i]);
	add_missing(&actual, process);
	add_fallbacks(&actual, process);
	add_preview(&actual, process, &observed);
	router_message(process, &observed, router_err, &actual);
	free(views);
	done(done_arg, &actual, NULL);
}

void observe_start(struct process *process, target_actual_fn done, void *arg)
{
	struct observer *observer = xcalloc(1, sizeof(*observer));
	*observer = (struct observer){.next = process->observers, .process = process, .done = done, .arg = arg};
	process->observers = observer;
	router_observe(process->router, on_observed, observer);
}

void observers_drop(struct process *process)
{
	while (process->observers)
		observer_free(process->observers);
}
