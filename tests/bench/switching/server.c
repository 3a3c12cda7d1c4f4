/* A model server that costs next to nothing: answers every GET with its argument, keeps connections, ends on TERM. One thread, epoll.
 * So what the measurement sees is HAProxy. `switching_server VERSION`, listens on 127.0.0.1:$PORT. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BYTES = 4096, DESCRIPTORS = 65536 };

static unsigned char ends_seen[DESCRIPTORS]; /* how much of "\r\n\r\n" a connection has sent last */

static int listen_on(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 4096) < 0)
		return -1;
	return fd;
}

/* Requests have no body, so each ends with an empty line. */
static unsigned requests_in(int fd, const char *bytes, ssize_t len)
{
	static const char end[] = "\r\n\r\n";
	unsigned n = 0;
	unsigned char seen = ends_seen[fd];
	for (ssize_t i = 0; i < len; i++) {
		seen = bytes[i] == end[seen] ? (unsigned char)(seen + 1) : bytes[i] == '\r';
		if (seen == 4) {
			n++;
			seen = 0;
		}
	}
	ends_seen[fd] = seen;
	return n;
}

/* False: the connection is over. */
static bool serve(int fd, const char *answer, size_t answer_len)
{
	char bytes[BYTES];
	ssize_t n = read(fd, bytes, sizeof(bytes));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	for (unsigned k = requests_in(fd, bytes, n); k > 0; k--)
		if (send(fd, answer, answer_len, MSG_NOSIGNAL) != (ssize_t)answer_len)
			return false;
	return true;
}

static void take(int listener, int epoll)
{
	int one = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (fd >= DESCRIPTORS) {
		close(fd);
		return;
	}
	ends_seen[fd] = 0;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		close(fd);
}

int main(int argc, char **argv)
{
	const char *port = getenv("PORT"), *version = argc > 1 ? argv[1] : "";
	char answer[256];
	int listener = port ? listen_on((uint16_t)strtoul(port, NULL, 10)) : -1, epoll = epoll_create1(EPOLL_CLOEXEC);
	if (listener < 0 || epoll < 0) {
		fprintf(stderr, "cannot listen on 127.0.0.1:%s\n", port ? port : "(PORT is not set)");
		return 1;
	}
	int len = snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(version), version);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				take(listener, epoll);
			else if (!serve(events[i].data.fd, answer, (size_t)len))
				close(events[i].data.fd);
		}
	}
}
