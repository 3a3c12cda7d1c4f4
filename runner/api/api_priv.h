/* Inside runner/api only: the handlers of the table in routes.c, and what they share. */
#ifndef RUNNER_API_API_PRIV_H
#define RUNNER_API_API_PRIV_H

#include "runner/api/api.h"

/* ---- runs.c ---- */
int api_list_runs(struct http_call *call, struct error **err);
int api_get_run(struct http_call *call, struct error **err);
/* ---- run_commands.c ---- */
int api_create_run(struct http_call *call, struct error **err);
int api_cancel_run(struct http_call *call, struct error **err);
int api_retry_run(struct http_call *call, struct error **err);
/* ---- logs.c ---- */
int api_get_log(struct http_call *call, struct error **err);
/* ---- events.c ---- */
int api_list_events(struct http_call *call, struct error **err);
/* ---- live.c ---- */
int api_list_releases(struct http_call *call, struct error **err);
int api_list_targets(struct http_call *call, struct error **err);
int api_list_rollouts(struct http_call *call, struct error **err);
int api_get_rollout(struct http_call *call, struct error **err);
int api_command_target(struct http_call *call, struct error **err);
int api_list_observations(struct http_call *call, struct error **err);
/* ---- secret_names.c ---- */
int api_list_secrets(struct http_call *call, struct error **err);
int api_put_secret(struct http_call *call, struct error **err);
int api_delete_secret(struct http_call *call, struct error **err);

/* ---- arguments.c ---- */
/* The path part :id as a positive number; INVALID otherwise. */
int api_id(const struct http_call *call, const char *what, int64_t *ret, struct error **err) must_check;
/* A query parameter as a number of at most `max`; the fallback if it is not given. */
int api_number(const struct http_call *call, const char *name, int64_t fallback, int64_t max, int64_t *ret, struct error **err) must_check;
bool api_flag(const struct http_call *call, const char *name); /* "1", "true" */
/* The body as an object of these keys ("repository branch commit"); an empty body is {}. Unknown keys are INVALID. */
int api_body(const struct http_call *call, const char *keys, json_t **ret, struct error **err) must_check;
/* 404 if there is no such run. */
int api_need_run(struct core *core, int64_t run_id, struct error **err) must_check;
/* Text of ours or from outside; what is not UTF-8 is shown as such. NULL gives null. */
json_t *api_text(const char *text);
/* A column that may be NULL, as a number or null. */
json_t *api_number_or_null(const struct db_stmt *q, int column);
/* Steals the value. */
void api_set(json_t *object, const char *key, json_t *value);
#endif
