/* `penstock hook`: install, send, flush, status. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "runner/cli/cli.h"
#include "runner/cli/hook.h"
#include "runner/hook/hook.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>

enum { LINE_MAX_BYTES = 8192, REFS_MAX = 10000 };

static const char help[] =
	"usage: penstock hook install REPO --url URL (--secret-file FILE | --secret-stdin) [--force]\n"
	"       penstock hook status REPO [--json]\n"
	"       penstock hook flush REPO [--refused]\n"
	"       penstock hook send\n"
	"\n"
	"Tells Penstock of every push to a git repository on this machine. `install` writes the repository's post-receive hook. Each push is\n"
	"written to a spool first and sent until the daemon has it, exactly once; a daemon that is down never fails a push.\n"
	"\n"
	"  --url URL           the daemon's webhook address: http://HOST:PORT/hooks/NAME (NAME as in penstock.yml)\n"
	"  --secret-file FILE  the webhook's secret, as given to `penstock secret set`; a newline at the end is left out\n"
	"  --secret-stdin      the same, from standard input\n"
	"  --force             replace another post-receive hook, which is kept aside\n"
	"  --refused           send again what the daemon had refused\n"
	"  --json              print the status as JSON\n"
	"\n"
	"`send` is what the hook calls; it reads git's lines from standard input and always exits with 0.\n"
	"\n"
	"Example:\n"
	"  penstock hook install /srv/git/churn.git --url http://127.0.0.1:8080/hooks/churn --secret-file churn.secret\n"
	"\n"
	"Exit status: 0 done, 1 refused, or something waits (status), 2 usage, 5 the daemon is not reachable or a file cannot be written.\n";

struct arguments {
	const char *verb, *repository, *url, *secret_file;
	bool secret_stdin, force, refused, json, help;
};

static int wrong_usage(const char *what, const char *word)
{
	fprintf(stderr, "penstock hook: %s%s%s\n", what, word ? " " : "", word ? word : "");
	fputs("Try `penstock hook --help`.\n", stderr);
	return 2;
}

static int parse(int argc, char **argv, struct arguments *ret)
{
	static const struct option options[] = {
		{"url", required_argument, NULL, 'u'},    {"secret-file", required_argument, NULL, 's'},
		{"secret-stdin", no_argument, NULL, 'i'}, {"force", no_argument, NULL, 'f'},
		{"refused", no_argument, NULL, 'r'},      {"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
	};
	optind = 0;
	for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (option) {
		case 'u':
			ret->url = optarg;
			break;
		case 's':
			ret->secret_file = optarg;
			break;
		case 'i':
			ret->secret_stdin = true;
			break;
		case 'f':
			ret->force = true;
			break;
		case 'r':
			ret->refused = true;
			break;
		case 'j':
			ret->json = true;
			break;
		case 'h':
			ret->help = true;
			return 0;
		default:
			return fputs("Try `penstock hook --help`.\n", stderr) < 0 ? 5 : 2;
		}
	}
	if (optind >= argc)
		return wrong_usage("say what to do: install, status, flush or send", NULL);
	ret->verb = argv[optind++];
	if (optind < argc)
		ret->repository = argv[optind++];
	return optind < argc ? wrong_usage("unexpected argument", argv[optind]) : 0;
}

static int fail(const char *verb, const struct error *err)
{
	fprintf(stderr, "penstock hook %s: %s\n", verb, error_message(err));
	return error_exit_status(err);
}

/* The secret without the newline that editors and echo put behind it. */
static int read_secret(const struct arguments *arguments, char **ret, struct error **err)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	if (arguments->secret_file) {
		if (file_read(arguments->secret_file, HOOK_SECRET_MAX_BYTES, &text, &len, err) < 0)
			return -1;
	} else {
		text = xcalloc(1, HOOK_SECRET_MAX_BYTES + 2);
		len = fread(text, 1, HOOK_SECRET_MAX_BYTES + 1, stdin);
		if (len > HOOK_SECRET_MAX_BYTES)
			return error_set(err, ERROR_TOO_LARGE, 0, "the secret has more than %d bytes", HOOK_SECRET_MAX_BYTES);
	}
	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		text[--len] = '\0';
	if (memchr(text, '\0', len))
		return error_set(err, ERROR_INVALID, 0, "the secret has a NUL byte in it");
	*ret = STEAL(text);
	return 0;
}

static int install(const struct arguments *arguments)
{
	if (!arguments->url)
		return wrong_usage("install wants --url http://HOST:PORT/hooks/NAME", NULL);
	if (!arguments->secret_file == !arguments->secret_stdin)
		return wrong_usage("install wants one of --secret-file FILE and --secret-stdin", NULL);
	cleanup_error struct error *err = NULL;
	cleanup_free char *secret = NULL, *note = NULL, *self = NULL;
	if (read_secret(arguments, &secret, &err) < 0)
		return fail("install", err);
	self = realpath("/proc/self/exe", NULL);
	if (!self) {
		error_set(&err, ERROR_IO, errno, "cannot tell where this penstock is");
		return fail("install", err);
	}
	struct hook_install what = {
		.repository = arguments->repository, .url = arguments->url, .secret = secret, .executable = self, .force = arguments->force};
	if (hook_install(&what, &note, &err) < 0)
		return fail("install", err);
	printf("Pushes to %s are told to %s.\n", arguments->repository, arguments->url);
	if (note)
		printf("Note: %s.\n", note);
	return 0;
}

static bool is_zero(const char *commit)
{
	return commit[strspn(commit, "0")] == '\0';
}

/* "<before> <after> <ref>", as git writes it for post-receive. */
static void spool_line(struct hook_folder *folder, char *line)
{
	char *after = strchr(line, ' '), *ref = after ? strchr(after + 1, ' ') : NULL;
	if (!ref)
		return;
	*after++ = '\0';
	*ref++ = '\0';
	ref[strcspn(ref, "\n")] = '\0';
	bool branch = strncmp(ref, "refs/heads/", 11) == 0, tag = strncmp(ref, "refs/tags/", 10) == 0;
	/* Notes, reviews and deletions start nothing. */
	if (is_zero(after) || (!branch && !tag))
		return;
	cleanup_error struct error *err = NULL;
	if (hook_spool(folder, ref, line, after, &err) < 0)
		fprintf(stderr, "penstock: this push is NOT reported: %s\n", error_message(err));
}

/* Never fails the push: what was pushed is in the repository already, and git would only frighten the pusher. */
static int send(void)
{
	signal(SIGPIPE, SIG_IGN);
	const char *git = getenv("GIT_DIR");
	cleanup_error struct error *err = NULL;
	CLEANUP(hook_close) struct hook_folder *folder = NULL;
	if (hook_open(git && git[0] ? git : ".", &folder, &err) < 0)
		fprintf(stderr, "penstock: this push is NOT reported: %s\n", error_message(err));
	char line[LINE_MAX_BYTES];
	for (unsigned n = 0; fgets(line, sizeof(line), stdin);) {
		if (folder && strchr(line, '\n') && n++ < REFS_MAX)
			spool_line(folder, line);
	}
	struct hook_result result;
	if (folder && hook_deliver(folder, stderr, &result, &err) < 0)
		fprintf(stderr, "penstock: the delivery is kept, but: %s\n", error_message(err));
	return 0;
}

static int flush(const struct arguments *arguments)
{
	cleanup_error struct error *err = NULL;
	CLEANUP(hook_close) struct hook_folder *folder = NULL;
	struct hook_result result;
	unsigned again = 0;
	if (hook_open(arguments->repository, &folder, &err) < 0 || (arguments->refused && hook_retry_refused(folder, &again, &err) < 0) ||
	    hook_deliver(folder, stdout, &result, &err) < 0)
		return fail("flush", err);
	if (!result.delivered && !result.refused && !result.waiting)
		puts("Nothing waits.");
	return result.waiting ? 5 : result.refused ? 1 : 0;
}

static void print_one(void *arg, const char *name, const char *ref, const char *why)
{
	(void)arg;
	printf("  %-8s %.12s  %s%s%s\n", why ? "refused" : "waits", name, ref, why ? "  " : "", why ? why : "");
}

static void add_one(void *arg, const char *name, const char *ref, const char *why)
{
	json_t *list = arg;
	json_array_append_new(
		list, json_pack("{s:s, s:s, s:s*, s:b}", "delivery", strchr(name, '-') + 1, "ref", ref, "reason", why, "refused", why != NULL));
}

static int status(const struct arguments *arguments)
{
	cleanup_error struct error *err = NULL;
	CLEANUP(hook_close) struct hook_folder *folder = NULL;
	struct hook_result result;
	cleanup_json json_t *deliveries = json_array();
	if (hook_open(arguments->repository, &folder, &err) < 0 || hook_list(folder, add_one, deliveries, &result, &err) < 0)
		return fail("status", err);
	bool called = hook_is_called(folder);
	if (arguments->json) {
		cleanup_json json_t *json =
			json_pack("{s:s, s:s, s:b, s:i, s:i, s:O}", "repository", hook_repository(folder), "url", hook_url(folder), "installed",
				  called, "waiting", (int)result.waiting, "refused", (int)result.refused, "deliveries", deliveries);
		cleanup_free char *text = json_text_pretty(json);
		fputs(text, stdout);
	} else {
		printf("Pushes to %s are told to %s.\n", hook_repository(folder), hook_url(folder));
		if (!called)
			puts("But git does not call the hook: hooks/post-receive is missing, not executable or not Penstock's; `penstock hook "
			     "install` mends that.");
		printf("%u wait%s, %u refused.\n", result.waiting, result.waiting == 1 ? "s" : "", result.refused);
		if (hook_list(folder, print_one, NULL, &result, &err) < 0)
			return fail("status", err);
		if (result.waiting)
			printf("`penstock hook flush %s` sends what waits.\n", hook_repository(folder));
		if (result.refused)
			printf("`penstock hook flush --refused %s` tries the refused ones again.\n", hook_repository(folder));
	}
	return called && !result.waiting && !result.refused ? 0 : 1;
}

int cli_hook(int argc, char **argv)
{
	struct arguments arguments = {0};
	int wrong = parse(argc, argv, &arguments);
	if (wrong)
		return wrong;
	if (arguments.help)
		return fputs(help, stdout) < 0 ? 5 : 0;
	if (strcmp(arguments.verb, "send") == 0)
		return arguments.repository ? wrong_usage("unexpected argument", arguments.repository) : send();
	static const struct {
		const char *verb;
		int (*run)(const struct arguments *arguments);
	} verbs[] = {{"install", install}, {"flush", flush}, {"status", status}};
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(arguments.verb, verbs[i].verb) != 0)
			continue;
		return arguments.repository ? verbs[i].run(&arguments) : wrong_usage("say which repository:", "penstock hook VERB REPO");
	}
	return wrong_usage("there is no such verb:", arguments.verb);
}
