/* The API through a real server on a Unix socket, with a real engine behind it; rows are made by hand, so that each is known. */
#include "tests/support/support.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/http_client.h"
#include "runner/api/api.h"
#include "runner/engine.h"
#include "runner/secrets.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct desk {
	struct config *config;
	struct core *core;
	struct http_server *server;
	struct http_client *client;
};

static void desk_open(struct desk *desk, void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *path = xasprintf("%s/state", fixture->dir);
	cleanup_error struct error *err = NULL;
	*desk = (struct desk){.config = config_local(path)};
	assert_ok(core_open(desk->config, &desk->core, &err), err);
	assert_ok(engine_open(desk->core, &desk->core->engine, &err), err);
	assert_ok(http_listen_unix(desk->core, desk->config->socket, api_routes, &desk->server, &err), err);
	desk->client = http_client_new(desk->core->loop);
}

static void close_engine(struct desk *desk)
{
	if (desk->core->engine)
		engine_close(desk->core->engine);
	desk->core->engine = NULL;
}

static void desk_close(struct desk *desk)
{
	http_client_free(desk->client);
	http_server_free(desk->server);
	close_engine(desk);
	core_close(desk->core);
	config_free(desk->config);
}

/* ---- asking ---- */

struct answer {
	bool come;
	long status;
	char *text;
};

static void on_answer(void *arg, const struct http_response *response, struct error *err)
{
	struct answer *answer = arg;
	answer->come = true;
	answer->status = response ? response->status : -1;
	answer->text = xstrdup(response ? response->body : error_message(err));
}

static void begin_asking(struct desk *desk, const char *method, const char *path, const char *body, struct answer *answer)
{
	cleanup_free char *url = xasprintf("http://penstock%s", path);
	const struct http_request request = {
		.method = method, .url = url, .unix_socket = desk->config->socket, .body = body, .body_len = body ? strlen(body) : 0};
	*answer = (struct answer){0};
	http_client_send(desk->client, &request, on_answer, answer);
}

/* Owned by the caller. */
static char *ask(struct desk *desk, const char *method, const char *path, const char *body, long expected)
{
	struct answer answer;
	begin_asking(desk, method, path, body, &answer);
	while (!answer.come)
		loop_turn(desk->core->loop);
	if (answer.status != expected)
		fail_msg("%s %s: status %ld, expected %ld: %s", method, path, answer.status, expected, answer.text);
	size_t len = strlen(answer.text);
	if (answer.text[0] == '{' && len > 0 && answer.text[len - 1] == '\n')
		answer.text[len - 1] = '\0';
	return answer.text;
}

static json_t *ask_json(struct desk *desk, const char *path)
{
	cleanup_free char *text = ask(desk, "GET", path, NULL, 200);
	cleanup_error struct error *err = NULL;
	json_t *json;
	assert_ok(json_parse(text, strlen(text), &json, &err), err);
	return json;
}

/* ---- what is known ---- */

static void run_sql(struct desk *desk, const char *sql)
{
	cleanup_error struct error *err = NULL;
	assert_ok(db_run(desk->core->db, &err, sql, ""), err);
}

static void write_state(struct desk *desk, const char *name, const char *text)
{
	cleanup_free char *path = core_path(desk->core, name), *dir = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	cleanup_error struct error *err = NULL;
	assert_ok(dir_make(dir, 0700, &err), err);
	assert_ok(file_write_atomic(path, text, strlen(text), 0600, &err), err);
}

/* Run 1 has failed, run 2 was refused by lint. */
static void furnish(struct desk *desk)
{
	run_sql(desk,
		"INSERT INTO run (id, repository, facts, commit_sha, state, outcome, reason, created_ms, started_ms, finished_ms) VALUES"
		" (1, 'tumour', '{\"kind\":\"push\",\"branch\":\"main\",\"message\":\"Better\",\"author\":\"Ann\"}', 'c0ffee', 'finished', 'failed',"
		" 'train: no', 1000, 1100, 2000)");
	run_sql(desk, "INSERT INTO run (id, repository, facts, state, outcome, created_ms, finished_ms) VALUES"
		      " (2, 'other', '{\"kind\":\"push\",\"branch\":\"x\"}', 'finished', 'failed', 3000, 3001)");
	run_sql(desk, "INSERT INTO stage (id, run_id, idx, name, kind, state, outcome, reason, result, started_ms, finished_ms) VALUES"
		      " (1, 1, 0, 'data', 'validate', 'finished', 'success', '', '{\"rows\":3}', 1100, 1200),"
		      " (2, 1, 1, 'train', 'run', 'finished', 'failed', 'no', NULL, 1200, 1900),"
		      " (3, 1, 2, 'image', 'build', 'finished', 'skipped', 'needs train', NULL, NULL, 1900)");
	run_sql(desk, "INSERT INTO attempt (stage_id, number, dir, state, outcome, started_ms, finished_ms) VALUES"
		      " (1, 1, 'runs/1/attempts/0-1', 'finished', 'success', 1100, 1200),"
		      " (2, 1, 'runs/1/attempts/1-1', 'finished', 'infra', 1200, 1300),"
		      " (2, 2, 'runs/1/attempts/1-2', 'finished', 'failed', 1300, 1900)");
	write_state(desk, "runs/1/attempts/0-1/log", "one\ntwo\n");
	write_state(desk, "runs/1/attempts/1-1/log", "three");
	write_state(desk, "runs/1/attempts/1-2/log", "four\n\nfive\n");
	write_state(desk, "runs/2/lint.txt", ".penstock.yml:1:1: error: no\n");
}

static void check_text(struct desk *desk, const char *path, long status, const char *expected)
{
	cleanup_free char *text = ask(desk, "GET", path, NULL, status);
	assert_string_equal(text, expected);
}

static void runs_are_listed_newest_first(void **state)
{
	struct desk desk;
	desk_open(&desk, state);
	furnish(&desk);
	{
		cleanup_json json_t *all = ask_json(&desk, "/v1/runs"), *one = ask_json(&desk, "/v1/runs?limit=1"),
				    *mine = ask_json(&desk, "/v1/runs?repository=tumour&branch=main&state=finished"),
				    *none = ask_json(&desk, "/v1/runs?state=running");
		assert_int_equal(json_array_size(json_object_get(all, "runs")), 2);
		assert_int_equal(json_int_or(json_array_get(json_object_get(all, "runs"), 0), "id", 0), 2);
		assert_int_equal(json_array_size(json_object_get(one, "runs")), 1);
		assert_int_equal(json_array_size(json_object_get(none, "runs")), 0);
		cleanup_free char *text = json_text(json_array_get(json_object_get(mine, "runs"), 0));
		assert_string_equal(
			text,
			"{\"author\":\"Ann\",\"branch\":\"main\",\"cancelled_by\":null,\"commit\":\"c0ffee\",\"created_ms\":1000,\"event\":\"push\","
			"\"finished_ms\":2000,\"id\":1,\"message\":\"Better\",\"name\":\"\",\"outcome\":\"failed\",\"pipeline\":\".penstock.yml\","
			"\"reason\":\"train: no\",\"repository\":\"tumour\",\"rerun_of\":null,\"stages\":["
			"{\"name\":\"data\",\"outcome\":\"success\",\"state\":\"finished\"},"
			"{\"name\":\"train\",\"outcome\":\"failed\",\"state\":\"finished\"},"
			"{\"name\":\"image\",\"outcome\":\"skipped\",\"state\":\"finished\"}],\"started_ms\":1100,\"state\":\"finished\",\"tag\":"
			"\"\"}");
	}
	desk_close(&desk);
}

static void a_run_is_shown_with_its_stages_and_mistakes(void **state)
{
	struct desk desk;
	desk_open(&desk, state);
	furnish(&desk);
	{
		cleanup_json json_t *run = ask_json(&desk, "/v1/runs/1"), *bad = ask_json(&desk, "/v1/runs/2");
		cleanup_free char *stage = json_text(json_array_get(json_object_get(run, "stages"), 0));
		assert_string_equal(
			stage, "{\"attempts\":1,\"finished_ms\":1200,\"image\":null,\"kind\":\"validate\",\"name\":\"data\",\"outcome\":\"success\","
			       "\"outputs\":null,\"reason\":\"\",\"result\":{\"rows\":3},\"started_ms\":1100,\"state\":\"finished\"}");
		assert_int_equal(json_int_or(json_array_get(json_object_get(run, "stages"), 1), "attempts", 0), 2);
		assert_true(json_is_null(json_object_get(run, "rollout")) && json_is_null(json_object_get(run, "diagnostics")));
		assert_string_equal(json_string_or(bad, "diagnostics", ""), ".penstock.yml:1:1: error: no\n");
	}
	check_text(&desk, "/v1/runs/9", 404, "{\"error\":{\"code\":\"not_found\",\"message\":\"there is no run 9\"}}");
	check_text(&desk, "/v1/runs/-1", 400, "{\"error\":{\"code\":\"invalid\",\"message\":\"\\\"-1\\\" is no number of a run\"}}");
	desk_close(&desk);
}

static void logs_are_told_in_the_order_of_the_plan(void **state)
{
	struct desk desk;
	desk_open(&desk, state);
	furnish(&desk);
	check_text(&desk, "/v1/runs/1/log", 200,
		   "data | one\ndata | two\ntrain | three\ntrain | --- attempt 2\ntrain | four\ntrain | \ntrain | five\n");
	check_text(&desk, "/v1/runs/1/log?stage=train&follow=1", 200, "three\n--- attempt 2\nfour\n\nfive\n");
	check_text(&desk, "/v1/runs/2/log", 200, "");
	check_text(&desk, "/v1/runs/1/log?stage=x", 404,
		   "{\"error\":{\"code\":\"not_found\",\"message\":\"run 1 has no stage \\\"x\\\"; it has: data, train, image\"}}");
	desk_close(&desk);
}

static void a_long_log_comes_whole(void **state)
{
	struct desk desk;
	struct buf log, expected;
	desk_open(&desk, state);
	furnish(&desk);
	buf_init(&log, 8 << 20);
	buf_init(&expected, 8 << 20);
	for (unsigned i = 0; i < 20000; i++) {
		buf_addf(&log, "line %u of a long log\n", i);
		buf_addf(&expected, "line %u of a long log\n", i);
	}
	for (unsigned i = 0; i < 40000; i++) /* longer than any chunk: comes in pieces, nothing is lost */
		buf_addc(&log, 'x');
	write_state(&desk, "runs/1/attempts/0-1/log", log.data);
	cleanup_free char *text = ask(&desk, "GET", "/v1/runs/1/log?stage=data", NULL, 200);
	assert_int_equal(strncmp(text, expected.data, expected.len), 0);
	unsigned xs = 0;
	for (const char *p = text + expected.len; *p; p++)
		xs += *p == 'x';
	assert_int_equal(xs, 40000);
	buf_done(&log);
	buf_done(&expected);
	desk_close(&desk);
}

/* Each line gets the stage's name before it: what is read as 16 KiB may be told as megabytes. */
static void a_log_of_empty_lines_comes_whole(void **state)
{
	struct desk desk;
	struct buf log;
	desk_open(&desk, state);
	furnish(&desk);
	char name[301];
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	cleanup_error struct error *err = NULL;
	assert_ok(db_run(desk.core->db, &err, "UPDATE stage SET name = ? WHERE run_id = 1 AND idx = 0", "s", name), err);
	core_commit(desk.core);
	buf_init(&log, 1 << 20);
	for (unsigned i = 0; i < 20000; i++)
		buf_addc(&log, '\n');
	buf_adds(&log, "END");
	write_state(&desk, "runs/1/attempts/0-1/log", log.data);
	cleanup_free char *text = ask(&desk, "GET", "/v1/runs/1/log", NULL, 200);
	size_t lines = 0;
	for (const char *p = text; (p = strstr(p, "nnn | \n")); p++)
		lines++;
	assert_int_equal(lines, 20000);
	assert_non_null(strstr(text, "n | END\n"));
	buf_done(&log);
	desk_close(&desk);
}

static void append_log(struct desk *desk, const char *text)
{
	cleanup_free char *path = core_path(desk->core, "runs/1/attempts/0-1/log");
	cleanup_fd int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	cleanup_error struct error *err = NULL;
	assert_true(fd >= 0);
	assert_ok(fd_write_all(fd, text, strlen(text), &err), err);
}

static void a_followed_log_ends_with_its_stage(void **state)
{
	struct desk desk;
	struct answer answer;
	desk_open(&desk, state);
	furnish(&desk);
	close_engine(&desk); /* these rows have no pipeline that it could go on with */
	run_sql(&desk, "UPDATE stage SET state = 'running' WHERE id = 1");
	run_sql(&desk, "UPDATE attempt SET state = 'running' WHERE stage_id = 1");
	append_log(&desk, "half a ");
	begin_asking(&desk, "GET", "/v1/runs/1/log?stage=data&follow=1", NULL, &answer);
	run_sql(&desk, "UPDATE run SET state = 'running' WHERE id = 1");
	for (int i = 0; i < 20; i++) {
		http_streams_wake(desk.core);
		loop_turn(desk.core->loop);
	}
	assert_false(answer.come);
	append_log(&desk, "line\n");
	run_sql(&desk, "UPDATE attempt SET state = 'finished' WHERE stage_id = 1");
	run_sql(&desk, "UPDATE stage SET state = 'finished' WHERE id = 1");
	while (!answer.come) {
		http_streams_wake(desk.core);
		loop_turn(desk.core->loop);
	}
	assert_string_equal(answer.text, "one\ntwo\nhalf a line\n");
	free(answer.text);
	run_sql(&desk, "UPDATE run SET state = 'finished' WHERE id = 1");
	desk_close(&desk);
}

static const struct {
	const char *method, *path, *body;
	long status;
	const char *answer;
} commands[] = {
	{"POST", "/v1/runs/1/cancel", NULL, 409, NULL},
	{"POST", "/v1/runs/9/cancel", NULL, 404, "{\"error\":{\"code\":\"not_found\",\"message\":\"there is no run 9\"}}"},
	{"POST", "/v1/runs/1/retry", "{\"form\":\"x\"}", 400,
	 "{\"error\":{\"code\":\"invalid\",\"message\":\"body: unknown key \\\"form\\\"; known are: from\"}}"},
	{"POST", "/v1/runs/1/retry", "{\"from\":1}", 400,
	 "{\"error\":{\"code\":\"invalid\",\"message\":\"body: key \\\"from\\\": expected a string\"}}"},
	{"POST", "/v1/runs/1/retry", "[]", 400, "{\"error\":{\"code\":\"invalid\",\"message\":\"body: expected an object\"}}"},
	{"POST", "/v1/runs/1/retry", "{", 400, NULL},
	{"POST", "/v1/runs/2/retry", "{\"from\":\"x\"}", 409,
	 "{\"error\":{\"code\":\"conflict\",\"message\":\"run 2 has no stages to begin from: retry it as a whole\"}}"},
	{"POST", "/v1/runs", "{\"repository\":\"nobody\",\"branch\":\"main\"}", 404, NULL},
	{"POST", "/v1/runs", "{\"branch\":\"main\"}", 400, NULL},
	{"POST", "/v1/targets/prod/explode", NULL, 404,
	 "{\"error\":{\"code\":\"not_found\",\"message\":\"a target has no command \\\"explode\\\"; there are promote, rollback, pause, resume, approve\"}}"},
	{"POST", "/v1/targets/prod/promote", NULL, 503, "{\"error\":{\"code\":\"unavailable\",\"message\":\"rollouts are not open\"}}"},
	{"POST", "/v1/targets/prod/promote?full=true", NULL, 503, "{\"error\":{\"code\":\"unavailable\",\"message\":\"rollouts are not open\"}}"},
	{"POST", "/v1/targets/prod/rollback", "{\"now\":true}", 503, NULL},
	{"POST", "/v1/targets/prod/promote?now=true", NULL, 400, "{\"error\":{\"code\":\"invalid\",\"message\":\"promote takes no ?now\"}}"},
	{"POST", "/v1/targets/prod/pause?full=1", NULL, 400, "{\"error\":{\"code\":\"invalid\",\"message\":\"pause takes no ?full\"}}"},
	{"POST", "/v1/targets/prod/promote?full=yes", NULL, 400,
	 "{\"error\":{\"code\":\"invalid\",\"message\":\"full: expected true or false, not \\\"yes\\\"\"}}"},
	{"GET", "/v1/rollouts/7/observations", NULL, 404, "{\"error\":{\"code\":\"not_found\",\"message\":\"there is no rollout 7\"}}"},
	{"GET", "/v1/rollouts/x/observations", NULL, 400, NULL},
	{"GET", "/v1/rollouts/7/observations?limit=1001", NULL, 400, NULL},
	{"GET", "/v1/rollouts/7", NULL, 404, "{\"error\":{\"code\":\"not_found\",\"message\":\"there is no rollout 7\"}}"},
	{"GET", "/v1/rollouts", NULL, 200, "{\"rollouts\":[]}"},
	{"GET", "/v1/targets", NULL, 200, "{\"targets\":[]}"},
	{"GET", "/v1/releases", NULL, 200, "{\"releases\":[]}"},
	{"GET", "/v1/events?after=x", NULL, 400, NULL},
	{"GET", "/v1/runs?state=odd", NULL, 400,
	 "{\"error\":{\"code\":\"invalid\",\"message\":\"state: \\\"odd\\\" is none of queued, syncing, running, finished\"}}"},
	{"DELETE", "/v1/runs/1", NULL, 405, NULL},
	{"GET", "/v1/nothing", NULL, 404, NULL},
};

static void requests_are_answered_or_refused(void **state)
{
	struct desk desk;
	desk_open(&desk, state);
	furnish(&desk);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		cleanup_free char *text = ask(&desk, commands[i].method, commands[i].path, commands[i].body, commands[i].status);
		if (commands[i].answer)
			assert_string_equal(text, commands[i].answer);
	}
	desk_close(&desk);
}

static void secrets_go_in_and_are_never_shown(void **state)
{
	struct desk desk;
	desk_open(&desk, state);
	free(ask(&desk, "PUT", "/v1/secrets/token", "a long enough value", 200));
	free(ask(&desk, "PUT", "/v1/secrets/token2", "short", 400));
	free(ask(&desk, "PUT", "/v1/secrets/no-such-name", "a long enough value", 400));
	{
		cleanup_json json_t *list = ask_json(&desk, "/v1/secrets");
		cleanup_free char *text = json_text(list), *value = NULL;
		cleanup_error struct error *err = NULL;
		assert_int_equal(json_array_size(json_object_get(list, "secrets")), 1);
		assert_null(strstr(text, "a long enough value"));
		assert_ok(secret_get(desk.core, "token", &value, &err), err);
		assert_string_equal(value, "a long enough value");
		cleanup_free char *events = ask(&desk, "GET", "/v1/events", NULL, 200);
		assert_non_null(strstr(events, "secret.set"));
		assert_null(strstr(events, "a long enough value"));
	}
	free(ask(&desk, "DELETE", "/v1/secrets/token", NULL, 200));
	free(ask(&desk, "DELETE", "/v1/secrets/token", NULL, 404));
	desk_close(&desk);
}

/* Rollout 2 was to take the place of release 1, which rollout 1 had made live. */
static void furnish_rollouts(struct desk *desk)
{
	run_sql(desk, "INSERT INTO release (id, run_id, stage_id, repository, version, image, commit_sha, port, created_ms) VALUES"
		      " (1, 1, 3, 'tumour', '1.4.0', 'sha256:a', 'c0ffee', 80, 1), (2, 1, 2, 'tumour', '1.5.0', 'sha256:b', 'c0ffee', 80, 1)");
	run_sql(desk, "INSERT INTO target (name) VALUES ('prod')");
	run_sql(desk, "INSERT INTO rollout (id, target, stage_id, candidate, stable, spec, machine, created_ms, finished_ms) VALUES"
		      " (1, 'prod', NULL, 1, NULL, '{\"replicas\":3}', '{\"state\":\"promoted\"}', 1, 2),"
		      " (2, 'prod', NULL, 2, 1, '{\"replicas\":2}', '{\"state\":\"rolled_back\"}', 3, 4)");
	run_sql(desk, "INSERT INTO observation (id, rollout_id, step, block, at_ms) VALUES (1, 1, 0, '{}', 1), (2, 2, 0, '{\"a\":1}', 11),"
		      " (3, 2, 0, '{\"a\":2}', 12), (4, 1, 0, '{}', 13), (5, 2, 1, '{\"kind\":\"turn\"}', 14)");
	run_sql(desk, "INSERT INTO event (at_ms, kind, subject, run_id, actor) VALUES (1, 'rollout.created', 'rollout/2', NULL, 'penstock'),"
		      " (2, 'rollout.created', 'rollout/1', NULL, 'penstock'), (3, 'rollout.step', 'rollout/2', NULL, 'penstock')");
}

static void observations_come_page_by_page(void **state)
{
	struct desk desk;
	desk_open(&desk, state);
	furnish(&desk);
	furnish_rollouts(&desk);
	{
		cleanup_json json_t *first = ask_json(&desk, "/v1/rollouts/2/observations?limit=2"),
				    *rest = ask_json(&desk, "/v1/rollouts/2/observations?after=3&limit=1"),
				    *none = ask_json(&desk, "/v1/rollouts/2/observations?after=5");
		cleanup_free char *rows = json_text(json_object_get(first, "observations")), *last = json_text(json_object_get(rest, "observations"));
		assert_string_equal(rows, "[{\"at_ms\":11,\"id\":2,\"row\":{\"a\":1},\"step\":0},{\"at_ms\":12,\"id\":3,\"row\":{\"a\":2},\"step\":0}]");
		assert_string_equal(last, "[{\"at_ms\":14,\"id\":5,\"row\":{\"kind\":\"turn\"},\"step\":1}]");
		assert_true(json_is_true(json_object_get(first, "more")));
		assert_true(json_is_false(json_object_get(rest, "more")));
		assert_int_equal(json_array_size(json_object_get(none, "observations")), 0);
		const json_t *rollout = json_object_get(first, "rollout");
		assert_int_equal(json_int_or(rollout, "id", 0), 2);
		assert_int_equal(json_int_or(json_object_get(rollout, "spec"), "replicas", 0), 2);
		assert_string_equal(json_string_or(json_object_get(rollout, "stable"), "version", ""), "1.4.0");
		assert_string_equal(json_string_or(json_object_get(rollout, "candidate"), "image", ""), "sha256:b");
	}
	desk_close(&desk);
}

static void events_of_one_subject_can_be_asked_for(void **state)
{
	struct desk desk;
	desk_open(&desk, state);
	furnish(&desk);
	furnish_rollouts(&desk);
	{
		cleanup_free char *both = ask(&desk, "GET", "/v1/events?subject=rollout/2", NULL, 200),
				  *newer = ask(&desk, "GET", "/v1/events?subject=rollout/2&after=1", NULL, 200),
				  *none = ask(&desk, "GET", "/v1/events?subject=rollout/22", NULL, 200);
		assert_non_null(strstr(both, "\"rollout.created\""));
		assert_non_null(strstr(both, "\"rollout.step\""));
		assert_null(strstr(both, "rollout/1"));
		assert_null(strstr(newer, "rollout.created"));
		assert_string_equal(none, "");
	}
	desk_close(&desk);
}

static void every_route_is_documented(void **state)
{
	(void)state;
	for (const struct http_route *route = api_routes; route->method; route++) {
		assert_true(route->handler && route->doc && route->doc[0]);
		assert_int_equal(strncmp(route->pattern, "/v1/", 4), 0);
		assert_int_equal(route->read_only, strcmp(route->method, "GET") == 0);
	}
}

int main(void)
{
	loop_free(loop_new()); /* libuv keeps a pipe for signals from its first loop on */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(runs_are_listed_newest_first, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_run_is_shown_with_its_stages_and_mistakes, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(logs_are_told_in_the_order_of_the_plan, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_long_log_comes_whole, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_log_of_empty_lines_comes_whole, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_followed_log_ends_with_its_stage, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(requests_are_answered_or_refused, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(secrets_go_in_and_are_never_shown, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(observations_come_page_by_page, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(events_of_one_subject_can_be_asked_for, fixture_setup, fixture_teardown),
		cmocka_unit_test(every_route_is_documented),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
