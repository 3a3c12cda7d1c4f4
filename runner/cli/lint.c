/* `penstock lint`: every mistake of the pipelines of a repository, for people, editors and CI. */
#include "pipelines/lint.h"
#include "base/alloc.h"
#include "base/file.h"
#include "runner/cli/lint.h"
#include "stages/stage.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char usage[] =
	"Usage: penstock lint [--format text|json] [FILE|DIRECTORY...]\n"
	"\n"
	"Checks pipelines and tells every mistake at once, with file, line, column and what was probably meant.\n"
	"Without arguments: .penstock.yml and .penstock/*.yml of the current directory; of a directory likewise.\n"
	"\n"
	"  --format text   for people (default)\n"
	"  --format json   {\"files\": n, \"diagnostics\": [{file, line, column, severity, code, message, hint}]}\n"
	"  --json          the same as --format json\n"
	"  --help          this text\n"
	"\n"
	"Exit status: 0 no mistakes, 2 mistakes, nothing to check or wrong usage.\n";

static int is_pipeline(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 4 && strcmp(entry->d_name + len - 4, ".yml") == 0;
}

/* Byte order, whatever the locale says. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* The name of a file in `dir` as a person would write it: no "./" before it. */
static char *name_in(const char *dir, const char *name)
{
	return strcmp(dir, ".") == 0 ? xstrdup(name) : path_join(dir, name);
}

/* Adds dir/.penstock.yml and the .yml files of dir/.penstock, as far as they exist. */
static int add_pipelines(const char *dir, struct strlist *files, struct error **err)
{
	cleanup_free char *file = name_in(dir, ".penstock.yml"), *folder = name_in(dir, ".penstock");
	struct dirent **entries = NULL;
	size_t before = files->n;
	int n;

	if (path_exists(file))
		strlist_add(files, file);
	n = scandir(folder, &entries, is_pipeline, by_name);
	if (n < 0 && errno != ENOENT && errno != ENOTDIR)
		return error_set(err, ERROR_IO, errno, "read %s", folder);
	for (int i = 0; i < n; i++) {
		strlist_addf(files, "%s/%s", folder, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	if (files->n == before)
		return error_set(err, ERROR_NOT_FOUND, 0, "no pipeline in %s: neither .penstock.yml nor .penstock/*.yml exists",
				 strcmp(dir, ".") == 0 ? "this directory" : dir);
	return 0;
}

static int collect(int n, char **names, struct strlist *files, struct error **err)
{
	for (int i = 0; i < n; i++) {
		struct stat info;

		if (stat(names[i], &info) == 0 && S_ISDIR(info.st_mode)) {
			if (add_pipelines(names[i], files, err) < 0)
				return -1;
		} else {
			strlist_add(files, names[i]); /* a missing one is told with the others' mistakes */
		}
	}
	if (n == 0 && add_pipelines(".", files, err) < 0)
		return -1;
	if (files->n > LINT_MAX_FILES)
		return error_set(err, ERROR_TOO_LARGE, 0, "%zu files, at most %d at a time", files->n, LINT_MAX_FILES);
	return 0;
}

/* Returns the exit status. */
static int lint(const struct lint_options *options)
{
	cleanup_buf struct buf out;
	struct lint_counts counts;

	buf_init(&out, LINT_MAX_OUTPUT);
	lint_files(options, &out, &counts);
	if (out.failed) {
		fprintf(stderr, "penstock lint: more than %u bytes of mistakes; check fewer files at a time\n", LINT_MAX_OUTPUT);
		return 2;
	}
	if (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0)
		return 5; /* cli_main tells it */
	return counts.errors > 0 ? 2 : 0;
}

int cli_lint(int argc, char **argv)
{
	static const struct option choices[] = {
		{"format", required_argument, NULL, 'f'}, {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct lint_options options = {.kinds = stage_kinds(), .color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
	cleanup_strlist struct strlist files = {0};
	cleanup_error struct error *err = NULL;

	optind = 0; /* from the start, and with GNU getopt's own state reset */
	for (int choice; (choice = getopt_long(argc, argv, "h", choices, NULL)) != -1;) {
		if (choice == 'h')
			return fputs(usage, stdout) < 0 ? 5 : 0;
		if (choice == 'j')
			options.format = LINT_JSON;
		else if (choice == 'f' && strcmp(optarg, "sarif") == 0)
			return fputs("penstock lint: the format sarif is not available in this build; use text or json\n", stderr) < 0 ? 5 : 2;
		else if (choice == 'f' && !lint_format_from_name(optarg, &options.format))
			return fprintf(stderr, "penstock lint: there is no format \"%s\"; use text or json\n", optarg) < 0 ? 5 : 2;
		else if (choice == '?')
			return fputs("Try `penstock lint --help`.\n", stderr) < 0 ? 5 : 2;
	}
	if (collect(argc - optind, argv + optind, &files, &err) < 0) {
		fprintf(stderr, "penstock lint: %s\n", error_message(err));
		return 2;
	}
	options.files = strlist_items(&files);
	options.n_files = files.n;
	return lint(&options);
}
