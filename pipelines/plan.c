#include "pipelines/plan.h"

#include "pipelines/parse_priv.h"

#include "base/utf8.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* An environment variable that is larger than 128 KiB makes exec fail, and a commit message is a stranger's text. */
#define MESSAGE_MAX_BYTES (32 * 1024)
#define INPUT_MAX_BYTES (16 * 1024)
#define SHORT_SHA_LENGTH 8

bool message_skips(const char *message)
{
	return message && (strcasestr(message, "[skip ci]") || strcasestr(message, "[skip penstock]"));
}

/* ---- conditions ---- */

static bool any_path_matches(const struct globs *globs, const char *const *paths)
{
	if (globs->n == 0 || !paths)
		return true;
	for (; *paths; paths++) {
		if (globs_match(globs, *paths))
			return true;
	}
	return false;
}

static bool fits(const struct globs *globs, const char *text)
{
	return globs->n == 0 || globs_match(globs, text ? text : "");
}

static const char *mismatch(struct arena *arena, const char *what, const char *text, const struct globs *globs)
{
	if (!text || !*text)
		return arena_printf(arena, "there is no %s, and one of %s is asked for", what, globs_text(arena, globs));
	return arena_printf(arena, "%s %s matches none of %s", what, text, globs_text(arena, globs));
}

static const char *no_path(struct arena *arena, const struct globs *globs)
{
	return arena_printf(arena, "none of the changed files matches %s", globs_text(arena, globs));
}

bool plan_is_triggered(const struct pipeline *pipeline, const struct event_facts *facts, struct arena *arena, const char **ret_reason)
{
	const struct trigger *trigger = &pipeline->on[facts->kind];
	const char *reason = NULL;

	if (!trigger->enabled)
		reason = arena_printf(arena, "the pipeline does not start on %s", event_kind_name(facts->kind));
	else if (facts->kind != EVENT_MANUAL && message_skips(facts->message))
		reason = "the commit's message asks to skip";
	else if (!fits(&trigger->branches, facts->branch))
		reason = mismatch(arena, "branch", facts->branch, &trigger->branches);
	else if (!fits(&trigger->tags, facts->tag))
		reason = mismatch(arena, "tag", facts->tag, &trigger->tags);
	else if (!any_path_matches(&trigger->paths, facts->changed_paths))
		reason = no_path(arena, &trigger->paths);
	if (reason)
		*ret_reason = reason;
	return !reason;
}

/* `branch` says nothing about a tag and `tag` nothing about a branch: where the event has none, the condition holds only if `event`
 * names that event expressly. So `branch: main` alone never lets a tag through, and `event: [push, tag]` beside it does. */
static bool ref_holds(const struct when *when, const struct globs *globs, const char *text)
{
	if (globs->n > 0 && (!text || !*text))
		return when->event.n > 0;
	return fits(globs, text);
}

/* NULL, or why the stage's `when` cannot hold for this event. */
static const char *excluded_reason(const struct when *when, const struct event_facts *facts, struct arena *arena)
{
	if (!fits(&when->event, event_kind_name(facts->kind)))
		return mismatch(arena, "event", event_kind_name(facts->kind), &when->event);
	if (!ref_holds(when, &when->branch, facts->kind == EVENT_TAG ? NULL : facts->branch))
		return mismatch(arena, "branch", facts->kind == EVENT_TAG ? NULL : facts->branch, &when->branch);
	if (!ref_holds(when, &when->tag, facts->tag))
		return mismatch(arena, "tag", facts->tag, &when->tag);
	if (!any_path_matches(&when->path, facts->changed_paths))
		return no_path(arena, &when->path);
	return NULL;
}

/* ---- manual inputs ---- */

static const struct name_value *given_input(const struct event_facts *facts, const char *name)
{
	for (size_t i = 0; i < facts->n_inputs; i++) {
		if (strcmp(facts->inputs[i].name, name) == 0)
			return &facts->inputs[i];
	}
	return NULL;
}

static void check_given(const struct pipeline *pipeline, const struct event_facts *facts, struct arena *arena, struct diag_list *diags)
{
	const struct yaml_node *declared = manual_inputs(pipeline), *at = yaml_get_key(pipeline->on[EVENT_MANUAL].node, "inputs");
	size_t n = declared ? declared->n : 0;
	const char **names = arena_alloc(arena, (n + 1) * sizeof(*names)), *near;

	for (size_t i = 0; i < n; i++)
		names[i] = declared->keys[i]->text;
	for (size_t i = 0; i < facts->n_inputs; i++) {
		const char *name = facts->inputs[i].name;

		if (yaml_get(declared, name))
			continue;
		near = nearest_word(name, names, n);
		yaml_error(diags, at ? at : pipeline->root, "unknown-input", near ? arena_printf(arena, "did you mean \"%s\"?", near) : NULL,
			   "the pipeline has no input \"%s\"", name);
	}
}

static const char *input_value(const struct yaml_node *key, const struct yaml_node *declaration, const struct event_facts *facts,
			       struct diag_list *diags)
{
	const struct name_value *given = facts->kind == EVENT_MANUAL ? given_input(facts, key->text) : NULL;
	const struct yaml_node *fallback = yaml_get(declaration, "default");
	bool required = false;

	yaml_bool(yaml_get(declaration, "required"), &required);
	if (!given && !fallback && required && facts->kind == EVENT_MANUAL)
		yaml_error(diags, key, "input", "give it with the manual run", "input \"%s\" is required", key->text);
	if (!given)
		return yaml_text(fallback, "");
	if (strlen(given->value) > INPUT_MAX_BYTES) {
		yaml_error(diags, key, "too-large", NULL, "input \"%s\" is larger than %d bytes", key->text, INPUT_MAX_BYTES);
		return "";
	}
	if (utf8_valid_prefix(given->value, strlen(given->value)) != strlen(given->value))
		yaml_error(diags, key, "input", NULL, "input \"%s\" is not UTF-8 text", key->text);
	else
		input_accepts(declaration, key->text, given->value, key, diags);
	return given->value;
}

/* ---- the environment ---- */

struct environment {
	struct name_value *items;
	size_t n;
};

static void env_set(struct environment *env, const char *name, const char *value)
{
	for (size_t i = 0; i < env->n; i++) {
		if (strcmp(env->items[i].name, name) == 0) {
			env->items[i].value = value;
			return;
		}
	}
	env->items[env->n++] = (struct name_value){name, value};
}

static const char *cut_message(struct arena *arena, const char *message)
{
	size_t n = MESSAGE_MAX_BYTES;

	if (!message || strlen(message) <= n)
		return arena_strdup(arena, message);
	while (n > 0 && ((unsigned char)message[n] & 0xc0) == 0x80)
		n--;
	return arena_printf(arena, "%.*s\n[cut by Penstock]", (int)n, message);
}

static const char *variable_of(struct arena *arena, const char *prefix, const char *name)
{
	char *text = arena_printf(arena, "%s%s", prefix, name);

	for (char *p = text; *p; p++)
		*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
	return text;
}

struct planning {
	const struct pipeline *pipeline;
	const struct event_facts *facts;
	struct arena *arena;
	struct diag_list *diags;
	struct fill fill;
	struct fill_budget budget;
	struct name_value built_in[16]; /* what every stage gets */
	size_t n_built_in;
	struct fill_value *inputs;
	size_t n_inputs;
	struct fill_value git[2];
};

static void add_built_in(struct planning *planning, const char *name, const char *value)
{
	const char *copy = arena_strdup(planning->arena, value);

	planning->built_in[planning->n_built_in++] = (struct name_value){name, copy ? copy : ""};
}

static void read_built_in(struct planning *planning)
{
	const struct event_facts *facts = planning->facts;
	const char *number = arena_printf(planning->arena, "%llu", (unsigned long long)facts->run_number);

	add_built_in(planning, "CI", "true");
	add_built_in(planning, "CI_SYSTEM_NAME", "penstock");
	add_built_in(planning, "CI_REPO", facts->repository);
	add_built_in(planning, "CI_COMMIT_SHA", facts->commit);
	add_built_in(planning, "CI_COMMIT_BEFORE", facts->before);
	add_built_in(planning, "CI_COMMIT_REF", facts->ref);
	add_built_in(planning, "CI_COMMIT_BRANCH", facts->branch);
	add_built_in(planning, "CI_COMMIT_TAG", facts->tag);
	add_built_in(planning, "CI_COMMIT_AUTHOR", facts->author);
	add_built_in(planning, "CI_COMMIT_MESSAGE", cut_message(planning->arena, facts->message));
	add_built_in(planning, "CI_PIPELINE_EVENT", event_kind_name(facts->kind));
	add_built_in(planning, "CI_PIPELINE_NUMBER", number);
	add_built_in(planning, "PENSTOCK_RUN", number);
	add_built_in(planning, "PENSTOCK_REPOSITORY", facts->repository);
	add_built_in(planning, "PENSTOCK_PIPELINE", planning->pipeline->name);
	add_built_in(planning, "PENSTOCK_TRUSTED", facts->trusted ? "true" : "false");
}

static void read_values(struct planning *planning)
{
	const struct yaml_node *declared = manual_inputs(planning->pipeline);
	const char *commit = arena_strdup(planning->arena, planning->facts->commit);

	if (planning->facts->kind == EVENT_MANUAL)
		check_given(planning->pipeline, planning->facts, planning->arena, planning->diags);
	planning->inputs = arena_alloc(planning->arena, ((declared ? declared->n : 0) + 1) * sizeof(*planning->inputs));
	for (size_t i = 0; declared && i < declared->n; i++) {
		const char *type = yaml_text(yaml_get(declared->values[i], "type"), "string");

		planning->inputs[planning->n_inputs++] = (struct fill_value){
			.name = declared->keys[i]->text,
			.value = arena_strdup(planning->arena,
					      input_value(declared->keys[i], declared->values[i], planning->facts, planning->diags)),
			.quoted = strcmp(type, "string") == 0 || strcmp(type, "choice") == 0,
		};
	}
	planning->git[0] = (struct fill_value){"sha", commit, true};
	planning->git[1] = (struct fill_value){"short_sha", commit ? arena_printf(planning->arena, "%.*s", SHORT_SHA_LENGTH, commit) : NULL, true};
	planning->fill = (struct fill){
		.arena = planning->arena, .diags = planning->diags, .spaces = FILL_INPUTS | FILL_GIT,
		.values = {NULL, planning->inputs, planning->git}, .n_values = {0, planning->n_inputs, commit ? 2 : 0},
		.budget = &planning->budget,
	};
}

static void plan_env(struct planning *planning, const struct stage *stage, struct plan_stage *planned)
{
	size_t room = planning->n_built_in + 1 + planning->n_inputs + stage->n_matrix + stage->n_env;
	struct environment env = {arena_alloc(planning->arena, (room + 1) * sizeof(*env.items)), 0};

	for (size_t i = 0; i < planning->n_built_in; i++)
		env.items[env.n++] = planning->built_in[i];
	env.items[env.n++] = (struct name_value){"PENSTOCK_STAGE", stage->id};
	for (size_t i = 0; i < planning->n_inputs; i++)
		env_set(&env, variable_of(planning->arena, "PENSTOCK_INPUT_", planning->inputs[i].name), planning->inputs[i].value);
	for (size_t i = 0; i < stage->n_matrix; i++)
		env_set(&env, variable_of(planning->arena, "PENSTOCK_MATRIX_", stage->matrix[i].name), stage->matrix[i].value);
	for (size_t i = 0; i < stage->n_env; i++) {
		const struct yaml_node *at = yaml_get(yaml_get(stage->node, "env"), stage->env[i].name);
		const char *value = stage->env[i].value;
		bool quoted;

		if (!at)
			at = yaml_get(yaml_get(planning->pipeline->root, "env"), stage->env[i].name);
		if (at && !planned->excluded)
			value = fill_text(&planning->fill, at, value, &quoted);
		env_set(&env, stage->env[i].name, value);
	}
	planned->env = env.items;
	planned->n_env = env.n;
}

static void plan_stage(struct planning *planning, const struct stage *stage, struct plan_stage *planned)
{
	struct stage filled = *stage;

	planning->fill.stage = stage->id;
	planned->stage = stage;
	planned->excluded_reason = excluded_reason(&stage->when, planning->facts, planning->arena);
	planned->excluded = planned->excluded_reason != NULL;
	planned->body = stage->body;
	plan_env(planning, stage, planned);
	if (planned->excluded || strcmp(stage->kind, "run") == 0)
		return;
	planned->body = filled.body = fill_node(&planning->fill, stage->body);
	if (filled.body == stage->body)
		return;
	/* What was filled in may not fit: a path with "..", a word where a number is meant. */
	bool fits_schema = !stage->kind_row->schema ||
			   check_named(stage->kind_row->schema, yaml_get_key(stage->node, stage->kind), filled.body, planning->diags);
	if (stage->kind_row->check && fits_schema)
		stage->kind_row->check(planning->pipeline, &filled, planning->diags);
}

struct plan *plan_new(const struct pipeline *pipeline, const struct event_facts *facts, struct diag_list *diags)
{
	cleanup_diags struct diag_list *found = diag_list_new();
	struct arena *arena = arena_new();
	struct plan *plan = arena_alloc(arena, sizeof(*plan));
	struct plan_stage *stages = arena_alloc(arena, (pipeline->n_stages + 1) * sizeof(*stages));
	struct planning planning = {.pipeline = pipeline, .facts = facts, .arena = arena, .diags = found,
				    .budget = FILL_BUDGET};

	*plan = (struct plan){.pipeline = pipeline, .stages = stages, .n_stages = pipeline->n_stages, .arena = arena};
	read_built_in(&planning);
	read_values(&planning);
	for (size_t i = 0; i < pipeline->n_stages; i++)
		plan_stage(&planning, &pipeline->stages[i], &stages[i]);
	for (size_t i = 0; i < diag_count(found); i++)
		diag_add(diags, diag_at(found, i));
	if (diag_errors(found) == 0)
		return plan;
	plan_free(plan);
	return NULL;
}

void plan_free(struct plan *plan)
{
	if (plan)
		arena_free(plan->arena);
}
