#include "runner/engine_priv.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "runner/secrets.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define LAYOUT_INSIDE "/run/penstock/layout"

char *attempt_dir(int64_t run_id, int64_t idx, int64_t number)
{
	return xasprintf("runs/%lld/attempts/%lld-%lld", (long long)run_id, (long long)idx, (long long)number);
}

char *attempt_work_dir(int64_t run_id, int64_t idx, int64_t number)
{
	return xasprintf("runs/%lld/work/%lld-%lld", (long long)run_id, (long long)idx, (long long)number);
}

char *incoming_name(int64_t attempt_id, const char *what)
{
	return xasprintf("attempt-%lld-%s", (long long)attempt_id, what);
}

/* One attempt about to start: what the rows say, and where things lie. All strings in the arena. */
struct job {
	struct engine *engine;
	struct arena *arena;
	int64_t attempt_id, stage_id, idx, number;
	struct planned_run *run;
	const struct stage *stage;
	struct stage_work work;
	const char *dir, *workspace, *in, *outputs_layout, *image_layout, *checkpoint;
	unsigned uid, gid;
};

static const char *under_state(const struct job *job, const char *relative)
{
	return arena_printf(job->arena, "%s/%s", job->engine->core->config->state, relative);
}

/* ---- what the stage may know of others ---- */

static int add_in_file(const struct job *job, const char *name, const char *bytes, struct error **err)
{
	cleanup_free char *path = path_join(job->in, name);
	if (file_write_atomic(path, bytes, strlen(bytes), 0644, err) < 0)
		return -1;
	/* Made by us and read by the stage's user, whatever our umask says. */
	return chmod(path, 0644) < 0 ? error_set(err, ERROR_IO, errno, "cannot set the mode of %s", path) : 0;
}

static int add_json_file(const struct job *job, const char *name, json_t *json /* taken */, struct error **err)
{
	cleanup_json json_t *taken = json;
	cleanup_free char *text = json_text_pretty(taken);
	return add_in_file(job, name, text, err);
}

static int add_metrics(const struct job *job, struct error **err)
{
	bool *needed = arena_alloc(job->arena, (job->run->pipeline->n_stages + 1) * sizeof(*needed));
	json_t *metrics;
	stage_closure(job->run->pipeline, (size_t)job->idx, needed);
	if (merged_metrics(job->engine, job->run->id, job->run->pipeline, needed, &metrics, err) < 0)
		return -1;
	return add_json_file(job, "metrics.json", metrics, err);
}

static int add_baseline(const struct job *job, const struct baseline *baseline, struct error **err)
{
	json_t *metrics;
	if (merged_metrics(job->engine, baseline->run_id, NULL, NULL, &metrics, err) < 0)
		return -1;
	json_object_set_new(metrics, "release", json_string(baseline->version));
	json_object_set_new(metrics, "run", json_integer((json_int_t)baseline->run_id));
	return add_json_file(job, "baseline.json", metrics, err);
}

/* Files in STAGE_IN, and the part of the prepare spec that fetches production's predictions. */
static int add_knowledge(struct job *job, json_t *prepare, struct error **err)
{
	const struct stage_work *work = &job->work;
	struct baseline baseline = {0};
	for (size_t i = 0; i < work->n_in_files; i++)
		if (add_in_file(job, work->in_files[i].name, work->in_files[i].bytes, err) < 0)
			return -1;
	if (work->wants_metrics && add_metrics(job, err) < 0)
		return -1;
	if ((work->wants_baseline || work->wants_baseline_file) && baseline_find(job->engine, job->run, &baseline, err) < 0)
		return -1;
	if (work->wants_baseline && baseline.run_id && add_baseline(job, &baseline, err) < 0)
		return -1;
	char manifest[DIGEST_SIZE] = "";
	if (work->wants_baseline_file && baseline.run_id && baseline_outputs(job->engine, &baseline, work->wants_baseline_file, manifest, err) < 0)
		return -1;
	if (!manifest[0])
		return 0;
	json_object_set_new(prepare, "extract",
			    json_pack("{s:s, s:s, s:s, s:o}", "layout", oci_store_path(job->engine->core->oci), "digest", manifest, "path",
				      work->wants_baseline_file, "to", json_sprintf("%s/baseline-predictions.csv", job->in)));
	for (size_t i = 0; i < work->against_argv.n; i++)
		strlist_add(&job->work.argv, work->against_argv.items[i]);
	return 0;
}

/* ---- the prepare spec ---- */

static json_t *strings_json(const char *const *items, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(items[i]));
	return list;
}

static int add_restores(const struct job *job, json_t *restore, struct error **err)
{
	const struct pipeline *pipeline = job->run->pipeline;
	bool *needed = arena_alloc(job->arena, (pipeline->n_stages + 1) * sizeof(*needed));
	stage_closure(pipeline, (size_t)job->idx, needed);
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(job->engine->core->db, &q, err, "SELECT idx, name, outputs FROM stage WHERE run_id = ? AND outputs IS NOT NULL ORDER BY idx",
		     "i", job->run->id) < 0)
		return -1;
	int more;
	while ((more = db_step(q, err)) > 0) {
		int64_t idx = db_int(q, 0);
		if (idx < 0 || (uint64_t)idx >= pipeline->n_stages || !needed[idx])
			continue;
		const struct stage *stage = &pipeline->stages[idx];
		json_array_append_new(restore,
				      json_pack("{s:s, s:s, s:s, s:o}", "stage", db_text(q, 1), "layout", oci_store_path(job->engine->core->oci),
						"digest", db_text(q, 2), "paths", strings_json(stage->outputs, stage->n_outputs)));
	}
	return more;
}

static json_t *prepare_spec(const struct job *job, struct error **err)
{
	const struct planned_run *run = job->run;
	cleanup_json json_t *spec =
		json_pack("{s:s, s:I, s:I, s:o, s:[]}", "workspace", job->workspace, "uid", (json_int_t)job->uid, "gid", (json_int_t)job->gid,
			  "include", strings_json(job->stage->inputs.items, job->stage->inputs.n), "restore");
	if (run->source) {
		json_object_set_new(spec, "source", json_string(run->source));
	} else {
		const char *relative = arena_printf(job->arena, "git/%s.git", run->facts.repository);
		json_object_set_new(spec, "mirror", json_string(under_state(job, relative)));
		json_object_set_new(spec, "commit", json_string(run->facts.commit));
	}
	if (job->stage->checkpoint)
		json_object_set_new(spec, "checkpoint", json_string(job->stage->checkpoint));
	if (add_restores(job, json_object_get(spec, "restore"), err) < 0)
		return NULL;
	return STEAL(spec);
}

/* ---- folders ---- */

static int make_folder(const struct job *job, const char *path, mode_t mode, bool for_stage, struct error **err)
{
	if (dir_make(path, mode, err) < 0)
		return -1;
	if (chmod(path, mode) < 0 || (for_stage && geteuid() == 0 && lchown(path, job->uid, job->gid) < 0))
		return error_set(err, ERROR_IO, errno, "cannot set owner and mode of %s", path);
	return 0;
}

static int make_folders(struct job *job, struct error **err)
{
	struct engine *engine = job->engine;
	const char *run = under_state(job, arena_printf(job->arena, "runs/%lld", (long long)job->run->id));
	const char *work = arena_printf(job->arena, "%s/work/%lld-%lld", run, (long long)job->idx, (long long)job->number);
	job->workspace = arena_printf(job->arena, "%s/workspace", work);
	job->in = arena_printf(job->arena, "%s/in", work);
	if (make_folder(job, run, 0711, false, err) < 0 || make_folder(job, job->dir, 0700, false, err) < 0 ||
	    make_folder(job, work, 0711, false, err) < 0 || make_folder(job, job->workspace, 0755, true, err) < 0 ||
	    make_folder(job, job->in, 0755, false, err) < 0)
		return -1;
	if (job->stage->checkpoint) {
		job->checkpoint = arena_printf(job->arena, "%s/checkpoints/%lld", run, (long long)job->idx);
		if (make_folder(job, job->checkpoint, 0755, true, err) < 0)
			return -1;
	}
	cleanup_free char *outputs = incoming_name(job->attempt_id, "outputs"), *image = incoming_name(job->attempt_id, "image"), *path = NULL;
	if (job->stage->n_outputs > 0) {
		if (oci_incoming_make(engine->core->oci, outputs, job->uid, job->gid, &path, err) < 0)
			return -1;
		job->outputs_layout = arena_strdup(job->arena, path);
		free(STEAL(path));
	}
	if (job->work.makes_image) {
		if (oci_incoming_make(engine->core->oci, image, job->uid, job->gid, &path, err) < 0)
			return -1;
		job->image_layout = arena_strdup(job->arena, path);
	}
	return 0;
}

/* ---- commands ---- */

static bool names(const struct plan_stage *planned, const char *variable)
{
	for (size_t i = 0; i < planned->n_env; i++) {
		size_t len = strlen(planned->env[i].name);
		if (strncmp(variable, planned->env[i].name, len) == 0 && variable[len] == '=')
			return true;
	}
	return false;
}

static const char *const *environment(const struct job *job, const struct plan_stage *planned)
{
	static const char *const defaults[] = {DEFAULT_PATH, "HOME=/tmp", "LANG=C.UTF-8"};
	const char **env = arena_alloc(job->arena, (planned->n_env + ARRAY_SIZE(defaults) + 1) * sizeof(*env));
	size_t n = 0;
	for (size_t i = 0; i < planned->n_env; i++)
		env[n++] = arena_printf(job->arena, "%s=%s", planned->env[i].name, planned->env[i].value ? planned->env[i].value : "");
	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		if (!names(planned, defaults[i]))
			env[n++] = defaults[i];
	return env;
}

static const char *const own_env[] = {DEFAULT_PATH, "LANG=C.UTF-8", NULL};

static size_t add_binds(const struct job *job, struct sandbox_bind *binds)
{
	size_t n = 0;
	binds[n++] = (struct sandbox_bind){job->workspace, STAGE_WORKSPACE, true};
	if (job->checkpoint) {
		char *inside = arena_printf(job->arena, "%s/%s", STAGE_WORKSPACE, job->stage->checkpoint);
		size_t len = strlen(inside);
		if (inside[len - 1] == '/')
			inside[len - 1] = '\0';
		binds[n++] = (struct sandbox_bind){job->checkpoint, inside, true};
	}
	binds[n++] = (struct sandbox_bind){job->in, STAGE_IN, false};
	binds[n++] = (struct sandbox_bind){job->engine->core->self, STAGE_BINARY, false};
	if (job->image_layout)
		binds[n++] = (struct sandbox_bind){job->image_layout, LAYOUT_INSIDE, true};
	return n;
}

static const char *const *capture_argv(const struct job *job)
{
	static const char *const head[] = {STAGE_BINARY, "capture", "--workspace", STAGE_WORKSPACE, "--layout", LAYOUT_INSIDE, "--"};
	const char **argv = arena_alloc(job->arena, (ARRAY_SIZE(head) + job->stage->n_outputs + 1) * sizeof(*argv));
	memcpy(argv, head, sizeof(head));
	if (job->stage->n_outputs > 0)
		memcpy(argv + ARRAY_SIZE(head), job->stage->outputs, job->stage->n_outputs * sizeof(*argv));
	return argv;
}

static int add_secrets(const struct job *job, struct attempt_secret *secrets, struct error **err)
{
	struct core *core = job->engine->core;
	for (size_t i = 0; i < job->stage->n_secrets; i++) {
		const char *name = job->stage->secrets[i];
		char *value = NULL;
		if (core->local)
			value = xstrdup(getenv(name));
		else if (secret_get(core, name, &value, err) < 0)
			return error_context(err, "secret %s", name);
		if (!value)
			return error_set(err, ERROR_NOT_FOUND, 0,
					 core->local ? "secret %s is not set: export it in the environment of `penstock run`"
						     : "secret %s is not set: set it with `penstock secret set %s`",
					 name, name);
		secrets[i] = (struct attempt_secret){name, value};
	}
	return 0;
}

static int start_leader(const struct job *job, const struct plan_stage *planned, const char *prepare_file, struct attempt_secret *secrets,
			struct error **err)
{
	struct sandbox_bind binds[8], capture_binds[4];
	const char *const prepare[] = {job->engine->core->self, "prepare", "--spec", prepare_file, NULL};
	struct attempt_command commands[3] = {
		{.name = "prepare", .argv = prepare, .env = own_env},
		{.name = "main",
		 .argv = strlist_items(&job->work.argv),
		 .env = environment(job, planned),
		 .sandbox =
			 {.enabled = true, .binds = binds, .n_binds = add_binds(job, binds), .dir = STAGE_WORKSPACE, .network = job->stage->network},
		 .to_result = job->work.native,
		 .with_secrets = job->stage->n_secrets > 0},
	};
	size_t n = 2;
	if (job->outputs_layout) {
		capture_binds[0] = (struct sandbox_bind){job->workspace, STAGE_WORKSPACE, false};
		capture_binds[1] = (struct sandbox_bind){job->engine->core->self, STAGE_BINARY, false};
		capture_binds[2] = (struct sandbox_bind){job->outputs_layout, LAYOUT_INSIDE, true};
		commands[n++] = (struct attempt_command){
			.name = "capture",
			.argv = capture_argv(job),
			.env = own_env,
			.sandbox = {.enabled = true, .binds = capture_binds, .n_binds = 3, .dir = "/"},
		};
	}
	const struct attempt_spec spec = {
		.dir = job->dir,
		.commands = commands,
		.n_commands = n,
		.timeout_ms = job->stage->timeout_ms,
		.limits = {.memory_bytes = job->stage->memory_bytes, .cpu = job->stage->cpu},
		.secrets = secrets,
		.n_secrets = job->stage->n_secrets,
		.untrusted = !job->run->facts.trusted,
	};
	return attempt_start(&spec, err);
}

/* The commit's time is a fact like the others, but only the runner knows it: the plan is made before anybody looks at a clock. */
static struct plan_stage with_time(const struct job *job, const struct plan_stage *planned)
{
	struct plan_stage timed = *planned;
	json_int_t seconds = json_integer_value(json_object_get(job->run->facts_json, "timestamp"));
	if (seconds <= 0)
		return timed;
	struct name_value *env = arena_alloc(job->arena, (planned->n_env + 1) * sizeof(*env));
	if (planned->n_env > 0)
		memcpy(env, planned->env, planned->n_env * sizeof(*env));
	env[planned->n_env] = (struct name_value){"CI_COMMIT_TIMESTAMP", arena_printf(job->arena, "%lld", (long long)seconds)};
	timed.env = env;
	timed.n_env = planned->n_env + 1;
	return timed;
}

static int start(struct job *job, struct error **err)
{
	const struct plan_stage planned = with_time(job, &job->run->plan->stages[job->idx]);
	const struct stage_facts facts = {.planned = &planned, .event = &job->run->facts, .arena = job->arena};
	const struct stage_ops *ops = stage_find(job->stage->kind);
	if (!ops || ops->prepare(&facts, &job->work, err) < 0)
		return ops ? -1 : error_set(err, ERROR_UNSUPPORTED, 0, "%s stages are not available in this build", job->stage->kind);
	if (job->work.type != WORK_COMMAND)
		return error_set(err, ERROR_UNSUPPORTED, 0, "%s stages are not available in this build", job->stage->kind);
	attempt_stage_user(job->run->facts.trusted, &job->uid, &job->gid);
	if (make_folders(job, err) < 0)
		return -1;
	cleanup_json json_t *prepare = prepare_spec(job, err);
	if (!prepare || add_knowledge(job, prepare, err) < 0)
		return -1;
	cleanup_free char *text = json_text_pretty(prepare), *file = path_join(job->dir, "prepare.json");
	if (file_write_atomic(file, text, strlen(text), 0600, err) < 0)
		return -1;
	struct attempt_secret *secrets = arena_alloc(job->arena, (job->stage->n_secrets + 1) * sizeof(*secrets));
	int result = add_secrets(job, secrets, err);
	if (result == 0)
		result = start_leader(job, &planned, file, secrets, err);
	for (size_t i = 0; i < job->stage->n_secrets; i++)
		secret_wipe((char *)secrets[i].value);
	return result;
}

/* ---- launching ---- */

static int read_job(struct job *job, bool *ret_cancelled, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(job->engine->core->db, &q, err,
		     "SELECT attempt.dir, attempt.number, stage.id, stage.idx, stage.run_id, run.cancel_by IS NOT NULL FROM attempt "
		     "JOIN stage ON stage.id = stage_id JOIN run ON run.id = run_id WHERE attempt.id = ? AND attempt.state <> 'finished'",
		     "i", job->attempt_id) < 0)
		return -1;
	int more = db_step(q, err);
	if (more <= 0)
		return more < 0 ? -1 : error_set(err, ERROR_NOT_FOUND, 0, "the attempt is finished already");
	job->dir = under_state(job, db_text(q, 0));
	job->number = db_int(q, 1);
	job->stage_id = db_int(q, 2);
	job->idx = db_int(q, 3);
	*ret_cancelled = db_int(q, 5);
	if (planned_run_get(job->engine, db_int(q, 4), &job->run, err) < 0)
		return -1;
	if (job->idx < 0 || (uint64_t)job->idx >= job->run->plan->n_stages)
		return error_set(err, ERROR_INTERNAL, 0, "the stored stages do not fit the stored pipeline");
	job->stage = &job->run->pipeline->stages[job->idx];
	return 0;
}

/* What a person can mend in the pipeline or the secrets is the stage's failure, the rest is the surroundings'. */
static enum outcome outcome_of_error(const struct error *err)
{
	switch (error_code_of(err)) {
	case ERROR_INVALID:
	case ERROR_USAGE:
	case ERROR_NOT_FOUND:
	case ERROR_TOO_LARGE:
	case ERROR_UNSUPPORTED:
	case ERROR_DENIED:
	case ERROR_UNAUTHORIZED:
		return OUTCOME_FAILED;
	case ERROR_CONFLICT:
	case ERROR_IO:
	case ERROR_NO_SPACE:
	case ERROR_PROTOCOL:
	case ERROR_UNAVAILABLE:
	case ERROR_TIMEOUT:
	case ERROR_MISSING:
	case ERROR_INTERNAL:
		break;
	}
	return OUTCOME_INFRA;
}

static void write_down(struct engine *engine, int64_t attempt_id, enum outcome outcome, bool may_retry, const char *reason)
{
	cleanup_error struct error *err = NULL;
	core_event_begin(engine->core);
	int done = account_unstarted(engine, attempt_id, outcome, may_retry, reason, &err);
	core_event_end(engine->core, done == 0);
	if (done == 0)
		return;
	log_write(LOG_ERROR, "engine", "attempt %lld: %s", (long long)attempt_id, error_message(err));
	engine_recover_later(engine);
}

static void note_running(struct engine *engine, int64_t attempt_id)
{
	cleanup_error struct error *err = NULL;
	core_event_begin(engine->core);
	int done = db_run(engine->core->db, &err, "UPDATE attempt SET state = 'running' WHERE id = ? AND state = 'starting'", "i", attempt_id);
	core_event_end(engine->core, done == 0);
	if (done < 0)
		log_write(LOG_ERROR, "engine", "attempt %lld: %s", (long long)attempt_id, error_message(err));
}

void work_launch(struct engine *engine, int64_t attempt_id)
{
	cleanup_arena struct arena *arena = arena_new();
	cleanup_error struct error *err = NULL;
	struct job job = {.engine = engine, .arena = arena, .attempt_id = attempt_id};
	enum attempt_state state;
	bool cancelled;
	if (read_job(&job, &cancelled, &err) < 0) {
		if (error_code_of(err) != ERROR_NOT_FOUND)
			write_down(engine, attempt_id, OUTCOME_INFRA, false, error_message(err));
		return;
	}
	if (attempt_state(job.dir, &state, &err) < 0) {
		log_write(LOG_ERROR, "engine", "%s", error_message(err));
		engine_recover_later(engine);
		return;
	}
	/* One that runs or has run is attached to: nothing is ever started twice. */
	if (state == ATTEMPT_NEW && cancelled) {
		write_down(engine, attempt_id, OUTCOME_CANCELLED, false, "cancelled before it started");
		return;
	}
	int started = state == ATTEMPT_NEW ? start(&job, &err) : 0;
	stage_work_done(&job.work);
	/* A leader that was slow to report may run all the same; its folder knows. */
	if (started < 0 && attempt_state(job.dir, &state, NULL) == 0 && state == ATTEMPT_NEW) {
		write_down(engine, attempt_id, outcome_of_error(err), error_retryable(err) && error_code_of(err) != ERROR_NO_SPACE,
			   error_message(err));
		return;
	}
	note_running(engine, attempt_id);
	engine_watch(engine, attempt_id, job.dir);
}
