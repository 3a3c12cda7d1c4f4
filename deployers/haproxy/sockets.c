#include "deployers/haproxy/sockets.h"

#include "base/alloc.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#define QUESTION "_getsocks\n"
enum { BATCH = 252, BYTES_MAX = 8192, OFFER_CLIENTS = 8 };

/* ---- held ---- */

void held_sockets_close(struct held_sockets *held)
{
	for (size_t i = 0; i < held->n; i++)
		close(held->fds[i]);
	held->n = 0;
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *x = (const struct sockaddr_in *)a, *y = (const struct sockaddr_in *)b;
		return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
	}
	const struct sockaddr_in6 *x = (const struct sockaddr_in6 *)a, *y = (const struct sockaddr_in6 *)b;
	return x->sin6_port == y->sin6_port && memcmp(&x->sin6_addr, &y->sin6_addr, sizeof(x->sin6_addr)) == 0;
}

static bool listens_at(int fd, const struct sockaddr_storage *address)
{
	struct sockaddr_storage own = {0};
	socklen_t len = sizeof(own);
	return getsockname(fd, (struct sockaddr *)&own, &len) == 0 && same_address(&own, address);
}

bool held_sockets_have(const struct held_sockets *held, const struct sockaddr_storage *address)
{
	for (size_t i = 0; i < held->n; i++)
		if (listens_at(held->fds[i], address))
			return true;
	return false;
}

void held_sockets_add(struct held_sockets *held, int fd)
{
	if (held->n < HELD_MAX)
		held->fds[held->n++] = fd;
	else
		close(fd);
}

void held_sockets_keep(struct held_sockets *held, const struct sockaddr_storage *addresses, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < held->n; i++) {
		bool wanted = false;
		for (size_t k = 0; k < n; k++)
			wanted = wanted || listens_at(held->fds[i], &addresses[k]);
		if (wanted)
			held->fds[kept++] = held->fds[i];
		else
			close(held->fds[i]);
	}
	held->n = kept;
}

static int int_option(int fd, int option)
{
	int value = 0;
	socklen_t len = sizeof(value);
	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

/* Its command sockets come along as well; those the next HAProxy makes anew. */
static bool is_listening_tcp(int fd)
{
	int domain = int_option(fd, SO_DOMAIN);
	return (domain == AF_INET || domain == AF_INET6) && int_option(fd, SO_PROTOCOL) == IPPROTO_TCP && int_option(fd, SO_ACCEPTCONN) == 1;
}

/* ---- the protocol ---- */

ssize_t socket_descriptions(const unsigned char *bytes, size_t len)
{
	ssize_t n = 0;
	for (size_t at = 0; at < len; n++) {
		for (int name = 0; name < 2; name++) { /* namespace, interface */
			if (at >= len || len - at - 1 < bytes[at])
				return -1;
			at += 1u + bytes[at];
		}
		if (len - at < sizeof(int))
			return -1;
		at += sizeof(int);
	}
	return n;
}

static int unix_address(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret->sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(ret->sun_path, path, strlen(path) + 1);
	return 0;
}

/* ---- asking ---- */

struct socket_fetch {
	struct loop *loop;
	char *path;
	socket_fetch_fn done;
	void *arg;
	int fd;
	struct loop_watch *watch;
	struct loop_timer *timer;
	int expected; /* descriptors announced */
	size_t expected_bytes, n;
	int fds[HELD_MAX];
	unsigned char bytes[BYTES_MAX]; /* descriptions; checked, though we need no namespaces and interfaces */
	size_t len;
};

void socket_fetch_stop(struct socket_fetch *fetch)
{
	if (!fetch)
		return;
	loop_watch_stop(fetch->watch);
	loop_timer_stop(fetch->timer);
	if (fetch->fd >= 0)
		close(fetch->fd);
	for (size_t i = 0; i < fetch->n; i++)
		close(fetch->fds[i]);
	free(fetch->path);
	free(fetch);
}

static void fetch_end(struct socket_fetch *fetch, struct error *err)
{
	struct held_sockets held = {.n = 0};
	socket_fetch_fn done = fetch->done;
	void *arg = fetch->arg;
	if (!err) {
		for (size_t i = 0; i < fetch->n; i++)
			if (is_listening_tcp(fetch->fds[i]))
				held_sockets_add(&held, fetch->fds[i]);
			else
				close(fetch->fds[i]);
		fetch->n = 0;
	}
	socket_fetch_stop(fetch);
	done(arg, &held, err);
	error_free(err);
}

static void fetch_fail(struct socket_fetch *fetch, enum error_code code, int errnum, const char *what)
{
	struct error *err = NULL;
	error_set(&err, code, errnum, "HAProxy's listening sockets: %s", what);
	fetch_end(fetch, err);
}

static void on_fetch_timeout(void *arg)
{
	fetch_fail(arg, ERROR_TIMEOUT, 0, "no answer within 1s");
}

/* False if there are more than were announced, or more than we take; none is leaked. */
static bool take_descriptors(struct socket_fetch *fetch, struct msghdr *message)
{
	bool fits = !(message->msg_flags & MSG_CTRUNC);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (fits && fetch->n < (size_t)fetch->expected && fetch->n < HELD_MAX) {
				fetch->fds[fetch->n++] = fd;
			} else {
				close(fd);
				fits = false;
			}
		}
	}
	return fits;
}

/* The number is read alone: it would otherwise come together with the first descriptors. */
static ssize_t receive(struct socket_fetch *fetch, bool *ret_fits)
{
	bool number = fetch->expected_bytes < sizeof(fetch->expected);
	struct iovec iov = {.iov_base = number ? (unsigned char *)&fetch->expected + fetch->expected_bytes : fetch->bytes + fetch->len,
			    .iov_len = number ? sizeof(fetch->expected) - fetch->expected_bytes : sizeof(fetch->bytes) - fetch->len};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * (BATCH + 1))];
	} control;
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(fetch->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n <= 0)
		return n;
	if (number)
		fetch->expected_bytes += (size_t)n;
	else
		fetch->len += (size_t)n;
	*ret_fits = take_descriptors(fetch, &message);
	return n;
}

static void on_fetch_event(void *arg, int events)
{
	struct socket_fetch *fetch = arg;
	(void)events;
	for (;;) {
		bool fits = true;
		ssize_t n = receive(fetch, &fits);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			fetch_fail(fetch, ERROR_UNAVAILABLE, errno, "read");
			return;
		}
		if (n == 0) {
			fetch_fail(fetch, ERROR_PROTOCOL, 0, fetch->expected_bytes ? "it gave fewer than it announced" : "it gives none");
			return;
		}
		if (fetch->expected_bytes < sizeof(fetch->expected))
			continue;
		if (!fits || fetch->expected < 1 || fetch->expected > HELD_MAX || fetch->len == sizeof(fetch->bytes)) {
			fetch_fail(fetch, ERROR_PROTOCOL, 0, "its answer is not what it should be");
			return;
		}
		ssize_t described = socket_descriptions(fetch->bytes, fetch->len);
		if (fetch->n < (size_t)fetch->expected || described < 0)
			continue;
		if (described != fetch->expected)
			fetch_fail(fetch, ERROR_PROTOCOL, 0, "its answer is not what it should be");
		else
			fetch_end(fetch, NULL);
		return;
	}
}

static void on_fetch_start(void *arg)
{
	struct socket_fetch *fetch = arg;
	struct sockaddr_un address;
	loop_timer_stop(fetch->timer);
	fetch->timer = loop_timer_start(fetch->loop, SOCKETS_TIMEOUT_MS, 0, on_fetch_timeout, fetch);
	fetch->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fetch->fd < 0 || unix_address(fetch->path, &address) < 0 || connect(fetch->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    send(fetch->fd, QUESTION, strlen(QUESTION), MSG_NOSIGNAL) != (ssize_t)strlen(QUESTION)) {
		fetch_fail(fetch, ERROR_UNAVAILABLE, errno, "connect");
		return;
	}
	fetch->watch = loop_watch_start(fetch->loop, fetch->fd, LOOP_READ, on_fetch_event, fetch);
}

struct socket_fetch *socket_fetch_start(struct loop *loop, const char *path, socket_fetch_fn done, void *arg)
{
	struct socket_fetch *fetch = xcalloc(1, sizeof(*fetch));
	fetch->loop = loop;
	fetch->path = xstrdup(path);
	fetch->done = done;
	fetch->arg = arg;
	fetch->fd = -1;
	fetch->timer = loop_timer_start(loop, 0, 0, on_fetch_start, fetch);
	return fetch;
}

/* ---- giving ---- */

struct offer_client {
	struct socket_offer *offer;
	int fd;
	struct loop_watch *watch;
	size_t len;
	char question[sizeof(QUESTION)];
};
struct socket_offer {
	struct loop *loop;
	char *path;
	const struct held_sockets *held;
	int fd;
	struct loop_watch *watch;
	struct offer_client *clients[OFFER_CLIENTS];
};

static void client_free(struct offer_client *client)
{
	for (size_t i = 0; i < OFFER_CLIENTS; i++)
		if (client->offer->clients[i] == client)
			client->offer->clients[i] = NULL;
	loop_watch_stop(client->watch);
	close(client->fd);
	free(client);
}

/* A few hundred bytes into an empty socket buffer: it takes them whole or the peer is gone. */
static void give(int fd, const struct held_sockets *held)
{
	int count = (int)held->n;
	unsigned char descriptions[HELD_MAX * (2 + sizeof(int))] = {0};
	struct iovec iov = {.iov_base = descriptions, .iov_len = held->n * (2 + sizeof(int))};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * HELD_MAX)];
	} control = {.bytes = {0}};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(sizeof(int) * held->n)};
	if (send(fd, &count, sizeof(count), MSG_NOSIGNAL) != (ssize_t)sizeof(count) || !held->n)
		return;
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * held->n);
	memcpy(CMSG_DATA(c), held->fds, sizeof(int) * held->n);
	ssize_t ignored = sendmsg(fd, &message, MSG_NOSIGNAL);
	(void)ignored; /* HAProxy says what it did not get, and does not start without */
}

/* After the answer it stays open until the other side has read it and hangs up; its acknowledgements are read and dropped. */
static void on_question(void *arg, int events)
{
	struct offer_client *client = arg;
	char dropped[64];
	bool asked = client->len == strlen(QUESTION);
	(void)events;
	ssize_t n =
		asked ? read(client->fd, dropped, sizeof(dropped)) : read(client->fd, client->question + client->len, strlen(QUESTION) - client->len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_free(client);
		return;
	}
	if (asked)
		return;
	client->len += (size_t)n;
	if (memcmp(client->question, QUESTION, client->len) != 0)
		client_free(client);
	else if (client->len == strlen(QUESTION))
		give(client->fd, client->offer->held);
}

static bool is_one_of_us(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

static void on_client(void *arg, int events)
{
	struct socket_offer *offer = arg;
	size_t free_place = 0;
	(void)events;
	int fd = accept4(offer->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	while (free_place < OFFER_CLIENTS && offer->clients[free_place])
		free_place++;
	if (free_place == OFFER_CLIENTS || !is_one_of_us(fd)) {
		close(fd);
		return;
	}
	struct offer_client *client = xcalloc(1, sizeof(*client));
	client->offer = offer;
	client->fd = fd;
	client->watch = loop_watch_start(offer->loop, fd, LOOP_READ, on_question, client);
	offer->clients[free_place] = client;
}

int socket_offer_open(struct loop *loop, const char *path, const struct held_sockets *held, struct socket_offer **ret, struct error **err)
{
	struct sockaddr_un address;
	if (unix_address(path, &address) < 0)
		return error_set(err, ERROR_INVALID, 0, "the socket path %s is longer than 107 bytes", path);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "socket");
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set(err, ERROR_IO, errno, "cannot replace %s", path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0600) < 0 || listen(fd, OFFER_CLIENTS) < 0)
		return error_set(err, ERROR_IO, errno, "cannot listen at %s", path);
	struct socket_offer *offer = xcalloc(1, sizeof(*offer));
	offer->loop = loop;
	offer->path = xstrdup(path);
	offer->held = held;
	offer->fd = steal_fd(&fd);
	offer->watch = loop_watch_start(loop, offer->fd, LOOP_READ, on_client, offer);
	*ret = offer;
	return 0;
}

void socket_offer_close(struct socket_offer *offer)
{
	if (!offer)
		return;
	for (size_t i = 0; i < OFFER_CLIENTS; i++)
		if (offer->clients[i])
			client_free(offer->clients[i]);
	loop_watch_stop(offer->watch);
	close(offer->fd);
	unlink(offer->path);
	free(offer->path);
	free(offer);
}
