/* A command as a person or a script calls it: arguments in, what it printed and its exit status out.
 *
 *     cleanup_said struct said said = command_line(fixture, gate_command, "gate --rules rules.yml --metrics m.json");
 *     assert_string_equal(said.err, "");
 *     assert_int_equal(said.status, 0);
 *
 * It runs in this process, with nothing on standard input. What it printed also lies in the fixture's directory: stdout, stderr. */
#ifndef TESTS_COMMAND_RUN_H
#define TESTS_COMMAND_RUN_H

#include "base/alloc.h"
#include "tests/support/support.h"

struct said {
	int status;
	char *out, *err;
};
void said_done(struct said *said);
#define cleanup_said __attribute__((cleanup(said_done)))

struct said command_run(const struct fixture *fixture, int (*command)(int, char **), const struct strlist *argv);
/* The line is split at blanks. */
struct said command_line(const struct fixture *fixture, int (*command)(int, char **), const char *line);
#endif
