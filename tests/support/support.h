/* What every test wants: cmocka, a temporary directory that goes away, exact error checks, a look for leaked descriptors.
 *
 *     static void a_missing_file_is_told(void **state)
 *     {
 *             const struct fixture *fixture = *state;
 *             cleanup_free char *path = path_join(fixture->dir, "x");
 *             cleanup_error struct error *err = NULL;
 *             assert_int_equal(file_read(path, 10, &text, NULL, &err), -1);
 *             assert_error(err, ERROR_NOT_FOUND, fixture_text(fixture, "cannot read %s/x: No such file or directory"));
 *     }
 *     ...
 *     cmocka_unit_test_setup_teardown(a_missing_file_is_told, fixture_setup, fixture_teardown)
 */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* One test's surroundings: an empty directory and the number of descriptors that were open before. */
struct fixture {
	char *dir;          /* absolute */
	unsigned open_fds;
	char text[4096];    /* of fixture_text() */
};

/* cmocka setup and teardown: *state is a struct fixture. The teardown removes the directory with all that is in it and fails
 * the test if it left a descriptor open (told with what it points at) or a child unwaited for. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* The fixture's directory in place of the one "%s" of `pattern`; owned by the fixture, valid until the next call. */
const char *fixture_text(struct fixture *fixture, const char *pattern);
/* Writes a file below the fixture's directory (directories in `name` are made) and returns its path, owned by the caller. */
char *fixture_write(const struct fixture *fixture, const char *name, const char *text);

/* For tests that make their directory themselves. The result is owned by the caller. */
char *temp_dir_new(void);
void temp_dir_remove(char *dir); /* and frees the string; NULL is fine */

/* Number of open descriptors of this process. */
unsigned count_open_fds(void);

/* err is set, with exactly this code and this whole message. */
#define assert_error(err, code, text) check_error((err), (code), (text), __FILE__, __LINE__)
/* No error; tells the message if there is one. */
#define assert_no_error(err) check_no_error((err), __FILE__, __LINE__)
/* The call returns 0 or more and leaves err alone: assert_ok(file_read(path, 10, &text, NULL, &err), err); */
#define assert_ok(call, err)                      \
	do {                                      \
		int returned_ = (call);           \
		assert_no_error(err);             \
		assert_true(returned_ >= 0);      \
	} while (0)

void check_error(const struct error *err, enum error_code code, const char *text, const char *file, int line);
void check_no_error(const struct error *err, const char *file, int line);
#endif
