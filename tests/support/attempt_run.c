#include "tests/support/attempt_run.h"

#include "base/alloc.h"
#include "base/file.h"
#include "tests/support/support.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/wait.h>

enum { DEADLINE_MS = 60000 };

void ran_free(struct ran *ran)
{
	if (!ran)
		return;
	free(ran->log);
	free(ran->result);
	free(ran);
}

struct attempt_command shell_command(const char *script)
{
	static const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", NULL};
	static const char *argvs[5][4];
	static unsigned next;
	const char **argv = argvs[next++ % 5];

	argv[0] = "/bin/sh";
	argv[1] = "-c";
	argv[2] = script;
	argv[3] = NULL;
	return (struct attempt_command){.name = "main", .argv = argv, .env = env};
}

void use_leader(const char *path)
{
	setenv("PENSTOCK_LEADER", path, 1);
	loop_free(loop_new()); /* libuv's process-wide descriptors come with the first loop; fixtures must not count them */
}

static void ended(void *arg, enum attempt_state state)
{
	*(enum attempt_state *)arg = state;
}

static void too_late(void *arg)
{
	(void)arg;
	fail_msg("the attempt has not ended within %d s", DEADLINE_MS / 1000);
}

static char *text_of(const char *dir, const char *name)
{
	cleanup_free char *path = path_join(dir, name);
	char *text = NULL;

	return file_read(path, 256 << 20, &text, NULL, NULL) == 0 ? text : xstrdup("");
}

struct ran *attempt_await(const char *dir)
{
	struct loop *loop CLEANUP(loop_free) = loop_new();
	struct ran *ran = xcalloc(1, sizeof(*ran));
	cleanup_error struct error *err = NULL;
	enum attempt_state state = ATTEMPT_RUNNING;
	struct attempt_watch *watch = attempt_watch_start(loop, dir, ended, &state);
	struct loop_timer *deadline = loop_timer_start(loop, DEADLINE_MS, 0, too_late, NULL);

	while (state == ATTEMPT_RUNNING)
		loop_turn(loop);
	attempt_watch_stop(watch);
	loop_timer_stop(deadline);
	ran->state = state;
	if (state == ATTEMPT_FINISHED)
		assert_ok(attempt_exit_record(dir, &ran->record, &err), err);
	ran->log = text_of(dir, "log");
	ran->result = text_of(dir, "result");
	return ran;
}

struct ran *attempt_run(const struct attempt_spec *spec)
{
	cleanup_error struct error *err = NULL;

	assert_ok(attempt_start(spec, &err), err);
	return attempt_await(spec->dir);
}

int attempt_teardown(void **state)
{
	while (waitpid(-1, NULL, 0) > 0)
		;
	return fixture_teardown(state);
}

void await_file(const char *dir, const char *name)
{
	cleanup_free char *path = path_join(dir, name);
	cleanup_fd int notify = inotify_init1(IN_CLOEXEC);
	struct pollfd fds = {.fd = notify, .events = POLLIN};
	char events[4096];

	assert_true(inotify_add_watch(notify, dir, IN_CREATE | IN_MOVED_TO) >= 0);
	while (!path_exists(path)) {
		assert_int_equal(poll(&fds, 1, DEADLINE_MS), 1);
		assert_true(read(notify, events, sizeof(events)) > 0);
	}
}
