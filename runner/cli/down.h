/* `penstock down`, see down.c. */
#ifndef RUNNER_CLI_DOWN_H
#define RUNNER_CLI_DOWN_H
int cli_down(int argc, char **argv);
#endif
