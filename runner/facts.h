/* The facts of an event between their row (JSON) and the planner (struct event_facts). */
#ifndef RUNNER_FACTS_H
#define RUNNER_FACTS_H

#include "base/json.h"
#include "pipelines/plan.h"

/* {"kind", "branch", "tag", "ref", "commit", "before", "author", "message", "trusted", "inputs": {}, "changed": [] or null}; strings are copied
 * into the arena. INVALID if the kind is unknown. `repository` and `run_number` are the caller's. */
int facts_from_json(const json_t *json, const char *repository, uint64_t run_number, struct arena *arena, struct event_facts *ret,
		    struct error **err) must_check;
#endif
