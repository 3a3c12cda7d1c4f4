/* `penstock run`, see run.c. */
#ifndef RUNNER_CLI_RUN_H
#define RUNNER_CLI_RUN_H
int cli_run(int argc, char **argv);
#endif
