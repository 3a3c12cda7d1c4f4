/* `penstock cancel` and `penstock retry`. */
#include "base/alloc.h"
#include "pipelines/pipeline.h"
#include "runner/cli/client.h"
#include "runner/cli/commands.h"

#include <string.h>

static const struct cli_usage cancel_usage = {
	CLI_JSON | CLI_WAIT | CLI_SOCKET,
	1,
	1,
	"Cancels a run: its running stages get TERM and a moment to stop, a rollout it has under way goes back.",
	"0 asked for (with --wait: it has ended), 1 no such run or it has ended already, 2 wrong usage, 5 the daemon is not reachable.",
	"penstock cancel --wait 12"};
static const struct cli_usage retry_usage = {
	CLI_FROM | CLI_JSON | CLI_WAIT | CLI_SOCKET,
	1,
	1,
	"Runs a finished run's pipeline once more, with the same commit and inputs, as a new run.",
	"0 started, 1 no such run or it has not ended, 2 wrong usage, 5 the daemon is not reachable;\n"
	"with --wait that of the new run: 0 success, 1 failed, 3 rejected by a gate, 4 cancelled or rolled back.",
	"penstock retry --from gate 12"};

static bool is_finished(const json_t *run)
{
	return strcmp(json_string_or(run, "state", ""), "finished") == 0;
}

static int wait_for(const struct cli_arguments *arguments, int64_t id, enum outcome *ret, struct error **err)
{
	cleanup_json json_t *run = NULL;
	cleanup_free char *path = xasprintf("/v1/runs/%lld", (long long)id);
	if (client_wait(arguments, path, is_finished, &run, err) < 0)
		return -1;
	if (!outcome_from_name(json_string_or(run, "outcome", ""), ret))
		return error_set(err, ERROR_PROTOCOL, 0, "run %lld ended in an unknown way", (long long)id);
	if (!arguments->json)
		printf("run %lld: %s\n", (long long)id, outcome_name(*ret));
	return 0;
}

static int command_run(const struct cli_arguments *arguments, const char *verb, const json_t *body, json_t **ret, struct error **err)
{
	int64_t id;
	if (!cli_run_number(arguments, arguments->words[0], &id))
		return -1;
	cleanup_free char *path = xasprintf("/v1/runs/%lld/%s", (long long)id, verb);
	return client_call(arguments, "POST", path, body, ret, err);
}

int cli_cancel(int argc, char **argv)
{
	struct cli_arguments arguments;
	int status = cli_arguments_parse(argc, argv, &cancel_usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *answer = NULL;
	if (command_run(&arguments, "cancel", NULL, &answer, &err) < 0)
		return err ? cli_fail(&arguments, err) : 2;
	int64_t id = json_int_or(answer, "run", 0);
	if (arguments.json)
		status = client_print(answer);
	else
		status = printf("run %lld is being cancelled\n", (long long)id) < 0 ? 5 : 0;
	enum outcome outcome;
	if (arguments.wait && wait_for(&arguments, id, &outcome, &err) < 0)
		return cli_fail(&arguments, err);
	return status;
}

int cli_retry(int argc, char **argv)
{
	struct cli_arguments arguments;
	int status = cli_arguments_parse(argc, argv, &retry_usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *answer = NULL, *body = arguments.from ? json_pack("{s:s}", "from", arguments.from) : json_object();
	if (!body)
		return fputs("penstock retry: the stage's name is not UTF-8 text\n", stderr) < 0 ? 5 : 2;
	if (command_run(&arguments, "retry", body, &answer, &err) < 0)
		return err ? cli_fail(&arguments, err) : 2;
	int64_t id = json_int_or(answer, "run", 0);
	if (arguments.json)
		status = client_print(answer);
	else
		status = printf("run %lld: run %s once more\n", (long long)id, arguments.words[0]) < 0 ? 5 : 0;
	enum outcome outcome;
	if (arguments.wait)
		return wait_for(&arguments, id, &outcome, &err) < 0 ? cli_fail(&arguments, err) : outcome_exit_status(outcome);
	return status;
}
