/* Runs an attempt to its end, the way the daemon does: start, watch, read what it left.
 *
 *     struct attempt_command command = shell_command("exit 3");
 *     struct attempt_spec spec = {.dir = fixture->dir, .commands = &command, .n_commands = 1};
 *     CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);
 *     assert_int_equal(ran->record.exit_code, 3); */
#ifndef TESTS_SUPPORT_ATTEMPT_RUN_H
#define TESTS_SUPPORT_ATTEMPT_RUN_H

#include "base/attempt/attempt.h"

struct ran {
	enum attempt_state state;
	struct exit_record record; /* of a finished one */
	char *log, *result;        /* "" when there is none */
};
void ran_free(struct ran *ran);
DEFINE_CLEANUP(struct ran, ran_free);

/* `sh -c script`, named "main", with PATH alone in its environment. `script` must outlive it. Five at a time. */
struct attempt_command shell_command(const char *script);
/* Sets $PENSTOCK_LEADER; call it in main(). */
void use_leader(const char *path);

struct ran *attempt_run(const struct attempt_spec *spec); /* fails the test when it does not start */
struct ran *attempt_await(const char *dir);               /* of one that runs; fails the test after 60 s */
/* cmocka teardown: waits for leaders, then fixture_teardown. */
int attempt_teardown(void **state);
/* Waits until the file is there (or its text begins so); fails the test after 60 s. */
void await_file(const char *dir, const char *name);
#endif
