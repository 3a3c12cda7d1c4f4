#include "deployers/haproxy/sockets.h"

#include "base/alloc.h"
#include "deployers/haproxy/frontend.h"
#include "tests/support/support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static void descriptions_are_counted_or_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		ssize_t n;
	} cases[] = {
		{"", 0, 0},
		{"\0\0\0\0\0\0", 6, 1},
		{"\0\0\0\0\0\0\0\0\0\0\0\0", 12, 2},
		{"\3net\4eth0\0\0\0\0", 13, 1},
		{"\0", 1, -1},
		{"\0\0\0\0\0", 5, -1},
		{"\0\0\0\0\0\0\0", 7, -1},
		{"\377ab\0\0\0\0", 7, -1}, /* a name longer than all that came */
		{"\0\377\0\0\0\0", 6, -1},
		{"\6abcdef", 7, -1},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(socket_descriptions((const unsigned char *)cases[i].bytes, cases[i].len), cases[i].n);
}

/* ---- a worker that answers as it is told ---- */

struct worker {
	char path[100];
	int listener;
	const struct answer *answer;
	int fds[3]; /* two listening TCP sockets and one that is none */
	pthread_t thread;
};
struct answer {
	const char *title;
	int announced;     /* -1: hangs up at once */
	size_t given;      /* descriptors that come, of the three, again and again */
	const char *bytes; /* of the message that they come with; one message for each `messages` */
	size_t len;
	unsigned messages;
	bool split;   /* the number comes byte by byte */
	bool silence; /* nothing comes and nothing is closed */
	enum error_code code;
	const char *error; /* NULL: two sockets are got */
};
#define THREE "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
static const struct answer answers[] = {
	{"as HAProxy does", 3, 3, THREE, 18, 1, .split = false},
	{"in pieces", 3, 1, THREE, 6, 3, .split = true},
	{"with names", 3, 3, "\1n\0\0\0\0\0\0\2if\0\0\0\0\0\0\0\0\0\0", 21, 1, .split = false},
	{"hangs up", -1, .code = ERROR_PROTOCOL, .error = "HAProxy's listening sockets: it gives none"},
	{"fewer than announced", 3, 2, THREE, 12, 1, .code = ERROR_PROTOCOL, .error = "HAProxy's listening sockets: it gave fewer than it announced"},
	{"more than announced", 2, 3, THREE, 18, 1, .code = ERROR_PROTOCOL,
	 .error = "HAProxy's listening sockets: its answer is not what it should be"},
	{"none announced", 0, 0, "", 0, 0, .code = ERROR_PROTOCOL, .error = "HAProxy's listening sockets: its answer is not what it should be"},
	{"a negative number", -7, 3, THREE, 18, 1, .code = ERROR_PROTOCOL,
	 .error = "HAProxy's listening sockets: its answer is not what it should be"},
	{"a huge number", 2000000000, 3, THREE, 18, 1, .code = ERROR_PROTOCOL,
	 .error = "HAProxy's listening sockets: its answer is not what it should be"},
	{"more described than given", 3, 3, THREE "\0\0\0\0\0\0", 24, 1, .code = ERROR_PROTOCOL,
	 .error = "HAProxy's listening sockets: its answer is not what it should be"},
	{"descriptions cut short", 3, 3, THREE, 17, 1, .code = ERROR_PROTOCOL,
	 .error = "HAProxy's listening sockets: it gave fewer than it announced"},
	{"silence", .silence = true, .code = ERROR_TIMEOUT, .error = "HAProxy's listening sockets: no answer within 1s"},
};

static void send_descriptors(int fd, const struct worker *worker, const struct answer *answer, unsigned message_number)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)answer->bytes, .iov_len = answer->len};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 3)];
	} control = {.bytes = {0}};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(sizeof(int) * answer->given)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * answer->given);
	for (size_t i = 0; i < answer->given; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &worker->fds[(message_number * answer->given + i) % 3], sizeof(int));
	ssize_t ignored = sendmsg(fd, &message, MSG_NOSIGNAL); /* who does not like the number has hung up by now */
	(void)ignored;
}

static void *worker_thread(void *arg)
{
	struct worker *worker = arg;
	const struct answer *answer = worker->answer;
	char question[32] = "";
	cleanup_fd int fd = accept4(worker->listener, NULL, NULL, SOCK_CLOEXEC);
	ssize_t n = read(fd, question, sizeof(question) - 1);
	if (n != 10 || strcmp(question, "_getsocks\n") != 0 || answer->announced == -1)
		return NULL;
	if (answer->silence) {
		n = read(fd, question, 1); /* until the other side gives up */
		return NULL;
	}
	const char *number = (const char *)&answer->announced;
	for (size_t i = 0; i < sizeof(int); i += answer->split ? 1 : sizeof(int))
		if (send(fd, number + i, answer->split ? 1 : sizeof(int), MSG_NOSIGNAL) < 0)
			return NULL;
	for (unsigned i = 0; i < answer->messages; i++)
		send_descriptors(fd, worker, answer, i);
	return NULL;
}

static struct sockaddr_un unix_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

static int listen_on(uint16_t *ret_port)
{
	struct sockaddr_in address = {0};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void worker_start(struct worker *worker, const struct fixture *fixture, const struct answer *answer)
{
	uint16_t ignored;
	snprintf(worker->path, sizeof(worker->path), "%s/r.sock", fixture->dir);
	unlink(worker->path);
	struct sockaddr_un address = unix_at(worker->path);
	worker->answer = answer;
	worker->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(worker->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(worker->listener, 1), 0);
	worker->fds[0] = listen_on(&ignored);
	worker->fds[1] = listen_on(&ignored);
	worker->fds[2] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(pthread_create(&worker->thread, NULL, worker_thread, worker), 0);
}

static void worker_stop(struct worker *worker)
{
	pthread_join(worker->thread, NULL);
	for (size_t i = 0; i < 3; i++)
		close(worker->fds[i]);
	close(worker->listener);
}

struct got {
	bool here;
	struct held_sockets held;
	struct error *err;
};
static void on_sockets(void *arg, struct held_sockets *held, const struct error *err)
{
	struct got *got = arg;
	got->here = true;
	got->held = *held;
	if (err)
		error_set(&got->err, error_code_of(err), 0, "%s", error_message(err));
}

static void workers_are_asked_and_not_trusted(void **state)
{
	struct fixture *fixture = *state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct worker worker;
		struct got got = {.here = false};
		struct loop *loop = loop_new();
		worker_start(&worker, fixture, &answers[i]);
		socket_fetch_start(loop, worker.path, on_sockets, &got);
		while (!got.here)
			loop_turn(loop);
		if (answers[i].error) {
			if (!got.err)
				fail_msg("%s: no error", answers[i].title);
			assert_error(got.err, answers[i].code, answers[i].error);
			assert_int_equal(got.held.n, 0);
		} else {
			assert_no_error(got.err);
			assert_int_equal(got.held.n, 2); /* what does not listen is closed again */
		}
		held_sockets_close(&got.held);
		error_free(got.err);
		worker_stop(&worker);
		loop_free(loop);
	}
}

static void nobody_there_is_unavailable(void **state)
{
	struct fixture *fixture = *state;
	struct got got = {.here = false};
	struct loop *loop = loop_new();
	cleanup_free char *path = xasprintf("%s/nobody.sock", fixture->dir);
	socket_fetch_start(loop, path, on_sockets, &got);
	while (!got.here)
		loop_turn(loop);
	assert_error(got.err, ERROR_UNAVAILABLE, "HAProxy's listening sockets: connect: No such file or directory");
	error_free(got.err);
	socket_fetch_stop(socket_fetch_start(loop, path, on_sockets, NULL)); /* never calls back */
	loop_free(loop);
}

/* What we offer is what we ask for: the two ends understand each other, and an accept queue outlives its first owner. */
static void what_is_offered_is_got_with_its_queue(void **state)
{
	struct fixture *fixture = *state;
	struct held_sockets held = {.n = 0};
	struct got got = {.here = false};
	struct socket_offer *offer;
	struct loop *loop = loop_new();
	cleanup_error struct error *err = NULL;
	cleanup_free char *path = xasprintf("%s/x.sock", fixture->dir);
	uint16_t port, other_port;
	held_sockets_add(&held, listen_on(&port));
	held_sockets_add(&held, listen_on(&other_port));
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_storage wanted = {0};
	memcpy(&wanted, &address, sizeof(address));
	assert_ok(socket_offer_open(loop, path, &held, &offer, &err), err);
	socket_fetch_start(loop, path, on_sockets, &got);
	while (!got.here)
		loop_turn(loop);
	assert_no_error(got.err);
	assert_int_equal(got.held.n, 2);
	/* Nobody accepts, the first owner goes: who waits is served by the second. */
	cleanup_fd int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	held_sockets_close(&held);
	held_sockets_keep(&got.held, &wanted, 1);
	assert_int_equal(got.held.n, 1);
	assert_true(held_sockets_have(&got.held, &wanted));
	cleanup_fd int served = accept4(got.held.fds[0], NULL, NULL, SOCK_CLOEXEC);
	assert_true(served >= 0);
	held_sockets_close(&got.held);
	socket_offer_close(offer);
	assert_int_not_equal(access(path, F_OK), 0);
	loop_free(loop);
}

static void other_questions_are_hung_up_on(void **state)
{
	struct fixture *fixture = *state;
	struct held_sockets held = {.n = 0};
	struct socket_offer *offer;
	struct loop *loop = loop_new();
	cleanup_error struct error *err = NULL;
	cleanup_free char *path = xasprintf("%s/x.sock", fixture->dir);
	struct sockaddr_un address = unix_at(path);
	char byte;
	assert_ok(socket_offer_open(loop, path, &held, &offer, &err), err);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(fd, "show info\n", 10, MSG_NOSIGNAL), 10);
	while (read(fd, &byte, 1) < 0)
		loop_turn(loop);
	assert_true(read(fd, &byte, 1) <= 0);
	socket_offer_close(offer);
	loop_free(loop);
}

static void taken_addresses_are_told(void **state)
{
	uint16_t port;
	int fd;
	(void)state;
	cleanup_fd int taken = listen_on(&port);
	assert_true(taken >= 0);
	cleanup_error struct error *err = NULL, *foreign = NULL;
	cleanup_free char *text = xasprintf("127.0.0.1:%u", port);
	cleanup_free char *message =
		xasprintf("the frontend's address %s is in use by another program: stop that program (see `ss -ltnp`), or give the "
			  "target another `frontend`",
			  text);
	assert_int_equal(frontend_listen(text, 10, &fd, &err), -1);
	assert_error(err, ERROR_CONFLICT, message);
	assert_int_equal(frontend_listen("192.0.2.1:4711", 10, &fd, &foreign), -1);
	assert_error(foreign, ERROR_INVALID, "cannot listen on 192.0.2.1:4711: this host does not have that address");
}

int main(void)
{
	loop_free(loop_new()); /* libuv keeps a pipe for ever, from its first loop on */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptions_are_counted_or_refused),
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
		TEST(workers_are_asked_and_not_trusted),
		TEST(nobody_there_is_unavailable),
		TEST(what_is_offered_is_got_with_its_queue),
		TEST(other_questions_are_hung_up_on),
		TEST(taken_addresses_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
