/* Starting, reloading, changing the program. Listening sockets are given to each HAProxy that we start, and got back from each that
 * answers; so they are there from before its start until long after its end. */
#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "deployers/haproxy/frontend.h"
#include "deployers/haproxy/program.h"
#include "deployers/haproxy/router_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

enum { SETTLE_WITHIN_MS = 15000, SETTLE_EVERY_MS = 10, LET_GO_AFTER_MS = 10000 };
#define PROGRAM_FILE "program" /* two lines: path, identity */
#define CHECK_LOG_MAX 512

/* ---- which program ---- */

static void set_text(char **text, const char *value)
{
	char *copy = xstrdup(value);
	free(*text);
	*text = copy;
}

void router_note_running(struct router *router)
{
	cleanup_free char *path = path_join(router->dir, PROGRAM_FILE), *text = NULL;
	cleanup_error struct error *ignored = NULL;
	if (file_read(path, 16384, &text, NULL, &ignored) < 0)
		return; /* an older release of ours did not write it: then nothing is known, and nothing is changed for its sake */
	char *second = strchr(text, '\n');
	if (!second)
		return;
	*second++ = '\0';
	second[strcspn(second, "\n")] = '\0';
	set_text(&router->ran_path, text);
	set_text(&router->ran_identity, second);
	set_text(&router->identity, second);
	router->settings.program = router->identity;
}

/* A program that is away for the moment, or that has refused the configuration, is no reason to touch the HAProxy that runs. */
void router_note_program(struct router *router)
{
	cleanup_free char *path = NULL;
	cleanup_error struct error *ignored = NULL;
	if (haproxy_program(router->program, &path, &ignored) < 0)
		return;
	cleanup_free char *identity = haproxy_program_identity(path);
	if (!identity || (router->refused && strcmp(identity, router->refused) == 0) || (router->identity && strcmp(identity, router->identity) == 0))
		return;
	free(STEAL(router->refused));
	set_text(&router->identity, identity);
	router->settings.program = router->identity;
}

/* What was started, or reloaded, runs. */
static void note_loaded(struct router *router)
{
	const char *path = router->starting_path;
	cleanup_free char *file = path_join(router->dir, PROGRAM_FILE);
	cleanup_free char *text = xasprintf("%s\n%s\n", path, router->identity ? router->identity : "");
	cleanup_error struct error *err = NULL;
	if (!path || (router->ran_path && strcmp(router->ran_path, path) == 0 && router->ran_identity && router->identity &&
		      strcmp(router->ran_identity, router->identity) == 0))
		return;
	set_text(&router->ran_path, path);
	set_text(&router->ran_identity, router->identity);
	if (file_write_atomic(file, text, strlen(text), 0600, &err) < 0)
		log_write(LOG_WARNING, router->subject, "%s", error_message(err));
}

/* Go on with what runs. A first start has nothing to go on with, and is simply tried again. */
static void refuse_program(struct router *router)
{
	if (!router->ran_identity || !router->identity || strcmp(router->ran_identity, router->identity) == 0)
		return;
	log_write(LOG_WARNING, router->subject, "the HAProxy that runs is kept; the new one is tried again when its file changes");
	set_text(&router->refused, router->identity);
	set_text(&router->identity, router->ran_identity);
	router->settings.program = router->identity;
}

/* ---- listening sockets ---- */

static void take_over(struct router *router);
static void start_over(struct router *router, struct error *err);

static void keep_sockets(struct router *router, struct held_sockets *held)
{
	held_sockets_close(&router->held);
	router->held = *held;
	router->held_from = router->fetch_from;
}

static void on_sockets(void *arg, struct held_sockets *held, const struct error *err)
{
	struct router *router = router_of(arg);
	bool takes_over = router->takes_over;
	router->fetch = NULL;
	router->takes_over = false;
	if (takes_over && err) {
		struct error *bad = NULL;
		error_set(&bad, error_code_of(err), 0, "%s", error_message(err));
		start_over(router, bad);
	} else if (takes_over) {
		keep_sockets(router, held);
		take_over(router);
	} else if (err && error_code_of(err) == ERROR_PROTOCOL) {
		/* What we have, if anything, stays. This worker has none to give: it is not asked again. */
		router->held_from = router->fetch_from;
		log_write(LOG_WARNING, router->subject, "%s: if it crashes now, connections are refused until it is back", error_message(err));
	} else if (!err && (router->job == JOB_START || router->job == JOB_RELOAD || !router_attempt_runs(router->attempt_dir))) {
		held_sockets_close(held); /* too late: those we have may be on their way to the next one */
	} else if (!err) {
		keep_sockets(router, held);
	}
}

static void ask_for_sockets(struct router *router, unsigned long pid)
{
	cleanup_free char *path = router_socket(router, ROUTER_RUNTIME_SOCKET);
	router->fetch_from = pid;
	router->fetch = socket_fetch_start(router->loop, path, on_sockets, router);
}

/* Moves are cheap and rare: once for each worker. */
static void get_sockets(struct router *router, unsigned long pid)
{
	if (router->fetch || router->held_from == pid || router->job == JOB_START || router->job == JOB_RELOAD)
		return;
	ask_for_sockets(router, pid);
}

static int write_servers(struct router *router, const struct router_state *state, struct error **err)
{
	cleanup_buf struct buf text;
	buf_init(&text, 1024 * 1024);
	server_states_text(router->target, state->servers, state->n_servers, &text);
	if (text.failed)
		return error_set(err, ERROR_TOO_LARGE, 0, "the states of HAProxy's servers would be larger than 1 MiB");
	if (router->servers_text && strcmp(router->servers_text, text.data) == 0)
		return 0;
	cleanup_free char *path = path_join(router->dir, ROUTER_SERVERS_FILE);
	if (file_write_atomic(path, text.data, text.len, 0600, err) < 0)
		return -1;
	set_text(&router->servers_text, text.data);
	return 0;
}

void router_note_state(struct router *router, const struct router_state *state)
{
	cleanup_error struct error *err = NULL;
	snprintf(router->loaded_mark, sizeof(router->loaded_mark), "%s", state->mark);
	get_sockets(router, state->pid);
	if (write_servers(router, state, &err) < 0)
		log_write(LOG_WARNING, router->subject, "%s", error_message(err));
}

static void let_go(void *arg)
{
	struct router *router = router_of(arg);
	loop_timer_stop(STEAL(router->let_go_timer));
	if (!router->held.n || router_attempt_runs(router->attempt_dir))
		return;
	log_write(LOG_ERROR, router->subject, "HAProxy has been away for %d s: connections that wait for it are let go, and refused until it is back",
		  LET_GO_AFTER_MS / 1000);
	held_sockets_close(&router->held);
	router->held_from = 0;
}

void router_note_exit(struct router *router)
{
	router->held_from = 0;
	if (router->held.n && !router->let_go_timer)
		router->let_go_timer = loop_timer_start(router->loop, LET_GO_AFTER_MS, 0, let_go, router);
}

/* Makes `held` exactly the configuration's addresses. */
static int prepare_sockets(struct router *router, struct error **err)
{
	const char *const texts[] = {router->frontend, router->preview};
	struct sockaddr_storage addresses[ARRAY_SIZE(texts)] = {0};
	size_t n = 0;
	socklen_t len;
	for (size_t i = 0; i < ARRAY_SIZE(texts) && texts[i]; i++, n++)
		if (!frontend_parse(texts[i], &addresses[n], &len))
			return error_set(err, ERROR_INVALID, 0, "\"%s\" is no address:port", texts[i]);
	held_sockets_keep(&router->held, addresses, n);
	for (size_t i = 0; i < n; i++) {
		int fd;
		if (held_sockets_have(&router->held, &addresses[i]))
			continue;
		if (frontend_listen(texts[i], router->settings.max_connections, &fd, err) < 0)
			return -1;
		held_sockets_add(&router->held, fd);
		router->created = true;
	}
	cleanup_free char *path = router_socket(router, ROUTER_OFFER_SOCKET);
	return router->offer ? 0 : socket_offer_open(router->loop, path, &router->held, &router->offer, err);
}

/* ---- ends ---- */

static void start_over(struct router *router, struct error *err)
{
	socket_offer_close(STEAL(router->offer));
	if (err && router->created && !router_attempt_runs(router->attempt_dir)) {
		/* Nobody will serve who connects now. */
		held_sockets_close(&router->held);
		router->held_from = 0;
	}
	router->created = false;
	if (!err)
		loop_timer_stop(STEAL(router->let_go_timer));
	if (err && router->before_dir) {
		/* The new program did not come up; the one before was not told to go. */
		cleanup_error struct error *ignored = NULL;
		if (attempt_cancel(router->attempt_dir, &ignored) < 0)
			log_write(LOG_WARNING, router->subject, "%s", error_message(ignored));
		free(router->attempt_dir);
		router->attempt_dir = STEAL(router->before_dir);
		router_watch(router);
		refuse_program(router);
	}
	free(STEAL(router->before_dir));
	router_finish(router, err);
}

void router_start_done(struct router *router)
{
	loop_timer_stop(router->settle_timer);
	loop_timer_stop(router->let_go_timer);
	socket_fetch_stop(router->fetch);
	socket_offer_close(router->offer);
	held_sockets_close(&router->held);
	if (router->check) {
		router->check->router = NULL;
		child_cancel(router->check->child);
	}
	free(router->identity);
	free(router->ran_path);
	free(router->ran_identity);
	free(router->refused);
	free(router->servers_text);
	free(router->before_dir);
	free(router->starting_path);
}

/* ---- waiting until it runs ---- */

static void on_settle_timer(void *arg);

static void settle_later(struct router *router)
{
	loop_timer_stop(router->settle_timer);
	router->settle_timer = loop_timer_start(router->loop, SETTLE_EVERY_MS, 0, on_settle_timer, router);
}

static void exited_error(struct router *router, struct error **err)
{
	cleanup_free char *log = path_join(router->attempt_dir, "log");
	char line[CHECK_LOG_MAX];
	haproxy_complaint(log, line, sizeof(line));
	router->loaded_mark[0] = '\0'; /* the next start checks first */
	error_set(err, ERROR_UNAVAILABLE, 0, "HAProxy ended right after its start: %s (its log: %s)", line, log);
}

static void too_old(const struct router_state *state, struct error **err)
{
	unsigned major = state->version_major, minor = state->version_minor;
	if (major < 2 || (major == 2 && minor < 6))
		error_set(err, ERROR_UNSUPPORTED, 0, "HAProxy %u.%u is too old: 2.6 or newer is needed (Debian 12's package haproxy has it)", major,
			  minor);
}

static void on_settle_answer(void *arg, const char *answer, struct error *err)
{
	struct router *router = router_of(arg);
	struct router_state state = {0};
	struct error *bad = NULL;
	if (!err && router_state_parse(router->settings.target, answer, &state, NULL) == 0) {
		bool there = strcmp(state.mark, router->mark) == 0 && state.pid != router->pid_before;
		if (there) {
			too_old(&state, &bad);
			note_loaded(router);
			router->job = JOB_NONE; /* its sockets are asked for */
			router_note_state(router, &state);
			router_state_done(&state);
			start_over(router, bad);
			return;
		}
		router_state_done(&state);
	}
	if ((router->job == JOB_START || router->before_dir) && !router_attempt_runs(router->attempt_dir)) {
		exited_error(router, &bad);
	} else if (clock_mono_ms() > router->settle_until) {
		error_set(&bad, ERROR_TIMEOUT, 0, "HAProxy did not come up with its new configuration within 15s (its log: %s/log)",
			  router->attempt_dir ? router->attempt_dir : router->dir);
	} else {
		settle_later(router);
		return;
	}
	start_over(router, bad);
}

static void on_settle_timer(void *arg)
{
	struct router *router = router_of(arg);
	loop_timer_stop(STEAL(router->settle_timer));
	runtime_send(router->runtime, ROUTER_STATE_COMMANDS, on_settle_answer, router);
}

static void settle(struct router *router)
{
	router->settle_until = clock_mono_ms() + SETTLE_WITHIN_MS;
	settle_later(router);
}

/* ---- starting ---- */

static void forget_old_starts(const struct router *router, unsigned latest)
{
	for (unsigned number = latest; number-- > 1 && number + 8 > latest;) {
		if (number + 2 >= latest)
			continue;
		cleanup_free char *dir = xasprintf("%s/starts/%06u", router->dir, number);
		cleanup_error struct error *ignored = NULL;
		if (router_attempt_runs(dir) || tree_remove(dir, &ignored) < 0)
			return;
	}
}

/* HAProxy itself tells `old_master`, if there is one, to finish its requests and go, once it has what it needs. */
static int start_attempt(struct router *router, const char *program, unsigned long old_master, struct error **err)
{
	const char *argv[16] = {program, "-W",
				"-C",    router->dir,
				"-f",    ROUTER_CONFIG_FILE,
				"-S",    "unix@" ROUTER_MASTER_SOCKET ",mode,600",
				"-x",    ROUTER_OFFER_SOCKET};
	const char *env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", NULL};
	cleanup_free char *pid = xasprintf("%lu", old_master);
	if (old_master) {
		argv[10] = "-sf";
		argv[11] = pid;
	}
	struct attempt_command command = {.name = "haproxy", .argv = argv, .env = env, .sandbox = {.dir = router->dir}};
	struct attempt_spec spec = {.dir = router->attempt_dir, .commands = &command, .n_commands = 1, .limits = {.open_files = 65536}};
	return attempt_start(&spec, err);
}

/* The state file may not be missing; which servers are up is then not known. */
static int prepare_files(struct router *router, struct error **err)
{
	static const struct router_state nothing;
	cleanup_free char *path = path_join(router->dir, ROUTER_SERVERS_FILE);
	return path_exists(path) ? 0 : write_servers(router, &nothing, err);
}

static int start_process(struct router *router, unsigned long old_master, struct error **err)
{
	cleanup_free char *program = NULL;
	if (haproxy_program(router->program, &program, err) < 0 || prepare_sockets(router, err) < 0)
		return -1;
	unsigned number = router_latest_start(router->dir) + 1;
	cleanup_free char *before = router->attempt_dir;
	router->attempt_dir = xasprintf("%s/starts/%06u", router->dir, number);
	if (old_master) {
		router->before_dir = STEAL(before);
		router->has_old = true;
	}
	if (dir_make(router->attempt_dir, 0700, err) < 0 || start_attempt(router, program, old_master, err) < 0)
		return -1;
	router_watch(router);
	free(router->starting_path);
	router->starting_path = STEAL(program);
	forget_old_starts(router, number);
	return 0;
}

/* ---- reloading ---- */

static void on_reload_answer(void *arg, const char *answer, struct error *err)
{
	struct router *router = router_of(arg);
	(void)answer; /* 2.6 answers nothing, 2.7 and newer tell success or the log: what it has loaded is asked below */
	if (err) {
		struct error *bad = NULL;
		error_set(&bad, error_code_of(err), 0, "%s", error_message(err));
		start_over(router, bad);
		return;
	}
	settle(router);
}

/* Who listens at the master's socket; 0: nobody. The kernel says so, at this moment. */
static unsigned long master_pid(const struct router *router)
{
	cleanup_free char *path = router_socket(router, ROUTER_MASTER_SOCKET);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ucred peer;
	socklen_t len = sizeof(peer);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return 0;
	return peer.pid > 0 ? (unsigned long)peer.pid : 0;
}

/* A reload executes the file that the master was started as: another path needs another master, which takes over. */
static bool is_other_program(const struct router *router, char **ret_path)
{
	cleanup_error struct error *ignored = NULL;
	cleanup_free char *path = NULL;
	if (haproxy_program(router->program, &path, &ignored) < 0)
		return false;
	bool other = router->ran_path && strcmp(router->ran_path, path) != 0;
	*ret_path = STEAL(path);
	return other;
}

static void take_over(struct router *router)
{
	struct error *err = NULL;
	unsigned long old_master = master_pid(router);
	if (!old_master) {
		error_set(&err, ERROR_UNAVAILABLE, 0, "HAProxy's master does not answer: it cannot be told to make way for another program");
		start_over(router, err);
	} else if (start_process(router, old_master, &err) < 0) {
		start_over(router, err);
	} else {
		settle(router);
	}
}

static void on_pid_answer(void *arg, const char *answer, struct error *err)
{
	struct router *router = router_of(arg);
	struct router_state state = {0};
	struct error *bad = NULL;
	cleanup_free char *path = NULL;
	int status = 0;
	if (!err && router_state_parse(router->settings.target, answer, &state, NULL) == 0) {
		router->pid_before = state.pid;
		status = write_servers(router, &state, &bad);
	}
	router_state_done(&state);
	if (status < 0) {
		start_over(router, bad);
	} else if (!is_other_program(router, &path)) {
		free(router->starting_path);
		router->starting_path = STEAL(path);
		runtime_send(router->master, "reload", on_reload_answer, router);
	} else if (router->held_from == router->pid_before) {
		take_over(router);
	} else {
		router->takes_over = true; /* with the sockets of the worker that runs */
		socket_fetch_stop(router->fetch);
		ask_for_sockets(router, router->pid_before);
	}
}

/* ---- both ---- */

static void go_on(struct router *router)
{
	struct error *err = NULL;
	if (prepare_files(router, &err) < 0)
		start_over(router, err);
	else if (router->job == JOB_RELOAD)
		runtime_send(router->runtime, ROUTER_STATE_COMMANDS, on_pid_answer, router);
	else if (start_process(router, 0, &err) < 0)
		start_over(router, err);
	else
		settle(router);
}

static void on_checked(void *arg, const struct child_result *result)
{
	struct check *check = arg;
	struct router *router = check->router;
	free(check);
	if (!router)
		return;
	router->check = NULL;
	struct error *err = NULL;
	if (result->exit_code || result->signal || result->timed_out) {
		char line[CHECK_LOG_MAX];
		haproxy_complaint_in(result->err_text, line, sizeof(line));
		error_set(&err, ERROR_INVALID, 0, "HAProxy refuses the configuration %s/" ROUTER_CONFIG_FILE ": %s", router->dir, line);
		if (router->job == JOB_RELOAD)
			refuse_program(router);
		start_over(router, err);
		return;
	}
	go_on(router);
}

/* `haproxy -c`: the configuration is ours, but what is installed may be older, newer or built without something. One that was seen
 * running (the mark names the program too) needs none: after a crash every millisecond is somebody's. */
static void check_first(void *arg)
{
	struct router *router = router_of(arg);
	loop_timer_stop(STEAL(router->settle_timer));
	cleanup_free char *program = NULL;
	struct error *err = NULL;
	if (haproxy_program(router->program, &program, &err) < 0) {
		start_over(router, err);
		return;
	}
	if (router->job == JOB_START && strcmp(router->mark, router->loaded_mark) == 0) {
		go_on(router);
		return;
	}
	const char *argv[] = {program, "-c", "-C", router->dir, "-f", ROUTER_CONFIG_FILE, NULL};
	struct child_spec spec = {.argv = argv, .timeout_ms = 10000};
	router->check = xcalloc(1, sizeof(*router->check));
	router->check->router = router;
	if (child_start(router->loop, &spec, on_checked, router->check, &router->check->child, &err) < 0) {
		free(STEAL(router->check));
		start_over(router, err);
	}
}

static void start_job(struct router *router, enum job_kind job, const char *mark, router_done_fn done, void *arg)
{
	router_begin(router, job, done, arg);
	snprintf(router->mark, sizeof(router->mark), "%s", mark);
	router->pid_before = 0;
	router->settle_timer = loop_timer_start(router->loop, 0, 0, check_first, router);
}

void router_start(struct router *router, const char *mark, router_done_fn done, void *arg)
{
	start_job(router, JOB_START, mark, done, arg);
}

void router_reload(struct router *router, const char *mark, router_done_fn done, void *arg)
{
	start_job(router, JOB_RELOAD, mark, done, arg);
}
