#include "runner/facts.h"

#include <string.h>

static const char *text_of(const json_t *json, const char *key, struct arena *arena)
{
	const char *text = json_string_or(json, key, "");
	return text[0] ? arena_strdup(arena, text) : NULL;
}

static const char *const *paths_of(const json_t *list, struct arena *arena)
{
	if (!json_is_array(list))
		return NULL;
	size_t n = json_array_size(list);
	const char **paths = arena_alloc(arena, (n + 1) * sizeof(*paths));
	for (size_t i = 0; i < n; i++) {
		const char *path = json_string_value(json_array_get(list, i));
		paths[i] = arena_strdup(arena, path ? path : "");
	}
	return paths;
}

static const struct name_value *inputs_of(json_t *object, struct arena *arena, size_t *ret_n)
{
	struct name_value *inputs = arena_alloc(arena, (json_object_size(object) + 1) * sizeof(*inputs));
	const char *name;
	json_t *value;
	json_object_foreach(object, name, value)
	{
		cleanup_free char *other = json_is_string(value) ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		const char *text = json_is_string(value) ? json_string_value(value) : other;
		inputs[(*ret_n)++] = (struct name_value){arena_strdup(arena, name), arena_strdup(arena, text ? text : "")};
	}
	return inputs;
}

int facts_from_json(const json_t *json, const char *repository, uint64_t run_number, struct arena *arena, struct event_facts *ret, struct error **err)
{
	const char *kind;
	if (json_need_string(json, "kind", &kind, err) < 0)
		return error_context(err, "facts");
	struct event_facts facts = {
		.kind = N_EVENT_KINDS,
		.repository = arena_strdup(arena, repository),
		.branch = text_of(json, "branch", arena),
		.tag = text_of(json, "tag", arena),
		.ref = text_of(json, "ref", arena),
		.commit = text_of(json, "commit", arena),
		.before = text_of(json, "before", arena),
		.author = text_of(json, "author", arena),
		.message = text_of(json, "message", arena),
		.trusted = json_bool_or(json, "trusted", false),
		.changed_paths = paths_of(json_object_get(json, "changed"), arena),
		.run_number = run_number,
	};
	for (enum event_kind k = 0; k < N_EVENT_KINDS; k++)
		if (strcmp(event_kind_name(k), kind) == 0)
			facts.kind = k;
	if (facts.kind == N_EVENT_KINDS)
		return error_set(err, ERROR_INVALID, 0, "facts: \"%s\" is no kind of event", kind);
	facts.inputs = inputs_of(json_object_get(json, "inputs"), arena, &facts.n_inputs);
	*ret = facts;
	return 0;
}
