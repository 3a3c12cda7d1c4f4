/* `penstock ps`: the runs, newest first, a line each. */
#include "base/alloc.h"
#include "base/buf.h"
#include "runner/cli/client.h"
#include "runner/cli/commands.h"
#include "runner/cli/screen.h"

#include <string.h>

enum { COMMIT_SHOWN = 8 };

static const struct cli_usage usage = {CLI_REPOSITORY | CLI_BRANCH | CLI_STATE | CLI_LIMIT | CLI_JSON | CLI_SOCKET,
				       0,
				       0,
				       "Lists the runs, newest first, and how their stages stand:\n"
				       "  + success   x failed, rejected   > running   . waiting   - skipped   / cancelled   < rolled back\n"
				       "`penstock show RUN` tells why a run ended as it did.",
				       NULL,
				       "penstock ps --state running"};

static void add_query(struct buf *path, const char *name, const char *value)
{
	if (!value)
		return;
	cleanup_free char *escaped = client_escape(value);
	buf_addf(path, "%c%s=%s", strchr(path->data, '?') ? '&' : '?', name, escaped);
}

static void add_stage_cell(struct grid *grid, const json_t *run, const struct screen *screen)
{
	cleanup_buf struct buf line;
	size_t i;
	json_t *stage;
	buf_init(&line, 64 * 1024);
	json_array_foreach(json_object_get(run, "stages"), i, stage)
		buf_adds(&line, outcome_glyph(screen, json_string_or(stage, "state", ""), json_string_or(stage, "outcome", "")));
	grid_cell(grid, outcome_ink(json_string_or(run, "state", ""), json_string_or(run, "outcome", "")), "%s", line.data);
}

static void add_run(struct grid *grid, const json_t *run, const struct screen *screen)
{
	char age[24], span[24];
	const char *branch = json_string_or(run, "branch", ""), *tag = json_string_or(run, "tag", "");
	cleanup_buf struct buf ref;
	buf_init(&ref, 64 * 1024);
	screen_add_safe(&ref, tag[0] ? tag : branch, 24);
	short_age(json_int_or(run, "created_ms", 0), age);
	took(run, span);
	grid_number(grid, INK_BOLD, "%lld", (long long)json_int_or(run, "id", 0));
	grid_cell(grid, INK_PLAIN, "%s", json_string_or(run, "repository", ""));
	grid_cell(grid, INK_PLAIN, "%s", ref.data);
	grid_cell(grid, INK_DIM, "%.*s", COMMIT_SHOWN, json_string_or(run, "commit", ""));
	grid_cell(grid, outcome_ink(json_string_or(run, "state", ""), json_string_or(run, "outcome", "")), "%s", standing(run));
	add_stage_cell(grid, run, screen);
	grid_number(grid, INK_PLAIN, "%s", span);
	grid_number(grid, INK_DIM, "%s", age);
	grid_cell(grid, INK_PLAIN, "%s", json_string_or(run, "message", ""));
	grid_row(grid);
}

static int print_runs(const json_t *runs)
{
	static const char *const heads[] = {"RUN", "REPOSITORY", "REF", "COMMIT", "STATE", "STAGES", "TOOK", "AGE", "MESSAGE"};
	struct screen screen;
	cleanup_grid struct grid *grid = grid_new();
	size_t i;
	json_t *run;
	screen_init(&screen);
	for (i = 0; i < ARRAY_SIZE(heads); i++)
		grid_cell(grid, INK_DIM, "%s", heads[i]);
	grid_row(grid);
	json_array_foreach(runs, i, run) add_run(grid, run, &screen);
	if (json_array_size(runs) > 0)
		grid_print(grid, 0, &screen);
	else
		screen_ink(&screen, INK_PLAIN, "no runs"), buf_addc(&screen.out, '\n');
	int status = screen_flush(&screen);
	screen_done(&screen);
	return status;
}

int cli_ps(int argc, char **argv)
{
	struct cli_arguments arguments;
	int status = cli_arguments_parse(argc, argv, &usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *answer = NULL;
	cleanup_buf struct buf path;
	buf_init(&path, 64 * 1024);
	buf_adds(&path, "/v1/runs");
	add_query(&path, "limit", arguments.limit ? arguments.limit : "20");
	add_query(&path, "repository", arguments.repository);
	add_query(&path, "branch", arguments.branch);
	add_query(&path, "state", arguments.state);
	if (client_call(&arguments, "GET", path.data, NULL, &answer, &err) < 0)
		return cli_fail(&arguments, err);
	return arguments.json ? client_print(answer) : print_runs(json_object_get(answer, "runs"));
}
