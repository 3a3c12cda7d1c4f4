/* `penstock secret set|list|remove`. A value is read from standard input and never shown. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/diag.h"
#include "runner/cli/client.h"
#include "runner/cli/commands.h"
#include "runner/cli/screen.h"
#include "runner/secrets.h"

#include <errno.h>
#include <string.h>
#include <termios.h>

enum { VALUE_MAX = 64 * 1024 };

static const struct cli_usage usage = {CLI_JSON | CLI_SOCKET,
				       1,
				       2,
				       "Secrets of stages and webhooks. They are sealed at rest, masked in logs and never shown again.\n"
				       "  set NAME      reads the value from standard input; on a terminal it is not echoed\n"
				       "  list          names, and who saved them when\n"
				       "  remove NAME   forgets one",
				       NULL,
				       "openssl rand -hex 24 | penstock secret set tumour_hook"};

static int read_all(struct buf *value, struct error **err)
{
	char chunk[4096];
	ssize_t n;
	while ((n = read(STDIN_FILENO, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, ERROR_IO, errno, "read the value from standard input");
		buf_add(value, chunk, (size_t)n);
		if (value->failed)
			return error_set(err, ERROR_TOO_LARGE, 0, "a secret has at most %d bytes", VALUE_MAX);
		if (isatty(STDIN_FILENO) && memchr(chunk, '\n', (size_t)n))
			return 0;
	}
	return 0;
}

/* Without echo if a person types it. */
static int read_value(const char *name, struct buf *value, struct error **err)
{
	struct termios before, quiet;
	bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
	if (terminal) {
		quiet = before;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		fprintf(stderr, "value of %s: ", name);
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	int result = read_all(value, err);
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
		fputc('\n', stderr);
	}
	/* What `echo` and the return key put behind it is not meant. */
	if (value->len > 0 && value->data[value->len - 1] == '\n')
		value->data[--value->len] = '\0';
	return result;
}

static int set_secret(const struct cli_arguments *arguments, const char *name, json_t **ret, struct error **err)
{
	struct buf value;
	cleanup_free char *escaped = client_escape(name), *path = xasprintf("/v1/secrets/%s", escaped);
	buf_init(&value, VALUE_MAX);
	int result = read_value(name, &value, err);
	if (result == 0 && value.len == 0)
		result = error_set(err, ERROR_INVALID, 0, "secret %s: there is no value on standard input", name);
	if (result == 0)
		result = client_send(arguments, "PUT", path, value.data, value.len, ret, err);
	explicit_bzero(value.data, value.len);
	buf_done(&value);
	if (result == 0 && !arguments->json)
		printf("secret %s is saved\n", name);
	return result;
}

static int remove_secret(const struct cli_arguments *arguments, const char *name, json_t **ret, struct error **err)
{
	cleanup_free char *escaped = client_escape(name), *path = xasprintf("/v1/secrets/%s", escaped);
	if (client_call(arguments, "DELETE", path, NULL, ret, err) < 0)
		return -1;
	if (!arguments->json)
		printf("secret %s is forgotten\n", name);
	return 0;
}

static int list_secrets(const struct cli_arguments *arguments, const char *name, json_t **ret, struct error **err)
{
	(void)name;
	if (client_call(arguments, "GET", "/v1/secrets", NULL, ret, err) < 0)
		return -1;
	if (arguments->json)
		return 0;
	struct screen screen;
	cleanup_grid struct grid *grid = grid_new();
	size_t i;
	json_t *secret;
	screen_init(&screen);
	json_array_foreach(json_object_get(*ret, "secrets"), i, secret)
	{
		char age[24];
		short_age(json_int_or(secret, "created_ms", 0), age);
		grid_cell(grid, INK_BOLD, "%s", json_string_or(secret, "name", ""));
		grid_cell(grid, INK_DIM, "%s ago", age);
		grid_cell(grid, INK_DIM, "by %s", json_string_or(secret, "created_by", ""));
		grid_row(grid);
	}
	grid_print(grid, 0, &screen);
	if (i == 0)
		buf_adds(&screen.out, "no secrets\n");
	screen_flush(&screen);
	screen_done(&screen);
	return 0;
}

static const struct {
	const char *name;
	int words;
	int (*run)(const struct cli_arguments *arguments, const char *name, json_t **ret, struct error **err);
} verbs[] = {{"set", 2, set_secret}, {"list", 1, list_secrets}, {"remove", 2, remove_secret}};

static int complain(const char *verb)
{
	const char *names[ARRAY_SIZE(verbs)];
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		names[i] = verbs[i].name;
	const char *near = nearest_word(verb, names, ARRAY_SIZE(verbs));
	fprintf(stderr, "penstock secret: there is no \"%s\"%s%s%s\nTry `penstock secret --help`.\n", verb, near ? "; did you mean " : "",
		near ? near : "", near ? "?" : "");
	return 2;
}

int cli_secret(int argc, char **argv)
{
	struct cli_arguments arguments;
	size_t which = 0;
	int status = cli_arguments_parse(argc, argv, &usage, &arguments);
	if (status != CLI_GO_ON)
		return status;
	while (which < ARRAY_SIZE(verbs) && strcmp(verbs[which].name, arguments.words[0]) != 0)
		which++;
	if (which == ARRAY_SIZE(verbs))
		return complain(arguments.words[0]);
	if (arguments.n_words != verbs[which].words) {
		fprintf(stderr, "penstock secret: usage: penstock secret %s%s\n", verbs[which].name, verbs[which].words == 2 ? " NAME" : "");
		return 2;
	}
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *answer = NULL;
	if (verbs[which].run(&arguments, arguments.words[1], &answer, &err) < 0)
		return cli_fail(&arguments, err);
	return arguments.json ? client_print(answer) : 0;
}
