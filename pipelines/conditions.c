/* `when`: the conditions of a stage. */
#include "pipelines/parse_priv.h"

#include <string.h>

const struct schema schema_patterns = {SCHEMA_LIST, .item = &schema_string, .scalar_is_list = true, .has_min = true, .min = 1};

static void check_event_name(const struct yaml_node *item, struct diag_list *diags);
static const struct schema event_name = {SCHEMA_STRING, .check = check_event_name};
static const struct schema event_list = {SCHEMA_LIST, .item = &event_name, .scalar_is_list = true, .has_min = true, .min = 1};
static const char *const status_names[] = {"success", "failed", NULL};
static const struct schema status_name = {SCHEMA_ENUM, .choices = status_names};
static const struct schema status_list = {SCHEMA_LIST, .item = &status_name, .scalar_is_list = true, .has_min = true, .min = 1};
static const struct schema_field when_fields[] = {
	{"event", &event_list, .doc = "push, pull_request, tag, manual, schedule, drift"},
	{"branch", &schema_patterns, .doc = "branch of the commit"},
	{"tag", &schema_patterns, .doc = "tag that was pushed"},
	{"path", &schema_patterns, .doc = "one of the changed files"},
	{"status", &status_list, .doc = "how the needed stages ended: success, failed", .fallback = "success"},
	{.name = NULL}};
const struct schema when_schema = {SCHEMA_STRUCT, .fields = when_fields};

struct globs read_globs(struct arena *arena, const struct yaml_node *node)
{
	struct globs globs = {0};
	const char **items;

	if (!node)
		return globs;
	if (node->kind == YAML_SCALAR) {
		items = arena_alloc(arena, sizeof(*items));
		items[0] = node->text;
		return (struct globs){items, 1};
	}
	if (node->kind != YAML_SEQUENCE)
		return globs;
	items = arena_alloc(arena, (node->n + 1) * sizeof(*items));
	globs.items = items;
	for (size_t i = 0; i < node->n; i++) {
		if (node->values[i]->kind == YAML_SCALAR)
			items[globs.n++] = node->values[i]->text;
	}
	return globs;
}

const char *globs_text(struct arena *arena, const struct globs *globs)
{
	cleanup_buf struct buf out;

	buf_init(&out, 1000);
	for (size_t i = 0; i < globs->n && !out.failed; i++)
		buf_addf(&out, "%s%s", i ? ", " : "", globs->items[i]);
	return arena_printf(arena, "[%.*s%s]", (int)out.len, out.data, out.failed ? " ..." : "");
}

struct when read_when(struct arena *arena, const struct yaml_node *node)
{
	return (struct when){
		.present = node && node->kind == YAML_MAPPING,
		.event = read_globs(arena, yaml_get(node, "event")),
		.branch = read_globs(arena, yaml_get(node, "branch")),
		.tag = read_globs(arena, yaml_get(node, "tag")),
		.path = read_globs(arena, yaml_get(node, "path")),
		.status = read_globs(arena, yaml_get(node, "status")),
		.node = node,
	};
}

static void check_event_name(const struct yaml_node *item, struct diag_list *diags)
{
	const char *words[N_EVENT_KINDS], *text = item->text[0] == '!' ? item->text + 1 : item->text, *near;
	char hint[100];

	for (size_t i = 0; i < N_EVENT_KINDS; i++) {
		words[i] = event_kind_name((enum event_kind)i);
		if (glob_match(text, words[i]))
			return;
	}
	near = nearest_word(text, words, N_EVENT_KINDS);
	snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near ? near : "");
	yaml_error(diags, item, "unknown-event", near ? hint : "events are push, pull_request, tag, manual, schedule and drift",
		   "there is no event \"%s\"", text);
}
