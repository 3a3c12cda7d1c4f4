/* The command line's side of the API: finds the daemon's socket, asks, and turns refusals into our errors. */
#ifndef RUNNER_CLI_CLIENT_H
#define RUNNER_CLI_CLIENT_H

#include "base/json.h"
#include "runner/cli/options.h"

/* Asks "GET" "/v1/runs"; the body may be NULL. *ret is the answer's JSON, a new reference; ret may be NULL. A refusal has the
 * code and the message that the daemon gave. UNAVAILABLE tells what was tried. */
int client_call(const struct cli_arguments *arguments, const char *method, const char *path, const json_t *body, json_t **ret,
		struct error **err) must_check;
/* The same with a body of bytes. */
int client_send(const struct cli_arguments *arguments, const char *method, const char *path, const void *bytes, size_t len, json_t **ret,
		struct error **err) must_check;
/* Hands on an answer of text as it comes; however long it is silent. */
int client_stream(const struct cli_arguments *arguments, const char *path, int (*on_data)(void *arg, const char *bytes, size_t len), void *arg,
		  struct error **err) must_check;
/* Asks again and again until `over` says so, through restarts of the daemon of up to half a minute. */
int client_wait(const struct cli_arguments *arguments, const char *path, bool (*over)(const json_t *answer), json_t **ret,
		struct error **err) must_check;
/* For a path or a query; allocated. */
char *client_escape(const char *text);
/* Prints the answer as `--json` promises. Returns the exit status. */
int client_print(const json_t *answer);
#endif
