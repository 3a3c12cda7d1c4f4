/* What gates and scores compare with: the numbers and files of the run whose release is live. */
#include "runner/engine_priv.h"

#include "base/alloc.h"

#include <string.h>

static void merge(json_t *into, const json_t *result, const char *key)
{
	json_array_extend(json_object_get(into, key), json_object_get(result, key));
}

int merged_metrics(struct engine *engine, int64_t run_id, const struct pipeline *pipeline, const bool *among, json_t **ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_json json_t *merged = json_pack("{s:i, s:[], s:[]}", "rows", 0, "metrics", "paired");
	if (db_query(engine->core->db, &q, err,
		     "SELECT idx, result FROM stage WHERE run_id = ? AND kind = 'score' AND result IS NOT NULL ORDER BY idx", "i", run_id) < 0)
		return -1;
	int more;
	while ((more = db_step(q, err)) > 0) {
		int64_t idx = db_int(q, 0);
		if (among && (idx < 0 || (uint64_t)idx >= pipeline->n_stages || !among[idx]))
			continue;
		cleanup_json json_t *result = NULL;
		if (json_parse(db_text(q, 1), strlen(db_text(q, 1)), &result, err) < 0)
			return error_context(err, "stored result of run %lld", (long long)run_id);
		merge(merged, result, "metrics");
		merge(merged, result, "paired");
		if (json_int_or(result, "rows", 0) > json_int_or(merged, "rows", 0))
			json_object_set(merged, "rows", json_object_get(result, "rows"));
	}
	if (more < 0)
		return -1;
	*ret = STEAL(merged);
	return 0;
}

int baseline_find(struct engine *engine, const struct planned_run *run, struct baseline *ret, struct error **err)
{
	const char *target = NULL;
	for (size_t i = 0; i < run->pipeline->n_stages && !target; i++)
		if (strcmp(run->pipeline->stages[i].kind, "deploy") == 0)
			target = yaml_text(yaml_get(run->pipeline->stages[i].body, "target"), NULL);
	*ret = (struct baseline){0};
	if (!target)
		return 0;
	cleanup_stmt struct db_stmt *q = NULL;
	/* A target may have been taken over from another repository: that one's numbers are no measure. */
	if (db_query(engine->core->db, &q, err,
		     "SELECT release.id, release.run_id, release.version FROM target JOIN release ON release.id = live_release "
		     "WHERE name = ? AND release.repository = ?",
		     "ss", target, run->facts.repository) < 0)
		return -1;
	int more = db_step(q, err);
	if (more > 0) {
		ret->release_id = db_int(q, 0);
		ret->run_id = db_int(q, 1);
		snprintf(ret->version, sizeof(ret->version), "%s", db_text(q, 2));
	}
	return more < 0 ? -1 : 0;
}

static bool covers(const char *output, const char *path)
{
	size_t len = strlen(output);
	while (len > 0 && output[len - 1] == '/')
		len--;
	return strncmp(output, path, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

int baseline_outputs(struct engine *engine, const struct baseline *baseline, const char *path, char ret_manifest[DIGEST_SIZE], struct error **err)
{
	struct planned_run *old;
	ret_manifest[0] = '\0';
	if (planned_run_get(engine, baseline->run_id, &old, err) < 0)
		return error_context(err, "baseline: run %lld of the live release %s", (long long)baseline->run_id, baseline->version);
	int64_t idx = -1;
	for (size_t i = 0; i < old->pipeline->n_stages && idx < 0; i++)
		for (size_t k = 0; k < old->pipeline->stages[i].n_outputs; k++)
			if (covers(old->pipeline->stages[i].outputs[k], path))
				idx = (int64_t)i;
	bool finished; /* one that still runs is in somebody's hands */
	if (run_state_is(engine, baseline->run_id, "finished", &finished, err) < 0)
		return -1;
	if (finished)
		planned_run_drop(engine, baseline->run_id);
	if (idx < 0)
		return 0;
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(engine->core->db, &q, err, "SELECT outputs FROM stage WHERE run_id = ? AND idx = ? AND outputs IS NOT NULL", "ii",
		     baseline->run_id, idx) < 0)
		return -1;
	int more = db_step(q, err);
	if (more > 0)
		snprintf(ret_manifest, DIGEST_SIZE, "%s", db_text(q, 0));
	return more < 0 ? -1 : 0;
}
