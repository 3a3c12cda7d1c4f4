/* `penstock run`: a checkout's pipeline on this machine, without a daemon, through the same engine.
 *
 * Each checkout has a private state folder; the files are those of the working tree, uncommitted ones included, ignored ones not. What an
 * earlier, killed `penstock run` left unfinished there is cancelled first. Deploy stages are skipped. Secrets come from the environment. */
#ifndef RUNNER_LOCAL_H
#define RUNNER_LOCAL_H

#include "base/json.h"
#include "pipelines/pipeline.h"

struct local_request {
	const char *dir;       /* the checkout */
	const char *state_dir; /* NULL: $XDG_STATE_HOME/penstock/local/<hash of dir> */
	const char *stage;     /* NULL: all; else this one and what it needs */
	const char *event;     /* NULL: push (manual if there are inputs), and triggers are not asked */
	const char *branch;    /* NULL: the one that is checked out */
	const json_t *inputs;  /* {name: text} or NULL */
	bool quiet;            /* no progress and logs */
	bool color;
	FILE *progress; /* where progress, logs and the summary go */
};
struct local_result {
	enum outcome outcome;
	bool bad_pipeline; /* diagnostics were printed, nothing was started */
	json_t *json;      /* {"run", "outcome", "reason", "stages": [{"name", "kind", "outcome", "reason", "ms"}]}; owned by the caller */
};
/* Returns when the run has ended, however it did. SIGINT and SIGTERM cancel it. Errors: INVALID (no such folder, unknown event), IO ... */
int local_run(const struct local_request *request, struct local_result *ret, struct error **err) must_check;
#endif
