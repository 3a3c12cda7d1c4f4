/* Opening the targets, looking at them, and when to do what. */
#include "runner/rollouts_priv.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

/* ---- opening ---- */

static int open_driver(struct watched *watched, struct error **err)
{
	struct core *core = watched->rollouts->core;
	const struct config_target *config = config_target(core->config, watched->name);
	if (!config)
		return error_set(err, ERROR_NOT_FOUND, 0, "it is not in %s any more; what runs there was left as it is",
				 core->config->file ? core->config->file : "penstock.yml");
	const struct target_ops *ops = watched->rollouts->seams.find_target(config->kind);
	if (!ops)
		return error_set(err, ERROR_UNSUPPORTED, 0, "targets of the kind \"%s\" are not available in this build", config->kind);
	if (dir_make(watched->state_dir, 0700, err) < 0)
		return -1;
	cleanup_free char *layout = core_path(core, "oci");
	struct target_config target = {.name = watched->name,
				       .kind = config->kind,
				       .body = config->body,
				       .state_dir = watched->state_dir,
				       .layout = layout,
				       .self = core->self};
	return ops->open(&target, core->loop, &watched->target, err);
}

static void tell_open(struct watched *watched, const char *error)
{
	struct core *core = watched->rollouts->core;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *data = error ? json_pack("{s:s}", "error", error) : json_object();
	core_event_begin(core);
	int result = event_append(core, error ? "target.broken" : "target.opened", watched->subject, 0, NULL, data, &err);
	core_event_end(core, result == 0);
	if (error)
		log_write(LOG_ERROR, watched->subject, "%s", error);
}

bool watched_open(struct watched *watched)
{
	cleanup_error struct error *err = NULL;
	if (watched->target)
		return true;
	if (open_driver(watched, &err) == 0) {
		tell_open(watched, NULL);
		watched->open_error[0] = '\0';
		watched->open_pause_ms = 0;
		watched->look_at_ms = 0;
		return true;
	}
	int64_t pause = watched->open_pause_ms ? watched->open_pause_ms * 2 : OPEN_AGAIN_MS;
	watched->open_pause_ms = pause < OPEN_AGAIN_MAX_MS ? pause : OPEN_AGAIN_MAX_MS;
	watched->open_at_ms = clock_wall_ms() + watched->open_pause_ms;
	if (strcmp(watched->open_error, error_message(err)) != 0)
		tell_open(watched, error_message(err));
	snprintf(watched->open_error, sizeof(watched->open_error), "%s", error_message(err));
	return false;
}

struct watched *rollouts_find(const struct rollouts *rollouts, const char *target)
{
	for (size_t i = 0; i < rollouts->n_watched; i++)
		if (strcmp(rollouts->watched[i]->name, target) == 0)
			return rollouts->watched[i];
	return NULL;
}

static void watched_add(struct rollouts *rollouts, const char *name)
{
	if (rollouts_find(rollouts, name))
		return;
	struct watched *watched = xcalloc(1, sizeof(*watched));
	cleanup_free char *relative = xasprintf("targets/%s", name);
	*watched = (struct watched){
		.magic = WATCHED_MAGIC,
		.rollouts = rollouts,
		.name = xstrdup(name),
		.subject = xasprintf("target/%s", name),
		.state_dir = core_path(rollouts->core, relative),
	};
	rollouts->watched = xgrow(rollouts->watched, &rollouts->capacity, rollouts->n_watched + 1, sizeof(struct watched *));
	rollouts->watched[rollouts->n_watched++] = watched;
}

static int add_all(struct rollouts *rollouts, struct error **err)
{
	struct core *core = rollouts->core;
	for (size_t i = 0; i < core->config->n_targets; i++) {
		const char *name = core->config->targets[i].name;
		if (db_run(core->db, err, "INSERT INTO target (name) VALUES (?) ON CONFLICT DO NOTHING", "s", name) < 0)
			return -1;
		watched_add(rollouts, name);
	}
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err, "SELECT name FROM target ORDER BY name", "") < 0)
		return -1;
	int more;
	while ((more = db_step(q, err)) > 0)
		watched_add(rollouts, db_text(q, 0));
	return more;
}

/* From the rows, whatever memory held. A row that cannot be read stops only its own target. */
void watched_reload(struct watched *watched)
{
	cleanup_error struct error *err = NULL;
	active_free(watched->active);
	watched->active = NULL;
	watched->row_error[0] = '\0';
	want_clear(watched);
	watched->applying = false; /* whatever is under way is compared with the rows at the next look */
	watched->look_at_ms = 0;
	if (active_load(watched->rollouts->core, watched->name, &watched->active, &err) == 0)
		return;
	snprintf(watched->row_error, sizeof(watched->row_error), "%s", error_message(err));
	log_write(LOG_ERROR, watched->subject, "its rollout cannot be read, so nothing is changed: %s", error_message(err));
}

static void reload_all(void *arg)
{
	struct core *core = arg;
	for (size_t i = 0; core->rollouts && i < core->rollouts->n_watched; i++)
		watched_reload(core->rollouts->watched[i]);
}

static void on_timer(void *arg)
{
	rollouts_tick(arg);
}

int rollouts_open_with(struct core *core, const struct rollouts_seams *seams, struct rollouts **ret, struct error **err)
{
	struct rollouts *rollouts = xcalloc(1, sizeof(*rollouts));
	rollouts->core = core;
	rollouts->seams = *seams;
	core_event_begin(core);
	int result = add_all(rollouts, err);
	core_event_end(core, result == 0);
	if (result < 0) {
		rollouts_close(rollouts);
		return error_context(err, "rollouts");
	}
	for (size_t i = 0; i < rollouts->n_watched; i++)
		watched_reload(rollouts->watched[i]);
	core_on_reload(core, reload_all, core);
	rollouts->timer = loop_timer_start(core->loop, 0, TICK_MS, on_timer, rollouts);
	*ret = rollouts;
	return 0;
}

static void watched_free(struct watched *watched)
{
	if (watched->target)
		watched->target->ops->close(watched->target);
	active_free(watched->active);
	want_clear(watched);
	free(watched->name);
	free(watched->subject);
	free(watched->state_dir);
	watched->magic = 0;
	free(watched);
}

void rollouts_close(struct rollouts *rollouts)
{
	if (!rollouts)
		return;
	core_commit(rollouts->core); /* effects that are queued hold our pointers */
	if (rollouts->core->rollouts == rollouts)
		rollouts->core->rollouts = NULL;
	loop_timer_stop(rollouts->timer);
	for (size_t i = 0; i < rollouts->n_watched; i++)
		watched_free(rollouts->watched[i]);
	free(rollouts->watched);
	free(rollouts);
}

/* ---- looking ---- */

const struct actual *watched_actual(const struct watched *watched)
{
	return watched->has_actual && !watched->hand_over && watched->handed_at_actual == watched->handed ? &watched->actual : NULL;
}

static struct watched *watched_of(void *arg)
{
	struct watched *watched = arg;
	if (watched->magic != WATCHED_MAGIC)
		abort();
	return watched;
}

static void on_counts(void *arg, const struct counts_report *report, struct error *why /* the driver's */)
{
	struct watched *watched = watched_of(arg);
	watched->counting = false;
	watched->counted_ms = clock_wall_ms();
	if (why && !watched->provider_failed)
		log_write(LOG_WARNING, watched->subject, "no counts: %s", error_message(why));
	watched->provider_failed = why != NULL;
	watched_drive(watched, why ? NULL : report);
}

/* True if the drive follows from on_counts(). */
static bool ask_for_counts(struct watched *watched)
{
	int64_t now = clock_wall_ms();
	if (!watched->active || !watched->active->analysis || !rollout_is_judged(&watched->active->machine))
		return false;
	if (watched->counting) {
		watched->provider_failed = watched->provider_failed || now - watched->count_begun_ms > ANSWER_MS;
		return false;
	}
	if (now - watched->counted_ms < COUNT_MS)
		return false;
	watched->counting = true;
	watched->count_begun_ms = now;
	watched->target->ops->counts(watched->target, on_counts, watched);
	return true;
}

static void on_actual(void *arg, const struct actual *actual, struct error *why /* the driver's */)
{
	struct watched *watched = watched_of(arg);
	watched->looking = false;
	if (!why && watched->handed_at_look != watched->handed) {
		watched->look_at_ms = 0; /* It began before the last change was handed over, so it may show what is just being changed. */
		return;
	}
	watched->has_actual = !why && actual;
	watched->handed_at_actual = watched->handed;
	if (watched->has_actual)
		watched->actual = *actual;
	snprintf(watched->look_error, sizeof(watched->look_error), "%s", why ? error_message(why) : "");
	evidence_ask(watched);
	if (!ask_for_counts(watched))
		watched_drive(watched, NULL);
}

static void look(struct watched *watched)
{
	int64_t now = clock_wall_ms();
	watched->look_at_ms = now + (watched->active ? LOOK_ACTIVE_MS : LOOK_IDLE_MS);
	if (!watched->target) {
		watched->has_actual = false;
		watched_drive(watched, NULL);
		return;
	}
	if (watched->looking) {
		if (now - watched->look_begun_ms < ANSWER_MS)
			return;
		watched->has_actual = false;
		snprintf(watched->look_error, sizeof(watched->look_error), "the target does not answer");
		watched_drive(watched, NULL);
		return;
	}
	watched->looking = true;
	watched->look_begun_ms = now;
	watched->handed_at_look = watched->handed;
	watched->target->ops->observe(watched->target, on_actual, watched);
}

void rollouts_tick(struct rollouts *rollouts)
{
	for (size_t i = 0; i < rollouts->n_watched; i++) {
		struct watched *watched = rollouts->watched[i];
		int64_t now = clock_wall_ms();
		if (!watched->target && now >= watched->open_at_ms)
			watched_open(watched);
		/* A wall clock that was set back must not stop us for that long. */
		if (now >= watched->look_at_ms || watched->look_at_ms > now + LOOK_IDLE_MS)
			look(watched);
	}
}
