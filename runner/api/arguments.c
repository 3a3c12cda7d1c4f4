#include "runner/api/api_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Digits only: no sign, no space, no overflow. */
static bool parse_number(const char *text, int64_t max, int64_t *ret)
{
	if (!text[0] || strspn(text, "0123456789") != strlen(text) || strlen(text) > 18)
		return false;
	*ret = strtoll(text, NULL, 10);
	return *ret <= max;
}

int api_id(const struct http_call *call, const char *what, int64_t *ret, struct error **err)
{
	const char *text = http_param(call, "id");
	int64_t id;
	if (!text || !parse_number(text, INT64_MAX, &id) || id == 0)
		return error_set(err, ERROR_INVALID, 0, "\"%.40s\" is no number of a %s", text ? text : "", what);
	*ret = id;
	return 0;
}

int api_number(const struct http_call *call, const char *name, int64_t fallback, int64_t max, int64_t *ret, struct error **err)
{
	const char *text = http_query(call, name);
	if (!text)
		*ret = fallback;
	else if (!parse_number(text, max, ret))
		return error_set(err, ERROR_INVALID, 0, "%s: expected a number of at most %lld, not \"%.40s\"", name, (long long)max, text);
	return 0;
}

bool api_flag(const struct http_call *call, const char *name)
{
	const char *text = http_query(call, name);
	return text && (strcmp(text, "1") == 0 || strcmp(text, "true") == 0);
}

static bool in_words(const char *word, const char *words)
{
	size_t len = strlen(word);
	for (const char *at = words; (at = strstr(at, word)) != NULL; at += len)
		if (len && (at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

int api_body(const struct http_call *call, const char *keys, json_t **ret, struct error **err)
{
	size_t len;
	const char *text = http_body(call, &len);
	cleanup_json json_t *json = NULL;
	if (len == 0) {
		*ret = json_object();
		return 0;
	}
	if (json_parse(text, len, &json, err) < 0)
		return error_context(err, "body");
	if (!json_is_object(json))
		return error_set(err, ERROR_INVALID, 0, "body: expected an object");
	const char *key;
	json_t *value;
	json_object_foreach(json, key, value)
	{
		if (!in_words(key, keys))
			return error_set(err, ERROR_INVALID, 0, "body: unknown key \"%.40s\"; known are: %s", key, keys);
	}
	*ret = STEAL(json);
	return 0;
}

int api_need_run(struct core *core, int64_t run_id, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err, "SELECT 1 FROM run WHERE id = ?", "i", run_id) < 0)
		return -1;
	int more = db_step(q, err);
	if (more == 0)
		return error_set(err, ERROR_NOT_FOUND, 0, "there is no run %lld", (long long)run_id);
	return more < 0 ? -1 : 0;
}

json_t *api_text(const char *text)
{
	if (!text)
		return json_null();
	json_t *json = json_string(text);
	return json ? json : json_string("(unprintable)");
}

json_t *api_number_or_null(const struct db_stmt *q, int column)
{
	return db_is_null(q, column) ? json_null() : json_integer(db_int(q, column));
}

void api_set(json_t *object, const char *key, json_t *value)
{
	if (!value || json_object_set_new(object, key, value) < 0)
		abort(); /* our own keys, and values made by jansson */
}
