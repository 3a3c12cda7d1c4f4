#include "runner/http/http_priv.h"

#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define MAX_CONNECTIONS 256U
#define CONNECTION_TIMEOUT_S 30U
/* However busily somebody sends: with a byte now and then the timeout above would never come, and few such peers fill the server. */
#define REQUEST_MS 60000U
#define CONNECTION_MEMORY ((size_t)(64 * 1024)) /* request line and headers too */
#define DEFAULT_MAX_BODY ((size_t)(64 * 1024))
#define MAX_BODIES ((size_t)(64 * 1024 * 1024)) /* of all calls of one server together */
/* A body that is refused is still read up to here, so that the client gets to read why. */
#define MAX_DISCARDED (32ULL * 1024 * 1024)
#define STREAM_WAKE_MS 250

/* Everything that speaks HTTP on one core: the hook before the loop sleeps, and the timer that MHD wants. */
struct http_hub {
	struct core *core;
	struct http_server *servers;
	bool work, wake;
	struct loop_timer *timer, *stream_timer;
	uint64_t timer_at_ms;
	size_t n_streams;
	struct http_hub *next;
};
static struct http_hub *hubs; /* one a core; only tests have several */

/* ---- the hook: COMMIT, resume, MHD_run, until nothing is open (DESIGN 4) ---- */

void http_hub_work(struct http_hub *hub)
{
	hub->work = true;
}

void http_hub_wake_after_commit(struct http_hub *hub)
{
	hub->wake = true;
}

static void on_timer(void *arg)
{
	struct http_hub *hub = arg;
	loop_timer_stop(hub->timer);
	hub->timer = NULL;
	hub->work = true;
}

/* A timer that comes too early is harmless and is left alone: else every iteration would make a new one. */
static void arm(struct http_hub *hub)
{
	MHD_UNSIGNED_LONG_LONG least = 0, timeout;
	bool wanted = hub->wake && !db_in_transaction(hub->core->db);
	for (struct http_server *server = hub->servers; server; server = server->next)
		if (MHD_get_timeout(server->daemon, &timeout) == MHD_YES) {
			least = wanted && least < timeout ? least : timeout;
			wanted = true;
		}
	uint64_t at = clock_mono_ms() + least;
	if (!wanted || (hub->timer && hub->timer_at_ms <= at))
		return;
	loop_timer_stop(hub->timer);
	hub->timer = loop_timer_start(hub->core->loop, least, 0, on_timer, hub);
	hub->timer_at_ms = at;
}

/* Whoever dribbles wakes us himself; who is silent is libmicrohttpd's to close. */
static void cut_slow_peers(const struct http_server *server)
{
	uint64_t now = clock_mono_ms();
	for (struct http_peer *peer = server->peers; peer; peer = peer->next)
		if (peer->since_ms && now - peer->since_ms > server->request_ms) {
			shutdown(peer->fd, SHUT_RDWR);
			peer->since_ms = 0;
		}
}

static void before_sleep(void *arg)
{
	struct http_hub *hub = arg;
	for (;;) {
		core_commit(hub->core);
		if (hub->wake && !db_in_transaction(hub->core->db)) {
			hub->wake = false;
			for (struct http_server *server = hub->servers; server; server = server->next)
				http_streams_resume(server);
		}
		if (!hub->work)
			break;
		hub->work = false;
		for (struct http_server *server = hub->servers; server; server = server->next) {
			cut_slow_peers(server);
			MHD_run(server->daemon);
		}
	}
	arm(hub);
}

static void only_commit(void *arg)
{
	core_commit(arg);
}

static void on_events(void *arg, int64_t newest)
{
	(void)newest;
	http_streams_wake(arg);
}

static struct http_hub *hub_of(const struct core *core)
{
	struct http_hub *hub = hubs;
	while (hub && hub->core != core)
		hub = hub->next;
	return hub;
}

static struct http_hub *hub_open(struct core *core)
{
	struct http_hub *hub = hub_of(core);
	if (hub)
		return hub;
	hub = xcalloc(1, sizeof(*hub));
	hub->core = core;
	hub->next = hubs;
	hubs = hub;
	core_on_events(core, on_events, core);
	loop_on_prepare(core->loop, before_sleep, hub);
	return hub;
}

static void hub_close(struct http_hub *hub)
{
	loop_on_prepare(hub->core->loop, only_commit, hub->core);
	loop_timer_stop(hub->timer);
	loop_timer_stop(hub->stream_timer);
	for (struct http_hub **at = &hubs; *at; at = &(*at)->next)
		if (*at == hub) {
			*at = hub->next;
			break;
		}
	free(hub);
}

void http_streams_wake(struct core *core)
{
	struct http_hub *hub = hub_of(core);
	for (struct http_server *server = hub ? hub->servers : NULL; server; server = server->next)
		http_streams_resume(server);
}

static void on_stream_timer(void *arg)
{
	http_streams_wake(arg);
}

void http_hub_count_streams(struct http_hub *hub, int change)
{
	hub->n_streams += (size_t)change;
	if (hub->n_streams > 0 && !hub->stream_timer)
		hub->stream_timer = loop_timer_start(hub->core->loop, STREAM_WAKE_MS, STREAM_WAKE_MS, on_stream_timer, hub->core);
	if (hub->n_streams == 0) {
		loop_timer_stop(hub->stream_timer);
		hub->stream_timer = NULL;
	}
}

/* ---- one request ---- */

/* Who stands at the other end of the Unix socket; false: not admitted. */
static bool admit(struct http_call *call)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(call->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred peer;
	socklen_t len = sizeof(peer);
	if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	const struct passwd *user = getpwuid(peer.uid);
	call->actor = user ? xasprintf("uid:%u(%s)", peer.uid, user->pw_name) : xasprintf("uid:%u", peer.uid);
	return peer.uid == 0 || peer.uid == geteuid();
}

static enum MHD_Result add_query(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct http_call *call = arg;
	(void)kind;
	char *decoded_name = url_decode(name, strlen(name)), *decoded = url_decode(value ? value : "", value ? strlen(value) : 0);
	if (!decoded_name || !decoded || call->query.n >= 64) {
		free(decoded_name);
		free(decoded);
		call->match.status = 400;
		return MHD_NO;
	}
	strlist_take(&call->query, decoded_name);
	strlist_take(&call->query, decoded);
	return MHD_YES;
}

static void refuse(struct http_call *call, unsigned status, const char *code, const char *message)
{
	call->refused = true;
	http_refuse(call, status, code, message);
}

static void check_route(struct http_call *call, const char *method, const char *path)
{
	route_find(call->server->routes, method, path, &call->match);
	if (call->match.route)
		MHD_get_connection_values(call->connection, MHD_GET_ARGUMENT_KIND, add_query, call);
	if (call->match.status == 400)
		refuse(call, 400, "invalid", "the address does not decode to UTF-8 text without control characters");
	else if (call->match.status == 405)
		refuse(call, 405, "usage", "this address does not take that method");
	else if (!call->match.route)
		refuse(call, 404, "not_found", "there is nothing at this address");
}

static uint64_t announced_length(const struct http_call *call)
{
	const char *text = http_header(call, MHD_HTTP_HEADER_CONTENT_LENGTH);
	uint64_t length = 0;
	if (text)
		length = strtoull(text, NULL, 10); /* MHD has checked it */
	return length;
}

static void refuse_large(struct http_call *call, size_t max)
{
	char message[64];
	snprintf(message, sizeof(message), "the body is larger than %zu bytes", max);
	refuse(call, 413, "too_large", message);
}

static enum MHD_Result send_reply(struct http_call *call)
{
	enum MHD_Result queued = MHD_queue_response(call->connection, call->status, call->response);
	http_reply_drop(call);
	return queued;
}

static enum MHD_Result begin_call(struct http_call *call, const char *method, const char *path)
{
	uint64_t length = announced_length(call);
	if (call->server->path && !admit(call)) {
		refuse(call, 403, "denied", "only root and the daemon's own user may give commands");
	} else {
		check_route(call, method, path);
	}
	if (!call->refused) {
		size_t max = call->match.route->max_body ? call->match.route->max_body : DEFAULT_MAX_BODY;
		call->body.max = max + 1; /* the NUL */
		if (length > max)
			refuse_large(call, max);
		else if (call->server->body_bytes + length > MAX_BODIES)
			refuse(call, 503, "unavailable", "too many requests at once: try again");
	}
	/* Answering now keeps the body from being sent at all, where the client asked first. */
	if (call->refused && (length > MAX_DISCARDED || http_header(call, MHD_HTTP_HEADER_EXPECT)))
		return send_reply(call);
	return MHD_YES;
}

static void take_body(struct http_call *call, const char *bytes, size_t len)
{
	if (call->refused)
		return;
	size_t before = call->body.len;
	if (before + len + 1 > call->body.max || call->server->body_bytes + len > MAX_BODIES) {
		refuse_large(call, call->body.max - 1);
		call->server->body_bytes -= before;
		buf_done(&call->body);
		buf_init(&call->body, DEFAULT_MAX_BODY);
		return;
	}
	buf_add(&call->body, bytes, len);
	call->server->body_bytes += call->body.len - before;
}

/* ---- replies wait for their commit ---- */

static void resume_call(struct http_call *call)
{
	for (struct http_call **at = &call->server->waiting; *at; at = &(*at)->next_waiting)
		if (*at == call) {
			*at = call->next_waiting;
			break;
		}
	call->state = CALL_READY;
	MHD_resume_connection(call->connection);
	http_hub_work(call->server->hub);
}

static void release(struct call_ticket *ticket, bool committed)
{
	struct http_call *call = ticket->call;
	free(ticket);
	if (!call)
		return;
	call->ticket = NULL;
	if (!committed)
		http_refuse(call, 503, "unavailable", "this could not be written to the daemon's disk, so nothing was done: try again");
	resume_call(call);
}

static void on_committed(struct core *core, void *arg)
{
	(void)core;
	release(arg, true);
}

static void on_lost(struct core *core, void *arg)
{
	(void)core;
	release(arg, false);
}

static void wait_for_commit(struct http_call *call)
{
	call->state = CALL_WAITING;
	call->ticket = xcalloc(1, sizeof(*call->ticket));
	call->ticket->call = call;
	call->next_waiting = call->server->waiting;
	call->server->waiting = call;
	MHD_suspend_connection(call->connection);
	core_effect(call->server->core, on_committed, on_lost, call->ticket);
}

static void dispatch(struct http_call *call)
{
	struct core *core = call->server->core;
	const struct http_route *route = call->match.route;
	cleanup_error struct error *err = NULL;
	if (!route->read_only)
		core_event_begin(core);
	int handled = route->handler(call, &err);
	if (!route->read_only)
		core_event_end(core, handled >= 0 && call->response);
	call->state = CALL_READY;
	if (handled < 0 || !call->response)
		http_reply_error(call, err);
	else if (!route->read_only || db_in_transaction(core->db))
		wait_for_commit(call); /* a reader too may have seen what is not committed yet */
}

static void set_since(struct MHD_Connection *connection, uint64_t ms)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct http_peer *peer = info ? info->socket_context : NULL;
	if (peer)
		peer->since_ms = ms;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **slot, enum MHD_ConnectionNotificationCode what)
{
	struct http_server *server = arg;
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		struct http_peer *peer = xcalloc(1, sizeof(*peer));
		*peer = (struct http_peer){.fd = info ? info->connect_fd : -1, .since_ms = clock_mono_ms(), .next = server->peers};
		*slot = server->peers = peer;
		return;
	}
	for (struct http_peer **at = &server->peers; *at; at = &(*at)->next)
		if (*at == *slot) {
			*at = (*at)->next;
			break;
		}
	free(*slot);
	*slot = NULL;
	/* At its limit libmicrohttpd has stopped listening, and listens again only when it runs the next time: nothing else may wake us for that. */
	http_hub_work(server->hub);
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path, const char *method, const char *version,
				  const char *bytes, size_t *len, void **slot)
{
	struct http_server *server = arg;
	struct http_call *call = *slot;
	(void)version;
	if (server->closing)
		return MHD_NO;
	if (!call) {
		*slot = call = http_call_new(server, connection);
		return begin_call(call, method, path);
	}
	if (*len > 0) {
		take_body(call, bytes, *len);
		*len = 0;
		return MHD_YES;
	}
	set_since(connection, 0);
	if (call->refused)
		return send_reply(call);
	if (call->state == CALL_READING)
		dispatch(call);
	return call->state == CALL_READY ? send_reply(call) : MHD_YES;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **slot, enum MHD_RequestTerminationCode why)
{
	(void)arg, (void)why;
	set_since(connection, clock_mono_ms()); /* the next request on the same connection */
	http_call_free(*slot);
	*slot = NULL;
}

/* ---- servers ---- */

static void on_readable(void *arg, int events)
{
	struct http_server *server = arg;
	(void)events;
	http_hub_work(server->hub); /* not here: whatever this iteration has written is committed first */
}

/* Left as it came: an encoded slash or NUL must not change what the path means; url_decode() does it part by part. */
static size_t keep_escapes(void *arg, struct MHD_Connection *connection, char *text)
{
	(void)arg, (void)connection;
	return strlen(text);
}

static void on_message(void *arg, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
static void on_message(void *arg, const char *fmt, va_list args)
{
	(void)arg;
	cleanup_free char *text = xvasprintf(fmt, args);
	text[strcspn(text, "\n")] = '\0';
	log_write(LOG_DEBUG, "http", "%s", text);
}

static struct MHD_Daemon *start_daemon(struct http_server *server, int fd)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, server,
				MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
				NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
				MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIMEOUT_S,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

int http_server_start(struct core *core, int fd, const struct http_route *routes, struct http_server **ret, struct error **err)
{
	struct http_server *server = xcalloc(1, sizeof(*server));
	server->core = core;
	server->routes = routes;
	server->request_ms = REQUEST_MS;
	server->daemon = start_daemon(server, fd);
	if (!server->daemon) {
		int why = errno;
		close(fd);
		free(server);
		return error_set(err, ERROR_IO, why, "cannot start the HTTP server");
	}
	server->hub = hub_open(core);
	server->next = server->hub->servers;
	server->hub->servers = server;
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	assert(info);
	server->watch = loop_watch_start(core->loop, info->epoll_fd, LOOP_READ, on_readable, server);
	http_hub_work(server->hub);
	*ret = server;
	return 0;
}

unsigned http_server_port(const struct http_server *server)
{
	return server->port;
}

static void remove_socket(const struct http_server *server)
{
	struct stat st;
	if (server->path && stat(server->path, &st) == 0 && st.st_dev == server->dev && st.st_ino == server->ino)
		unlink(server->path);
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	struct http_hub *hub = server->hub;
	before_sleep(hub); /* what is committed shall be told */
	server->closing = true;
	while (server->waiting) /* a full disk: they learn nothing, since nothing is known */
		resume_call(server->waiting);
	http_streams_resume(server);
	loop_watch_stop(server->watch);
	remove_socket(server);
	MHD_stop_daemon(server->daemon);
	for (struct http_server **at = &hub->servers; *at; at = &(*at)->next)
		if (*at == server) {
			*at = server->next;
			break;
		}
	free(server->path);
	free(server);
	if (!hub->servers)
		hub_close(hub);
}
