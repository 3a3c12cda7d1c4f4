#include "runner/local.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "runner/engine.h"
#include "runner/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>

#define TAIL_MS 100
#define LINE_MAX_BYTES 8192

/* One attempt's log, as far as it has been shown. */
struct tail {
	int64_t attempt_id;
	off_t offset;
	struct buf line;
	struct tail *next;
};

struct local {
	const struct local_request *request;
	struct core *core;
	int64_t run_id, last_event;
	struct tail *tails;
	struct loop_timer *timer;
	uv_signal_t signals[2];
	size_t name_width;
};

/* ---- logs ---- */

static void put_line(const struct local *local, const char *stage, const char *text)
{
	FILE *out = local->request->progress;
	struct terminal_filter filter = {0};
	cleanup_buf struct buf shown;
	buf_init(&shown, 2 * LINE_MAX_BYTES);
	terminal_filter(&filter, text, strlen(text), &shown);
	if (local->request->color)
		fprintf(out, "\033[36m%-*s |\033[0m %s\n", (int)local->name_width, stage, shown.data);
	else
		fprintf(out, "%-*s | %s\n", (int)local->name_width, stage, shown.data);
}

static void put_bytes(const struct local *local, struct tail *tail, const char *stage, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != '\n' && tail->line.len < LINE_MAX_BYTES - 1) {
			buf_addc(&tail->line, bytes[i] == '\0' ? ' ' : bytes[i]);
			continue;
		}
		put_line(local, stage, tail->line.data);
		buf_reset(&tail->line);
		if (bytes[i] != '\n')
			buf_addc(&tail->line, bytes[i]);
	}
}

static struct tail *tail_of(struct local *local, int64_t attempt_id)
{
	for (struct tail *tail = local->tails; tail; tail = tail->next)
		if (tail->attempt_id == attempt_id)
			return tail;
	struct tail *tail = xcalloc(1, sizeof(*tail));
	tail->attempt_id = attempt_id;
	buf_init(&tail->line, LINE_MAX_BYTES + 8);
	tail->next = local->tails;
	local->tails = tail;
	return tail;
}

static void follow(struct local *local, int64_t attempt_id, const char *dir, const char *stage, bool finished)
{
	struct tail *tail = tail_of(local, attempt_id);
	cleanup_free char *folder = core_path(local->core, dir), *path = path_join(folder, "log");
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char bytes[16384];
	for (ssize_t n; fd >= 0 && (n = pread(fd, bytes, sizeof(bytes), tail->offset)) > 0; tail->offset += n)
		put_bytes(local, tail, stage, bytes, (size_t)n);
	if (finished && tail->line.len > 0)
		put_bytes(local, tail, stage, "\n", 1);
}

static void follow_all(struct local *local)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (local->request->quiet ||
	    db_query(local->core->db, &q, NULL,
		     "SELECT attempt.id, attempt.dir, stage.name, attempt.state = 'finished' FROM attempt JOIN stage ON stage.id = stage_id "
		     "JOIN run ON run.id = run_id WHERE run.id >= ? ORDER BY attempt.id",
		     "i", local->run_id) < 0)
		return;
	while (db_step(q, NULL) > 0)
		follow(local, db_int(q, 0), db_text(q, 1), db_text(q, 2), db_int(q, 3));
	fflush(local->request->progress);
}

static void on_timer(void *arg)
{
	follow_all(arg);
}

/* ---- progress ---- */

static const char *color_of(const struct local *local, const char *outcome)
{
	if (!local->request->color)
		return "";
	return strcmp(outcome, "success") == 0 ? "\033[32m" : strcmp(outcome, "skipped") == 0 ? "\033[33m" : "\033[31m";
}

static void tell(struct local *local, const char *kind, const char *subject, const json_t *data)
{
	FILE *out = local->request->progress;
	const char *stage = strchr(subject, '/') ? strchr(strchr(subject, '/') + 1, '/') : NULL;
	const char *outcome = json_string_or(data, "outcome", ""), *reason = json_string_or(data, "reason", "");
	const char *reset = local->request->color ? "\033[0m" : "";
	if (!stage)
		return;
	if (strcmp(kind, "stage.finished") == 0 || strcmp(kind, "stage.retried") == 0)
		follow_all(local); /* what a stage wrote comes before the word that it ended */
	if (strcmp(kind, "stage.started") == 0)
		fprintf(out, "%-*s > started\n", (int)local->name_width, stage + 1);
	else if (strcmp(kind, "stage.finished") == 0)
		fprintf(out, "%-*s > %s%s%s%s%s\n", (int)local->name_width, stage + 1, color_of(local, outcome), outcome, reset,
			reason[0] ? ": " : "", reason);
	else if (strcmp(kind, "stage.retried") == 0)
		fprintf(out, "%-*s > %s: %s; trying again\n", (int)local->name_width, stage + 1, outcome, reason);
}

static void measure_names(struct local *local)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(local->core->db, &q, NULL, "SELECT coalesce(max(length(name)), 0) FROM stage WHERE run_id >= ?", "i", local->run_id) == 0 &&
	    db_step(q, NULL) > 0)
		local->name_width = (size_t)db_int(q, 0) > 40 ? 40 : (size_t)db_int(q, 0);
}

static void on_events(void *arg, int64_t newest)
{
	struct local *local = arg;
	cleanup_stmt struct db_stmt *q = NULL;
	(void)newest;
	if (local->request->quiet || !local->run_id)
		return;
	measure_names(local);
	if (db_query(local->core->db, &q, NULL, "SELECT id, kind, subject, data FROM event WHERE id > ? AND run_id >= ? ORDER BY id", "ii",
		     local->last_event, local->run_id) < 0)
		return;
	while (db_step(q, NULL) > 0) {
		cleanup_json json_t *data = NULL;
		local->last_event = db_int(q, 0);
		if (json_parse(db_text(q, 3), strlen(db_text(q, 3)), &data, NULL) == 0)
			tell(local, db_text(q, 1), db_text(q, 2), data);
	}
	fflush(local->request->progress);
}

/* ---- the end ---- */

static int worst_run(struct local *local, int64_t *ret_run, enum outcome *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(local->core->db, &q, err, "SELECT id, outcome FROM run WHERE id >= ? ORDER BY id", "i", local->run_id) < 0)
		return -1;
	int more;
	*ret = OUTCOME_SKIPPED;
	*ret_run = local->run_id;
	while ((more = db_step(q, err)) > 0) {
		enum outcome outcome;
		if (!outcome_from_name(db_text(q, 1), &outcome))
			outcome = OUTCOME_INFRA;
		bool better_known = *ret != OUTCOME_SKIPPED && *ret != OUTCOME_SUCCESS;
		if (better_known || outcome == OUTCOME_SKIPPED)
			continue;
		*ret = outcome;
		*ret_run = db_int(q, 0);
	}
	return more;
}

static json_t *stages_json(struct local *local)
{
	json_t *stages = json_array();
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(local->core->db, &q, NULL,
		     "SELECT name, kind, outcome, reason, coalesce(finished_ms - started_ms, 0) FROM stage WHERE run_id >= ? ORDER BY run_id, idx",
		     "i", local->run_id) < 0)
		return stages;
	while (db_step(q, NULL) > 0)
		json_array_append_new(stages, json_pack("{s:s, s:s, s:s, s:s, s:I}", "name", db_text(q, 0), "kind", db_text(q, 1), "outcome",
							db_text(q, 2), "reason", db_text(q, 3), "ms", (json_int_t)db_int(q, 4)));
	return stages;
}

static int read_reason(struct local *local, int64_t run_id, char **ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(local->core->db, &q, err, "SELECT reason FROM run WHERE id = ?", "i", run_id) < 0 || db_step(q, err) <= 0)
		return -1;
	*ret = xstrdup(db_text(q, 0));
	return 0;
}

static void print_summary(const struct local *local, const json_t *stages, enum outcome outcome, const char *reason)
{
	FILE *out = local->request->progress;
	const char *reset = local->request->color ? "\033[0m" : "";
	if (json_array_size(stages))
		fputc('\n', out);
	for (size_t i = 0; i < json_array_size(stages); i++) {
		const json_t *stage = json_array_get(stages, i);
		char span[SPAN_SIZE] = "";
		const char *word = json_string_or(stage, "outcome", ""), *why = json_string_or(stage, "reason", "");
		if (json_int_or(stage, "ms", 0) > 0)
			clock_span((uint64_t)json_int_or(stage, "ms", 0), span);
		fprintf(out, "%-*s  %s%-11s%s %8s%s%s\n", (int)local->name_width, json_string_or(stage, "name", ""), color_of(local, word), word,
			reset, span, why[0] ? "  " : "", why);
	}
	fprintf(out, "%s%s%s%s%s\n", color_of(local, outcome_name(outcome)), outcome_name(outcome), reset, reason[0] ? ": " : "", reason);
	fflush(out);
}

static bool print_diagnostics(const struct local *local)
{
	bool found = false;
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(local->core->db, &q, NULL, "SELECT id FROM run WHERE id >= ?", "i", local->run_id) < 0)
		return false;
	while (db_step(q, NULL) > 0) {
		cleanup_free char *relative = xasprintf("runs/%lld/lint.txt", (long long)db_int(q, 0)), *path = core_path(local->core, relative);
		cleanup_free char *text = NULL;
		if (file_read(path, 16 << 20, &text, NULL, NULL) < 0)
			continue;
		fputs(text, local->request->progress);
		found = true;
	}
	return found;
}

static int report(struct local *local, struct local_result *ret, struct error **err)
{
	enum outcome outcome;
	int64_t run_id;
	cleanup_free char *reason = NULL;
	if (worst_run(local, &run_id, &outcome, err) < 0 || read_reason(local, run_id, &reason, err) < 0)
		return -1;
	json_t *stages = stages_json(local);
	bool bad = print_diagnostics(local);
	if (!bad && !local->request->quiet)
		print_summary(local, stages, outcome, reason);
	*ret = (struct local_result){
		.outcome = outcome,
		.bad_pipeline = bad,
		.json = json_pack("{s:I, s:s, s:s, s:o}", "run", (json_int_t)run_id, "outcome", outcome_name(outcome), "reason", reason, "stages",
				  stages),
	};
	return 0;
}

/* ---- the run ---- */

static void on_signal(uv_signal_t *handle, int signal)
{
	struct local *local = handle->data;
	(void)signal;
	fputs("\ncancelling; stages get a moment to stop\n", local->request->progress);
	core_event_begin(local->core);
	core_event_end(local->core, engine_cancel_run(local->core->engine, local->run_id, "you", NULL) == 0);
}

static void watch_signals(struct local *local)
{
	static const int numbers[] = {SIGINT, SIGTERM};
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		uv_signal_init(loop_uv(local->core->loop), &local->signals[i]);
		local->signals[i].data = local;
		uv_signal_start(&local->signals[i], on_signal, numbers[i]);
	}
}

static void let_signals_go(struct local *local)
{
	for (size_t i = 0; i < ARRAY_SIZE(local->signals); i++)
		if (local->signals[i].data)
			uv_close((uv_handle_t *)&local->signals[i], NULL);
}

/* A `penstock run` that was killed has left its attempts running; nobody waits for them any more. */
static int cancel_leftovers(struct core *core, struct error **err)
{
	return db_run(core->db, err, "UPDATE run SET cancel_by = 'a newer penstock run' WHERE state <> 'finished' AND cancel_by IS NULL", "");
}

static int create(struct local *local, const char *dir, struct error **err)
{
	const struct local_request *request = local->request;
	const char *kind = request->event ? request->event : json_object_size(request->inputs) > 0 ? "manual" : "push";
	cleanup_json json_t *facts =
		json_pack("{s:s, s:s, s:b, s:b, s:o}", "kind", kind, "branch", request->branch ? request->branch : "", "trusted", true, "asked",
			  request->event == NULL, "inputs", request->inputs ? json_deep_copy(request->inputs) : json_object());
	const char *slash = strrchr(dir, '/');
	const struct run_request run = {.repository = slash && slash[1] ? slash + 1 : "local",
					.facts = facts,
					.source_dir = dir,
					.only_stage = request->stage,
					.actor = "you"};
	core_event_begin(local->core);
	int created = cancel_leftovers(local->core, err);
	if (created == 0)
		created = engine_create_run(local->core->engine, &run, &local->run_id, err);
	core_event_end(local->core, created == 0);
	return created;
}

static int carry_out(struct local *local, const char *dir, struct local_result *ret, struct error **err)
{
	struct core *core = local->core;
	if (engine_open(core, &core->engine, err) < 0)
		return -1;
	core_on_events(core, on_events, local);
	watch_signals(local);
	local->timer = loop_timer_start(core->loop, TAIL_MS, TAIL_MS, on_timer, local);
	int result = create(local, dir, err);
	while (result == 0 && !engine_idle(core->engine))
		loop_turn(core->loop);
	follow_all(local);
	if (result == 0)
		result = report(local, ret, err);
	loop_timer_stop(local->timer);
	let_signals_go(local);
	local->run_id = 0;
	engine_close(core->engine);
	core->engine = NULL;
	return result;
}

static char *default_state(const char *dir, struct error **err)
{
	const char *base = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char digest[DIGEST_SIZE];
	digest_of_bytes(dir, strlen(dir), digest);
	if (base && base[0] == '/')
		return xasprintf("%s/penstock/local/%.16s", base, digest + strlen("sha256:"));
	if (home && home[0] == '/')
		return xasprintf("%s/.local/state/penstock/local/%.16s", home, digest + strlen("sha256:"));
	error_set(err, ERROR_INVALID, 0, "neither XDG_STATE_HOME nor HOME is set: say with --state where to work");
	return NULL;
}

static bool event_is_known(const char *name)
{
	for (enum event_kind kind = 0; kind < N_EVENT_KINDS; kind++)
		if (strcmp(event_kind_name(kind), name) == 0)
			return true;
	return false;
}

static void tell_user(const struct local_request *request)
{
	const struct passwd *user = geteuid() == 0 ? NULL : getpwuid(geteuid());
	if (geteuid() != 0 && !request->quiet)
		fprintf(request->progress, "note: started by %s, stages run as that user too\n", user ? user->pw_name : "an ordinary user");
}

static int check(const struct local_request *request, const char *dir, const char *state, struct error **err)
{
	size_t len = strlen(dir);
	if (request->event && !event_is_known(request->event))
		return error_set(err, ERROR_USAGE, 0, "\"%s\" is no kind of event", request->event);
	if (strncmp(state, dir, len) == 0 && (state[len] == '/' || state[len] == '\0'))
		return error_set(err, ERROR_INVALID, 0, "the state folder %s must lie outside the checkout", state);
	return 0;
}

static void local_done(struct local *local)
{
	while (local->tails) {
		struct tail *tail = local->tails;
		local->tails = tail->next;
		buf_done(&tail->line);
		free(tail);
	}
}

int local_run(const struct local_request *request, struct local_result *ret, struct error **err)
{
	cleanup_free char *dir = realpath(request->dir, NULL), *state = NULL;
	if (!dir)
		return error_set(err, ERROR_INVALID, errno, "cannot read %s", request->dir);
	cleanup_free char *here = request->state_dir && request->state_dir[0] != '/' ? getcwd(NULL, 0) : NULL;
	if (request->state_dir)
		state = here ? path_join(here, request->state_dir) : xstrdup(request->state_dir);
	else
		state = default_state(dir, err);
	if (!state || check(request, dir, state, err) < 0)
		return -1;
	tell_user(request);
	struct local local = {.request = request};
	struct config *config = config_local(state);
	int result = core_open(config, &local.core, err);
	if (result == 0) {
		local.core->local = true;
		result = carry_out(&local, dir, ret, err);
		core_close(local.core);
	}
	config_free(config);
	local_done(&local);
	return result;
}
