#include "runner/cli/client.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/http_client.h"
#include "runner/config.h"

#include <ctype.h>
#include <poll.h>
#include <string.h>

#define CONFIG_FILE "penstock.yml"
#define SYSTEM_SOCKET "/run/penstock/penstock.sock"
#define DAY_MS (UINT64_C(24) * 60 * 60 * 1000)
enum { LOOK_AGAIN_MS = 200, RESTART_MS = 30 * 1000, ANSWER_MAX = 64 << 20 };

struct place {
	char *socket;
	const char *said_by;
};

/* The operator's file here, if there is one; a bad one is told rather than passed over. */
static int place_from_file(struct place *ret, struct error **err)
{
	struct config *config;
	if (config_read(CONFIG_FILE, &config, err) < 0)
		return error_context(err, "find the daemon's socket (name it with --socket)");
	*ret = (struct place){xstrdup(config->socket), "named by ./" CONFIG_FILE};
	config_free(config);
	return 0;
}

static int find_socket(const struct cli_arguments *arguments, struct place *ret, struct error **err)
{
	const char *environment = getenv("PENSTOCK_SOCKET");
	if (arguments->socket)
		*ret = (struct place){xstrdup(arguments->socket), "named by --socket"};
	else if (environment && environment[0])
		*ret = (struct place){xstrdup(environment), "named by $PENSTOCK_SOCKET"};
	else if (path_exists(CONFIG_FILE))
		return place_from_file(ret, err);
	else
		*ret = (struct place){xstrdup(SYSTEM_SOCKET), "the default; there is no ./" CONFIG_FILE " and no $PENSTOCK_SOCKET"};
	return 0;
}

static enum error_code code_from_name(const char *name)
{
	for (int code = 0; code <= (int)ERROR_INTERNAL; code++)
		if (strcmp(error_code_name((enum error_code)code), name) == 0)
			return (enum error_code)code;
	return ERROR_PROTOCOL;
}

static int refuse(const struct http_response *response, struct error **err)
{
	cleanup_json json_t *answer = NULL;
	if (response->body && json_parse(response->body, response->body_len, &answer, NULL) == 0) {
		const json_t *told = json_object_get(answer, "error");
		if (json_is_object(told))
			return error_set(err, code_from_name(json_string_or(told, "code", "")), 0, "%s", json_string_or(told, "message", ""));
	}
	return error_set(err, ERROR_PROTOCOL, 0, "the daemon answered with HTTP status %ld", response->status);
}

static int fetch(const struct cli_arguments *arguments, struct http_request *request, const char *path, struct http_response *ret, struct error **err)
{
	struct place place;
	if (find_socket(arguments, &place, err) < 0)
		return -1;
	cleanup_free char *socket = place.socket, *url = xasprintf("http://penstock%s", path);
	cleanup_error struct error *why = NULL;
	request->url = url;
	request->unix_socket = socket;
	if (http_fetch(request, ret, &why) == 0)
		return 0;
	if (error_code_of(why) != ERROR_UNAVAILABLE)
		return error_move(err, STEAL(why));
	return error_set(err, ERROR_UNAVAILABLE, 0,
			 "the daemon is not reachable at %s (%s)%s\nIs `penstock serve` running, and may you use its socket?", socket, place.said_by,
			 path_exists(socket) ? ": nobody answers there" : ": there is no such socket");
}

static int ask(const struct cli_arguments *arguments, struct http_request *request, const char *path, json_t **ret, struct error **err)
{
	struct http_response response = {0};
	json_t *answer = NULL;
	int result = fetch(arguments, request, path, &response, err);
	if (result < 0)
		return -1;
	if (response.status < 200 || response.status > 299)
		result = refuse(&response, err);
	else if (json_parse(response.body, response.body_len, &answer, err) < 0)
		result = error_context(err, "the daemon's answer");
	http_response_done(&response);
	if (result == 0 && ret)
		*ret = answer;
	else
		json_decref(answer);
	return result;
}

int client_send(const struct cli_arguments *arguments, const char *method, const char *path, const void *bytes, size_t len, json_t **ret,
		struct error **err)
{
	static const char *const headers[] = {"Content-Type: application/octet-stream", "Expect:", NULL};
	struct http_request request = {.method = method, .body = bytes, .body_len = len, .headers = headers, .max_response = ANSWER_MAX};
	return ask(arguments, &request, path, ret, err);
}

int client_call(const struct cli_arguments *arguments, const char *method, const char *path, const json_t *body, json_t **ret, struct error **err)
{
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	cleanup_free char *text = body ? json_text(body) : NULL;
	struct http_request request = {
		.method = method, .headers = headers, .body = text, .body_len = text ? strlen(text) : 0, .max_response = ANSWER_MAX};
	return ask(arguments, &request, path, ret, err);
}

int client_stream(const struct cli_arguments *arguments, const char *path, int (*on_data)(void *arg, const char *bytes, size_t len), void *arg,
		  struct error **err)
{
	struct http_request request = {.timeout_ms = DAY_MS * 7, .max_response = SIZE_MAX, .on_data = on_data, .on_data_arg = arg};
	struct http_response response = {0};
	if (fetch(arguments, &request, path, &response, err) < 0)
		return -1;
	int result = response.status == 200 ? 0 : refuse(&response, err);
	http_response_done(&response);
	return result;
}

int client_wait(const struct cli_arguments *arguments, const char *path, bool (*over)(const json_t *answer), json_t **ret, struct error **err)
{
	uint64_t seen_ms = clock_mono_ms();
	bool seen = false;
	for (;;) {
		cleanup_error struct error *why = NULL;
		cleanup_json json_t *answer = NULL;
		if (client_call(arguments, "GET", path, NULL, &answer, &why) == 0) {
			seen_ms = clock_mono_ms();
			seen = true;
			if (over(answer)) {
				*ret = STEAL(answer);
				return 0;
			}
		} else if (!error_retryable(why) || !seen || clock_mono_ms() - seen_ms > RESTART_MS) {
			return error_move(err, STEAL(why));
		}
		poll(NULL, 0, LOOK_AGAIN_MS);
	}
}

char *client_escape(const char *text)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (isalnum(*p) || strchr("-._~", *p))
			buf_addc(&out, (char)*p);
		else
			buf_addf(&out, "%%%02X", *p);
	}
	return buf_steal(&out);
}

int client_print(const json_t *answer)
{
	cleanup_free char *text = json_text_pretty(answer);
	return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? 5 : 0;
}
