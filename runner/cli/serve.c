#include "runner/cli/serve.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "runner/serve.h"

#include <getopt.h>
#include <stdio.h>

#define SYSTEM_CONFIG "/etc/penstock/penstock.yml"

static const char synopsis[] = "usage: penstock serve [--config FILE] [--verbose]\n";
static const char help[] =
	"\n"
	"The daemon: takes webhooks, runs pipelines, shifts traffic. It stays in the foreground and tells on standard error when it is ready.\n"
	"SIGTERM and SIGINT end it; stages, served models and traffic go on, and it finds them again when it is started. SIGHUP reads the\n"
	"configuration again; one with mistakes is refused whole.\n"
	"\n"
	"  --config FILE   the operator's file (default: ./penstock.yml, else " SYSTEM_CONFIG "); see docs/operator.md\n"
	"  --verbose       tell details too\n"
	"\n"
	"Example: penstock serve --config /etc/penstock/penstock.yml\n"
	"\n"
	"Exit status: 0 ended by a signal, 2 usage or bad configuration, 5 address or state in use, input/output error.\n";

int cli_serve(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"verbose", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	const char *config = NULL;
	optind = 0;
	for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (option) {
		case 'c':
			config = optarg;
			break;
		case 'v':
			log_set_level(LOG_DEBUG);
			break;
		case 'h':
			fputs(synopsis, stdout);
			fputs(help, stdout);
			return 0;
		default:
			fputs(synopsis, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fputs(synopsis, stderr);
		return 2;
	}
	if (!config)
		config = path_exists("penstock.yml") || !path_exists(SYSTEM_CONFIG) ? "penstock.yml" : SYSTEM_CONFIG;
	cleanup_error struct error *err = NULL;
	if (serve(config, &err) < 0) {
		fprintf(stderr, "penstock serve: %s\n", error_message(err));
		/* What is taken here is no conflict of the request but the surroundings': whoever started us may try again later. */
		return error_code_of(err) == ERROR_CONFLICT ? 5 : error_exit_status(err);
	}
	return 0;
}
