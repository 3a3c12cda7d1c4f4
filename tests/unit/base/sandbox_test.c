/* The sandbox, from inside: what a stage sees, and everything it might try. */
#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "base/attempt/sandbox.h"
#include "base/file.h"
#include "tests/support/attempt_run.h"
#include "tests/support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* The fixture's directory stays 0700 and root's, like a checkout in /root: attempt/ and workspace/ lie below it. */
struct place {
	struct fixture *fixture;
	char *attempt, *workspace;
	struct sandbox_bind binds[1];
};

static int place_setup(void **state)
{
	struct place *place = xcalloc(1, sizeof(*place));
	unsigned uid, gid;

	if (fixture_setup((void **)&place->fixture) != 0)
		return -1;
	place->attempt = path_join(place->fixture->dir, "attempt");
	place->workspace = path_join(place->fixture->dir, "workspace");
	attempt_stage_user(true, &uid, &gid);
	if (mkdir(place->attempt, 0700) < 0 || mkdir(place->workspace, 0755) < 0 || chown(place->workspace, uid, gid) < 0)
		return -1;
	place->binds[0] = (struct sandbox_bind){.from = place->workspace, .to = "/workspace", .writable = true};
	*state = place;
	return 0;
}

static int place_teardown(void **state)
{
	struct place *place = *state;
	void *fixture = place->fixture;

	free(place->attempt);
	free(place->workspace);
	free(place);
	return attempt_teardown(&fixture);
}

static struct attempt_command boxed(const struct place *place, const char *script)
{
	struct attempt_command command = shell_command(script);

	command.sandbox = (struct sandbox){.enabled = true, .binds = place->binds, .n_binds = 1, .dir = "/workspace"};
	return command;
}

static struct ran *run_boxed(const struct place *place, const struct attempt_command *command)
{
	struct attempt_spec spec = {.dir = place->attempt, .commands = command, .n_commands = 1, .timeout_ms = 30000, .grace_ms = 5000};

	return attempt_run(&spec);
}

/* Runs a script and fails with its log unless it exits 0: the scripts below check from inside. */
static void inside(void **state, const char *script)
{
	const struct place *place = *state;
	struct attempt_command command = boxed(place, script);
	CLEANUP(ran_free) struct ran *ran = run_boxed(place, &command);

	if (ran->state != ATTEMPT_FINISHED || ran->record.end != ATTEMPT_EXITED || ran->record.exit_code != 0)
		fail_msg("%s\n%s", ran->record.message, ran->log);
}

static void the_workspace_is_writable_and_the_working_directory(void **state)
{
	const struct place *place = *state;
	cleanup_free char *made = path_join(place->workspace, "made");
	struct stat st;
	unsigned uid, gid;

	inside(state, "test \"$(pwd)\" = /workspace && echo hello >made && test -O made");
	assert_int_equal(stat(made, &st), 0);
	attempt_stage_user(true, &uid, &gid);
	assert_int_equal(st.st_uid, uid);
}

static void programs_find_what_they_need(void **state)
{
	inside(state, "python3 -c 'import ssl, json, sqlite3, getpass, os, multiprocessing; multiprocessing.Lock(); "
		      "assert getpass.getuser() == \"penstock\" or os.geteuid() != 61180; open(\"/tmp/x\", \"w\").write(\"x\"); open(\"/dev/shm/x\", "
		      "\"w\")'");
}

static void the_rest_of_the_host_is_not_there(void **state)
{
	inside(state, "for p in /root /home /var /srv /opt /mnt /media /run /boot /etc/shadow /etc/penstock /sys; do test ! -e $p || { echo $p; exit "
		      "1; }; done; "
		      "test \"$(ls /tmp | wc -l)\" = 0; test ! -e /proc/1/root/root");
}

static void nothing_outside_the_workspace_can_be_written(void **state)
{
	inside(state, "for p in / /usr /usr/bin /etc /bin; do if touch $p/x 2>/dev/null; then echo wrote $p; exit 1; fi; done; "
		      "for f in /etc/passwd /etc/hosts /usr/bin/env; do if sh -c \": >>$f\" 2>/dev/null; then echo wrote $f; exit 1; fi; done");
}

static void usr_cannot_be_made_writable_again(void **state)
{
	inside(state, "python3 - <<'E'\n"
		      "import ctypes, os\n"
		      "libc = ctypes.CDLL(None, use_errno=True)\n"
		      "for path in (b'/usr', b'/', b'/etc/hosts', b'/proc', b'/workspace'):\n"
		      "    assert libc.mount(None, path, None, 32 | 4096, None) != 0, path      # MS_REMOUNT | MS_BIND\n"
		      "    assert libc.umount2(path, 2) != 0, path\n"
		      "assert libc.mount(b'none', b'/workspace', b'tmpfs', 0, None) != 0\n"
		      "assert libc.unshare(0x10000000) != 0          # CLONE_NEWUSER: no new privileges through another namespace\n"
		      "assert libc.chroot(b'/workspace') != 0\n"
		      "assert libc.sethostname(b'x', 1) != 0\n"
		      "caps = [l.split()[1] for l in open('/proc/self/status') if l.startswith('Cap')]\n"
		      "assert all(int(c, 16) == 0 for c in caps), caps\n"
		      "assert 'NoNewPrivs:\\t1' in open('/proc/self/status').read()\n"
		      "E");
}

static void other_processes_are_not_seen(void **state)
{
	/* Process 1 is ours; besides it only this shell and its own children. */
	inside(state,
	       "n=$(ls /proc | grep -c '^[0-9]'); test $n -le 6 || { ls /proc; exit 1; }; kill -0 1 && test \"$(cat /proc/1/comm)\" != systemd");
}

static void process_one_can_be_neither_traced_nor_read_nor_killed(void **state)
{
	inside(state, "python3 - <<'E'\n"
		      "import ctypes, os, signal\n"
		      "libc = ctypes.CDLL(None, use_errno=True)\n"
		      "assert libc.ptrace(16, 1, 0, 0) == -1         # PTRACE_ATTACH\n"
		      "assert libc.ptrace(0x4206, 1, 0, 0) == -1     # PTRACE_SEIZE\n"
		      "for name in ('environ', 'mem', 'maps', 'fd', 'exe', 'root', 'cwd'):\n"
		      "    try:\n"
		      "        os.listdir('/proc/1/fd') if name == 'fd' else os.readlink('/proc/1/' + name) if name in ('exe', 'root', 'cwd') else "
		      "open('/proc/1/' + name, 'rb').read(1)\n"
		      "    except OSError:\n"
		      "        continue\n"
		      "    raise SystemExit('read /proc/1/' + name)\n"
		      "os.kill(1, signal.SIGKILL)\n"
		      "os.kill(1, signal.SIGTERM)\n"
		      "E");
}

static void the_state_directory_cannot_be_read(void **state)
{
	const struct place *place = *state;
	cleanup_free char *secret = fixture_write(place->fixture, "penstock.db", "hidden");
	cleanup_free char *script = xasprintf("if cat %s 2>/dev/null || ls %s %s/.. 2>/dev/null; then exit 1; fi; "
					      "if cat /proc/*/root%s 2>/dev/null; then exit 1; fi; exit 0",
					      secret, place->fixture->dir, place->attempt, secret);
	inside(state, script);
}

static void there_is_no_network_unless_asked_for(void **state)
{
	const struct place *place = *state;
	inside(state, "test \"$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')\" = lo");
	struct attempt_command command = boxed(place, "test \"$(cat /proc/net/dev | md5sum)\" && test -e /etc/hosts && readlink /proc/self/ns/net");
	command.sandbox.network = true;
	command.to_result = true;
	cleanup_free char *second = path_join(place->fixture->dir, "second");
	assert_int_equal(mkdir(second, 0700), 0);
	struct attempt_spec spec = {.dir = second, .commands = &command, .n_commands = 1};
	CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);
	char own[64];
	ssize_t n = readlink("/proc/self/ns/net", own, sizeof(own) - 1);
	assert_true(n > 0);
	own[n] = '\0';
	assert_memory_equal(ran->result, own, (size_t)n);
}

static void nothing_is_inherited(void **state)
{
	const struct place *place = *state;
	struct attempt_command command = boxed(place, "ls /proc/$$/fd");
	CLEANUP(ran_free) struct ran *ran = run_boxed(place, &command);
	assert_non_null(strstr(ran->log, "--- main\n0\n1\n2\n--- main: exit"));
}

static void the_command_cannot_smuggle_its_environment_into_the_sandbox_program(void **state)
{
	static const char *const env[] = {"PATH=/usr/bin:/bin", "LD_PRELOAD=/workspace/evil.so", "MARK=of-the-command", NULL};
	const struct place *place = *state;
	cleanup_free char *ready = path_join(place->workspace, "ready");
	cleanup_error struct error *err = NULL;
	struct attempt_command command = boxed(place, "echo up >ready; test $MARK = of-the-command; read x <go");
	struct attempt_spec spec = {.dir = place->attempt, .commands = &command, .n_commands = 1};
	cleanup_free char *go = path_join(place->workspace, "go");
	command.env = env;
	assert_int_equal(mkfifo(ready, 0666), 0);
	assert_int_equal(mkfifo(go, 0666), 0);
	assert_int_equal(chmod(ready, 0666) | chmod(go, 0666), 0);
	cleanup_fd int ready_fd = open(ready, O_RDWR | O_CLOEXEC), go_fd = open(go, O_RDWR | O_CLOEXEC);
	assert_ok(attempt_start(&spec, &err), err);
	char line[8];
	assert_true(read(ready_fd, line, sizeof(line)) > 0);
	/* On the host the mark is in the environment of the command alone. */
	unsigned found = 0;
	cleanup_dir DIR *proc = opendir("/proc");
	for (const struct dirent *entry; (entry = readdir(proc));) {
		char path[300], comm[64] = "", bytes[65536];
		snprintf(path, sizeof(path), "/proc/%s/environ", entry->d_name);
		cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
		if (n <= 0 || !memmem(bytes, (size_t)n, "MARK=of-the-command", 19))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		cleanup_fd int comm_fd = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(read(comm_fd, comm, sizeof(comm) - 1) > 0);
		assert_string_equal(comm, "sh\n");
		found++;
	}
	assert_true(found > 0);
	assert_int_equal(write(go_fd, "x\n", 2), 2);
	CLEANUP(ran_free) struct ran *ran = attempt_await(place->attempt);
	assert_int_equal(ran->record.exit_code, 0);
}

static void signals_inside_are_told_as_signals(void **state)
{
	const struct place *place = *state;
	struct attempt_command command = boxed(place, "kill -ABRT $$");
	CLEANUP(ran_free) struct ran *ran = run_boxed(place, &command);
	assert_int_equal(ran->record.end, ATTEMPT_SIGNALED);
	assert_int_equal(ran->record.signal, SIGABRT);
	assert_string_equal(ran->record.message, "killed by SIGABRT");
}

static void what_cannot_be_executed_or_bound_has_not_started(void **state)
{
	static const char *const argv[] = {"no-such-program", NULL};
	static const char *const env[] = {"PATH=/usr/bin", NULL};
	const struct place *place = *state;
	struct attempt_command command = boxed(place, "");
	command.argv = argv;
	command.env = env;
	CLEANUP(ran_free) struct ran *ran = run_boxed(place, &command);
	assert_int_equal(ran->record.end, ATTEMPT_NOT_STARTED);
	assert_int_equal(ran->record.errnum, ENOENT);
	assert_string_equal(ran->record.message, "exec no-such-program: No such file or directory");

	struct sandbox_bind gone = {.from = "/no/such/folder", .to = "/workspace"};
	cleanup_free char *second = path_join(place->fixture->dir, "second");
	assert_int_equal(mkdir(second, 0700), 0);
	command = boxed(place, "true");
	command.sandbox.binds = &gone;
	struct attempt_spec spec = {.dir = second, .commands = &command, .n_commands = 1};
	CLEANUP(ran_free) struct ran *other = attempt_run(&spec);
	assert_int_equal(other->record.end, ATTEMPT_NOT_STARTED);
	assert_non_null(strstr(other->record.message, "sandbox: "));
	assert_non_null(strstr(other->record.message, "/no/such/folder"));

	command.sandbox.binds = place->binds;
	command.sandbox.dir = "/not/there";
	cleanup_free char *third = path_join(place->fixture->dir, "third");
	assert_int_equal(mkdir(third, 0700), 0);
	spec.dir = third;
	CLEANUP(ran_free) struct ran *last = attempt_run(&spec);
	assert_int_equal(last->record.end, ATTEMPT_NOT_STARTED);
	assert_non_null(strstr(last->record.message, "/not/there"));
}

/* Starts a script that makes the fifo `ready` known; returns once it is up. */
static void start_boxed(const struct place *place, const char *script)
{
	struct attempt_command command = boxed(place, script);
	struct attempt_spec spec = {.dir = place->attempt, .commands = &command, .n_commands = 1, .grace_ms = 5000};
	cleanup_free char *ready = path_join(place->workspace, "ready");
	cleanup_error struct error *err = NULL;
	char line[64];

	assert_int_equal(mkfifo(ready, 0666), 0);
	assert_int_equal(chmod(ready, 0666), 0);
	cleanup_fd int fd = open(ready, O_RDWR | O_CLOEXEC);
	assert_ok(attempt_start(&spec, &err), err);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&poll_fd, 1, 60000), 1);
	assert_true(read(fd, line, sizeof(line)) > 0);
}

static void a_cancel_gives_those_inside_their_grace(void **state)
{
	const struct place *place = *state;
	cleanup_error struct error *err = NULL;
	start_boxed(place, "trap 'echo checkpoint written; exit 0' TERM; echo up >ready; tail -f /dev/null & wait; wait");
	assert_ok(attempt_cancel(place->attempt, &err), err);
	CLEANUP(ran_free) struct ran *ran = attempt_await(place->attempt);
	assert_int_equal(ran->record.end, ATTEMPT_CANCELLED);
	assert_string_equal(ran->record.message, "cancelled");
	assert_non_null(strstr(ran->log, "checkpoint written\n"));
}

/* Processes on this machine whose working directory is our workspace, which only those inside have. */
static unsigned count_inside(const struct place *place)
{
	cleanup_dir DIR *proc = opendir("/proc");
	unsigned n = 0;
	struct stat own, st;

	assert_int_equal(stat(place->workspace, &own), 0);
	for (const struct dirent *entry; (entry = readdir(proc));) {
		char path[300];
		snprintf(path, sizeof(path), "/proc/%s/cwd", entry->d_name);
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && stat(path, &st) == 0 && st.st_ino == own.st_ino && st.st_dev == own.st_dev)
			n++;
	}
	return n;
}

static void assert_nobody_inside(const struct place *place)
{
	for (int i = 0; i < 2000 && count_inside(place) > 0; i++)
		poll(NULL, 0, 5);
	assert_int_equal(count_inside(place), 0);
}

static void a_killed_leader_leaves_nobody_behind(void **state)
{
	const struct place *place = *state;
	start_boxed(place, "setsid sh -c 'trap \"\" TERM HUP; tail -f /dev/null & tail -f /dev/null' & trap '' TERM HUP; sh -c 'echo up >ready'; "
			   "tail -f /dev/null");
	assert_true(count_inside(place) > 2);
	cleanup_free char *started = path_join(place->attempt, "started");
	cleanup_free char *text = NULL;
	assert_int_equal(file_read(started, 4096, &text, NULL, NULL), 0);
	pid_t leader = (pid_t)strtol(strchr(strstr(text, "leader_pid "), '\n') + 1, NULL, 10);
	assert_int_equal(kill(leader, SIGKILL), 0);
	CLEANUP(ran_free) struct ran *ran = attempt_await(place->attempt);
	assert_int_equal(ran->state, ATTEMPT_LOST);
	assert_nobody_inside(place);
}

static void the_end_of_the_command_is_the_end_of_its_daemons(void **state)
{
	const struct place *place = *state;
	struct attempt_command command =
		boxed(place, "mkfifo up; (setsid sh -c 'trap \"\" TERM HUP; echo x >up; exec tail -f /dev/null' &) ; read x <up; exit 5");
	CLEANUP(ran_free) struct ran *ran = run_boxed(place, &command);
	assert_int_equal(ran->record.exit_code, 5);
	assert_nobody_inside(place);
}

static void secrets_get_in_and_stay_masked(void **state)
{
	static const struct attempt_secret secrets[] = {{"HUB_TOKEN", "hub-0123456789-token"}};
	const struct place *place = *state;
	struct attempt_command command =
		boxed(place, "test ${#HUB_TOKEN} = 20 && echo $HUB_TOKEN && cat /proc/*/cmdline | tr '\\0' ' ' | grep -c hub-[0]123 ; exit 0");
	struct attempt_spec spec = {.dir = place->attempt, .commands = &command, .n_commands = 1, .secrets = secrets, .n_secrets = 1};
	command.with_secrets = true;
	CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);
	assert_non_null(strstr(ran->log, "--- main\n***\n0\n"));
}

static void running_out_of_memory_is_told_through_the_sandbox(void **state)
{
	const struct place *place = *state;
	struct attempt_command command = boxed(place, "python3 -c 'x = bytearray(400 << 20); print(len(x))'");
	struct attempt_spec spec = {.dir = place->attempt, .commands = &command, .n_commands = 1, .limits = {.memory_bytes = 64 << 20}};
	CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);
	if (!strstr(ran->log, "by cgroup"))
		skip();
	assert_int_equal(ran->record.end, ATTEMPT_OOM);
	assert_non_null(strstr(ran->record.message, "(out of memory)"));
}

static void an_unpacked_image_can_be_the_root(void **state)
{
	static const char *const argv[] = {"/app/busy", NULL};
	const struct place *place = *state;
	/* The leader program itself is a static executable: it says how it is started, and exits 2. */
	free(fixture_write(place->fixture, "root/app/readme", "from the image\n"));
	cleanup_free char *link = path_join(place->fixture->dir, "root/link");
	cleanup_free char *busy = path_join(place->fixture->dir, "root/app/busy");
	free(fixture_write(place->fixture, "root/etc/image-release", "1\n"));
	cleanup_free char *rootfs = path_join(place->fixture->dir, "root");
	cleanup_error struct error *err = NULL;
	assert_int_equal(symlink("app", link), 0);
	assert_ok(file_copy(LEADER_PATH, busy, &err), err);
	struct attempt_command command = {.name = "serve", .argv = argv, .sandbox = {.enabled = true, .rootfs = rootfs, .dir = "/link"}};
	struct attempt_spec spec = {.dir = place->attempt, .commands = &command, .n_commands = 1};
	CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);
	if (ran->record.exit_code != 2)
		fail_msg("%s\n%s", ran->record.message, ran->log);
	assert_non_null(strstr(ran->log, "penstock-leader is started by penstock"));
}

static void an_image_root_shows_the_image_and_the_binds(void **state)
{
	const struct place *place = *state;
	cleanup_free char *rootfs = path_join(place->fixture->dir, "root");
	free(fixture_write(place->fixture, "root/app/model", "weights\n"));
	/* A root made of links to a bind of the host's /usr: enough for a shell. */
	static const char *const links[] = {"bin", "lib", "lib64"};
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		cleanup_free char *link = path_join(rootfs, links[i]);
		cleanup_free char *target = path_join("usr", links[i]);
		assert_int_equal(symlink(target, link), 0);
	}
	struct sandbox_bind binds[] = {{.from = "/usr", .to = "/usr"}, {.from = place->workspace, .to = "/workspace", .writable = true}};
	struct attempt_command command =
		boxed(place, "cat /app/model && test ! -e /home && touch /workspace/x && if touch /app/x; then exit 1; fi; whoami");
	command.sandbox.rootfs = rootfs;
	command.sandbox.binds = binds;
	command.sandbox.n_binds = 2;
	command.sandbox.network = true;
	struct attempt_spec spec = {.dir = place->attempt, .commands = &command, .n_commands = 1};
	CLEANUP(ran_free) struct ran *ran = attempt_run(&spec);
	if (ran->record.exit_code != 0)
		fail_msg("%s\n%s", ran->record.message, ran->log);
	assert_non_null(strstr(ran->log, "weights\n"));
}

static void relative_paths_are_refused(void **state)
{
	(void)state;
	struct sandbox_bind bind = {.from = "x", .to = "/x"};
	struct sandbox sandbox = {.enabled = true, .binds = &bind, .n_binds = 1};
	struct sandbox_wrapper wrapper;
	cleanup_error struct error *err = NULL;
	assert_int_equal(sandbox_wrap(&sandbox, &wrapper, &err), -1);
	assert_error(err, ERROR_INVALID, "sandbox: bind \"x\" to \"/x\": both must be absolute paths");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_workspace_is_writable_and_the_working_directory),
		TEST(programs_find_what_they_need),
		TEST(the_rest_of_the_host_is_not_there),
		TEST(nothing_outside_the_workspace_can_be_written),
		TEST(usr_cannot_be_made_writable_again),
		TEST(other_processes_are_not_seen),
		TEST(process_one_can_be_neither_traced_nor_read_nor_killed),
		TEST(the_state_directory_cannot_be_read),
		TEST(there_is_no_network_unless_asked_for),
		TEST(nothing_is_inherited),
		TEST(the_command_cannot_smuggle_its_environment_into_the_sandbox_program),
		TEST(signals_inside_are_told_as_signals),
		TEST(what_cannot_be_executed_or_bound_has_not_started),
		TEST(a_cancel_gives_those_inside_their_grace),
		TEST(a_killed_leader_leaves_nobody_behind),
		TEST(the_end_of_the_command_is_the_end_of_its_daemons),
		TEST(secrets_get_in_and_stay_masked),
		TEST(running_out_of_memory_is_told_through_the_sandbox),
		TEST(an_unpacked_image_can_be_the_root),
		TEST(an_image_root_shows_the_image_and_the_binds),
		TEST(relative_paths_are_refused),
	};
	use_leader(LEADER_PATH);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
