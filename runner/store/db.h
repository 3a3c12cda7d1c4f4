/* SQLite with our errors: WAL, synchronous=FULL, foreign keys. SQL from bound parameters only.
 *
 *     cleanup_stmt struct db_stmt *q = NULL;
 *     if (db_query(db, &q, err, "SELECT id, name FROM stage WHERE run_id = ?", "i", run_id) < 0) return -1;
 *     while ((more = db_step(q, err)) > 0) use(db_int(q, 0), db_text(q, 1));
 *
 * Parameter letters: i int64_t, s const char * (NULL: NULL), d double, b const void * and size_t. */
#ifndef RUNNER_STORE_DB_H
#define RUNNER_STORE_DB_H

#include "base/cleanup.h"

#include <stdint.h>

struct db;
struct db_stmt;
/* Opens or creates, migrates to our version; a newer database is refused (CONFLICT, telling both versions). */
int db_open(const char *path, struct db **ret, struct error **err) must_check;
void db_close(struct db *db);
int db_query(struct db *db, struct db_stmt **ret, struct error **err, const char *sql, const char *types, ...) must_check;
int db_step(struct db_stmt *stmt, struct error **err) must_check; /* 1 row, 0 done, -1 error */
int64_t db_int(const struct db_stmt *stmt, int column);
double db_real(const struct db_stmt *stmt, int column);
const char *db_text(const struct db_stmt *stmt, int column);      /* NULL for NULL; valid until the next step */
const void *db_blob(const struct db_stmt *stmt, int column, size_t *ret_len);
bool db_is_null(const struct db_stmt *stmt, int column);
void db_stmt_free(struct db_stmt *stmt);
DEFINE_CLEANUP(struct db_stmt, db_stmt_free);
#define cleanup_stmt CLEANUP(db_stmt_free)
/* One statement that gives no rows. A broken UNIQUE constraint is CONFLICT. */
int db_run(struct db *db, struct error **err, const char *sql, const char *types, ...) must_check;
int64_t db_last_id(struct db *db);
int64_t db_changes(struct db *db);
int db_begin(struct db *db, struct error **err) must_check;
int db_commit(struct db *db, struct error **err) must_check; /* on failure it has rolled back */
void db_rollback(struct db *db);
bool db_in_transaction(const struct db *db);
int db_savepoint(struct db *db, struct error **err) must_check;  /* nestable */
int db_release(struct db *db, struct error **err) must_check;
void db_rollback_to(struct db *db); /* the newest savepoint, and releases it */
#endif
