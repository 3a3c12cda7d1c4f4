/* `penstock lint`, see lint.c. */
#ifndef RUNNER_CLI_LINT_H
#define RUNNER_CLI_LINT_H
int cli_lint(int argc, char **argv);
#endif
