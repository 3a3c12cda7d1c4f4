/* What is kept, and for how long. Nothing that is live, or could be gone back to, is ever taken away. */
#include "runner/engine_priv.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#define RUNS_AT_ONCE 200

/* Releases that traffic may still go to. */
#define HELD_RELEASES                                                                                                                                \
	"SELECT live_release FROM target WHERE live_release IS NOT NULL UNION "                                                                      \
	"SELECT previous_release FROM target WHERE previous_release IS NOT NULL UNION "                                                              \
	"SELECT candidate FROM rollout WHERE finished_ms IS NULL UNION "                                                                             \
	"SELECT stable FROM rollout WHERE finished_ms IS NULL AND stable IS NOT NULL"

/* A run keeps its rows as long as a release of it is held, or an unfinished run repeats it. */
#define OLD_RUNS                                                                                                                                     \
	"SELECT id FROM run WHERE state = 'finished' AND finished_ms < ? AND id NOT IN "                                                             \
	"(SELECT run_id FROM release WHERE id IN (" HELD_RELEASES ")) ORDER BY id LIMIT ?"

static int each_run(struct engine *engine, const char *sql, int64_t before_ms, int (*fn)(struct engine *, int64_t, struct error **),
		    struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_free int64_t *ids = NULL;
	size_t n = 0, capacity = 0;
	int more;
	if (db_query(engine->core->db, &q, err, sql, "ii", before_ms, (int64_t)RUNS_AT_ONCE) < 0)
		return -1;
	while ((more = db_step(q, err)) > 0) {
		ids = xgrow(ids, &capacity, n + 1, sizeof(*ids));
		ids[n++] = db_int(q, 0);
	}
	db_stmt_free(STEAL(q));
	for (size_t i = 0; more == 0 && i < n; i++)
		more = fn(engine, ids[i], err);
	return more;
}

static int delete_run(struct engine *engine, int64_t id, struct error **err)
{
	static const char *const statements[] = {
		"UPDATE run SET rerun_of = NULL WHERE rerun_of = ?",
		("DELETE FROM rollout WHERE finished_ms IS NOT NULL AND (stage_id IN (SELECT id FROM stage WHERE run_id = ?1) "
		 "OR candidate IN (SELECT id FROM release WHERE run_id = ?1) OR stable IN (SELECT id FROM release WHERE run_id = ?1))"),
		"DELETE FROM release WHERE run_id = ?",
		"DELETE FROM event WHERE run_id = ?",
		"DELETE FROM run WHERE id = ?",
	};
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
		if (db_run(engine->core->db, err, statements[i], "i", id) < 0)
			return error_context(err, "delete run %lld", (long long)id);
	cleanup_free char *folder = xasprintf("runs/%lld", (long long)id);
	engine_remove_folder(engine, folder);
	return 0;
}

static int delete_logs(struct engine *engine, int64_t id, struct error **err)
{
	cleanup_free char *folder = xasprintf("runs/%lld", (long long)id);
	(void)err;
	engine_remove_folder(engine, folder);
	return 0;
}

/* Beyond the newest of each repository an image goes, though its release stays in the books. */
static int forget_images(struct engine *engine, struct error **err)
{
	return db_run(engine->core->db, err,
		      "UPDATE stage SET image = NULL WHERE id IN (SELECT stage_id FROM (SELECT id, stage_id, row_number() OVER "
		      "(PARTITION BY repository ORDER BY id DESC) AS rank FROM release) WHERE rank > ? AND id NOT IN (" HELD_RELEASES "))",
		      "i", (int64_t)engine->core->config->keep_images);
}

static int collect(struct engine *engine, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_strlist struct strlist roots = {0};
	int more;
	if (db_query(engine->core->db, &q, err,
		     "SELECT outputs FROM stage WHERE outputs IS NOT NULL UNION SELECT image FROM stage WHERE image IS NOT NULL UNION "
		     "SELECT image FROM release WHERE id IN (" HELD_RELEASES ")",
		     "") < 0)
		return -1;
	while ((more = db_step(q, err)) > 0)
		strlist_add(&roots, db_text(q, 0));
	uint64_t freed = 0;
	if (more < 0 || oci_store_collect(engine->core->oci, strlist_items(&roots), roots.n, &freed, err) < 0)
		return -1;
	if (freed > 0)
		log_write(LOG_INFO, "retention", "%llu bytes of artifacts removed", (unsigned long long)freed);
	return 0;
}

int retention_run(struct engine *engine, struct error **err)
{
	const struct config *config = engine->core->config;
	int64_t now = clock_wall_ms();
	if (each_run(engine, OLD_RUNS, now - (int64_t)config->keep_runs_ms, delete_run, err) < 0 ||
	    each_run(engine, "SELECT id FROM run WHERE state = 'finished' AND finished_ms < ? ORDER BY finished_ms DESC LIMIT ?",
		     now - (int64_t)config->keep_logs_ms, delete_logs, err) < 0 ||
	    forget_images(engine, err) < 0)
		return -1;
	return collect(engine, err);
}
