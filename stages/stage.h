/* Kinds of stage. Each kind is a folder stages/<kind>/ with one const struct stage_ops, listed in stages/registry.c.
 *
 * A kind turns a checked body into work. Work is either commands for an attempt (argv of the user's shell, or of this same binary:
 * `penstock validate ...`, exactly what a person can run by hand), or a rollout, or a person's approval. Pure: it reads no files. */
#ifndef STAGES_STAGE_H
#define STAGES_STAGE_H

#include "base/alloc.h"
#include "pipelines/plan.h"
#include "pipelines/rollout_spec.h"

/* Inside the sandbox: the workspace, the binary, and a read-only folder with files that we give the stage. */
#define STAGE_WORKSPACE "/workspace"
#define STAGE_BINARY "/run/penstock/penstock"
#define STAGE_IN "/run/penstock/in"

enum stage_work_type { WORK_COMMAND, WORK_ROLLOUT, WORK_APPROVAL };

/* What a stage may know of others: results and artifacts of the stages it needs. Filled by the runner. */
struct stage_work {
	enum stage_work_type type;
	struct strlist argv;           /* COMMAND; argv[0] is /bin/sh or STAGE_BINARY */
	bool native;                   /* our own binary: stdout is the JSON result, exit codes are ours (3: rejected, 5: infra) */
	/* Files to place in STAGE_IN before it starts: name -> bytes. */
	struct { char *name; char *bytes; } in_files[8];
	size_t n_in_files;
	bool wants_metrics;            /* place in STAGE_IN/metrics.json the merged results of the needed `score` stages (gate) */
	bool wants_baseline;           /* place in STAGE_IN/baseline.json production's metrics, if any (gate) */
	const char *wants_baseline_file; /* place production's version of this output file at STAGE_IN/baseline-predictions.csv, if any (score);
	                                    the kind has already put "--against STAGE_IN/baseline-predictions.csv" in against_argv */
	struct strlist against_argv;   /* appended to argv only if that file exists */
	bool makes_image;              /* build: incoming layout bound at /run/penstock/layout (writable) */
	struct rollout_spec rollout;   /* ROLLOUT; strings live in the arena given to prepare */
};
void stage_work_done(struct stage_work *work);

struct stage_facts {                   /* for prepare */
	const struct plan_stage *planned;
	const struct event_facts *event;
	struct arena *arena;
};

struct stage_ops {
	struct stage_kind kind;        /* name, doc, schema, check */
	int (*prepare)(const struct stage_facts *facts, struct stage_work *ret, struct error **err);
};

/* All kinds, NULL-terminated, for the runner and for contract tests. */
const struct stage_ops *const *stage_registry(void);
const struct stage_ops *stage_find(const char *name);
/* The same rows as the language wants them, NULL-terminated. */
const struct stage_kind *const *stage_kinds(void);
#endif
