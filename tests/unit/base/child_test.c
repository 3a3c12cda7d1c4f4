#include "base/child.h"

#include "base/alloc.h"
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static int warm_up(void **state)
{
	(void)state;
	loop_free(loop_new());
	return 0;
}

static struct child_spec shell(const char *script)
{
	static const char *argv[4];

	argv[0] = "sh";
	argv[1] = "-c";
	argv[2] = script;
	argv[3] = NULL;
	return (struct child_spec){.argv = argv, .timeout_ms = 60000};
}

static void output_and_exit_code_come_back(void **state)
{
	(void)state;
	struct child_spec spec = shell("printf 'out\\0more'; echo oops >&2; exit 3");
	struct child_result result;
	cleanup_error struct error *err = NULL;
	assert_ok(child_run(&spec, &result, &err), err);
	assert_int_equal(result.exit_code, 3);
	assert_int_equal(result.signal, 0);
	assert_int_equal(result.out_len, 8);
	assert_memory_equal(result.out, "out\0more", 9);
	assert_string_equal(result.err_text, "oops\n");
	assert_int_equal(child_expect_success(&result, "git", &err), -1);
	assert_error(err, ERROR_IO, "git: exit status 3: oops");
	child_result_done(&result);
}

static void success_is_no_error(void **state)
{
	(void)state;
	struct child_spec spec = shell("exit 0");
	struct child_result result;
	cleanup_error struct error *err = NULL;
	assert_ok(child_run(&spec, &result, &err), err);
	assert_ok(child_expect_success(&result, "true", &err), err);
	child_result_done(&result);
}

static void exec_failures_come_back_from_the_start(void **state)
{
	struct fixture *fixture = *state;
	static const char *const missing[] = {"no-such-program-here", NULL};
	static const char *const echo[] = {"true", NULL};
	cleanup_free char *plain = fixture_write(fixture, "plain", "text");
	const char *const plain_argv[] = {plain, NULL};
	struct child_result result;
	cleanup_error struct error *one = NULL, *two = NULL, *three = NULL;
	assert_int_equal(child_run(&(struct child_spec){.argv = missing}, &result, &one), -1);
	assert_error(one, ERROR_MISSING, "run no-such-program-here: No such file or directory");
	assert_int_equal(child_run(&(struct child_spec){.argv = plain_argv}, &result, &two), -1);
	assert_error(two, ERROR_IO, fixture_text(fixture, "run %s/plain: Permission denied"));
	assert_int_equal(child_run(&(struct child_spec){.argv = echo, .dir = "/no/such/dir"}, &result, &three), -1);
	assert_error(three, ERROR_NOT_FOUND, "true: working directory /no/such/dir: No such file or directory");
}

static void signals_are_told(void **state)
{
	(void)state;
	struct child_spec spec = shell("echo last words >&2; kill -TERM $$");
	struct child_result result;
	cleanup_error struct error *err = NULL;
	assert_ok(child_run(&spec, &result, &err), err);
	assert_int_equal(result.signal, SIGTERM);
	assert_int_equal(child_expect_success(&result, "x", &err), -1);
	assert_error(err, ERROR_IO, "x: killed by signal 15 (Terminated): last words");
	child_result_done(&result);
}

static void the_deadline_kills_the_group(void **state)
{
	(void)state;
	struct child_spec spec = shell("tail -f /dev/null & tail -f /dev/null");
	struct child_result result;
	cleanup_error struct error *err = NULL;
	spec.timeout_ms = 100;
	assert_ok(child_run(&spec, &result, &err), err);
	assert_true(result.timed_out);
	assert_int_equal(child_expect_success(&result, "slow", &err), -1);
	assert_error(err, ERROR_TIMEOUT, "slow: timed out");
	child_result_done(&result);
}

static void who_is_left_in_the_group_does_not_hang_us(void **state)
{
	(void)state;
	struct child_spec spec = shell("tail -f /dev/null & echo done");
	struct child_result result;
	cleanup_error struct error *err = NULL;
	assert_ok(child_run(&spec, &result, &err), err);
	assert_int_equal(result.exit_code, 0);
	assert_string_equal(result.out, "done\n");
	child_result_done(&result);
}

static void input_is_given_whole_even_if_it_is_not_read(void **state)
{
	(void)state;
	cleanup_free char *input = xmalloc(1 << 20);
	memset(input, 'x', 1 << 20);
	struct child_spec spec = shell("wc -c");
	struct child_result result;
	cleanup_error struct error *err = NULL;
	spec.input = input;
	spec.input_len = 1 << 20;
	assert_ok(child_run(&spec, &result, &err), err);
	assert_string_equal(result.out, "1048576\n");
	child_result_done(&result);
	spec = shell("exit 0");
	spec.input = input;
	spec.input_len = 1 << 20;
	assert_ok(child_run(&spec, &result, &err), err);
	child_result_done(&result);
}

static void output_beyond_the_limit_is_dropped(void **state)
{
	(void)state;
	struct child_spec spec = shell("head -c 1000000 /dev/zero | tr '\\0' a");
	struct child_result result;
	cleanup_error struct error *err = NULL;
	spec.max_output = 1000;
	assert_ok(child_run(&spec, &result, &err), err);
	assert_int_equal(result.out_len, 1000);
	assert_int_equal(result.exit_code, 0);
	child_result_done(&result);
}

static void only_named_descriptors_are_inherited(void **state)
{
	(void)state;
	int kept = open("/dev/null", O_RDONLY | O_CLOEXEC), other = open("/dev/null", O_RDONLY);
	cleanup_free char *script = xasprintf("ls /proc/$$/fd; test -e /proc/$$/fd/%d", kept);
	struct child_spec spec = shell(script);
	struct child_result result;
	cleanup_error struct error *err = NULL;
	cleanup_free char *expected = xasprintf("0\n1\n2\n%d\n", kept);
	spec.inherit_fds = &kept;
	spec.n_inherit_fds = 1;
	assert_ok(child_run(&spec, &result, &err), err);
	assert_string_equal(result.out, expected);
	child_result_done(&result);
	close(kept);
	close(other);
}

static void the_environment_is_small_or_what_was_given(void **state)
{
	(void)state;
	static const char *const env[] = {"ONLY=this", NULL};
	static const char *const argv[] = {"env", NULL};
	struct child_result result;
	cleanup_error struct error *err = NULL;
	setenv("LEAK", "1", 1);
	assert_ok(child_run(&(struct child_spec){.argv = argv}, &result, &err), err);
	assert_null(strstr(result.out, "LEAK"));
	assert_non_null(strstr(result.out, "LANG=C.UTF-8\n"));
	child_result_done(&result);
	assert_ok(child_run(&(struct child_spec){.argv = argv, .env = env}, &result, &err), err);
	assert_string_equal(result.out, "ONLY=this\n");
	child_result_done(&result);
}

static void note(void *arg, const struct child_result *result)
{
	*(int *)arg = result->cancelled ? 1 : 2;
}

static void a_cancelled_child_is_still_told(void **state)
{
	(void)state;
	struct loop *loop CLEANUP(loop_free) = loop_new();
	struct child_spec spec = shell("tail -f /dev/null");
	struct child *child;
	cleanup_error struct error *err = NULL;
	int told = 0;
	assert_ok(child_start(loop, &spec, note, &told, &child, &err), err);
	child_cancel(child);
	assert_int_equal(told, 0);
	while (!told)
		loop_turn(loop);
	assert_int_equal(told, 1);
}

static void closing_down_waits_for_what_was_cancelled(void **state)
{
	(void)state;
	struct loop *loop CLEANUP(loop_free) = loop_new();
	struct child_spec spec = shell("tail -f /dev/null");
	struct child *child;
	cleanup_error struct error *err = NULL;
	int told = 0;
	child_drain(loop); /* nothing to wait for */
	assert_ok(child_start(loop, &spec, note, &told, &child, &err), err);
	child_cancel(child);
	child_cancel(child);
	child_drain(loop);
	assert_int_equal(told, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(output_and_exit_code_come_back),
		TEST(success_is_no_error),
		TEST(exec_failures_come_back_from_the_start),
		TEST(signals_are_told),
		TEST(the_deadline_kills_the_group),
		TEST(who_is_left_in_the_group_does_not_hang_us),
		TEST(input_is_given_whole_even_if_it_is_not_read),
		TEST(output_beyond_the_limit_is_dropped),
		TEST(only_named_descriptors_are_inherited),
		TEST(the_environment_is_small_or_what_was_given),
		TEST(a_cancelled_child_is_still_told),
		TEST(closing_down_waits_for_what_was_cancelled),
	};
	return cmocka_run_group_tests(tests, warm_up, NULL);
}
