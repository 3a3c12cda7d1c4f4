#include "runner/scheduler.h"

#include <string.h>

/* The stages as they will be once the decisions so far are carried out. */
struct pass {
	const struct sched_input *input;
	struct arena *arena;
	struct sched_stage *stages;
	struct sched_decision *decision;
	unsigned free_slots;
};

static const struct stage *stage_at(const struct pass *pass, size_t i)
{
	return pass->input->plan->stages[i].stage;
}

static bool went_wrong(enum outcome outcome)
{
	return outcome != OUTCOME_SUCCESS && outcome != OUTCOME_SKIPPED && outcome != OUTCOME_NONE;
}

static bool wants_status(const struct stage *stage, const char *status)
{
	if (!stage->when.present || stage->when.status.n == 0)
		return strcmp(status, "success") == 0;
	return globs_match(&stage->when.status, status);
}

static void act(struct pass *pass, enum sched_verb verb, size_t stage, enum outcome outcome, const char *reason)
{
	pass->decision->actions[pass->decision->n++] = (struct sched_action){.verb = verb, .stage = stage, .outcome = outcome, .reason = reason};
}

static void skip(struct pass *pass, size_t stage, enum outcome outcome, const char *reason)
{
	pass->stages[stage].state = SCHED_FINISHED;
	pass->stages[stage].outcome = outcome;
	act(pass, SCHED_SKIP, stage, outcome, reason);
}

/* What a stage can know of those before it. */
struct view {
	bool pending;
	long failed, skipped; /* -1, or the first such stage */
};

static void look(const struct pass *pass, size_t i, struct view *view)
{
	const struct sched_stage *stage = &pass->stages[i];
	if (stage->state != SCHED_FINISHED)
		view->pending = true;
	else if (went_wrong(stage->outcome))
		view->failed = view->failed < 0 ? (long)i : view->failed;
	else if (stage->outcome == OUTCOME_SKIPPED)
		view->skipped = view->skipped < 0 ? (long)i : view->skipped;
}

static void look_at_needs(const struct pass *pass, size_t i, bool deep, bool *seen, struct view *view)
{
	const struct stage *stage = stage_at(pass, i);
	for (size_t k = 0; k < stage->n_needs; k++) {
		size_t need = stage->needs[k];
		if (seen[need])
			continue;
		seen[need] = true;
		look(pass, need, view);
		if (deep)
			look_at_needs(pass, need, deep, seen, view);
	}
}

static bool is_final_clean_up(const struct pass *pass, size_t i)
{
	return stage_at(pass, i)->n_needs == 0 && wants_status(stage_at(pass, i), "failed");
}

static bool follows_clean_up(const struct pass *pass, size_t i, bool *seen)
{
	const struct stage *stage = stage_at(pass, i);
	seen[i] = true;
	if (is_final_clean_up(pass, i))
		return true;
	for (size_t k = 0; k < stage->n_needs; k++)
		if (!seen[stage->needs[k]] && follows_clean_up(pass, stage->needs[k], seen))
			return true;
	return false;
}

/* A clean-up stage that needs nothing looks at all others; but not at clean-up, and not at what itself comes after such a stage, or they
 * would wait for each other. */
static struct view view_of_all(const struct pass *pass)
{
	struct view view = {.failed = -1, .skipped = -1};
	size_t n = pass->input->plan->n_stages;
	bool *seen = arena_alloc(pass->arena, (n + 1) * sizeof(*seen));
	for (size_t i = 0; i < n; i++) {
		memset(seen, 0, n * sizeof(*seen));
		if (!wants_status(stage_at(pass, i), "failed") && !follows_clean_up(pass, i, seen))
			look(pass, i, &view);
	}
	return view;
}

static struct view view_of(const struct pass *pass, size_t i)
{
	struct view view = {.failed = -1, .skipped = -1};
	const struct stage *stage = stage_at(pass, i);
	bool cleans_up = wants_status(stage, "failed");
	if (is_final_clean_up(pass, i))
		return view_of_all(pass);
	/* A clean-up stage sees through the stages that were skipped because of the failure. */
	bool *seen = arena_alloc(pass->arena, pass->input->plan->n_stages * sizeof(*seen));
	look_at_needs(pass, i, cleans_up, seen, &view);
	return view;
}

static void start_if_there_is_room(struct pass *pass, size_t i)
{
	if (!pass->stages[i].free_of_slots) {
		if (pass->free_slots == 0)
			return;
		pass->free_slots--;
	}
	pass->stages[i].state = SCHED_RUNNING;
	act(pass, SCHED_START, i, OUTCOME_NONE, NULL);
}

static const char *blame(struct pass *pass, long culprit)
{
	return arena_printf(pass->arena, "needs \"%s\", which ended %s", stage_at(pass, (size_t)culprit)->id,
			    outcome_name(pass->stages[culprit].outcome));
}

/* Returns true if the stage's fate changed, so that others may follow. */
static bool decide(struct pass *pass, size_t i)
{
	const struct plan_stage *planned = &pass->input->plan->stages[i];
	if (pass->stages[i].state != SCHED_WAITING)
		return false;
	if (pass->input->selected && !pass->input->selected[i]) {
		skip(pass, i, OUTCOME_SKIPPED, "not asked for");
		return true;
	}
	if (planned->excluded) {
		skip(pass, i, OUTCOME_SKIPPED, planned->excluded_reason);
		return true;
	}
	struct view view = view_of(pass, i);
	bool on_success = wants_status(planned->stage, "success"), on_failure = wants_status(planned->stage, "failed");
	if (view.failed >= 0 && !on_failure) {
		skip(pass, i, OUTCOME_SKIPPED, blame(pass, view.failed));
		return true;
	}
	if (view.failed < 0 && view.skipped >= 0 && !on_failure) {
		skip(pass, i, OUTCOME_SKIPPED, blame(pass, view.skipped));
		return true;
	}
	if (view.pending)
		return false;
	if (view.failed < 0 && !on_success) {
		skip(pass, i, OUTCOME_SKIPPED, "nothing failed");
		return true;
	}
	start_if_there_is_room(pass, i);
	return pass->stages[i].state != SCHED_WAITING;
}

static const char *cancelled_by(struct pass *pass)
{
	const char *who = pass->input->cancelled_by;
	return who ? arena_printf(pass->arena, "cancelled by %s", who) : "cancelled";
}

static void cancel_all(struct pass *pass)
{
	const struct sched_input *input = pass->input;
	const char *reason = cancelled_by(pass);
	for (size_t i = 0; i < input->plan->n_stages; i++) {
		if (pass->stages[i].state == SCHED_WAITING)
			skip(pass, i, OUTCOME_CANCELLED, reason);
		else if (pass->stages[i].state == SCHED_RUNNING)
			act(pass, SCHED_CANCEL, i, OUTCOME_NONE, reason);
	}
}

/* Which outcome a run takes from several: what a person has to look at first. */
static int gravity(enum outcome outcome)
{
	switch (outcome) {
	case OUTCOME_NONE:
	case OUTCOME_SKIPPED:
		return 0;
	case OUTCOME_SUCCESS:
		return 1;
	case OUTCOME_CANCELLED:
		return 2;
	case OUTCOME_PREEMPTED:
		return 3;
	case OUTCOME_LOST:
		return 4;
	case OUTCOME_INFRA:
		return 5;
	case OUTCOME_ROLLED_BACK:
		return 6;
	case OUTCOME_REJECTED:
		return 7;
	case OUTCOME_OOM:
		return 8;
	case OUTCOME_TIMEOUT:
		return 9;
	case OUTCOME_FAILED:
		return 10;
	}
	return 0;
}

static void conclude(struct pass *pass)
{
	struct sched_decision *decision = pass->decision;
	decision->outcome = OUTCOME_SKIPPED;
	for (size_t i = 0; i < pass->input->plan->n_stages; i++) {
		if (pass->stages[i].state != SCHED_FINISHED)
			return;
		if (gravity(pass->stages[i].outcome) > gravity(decision->outcome)) {
			decision->outcome = pass->stages[i].outcome;
			decision->blamed = (long)i;
		}
	}
	decision->finished = true;
	if (pass->input->cancelled && decision->outcome != OUTCOME_SUCCESS) {
		decision->outcome = OUTCOME_CANCELLED;
		decision->blamed = -1;
		decision->reason = cancelled_by(pass);
	}
	if (decision->outcome == OUTCOME_SUCCESS || decision->outcome == OUTCOME_SKIPPED)
		decision->blamed = -1;
	if (decision->outcome == OUTCOME_SKIPPED)
		decision->reason = "no stage had anything to do";
}

void scheduler_next(const struct sched_input *input, struct arena *arena, struct sched_decision *ret)
{
	size_t n = input->plan->n_stages;
	*ret = (struct sched_decision){.blamed = -1};
	ret->actions = arena_alloc(arena, (n + 1) * sizeof(*ret->actions));
	struct pass pass = {.input = input, .arena = arena, .decision = ret, .free_slots = input->free_slots};
	pass.stages = arena_alloc(arena, (n + 1) * sizeof(*pass.stages));
	if (n > 0)
		memcpy(pass.stages, input->stages, n * sizeof(*pass.stages));
	if (input->cancelled)
		cancel_all(&pass);
	for (bool changed = !input->cancelled; changed;) {
		changed = false;
		for (size_t i = 0; i < n; i++)
			changed |= decide(&pass, i);
	}
	conclude(&pass);
}

bool scheduler_retries(const struct retry *retry, enum outcome outcome, int exit_code, unsigned user_failures, unsigned infra_failures)
{
	switch (outcome) {
	case OUTCOME_INFRA:
	case OUTCOME_PREEMPTED:
	case OUTCOME_LOST:
		return infra_failures < retry->infra_limit;
	case OUTCOME_FAILED:
	case OUTCOME_TIMEOUT:
	case OUTCOME_OOM:
		break;
	case OUTCOME_SUCCESS:
	case OUTCOME_REJECTED:
	case OUTCOME_CANCELLED:
	case OUTCOME_ROLLED_BACK:
	case OUTCOME_SKIPPED:
	case OUTCOME_NONE:
		return false;
	}
	if (user_failures >= retry->limit)
		return false;
	for (size_t i = 0; i < retry->on.n; i++) {
		const char *on = retry->on.items[i];
		if (strcmp(on, outcome_name(outcome)) == 0)
			return true;
		if (outcome == OUTCOME_FAILED && strncmp(on, "exit:", 5) == 0 && strtol(on + 5, NULL, 10) == exit_code)
			return true;
	}
	return false;
}

static bool same_group(const struct sched_run *a, const struct sched_run *b)
{
	return a->group && b->group && strcmp(a->group, b->group) == 0 && strcmp(a->repository, b->repository) == 0;
}

/* First in, first out: the oldest of the waiting take the free places. Latest: the newest take them, and of the others only the newest
 * goes on waiting. */
static struct sched_admitted admit(const struct sched_run *runs, size_t n, size_t i)
{
	unsigned running = 0, older = 0, newer = 0;
	int64_t newest = 0;
	for (size_t k = 0; k < n; k++) {
		if (k == i || !same_group(&runs[i], &runs[k]))
			continue;
		if (runs[k].running) {
			running++;
		} else if (k < i) {
			older++;
		} else {
			newer++;
			newest = runs[k].id;
		}
	}
	unsigned places = runs[i].limit > running ? runs[i].limit - running : 0;
	if ((runs[i].latest ? newer : older) < places)
		return (struct sched_admitted){.admission = ADMIT_GO};
	if (runs[i].latest && newer > 0)
		return (struct sched_admitted){.admission = ADMIT_SUPERSEDED, .by = newest};
	return (struct sched_admitted){.admission = ADMIT_WAIT};
}

void scheduler_admit(const struct sched_run *runs, size_t n, struct sched_admitted *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (runs[i].running)
			ret[i] = (struct sched_admitted){.admission = ADMIT_RUNNING};
		else if (!runs[i].group)
			ret[i] = (struct sched_admitted){.admission = ADMIT_GO};
		else
			ret[i] = admit(runs, n, i);
	}
}
