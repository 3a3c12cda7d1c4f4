#include "base/json.h"

#include "base/alloc.h"
#include "base/file.h"

int json_parse(const char *text, size_t len, json_t **ret, struct error **err)
{
	json_error_t problem;
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
	if (!json)
		return error_set(err, ERROR_INVALID, 0, "line %d, column %d: %s", problem.line, problem.column, problem.text);
	*ret = json;
	return 0;
}

int json_read(const char *path, size_t max_bytes, json_t **ret, struct error **err)
{
	cleanup_free char *text = NULL;
	size_t len;
	if (file_read(path, max_bytes, &text, &len, err) < 0)
		return -1;
	if (json_parse(text, len, ret, err) < 0)
		return error_context(err, "%s", path);
	return 0;
}

static char *dump(const json_t *json, size_t flags)
{
	char *text = json_dumps(json, flags | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	if (!text) /* Only our own mistakes get here: a NULL value, or strings made with the _nocheck functions. */
		abort();
	return text;
}

char *json_text(const json_t *json)
{
	return dump(json, JSON_COMPACT);
}

char *json_text_pretty(const json_t *json)
{
	cleanup_free char *text = dump(json, JSON_INDENT(2));
	return xasprintf("%s\n", text);
}

int json_need_string(const json_t *object, const char *key, const char **ret, struct error **err)
{
	const json_t *value = json_object_get(object, key);
	if (!json_is_string(value))
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected a string", key);
	*ret = json_string_value(value);
	return 0;
}

int json_need_int(const json_t *object, const char *key, int64_t *ret, struct error **err)
{
	const json_t *value = json_object_get(object, key);
	if (!json_is_integer(value))
		return error_set(err, ERROR_INVALID, 0, "key \"%s\": expected an integer", key);
	*ret = json_integer_value(value);
	return 0;
}

const char *json_string_or(const json_t *object, const char *key, const char *fallback)
{
	const json_t *value = json_object_get(object, key);
	return json_is_string(value) ? json_string_value(value) : fallback;
}

int64_t json_int_or(const json_t *object, const char *key, int64_t fallback)
{
	const json_t *value = json_object_get(object, key);
	return json_is_integer(value) ? json_integer_value(value) : fallback;
}

double json_number_or(const json_t *object, const char *key, double fallback)
{
	const json_t *value = json_object_get(object, key);
	return json_is_number(value) ? json_number_value(value) : fallback;
}

bool json_bool_or(const json_t *object, const char *key, bool fallback)
{
	const json_t *value = json_object_get(object, key);
	return json_is_boolean(value) ? json_boolean_value(value) : fallback;
}
