/* Short-lived helper processes (git-sync, unpack, haproxy -c): started from argv arrays, never by a shell, killable, with
 * deadline and bounded output. Attempts and instances are not these: they go through base/attempt and outlive us.
 * A child is finished only after end of file on its output and its wait status. */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include "base/loop.h"

#include <stddef.h>

struct child_spec {
	const char *const *argv;    /* argv[0] is looked up in PATH if it has no "/" */
	const char *const *env;     /* "NAME=VALUE"...; NULL: PATH, HOME, LANG=C.UTF-8 and nothing else */
	const char *dir;            /* working directory or NULL */
	const void *input;          /* standard input, or NULL for /dev/null */
	size_t input_len;
	size_t max_output;          /* bytes kept of stdout and of stderr each (0: 1 MiB); the rest is read and dropped */
	uint64_t timeout_ms;        /* 0: none; then KILL to the group */
	const int *inherit_fds;     /* n_inherit_fds descriptors that stay open in the child under the same numbers */
	size_t n_inherit_fds;
};

struct child_result {
	int exit_code;  /* valid if signal == 0 and !timed_out */
	int signal;     /* or 0 */
	bool timed_out, cancelled;
	char *out, *err_text; /* NUL-terminated; owned by the result */
	size_t out_len;
};
void child_result_done(struct child_result *result);

/* Starts the child; exec failure is an error here (it comes back on a CLOEXEC pipe; ENOENT gives MISSING). `done` is called once, from the loop. */
struct child;
typedef void (*child_done_fn)(void *arg, const struct child_result *result);
int child_start(struct loop *loop, const struct child_spec *spec, child_done_fn done, void *arg, struct child **ret, struct error **err) must_check;
void child_cancel(struct child *child); /* KILL to its group; done() is still called, with cancelled set */
/* Turns the loop until every cancelled child is gone. For closing down, before loop_free(). */
void child_drain(struct loop *loop);

/* The same, waiting. For the command line, native stages and tests. */
int child_run(const struct child_spec *spec, struct child_result *ret, struct error **err) must_check;
/* 0 if result is a plain exit 0; else an error "<what>: exit status 1: <last line of stderr>". */
int child_expect_success(const struct child_result *result, const char *what, struct error **err) must_check;
#endif
