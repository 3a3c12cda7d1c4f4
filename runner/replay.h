/* Recomputing a rollout from its stored observations: the same pure functions, fed with the same inputs in the same order, must come to
 * the same decisions, bit for bit. Pure: rows in, report out. `penstock replay` runs it on what the daemon hands out; the daemon itself
 * uses it to rebuild an analysis that another version stored.
 *
 * Observations, in the order of their ids (docs/rollouts.md, "What is stored"):
 *   {"kind": "begin", "machine": {...}}                       the machine as it began; absent in rollouts of version 0.1
 *   {"kind": "counts", "stable": ..., "candidate": ..., "weight_ppm", "from_ms", "to_ms", "dropped"?: "why not used"}
 *   {"kind": "measure", "metric": "prediction_drift", "measure": {...}, "dropped"?}
 *   {"kind": "source", "metric": ..., "no_data": true | "trouble": "why"}    or neither: it answers (again)
 *   {"kind": "provider", "answers": false}                     the router's counts
 *   {"kind": "turn", "input": {...}, "machine": {...}, "verdict": {...} or null}   a turn that changed the machine: what went in, what came out
 * A row without "kind" is counts (version 0.1). */
#ifndef RUNNER_REPLAY_H
#define RUNNER_REPLAY_H

#include "deployers/rollout.h"

struct replay_setup {
	const struct rollout_spec *spec;
	const struct release *stable, *candidate; /* stable NULL: first release */
};
struct replay;
struct replay *replay_new(const struct replay_setup *setup); /* borrows everything */
void replay_free(struct replay *replay);
DEFINE_CLEANUP(struct replay, replay_free);

/* One observation, with its row's id and step. INVALID: it cannot be read, or stands where it cannot (the replay stops being of use then).
 * A rollout that version 0.1 began and this one ends has no beginning, but turns: the first is taken as it is, the others are recomputed. */
int replay_row(struct replay *replay, int64_t id, unsigned step, const json_t *row, struct error **err) must_check;

struct replay_report {
	uint64_t counts, measures, dropped; /* blocks used, of the router and of sources; stored but not used */
	uint64_t turns, agreed;             /* decisions recomputed; of these the same */
	bool has_begin;                     /* false: from before turns were stored; what came before the first turn is evidence only */
	bool has_state;                     /* there is a beginning or a turn */
	enum rollout_state state;           /* as the rows end */
	int64_t differs_at;                 /* id of the first row that differs; 0: none */
	char difference[512];               /* "stored: stepping, step 2 ...; recomputed: ..." */
};
void replay_report(const struct replay *replay, struct replay_report *ret);
/* The evidence so far; borrowed, NULL if the rollout has no metrics. */
const struct analysis *replay_analysis(const struct replay *replay);
/* Takes it out of the replay (the daemon goes on with it). */
struct analysis *replay_steal_analysis(struct replay *replay);

/* What a turn row keeps of a verdict: names and exact e-values. */
json_t *replay_verdict_json(const struct analysis_verdict *verdict);
#endif
