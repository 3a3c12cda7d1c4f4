/* The pipeline language (docs/pipeline.md): bytes in, a checked pipeline or diagnostics out. Pure: no files, no clock, no network.
 *
 *     struct pipeline *p = pipeline_parse(".penstock.yml", text, len, stage_kinds(), diags);   // NULL and diagnostics, or both
 *     ...
 *     pipeline_free(p);
 *
 * `pipelines` never includes `stages`: whoever calls hands it the table of stage kinds. Everything in a struct pipeline lives in
 * its arena and is immutable. Optional durations and counts are already resolved against `defaults`. */
#ifndef PIPELINES_PIPELINE_H
#define PIPELINES_PIPELINE_H

#include "base/arena.h"
#include "base/schema.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- outcomes: one row each; shared by stages, runs and attempts ---- */
/* name, exit status of the command line, retry budget ('u' user, 'i' infrastructure, '-' never retried), documentation */
#define OUTCOMES(X)                                                                    \
	X(SUCCESS, "success", 0, '-', "everything that was asked for happened")        \
	X(FAILED, "failed", 1, 'u', "the command or check failed")                     \
	X(REJECTED, "rejected", 3, '-', "a quality gate said no")                      \
	X(TIMEOUT, "timeout", 1, 'u', "ran longer than its timeout")                   \
	X(OOM, "oom", 1, 'u', "was killed for memory")                                 \
	X(CANCELLED, "cancelled", 4, '-', "a person or a newer run stopped it")        \
	X(ROLLED_BACK, "rolled_back", 4, '-', "the rollout was taken back")            \
	X(PREEMPTED, "preempted", 5, 'i', "the machine was taken away")                \
	X(LOST, "lost", 5, 'i', "its leader vanished without an exit record")          \
	X(INFRA, "infra", 5, 'i', "the surroundings failed, not the stage")            \
	X(SKIPPED, "skipped", 0, '-', "its conditions did not hold, or what it needs did not succeed")

enum outcome {
#define X(name, text, exit_status, budget, doc) OUTCOME_##name,
	OUTCOMES(X)
#undef X
	OUTCOME_NONE, /* not finished yet */
};
const char *outcome_name(enum outcome outcome);             /* "success"; "" for NONE */
bool outcome_from_name(const char *name, enum outcome *ret);
int outcome_exit_status(enum outcome outcome);

/* ---- what the runner tells the language about stage kinds ---- */
struct pipeline;
struct stage;
struct stage_kind {
	const char *name;            /* the YAML key: "run", "validate", "score" ... */
	const char *doc;
	const struct schema *schema; /* of the body */
	/* More checks on a body that fits its schema (NULL: none); may look at the pipeline, e.g. whether `image: image` names a build stage. */
	void (*check)(const struct pipeline *pipeline, const struct stage *stage, struct diag_list *diags);
	const char *unavailable;     /* NULL, or why this build refuses it: "chart stages are not available in this build" */
};

/* ---- the checked pipeline ---- */
enum event_kind { EVENT_PUSH, EVENT_PULL_REQUEST, EVENT_TAG, EVENT_SCHEDULE, EVENT_MANUAL, EVENT_DRIFT, N_EVENT_KINDS };
const char *event_kind_name(enum event_kind kind); /* "push" */

struct globs { const char *const *items; size_t n; }; /* "!x" negates; empty: matches everything */

struct trigger {
	bool enabled;
	struct globs branches, tags, paths;
	const struct yaml_node *node; /* the rest, e.g. manual inputs */
};

struct when {
	bool present;
	struct globs event, branch, tag, path;
	struct globs status; /* "success" (default), "failed" */
	const struct yaml_node *node;
};

struct retry {
	unsigned limit;             /* retries for user failures listed in on */
	struct globs on;            /* outcome names or "exit:75" */
	unsigned infra_limit;       /* separate budget for infra, preempted, lost (default 2) */
};

struct name_value { const char *name, *value; };

struct stage {
	const char *id;             /* unique; matrix cells are "train (lr=0.1)" */
	const char *name;           /* as written; cells of a matrix share it */
	const char *kind;           /* "run" ... */
	const struct stage_kind *kind_row;
	const struct yaml_node *node, *body;
	const size_t *needs;        /* indexes into pipeline->stages */
	size_t n_needs;
	const struct name_value *env;    /* pipeline env overlaid by stage env and matrix values filled in */
	size_t n_env;
	const struct name_value *matrix; /* this cell's values */
	size_t n_matrix;
	struct globs inputs;        /* n == 0: all files of the commit */
	const char *const *outputs; /* as written: "model/", "out/x.csv" */
	size_t n_outputs;
	const char *checkpoint;     /* or NULL */
	const char *const *secrets;
	size_t n_secrets;
	uint64_t timeout_ms;        /* default 1h */
	struct retry retry;
	unsigned cpu;               /* 0: not given */
	uint64_t memory_bytes;
	unsigned gpu;
	bool network;               /* network: host */
	struct when when;
};

struct pipeline {
	const char *file, *name;
	struct trigger on[N_EVENT_KINDS];
	bool has_on;                /* no `on`: push to any branch and manual */
	struct { bool present; const char *group; unsigned limit; bool latest; } concurrency;
	const struct stage *stages; /* in file order, matrix expanded */
	size_t n_stages;
	const struct yaml_node *root;
	struct arena *arena;
};

struct pipeline *pipeline_parse(const char *file, const char *text, size_t len, const struct stage_kind *const *kinds /* NULL-terminated */,
				struct diag_list *diags);
void pipeline_free(struct pipeline *pipeline);
DEFINE_CLEANUP(struct pipeline, pipeline_free);
#define cleanup_pipeline CLEANUP(pipeline_free)

/* The index of the stage with that id or name, or -1. */
long pipeline_find(const struct pipeline *pipeline, const char *name);

/* Glob match: "*" within a path part, "**" across, "?" one character, "[a-z]". */
bool glob_match(const char *pattern, const char *text);
/* At least one positive pattern matches (or there is none) and no "!" pattern does. */
bool globs_match(const struct globs *globs, const char *text);
#endif
