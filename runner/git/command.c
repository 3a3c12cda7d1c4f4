#include "runner/git/git.h"

#include "base/alloc.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

struct options {
	const char *url, *mirror, *commit, *ref, *before, *to, *from;
	struct strlist include, exclude;
};

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option names[] = {
		{"url", required_argument, NULL, 'u'},     {"mirror", required_argument, NULL, 'm'},
		{"commit", required_argument, NULL, 'c'},  {"ref", required_argument, NULL, 'r'},
		{"before", required_argument, NULL, 'b'},  {"to", required_argument, NULL, 't'},
		{"from", required_argument, NULL, 'f'},    {"include", required_argument, NULL, 'i'},
		{"exclude", required_argument, NULL, 'x'}, {NULL, 0, NULL, 0},
	};
	optind = 1;
	for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		switch (c) {
		case 'u':
			o->url = optarg;
			break;
		case 'm':
			o->mirror = optarg;
			break;
		case 'c':
			o->commit = optarg;
			break;
		case 'r':
			o->ref = optarg;
			break;
		case 'b':
			o->before = optarg;
			break;
		case 't':
			o->to = optarg;
			break;
		case 'f':
			o->from = optarg;
			break;
		case 'i':
			strlist_add(&o->include, optarg);
			break;
		case 'x':
			strlist_add(&o->exclude, optarg);
			break;
		default:
			return -1; /* getopt_long has told it */
		}
	}
	return optind == argc ? 0 : -1;
}

static int usage(void)
{
	fputs("usage: penstock git-sync fetch --url URL --mirror DIR --commit SHA [--ref REF] [--before SHA]\n"
	      "       penstock git-sync checkout --mirror DIR --commit SHA --to DIR [--include GLOB]... [--exclude PATH]...\n"
	      "       penstock git-sync snapshot --from DIR --to DIR\n",
	      stderr);
	return 2;
}

static int print_json(const json_t *json, struct error **err)
{
	cleanup_free char *text = json_text(json);
	if (puts(text) == EOF || fflush(stdout) == EOF)
		return error_set(err, ERROR_IO, errno, "cannot write the answer");
	return 0;
}

static int obey(const char *mode, const struct options *o, bool *ret_usage, struct error **err)
{
	cleanup_json json_t *json = NULL;
	if (strcmp(mode, "fetch") == 0 && o->url && o->mirror && o->commit)
		return git_fetch(o->url, o->mirror, o->commit, o->ref, o->before, &json, err) < 0 ? -1 : print_json(json, err);
	if (strcmp(mode, "checkout") == 0 && o->mirror && o->commit && o->to) {
		const struct checkout checkout = {
			.mirror = o->mirror,
			.commit = o->commit,
			.to = o->to,
			.include = {strlist_items(&o->include), o->include.n},
			.exclude = strlist_items(&o->exclude),
		};
		return git_checkout(&checkout, err);
	}
	if (strcmp(mode, "snapshot") == 0 && o->from && o->to)
		return git_snapshot(o->from, o->to, &json, err) < 0 ? -1 : print_json(json, err);
	*ret_usage = true;
	return 0;
}

int git_sync_command(int argc, char **argv)
{
	struct options o = {0};
	cleanup_error struct error *err = NULL;
	bool wrong = argc < 2 || parse(argc - 1, argv + 1, &o) < 0;
	int result = 0;
	if (!wrong) {
		git_init();
		result = obey(argv[1], &o, &wrong, &err);
	}
	strlist_done(&o.include);
	strlist_done(&o.exclude);
	if (wrong)
		return usage();
	if (result == 0)
		return 0;
	fprintf(stderr, "%s\n", error_message(err));
	return error_exit_status(err);
}
