#include "runner/store/db.h"

#include "base/alloc.h"
#include "runner/store/migrations.h"

#include <sqlite3.h>
#include <string.h>

struct db {
	sqlite3 *handle;
	unsigned savepoints; /* open ones, named s1, s2 ... */
};

struct db_stmt {
	struct db *db;
	sqlite3_stmt *stmt;
};

/* SQLite hides the errno of a failed write behind SQLITE_IOERR; SQLITE_FULL is its word for ENOSPC. */
static int db_fail(struct db *db, int status, const char *what, struct error **err)
{
	int extended = sqlite3_extended_errcode(db->handle), errnum = 0;
	enum error_code code = ERROR_INTERNAL;
	switch (status & 0xff) {
	case SQLITE_FULL:
		return error_set(err, ERROR_NO_SPACE, 0, "%s: the disk that holds the database is full: free some space; nothing was lost", what);
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_READONLY:
		code = ERROR_IO;
		errnum = sqlite3_system_errno(db->handle);
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		code = ERROR_UNAVAILABLE;
		break;
	case SQLITE_CONSTRAINT:
		if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY || extended == SQLITE_CONSTRAINT_ROWID)
			code = ERROR_CONFLICT;
		break;
	default: /* an int of SQLite's, not one of our enums */
		break;
	}
	return error_set(err, code, errnum, "%s: %s", what, sqlite3_errmsg(db->handle));
}

static int db_exec(struct db *db, const char *sql, struct error **err)
{
	int status = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
	return status == SQLITE_OK ? 0 : db_fail(db, status, "database", err);
}

static int db_version(struct db *db, int64_t *ret, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(db, &q, err, "PRAGMA user_version", "") < 0 || db_step(q, err) < 0)
		return -1;
	*ret = db_int(q, 0);
	return 0;
}

static int db_migrate(struct db *db, struct error **err)
{
	int64_t version;
	if (db_version(db, &version, err) < 0)
		return -1;
	if (version > (int64_t)n_migrations)
		return error_set(err, ERROR_CONFLICT, 0,
				 "the database has version %lld, this build knows versions up to %zu: start the newer build it was made by",
				 (long long)version, n_migrations);
	for (; version < (int64_t)n_migrations; version++) {
		char pragma[48];
		snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %lld", (long long)version + 1);
		if (db_begin(db, err) < 0)
			return -1;
		if (db_exec(db, migrations[version], err) < 0 || db_exec(db, pragma, err) < 0) {
			db_rollback(db);
			return error_context(err, "migration to version %lld", (long long)version + 1);
		}
		if (db_commit(db, err) < 0)
			return -1;
	}
	return 0;
}

static int db_prepare(struct db *db, struct error **err)
{
	sqlite3_busy_timeout(db->handle, 5000);
	sqlite3_extended_result_codes(db->handle, 0);
	if (db_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF", err) < 0)
		return -1;
	return db_migrate(db, err);
}

int db_open(const char *path, struct db **ret, struct error **err)
{
	struct db *db = xcalloc(1, sizeof(*db));
	int status = sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	int failed = status == SQLITE_OK ? db_prepare(db, err) : db_fail(db, status, "database", err);
	if (failed < 0) {
		db_close(db);
		return error_context(err, "open %s", path);
	}
	*ret = db;
	return 0;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	sqlite3_close_v2(db->handle);
	free(db);
}

static int bind_one(sqlite3_stmt *stmt, int index, char type, va_list *args)
{
	switch (type) {
	case 'i':
		return sqlite3_bind_int64(stmt, index, va_arg(*args, int64_t));
	case 'd':
		return sqlite3_bind_double(stmt, index, va_arg(*args, double));
	case 's': {
		const char *text = va_arg(*args, const char *);
		return text ? sqlite3_bind_text(stmt, index, text, -1, SQLITE_TRANSIENT) : sqlite3_bind_null(stmt, index);
	}
	case 'b': {
		const void *bytes = va_arg(*args, const void *);
		size_t len = va_arg(*args, size_t);
		return sqlite3_bind_blob64(stmt, index, bytes ? bytes : "", len, SQLITE_TRANSIENT);
	}
	default: /* a mistake of ours: no such letter */
		return SQLITE_MISUSE;
	}
}

static int query_va(struct db *db, struct db_stmt **ret, struct error **err, const char *sql, const char *types, va_list *args)
{
	sqlite3_stmt *stmt = NULL;
	int status = sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL);
	if (status != SQLITE_OK)
		return db_fail(db, status, "database", err);
	if (sqlite3_bind_parameter_count(stmt) != (int)strlen(types))
		status = SQLITE_MISUSE;
	for (int i = 0; status == SQLITE_OK && types[i]; i++)
		status = bind_one(stmt, i + 1, types[i], args);
	if (status != SQLITE_OK) {
		sqlite3_finalize(stmt);
		return error_set(err, ERROR_INTERNAL, 0, "database: cannot bind \"%s\" to: %s", types, sql);
	}
	struct db_stmt *q = xcalloc(1, sizeof(*q));
	*q = (struct db_stmt){.db = db, .stmt = stmt};
	*ret = q;
	return 0;
}

int db_query(struct db *db, struct db_stmt **ret, struct error **err, const char *sql, const char *types, ...)
{
	va_list args;
	va_start(args, types);
	int result = query_va(db, ret, err, sql, types, &args);
	va_end(args);
	return result;
}

int db_step(struct db_stmt *q, struct error **err)
{
	int status = sqlite3_step(q->stmt);
	if (status == SQLITE_ROW)
		return 1;
	return status == SQLITE_DONE ? 0 : db_fail(q->db, status, "database", err);
}

int64_t db_int(const struct db_stmt *q, int column)
{
	return sqlite3_column_int64(q->stmt, column);
}

double db_real(const struct db_stmt *q, int column)
{
	return sqlite3_column_double(q->stmt, column);
}

const char *db_text(const struct db_stmt *q, int column)
{
	return (const char *)sqlite3_column_text(q->stmt, column);
}

const void *db_blob(const struct db_stmt *q, int column, size_t *ret_len)
{
	const void *bytes = sqlite3_column_blob(q->stmt, column);
	*ret_len = (size_t)sqlite3_column_bytes(q->stmt, column);
	return bytes;
}

bool db_is_null(const struct db_stmt *q, int column)
{
	return sqlite3_column_type(q->stmt, column) == SQLITE_NULL;
}

void db_stmt_free(struct db_stmt *q)
{
	if (!q)
		return;
	sqlite3_finalize(q->stmt);
	free(q);
}

int db_run(struct db *db, struct error **err, const char *sql, const char *types, ...)
{
	cleanup_stmt struct db_stmt *q = NULL;
	va_list args;
	va_start(args, types);
	int result = query_va(db, &q, err, sql, types, &args);
	va_end(args);
	return result < 0 || db_step(q, err) < 0 ? -1 : 0;
}

int64_t db_last_id(struct db *db)
{
	return sqlite3_last_insert_rowid(db->handle);
}

int64_t db_changes(struct db *db)
{
	return sqlite3_changes64(db->handle);
}

bool db_in_transaction(const struct db *db)
{
	return !sqlite3_get_autocommit(db->handle);
}

int db_begin(struct db *db, struct error **err)
{
	db->savepoints = 0;
	return db_exec(db, "BEGIN", err);
}

int db_commit(struct db *db, struct error **err)
{
	if (db_exec(db, "COMMIT", err) == 0) {
		db->savepoints = 0;
		return 0;
	}
	db_rollback(db);
	return -1;
}

void db_rollback(struct db *db)
{
	/* A full disk may have rolled back already: then there is nothing to do, and SQLite says so. */
	if (db_in_transaction(db))
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
	db->savepoints = 0;
}

static int savepoint_exec(struct db *db, const char *verb, unsigned number, struct error **err)
{
	char sql[64];
	snprintf(sql, sizeof(sql), "%s s%u", verb, number);
	return db_exec(db, sql, err);
}

int db_savepoint(struct db *db, struct error **err)
{
	if (savepoint_exec(db, "SAVEPOINT", db->savepoints + 1, err) < 0)
		return -1;
	db->savepoints++;
	return 0;
}

int db_release(struct db *db, struct error **err)
{
	if (db->savepoints == 0 || !db_in_transaction(db))
		return error_set(err, ERROR_INTERNAL, 0, "database: the transaction was rolled back under an open savepoint");
	return savepoint_exec(db, "RELEASE", db->savepoints--, err);
}

void db_rollback_to(struct db *db)
{
	if (db->savepoints == 0 || !db_in_transaction(db))
		return;
	unsigned number = db->savepoints--;
	if (savepoint_exec(db, "ROLLBACK TO", number, NULL) < 0 || savepoint_exec(db, "RELEASE", number, NULL) < 0)
		db_rollback(db);
}
