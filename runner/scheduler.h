/* Which stages may start now? Pure functions from what is known (plan, states of the stages, limits) to what should happen; the engine
 * writes it down and does it.
 *
 *     struct sched_decision decision;
 *     scheduler_next(&input, arena, &decision);
 *     for (size_t i = 0; i < decision.n; i++) obey(&decision.actions[i]);
 *     if (decision.finished) finish_run(decision.outcome, decision.reason);
 *
 * Rules: a stage starts as soon as all it needs succeeded (`when.status` says otherwise for clean-up stages); nothing else orders
 * stages. A stage whose needs cannot be met any more is skipped, and names the stage that is to blame. */
#ifndef RUNNER_SCHEDULER_H
#define RUNNER_SCHEDULER_H

#include "pipelines/plan.h"

enum sched_state { SCHED_WAITING, SCHED_RUNNING, SCHED_FINISHED };

struct sched_stage {
	enum sched_state state;
	enum outcome outcome; /* if FINISHED */
	bool free_of_slots;   /* waits for something that runs elsewhere (a rollout): takes none of the parallel places */
};

struct sched_input {
	const struct plan *plan;
	const struct sched_stage *stages; /* same indexes as plan->stages */
	const bool *selected;             /* NULL: all; else only these are of interest, the others are skipped */
	unsigned free_slots;              /* places left over all runs */
	bool cancelled;                   /* somebody asked for it */
	const char *cancelled_by;
};

enum sched_verb { SCHED_START, SCHED_SKIP, SCHED_CANCEL };
struct sched_action {
	enum sched_verb verb;
	size_t stage;
	enum outcome outcome; /* SKIP: skipped or cancelled */
	const char *reason;   /* SKIP; in the arena or static */
};

struct sched_decision {
	struct sched_action *actions; /* in the arena; a skipped stage may let others follow, so that all of it is in one decision */
	size_t n;
	bool finished;
	enum outcome outcome; /* of the run, if finished: the worst of its stages */
	const char *reason;   /* "cancelled by ann"; NULL if a stage is blamed, whose own reason the caller knows */
	long blamed;          /* the stage that decided the outcome, or -1 */
};
void scheduler_next(const struct sched_input *input, struct arena *arena, struct sched_decision *ret);

/* Does a stage that ended like this get another attempt? User failures (listed in retry.on) and infrastructure failures have
 * budgets of their own; the counts are those before this failure. */
bool scheduler_retries(const struct retry *retry, enum outcome outcome, int exit_code, unsigned user_failures, unsigned infra_failures);

/* Concurrency groups: which waiting runs may go on? `runs` is ordered by age, the oldest first. */
struct sched_run {
	int64_t id;
	const char *repository, *group; /* group NULL: in none */
	unsigned limit;
	bool latest; /* queue: latest; else first in, first out */
	bool running;
};
enum sched_admission { ADMIT_RUNNING, ADMIT_GO, ADMIT_WAIT, ADMIT_SUPERSEDED };
struct sched_admitted {
	enum sched_admission admission;
	int64_t by; /* SUPERSEDED: the newer run */
};
void scheduler_admit(const struct sched_run *runs, size_t n, struct sched_admitted *ret /* n of them */);
#endif
