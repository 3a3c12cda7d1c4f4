#include "runner/cli/options.h"

#include "base/buf.h"
#include "base/diag.h"
#include "runner/cli/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_WIDTH = 18 };

static const struct {
	unsigned bit;
	const char *name, *argument, *doc;
} table[] = {
#define X(bit, name, argument, field, doc) {CLI_##bit, name, argument, doc},
	CLI_OPTIONS(X)
#undef X
};

static const char **field_of(struct cli_arguments *arguments, int index)
{
	switch ((enum cli_option_index)index) {
#define X(bit, name, argument, field, doc)                                                                                                           \
	case CLI_INDEX_##bit:                                                                                                                        \
		return &arguments->field;
		CLI_OPTIONS(X)
#undef X
	case N_CLI_OPTIONS:
		break;
	}
	abort();
}

static const struct cli_command *row_of(const char *name)
{
	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (strcmp(command->name, name) == 0)
			return command;
	return NULL;
}

static void print_options(const struct cli_usage *usage, struct buf *out)
{
	for (size_t i = 0; i < N_CLI_OPTIONS; i++) {
		if (!(usage->options & table[i].bit))
			continue;
		int written = (int)strlen(table[i].name) + (table[i].argument ? 1 + (int)strlen(table[i].argument) : 0);
		buf_addf(out, "  --%s%s%s%*s  %s\n", table[i].name, table[i].argument ? " " : "", table[i].argument ? table[i].argument : "",
			 written < OPTION_WIDTH ? OPTION_WIDTH - written : 0, "", table[i].doc);
	}
	buf_addf(out, "  --%-*s  %s\n", OPTION_WIDTH, "help", "this text");
}

static int print_help(const char *name, const struct cli_usage *usage)
{
	const struct cli_command *row = row_of(name);
	cleanup_buf struct buf out;
	buf_init(&out, 64 * 1024);
	buf_addf(&out, "Usage: penstock %s%s%s\n\n%s\n\n", name, row && row->synopsis[0] ? " " : "", row ? row->synopsis : "", usage->about);
	print_options(usage, &out);
	if (usage->example)
		buf_addf(&out, "\nExample:\n  %s\n", usage->example);
	buf_addf(&out, "\nExit status: %s\n",
		 usage->exits ? usage->exits : "0 done, 1 refused or not found, 2 wrong usage, 5 the daemon is not reachable or failed.");
	return fwrite(out.data, 1, out.len, stdout) == out.len ? 0 : 5;
}

static int complain(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int complain(const char *name, const char *fmt, ...)
{
	va_list args;
	fprintf(stderr, "penstock %s: ", name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\nTry `penstock %s --help`.\n", name);
	return 2;
}

static int complain_of_option(const char *name, const struct cli_usage *usage, const char *option)
{
	const char *known[N_CLI_OPTIONS + 1];
	size_t n = 0;
	for (size_t i = 0; i < N_CLI_OPTIONS; i++)
		if (usage->options & table[i].bit)
			known[n++] = table[i].name;
	known[n++] = "help";
	const char *bare = option + strspn(option, "-"), *near = nearest_word(bare, known, n);
	return complain(name, "there is no option \"%s\"%s%s%s", option, near ? "; did you mean --" : "", near ? near : "", near ? "?" : "");
}

static int check_words(const struct cli_arguments *arguments, const struct cli_usage *usage)
{
	if (arguments->n_words < usage->min_words) {
		const struct cli_command *row = row_of(arguments->command);
		return complain(arguments->command, "something is missing: penstock %s %s", arguments->command, row ? row->synopsis : "");
	}
	if (arguments->n_words > usage->max_words)
		return complain(arguments->command, "unexpected argument \"%s\"", arguments->words[usage->max_words]);
	return CLI_GO_ON;
}

int cli_arguments_parse(int argc, char **argv, const struct cli_usage *usage, struct cli_arguments *ret)
{
	struct option options[N_CLI_OPTIONS + 2] = {0};
	struct cli_arguments arguments = {.command = argv[0]};
	size_t n = 0;
	for (int i = 0; i < N_CLI_OPTIONS; i++)
		if (usage->options & table[i].bit)
			options[n++] = (struct option){table[i].name, table[i].argument ? required_argument : no_argument, NULL, 256 + i};
	options[n] = (struct option){"help", no_argument, NULL, 'h'};
	optind = 0;
	opterr = 0;
	for (;;) {
		int current = optind ? optind : 1, option = getopt_long(argc, argv, ":h", options, NULL);
		if (option == -1)
			break;
		if (option == 'h')
			return print_help(argv[0], usage);
		if (option == ':')
			return complain(argv[0], "%s wants a value", argv[optind - 1]);
		if (option == '?')
			return complain_of_option(argv[0], usage, optind > current ? argv[optind - 1] : argv[current]);
		*field_of(&arguments, option - 256) = optarg ? optarg : "";
	}
	arguments.words = argv + optind;
	arguments.n_words = argc - optind;
	*ret = arguments;
	return check_words(&arguments, usage);
}

bool cli_run_number(const struct cli_arguments *arguments, const char *word, int64_t *ret)
{
	const char *digits = word[0] == '#' ? word + 1 : word;
	size_t len = strlen(digits);
	if (len == 0 || len > 15 || strspn(digits, "0123456789") != len || strtoll(digits, NULL, 10) == 0) {
		complain(arguments->command, "\"%s\" is no number of a run; `penstock ps` lists them", word);
		return false;
	}
	*ret = strtoll(digits, NULL, 10);
	return true;
}

int cli_fail(const struct cli_arguments *arguments, const struct error *err)
{
	fflush(stdout);
	fprintf(stderr, "penstock %s: %s\n", arguments->command, error_message(err));
	return error_exit_status(err);
}
