/* Rollouts and targets as the API and the command line show them. */
#ifndef RUNNER_ROLLOUTS_VIEW_H
#define RUNNER_ROLLOUTS_VIEW_H

#include "runner/core.h"

/* One rollout (id), or all of them, newest first (id 0; at most 200). NULL with NOT_FOUND if there is no such id.
 * {"id", "target", "state" ("waiting": for the one before it), "step" (from 1; 0: no step yet), "steps", "weight_ppm", "run", "stage",
 *  "strategy", "candidate": {"id", "version", "image", "run", "commit"}, "stable": the same or null, "verdict": {...} or null,
 *  "reason", "decided_by", "waits_for", "held", "asked" ("", "supersede", "cancel"), "created_ms", "finished_ms" or null,
 *  "alpha", "spec": the whole rollout_spec, "policies": {"undecided", "no_data", "provider_error", "split_broken"}, "step_elapsed_ms" (0 outside a
 *  step; pauses do not count), "fast_track", "emergency", "approved_by", "verify": {"status": "none" | "running" | "passed" | "failed", "why"},
 *  "actual": as in targets_json, or null when it is not active or the target does not answer}
 * "verdict": {"verdict", "reason", "split_p", "step_candidate_requests", "at_ms", "metrics": [{"metric", "test", "unit", "source" (null: the
 *  router), "verdict", "informational", "stable", "candidate", "estimate", "low", "high", "margin", "log_e_worse", "log_threshold_worse",
 *  "log_e_fine", "log_threshold_fine", "p_anytime", "n_stable", "n_candidate", "step_n_candidate", "blocks", "dispersion", "looks":
 *  {"fine": n, ...}, "trouble", "would_change"}]}; numbers that are not known are null. */
json_t *rollouts_json(struct core *core, int64_t id, struct error **err);

/* The stored observations of a rollout with ids greater than `after`, oldest first, at most `limit` of them; runner/replay.h says what the rows are.
 * {"rollout": {"id", "target", "state", "spec", "stable": release or null, "candidate"},
 *  "observations": [{"id", "at_ms", "step", "row"}], "more": whether there are more}. NULL with NOT_FOUND. rollouts_observations.c */
json_t *rollout_observations_json(struct core *core, int64_t id, int64_t after, int64_t limit, struct error **err);

/* All targets: [{"name", "kind", "error" or null, "live": release or null, "previous": release or null, "generation", "rollout": id or null,
 *  "trouble" or null, "drift" or null, "actual": {"seen_ms", "generation", "router_ok", "message", "preview_url" (""), "preview_image", "arms": [{"image", "version",
 *  "replicas", "ready", "weight_ppm", "failed", "message"}]} or null}] */
json_t *targets_json(struct core *core, struct error **err);
#endif
