/* What a rollout's decisions were made of, page by page, as `penstock replay` wants it. */
#include "runner/rollouts_view.h"

#include <string.h>

static json_t *parse_or_null(const char *text)
{
	json_t *json = NULL;
	return text && json_parse(text, strlen(text), &json, NULL) == 0 ? json : json_null();
}

static json_t *head_json(struct core *core, int64_t id, struct error **err)
{
	static const char *const shown[] = {"id", "target", "state", "spec", "stable", "candidate"};
	cleanup_json json_t *rollout = rollouts_json(core, id, err);
	json_t *head = rollout ? json_object() : NULL;
	for (size_t i = 0; head && i < ARRAY_SIZE(shown); i++)
		json_object_set(head, shown[i], json_object_get(rollout, shown[i]));
	return head;
}

json_t *rollout_observations_json(struct core *core, int64_t id, int64_t after, int64_t limit, struct error **err)
{
	cleanup_json json_t *head = head_json(core, id, err), *list = json_array();
	cleanup_stmt struct db_stmt *q = NULL;
	int more;
	if (!head || db_query(core->db, &q, err, "SELECT id, at_ms, step, block FROM observation WHERE rollout_id = ? AND id > ? ORDER BY id LIMIT ?",
			      "iii", id, after, limit + 1) < 0)
		return NULL;
	while ((more = db_step(q, err)) > 0 && (int64_t)json_array_size(list) < limit)
		json_array_append_new(list, json_pack("{s:I, s:I, s:I, s:o}", "id", (json_int_t)db_int(q, 0), "at_ms", (json_int_t)db_int(q, 1),
						      "step", (json_int_t)db_int(q, 2), "row", parse_or_null(db_text(q, 3))));
	return more < 0 ? NULL : json_pack("{s:O, s:O, s:b}", "rollout", head, "observations", list, "more", more > 0);
}
