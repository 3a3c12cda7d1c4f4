/* HTTP on the loop: libmicrohttpd behind a table of routes. Handlers run inside an event (core_event_begin/-end is done around them):
 * they write rows and fill in a reply; the reply goes out after the COMMIT, or as 503 if that failed.
 *
 *     static int get_run(struct http_call *call, struct error **err) { ... return http_reply_json(call, 200, json); }
 *     const struct http_route api_routes[] = {{"GET", "/v1/runs/:id", get_run, "one run with its stages"}, {.method = NULL}};
 *
 * A handler that returns a negative number answers with the error's HTTP status and {"error": {"code", "message"}}, and its event is
 * rolled back. */
#ifndef RUNNER_HTTP_HTTP_H
#define RUNNER_HTTP_HTTP_H

#include "base/json.h"
#include "runner/core.h"

struct http_call; /* one request; lives until its reply is sent */
typedef int (*http_handler)(struct http_call *call, struct error **err);
struct http_route {
	const char *method, *pattern; /* ":name" is one path part */
	http_handler handler;
	const char *doc;
	size_t max_body;              /* 0: 64 KiB */
	bool read_only;               /* no event around it */
};

/* What the handler may ask. Strings live as long as the call. */
struct core *http_core(const struct http_call *call);
const char *http_param(const struct http_call *call, const char *name);   /* path part, decoded; NULL */
const char *http_query(const struct http_call *call, const char *name);   /* query parameter, decoded; NULL */
const char *http_header(const struct http_call *call, const char *name);  /* case-insensitive; NULL */
const void *http_body(const struct http_call *call, size_t *ret_len);
const char *http_actor(const struct http_call *call);                     /* "uid:0(root)" on the socket, "http" elsewhere */

/* One of these, once. Each returns 0. http_reply_json steals the reference. */
int http_reply_json(struct http_call *call, unsigned status, json_t *json);
int http_reply_text(struct http_call *call, unsigned status, const char *content_type, const char *text); /* copies */

/* A live stream: `pull` is called whenever the connection can take more and after every http_streams_wake(). It appends to `out` (at
 * most about 64 KiB a time); returns 1 to be asked again at once, 0 to wait for a wake, -1 when the stream is over. `done` frees arg. */
struct buf;
struct http_stream { int (*pull)(void *arg, struct buf *out); void (*done)(void *arg); void *arg; };
int http_reply_stream(struct http_call *call, unsigned status, const char *content_type, const struct http_stream *stream);

struct http_server;
/* Binds "HOST:PORT" (port 0: the kernel's choice); an address in use is a CONFLICT that names it and says what to do. */
int http_listen_tcp(struct core *core, const char *address, const struct http_route *routes, struct http_server **ret, struct error **err) must_check;
/* Binds a Unix socket 0600 (removing a stale one; CONFLICT if somebody answers there). Only root and our own uid are admitted. */
int http_listen_unix(struct core *core, const char *path, const struct http_route *routes, struct http_server **ret, struct error **err) must_check;
unsigned http_server_port(const struct http_server *server);
/* Wakes all waiting streams (the daemon calls it after commits with events, and four times a second while a stream is open: logs grow). */
void http_streams_wake(struct core *core);
void http_server_free(struct http_server *server);
#endif
