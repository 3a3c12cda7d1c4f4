#include "runner/http/http_priv.h"
#include "tests/unit/runner/http_fixture.h"

#include "base/clock.h"
#include "runner/api/api.h"
#include "runner/webhooks/webhooks.h"

#include <poll.h>
#include <sys/stat.h>

/* ---- the routes under test ---- */

static int hello(struct http_call *call, struct error **err)
{
	(void)err;
	size_t len;
	const char *body = http_body(call, &len), *greeting = http_query(call, "greeting");
	return http_reply_json(call, 200,
			       json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", http_param(call, "name"), "greeting", greeting ? greeting : "-", "body",
					 body, "len", (json_int_t)len, "actor", http_actor(call)));
}

static int note(struct http_call *call, struct error **err)
{
	if (event_append(http_core(call), "test.noted", "test", 0, http_actor(call), NULL, err) < 0)
		return -1;
	return http_reply_text(call, 202, "text/plain", "noted");
}

static int note_and_fail(struct http_call *call, struct error **err)
{
	if (note(call, err) < 0)
		return -1;
	return error_set(err, ERROR_CONFLICT, 0, "on second thoughts, no");
}

static int note_and_lose(struct http_call *call, struct error **err)
{
	desk_poison(http_core(call));
	return note(call, err);
}

static int break_down(struct http_call *call, struct error **err)
{
	(void)call;
	return error_set(err, ERROR_IO, 0, "secret things about /etc");
}

static int say_nothing(struct http_call *call, struct error **err)
{
	(void)call, (void)err;
	return 0;
}

/* Counts to `until`, one a wake; tells when it is freed. */
struct counter {
	int at, until;
	bool freed;
};
static struct counter counter;

static int count_on(void *arg, struct buf *out)
{
	struct counter *c = arg;
	if (c->at >= c->until)
		return -1;
	buf_addf(out, "%d\n", ++c->at);
	return 0;
}

static void forget_counter(void *arg)
{
	((struct counter *)arg)->freed = true;
}

static int stream(struct http_call *call, struct error **err)
{
	(void)err;
	return http_reply_stream(call, 200, "text/plain", &(struct http_stream){count_on, forget_counter, &counter});
}

static const struct http_route routes[] = {
	{"GET", "/hello/:name", hello, "greets", .read_only = true},
	{"POST", "/hello/:name", hello, "greets", .max_body = 10},
	{"POST", "/notes", note, "notes", 0, false},
	{"POST", "/fail", note_and_fail, "notes not", 0, false},
	{"POST", "/lose", note_and_lose, "cannot commit", 0, false},
	{"GET", "/broken", break_down, "breaks", .read_only = true},
	{"GET", "/silent", say_nothing, "says nothing", .read_only = true},
	{"GET", "/stream", stream, "counts", .read_only = true},
	{.method = NULL},
};

/* ---- pure ---- */

static void addresses_decode_or_not(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"plain", "plain"}, {"a%2Fb", "a/b"}, {"%41", "A"},  {"%c3%a4", "\xc3\xa4"}, {"", ""},        {"100%25", "100%"}, {"%", NULL},
		{"%4", NULL},       {"a%", NULL},     {"%zz", NULL}, {"%00", NULL},          {"a%0ab", NULL}, {"%ff", NULL},      {"%7f", NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *decoded = url_decode(cases[i][0], strlen(cases[i][0]));
		if (cases[i][1])
			assert_string_equal(decoded, cases[i][1]);
		else
			assert_null(decoded);
	}
}

static void routes_are_found_by_method_and_shape(void **state)
{
	(void)state;
	static const struct {
		const char *method, *path;
		unsigned status; /* 0: found */
		const char *param;
	} cases[] = {
		{"GET", "/hello/ann", 0, "ann"},   {"HEAD", "/hello/ann", 0, "ann"},
		{"GET", "/hello/a%2Fb", 0, "a/b"}, {"GET", "/hello/", 404, NULL},
		{"GET", "/hello/a/b", 404, NULL},  {"GET", "/hello", 404, NULL},
		{"GET", "/", 404, NULL},           {"GET", "", 404, NULL},
		{"GET", "//hello/x", 404, NULL},   {"DELETE", "/hello/ann", 405, NULL},
		{"GET", "/hello/%00", 400, NULL},  {"GET", "/notes", 405, NULL},
		{"POST", "/notes/", 404, NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct route_match match;
		route_find(routes, cases[i].method, cases[i].path, &match);
		if (cases[i].status) {
			assert_null(match.route);
			assert_int_equal(match.status, cases[i].status);
		} else {
			assert_non_null(match.route);
			assert_string_equal(match.params[0].value, cases[i].param);
		}
		route_match_done(&match);
	}
	struct route_match match;
	route_find(routes, "DELETE", "/hello/ann", &match);
	assert_string_equal(match.allow, "GET, POST");
}

/* What is promised to whoever writes a client: every row says what it does, no two rows mean the same. */
static void check_rows(const struct http_route *rows)
{
	for (const struct http_route *row = rows; row->method; row++) {
		assert_true(row->pattern[0] == '/');
		assert_non_null(row->handler);
		assert_true(row->doc && row->doc[0]);
		assert_true(row->read_only == (strcmp(row->method, "GET") == 0));
		for (const struct http_route *other = rows; other < row; other++)
			assert_false(strcmp(row->method, other->method) == 0 && strcmp(row->pattern, other->pattern) == 0);
	}
}

static void every_row_of_the_tables_is_documented(void **state)
{
	(void)state;
	check_rows(public_routes);
	check_rows(api_routes);
	/* What listens on TCP: nothing more may creep in here. */
	static const char *const outside[] = {"POST /hooks/:repository", "GET /healthz", "GET /metrics"};
	size_t n = 0;
	for (; public_routes[n].method; n++) {
		cleanup_free char *name = xasprintf("%s %s", public_routes[n].method, public_routes[n].pattern);
		assert_true(n < ARRAY_SIZE(outside));
		assert_string_equal(name, outside[n]);
	}
	assert_int_equal(n, ARRAY_SIZE(outside));
}

/* ---- served ---- */

static void handlers_see_the_request(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	desk_listen(&desk, routes);
	cleanup_answer struct answer got = desk_get(&desk, "/hello/a%2Fb?greeting=good%20day+you&x");
	assert_int_equal(got.status, 200);
	assert_string_equal(got.body, "{\"actor\":\"http\",\"body\":\"\",\"greeting\":\"good day you\",\"len\":0,\"name\":\"a/b\"}\n");
	assert_string_equal(got.type, "application/json");
	cleanup_answer struct answer posted =
		desk_ask(&desk, &(struct http_request){.method = "POST", .body = "0123456789", .body_len = 10}, "/hello/b");
	assert_int_equal(posted.status, 200);
	assert_non_null(strstr(posted.body, "\"body\":\"0123456789\""));
	desk_close(&desk);
}

static void what_fits_nowhere_is_refused(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	desk_listen(&desk, routes);
	char large[100001];
	memset(large, 'x', sizeof(large));
	static const char *const expect[] = {"Expect: 100-continue", NULL};
	const struct {
		struct http_request request;
		const char *path;
		long status;
		const char *says;
	} cases[] = {
		{{0}, "/nothing", 404, "there is nothing at this address"},
		{{.method = "PUT"}, "/notes", 405, "this address does not take that method"},
		{{0}, "/hello/%ff", 400, "does not decode"},
		{{0}, "/hello/x?a=%00", 400, "does not decode"},
		{{.method = "POST", .body = large, .body_len = 11}, "/hello/x", 413, "larger than 10 bytes"},
		{{.method = "POST", .body = large, .body_len = sizeof(large)}, "/hello/x", 413, "larger than 10 bytes"},
		{{.method = "POST", .body = large, .body_len = sizeof(large), .headers = expect}, "/hello/x", 413, "larger than 10 bytes"},
		{{.method = "POST", .body = large, .body_len = sizeof(large)}, "/notes", 413, "larger than 65536 bytes"},
		{{.method = "POST", .body = large, .body_len = sizeof(large)}, "/nothing", 404, "there is nothing"},
		{{0}, "/broken", 500, "something went wrong here"},
		{{0}, "/silent", 500, "something went wrong here"},
		{{.method = "POST"}, "/fail", 409, "on second thoughts, no"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_answer struct answer got = desk_ask(&desk, &cases[i].request, cases[i].path);
		assert_int_equal(got.status, cases[i].status);
		assert_non_null(strstr(got.body, cases[i].says));
		assert_null(strstr(got.body, "/etc"));
	}
	assert_int_equal(desk_count(&desk, "SELECT count(*) FROM event"), 0);
	desk_close(&desk);
}

static void broken_requests_break_nothing(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	desk_listen(&desk, routes);
	static const struct {
		const char *bytes, *says;
		bool shut;
	} cases[] = {
		{"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Length: twelve\r\n\r\n", "HTTP/1.1 400", false},
		{"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400", false},
		{"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", "HTTP/1.1 413", false},
		{"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this", "", true},
		{"POST /hello/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: "
		 "close\r\n\r\n20\r\n01234567890123456789012345678901\r\n0\r\n\r\n",
		 "HTTP/1.1 413", false},
		{"POST /notes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "", false},
		{"GARBAGE\r\n\r\n", "", true},
		{"GET /hello/x HTTP/1.1\r\n\r\n", "HTTP/1.1 400", false}, /* no Host */
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *heard = desk_talk(&desk, cases[i].bytes, cases[i].shut);
		if (strncmp(heard, cases[i].says, strlen(cases[i].says)) != 0)
			fail_msg("case %zu: heard \"%s\"", i, heard);
	}
	assert_int_equal(desk_count(&desk, "SELECT count(*) FROM event"), 0);
	cleanup_answer struct answer got = desk_get(&desk, "/hello/x");
	assert_int_equal(got.status, 200);
	desk_close(&desk);
}

/* A header now and then keeps a connection from ever being silent; it must not keep it for ever. */
static void a_peer_that_dribbles_is_cut(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	desk_listen(&desk, routes);
	desk.server->request_ms = 50;
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)http_server_port(desk.server)), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(fd, "GET /hello/x HTTP/1.1\r\nHost: x\r\nX-Slow: ", 41, MSG_NOSIGNAL), 41);
	uint64_t deadline = clock_mono_ms() + 20000;
	ssize_t got = -1;
	while (got < 0) {
		char byte;
		bool in_time = clock_mono_ms() < deadline;
		assert_true(in_time);
		send(fd, "a", 1, MSG_NOSIGNAL);
		loop_defer(desk.core->loop, nothing, NULL);
		loop_turn(desk.core->loop);
		got = recv(fd, &byte, 1, MSG_DONTWAIT);
		if (got < 0 && errno == ECONNRESET)
			got = 0;
		poll(NULL, 0, 1);
	}
	assert_int_equal(got, 0);
	desk.server->request_ms = 60000;
	cleanup_answer struct answer answer = desk_get(&desk, "/hello/x");
	assert_int_equal(answer.status, 200);
	desk_close(&desk);
}

/* libmicrohttpd takes the listening socket back only when it runs again; by then nobody else may be left to wake it. */
static void whoever_waits_behind_peers_that_are_cut_is_served(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	desk_listen(&desk, routes);
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)http_server_port(desk.server)), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	int fds[256]; /* as many as are let in at once */
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fds[i], (const struct sockaddr *)&address, sizeof(address)), 0);
		assert_int_equal(send(fds[i], "GET /hello/x HTTP/1.1\r\n", 23, MSG_NOSIGNAL), 23);
		for (const struct http_peer *newest = desk.server->peers; desk.server->peers == newest;)
			assert_true(loop_turn(desk.core->loop));
	}
	cleanup_answer struct answer answer;
	desk_send(&desk, &(struct http_request){0}, "/hello/x", &answer);
	for (int i = 0; i < 100; i++) {
		loop_defer(desk.core->loop, nothing, NULL);
		loop_turn(desk.core->loop);
	}
	assert_false(answer.there);
	for (struct http_peer *peer = desk.server->peers; peer; peer = peer->next)
		peer->since_ms = 1; /* as if they had dribbled for long */
	assert_int_equal(send(fds[0], "X", 1, MSG_NOSIGNAL), 1);
	uint64_t deadline = clock_mono_ms() + 20000;
	struct loop_timer *tick = loop_timer_start(desk.core->loop, 100, 100, nothing, NULL);
	while (!answer.there) {
		bool in_time = clock_mono_ms() < deadline;
		assert_true(in_time);
		loop_turn(desk.core->loop);
	}
	loop_timer_stop(tick);
	assert_int_equal(answer.status, 200);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	desk_close(&desk);
}

static void a_reply_waits_for_its_commit(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	desk_listen(&desk, routes);
	for (int i = 1; i <= 3; i++) {
		cleanup_answer struct answer got = desk_ask(&desk, &(struct http_request){.method = "POST"}, "/notes");
		assert_int_equal(got.status, 202);
		assert_false(db_in_transaction(desk.core->db));
		assert_int_equal(desk_count(&desk, "SELECT count(*) FROM event"), i);
	}
	desk_close(&desk);
}

static void many_at_once_are_all_answered(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	desk_listen(&desk, routes);
	struct answer answers[40];
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		desk_send(&desk, &(struct http_request){.method = "POST"}, "/notes", &answers[i]);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		desk_await(&desk, &answers[i].there);
		assert_int_equal(answers[i].status, 202);
		answer_done(&answers[i]);
	}
	assert_int_equal(desk_count(&desk, "SELECT count(*) FROM event"), ARRAY_SIZE(answers));
	desk_close(&desk);
}

static void a_failed_commit_is_a_503_and_the_next_one_works(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	desk_listen(&desk, routes);
	cleanup_answer struct answer lost = desk_ask(&desk, &(struct http_request){.method = "POST"}, "/lose");
	assert_int_equal(lost.status, 503);
	assert_non_null(strstr(lost.body, "nothing was done: try again"));
	assert_int_equal(desk_count(&desk, "SELECT count(*) FROM event"), 0);
	cleanup_answer struct answer kept = desk_ask(&desk, &(struct http_request){.method = "POST"}, "/notes");
	assert_int_equal(kept.status, 202);
	assert_int_equal(desk_count(&desk, "SELECT count(*) FROM event"), 1);
	desk_close(&desk);
}

static void a_stream_goes_on_at_each_wake_and_ends(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	desk_listen(&desk, routes);
	counter = (struct counter){.until = 3};
	cleanup_answer struct answer got = desk_get(&desk, "/stream"); /* the timer wakes it: logs grow without events */
	assert_int_equal(got.status, 200);
	assert_string_equal(got.body, "1\n2\n3\n");
	while (!counter.freed)
		loop_turn(desk.core->loop);
	desk_close(&desk);
}

static void a_commit_with_events_wakes_streams(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	desk_listen(&desk, routes);
	counter = (struct counter){.until = 1000};
	struct answer streamed;
	desk_send(&desk, &(struct http_request){0}, "/stream", &streamed);
	while (counter.at == 0)
		loop_turn(desk.core->loop);
	for (int i = 0; i < 20; i++) {
		int before = counter.at;
		cleanup_answer struct answer noted = desk_ask(&desk, &(struct http_request){.method = "POST"}, "/notes");
		assert_int_equal(noted.status, 202);
		assert_true(counter.at > before); /* before the answer to the very request */
	}
	desk_close(&desk); /* with the stream open */
	assert_true(counter.freed);
}

static void a_reader_that_goes_away_ends_its_stream(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	desk_listen(&desk, routes);
	counter = (struct counter){.until = 1000};
	struct answer streamed;
	desk_send(&desk, &(struct http_request){0}, "/stream", &streamed);
	while (counter.at < 2)
		loop_turn(desk.core->loop);
	http_client_free(desk.client);
	desk.client = NULL;
	while (!counter.freed)
		loop_turn(desk.core->loop);
	desk_close(&desk);
}

static void an_address_in_use_is_told(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	desk_listen(&desk, routes);
	cleanup_error struct error *err = NULL, *bad = NULL;
	cleanup_free char *address = xasprintf("127.0.0.1:%u", http_server_port(desk.server));
	struct http_server *second = NULL;
	assert_int_equal(http_listen_tcp(desk.core, address, routes, &second, &err), -1);
	cleanup_free char *text = xasprintf("cannot listen on %s: it is in use. Stop what listens there, or choose another `listen`", address);
	assert_error(err, ERROR_CONFLICT, text);
	assert_int_equal(http_listen_tcp(desk.core, "8080", routes, &second, &bad), -1);
	assert_error(bad, ERROR_INVALID, "\"8080\" is no HOST:PORT");
	desk_close(&desk);
}

/* ---- the Unix socket ---- */

static void the_socket_knows_who_asks(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	cleanup_error struct error *err = NULL;
	assert_ok(http_listen_unix(desk.core, desk.socket, routes, &desk.server, &err), err);
	struct stat st;
	assert_int_equal(stat(desk.socket, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	struct answer got = {0};
	http_client_send(desk.client, &(struct http_request){.url = "http://penstock/hello/x", .unix_socket = desk.socket}, on_answer, &got);
	desk_await(&desk, &got.there);
	assert_int_equal(got.status, 200);
	cleanup_free char *who = geteuid() == 0 ? xstrdup("\"actor\":\"uid:0(root)\"") : xasprintf("\"actor\":\"uid:%u", geteuid());
	assert_non_null(strstr(got.body, who));
	answer_done(&got);
	desk_close(&desk);
}

static void a_stale_socket_is_replaced_and_a_live_one_is_not(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	assert_true(strlen(desk.socket) < sizeof(address.sun_path));
	memcpy(address.sun_path, desk.socket, strlen(desk.socket));
	int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(stale, (const struct sockaddr *)&address, sizeof(address)), 0);
	close(stale);
	cleanup_error struct error *err = NULL, *taken = NULL, *file = NULL;
	assert_ok(http_listen_unix(desk.core, desk.socket, routes, &desk.server, &err), err);
	struct http_server *second = NULL;
	assert_int_equal(http_listen_unix(desk.core, desk.socket, routes, &second, &taken), -1);
	assert_error(taken, ERROR_CONFLICT,
		     fixture_text(desk.fixture, "somebody already answers at %s/state/test.sock: stop that daemon, or choose another `socket`"));
	cleanup_free char *plain = fixture_write(desk.fixture, "plain", "");
	assert_int_equal(http_listen_unix(desk.core, plain, routes, &second, &file), -1);
	assert_error(file, ERROR_CONFLICT, fixture_text(desk.fixture, "%s/plain is there and is no socket: remove it, or choose another `socket`"));
	http_server_free(desk.server);
	desk.server = NULL;
	assert_false(path_exists(desk.socket));
	desk_close(&desk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(addresses_decode_or_not),
		TEST(routes_are_found_by_method_and_shape),
		TEST(every_row_of_the_tables_is_documented),
		TEST(handlers_see_the_request),
		TEST(what_fits_nowhere_is_refused),
		TEST(broken_requests_break_nothing),
		TEST(a_peer_that_dribbles_is_cut),
		TEST(whoever_waits_behind_peers_that_are_cut_is_served),
		TEST(a_reply_waits_for_its_commit),
		TEST(many_at_once_are_all_answered),
		TEST(a_failed_commit_is_a_503_and_the_next_one_works),
		TEST(a_stream_goes_on_at_each_wake_and_ends),
		TEST(a_commit_with_events_wakes_streams),
		TEST(a_reader_that_goes_away_ends_its_stream),
		TEST(an_address_in_use_is_told),
		TEST(the_socket_knows_who_asks),
		TEST(a_stale_socket_is_replaced_and_a_live_one_is_not),
	};
	loop_free(loop_new()); /* libuv keeps a pipe for signals from its first loop on */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
