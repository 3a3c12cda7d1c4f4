#include "deployers/haproxy/frontend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static bool parse_port(const char *text, uint16_t *ret)
{
	unsigned long port = 0;
	size_t len = strlen(text);
	if (!len || len > 5)
		return false;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		port = port * 10 + (unsigned long)(*p - '0');
	}
	if (port < 1 || port > 65535)
		return false;
	*ret = (uint16_t)port;
	return true;
}

bool frontend_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	const char *colon = strrchr(text, ':');
	uint16_t port;
	char host[64];
	if (!colon || !parse_port(colon + 1, &port) || (size_t)(colon - text) >= sizeof(host))
		return false;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	struct sockaddr_storage address = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
	if (host[0] == '\0' || strcmp(host, "*") == 0) {
		v4->sin_family = AF_INET;
		v4->sin_addr.s_addr = htonl(INADDR_ANY);
	} else if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
	} else {
		size_t len = strlen(host);
		if (len < 3 || host[0] != '[' || host[len - 1] != ']')
			return false;
		host[len - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) != 1)
			return false;
		v6->sin6_family = AF_INET6;
	}
	if (address.ss_family == AF_INET6)
		v6->sin6_port = htons(port);
	else
		v4->sin_port = htons(port);
	*ret = address;
	*ret_len = address.ss_family == AF_INET6 ? sizeof(*v6) : sizeof(*v4);
	return true;
}

/* A descriptor, or -1 and errno. SO_REUSEADDR lets us past connections in TIME_WAIT, never past a listener. */
static int listen_at(const struct sockaddr *address, socklen_t len, unsigned backlog)
{
	cleanup_fd int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 || bind(fd, address, len) < 0 ||
	    listen(fd, backlog < 65535 ? (int)backlog : 65535) < 0)
		return -1;
	return steal_fd(&fd);
}

int frontend_listen(const char *text, unsigned backlog, int *ret_fd, struct error **err)
{
	struct sockaddr_storage address;
	socklen_t len;
	if (!frontend_parse(text, &address, &len))
		return error_set(err, ERROR_INVALID, 0, "frontend \"%s\" is no address:port", text);
	int fd = listen_at((const struct sockaddr *)&address, len, backlog);
	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	switch (errno) {
	case EADDRINUSE:
		return error_set(err, ERROR_CONFLICT, 0,
				 "the frontend's address %s is in use by another program: stop that program (see `ss -ltnp`), or give the target "
				 "another `frontend`",
				 text);
	case EACCES:
		return error_set(err, ERROR_DENIED, 0, "may not listen on %s: ports below 1024 need root or CAP_NET_BIND_SERVICE", text);
	case EADDRNOTAVAIL:
		return error_set(err, ERROR_INVALID, 0, "cannot listen on %s: this host does not have that address", text);
	default:
		return error_set(err, ERROR_IO, errno, "cannot listen on %s", text);
	}
}

bool loopback_port_is_free(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	cleanup_fd int fd = listen_at((const struct sockaddr *)&address, sizeof(address), 1);
	return fd >= 0;
}
