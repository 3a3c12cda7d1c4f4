/* What had been as desired and is not any more: the plan puts it right like anything else, and this tells what was found. A rollout's own
 * steps are none of it: they come with a new generation, which has not been as desired yet. */
#include "base/clock.h"
#include "deployers/process/process_priv.h"

#include <stdio.h>
#include <string.h>

static const struct instance_view *view_of(const struct plan_observed *observed, unsigned id)
{
	for (size_t i = 0; i < observed->n_instances; i++)
		if (observed->instances[i].id == id)
			return &observed->instances[i];
	return NULL;
}

static void found_split(struct process *process, const struct plan_observed *observed)
{
	char wanted[SPLIT_TEXT_SIZE], seen[SPLIT_TEXT_SIZE];
	split_format(&process->action.split, wanted);
	if (!observed->router.has_split) {
		snprintf(process->found, sizeof(process->found), "HAProxy's map could not be read; it should say `%s`", wanted);
		return;
	}
	split_format(&observed->router.split, seen);
	snprintf(process->found, sizeof(process->found), "HAProxy's map said `%s` instead of `%s`%s", seen, wanted,
		 observed->router.split_entries > 1 ? ", and more" : "");
}

/* A server in another state than we left it in: not one that is on its way in, or that we drain. */
static void found_server(struct process *process, const struct plan_observed *observed)
{
	const struct plan_action *action = &process->action;
	const struct instance_view *view = view_of(observed, action->id);
	const struct server_state *server = router_state_server(&observed->router, action->id);
	if (!view)
		snprintf(process->found, sizeof(process->found), "a server that is not ours, %.60s, was in HAProxy", action->server);
	else if (view->admitted && !server)
		snprintf(process->found, sizeof(process->found), "the server of copy i%u was not in HAProxy any more", view->id);
	else if (view->admitted && !view->hung)
		snprintf(process->found, sizeof(process->found), "the server of copy i%u was in another state than it was left in", view->id);
}

/* A copy that ended is to be left out of the files, too. */
static void found_files(struct process *process, const struct plan_observed *observed)
{
	for (size_t i = 0; i < observed->n_instances; i++) {
		const struct instance_view *view = &observed->instances[i];
		if (view->admitted && view->run == RUN_DEAD) {
			snprintf(process->found, sizeof(process->found), "copy i%u had ended", view->id);
			return;
		}
	}
	snprintf(process->found, sizeof(process->found), "HAProxy's files were changed or removed");
}

static void find(struct process *process, const struct plan_observed *observed)
{
	const struct plan_action *action = &process->action;
	switch (action->kind) {
	case PLAN_START_ROUTER:
		snprintf(process->found, sizeof(process->found), "HAProxy was not running");
		return;
	case PLAN_RELOAD_ROUTER:
		snprintf(process->found, sizeof(process->found), "HAProxy ran with another configuration");
		return;
	case PLAN_WRITE_DISK:
		found_files(process, observed);
		return;
	case PLAN_SET_SPLIT:
		found_split(process, observed);
		return;
	case PLAN_ADD_SERVER:
	case PLAN_ADMIT:
	case PLAN_DRAIN:
	case PLAN_CUT:
	case PLAN_DISABLE:
	case PLAN_DELETE_SERVER:
		found_server(process, observed);
		return;
	case PLAN_START:
		snprintf(process->found, sizeof(process->found), "copy i%u had ended", action->id);
		return;
	case PLAN_RESTART:
		snprintf(process->found, sizeof(process->found), "copy i%u did not answer its health check", action->id);
		return;
	case PLAN_CREATE:
		snprintf(process->found, sizeof(process->found), "copy %u of its release was missing", action->replica);
		return;
	case PLAN_ADOPT_PATH:
	case PLAN_STOP:
	case PLAN_REMOVE:
	case PLAN_DONE:
	case PLAN_WAIT:
	case PLAN_FAILED:
		return;
	}
}

void repair_note(struct process *process, const struct plan_observed *observed)
{
	enum plan_kind kind = process->action.kind;
	bool rests = kind == PLAN_DONE || kind == PLAN_WAIT || kind == PLAN_FAILED;
	if (rests || process->applied != process->desired.plan.generation)
		return;
	if (!process->unwell) {
		process->unwell = true;
		process->found[0] = '\0';
		process->unwell_since_ms = (int64_t)clock_mono_ms();
	}
	if (!process->found[0])
		find(process, observed);
}

void repair_is_over(struct process *process)
{
	if (process->unwell && process->found[0]) {
		process->repairs++;
		process->repair_took_ms = (int64_t)clock_mono_ms() - process->unwell_since_ms;
		memcpy(process->repaired, process->found, sizeof(process->repaired));
	}
	process->unwell = false;
	process->found[0] = '\0';
}
