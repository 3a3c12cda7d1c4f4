/* The durable inbox and what else is served over TCP: webhooks, /healthz, /metrics (docs/webhooks.md). */
#ifndef RUNNER_WEBHOOKS_WEBHOOKS_H
#define RUNNER_WEBHOOKS_WEBHOOKS_H
#include "runner/http/http.h"
extern const struct http_route public_routes[]; /* ends with a NULL method */

/* Penstock's own hook: POST /hooks/<repository> with headers
 *   X-Penstock-Delivery: <nonce, 32 hex digits>         the delivery id
 *   X-Penstock-Signature: sha256=<hex HMAC-SHA256 over "<nonce>\n<raw body>">
 * and the body {"ref": "refs/heads/main", "before": sha, "after": sha, "author": "...", "message": "..."} */
#define PENSTOCK_DELIVERY_HEADER "X-Penstock-Delivery"
#define PENSTOCK_SIGNATURE_HEADER "X-Penstock-Signature"
#endif
