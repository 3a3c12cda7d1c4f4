/* The durable inbox: a delivery is answered with 202 only after it and its run are committed; one that came before gets the same run. */
#include "runner/webhooks/webhooks.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "runner/engine.h"
#include "runner/metrics.h"
#include "runner/secrets.h"
#include "runner/webhooks/provider.h"

#include <string.h>

#define MAX_DELIVERY ((size_t)(8 * 1024 * 1024))

DEFINE_CLEANUP(char, secret_wipe);

static const char *header_of(const void *arg, const char *name)
{
	return http_header(arg, name);
}

/* NULL when there is nothing to verify with; the log tells the operator what the sender must not learn. */
static int find_secret(struct core *core, const struct config_repository *repository, char **ret, struct error **err)
{
	if (!repository)
		return 0;
	if (!repository->webhook_secret) {
		log_write(LOG_WARNING, "webhook", "a delivery for %s was refused: its `webhook` names no secret in penstock.yml", repository->name);
		return 0;
	}
	if (secret_get(core, repository->webhook_secret, ret, err) < 0)
		return error_context(err, "secret %s", repository->webhook_secret);
	if (!*ret)
		log_write(LOG_WARNING, "webhook", "a delivery for %s was refused: set its secret with `penstock secret set %s`", repository->name,
			  repository->webhook_secret);
	return 0;
}

static int refuse(struct http_call *call)
{
	return http_reply_json(call, 401, json_pack("{s:{s:s, s:s}}", "error", "code", "unauthorized", "message", "the signature does not fit"));
}

/* 1: this delivery is known, and was answered. */
static int answer_again(struct http_call *call, const char *repository, const char *id, const char *fingerprint, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(http_core(call)->db, &q, err,
		     "SELECT run.id FROM delivery LEFT JOIN run ON run.delivery_row = delivery.id WHERE delivery.repository = ?1 AND "
		     "(delivery.delivery_id = ?2 OR delivery.body_sha256 = ?3) ORDER BY delivery.delivery_id = ?2 DESC, run.id LIMIT 1",
		     "sss", repository, id, fingerprint) < 0)
		return -1;
	int more = db_step(q, err);
	if (more <= 0)
		return more;
	json_t *run = db_is_null(q, 0) ? json_null() : json_integer(db_int(q, 0));
	metrics_count_delivery(DELIVERY_DUPLICATE);
	return http_reply_json(call, 200, json_pack("{s:o, s:b}", "run", run, "duplicate", 1)) < 0 ? -1 : 1;
}

/* The log too tells only what is committed. */
static void tell(struct core *core, void *text)
{
	(void)core;
	log_write(LOG_INFO, "webhook", "%s", (const char *)text);
	free(text);
}

static void forget(struct core *core, void *text)
{
	(void)core;
	free(text);
}

static int store(struct http_call *call, const struct config_repository *repository, const struct webhook_event *event, const char *id,
		 const char *fingerprint, struct error **err)
{
	struct core *core = http_core(call);
	cleanup_free char *facts = json_text(event->facts), *actor = xasprintf("webhook:%s", repository->provider);
	int64_t run_id;
	if (db_run(core->db, err,
		   "INSERT INTO delivery (repository, provider, delivery_id, body_sha256, event, facts, received_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
		   "ssssssi", repository->name, repository->provider, id, fingerprint, event->kind, facts, clock_wall_ms()) < 0)
		return -1;
	const struct run_request request = {
		.repository = repository->name, .delivery_row = db_last_id(core->db), .facts = event->facts, .actor = actor};
	if (engine_create_run(core->engine, &request, &run_id, err) < 0)
		return -1;
	core_effect(core, tell, forget, xasprintf("%s: delivery %s started run %lld", repository->name, id, (long long)run_id));
	metrics_count_delivery(DELIVERY_ACCEPTED);
	return http_reply_json(call, 202, json_pack("{s:I, s:b}", "run", (json_int_t)run_id, "duplicate", 0));
}

static int take(struct http_call *call, const struct config_repository *repository, const struct webhook_ops *provider,
		const struct webhook_request *request, struct error **err)
{
	const char *id;
	char fingerprint[DIGEST_SIZE];
	cleanup_webhook_event struct webhook_event event = {0};
	if (provider->delivery(request, &id, err) < 0)
		return -1;
	provider->fingerprint(request, fingerprint);
	int known = answer_again(call, repository->name, id, fingerprint, err);
	if (known != 0)
		return known < 0 ? -1 : 0;
	if (provider->parse(request, &event, err) < 0)
		return -1;
	if (event.ignored) {
		metrics_count_delivery(DELIVERY_IGNORED);
		return http_reply_json(call, 200, json_pack("{s:n, s:b, s:s}", "run", "duplicate", 0, "ignored", event.ignored));
	}
	return store(call, repository, &event, id, fingerprint, err);
}

/* An unknown repository is answered as a forged signature, after the same work: whoever asks learns nothing. */
static int receive(struct http_call *call, struct error **err)
{
	struct core *core = http_core(call);
	const struct config_repository *repository = config_repository(core->config, http_param(call, "repository"));
	const struct webhook_ops *provider = webhook_provider(repository ? repository->provider : NULL);
	CLEANUP(secret_wipe) char *secret = NULL;
	struct webhook_request request = {.header = header_of, .arg = call};
	request.body = http_body(call, &request.len);
	if (find_secret(core, repository, &secret, err) < 0)
		return -1;
	bool fits = (provider ? provider : webhook_providers[0])->verify(&request, secret ? secret : "nobody");
	if (!fits || !secret || !provider) {
		metrics_count_delivery(DELIVERY_FORGED);
		return refuse(call);
	}
	if (take(call, repository, provider, &request, err) < 0) {
		if (err && *err && error_http_status(*err) < 500)
			metrics_count_delivery(DELIVERY_INVALID);
		return -1;
	}
	return 0;
}

static int healthz(struct http_call *call, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(http_core(call)->db, &q, err, "SELECT count(*) FROM run WHERE state <> 'finished'", "") < 0 || db_step(q, err) < 0)
		return -1;
	return http_reply_json(call, 200, json_pack("{s:s, s:I}", "status", "ok", "open_runs", (json_int_t)db_int(q, 0)));
}

static int metrics(struct http_call *call, struct error **err)
{
	cleanup_free char *text = NULL;
	if (metrics_text(http_core(call), &text, err) < 0)
		return -1;
	return http_reply_text(call, 200, METRICS_CONTENT_TYPE, text);
}

const struct http_route public_routes[] = {
	{"POST", "/hooks/:repository", receive, "a webhook delivery; 202 once it is stored", MAX_DELIVERY, false},
	{"GET", "/healthz", healthz, "200 while the database answers", 0, true},
	{"GET", "/metrics", metrics, "OpenMetrics", 0, true},
	{NULL, NULL, NULL, NULL, 0, false},
};
