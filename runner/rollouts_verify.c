#include "runner/rollouts_verify.h"

#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "base/file.h"
#include "base/log.h"
#include "runner/engine_priv.h"
#include "runner/reason.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define USUAL_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static char *attempt_folder(const struct core *core, int64_t run_id, int64_t rollout_id)
{
	cleanup_free char *relative = xasprintf("runs/%lld/attempts/verify-%lld", (long long)run_id, (long long)rollout_id);
	return core_path(core, relative);
}

static int make_folder(const char *path, mode_t mode, struct error **err)
{
	if (dir_make(path, mode, err) < 0)
		return -1;
	return chmod(path, mode) < 0 ? error_set(err, ERROR_IO, errno, "cannot set the mode of %s", path) : 0;
}

static json_t *prepare_spec(struct core *core, const struct planned_run *run, const char *workspace)
{
	unsigned uid, gid;
	attempt_stage_user(run->facts.trusted, &uid, &gid);
	json_t *spec = json_pack("{s:s, s:I, s:I, s:[], s:[]}", "workspace", workspace, "uid", (json_int_t)uid, "gid", (json_int_t)gid, "include",
				 "restore");
	if (run->source) {
		json_object_set_new(spec, "source", json_string(run->source));
		return spec;
	}
	cleanup_free char *relative = xasprintf("git/%s.git", run->facts.repository), *mirror = core_path(core, relative);
	json_object_set_new(spec, "mirror", json_string(mirror));
	json_object_set_new(spec, "commit", json_string(run->facts.commit));
	return spec;
}

static int start_leader(struct core *core, const struct verify_order *order, const struct planned_run *run, const char *dir, const char *workspace,
			const char *prepare_file, struct error **err)
{
	cleanup_free char *url = xasprintf("PENSTOCK_PREVIEW_URL=%s", order->preview_url), *target = xasprintf("PENSTOCK_TARGET=%s", order->spec->target),
			  *version = xasprintf("PENSTOCK_VERSION=%s", order->candidate->version),
			  *image = xasprintf("PENSTOCK_IMAGE=%s", order->candidate->image), *commit = xasprintf("CI_COMMIT_SHA=%s", run->facts.commit);
	const char *const env[] = {USUAL_PATH, "HOME=/tmp", "LANG=C.UTF-8", "CI=true", url, target, version, image, commit, NULL};
	const char *const own_env[] = {USUAL_PATH, "LANG=C.UTF-8", NULL};
	const char *const prepare[] = {core->self, "prepare", "--spec", prepare_file, NULL};
	const char *const argv[] = {"/bin/sh", "-ec", order->spec->verify_run, NULL};
	const struct sandbox_bind binds[] = {{workspace, STAGE_WORKSPACE, true}};
	const struct attempt_command commands[] = {
		{.name = "prepare", .argv = prepare, .env = own_env},
		{.name = "verify",
		 .argv = argv,
		 .env = env,
		 .sandbox = {.enabled = true, .binds = binds, .n_binds = 1, .dir = STAGE_WORKSPACE, .network = true}},
	};
	const struct attempt_spec spec = {.dir = dir,
					  .commands = commands,
					  .n_commands = ARRAY_SIZE(commands),
					  .timeout_ms = order->spec->verify_timeout_ms,
					  .untrusted = !run->facts.trusted};
	return attempt_start(&spec, err);
}

int verify_start(struct core *core, const struct verify_order *order, struct error **err)
{
	cleanup_free char *dir = attempt_folder(core, order->run_id, order->rollout_id);
	cleanup_free char *run_folder = xasprintf("runs/%lld", (long long)order->run_id), *run_dir = core_path(core, run_folder);
	cleanup_free char *work = xasprintf("%s/work/verify-%lld", run_dir, (long long)order->rollout_id), *workspace = path_join(work, "workspace");
	cleanup_free char *file = path_join(dir, "prepare.json");
	struct planned_run *run;
	enum attempt_state state;
	if (make_folder(run_dir, 0711, err) < 0 || make_folder(dir, 0700, err) < 0 || attempt_state(dir, &state, err) < 0)
		return error_context(err, "verify");
	if (state != ATTEMPT_NEW)
		return 0;
	if (planned_run_get(core->engine, order->run_id, &run, err) < 0 || make_folder(work, 0711, err) < 0 || make_folder(workspace, 0755, err) < 0)
		return error_context(err, "verify");
	cleanup_json json_t *prepare = prepare_spec(core, run, workspace);
	cleanup_free char *text = json_text_pretty(prepare);
	if (file_write_atomic(file, text, strlen(text), 0600, err) < 0 || start_leader(core, order, run, dir, workspace, file, err) < 0)
		return error_context(err, "verify");
	return 0;
}

static void tell_failure(const char *dir, const struct exit_record *record, char *why, size_t size)
{
	cleanup_free char *log = path_join(dir, "log"), *last = reason_of_log(log);
	char how[300];
	if (record->end == ATTEMPT_EXITED)
		snprintf(how, sizeof(how), "exit code %d", record->exit_code);
	else
		snprintf(how, sizeof(how), "%s", record->message[0] ? record->message : "it did not run to its end");
	snprintf(why, size, "%s%s%s%.120s%s; its log: %s", strcmp(record->command, "prepare") == 0 ? "its files could not be prepared: " : "", how,
		 last[0] ? " (" : "", last, last[0] ? ")" : "", log);
}

enum verify_status verify_look(struct core *core, int64_t run_id, int64_t rollout_id, char *why, size_t size)
{
	cleanup_free char *dir = attempt_folder(core, run_id, rollout_id);
	cleanup_error struct error *err = NULL;
	struct exit_record record;
	enum attempt_state state;
	why[0] = '\0';
	if (!path_exists(dir))
		return VERIFY_NONE;
	if (attempt_state(dir, &state, &err) < 0) {
		snprintf(why, size, "%s", error_message(err));
		return VERIFY_FAILED;
	}
	switch (state) {
	case ATTEMPT_NEW:
		return VERIFY_NONE;
	case ATTEMPT_RUNNING:
		return VERIFY_RUNNING;
	case ATTEMPT_LOST:
		snprintf(why, size, "it was lost: the machine went down, or its leader was killed");
		return VERIFY_FAILED;
	case ATTEMPT_FINISHED:
		break;
	}
	if (attempt_exit_record(dir, &record, &err) < 0) {
		snprintf(why, size, "%s", error_message(err));
		return VERIFY_FAILED;
	}
	if (record.end == ATTEMPT_EXITED && record.exit_code == 0)
		return VERIFY_PASSED;
	tell_failure(dir, &record, why, size);
	return VERIFY_FAILED;
}

void verify_cancel(struct core *core, int64_t run_id, int64_t rollout_id)
{
	cleanup_free char *dir = attempt_folder(core, run_id, rollout_id);
	cleanup_error struct error *err = NULL;
	enum attempt_state state;
	if (path_exists(dir) && attempt_state(dir, &state, &err) == 0 && state == ATTEMPT_RUNNING && attempt_cancel(dir, &err) < 0)
		log_write(LOG_WARNING, "rollouts", "the verify command of rollout %lld could not be ended: %s", (long long)rollout_id, error_message(err));
}
