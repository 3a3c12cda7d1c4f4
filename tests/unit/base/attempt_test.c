/* Attempts without a sandbox: the leader's part. sandbox_test.c has the other. */
#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "base/attempt/record.h"
#include "base/file.h"
#include "tests/support/attempt_run.h"
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct attempt_spec spec_of(const struct fixture *fixture, const struct attempt_command *commands, size_t n)
{
	return (struct attempt_spec){.dir = fixture->dir, .commands = commands, .n_commands = n, .timeout_ms = 30000, .grace_ms = 5000};
}

static struct ran *run_script(const struct fixture *fixture, const char *script)
{
	struct attempt_command command = shell_command(script);
	struct attempt_spec spec = spec_of(fixture, &command, 1);

	return attempt_run(&spec);
}

/* A FIFO in the attempt's folder: scripts write to it when they are where the test wants them. */
static int barrier(const struct fixture *fixture, const char *name)
{
	cleanup_free char *path = path_join(fixture->dir, name);

	assert_int_equal(mkfifo(path, 0666), 0);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* Waits for a line on the barrier; fails the test after a minute. */
static long await_line(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	char line[64] = "";

	assert_int_equal(poll(&poll_fd, 1, 60000), 1);
	assert_true(read(fd, line, sizeof(line) - 1) > 0);
	return strtol(line, NULL, 10);
}

/* "Gone" is: killed and reaped, or about to be. A pid file descriptor tells without a race. */
static void assert_gone(pid_t pid)
{
	for (int i = 0; i < 6000 && kill(pid, 0) == 0; i++) {
		char path[64], text[256] = "";
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && strstr(text, ") Z"))
			return;
		poll(NULL, 0, 10);
	}
	assert_int_equal(kill(pid, 0), -1);
}

static long leader_pid(const char *dir)
{
	cleanup_free char *path = path_join(dir, "started");
	cleanup_free char *text = NULL;

	assert_int_equal(file_read(path, 4096, &text, NULL, NULL), 0);
	const char *at = strstr(text, "leader_pid ");
	assert_non_null(at);
	return strtol(strchr(at, '\n') + 1, NULL, 10);
}

static void exit_codes_and_signals_are_told(void **state)
{
	static const struct {
		const char *script;
		enum attempt_end end;
		int code, signal;
		const char *message;
	} cases[] = {
		{"exit 0", ATTEMPT_EXITED, 0, 0, "exit status 0"},
		{"exit 75", ATTEMPT_EXITED, 75, 0, "exit status 75"},
		{"kill -SEGV $$", ATTEMPT_SIGNALED, 0, SIGSEGV, "killed by SIGSEGV"},
		{"kill -KILL $$", ATTEMPT_SIGNALED, 0, SIGKILL, "killed by SIGKILL"},
	};
	const struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *dir = xasprintf("%s/%zu", fixture->dir, i);
		assert_int_equal(mkdir(dir, 0755), 0);
		struct attempt_command command = shell_command(cases[i].script);
		struct attempt_spec spec = {.dir = dir, .commands = &command, .n_commands = 1};
		CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);
		assert_int_equal(ran->state, ATTEMPT_FINISHED);
		assert_int_equal(ran->record.end, cases[i].end);
		assert_int_equal(ran->record.exit_code, cases[i].code);
		assert_int_equal(ran->record.signal, cases[i].signal);
		assert_string_equal(ran->record.message, cases[i].message);
		assert_string_equal(ran->record.command, "main");
		assert_true(ran->record.started_ms > 0 && ran->record.ended_ms >= ran->record.started_ms);
		assert_true(ran->record.max_rss_bytes > 0);
	}
}

static void commands_run_in_order_until_one_fails(void **state)
{
	const struct fixture *fixture = *state;
	struct attempt_command commands[] = {shell_command("echo one"), shell_command("echo two; exit 4"), shell_command("echo three")};
	struct attempt_spec spec = spec_of(fixture, commands, 3);
	commands[0].name = "prepare";
	commands[2].name = "capture";
	CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);

	assert_int_equal(ran->record.exit_code, 4);
	assert_string_equal(ran->record.command, "main");
	assert_non_null(strstr(ran->log, "--- prepare\none\n--- prepare: exit status 0 after "));
	assert_non_null(strstr(ran->log, "\n--- main\ntwo\n--- main: exit status 4 after "));
	assert_null(strstr(ran->log, "three"));
}

static void a_command_that_cannot_be_executed_has_not_started(void **state)
{
	static const char *const argv[] = {"/no/such/program", NULL};
	const struct fixture *fixture = *state;
	struct attempt_command command = {.name = "main", .argv = argv};
	struct attempt_spec spec = spec_of(fixture, &command, 1);
	CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);

	assert_int_equal(ran->record.end, ATTEMPT_NOT_STARTED);
	assert_int_equal(ran->record.errnum, ENOENT);
	assert_string_equal(ran->record.message, "exec /no/such/program: No such file or directory");
}

static void the_environment_is_what_was_given(void **state)
{
	static const char *const env[] = {"PATH=/usr/bin:/bin", "A=1", "B=two words", NULL};
	static const char *const argv[] = {"env", NULL};
	const struct fixture *fixture = *state;
	struct attempt_command command = {.name = "main", .argv = argv, .env = env, .to_result = true};
	struct attempt_spec spec = spec_of(fixture, &command, 1);
	CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);

	assert_string_equal(ran->result, "PATH=/usr/bin:/bin\nA=1\nB=two words\n");
}

static void standard_output_can_be_the_result(void **state)
{
	const struct fixture *fixture = *state;
	struct attempt_command command = shell_command("echo '{}'; echo progress >&2");
	struct attempt_spec spec = spec_of(fixture, &command, 1);
	command.to_result = true;
	CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);

	assert_string_equal(ran->result, "{}\n");
	assert_non_null(strstr(ran->log, "--- main\nprogress\n"));
	assert_null(strstr(ran->log, "{}"));
}

static void time_runs_out_and_term_is_enough(void **state)
{
	const struct fixture *fixture = *state;
	struct attempt_command command = shell_command("trap 'echo saved; exit 0' TERM; tail -f /dev/null & wait");
	struct attempt_spec spec = spec_of(fixture, &command, 1);
	spec.timeout_ms = 300;
	CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);

	assert_int_equal(ran->record.end, ATTEMPT_TIMED_OUT);
	assert_string_equal(ran->record.message, "timed out after 300ms");
}

static void who_ignores_term_is_killed_after_the_grace(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_fd int ready = barrier(fixture, "ready");
	struct attempt_command command = shell_command("trap '' TERM; echo up >ready; exec tail -f /dev/null");
	struct attempt_spec spec = spec_of(fixture, &command, 1);
	cleanup_error struct error *err = NULL;
	spec.grace_ms = 200;
	assert_ok(attempt_start(&spec, &err), err);
	await_line(ready);
	assert_ok(attempt_cancel(fixture->dir, &err), err);
	CLEANUP(ran_free) struct ran *ran = attempt_await(fixture->dir);

	assert_int_equal(ran->record.end, ATTEMPT_CANCELLED);
	assert_string_equal(ran->record.message, "cancelled; it did not end within 200ms of SIGTERM and was killed");
}

static void a_cancelled_attempt_may_clean_up(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_fd int ready = barrier(fixture, "ready");
	struct attempt_command command = shell_command("trap 'echo saved; exit 0' TERM; echo up >ready; while :; do tail -f /dev/null & wait; done");
	struct attempt_spec spec = spec_of(fixture, &command, 1);
	cleanup_error struct error *err = NULL;
	assert_ok(attempt_start(&spec, &err), err);
	await_line(ready);
	assert_ok(attempt_cancel(fixture->dir, &err), err);
	CLEANUP(ran_free) struct ran *ran = attempt_await(fixture->dir);

	assert_int_equal(ran->record.end, ATTEMPT_CANCELLED);
	assert_string_equal(ran->record.message, "cancelled");
	assert_non_null(strstr(ran->log, "saved\n"));
	assert_ok(attempt_cancel(fixture->dir, &err), err); /* once more, too late: no effect */
}

static void a_grandchild_that_became_a_daemon_neither_hangs_nor_survives_the_attempt(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_fd int ready = barrier(fixture, "ready");
	/* setsid leaves the group; the double fork leaves the parent; it keeps our pipe open. */
	CLEANUP(ran_free)
	struct ran *ran = run_script(
		fixture, "setsid sh -c '(trap \"\" TERM HUP; echo $$ >ready; exec tail -f /dev/null) & ' ; read x <ready; echo $x >ready; exit 0");

	assert_int_equal(ran->record.end, ATTEMPT_EXITED);
	assert_int_equal(ran->record.exit_code, 0);
	assert_non_null(strstr(ran->log, "left behind by main: killed\n"));
	await_line(ready);
}

static void the_starter_is_killed_and_the_next_one_attaches(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_fd int ready = barrier(fixture, "ready");
	cleanup_fd int go = barrier(fixture, "go");
	enum attempt_state now;
	cleanup_error struct error *err = NULL;
	struct attempt_command command = shell_command("echo up >ready; read x <go; echo done; exit 7");
	struct attempt_spec spec = spec_of(fixture, &command, 1);

	assert_ok(attempt_state(fixture->dir, &now, &err), err);
	assert_int_equal(now, ATTEMPT_NEW);
	pid_t starter = fork();
	if (starter == 0) {
		if (attempt_start(&spec, NULL) < 0)
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(starter, &status, 0), starter);
	assert_true(WIFSIGNALED(status));
	await_line(ready);
	assert_ok(attempt_state(fixture->dir, &now, &err), err);
	assert_int_equal(now, ATTEMPT_RUNNING);
	assert_int_equal(attempt_start(&spec, &err), -1);
	assert_error(err, ERROR_CONFLICT, fixture_text(*state, "attempt %s: it is already running"));
	assert_int_equal(write(go, "x\n", 2), 2);
	CLEANUP(ran_free) struct ran *ran = attempt_await(fixture->dir);
	assert_int_equal(ran->state, ATTEMPT_FINISHED);
	assert_int_equal(ran->record.exit_code, 7);
	assert_non_null(strstr(ran->log, "done\n"));
}

static void a_finished_attempt_is_not_started_again(void **state)
{
	struct fixture *fixture = *state;
	cleanup_error struct error *err = NULL;
	CLEANUP(ran_free) struct ran *ran = run_script(fixture, "true");
	struct attempt_command command = shell_command("true");
	struct attempt_spec spec = spec_of(fixture, &command, 1);

	assert_int_equal(ran->state, ATTEMPT_FINISHED);
	assert_int_equal(attempt_start(&spec, &err), -1);
	assert_error(err, ERROR_CONFLICT, fixture_text(fixture, "attempt %s: it has already finished"));
}

static void a_killed_leader_loses_the_attempt_and_takes_its_child_with_it(void **state)
{
	struct fixture *fixture = *state;
	cleanup_fd int ready = barrier(fixture, "ready");
	cleanup_error struct error *err = NULL, *again = NULL;
	struct attempt_command command = shell_command("echo $$ >ready; exec tail -f /dev/null");
	struct attempt_spec spec = spec_of(fixture, &command, 1);
	assert_ok(attempt_start(&spec, &err), err);
	pid_t child = (pid_t)await_line(ready);
	assert_int_equal(kill((pid_t)leader_pid(fixture->dir), SIGKILL), 0);
	CLEANUP(ran_free) struct ran *ran = attempt_await(fixture->dir);

	assert_int_equal(ran->state, ATTEMPT_LOST);
	assert_gone(child);
	assert_int_equal(attempt_start(&spec, &again), -1);
	assert_error(again, ERROR_CONFLICT, fixture_text(fixture, "attempt %s: it was started before and is lost; a new attempt is needed"));
}

static void children_do_not_inherit_the_lock_nor_anything_else(void **state)
{
	const struct fixture *fixture = *state;
	CLEANUP(ran_free) struct ran *ran = run_script(fixture, "ls /proc/$$/fd");

	assert_non_null(strstr(ran->log, "--- main\n0\n1\n2\n--- main: exit"));
}

static void secrets_reach_the_environment_and_nothing_else(void **state)
{
	static const struct attempt_secret secrets[] = {{"TOKEN", "s3cr3t-t0ken/with+more"}};
	const struct fixture *fixture = *state;
	cleanup_fd int ready = barrier(fixture, "ready");
	cleanup_fd int go = barrier(fixture, "go");
	cleanup_error struct error *err = NULL;
	struct attempt_command commands[] = {
		shell_command("echo without: ${TOKEN-unset}"),
		shell_command("echo token: $TOKEN; printf %s \"$TOKEN\" | base64; echo up >ready; read x <go; test ${#TOKEN} = 22")};
	struct attempt_spec spec = spec_of(fixture, commands, 2);
	commands[1].with_secrets = true;
	spec.secrets = secrets;
	spec.n_secrets = 1;
	assert_ok(attempt_start(&spec, &err), err);
	await_line(ready);

	static const char *const places[] = {"cmdline", "environ"};
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		cleanup_free char *path = xasprintf("/proc/%ld/%s", leader_pid(fixture->dir), places[i]);
		char bytes[8192];
		cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 && errno == EACCES) /* not even its own user may look, unless that is root */
			continue;
		assert_true(fd >= 0);
		ssize_t n = read(fd, bytes, sizeof(bytes));
		assert_true(n >= 0);
		assert_null(memmem(bytes, (size_t)n, "s3cr3t", 6));
	}
	cleanup_free char *spec_path = path_join(fixture->dir, "spec");
	cleanup_free char *text = NULL;
	size_t len;
	assert_ok(file_read(spec_path, 1 << 20, &text, &len, &err), err);
	assert_null(memmem(text, len, "s3cr3t", 6));
	assert_int_equal(write(go, "x\n", 2), 2);
	CLEANUP(ran_free) struct ran *ran = attempt_await(fixture->dir);
	assert_int_equal(ran->record.exit_code, 0);
	assert_non_null(strstr(ran->log, "without: unset\n"));
	assert_non_null(strstr(ran->log, "token: ***\n***"));
	assert_null(strstr(ran->log, "czNjcjN0"));
}

static void a_secret_that_cannot_be_masked_is_refused(void **state)
{
	static const struct attempt_secret secrets[] = {{"PIN", "1234"}};
	struct fixture *fixture = *state;
	struct attempt_command command = shell_command("true");
	struct attempt_spec spec = spec_of(fixture, &command, 1);
	cleanup_error struct error *err = NULL;
	spec.secrets = secrets;
	spec.n_secrets = 1;
	assert_int_equal(attempt_start(&spec, &err), -1);
	assert_error(err, ERROR_INVALID, fixture_text(fixture, "attempt %s: secret PIN is shorter than 8 bytes and could not be masked in the log"));
	assert_true(secret_is_maskable("12345678"));
	assert_false(secret_is_maskable("1234567\n"));
	assert_false(secret_is_maskable(""));
}

static void a_log_beyond_its_limit_keeps_both_ends(void **state)
{
	const struct fixture *fixture = *state;
	struct attempt_command command = shell_command("echo first; seq 100000 999999; echo last");
	struct attempt_spec spec = spec_of(fixture, &command, 1);
	spec.limits.log_max_bytes = 100000;
	CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);

	assert_true(strlen(ran->log) < 100500);
	assert_non_null(strstr(ran->log, "first\n100000\n"));
	assert_non_null(strstr(ran->log, "--- the log has reached its limit; of what follows only the end will be kept\n"));
	assert_non_null(strstr(ran->log, "bytes were dropped here\n"));
	assert_non_null(strstr(ran->log, "999999\nlast\n--- main: exit status 0 after "));
}

static void progress_bars_leave_their_last_frame(void **state)
{
	const struct fixture *fixture = *state;
	CLEANUP(ran_free) struct ran *ran = run_script(fixture, "printf ' 10%%\\r 50%%\\r100%%\\nnext\\r\\nend'");

	assert_non_null(strstr(ran->log, "--- main\n100%\nnext\nend\n--- main: exit"));
}

static void a_partial_line_is_shown_while_it_waits(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_fd int go = barrier(fixture, "go");
	cleanup_free char *path = path_join(fixture->dir, "log");
	struct attempt_command command = shell_command("printf 'Continue? '; read x <go; echo yes");
	struct attempt_spec spec = spec_of(fixture, &command, 1);
	cleanup_error struct error *err = NULL;
	bool seen = false;
	assert_ok(attempt_start(&spec, &err), err);
	for (int i = 0; i < 6000 && !seen; i++) {
		cleanup_free char *text = NULL;
		assert_ok(file_read(path, 1 << 20, &text, NULL, &err), err);
		seen = strstr(text, "Continue? ") != NULL;
		poll(NULL, 0, 10);
	}
	assert_true(seen);
	assert_int_equal(write(go, "x\n", 2), 2);
	CLEANUP(ran_free) struct ran *ran = attempt_await(fixture->dir);
	assert_non_null(strstr(ran->log, "--- main\nContinue? yes\n"));
}

static void running_out_of_memory_has_its_own_name(void **state)
{
	const struct fixture *fixture = *state;
	struct attempt_command command = shell_command("exec python3 -c 'x = bytearray(400 << 20); print(len(x))'");
	struct attempt_spec spec = spec_of(fixture, &command, 1);
	spec.limits.memory_bytes = 64 << 20;
	CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);

	assert_non_null(strstr(ran->log, "--- memory limit 64 MiB "));
	if (strstr(ran->log, "by cgroup")) {
		assert_int_equal(ran->record.end, ATTEMPT_OOM);
		assert_int_equal(ran->record.signal, SIGKILL);
		assert_string_equal(ran->record.message, "killed by SIGKILL (out of memory)");
	} else {
		assert_int_not_equal(ran->record.exit_code, 0); /* MemoryError */
	}
}

static void a_missing_leader_is_told(void **state)
{
	struct fixture *fixture = *state;
	struct attempt_command command = shell_command("true");
	struct attempt_spec spec = spec_of(fixture, &command, 1);
	cleanup_error struct error *err = NULL;
	enum attempt_state now;
	use_leader("/no/such/leader");
	assert_int_equal(attempt_start(&spec, &err), -1);
	assert_error(err, ERROR_MISSING,
		     fixture_text(fixture, "attempt %s: /no/such/leader is not there: it is installed beside penstock, in the package \"penstock\": "
					   "No such file or directory"));
	use_leader(LEADER_PATH);
	assert_ok(attempt_state(fixture->dir, &now, NULL), NULL);
	assert_int_equal(now, ATTEMPT_NEW);
	CLEANUP(ran_free) struct ran *ran = run_script(fixture, "true");
	assert_int_equal(ran->state, ATTEMPT_FINISHED);
}

static void the_stage_user_owns_nothing_of_ours(void **state)
{
	unsigned trusted, untrusted, gid;
	const struct fixture *fixture = *state;
	if (geteuid() != 0)
		skip();
	attempt_stage_user(true, &trusted, &gid);
	attempt_stage_user(false, &untrusted, &gid);
	assert_int_not_equal(trusted, untrusted);
	struct attempt_command command = shell_command("id -u; id -G; cat spec");
	struct attempt_spec spec = spec_of(fixture, &command, 1);
	command.as_stage_user = true;
	spec.untrusted = true;
	chmod(fixture->dir, 0711);
	CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);
	cleanup_free char *expected = xasprintf("--- main\n%u\n%u\ncat: spec: Permission denied\n", untrusted, untrusted);
	assert_non_null(strstr(ran->log, expected));
}

/* A leader that has left its record is gone a moment later. */
static void await_leaders(void)
{
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void a_full_disk_takes_neither_the_run_nor_its_record(void **state)
{
	const struct fixture *fixture = *state;
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", fixture->dir, "tmpfs", 0, "size=256k") < 0)
		skip();
	CLEANUP(ran_free)
	struct ran *ran = run_script(fixture, "cat /dev/zero >fill; echo is not in the log; seq 100000 200000; rm fill; echo is in the log; exit 9");
	free(fixture_write(fixture, "room", "again"));
	await_leaders();
	assert_int_equal(umount(fixture->dir), 0);
	assert_int_equal(ran->state, ATTEMPT_FINISHED);
	assert_int_equal(ran->record.exit_code, 9);
	assert_non_null(strstr(ran->log, " bytes of log could not be written: No space left on device\n"));
	assert_non_null(strstr(ran->log, "is in the log\n"));
}

static void a_disk_that_stays_full_keeps_the_reserved_record(void **state)
{
	const struct fixture *fixture = *state;
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", fixture->dir, "tmpfs", 0, "size=256k") < 0)
		skip();
	CLEANUP(ran_free) struct ran *ran = run_script(fixture, "cat /dev/zero >fill; exit 9");
	await_leaders();
	assert_int_equal(umount(fixture->dir), 0);
	assert_int_equal(ran->state, ATTEMPT_FINISHED);
	assert_int_equal(ran->record.exit_code, 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, attempt_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(exit_codes_and_signals_are_told),
		TEST(commands_run_in_order_until_one_fails),
		TEST(a_command_that_cannot_be_executed_has_not_started),
		TEST(the_environment_is_what_was_given),
		TEST(standard_output_can_be_the_result),
		TEST(time_runs_out_and_term_is_enough),
		TEST(who_ignores_term_is_killed_after_the_grace),
		TEST(a_cancelled_attempt_may_clean_up),
		TEST(a_grandchild_that_became_a_daemon_neither_hangs_nor_survives_the_attempt),
		TEST(the_starter_is_killed_and_the_next_one_attaches),
		TEST(a_finished_attempt_is_not_started_again),
		TEST(a_killed_leader_loses_the_attempt_and_takes_its_child_with_it),
		TEST(children_do_not_inherit_the_lock_nor_anything_else),
		TEST(secrets_reach_the_environment_and_nothing_else),
		TEST(a_secret_that_cannot_be_masked_is_refused),
		TEST(a_log_beyond_its_limit_keeps_both_ends),
		TEST(progress_bars_leave_their_last_frame),
		TEST(a_partial_line_is_shown_while_it_waits),
		TEST(running_out_of_memory_has_its_own_name),
		TEST(a_missing_leader_is_told),
		TEST(the_stage_user_owns_nothing_of_ours),
		TEST(a_full_disk_takes_neither_the_run_nor_its_record),
		TEST(a_disk_that_stays_full_keeps_the_reserved_record),
	};
	use_leader(LEADER_PATH);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* a killed starter's leader becomes ours: teardown waits for it */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
