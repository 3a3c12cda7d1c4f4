#include "runner/hook/hook.h"

#include "base/alloc.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/loop.h"
#include "runner/git/git.h"
#include "tests/support/http_peer.h"
#include "tests/support/support.h"

#include <git2.h>
#include <string.h>
#include <sys/stat.h>

#define SECRET "a secret of the hook"
#define ZERO "0000000000000000000000000000000000000000"
#define SOME "1111111111111111111111111111111111111111"

/* libgit2, libcurl and libuv keep descriptors from their first use on. */
static int warm_up(void **state)
{
	(void)state;
	git_init();
	loop_free(loop_new());
	return 0;
}

static char *make_repository(const struct fixture *fixture)
{
	char *path = path_join(fixture->dir, "model's.git");
	git_repository *repository = NULL;
	assert_int_equal(git_repository_init(&repository, path, 1), 0);
	git_repository_free(repository);
	return path;
}

/* An empty commit; its id is written to ret. */
static void make_commit(const char *path, const char *message, char ret[GIT_OID_HEXSZ + 1])
{
	git_repository *repository = NULL;
	git_treebuilder *builder = NULL;
	git_tree *tree = NULL;
	git_signature *who = NULL;
	git_oid tree_id, commit_id;
	assert_int_equal(git_repository_open(&repository, path), 0);
	assert_int_equal(git_treebuilder_new(&builder, repository, NULL), 0);
	assert_int_equal(git_treebuilder_write(&tree_id, builder), 0);
	assert_int_equal(git_tree_lookup(&tree, repository, &tree_id), 0);
	assert_int_equal(git_signature_new(&who, "Ada", "ada@example.org", 0, 0), 0);
	assert_int_equal(git_commit_create(&commit_id, repository, NULL, who, who, NULL, message, tree, 0, NULL), 0);
	git_oid_tostr(ret, GIT_OID_HEXSZ + 1, &commit_id);
	git_signature_free(who);
	git_tree_free(tree);
	git_treebuilder_free(builder);
	git_repository_free(repository);
}

static struct hook_folder *install(const char *repository, const char *url)
{
	cleanup_error struct error *err = NULL;
	cleanup_free char *note = NULL;
	struct hook_install what = {.repository = repository, .url = url, .secret = SECRET, .executable = "/opt/pen stock/it's"};
	assert_ok(hook_install(&what, &note, &err), err);
	assert_null(note);
	struct hook_folder *folder = NULL;
	assert_ok(hook_open(repository, &folder, &err), err);
	assert_string_equal(hook_url(folder), url);
	assert_true(hook_is_called(folder));
	return folder;
}

/* Delivers; what was said is owned by the caller. */
static char *deliver(struct hook_folder *folder, struct hook_result *ret)
{
	cleanup_error struct error *err = NULL;
	char *said = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&said, &len);
	assert_non_null(out);
	assert_ok(hook_deliver(folder, out, ret, &err), err);
	fclose(out);
	return said;
}

static void spool(struct hook_folder *folder, const char *ref, const char *after)
{
	cleanup_error struct error *err = NULL;
	assert_ok(hook_spool(folder, ref, ZERO, after, &err), err);
}

static void the_hook_is_written_for_sh_and_its_secret_for_its_owner_alone(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *repository = make_repository(fixture);
	hook_close(install(repository, "http://127.0.0.1:1/hooks/model"));
	cleanup_free char *path = path_join(repository, "hooks/post-receive"), *secret = path_join(repository, "penstock/secret"), *text = NULL;
	cleanup_error struct error *err = NULL;
	struct stat info;
	assert_ok(file_read(path, 10000, &text, NULL, &err), err);
	assert_non_null(strstr(text, "penstock='/opt/pen stock/it'\\''s'\n"));
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0755);
	assert_int_equal(stat(secret, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	free(text);
	text = NULL;
	assert_ok(file_read(secret, 10000, &text, NULL, &err), err);
	assert_string_equal(text, SECRET);
}

static void what_cannot_be_installed_is_told(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *repository = make_repository(fixture), *plain = path_join(fixture->dir, "plain");
	free(fixture_write(fixture, "plain/file", ""));
	static const char *const urls[] = {
		"127.0.0.1/hooks/x",  "http:///hooks/x",   "http://h/hooks/", "http://h/x", "http://h/hooks/a b", "ftp://h/hooks/x", "",
		"http://h/hooks/x?y", "http://h/hooks/x/y"};
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		cleanup_error struct error *err = NULL;
		cleanup_free char
			*note = NULL,
			*text = xasprintf(
				"\"%s\" is no webhook address; it looks like http://127.0.0.1:8080/hooks/NAME, where NAME is the repository's in "
				"penstock.yml",
				urls[i]);
		struct hook_install what = {.repository = repository, .url = urls[i], .secret = "x", .executable = "/x"};
		assert_int_equal(hook_install(&what, &note, &err), -1);
		assert_error(err, ERROR_INVALID, text);
	}
	cleanup_free char *note = NULL;
	cleanup_error struct error *user = NULL, *empty = NULL, *none = NULL, *no_hook = NULL;
	struct hook_install what = {.repository = repository, .url = "http://me:pw@h/hooks/x", .secret = "x", .executable = "/x"};
	assert_int_equal(hook_install(&what, &note, &user), -1);
	assert_error(user, ERROR_INVALID, "the URL has a user in it; the secret is what proves who calls");
	what.url = "http://h/hooks/x";
	what.secret = "";
	assert_int_equal(hook_install(&what, &note, &empty), -1);
	assert_error(empty, ERROR_INVALID, "the secret is empty");
	what.secret = "x";
	what.repository = plain;
	assert_int_equal(hook_install(&what, &note, &none), -1);
	assert_error(none, ERROR_NOT_FOUND, fixture_text(fixture, "%s/plain is no git repository"));
	struct hook_folder *folder;
	assert_int_equal(hook_open(repository, &folder, &no_hook), -1);
	assert_error(no_hook, ERROR_NOT_FOUND,
		     fixture_text(fixture, "%s/model's.git has no hook of Penstock's; `penstock hook install` puts one there"));
}

static void another_hook_is_replaced_only_by_force_and_kept(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *repository = make_repository(fixture);
	free(fixture_write(fixture, "model's.git/hooks/post-receive", "#!/bin/sh\necho mine\n"));
	cleanup_free char *aside = path_join(repository, "hooks/post-receive.before-penstock"), *text = NULL, *note = NULL, *again = NULL;
	struct hook_install what = {.repository = repository, .url = "http://h/hooks/x", .secret = "x", .executable = "/x"};
	cleanup_error struct error *refused = NULL, *err = NULL;
	assert_int_equal(hook_install(&what, &note, &refused), -1);
	assert_int_equal(error_code_of(refused), ERROR_CONFLICT);
	assert_non_null(strstr(error_message(refused), "post-receive exists and is not Penstock's; --force replaces it"));
	what.force = true;
	assert_ok(hook_install(&what, &note, &err), err);
	assert_non_null(strstr(note, "is kept as"));
	assert_ok(file_read(aside, 1000, &text, NULL, &err), err);
	assert_string_equal(text, "#!/bin/sh\necho mine\n");
	what.force = false;
	assert_ok(hook_install(&what, &again, &err), err); /* ours is replaced without asking */
	assert_null(again);
}

static void a_delivery_is_signed_with_its_nonce_and_says_who_and_what(void **state)
{
	struct fixture *fixture = *state;
	static const struct http_exchange script[] = {
		{.expect_method = "POST", .expect_path = "/hooks/model", .status = 202, .body = "{\"run\": 12, \"duplicate\": false}"},
	};
	struct http_peer *peer = http_peer_start(script, ARRAY_SIZE(script));
	cleanup_free char *repository = make_repository(fixture);
	CLEANUP(hook_close) struct hook_folder *folder = install(repository, http_peer_url(peer, "/hooks/model"));
	char commit[GIT_OID_HEXSZ + 1];
	make_commit(repository, "Train \"longer\"\n\n$(reboot)\n", commit);
	spool(folder, "refs/heads/main", commit);
	struct hook_result result;
	cleanup_free char *said = deliver(folder, &result);
	assert_string_equal(said, "penstock: main: run 12 started\n");
	assert_int_equal(result.delivered, 1);
	assert_int_equal(result.waiting, 0);

	const char *request = http_peer_request(peer, 0), *body = strstr(request, "\r\n\r\n");
	cleanup_free char *expected = xasprintf("\r\n\r\n{\"after\":\"%s\",\"author\":\"Ada <ada@example.org>\",\"before\":\"" ZERO
						"\",\"message\":\"Train \\\"longer\\\"\\n\\n$(reboot)\\n\",\"ref\":\"refs/heads/main\"}",
						commit);
	assert_string_equal(body, expected);
	const char *nonce = strstr(request, "X-Penstock-Delivery: ");
	assert_non_null(nonce);
	nonce += strlen("X-Penstock-Delivery: ");
	assert_int_equal(strspn(nonce, "0123456789abcdef"), 32);
	cleanup_free char *to_sign = xasprintf("%.32s\n%s", nonce, body + 4);
	char signature[SHA256_HEX_SIZE];
	hmac_sha256_hex(SECRET, strlen(SECRET), to_sign, strlen(to_sign), signature);
	cleanup_free char *header = xasprintf("X-Penstock-Signature: sha256=%s\r\n", signature);
	assert_non_null(strstr(request, header));
	http_peer_finish(peer);
}

static void what_is_not_answered_stays_and_goes_out_in_order_under_the_same_nonce(void **state)
{
	struct fixture *fixture = *state;
	static const struct http_exchange script[] = {
		{.expect_method = "POST", .drop = true},
		{.status = 503, .body = "{\"error\": {\"code\": \"unavailable\", \"message\": \"the disk is full\"}}"},
		{.status = 200, .body = "{\"run\": 1, \"duplicate\": true}"},
		{.status = 202, .body = "{\"run\": 2, \"duplicate\": false}"},
		{.status = 202, .body = "{\"run\": null, \"reason\": \"no pipeline listens to tags\"}"},
	};
	struct http_peer *peer = http_peer_start(script, ARRAY_SIZE(script));
	cleanup_free char *repository = make_repository(fixture);
	CLEANUP(hook_close) struct hook_folder *folder = install(repository, http_peer_url(peer, "/hooks/model"));
	spool(folder, "refs/heads/a", SOME);
	spool(folder, "refs/heads/b", SOME);
	struct hook_result result;
	cleanup_free char *dropped = deliver(folder, &result);
	assert_int_equal(result.waiting, 2);
	assert_non_null(strstr(dropped, "penstock: the daemon is not reachable ("));
	assert_non_null(strstr(dropped, "penstock: 2 deliveries are kept and will be sent with the next push or by `penstock hook flush "));
	cleanup_free char *full = deliver(folder, &result);
	assert_non_null(strstr(full, "penstock: the daemon cannot take it now (503: the disk is full)\n"));
	spool(folder, "refs/tags/v1", SOME);
	cleanup_free char *said = deliver(folder, &result);
	assert_string_equal(said, "penstock: a: run 1, which had started already\npenstock: b: run 2 started\n"
				  "penstock: tags/v1: delivered; nothing to run: no pipeline listens to tags\n");
	assert_int_equal(result.delivered, 3);
	const char *first = strstr(http_peer_request(peer, 0), "X-Penstock-Delivery: "),
		   *last = strstr(http_peer_request(peer, 2), "X-Penstock-Delivery: ");
	assert_non_null(first);
	assert_non_null(last);
	assert_memory_equal(first, last, strlen("X-Penstock-Delivery: ") + 32);
	http_peer_finish(peer);
}

static void see_refused(void *arg, const char *name, const char *ref, const char *why)
{
	char **seen = arg;
	(void)name;
	*seen = xasprintf("%s: %s", ref, why ? why : "waits");
}

static void a_refused_delivery_does_not_block_the_rest_and_can_be_sent_again(void **state)
{
	struct fixture *fixture = *state;
	static const long statuses[] = {400, 401, 404, 413};
	static const char *const reasons[] = {
		"400: the ref is bad", "401: the secret is not the one the daemon knows for this repository, or the daemon knows no such repository",
		"404: there is nothing at this address", "413: it is too large"};
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct http_exchange script[] = {
			{.status = (int)statuses[i], .body = i == 0 ? "{\"error\": {\"message\": \"the ref is\\u0007bad\"}}" : "no"},
			{.status = 202, .body = "{\"run\": 5}"},
			{.status = 202, .body = "{\"run\": 6}"},
		};
		struct http_peer *peer = http_peer_start(script, ARRAY_SIZE(script));
		cleanup_free char *repository = make_repository(fixture), *listed = NULL;
		cleanup_error struct error *err = NULL;
		CLEANUP(hook_close) struct hook_folder *folder = install(repository, http_peer_url(peer, "/hooks/model"));
		spool(folder, "refs/heads/bad", SOME);
		spool(folder, "refs/heads/good", SOME);
		struct hook_result result;
		cleanup_free char *said = deliver(folder, &result);
		cleanup_free char *expected =
			xasprintf("penstock: bad: the daemon refused this push (%s). It is kept; when that is mended, `penstock hook flush "
				  "--refused %s` sends it again\npenstock: good: run 5 started\n",
				  reasons[i], repository);
		assert_string_equal(said, expected);
		assert_int_equal(result.refused, 1);
		assert_int_equal(result.delivered, 1);
		assert_int_equal(result.waiting, 0);
		assert_ok(hook_list(folder, see_refused, &listed, &result, &err), err);
		cleanup_free char *line = xasprintf("refs/heads/bad: %s", reasons[i]);
		assert_string_equal(listed, line);
		unsigned again = 0;
		assert_ok(hook_retry_refused(folder, &again, &err), err);
		assert_int_equal(again, 1);
		cleanup_free char *later = deliver(folder, &result);
		assert_string_equal(later, "penstock: bad: run 6 started\n");
		assert_ok(hook_list(folder, NULL, NULL, &result, &err), err);
		assert_int_equal(result.refused + result.waiting, 0);
		http_peer_finish(peer);
		assert_ok(tree_remove(repository, &err), err);
	}
}

static void a_half_written_spool_file_is_not_sent(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *repository = make_repository(fixture);
	CLEANUP(hook_close) struct hook_folder *folder = install(repository, "http://127.0.0.1:1/hooks/model");
	free(fixture_write(fixture, "model's.git/penstock/spool/.000000000001-00000000000000000000000000000000.new", "{"));
	struct hook_result result;
	cleanup_free char *said = deliver(folder, &result);
	assert_string_equal(said, "");
	assert_int_equal(result.waiting, 0);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		WITH(the_hook_is_written_for_sh_and_its_secret_for_its_owner_alone),
		WITH(what_cannot_be_installed_is_told),
		WITH(another_hook_is_replaced_only_by_force_and_kept),
		WITH(a_delivery_is_signed_with_its_nonce_and_says_who_and_what),
		WITH(what_is_not_answered_stays_and_goes_out_in_order_under_the_same_nonce),
		WITH(a_refused_delivery_does_not_block_the_rest_and_can_be_sent_again),
		WITH(a_half_written_spool_file_is_not_sent),
	};
	return cmocka_run_group_tests_name("hook", tests, warm_up, NULL);
}
