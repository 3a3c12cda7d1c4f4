#include "gates/sources/source_driver.h"

#include "base/alloc.h"
#include "gates/sources/template.h"

#include <assert.h>
#include <string.h>

void watch_init(struct watch_core *core, const struct source_ops *ops, struct loop *loop, const char *source, const struct analysis_metric *metric)
{
	*core = (struct watch_core){.base.ops = ops, .loop = loop, .source = source, .metric = metric};
	if (metric->kind == METRIC_DISTRIBUTION)
		core->base.categories = category_order_new();
}

static void end_reading(struct watch_core *core)
{
	loop_timer_stop(STEAL(core->later));
	arm_samples_done(&core->arms[0]);
	arm_samples_done(&core->arms[1]);
	arena_free(STEAL(core->arena));
	error_free(STEAL(core->failed));
	core->done = NULL;
}

void watch_done(struct watch_core *core)
{
	end_reading(core);
	metric_memory_done(&core->memory);
	category_order_free(STEAL(core->base.categories));
}

void watch_begin(struct watch_core *core, const struct source_span *span, source_done_fn done, void *arg)
{
	assert(!core->done); /* one reading at a time */
	core->span = *span;
	core->done = done;
	core->arg = arg;
	core->not_due = false;
	core->arena = arena_new();
	for (size_t arm = 0; arm < 2; arm++)
		core->arms[arm] = (struct arm_samples){.arena = core->arena};
}

static int make_reading(struct watch_core *core, struct source_reading *ret, struct error **err)
{
	if (core->failed)
		return error_move(err, STEAL(core->failed));
	if (core->not_due) {
		*ret = (struct source_reading){.nothing_yet = true, .note = "no sample was due yet"};
		return 0;
	}
	for (size_t arm = 0; arm < 2; arm++)
		if (arm_samples_finish(&core->arms[arm], err) < 0)
			return error_context(err, arm ? "candidate" : "stable");
	return reading_take(&core->memory, core->base.categories, core->metric, core->arms, &core->span, ret, err);
}

static void tell(void *arg)
{
	struct watch_core *core = arg;
	cleanup_error struct error *err = NULL;
	cleanup_free struct source_reading *reading = xcalloc(1, sizeof(*reading));
	source_done_fn done = core->done;
	void *done_arg = core->arg;

	int result = make_reading(core, reading, &err);
	if (result < 0)
		error_context(&err, "metric source \"%s\": %s", core->source, core->metric->metric);
	end_reading(core);
	done(done_arg, result < 0 ? NULL : reading, err); /* may unwatch: core is not touched any more */
}

void watch_finish(struct watch_core *core, struct error *err)
{
	assert(core->done && !core->later);
	core->failed = err;
	core->later = loop_timer_start(core->loop, 0, 0, tell, core);
}

bool watch_lacks_copies(struct watch_core *core, unsigned names, const struct source_arm arms[2])
{
	bool lacks = false;

	for (size_t arm = 0; arm < 2 && (names & TEMPLATE_OF_COPIES); arm++) {
		if (arms[arm].n_instances)
			continue;
		snprintf(core->arms[arm].missing, sizeof(core->arms[arm].missing), "no copy is ready");
		lacks = true;
	}
	return lacks;
}

void source_arm_copy(const struct source_arm *arm, struct arena *arena, struct source_arm *ret)
{
	const char **instances = arena_alloc(arena, (arm->n_instances + 1) * sizeof(*instances));

	for (size_t i = 0; i < arm->n_instances; i++)
		instances[i] = arena_strdup(arena, arm->instances[i]);
	*ret = (struct source_arm){.name = arena_strdup(arena, arm->name),
				   .version = arena_strdup(arena, arm->version),
				   .image = arena_strdup(arena, arm->image),
				   .instances = instances,
				   .n_instances = arm->n_instances};
}

json_t *source_categories(const struct source_watch *watch)
{
	return watch->categories ? category_order_to_json(watch->categories) : json_array();
}

int source_categories_restore(struct source_watch *watch, const json_t *names, struct error **err)
{
	if (watch->categories)
		return category_order_from_json(watch->categories, names, err);
	if (json_is_array(names) && json_array_size(names) == 0)
		return 0;
	return error_set(err, ERROR_INVALID, 0, "categories for a metric that is no distribution");
}
