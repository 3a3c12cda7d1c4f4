/* The command line: one table, one file a command. A command gets its own argv (argv[0] is its name) and returns the exit status. */
#ifndef RUNNER_CLI_CLI_H
#define RUNNER_CLI_CLI_H

struct cli_command {
	const char *name;
	const char *group;    /* "Pipelines", "Runs", "Rollouts", "Daemon"; NULL: hidden (children of the daemon) */
	const char *synopsis; /* "[--json] RUN" */
	const char *summary;  /* one line */
	int (*run)(int argc, char **argv);
};
extern const struct cli_command cli_commands[]; /* ends with a NULL name */
int cli_main(int argc, char **argv);
#endif
