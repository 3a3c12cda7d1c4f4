/* What the commands that ask the daemon share: one table of options, from which parsing and help are made.
 *
 *     static const struct cli_usage usage = {CLI_SOCKET | CLI_JSON, 1, 1, "What it does.", NULL, "penstock show 12"};
 *     struct cli_arguments arguments;
 *     int status = cli_arguments_parse(argc, argv, &usage, &arguments);
 *     if (status != CLI_GO_ON)
 *             return status; */
#ifndef RUNNER_CLI_OPTIONS_H
#define RUNNER_CLI_OPTIONS_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* bit, name, argument or NULL, field, documentation */
#define CLI_OPTIONS(X)                                                                                                \
	X(JSON, "json", NULL, json, "print JSON instead of text")                                                      \
	X(WAIT, "wait", NULL, wait, "wait until it has ended; the exit status tells how")                             \
	X(FOLLOW, "follow", NULL, follow, "go on until the run has ended; the exit status tells how")                 \
	X(WATCH, "watch", NULL, watch, "show it again whenever it changes, until interrupted")                        \
	X(FULL, "full", NULL, full, "emergency: all traffic as soon as one copy is ready; skips what is told above") \
	X(NOW, "now", NULL, now, "emergency: as soon as one copy of the release before is ready; skips what is told above")                     \
	X(ONCE, "once", NULL, once, "show it once, as it is now")                                                     \
	X(SAVE, "save", "FILE", save, "write all that was fetched to this file; `replay FILE` needs no daemon")       \
	X(STAGE, "stage", "STAGE", stage, "of this stage only, without its name before each line")                    \
	X(FROM, "from", "STAGE", from, "reuse the outputs of the stages before this one")                             \
	X(REPOSITORY, "repository", "NAME", repository, "of this repository only")                                    \
	X(BRANCH, "branch", "NAME", branch, "of this branch only")                                                    \
	X(STATE, "state", "STATE", state, "only those that are queued, syncing, running or finished")                 \
	X(TARGET, "target", "NAME", target, "of this target only")                                                    \
	X(LIMIT, "limit", "N", limit, "at most so many (default: 20)")                                                \
	X(SOCKET, "socket", "FILE", socket,                                                                           \
	  "the daemon's socket (else $PENSTOCK_SOCKET, that of ./penstock.yml, /run/penstock/penstock.sock)")

enum cli_option_index {
#define X(bit, name, argument, field, doc) CLI_INDEX_##bit,
	CLI_OPTIONS(X)
#undef X
	N_CLI_OPTIONS,
};
enum {
#define X(bit, name, argument, field, doc) CLI_##bit = 1u << CLI_INDEX_##bit,
	CLI_OPTIONS(X)
#undef X
};

struct cli_usage {
	unsigned options;
	int min_words, max_words;
	const char *about;   /* sentences */
	const char *exits;   /* NULL: those of every command */
	const char *example; /* a line, or several */
};

struct cli_arguments {
	const char *command; /* argv[0] */
	const char *json, *wait, *follow, *watch, *full, *now, *once; /* non-NULL: given */
	const char *save, *stage, *from, *repository, *branch, *state, *target, *limit, *socket;
	char **words;
	int n_words;
};

enum { CLI_GO_ON = -1 };
/* CLI_GO_ON, or the exit status: 0 after --help, 2 after complaining to standard error. */
int cli_arguments_parse(int argc, char **argv, const struct cli_usage *usage, struct cli_arguments *ret);
/* A word as the number of a run; complains and returns false. */
bool cli_run_number(const struct cli_arguments *arguments, const char *word, int64_t *ret);
/* "penstock COMMAND: message" to standard error; returns the exit status. */
int cli_fail(const struct cli_arguments *arguments, const struct error *err);
#endif
