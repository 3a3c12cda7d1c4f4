/* What a rollout's decisions were made of, page by page, as `penstock replay` wants it. */
#include "runner/rollouts_view.h"

#include <string.h>

static json_t *parse_or_null(const char *text)
{
	json_t *json = NULL;
	return text && json_parse(text, strlen(text), &json, NULL) == 0 ? json : json_null();
}

/* How many copies the stable release had then: the rollout that made it live is asked, since the target's own row has moved on. */
static int stable_replicas(struct core *core, int64_t id, json_t **ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err,
		     "SELECT coalesce((SELECT json_extract(block, '$.stable_replicas') FROM observation WHERE rollout_id = ?1"
		     " AND json_extract(block, '$.kind') = 'begin' ORDER BY id LIMIT 1),"
		     " (SELECT json_extract(before.spec, '$.replicas') FROM rollout AS before JOIN rollout AS this ON this.id = ?1"
		     " WHERE before.target = this.target AND before.candidate = this.stable AND before.id < this.id"
		     " AND json_extract(before.machine, '$.state') = 'promoted' ORDER BY before.id DESC LIMIT 1), 0)",
		     "i", id) < 0 ||
	    db_step(q, err) < 0)
		return -1;
	*ret = json_integer(db_int(q, 0));
	return 0;
}

static int head_json(struct core *core, int64_t id, json_t **ret, struct error **err)
{
	static const char *const shown[] = {"id", "target", "state", "stable", "candidate"};
	cleanup_json json_t *rollout = rollouts_json(core, id, err), *head = json_object();
	cleanup_stmt struct db_stmt *q = NULL;
	json_t *replicas;
	if (!rollout || stable_replicas(core, id, &replicas, err) < 0)
		return -1;
	json_object_set_new(head, "stable_replicas", replicas);
	if (db_query(core->db, &q, err, "SELECT spec FROM rollout WHERE id = ?", "i", id) < 0 || db_step(q, err) < 0)
		return -1;
	json_object_set_new(head, "spec", parse_or_null(db_text(q, 0)));
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
		json_object_set(head, shown[i], json_object_get(rollout, shown[i]));
	*ret = STEAL(head);
	return 0;
}

json_t *rollout_observations_json(struct core *core, int64_t id, int64_t after, int64_t limit, struct error **err)
{
	cleanup_json json_t *head = NULL, *list = json_array();
	cleanup_stmt struct db_stmt *q = NULL;
	int more;
	if (head_json(core, id, &head, err) < 0 ||
	    db_query(core->db, &q, err, "SELECT id, at_ms, step, block FROM observation WHERE rollout_id = ? AND id > ? ORDER BY id LIMIT ?", "iii", id,
		     after, limit + 1) < 0)
		return NULL;
	while ((more = db_step(q, err)) > 0 && (int64_t)json_array_size(list) < limit)
		json_array_append_new(list, json_pack("{s:I, s:I, s:I, s:o}", "id", (json_int_t)db_int(q, 0), "at_ms", (json_int_t)db_int(q, 1), "step",
						      (json_int_t)db_int(q, 2), "row", parse_or_null(db_text(q, 3))));
	return more < 0 ? NULL : json_pack("{s:O, s:O, s:b}", "rollout", head, "observations", list, "more", more > 0);
}
