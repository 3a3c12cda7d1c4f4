/* What a deploy stage asks for: plain data, made by stages/deploy, carried out by the runner through deployers/. Stored as JSON in
 * the rollout's row; rollout_spec_from_json(rollout_spec_to_json(s)) gives the same spec. */
#ifndef PIPELINES_ROLLOUT_SPEC_H
#define PIPELINES_ROLLOUT_SPEC_H

#include "base/arena.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROLLOUT_MAX_STEPS 32
#define ROLLOUT_MAX_METRICS 16

enum strategy { STRATEGY_CANARY, STRATEGY_BLUE_GREEN, STRATEGY_IMMEDIATE };
enum undecided { UNDECIDED_HOLD, UNDECIDED_PROMOTE, UNDECIDED_ROLLBACK };

struct analysis_metric {
	const char *metric;       /* "error_rate" (margin form), "latency_p99" ... */
	bool versus_stable;       /* no_worse_than: stable */
	double margin;            /* fraction: 0.005 for "0.5%"; rates */
	double ratio;             /* latency; 0: none */
	bool informational;       /* shown beside the verdicts, never decides (this build: everything but error_rate) */
};

struct rollout_spec {
	const char *target;       /* operator's name */
	const char *image_stage;  /* id of the build stage whose image this is */
	unsigned replicas;
	const char *health_path;
	uint64_t health_within_ms;
	enum strategy strategy;
	uint32_t steps_ppm[ROLLOUT_MAX_STEPS]; /* canary weights in millionths, increasing; the last step to 1,000,000 is implied */
	size_t n_steps;
	uint64_t hold_at_least_ms, hold_at_most_ms;
	uint64_t min_requests;    /* candidate requests before a step may be left (default 100) */
	double alpha;
	struct analysis_metric metrics[ROLLOUT_MAX_METRICS];
	size_t n_metrics;
	enum undecided undecided;
	uint64_t keep_old_ms;
};

json_t *rollout_spec_to_json(const struct rollout_spec *spec);
int rollout_spec_from_json(const json_t *json, struct arena *arena, struct rollout_spec *ret, struct error **err);
const char *strategy_name(enum strategy strategy);
#endif
