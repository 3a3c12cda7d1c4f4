#include "base/http_client.h"

#include "base/alloc.h"
#include "base/file.h"
#include "tests/support/http_peer.h"
#include "tests/support/support.h"

#include <string.h>

static int warm_up(void **state)
{
	(void)state;
	loop_free(loop_new());
	return 0;
}

static void an_answer_is_an_answer_whatever_its_status(void **state)
{
	(void)state;
	static const struct http_exchange script[] = {
		{.expect_method = "GET",
		 .expect_path = "/ok",
		 .expect_header = "X-Test: yes",
		 .content_type = "text/plain; charset=utf-8",
		 .body = "hello"},
		{.expect_method = "GET", .expect_path = "/gone", .status = 410, .body = "gone"},
		{.expect_method = "POST",
		 .expect_path = "/in",
		 .expect_header = "Content-Type: application/json",
		 .expect_body = "{\"a\":1}",
		 .status = 201},
		{.expect_method = "PUT", .expect_body = "", .expect_header = "Content-Length: 0", .status = 204},
		{.expect_method = "HEAD", .body = "12345"},
		{.expect_method = "DELETE"},
		{.expect_path = "/moved", .status = 302, .headers = "Location: http://127.0.0.1:1/\r\n"},
	};
	struct http_peer *peer = http_peer_start(script, ARRAY_SIZE(script));
	static const char *const test_header[] = {"X-Test: yes", NULL}, *const json[] = {"Content-Type: application/json", NULL};
	static const struct {
		const char *method, *path;
		const char *const *headers;
		const char *body;
		long status;
		const char *expected;
	} cases[] = {
		{NULL, "/ok", test_header, NULL, 200, "hello"},
		{"GET", "/gone", NULL, NULL, 410, "gone"},
		{"POST", "/in", json, "{\"a\":1}", 201, ""},
		{"PUT", "/empty", NULL, "", 204, ""},
		{"HEAD", "/", NULL, NULL, 200, ""},
		{"DELETE", "/x", NULL, NULL, 200, ""},
		{NULL, "/moved", NULL, NULL, 302, ""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		struct http_response response;
		struct http_request request = {.method = cases[i].method,
					       .url = http_peer_url(peer, cases[i].path),
					       .headers = cases[i].headers,
					       .body = cases[i].body,
					       .body_len = cases[i].body ? strlen(cases[i].body) : 0};
		assert_ok(http_fetch(&request, &response, &err), err);
		assert_int_equal(response.status, cases[i].status);
		assert_string_equal(response.body, cases[i].expected);
		if (i == 0)
			assert_string_equal(response.content_type, "text/plain; charset=utf-8");
		else
			assert_null(response.content_type);
		http_response_done(&response);
	}
	http_peer_finish(peer);
}

static void a_unix_socket_is_a_way_too(void **state)
{
	struct fixture *fixture = *state;
	static const struct http_exchange script[] = {{.expect_path = "/v1/runs", .body = "[]"}};
	cleanup_free char *path = path_join(fixture->dir, "s");
	struct http_peer *peer = http_peer_start_unix(path, script, 1);
	cleanup_error struct error *err = NULL;
	struct http_response response;
	struct http_request request = {.url = "http://penstock/v1/runs", .unix_socket = path};
	assert_ok(http_fetch(&request, &response, &err), err);
	assert_string_equal(response.body, "[]");
	http_response_done(&response);
	http_peer_finish(peer);
}

static enum error_code failure(const struct http_request *request)
{
	cleanup_error struct error *err = NULL;
	struct http_response response;

	assert_int_equal(http_fetch(request, &response, &err), -1);
	return error_code_of(err);
}

static void failures_have_their_own_codes(void **state)
{
	(void)state;
	static const struct http_exchange script[] = {
		{.hang = true},
		{.body = "0123456789"},
		{.drop = true},
		{.raw = "SSH-2.0-nonsense\r\n\r\n"},
		{.hang_after = true, .body = "x"},
		{.raw = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"},
	};
	struct http_peer *peer = http_peer_start(script, ARRAY_SIZE(script));
	cleanup_error struct error *err = NULL;
	struct http_response response;
	cleanup_free char *url = xstrdup(http_peer_url(peer, "/x"));
	assert_int_equal(failure(&(struct http_request){.url = url, .timeout_ms = 50}), ERROR_TIMEOUT);
	assert_int_equal(http_fetch(&(struct http_request){.url = url, .max_response = 9}, &response, &err), -1);
	cleanup_free char *text = xasprintf("%s: the answer is longer than 9 bytes", url);
	assert_error(err, ERROR_TOO_LARGE, text);
	assert_int_equal(failure(&(struct http_request){.url = url}), ERROR_PROTOCOL);
	assert_int_equal(failure(&(struct http_request){.url = url}), ERROR_PROTOCOL);
	assert_int_equal(failure(&(struct http_request){.url = url, .timeout_ms = 50}), ERROR_TIMEOUT);
	assert_int_equal(failure(&(struct http_request){.url = url}), ERROR_PROTOCOL);
	http_peer_finish(peer);
	assert_int_equal(failure(&(struct http_request){.url = url}), ERROR_UNAVAILABLE); /* nobody listens any more */
	assert_int_equal(failure(&(struct http_request){.url = "file:///etc/passwd"}), ERROR_INVALID);
	assert_int_equal(failure(&(struct http_request){.url = "ftp://127.0.0.1/"}), ERROR_INVALID);
	assert_int_equal(failure(&(struct http_request){.url = "http://"}), ERROR_INVALID);
	assert_int_equal(failure(&(struct http_request){.url = "http://127.0.0.1/", .unix_socket = "/no/such/socket"}), ERROR_UNAVAILABLE);
}

static int take_three(void *arg, const char *bytes, size_t len)
{
	char *seen = arg;
	size_t n = strlen(seen), room = 63 - n;

	memcpy(seen + n, bytes, len < room ? len : room);
	return strlen(seen) >= 3;
}

static void a_stream_is_handed_on_and_may_be_ended(void **state)
{
	(void)state;
	static const struct http_exchange script[] = {{.body = "abcdef", .hang_after = true}};
	struct http_peer *peer = http_peer_start(script, 1);
	char seen[64] = "";
	cleanup_error struct error *err = NULL;
	struct http_response response;
	struct http_request request = {.url = http_peer_url(peer, "/events"), .on_data = take_three, .on_data_arg = seen};
	assert_ok(http_fetch(&request, &response, &err), err);
	assert_int_equal(response.status, 200);
	assert_memory_equal(seen, "abc", 3);
	assert_string_equal(response.body, "");
	http_response_done(&response);
	http_peer_finish(peer);
}

struct told {
	int answers, errors;
	enum error_code code;
	char body[64];
	struct http_client *client;
	bool free_client;
	const char *then; /* a further URL to ask for from inside the callback */
};

static void tell(void *arg, const struct http_response *response, struct error *err)
{
	struct told *told = arg;

	assert_true((response == NULL) != (err == NULL));
	if (err) {
		told->errors++;
		told->code = error_code_of(err);
	} else {
		told->answers++;
		snprintf(told->body, sizeof(told->body), "%s", response->body);
	}
	if (told->then) {
		struct http_request request = {.url = told->then};
		told->then = NULL;
		http_client_send(told->client, &request, tell, told);
	}
	if (told->free_client) {
		http_client_free(told->client);
		told->client = NULL;
	}
}

static void the_loop_carries_many_at_once(void **state)
{
	(void)state;
	static const struct http_exchange script[] = {{.body = "1"}, {.body = "1"}, {.body = "1"}, {.drop = true}, {.body = "2"}};
	struct http_peer *peer = http_peer_start(script, ARRAY_SIZE(script));
	struct loop *loop CLEANUP(loop_free) = loop_new();
	struct http_client *client = http_client_new(loop);
	struct told told = {.client = client};
	cleanup_free char *url = xstrdup(http_peer_url(peer, "/"));
	char body[] = "gone before it is sent";
	for (int i = 0; i < 4; i++)
		http_client_send(client, &(struct http_request){.method = "POST", .url = url, .body = body, .body_len = strlen(body)}, tell, &told);
	memset(body, 0, sizeof(body)); /* requests are copied */
	assert_int_equal(told.answers + told.errors, 0);
	while (told.answers + told.errors < 4)
		loop_turn(loop);
	assert_int_equal(told.answers, 3);
	assert_int_equal(told.errors, 1);
	assert_int_equal(told.code, ERROR_PROTOCOL);
	assert_non_null(strstr(http_peer_request(peer, 0), "gone before it is sent"));
	struct told next = {.client = client, .then = url};
	http_client_send(client, &(struct http_request){.url = "http://127.0.0.1:1/"}, tell, &next);
	while (next.answers == 0)
		loop_turn(loop);
	assert_int_equal(next.code, ERROR_UNAVAILABLE);
	assert_string_equal(next.body, "2");
	http_client_free(client);
	http_peer_finish(peer);
}

static void bad_requests_are_told_from_the_loop(void **state)
{
	(void)state;
	struct loop *loop CLEANUP(loop_free) = loop_new();
	struct told told = {.client = http_client_new(loop), .free_client = true};
	http_client_send(told.client, &(struct http_request){.url = "gopher://x/"}, tell, &told);
	assert_int_equal(told.errors, 0);
	while (told.errors == 0)
		loop_turn(loop);
	assert_int_equal(told.code, ERROR_INVALID);
	assert_null(told.client); /* freed from inside its own callback */
}

static void freeing_the_client_drops_what_is_in_flight(void **state)
{
	(void)state;
	static const struct http_exchange script[] = {{.hang = true}, {.body = "x"}};
	struct http_peer *peer = http_peer_start(script, 2);
	struct loop *loop CLEANUP(loop_free) = loop_new();
	struct http_client *client = http_client_new(loop), *other = http_client_new(loop);
	struct told never = {0}, told = {0};
	cleanup_free char *url = xstrdup(http_peer_url(peer, "/"));
	http_client_send(client, &(struct http_request){.url = url}, tell, &never);
	while (http_peer_request(peer, 0)[0] == '\0') /* it has arrived */
		uv_run(loop_uv(loop), UV_RUN_NOWAIT);
	http_client_send(other, &(struct http_request){.url = url}, tell, &told);
	http_client_free(client);
	while (told.answers == 0)
		loop_turn(loop);
	assert_int_equal(never.answers + never.errors, 0);
	http_client_free(other);
	http_peer_finish(peer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_is_an_answer_whatever_its_status), TEST(a_unix_socket_is_a_way_too),    TEST(failures_have_their_own_codes),
		TEST(a_stream_is_handed_on_and_may_be_ended),     TEST(the_loop_carries_many_at_once), TEST(bad_requests_are_told_from_the_loop),
		TEST(freeing_the_client_drops_what_is_in_flight),
	};
	return cmocka_run_group_tests(tests, warm_up, NULL);
}
