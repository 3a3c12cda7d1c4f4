#include "base/child.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { CHILD_MAGIC = 0x71e2a003, DEFAULT_MAX_OUTPUT = 1 << 20, STRAGGLER_MS = 2000 };

struct stream {
	struct child *child;
	int fd; /* -1 after end of file */
	struct loop_watch *watch;
	struct buf kept;
};

/* Cancelled and not yet gone: what child_drain() waits for. */
static unsigned n_cancelled;

struct child {
	unsigned magic;
	struct loop *loop;
	pid_t pid;
	int pidfd;
	struct loop_watch *exit_watch;
	struct loop_timer *timer; /* the deadline; after the exit: how long a straggler may keep the pipes open */
	struct stream out, err;
	bool exited;
	struct child_result result;
	child_done_fn done;
	void *arg;
};

void child_result_done(struct child_result *result)
{
	free(result->out);
	free(result->err_text);
	*result = (struct child_result){0};
}

static void stream_close(struct stream *stream)
{
	loop_watch_stop(STEAL(stream->watch));
	if (stream->fd >= 0)
		close(steal_fd(&stream->fd));
}

static void child_free(struct child *child)
{
	stream_close(&child->out);
	stream_close(&child->err);
	buf_done(&child->out.kept);
	buf_done(&child->err.kept);
	loop_watch_stop(child->exit_watch);
	loop_timer_stop(child->timer);
	if (child->pidfd >= 0)
		close(child->pidfd);
	n_cancelled -= child->result.cancelled;
	child->magic = 0;
	free(child);
}

static void finish_if_complete(struct child *child)
{
	if (!child->exited || child->out.fd >= 0 || child->err.fd >= 0)
		return;
	child->result.out_len = child->out.kept.len;
	child->result.out = buf_steal(&child->out.kept);
	child->result.err_text = buf_steal(&child->err.kept);
	struct child_result result = child->result;
	child_done_fn done = child->done;
	void *arg = child->arg;
	child_free(child);
	done(arg, &result);
	child_result_done(&result);
}

static void keep(struct buf *kept, const char *bytes, size_t len)
{
	size_t room = kept->max - kept->len;

	buf_add(kept, bytes, len < room ? len : room);
}

static void stream_readable(void *arg, int events)
{
	struct stream *stream = arg;
	char chunk[65536];

	(void)events;
	assert(stream->child->magic == CHILD_MAGIC);
	ssize_t n = read(stream->fd, chunk, sizeof(chunk));
	if (n > 0) {
		keep(&stream->kept, chunk, (size_t)n);
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	stream_close(stream);
	finish_if_complete(stream->child);
}

/* The group is gone, yet somebody who left it holds our pipe: what it still says does not belong to this child. */
static void give_up_streams(void *arg)
{
	struct child *child = arg;

	stream_close(&child->out);
	stream_close(&child->err);
	finish_if_complete(child);
}

static void exited(void *arg, int events)
{
	struct child *child = arg;
	siginfo_t info = {0};

	(void)events;
	assert(child->magic == CHILD_MAGIC);
	/* Look before reaping: while the zombie stands, its number and so its group cannot be anybody else's. */
	if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT | WNOHANG) != 0 || info.si_pid == 0)
		return;
	kill(-child->pid, SIGKILL);
	waitid(P_PID, (id_t)child->pid, &info, WEXITED);
	child->exited = true;
	child->result.exit_code = info.si_code == CLD_EXITED ? info.si_status : 0;
	child->result.signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
	loop_watch_stop(STEAL(child->exit_watch));
	loop_timer_stop(STEAL(child->timer));
	child->timer = loop_timer_start(child->loop, STRAGGLER_MS, 0, give_up_streams, child);
	finish_if_complete(child);
}

static void kill_group(struct child *child)
{
	if (!child->exited)
		kill(-child->pid, SIGKILL);
}

static void deadline_passed(void *arg)
{
	struct child *child = arg;

	child->result.timed_out = true;
	kill_group(child);
}

void child_cancel(struct child *child)
{
	assert(child->magic == CHILD_MAGIC);
	n_cancelled += !child->result.cancelled;
	child->result.cancelled = true;
	kill_group(child);
}

void child_drain(struct loop *loop)
{
	while (n_cancelled && loop_turn(loop))
		;
}

struct plumbing {
	int in, out, err, report; /* our child's ends */
	const struct child_spec *spec;
	char *const *argv;
	char *const *env;
};

/* Everything from here to exec is async-signal-safe but execvpe, which in glibc only uses the stack. */
static void close_all_but_inherited(const struct plumbing *p)
{
	int report = p->report;

	for (int fd = 3;;) {
		int next = -1; /* the lowest descriptor >= fd that stays */
		for (size_t i = 0; i < p->spec->n_inherit_fds; i++)
			if (p->spec->inherit_fds[i] >= fd && (next < 0 || p->spec->inherit_fds[i] < next))
				next = p->spec->inherit_fds[i];
		if (report >= fd && (next < 0 || report < next))
			next = report;
		if (next < 0) {
			close_range((unsigned)fd, ~0U, 0);
			return;
		}
		if (next > fd)
			close_range((unsigned)fd, (unsigned)next - 1, 0);
		if (next != report)
			fcntl(next, F_SETFD, 0);
		fd = next + 1;
	}
}

__attribute__((noreturn)) static void become(const struct plumbing *p)
{
	sigset_t none;

	setpgid(0, 0);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int failed = dup2(p->in, 0) < 0 || dup2(p->out, 1) < 0 || dup2(p->err, 2) < 0;
	if (!failed && p->spec->dir)
		failed = chdir(p->spec->dir) < 0;
	if (!failed) {
		close_all_but_inherited(p);
		execvpe(p->argv[0], p->argv, p->env);
	}
	int errnum = errno;
	ssize_t ignored = write(p->report, &errnum, sizeof(errnum));
	(void)ignored;
	_exit(127);
}

static int open_input(const struct child_spec *spec, int *ret, struct error **err)
{
	if (!spec->input) {
		*ret = open("/dev/null", O_RDONLY | O_CLOEXEC);
		return *ret < 0 ? error_set(err, ERROR_IO, errno, "open /dev/null") : 0;
	}
	/* A memory file instead of a pipe: no deadlock, no SIGPIPE when the child does not read it all. */
	cleanup_fd int fd = memfd_create("input", MFD_CLOEXEC);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "create an input for %s", spec->argv[0]);
	if (fd_write_all(fd, spec->input, spec->input_len, err) < 0)
		return error_context(err, "input of %s", spec->argv[0]);
	lseek(fd, 0, SEEK_SET);
	*ret = steal_fd(&fd);
	return 0;
}

/* Pipe ends above 2, so that dup2 onto the standard descriptors cannot hit one of them. */
static int make_pipe(int *ret_read, int *ret_write, struct error **err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set(err, ERROR_IO, errno, "pipe");
	for (int i = 0; i < 2; i++) {
		if (ends[i] > 2)
			continue;
		int above = fcntl(ends[i], F_DUPFD_CLOEXEC, 3);
		close(ends[i]);
		ends[i] = above;
	}
	*ret_read = ends[0];
	*ret_write = ends[1];
	return ends[0] < 0 || ends[1] < 0 ? error_set(err, ERROR_IO, EMFILE, "pipe") : 0;
}

static void default_environment(struct strlist *env)
{
	const char *path = getenv("PATH");
	const char *home = getenv("HOME");

	strlist_addf(env, "PATH=%s", path ? path : "/usr/local/bin:/usr/bin:/bin");
	strlist_addf(env, "HOME=%s", home ? home : "/");
	strlist_add(env, "LANG=C.UTF-8");
}

/* A folder of PATH that we may not enter makes execvpe() say EACCES although the program is nowhere. */
static bool is_nowhere_in_path(const char *program)
{
	const char *at = getenv("PATH");
	if (strchr(program, '/') || !at)
		return false;
	for (;; at++) {
		size_t len = strcspn(at, ":");
		cleanup_free char *path = xasprintf("%.*s/%s", (int)len, at, program);
		if (path_exists(path))
			return false;
		at += len;
		if (!*at)
			return true;
	}
}

static int exec_failed(const struct child_spec *spec, int errnum, struct error **err)
{
	if (errnum == EACCES && is_nowhere_in_path(spec->argv[0]))
		errnum = ENOENT;
	if (spec->dir && errnum == ENOENT && !path_exists(spec->dir))
		return error_set(err, ERROR_NOT_FOUND, errnum, "%s: working directory %s", spec->argv[0], spec->dir);
	return error_set(err, errnum == ENOENT ? ERROR_MISSING : ERROR_IO, errnum, "run %s", spec->argv[0]);
}

/* Forks and waits for the exec itself; on success the child runs and *ret_pid is unreaped. */
static int spawn(const struct plumbing *p, int report_read, int report_write, pid_t *ret_pid, struct error **err)
{
	sigset_t all, before;
	int errnum = 0;

	/* No handler of ours may run in the child before it has reset them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();
	if (pid == 0)
		become(p);
	int fork_errno = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(report_write);
	if (pid < 0)
		return error_set(err, ERROR_IO, fork_errno, "fork for %s", p->spec->argv[0]);
	setpgid(pid, pid); /* both sides, so that the group exists whoever comes first */
	ssize_t n;
	do
		n = read(report_read, &errnum, sizeof(errnum));
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		waitpid(pid, NULL, 0);
		return exec_failed(p->spec, errnum, err);
	}
	*ret_pid = pid;
	return 0;
}

static void stream_start(struct child *child, struct stream *stream, int fd, size_t max)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	stream->child = child;
	stream->fd = fd;
	buf_init(&stream->kept, max);
	stream->watch = loop_watch_start(child->loop, fd, LOOP_READ, stream_readable, stream);
}

int child_start(struct loop *loop, const struct child_spec *spec, child_done_fn done, void *arg, struct child **ret, struct error **err)
{
	cleanup_fd int in = -1, out_read = -1, out_write = -1, err_read = -1, err_write = -1, report_read = -1;
	cleanup_strlist struct strlist env = {0};
	int report_write = -1;
	pid_t pid;

	if (open_input(spec, &in, err) < 0 || make_pipe(&out_read, &out_write, err) < 0 || make_pipe(&err_read, &err_write, err) < 0 ||
	    make_pipe(&report_read, &report_write, err) < 0)
		return -1;
	if (!spec->env)
		default_environment(&env);
	struct plumbing plumbing = {.in = in,
				    .out = out_write,
				    .err = err_write,
				    .report = report_write,
				    .spec = spec,
				    .argv = (char *const *)(uintptr_t)spec->argv,
				    .env = (char *const *)(uintptr_t)(spec->env ? spec->env : strlist_items(&env))};
	if (spawn(&plumbing, report_read, report_write, &pid, err) < 0)
		return -1;

	struct child *child = xcalloc(1, sizeof(*child));
	child->magic = CHILD_MAGIC;
	child->loop = loop;
	child->pid = pid;
	child->done = done;
	child->arg = arg;
	child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0U);
	assert(child->pidfd >= 0); /* Linux 5.3, and the process is ours and unreaped */
	fcntl(child->pidfd, F_SETFD, FD_CLOEXEC);
	child->exit_watch = loop_watch_start(loop, child->pidfd, LOOP_READ, exited, child);
	size_t max = spec->max_output ? spec->max_output : DEFAULT_MAX_OUTPUT;
	stream_start(child, &child->out, steal_fd(&out_read), max);
	stream_start(child, &child->err, steal_fd(&err_read), max);
	if (spec->timeout_ms)
		child->timer = loop_timer_start(loop, spec->timeout_ms, 0, deadline_passed, child);
	if (ret)
		*ret = child;
	return 0;
}

struct waiting {
	bool done;
	struct child_result result;
};

static void waited(void *arg, const struct child_result *result)
{
	struct waiting *waiting = arg;

	waiting->done = true;
	waiting->result = *result;
	waiting->result.out = xmemdup(result->out, result->out_len + 1);
	waiting->result.err_text = xstrdup(result->err_text);
}

int child_run(const struct child_spec *spec, struct child_result *ret, struct error **err)
{
	struct loop *loop CLEANUP(loop_free) = loop_new();
	struct waiting waiting = {0};

	if (child_start(loop, spec, waited, &waiting, NULL, err) < 0)
		return -1;
	while (!waiting.done)
		loop_turn(loop);
	*ret = waiting.result;
	return 0;
}

static void last_line(const char *text, const char **ret_start, int *ret_len)
{
	size_t end = strlen(text);

	while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == '\r' || text[end - 1] == ' '))
		end--;
	size_t start = end;
	while (start > 0 && text[start - 1] != '\n')
		start--;
	*ret_start = text + start;
	*ret_len = end - start > 500 ? 500 : (int)(end - start);
}

int child_expect_success(const struct child_result *result, const char *what, struct error **err)
{
	const char *line;
	int len;

	last_line(result->err_text ? result->err_text : "", &line, &len);
	const char *colon = len > 0 ? ": " : "";
	if (result->cancelled)
		return error_set(err, ERROR_UNAVAILABLE, 0, "%s: cancelled", what);
	if (result->timed_out)
		return error_set(err, ERROR_TIMEOUT, 0, "%s: timed out%s%.*s", what, colon, len, line);
	if (result->signal)
		return error_set(err, ERROR_IO, 0, "%s: killed by signal %d (%s)%s%.*s", what, result->signal, strsignal(result->signal), colon, len,
				 line);
	if (result->exit_code)
		return error_set(err, ERROR_IO, 0, "%s: exit status %d%s%.*s", what, result->exit_code, colon, len, line);
	return 0;
}
