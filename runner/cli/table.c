#include "runner/cli/cli.h"

#include <stdio.h>
#include <string.h>

static int version_command(int argc, char **argv)
{
	(void)argc, (void)argv;
	puts("penstock 0.1.0");
	return 0;
}

const struct cli_command cli_commands[] = {
	{"version", "Daemon", "", "print the version", version_command},
	{NULL},
};

int cli_main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "help";
	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (strcmp(command->name, name) == 0)
			return command->run(argc - 1, argv + 1);
	fprintf(stderr, "penstock: there is no command \"%s\"\n", name);
	return 2;
}
