/* The commands that ask the daemon, and those that need nobody; see table.c. */
#ifndef RUNNER_CLI_COMMANDS_H
#define RUNNER_CLI_COMMANDS_H

int cli_analyze(int argc, char **argv); /* analyze.c; the only one here that asks nobody but a file */
int cli_ps(int argc, char **argv);
int cli_show(int argc, char **argv);
int cli_logs(int argc, char **argv);
int cli_cancel(int argc, char **argv);
int cli_retry(int argc, char **argv);
int cli_releases(int argc, char **argv);
int cli_targets(int argc, char **argv);
int cli_rollouts(int argc, char **argv);
int cli_target_command(int argc, char **argv); /* promote, rollback, pause, resume, approve: argv[0] says which */
int cli_secret(int argc, char **argv);
int cli_version(int argc, char **argv);
int cli_help(int argc, char **argv);
#endif
