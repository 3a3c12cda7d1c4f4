#include "artifacts/commands.h"
#include "base/diag.h"
#include "runner/cli/cli.h"
#include "runner/cli/commands.h"
#include "runner/cli/down.h"
#include "runner/cli/hook.h"
#include "runner/cli/lint.h"
#include "runner/cli/rollout_commands.h"
#include "runner/cli/run.h"
#include "runner/cli/serve.h"
#include "runner/git/git.h"
#include "runner/prepare.h"
#include "stages/command.h"

#include <stdio.h>
#include <string.h>

enum { MAX_COMMANDS = 64 };

/* Rows of a group stand together. */
const struct cli_command cli_commands[] = {
	{"lint", "Pipelines", "[--format text|json] [FILE|DIRECTORY...]", "check pipelines, every mistake at once", cli_lint},
	{"run", "Pipelines", "[--stage STAGE] [--json] [DIR]", "run a checkout's pipeline here, without a daemon", cli_run},
	{"validate", "Pipelines", "DATA... --schema FILE | --infer DATA", "check data against its schema", validate_command},
	{"score", "Pipelines", "--predictions DATA --task TASK ...", "measure a model's predictions", score_command},
	{"gate", "Pipelines", "--rules FILE --metrics FILE [--baseline FILE]", "judge numbers by rules", gate_command},
	{"analyze", "Pipelines", "[--alpha A] [--margin NAME=0.5%] ... FILE|-", "a rollout's tests on recorded counts", cli_analyze},
	{"build", "Pipelines", "--spec FILE --context DIR --layout DIR [--tag NAME]", "build an image from files", build_command},

	{"ps", "Runs", "[--state STATE] [--repository NAME] [--limit N] [--json]", "list runs", cli_ps},
	{"show", "Runs", "[--wait] [--json] RUN", "one run: stages, metrics, verdicts, its rollout", cli_show},
	{"logs", "Runs", "[--follow] [--stage STAGE] RUN", "what its stages printed", cli_logs},
	{"cancel", "Runs", "[--wait] RUN", "stop a run", cli_cancel},
	{"retry", "Runs", "[--from STAGE] [--wait] RUN", "run it once more", cli_retry},

	{"targets", "Rollouts", "[--json]", "what is live where", cli_targets},
	{"releases", "Rollouts", "[--repository NAME] [--limit N] [--json]", "images that can be rolled out", cli_releases},
	{"rollouts", "Rollouts", "[--watch] [--target NAME] [--json]", "what is on its way, and how rollouts ended", cli_rollouts},
	{"rollout", "Rollouts", "watch|show|list [--once] [--json] [TARGET|ROLLOUT]", "watch one as it goes: weights, evidence, decisions", cli_rollout},
	{"explain", "Rollouts", "[--json] TARGET|ROLLOUT", "why it stands where it stands, in numbers", cli_explain},
	{"replay", "Rollouts", "[--save FILE] [--json] ROLLOUT|FILE", "recompute its decisions from what is stored", cli_replay},
	{"promote", "Rollouts", "[--full] [--wait] TARGET", "leave this step now; --full: all traffic at once", cli_target_command},
	{"rollback", "Rollouts", "[--now] [--wait] TARGET", "back to the release before", cli_target_command},
	{"pause", "Rollouts", "TARGET", "stop a rollout's clock", cli_target_command},
	{"resume", "Rollouts", "TARGET", "let it go on", cli_target_command},
	{"approve", "Rollouts", "TARGET", "approve its step or its verification", cli_target_command},

	{"serve", "Daemon", "[--config FILE]", "the daemon: takes webhooks, runs pipelines, moves traffic", cli_serve},
	{"hook", "Daemon", "install|send|flush|status ...", "connect a bare repository to the daemon", cli_hook},
	{"secret", "Daemon", "set NAME | list | remove NAME", "secrets of stages and webhooks", cli_secret},
	{"down", "Daemon", "[--config FILE]", "end what outlives the daemon", cli_down},
	{"version", "Daemon", "[--json]", "print the version", cli_version},
	{"help", "Daemon", "[COMMAND]", "this list, or one command explained", cli_help},

	{"git-sync", NULL, "", "update a mirror, check out (child of the daemon)", git_sync_command},
	{"prepare", NULL, "", "fill a workspace (child of the daemon)", prepare_command},
	{"capture", NULL, "", "store outputs (child of the daemon)", capture_command},
	{"unpack", NULL, "", "unpack an image (child of the daemon)", unpack_command},
	{NULL, NULL, NULL, NULL, NULL},
};

static int no_such_command(const char *name)
{
	const char *names[MAX_COMMANDS];
	size_t n = 0;
	for (const struct cli_command *command = cli_commands; command->name && n < MAX_COMMANDS; command++)
		if (command->group)
			names[n++] = command->name;
	const char *near = nearest_word(name, names, n);
	fprintf(stderr, "penstock: there is no command \"%s\"%s%s%s\n`penstock help` lists them.\n", name, near ? "; did you mean `penstock " : "",
		near ? near : "", near ? "`?" : "");
	return 2;
}

/* Output that did not arrive (a full disk) is a failure, whatever the command did: scripts must see it. */
static int with_output(const char *name, int status)
{
	bool lost = fflush(stdout) != 0 || ferror(stdout);
	if (!lost)
		return status;
	fprintf(stderr, "penstock %s: cannot write to standard output\n", name);
	return 5;
}

int cli_main(int argc, char **argv)
{
	static char help[] = "help", version[] = "version";
	char *alone[] = {help, NULL};
	if (argc < 2)
		return with_output(help, cli_help(1, alone));
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		argv[1] = help;
	else if (strcmp(argv[1], "--version") == 0)
		argv[1] = version;
	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (strcmp(command->name, argv[1]) == 0)
			return with_output(command->name, command->run(argc - 1, argv + 1));
	return no_such_command(argv[1]);
}
