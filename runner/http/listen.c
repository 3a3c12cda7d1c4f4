#include "runner/http/http_priv.h"

#include "base/file.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 128

typedef struct addrinfo addresses;
static void addresses_free(addresses *list)
{
	if (list)
		freeaddrinfo(list);
}
DEFINE_CLEANUP(addresses, addresses_free);

/* "127.0.0.1:8080", "[::1]:8080", "localhost:0" */
static int resolve(const char *address, addresses **ret, struct error **err)
{
	const char *colon = strrchr(address, ':');
	if (!colon || !colon[1] || strlen(colon + 1) > 5 || strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return error_set(err, ERROR_INVALID, 0, "\"%s\" is no HOST:PORT", address);
	bool brackets = address[0] == '[' && colon > address + 1 && colon[-1] == ']';
	cleanup_free char *host = brackets ? xstrndup(address + 1, (size_t)(colon - address) - 2) : xstrndup(address, (size_t)(colon - address));
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	int status = getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, ret);
	if (status != 0)
		return error_set(err, ERROR_INVALID, 0, "cannot listen on %s: %s", address, gai_strerror(status));
	return 0;
}

static int bind_error(const char *address, int why, struct error **err)
{
	if (why == EADDRINUSE)
		return error_set(err, ERROR_CONFLICT, 0, "cannot listen on %s: it is in use. Stop what listens there, or choose another `listen`",
				 address);
	if (why == EACCES)
		return error_set(err, ERROR_DENIED, why, "cannot listen on %s: ports below 1024 need root; choose another `listen`", address);
	return error_set(err, ERROR_IO, why, "cannot listen on %s", address);
}

static unsigned port_of(int fd)
{
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	if (getsockname(fd, (struct sockaddr *)&bound, &len) < 0)
		return 0;
	return ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port : ((struct sockaddr_in *)&bound)->sin_port);
}

int http_listen_tcp(struct core *core, const char *address, const struct http_route *routes, struct http_server **ret, struct error **err)
{
	CLEANUP(addresses_free) addresses *found = NULL;
	if (resolve(address, &found, err) < 0)
		return -1;
	cleanup_fd int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot make a socket");
	const int on = 1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return bind_error(address, errno, err);
	unsigned port = port_of(fd);
	if (http_server_start(core, steal_fd(&fd), routes, ret, err) < 0)
		return -1;
	(*ret)->port = port;
	return 0;
}

/* What lies at the path is removed only if it is a socket that nobody answers on. */
static int clear_stale(const char *path, const struct sockaddr_un *address, struct error **err)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_set(err, ERROR_IO, errno, "cannot look at %s", path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, ERROR_CONFLICT, 0, "%s is there and is no socket: remove it, or choose another `socket`", path);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot make a socket");
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno != ECONNREFUSED)
		return error_set(err, ERROR_CONFLICT, 0, "somebody already answers at %s: stop that daemon, or choose another `socket`", path);
	if (unlink(path) < 0)
		return error_set(err, ERROR_IO, errno, "cannot remove the stale socket %s", path);
	return 0;
}

static int bind_unix(const char *path, const struct sockaddr_un *address, struct error **err)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot make a socket");
	mode_t before = umask(0177); /* never open to others, not even for a moment */
	int bound = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	int why = errno;
	umask(before);
	if (bound < 0)
		return error_set(err, ERROR_IO, why, "cannot make the socket %s", path);
	if (listen(fd, BACKLOG) < 0)
		return error_set(err, ERROR_IO, errno, "cannot listen on %s", path);
	return steal_fd(&fd);
}

int http_listen_unix(struct core *core, const char *path, const struct http_route *routes, struct http_server **ret, struct error **err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, ERROR_INVALID, 0, "the socket's path %s is longer than %zu bytes", path, sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path));
	const char *slash = strrchr(path, '/');
	cleanup_free char *folder = slash && slash > path ? xstrndup(path, (size_t)(slash - path)) : NULL;
	if ((folder && dir_make(folder, 0755, err) < 0) || clear_stale(path, &address, err) < 0)
		return -1;
	cleanup_fd int fd = bind_unix(path, &address, err);
	struct stat st = {0};
	if (fd < 0 || http_server_start(core, steal_fd(&fd), routes, ret, err) < 0)
		return -1;
	(*ret)->path = xstrdup(path);
	if (stat(path, &st) == 0) {
		(*ret)->dev = st.st_dev;
		(*ret)->ino = st.st_ino;
	}
	return 0;
}
