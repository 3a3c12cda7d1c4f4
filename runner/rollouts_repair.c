/* Desired against actual: what is wanted is handed to the driver after the commit, again and again until it is so, and what somebody
 * changed by hand is told and put right. */
#include "runner/rollouts_priv.h"

#include "base/clock.h"
#include "base/log.h"

/* ---- what is wanted ---- */

void want_clear(struct watched *watched)
{
	arena_free(watched->want_arena);
	watched->want_arena = NULL;
	watched->has_want = watched->hand_over = false;
	watched->want = (struct desired){0};
}

static const struct release *keep_release(struct arena *arena, const struct release *release)
{
	struct release *copy = arena_alloc(arena, sizeof(*copy));
	*copy = *release;
	copy->repository = arena_strdup(arena, release->repository);
	copy->version = arena_strdup(arena, release->version);
	copy->image = arena_strdup(arena, release->image);
	copy->commit = arena_strdup(arena, release->commit);
	return copy;
}

void want_set(struct watched *watched, const struct desired *desired)
{
	struct arena *arena = arena_new();
	struct desired want = *desired;
	for (unsigned i = 0; i < want.n_arms; i++)
		want.arms[i].release = keep_release(arena, desired->arms[i].release);
	want.health_path = arena_strdup(arena, desired->health_path);
	arena_free(watched->want_arena);
	watched->want_arena = arena;
	watched->want = want;
	watched->has_want = true;
}

/* ---- handing over ---- */

static void on_applied(void *arg, uint64_t generation, struct error *why /* the driver's */)
{
	struct watched *watched = arg;
	if (watched->magic != WATCHED_MAGIC)
		abort();
	if (generation != watched->want.generation)
		return; /* superseded meanwhile; its successor answers for itself */
	watched->applying = false;
	watched->look_at_ms = 0;
	if (!why) {
		watched->trouble[0] = '\0';
		watched->trouble_is_final = false;
		watched->apply_pause_ms = 0;
		return;
	}
	enum error_code code = error_code_of(why);
	watched->trouble_is_final = code == ERROR_INVALID || code == ERROR_UNSUPPORTED || code == ERROR_MISSING;
	if (strcmp(watched->trouble, error_message(why)) != 0)
		log_write(LOG_WARNING, watched->subject, "%s", error_message(why));
	snprintf(watched->trouble, sizeof(watched->trouble), "%s", error_message(why));
}

static void run_verify(struct watched *watched)
{
	struct core *core = watched->rollouts->core;
	const struct active *active = watched->active;
	bool due = watched->verify_due, over = watched->verify_over;
	watched->verify_due = watched->verify_over = false;
	if (!active || !active->run_id)
		return;
	if (over)
		verify_cancel(core, active->run_id, active->machine.id);
	if (!due || !watched->has_actual)
		return;
	cleanup_error struct error *err = NULL;
	const struct verify_order order = {.rollout_id = active->machine.id,
					   .run_id = active->run_id,
					   .spec = &active->spec,
					   .candidate = &active->candidate,
					   .preview_url = watched->actual.preview_url};
	if (verify_start(core, &order, &err) < 0) {
		snprintf(watched->verify_error, sizeof(watched->verify_error), "%s", error_message(err));
		log_write(LOG_ERROR, watched->subject, "%s", error_message(err));
	}
	watched->look_at_ms = 0;
}

static void run_effect(struct core *core, void *arg)
{
	struct watched *watched = arg;
	(void)core;
	run_verify(watched);
	if (!watched->hand_over || !watched->has_want || !watched->target)
		return;
	int64_t pause = watched->apply_pause_ms ? watched->apply_pause_ms * 2 : APPLY_AGAIN_MS;
	watched->hand_over = false;
	watched->apply_pause_ms = pause < APPLY_AGAIN_MAX_MS ? pause : APPLY_AGAIN_MAX_MS;
	watched->apply_at_ms = clock_wall_ms() + watched->apply_pause_ms;
	watched->handed++;
	watched->applying = true;
	watched->look_at_ms = 0;
	watched->target->ops->apply(watched->target, &watched->want, on_applied, watched);
}

static void drop_effect(struct core *core, void *arg)
{
	(void)core;
	watched_reload(arg);
}

void watched_effect(struct watched *watched)
{
	core_effect(watched->rollouts->core, run_effect, drop_effect, watched);
}

/* ---- comparing ---- */

static const struct arm_status *seen_arm(const struct actual *actual, const char *image)
{
	for (unsigned i = 0; i < actual->n_arms && i < MAX_ARMS; i++)
		if (strcmp(actual->arms[i].image, image) == 0)
			return &actual->arms[i];
	return NULL;
}

/* What differs, in words; false if nothing does. A copy that is there but not ready is no drift: it may be coming up. */
static bool differs(const struct desired *want, const struct actual *actual, char *ret, size_t size)
{
	for (unsigned i = 0; i < want->n_arms; i++) {
		const struct arm *arm = &want->arms[i];
		const struct arm_status *seen = seen_arm(actual, arm->release->image);
		if (!seen || seen->replicas < arm->replicas) {
			snprintf(ret, size, "%u of %u copies of %.80s exist", seen ? seen->replicas : 0, arm->replicas, arm->release->version);
			return true;
		}
		if (seen->weight_ppm != arm->weight_ppm) {
			snprintf(ret, size, "%.80s has %.4g%% of the traffic instead of %.4g%%", arm->release->version, seen->weight_ppm / 1e4,
				 arm->weight_ppm / 1e4);
			return true;
		}
	}
	const char *shown = want->preview && want->preview <= want->n_arms ? want->arms[want->preview - 1].release->image : "";
	if (actual->preview_url[0] && strcmp(actual->preview_image, shown) != 0) {
		snprintf(ret, size, "the preview address shows %.19s instead of %.19s", actual->preview_image[0] ? actual->preview_image : "nothing",
			 shown[0] ? shown : "nothing");
		return true;
	}
	for (unsigned i = 0; i < actual->n_arms && i < MAX_ARMS; i++) {
		bool wanted = false;
		for (unsigned j = 0; j < want->n_arms; j++)
			wanted = wanted || strcmp(want->arms[j].release->image, actual->arms[i].image) == 0;
		if (!wanted) {
			snprintf(ret, size, "%u copies of the image %.19s are there that should not be", actual->arms[i].replicas,
				 actual->arms[i].image);
			return true;
		}
	}
	return false;
}

static int tell_repaired(struct watched *watched, const char *found, int64_t after_ms, struct error **err)
{
	cleanup_json json_t *data = json_pack("{s:s, s:I}", "found", found, "after_ms", (json_int_t)after_ms);
	log_write(LOG_WARNING, watched->subject, "repaired: %s", found);
	watched->drift[0] = '\0';
	return event_append(watched->rollouts->core, "target.repaired", watched->subject, 0, NULL, data, err);
}

/* A driver that looks more often than we do has put right what we may not even have seen. */
static int tell_own_repairs(struct watched *watched, struct error **err)
{
	if (!watched->has_actual || watched->actual.repairs == watched->repairs)
		return 0;
	watched->repairs = watched->actual.repairs;
	return tell_repaired(watched, watched->actual.repaired, watched->actual.repair_took_ms, err);
}

int want_compare(struct watched *watched, struct error **err)
{
	char found[sizeof(watched->drift)];
	const struct actual *actual = watched_actual(watched);
	if (tell_own_repairs(watched, err) < 0)
		return -1;
	if (!watched->has_want || !actual)
		return 0;
	bool there = actual->generation >= watched->want.generation;
	if (actual->router_ok && !differs(&watched->want, actual, found, sizeof(found))) {
		if (watched->drift[0] && !actual->repairing) { /* else the driver tells */
			char drift[sizeof(watched->drift)];
			memcpy(drift, watched->drift, sizeof(drift));
			if (tell_repaired(watched, drift, clock_wall_ms() - watched->drift_ms, err) < 0)
				return -1;
		}
		if (there)
			return 0;
	} else if (there && !watched->applying && !watched->drift[0]) {
		/* It had been as desired, and is not any more. */
		snprintf(watched->drift, sizeof(watched->drift), "%s",
			 actual->router_ok    ? found
			 : actual->message[0] ? actual->message
					      : "the router is down");
		watched->drift_ms = clock_wall_ms();
		watched->apply_at_ms = 0;
		watched->apply_pause_ms = 0;
	}
	if (!watched->applying && clock_wall_ms() >= watched->apply_at_ms)
		watched->hand_over = true;
	return 0;
}

int repair_idle(struct watched *watched, struct error **err)
{
	cleanup_arena struct arena *arena = arena_new();
	struct desired desired;
	if (idle_desired(watched->rollouts->core, watched->name, arena, &desired, err) < 0)
		return -1;
	if (!desired.generation)
		return 0;
	want_set(watched, &desired);
	return want_compare(watched, err);
}
