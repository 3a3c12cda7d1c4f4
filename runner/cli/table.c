#include "artifacts/commands.h"
#include "runner/cli/cli.h"
#include "runner/cli/lint.h"
#include "runner/cli/run.h"
#include "runner/git/git.h"
#include "runner/prepare.h"
#include "stages/command.h"

#include <stdio.h>
#include <string.h>

static int version_command(int argc, char **argv)
{
	(void)argc, (void)argv;
	puts("penstock 0.1.0");
	return 0;
}

const struct cli_command cli_commands[] = {
	{"lint", "Pipelines", "[--format text|json] [FILE|DIRECTORY...]", "check pipelines", cli_lint},
	{"run", "Pipelines", "[--stage STAGE] [--json] [DIR]", "run a checkout's pipeline here, without a daemon", cli_run},
	{"score", "Pipelines", "--predictions DATA --task TASK ...", "measure a model's predictions", score_command},
	{"gate", "Pipelines", "--rules FILE --metrics FILE [--baseline FILE]", "judge numbers by rules", gate_command},
	{"build", "Pipelines", "--spec FILE --context DIR --layout DIR [--tag NAME]", "build an image from files", build_command},
	{"version", "Daemon", "", "print the version", version_command},
	{"git-sync", NULL, "", "update a mirror, check out (child of the daemon)", git_sync_command},
	{"prepare", NULL, "", "fill a workspace (child of the daemon)", prepare_command},
	{"capture", NULL, "", "store outputs (child of the daemon)", capture_command},
	{"unpack", NULL, "", "unpack an image (child of the daemon)", unpack_command},
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
