#include "tests/unit/runner/http_fixture.h"

#include "base/digest.h"
#include "runner/secrets.h"
#include "runner/webhooks/provider.h"
#include "runner/webhooks/webhooks.h"

#define SHA "0123456789abcdef0123456789abcdef01234567"
#define ZERO "0000000000000000000000000000000000000000"
#define NONCE "00112233445566778899aabbccddeeff"
#define SECRET "correct horse battery"

static const char push_body[] = "{\"ref\":\"refs/heads/main\",\"before\":\"" ZERO "\",\"after\":\"" SHA
				"\",\"head_commit\":{\"message\":\"better \\u00e4\",\"author\":{\"name\":\"Ann\"}}}";

/* ---- pure: verify and parse ---- */

struct headers {
	const char *const *pairs; /* name, value, ..., NULL */
};

static const char *header_of(const void *arg, const char *name)
{
	for (const char *const *pair = ((const struct headers *)arg)->pairs; *pair; pair += 2)
		if (strcmp(pair[0], name) == 0)
			return pair[1];
	return NULL;
}

static char *sign(const char *secret, const char *prefix, const char *body)
{
	char hex[SHA256_HEX_SIZE];
	cleanup_free char *bytes = xasprintf("%s%s", prefix, body);
	hmac_sha256_hex(secret, strlen(secret), bytes, strlen(bytes), hex);
	return xasprintf("sha256=%s", hex);
}

/* GitHub's own example: docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation". */
static void githubs_published_example_fits(void **state)
{
	(void)state;
	const struct headers headers = {
		(const char *const[]){"X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", NULL}};
	struct webhook_request request = {header_of, &headers, "Hello, World!", 13};
	assert_true(webhook_github.verify(&request, "It's a Secret to Everybody"));
	request.len = 12;
	assert_false(webhook_github.verify(&request, "It's a Secret to Everybody"));
	request.len = 13;
	assert_false(webhook_github.verify(&request, "It's a Secret to Somebody"));
}

static void only_the_exact_signature_fits(void **state)
{
	(void)state;
	cleanup_free char *right = sign(SECRET, "", push_body), *upper = xstrdup(right), *cut = xstrndup(right, strlen(right) - 1);
	cleanup_free char *longer = xasprintf("%s0", right), *bare = xstrdup(right + strlen("sha256=")), *flipped = xstrdup(right);
	cleanup_free char *padded = xasprintf(" %s", right), *foreign = sign("another secret", "", push_body),
			  *nobody = sign("nobody", "", push_body);
	for (char *p = upper + strlen("sha256="); *p; p++)
		if (*p >= 'a')
			*p = (char)(*p - 'a' + 'A');
	flipped[20] = flipped[20] == '0' ? '1' : '0';
	const struct {
		const char *name, *value;
		bool fits;
	} cases[] = {
		{"X-Hub-Signature-256", right, true},
		{"X-Hub-Signature-256", upper, false},
		{"X-Hub-Signature-256", cut, false},
		{"X-Hub-Signature-256", longer, false},
		{"X-Hub-Signature-256", bare, false},
		{"X-Hub-Signature-256", flipped, false},
		{"X-Hub-Signature-256", padded, false},
		{"X-Hub-Signature-256", "", false},
		{"X-Hub-Signature-256", "sha256=", false},
		{"X-Hub-Signature-256", foreign, false},
		{"X-Hub-Signature-256", nobody, false},
		{"X-Hub-Signature", right, false},
		{"X-Hub-Signature", "sha1=0123456789012345678901234567890123456789", false},
		{"X-Other", "x", false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct headers headers = {(const char *const[]){cases[i].name, cases[i].value, NULL}};
		const struct webhook_request request = {header_of, &headers, push_body, strlen(push_body)};
		assert_int_equal(webhook_github.verify(&request, SECRET), cases[i].fits);
	}
}

static void the_nonce_is_signed_with_the_body(void **state)
{
	(void)state;
	cleanup_free char *right = sign(SECRET, NONCE "\n", push_body), *plain = sign(SECRET, "", push_body);
	const struct {
		const char *nonce, *signature;
		bool fits;
	} cases[] = {
		{NONCE, right, true},
		{NONCE, plain, false},
		{"00112233445566778899aabbccddeef0", right, false},
		{"00112233445566778899AABBCCDDEEFF", right, false},
		{"", plain, false},
		{"", right, false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct headers headers = {
			(const char *const[]){PENSTOCK_DELIVERY_HEADER, cases[i].nonce, PENSTOCK_SIGNATURE_HEADER, cases[i].signature, NULL}};
		const struct webhook_request request = {header_of, &headers, push_body, strlen(push_body)};
		assert_int_equal(webhook_penstock.verify(&request, SECRET), cases[i].fits);
	}
}

struct parse_case {
	const char *event, *body;
	const char *facts;   /* or NULL */
	const char *ignored; /* or NULL */
	const char *error;   /* or NULL */
};

static void check_parse(const struct parse_case *c, const struct webhook_ops *ops)
{
	const struct headers headers = {(const char *const[]){"X-GitHub-Event", c->event, NULL}};
	const struct webhook_request request = {header_of, &headers, c->body, strlen(c->body)};
	cleanup_webhook_event struct webhook_event event = {0};
	cleanup_error struct error *err = NULL;
	int parsed = ops->parse(&request, &event, &err);
	if (c->error) {
		assert_int_equal(parsed, -1);
		assert_error(err, ERROR_INVALID, c->error);
		return;
	}
	assert_no_error(err);
	if (c->ignored) {
		assert_string_equal(event.ignored, c->ignored);
		assert_null(event.facts);
		return;
	}
	assert_null(event.ignored);
	cleanup_free char *facts = json_text(event.facts);
	assert_string_equal(facts, c->facts);
}

#define PUSH(ref, before, after) "{\"ref\":\"" ref "\",\"before\":\"" before "\",\"after\":\"" after "\"}"
#define PULL(action, from, to)                                                                                                                       \
	"{\"action\":\"" action "\",\"number\":7,\"pull_request\":{\"title\":\"Try it\",\"user\":{\"login\":\"bob\"},\"head\":{\"sha\":\"" SHA       \
	"\",\"ref\":\"try\",\"repo\":{\"full_name\":\"" from "\"}},\"base\":{\"sha\":\"" SHA "\",\"ref\":\"main\",\"repo\":{\"full_name\":\"" to     \
	"\"}}}}"

static void githubs_events_become_facts(void **state)
{
	(void)state;
	static const struct parse_case cases[] = {
		{.event = "push",
		 .body = push_body,
		 .facts = "{\"author\":\"Ann\",\"before\":\"\",\"branch\":\"main\",\"commit\":\"" SHA
			  "\",\"kind\":\"push\",\"message\":\"better \xc3\xa4\",\"ref\":\"refs/heads/main\",\"tag\":\"\",\"trusted\":true}"},
		{.event = "push",
		 .body = PUSH("refs/tags/v1", ZERO, SHA),
		 .facts = "{\"author\":\"\",\"before\":\"\",\"branch\":\"\",\"commit\":\"" SHA
			  "\",\"kind\":\"tag\",\"message\":\"\",\"ref\":\"refs/tags/v1\",\"tag\":\"v1\",\"trusted\":true}"},
		{.event = "push", .body = PUSH("refs/heads/old", SHA, ZERO), .ignored = "refs/heads/old was deleted"},
		{.event = "push", .body = PUSH("refs/notes/x", SHA, SHA), .ignored = "refs/notes/x is neither a branch nor a tag"},
		{.event = "push",
		 .body = PUSH("refs/heads/--upload-pack=x", ZERO, SHA),
		 .error = "the ref \"refs/heads/--upload-pack=x\" begins with \"-\", like an option"},
		{.event = "push", .body = PUSH("-x", ZERO, SHA), .error = "the ref \"-x\" begins with \"-\", like an option"},
		{.event = "push",
		 .body = PUSH("refs/heads/a..b", ZERO, SHA),
		 .error = "the ref \"refs/heads/a..b\" has characters in it that no branch or tag may have"},
		{.event = "push", .body = PUSH("refs/heads/a\\nb", ZERO, SHA), .error = "the ref \"?\" has blanks or control bytes in it"},
		{.event = "push", .body = PUSH("", ZERO, SHA), .error = "the ref \"\" is empty or too long"},
		{.event = "push", .body = PUSH("refs/heads/main", ZERO, "HEAD"), .error = "after: a commit is 40 lower-case hex digits"},
		{.event = "push", .body = PUSH("refs/heads/main", "--x", SHA), .error = "before: a commit is 40 lower-case hex digits"},
		{.event = "push", .body = "{\"ref\":1,\"after\":\"" SHA "\"}", .error = "key \"ref\": expected a string"},
		{.event = "push", .body = "[]", .error = "body: expected a JSON object; choose the content type application/json for the webhook"},
		{.event = "pull_request",
		 .body = PULL("opened", "acme/fraud", "acme/fraud"),
		 .facts = "{\"author\":\"bob\",\"before\":\"" SHA "\",\"branch\":\"main\",\"commit\":\"" SHA
			  "\",\"kind\":\"pull_request\",\"message\":\"Try "
			  "it\",\"number\":7,\"ref\":\"refs/pull/7/head\",\"tag\":\"\",\"trusted\":true}"},
		{.event = "pull_request",
		 .body = PULL("synchronize", "mallory/fraud", "acme/fraud"),
		 .facts = "{\"author\":\"bob\",\"before\":\"" SHA "\",\"branch\":\"main\",\"commit\":\"" SHA
			  "\",\"kind\":\"pull_request\",\"message\":\"Try "
			  "it\",\"number\":7,\"ref\":\"refs/pull/7/head\",\"tag\":\"\",\"trusted\":false}"},
		{.event = "pull_request", .body = PULL("closed", "a/b", "a/b"), .ignored = "pull requests that are closed start nothing"},
		{.event = "pull_request", .body = "{\"action\":\"opened\"}", .error = "key \"pull_request\": expected an object"},
		{.event = "ping", .body = "{\"zen\":\"x\"}", .ignored = "ping"},
		{.event = "issues", .body = "{}", .ignored = "only push and pull_request events start something"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_parse(&cases[i], &webhook_github);
}

static void every_provider_is_complete(void **state)
{
	(void)state;
	for (size_t i = 0; webhook_providers[i]; i++) {
		const struct webhook_ops *ops = webhook_providers[i];
		assert_true(ops->name && ops->doc && ops->verify && ops->delivery && ops->fingerprint && ops->parse);
		assert_ptr_equal(webhook_provider(ops->name), ops);
		/* Hostile bodies: an error or nothing to do, never more. */
		static const char *const bodies[] = {"", "{", "null", "[[[[", "{\"ref\":{}}", "\xff\xfe", "{\"ref\":\"a\",\"ref\":\"b\"}", "{}"};
		for (size_t b = 0; b < ARRAY_SIZE(bodies); b++) {
			const struct headers headers = {(const char *const[]){"X-GitHub-Event", "push", NULL}};
			const struct webhook_request request = {header_of, &headers, bodies[b], strlen(bodies[b])};
			cleanup_webhook_event struct webhook_event event = {0};
			cleanup_error struct error *err = NULL;
			assert_int_equal(ops->parse(&request, &event, &err), -1);
			assert_int_equal(error_code_of(err), ERROR_INVALID);
			assert_false(ops->verify(&request, SECRET));
		}
	}
	assert_null(webhook_provider("gitlab"));
	assert_null(webhook_provider(NULL));
}

static void a_long_message_is_cut_between_characters(void **state)
{
	(void)state;
	cleanup_free char *text = xmalloc(20001);
	for (size_t i = 0; i < 20000; i += 2)
		memcpy(text + i, "\xc3\xa4", 2);
	text[20000] = '\0';
	cleanup_json json_t *even = webhook_text(text), *odd = webhook_text(text + 0);
	assert_int_equal(json_string_length(even), 16384);
	text[0] = 'x';
	text[1] = 'y';
	memmove(text + 1, text + 2, 19999);
	cleanup_json json_t *shifted = webhook_text(text);
	assert_int_equal(json_string_length(shifted), 16383);
	assert_true(json_equal(even, odd));
}

/* ---- the inbox ---- */

static const char repositories[] = "repositories:\n"
				   "  hub: {url: /nowhere, webhook: {provider: github, secret: hub_hook}}\n"
				   "  own: {url: /nowhere, webhook: {provider: penstock, secret: own_hook}}\n"
				   "  unset: {url: /nowhere, webhook: {provider: github, secret: unset_hook}}\n"
				   "  mute: {url: /nowhere}\n";

static void inbox_open(struct desk *desk, void **state, const struct http_route *routes)
{
	cleanup_error struct error *err = NULL;
	desk_open(desk, state, repositories);
	assert_ok(engine_open(desk->core, &desk->core->engine, &err), err);
	core_event_begin(desk->core);
	assert_ok(secret_set(desk->core, "hub_hook", SECRET, "me", &err), err);
	assert_ok(secret_set(desk->core, "own_hook", SECRET, "me", &err), err);
	core_event_end(desk->core, true);
	core_commit(desk->core);
	desk_listen(desk, routes);
}

/* header lines in the order given; NULL ends them early */
static struct answer post(struct desk *desk, const char *path, const char *body, const char *a, const char *b, const char *c)
{
	const char *const headers[] = {a, b, c, NULL};
	return desk_ask(desk, &(struct http_request){.method = "POST", .body = body, .body_len = strlen(body), .headers = headers}, path);
}

static struct answer post_hub(struct desk *desk, const char *id, const char *event, const char *body)
{
	cleanup_free char *signature = sign(SECRET, "", body), *line = xasprintf("X-Hub-Signature-256: %s", signature);
	cleanup_free char *id_line = xasprintf("X-GitHub-Delivery: %s", id), *event_line = xasprintf("X-GitHub-Event: %s", event);
	return post(desk, "/hooks/hub", body, line, id_line, event_line);
}

static struct answer post_own(struct desk *desk, const char *nonce, const char *body)
{
	cleanup_free char *prefix = xasprintf("%s\n", nonce), *signature = sign(SECRET, prefix, body);
	cleanup_free char *line = xasprintf(PENSTOCK_SIGNATURE_HEADER ": %s", signature), *id = xasprintf(PENSTOCK_DELIVERY_HEADER ": %s", nonce);
	return post(desk, "/hooks/own", body, line, id, NULL);
}

static void expect(struct answer got, long status, const char *body)
{
	if (got.status != status || strcmp(got.body, body) != 0)
		fail_msg("expected %ld %s, got %ld %s", status, body, got.status, got.body);
	answer_done(&got);
}

static void a_push_starts_one_run_however_often_it_comes(void **state)
{
	struct desk desk;
	inbox_open(&desk, state, public_routes);
	expect(post_hub(&desk, "id-1", "push", push_body), 202, "{\"duplicate\":false,\"run\":1}\n");
	expect(post_hub(&desk, "id-1", "push", push_body), 200, "{\"duplicate\":true,\"run\":1}\n");
	expect(post_hub(&desk, "id-2", "push", push_body), 200, "{\"duplicate\":true,\"run\":1}\n"); /* overheard, under another id */
	expect(post_hub(&desk, "id-1", "push", PUSH("refs/heads/dev", ZERO, SHA)), 200, "{\"duplicate\":true,\"run\":1}\n");
	expect(post_hub(&desk, "id-3", "push", PUSH("refs/heads/dev", ZERO, SHA)), 202, "{\"duplicate\":false,\"run\":2}\n");
	assert_int_equal(desk_count(&desk, "SELECT count(*) FROM run"), 2);
	assert_int_equal(desk_count(&desk, "SELECT count(*) FROM delivery"), 2);
	assert_int_equal(desk_count(&desk, "SELECT count(*) FROM event WHERE kind = 'run.created' AND actor = 'webhook:github'"), 2);
	desk_close(&desk);
}

static void our_own_hook_counts_by_nonce(void **state)
{
	struct desk desk;
	inbox_open(&desk, state, public_routes);
	static const char body[] = PUSH("refs/heads/main", ZERO, SHA);
	expect(post_own(&desk, NONCE, body), 202, "{\"duplicate\":false,\"run\":1}\n");
	expect(post_own(&desk, NONCE, body), 200, "{\"duplicate\":true,\"run\":1}\n");
	/* The same push once more, after the branch was put back: a push of its own. */
	expect(post_own(&desk, "00112233445566778899aabbccddee00", body), 202, "{\"duplicate\":false,\"run\":2}\n");
	desk_close(&desk);
}

static void what_is_not_signed_learns_nothing(void **state)
{
	struct desk desk;
	inbox_open(&desk, state, public_routes);
	static const char refused[] = "{\"error\":{\"code\":\"unauthorized\",\"message\":\"the signature does not fit\"}}\n";
	cleanup_free char *right = sign(SECRET, "", push_body), *line = xasprintf("X-Hub-Signature-256: %s", right);
	cleanup_free char *nobody = sign("nobody", "", push_body), *guess = xasprintf("X-Hub-Signature-256: %s", nobody);
	static const char id[] = "X-GitHub-Delivery: x", event[] = "X-GitHub-Event: push";
	expect(post(&desk, "/hooks/hub", push_body, id, event, NULL), 401, refused);
	expect(post(&desk, "/hooks/hub", push_body, "X-Hub-Signature: sha1=0123456789012345678901234567890123456789", id, event), 401, refused);
	expect(post(&desk, "/hooks/hub", "{\"changed\": 1}", line, id, event), 401, refused);
	expect(post(&desk, "/hooks/hub", "not even JSON", guess, id, event), 401, refused);
	expect(post(&desk, "/hooks/nothere", push_body, line, id, event), 401, refused);
	expect(post(&desk, "/hooks/nothere", push_body, guess, id, event), 401, refused);
	expect(post(&desk, "/hooks/unset", push_body, guess, id, event), 401, refused);
	expect(post(&desk, "/hooks/mute", push_body, guess, id, event), 401, refused);
	expect(post(&desk, "/hooks/own", push_body, line, id, event), 401, refused);
	assert_int_equal(desk_count(&desk, "SELECT (SELECT count(*) FROM run) + (SELECT count(*) FROM delivery)"), 0);
	desk_close(&desk);
}

static void signed_nonsense_is_a_400(void **state)
{
	struct desk desk;
	inbox_open(&desk, state, public_routes);
	static const struct {
		const char *id, *event, *body;
	} cases[] = {
		{"a", "push", "{\"ref\":\"refs/heads/main\",\"after"}, /* cut off */
		{"a", "push", ""},
		{"a", "push", "{\"ref\":\"refs/heads/-x\",\"after\":\"" SHA "\"}"},
		{"a", "push", "{\"ref\":\"refs/heads/a..b\",\"after\":\"" SHA "\"}"},
		{"a b", "push", push_body},
		{"", "push", push_body},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_answer struct answer got = post_hub(&desk, cases[i].id, cases[i].event, cases[i].body);
		assert_int_equal(got.status, 400);
		assert_non_null(strstr(got.body, "\"code\":\"invalid\""));
	}
	assert_int_equal(desk_count(&desk, "SELECT (SELECT count(*) FROM run) + (SELECT count(*) FROM delivery)"), 0);
	desk_close(&desk);
}

static void an_oversized_delivery_is_a_413(void **state)
{
	struct desk desk;
	inbox_open(&desk, state, public_routes);
	size_t len = 9 * 1024 * 1024;
	cleanup_free char *large = xmalloc(len + 1);
	memset(large, ' ', len);
	large[len] = '\0';
	cleanup_answer struct answer got = post_hub(&desk, "a", "push", large);
	assert_int_equal(got.status, 413);
	assert_string_equal(got.body, "{\"error\":{\"code\":\"too_large\",\"message\":\"the body is larger than 8388608 bytes\"}}\n");
	desk_close(&desk);
}

static void what_starts_nothing_is_acknowledged(void **state)
{
	struct desk desk;
	inbox_open(&desk, state, public_routes);
	expect(post_hub(&desk, "a", "ping", "{}"), 200, "{\"duplicate\":false,\"ignored\":\"ping\",\"run\":null}\n");
	expect(post_hub(&desk, "b", "push", PUSH("refs/heads/old", SHA, ZERO)), 200,
	       "{\"duplicate\":false,\"ignored\":\"refs/heads/old was deleted\",\"run\":null}\n");
	assert_int_equal(desk_count(&desk, "SELECT (SELECT count(*) FROM run) + (SELECT count(*) FROM delivery)"), 0);
	desk_close(&desk);
}

static void a_fork_is_recorded_and_not_run(void **state)
{
	struct desk desk;
	inbox_open(&desk, state, public_routes);
	expect(post_hub(&desk, "a", "pull_request", PULL("opened", "mallory/fraud", "acme/fraud")), 202, "{\"duplicate\":false,\"run\":1}\n");
	while (!engine_idle(desk.core->engine))
		loop_turn(desk.core->loop);
	assert_int_equal(desk_count(&desk, "SELECT count(*) FROM run WHERE outcome = 'skipped' AND reason LIKE 'it comes from a fork%'"), 1);
	desk_close(&desk);
}

/* Takes it, and then the disk is full: as if killed before the commit. */
static bool disk_is_full;
static int receive_on_a_full_disk(struct http_call *call, struct error **err)
{
	int taken = public_routes[0].handler(call, err);
	if (taken == 0 && disk_is_full)
		desk_poison(http_core(call));
	return taken;
}

static void a_delivery_that_was_not_committed_is_taken_once_when_it_comes_again(void **state)
{
	const struct http_route routes[] = {{"POST", "/hooks/:repository", receive_on_a_full_disk, "x", 0, false}, {.method = NULL}};
	struct desk desk;
	inbox_open(&desk, state, routes);
	disk_is_full = true;
	cleanup_answer struct answer lost = post_hub(&desk, "a", "push", push_body);
	assert_int_equal(lost.status, 503);
	assert_int_equal(desk_count(&desk, "SELECT (SELECT count(*) FROM run) + (SELECT count(*) FROM delivery)"), 0);
	disk_is_full = false;
	expect(post_hub(&desk, "a", "push", push_body), 202, "{\"duplicate\":false,\"run\":1}\n");
	expect(post_hub(&desk, "a", "push", push_body), 200, "{\"duplicate\":true,\"run\":1}\n");
	assert_int_equal(desk_count(&desk, "SELECT count(*) FROM run"), 1);
	desk_close(&desk);
}

static void health_and_metrics_answer(void **state)
{
	struct desk desk;
	inbox_open(&desk, state, public_routes);
	expect(desk_get(&desk, "/healthz"), 200, "{\"open_runs\":0,\"status\":\"ok\"}\n");
	expect(post_hub(&desk, "a", "push", push_body), 202, "{\"duplicate\":false,\"run\":1}\n");
	cleanup_answer struct answer got = desk_get(&desk, "/metrics");
	assert_int_equal(got.status, 200);
	assert_string_equal(got.type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
	assert_non_null(strstr(got.body, "\npenstock_deliveries_stored_total{provider=\"github\"} 1\n"));
	assert_non_null(strstr(got.body, "\npenstock_build_info{version=\"0.2.0\"} 1\n"));
	assert_string_equal(got.body + strlen(got.body) - 6, "# EOF\n");
	desk_close(&desk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(githubs_published_example_fits),
		TEST(only_the_exact_signature_fits),
		TEST(the_nonce_is_signed_with_the_body),
		TEST(githubs_events_become_facts),
		TEST(every_provider_is_complete),
		TEST(a_long_message_is_cut_between_characters),
		TEST(a_push_starts_one_run_however_often_it_comes),
		TEST(our_own_hook_counts_by_nonce),
		TEST(what_is_not_signed_learns_nothing),
		TEST(signed_nonsense_is_a_400),
		TEST(an_oversized_delivery_is_a_413),
		TEST(what_starts_nothing_is_acknowledged),
		TEST(a_fork_is_recorded_and_not_run),
		TEST(a_delivery_that_was_not_committed_is_taken_once_when_it_comes_again),
		TEST(health_and_metrics_answer),
	};
	loop_free(loop_new()); /* libuv keeps a pipe for signals from its first loop on */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
