/* What a webhook provider is: how its deliveries are signed and what their bodies say. Pure: tables of cases test it, fuzzers drive it. */
#ifndef RUNNER_WEBHOOKS_PROVIDER_H
#define RUNNER_WEBHOOKS_PROVIDER_H

#include "base/json.h"

struct webhook_request {
	const char *(*header)(const void *arg, const char *name); /* NULL: not there */
	const void *arg;
	const char *body;
	size_t len;
};

/* What a verified delivery says. Owned by whoever parsed it: webhook_event_done(). */
struct webhook_event {
	char *kind;    /* "push", "tag", "pull_request", "ping" */
	char *ignored; /* why nothing follows from it, or NULL */
	json_t *facts; /* as in runner/facts.h; NULL when ignored */
};
void webhook_event_done(struct webhook_event *event);
static inline void webhook_event_scoped(struct webhook_event *event)
{
	webhook_event_done(event);
}
#define cleanup_webhook_event __attribute__((cleanup(webhook_event_scoped)))

struct webhook_ops {
	const char *name, *doc;
	/* Signed with this secret? In constant time, before anything is parsed. No reason is given. */
	bool (*verify)(const struct webhook_request *request, const char *secret);
	/* The delivery's id; INVALID if it is missing or malformed. Borrowed from the request. */
	int (*delivery)(const struct webhook_request *request, const char **ret, struct error **err);
	/* The SHA-256 by which a delivery sent again under another id is known. */
	void (*fingerprint)(const struct webhook_request *request, char *ret /* DIGEST_SIZE */);
	int (*parse)(const struct webhook_request *request, struct webhook_event *ret, struct error **err);
};
extern const struct webhook_ops *const webhook_providers[]; /* ends with NULL */
const struct webhook_ops *webhook_provider(const char *name);

/* ---- for those who implement a provider ---- */

extern const struct webhook_ops webhook_github, webhook_penstock;
#define SIGNATURE_SIZE 72 /* "sha256=" and 64 lower-case hex digits, NUL */
/* Is `header` exactly "sha256=<hex>" of the HMAC over prefix and body? A NULL header is not. */
bool webhook_signature_fits(const char *header, const char *secret, const char *prefix, const char *body, size_t len);
/* Reads ref, before, after: checked, and turned into kind and facts; or ignored (a deleted ref, one that is neither branch nor tag). */
int webhook_parse_push(const char *ref, const char *before, const char *after, const char *author, const char *message, struct webhook_event *ret,
		       struct error **err);
/* A string for the facts: at most 16 KiB, cut between characters. */
json_t *webhook_text(const char *text);
#endif
