/* A plan: the stages of a pipeline that one event calls for, as a DAG. Pure. */
#ifndef PIPELINES_PLAN_H
#define PIPELINES_PLAN_H

#include "pipelines/pipeline.h"

/* What happened. Event data (branch names, messages) reaches commands only as environment variables. */
struct event_facts {
	enum event_kind kind;
	const char *repository, *branch, *tag, *ref, *commit, *author, *message;
	const char *before;               /* previous head, or NULL */
	const char *const *changed_paths; /* NULL-terminated, or NULL if unknown (then path filters match) */
	const struct name_value *inputs;  /* of a manual run */
	size_t n_inputs;
	bool trusted;
	uint64_t run_number;
};

/* Does this event start the pipeline at all? If not, *ret_reason says why ("branch dev matches none of [main]"; static or in arena). */
bool plan_is_triggered(const struct pipeline *pipeline, const struct event_facts *facts, struct arena *arena, const char **ret_reason);

struct plan_stage {
	const struct stage *stage;
	bool excluded;                    /* its `when` cannot hold for this event */
	const char *excluded_reason;
	const struct yaml_node *body;     /* with ${{ matrix.x }}, ${{ inputs.x }}, ${{ git.sha }} ... filled in */
	const struct name_value *env;     /* complete CI_* and PENSTOCK_* plus pipeline, stage and matrix env, filled in */
	size_t n_env;
};

struct plan {
	const struct pipeline *pipeline;  /* borrowed; must outlive the plan */
	const struct plan_stage *stages;  /* same indexes as pipeline->stages */
	size_t n_stages;
	struct arena *arena;
};

/* NULL with diagnostics when a substitution names something that does not exist or a manual input is missing or of the wrong type. */
struct plan *plan_new(const struct pipeline *pipeline, const struct event_facts *facts, struct diag_list *diags);
void plan_free(struct plan *plan);
DEFINE_CLEANUP(struct plan, plan_free);
#define cleanup_plan CLEANUP(plan_free)

/* "[skip ci]" or "[skip penstock]" in the head commit's message. */
bool message_skips(const char *message);
#endif
