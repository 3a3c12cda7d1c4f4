#include "runner/webhooks/provider.h"

#include "base/alloc.h"
#include "base/digest.h"
#include "base/utf8.h"
#include "runner/git/git.h"

#include <openssl/crypto.h>
#include <string.h>

#define MAX_TEXT ((size_t)(16 * 1024)) /* of a message: it ends up in the environment of commands, which has a limit */
#define NO_COMMIT "0000000000000000000000000000000000000000"

const struct webhook_ops *const webhook_providers[] = {&webhook_github, &webhook_penstock, NULL};

const struct webhook_ops *webhook_provider(const char *name)
{
	for (size_t i = 0; name && webhook_providers[i]; i++)
		if (strcmp(webhook_providers[i]->name, name) == 0)
			return webhook_providers[i];
	return NULL;
}

void webhook_event_done(struct webhook_event *event)
{
	free(event->kind);
	free(event->ignored);
	json_decref(event->facts);
	*event = (struct webhook_event){0};
}

bool webhook_signature_fits(const char *header, const char *secret, const char *prefix, const char *body, size_t len)
{
	char hex[SHA256_HEX_SIZE], wanted[SIGNATURE_SIZE];
	size_t prefix_len = strlen(prefix);
	cleanup_free char *signed_bytes = prefix_len ? xmalloc(prefix_len + len + 1) : NULL;
	if (signed_bytes) {
		memcpy(signed_bytes, prefix, prefix_len);
		memcpy(signed_bytes + prefix_len, body, len);
	}
	hmac_sha256_hex(secret, strlen(secret), signed_bytes ? signed_bytes : body, prefix_len + len, hex);
	snprintf(wanted, sizeof(wanted), "sha256=%s", hex);
	bool fits = header && strlen(header) == strlen(wanted) && equal_constant_time(header, wanted, strlen(wanted));
	OPENSSL_cleanse(wanted, sizeof(wanted));
	OPENSSL_cleanse(hex, sizeof(hex));
	return fits;
}

json_t *webhook_text(const char *text)
{
	size_t len = strlen(text);
	if (len > MAX_TEXT)
		len = utf8_valid_prefix(text, MAX_TEXT);
	json_t *json = json_stringn(text, len);
	return json ? json : json_string("");
}

static const char *after_prefix(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);
	return strncmp(text, prefix, len) == 0 && text[len] ? text + len : NULL;
}

int webhook_parse_push(const char *ref, const char *before, const char *after, const char *author, const char *message, struct webhook_event *ret,
		       struct error **err)
{
	if (git_check_ref(ref, err) < 0)
		return -1;
	if (git_check_commit(after, err) < 0)
		return error_context(err, "after");
	if (before[0] && git_check_commit(before, err) < 0)
		return error_context(err, "before");
	const char *branch = after_prefix(ref, "refs/heads/"), *tag = after_prefix(ref, "refs/tags/");
	ret->kind = xstrdup(tag ? "tag" : "push");
	if (!branch && !tag)
		ret->ignored = xasprintf("%s is neither a branch nor a tag", ref);
	else if (strcmp(after, NO_COMMIT) == 0)
		ret->ignored = xasprintf("%s was deleted", ref);
	if (ret->ignored)
		return 0;
	ret->facts = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:b}", "kind", ret->kind, "branch", branch ? branch : "", "tag",
			       tag ? tag : "", "ref", ref, "commit", after, "before", strcmp(before, NO_COMMIT) == 0 ? "" : before, "author",
			       webhook_text(author), "message", webhook_text(message), "trusted", 1);
	if (!ret->facts)
		return error_set(err, ERROR_INVALID, 0, "the ref is not UTF-8 text");
	return 0;
}
