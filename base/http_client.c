#include "base/http_client.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <assert.h>
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

enum { TRANSFER_MAGIC = 0x71e2a004, DEFAULT_TIMEOUT_MS = 30000, DEFAULT_MAX_RESPONSE = 16 << 20 };

struct transfer {
	unsigned magic;
	struct http_client *client; /* NULL in the waiting form */
	struct transfer *next;
	CURL *easy;
	struct curl_slist *headers;
	struct buf body;
	char *url; /* for messages */
	uint64_t timeout_ms;
	bool too_large, ended_by_caller;
	int (*on_data)(void *arg, const char *bytes, size_t len);
	void *on_data_arg;
	char detail[CURL_ERROR_SIZE];
	http_done_fn done;
	void *arg;
};

struct socket_watch {
	struct http_client *client;
	curl_socket_t fd;
	struct loop_watch *watch;
	struct socket_watch *next;
};

struct http_client {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer *timer;
	struct transfer *transfers;
	struct socket_watch *sockets;
	struct {
		struct transfer *transfer;
		CURLcode code;
	} * refused; /* curl would not take them; told from the loop, not from inside send */
	size_t n_refused, refused_capacity;
	struct loop_timer *refused_timer;
	bool calling, freed;
};

static void init_curl(void)
{
	static bool ready; /* curl_global_init is for the first caller; the loop thread owns all state */

	if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
	ready = true;
}

void http_response_done(struct http_response *response)
{
	free(response->body);
	free(response->content_type);
	*response = (struct http_response){0};
}

static size_t body_cb(char *bytes, size_t size, size_t count, void *arg)
{
	struct transfer *transfer = arg;
	size_t len = size * count;

	assert(transfer->magic == TRANSFER_MAGIC);
	if (transfer->on_data) {
		if (transfer->on_data(transfer->on_data_arg, bytes, len) == 0)
			return len;
		transfer->ended_by_caller = true;
		return len + 1; /* anything but len makes curl stop */
	}
	if (len > transfer->body.max - transfer->body.len) {
		transfer->too_large = true;
		return len + 1;
	}
	buf_add(&transfer->body, bytes, len);
	return len;
}

static bool is_loopback(const char *url)
{
	const char *host = strstr(url, "://");

	host = host ? host + 3 : url;
	return strncasecmp(host, "localhost", 9) == 0 || strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0;
}

#define SET(option, value)                                                                                                                           \
	do {                                                                                                                                         \
		if (curl_easy_setopt(transfer->easy, (option), (value)) != CURLE_OK)                                                                 \
			abort(); /* only for options unknown to the library, or no memory */                                                         \
	} while (0)

static void set_method(struct transfer *transfer, const struct http_request *request)
{
	const char *method = request->method ? request->method : "GET";

	if (request->body) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
		SET(CURLOPT_COPYPOSTFIELDS, request->body_len ? request->body : "");
	}
	if (strcmp(method, "HEAD") == 0)
		SET(CURLOPT_NOBODY, 1L);
	else
		SET(CURLOPT_CUSTOMREQUEST, method);
}

static void set_headers(struct transfer *transfer, const struct http_request *request)
{
	bool has_type = false;

	for (size_t i = 0; request->headers && request->headers[i]; i++) {
		has_type = has_type || strncasecmp(request->headers[i], "content-type:", 13) == 0;
		transfer->headers = curl_slist_append(transfer->headers, request->headers[i]);
	}
	if (request->body && !has_type) /* curl's own guess is a form, which nobody here sends */
		transfer->headers = curl_slist_append(transfer->headers, "Content-Type: application/octet-stream");
	transfer->headers = curl_slist_append(transfer->headers, "Expect:");
	SET(CURLOPT_HTTPHEADER, transfer->headers);
}

static void set_time_limits(struct transfer *transfer, const struct http_request *request)
{
	long timeout_ms = (long)transfer->timeout_ms;

	if (!request->on_data) {
		SET(CURLOPT_TIMEOUT_MS, timeout_ms);
		return;
	}
	long idle_s = (timeout_ms + 999) / 1000;
	SET(CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_LOW_SPEED_TIME, idle_s);
}

static struct transfer *transfer_new(const struct http_request *request)
{
	struct transfer *transfer = xcalloc(1, sizeof(*transfer));

	init_curl();
	transfer->magic = TRANSFER_MAGIC;
	transfer->easy = curl_easy_init();
	if (!transfer->easy)
		abort();
	transfer->url = xstrdup(request->url);
	transfer->timeout_ms = request->timeout_ms ? request->timeout_ms : DEFAULT_TIMEOUT_MS;
	transfer->on_data = request->on_data;
	transfer->on_data_arg = request->on_data_arg;
	buf_init(&transfer->body, request->max_response ? request->max_response : DEFAULT_MAX_RESPONSE);

	SET(CURLOPT_URL, request->url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_USERAGENT, "penstock");
	SET(CURLOPT_ERRORBUFFER, transfer->detail);
	SET(CURLOPT_WRITEFUNCTION, body_cb);
	SET(CURLOPT_WRITEDATA, transfer);
	SET(CURLOPT_PRIVATE, transfer);
	if (request->unix_socket)
		SET(CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
	if (request->unix_socket || is_loopback(request->url))
		SET(CURLOPT_PROXY, "");
	set_method(transfer, request);
	set_headers(transfer, request);
	set_time_limits(transfer, request);
	return transfer;
}

static void transfer_free(struct transfer *transfer)
{
	if (!transfer)
		return;
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	buf_done(&transfer->body);
	free(transfer->url);
	transfer->magic = 0;
	free(transfer);
}
DEFINE_CLEANUP(struct transfer, transfer_free);

static enum error_code code_for(const struct transfer *transfer, CURLcode code)
{
	long connects = 0;

	if (transfer->too_large)
		return ERROR_TOO_LARGE;
	/* curl also says "unsupported protocol" for an answer that is not HTTP: that is the peer's fault, not the URL's. */
	if (code == CURLE_UNSUPPORTED_PROTOCOL && curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &connects) == CURLE_OK && connects > 0)
		return ERROR_PROTOCOL;
	/* A switch over somebody else's long enum: the rest is what a peer can do wrong. */
	switch ((int)code) {
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return ERROR_INVALID;
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return ERROR_UNAVAILABLE;
	case CURLE_OPERATION_TIMEDOUT:
		return ERROR_TIMEOUT;
	default:
		return ERROR_PROTOCOL;
	}
}

/* What became of the transfer: an answer in *ret, or an error. */
static int transfer_result(struct transfer *transfer, CURLcode code, struct http_response *ret, struct error **err)
{
	char *content_type = NULL;
	struct http_response response = {0};

	if (code != CURLE_OK && !transfer->ended_by_caller) {
		enum error_code error = code_for(transfer, code);
		const char *detail = transfer->detail[0] ? transfer->detail : curl_easy_strerror(code);
		if (error == ERROR_TOO_LARGE)
			return error_set(err, error, 0, "%s: the answer is longer than %zu bytes", transfer->url, transfer->body.max);
		if (error == ERROR_TIMEOUT)
			return error_set(err, error, 0, "%s: no answer within %llu ms", transfer->url, (unsigned long long)transfer->timeout_ms);
		return error_set(err, error, 0, "%s: %s", transfer->url, detail);
	}
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &response.status);
	curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &content_type);
	response.content_type = xstrdup(content_type);
	response.body_len = transfer->body.len;
	response.body = buf_steal(&transfer->body);
	*ret = response;
	return 0;
}

int http_fetch(const struct http_request *request, struct http_response *ret, struct error **err)
{
	struct transfer *transfer CLEANUP(transfer_free) = transfer_new(request);

	return transfer_result(transfer, curl_easy_perform(transfer->easy), ret, err);
}

/* ---- on the loop ---- */

static void transfer_unlink(struct transfer *transfer)
{
	for (struct transfer **at = &transfer->client->transfers; *at; at = &(*at)->next) {
		if (*at == transfer) {
			*at = transfer->next;
			return;
		}
	}
}

static void transfer_finish(struct transfer *transfer, CURLcode code)
{
	cleanup_error struct error *err = NULL;
	struct http_response response = {0};

	transfer_unlink(transfer);
	if (transfer_result(transfer, code, &response, &err) < 0)
		transfer->done(transfer->arg, NULL, err);
	else
		transfer->done(transfer->arg, &response, NULL);
	http_response_done(&response);
	transfer_free(transfer);
}

static void client_destroy(struct http_client *client)
{
	while (client->transfers) {
		struct transfer *transfer = client->transfers;
		client->transfers = transfer->next;
		curl_multi_remove_handle(client->multi, transfer->easy);
		transfer_free(transfer);
	}
	curl_multi_cleanup(client->multi); /* calls socket_cb and timer_cb once more */
	while (client->sockets) {
		struct socket_watch *watch = client->sockets;
		client->sockets = watch->next;
		loop_watch_stop(watch->watch);
		free(watch);
	}
	loop_timer_stop(client->timer);
	loop_timer_stop(client->refused_timer);
	free(client->refused);
	free(client);
}

/* Tells what has finished. A callback may send, and may free the client: then the freeing waits until we are out of it. */
static void collect(struct http_client *client)
{
	CURLMsg *message;
	int left;

	client->calling = true;
	while (!client->freed && (message = curl_multi_info_read(client->multi, &left))) {
		struct transfer *transfer;
		CURLcode code = message->data.result;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
		curl_multi_remove_handle(client->multi, transfer->easy);
		transfer_finish(transfer, code);
	}
	client->calling = false;
	if (client->freed)
		client_destroy(client);
}

static void socket_ready(void *arg, int events)
{
	struct socket_watch *watch = arg;
	struct http_client *client = watch->client;
	int running, flags = 0;

	if (events & LOOP_READ)
		flags |= CURL_CSELECT_IN;
	if (events & LOOP_WRITE)
		flags |= CURL_CSELECT_OUT;
	if (events & LOOP_HANGUP)
		flags |= CURL_CSELECT_ERR;
	curl_multi_socket_action(client->multi, watch->fd, flags, &running);
	collect(client);
}

static void timer_fired(void *arg)
{
	struct http_client *client = arg;
	int running;

	loop_timer_stop(STEAL(client->timer));
	curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(client);
}

static int timer_cb(CURLM *multi, long timeout_ms, void *arg)
{
	struct http_client *client = arg;

	(void)multi;
	loop_timer_stop(STEAL(client->timer));
	if (timeout_ms >= 0)
		client->timer = loop_timer_start(client->loop, (uint64_t)timeout_ms, 0, timer_fired, client);
	return 0;
}

static int socket_cb(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http_client *client = arg;
	struct socket_watch *watch = socket_arg;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (!watch)
			return 0;
		for (struct socket_watch **at = &client->sockets; *at; at = &(*at)->next) {
			if (*at == watch) {
				*at = watch->next;
				break;
			}
		}
		loop_watch_stop(watch->watch);
		free(watch);
		return 0;
	}
	if (!watch) {
		watch = xcalloc(1, sizeof(*watch));
		watch->client = client;
		watch->fd = fd;
		watch->next = client->sockets;
		client->sockets = watch;
		curl_multi_assign(client->multi, fd, watch);
	}
	loop_watch_stop(STEAL(watch->watch));
	int events = (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);
	watch->watch = loop_watch_start(client->loop, fd, events, socket_ready, watch);
	return 0;
}

struct http_client *http_client_new(struct loop *loop)
{
	struct http_client *client = xcalloc(1, sizeof(*client));

	init_curl();
	client->loop = loop;
	client->multi = curl_multi_init();
	if (!client->multi)
		abort();
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, socket_cb);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, timer_cb);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	return client;
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	client->freed = true;
	if (!client->calling)
		client_destroy(client);
}

static void tell_refused(void *arg)
{
	struct http_client *client = arg;

	loop_timer_stop(STEAL(client->refused_timer));
	client->calling = true;
	for (size_t i = 0; i < client->n_refused && !client->freed; i++)
		transfer_finish(client->refused[i].transfer, client->refused[i].code);
	client->n_refused = 0;
	client->calling = false;
	if (client->freed)
		client_destroy(client);
}

void http_client_send(struct http_client *client, const struct http_request *request, http_done_fn done, void *arg)
{
	struct transfer *transfer = transfer_new(request);

	assert(!request->on_data); /* the waiting form only */
	transfer->client = client;
	transfer->done = done;
	transfer->arg = arg;
	transfer->next = client->transfers;
	client->transfers = transfer;
	if (curl_multi_add_handle(client->multi, transfer->easy) == CURLM_OK)
		return;
	client->refused = xgrow(client->refused, &client->refused_capacity, client->n_refused + 1, sizeof(*client->refused));
	client->refused[client->n_refused].transfer = transfer;
	client->refused[client->n_refused++].code = CURLE_FAILED_INIT;
	if (!client->refused_timer)
		client->refused_timer = loop_timer_start(client->loop, 0, 0, tell_refused, client);
}
