/* GitHub: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries and /webhook-events-and-payloads */
#include "runner/webhooks/provider.h"

#include "base/alloc.h"
#include "base/digest.h"
#include "runner/git/git.h"

#include <string.h>

#define MAX_ID 128

static bool verify(const struct webhook_request *request, const char *secret)
{
	/* X-Hub-Signature (SHA-1) is sent beside it and is never looked at. */
	return webhook_signature_fits(request->header(request->arg, "X-Hub-Signature-256"), secret, "", request->body, request->len);
}

static int delivery(const struct webhook_request *request, const char **ret, struct error **err)
{
	const char *id = request->header(request->arg, "X-GitHub-Delivery");
	size_t len = id ? strspn(id, "0123456789abcdefABCDEFGHIJKLMNOPQRSTUVWXYZghijklmnopqrstuvwxyz-_") : 0;
	if (len == 0 || len > MAX_ID || id[len])
		return error_set(err, ERROR_INVALID, 0, "X-GitHub-Delivery is missing or malformed");
	*ret = id;
	return 0;
}

/* The id header is not signed: whoever overheard a delivery could send it again under another one. */
static void fingerprint(const struct webhook_request *request, char *ret)
{
	digest_of_bytes(request->body, request->len, ret);
}

static const json_t *in(const json_t *object, const char *key)
{
	return json_object_get(object, key);
}

static int parse_push(const json_t *body, struct webhook_event *ret, struct error **err)
{
	const char *ref, *after;
	if (json_need_string(body, "ref", &ref, err) < 0 || json_need_string(body, "after", &after, err) < 0)
		return -1;
	const json_t *head = in(body, "head_commit");
	const char *author = json_string_or(in(head, "author"), "name", json_string_or(in(body, "pusher"), "name", ""));
	return webhook_parse_push(ref, json_string_or(body, "before", ""), after, author, json_string_or(head, "message", ""), ret, err);
}

/* A fork's commits come under refs/pull/N/head of the base repository: so no other repository is ever asked. */
static int pull_request_facts(const json_t *body, const json_t *pull, json_t **ret, struct error **err)
{
	int64_t number;
	const char *commit, *branch;
	const json_t *head = in(pull, "head"), *base = in(pull, "base");
	if (json_need_int(body, "number", &number, err) < 0 || json_need_string(head, "sha", &commit, err) < 0 ||
	    json_need_string(base, "ref", &branch, err) < 0 || git_check_commit(commit, err) < 0 || git_check_ref(branch, err) < 0)
		return -1;
	if (number <= 0)
		return error_set(err, ERROR_INVALID, 0, "key \"number\": a pull request's number is positive");
	const char *from = json_string_or(in(head, "repo"), "full_name", ""), *to = json_string_or(in(base, "repo"), "full_name", "");
	bool own = from[0] && strcmp(from, to) == 0;
	cleanup_free char *ref = xasprintf("refs/pull/%lld/head", (long long)number);
	*ret = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:I}", "kind", "pull_request", "branch", branch, "tag", "", "ref", ref,
			 "commit", commit, "before", json_string_or(base, "sha", ""), "author",
			 webhook_text(json_string_or(in(pull, "user"), "login", "")), "message", webhook_text(json_string_or(pull, "title", "")),
			 "trusted", own, "number", (json_int_t)number);
	return *ret ? 0 : error_set(err, ERROR_INVALID, 0, "the pull request is not UTF-8 text");
}

static int parse_pull_request(const json_t *body, struct webhook_event *ret, struct error **err)
{
	const char *action;
	const json_t *pull = in(body, "pull_request");
	if (json_need_string(body, "action", &action, err) < 0)
		return -1;
	if (!json_is_object(pull))
		return error_set(err, ERROR_INVALID, 0, "key \"pull_request\": expected an object");
	ret->kind = xstrdup("pull_request");
	if (strcmp(action, "opened") != 0 && strcmp(action, "synchronize") != 0 && strcmp(action, "reopened") != 0) {
		ret->ignored = xasprintf("pull requests that are %s start nothing", action);
		return 0;
	}
	const char *before = json_string_or(in(pull, "base"), "sha", "");
	if (before[0] && git_check_commit(before, err) < 0)
		return error_context(err, "base");
	return pull_request_facts(body, pull, &ret->facts, err) < 0 ? error_context(err, "pull_request") : 0;
}

static int parse(const struct webhook_request *request, struct webhook_event *ret, struct error **err)
{
	const char *event = request->header(request->arg, "X-GitHub-Event");
	cleanup_json json_t *body = NULL;
	if (!event)
		return error_set(err, ERROR_INVALID, 0, "X-GitHub-Event is missing");
	if (json_parse(request->body, request->len, &body, err) < 0)
		return error_context(err, "body");
	if (!json_is_object(body))
		return error_set(err, ERROR_INVALID, 0, "body: expected a JSON object; choose the content type application/json for the webhook");
	if (strcmp(event, "push") == 0)
		return parse_push(body, ret, err);
	if (strcmp(event, "pull_request") == 0)
		return parse_pull_request(body, ret, err);
	ret->kind = xstrdup("ping");
	ret->ignored = strcmp(event, "ping") == 0 ? xstrdup("ping") : xstrdup("only push and pull_request events start something");
	return 0;
}

const struct webhook_ops webhook_github = {
	.name = "github",
	.doc = "GitHub: X-Hub-Signature-256 over the body; events push, pull_request, ping",
	.verify = verify,
	.delivery = delivery,
	.fingerprint = fingerprint,
	.parse = parse,
};
