/* Between gate.c (the kind) and command.c (`penstock gate`). */
#ifndef STAGES_GATE_GATE_PRIV_H
#define STAGES_GATE_GATE_PRIV_H

#include "base/schema.h"

/* A list of rules; one alone stands for a list of one. Checks structure and every rule, each at its place. */
extern const struct schema gate_rules_schema;
/* The rules as gates/quality.h reads them. New reference. */
json_t *gate_rules_json(const struct yaml_node *node);
#endif
