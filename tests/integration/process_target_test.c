/* The `process` target with real HAProxy and real copies. */
#include "tests/integration/process_rig.h"

#include "artifacts/commands.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define ALL 1000000u

static void first_release_goes_live(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok");
	char body[64];
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 2, 0}}, 1);
	assert_int_equal(rig_get(rig, body), 503);
	assert_string_equal(body, "no release is live on target prod\n");
	rig_apply(rig, (struct wanted[]){{first, 2, ALL}}, 1);
	assert_int_equal(rig_get(rig, body), 200);
	assert_string_equal(body, "v1");
	struct actual actual;
	rig_observe(rig, &actual);
	assert_true(actual.router_ok);
	assert_string_equal(actual.message, "");
	assert_int_equal(actual.generation, rig->generation);
	assert_int_equal(actual.n_arms, 1);
	assert_int_equal(actual.arms[0].replicas, 2);
	assert_int_equal(actual.arms[0].ready, 2);
	assert_int_equal(actual.arms[0].weight_ppm, ALL);
	assert_false(actual.arms[0].failed);
}

static void long_state_paths_are_fine(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok");
	cleanup_error struct error *err = NULL;
	struct counts_report report;
	char body[64], name[151];
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	char *longer = path_join(rig->state_dir, name); /* a socket's path has room for 107 bytes */
	free(rig->state_dir);
	rig->state_dir = longer;
	assert_ok(dir_make(rig->state_dir, 0700, &err), err);
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	assert_int_equal(rig_get(rig, body), 200);
	rig_until(rig, (rig_counts(rig, &report), rig_arm_counts(&report, first)->completed == 1));
}

static void moved_frontend_is_reloaded(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok");
	struct actual actual;
	char body[64];
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	rig_close(rig);
	rig_move(rig);
	rig_open(rig);
	rig_until(rig, rig_get(rig, body) == 200);
	rig_until(rig, (rig_observe(rig, &actual), actual.router_ok && actual.arms[0].ready == 1));
	assert_int_equal(rig_starts(rig), 1);
}

static void add_counts(struct rig *rig, const char *first, const char *second, uint64_t *assigned, uint64_t *completed, uint64_t *of_second, bool *gap)
{
	struct counts_report report;
	rig_counts(rig, &report);
	const struct arm_counts *a = rig_arm_counts(&report, first), *b = rig_arm_counts(&report, second);
	*gap = *gap || report.gap;
	*assigned += a->assigned + b->assigned;
	*completed += a->completed + b->completed;
	*of_second += b->completed;
}

static void canary_share_is_what_was_asked_for(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok");
	static const uint32_t shares[] = {50000, 250000, ALL};
	enum { REQUESTS = 1500 };
	struct counts_report report;
	char body[64];
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}, {second, 1, 0}}, 2);
	rig_counts(rig, &report);
	for (size_t i = 0; i < ARRAY_SIZE(shares); i++) {
		rig_apply(rig, (struct wanted[]){{first, 1, ALL - shares[i]}, {second, 1, shares[i]}}, 2);
		uint64_t assigned = 0, completed = 0, of_second = 0;
		unsigned from_second = 0;
		bool gap = false;
		for (unsigned n = 0; n < REQUESTS; n++) {
			assert_int_equal(rig_get(rig, body), 200);
			from_second += strcmp(body, "v2") == 0;
			if (n % 100 == 99) /* a reader that pauses for ten seconds (a slow machine) would lose its connection, and lines with it */
				add_counts(rig, first, second, &assigned, &completed, &of_second, &gap);
		}
		double share = (double)shares[i] / ALL, sd = sqrt(REQUESTS * share * (1 - share));
		assert_true(fabs(from_second - REQUESTS * share) <= 5 * sd);
		/* The log says the same. */
		rig_until(rig, (add_counts(rig, first, second, &assigned, &completed, &of_second, &gap), completed >= REQUESTS));
		assert_int_equal(completed, REQUESTS);
		assert_int_equal(assigned, REQUESTS);
		assert_int_equal(of_second, from_second);
		assert_false(gap);
	}
}

static void reports_carry_share_latency_and_errors(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *bad = rig_image(rig, "v2", "fail");
	struct counts_report report;
	char body[64];
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}, {bad, 1, 0}}, 2);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL / 2}, {bad, 1, ALL / 2}}, 2);
	rig_counts(rig, &report);
	assert_true(report.gap); /* the first since it was opened */
	unsigned failed = 0, of_bad = 0;
	for (unsigned n = 0; n < 400; n++) {
		int status = rig_get(rig, body);
		failed += status == 500;
		of_bad += strcmp(body, "v2") == 0;
	}
	uint64_t errors = 0, completed = 0, of_first_errors = 0, bad_completed = 0, in_buckets = 0;
	uint32_t least = ALL, most = 0;
	do {
		rig_run(rig, 20);
		rig_counts(rig, &report);
		if (!report.n_arms)
			continue;
		const struct arm_counts *a = rig_arm_counts(&report, first), *b = rig_arm_counts(&report, bad);
		errors += b->errors;
		of_first_errors += a->errors;
		bad_completed += b->completed;
		completed += a->completed + b->completed;
		for (size_t i = 0; i < LATENCY_LADDER_BUCKETS; i++)
			in_buckets += a->latency_buckets[i] + b->latency_buckets[i];
		least = report.weight_ppm_min < least ? report.weight_ppm_min : least;
		most = report.weight_ppm_max > most ? report.weight_ppm_max : most;
	} while (completed < 400);
	assert_int_equal(errors, failed);
	assert_int_equal(of_first_errors, 0);
	assert_int_equal(bad_completed, of_bad);
	assert_int_equal(in_buckets, 400);
	assert_int_equal(least, ALL / 2);
	assert_int_equal(most, ALL / 2);
}

static uint64_t count_of(const struct arm_counts *counts, uint32_t id)
{
	for (unsigned i = 0; i < counts->n_instances; i++)
		if (counts->instance_ids[i] == id)
			return counts->instances[i].n;
	return 0;
}

static void every_copys_requests_are_counted(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "fail");
	struct counts_report report;
	struct actual actual;
	char body[64];
	uint64_t completed = 0, errors = 0, of_copies = 0, errors_of_copies = 0, each[3] = {0};
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 3, ALL}}, 1);
	rig_observe(rig, &actual);
	assert_int_equal(actual.arms[0].n_instances, 3);
	for (unsigned n = 0; n < 300; n++)
		rig_get(rig, body);
	while (completed < 300) {
		rig_run(rig, 20);
		rig_counts(rig, &report);
		const struct arm_counts *counts = rig_arm_counts(&report, first);
		completed += counts->completed;
		errors += counts->errors;
		for (unsigned i = 0; i < counts->n_instances; i++) {
			of_copies += counts->instances[i].n;
			errors_of_copies += counts->instances[i].y;
		}
		for (unsigned i = 0; i < 3; i++)
			each[i] += count_of(counts, actual.arms[0].instances[i].id);
	}
	assert_int_equal(of_copies, 300);
	assert_int_equal(errors, 30);
	assert_int_equal(errors_of_copies, 30);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(each[i], 100); /* one after another */
}

static void switching_loses_no_request(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok");
	struct load_result result;
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 2, ALL}}, 1);
	struct load *load = load_start(rig);
	for (unsigned i = 0; i < 10; i++) {
		const char *old = i % 2 ? second : first, *new = i % 2 ? first : second;
		rig_apply(rig, (struct wanted[]){{old, 2, ALL}, {new, 2, 0}}, 2);
		rig_apply(rig, (struct wanted[]){{old, 2, ALL - 250000}, {new, 2, 250000}}, 2);
		rig_apply(rig, (struct wanted[]){{old, 2, 0}, {new, 2, ALL}}, 2);
		rig_apply(rig, (struct wanted[]){{new, 2, ALL}}, 1);
	}
	load_stop(load, &result);
	if (result.failed)
		print_message("%llu of %llu failed, the last: %s\n", (unsigned long long)result.failed, (unsigned long long)result.requests,
			      result.last_failure);
	assert_true(result.requests > 500);
	assert_int_equal(result.failed, 0);
	assert_true(result.from_first > 0 && result.from_first < result.requests);
}

static void going_back_is_the_same_call(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok");
	struct actual actual;
	char body[64];
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}, {second, 1, 0}}, 2);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL / 2}, {second, 1, ALL / 2}}, 2);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	rig_observe(rig, &actual);
	assert_int_equal(actual.n_arms, 1);
	assert_string_equal(actual.arms[0].image, first);
	assert_int_equal(actual.arms[0].weight_ppm, ALL);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(rig_get(rig, body), 200);
		assert_string_equal(body, "v1");
	}
	/* Nothing of the other is left: no process, no server, no files. */
	cleanup_free char *servers = rig_runtime(rig, "show servers state prod-b");
	assert_null(strstr(servers, "prod-b"));
	cleanup_free char *files = xasprintf("%s/images/%s", rig->state_dir, second + 7);
	assert_false(path_exists(files));
}

/* One server's port, from HAProxy. */
static uint16_t port_of(const struct rig *rig, const char *backend)
{
	cleanup_free char *command = xasprintf("show servers state %s", backend);
	cleanup_free char *servers = rig_runtime(rig, command);
	const char *line = strstr(servers, backend);
	unsigned port = 0;
	assert_non_null(line);
	/* be_name srv_id srv_name srv_addr and 14 more columns, then srv_port */
	assert_int_equal(sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %u", &port), 1);
	return (uint16_t)port;
}

static void killed_copy_comes_back(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok");
	struct actual actual;
	char body[64];
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 2, ALL}}, 1);
	uint16_t port = port_of(rig, "prod-a");
	int pid = rig_listener(port);
	assert_true(pid > 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	/* The other copy answers meanwhile; what stood in the dead one's queue is lost with it. */
	unsigned lost = 0;
	for (unsigned i = 0; i < 20; i++)
		lost += rig_get(rig, body) != 200;
	assert_true(lost <= 2);
	int again = 0;
	rig_until(rig, (again = rig_listener(port)) > 0 && again != pid);
	rig_until(rig, (rig_observe(rig, &actual), actual.arms[0].ready == 2));
	assert_int_equal(rig_starts(rig), 3);
}

static void killed_router_comes_back_with_the_truth(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok");
	struct actual actual;
	char body[64];
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 2, ALL}, {second, 1, 0}}, 2);
	rig_apply(rig, (struct wanted[]){{first, 2, 750000}, {second, 1, 250000}}, 2);
	unsigned long pid = rig_router_pid(rig);
	struct load *load = load_start(rig);
	struct load_result result;
	rig_run(rig, 200);
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	rig_until(rig, rig_router_pid(rig) > 0 && rig_router_pid(rig) != pid);
	rig_until(rig, (rig_observe(rig, &actual), actual.router_ok && rig_arm(&actual, first)->ready == 2 && rig_arm(&actual, second)->ready == 1));
	rig_run(rig, 200);
	load_stop(load, &result);
	/* What it had in hand is lost: at most one request of each thread. New connections have waited for the next one. */
	assert_true(result.failed <= 2);
	assert_true(result.requests > 20);
	assert_int_equal(rig_arm(&actual, first)->weight_ppm, 750000);
	assert_int_equal(rig_arm(&actual, second)->weight_ppm, 250000);
	assert_int_equal(actual.generation, rig->generation);
	assert_int_equal(rig_get(rig, body), 200);
	assert_int_equal(rig_starts(rig), 3); /* no copy was touched */
}

static void reloaded_router_keeps_servers_and_split(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok");
	struct load_result result;
	struct actual actual;
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 2, ALL}, {second, 1, 0}}, 2);
	rig_apply(rig, (struct wanted[]){{first, 2, 750000}, {second, 1, 250000}}, 2);
	struct load *load = load_start(rig);
	unsigned long pid = rig_router_pid(rig);
	free(rig_master(rig, "reload"));
	rig_until(rig, rig_router_pid(rig) > 0 && rig_router_pid(rig) != pid);
	rig_until(rig, (rig_observe(rig, &actual), actual.router_ok && rig_arm(&actual, first)->ready == 2 && rig_arm(&actual, second)->ready == 1));
	rig_run(rig, 300);
	load_stop(load, &result);
	assert_int_equal(rig_arm(&actual, second)->weight_ppm, 250000);
	assert_int_equal(result.failed, 0);
}

static void hand_made_changes_are_seen_and_repaired(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok");
	static const char *const changes[] = {
		"set map split.map split b:900000:7",
		"clear map split.map",
		"add map split.map split a:1:1",
		"set map split.map split nonsense",
		"set server prod-a/i1 state maint",
		"set server prod-b/i2 state drain",
		"add server prod-a/foreign 127.0.0.1:9;set server prod-a/foreign state ready",
	};
	struct actual actual;
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}, {second, 1, 0}}, 2);
	/* Observed before the target's own look, which repairs it: try until we were first. */
	bool seen = false;
	for (unsigned i = 0; i < 50 && !seen; i++) {
		free(rig_runtime(rig, "set map split.map split b:900000:7"));
		rig_observe(rig, &actual);
		seen = rig_arm(&actual, second)->weight_ppm == 900000 && rig_arm(&actual, first)->weight_ppm == 100000;
	}
	assert_true(seen);
	rig_until(rig, (rig_observe(rig, &actual), !actual.repairing && rig_arm(&actual, first)->weight_ppm == ALL));
	uint64_t told = actual.repairs;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		free(rig_runtime(rig, changes[i]));
		/* The same call again: nothing new is asked for, and it is made true. */
		rig->generation--;
		rig_apply(rig, (struct wanted[]){{first, 1, ALL}, {second, 1, 0}}, 2);
		rig_until(rig, (rig_observe(rig, &actual),
				actual.router_ok && rig_arm(&actual, first)->ready == 1 && rig_arm(&actual, second)->ready == 1));
		assert_int_equal(rig_arm(&actual, first)->weight_ppm, ALL);
		assert_int_equal(rig_arm(&actual, second)->weight_ppm, 0);
		rig_until(rig, (rig_observe(rig, &actual), !actual.repairing && actual.repairs > told));
		told = actual.repairs;
		assert_true(strstr(actual.repaired, i < 4 ? "HAProxy's map" : "server") != NULL);
		cleanup_free char *servers = rig_runtime(rig, "show servers state");
		assert_null(strstr(servers, "foreign"));
	}
	assert_int_equal(rig_starts(rig), 2);
}

static void daemon_restart_touches_nothing(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok");
	struct load_result result;
	struct actual actual;
	struct counts_report report;
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 2, ALL}, {second, 1, 0}}, 2);
	rig_apply(rig, (struct wanted[]){{first, 2, 950000}, {second, 1, 50000}}, 2);
	unsigned long pid = rig_router_pid(rig);
	struct load *load = load_start(rig);
	rig_close(rig);
	rig_open(rig);
	rig_observe(rig, &actual);
	assert_int_equal(rig_arm(&actual, first)->ready, 2);
	assert_int_equal(rig_arm(&actual, second)->ready, 1);
	assert_int_equal(rig_arm(&actual, second)->weight_ppm, 50000);
	assert_int_equal(actual.generation, rig->generation);
	rig_run(rig, 1500);
	rig->generation--;
	rig_apply(rig, (struct wanted[]){{first, 2, 950000}, {second, 1, 50000}}, 2);
	load_stop(load, &result);
	assert_int_equal(result.failed, 0);
	assert_int_equal(rig_router_pid(rig), pid);
	assert_int_equal(rig_starts(rig), 3);
	/* Whoever asks first after the restart is told that something may be missing; then the log goes on. */
	rig_counts(rig, &report);
	assert_true(report.gap);
	assert_true(rig_arm_counts(&report, first)->completed > 0);
}

static void killed_in_the_middle_goes_on(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok");
	struct actual actual;
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	/* Asked for, and closed after each of the first turns of the loop. */
	for (unsigned turns = 0; turns < 60; turns += 6) {
		struct release releases[2] = {{.id = 1, .image = first, .version = "1"}, {.id = 2, .image = second, .version = "2"}};
		struct desired desired = {.arms = {{&releases[0], 1, ALL}, {&releases[1], 2, 0}},
					  .n_arms = 2,
					  .generation = 50,
					  .health_path = "/healthz",
					  .health_within_ms = 20000};
		rig->target->ops->apply(rig->target, &desired, rig_ignore_done, NULL);
		for (unsigned i = 0; i < turns; i++)
			loop_turn(rig->loop);
		rig_close(rig);
		rig_open(rig);
	}
	rig_until(rig, (rig_observe(rig, &actual), actual.generation == 50));
	assert_int_equal(rig_arm(&actual, first)->ready, 1);
	assert_int_equal(rig_arm(&actual, second)->ready, 2);
	assert_int_equal(rig_starts(rig), 3);
}

static void crash_loop_is_told_with_its_last_words(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *bad = rig_image(rig, "v2", "crash");
	struct actual actual;
	char body[64];
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	cleanup_error struct error *err = rig_try_apply(rig, (struct wanted[]){{first, 1, ALL}, {bad, 1, 0}}, 2);
	assert_non_null(err);
	assert_int_equal(error_code_of(err), ERROR_UNAVAILABLE);
	assert_non_null(strstr(error_message(err), "cannot load the model: bad magic"));
	rig_observe(rig, &actual);
	assert_true(rig_arm(&actual, bad)->failed);
	assert_int_equal(rig_arm(&actual, bad)->ready, 0);
	assert_non_null(strstr(rig_arm(&actual, bad)->message, "cannot load the model: bad magic"));
	assert_false(rig_arm(&actual, first)->failed);
	/* Traffic for it is refused by the driver itself. */
	cleanup_error struct error *refused = rig_try_apply(rig, (struct wanted[]){{first, 1, 0}, {bad, 1, ALL}}, 2);
	assert_non_null(refused);
	rig_observe(rig, &actual);
	assert_int_equal(rig_arm(&actual, first)->weight_ppm, ALL);
	assert_int_equal(rig_get(rig, body), 200);
	assert_string_equal(body, "v1");
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	/* Its log is kept. */
	cleanup_free char *logs = xasprintf("%s/logs", rig->state_dir);
	assert_true(path_exists(logs));
}

static void sick_copy_fails_after_its_time(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *sick = rig_image(rig, "v1", "sick");
	struct actual actual;
	rig->health_within_ms = 2000;
	rig_open(rig);
	cleanup_error struct error *err = rig_try_apply(rig, (struct wanted[]){{sick, 1, 0}}, 1);
	assert_non_null(err);
	assert_non_null(strstr(error_message(err), "not healthy (GET /healthz) within 2 s"));
	rig_observe(rig, &actual);
	assert_true(actual.arms[0].failed);
	assert_int_equal(actual.arms[0].replicas, 1);
	assert_int_equal(actual.arms[0].ready, 0);
	rig_apply(rig, NULL, 0);
	rig_observe(rig, &actual);
	assert_int_equal(actual.n_arms, 0);
}

static void candidate_that_dies_falls_back_to_stable(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok");
	struct counts_report report;
	struct actual actual;
	char body[64];
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}, {second, 1, 0}}, 2);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL / 2}, {second, 1, ALL / 2}}, 2);
	rig_counts(rig, &report);
	/* Out of the router's rotation, by hand; observed by nobody for the moment. */
	free(rig_runtime(rig, "set server prod-b/i2 state maint"));
	unsigned n = 0;
	for (; n < 100; n++) {
		assert_int_equal(rig_get(rig, body), 200);
		assert_string_equal(body, "v1");
	}
	uint64_t assigned = 0, completed = 0, served_by_first = 0;
	rig_until(rig, (rig_counts(rig, &report), assigned += rig_arm_counts(&report, second)->assigned,
			served_by_first += rig_arm_counts(&report, first)->completed,
			completed += rig_arm_counts(&report, first)->completed + rig_arm_counts(&report, second)->completed, completed >= 100));
	assert_true(assigned > 20);
	assert_int_equal(served_by_first, 100);
	rig_observe(rig, &actual);
	assert_non_null(strstr(rig_arm(&actual, second)->message, "answered by the other arm"));
}

static void newer_state_supersedes(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok"), *third = rig_image(rig, "v3", "ok");
	struct release releases[2] = {{.id = 1, .image = first, .version = "1"}, {.id = 2, .image = second, .version = "2"}};
	struct desired desired = {.arms = {{&releases[0], 1, ALL}, {&releases[1], 1, 0}},
				  .n_arms = 2,
				  .generation = 1,
				  .health_path = "/healthz",
				  .health_within_ms = 20000};
	struct error *superseded = NULL;
	rig->generation = 1;
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	desired.generation = 10;
	rig->generation = 10;
	rig->target->ops->apply(rig->target, &desired, rig_keep_error, &superseded);
	rig_run(rig, 100);
	/* A third release while the second is on its way: its slot is emptied first. */
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}, {third, 1, 0}}, 2);
	assert_error(superseded, ERROR_CONFLICT, "target prod: superseded by a newer desired state");
	error_free(superseded);
	struct actual actual;
	rig_observe(rig, &actual);
	assert_int_equal(actual.n_arms, 2);
	assert_null(rig_arm(&actual, second));
	assert_int_equal(rig_arm(&actual, third)->ready, 1);
}

static void missing_haproxy_is_told(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok");
	cleanup_free char *path = xstrdup(getenv("PATH"));
	struct actual actual;
	rig_open(rig);
	setenv("PATH", "", 1);
	cleanup_error struct error *err = rig_try_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	rig_observe(rig, &actual);
	setenv("PATH", path, 1);
	assert_error(err, ERROR_MISSING, "target prod: HAProxy is not installed (no `haproxy` in PATH): apt-get install haproxy");
	assert_false(actual.router_ok);
	assert_string_equal(actual.message, "HAProxy is not installed (no `haproxy` in PATH): apt-get install haproxy");
	/* Once it is there, the target comes up by itself. */
	rig_until(rig, (rig_observe(rig, &actual), actual.generation == rig->generation));
}

static void taken_frontend_is_told(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *first = rig_image(rig, "v1", "ok");
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(rig->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	rig_open(rig);
	cleanup_error struct error *err = rig_try_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	close(fd);
	cleanup_free char *expected =
		xasprintf("target prod: the frontend's address 127.0.0.1:%u is in use by another program: stop that program (see "
			  "`ss -ltnp`), or give the target another `frontend`",
			  rig->port);
	assert_error(err, ERROR_CONFLICT, expected);
}

static void bad_images_and_weights_are_told(void **state)
{
	struct rig *rig = *state;
	static const char *const unknown = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok"), *third = rig_image(rig, "v3", "ok");
	struct actual actual;
	rig_open(rig);
	cleanup_error struct error *weights = rig_try_apply(rig, (struct wanted[]){{first, 1, ALL}, {second, 1, 1}}, 2);
	assert_error(weights, ERROR_INVALID, "target prod: the arms' weights add up to 1000001 and not to 1,000,000");
	cleanup_error struct error *three = rig_try_apply(rig, (struct wanted[]){{first, 1, ALL}, {second, 1, 0}, {third, 1, 0}}, 3);
	assert_error(three, ERROR_UNSUPPORTED, "target prod: a third arm (a fresh baseline) is not available in this build");
	cleanup_error struct error *gone = rig_try_apply(rig, (struct wanted[]){{unknown, 1, ALL}}, 1);
	assert_non_null(gone);
	rig_observe(rig, &actual);
	assert_true(rig_arm(&actual, unknown)->failed);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
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
		TEST(first_release_goes_live),
		TEST(long_state_paths_are_fine),
		TEST(moved_frontend_is_reloaded),
		TEST(canary_share_is_what_was_asked_for),
		TEST(reports_carry_share_latency_and_errors),
		TEST(every_copys_requests_are_counted),
		TEST(switching_loses_no_request),
		TEST(going_back_is_the_same_call),
		TEST(killed_copy_comes_back),
		TEST(killed_router_comes_back_with_the_truth),
		TEST(reloaded_router_keeps_servers_and_split),
		TEST(hand_made_changes_are_seen_and_repaired),
		TEST(daemon_restart_touches_nothing),
		TEST(killed_in_the_middle_goes_on),
		TEST(crash_loop_is_told_with_its_last_words),
		TEST(sick_copy_fails_after_its_time),
		TEST(candidate_that_dies_falls_back_to_stable),
		TEST(newer_state_supersedes),
		TEST(missing_haproxy_is_told),
		TEST(taken_frontend_is_told),
		TEST(bad_images_and_weights_are_told),
#undef TEST
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
