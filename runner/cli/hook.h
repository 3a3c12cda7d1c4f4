/* `penstock hook`, see hook.c. */
#ifndef RUNNER_CLI_HOOK_H
#define RUNNER_CLI_HOOK_H
int cli_hook(int argc, char **argv);
#endif
