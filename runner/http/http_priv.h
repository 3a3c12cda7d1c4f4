/* Inside runner/http only: one request, its routing, its server. */
#ifndef RUNNER_HTTP_HTTP_PRIV_H
#define RUNNER_HTTP_HTTP_PRIV_H

#include "base/alloc.h"
#include "base/buf.h"
#include "runner/http/http.h"

#include <microhttpd.h>
#include <sys/types.h>

/* ---- routing: pure (route.c) ---- */

#define HTTP_MAX_PARAMS 4
struct route_match {
	const struct http_route *route; /* NULL: see status */
	unsigned status;                /* 404, 405 or 400 (a part that does not decode) without a route */
	char allow[64];                 /* for 405: "GET, POST" */
	struct {
		const char *name; /* in the pattern, not terminated */
		size_t name_len;
		char *value; /* decoded, owned */
	} params[HTTP_MAX_PARAMS];
	size_t n_params;
};
/* `path` as it came, not decoded: an encoded slash stays inside its part. HEAD finds GET's rows. */
void route_find(const struct http_route *routes, const char *method, const char *path, struct route_match *ret);
void route_match_done(struct route_match *match);
/* Undoes %XX; NULL if that is malformed or gives a control byte or something that is not UTF-8. Owned by the caller. */
char *url_decode(const char *text, size_t len);

/* ---- calls (call.c) ---- */

enum call_state { CALL_READING, CALL_WAITING /* for the commit */, CALL_READY /* response is set */ };

/* Between a queued reply and its call, which may be gone by then. */
struct call_ticket {
	struct http_call *call;
};

struct http_call {
	struct http_server *server;
	struct MHD_Connection *connection;
	enum call_state state;
	struct route_match match;
	struct strlist query; /* name, value, name, value ... */
	char *actor;
	struct buf body;
	bool refused; /* answered before the body was read, which is thrown away */
	unsigned status;
	struct MHD_Response *response;
	struct call_ticket *ticket;
	struct http_call *next_waiting;
};
struct http_call *http_call_new(struct http_server *server, struct MHD_Connection *connection);
void http_call_free(struct http_call *call);
void http_reply_drop(struct http_call *call);
/* Replaces whatever the reply was by {"error": {...}}. What a 5xx says stays with us on a public server. */
void http_reply_error(struct http_call *call, const struct error *err);
void http_refuse(struct http_call *call, unsigned status, const char *code, const char *message);

/* ---- servers (server.c, listen.c) ---- */

struct http_stream_state;
struct http_hub;
/* One connection, from accept() to close(). */
struct http_peer {
	int fd;
	uint64_t since_ms; /* when what it is sending began; 0 while it waits for its answer */
	struct http_peer *next;
};
struct http_server {
	struct http_hub *hub;
	struct core *core;
	const struct http_route *routes;
	struct MHD_Daemon *daemon;
	struct loop_watch *watch;
	char *path; /* of a Unix socket, or NULL */
	dev_t dev;
	ino_t ino;
	unsigned port;
	size_t body_bytes; /* held by all calls */
	uint64_t request_ms; /* the longest that a request may take to come in */
	struct http_peer *peers;
	bool closing;
	struct http_call *waiting; /* for their commits */
	struct http_stream_state *streams;
	struct http_server *next;
};
int http_server_start(struct core *core, int fd, const struct http_route *routes, struct http_server **ret, struct error **err) must_check;
/* There is something to do for MHD before the loop sleeps. */
void http_hub_work(struct http_hub *hub);
void http_hub_wake_after_commit(struct http_hub *hub);
void http_hub_count_streams(struct http_hub *hub, int change);

/* ---- streams (stream.c) ---- */

/* Asks every stream that waits again. */
void http_streams_resume(struct http_server *server);
#endif
