#include "stages/deploy/deploy_priv.h"

/* Is `wanted` among what `stage` needs, directly or through others? Needs point backwards only once cycles are refused, but a broken
 * pipeline may come here too, so that every stage is looked at once. */
static bool needs(const struct pipeline *pipeline, const struct stage *stage, size_t wanted)
{
	cleanup_free bool *seen = xcalloc(pipeline->n_stages ? pipeline->n_stages : 1, sizeof(*seen));
	cleanup_free size_t *queue = xcalloc(pipeline->n_stages + stage->n_needs + 1, sizeof(*queue));
	size_t n = 0;
	for (const struct stage *at = stage;;) {
		for (size_t i = 0; i < at->n_needs; i++) {
			if (!seen[at->needs[i]]) {
				seen[at->needs[i]] = true;
				queue[n++] = at->needs[i];
			}
		}
		if (!n || seen[wanted])
			return seen[wanted];
		at = &pipeline->stages[queue[--n]];
	}
}

static bool is_build(const struct stage *stage)
{
	return strcmp(stage->kind, "build") == 0;
}

static void tell_no_build_stage(const struct pipeline *pipeline, const struct yaml_node *image, const struct stage *found, struct diag_list *diags)
{
	cleanup_free const char **names = xcalloc(pipeline->n_stages + 1, sizeof(*names));
	size_t n = 0;
	for (size_t i = 0; i < pipeline->n_stages; i++)
		if (is_build(&pipeline->stages[i]))
			names[n++] = pipeline->stages[i].name;
	const char *near = nearest_word(image->text, names, n);
	if (!near && n == 1)
		near = names[0];
	cleanup_free char *hint = near ? xasprintf("did you mean \"%s\"?", near) : NULL;
	const char *fallback = n ? NULL : "add a build stage";
	if (found)
		yaml_error(diags, image, "not-a-build-stage", hint ? hint : fallback, "`image: %s` names a %s stage; only build stages make images",
			   image->text, found->kind);
	else
		yaml_error(diags, image, "unknown-stage", hint ? hint : fallback, "`image: %s` names no stage", image->text);
}

static void check_image(const struct pipeline *pipeline, const struct stage *stage, struct diag_list *diags)
{
	const struct yaml_node *image = yaml_get(stage->body, "image");
	if (!image || image->kind != YAML_SCALAR)
		return;
	long at = pipeline_find(pipeline, image->text);
	if (at < 0 || !is_build(&pipeline->stages[at])) {
		tell_no_build_stage(pipeline, image, at < 0 ? NULL : &pipeline->stages[at], diags);
		return;
	}
	size_t cells = 0;
	for (size_t i = 0; i < pipeline->n_stages; i++)
		cells += strcmp(pipeline->stages[i].name, image->text) == 0;
	if (cells > 1 && strcmp(pipeline->stages[at].id, image->text) != 0) {
		cleanup_free char *hint = xasprintf("name one of them, such as \"%s\"", pipeline->stages[at].id);
		yaml_error(diags, image, "ambiguous-stage", hint, "`image: %s` names %zu stages, the cells of a matrix", image->text, cells);
	} else if (!needs(pipeline, stage, (size_t)at)) {
		yaml_error(diags, image, "not-needed", "add it to `needs`",
			   "`image: %s` names a stage that \"%s\" does not need, so it may not be built yet", image->text, stage->id);
	}
}

static void check(const struct pipeline *pipeline, const struct stage *stage, struct diag_list *diags)
{
	deploy_check_body(stage->body, diags);
	check_image(pipeline, stage, diags);
}

/* What was filled in since the check (inputs of a manual run) may have made nonsense of it. */
static int check_again(const struct yaml_node *body, struct error **err)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	if (schema_check(&deploy_schema, body, diags))
		deploy_check_body(body, diags);
	for (size_t i = 0; i < diag_count(diags); i++) {
		const struct diag *diag = diag_at(diags, i);
		if (diag->severity == DIAG_ERROR)
			return error_set(err, ERROR_INVALID, 0, "%s:%u:%u: %s", diag->file, diag->line, diag->column, diag->message);
	}
	return 0;
}

static int prepare(const struct stage_facts *facts, struct stage_work *ret, struct error **err)
{
	if (check_again(facts->planned->body, err) < 0)
		return error_context(err, "deploy");
	struct stage_work work = {.type = WORK_ROLLOUT};
	deploy_read(facts->planned->body, facts->arena, &work.rollout);
	*ret = work;
	return 0;
}

const struct stage_ops deploy_stage = {
	.kind =
		{
			.name = "deploy",
			.doc = "moves traffic on a target to an image, step by step, and back if it is worse",
			.schema = &deploy_schema,
			.check = check,
		},
	.prepare = prepare,
};
