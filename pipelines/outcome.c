#include "pipelines/pipeline.h"

#include <string.h>

static const struct {
	const char *name;
	int exit_status;
} outcomes[] = {
#define X(name, text, exit_status, budget, doc) {text, exit_status},
	OUTCOMES(X)
#undef X
};

const char *outcome_name(enum outcome outcome)
{
	return outcome < OUTCOME_NONE ? outcomes[outcome].name : "";
}

bool outcome_from_name(const char *name, enum outcome *ret)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(outcomes); i++) {
		if (strcmp(outcomes[i].name, name) == 0) {
			*ret = (enum outcome)i;
			return true;
		}
	}
	return false;
}

int outcome_exit_status(enum outcome outcome)
{
	return outcome < OUTCOME_NONE ? outcomes[outcome].exit_status : 0;
}

const char *event_kind_name(enum event_kind kind)
{
	static const char *const names[N_EVENT_KINDS] = {"push", "pull_request", "tag", "schedule", "manual", "drift"};
	return kind < N_EVENT_KINDS ? names[kind] : "";
}
