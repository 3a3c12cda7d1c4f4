/* Inside stages/deploy only. */
#ifndef STAGES_DEPLOY_DEPLOY_PRIV_H
#define STAGES_DEPLOY_DEPLOY_PRIV_H

#include "stages/deploy/deploy.h"

extern const struct schema deploy_schema;

/* Known metrics of a rollout. Those that do not decide are shown beside the verdicts. */
/* name, decides, documentation */
#define DEPLOY_METRICS(X)                                                                                  \
	X("error_rate", true, "5xx answers, broken connections and time-outs, of all requests")            \
	X("latency_p50", false, "median time to the answer")                                               \
	X("latency_p90", false, "90 of 100 answers are faster")                                            \
	X("latency_p95", false, "95 of 100 answers are faster")                                            \
	X("latency_p99", false, "99 of 100 answers are faster")

/* What the schema cannot say: things that depend on each other within the body. */
void deploy_check_body(const struct yaml_node *body, struct diag_list *diags);
/* Of a body that passed; strings are copied into the arena. */
void deploy_read(const struct yaml_node *body, struct arena *arena, struct rollout_spec *ret);
#endif
