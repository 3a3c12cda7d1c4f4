#include "deployers/haproxy/router_priv.h"

#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct observation {
	struct observation *next;
	struct router *router;
	struct router_state state;
	router_observed_fn done;
	void *arg;
};

struct router *router_of(void *arg)
{
	struct router *router = arg;
	assert(router->magic == ROUTER_MAGIC);
	return router;
}

const struct router_settings *router_settings_of(const struct router *router)
{
	return &router->settings;
}

/* Short however long the state directory's path is: a socket's path has room for 107 bytes. */
char *router_socket(const struct router *router, const char *name)
{
	return xasprintf("/proc/self/fd/%d/%s", router->dir_fd, name);
}

/* ---- opening ---- */

/* The number of the newest folder below starts/; 0: none. */
unsigned router_latest_start(const char *dir)
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
	router_note_exit(router);
	router->callbacks.on_exit(router->callbacks.arg);
}

void router_watch(struct router *router)
{
	attempt_watch_stop(router->watch);
	router->watch = attempt_watch_start(router->loop, router->attempt_dir, on_attempt_done, router);
}

bool router_attempt_runs(const char *attempt_dir)
{
	enum attempt_state state;
	return attempt_dir && attempt_state(attempt_dir, &state, NULL) == 0 && state == ATTEMPT_RUNNING;
}

/* The newest that runs: the newest of all may be one that failed to take over from it. */
static void attach(struct router *router)
{
	for (unsigned number = router_latest_start(router->dir); number > 0; number--) {
		cleanup_free char *dir = xasprintf("%s/starts/%06u", router->dir, number);
		if (!path_exists(dir))
			break;
		if (!router->attempt_dir || router_attempt_runs(dir)) {
			free(router->attempt_dir);
			router->attempt_dir = STEAL(dir);
		}
		if (router_attempt_runs(router->attempt_dir))
			break;
	}
	router->has_old = true;
	if (router_attempt_runs(router->attempt_dir))
		router_watch(router);
}

/* Those before ours that still finish their requests. */
static unsigned old_routers(struct router *router)
{
	unsigned n = 0;
	if (!router->has_old || !router->attempt_dir)
		return 0;
	unsigned ours = (unsigned)strtoul(strrchr(router->attempt_dir, '/') + 1, NULL, 10);
	for (unsigned number = ours; number-- > 1;) {
		cleanup_free char *dir = xasprintf("%s/starts/%06u", router->dir, number);
		if (!path_exists(dir))
			break;
		n += router_attempt_runs(dir);
	}
	router->has_old = n > 0;
	return n;
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
	cleanup_free char *runtime = router_socket(router, ROUTER_RUNTIME_SOCKET);
	cleanup_free char *master = router_socket(router, ROUTER_MASTER_SOCKET);
	cleanup_free char *log = router_socket(router, ROUTER_LOG_SOCKET);
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
	router->subject = xasprintf("target/%s", settings->target);
	router->callbacks = *callbacks;
	if (open_sockets(router, err) < 0) {
		router_close(router);
		return -1;
	}
	attach(router);
	router_note_running(router);
	router_note_program(router);
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
	router_start_done(router);
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
	free(router->subject);
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
	state.old_workers += old_routers(router);
	done(arg, router_attempt_runs(router->attempt_dir), &state, err);
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
	router_note_state(router, &observation->state);
	runtime_send(router->master, ROUTER_MASTER_COMMANDS, on_master_answer, observation);
}

void router_observe(struct router *router, router_observed_fn done, void *arg)
{
	struct observation *observation = xcalloc(1, sizeof(*observation));
	router_note_program(router);
	observation->router = router;
	observation->done = done;
	observation->arg = arg;
	observation->next = router->observations;
	router->observations = observation;
	runtime_send(router->runtime, ROUTER_STATE_COMMANDS, on_state_answer, observation);
}

/* ---- the disk ---- */

/* What is there already costs no waiting for the disk: after a crash every millisecond is somebody's. */
static int write_if_other(const char *path, const char *text, size_t len, struct error **err)
{
	cleanup_free char *there = NULL;
	cleanup_error struct error *ignored = NULL;
	size_t there_len;
	if (file_read(path, 1024 * 1024, &there, &there_len, &ignored) == 0 && there_len == len && memcmp(there, text, len) == 0)
		return 0;
	return file_write_atomic(path, text, len, 0600, err);
}

int router_write_config(struct router *router, const char *const health_paths[SLOTS], const struct router_server *servers, size_t n,
			struct error **err)
{
	cleanup_buf struct buf text;
	buf_init(&text, 1024 * 1024);
	router_config_text(&router->settings, health_paths, servers, n, &text);
	if (text.failed)
		return error_set(err, ERROR_TOO_LARGE, 0, "HAProxy's configuration would be larger than 1 MiB");
	cleanup_free char *path = path_join(router->dir, ROUTER_CONFIG_FILE);
	return write_if_other(path, text.data, text.len, err);
}

int router_write_split(struct router *router, const struct split *split, struct error **err)
{
	char value[SPLIT_TEXT_SIZE];
	split_format(split, value);
	cleanup_free char *text = xasprintf(ROUTER_MAP_KEY " %s\n", value);
	cleanup_free char *path = path_join(router->dir, ROUTER_MAP_FILE);
	return write_if_other(path, text, strlen(text), err);
}

bool router_has_split_file(const struct router *router)
{
	cleanup_free char *path = path_join(router->dir, ROUTER_MAP_FILE);
	return path_exists(path);
}

/* ---- writing ---- */

void router_begin(struct router *router, enum job_kind job, router_done_fn done, void *arg)
{
	assert(router->job == JOB_NONE);
	router->job = job;
	router->done = done;
	router->arg = arg;
}

void router_finish(struct router *router, struct error *err)
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
	router_finish(router, bad);
}

void router_command(struct router *router, const char *commands, router_done_fn done, void *arg)
{
	router_begin(router, JOB_COMMAND, done, arg);
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
	router_begin(router, JOB_SPLIT, done, arg);
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
