/* `penstock explain`: why a rollout stands where it stands, in words and numbers. */
#include "base/alloc.h"
#include "runner/cli/explain_text.h"
#include "runner/cli/rollout_commands.h"
#include "runner/cli/rollout_find.h"

static const struct cli_usage usage = {
	CLI_JSON | CLI_SOCKET,
	1,
	1,
	"Explains a rollout (its number, or a target for its newest): the last decision and why; for every metric value, bound,\n"
	"number of requests, e-value against its threshold in both directions, confidence sequence, guard against bursts, looks,\n"
	"and what would change the verdict; the split check; what the policies will do, and when. Of a rollout that has ended:\n"
	"the evidence at its end.",
	NULL,
	"penstock explain prod"};

static int print_explanation(const struct cli_arguments *arguments, json_t *rollout, json_t *events)
{
	struct screen screen;
	int status;
	screen_init(&screen);
	if (arguments->json) {
		screen.color = screen.glyphs = false;
		screen.width = 0;
	}
	add_explanation(&screen, rollout, events);
	if (arguments->json) {
		cleanup_json json_t *answer = json_pack("{s:O, s:O, s:s}", "rollout", rollout, "events", events, "text", screen.out.data);
		status = answer ? client_print(answer) : 5;
	} else {
		status = screen_flush(&screen);
	}
	screen_done(&screen);
	return status;
}

int cli_explain(int argc, char **argv)
{
	struct cli_arguments arguments;
	int status = cli_arguments_parse(argc, argv, &usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *rollout = NULL, *events = json_array();
	int64_t id;
	if (rollout_find(&arguments, arguments.words[0], &id, &err) < 0 || rollout_fetch(&arguments, id, &rollout, &err) < 0 ||
	    rollout_events(&arguments, id, 0, events, &err) < 0)
		return cli_fail(&arguments, err);
	return print_explanation(&arguments, rollout, events);
}
