#include "tests/unit/runner/http_fixture.h"

#include "runner/secrets.h"

#include <sys/stat.h>

static void set(struct desk *desk, const char *name, const char *value)
{
	cleanup_error struct error *err = NULL;
	core_event_begin(desk->core);
	assert_ok(secret_set(desk->core, name, value, "uid:0(root)", &err), err);
	core_event_end(desk->core, true);
	core_commit(desk->core);
}

static void expect(struct desk *desk, const char *name, const char *value)
{
	cleanup_error struct error *err = NULL;
	char *got = NULL;
	assert_ok(secret_get(desk->core, name, &got, &err), err);
	if (value)
		assert_string_equal(got, value);
	else
		assert_null(got);
	secret_wipe(got);
}

static void expect_error(struct desk *desk, const char *name, enum error_code code, const char *text)
{
	cleanup_error struct error *err = NULL;
	char *got = NULL;
	assert_int_equal(secret_get(desk->core, name, &got, &err), -1);
	assert_null(got);
	assert_error(err, code, strstr(text, "%s") ? fixture_text(desk->fixture, text) : text);
}

static void what_is_set_is_read_back(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	expect(&desk, "HOOK", NULL);
	set(&desk, "HOOK", "correct horse battery");
	set(&desk, "OTHER", "\xc3\xa4 staple\nof two lines");
	expect(&desk, "HOOK", "correct horse battery");
	expect(&desk, "OTHER", "\xc3\xa4 staple\nof two lines");
	set(&desk, "HOOK", "another value");
	expect(&desk, "HOOK", "another value");
	assert_int_equal(desk_count(&desk, "SELECT count(*) FROM event WHERE kind = 'secret.set' AND actor = 'uid:0(root)'"), 3);
	assert_int_equal(desk_count(&desk, "SELECT count(*) FROM event WHERE data LIKE '%value%' OR data LIKE '%horse%'"), 0);
	cleanup_error struct error *err = NULL, *gone = NULL;
	core_event_begin(desk.core);
	assert_ok(secret_remove(desk.core, "HOOK", "uid:0(root)", &err), err);
	assert_int_equal(secret_remove(desk.core, "HOOK", "uid:0(root)", &gone), -1);
	core_event_end(desk.core, true);
	assert_error(gone, ERROR_NOT_FOUND, "there is no secret HOOK");
	expect(&desk, "HOOK", NULL);
	desk_close(&desk);
}

static void nothing_readable_lies_on_disk(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	set(&desk, "HOOK", "correct horse battery");
	assert_int_equal(desk_count(&desk, "SELECT count(*) FROM secret WHERE instr(sealed, CAST('correct' AS BLOB)) > 0"), 0);
	cleanup_free char *key = path_join(desk.fixture->dir, "penstock.key");
	struct stat st;
	assert_int_equal(stat(key, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* The same value twice gives different bytes: the nonce is never used again. */
	set(&desk, "TWIN", "correct horse battery");
	assert_int_equal(desk_count(&desk, "SELECT count(DISTINCT sealed) FROM secret"), 2);
	desk_close(&desk);
}

static void bad_names_and_values_are_refused(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	cleanup_free char *large = xmalloc(70000);
	memset(large, 'x', 69999);
	large[69999] = '\0';
	const struct {
		const char *name, *value;
		enum error_code code;
		const char *says;
	} cases[] = {
		{"", "long enough", ERROR_INVALID, "a secret's name is made of letters, digits and underscores, 128 at most"},
		{"a-b", "long enough", ERROR_INVALID, "a secret's name is made of letters, digits and underscores, 128 at most"},
		{"../x", "long enough", ERROR_INVALID, "a secret's name is made of letters, digits and underscores, 128 at most"},
		{"a b", "long enough", ERROR_INVALID, "a secret's name is made of letters, digits and underscores, 128 at most"},
		{"A", "1234567", ERROR_INVALID, "secret A: too short to be masked in logs; at least 8 bytes are needed"},
		{"A", "", ERROR_INVALID, "secret A: too short to be masked in logs; at least 8 bytes are needed"},
		{"A", large, ERROR_TOO_LARGE, "secret A: more than 65536 bytes"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		core_event_begin(desk.core);
		assert_int_equal(secret_set(desk.core, cases[i].name, cases[i].value, "me", &err), -1);
		core_event_end(desk.core, false);
		assert_error(err, cases[i].code, cases[i].says);
	}
	cleanup_free char *key = path_join(desk.fixture->dir, "penstock.key");
	assert_false(path_exists(key));
	desk_close(&desk);
}

static void a_key_that_others_may_read_is_refused(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	set(&desk, "HOOK", "correct horse battery");
	cleanup_free char *key = path_join(desk.fixture->dir, "penstock.key");
	assert_int_equal(chmod(key, 0640), 0);
	cleanup_error struct error *err = NULL;
	char *got = NULL;
	assert_int_equal(secret_get(desk.core, "HOOK", &got, &err), -1);
	cleanup_free char *text = xasprintf("others may open the sealing key %s (mode 0640): chmod 0600 %s", key, key);
	assert_error(err, ERROR_DENIED, text);
	assert_int_equal(chmod(key, 0600), 0);
	expect(&desk, "HOOK", "correct horse battery");
	desk_close(&desk);
}

static void a_lost_or_wrong_key_is_told_and_never_replaced(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	set(&desk, "HOOK", "correct horse battery");
	cleanup_free char *key = path_join(desk.fixture->dir, "penstock.key"), *aside = path_join(desk.fixture->dir, "aside.key");
	assert_int_equal(rename(key, aside), 0);
	expect_error(&desk, "HOOK", ERROR_MISSING, "the sealing key %s/penstock.key is gone: put it back");
	cleanup_error struct error *err = NULL;
	core_event_begin(desk.core);
	assert_int_equal(secret_set(desk.core, "NEW", "a fresh value", "me", &err), -1);
	core_event_end(desk.core, false);
	assert_error(err, ERROR_MISSING,
		     fixture_text(desk.fixture,
				  "secret NEW: the sealing key %s/penstock.key is gone, but secrets are sealed with it: put it back, or "
				  "remove them all"));
	assert_false(path_exists(key));
	static const char other[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
	cleanup_error struct error *wrote = NULL;
	assert_ok(file_write_atomic(key, other, strlen(other), 0600, &wrote), wrote);
	expect_error(&desk, "HOOK", ERROR_INVALID,
		     "the sealing key does not fit the stored value: put back the key it was sealed with, or set it again");
	assert_ok(file_write_atomic(key, "short\n", 6, 0600, &wrote), wrote);
	expect_error(&desk, "HOOK", ERROR_INVALID, "%s/penstock.key is not a sealing key of Penstock: put back the right one");
	assert_int_equal(rename(aside, key), 0);
	expect(&desk, "HOOK", "correct horse battery");
	desk_close(&desk);
}

static void rows_cannot_be_exchanged_or_changed(void **state)
{
	struct desk desk;
	desk_open(&desk, state, "");
	set(&desk, "MINE", "correct horse battery");
	set(&desk, "YOURS", "the other horse");
	cleanup_error struct error *err = NULL;
	assert_ok(db_run(desk.core->db, &err, "UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE name = 'YOURS') WHERE name = 'MINE'", ""),
		  err);
	expect_error(&desk, "MINE", ERROR_INVALID,
		     "the sealing key does not fit the stored value: put back the key it was sealed with, or set it again");
	assert_ok(db_run(desk.core->db, &err, "UPDATE secret SET sealed = x'01' WHERE name = 'MINE'", ""), err);
	expect_error(&desk, "MINE", ERROR_INVALID, "the stored value is damaged: set it again");
	expect(&desk, "YOURS", "the other horse");
	desk_close(&desk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_set_is_read_back),
		TEST(nothing_readable_lies_on_disk),
		TEST(bad_names_and_values_are_refused),
		TEST(a_key_that_others_may_read_is_refused),
		TEST(a_lost_or_wrong_key_is_told_and_never_replaced),
		TEST(rows_cannot_be_exchanged_or_changed),
	};
	loop_free(loop_new()); /* libuv keeps a pipe for signals from its first loop on */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
