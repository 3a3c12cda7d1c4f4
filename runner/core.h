/* The daemon's spine: what every room of the runner shares, and the rule of one transaction per loop iteration (docs/ARCHITECTURE.md).
 *
 * A callback that changes anything is one event:
 *
 *     core_event_begin(core);
 *     ... write rows; queue effects ...
 *     core_event_end(core, err == NULL);    // keeps or rolls back to the savepoint, dropping its effects
 *
 * The transaction opens with the first event of an iteration and is committed before the loop sleeps. After COMMIT effects run in
 * order (spawn, router writes, HTTP replies); if COMMIT fails they are dropped (their `dropped` runs instead) and memory is reloaded
 * by the start-up path. Effects never write rows themselves: their outcomes are later events. */
#ifndef RUNNER_CORE_H
#define RUNNER_CORE_H

#include "artifacts/store.h"
#include "base/loop.h"
#include "runner/config.h"
#include "runner/store/db.h"

struct core;
struct engine;
struct rollouts;

/* The rooms are owned by whoever opened them (runner/serve.c, runner/local.c) and hung in here. */
struct core {
	struct loop *loop;
	struct db *db;
	struct oci_store *oci;
	struct config *config;
	char *self;                 /* path of our executable */
	struct engine *engine;
	struct rollouts *rollouts;  /* NULL in local runs */
	struct transaction *transaction; /* runner/core.c */
	bool local;
};

/* Takes the state lock, makes the folders (0711, sub-folders 0700), opens database and store. CONFLICT if another daemon holds it. */
int core_open(struct config *config, struct core **ret, struct error **err) must_check;
void core_close(struct core *core);
DEFINE_CLEANUP(struct core, core_close);

void core_event_begin(struct core *core);
void core_event_end(struct core *core, bool keep);
typedef void (*effect_fn)(struct core *core, void *arg);
/* Either `fn` runs after the commit or `dropped` runs (may be NULL). Outside an event: allowed, runs with the next commit. */
void core_effect(struct core *core, effect_fn fn, effect_fn dropped, void *arg);
/* Commits now if a transaction is open, then runs effects; repeated until nothing is open. Hooked into loop_on_prepare. */
void core_commit(struct core *core);
/* Called after a failed commit, when memory must be rebuilt from rows; engine and rollouts register one each. */
void core_on_reload(struct core *core, void (*fn)(void *arg), void *arg);
/* Called after each successful commit that appended events, with the newest event id: live streams hang here. */
void core_on_events(struct core *core, void (*fn)(void *arg, int64_t newest_event), void *arg);

/* Appends to `event`; data may be NULL; takes no reference. Must be inside an event. */
int event_append(struct core *core, const char *kind, const char *subject, int64_t run_id /* 0: none */, const char *actor, const json_t *data,
		 struct error **err) must_check;

char *core_path(const struct core *core, const char *relative); /* beneath state; allocated */
#endif
