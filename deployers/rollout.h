/* The rollout machine: a pure function from what is known to what should be true next. No I/O, no clock, no memory but the struct.
 *
 * What it keeps, whatever the target, the analysis and people do (tests/unit/deployers/rollout_model_test.c):
 *   - an arm's weight is raised only while that arm is seen ready; what is not known is not changed;
 *   - an arm's copies are given up only after two looks in a row have read its weight as 0: one look may lie;
 *   - with a stable release there is always an arm with weight;
 *   - it comes to a final state, or `waits_for` names what it waits for.
 *
 *     rollout_start(id, has_stable, now, &r);
 *     r.generation = generation_of_the_target;
 *     for (;;) {                                  // at each observation, command, or wake_at_ms
 *             rollout_next(&r, &input, &out);
 *             r = out.next;                       // stored before out.desired is applied
 *     }
 *
 * A paused rollout still goes back on harm: a pause stops the clock, it does not switch off safety (docs/rollouts.md). */
#ifndef DEPLOYERS_ROLLOUT_H
#define DEPLOYERS_ROLLOUT_H

#include "deployers/target.h"
#include "gates/analysis.h"
#include "pipelines/rollout_spec.h"

#define ROLLOUT_STATES(X)                                                                                                    \
	X(STARTING, "starting", false, "the candidate's copies are being started, without traffic")                          \
	X(VERIFYING, "verifying", false, "blue-green: the candidate is on the preview address, without traffic, and is being verified") \
	X(STEPPING, "stepping", false, "the candidate has its share of the traffic and is being judged")                     \
	X(AWAITING, "awaiting", false, "the step's evidence suffices; a person must `resume` or `approve`; harm still takes it back") \
	X(PAUSED, "paused", false, "a person stopped the clock; traffic stays as it is")                                     \
	X(PROMOTING, "promoting", false, "all traffic goes to the candidate; the old copies are still there")                \
	X(KEEPING_OLD, "keeping_old", false, "promoted; the old copies wait for keep_old")                                   \
	X(ROLLING_BACK, "rolling_back", false, "traffic goes back to the stable release, once it is seen ready")            \
	X(PROMOTED, "promoted", true, "done: the candidate is the stable release")                                          \
	X(ROLLED_BACK, "rolled_back", true, "done: the stable release has all traffic, the candidate is gone")              \
	X(FAILED, "failed", true, "done: could not be carried out (first release never became ready ...); traffic as before")
enum rollout_state {
#define X(name, text, final, doc) ROLLOUT_##name,
	ROLLOUT_STATES(X)
#undef X
};
const char *rollout_state_name(enum rollout_state state);
bool rollout_state_from_name(const char *name, enum rollout_state *ret);
bool rollout_is_final(enum rollout_state state);

/* What people may ask for. The last column: what it means. */
#define ROLLOUT_COMMANDS(X)                                                                                                            \
	X(PROMOTE, "promote", "leave this step (or pause, or verification) now, unjudged; the next step is judged again")               \
	X(PROMOTE_FULL, "promote --full", "emergency: all traffic, as soon as one copy is ready; no steps, analysis, approval")         \
	X(ROLLBACK, "rollback", "traffic goes back once the stable release is ready at full size")                                     \
	X(ROLLBACK_NOW, "rollback --now", "emergency: as soon as one copy of the stable release is ready")                             \
	X(PAUSE, "pause", "the clock stands; harm still takes it back")                                                                \
	X(RESUME, "resume", "the clock runs again; leaves a step that waits with `pause: true`")                                       \
	X(APPROVE, "approve", "leaves a step that waits with `approve: true`, or a blue-green verification")
enum rollout_command {
	ROLLOUT_NONE,
#define X(name, text, doc) ROLLOUT_##name,
	ROLLOUT_COMMANDS(X)
#undef X
};
const char *rollout_command_name(enum rollout_command command); /* "" for ROLLOUT_NONE */
bool rollout_command_from_name(const char *name, enum rollout_command *ret);

/* The blue-green verify command, as the runner sees it. It is started when rollout_output.verify_due. */
enum verify_status { VERIFY_NONE, VERIFY_RUNNING, VERIFY_PASSED, VERIFY_FAILED };

/* What an arm was last asked to be. */
struct rollout_arm { unsigned replicas; uint32_t weight_ppm; };

/* Everything that is remembered; plain, stored as JSON in the rollout's row. */
struct rollout {
	int64_t id;
	enum rollout_state state;
	enum rollout_state paused_from; /* while PAUSED */
	unsigned step;                  /* index into spec.steps_ppm while STEPPING */
	int64_t state_since_ms, step_since_ms, promoted_at_ms;
	int64_t paused_ms;              /* time spent paused since step_since_ms, not counted against hold, keep_old and deadlines */
	bool has_stable;                /* false: first release */
	uint64_t generation;
	char reason[256];               /* of the last transition, for people and the table */
	char decided_by[32];            /* "analysis", "operator", "health", "policy", "time", "target" (it failed us), "" */
	struct rollout_arm stable, candidate; /* as last desired */
	bool exposed;                   /* the candidate was ever given weight (to be read back before its copies go) */
	bool step_confirmed;            /* the weight of this step (VERIFYING: the preview) was read back once: its clock runs */
	bool skip_waiting;              /* KEEPING_OLD: no more keeping */
	int64_t unready_since_ms;       /* since when the candidate lacks a copy; 0: it does not */
	char waits_for[256];            /* what has to happen before it goes on, for people; "" when final */
	bool held;                      /* it will not go on by itself: a person, or the surroundings, must act */
	bool fast_track;                /* the candidate was live within rollback_window: no steps, no analysis */
	int64_t was_live_ms;            /* with fast_track: when it was live last, for the reason; 0: not known */
	bool emergency;                 /* PROMOTE_FULL or ROLLBACK_NOW was given: one ready copy is enough */
	bool verified;                  /* VERIFYING: the command has passed (or there is none) */
	char approved_by[64];           /* of the present step or verification; "" */
	bool preview;                   /* the candidate was last asked to be on the preview address */
	int64_t seen_applied_ms;        /* seen_at_ms of the first look in a row that shows what was last desired; 0: the last did not */
};
/* Evidence counts now: STEPPING, AWAITING at a canary's step, PROMOTING while the last step's traffic waits for more copies; paused or not. */
bool rollout_is_judged(const struct rollout *rollout);
json_t *rollout_to_json(const struct rollout *rollout);
int rollout_from_json(const json_t *json, struct rollout *ret, struct error **err) must_check;

struct rollout_input {
	const struct rollout_spec *spec;
	const struct release *stable;   /* NULL: first release */
	const struct release *candidate;
	/* What a look at the target gave that began after the last desired state was handed to the driver, so that no older apply can
	 * still be changing weights behind it; NULL: there is none, the target did not answer. */
	const struct actual *actual;
	const struct analysis_verdict *verdict; /* NULL unless rollout_is_judged(), or without analysis */
	enum verify_status verify;      /* while VERIFYING */
	const char *verify_why;         /* how it failed: "exit code 1; see `penstock logs rollout/7`" */
	enum rollout_command command;
	int64_t now_ms;
	unsigned stable_replicas;       /* of the live release; 0: as many as the candidate's */
	const char *command_by;         /* who asked, for the reason; NULL: "a person" */
	const char *command_why;        /* instead of who: what happened that asks for it, "superseded by run 3" */
	const char *trouble;            /* the target's last error, or NULL; makes the reason of a missed deadline */
	bool trouble_is_final;          /* trying again will not help */
};
struct rollout_output {
	struct rollout next;
	struct desired desired;         /* always the whole truth, whether changed or not */
	bool changed_state, changed_desired;
	bool new_step;                  /* analysis_step() is due */
	bool verify_due;                /* the verify command should be running: start it unless it is */
	int64_t wake_at_ms;             /* call again no later than this; INT64_MAX: only when something happens */
	const char *refused;            /* why a command cannot be obeyed now, or NULL; static */
};
/* The caller then sets ret->generation to the target's, and ret->fast_track with ret->was_live_ms. */
void rollout_start(int64_t id, bool has_stable, int64_t now_ms, struct rollout *ret);
/* For the replay: everything rollout_next() reads of an input, but the verdict (which is recomputed), the spec and the releases. */
json_t *rollout_input_to_json(const struct rollout_input *input);
struct rollout_input_store { struct actual actual; char command_by[128], command_why[256], trouble[256], verify_why[256]; }; /* what a read input points into */
/* Sets what rollout_input_to_json() wrote; spec, releases and verdict stay NULL, for the caller to set. Texts point into `store`. */
int rollout_input_from_json(const json_t *json, struct rollout_input_store *store, struct rollout_input *ret, struct error **err) must_check;
void rollout_next(const struct rollout *rollout, const struct rollout_input *input, struct rollout_output *ret);
#endif
