/* The daemon: opens state, engine, rollouts and listeners in this order, runs until SIGTERM or SIGINT, closes in reverse. Attempts,
 * served models and traffic go on without it (docs/ARCHITECTURE.md). SIGHUP reads the configuration again; one with mistakes, or with
 * changes that only a restart can bring about, is refused whole. */
#ifndef RUNNER_SERVE_H
#define RUNNER_SERVE_H

#include "base/cleanup.h"

/* Writes the actual address to `<state>/listen` once it is ready. Returns after a graceful end. */
int serve(const char *config_file, struct error **err) must_check;
#endif
