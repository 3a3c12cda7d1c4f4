/* Inside stages/deploy only. */
#ifndef STAGES_DEPLOY_DEPLOY_PRIV_H
#define STAGES_DEPLOY_DEPLOY_PRIV_H

#include "stages/deploy/deploy.h"

#define HOLD_AT_LEAST_MS 60000u
#define HOLD_AT_MOST_MS 1800000u

extern const struct schema deploy_schema;

/* deploy_schema.c: what the schema cannot say, things that depend on each other within the body. */
void deploy_check_body(const struct yaml_node *body, struct diag_list *diags);
/* Of words that passed; a missing node gives the default. */
enum strategy deploy_strategy(const struct yaml_node *strategy);
enum undecided deploy_policy(const struct yaml_node *node);
enum burst_guard_kind deploy_guard(const struct yaml_node *node);

/* deploy_metrics.c */
extern const struct schema deploy_metrics_schema;
void deploy_check_metric(const struct yaml_node *metric, struct diag_list *diags);
void deploy_check_twins(const struct yaml_node *list, struct diag_list *diags);
/* False: it is shown beside the verdicts. */
bool deploy_metric_decides(const struct yaml_node *metric);
void deploy_read_metric(const struct yaml_node *metric, struct arena *arena, struct analysis_metric *ret);

/* deploy_read.c: of a body that passed; strings are copied into the arena. */
void deploy_read(const struct yaml_node *body, struct arena *arena, struct rollout_spec *ret);
#endif
