/* Sending what is spooled, and telling the pusher in plain words how that went. */
#include "base/buf.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/http_client.h"
#include "base/json.h"
#include "base/utf8.h"
#include "runner/hook/hook_priv.h"
#include "runner/webhooks/webhooks.h"

#include <errno.h>
#include <string.h>

enum { BODY_MAX_BYTES = 256 * 1024, ANSWER_MAX_BYTES = 64 * 1024, SEND_TIMEOUT_MS = 10000, WAIT_FOR_OTHERS_MS = 30000, SAID_MAX_BYTES = 300 };

enum answer { ANSWER_TAKEN, ANSWER_REFUSED, ANSWER_NOT_NOW };

/* 401, 400, 404, 413 and their kin stay what they are however often one asks; overload, restarts and gateways pass. */
static enum answer answer_of(long status)
{
	if (status == 200 || status == 202)
		return ANSWER_TAKEN;
	bool passes = status < 400 || status >= 500 || status == 408 || status == 425 || status == 429;
	return passes ? ANSWER_NOT_NOW : ANSWER_REFUSED;
}

/* What a stranger's server or branch name says, on one line of the pusher's terminal. Owned by the caller. */
static char *printable(const char *text)
{
	struct buf out;
	buf_init(&out, SAID_MAX_BYTES + 8);
	for (size_t left = strlen(text); left && out.len < SAID_MAX_BYTES;) {
		uint32_t c;
		size_t n = utf8_decode(text, left, &c);
		if (n == 0 || utf8_is_unprintable(c))
			buf_addc(&out, ' ');
		else
			buf_add(&out, text, n);
		text += n ? n : 1;
		left -= n ? n : 1;
	}
	return buf_steal(&out);
}

/* The error's message in a JSON answer, or else a word for the status. */
static char *reason_of(const struct http_response *response)
{
	static const struct {
		long status;
		const char *text;
	} words[] = {
		{400, "the daemon could not read it"},
		{401, "the secret is not the one the daemon knows for this repository, or the daemon knows no such repository"},
		{404, "there is nothing at this address"},
		{413, "it is too large"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].status == response->status && response->status == 401)
			return xasprintf("%ld: %s", response->status, words[i].text);
	cleanup_json json_t *body = NULL;
	cleanup_error struct error *ignored = NULL;
	if (json_parse(response->body, response->body_len, &body, &ignored) == 0) {
		const char *message = json_string_or(json_object_get(body, "error"), "message", NULL);
		if (message) {
			cleanup_free char *clean = printable(message);
			return xasprintf("%ld: %s", response->status, clean);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].status == response->status)
			return xasprintf("%ld: %s", response->status, words[i].text);
	return xasprintf("it answered %ld", response->status);
}

static void tell_taken(FILE *out, const char *ref, const struct http_response *response)
{
	cleanup_json json_t *body = NULL;
	cleanup_error struct error *ignored = NULL;
	if (json_parse(response->body, response->body_len, &body, &ignored) < 0)
		body = json_object();
	int64_t run = json_int_or(body, "run", 0);
	const char *why = json_string_or(body, "reason", json_string_or(body, "ignored", NULL));
	cleanup_free char *clean = why ? printable(why) : NULL;
	if (run > 0 && json_bool_or(body, "duplicate", false))
		fprintf(out, "penstock: %s: run %lld, which had started already\n", ref, (long long)run);
	else if (run > 0)
		fprintf(out, "penstock: %s: run %lld started\n", ref, (long long)run);
	else
		fprintf(out, "penstock: %s: delivered%s%s\n", ref, clean ? "; nothing to run: " : "", clean ? clean : "");
}

static int send_body(const struct hook_folder *folder, const char *nonce, const char *body, struct http_response *ret, struct error **err)
{
	cleanup_free char *to_sign = xasprintf("%s\n%s", nonce, body);
	char signature[SHA256_HEX_SIZE];
	hmac_sha256_hex(folder->secret, strlen(folder->secret), to_sign, strlen(to_sign), signature);
	cleanup_strlist struct strlist headers = {0};
	strlist_add(&headers, "Content-Type: application/json");
	strlist_addf(&headers, "%s: %s", PENSTOCK_DELIVERY_HEADER, nonce);
	strlist_addf(&headers, "%s: sha256=%s", PENSTOCK_SIGNATURE_HEADER, signature);
	struct http_request request = {.method = "POST",
				       .url = folder->url,
				       .headers = strlist_items(&headers),
				       .body = body,
				       .body_len = strlen(body),
				       .timeout_ms = SEND_TIMEOUT_MS,
				       .max_response = ANSWER_MAX_BYTES};
	return http_fetch(&request, ret, err);
}

static char *ref_of(const char *body)
{
	cleanup_json json_t *json = NULL;
	cleanup_error struct error *ignored = NULL;
	if (json_parse(body, strlen(body), &json, &ignored) < 0)
		return xstrdup("?");
	const char *ref = json_string_or(json, "ref", "?");
	if (strncmp(ref, "refs/heads/", 11) == 0)
		ref += 11;
	else if (strncmp(ref, "refs/", 5) == 0)
		ref += 5;
	return printable(ref);
}

static int forget(const struct hook_folder *folder, const char *path, struct error **err)
{
	if (unlink(path) < 0)
		return error_set(err, ERROR_IO, errno, "remove %s", path);
	return dir_sync(folder->spool, err);
}

/* ret_go_on is false when the rest had better wait. */
static int deliver_one(const struct hook_folder *folder, const char *name, FILE *out, struct hook_result *result, bool *ret_go_on, struct error **err)
{
	cleanup_free char *path = path_join(folder->spool, name), *body = NULL;
	if (file_read(path, BODY_MAX_BYTES, &body, NULL, err) < 0)
		return -1;
	cleanup_free char *ref = ref_of(body), *why = NULL;
	cleanup_error struct error *failure = NULL;
	struct http_response response = {0};
	enum answer answer = ANSWER_NOT_NOW;
	if (send_body(folder, strchr(name, '-') + 1, body, &response, &failure) < 0) {
		why = xasprintf("the daemon is not reachable (%s)", error_message(failure));
	} else {
		answer = answer_of(response.status);
		cleanup_free char *reason = reason_of(&response);
		why = answer == ANSWER_NOT_NOW ? xasprintf("the daemon cannot take it now (%s)", reason) : STEAL(reason);
	}
	int status = 0;
	switch (answer) {
	case ANSWER_TAKEN:
		tell_taken(out, ref, &response);
		result->delivered++;
		status = forget(folder, path, err);
		break;
	case ANSWER_REFUSED:
		fprintf(out,
			"penstock: %s: the daemon refused this push (%s). It is kept; when that is mended, `penstock hook flush --refused %s` sends "
			"it again\n",
			ref, why, folder->repository);
		result->refused++;
		status = hook_refuse(folder, name, why, err);
		break;
	case ANSWER_NOT_NOW:
		fprintf(out, "penstock: %s\n", why);
		*ret_go_on = false;
		break;
	}
	http_response_done(&response);
	return status;
}

static int count_waiting(const struct hook_folder *folder, unsigned *ret, struct error **err)
{
	cleanup_strlist struct strlist names = {0};
	if (hook_names(folder->spool, &names, err) < 0)
		return -1;
	*ret = (unsigned)names.n;
	return 0;
}

static int deliver_all(struct hook_folder *folder, FILE *out, struct hook_result *result, struct error **err)
{
	/* Looks again each time: another push may have spooled meanwhile. */
	for (bool go_on = true; go_on;) {
		cleanup_strlist struct strlist names = {0};
		if (hook_names(folder->spool, &names, err) < 0)
			return -1;
		if (names.n == 0)
			break;
		if (deliver_one(folder, names.items[0], out, result, &go_on, err) < 0)
			return -1;
	}
	return 0;
}

int hook_deliver(struct hook_folder *folder, FILE *out, struct hook_result *ret, struct error **err)
{
	struct hook_result result = {0};
	cleanup_fd int lock = -1;
	cleanup_error struct error *busy = NULL;
	if (hook_lock(folder, "sending", WAIT_FOR_OTHERS_MS, &lock, &busy) < 0) {
		if (error_code_of(busy) != ERROR_UNAVAILABLE)
			return error_move(err, STEAL(busy));
		fprintf(out, "penstock: another push is still being delivered\n");
	} else if (deliver_all(folder, out, &result, err) < 0) {
		return -1;
	}
	if (count_waiting(folder, &result.waiting, err) < 0)
		return -1;
	if (result.waiting)
		fprintf(out, "penstock: %u %s kept and will be sent with the next push or by `penstock hook flush %s`\n", result.waiting,
			result.waiting == 1 ? "delivery is" : "deliveries are", folder->repository);
	*ret = result;
	return 0;
}
