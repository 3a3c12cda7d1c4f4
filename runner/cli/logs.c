/* `penstock logs`: what the stages printed. */
#include "base/alloc.h"
#include "base/buf.h"
#include "pipelines/pipeline.h"
#include "runner/cli/client.h"
#include "runner/cli/commands.h"
#include "runner/terminal.h"

#include <errno.h>
#include <string.h>

static const struct cli_usage usage = {CLI_STAGE | CLI_FOLLOW | CLI_SOCKET,
				       1,
				       1,
				       "Prints the logs of a run's stages in the order of the plan, each line after `stage | `;\n"
				       "with --follow also what is still to come, as it comes. Secrets are masked already.",
				       "0 printed, 1 no such run or stage, 2 wrong usage, 5 the daemon is not reachable;\n"
				       "with --follow that of the run: 0 success, 1 failed, 3 rejected by a gate, 4 cancelled or rolled back.",
				       "penstock logs --follow --stage train 12"};

struct printer {
	bool terminal;
	struct terminal_filter filter;
	struct buf shown;
};

static int print_bytes(void *arg, const char *bytes, size_t len)
{
	struct printer *printer = arg;
	if (printer->terminal) {
		buf_reset(&printer->shown);
		terminal_filter(&printer->filter, bytes, len, &printer->shown);
		bytes = printer->shown.data;
		len = printer->shown.len;
	}
	fwrite(bytes, 1, len, stdout);
	return fflush(stdout);
}

/* The stream has no place for a refusal: what can be refused is asked for before. */
static int check_stage(const json_t *run, const char *name, struct error **err)
{
	size_t i;
	json_t *stage;
	cleanup_buf struct buf names;
	if (!name || json_array_size(json_object_get(run, "stages")) == 0)
		return 0;
	buf_init(&names, 1 << 20);
	json_array_foreach(json_object_get(run, "stages"), i, stage)
	{
		if (strcmp(json_string_or(stage, "name", ""), name) == 0)
			return 0;
		buf_addf(&names, "%s%s", i ? ", " : "", json_string_or(stage, "name", ""));
	}
	return error_set(err, ERROR_NOT_FOUND, 0, "run %lld has no stage \"%s\"; it has: %s", (long long)json_int_or(run, "id", 0), name, names.data);
}

static int stream_log(const struct cli_arguments *arguments, int64_t id, struct error **err)
{
	struct printer printer = {.terminal = isatty(STDOUT_FILENO)};
	cleanup_free char *stage = arguments->stage ? client_escape(arguments->stage) : NULL;
	cleanup_free char *path =
		xasprintf("/v1/runs/%lld/log?follow=%d%s%s", (long long)id, arguments->follow != NULL, stage ? "&stage=" : "", stage ? stage : "");
	buf_init(&printer.shown, 4 << 20); /* far beyond what one chunk can be */
	int result = client_stream(arguments, path, print_bytes, &printer, err);
	buf_done(&printer.shown);
	return result;
}

/* Of the run, or of the one stage that was asked for. */
static int status_of(const json_t *run, const char *stage_name)
{
	enum outcome outcome;
	const char *word = json_string_or(run, "outcome", "");
	size_t i;
	json_t *stage;
	json_array_foreach(json_object_get(run, "stages"), i, stage)
	{
		if (stage_name && strcmp(json_string_or(stage, "name", ""), stage_name) == 0)
			word = json_string_or(stage, "outcome", "");
	}
	return outcome_from_name(word, &outcome) ? outcome_exit_status(outcome) : 5;
}

int cli_logs(int argc, char **argv)
{
	struct cli_arguments arguments;
	int64_t id;
	int status = cli_arguments_parse(argc, argv, &usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	if (!cli_run_number(&arguments, arguments.words[0], &id))
		return 2;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *before = NULL, *after = NULL;
	cleanup_free char *path = xasprintf("/v1/runs/%lld", (long long)id);
	if (client_call(&arguments, "GET", path, NULL, &before, &err) < 0 || check_stage(before, arguments.stage, &err) < 0 ||
	    stream_log(&arguments, id, &err) < 0)
		return cli_fail(&arguments, err);
	if (!arguments.follow)
		return 0;
	if (client_call(&arguments, "GET", path, NULL, &after, &err) < 0)
		return cli_fail(&arguments, err);
	return status_of(after, arguments.stage);
}
