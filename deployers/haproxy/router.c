#include "deployers/haproxy/router.h"

#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "deployers/haproxy/frontend.h"
#include "deployers/haproxy/program.h"
#include "deployers/haproxy/runtime.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { ROUTER_MAGIC = 0x70a57e01, SETTLE_WITHIN_MS = 15000, SETTLE_EVERY_MS = 40 };

enum job_kind { JOB_NONE, JOB_START, JOB_RELOAD, JOB_COMMAND, JOB_SPLIT };

struct observation {
	struct observation *next;
	struct router *router;
	struct router_state state;
	router_observed_fn done;
	void *arg;
};

struct router {
	unsigned magic;
	struct loop *loop;
	char *dir, *program;
	int dir_fd;
	struct router_settings settings;
	char *target, *frontend, *preview, *user;
	struct router_callbacks callbacks;
	struct runtime_client *runtime, *master;
	struct log_ring *log;
	char *attempt_dir; /* of the latest start, or NULL */
	struct attempt_watch *watch;
	struct observation *observations;
	/* The one write in flight. */
	enum job_kind job;
	router_done_fn done;
	void *arg;
	char mark[CONFIG_MARK_SIZE];
	struct split split;
	struct check *check;
	struct loop_timer *settle_timer;
	uint64_t settle_until;
	bool settling_read;
	unsigned long pid_before;
};

/* Outlives the router if it is closed while the child still runs. */
struct check {
	struct router *router;
	struct child *child;
};

static struct router *router_of(void *arg)
{
	struct router *router = arg;
	assert(router->magic == ROUTER_MAGIC);
	return router;
}

const struct router_settings *router_settings_of(const struct router *router)
{
	return &router->settings;
}

/* ---- opening ---- */

/* The number of the newest folder below starts/; 0: none. */
static unsigned latest_start(const char *dir)
{
	cleanup_free char *starts = path_join(dir, "starts");
	cleanup_dir DIR *entries = opendir(starts);
	unsigned latest = 0;
	if (!entries)
		return 0;
	for (struct dirent *entry; (entry = readdir(entries));) {
		unsigned number = (unsigned)strtoul(entry->d_name, NULL, 10);
		if (number > latest)
			latest = number;
	}
	return latest;
}

static void on_attempt_done(void *arg, enum attempt_state state)
{
	struct router *router = router_of(arg);
	(void)state;
	attempt_watch_stop(router->watch);
	router->watch = NULL;
	router->callbacks.on_exit(router->callbacks.arg);
}

static void watch_attempt(struct router *router)
{
	attempt_watch_stop(router->watch);
	router->watch = attempt_watch_start(router->loop, router->attempt_dir, on_attempt_done, router);
}

static bool attempt_runs(const struct router *router)
{
	enum attempt_state state;
	return router->attempt_dir && attempt_state(router->attempt_dir, &state, NULL) == 0 && state == ATTEMPT_RUNNING;
}

static void attach(struct router *router)
{
	unsigned number = latest_start(router->dir);
	if (!number)
		return;
	router->attempt_dir = xasprintf("%s/starts/%06u", router->dir, number);
	if (attempt_runs(router))
		watch_attempt(router);
}

/* HAProxy's own user, if we may become it: what faces the network should not be root. */
static const struct passwd *worker_user(void)
{
	return geteuid() == 0 ? getpwnam("haproxy") : NULL;
}

static int open_sockets(struct router *router, struct error **err)
{
	router->dir_fd = open(router->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (router->dir_fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open %s", router->dir);
	/* Short however long the state directory's path is: a socket's path has room for 107 bytes. */
	cleanup_free char *runtime = xasprintf("/proc/self/fd/%d/" ROUTER_RUNTIME_SOCKET, router->dir_fd);
	cleanup_free char *master = xasprintf("/proc/self/fd/%d/" ROUTER_MASTER_SOCKET, router->dir_fd);
	cleanup_free char *log = xasprintf("/proc/self/fd/%d/" ROUTER_LOG_SOCKET, router->dir_fd);
	const struct passwd *user = worker_user();
	router->user = user ? xstrdup(user->pw_name) : NULL;
	router->settings.user = router->user;
	if (log_ring_open(router->loop, log, user ? user->pw_uid : geteuid(), router->callbacks.on_line, router->callbacks.on_broken,
			  router->callbacks.arg, &router->log, err) < 0)
		return -1;
	router->runtime = runtime_client_new(router->loop, runtime, "HAProxy's runtime socket");
	router->master = runtime_client_new(router->loop, master, "HAProxy's master socket");
	return 0;
}

int router_open(struct loop *loop, const char *dir, const struct router_settings *settings, const char *program,
		const struct router_callbacks *callbacks, struct router **ret, struct error **err)
{
	/* The worker looks up the log socket in its working directory, which it may have to do as another user. */
	if (dir_make(dir, 0711, err) < 0)
		return -1;
	struct router *router = xcalloc(1, sizeof(*router));
	router->magic = ROUTER_MAGIC;
	router->loop = loop;
	router->dir = xstrdup(dir);
	router->dir_fd = -1;
	router->program = xstrdup(program);
	router->settings = *settings;
	router->settings.target = router->target = xstrdup(settings->target);
	router->settings.frontend = router->frontend = xstrdup(settings->frontend);
	router->settings.preview = router->preview = xstrdup(settings->preview);
	router->callbacks = *callbacks;
	if (open_sockets(router, err) < 0) {
		router_close(router);
		return -1;
	}
	attach(router);
	*ret = router;
	return 0;
}

static void observation_free(struct observation *observation)
{
	struct observation **at = &observation->router->observations;
	while (*at != observation)
		at = &(*at)->next;
	*at = observation->next;
	router_state_done(&observation->state);
	free(observation);
}

void router_close(struct router *router)
{
	if (!router)
		return;
	runtime_client_free(router->runtime);
	runtime_client_free(router->master);
	log_ring_close(router->log);
	attempt_watch_stop(router->watch);
	loop_timer_stop(router->settle_timer);
	if (router->check) {
		router->check->router = NULL;
		child_cancel(router->check->child);
	}
	while (router->observations)
		observation_free(router->observations);
	if (router->dir_fd >= 0)
		close(router->dir_fd);
	free(router->attempt_dir);
	free(router->dir);
	free(router->program);
	free(router->target);
	free(router->frontend);
	free(router->preview);
	free(router->user);
	router->magic = 0;
	free(router);
}

/* ---- observing ---- */

static void observed(struct observation *observation, const struct error *err)
{
	struct router *router = observation->router;
	struct router_state state = observation->state;
	router_observed_fn done = observation->done;
	void *arg = observation->arg;
	observation->state = (struct router_state){0};
	observation_free(observation);
	done(arg, attempt_runs(router), &state, err);
	router_state_done(&state);
}

static void on_master_answer(void *arg, const char *answer, struct error *err)
{
	struct observation *observation = arg;
	/* Without the master nobody can tell whether an old worker is left; the worker's answer stands. */
	if (!err)
		observation->state.old_workers = old_workers_parse(answer);
	observed(observation, NULL);
}

static void on_state_answer(void *arg, const char *answer, struct error *err)
{
	struct observation *observation = arg;
	struct router *router = observation->router;
	cleanup_error struct error *bad = NULL;
	if (err || router_state_parse(router->settings.target, answer, &observation->state, &bad) < 0) {
		observed(observation, err ? err : bad);
		return;
	}
	runtime_send(router->master, ROUTER_MASTER_COMMANDS, on_master_answer, observation);
}

void router_observe(struct router *router, router_observed_fn done, void *arg)
{
	struct observation *observation = xcalloc(1, sizeof(*observation));
	observation->router = router;
	observation->done = done;
	observation->arg = arg;
	observation->next = router->observations;
	router->observations = observation;
	runtime_send(router->runtime, ROUTER_STATE_COMMANDS, on_state_answer, observation);
}

/* ---- the disk ---- */

int router_write_config(struct router *router, const char *const health_paths[SLOTS], const struct router_server *servers, size_t n,
			struct error **err)
{
	cleanup_buf struct buf text;
	buf_init(&text, 1024 * 1024);
	router_config_text(&router->settings, health_paths, servers, n, &text);
	if (text.failed)
		return error_set(err, ERROR_TOO_LARGE, 0, "HAProxy's configuration would be larger than 1 MiB");
	cleanup_free char *path = path_join(router->dir, ROUTER_CONFIG_FILE);
	return file_write_atomic(path, text.data, text.len, 0600, err);
}

int router_write_split(struct router *router, const struct split *split, struct error **err)
{
	char value[SPLIT_TEXT_SIZE];
	split_format(split, value);
	cleanup_free char *text = xasprintf(ROUTER_MAP_KEY " %s\n", value);
	cleanup_free char *path = path_join(router->dir, ROUTER_MAP_FILE);
	return file_write_atomic(path, text, strlen(text), 0600, err);
}

bool router_has_split_file(const struct router *router)
{
	cleanup_free char *path = path_join(router->dir, ROUTER_MAP_FILE);
	return path_exists(path);
}

/* ---- writing ---- */

static void begin(struct router *router, enum job_kind job, router_done_fn done, void *arg)
{
	assert(router->job == JOB_NONE);
	router->job = job;
	router->done = done;
	router->arg = arg;
}

/* Takes err. */
static void finish(struct router *router, struct error *err)
{
	loop_timer_stop(router->settle_timer);
	router->settle_timer = NULL;
	router->job = JOB_NONE;
	router->done(router->arg, err);
	error_free(err);
}

static bool is_success(const char *line)
{
	static const char *const words[] = {"New server registered.", "Server deleted.", "New version created: "};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strncmp(line, words[i], strlen(words[i])) == 0)
			return true;
	return line[0] == '\0';
}

/* Every line must be silence or success. */
static int check_answer(const char *answer, struct error **err)
{
	cleanup_free char *copy = xstrdup(answer);
	for (char *line = copy, *end; line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		if (!is_success(line))
			return error_set(err, ERROR_PROTOCOL, 0, "HAProxy says: %s", line);
	}
	return 0;
}

static void on_command_answer(void *arg, const char *answer, struct error *err)
{
	struct router *router = router_of(arg);
	struct error *bad = NULL;
	if (err)
		error_set(&bad, error_code_of(err), 0, "%s", error_message(err));
	else if (check_answer(answer, &bad) < 0)
		error_context(&bad, "runtime command");
	finish(router, bad);
}

void router_command(struct router *router, const char *commands, router_done_fn done, void *arg)
{
	begin(router, JOB_COMMAND, done, arg);
	runtime_send(router->runtime, commands, on_command_answer, router);
}

static void on_version(void *arg, const char *answer, struct error *err)
{
	struct router *router = router_of(arg);
	static const char created[] = "New version created: ";
	if (err || strncmp(answer, created, strlen(created)) != 0) {
		on_command_answer(arg, answer, err);
		return;
	}
	unsigned long version = strtoul(answer + strlen(created), NULL, 10);
	char value[SPLIT_TEXT_SIZE];
	split_format(&router->split, value);
	cleanup_free char *commands =
		xasprintf("add map @%lu " ROUTER_MAP_FILE " " ROUTER_MAP_KEY " %s;commit map @%lu " ROUTER_MAP_FILE, version, value, version);
	runtime_send(router->runtime, commands, on_command_answer, router);
}

void router_set_split(struct router *router, const struct split *split, bool one_entry, router_done_fn done, void *arg)
{
	begin(router, JOB_SPLIT, done, arg);
	router->split = *split;
	if (!one_entry) {
		runtime_send(router->runtime, "prepare map " ROUTER_MAP_FILE, on_version, router);
		return;
	}
	char value[SPLIT_TEXT_SIZE];
	split_format(split, value);
	cleanup_free char *command = xasprintf("set map " ROUTER_MAP_FILE " " ROUTER_MAP_KEY " %s", value);
	runtime_send(router->runtime, command, on_command_answer, router);
}

/* ---- starting and reloading ---- */

static void on_settle_timer(void *arg);

static void settle_later(struct router *router)
{
	loop_timer_stop(router->settle_timer);
	router->settle_timer = loop_timer_start(router->loop, SETTLE_EVERY_MS, 0, on_settle_timer, router);
}

static void exited_error(struct router *router, struct error **err)
{
	cleanup_free char *log = path_join(router->attempt_dir, "log");
	char line[512];
	haproxy_complaint(log, line, sizeof(line));
	error_set(err, ERROR_UNAVAILABLE, 0, "HAProxy ended right after its start: %s (its log: %s)", line, log);
}

static void on_settle_answer(void *arg, const char *answer, struct error *err)
{
	struct router *router = router_of(arg);
	struct router_state state = {0};
	struct error *bad = NULL;
	if (!err && router_state_parse(router->settings.target, answer, &state, NULL) == 0) {
		bool there = strcmp(state.mark, router->mark) == 0 && state.pid != router->pid_before;
		unsigned major = state.version_major, minor = state.version_minor;
		router_state_done(&state);
		if (there && (major < 2 || (major == 2 && minor < 6)))
			error_set(&bad, ERROR_UNSUPPORTED, 0, "HAProxy %u.%u is too old: 2.6 or newer is needed (Debian 12's package haproxy has it)",
				  major, minor);
		if (there) {
			finish(router, bad);
			return;
		}
	}
	if (router->job == JOB_START && !attempt_runs(router)) {
		exited_error(router, &bad);
	} else if (clock_mono_ms() > router->settle_until) {
		error_set(&bad, ERROR_TIMEOUT, 0, "HAProxy did not come up with its new configuration within 15s (its log: %s/log)",
			  router->attempt_dir ? router->attempt_dir : router->dir);
	} else {
		settle_later(router);
		return;
	}
	finish(router, bad);
}

static void on_settle_timer(void *arg)
{
	struct router *router = router_of(arg);
	loop_timer_stop(router->settle_timer);
	router->settle_timer = NULL;
	runtime_send(router->runtime, ROUTER_STATE_COMMANDS, on_settle_answer, router);
}

static void settle(struct router *router)
{
	router->settle_until = clock_mono_ms() + SETTLE_WITHIN_MS;
	settle_later(router);
}

static void forget_old_starts(const struct router *router, unsigned latest)
{
	for (unsigned number = latest; number-- > 1 && number + 8 > latest;) {
		if (number + 2 >= latest)
			continue;
		cleanup_free char *dir = xasprintf("%s/starts/%06u", router->dir, number);
		cleanup_error struct error *ignored = NULL;
		if (tree_remove(dir, &ignored) < 0)
			return;
	}
}

static int start_process(struct router *router, struct error **err)
{
	if (frontend_probe(router->settings.frontend, err) < 0)
		return -1;
	cleanup_free char *program = NULL;
	if (haproxy_program(router->program, &program, err) < 0)
		return -1;
	unsigned number = latest_start(router->dir) + 1;
	free(router->attempt_dir);
	router->attempt_dir = xasprintf("%s/starts/%06u", router->dir, number);
	if (dir_make(router->attempt_dir, 0700, err) < 0)
		return -1;
	const char *argv[] = {program, "-W", "-C", router->dir, "-f", ROUTER_CONFIG_FILE, "-S", "unix@" ROUTER_MASTER_SOCKET ",mode,600", NULL};
	const char *env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", NULL};
	struct attempt_command command = {.name = "haproxy", .argv = argv, .env = env, .sandbox = {.dir = router->dir}};
	struct attempt_spec spec = {.dir = router->attempt_dir, .commands = &command, .n_commands = 1, .limits = {.open_files = 65536}};
	if (attempt_start(&spec, err) < 0)
		return -1;
	watch_attempt(router);
	forget_old_starts(router, number);
	return 0;
}

static void on_reload_answer(void *arg, const char *answer, struct error *err)
{
	struct router *router = router_of(arg);
	(void)answer; /* 2.6 answers nothing, 2.7 and newer tell success or the log: what it has loaded is asked below */
	if (err) {
		struct error *bad = NULL;
		error_set(&bad, error_code_of(err), 0, "%s", error_message(err));
		finish(router, bad);
		return;
	}
	settle(router);
}

static void on_pid_answer(void *arg, const char *answer, struct error *err)
{
	struct router *router = router_of(arg);
	struct router_state state = {0};
	if (!err && router_state_parse(router->settings.target, answer, &state, NULL) == 0)
		router->pid_before = state.pid;
	router_state_done(&state);
	runtime_send(router->master, "reload", on_reload_answer, router);
}

static void go_on(struct router *router)
{
	struct error *err = NULL;
	if (router->job == JOB_RELOAD) {
		runtime_send(router->runtime, ROUTER_STATE_COMMANDS, on_pid_answer, router);
		return;
	}
	if (start_process(router, &err) < 0)
		finish(router, err);
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
		char line[512];
		haproxy_complaint_in(result->err_text, line, sizeof(line));
		error_set(&err, ERROR_INVALID, 0, "HAProxy refuses the configuration %s/" ROUTER_CONFIG_FILE ": %s", router->dir, line);
		finish(router, err);
		return;
	}
	go_on(router);
}

/* `haproxy -c`: the configuration is ours, but what is installed may be older, newer or built without something. */
static void check_first(void *arg)
{
	struct router *router = router_of(arg);
	loop_timer_stop(router->settle_timer);
	router->settle_timer = NULL;
	cleanup_free char *program = NULL;
	struct error *err = NULL;
	if (haproxy_program(router->program, &program, &err) < 0) {
		finish(router, err);
		return;
	}
	const char *argv[] = {program, "-c", "-C", router->dir, "-f", ROUTER_CONFIG_FILE, NULL};
	struct child_spec spec = {.argv = argv, .timeout_ms = 10000};
	router->check = xcalloc(1, sizeof(*router->check));
	router->check->router = router;
	if (child_start(router->loop, &spec, on_checked, router->check, &router->check->child, &err) < 0) {
		free(STEAL(router->check));
		finish(router, err);
	}
}

static void start_job(struct router *router, enum job_kind job, const char *mark, router_done_fn done, void *arg)
{
	begin(router, job, done, arg);
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
