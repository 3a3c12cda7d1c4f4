/* Secrets go in and are never shown again. */
#include "base/alloc.h"
#include "runner/api/api_priv.h"
#include "runner/secrets.h"

#include <string.h>

int api_list_secrets(struct http_call *call, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_json json_t *secrets = json_array();
	int more;
	if (db_query(http_core(call)->db, &q, err, "SELECT name, created_ms, created_by FROM secret ORDER BY name", "") < 0)
		return -1;
	while ((more = db_step(q, err)) > 0)
		json_array_append_new(secrets, json_pack("{s:o, s:I, s:o}", "name", api_text(db_text(q, 0)), "created_ms", (json_int_t)db_int(q, 1),
							 "created_by", api_text(db_text(q, 2))));
	return more < 0 ? -1 : http_reply_json(call, 200, json_pack("{s:O}", "secrets", secrets));
}

int api_put_secret(struct http_call *call, struct error **err)
{
	const char *name = http_param(call, "name");
	size_t len;
	const char *bytes = http_body(call, &len);
	if (len > 0 && memchr(bytes, '\0', len))
		return error_set(err, ERROR_INVALID, 0, "secret %.100s: it holds a zero byte, which no environment variable can", name);
	char *value = xstrndup(len ? bytes : "", len);
	int result = secret_set(http_core(call), name, value, http_actor(call), err);
	secret_wipe(value);
	return result < 0 ? -1 : http_reply_json(call, 200, json_pack("{s:o}", "name", api_text(name)));
}

int api_delete_secret(struct http_call *call, struct error **err)
{
	const char *name = http_param(call, "name");
	if (secret_remove(http_core(call), name, http_actor(call), err) < 0)
		return -1;
	return http_reply_json(call, 200, json_pack("{s:o}", "name", api_text(name)));
}
