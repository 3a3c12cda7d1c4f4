#include "runner/core.h"

#include "base/alloc.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define RETRY_COMMIT_MS 1000
#define LOCK_LOOKS 100
#define LOCK_LOOK_AGAIN_MS 10

struct effect {
	effect_fn fn, dropped;
	void *arg;
};

/* Where to go back to when an event is not kept. */
struct mark {
	size_t n_effects;
	int64_t newest_event;
};

struct reload_hook {
	void (*fn)(void *arg);
	void *arg;
};

struct events_hook {
	void (*fn)(void *arg, int64_t newest_event);
	void *arg;
};

struct transaction {
	int lock_fd;
	struct effect *effects;
	size_t n_effects, effects_capacity;
	struct mark *marks;
	size_t depth, marks_capacity;
	int64_t newest_event; /* appended in the open transaction; 0: none */
	bool broken;          /* SQLite lost the open transaction: the commit has to fail */
	bool committing;
	struct loop_timer *retry;
	struct reload_hook *reloads;
	size_t n_reloads, reloads_capacity;
	struct events_hook *watchers;
	size_t n_watchers, watchers_capacity;
};

char *core_path(const struct core *core, const char *relative)
{
	return path_join(core->config->state, relative);
}

/* ---- opening ---- */

/* A daemon that was killed may have left a child between fork and exec, which holds the lock a moment longer. */
static int lock_soon(int fd)
{
	for (int looks = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; looks++) {
		if (errno != EWOULDBLOCK || looks == LOCK_LOOKS)
			return -1;
		poll(NULL, 0, LOCK_LOOK_AGAIN_MS);
	}
	return 0;
}

static int take_lock(struct core *core, struct error **err)
{
	cleanup_free char *path = core_path(core, "lock");
	cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open %s", path);
	if (lock_soon(fd) < 0) {
		if (errno == EWOULDBLOCK)
			return error_set(err, ERROR_CONFLICT, 0, "another penstock already works in %s: stop it, or use another state folder",
					 core->config->state);
		return error_set(err, ERROR_IO, errno, "cannot lock %s", path);
	}
	core->transaction->lock_fd = steal_fd(&fd);
	return 0;
}

/* Sandboxes run as another user and must reach their own workspace by path, so what leads there may be passed through, but not read. */
static const struct state_folder {
	const char *name;
	mode_t mode;
} state_folders[] = {{"", 0711}, {"runs", 0711}, {"targets", 0711}, {"git", 0700}};

static int make_folders(struct core *core, struct error **err)
{
	for (size_t i = 0; i < ARRAY_SIZE(state_folders); i++) {
		const struct state_folder *folder = &state_folders[i];
		cleanup_free char *path = folder->name[0] ? core_path(core, folder->name) : xstrdup(core->config->state);
		if (dir_make(path, folder->mode, err) < 0)
			return -1;
		if (chmod(path, folder->mode) < 0)
			return error_set(err, ERROR_IO, errno, "cannot set the mode of %s", path);
	}
	return 0;
}

static char *self_path(void)
{
	char path[4096];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	return len < 0 ? xstrdup("penstock") : xstrndup(path, (size_t)len);
}

static void on_prepare(void *arg)
{
	core_commit(arg);
}

static int open_parts(struct core *core, struct error **err)
{
	if (make_folders(core, err) < 0 || take_lock(core, err) < 0)
		return -1;
	cleanup_free char *database = core_path(core, "penstock.db");
	if (db_open(database, &core->db, err) < 0)
		return -1;
	cleanup_free char *oci = core_path(core, "oci");
	if (oci_store_open(oci, &core->oci, err) < 0)
		return -1;
	core->self = self_path();
	core->loop = loop_new();
	loop_on_prepare(core->loop, on_prepare, core);
	return 0;
}

int core_open(struct config *config, struct core **ret, struct error **err)
{
	struct core *core = xcalloc(1, sizeof(*core));
	core->config = config;
	core->transaction = xcalloc(1, sizeof(*core->transaction));
	core->transaction->lock_fd = -1;
	if (open_parts(core, err) < 0) {
		core_close(core);
		return error_context(err, "state %s", config->state);
	}
	*ret = core;
	return 0;
}

void core_close(struct core *core)
{
	if (!core)
		return;
	struct transaction *t = core->transaction;
	if (core->loop) {
		core_commit(core);
		loop_timer_stop(t->retry);
		child_drain(core->loop);
		loop_free(core->loop);
	}
	oci_store_free(core->oci);
	db_close(core->db);
	if (t->lock_fd >= 0)
		close(t->lock_fd);
	free(t->effects);
	free(t->marks);
	free(t->reloads);
	free(t->watchers);
	free(t);
	free(core->self);
	free(core);
}

/* ---- events ---- */

void core_event_begin(struct core *core)
{
	struct transaction *t = core->transaction;
	cleanup_error struct error *err = NULL;
	if (t->depth == 0 && !t->broken && !db_in_transaction(core->db) && db_begin(core->db, &err) < 0)
		t->broken = true;
	if (!t->broken && db_savepoint(core->db, &err) < 0)
		t->broken = true;
	if (err)
		log_write(LOG_ERROR, "state", "%s", error_message(err));
	t->marks = xgrow(t->marks, &t->marks_capacity, t->depth + 1, sizeof(*t->marks));
	t->marks[t->depth++] = (struct mark){.n_effects = t->n_effects, .newest_event = t->newest_event};
}

/* Runs with the list already cut: an effect that is dropped may queue another. */
static void drop_effects(struct core *core, size_t from)
{
	struct transaction *t = core->transaction;
	size_t n = t->n_effects - from;
	if (n == 0)
		return;
	cleanup_free struct effect *dropped = xmemdup(t->effects + from, n * sizeof(*dropped));
	t->n_effects = from;
	for (size_t i = 0; i < n; i++)
		if (dropped[i].dropped)
			dropped[i].dropped(core, dropped[i].arg);
}

void core_event_end(struct core *core, bool keep)
{
	struct transaction *t = core->transaction;
	struct mark mark = t->marks[--t->depth];
	cleanup_error struct error *err = NULL;
	/* A full disk makes SQLite roll the whole transaction back, not only this event. */
	if (!t->broken && !db_in_transaction(core->db))
		t->broken = true;
	if (keep) {
		if (!t->broken && db_release(core->db, &err) < 0) {
			log_write(LOG_ERROR, "state", "%s", error_message(err));
			t->broken = true;
		}
		return;
	}
	if (!t->broken)
		db_rollback_to(core->db);
	t->newest_event = mark.newest_event;
	drop_effects(core, mark.n_effects);
}

void core_effect(struct core *core, effect_fn fn, effect_fn dropped, void *arg)
{
	struct transaction *t = core->transaction;
	t->effects = xgrow(t->effects, &t->effects_capacity, t->n_effects + 1, sizeof(*t->effects));
	t->effects[t->n_effects++] = (struct effect){.fn = fn, .dropped = dropped, .arg = arg};
}

void core_on_reload(struct core *core, void (*fn)(void *arg), void *arg)
{
	struct transaction *t = core->transaction;
	t->reloads = xgrow(t->reloads, &t->reloads_capacity, t->n_reloads + 1, sizeof(*t->reloads));
	t->reloads[t->n_reloads++] = (struct reload_hook){.fn = fn, .arg = arg};
}

void core_on_events(struct core *core, void (*fn)(void *arg, int64_t newest_event), void *arg)
{
	struct transaction *t = core->transaction;
	t->watchers = xgrow(t->watchers, &t->watchers_capacity, t->n_watchers + 1, sizeof(*t->watchers));
	t->watchers[t->n_watchers++] = (struct events_hook){.fn = fn, .arg = arg};
}

int event_append(struct core *core, const char *kind, const char *subject, int64_t run_id, const char *actor, const json_t *data, struct error **err)
{
	cleanup_free char *text = data ? json_text(data) : xstrdup("{}");
	if (db_run(core->db, err, "INSERT INTO event (at_ms, kind, subject, run_id, actor, data) VALUES (?, ?, ?, nullif(?, 0), ?, ?)", "ississ",
		   clock_wall_ms(), kind, subject, run_id, actor ? actor : "penstock", text) < 0)
		return -1;
	core->transaction->newest_event = db_last_id(core->db);
	return 0;
}

/* ---- committing ---- */

static void on_retry(void *arg)
{
	struct core *core = arg;
	loop_timer_stop(core->transaction->retry);
	core->transaction->retry = NULL;
	core_commit(core);
}

static bool commit_once(struct core *core)
{
	struct transaction *t = core->transaction;
	cleanup_error struct error *err = NULL;
	if (t->broken)
		error_set(&err, ERROR_IO, 0, "the open transaction was lost");
	else if (!db_in_transaction(core->db) || db_commit(core->db, &err) == 0)
		return true;
	log_write(LOG_ERROR, "state", "commit failed, going back to what the database holds: %s", error_message(err));
	db_rollback(core->db);
	t->broken = false;
	return false;
}

static void after_commit(struct core *core)
{
	struct transaction *t = core->transaction;
	int64_t newest = t->newest_event;
	size_t n = t->n_effects;
	t->newest_event = 0;
	t->n_effects = 0;
	cleanup_free struct effect *effects = n ? xmemdup(t->effects, n * sizeof(*effects)) : NULL;
	for (size_t i = 0; i < n; i++)
		effects[i].fn(core, effects[i].arg);
	for (size_t i = 0; newest && i < t->n_watchers; i++)
		t->watchers[i].fn(t->watchers[i].arg, newest);
}

/* Whoever rebuilds itself may write at once; that waits for the timer, or a full disk would keep us spinning here. */
static void after_failure(struct core *core)
{
	struct transaction *t = core->transaction;
	t->newest_event = 0;
	drop_effects(core, 0);
	for (size_t i = 0; i < t->n_reloads; i++)
		t->reloads[i].fn(t->reloads[i].arg);
	if (!t->retry)
		t->retry = loop_timer_start(core->loop, RETRY_COMMIT_MS, 0, on_retry, core);
}

void core_commit(struct core *core)
{
	struct transaction *t = core->transaction;
	if (t->committing || t->depth > 0 || t->retry)
		return;
	t->committing = true;
	while (t->n_effects > 0 || t->broken || db_in_transaction(core->db)) {
		if (!commit_once(core)) {
			after_failure(core);
			break;
		}
		after_commit(core);
	}
	t->committing = false;
}
