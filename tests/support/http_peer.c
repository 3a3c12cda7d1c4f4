#include "tests/support/http_peer.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "tests/support/support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_REQUEST = 16 << 20 };

struct http_peer {
	const struct http_exchange *script;
	size_t n, served;
	int listener, stop[2]; /* stop[0] is readable once the test is over */
	int *hanging;
	size_t n_hanging;
	unsigned port;
	char **requests;
	char *mismatch;
	char url[512];
	pthread_t thread;
};

/* False when the test is over before the descriptor is readable. */
static bool await_readable(const struct http_peer *peer, int fd)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = peer->stop[0], .events = POLLIN}};

	while (poll(fds, 2, -1) < 0)
		;
	return fds[0].revents != 0;
}

static size_t content_length(const char *head)
{
	const char *at = strcasestr(head, "\r\ncontent-length:");

	return at ? strtoul(at + 17, NULL, 10) : 0;
}

static bool read_request(const struct http_peer *peer, int fd, struct buf *request)
{
	char chunk[65536];

	for (;;) {
		const char *end = strstr(request->data, "\r\n\r\n");
		if (end && request->len >= (size_t)(end + 4 - request->data) + content_length(request->data))
			return true;
		if (!await_readable(peer, fd))
			return false;
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n <= 0)
			return false;
		buf_add(request, chunk, (size_t)n);
	}
}

/* What is wrong with the request, allocated; NULL if it is as expected. */
static char *compare(const struct http_exchange *exchange, const char *request)
{
	const char *space = strchr(request, ' ');
	const char *path = space ? space + 1 : "";
	const char *body = strstr(request, "\r\n\r\n") + 4;
	size_t path_len = strcspn(path, " ");

	if (exchange->expect_method && (!space || strlen(exchange->expect_method) != (size_t)(space - request) ||
					strncmp(request, exchange->expect_method, (size_t)(space - request)) != 0))
		return xasprintf("expected method %s, got: %.200s", exchange->expect_method, request);
	if (exchange->expect_path && (strlen(exchange->expect_path) != path_len || strncmp(path, exchange->expect_path, path_len) != 0))
		return xasprintf("expected path %s, got: %.200s", exchange->expect_path, request);
	if (exchange->expect_header) {
		cleanup_free char *line = xasprintf("\r\n%s\r\n", exchange->expect_header);
		if (!strcasestr(request, line))
			return xasprintf("expected header \"%s\", got: %s", exchange->expect_header, request);
	}
	if (exchange->expect_body && strcmp(body, exchange->expect_body) != 0)
		return xasprintf("expected body \"%s\", got \"%s\"", exchange->expect_body, body);
	return NULL;
}

static void send_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
		if (n <= 0)
			return; /* the client has gone, which may be what is tested */
		bytes += n;
		len -= (size_t)n;
	}
}

static void answer(struct http_peer *peer, const struct http_exchange *exchange, int fd, bool head_only)
{
	size_t len = exchange->body_len ? exchange->body_len : exchange->body ? strlen(exchange->body) : 0;

	if (exchange->raw)
		send_all(fd, exchange->raw, strlen(exchange->raw));
	if (!exchange->raw && !exchange->drop && !exchange->hang) {
		cleanup_free char *head =
			xasprintf("HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n%s%s%s%s\r\n",
				  exchange->status ? exchange->status : 200, len + exchange->hang_after,
				  exchange->content_type ? "Content-Type: " : "", exchange->content_type ? exchange->content_type : "",
				  exchange->content_type ? "\r\n" : "", exchange->headers ? exchange->headers : "");
		send_all(fd, head, strlen(head));
		if (!head_only)
			send_all(fd, exchange->body ? exchange->body : "", len);
	}
	if (exchange->hang || exchange->hang_after) {
		peer->hanging = xrealloc(peer->hanging, (peer->n_hanging + 1) * sizeof(*peer->hanging));
		peer->hanging[peer->n_hanging++] = fd;
		return;
	}
	shutdown(fd, SHUT_WR);
	close(fd);
}

static void *serve(void *arg)
{
	struct http_peer *peer = arg;

	while (peer->served < peer->n && !peer->mismatch && await_readable(peer, peer->listener)) {
		const struct http_exchange *exchange = &peer->script[peer->served];
		struct buf request;
		int fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		buf_init(&request, MAX_REQUEST);
		if (!read_request(peer, fd, &request)) {
			buf_done(&request);
			close(fd);
			continue;
		}
		bool head_only = strncmp(request.data, "HEAD ", 5) == 0;
		peer->mismatch = compare(exchange, request.data);
		peer->requests[peer->served++] = buf_steal(&request);
		answer(peer, exchange, fd, head_only);
	}
	return NULL;
}

static struct http_peer *start(int listener, unsigned port, const struct http_exchange *script, size_t n)
{
	struct http_peer *peer = xcalloc(1, sizeof(*peer));

	peer->script = script;
	peer->n = n;
	peer->listener = listener;
	peer->port = port;
	peer->requests = xcalloc(n + 1, sizeof(*peer->requests));
	assert_int_equal(pipe(peer->stop), 0);
	assert_int_equal(pthread_create(&peer->thread, NULL, serve, peer), 0);
	return peer;
}

struct http_peer *http_peer_start(const struct http_exchange *script, size_t n)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	return start(fd, ntohs(address.sin_port), script, n);
}

struct http_peer *http_peer_start_unix(const char *path, const struct http_exchange *script, size_t n)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	assert_true(strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return start(fd, 0, script, n);
}

unsigned http_peer_port(const struct http_peer *peer)
{
	return peer->port;
}

const char *http_peer_url(struct http_peer *peer, const char *path)
{
	snprintf(peer->url, sizeof(peer->url), "http://127.0.0.1:%u%s", peer->port, path);
	return peer->url;
}

const char *http_peer_request(const struct http_peer *peer, size_t index)
{
	return index < peer->n && peer->requests[index] ? peer->requests[index] : "";
}

void http_peer_finish(struct http_peer *peer)
{
	assert_int_equal(write(peer->stop[1], "x", 1), 1);
	pthread_join(peer->thread, NULL);
	size_t served = peer->served, n = peer->n;
	cleanup_free char *mismatch = peer->mismatch;
	for (size_t i = 0; i < peer->n_hanging; i++)
		close(peer->hanging[i]);
	for (size_t i = 0; i < n; i++)
		free(peer->requests[i]);
	free(peer->requests);
	free(peer->hanging);
	close(peer->listener);
	close(peer->stop[0]);
	close(peer->stop[1]);
	free(peer);
	if (mismatch)
		fail_msg("exchange %zu: %s", served, mismatch);
	if (served != n)
		fail_msg("%zu of %zu expected exchanges took place", served, n);
}
