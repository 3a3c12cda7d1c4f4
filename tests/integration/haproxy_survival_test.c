/* HAProxy is killed, reloaded and replaced under requests: none is refused, and none is lost but what a killed one had in its hands. */
#include "tests/integration/process_rig.h"

#include "artifacts/commands.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#define ALL 1000000u

/* ---- clients that tell failures apart ---- */

enum { CLIENTS = 4, PATIENCE_S = 20 };
struct clients {
	uint16_t port;
	atomic_bool stop;
	atomic_ullong requests, refused, lost, bad, slowest_ms;
	pthread_t threads[CLIENTS];
};

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {.tv_sec = PATIENCE_S};
	cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return steal_fd(&fd);
}

/* Its status, or -1 if the connection ended, or nothing came. A whole answer fits into one buffer. *keep: whether the connection may be
 * used again; a worker that is about to go says that it may not. */
static int exchange(int fd, bool *keep)
{
	const char *text = *keep ? "GET /predict HTTP/1.1\r\nHost: test\r\n\r\n" : "GET /predict HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
	char answer[4096];
	size_t len = 0;
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return -1;
	for (;;) {
		ssize_t n = read(fd, answer + len, sizeof(answer) - 1 - len);
		if (n <= 0)
			return -1;
		len += (size_t)n;
		answer[len] = '\0';
		const char *blank = strstr(answer, "\r\n\r\n");
		const char *length = strstr(answer, "ontent-");
		length = length ? strchr(length, ':') : NULL;
		if (!blank || !length || len < (size_t)(blank + 4 - answer) + strtoul(length + 1, NULL, 10))
			continue;
		*keep = *keep && !strstr(answer, "onnection: close");
		return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? (int)strtol(answer + 9, NULL, 10) : -1;
	}
}

static void note(struct clients *clients, int status, uint64_t began_ms)
{
	uint64_t took = clock_mono_ms() - began_ms;
	clients->requests++;
	clients->lost += status < 0;
	clients->bad += status >= 0 && status != 200;
	for (unsigned long long seen = clients->slowest_ms; status == 200 && took > seen;)
		if (atomic_compare_exchange_weak(&clients->slowest_ms, &seen, took))
			break;
}

/* Every other client keeps its connection as long as it can. */
static void *client_thread(void *arg)
{
	static atomic_uint next;
	struct clients *clients = arg;
	bool keep = next++ % 2;
	int fd = -1;
	while (!clients->stop) {
		uint64_t began_ms = clock_mono_ms();
		if (fd < 0)
			fd = connect_to(clients->port);
		if (fd < 0) {
			clients->requests++;
			clients->refused++;
		} else {
			bool again = keep;
			int status = exchange(fd, &again);
			note(clients, status, began_ms);
			if (!again || status < 0)
				close(steal_fd(&fd));
		}
		usleep(2000); /* the pace of the load, not a wait for anything */
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void clients_start(struct clients *clients, const struct rig *rig)
{
	*clients = (struct clients){.port = rig->port};
	for (size_t i = 0; i < CLIENTS; i++)
		assert_int_equal(pthread_create(&clients->threads[i], NULL, client_thread, clients), 0);
}

static void clients_stop(struct clients *clients, const char *what)
{
	clients->stop = true;
	for (size_t i = 0; i < CLIENTS; i++)
		pthread_join(clients->threads[i], NULL);
	print_message("%s: %llu requests, %llu refused, %llu lost in hand, %llu bad answers, slowest %llu ms\n", what, clients->requests,
		      clients->refused, clients->lost, clients->bad, clients->slowest_ms);
	assert_int_equal(clients->refused, 0);
	assert_int_equal(clients->bad, 0);
	assert_true(clients->requests > 50);
}

/* ---- HAProxy's processes ---- */

/* 0: its master does not answer now; HAProxy 2.6 executes itself anew once more, a moment after its start. */
static pid_t asked_master_pid(const struct rig *rig)
{
	cleanup_free char *answer = rig_master(rig, "show proc");
	for (char *line = answer, *end; line; line = end) {
		int pid;
		char type[32];
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		if (sscanf(line, "%d %31s", &pid, type) == 2 && strcmp(type, "master") == 0)
			return pid;
	}
	return 0;
}

static pid_t master_pid(struct rig *rig)
{
	pid_t pid = 0;
	rig_until(rig, (pid = asked_master_pid(rig)) > 1);
	return pid;
}

static bool serves(struct rig *rig)
{
	struct actual actual;
	rig_observe(rig, &actual);
	return actual.router_ok && actual.n_arms == 1 && actual.arms[0].ready == 2;
}

/* Two copies that are live, and the duplicates of the sockets are here (they come within one look). */
static char *go_live(struct rig *rig)
{
	char *image = rig_image(rig, "v1", "ok");
	rig_apply(rig, (struct wanted[]){{image, 2, ALL}}, 1);
	rig_until(rig, serves(rig));
	rig_run(rig, 100);
	return image;
}

static void wait_for_another(struct rig *rig, unsigned long before)
{
	rig_until(rig, rig_router_pid(rig) != before && rig_router_pid(rig) != 0);
	rig_until(rig, serves(rig));
	rig_run(rig, 100);
}

/* As a person would. A master that is just executing itself anew loses the command. */
static void reload(struct rig *rig, unsigned long before)
{
	for (int tries = 0; tries < 10 && rig_router_pid(rig) == before; tries++) {
		(void)master_pid(rig);
		free(rig_master(rig, "reload"));
		for (int i = 0; i < 30 && rig_router_pid(rig) == before; i++)
			rig_run(rig, 50);
	}
	wait_for_another(rig, before);
}

/* ---- the tests ---- */

static void killed_workers_refuse_nobody(void **state)
{
	struct rig *rig = *state;
	struct clients clients;
	enum { TIMES = 5 };
	rig_open(rig);
	free(go_live(rig));
	clients_start(&clients, rig);
	for (int i = 0; i < TIMES; i++) {
		unsigned long pid = rig_router_pid(rig);
		assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
		wait_for_another(rig, pid);
	}
	clients_stop(&clients, "5 killed workers");
	assert_true(clients.lost <= TIMES * CLIENTS);
}

static void killed_masters_refuse_nobody(void **state)
{
	struct rig *rig = *state;
	struct clients clients;
	enum { TIMES = 5 };
	rig_open(rig);
	free(go_live(rig));
	clients_start(&clients, rig);
	for (int i = 0; i < TIMES; i++) {
		unsigned long pid = rig_router_pid(rig);
		assert_int_equal(kill(master_pid(rig), SIGKILL), 0);
		wait_for_another(rig, pid);
	}
	clients_stop(&clients, "5 killed masters");
	assert_true(clients.lost <= TIMES * CLIENTS);
}

static void reloads_lose_nothing(void **state)
{
	struct rig *rig = *state;
	struct clients clients;
	rig_open(rig);
	free(go_live(rig));
	clients_start(&clients, rig);
	for (int i = 0; i < 5; i++)
		reload(rig, rig_router_pid(rig));
	clients_stop(&clients, "5 reloads");
	assert_int_equal(clients.lost, 0);
}

static void crash_in_the_middle_of_a_reload_refuses_nobody(void **state)
{
	struct rig *rig = *state;
	struct clients clients;
	rig_open(rig);
	free(go_live(rig));
	clients_start(&clients, rig);
	for (int i = 0; i < 3; i++) {
		unsigned long pid = rig_router_pid(rig);
		(void)master_pid(rig);
		free(rig_master(rig, "reload"));
		rig_run(rig, (uint64_t)i * 30); /* before, while and after the new worker takes over */
		kill((pid_t)pid, SIGKILL);
		rig_run(rig, 300);
		rig_until(rig, rig_router_pid(rig) != 0);
		rig_until(rig, serves(rig));
		rig_run(rig, 100);
	}
	clients_stop(&clients, "3 reloads with a crash");
	assert_true(clients.lost <= 3 * CLIENTS);
}

static void next_daemon_gets_the_sockets_back(void **state)
{
	struct rig *rig = *state;
	struct clients clients;
	rig_open(rig);
	free(go_live(rig));
	clients_start(&clients, rig);
	for (int i = 0; i < 3; i++) {
		rig_close(rig);
		rig_open(rig);
		rig_until(rig, serves(rig));
		rig_run(rig, 100);
		unsigned long pid = rig_router_pid(rig);
		assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
		wait_for_another(rig, pid);
	}
	clients_stop(&clients, "3 daemons with a crash each");
	assert_true(clients.lost <= 3 * CLIENTS);
	assert_int_equal(rig_starts(rig), 2);
}

/* ---- another program ---- */

/* A script in front of the real program makes another file of it, and counts its starts. */
static char *program(struct rig *rig, const char *name, const char *mark)
{
	cleanup_free char *text = xasprintf("#!/bin/sh\necho %s >> %s/executed\nexec /usr/sbin/haproxy \"$@\"\n", mark, rig->fixture->dir);
	cleanup_free char *aside_name = xasprintf("%s.new", name);
	cleanup_free char *aside = fixture_write(rig->fixture, aside_name, text);
	char *path = path_join(rig->fixture->dir, name);
	assert_int_equal(chmod(aside, 0755), 0);
	assert_int_equal(rename(aside, path), 0);
	return path;
}

static bool was_executed(const struct rig *rig, const char *mark)
{
	cleanup_free char *path = path_join(rig->fixture->dir, "executed"), *text = NULL;
	cleanup_error struct error *ignored = NULL;
	return file_read(path, 65536, &text, NULL, &ignored) == 0 && strstr(text, mark);
}

/* What runs is a copy of Debian's own file, renamed over: as a package's upgrade does it. */
static void copy_over(struct rig *rig, const char *path)
{
	cleanup_free char *aside = xasprintf("%s.new", path);
	cleanup_error struct error *err = NULL;
	(void)rig;
	assert_ok(file_copy("/usr/sbin/haproxy", aside, &err), err);
	assert_int_equal(chmod(aside, 0755), 0);
	assert_int_equal(rename(aside, path), 0);
}

static void replaced_program_is_loaded_and_loses_nothing(void **state)
{
	struct rig *rig = *state;
	struct clients clients;
	cleanup_free char *path = path_join(rig->fixture->dir, "haproxy-copy");
	cleanup_free char *line = xasprintf("haproxy: %s\n", path);
	copy_over(rig, path);
	rig_configure(rig, line);
	rig_open(rig);
	free(go_live(rig));
	clients_start(&clients, rig);
	for (int i = 0; i < 3; i++) {
		unsigned long pid = rig_router_pid(rig);
		pid_t master = master_pid(rig);
		copy_over(rig, path);
		wait_for_another(rig, pid); /* by itself */
		assert_int_equal(master_pid(rig), master);
	}
	clients_stop(&clients, "3 replaced programs");
	assert_int_equal(clients.lost, 0);
}

static void broken_replacement_changes_nothing(void **state)
{
	struct rig *rig = *state;
	struct clients clients;
	cleanup_free char *path = path_join(rig->fixture->dir, "haproxy-copy");
	cleanup_free char *line = xasprintf("haproxy: %s\n", path);
	copy_over(rig, path);
	rig_configure(rig, line);
	rig_open(rig);
	cleanup_free char *image = go_live(rig);
	clients_start(&clients, rig);
	unsigned long pid = rig_router_pid(rig);
	cleanup_free char *broken = fixture_write(rig->fixture, "broken", "#!/bin/sh\necho '[ALERT] (1) : cannot load library' >&2\nexit 1\n");
	assert_int_equal(chmod(broken, 0755), 0);
	assert_int_equal(rename(broken, path), 0);
	rig_run(rig, 2500);
	assert_int_equal(rig_router_pid(rig), pid);
	/* Weights and copies can still be changed. */
	rig_apply(rig, (struct wanted[]){{image, 1, ALL}}, 1);
	rig_apply(rig, (struct wanted[]){{image, 2, ALL}}, 1);
	assert_int_equal(rig_router_pid(rig), pid);
	copy_over(rig, path);
	wait_for_another(rig, pid);
	clients_stop(&clients, "a broken replacement, then a good one");
	assert_int_equal(clients.lost, 0);
}

static void other_program_takes_over_and_loses_nothing(void **state)
{
	struct rig *rig = *state;
	struct clients clients;
	cleanup_free char *first = program(rig, "haproxy-one", "one"), *second = program(rig, "haproxy-two", "two");
	cleanup_free char *line = xasprintf("haproxy: %s\n", first), *other = xasprintf("haproxy: %s\n", second);
	cleanup_free char *config = xstrdup(rig->config);
	rig_configure(rig, line);
	rig_open(rig);
	free(go_live(rig));
	assert_true(was_executed(rig, "one"));
	clients_start(&clients, rig);
	unsigned long pid = rig_router_pid(rig);
	pid_t master = master_pid(rig);
	rig_close(rig);
	free(rig->config);
	rig->config = STEAL(config);
	rig_configure(rig, other);
	rig_open(rig);
	wait_for_another(rig, pid);
	assert_true(was_executed(rig, "two"));
	assert_int_not_equal(master_pid(rig), master);
	/* The old one finishes and ends. */
	rig_until(rig, kill(master, 0) < 0);
	assert_true(serves(rig));
	/* And the new one is looked after as the old one was. */
	pid = rig_router_pid(rig);
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	wait_for_another(rig, pid);
	clients_stop(&clients, "another program, then a crash");
	assert_true(clients.lost <= CLIENTS);
}

/* Waiting is for what comes back soon: then it is better to be refused than to hang. */
static void connections_wait_for_a_while_and_are_then_let_go(void **state)
{
	struct rig *rig = *state;
	char body[64];
	cleanup_free char *path = path_join(rig->fixture->dir, "haproxy-copy");
	cleanup_free char *line = xasprintf("haproxy: %s\n", path);
	copy_over(rig, path);
	rig_configure(rig, line);
	rig_open(rig);
	free(go_live(rig));
	unsigned long pid = rig_router_pid(rig);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	rig_run(rig, 1000);
	cleanup_fd int waits = connect_to(rig->port);
	assert_true(waits >= 0);
	int refused = 0;
	rig_until(rig, (refused = connect_to(rig->port)) < 0 || close(refused) < 0);
	assert_int_equal(read(waits, body, sizeof(body)), -1);
	assert_int_equal(errno, ECONNRESET);
	copy_over(rig, path);
	rig_until(rig, serves(rig)); /* before that a request would wait, and we with it */
	assert_int_equal(rig_get(rig, body), 200);
}

/* ---- the preview address ---- */

struct applied {
	bool here;
	struct error *err;
};
static void on_applied(void *arg, uint64_t generation, struct error *err)
{
	struct applied *applied = arg;
	(void)generation;
	applied->here = true;
	rig_keep_error(&applied->err, generation, err);
}

static void apply_with_preview(struct rig *rig, const char *stable, const char *candidate, unsigned preview)
{
	struct release releases[] = {{.id = 1, .version = "1", .image = stable, .commit = "c0ffee"},
				     {.id = 2, .version = "2", .image = candidate, .commit = "c0ffee"}};
	struct desired desired = {.arms = {{&releases[0], 1, ALL}, {&releases[1], 1, 0}},
				  .n_arms = 2,
				  .generation = ++rig->generation,
				  .preview = preview,
				  .health_path = rig->health_path,
				  .health_within_ms = rig->health_within_ms};
	struct applied applied = {0};
	rig->target->ops->apply(rig->target, &desired, on_applied, &applied);
	rig_until(rig, applied.here);
	assert_no_error(applied.err);
}

/* Answers on another port of the same target. */
static int get_at(struct rig *rig, uint16_t port, char body[64])
{
	uint16_t live = rig->port;
	rig->port = port;
	int status = rig_get(rig, body);
	rig->port = live;
	return status;
}

static void preview_address_shows_the_candidate_and_counts_nothing(void **state)
{
	struct rig *rig = *state;
	struct counts_report report;
	char body[64];
	uint16_t live = rig->port;
	rig_move(rig); /* only for its port */
	uint16_t preview = rig->port;
	rig->port = live;
	cleanup_free char *line = xasprintf("preview: \"127.0.0.1:%u\"\n", preview);
	rig_configure(rig, line);
	cleanup_free char *first = rig_image(rig, "v1", "ok"), *second = rig_image(rig, "v2", "ok");
	rig_open(rig);
	rig_apply(rig, (struct wanted[]){{first, 1, ALL}}, 1);
	assert_int_equal(get_at(rig, preview, body), 503);
	assert_string_equal(body, "no release of target prod is on preview now\n");
	apply_with_preview(rig, first, second, 2);
	assert_int_equal(get_at(rig, preview, body), 200);
	assert_string_equal(body, "v2");
	assert_int_equal(rig_get(rig, body), 200);
	assert_string_equal(body, "v1");
	/* One live request was counted; none of the preview's, which came before it. */
	rig_until(rig, (rig_counts(rig, &report), rig_arm_counts(&report, first)->completed == 1));
	assert_int_equal(rig_arm_counts(&report, second)->assigned, 0);
	/* A reload and a crash show it again. */
	unsigned long pid = rig_router_pid(rig);
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	rig_until(rig, rig_router_pid(rig) != pid && rig_router_pid(rig) != 0);
	assert_int_equal(get_at(rig, preview, body), 200);
	assert_string_equal(body, "v2");
	apply_with_preview(rig, first, second, 0);
	assert_int_equal(get_at(rig, preview, body), 503);
	assert_int_equal(rig_get(rig, body), 200);
	assert_string_equal(body, "v1");
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
		TEST(killed_workers_refuse_nobody),
		TEST(killed_masters_refuse_nobody),
		TEST(reloads_lose_nothing),
		TEST(crash_in_the_middle_of_a_reload_refuses_nobody),
		TEST(next_daemon_gets_the_sockets_back),
		TEST(replaced_program_is_loaded_and_loses_nothing),
		TEST(broken_replacement_changes_nothing),
		TEST(other_program_takes_over_and_loses_nothing),
		TEST(connections_wait_for_a_while_and_are_then_let_go),
		TEST(preview_address_shows_the_candidate_and_counts_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
