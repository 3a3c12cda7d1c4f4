/* How the `process` target looks after its copies and its HAProxy: hangs, other settings, previews, changes by hand, upgrades. */
#include "tests/integration/process_rig.h"

#include "artifacts/commands.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "deployers/haproxy/program.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ALL 1000000u

/* ---- copies that hang, and settings that change ---- */

static void hanging_copy_is_restarted(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok");
	struct load_result result;
	struct actual actual;
	char body[64];
	rig->restart_after_ms = 1500;
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 2, ALL}}, 1);
	rig_observe(rig, &actual);
	assert_int_equal(actual.arms[0].n_instances, 2);
	uint16_t port = (uint16_t)strtoul(strrchr(actual.arms[0].instances[0].address, ':') + 1, NULL, 10);
	int pid = rig_listener(port);
	struct load *load = load_start(rig);
	assert_int_equal(rig_ask(port, "/hang", body), 200);
	rig_until(rig, (rig_observe(rig, &actual), actual.arms[0].ready == 2 && actual.arms[0].instances[0].restarts == 1));
	load_stop(load, &result);
	assert_false(actual.arms[0].failed);
	assert_non_null(strstr(actual.arms[0].message, "hung: no answer to its health check (GET /healthz) for 1.5 s, restarted"));
	assert_non_null(strstr(actual.arms[0].message, "last line: waiting for a lock"));
	assert_int_equal(actual.arms[0].instances[1].restarts, 0);
	assert_int_not_equal(rig_listener(port), pid);
	/* At most what was with it when it stopped answering: one request of each thread and a queued one. */
	assert_true(result.failed <= 4);
	assert_true(result.requests > 100);
	assert_int_equal(rig_starts(rig), 3);
	/* How often a copy was restarted is remembered. */
	rig_close(rig);
	rig_open(rig);
	rig_observe(rig, &actual);
	assert_int_equal(actual.arms[0].instances[0].restarts, 1);
}

static void without_restart_after_a_hanging_copy_is_left_alone(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok");
	struct actual actual;
	char body[64];
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	rig_observe(rig, &actual);
	uint16_t port = (uint16_t)strtoul(strrchr(actual.arms[0].instances[0].address, ':') + 1, NULL, 10);
	assert_int_equal(rig_ask(port, "/hang", body), 200);
	rig_until(rig, (rig_observe(rig, &actual), actual.arms[0].ready == 0));
	rig_run(rig, 1500);
	assert_int_equal(rig_starts(rig), 1);
	rig_apply(rig, NULL, 0);
}

static char *instance_log(const struct rig *rig, unsigned id)
{
	cleanup_free char *path = xasprintf("%s/logs/%06u.log", rig->state_dir, id);
	cleanup_error struct error *err = NULL;
	char *text = NULL;
	assert_ok(file_read(path, 1 << 20, &text, NULL, &err), err);
	return text;
}

/* One look while copies are replaced: never fewer than wanted take traffic, and there is at most one more. */
static bool replaced(struct rig *rig, const char *image, unsigned wanted)
{
	struct actual actual;
	rig_observe(rig, &actual);
	const struct arm_status *arm = rig_arm(&actual, image);
	assert_non_null(arm);
	assert_true(arm->ready >= wanted);
	assert_true(arm->replicas <= wanted + 1);
	assert_false(arm->failed);
	return actual.generation == rig->generation && !arm->outdated && arm->replicas == wanted;
}

static void limits_change_one_copy_after_another(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "slow");
	struct load_result result;
	struct actual actual;
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 3, ALL}}, 1);
	struct load *load = load_start(rig);
	rig->memory_bytes = 512u << 20;
	rig->cpu = 1;
	rig_start_apply(rig, (struct wanted[]){{first, 3, ALL}}, 1, rig_ignore_done, NULL);
	rig_observe(rig, &actual);
	assert_int_equal(actual.arms[0].outdated, 3);
	rig_until(rig, replaced(rig, first, 3));
	load_stop(load, &result);
	assert_int_equal(result.failed, 0); /* each request takes 300 ms: there was always one with the copy that left */
	assert_true(result.requests > 10);
	assert_int_equal(rig_starts(rig), 3); /* the old ones' folders are gone */
	/* The log says what is enforced, and by what. */
	cleanup_free char *old = instance_log(rig, 1), *new = instance_log(rig, 4);
	assert_null(strstr(old, "memory limit"));
	assert_non_null(strstr(new, "--- memory limit 512 MiB "));
	assert_non_null(strstr(new, "limit of 1 CPUs "));
	/* How copies are watched changes without touching them. */
	rig->restart_after_ms = 10000;
	rig->health_within_ms = 30000;
	rig_apply(rig, (struct wanted[]){{first, 3, ALL}}, 1);
	rig_observe(rig, &actual);
	assert_int_equal(actual.arms[0].outdated, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(actual.arms[0].instances[i].id, 4 + i);
}

static void replacing_goes_on_after_a_killed_daemon(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok");
	struct load_result result;
	struct actual actual;
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 2, ALL}}, 1);
	struct load *load = load_start(rig);
	rig->memory_bytes = 512u << 20;
	rig_start_apply(rig, (struct wanted[]){{first, 2, ALL}}, 1, rig_ignore_done, NULL);
	/* Closed and opened again after ever more turns of the loop; nobody asks again. */
	for (unsigned turns = 1; turns < 400 && !replaced(rig, first, 2); turns += 8) {
		for (unsigned i = 0; i < turns; i++)
			loop_turn(rig->loop);
		rig_close(rig);
		rig_open(rig);
	}
	rig_until(rig, replaced(rig, first, 2));
	load_stop(load, &result);
	assert_int_equal(result.failed, 0);
	rig_observe(rig, &actual);
	assert_int_equal(actual.arms[0].instances[0].id, 3); /* two new ones, not more */
	assert_int_equal(actual.arms[0].instances[1].id, 4);
}

static void limits_that_a_copy_cannot_live_with_change_nothing(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok");
	struct load_result result;
	struct actual actual;
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 2, ALL}}, 1);
	struct load *load = load_start(rig);
	rig->memory_bytes = 2u << 20;
	cleanup_error struct error *err = rig_try_apply(rig, (struct wanted[]){{first, 2, ALL}}, 1);
	assert_non_null(err);
	assert_int_equal(error_code_of(err), ERROR_UNAVAILABLE);
	rig_observe(rig, &actual);
	assert_true(actual.arms[0].failed);
	assert_int_equal(actual.arms[0].ready, 2);
	assert_int_equal(actual.arms[0].outdated, 2);
	rig->memory_bytes = 0;
	rig_apply(rig, (struct wanted[]){{first, 2, ALL}}, 1);
	load_stop(load, &result);
	assert_int_equal(result.failed, 0);
	rig_observe(rig, &actual);
	assert_false(actual.arms[0].failed);
	assert_int_equal(actual.arms[0].ready, 2);
	assert_int_equal(actual.arms[0].outdated, 0);
}

static void stable_copies_keep_their_settings_during_a_rollout(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok");
	struct actual actual;
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	rig->memory_bytes = 512u << 20;
	rig->health_path = "/other";
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}, {second, 1, 0}}, 2);
	rig_observe(rig, &actual);
	assert_int_equal(rig_arm(&actual, first)->outdated, 0);
	assert_int_equal(rig_arm(&actual, first)->instances[0].id, 1);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1); /* taken back */
	rig_close(rig);
	rig_open(rig);
	rig_run(rig, 300);
	rig_observe(rig, &actual);
	assert_int_equal(rig_arm(&actual, first)->outdated, 0);
	assert_int_equal(rig_arm(&actual, first)->instances[0].id, 1);
	cleanup_free char *log = instance_log(rig, 1);
	assert_null(strstr(log, "memory limit"));
}

static void health_path_is_tried_before_it_is_used(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok");
	struct load_result result;
	struct actual actual;
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 2, ALL}}, 1);
	struct load *load = load_start(rig);
	rig->health_path = "/missing";
	cleanup_error struct error *err = rig_try_apply(rig, (struct wanted[]){{first, 2, ALL}}, 1);
	assert_error(err, ERROR_UNAVAILABLE,
		     "target prod: copy i1 does not answer its new health path /missing well (status 404): the checks stay as they are");
	rig->health_path = "/other";
	rig_apply(rig, (struct wanted[]){{first, 2, ALL}}, 1);
	rig_until(rig, (rig_observe(rig, &actual), actual.router_ok && actual.arms[0].ready == 2));
	load_stop(load, &result);
	assert_int_equal(result.failed, 0);
	assert_int_equal(rig_starts(rig), 2);
	cleanup_free char *path = xasprintf("%s/haproxy/haproxy.cfg", rig->state_dir), *text = NULL;
	cleanup_error struct error *unread = NULL;
	assert_ok(file_read(path, 1 << 20, &text, NULL, &unread), unread);
	assert_non_null(strstr(text, "option httpchk GET /other\n"));
}

/* ---- the preview ---- */

static void preview_shows_what_is_not_live_and_counts_nothing(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok");
	uint16_t port = rig_free_port();
	cleanup_free char *extra = xasprintf("preview: \"127.0.0.1:%u\"\n", port), *url = xasprintf("http://127.0.0.1:%u", port);
	struct counts_report report;
	struct actual actual;
	char body[64];
	rig_configure(rig, extra);
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	rig_observe(rig, &actual);
	assert_string_equal(actual.preview_url, url);
	assert_string_equal(actual.preview_image, "");
	assert_int_equal(rig_ask(port, "/predict", body), 503);
	rig->preview = 2;
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}, {second, 1, 0}}, 2);
	rig_observe(rig, &actual);
	assert_string_equal(actual.preview_image, second);
	rig_counts(rig, &report);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(rig_ask(port, "/predict", body), 200);
		assert_string_equal(body, "v2");
		assert_int_equal(rig_get(rig, body), 200);
		assert_string_equal(body, "v1");
	}
	/* Changed by hand: seen, and repaired. */
	cleanup_free char *command = xasprintf("set map split.map split b:0:%llu:a", (unsigned long long)rig->generation);
	free(rig_runtime(rig, command));
	rig_until(rig, (rig_observe(rig, &actual), strcmp(actual.preview_image, second) == 0));
	/* After a new daemon, too. */
	rig_close(rig);
	rig_open(rig);
	rig_observe(rig, &actual);
	assert_string_equal(actual.preview_image, second);
	rig->preview = 0;
	rig_apply(rig, (struct wanted[]){{first, 1, 0}, {second, 1, ALL}}, 2);
	rig_observe(rig, &actual);
	assert_string_equal(actual.preview_image, "");
	assert_int_equal(rig_ask(port, "/predict", body), 503);
	assert_int_equal(rig_get(rig, body), 200);
	assert_string_equal(body, "v2");
}

/* ---- HAProxy's files and program ---- */

static bool file_has(const struct rig *rig, const char *name, const char *text)
{
	cleanup_free char *path = xasprintf("%s/haproxy/%s", rig->state_dir, name), *content = NULL;
	return file_read(path, 1 << 20, &content, NULL, NULL) == 0 && strstr(content, text);
}

static void files_changed_by_hand_are_written_again(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok");
	cleanup_free char *map = xasprintf("%s/haproxy/split.map", rig->state_dir), *config = xasprintf("%s/haproxy/haproxy.cfg", rig->state_dir);
	cleanup_error struct error *err = NULL;
	struct load_result result;
	struct actual actual;
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}, {second, 1, 0}}, 2);
	rig_apply(rig, (struct wanted[]){{first, 1, 750000}, {second, 1, 250000}}, 2);
	assert_int_equal(unlink(map), 0);
	rig_until(rig, file_has(rig, "split.map", "split b:250000:"));
	assert_int_equal(unlink(config), 0);
	rig_until(rig, file_has(rig, "haproxy.cfg", "server i2 127.0.0.1:"));
	assert_ok(file_write_atomic(config, "defaults\n", 9, 0600, &err), err);
	rig_until(rig, file_has(rig, "haproxy.cfg", "server i2 127.0.0.1:"));
	assert_ok(file_write_atomic(map, "split a:0:1\n", 12, 0600, &err), err);
	rig_until(rig, file_has(rig, "split.map", "split b:250000:"));
	/* Reloaded by hand, and its servers wiped: the same again. */
	struct load *load = load_start(rig);
	unsigned long pid = rig_router_pid(rig);
	free(rig_master(rig, "reload"));
	rig_until(rig, rig_router_pid(rig) > 0 && rig_router_pid(rig) != pid);
	free(rig_runtime(rig, "set server prod-b/i2 state maint;del server prod-b/i2"));
	rig_until(rig, (rig_observe(rig, &actual), actual.router_ok && rig_arm(&actual, first)->ready == 1 && rig_arm(&actual, second)->ready == 1 &&
							   rig_arm(&actual, second)->weight_ppm == 250000));
	load_stop(load, &result);
	assert_int_equal(result.failed, 0); /* what was meant for the second was answered by the first */
	assert_int_equal(rig_starts(rig), 2);
}

static void copy_program(const char *to)
{
	cleanup_error struct error *err = NULL;
	cleanup_free char *program = NULL, *bytes = NULL;
	size_t len;
	assert_ok(haproxy_program(NULL, &program, &err), err);
	assert_ok(file_read(program, 64u << 20, &bytes, &len, &err), err);
	assert_ok(file_write_atomic(to, bytes, len, 0755, &err), err);
}

static void upgraded_haproxy_is_taken_without_losing_a_request(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok");
	cleanup_free char *program = path_join(rig->fixture->dir, "haproxy-a"), *other = path_join(rig->fixture->dir, "haproxy-b");
	cleanup_free char *extra = xasprintf("haproxy: %s\n", program), *moved = xasprintf("haproxy: %s\n", other);
	struct load_result result;
	struct actual actual;
	copy_program(program);
	copy_program(other);
	rig_configure(rig, extra);
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 2, ALL}}, 1);
	struct load *load = load_start(rig);
	/* Another file under the same name. */
	unsigned long pid = rig_router_pid(rig);
	copy_program(program);
	rig_until(rig, rig_router_pid(rig) > 0 && rig_router_pid(rig) != pid);
	rig_until(rig, (rig_observe(rig, &actual), actual.router_ok && actual.arms[0].ready == 2));
	/* Another name. */
	pid = rig_router_pid(rig);
	rig_close(rig);
	char *at = strstr(rig->config, "haproxy: ");
	cleanup_free char *before = xstrndup(rig->config, (size_t)(at - rig->config));
	free(rig->config);
	rig->config = xasprintf("%s%s", before, moved);
	rig_open(rig);
	rig_until(rig, rig_router_pid(rig) > 0 && rig_router_pid(rig) != pid);
	rig_until(rig, (rig_observe(rig, &actual), actual.router_ok && actual.arms[0].ready == 2));
	rig_run(rig, 200);
	load_stop(load, &result);
	if (result.failed)
		print_message("%llu of %llu failed, the last: %s\n", (unsigned long long)result.failed, (unsigned long long)result.requests,
			      result.last_failure);
	assert_int_equal(result.failed, 0);
	assert_int_equal(rig_starts(rig), 2);
}

int main(int argc, char **argv)
{
	/* The target's children run its own executable: here that is us. */
	if (argc > 1 && strcmp(argv[1], "unpack") == 0)
		return unpack_command(argc - 1, argv + 1);
	setenv("PENSTOCK_LEADER", LEADER_PATH, 1);
	if (!getenv("VERBOSE"))
		log_set_level(LOG_ERROR + 1);
	loop_free(loop_new()); /* libuv keeps a pipe for ever, from its first loop on */
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
		TEST(hanging_copy_is_restarted),
		TEST(without_restart_after_a_hanging_copy_is_left_alone),
		TEST(limits_change_one_copy_after_another),
		TEST(replacing_goes_on_after_a_killed_daemon),
		TEST(limits_that_a_copy_cannot_live_with_change_nothing),
		TEST(stable_copies_keep_their_settings_during_a_rollout),
		TEST(health_path_is_tried_before_it_is_used),
		TEST(preview_shows_what_is_not_live_and_counts_nothing),
		TEST(files_changed_by_hand_are_written_again),
		TEST(upgraded_haproxy_is_taken_without_losing_a_request),
#undef TEST
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
