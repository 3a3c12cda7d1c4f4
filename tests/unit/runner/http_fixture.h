/* A core with an HTTP server in this process, and a client on the same loop. */
#ifndef TESTS_UNIT_RUNNER_HTTP_FIXTURE_H
#define TESTS_UNIT_RUNNER_HTTP_FIXTURE_H

#include "tests/support/support.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/http_client.h"
#include "runner/engine.h"
#include "runner/http/http.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct desk {
	struct fixture *fixture;
	struct config *config;
	struct core *core;
	struct http_server *server;
	struct http_client *client;
	char *socket; /* of a Unix server */
};

struct answer {
	bool there;
	long status; /* 0: no answer; see error */
	char *body, *type;
	enum error_code error;
};

static inline void answer_done(struct answer *answer)
{
	free(answer->body);
	free(answer->type);
}
#define cleanup_answer __attribute__((cleanup(answer_done)))

static inline void desk_open(struct desk *desk, void **state, const char *more)
{
	*desk = (struct desk){.fixture = *state};
	cleanup_error struct error *err = NULL;
	cleanup_free char *text = xasprintf("state: state\nlisten: 127.0.0.1:0\n%s", more);
	cleanup_free char *file = fixture_write(desk->fixture, "penstock.yml", text);
	assert_ok(config_read(file, &desk->config, &err), err);
	assert_ok(core_open(desk->config, &desk->core, &err), err);
	/* No run of these tests is meant to get anywhere. */
	free(desk->core->self);
	desk->core->self = xstrdup("/bin/false");
	desk->client = http_client_new(desk->core->loop);
	desk->socket = xasprintf("%s/state/test.sock", desk->fixture->dir);
}

static inline void desk_listen(struct desk *desk, const struct http_route *routes)
{
	cleanup_error struct error *err = NULL;
	assert_ok(http_listen_tcp(desk->core, "127.0.0.1:0", routes, &desk->server, &err), err);
	assert_true(http_server_port(desk->server) > 0);
}

static inline void desk_close(struct desk *desk)
{
	http_client_free(desk->client);
	http_server_free(desk->server);
	if (desk->core && desk->core->engine) {
		core_commit(desk->core);
		while (!engine_idle(desk->core->engine))
			loop_turn(desk->core->loop);
		engine_close(desk->core->engine);
	}
	core_close(desk->core);
	config_free(desk->config);
	free(desk->socket);
}

static inline void on_answer(void *arg, const struct http_response *response, struct error *err)
{
	struct answer *answer = arg;
	answer->there = true;
	if (response) {
		answer->status = response->status;
		answer->body = xstrdup(response->body);
		answer->type = xstrdup(response->content_type);
	} else {
		answer->error = error_code_of(err);
	}
}

static inline void desk_send(struct desk *desk, const struct http_request *wanted, const char *path, struct answer *answer)
{
	struct http_request request = *wanted;
	cleanup_free char *url = xasprintf("http://127.0.0.1:%u%s", http_server_port(desk->server), path);
	request.url = url;
	*answer = (struct answer){0};
	http_client_send(desk->client, &request, on_answer, answer);
}

static inline void desk_await(struct desk *desk, const bool *flag)
{
	while (!*flag)
		assert_true(loop_turn(desk->core->loop));
}

static inline struct answer desk_ask(struct desk *desk, const struct http_request *request, const char *path)
{
	struct answer answer;
	desk_send(desk, request, path, &answer);
	desk_await(desk, &answer.there);
	return answer;
}

static inline struct answer desk_get(struct desk *desk, const char *path)
{
	return desk_ask(desk, &(struct http_request){0}, path);
}

static inline void on_heard(void *arg, int events)
{
	(void)arg, (void)events; /* only so that the loop wakes up */
}

static inline void nothing(void *arg)
{
	(void)arg; /* deferred, so that a turn of the loop does not wait */
}

/* Raw bytes to the server, and then, once it has them, the end if `shut`: whatever it says until it closes; owned by the caller. */
static inline char *desk_talk(struct desk *desk, const char *bytes, bool shut)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)http_server_port(desk->server)), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), strlen(bytes));
	for (int i = 0; shut && i < 10; i++) {
		loop_defer(desk->core->loop, nothing, NULL);
		loop_turn(desk->core->loop);
	}
	if (shut)
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	struct loop_watch *watch = loop_watch_start(desk->core->loop, fd, LOOP_READ, on_heard, NULL);
	struct buf heard;
	buf_init(&heard, 1024 * 1024);
	char piece[4096];
	for (;;) {
		ssize_t n = recv(fd, piece, sizeof(piece), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		if (n > 0)
			buf_add(&heard, piece, (size_t)n);
		else
			loop_turn(desk->core->loop);
	}
	loop_watch_stop(watch);
	return buf_steal(&heard);
}

static inline int64_t desk_count(const struct desk *desk, const char *sql)
{
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(db_query(desk->core->db, &q, &err, sql, ""), err);
	assert_int_equal(db_step(q, &err), 1);
	return db_int(q, 0);
}

/* The next COMMIT will fail: a violated foreign key that is looked at only then. Inside an event. */
static inline void desk_poison(struct core *core)
{
	cleanup_error struct error *err = NULL;
	assert_ok(db_run(core->db, &err, "PRAGMA defer_foreign_keys = ON", ""), err);
	assert_ok(db_run(core->db, &err, "INSERT INTO stage (run_id, idx, name, kind) VALUES (999999, 0, 'x', 'run')", ""), err);
}
#endif
