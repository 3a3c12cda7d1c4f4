#include "tests/support/support.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "runner/store/db.h"
#include "runner/store/migrations.h"

#include <ctype.h>
#include <sqlite3.h>
#include <string.h>

static struct db *open_fresh(const struct fixture *fixture)
{
	cleanup_free char *path = path_join(fixture->dir, "t.db");
	cleanup_error struct error *err = NULL;
	struct db *db = NULL;
	assert_ok(db_open(path, &db, &err), err);
	return db;
}

static int64_t count(struct db *db, const char *sql)
{
	cleanup_error struct error *err = NULL;
	cleanup_stmt struct db_stmt *q = NULL;
	assert_ok(db_query(db, &q, &err, sql, ""), err);
	assert_int_equal(db_step(q, &err), 1);
	return db_int(q, 0);
}

static int add_secret(struct db *db, const char *name, struct error **err)
{
	return db_run(db, err, "INSERT INTO secret (name, sealed, created_ms, created_by) VALUES (?, ?, ?, ?)", "sbis", name, "x\0y", (size_t)3,
		      (int64_t)7, "me");
}

static void values_come_back_as_they_went_in(void **state)
{
	struct db *db = open_fresh(*state);
	cleanup_error struct error *err = NULL;
	assert_ok(add_secret(db, "it's; DROP TABLE secret", &err), err);
	assert_int_equal(db_changes(db), 1);
	cleanup_stmt struct db_stmt *q = NULL;
	assert_ok(db_query(db, &q, &err, "SELECT name, sealed, created_ms, ?, ? FROM secret", "sd", (const char *)NULL, 0.1), err);
	assert_int_equal(db_step(q, &err), 1);
	size_t len;
	assert_string_equal(db_text(q, 0), "it's; DROP TABLE secret");
	assert_memory_equal(db_blob(q, 1, &len), "x\0y", 3);
	assert_int_equal(len, 3);
	assert_int_equal(db_int(q, 2), 7);
	assert_true(db_is_null(q, 3));
	assert_null(db_text(q, 3));
	assert_true(db_real(q, 4) == 0.1);
	assert_int_equal(db_step(q, &err), 0);
	db_stmt_free(STEAL(q));
	db_close(db);
}

static void a_broken_unique_constraint_is_a_conflict(void **state)
{
	struct db *db = open_fresh(*state);
	cleanup_error struct error *err = NULL;
	assert_ok(add_secret(db, "a", &err), err);
	assert_int_equal(add_secret(db, "a", &err), -1);
	assert_error(err, ERROR_CONFLICT, "database: UNIQUE constraint failed: secret.name");
	db_close(db);
}

static void foreign_keys_hold(void **state)
{
	struct db *db = open_fresh(*state);
	cleanup_error struct error *err = NULL;
	assert_int_equal(db_run(db, &err, "INSERT INTO rollout (target, candidate, spec, machine, created_ms) VALUES ('t', 1, '', '', 0)", ""), -1);
	assert_error(err, ERROR_INTERNAL, "database: FOREIGN KEY constraint failed");
	db_close(db);
}

static void a_wrong_number_of_parameters_is_told(void **state)
{
	struct db *db = open_fresh(*state);
	cleanup_error struct error *err = NULL;
	assert_int_equal(db_run(db, &err, "DELETE FROM secret WHERE name = ?", "ss", "a", "b"), -1);
	assert_error(err, ERROR_INTERNAL, "database: cannot bind \"ss\" to: DELETE FROM secret WHERE name = ?");
	db_close(db);
}

static void savepoints_nest(void **state)
{
	struct db *db = open_fresh(*state);
	cleanup_error struct error *err = NULL;
	assert_ok(db_begin(db, &err), err);
	assert_ok(db_savepoint(db, &err), err);
	assert_ok(add_secret(db, "kept", &err), err);
	assert_ok(db_savepoint(db, &err), err);
	assert_ok(add_secret(db, "dropped", &err), err);
	db_rollback_to(db);
	assert_ok(db_release(db, &err), err);
	assert_true(db_in_transaction(db));
	assert_ok(db_commit(db, &err), err);
	assert_false(db_in_transaction(db));
	assert_int_equal(count(db, "SELECT count(*) FROM secret"), 1);
	db_close(db);
}

static void a_newer_database_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct db *db = open_fresh(fixture);
	cleanup_error struct error *err = NULL;
	assert_ok(db_run(db, &err, "PRAGMA user_version = 99", ""), err);
	db_close(db);
	cleanup_free char *path = path_join(fixture->dir, "t.db");
	assert_int_equal(db_open(path, &db, &err), -1);
	assert_error(err, ERROR_CONFLICT,
		     fixture_text(fixture, "open %s/t.db: the database has version 99, this build knows versions up to 1: "
					   "start the newer build it was made by"));
}

static void a_file_that_is_no_database_is_told(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *path = fixture_write(fixture, "t.db",
						"this is a text file, and it is long enough to be looked at as a header of a database file, "
						"which has one hundred bytes at least");
	cleanup_error struct error *err = NULL;
	struct db *db = NULL;
	assert_int_equal(db_open(path, &db, &err), -1);
	assert_error(err, ERROR_IO, fixture_text(fixture, "open %s/t.db: database: file is not a database"));
}

/* Comments out, runs of white space one blank, none beside punctuation: what is left is the same text or another schema. */
static char *bare_sql(const char *sql)
{
	struct buf b;
	buf_init(&b, 1 << 20);
	for (const char *p = sql; *p; p++) {
		if (p[0] == '-' && p[1] == '-')
			p += strcspn(p, "\n");
		if (!*p)
			break;
		bool blank = isspace((unsigned char)*p);
		if (blank && (b.len == 0 || strchr(" (),;", b.data[b.len - 1])))
			continue;
		if (!blank && strchr("(),;", *p) && b.len > 0 && b.data[b.len - 1] == ' ')
			b.data[--b.len] = '\0';
		buf_addc(&b, blank ? ' ' : *p);
	}
	while (b.len > 0 && b.data[b.len - 1] == ' ')
		b.data[--b.len] = '\0';
	return buf_steal(&b);
}

static void the_documented_schema_is_what_migrations_make(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	cleanup_free char *text = NULL;
	assert_ok(file_read(SOURCE_DIR "/runner/store/schema.sql", 1 << 20, &text, NULL, &err), err);
	struct buf all;
	buf_init(&all, 1 << 20);
	for (size_t i = 0; i < n_migrations; i++)
		buf_adds(&all, migrations[i]);
	cleanup_free char *documented = bare_sql(text), *made = bare_sql(all.data);
	buf_done(&all);
	assert_string_equal(documented, made);
}

/* A database of every released schema, with rows in it, comes up to date and keeps its rows. */
static void released_schemas_are_upgraded(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_error struct error *err = NULL;
	for (int version = 1; version <= 1; version++) {
		cleanup_free char *dump = xasprintf("%s/schema-v%d.sql", TEST_DATA, version), *text = NULL, *path = path_join(fixture->dir, "old.db");
		assert_ok(file_read(dump, 1 << 20, &text, NULL, &err), err);
		sqlite3 *old = NULL; /* not through db_open(), which would migrate it */
		assert_int_equal(sqlite3_open(path, &old), SQLITE_OK);
		assert_int_equal(sqlite3_exec(old, text, NULL, NULL, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_close(old), SQLITE_OK);
		struct db *db = NULL;
		assert_ok(db_open(path, &db, &err), err);
		assert_int_equal(count(db, "PRAGMA user_version"), (int64_t)n_migrations);
		assert_int_equal(count(db, "SELECT count(*) FROM run"), 2);
		assert_int_equal(count(db, "SELECT count(*) FROM stage WHERE outcome = 'success'"), 1);
		assert_int_equal(count(db, "SELECT live_release FROM target WHERE name = 'prod'"), 1);
		db_close(db);
		assert_ok(tree_remove(path, &err), err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(values_come_back_as_they_went_in, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_broken_unique_constraint_is_a_conflict, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(foreign_keys_hold, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_wrong_number_of_parameters_is_told, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(savepoints_nest, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_newer_database_is_refused, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_file_that_is_no_database_is_told, fixture_setup, fixture_teardown),
		cmocka_unit_test(the_documented_schema_is_what_migrations_make),
		cmocka_unit_test_setup_teardown(released_schemas_are_upgraded, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
