#include "runner/engine_priv.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "runner/reason.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#define RESULT_MAX_BYTES (16 << 20)
#define DISK_IS_FULL_BYTES (1U << 20)

/* One attempt that has ended, and what is to be written down about it. */
struct account {
	struct engine *engine;
	int64_t attempt_id, stage_id, run_id, idx, number;
	char *dir, *kind, *stage_name;
	bool cancelled; /* somebody cancelled the run */
	unsigned user_failures, infra_failures;
	struct planned_run *run;
	enum outcome outcome;
	int exit_code;
	bool may_retry;
	char *reason;
	json_t *result;
	char outputs[DIGEST_SIZE], image[DIGEST_SIZE];
};

static void account_done(struct account *a)
{
	free(a->dir);
	free(a->kind);
	free(a->stage_name);
	free(a->reason);
	json_decref(a->result);
}
#define cleanup_account __attribute__((cleanup(account_done)))

/* Returns 0 and *ret_open = false if it has been written down already. */
static int read_account(struct account *a, bool *ret_open, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(a->engine->core->db, &q, err,
		     "SELECT stage.id, stage.run_id, stage.idx, attempt.number, attempt.dir, stage.kind, stage.name, run.cancel_by IS NOT NULL, "
		     "stage.user_failures, stage.infra_failures FROM attempt JOIN stage ON stage.id = stage_id JOIN run ON run.id = run_id "
		     "WHERE attempt.id = ? AND attempt.state <> 'finished'",
		     "i", a->attempt_id) < 0)
		return -1;
	int more = db_step(q, err);
	*ret_open = more > 0;
	if (more <= 0)
		return more;
	a->stage_id = db_int(q, 0);
	a->run_id = db_int(q, 1);
	a->idx = db_int(q, 2);
	a->number = db_int(q, 3);
	a->dir = core_path(a->engine->core, db_text(q, 4));
	a->kind = xstrdup(db_text(q, 5));
	a->stage_name = xstrdup(db_text(q, 6));
	a->cancelled = db_int(q, 7);
	a->user_failures = (unsigned)db_int(q, 8);
	a->infra_failures = (unsigned)db_int(q, 9);
	a->may_retry = true;
	db_stmt_free(STEAL(q));
	return planned_run_get(a->engine, a->run_id, &a->run, err);
}

static void conclude(struct account *a, enum outcome outcome, char *reason /* taken */)
{
	free(a->reason);
	a->outcome = outcome;
	a->reason = reason;
}

/* ---- from facts to an outcome ---- */

static void read_result(struct account *a)
{
	cleanup_free char *path = path_join(a->dir, "result");
	if (path_exists(path) && json_read(path, RESULT_MAX_BYTES, &a->result, NULL) < 0)
		a->result = NULL;
}

static char *last_words(const struct account *a, const struct exit_record *record)
{
	cleanup_free char *log = path_join(a->dir, "log"), *line = reason_of_log(log);
	if (line[0])
		return record->exit_code > 1 ? xasprintf("exit status %d: %s", record->exit_code, line) : STEAL(line);
	return xasprintf("exit status %d", record->exit_code);
}

static bool is_native(const struct account *a)
{
	return strcmp(a->kind, "run") != 0;
}

/* A command that failed while the disk was full has most likely failed of that, and is no verdict on the model. */
static bool disk_is_full(const struct account *a)
{
	struct statvfs disk;
	return statvfs(a->dir, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < DISK_IS_FULL_BYTES;
}

static void judge_main(struct account *a, const struct exit_record *record)
{
	a->exit_code = record->exit_code;
	enum outcome outcome = OUTCOME_FAILED;
	if (is_native(a)) {
		read_result(a);
		if (record->exit_code == 3)
			outcome = OUTCOME_REJECTED;
		else if (record->exit_code == 5)
			outcome = OUTCOME_INFRA;
	}
	cleanup_free char *told = a->result ? reason_of_result(a->kind, a->result) : NULL;
	char *reason = told ? STEAL(told) : last_words(a, record);
	if (outcome == OUTCOME_FAILED && !a->result && (disk_is_full(a) || strstr(reason, strerror(ENOSPC)))) {
		char *full = xasprintf("%s; the disk that holds the state is full: free some space, then retry the run", reason);
		free(reason);
		reason = full;
		outcome = OUTCOME_INFRA;
	}
	conclude(a, outcome, reason);
}

static void judge_exit(struct account *a, const struct exit_record *record)
{
	if (record->exit_code == 0)
		conclude(a, OUTCOME_SUCCESS, xstrdup(""));
	else if (strcmp(record->command, "main") == 0)
		judge_main(a, record);
	else /* prepare and capture: 1 is the stage's own contradiction, the rest are the surroundings */
		conclude(a, record->exit_code == 1 ? OUTCOME_FAILED : OUTCOME_INFRA, last_words(a, record));
}

static void judge(struct account *a, const struct exit_record *record)
{
	switch (record->end) {
	case ATTEMPT_EXITED:
		judge_exit(a, record);
		return;
	case ATTEMPT_SIGNALED:
		conclude(a, strcmp(record->command, "main") == 0 ? OUTCOME_FAILED : OUTCOME_INFRA, xstrdup(record->message));
		return;
	case ATTEMPT_TIMED_OUT:
		conclude(a, OUTCOME_TIMEOUT, xstrdup(record->message));
		return;
	case ATTEMPT_CANCELLED:
		conclude(a, OUTCOME_CANCELLED, xstrdup(record->message));
		return;
	case ATTEMPT_OOM:
		conclude(a, OUTCOME_OOM, xstrdup(record->message));
		return;
	case ATTEMPT_NOT_STARTED:
		conclude(a, OUTCOME_INFRA, xstrdup(record->message));
		return;
	}
}

static int read_end(struct account *a, struct error **err)
{
	struct exit_record record;
	enum attempt_state state;
	cleanup_error struct error *why = NULL;
	if (attempt_state(a->dir, &state, err) < 0)
		return -1;
	if (state == ATTEMPT_LOST)
		conclude(a, OUTCOME_LOST, xstrdup("its leader vanished without a word (killed, or the machine went down)"));
	else if (state != ATTEMPT_FINISHED)
		return error_set(err, ERROR_INTERNAL, 0, "the attempt has not ended");
	else if (attempt_exit_record(a->dir, &record, &why) < 0)
		conclude(a, OUTCOME_INFRA, xstrdup(error_message(why)));
	else
		judge(a, &record);
	return 0;
}

/* ---- what a success left behind ---- */

static void refuse(struct account *a, const struct error *why)
{
	bool theirs = error_code_of(why) == ERROR_INVALID || error_code_of(why) == ERROR_TOO_LARGE;
	conclude(a, theirs ? OUTCOME_FAILED : OUTCOME_INFRA, xstrdup(error_message(why)));
	a->may_retry = error_code_of(why) != ERROR_NO_SPACE;
}

static bool take_delivery(struct account *a, const char *what, const char *tag, char ret_digest[DIGEST_SIZE])
{
	cleanup_error struct error *why = NULL;
	cleanup_free char *name = incoming_name(a->attempt_id, what);
	if (oci_incoming_accept(a->engine->core->oci, name, tag, ret_digest, &why) == 0)
		return true;
	refuse(a, why);
	return false;
}

static void collect(struct account *a)
{
	const struct stage *stage = &a->run->pipeline->stages[a->idx];
	if (is_native(a))
		read_result(a);
	if (stage->n_outputs > 0 && !take_delivery(a, "outputs", "outputs", a->outputs))
		return;
	if (strcmp(a->kind, "build") == 0 && !take_delivery(a, "image", "image", a->image))
		return;
	char *reason = a->result ? reason_of_result(a->kind, a->result) : NULL;
	conclude(a, OUTCOME_SUCCESS, reason ? reason : xstrdup(""));
}

static int insert_release(const struct account *a, struct error **err)
{
	const struct core *core = a->engine->core;
	cleanup_free char *fallback = xasprintf("%lld", (long long)a->run_id);
	const char *version = json_string_or(a->result, "version", fallback);
	int64_t port = 0;
	yaml_int(yaml_get(a->run->plan->stages[a->idx].body, "port"), &port);
	if (db_run(core->db, err,
		   "INSERT INTO release (run_id, stage_id, repository, version, image, commit_sha, port, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
		   "ON CONFLICT (run_id, stage_id) DO UPDATE SET version = excluded.version, image = excluded.image",
		   "iissssii", a->run_id, a->stage_id, a->run->facts.repository, version, a->image, a->run->facts.commit, port, clock_wall_ms()) < 0)
		return -1;
	return stage_event(a->engine, a->stage_id, "release.created", json_pack("{s:s, s:s}", "version", version, "image", a->image), err);
}

/* ---- writing it down ---- */

struct drop {
	struct engine *engine;
	char *name;
};

static void forget_drop(struct core *core, void *arg)
{
	struct drop *drop = arg;
	(void)core;
	free(drop->name);
	free(drop);
}

/* After the commit: until then the delivery's record answers a second asking. */
static void drop_incoming(struct core *core, void *arg)
{
	struct drop *drop = arg;
	cleanup_error struct error *err = NULL;
	if (oci_incoming_drop(core->oci, drop->name, &err) < 0)
		log_write(LOG_WARNING, "engine", "%s", error_message(err));
	forget_drop(core, drop);
}

static void clean_up(const struct account *a)
{
	static const char *const deliveries[] = {"outputs", "image"};
	for (size_t i = 0; i < ARRAY_SIZE(deliveries); i++) {
		struct drop *drop = xcalloc(1, sizeof(*drop));
		*drop = (struct drop){.engine = a->engine, .name = incoming_name(a->attempt_id, deliveries[i])};
		core_effect(a->engine->core, drop_incoming, forget_drop, drop);
	}
	cleanup_free char *work = attempt_work_dir(a->run_id, a->idx, a->number);
	engine_remove_folder(a->engine, work);
}

static int finish_stage(const struct account *a, struct error **err)
{
	cleanup_free char *result = a->result ? json_text(a->result) : NULL;
	if (db_run(a->engine->core->db, err, "UPDATE stage SET outputs = nullif(?, ''), image = nullif(?, ''), result = ? WHERE id = ?", "sssi",
		   a->outputs, a->image, result, a->stage_id) < 0)
		return -1;
	if (a->outcome == OUTCOME_SUCCESS && a->image[0] && insert_release(a, err) < 0)
		return -1;
	return stage_finish(a->engine, a->stage_id, a->outcome, a->reason, err);
}

static int retry_stage(const struct account *a, bool infra, struct error **err)
{
	if (db_run(a->engine->core->db, err,
		   "UPDATE stage SET state = 'waiting', reason = ?, user_failures = user_failures + ?, infra_failures = infra_failures + ? WHERE id "
		   "= ?",
		   "siii", a->reason, (int64_t)!infra, (int64_t)infra, a->stage_id) < 0)
		return -1;
	engine_wake(a->engine);
	return stage_event(a->engine, a->stage_id, "stage.retried",
			   json_pack("{s:s, s:s, s:I}", "outcome", outcome_name(a->outcome), "reason", a->reason, "attempt", (json_int_t)a->number),
			   err);
}

static int write_down(struct account *a, struct error **err)
{
	struct db *db = a->engine->core->db;
	const struct retry *retry = &a->run->pipeline->stages[a->idx].retry;
	bool infra = a->outcome == OUTCOME_INFRA || a->outcome == OUTCOME_LOST || a->outcome == OUTCOME_PREEMPTED;
	if (db_run(db, err, "UPDATE attempt SET state = 'finished', outcome = ?, reason = ?, finished_ms = ? WHERE id = ?", "ssii",
		   outcome_name(a->outcome), a->reason, clock_wall_ms(), a->attempt_id) < 0)
		return -1;
	clean_up(a);
	if (a->may_retry && !a->cancelled && scheduler_retries(retry, a->outcome, a->exit_code, a->user_failures, a->infra_failures))
		return retry_stage(a, infra, err);
	return finish_stage(a, err);
}

int account_attempt(struct engine *engine, int64_t attempt_id, struct error **err)
{
	cleanup_account struct account a = {.engine = engine, .attempt_id = attempt_id};
	bool open;
	if (read_account(&a, &open, err) < 0 || (open && read_end(&a, err) < 0))
		return -1;
	if (!open)
		return 0;
	if (a.outcome == OUTCOME_SUCCESS)
		collect(&a);
	return write_down(&a, err);
}

int account_unstarted(struct engine *engine, int64_t attempt_id, enum outcome outcome, bool may_retry, const char *reason, struct error **err)
{
	cleanup_account struct account a = {.engine = engine, .attempt_id = attempt_id};
	bool open;
	if (read_account(&a, &open, err) < 0)
		return -1;
	if (!open)
		return 0;
	a.may_retry = may_retry;
	conclude(&a, outcome, xstrdup(reason));
	return write_down(&a, err);
}
