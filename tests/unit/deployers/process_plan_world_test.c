/* The plan in a small world: its actions are carried out while copies die, routers restart and wishes change, and the promises hold. */
#include "deployers/process/plan.h"

#include "base/alloc.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#define ALL 1000000u
#define STABLE "sha256:aaaa"
#define CANDIDATE "sha256:bbbb"
#define OLDER "sha256:cccc"

#ifndef SEEDS
#define SEEDS 3000
#endif
#define WORLD_MAX 24
struct world {
	uint64_t random;
	struct instance_view instances[WORLD_MAX];
	size_t n_instances;
	struct server_state servers[WORLD_MAX];
	size_t n_servers;
	struct split split, disk_split;
	bool runs, answers, settled;
	char mark[CONFIG_MARK_SIZE];
	unsigned last_id;
	bool sick[3]; /* images that never get healthy */
	bool disk_is_wrong;
	struct plan_desired desired;
};
static const char *const images[] = {STABLE, CANDIDATE, OLDER};

static unsigned pick(struct world *w, unsigned n)
{
	w->random = w->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((w->random >> 33) % n);
}

static struct instance_view *world_instance(struct world *w, unsigned id)
{
	for (size_t i = 0; i < w->n_instances; i++)
		if (w->instances[i].id == id)
			return &w->instances[i];
	return NULL;
}

static struct server_state *world_server(struct world *w, const char *name)
{
	for (size_t i = 0; i < w->n_servers; i++)
		if (strcmp(w->servers[i].name, name) == 0)
			return &w->servers[i];
	return NULL;
}

static bool is_sick(const struct world *w, const char *image)
{
	for (size_t i = 0; i < ARRAY_SIZE(images); i++)
		if (strcmp(images[i], image) == 0)
			return w->sick[i];
	return false;
}

static struct plan_observed see(const struct world *w)
{
	struct plan_observed observed = {.router_runs = w->runs,
					 .split_settled = w->settled,
					 .disk_is_wrong = w->disk_is_wrong,
					 .instances = w->instances,
					 .n_instances = w->n_instances};
	observed.router = (struct router_state){.answers = w->answers,
						.has_split = true,
						.split_entries = 1,
						.split = w->split,
						.servers = (struct server_state *)(uintptr_t)w->servers,
						.n_servers = w->n_servers};
	memcpy(observed.mark, "m", 2);
	memcpy(observed.router.mark, w->mark, sizeof(w->mark));
	return observed;
}

static void start_router(struct world *w)
{
	w->runs = w->answers = true;
	w->disk_is_wrong = false;
	memcpy(w->mark, "m", 2);
	w->split = w->disk_split;
	w->n_servers = 0;
	for (size_t i = 0; i < w->n_instances; i++) {
		const struct instance_view *in = &w->instances[i];
		if (!in->admitted || in->run != RUN_RUNNING)
			continue;
		struct server_state *s = &w->servers[w->n_servers++];
		*s = (struct server_state){.id = in->id, .slot = in->slot, .port = in->port, .up = true};
		snprintf(s->name, sizeof(s->name), "i%u", in->id);
	}
}

/* Is this copy's capacity one that its slot's requests rely on? */
static void check_not_relied_on(struct world *w, const struct plan_action *action)
{
	struct plan_observed observed = see(w);
	const struct instance_view *in = world_instance(w, action->id);
	const struct server_state *server = world_server(w, action->server);
	if (!in || !server || in->run != RUN_RUNNING || server->admin != SERVER_READY || !server->up || !server->checked)
		return;
	if (split_weight(&w->split, in->slot) == 0)
		return;
	for (unsigned i = 0; i < w->desired.n_arms; i++)
		if (strcmp(w->desired.arms[i].image, in->image) == 0 && plan_ready(&observed, in->image) > w->desired.arms[i].replicas)
			return;
	fail_msg("%s takes copy i%u away while traffic may reach it", plan_kind_name(action->kind), in->id);
}

static void check_split(struct world *w, const struct split *next)
{
	struct plan_observed observed = see(w);
	for (int slot = 0; slot < SLOTS; slot++)
		if (split_weight(next, slot) > split_weight(&w->split, slot) && router_state_ready(&observed.router, slot) == 0 &&
		    (router_state_ready(&observed.router, 1 - slot) > 0 || w->split.candidate == SLOT_NONE))
			fail_msg("slot %c gets traffic but has no copy up", slot_letter(slot));
}

/* While copies are replaced there is at most one more of an image than wanted. */
static void check_surge(const struct world *w, const struct plan_action *action)
{
	unsigned copies = 0, old = 0;
	for (size_t i = 0; i < w->n_instances; i++) {
		const struct instance_view *in = &w->instances[i];
		bool leaving = in->run == RUN_STOPPING || in->run == RUN_STOPPED;
		copies += strcmp(in->image, action->image) == 0;
		old += strcmp(in->image, action->image) == 0 && in->replica == action->replica && !leaving;
	}
	for (unsigned i = 0; old && i < w->desired.n_arms; i++)
		if (strcmp(w->desired.arms[i].image, action->image) == 0)
			assert_true(copies <= w->desired.arms[i].replicas);
}

static void remove_instance(struct world *w, unsigned id)
{
	struct instance_view *in = world_instance(w, id);
	size_t i = (size_t)(in - w->instances);
	memmove(in, in + 1, (w->n_instances - i - 1) * sizeof(*in));
	w->n_instances--;
}

static void carry_out(struct world *w, const struct plan_action *action)
{
	struct instance_view *in = world_instance(w, action->id);
	struct server_state *server = world_server(w, action->server);
	switch (action->kind) {
	case PLAN_START_ROUTER:
	case PLAN_RELOAD_ROUTER:
		start_router(w);
		break;
	case PLAN_WRITE_DISK:
		w->disk_is_wrong = false;
		break;
	case PLAN_CREATE:
		assert_true(w->n_instances < WORLD_MAX);
		check_surge(w, action);
		w->instances[w->n_instances] = (struct instance_view){.id = ++w->last_id,
								      .slot = action->slot,
								      .replica = action->replica,
								      .port = (uint16_t)(100 + w->last_id),
								      .start_due = true,
								      .waiting = true};
		snprintf(w->instances[w->n_instances++].image, DIGEST_SIZE, "%s", action->image);
		break;
	case PLAN_START:
		in->run = RUN_RUNNING;
		in->outdated = in->hung = false;
		break;
	case PLAN_ADOPT_PATH:
		for (size_t i = 0; i < w->n_instances; i++)
			if (strcmp(w->instances[i].image, action->image) == 0)
				w->instances[i].other_path = false;
		break;
	case PLAN_RESTART:
		assert_true(server && !server->up && server->admin != SERVER_READY && !server->sessions);
		in->run = RUN_RESTARTING;
		break;
	case PLAN_ADD_SERVER:
		assert_null(server);
		server = &w->servers[w->n_servers++];
		*server = (struct server_state){.id = in->id, .slot = in->slot, .port = in->port, .admin = SERVER_DRAIN, .up = true};
		snprintf(server->name, sizeof(server->name), "%s", action->server);
		break;
	case PLAN_ADMIT:
		assert_true(server->up && server->checked);
		server->admin = SERVER_READY;
		in->admitted = true;
		break;
	case PLAN_SET_SPLIT:
		check_split(w, &action->split);
		w->split = w->disk_split = action->split;
		w->settled = false;
		break;
	case PLAN_DRAIN:
		check_not_relied_on(w, action);
		server->admin = SERVER_DRAIN;
		if (in)
			in->admitted = false;
		break;
	case PLAN_CUT:
		server->sessions = 0;
		break;
	case PLAN_DISABLE:
		check_not_relied_on(w, action);
		server->admin = SERVER_MAINT;
		break;
	case PLAN_DELETE_SERVER:
		assert_int_equal(server->admin, SERVER_MAINT);
		if (!server->sessions) {
			memmove(server, server + 1, (w->n_servers - (size_t)(server - w->servers) - 1) * sizeof(*server));
			w->n_servers--;
		}
		break;
	case PLAN_STOP:
		assert_null(server);
		in->run = RUN_STOPPING;
		break;
	case PLAN_REMOVE:
		assert_null(server);
		assert_true(in->run != RUN_RUNNING && in->run != RUN_STOPPING);
		remove_instance(w, in->id);
		break;
	case PLAN_DONE:
	case PLAN_WAIT:
	case PLAN_FAILED:
		break;
	}
}

/* What time does: checks answer, requests end, processes end. */
static void time_passes(struct world *w)
{
	w->settled = true;
	for (size_t i = 0; i < w->n_servers; i++) {
		struct server_state *server = &w->servers[i];
		const struct instance_view *in = world_instance(w, server->id);
		server->checked = true;
		server->up = in && in->run == RUN_RUNNING && !in->hung && !is_sick(w, in->image);
		if (server->sessions)
			server->sessions--;
	}
	for (size_t i = 0; i < w->n_instances; i++) {
		struct instance_view *in = &w->instances[i];
		if (in->run == RUN_STOPPING)
			in->run = RUN_STOPPED;
		if (in->run == RUN_RESTARTING)
			in->run = RUN_DEAD;
		in->start_due = true;
		if (is_sick(w, in->image)) {
			in->failed = true;
			in->waiting = false;
		}
	}
}

static void something_goes_wrong(struct world *w)
{
	switch (pick(w, 10)) {
	case 0: /* a copy dies */
		if (w->n_instances) {
			struct instance_view *in = &w->instances[pick(w, (unsigned)w->n_instances)];
			in->run = in->run == RUN_RUNNING ? RUN_DEAD : in->run;
		}
		break;
	case 1:
		w->runs = w->answers = false;
		w->n_servers = 0;
		break;
	case 2: /* somebody reloads it */
		if (w->runs)
			start_router(w);
		break;
	case 3: /* the map is changed by hand */
		w->split = (struct split){(int)pick(w, 3) - 1, pick(w, ALL + 1), pick(w, 9), SLOT_NONE};
		break;
	case 4:
		if (w->n_servers)
			w->servers[pick(w, (unsigned)w->n_servers)].admin = (enum server_admin)pick(w, 3);
		break;
	case 5:
		if (w->n_servers)
			w->servers[pick(w, (unsigned)w->n_servers)].sessions = pick(w, 4);
		break;
	case 7: /* a copy hangs */
		if (w->n_instances) {
			struct instance_view *in = &w->instances[pick(w, (unsigned)w->n_instances)];
			in->hung = in->run == RUN_RUNNING;
		}
		break;
	case 8:
		w->disk_is_wrong = w->runs;
		break;
	case 9: /* the preview is changed by hand */
		w->split.preview = (int)pick(w, 3) - 1;
		break;
	case 6: /* a copy falters */
		if (w->n_servers)
			w->servers[pick(w, (unsigned)w->n_servers)].up = false;
		break;
	}
}

static void ask_for_something(struct world *w)
{
	struct plan_desired *d = &w->desired;
	unsigned first = pick(w, 3), second = (first + 1 + pick(w, 2)) % 3;
	uint32_t weight = pick(w, 5) * (ALL / 4);
	d->generation++;
	d->n_arms = 1 + pick(w, 2);
	d->arms[0] = (struct plan_arm){.replicas = 1 + pick(w, 3), .weight_ppm = d->n_arms == 1 ? ALL : ALL - weight};
	d->arms[1] = (struct plan_arm){.replicas = 1 + pick(w, 3), .weight_ppm = weight};
	d->preview = pick(w, d->n_arms + 1);
	/* Other settings for what is there: limits, another health path. */
	unsigned changed = pick(w, 3);
	for (size_t i = 0; pick(w, 2) && i < w->n_instances; i++) {
		struct instance_view *in = &w->instances[i];
		if (strcmp(in->image, images[first]) != 0)
			continue;
		in->outdated = in->outdated || changed != 1;
		in->other_path = in->other_path || changed != 0;
	}
	snprintf(d->arms[0].image, DIGEST_SIZE, "%s", images[first]);
	snprintf(d->arms[1].image, DIGEST_SIZE, "%s", images[second]);
}

static enum plan_kind settle(struct world *w)
{
	struct plan_action action = {0};
	unsigned rests = 0;
	for (unsigned i = 0; i < 600; i++) {
		struct plan_observed observed = see(w);
		process_plan(&observed, &w->desired, &action);
		if (action.kind == PLAN_DONE)
			return PLAN_DONE;
		bool rest = action.kind == PLAN_WAIT || action.kind == PLAN_FAILED;
		rests = rest ? rests + 1 : 0;
		if (rests > 20)
			return action.kind;
		carry_out(w, &action);
		if (rest || pick(w, 3) == 0)
			time_passes(w);
	}
	fail_msg("goes round in circles at %s of %s", plan_kind_name(action.kind), action.server);
	return action.kind;
}

static void tell_world(struct world *w)
{
	char text[SPLIT_TEXT_SIZE];
	split_format(&w->split, text);
	print_message("split %s\n", text);
	for (unsigned i = 0; i < w->desired.n_arms; i++)
		print_message("wanted %s: %u copies, weight %u\n", w->desired.arms[i].image, w->desired.arms[i].replicas,
			      w->desired.arms[i].weight_ppm);
	for (size_t i = 0; i < w->n_instances; i++)
		print_message("copy i%u of %s in %c, replica %u: %d%s\n", w->instances[i].id, w->instances[i].image,
			      slot_letter(w->instances[i].slot), w->instances[i].replica, (int)w->instances[i].run,
			      w->instances[i].retired ? ", retired" : "");
	for (size_t i = 0; i < w->n_servers; i++)
		print_message("server %s in %c: admin %d, up %d, checked %d, sessions %u\n", w->servers[i].name, slot_letter(w->servers[i].slot),
			      (int)w->servers[i].admin, w->servers[i].up, w->servers[i].checked, w->servers[i].sessions);
}

static void check_rest(struct world *w, uint64_t seed, enum plan_kind end)
{
	bool sick = false;
	for (unsigned i = 0; i < w->desired.n_arms; i++)
		sick = sick || is_sick(w, w->desired.arms[i].image);
	/* With a sick arm it may be told at once, or wait for a slot that an arm with traffic holds. */
	if (!sick && end != PLAN_DONE) {
		tell_world(w);
		fail_msg("seed %llu: ends in %s", (unsigned long long)seed, plan_kind_name(end));
	}
	struct plan_observed observed = see(w);
	if (end != PLAN_DONE)
		return;
	for (unsigned i = 0; i < w->desired.n_arms; i++) {
		assert_int_equal(plan_ready(&observed, w->desired.arms[i].image), w->desired.arms[i].replicas);
		assert_int_equal(plan_weight(&observed, w->desired.arms[i].image), w->desired.arms[i].weight_ppm);
	}
	for (size_t i = 0; i < w->n_instances; i++)
		assert_false(w->instances[i].outdated || w->instances[i].other_path);
	assert_int_equal(w->split.preview, w->desired.preview ? plan_slot_of(&observed, w->desired.arms[w->desired.preview - 1].image) : SLOT_NONE);
}

static void whatever_goes_wrong_the_promises_hold_and_it_gets_there(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world w = {.random = seed * 2654435761u,
				  .split = {SLOT_NONE, 0, 0, SLOT_NONE},
				  .disk_split = {SLOT_NONE, 0, 0, SLOT_NONE},
				  .settled = true};
		for (unsigned round = 0; round < 6; round++) {
			/* At most one image is sick, and not for ever. */
			memset(w.sick, 0, sizeof(w.sick));
			for (size_t i = 0; i < w.n_instances; i++)
				w.instances[i].failed = false;
			if (pick(&w, 4) == 0)
				w.sick[pick(&w, 3)] = true;
			ask_for_something(&w);
			for (unsigned i = pick(&w, 40); i > 0; i--) {
				struct plan_observed observed = see(&w);
				struct plan_action action;
				process_plan(&observed, &w.desired, &action);
				carry_out(&w, &action);
				if (pick(&w, 2) == 0)
					time_passes(&w);
				if (pick(&w, 6) == 0)
					something_goes_wrong(&w);
			}
			check_rest(&w, seed, settle(&w));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_goes_wrong_the_promises_hold_and_it_gets_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
