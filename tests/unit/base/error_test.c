#include "tests/support/support.h"

#include <errno.h>

static void an_error_reads_from_the_outside_in(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	assert_int_equal(error_set(&err, ERROR_UNAVAILABLE, ECONNREFUSED, "set map %s", "weights"), -1);
	assert_int_equal(error_context(&err, "haproxy"), -1);
	assert_int_equal(error_context(&err, "deploy %s", "prod"), -1);
	assert_error(err, ERROR_UNAVAILABLE, "deploy prod: haproxy: set map weights: Connection refused");
	assert_int_equal(error_errno(err), ECONNREFUSED);
	assert_true(error_retryable(err));
}

static void a_full_disk_is_its_own_code(void **state)
{
	(void)state;
	static const struct {
		int errnum;
		enum error_code code;
	} cases[] = {{ENOSPC, ERROR_NO_SPACE}, {EDQUOT, ERROR_NO_SPACE}, {EIO, ERROR_IO}};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		error_set(&err, ERROR_IO, cases[i].errnum, "write");
		assert_int_equal(error_code_of(err), cases[i].code);
	}
}

static void every_code_has_a_name_an_exit_status_and_an_http_status(void **state)
{
	(void)state;
	static const struct {
		enum error_code code;
		const char *name;
		int exit_status, http;
		bool retry;
	} cases[] = {
#define X(name, text, exit_status, http, retry) {ERROR_##name, #name, exit_status, http, retry},
		ERROR_CODES(X)
#undef X
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		error_set(&err, cases[i].code, 0, "x");
		assert_int_equal(strcasecmp(error_code_name(cases[i].code), cases[i].name), 0);
		assert_int_equal(error_exit_status(err), cases[i].exit_status);
		assert_int_equal(error_http_status(err), cases[i].http);
		assert_int_equal(error_retryable(err), cases[i].retry);
	}
	assert_string_equal(error_code_name(ERROR_NOT_FOUND), "not_found");
}

static void errors_may_be_dropped_and_moved(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, ERROR_IO, 0, "nobody hears"), -1);
	assert_int_equal(error_context(NULL, "nobody"), -1);
	struct error *inner = NULL;
	error_set(&inner, ERROR_TIMEOUT, 0, "git-sync");
	assert_int_equal(error_move(NULL, inner), -1);
	inner = NULL;
	error_set(&inner, ERROR_TIMEOUT, 0, "git-sync");
	cleanup_error struct error *outer = NULL;
	assert_int_equal(error_move(&outer, inner), -1);
	assert_error(outer, ERROR_TIMEOUT, "git-sync");
	error_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_reads_from_the_outside_in),
		cmocka_unit_test(a_full_disk_is_its_own_code),
		cmocka_unit_test(every_code_has_a_name_an_exit_status_and_an_http_status),
		cmocka_unit_test(errors_may_be_dropped_and_moved),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
