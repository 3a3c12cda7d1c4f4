/* `penstock help` and `penstock version`. */
#include "base/cleanup.h"
#include "base/json.h"
#include "runner/cli/cli.h"
#include "runner/cli/client.h"
#include "runner/cli/commands.h"
#include "runner/cli/screen.h"
#include "runner/version.h"

#include <string.h>

static const struct cli_usage version_usage = {CLI_JSON, 0, 0, "Prints the version.", "0 printed, 2 wrong usage.", NULL};
static const struct cli_usage help_usage = {0, 0, 1, "Lists the commands, or explains one.", "0 printed, 2 no such command.", "penstock help show"};

int cli_version(int argc, char **argv)
{
	struct cli_arguments arguments;
	int status = cli_arguments_parse(argc, argv, &version_usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	if (!arguments.json)
		return printf("penstock %s\n", PENSTOCK_VERSION) < 0 ? 5 : 0;
	cleanup_json json_t *json = json_pack("{s:s}", "version", PENSTOCK_VERSION);
	return client_print(json);
}

static void add_group(struct screen *screen, const char *group)
{
	cleanup_grid struct grid *grid = grid_new();
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		if (!command->group || strcmp(command->group, group) != 0)
			continue;
		grid_cell(grid, INK_BOLD, "%-9s", command->name);
		grid_cell(grid, INK_PLAIN, "%s", command->summary);
		grid_row(grid);
	}
	buf_addc(&screen->out, '\n');
	screen_ink(screen, INK_DIM, "%s", group);
	buf_addc(&screen->out, '\n');
	grid_print(grid, 2, screen);
}

static int list_commands(void)
{
	struct screen screen;
	const char *group = "";
	screen_init(&screen);
	buf_adds(&screen.out, "Penstock takes a model from `git push` to live traffic, and back again when it turns out bad.\n\n"
			      "Usage: penstock COMMAND [OPTION...]\n");
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		if (!command->group || strcmp(command->group, group) == 0)
			continue;
		group = command->group; /* rows of a group stand together */
		add_group(&screen, group);
	}
	buf_adds(&screen.out, "\n`penstock COMMAND --help` explains one. The commands that ask the daemon find its socket by --socket,\n"
			      "$PENSTOCK_SOCKET, ./penstock.yml, or at /run/penstock/penstock.sock.\n");
	int status = screen_flush(&screen);
	screen_done(&screen);
	return status;
}

int cli_help(int argc, char **argv)
{
	struct cli_arguments arguments;
	int status = cli_arguments_parse(argc, argv, &help_usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	if (arguments.n_words == 0)
		return list_commands();
	char program[] = "penstock", help[] = "--help";
	char *asked[] = {program, arguments.words[0], help, NULL};
	return cli_main(3, asked);
}
