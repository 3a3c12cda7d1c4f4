#include "deployers/haproxy/runtime.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct request {
	struct request *next;
	char *commands; /* with the line's end */
	size_t sent;
	runtime_done_fn done;
	void *arg;
};

struct runtime_client {
	struct loop *loop;
	char *path, *label;
	struct request *first, **last;
	/* Of the request in flight, `first`. */
	int fd;
	struct loop_watch *watch;
	struct loop_timer *timer;
	struct buf answer;
	bool *gone; /* set while a callback runs: tells it that we were freed meanwhile */
};

static void start(struct runtime_client *client);

static void hang_up(struct runtime_client *client)
{
	loop_watch_stop(client->watch);
	client->watch = NULL;
	loop_timer_stop(client->timer);
	client->timer = NULL;
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

static void finish(struct runtime_client *client, struct error *err)
{
	hang_up(client);
	struct request *request = client->first;
	client->first = request->next;
	if (!client->first)
		client->last = &client->first;
	cleanup_free char *answer = err ? NULL : buf_steal(&client->answer);
	bool gone = false, *outer = client->gone;
	client->gone = &gone;
	request->done(request->arg, answer, err);
	error_free(err);
	free(request->commands);
	free(request);
	if (gone) {
		if (outer)
			*outer = true;
		return;
	}
	client->gone = outer;
	if (client->first && client->fd < 0 && !client->timer)
		start(client);
}

static void fail(struct runtime_client *client, enum error_code code, int errnum, const char *what)
{
	struct error *err = NULL;
	error_set(&err, code, errnum, "%s: %s", client->label, what);
	finish(client, err);
}

static void on_timeout(void *arg)
{
	struct runtime_client *client = arg;
	fail(client, ERROR_TIMEOUT, 0, "no answer within 3s");
}

static void take_answer(struct runtime_client *client)
{
	char bytes[16384];
	for (;;) {
		ssize_t n = read(client->fd, bytes, sizeof(bytes));
		if (n > 0) {
			buf_add(&client->answer, bytes, (size_t)n);
			if (client->answer.failed) {
				fail(client, ERROR_TOO_LARGE, 0, "its answer is larger than 4 MiB");
				return;
			}
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			fail(client, ERROR_UNAVAILABLE, errno, "read");
		else
			finish(client, NULL);
		return;
	}
}

static void on_event(void *arg, int events)
{
	struct runtime_client *client = arg;
	struct request *request = client->first;
	size_t len = strlen(request->commands);
	if ((events & LOOP_WRITE) && request->sent < len) {
		ssize_t n = send(client->fd, request->commands + request->sent, len - request->sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			fail(client, ERROR_UNAVAILABLE, errno, "write");
			return;
		}
		if (n > 0)
			request->sent += (size_t)n;
		if (request->sent == len) {
			shutdown(client->fd, SHUT_WR); /* else the master's socket waits for more commands */
			loop_watch_stop(client->watch);
			client->watch = loop_watch_start(client->loop, client->fd, LOOP_READ, on_event, client);
		}
		return;
	}
	if (events & (LOOP_READ | LOOP_HANGUP))
		take_answer(client);
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return steal_fd(&fd);
}

/* Failures of the start come from the loop too, never from inside runtime_send(). */
static void on_start(void *arg)
{
	struct runtime_client *client = arg;
	loop_timer_stop(client->timer);
	client->timer = NULL;
	client->fd = connect_to(client->path);
	if (client->fd < 0) {
		fail(client, ERROR_UNAVAILABLE, errno, "connect");
		return;
	}
	client->timer = loop_timer_start(client->loop, RUNTIME_TIMEOUT_MS, 0, on_timeout, client);
	client->watch = loop_watch_start(client->loop, client->fd, LOOP_WRITE, on_event, client);
}

static void start(struct runtime_client *client)
{
	buf_reset(&client->answer);
	client->timer = loop_timer_start(client->loop, 0, 0, on_start, client);
}

struct runtime_client *runtime_client_new(struct loop *loop, const char *path, const char *label)
{
	struct runtime_client *client = xcalloc(1, sizeof(*client));
	client->loop = loop;
	client->path = xstrdup(path);
	client->label = xstrdup(label);
	client->last = &client->first;
	client->fd = -1;
	buf_init(&client->answer, RUNTIME_MAX_ANSWER);
	return client;
}

void runtime_client_free(struct runtime_client *client)
{
	if (!client)
		return;
	if (client->gone)
		*client->gone = true;
	hang_up(client);
	while (client->first) {
		struct request *request = client->first;
		client->first = request->next;
		free(request->commands);
		free(request);
	}
	buf_done(&client->answer);
	free(client->path);
	free(client->label);
	free(client);
}

void runtime_send(struct runtime_client *client, const char *commands, runtime_done_fn done, void *arg)
{
	struct request *request = xcalloc(1, sizeof(*request));
	request->commands = xasprintf("%s\n", commands);
	request->done = done;
	request->arg = arg;
	bool idle = !client->first;
	*client->last = request;
	client->last = &request->next;
	if (idle && client->fd < 0 && !client->timer)
		start(client);
}
