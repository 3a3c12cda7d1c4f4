#include "runner/cli/run.h"

#include "runner/local.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"usage: penstock run [--stage STAGE] [--event EVENT] [--branch BRANCH] [--input NAME=VALUE]... [--state DIR] [--json] [DIR]\n"
	"\n"
	"Runs the pipeline of a checkout (this folder, or DIR) on this machine, without a daemon. The files are those of the working tree,\n"
	"uncommitted ones included, ignored ones not. Deploy stages are skipped. Secrets are taken from the environment.\n"
	"\n"
	"  --stage STAGE       only this stage and what it needs\n"
	"  --event EVENT       pretend that this happened (push, pull_request, tag, schedule, manual, drift), triggers included;\n"
	"                      without it triggers are not asked, and stages see a push (or manual, if there are inputs)\n"
	"  --branch BRANCH     instead of the branch that is checked out\n"
	"  --input NAME=VALUE  an input of a manual run\n"
	"  --state DIR         work here instead of $XDG_STATE_HOME/penstock/local/...\n"
	"  --json              print the result as JSON; progress goes to standard error\n"
	"\n"
	"Exit status: 0 success, 1 failed, 2 usage or bad pipeline, 3 rejected by a gate, 4 cancelled, 5 infrastructure.\n";

struct arguments {
	struct local_request request;
	json_t *inputs;
	bool json, help;
};

static int add_input(json_t *inputs, const char *text)
{
	const char *equals = strchr(text, '=');
	if (!equals || equals == text) {
		fprintf(stderr, "penstock run: --input wants NAME=VALUE, not \"%s\"\n", text);
		return -1;
	}
	json_t *value = json_string(equals + 1);
	if (!value) {
		fprintf(stderr, "penstock run: the input \"%.*s\" is not UTF-8 text\n", (int)(equals - text), text);
		return -1;
	}
	return json_object_setn_new(inputs, text, (size_t)(equals - text), value);
}

static int parse(int argc, char **argv, struct arguments *ret)
{
	static const struct option options[] = {
		{"stage", required_argument, NULL, 's'},  {"event", required_argument, NULL, 'e'},
		{"branch", required_argument, NULL, 'b'}, {"input", required_argument, NULL, 'i'},
		{"state", required_argument, NULL, 'd'},  {"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
	};
	optind = 0;
	for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (option) {
		case 's':
			ret->request.stage = optarg;
			break;
		case 'e':
			ret->request.event = optarg;
			break;
		case 'b':
			ret->request.branch = optarg;
			break;
		case 'i':
			if (add_input(ret->inputs, optarg) < 0)
				return -1;
			break;
		case 'd':
			ret->request.state_dir = optarg;
			break;
		case 'j':
			ret->json = true;
			break;
		case 'h':
			ret->help = true;
			break;
		default:
			return -1;
		}
	}
	if (argc - optind > 1)
		return -1;
	ret->request.dir = optind < argc ? argv[optind] : ".";
	return 0;
}

static int run(struct arguments *arguments)
{
	cleanup_error struct error *err = NULL;
	struct local_result result;
	arguments->request.inputs = arguments->inputs;
	arguments->request.progress = arguments->json ? stderr : stdout;
	arguments->request.color = isatty(fileno(arguments->request.progress)) && !getenv("NO_COLOR");
	if (local_run(&arguments->request, &result, &err) < 0) {
		fprintf(stderr, "penstock run: %s\n", error_message(err));
		return error_exit_status(err);
	}
	cleanup_json json_t *json = result.json;
	if (arguments->json) {
		cleanup_free char *text = json_text_pretty(json);
		fputs(text, stdout);
	}
	return result.bad_pipeline ? 2 : outcome_exit_status(result.outcome);
}

int cli_run(int argc, char **argv)
{
	struct arguments arguments = {.inputs = json_object()};
	int status = 0;
	if (parse(argc, argv, &arguments) < 0) {
		fputs("usage: penstock run [--stage STAGE] [--event EVENT] [--branch BRANCH] [--input NAME=VALUE]... [--state DIR] [--json] [DIR]\n",
		      stderr);
		status = 2;
	} else if (arguments.help) {
		fputs(help, stdout);
	} else {
		status = run(&arguments);
	}
	json_decref(arguments.inputs);
	return status;
}
