/* Inside runner/rollouts*.c only. A `watched` is one target of the operator's and what we know about it; an `active` is the rollout
 * under way on it. Both are rebuilt from rows whenever an event is not kept: memory never runs ahead of the database. */
#ifndef RUNNER_ROLLOUTS_PRIV_H
#define RUNNER_ROLLOUTS_PRIV_H

#include "gates/analysis.h"
#include "runner/engine.h"
#include "runner/rollouts.h"
#include "runner/rollouts_feeds.h"
#include "runner/rollouts_verify.h"

enum {
	TICK_MS = 250,
	LOOK_ACTIVE_MS = 500,
	LOOK_IDLE_MS = 5000,
	COUNT_MS = 1000,      /* one block of evidence */
	ANSWER_MS = 15000,    /* after that a target does not answer */
	APPLY_AGAIN_MS = 2000, APPLY_AGAIN_MAX_MS = 60000,
	OPEN_AGAIN_MS = 1000, OPEN_AGAIN_MAX_MS = 60000,
};

/* What is outside, so that tests can bring their own. */
struct rollouts_seams {
	const struct target_ops *(*find_target)(const char *kind);
	int (*finish_stage)(struct engine *engine, int64_t stage_id, enum outcome outcome, const char *reason, struct error **err);
};

/* Why a rollout was asked to go away, in rollout.command; what it says to people is in rollout.command_by. */
#define COMMAND_SUPERSEDE "supersede"
#define COMMAND_CANCEL "cancel"

struct active {
	struct arena *arena;        /* everything below but the analysis */
	struct rollout machine;
	struct rollout_spec spec;
	struct release candidate, stable; /* stable.id 0: none */
	unsigned stable_replicas;
	int64_t stage_id, run_id;   /* 0: by hand */
	const char *command, *command_by;
	char *machine_text;         /* as it is in the row; malloced */
	struct analysis *analysis;  /* NULL: no metrics */
	int64_t block_from_ms;
	struct feeds *feeds;        /* NULL: not asked yet, or no metric has a source of its own */
	json_t *categories;         /* of before a restart, for the feeds; or NULL */
	bool feeds_made, feeds_asked, provider_told;
	unsigned feeds_step;        /* the sources were last asked in */
	bool source_told[ROLLOUT_MAX_METRICS]; /* what the last "source" row said is known: */
	bool source_no_data[ROLLOUT_MAX_METRICS];
	char source_trouble[ROLLOUT_MAX_METRICS][120];
};

#define WATCHED_MAGIC 0x7a7c4ed1u
struct watched {
	unsigned magic;
	struct rollouts *rollouts;
	char *name, *subject, *state_dir; /* subject: "target/prod" */

	struct target *target;      /* NULL: could not be opened */
	char open_error[512];
	int64_t open_at_ms, open_pause_ms;

	bool looking, counting;
	int64_t look_at_ms, look_begun_ms, count_begun_ms, counted_ms;
	uint64_t handed, handed_at_look; /* desired states given to the driver; a look that began before the last one is not used */
	struct actual actual;
	bool has_actual;
	uint64_t handed_at_actual;
	char look_error[256];
	bool provider_failed;       /* the last counts() did not answer */

	struct arena *want_arena;   /* of want's releases */
	struct desired want;
	bool has_want, hand_over;   /* hand_over: to be given to the driver after the commit */
	bool applying;
	int64_t apply_at_ms, apply_pause_ms;
	char trouble[256];          /* of the last apply, or "" */
	bool trouble_is_final;

	bool verify_due, verify_over; /* after the commit: start the verify command; end it */
	char verify_error[256];     /* it could not be started */

	struct active *active;
	char row_error[256];        /* the rollout's row cannot be read: hands off */
	uint64_t repairs;           /* of the driver's own that were told */
	char drift[256];            /* found, being repaired */
	int64_t drift_ms;
};

struct rollouts {
	struct core *core;
	struct rollouts_seams seams;
	struct watched **watched;
	size_t n_watched, capacity;
	struct loop_timer *timer;
};

/* rollouts.c */
int rollouts_open_with(struct core *core, const struct rollouts_seams *seams, struct rollouts **ret, struct error **err) must_check;
void rollouts_tick(struct rollouts *rollouts); /* what the timer does */
struct watched *rollouts_find(const struct rollouts *rollouts, const char *target);
void watched_reload(struct watched *watched);
/* What the last look showed, if nothing was handed over since; else NULL. */
const struct actual *watched_actual(const struct watched *watched);
/* Tries once more; false with open_error set. */
bool watched_open(struct watched *watched);

/* rollouts_store.c: rows in, rows out. All inside an event. */
int active_load(struct core *core, const char *target, struct active **ret /* NULL: none */, struct error **err) must_check;
void active_free(struct active *active);
/* *ret_changed: the machine's row was not what it is now. */
int active_save(struct core *core, struct active *active, const struct rollout *machine, const json_t *verdict, bool *ret_changed,
		struct error **err) must_check;
int release_read(struct core *core, int64_t id, struct arena *arena, struct release *ret, struct error **err) must_check; /* NOT_FOUND */
/* Activates the oldest rollout that waits for the target (finished_ms 0), if there is one and none is active. */
int waiting_activate(struct core *core, const char *target, struct error **err) must_check;
int rollout_insert(struct core *core, const char *target, int64_t stage_id, int64_t candidate, const struct rollout_spec *spec, bool waits,
		   int64_t *ret, struct error **err) must_check;
/* What the target should be without a rollout; *ret_n_arms 0 and generation 0: it was never used. */
int idle_desired(struct core *core, const char *target, struct arena *arena, struct desired *ret, struct error **err) must_check;
int target_promoted(struct core *core, const char *target, const struct active *active, struct error **err) must_check;
int target_taken_back(struct core *core, const char *target, const struct active *active, struct error **err) must_check;
/* One row of runner/replay.h's kinds. */
int observation_insert(struct core *core, int64_t rollout, unsigned step, const json_t *row, struct error **err) must_check;

/* rollouts_evidence.c */
/* Feeds what was counted, and what the metrics' sources have answered, to the analysis; *ret_counted tells whether a row was written. */
int evidence_take(struct watched *watched, const struct counts_report *report, bool *ret_counted, struct error **err) must_check;
/* Asks the metrics' own sources that are due, about the copies that were last seen. */
void evidence_ask(struct watched *watched);
/* As runner/rollouts_view.h describes it; analysis gives what would change it. */
json_t *verdict_json(const struct rollout_spec *spec, const struct analysis *analysis, const struct analysis_verdict *verdict);

/* rollouts_drive.c */
void watched_drive(struct watched *watched, const struct counts_report *report); /* an event of its own */
/* Inside an event. *ret_refused (may be NULL) is set if the command is refused; nothing has changed then. */
int drive_active(struct watched *watched, const struct counts_report *report, enum rollout_command command, const char *actor,
		 const char **ret_refused, struct error **err) must_check;
/* rollouts_repair.c */
int repair_idle(struct watched *watched, struct error **err) must_check;
/* Notes drift, or that it is gone, and asks for another apply if it is time. */
int want_compare(struct watched *watched, struct error **err) must_check;
void want_set(struct watched *watched, const struct desired *desired);
void want_clear(struct watched *watched);
/* After the commit: hands over what is wanted; if the event is not kept: reads the rows again. */
void watched_effect(struct watched *watched);
#endif
