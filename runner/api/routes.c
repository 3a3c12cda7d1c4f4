#include "runner/api/api_priv.h"

enum { MAX_SECRET = 64 * 1024, MAX_COMMAND = 16 * 1024 };

const struct http_route api_routes[] = {
	{"GET", "/v1/runs", api_list_runs, "runs, newest first (?limit, ?repository, ?branch, ?state)", .read_only = true},
	{"POST", "/v1/runs", api_create_run, "starts a run by hand {repository, branch, commit, inputs}", .max_body = MAX_COMMAND},
	{"GET", "/v1/runs/:id", api_get_run, "one run with its stages, its rollout and its pipeline's mistakes", .read_only = true},
	{"GET", "/v1/runs/:id/log", api_get_log, "its logs as plain text (?stage, ?follow=1)", .read_only = true},
	{"POST", "/v1/runs/:id/cancel", api_cancel_run, "cancels it", .max_body = MAX_COMMAND},
	{"POST", "/v1/runs/:id/retry", api_retry_run, "runs it once more {from: STAGE}", .max_body = MAX_COMMAND},
	{"GET", "/v1/releases", api_list_releases, "releases, newest first (?limit, ?repository)", .read_only = true},
	{"GET", "/v1/targets", api_list_targets, "what is live where, read back from the targets", .read_only = true},
	{"POST", "/v1/targets/:name/:command", api_command_target, "promote, rollback, pause or resume", .max_body = MAX_COMMAND},
	{"GET", "/v1/rollouts", api_list_rollouts, "rollouts, newest first (?target)", .read_only = true},
	{"GET", "/v1/rollouts/:id", api_get_rollout, "one rollout", .read_only = true},
	{"GET", "/v1/rollouts/:id/observations", api_list_observations, "all that its decisions were made of (?after, ?limit)", .read_only = true},
	{"GET", "/v1/secrets", api_list_secrets, "names of the secrets, never their values", .read_only = true},
	{"PUT", "/v1/secrets/:name", api_put_secret, "saves the body as the secret's value", .max_body = MAX_SECRET},
	{"DELETE", "/v1/secrets/:name", api_delete_secret, "forgets a secret", .max_body = MAX_COMMAND},
	{"GET", "/v1/events", api_list_events, "the audit log, one JSON object a line (?after, ?run, ?subject, ?follow=1)", .read_only = true},
	{.method = NULL},
};
