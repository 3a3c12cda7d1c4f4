/* `penstock down`: ends what outlives the daemon by design (attempts, served models, HAProxy), daemon or no daemon. */
#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "base/clock.h"
#include "base/file.h"
#include "runner/cli/cli.h"
#include "runner/cli/down.h"
#include "runner/config.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>

enum { DEPTH_LIMIT = 32, STOP_LIMIT_MS = 30000, LOOK_AGAIN_MS = 50 };

static const char usage[] =
	"Usage: penstock down [--config FILE]\n"
	"\n"
	"Ends everything that outlives the daemon by design: running attempts, served models, HAProxy.\n"
	"Stop the daemon first, or it starts them again.\n"
	"\n"
	"  --config FILE   the operator's file (default: penstock.yml)\n"
	"\n"
	"Exit status: 0 all ended, 2 usage or bad file, 5 something still runs.\n";

/* nftw() has no argument for its callback; the walk is over before find_attempts() returns. */
static struct strlist *found;

static int visit(const char *path, const struct stat *info, int type, struct FTW *walk)
{
	(void)info;
	if (type != FTW_F || strcmp(path + walk->base, "spec") != 0)
		return 0;
	cleanup_free char *dir = xstrndup(path, (size_t)walk->base - 1);
	enum attempt_state state;
	cleanup_error struct error *err = NULL;
	if (attempt_state(dir, &state, &err) == 0 && state == ATTEMPT_RUNNING)
		strlist_add(found, dir);
	return 0;
}

/* The folders beneath `state` whose attempt runs, HAProxy's and the models' among them. */
static int find_attempts(const char *state, struct strlist *ret, struct error **err)
{
	found = ret;
	if (nftw(state, visit, DEPTH_LIMIT, FTW_PHYS) < 0)
		return error_set(err, ERROR_IO, errno, "look for what runs in %s", state);
	return 0;
}

static bool still_runs(const char *dir)
{
	enum attempt_state state;
	cleanup_error struct error *err = NULL;
	return attempt_state(dir, &state, &err) < 0 || state == ATTEMPT_RUNNING;
}

static int take_down(const char *state, struct error **err)
{
	cleanup_strlist struct strlist dirs = {0};
	if (find_attempts(state, &dirs, err) < 0)
		return -1;
	for (size_t i = 0; i < dirs.n; i++) {
		if (attempt_cancel(dirs.items[i], err) < 0)
			return error_context(err, "%s", dirs.items[i]);
	}
	uint64_t deadline = clock_mono_ms() + STOP_LIMIT_MS;
	for (size_t i = 0; i < dirs.n; i++) {
		while (still_runs(dirs.items[i])) {
			if (clock_mono_ms() > deadline)
				return error_set(err, ERROR_TIMEOUT, 0, "%s still runs after %d s", dirs.items[i], STOP_LIMIT_MS / 1000);
			poll(NULL, 0, LOOK_AGAIN_MS);
		}
	}
	if (dirs.n)
		printf("ended %zu of what outlives the daemon (stages, copies of models, HAProxy)\n", dirs.n);
	else
		printf("nothing runs in %s\n", state);
	return 0;
}

int cli_down(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *file = "penstock.yml";
	optind = 1;
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 'h')
			return fputs(usage, stdout) < 0 ? 5 : 0;
		if (option != 'c')
			return fputs(usage, stderr) < 0 ? 5 : 2;
		file = optarg;
	}
	if (optind < argc) {
		fprintf(stderr, "penstock down: unexpected argument \"%s\"\n", argv[optind]);
		return 2;
	}
	cleanup_error struct error *err = NULL;
	struct config *config = NULL;
	int status = config_read(file, &config, &err);
	if (status == 0)
		status = take_down(config->state, &err);
	if (status < 0)
		fprintf(stderr, "penstock down: %s\n", error_message(err));
	config_free(config);
	return status < 0 ? error_exit_status(err) : 0;
}
