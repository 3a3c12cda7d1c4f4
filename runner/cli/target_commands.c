/* `penstock promote`, `rollback`, `pause`, `resume`, `approve`: a person's word in a rollout. */
#include "base/alloc.h"
#include "runner/cli/client.h"
#include "runner/cli/commands.h"
#include "runner/cli/rollout_lines.h"
#include "runner/cli/screen.h"

#include <string.h>

enum { WITH_WAIT = CLI_WAIT | CLI_JSON | CLI_SOCKET, WITHOUT = CLI_JSON | CLI_SOCKET };

#define WAIT_EXITS                                                                                                                                   \
	"0 asked for, 1 refused or no such target, 2 wrong usage, 5 the daemon is not reachable;\n"                                                  \
	"with --wait how the rollout ended: 0 as it was asked for, 4 rolled back instead, 1 otherwise."

static const struct {
	const char *name, *promise;
	struct cli_usage usage;
} commands[] = {
	{"promote",
	 "goes on",
	 {WITH_WAIT | CLI_FULL, 1, 1,
	  "Lets the rollout to a target leave its present step, pause or verification now, unjudged; the next step is judged\n"
	  "again. In keep_old: ends the keeping.\n\n"
	  "--full is for emergencies. It skips: the steps that are left, their hold times and minimum of requests, the analysis\n"
	  "(what it has found against the release too), the verification on the preview address, every approval, and the wait\n"
	  "for all copies: one ready copy gets all traffic. It does not skip: readiness (without a ready copy nothing moves),\n"
	  "reading the weights back, and keep_old (the old copies wait, and `penstock rollback` still goes back to them).",
	  WAIT_EXITS, "penstock promote --wait prod"}},
	{"rollback",
	 "goes back",
	 {WITH_WAIT | CLI_NOW, 1, 1,
	  "Takes a target back: to the release before the rollout that is under way, or, without one, to the previous\n"
	  "release; as soon as that is ready at full size.\n\n"
	  "--now is for emergencies. It skips the wait for full size: one ready copy of the release before gets all traffic,\n"
	  "and the others come up under load. It does not skip: readiness (without a ready copy the traffic stays where it is)\n"
	  "and reading the weights back.",
	  WAIT_EXITS, "penstock rollback --wait prod"}},
	{"pause",
	 "is being paused; `penstock resume` lets it go on",
	 {WITHOUT, 1, 1, "Stops the clock of the rollout to a target; the traffic stays as it is.", NULL, "penstock pause prod"}},
	{"resume",
	 "goes on",
	 {WITHOUT, 1, 1, "Lets a paused rollout go on, or one whose step waits with `pause: true`.", NULL, "penstock resume prod"}},
	{"approve",
	 "is approved",
	 {WITHOUT, 1, 1,
	  "Approves, in your name, the step (`approve: true`) or the blue-green verification that the rollout to a target waits\n"
	  "with. It skips nothing: the step's evidence must suffice first, the verify command must have passed, and harm still\n"
	  "takes the release back. An approval holds for one step.",
	  NULL, "penstock approve prod"}},
};

static bool is_final(const json_t *rollout)
{
	return json_int_or(rollout, "finished_ms", 0) != 0;
}

/* A rollback is wanted either by taking the rollout back, or by promoting the previous release in a rollout of its own. */
static int status_of(const char *command, const json_t *rollout)
{
	const char *state = json_string_or(rollout, "state", "");
	bool promoted = strcmp(state, "promoted") == 0, back = strcmp(state, "rolled_back") == 0;
	if (promoted)
		return strcmp(command, "promote") == 0 || json_is_null(json_object_get(rollout, "stage")) ? 0 : 1;
	return back ? (strcmp(command, "rollback") == 0 ? 0 : 4) : 1;
}

static int wait_for(const struct cli_arguments *arguments, int64_t id, struct error **err)
{
	cleanup_json json_t *rollout = NULL;
	cleanup_free char *path = xasprintf("/v1/rollouts/%lld", (long long)id);
	if (client_wait(arguments, path, is_final, &rollout, err) < 0)
		return cli_fail(arguments, *err);
	if (!arguments->json) {
		struct screen screen;
		screen_init(&screen);
		add_rollout_lines(&screen, rollout, 0);
		screen_flush(&screen);
		screen_done(&screen);
	}
	return status_of(arguments->command, rollout);
}

int cli_target_command(int argc, char **argv)
{
	struct cli_arguments arguments;
	size_t which = 0;
	while (which + 1 < ARRAY_SIZE(commands) && strcmp(commands[which].name, argv[0]) != 0)
		which++;
	int status = cli_arguments_parse(argc, argv, &commands[which].usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *answer = NULL;
	cleanup_free char *target = client_escape(arguments.words[0]);
	cleanup_free char *path = xasprintf("/v1/targets/%s/%s", target, commands[which].name);
	cleanup_json json_t *body = arguments.full ? json_pack("{s:b}", "full", 1) : arguments.now ? json_pack("{s:b}", "now", 1) : NULL;
	if (client_call(&arguments, "POST", path, body, &answer, &err) < 0)
		return cli_fail(&arguments, err);
	int64_t id = json_int_or(answer, "rollout", 0);
	if (arguments.json)
		status = client_print(answer);
	else
		status = printf("rollout %lld to %s %s\n", (long long)id, arguments.words[0], commands[which].promise) < 0 ? 5 : 0;
	return arguments.wait && status == 0 ? wait_for(&arguments, id, &err) : status;
}
