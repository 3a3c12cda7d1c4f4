/* The rollout machine: a pure function from what is known to what should be true next. No I/O, no clock, no memory but the struct. */
#ifndef DEPLOYERS_ROLLOUT_H
#define DEPLOYERS_ROLLOUT_H

#include "deployers/target.h"
#include "gates/analysis.h"
#include "pipelines/rollout_spec.h"

#define ROLLOUT_STATES(X)                                                                                                    \
	X(STARTING, "starting", false, "the candidate's copies are being started, without traffic")                          \
	X(STEPPING, "stepping", false, "the candidate has its share of the traffic and is being judged")                     \
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

enum rollout_command { ROLLOUT_NONE, ROLLOUT_PROMOTE /* skip the rest of the steps */, ROLLOUT_ROLLBACK, ROLLOUT_PAUSE, ROLLOUT_RESUME };

/* Everything that is remembered; plain, stored as JSON in the rollout's row. */
struct rollout {
	int64_t id;
	enum rollout_state state;
	enum rollout_state paused_from; /* while PAUSED */
	unsigned step;                  /* index into spec.steps_ppm while STEPPING */
	int64_t state_since_ms, step_since_ms, promoted_at_ms;
	int64_t paused_ms;              /* time spent paused in this step, not counted against hold */
	bool has_stable;                /* false: first release */
	uint64_t generation;
	char reason[256];               /* of the last transition, for people and the table */
	char decided_by[32];            /* "analysis", "operator", "health", "policy", "" */
};
json_t *rollout_to_json(const struct rollout *rollout);
int rollout_from_json(const json_t *json, struct rollout *ret, struct error **err) must_check;

struct rollout_input {
	const struct rollout_spec *spec;
	const struct release *stable;   /* NULL: first release */
	const struct release *candidate;
	const struct actual *actual;    /* NULL: the target did not answer */
	const struct analysis_verdict *verdict; /* NULL outside STEPPING or without analysis */
	enum rollout_command command;
	int64_t now_ms;
};
struct rollout_output {
	struct rollout next;
	struct desired desired;         /* always the whole truth, whether changed or not */
	bool changed_state, changed_desired;
	bool new_step;                  /* analysis_step() is due */
	int64_t wake_at_ms;             /* call again no later than this; INT64_MAX: only when something happens */
	const char *refused;            /* why a command cannot be obeyed now, or NULL; static */
};
void rollout_start(int64_t id, bool has_stable, int64_t now_ms, struct rollout *ret);
void rollout_next(const struct rollout *rollout, const struct rollout_input *input, struct rollout_output *ret);
#endif
