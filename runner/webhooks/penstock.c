/* Penstock's own hook (webhooks.h): the nonce is signed with the body and is the delivery's id. */
#include "runner/webhooks/provider.h"

#include "base/alloc.h"
#include "base/digest.h"
#include "runner/webhooks/webhooks.h"

#include <string.h>

enum { NONCE_DIGITS = 32 };

static const char *nonce_of(const struct webhook_request *request)
{
	const char *nonce = request->header(request->arg, PENSTOCK_DELIVERY_HEADER);
	return nonce && strlen(nonce) == NONCE_DIGITS && strspn(nonce, "0123456789abcdef") == NONCE_DIGITS ? nonce : NULL;
}

static bool verify(const struct webhook_request *request, const char *secret)
{
	const char *nonce = nonce_of(request);
	char prefix[NONCE_DIGITS + 2];
	snprintf(prefix, sizeof(prefix), "%s\n", nonce ? nonce : "");
	bool fits = webhook_signature_fits(request->header(request->arg, PENSTOCK_SIGNATURE_HEADER), secret, prefix, request->body, request->len);
	return fits && nonce;
}

static int delivery(const struct webhook_request *request, const char **ret, struct error **err)
{
	const char *nonce = nonce_of(request);
	if (!nonce)
		return error_set(err, ERROR_INVALID, 0, "%s is missing or malformed", PENSTOCK_DELIVERY_HEADER);
	*ret = nonce;
	return 0;
}

/* The nonce belongs to it: to push A, go back to B, and push A again gives the same body twice, and both pushes count. */
static void fingerprint(const struct webhook_request *request, char *ret)
{
	struct sha256 *hash = sha256_new();
	uint8_t raw[SHA256_BYTES];
	const char *nonce = nonce_of(request);
	sha256_update(hash, nonce ? nonce : "", nonce ? NONCE_DIGITS : 0);
	sha256_update(hash, "\n", 1);
	sha256_update(hash, request->body, request->len);
	sha256_final(hash, raw);
	sha256_free(hash);
	digest_from_raw(raw, ret);
}

static int parse(const struct webhook_request *request, struct webhook_event *ret, struct error **err)
{
	cleanup_json json_t *body = NULL;
	const char *ref, *after;
	if (json_parse(request->body, request->len, &body, err) < 0)
		return error_context(err, "body");
	if (!json_is_object(body))
		return error_set(err, ERROR_INVALID, 0, "body: expected a JSON object");
	if (json_need_string(body, "ref", &ref, err) < 0 || json_need_string(body, "after", &after, err) < 0)
		return -1;
	return webhook_parse_push(ref, json_string_or(body, "before", ""), after, json_string_or(body, "author", ""),
				  json_string_or(body, "message", ""), ret, err);
}

const struct webhook_ops webhook_penstock = {
	.name = "penstock",
	.doc = "Penstock's post-receive hook (`penstock hook install`): " PENSTOCK_SIGNATURE_HEADER " over nonce and body; one ref a delivery",
	.verify = verify,
	.delivery = delivery,
	.fingerprint = fingerprint,
	.parse = parse,
};
