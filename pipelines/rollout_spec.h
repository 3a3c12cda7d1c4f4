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
/* What to do when hold.at_most has passed and the verdict is this one. */
enum undecided { UNDECIDED_HOLD, UNDECIDED_PROMOTE, UNDECIDED_ROLLBACK };
/* How bursts in one instance are kept from looking like harm (docs/statistics.md). */
enum burst_guard_kind { BURSTS_DEFAULT, BURSTS_NONE, BURSTS_EXCHANGEABLE, BURSTS_TEMPERED };

/* What kind of numbers a metric is made of; decides which sequential test it gets. */
#define METRIC_KINDS(X)                                                                             \
	X(RATE, "rate", "events of trials: errors of requests, right answers of labelled ones")     \
	X(LATENCY, "latency", "a quantile of the time to the answer")                               \
	X(DISTRIBUTION, "distribution", "how classes or bins are shared: predictions, scores, features") \
	X(MEAN, "mean", "a number between two bounds")
enum metric_kind {
#define X(name, text, doc) METRIC_##name,
	METRIC_KINDS(X)
#undef X
};
enum distance { DISTANCE_TOTAL_VARIATION, DISTANCE_PSI };

struct analysis_metric {
	const char *metric;       /* "error_rate", "latency_p99", "prediction_drift" ..., or the user's own name with a source; unique */
	enum metric_kind kind;
	bool versus_stable;       /* no_worse_than: stable */
	bool higher_is_better;    /* RATE, MEAN: `better: higher` */
	double margin;            /* RATE: fraction, 0.005 for "0.5%"; MEAN: in the metric's own unit; above 0 where it is the bound */
	double ratio;             /* LATENCY, RATE: candidate / stable that still passes; 0: none */
	double at_most;           /* DISTRIBUTION: distance between the arms that still passes; -1: none */
	enum distance distance;   /* DISTRIBUTION: `distance: total_variation | psi` */
	double quantile;          /* LATENCY: 0.99; 0: the mean (shown only) */
	double low, high;         /* MEAN: `range: [low, high]` */
	bool informational;       /* `show: true`: shown beside the verdicts, never decides */

	/* Where the numbers come from. NULL: the target's router. "app": the instances' own OpenMetrics page. Else an operator's
	 * metric source. The selectors are in the source's language (docs/metric-sources.md): families with labels for OpenMetrics, queries for
	 * Prometheus, JSON pointers for JSON and commands. "{{arm}}", "{{version}}", "{{image}}", "{{instances}}", "{{window}}" are filled in for each arm. */
	const char *source;
	const char *events, *total; /* RATE: counters */
	const char *value;          /* MEAN: gauge; each reading is one observation */
	const char *distribution;   /* DISTRIBUTION: a histogram, or a counter with the label `by` */
	const char *by;             /* label whose values are the classes; NULL: "le" (histogram) */
	uint64_t every_ms;          /* how often the source is asked; 0: 5 s */
};

/* What a canary step asks for beside its weight. Zero: as the strategy says. */
struct step_terms {
	uint64_t hold_at_least_ms, hold_at_most_ms; /* 0: the canary's own */
	unsigned replicas;        /* the candidate's copies during the step; 0: all */
	bool pause;               /* when its evidence suffices: wait for `penstock resume` */
	bool approve;             /* ... for `penstock approve`, by somebody with deploy scope */
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
	struct step_terms terms[ROLLOUT_MAX_STEPS]; /* of steps_ppm[i] */
	uint64_t hold_at_least_ms, hold_at_most_ms;
	uint64_t min_requests;    /* candidate requests before a step may be left (default 100) */
	double alpha;
	struct analysis_metric metrics[ROLLOUT_MAX_METRICS];
	size_t n_metrics;
	enum undecided undecided, no_data, provider_error, split_broken; /* policies at hold.at_most; each verdict has its own */
	enum burst_guard_kind bursts;
	uint64_t keep_old_ms;
	uint64_t rollback_window_ms; /* a release that was live (and not taken back) within it goes the fast track: no analysis; 0: none does */
	bool newer_waits;            /* `newer_release: wait`: a newer release waits for the end instead of taking this one's place */

	/* Blue-green: the candidate at full size and weight 0 is shown on the target's preview address; then all traffic at once. */
	const char *verify_run;      /* command, run in the commit's files with PENSTOCK_PREVIEW_URL; NULL: none */
	uint64_t verify_timeout_ms;
	bool verify_approve;         /* and then a person must approve */

	/* Copies. */
	uint64_t restart_after_ms;   /* `health.restart_after`: a copy that was up and answers no check for so long is restarted; 0: never */
	uint64_t memory_bytes;       /* `resources`; 0: the target's own limit */
	unsigned cpu;                /* whole cores; 0: none */
};

json_t *rollout_spec_to_json(const struct rollout_spec *spec);
int rollout_spec_from_json(const json_t *json, struct arena *arena, struct rollout_spec *ret, struct error **err);
const char *strategy_name(enum strategy strategy);
const char *metric_kind_name(enum metric_kind kind);
const char *distance_name(enum distance distance);
#endif
