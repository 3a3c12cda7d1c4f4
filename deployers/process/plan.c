#include "deployers/process/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *plan_kind_name(enum plan_kind kind)
{
	static const char *const names[] = {
#define X(name, text, doc) [PLAN_##name] = text,
		PLAN_ACTIONS(X)
#undef X
	};
	return names[kind];
}

static bool same(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static bool act(struct plan_action *ret, enum plan_kind kind)
{
	*ret = (struct plan_action){.kind = kind, .slot = SLOT_NONE};
	return true;
}

static bool act_on_instance(struct plan_action *ret, enum plan_kind kind, const struct instance_view *instance)
{
	act(ret, kind);
	ret->id = instance->id;
	ret->slot = instance->slot;
	snprintf(ret->server, sizeof(ret->server), "i%u", instance->id);
	return true;
}

static bool act_on_server(struct plan_action *ret, enum plan_kind kind, const struct server_state *server)
{
	act(ret, kind);
	ret->id = server->id;
	ret->slot = server->slot;
	snprintf(ret->server, sizeof(ret->server), "%s", server->name);
	return true;
}

static void reason(struct plan_action *ret, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void reason(struct plan_action *ret, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(ret->reason, sizeof(ret->reason), fmt, args);
	va_end(args);
}

static bool wait_for(struct plan_action *ret, const struct instance_view *instance, const char *what)
{
	act(ret, PLAN_WAIT);
	reason(ret, "copy i%u on port %u: %s", instance->id, instance->port, what);
	return true;
}

static const struct plan_arm *arm_of(const struct plan_desired *desired, const char *image)
{
	for (unsigned i = 0; i < desired->n_arms; i++)
		if (same(desired->arms[i].image, image))
			return &desired->arms[i];
	return NULL;
}

static const struct instance_view *instance_of(const struct plan_observed *o, unsigned id)
{
	for (size_t i = 0; i < o->n_instances; i++)
		if (o->instances[i].id == id)
			return &o->instances[i];
	return NULL;
}

static bool takes_traffic(const struct plan_observed *o, const struct instance_view *instance)
{
	const struct server_state *server = router_state_server(&o->router, instance->id);
	return instance->run == RUN_RUNNING && server && server->slot == instance->slot && server->port == instance->port &&
	       server->admin == SERVER_READY && server->up && server->checked;
}

static bool is_leaving(const struct instance_view *instance)
{
	return instance->retired || instance->run == RUN_STOPPING || instance->run == RUN_STOPPED;
}

static bool has_old_limits(const struct instance_view *instance)
{
	return instance->outdated && (instance->run == RUN_RUNNING || instance->run == RUN_RESTARTING);
}

/* Of several copies with one number that are alike the oldest counts; one with old limits stays until one with the new takes traffic. */
static bool is_wanted(const struct plan_observed *o, const struct plan_desired *desired, const struct instance_view *instance)
{
	const struct plan_arm *arm = arm_of(desired, instance->image);
	if (!arm || instance->replica >= arm->replicas || is_leaving(instance))
		return false;
	bool old = has_old_limits(instance);
	for (size_t i = 0; i < o->n_instances; i++) {
		const struct instance_view *other = &o->instances[i];
		if (other->id == instance->id || other->replica != instance->replica || !same(other->image, instance->image) || is_leaving(other))
			continue;
		if (has_old_limits(other) == old ? other->id < instance->id : old && takes_traffic(o, other))
			return false;
	}
	return true;
}

bool plan_takes_traffic(const struct plan_observed *observed, const struct instance_view *instance)
{
	return takes_traffic(observed, instance);
}

bool plan_wants(const struct plan_observed *observed, const struct plan_desired *desired, const struct instance_view *instance)
{
	return is_wanted(observed, desired, instance);
}

int plan_slot_of(const struct plan_observed *observed, const char *image)
{
	for (size_t i = 0; i < observed->n_instances; i++)
		if (same(observed->instances[i].image, image))
			return observed->instances[i].slot;
	return SLOT_NONE;
}

unsigned plan_ready(const struct plan_observed *observed, const char *image)
{
	unsigned n = 0;
	for (size_t i = 0; i < observed->n_instances; i++)
		n += same(observed->instances[i].image, image) && takes_traffic(observed, &observed->instances[i]);
	return n;
}

uint32_t plan_weight(const struct plan_observed *observed, const char *image)
{
	if (!observed->router.answers || !observed->router.has_split)
		return 0;
	return split_weight(&observed->router.split, plan_slot_of(observed, image));
}

/* ---- bringing up ---- */

static bool slot_is_free(const struct plan_observed *o, int slot)
{
	for (size_t i = 0; i < o->n_instances; i++)
		if (o->instances[i].slot == slot)
			return false;
	for (size_t i = 0; i < o->router.n_servers; i++)
		if (o->router.servers[i].slot == slot)
			return false;
	return true;
}

/* A slot that is empty and has no traffic; where both are empty (first release) one is as good as the other. */
static int free_slot(const struct plan_observed *o)
{
	for (int slot = 0; slot < SLOTS; slot++)
		if (slot_is_free(o, slot) && (!o->router.has_split || split_weight(&o->router.split, slot) == 0))
			return slot;
	return slot_is_free(o, SLOT_A) && slot_is_free(o, SLOT_B) ? SLOT_A : SLOT_NONE;
}

static bool create(const struct plan_observed *o, const struct plan_arm *arm, unsigned replica, struct plan_action *ret)
{
	int slot = plan_slot_of(o, arm->image);
	if (slot == SLOT_NONE)
		slot = free_slot(o);
	if (slot == SLOT_NONE)
		return false; /* an older arm is still being drained */
	act(ret, PLAN_CREATE);
	ret->slot = slot;
	ret->replica = replica;
	snprintf(ret->image, sizeof(ret->image), "%s", arm->image);
	return true;
}

static bool create_missing(const struct plan_observed *o, const struct plan_arm *arm, const struct plan_desired *desired, struct plan_action *ret)
{
	for (unsigned replica = 0; replica < arm->replicas; replica++) {
		bool exists = false;
		for (size_t i = 0; i < o->n_instances; i++)
			exists = exists || (o->instances[i].replica == replica && same(o->instances[i].image, arm->image) &&
					    is_wanted(o, desired, &o->instances[i]));
		if (!exists)
			return create(o, arm, replica, ret);
	}
	return false;
}

/* A copy with the new limits for one that has the old; what is down already goes first. Only when no other is on its way in or out. */
static bool create_replacement(const struct plan_observed *o, const struct plan_arm *arm, const struct plan_desired *desired, struct plan_action *ret)
{
	const struct instance_view *old = NULL;
	unsigned copies = 0;
	for (size_t i = 0; i < o->n_instances; i++) {
		const struct instance_view *instance = &o->instances[i];
		if (!same(instance->image, arm->image))
			continue;
		copies++;
		if (has_old_limits(instance) && instance->run == RUN_RUNNING && is_wanted(o, desired, instance) &&
		    (!old || (takes_traffic(o, old) && !takes_traffic(o, instance))))
			old = instance;
	}
	return old && copies <= arm->replicas ? create(o, arm, old->replica, ret) : false;
}

/* The router has it down. What it has in hand may still be answered; then it is ended, and comes back as any copy that has ended. */
static bool restart_hung(const struct instance_view *instance, const struct server_state *server, struct plan_action *ret)
{
	if (server->admin == SERVER_READY)
		return act_on_server(ret, PLAN_DRAIN, server);
	if (server->sessions)
		return instance->drain_overdue ? act_on_server(ret, PLAN_CUT, server) : false;
	return act_on_instance(ret, PLAN_RESTART, instance);
}

static bool bring_up(const struct plan_observed *o, const struct instance_view *instance, struct plan_action *ret)
{
	if (instance->run == RUN_NEW || instance->run == RUN_DEAD)
		return instance->start_due || instance->outdated ? act_on_instance(ret, PLAN_START, instance) : false;
	if (instance->run == RUN_RESTARTING)
		return false;
	const struct server_state *server = router_state_server(&o->router, instance->id);
	if (!server)
		return act_on_instance(ret, PLAN_ADD_SERVER, instance);
	if (server->slot != instance->slot || server->port != instance->port)
		/* Somebody's server under our name: take it away, then add ours. */
		return act_on_server(ret, server->admin == SERVER_MAINT ? PLAN_DELETE_SERVER : PLAN_DISABLE, server);
	if (server->admin == SERVER_MAINT)
		/* From maintenance it would come back "up" unchecked; a new one starts in drain mode. */
		return act_on_server(ret, PLAN_DELETE_SERVER, server);
	if (instance->hung && !server->up)
		return restart_hung(instance, server, ret);
	/* A ready one that is not in the file would be lost with the next reload. */
	if (server->up && server->checked && (server->admin == SERVER_DRAIN || !instance->admitted))
		return act_on_instance(ret, PLAN_ADMIT, instance);
	return false;
}

/* ---- the split ---- */

/* The split that the desired weights mean; false while an arm with weight has no slot yet. */
static bool split_wanted(const struct plan_observed *o, const struct plan_desired *desired, struct split *ret)
{
	uint32_t sum = 0;
	int slots[PLAN_ARMS] = {SLOT_NONE, SLOT_NONE};
	for (unsigned i = 0; i < desired->n_arms; i++) {
		const struct plan_arm *arm = &desired->arms[i];
		slots[i] = plan_slot_of(o, arm->image);
		if (arm->weight_ppm && slots[i] == SLOT_NONE)
			return false;
		sum += arm->weight_ppm;
	}
	*ret = (struct split){.candidate = SLOT_NONE, .generation = desired->generation, .preview = SLOT_NONE};
	if (desired->preview && desired->preview <= desired->n_arms)
		ret->preview = slots[desired->preview - 1];
	if (!sum)
		return true;
	unsigned candidate = desired->n_arms == 2 && slots[1] != SLOT_NONE ? 1 : 0;
	ret->candidate = slots[candidate];
	ret->ppm = desired->arms[candidate].weight_ppm;
	return true;
}

/* May this arm be given more than it has? */
static bool arm_may_grow(const struct plan_observed *o, const struct plan_desired *desired, const struct plan_arm *arm)
{
	unsigned ready = 0, wanted = 0;
	bool waiting = false;
	for (size_t i = 0; i < o->n_instances; i++) {
		const struct instance_view *instance = &o->instances[i];
		if (!same(instance->image, arm->image) || !is_wanted(o, desired, instance))
			continue;
		wanted++;
		if (takes_traffic(o, instance)) {
			ready++;
			continue;
		}
		waiting = waiting || instance->waiting;
	}
	if (ready && (ready >= arm->replicas || desired->hurry))
		return true;
	/* Going back to an arm that carries traffic must not wait for its last copy; neither is a late copy waited for for ever. */
	return ready && (plan_weight(o, arm->image) > 0 || (wanted >= arm->replicas && !waiting));
}

static const char *image_in(const struct plan_observed *o, int slot)
{
	for (size_t i = 0; i < o->n_instances; i++)
		if (o->instances[i].slot == slot)
			return o->instances[i].image;
	return NULL;
}

/* How much it matters that this slot keeps its copies. */
static uint64_t worth(const struct plan_observed *o, const struct plan_desired *desired, int slot)
{
	const char *image = image_in(o, slot);
	const struct plan_arm *arm = image ? arm_of(desired, image) : NULL;
	if (!router_state_ready(&o->router, slot))
		return image != NULL;
	return arm ? 10ull * PPM + arm->weight_ppm : 2 + split_weight(&o->router.split, slot);
}

/* A release needs a slot, but both have one, and traffic: the one that matters more takes all of it, so that the other can be emptied. */
static bool make_room(const struct plan_observed *o, const struct plan_desired *desired, struct plan_action *ret)
{
	int keeper = worth(o, desired, SLOT_B) > worth(o, desired, SLOT_A) ? SLOT_B : SLOT_A;
	const char *leaving = image_in(o, 1 - keeper);
	if (free_slot(o) != SLOT_NONE || !o->router.has_split)
		return false;
	if (split_weight(&o->router.split, 1 - keeper) == 0) {
		if (o->router.split.preview != 1 - keeper)
			return false;
		act(ret, PLAN_SET_SPLIT);
		ret->split = o->router.split;
		ret->split.preview = SLOT_NONE;
		return true;
	}
	/* The share of an empty slot, or of one whose copies are all down, is served by nobody: it loses nothing by going to copies that are
	 * down for now. */
	bool serves = leaving && router_state_ready(&o->router, 1 - keeper) > 0;
	if ((leaving && arm_of(desired, leaving)) || (serves && router_state_ready(&o->router, keeper) == 0))
		return false;
	act(ret, PLAN_SET_SPLIT);
	ret->split = (struct split){.candidate = keeper, .ppm = PPM, .generation = desired->generation, .preview = SLOT_NONE};
	return true;
}

static bool plan_split(const struct plan_observed *o, const struct plan_desired *desired, struct plan_action *ret)
{
	struct split wanted;
	if (!split_wanted(o, desired, &wanted))
		return make_room(o, desired, ret);
	if (o->router.has_split && o->router.split_entries == 1 && split_equal(&o->router.split, &wanted))
		return false;
	for (unsigned i = 0; i < desired->n_arms; i++) {
		const struct plan_arm *arm = &desired->arms[i];
		uint32_t now = o->router.has_split ? plan_weight(o, arm->image) : 0;
		if (arm->weight_ppm > now && !arm_may_grow(o, desired, arm))
			return false;
	}
	act(ret, PLAN_SET_SPLIT);
	ret->split = wanted;
	return true;
}

/* ---- taking away ---- */

/* Traffic may reach a slot while the map gives it a share or shows it on the preview address, while the map cannot be read, and until
 * requests on their way have arrived. */
static bool slot_is_quiet(const struct plan_observed *o, int slot)
{
	if (!o->router.has_split || split_weight(&o->router.split, slot) > 0 || o->router.split.preview == slot)
		return false;
	return o->split_settled;
}

/* Is this copy's capacity spare? Either no traffic can reach its slot, or its process is gone, or the copies that stay are all up. */
static bool may_leave(const struct plan_observed *o, const struct plan_desired *desired, const struct instance_view *instance)
{
	if (slot_is_quiet(o, instance->slot) || instance->run != RUN_RUNNING)
		return true;
	const struct plan_arm *arm = arm_of(desired, instance->image);
	if (!arm || !arm->replicas)
		return false;
	unsigned staying = 0;
	for (size_t i = 0; i < o->n_instances; i++)
		staying += same(o->instances[i].image, arm->image) && is_wanted(o, desired, &o->instances[i]) && takes_traffic(o, &o->instances[i]);
	return staying >= arm->replicas;
}

static bool take_server_away(const struct server_state *server, bool overdue, struct plan_action *ret)
{
	if (server->admin == SERVER_READY)
		return act_on_server(ret, PLAN_DRAIN, server);
	if (server->sessions && overdue)
		return act_on_server(ret, PLAN_CUT, server);
	if (server->sessions)
		return false;
	return act_on_server(ret, server->admin == SERVER_DRAIN ? PLAN_DISABLE : PLAN_DELETE_SERVER, server);
}

static bool take_down(const struct plan_observed *o, const struct plan_desired *desired, const struct instance_view *instance,
		      struct plan_action *ret)
{
	const struct server_state *server = router_state_server(&o->router, instance->id);
	if (server && !(server->admin == SERVER_READY && !may_leave(o, desired, instance)))
		return take_server_away(server, instance->drain_overdue, ret);
	if (server)
		return false;
	/* After a reload the worker before may still have requests with it. */
	if (instance->run == RUN_RUNNING)
		return o->router.old_workers ? false : act_on_instance(ret, PLAN_STOP, instance);
	if (instance->run == RUN_STOPPING || instance->run == RUN_RESTARTING)
		return false;
	return act_on_instance(ret, PLAN_REMOVE, instance);
}

/* Servers that are no copy of ours: made by hand, or left from one whose folder is gone. */
static bool take_strangers(const struct plan_observed *o, struct plan_action *ret)
{
	for (size_t i = 0; i < o->router.n_servers; i++) {
		const struct server_state *server = &o->router.servers[i];
		if (instance_of(o, server->id))
			continue;
		if (take_server_away(server, false, ret))
			return true;
	}
	return false;
}

/* ---- another health path ---- */

/* The same question is asked of all copies in a slot. While one of them takes traffic the new question is tried first; while none does, as
 * when the old question was the mistake, there is nothing to lose. */
static bool adopt_path(const struct plan_observed *o, const struct plan_desired *desired, bool down, struct plan_action *ret)
{
	for (size_t i = 0; i < o->n_instances; i++) {
		const struct instance_view *instance = &o->instances[i];
		if (!instance->other_path || !arm_of(desired, instance->image) || (plan_ready(o, instance->image) == 0) != down)
			continue;
		act(ret, PLAN_ADOPT_PATH);
		ret->slot = instance->slot;
		snprintf(ret->image, sizeof(ret->image), "%s", instance->image);
		return true;
	}
	return false;
}

/* ---- all together ---- */

static bool plan_router(const struct plan_observed *o, struct plan_action *ret)
{
	if (!o->router_runs)
		return act(ret, PLAN_START_ROUTER);
	if (!o->router.answers) {
		act(ret, PLAN_WAIT);
		reason(ret, "HAProxy does not answer on its runtime socket yet");
		return true;
	}
	return same(o->router.mark, o->mark) ? false : act(ret, PLAN_RELOAD_ROUTER);
}

/* Nothing can be done now: are we there, is there something to wait for, or will it never come? */
static void plan_rest(const struct plan_observed *o, const struct plan_desired *desired, struct plan_action *ret)
{
	const struct instance_view *late = NULL, *leaving = NULL;
	for (size_t i = 0; i < o->n_instances; i++) {
		const struct instance_view *instance = &o->instances[i];
		if (!is_wanted(o, desired, instance)) {
			leaving = instance;
		} else if (!takes_traffic(o, instance)) {
			if (instance->failed) {
				act(ret, PLAN_FAILED);
				reason(ret, "copy i%u on port %u: %s", instance->id, instance->port, instance->message);
				return;
			}
			late = instance;
		}
	}
	struct split wanted;
	if (late) {
		wait_for(ret, late,
			 late->hung                    ? "hangs; waiting for its last requests before it is restarted"
			 : late->run == RUN_RUNNING    ? "waiting for its health check"
			 : late->run == RUN_RESTARTING ? "hung; waiting for its end"
						       : "waiting before its next start");
	} else if (leaving) {
		wait_for(ret, leaving, "waiting for its last requests");
	} else if (!split_wanted(o, desired, &wanted) || !o->router.has_split || !split_equal(&wanted, &o->router.split)) {
		act(ret, PLAN_WAIT);
		reason(ret, "waiting for a free slot");
	} else {
		act(ret, PLAN_DONE);
	}
}

void process_plan(const struct plan_observed *o, const struct plan_desired *desired, struct plan_action *ret)
{
	if (plan_router(o, ret))
		return;
	if (plan_split(o, desired, ret))
		return;
	if (o->disk_is_wrong && act(ret, PLAN_WRITE_DISK))
		return;
	if (adopt_path(o, desired, true, ret))
		return;
	for (size_t i = 0; i < o->n_instances; i++)
		if (is_wanted(o, desired, &o->instances[i]) && bring_up(o, &o->instances[i], ret))
			return;
	for (unsigned i = 0; i < desired->n_arms; i++)
		if (create_missing(o, &desired->arms[i], desired, ret))
			return;
	for (size_t i = 0; i < o->n_instances; i++)
		if (!is_wanted(o, desired, &o->instances[i]) && take_down(o, desired, &o->instances[i], ret))
			return;
	for (unsigned i = 0; i < desired->n_arms; i++)
		if (create_replacement(o, &desired->arms[i], desired, ret))
			return;
	if (take_strangers(o, ret) || adopt_path(o, desired, false, ret))
		return;
	plan_rest(o, desired, ret);
}
