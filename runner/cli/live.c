/* `penstock targets`, `rollouts`, `releases`: what is live, on its way, and ready. */
#include "base/alloc.h"
#include "base/clock.h"
#include "runner/cli/client.h"
#include "runner/cli/commands.h"
#include "runner/cli/rollout_commands.h"
#include "runner/cli/rollout_lines.h"
#include "runner/cli/screen.h"

#include <poll.h>
#include <string.h>

enum { LOOK_AGAIN_MS = 500 };

static const struct cli_usage targets_usage = {
	CLI_JSON | CLI_SOCKET, 0, 0, "Shows what is live where, as read back from the targets: release, copies ready, share of the traffic.", NULL,
	"penstock targets"};
static const struct cli_usage rollouts_usage = {CLI_TARGET | CLI_WATCH | CLI_JSON | CLI_SOCKET,
						0,
						0,
						"Shows rollouts, newest first: how far they are, what they wait for, how they ended and why.",
						NULL,
						"penstock rollouts --watch"};
static const struct cli_usage releases_usage = {CLI_REPOSITORY | CLI_LIMIT | CLI_JSON | CLI_SOCKET,
						0,
						0,
						"Lists releases, newest first: the images that runs have built, and where they are live.",
						NULL,
						"penstock releases --repository tumour"};

static void add_heads(struct grid *grid, const char *const *heads)
{
	for (; *heads; heads++)
		grid_cell(grid, INK_DIM, "%s", *heads);
	grid_row(grid);
}

static int finish(struct screen *screen, const struct grid *grid, bool empty, const char *nothing)
{
	if (empty)
		buf_addf(&screen->out, "%s\n", nothing);
	else
		grid_print(grid, 0, screen);
	int status = screen_flush(screen);
	screen_done(screen);
	return status;
}

/* ---- targets ---- */

/* "1.4.0 2/2 75%, 1.5.0 2/2 25%": what serves, as read back. */
static void describe_arms(const json_t *actual, struct buf *out)
{
	size_t i;
	json_t *arm;
	json_array_foreach(json_object_get(actual, "arms"), i, arm)
	{
		const char *version = json_string_or(arm, "version", "");
		buf_addf(out, "%s%s %lld/%lld ready %g%%", i ? ", " : "", version[0] ? version : "?", (long long)json_int_or(arm, "ready", 0),
			 (long long)json_int_or(arm, "replicas", 0), (double)json_int_or(arm, "weight_ppm", 0) / 10000);
	}
}

static void add_target(struct grid *grid, const json_t *target)
{
	static const char *const problems[] = {"error", "trouble", "drift"};
	const json_t *live = json_object_get(target, "live"), *rollout = json_object_get(target, "rollout");
	const char *problem = "";
	cleanup_buf struct buf arms;
	buf_init(&arms, 64 * 1024);
	describe_arms(json_object_get(target, "actual"), &arms);
	for (size_t i = 0; i < ARRAY_SIZE(problems) && !problem[0]; i++)
		problem = json_string_or(target, problems[i], "");
	grid_cell(grid, INK_BOLD, "%s", json_string_or(target, "name", ""));
	grid_cell(grid, INK_DIM, "%s", json_string_or(target, "kind", "-"));
	grid_cell(grid, INK_GREEN, "%s", json_string_or(live, "version", "-"));
	grid_cell(grid, INK_DIM, "%s", json_string_or(json_object_get(target, "previous"), "version", "-"));
	if (json_is_integer(rollout))
		grid_cell(grid, INK_BLUE, "%lld", (long long)json_integer_value(rollout));
	else
		grid_cell(grid, INK_DIM, "-");
	grid_cell(grid, problem[0] ? INK_RED : INK_PLAIN, "%s%s%s", arms.data, problem[0] && arms.len ? "; " : "", problem);
	grid_row(grid);
}

int cli_targets(int argc, char **argv)
{
	static const char *const heads[] = {"TARGET", "KIND", "LIVE", "PREVIOUS", "ROLLOUT", "SERVING", NULL};
	struct cli_arguments arguments;
	int status = cli_arguments_parse(argc, argv, &targets_usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *answer = NULL;
	if (client_call(&arguments, "GET", "/v1/targets", NULL, &answer, &err) < 0)
		return cli_fail(&arguments, err);
	if (arguments.json)
		return client_print(answer);
	struct screen screen;
	cleanup_grid struct grid *grid = grid_new();
	const json_t *targets = json_object_get(answer, "targets");
	size_t i;
	json_t *target;
	screen_init(&screen);
	add_heads(grid, heads);
	json_array_foreach(targets, i, target) add_target(grid, target);
	return finish(&screen, grid, json_array_size(targets) == 0, "no targets: the operator's file names none");
}

/* ---- releases ---- */

static void add_release(struct grid *grid, const json_t *release)
{
	char age[24];
	cleanup_buf struct buf live;
	size_t i;
	json_t *name;
	buf_init(&live, 64 * 1024);
	json_array_foreach(json_object_get(release, "live_on"), i, name) buf_addf(&live, "%s%s", i ? ", " : "", json_string_value(name));
	short_age(json_int_or(release, "created_ms", 0), age);
	const char *image = json_string_or(release, "image", "");
	grid_cell(grid, INK_BOLD, "%s", json_string_or(release, "version", ""));
	grid_cell(grid, INK_PLAIN, "%s", json_string_or(release, "repository", ""));
	grid_number(grid, INK_PLAIN, "%lld", (long long)json_int_or(release, "run", 0));
	grid_cell(grid, INK_DIM, "%.8s", json_string_or(release, "commit", ""));
	grid_cell(grid, INK_DIM, "%.19s", image);
	grid_number(grid, INK_DIM, "%s", age);
	grid_cell(grid, INK_GREEN, "%s", live.data);
	grid_row(grid);
}

int cli_releases(int argc, char **argv)
{
	static const char *const heads[] = {"VERSION", "REPOSITORY", "RUN", "COMMIT", "IMAGE", "AGE", "LIVE ON", NULL};
	struct cli_arguments arguments;
	int status = cli_arguments_parse(argc, argv, &releases_usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *answer = NULL;
	cleanup_free char *limit = client_escape(arguments.limit ? arguments.limit : "20");
	cleanup_free char *repository = arguments.repository ? client_escape(arguments.repository) : NULL;
	cleanup_free char *path = xasprintf("/v1/releases?limit=%s%s%s", limit, repository ? "&repository=" : "", repository ? repository : "");
	if (client_call(&arguments, "GET", path, NULL, &answer, &err) < 0)
		return cli_fail(&arguments, err);
	if (arguments.json)
		return client_print(answer);
	struct screen screen;
	cleanup_grid struct grid *grid = grid_new();
	const json_t *releases = json_object_get(answer, "releases");
	size_t i;
	json_t *release;
	screen_init(&screen);
	add_heads(grid, heads);
	json_array_foreach(releases, i, release) add_release(grid, release);
	return finish(&screen, grid, json_array_size(releases) == 0, "no releases: no run has built an image yet");
}

/* ---- rollouts ---- */

static int print_rollouts(const json_t *rollouts, bool again)
{
	struct screen screen;
	size_t i;
	json_t *rollout;
	screen_init(&screen);
	if (again && screen.glyphs)
		buf_adds(&screen.out, "\033[H\033[2J");
	json_array_foreach(rollouts, i, rollout) add_rollout_lines(&screen, rollout, 0);
	if (json_array_size(rollouts) == 0)
		buf_adds(&screen.out, "no rollouts\n");
	int status = screen_flush(&screen);
	screen_done(&screen);
	return status;
}

static int print_answer(const struct cli_arguments *arguments, const json_t *answer)
{
	if (arguments->json)
		return client_print(answer);
	return print_rollouts(json_object_get(answer, "rollouts"), arguments->watch != NULL);
}

int rollouts_print(const struct cli_arguments *arguments)
{
	int status;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *shown = NULL;
	cleanup_free char *target = arguments->target ? client_escape(arguments->target) : NULL;
	cleanup_free char *path = xasprintf("/v1/rollouts%s%s", target ? "?target=" : "", target ? target : "");
	do {
		json_t *answer;
		if (client_call(arguments, "GET", path, NULL, &answer, &err) < 0)
			return cli_fail(arguments, err);
		status = shown && json_equal(shown, answer) ? 0 : print_answer(arguments, answer);
		json_decref(shown);
		shown = answer;
		if (arguments->watch)
			poll(NULL, 0, LOOK_AGAIN_MS);
	} while (arguments->watch && status == 0);
	return status;
}

int cli_rollouts(int argc, char **argv)
{
	struct cli_arguments arguments;
	int status = cli_arguments_parse(argc, argv, &rollouts_usage, &arguments);
	return status == CLI_GO_ON ? rollouts_print(&arguments) : status;
}
