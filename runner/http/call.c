#include "runner/http/http_priv.h"

#include "base/log.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_MAX_BODY (64 * 1024)

struct http_call *http_call_new(struct http_server *server, struct MHD_Connection *connection)
{
	struct http_call *call = xcalloc(1, sizeof(*call));
	call->server = server;
	call->connection = connection;
	buf_init(&call->body, DEFAULT_MAX_BODY);
	return call;
}

void http_reply_drop(struct http_call *call)
{
	if (call->response)
		MHD_destroy_response(call->response);
	call->response = NULL;
}

void http_call_free(struct http_call *call)
{
	if (!call)
		return;
	if (call->ticket)
		call->ticket->call = NULL;
	http_reply_drop(call);
	call->server->body_bytes -= call->body.len;
	buf_done(&call->body);
	route_match_done(&call->match);
	strlist_done(&call->query);
	free(call->actor);
	free(call);
}

/* ---- what a handler may ask ---- */

struct core *http_core(const struct http_call *call)
{
	return call->server->core;
}

const char *http_param(const struct http_call *call, const char *name)
{
	for (size_t i = 0; i < call->match.n_params; i++)
		if (strlen(name) == call->match.params[i].name_len && memcmp(name, call->match.params[i].name, call->match.params[i].name_len) == 0)
			return call->match.params[i].value;
	return NULL;
}

const char *http_query(const struct http_call *call, const char *name)
{
	for (size_t i = 0; i + 1 < call->query.n; i += 2)
		if (strcmp(call->query.items[i], name) == 0)
			return call->query.items[i + 1];
	return NULL;
}

const char *http_header(const struct http_call *call, const char *name)
{
	return MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, name);
}

const void *http_body(const struct http_call *call, size_t *ret_len)
{
	if (ret_len)
		*ret_len = call->body.len;
	return call->body.data;
}

const char *http_actor(const struct http_call *call)
{
	return call->actor ? call->actor : "http";
}

/* ---- replies ---- */

static void set_reply(struct http_call *call, unsigned status, const char *content_type, struct MHD_Response *response)
{
	assert(!call->response && response);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	call->status = status;
	call->response = response;
}

int http_reply_text(struct http_call *call, unsigned status, const char *content_type, const char *text)
{
	set_reply(call, status, content_type, MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY));
	return 0;
}

int http_reply_json(struct http_call *call, unsigned status, json_t *json)
{
	cleanup_json json_t *taken = json;
	cleanup_free char *text = json_text(taken);
	cleanup_free char *line = xasprintf("%s\n", text);
	return http_reply_text(call, status, "application/json", line);
}

void http_refuse(struct http_call *call, unsigned status, const char *code, const char *message)
{
	http_reply_drop(call);
	http_reply_json(call, status, json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", message));
	if (status == 405)
		MHD_add_response_header(call->response, MHD_HTTP_HEADER_ALLOW, call->match.allow);
	if (status == 503)
		MHD_add_response_header(call->response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
}

/* Messages quote what came from outside, which need not be UTF-8. */
static json_t *text_json(const char *text)
{
	json_t *json = json_string(text);
	return json ? json : json_string("the message is not UTF-8 text");
}

void http_reply_error(struct http_call *call, const struct error *err)
{
	unsigned status = err ? (unsigned)error_http_status(err) : 500;
	const char *message = err ? error_message(err) : "the request was not answered";
	if (status >= 500 && status != 501) {
		log_write(LOG_ERROR, "http", "%s %s: %s", call->match.route->method, call->match.route->pattern, message);
		if (!call->server->path)
			message = "something went wrong here; the daemon's log says what. Nothing was done: try again";
	}
	http_reply_drop(call);
	http_reply_json(
		call, status,
		json_pack("{s:{s:s, s:o}}", "error", "code", err ? error_code_name(error_code_of(err)) : "internal", "message", text_json(message)));
	if (status == 503)
		MHD_add_response_header(call->response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
}
