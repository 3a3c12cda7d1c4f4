/* `penstock show`: one run, what its stages did and why it ended as it did. */
#include "base/alloc.h"
#include "base/buf.h"
#include "pipelines/pipeline.h"
#include "runner/cli/client.h"
#include "runner/cli/commands.h"
#include "runner/cli/rollout_lines.h"
#include "runner/cli/screen.h"

#include <string.h>

static const struct cli_usage usage = {CLI_WAIT | CLI_JSON | CLI_SOCKET,
				       1,
				       1,
				       "Shows a run: its stages with outcome, time and reason, metrics and gate rows, its rollout,\n"
				       "and the mistakes of a pipeline that could not be planned.",
				       "0 shown, 1 no such run, 2 wrong usage, 5 the daemon is not reachable;\n"
				       "with --wait: 0 success, 1 failed, 3 rejected by a gate, 4 cancelled or rolled back, 5 infrastructure.",
				       "penstock show --wait 12"};

static void add_message(struct screen *screen, const char *message, const char *author)
{
	if (!message[0] && !author[0])
		return; /* not fetched yet */
	buf_adds(&screen->out, "  ");
	screen_ink(screen, INK_PLAIN, "%s", message);
	if (author[0])
		screen_ink(screen, INK_DIM, " (%s)", author);
	buf_addc(&screen->out, '\n');
}

static void add_head(struct screen *screen, const json_t *run)
{
	char age[24], span[24];
	const char *tag = json_string_or(run, "tag", ""), *author = json_string_or(run, "author", "");
	short_age(json_int_or(run, "created_ms", 0), age);
	took(run, span);
	screen_ink(screen, INK_BOLD, "run %lld", (long long)json_int_or(run, "id", 0));
	screen_ink(screen, INK_PLAIN, "  %s", json_string_or(run, "repository", ""));
	screen_ink(screen, INK_PLAIN, " %s ", tag[0] ? tag : json_string_or(run, "branch", ""));
	screen_ink(screen, INK_DIM, "%.12s", json_string_or(run, "commit", ""));
	buf_adds(&screen->out, "  ");
	screen_ink(screen, outcome_ink(json_string_or(run, "state", ""), json_string_or(run, "outcome", "")), "%s", standing(run));
	screen_ink(screen, INK_DIM, "%s%s, %s ago", span[0] ? " in " : "", span, age);
	buf_addc(&screen->out, '\n');
	add_message(screen, json_string_or(run, "message", ""), author);
	if (json_is_integer(json_object_get(run, "rerun_of")))
		buf_addf(&screen->out, "  once more: run %lld\n", (long long)json_int_or(run, "rerun_of", 0));
	if (json_string_or(run, "reason", "")[0]) {
		buf_adds(&screen->out, "  ");
		screen_ink(screen, outcome_ink("", json_string_or(run, "outcome", "")), "%s", json_string_or(run, "reason", ""));
		buf_addc(&screen->out, '\n');
	}
}

static void add_stage(struct grid *grid, const json_t *stage, const struct screen *screen)
{
	char span[24];
	const char *state = json_string_or(stage, "state", ""), *outcome = json_string_or(stage, "outcome", "");
	int64_t attempts = json_int_or(stage, "attempts", 0);
	took(stage, span);
	grid_cell(grid, outcome_ink(state, outcome), "%s", outcome_glyph(screen, state, outcome));
	grid_cell(grid, INK_PLAIN, "%s", json_string_or(stage, "name", ""));
	grid_cell(grid, INK_DIM, "%s", json_string_or(stage, "kind", ""));
	grid_cell(grid, outcome_ink(state, outcome), "%s", standing(stage));
	grid_number(grid, INK_PLAIN, "%s", span);
	if (attempts > 1)
		grid_cell(grid, INK_PLAIN, "(%lld attempts) %s", (long long)attempts, json_string_or(stage, "reason", ""));
	else
		grid_cell(grid, INK_PLAIN, "%s", json_string_or(stage, "reason", ""));
	grid_row(grid);
}

static void add_stages(struct screen *screen, const json_t *stages)
{
	cleanup_grid struct grid *grid = grid_new();
	size_t i;
	json_t *stage;
	json_array_foreach(stages, i, stage) add_stage(grid, stage, screen);
	if (json_array_size(stages) == 0)
		return;
	buf_addc(&screen->out, '\n');
	grid_print(grid, 2, screen);
}

static void number_cell(struct grid *grid, const json_t *value)
{
	if (json_is_number(value))
		grid_number(grid, INK_PLAIN, "%.6g", json_number_value(value));
	else
		grid_number(grid, INK_DIM, "-");
}

/* Rule, value, bound, verdict, why. */
static void add_gate_rows(struct screen *screen, const char *stage, const json_t *rows)
{
	cleanup_grid struct grid *grid = grid_new();
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row)
	{
		const char *verdict = json_string_or(row, "verdict", "");
		if (!json_object_get(row, "rule"))
			return;
		bool good = strcmp(verdict, "pass") == 0;
		grid_cell(grid, good ? INK_GREEN : INK_RED, "%s", verdict);
		grid_cell(grid, INK_PLAIN, "%s", json_string_or(row, "rule", ""));
		number_cell(grid, json_object_get(row, "value"));
		number_cell(grid, json_object_get(row, "bound"));
		grid_cell(grid, INK_DIM, "%s", json_string_or(row, "reason", ""));
		grid_row(grid);
	}
	if (json_array_size(rows) == 0)
		return;
	buf_addc(&screen->out, '\n');
	screen_ink(screen, INK_BOLD, "  %s", stage);
	screen_ink(screen, INK_DIM, " (verdict, rule, value, bound)");
	buf_addc(&screen->out, '\n');
	grid_print(grid, 4, screen);
}

static void add_metrics(struct screen *screen, const char *stage, const json_t *metrics)
{
	cleanup_grid struct grid *grid = grid_new();
	size_t i, shown = 0;
	json_t *metric;
	json_array_foreach(metrics, i, metric)
	{
		const char *slice = json_string_or(metric, "slice", "");
		const json_t *low = json_object_get(metric, "low"), *high = json_object_get(metric, "high");
		grid_cell(grid, INK_PLAIN, "%s", json_string_or(metric, "name", ""));
		grid_cell(grid, INK_DIM, "%s", slice);
		number_cell(grid, json_object_get(metric, "value"));
		if (json_is_number(low) && json_is_number(high))
			grid_cell(grid, INK_DIM, "%g%%: %.4g to %.4g", 100 * json_number_or(metric, "confidence", 0.95), json_number_value(low),
				  json_number_value(high));
		else
			grid_cell(grid, INK_DIM, "%s", json_string_or(metric, "note", ""));
		grid_row(grid);
		shown++;
	}
	if (shown == 0)
		return;
	buf_addc(&screen->out, '\n');
	screen_ink(screen, INK_BOLD, "  %s", stage);
	buf_addc(&screen->out, '\n');
	grid_print(grid, 4, screen);
}

static void add_results(struct screen *screen, const json_t *stages)
{
	size_t i;
	json_t *stage;
	json_array_foreach(stages, i, stage)
	{
		const json_t *result = json_object_get(stage, "result");
		const char *name = json_string_or(stage, "name", "");
		add_metrics(screen, name, json_object_get(result, "metrics"));
		if (json_is_array(json_object_get(result, "rows")))
			add_gate_rows(screen, name, json_object_get(result, "rows"));
	}
}

/* Lint's own output: several lines with carets below. Every line is made harmless by itself. */
static void add_diagnostics(struct screen *screen, const char *text)
{
	if (text[0])
		buf_addc(&screen->out, '\n');
	for (const char *line = text; *line;) {
		screen_add_safe(&screen->out, line, 0);
		buf_addc(&screen->out, '\n');
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
}

static int print_run(const json_t *run)
{
	struct screen screen;
	screen_init(&screen);
	add_head(&screen, run);
	add_stages(&screen, json_object_get(run, "stages"));
	add_results(&screen, json_object_get(run, "stages"));
	if (json_is_object(json_object_get(run, "rollout"))) {
		buf_addc(&screen.out, '\n');
		add_rollout_lines(&screen, json_object_get(run, "rollout"), 2);
	}
	add_diagnostics(&screen, json_string_or(run, "diagnostics", ""));
	int status = screen_flush(&screen);
	screen_done(&screen);
	return status;
}

static bool is_finished(const json_t *run)
{
	return strcmp(json_string_or(run, "state", ""), "finished") == 0;
}

int cli_show(int argc, char **argv)
{
	struct cli_arguments arguments;
	int64_t id;
	int status = cli_arguments_parse(argc, argv, &usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	if (!cli_run_number(&arguments, arguments.words[0], &id))
		return 2;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *run = NULL;
	cleanup_free char *path = xasprintf("/v1/runs/%lld", (long long)id);
	if ((arguments.wait ? client_wait(&arguments, path, is_finished, &run, &err) : client_call(&arguments, "GET", path, NULL, &run, &err)) < 0)
		return cli_fail(&arguments, err);
	status = arguments.json ? client_print(run) : print_run(run);
	enum outcome outcome;
	if (status == 0 && arguments.wait && outcome_from_name(json_string_or(run, "outcome", ""), &outcome))
		status = outcome_exit_status(outcome);
	return status;
}
