#include "deployers/haproxy/log_ring.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BUFFER_SIZE 65536
#define READS_PER_EVENT 8 /* then the rest of the loop has its turn */

struct connection {
	struct connection *next;
	struct log_ring *ring;
	int fd;
	struct loop_watch *watch;
	size_t len;
	char bytes[BUFFER_SIZE];
};

struct log_ring {
	struct loop *loop;
	int fd;
	struct loop_watch *watch;
	struct connection *connections; /* a reload has two for a while: the old worker's and the new one's */
	log_ring_line_fn on_line;
	log_ring_broken_fn on_broken;
	void *arg;
};

ssize_t log_frames(const char *bytes, size_t len, log_ring_line_fn on_line, void *arg)
{
	size_t used = 0;
	while (used < len) {
		size_t size = 0, at = used;
		while (at < len && bytes[at] >= '0' && bytes[at] <= '9' && size <= LOG_FRAME_MAX)
			size = size * 10 + (size_t)(bytes[at++] - '0');
		if (size > LOG_FRAME_MAX)
			return -1;
		if (at == len)
			break;
		if (at == used || bytes[at] != ' ')
			return -1;
		at++;
		if (len - at < size)
			break;
		on_line(arg, bytes + at, size);
		used = at + size;
	}
	return (ssize_t)used;
}

static void connection_free(struct connection *connection)
{
	struct connection **at = &connection->ring->connections;
	while (*at != connection)
		at = &(*at)->next;
	*at = connection->next;
	loop_watch_stop(connection->watch);
	close(connection->fd);
	free(connection);
}

static void hang_up(struct connection *connection, bool broken)
{
	struct log_ring *ring = connection->ring;
	connection_free(connection);
	if (broken)
		ring->on_broken(ring->arg);
}

static void on_bytes(void *arg, int events)
{
	struct connection *c = arg;
	(void)events;
	for (int i = 0; i < READS_PER_EVENT; i++) {
		ssize_t n = read(c->fd, c->bytes + c->len, sizeof(c->bytes) - c->len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			hang_up(c, c->len > 0);
			return;
		}
		c->len += (size_t)n;
		ssize_t used = log_frames(c->bytes, c->len, c->ring->on_line, c->ring->arg);
		if (used < 0) {
			hang_up(c, true);
			return;
		}
		c->len -= (size_t)used;
		memmove(c->bytes, c->bytes + used, c->len);
	}
}

static void on_connection(void *arg, int events)
{
	struct log_ring *ring = arg;
	(void)events;
	int fd = accept4(ring->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	struct connection *connection = xcalloc(1, sizeof(*connection));
	connection->ring = ring;
	connection->fd = fd;
	connection->next = ring->connections;
	ring->connections = connection;
	connection->watch = loop_watch_start(ring->loop, fd, LOOP_READ, on_bytes, connection);
}

static int listen_at(const char *path, uid_t uid, struct error **err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, ERROR_INVALID, 0, "the socket path %s is longer than 107 bytes", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "socket");
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set(err, ERROR_IO, errno, "cannot replace %s", path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(err, ERROR_IO, errno, "cannot bind %s", path);
	if (chmod(path, 0600) < 0 || (geteuid() == 0 && chown(path, uid, (gid_t)-1) < 0))
		return error_set(err, ERROR_IO, errno, "cannot hand %s to HAProxy's user", path);
	if (listen(fd, 16) < 0)
		return error_set(err, ERROR_IO, errno, "cannot listen at %s", path);
	return steal_fd(&fd);
}

int log_ring_open(struct loop *loop, const char *path, uid_t uid, log_ring_line_fn on_line, log_ring_broken_fn on_broken, void *arg,
		  struct log_ring **ret, struct error **err)
{
	int fd = listen_at(path, uid, err);
	if (fd < 0)
		return error_context(err, "log ring");
	struct log_ring *ring = xcalloc(1, sizeof(*ring));
	ring->loop = loop;
	ring->fd = fd;
	ring->on_line = on_line;
	ring->on_broken = on_broken;
	ring->arg = arg;
	ring->watch = loop_watch_start(loop, fd, LOOP_READ, on_connection, ring);
	*ret = ring;
	return 0;
}

void log_ring_close(struct log_ring *ring)
{
	if (!ring)
		return;
	while (ring->connections)
		connection_free(ring->connections);
	loop_watch_stop(ring->watch);
	close(ring->fd);
	free(ring);
}
