/* The leader program as process 1 of a sandbox: starts the command, hands the leader's TERM to everybody, reaps, and tells the
 * true wait status (the sandbox program would fold signals into exit codes). When it exits the kernel kills whoever is left.
 * The report socket is its tie to the leader: when that is closed, it goes, and the sandbox with it. */
#include "base/attempt/leader.h"
#include "base/attempt/record.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOB_MAX (16U << 20)

int leader_job(char *const *argv, char *const *env)
{
	struct record_writer writer = {0};
	int fd = memfd_create("job", MFD_CLOEXEC);

	for (size_t i = 0; argv[i]; i++)
		record_add_text(&writer, "argv", argv[i]);
	for (size_t i = 0; env[i]; i++)
		record_add_text(&writer, "env", env[i]);
	if (fd >= 0 && !write_whole(fd, writer.data, writer.len)) {
		close(fd);
		fd = -1;
	}
	record_writer_done(&writer);
	return fd;
}

static bool read_job(struct text_list *argv, struct text_list *env, char **ret_bytes, size_t *ret_len)
{
	const char *key;
	char *value;
	size_t len, value_len;
	int status;

	char *bytes = read_whole(INSIDE_FD_JOB, JOB_MAX, &len);
	if (!bytes)
		return false;
	struct record_reader reader = record_reader(bytes, len);
	while ((status = record_next(&reader, &key, &value, &value_len)) > 0)
		text_list_add(strcmp(key, "argv") == 0 ? argv : env, value);
	*ret_bytes = bytes;
	*ret_len = len;
	return status == 0 && argv->n > 0;
}

__attribute__((noreturn)) static void run(const struct text_list *argv, const struct text_list *env)
{
	static char *nothing[] = {NULL};
	sigset_t none;

	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	environ = env->items ? env->items : nothing;
	execvp(argv->items[0], argv->items);
	report_failure(INSIDE_FD_REPORT, errno, "exec %s", argv->items[0]);
}

static void tell(int kind, int value)
{
	struct report report = {.kind = kind, .value = value};

	send(INSIDE_FD_REPORT, &report, sizeof(report), MSG_NOSIGNAL);
}

/* Reaps; true once the command itself has ended. */
static bool reap(pid_t command, int *ret_status)
{
	int status;
	pid_t pid;
	bool ended = false;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		*ret_status = status;
		ended = true;
	}
	return ended;
}

static int watch(pid_t command, int signal_fd)
{
	struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN}, {.fd = INSIDE_FD_REPORT, .events = POLLIN}};
	struct signalfd_siginfo info;
	char message;
	int status;

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (fds[0].revents) {
			if (read(signal_fd, &info, sizeof(info)) < 0 && errno != EAGAIN)
				return 1;
			if (reap(command, &status)) {
				tell(REPORT_ENDED, status);
				return 0;
			}
		}
		if (fds[1].revents) {
			ssize_t n = recv(INSIDE_FD_REPORT, &message, 1, MSG_DONTWAIT);
			if (n == 0)
				return 1;
			if (n == 1 && message == STOP_MESSAGE)
				kill(-1, SIGTERM);
		}
	}
}

int leader_inside(void)
{
	struct text_list argv = {0}, env = {0};
	char *bytes = NULL;
	size_t len = 0;
	sigset_t child;

	/* The command runs under our own uid: it must not trace us, nor read our memory or descriptors. */
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fcntl(INSIDE_FD_REPORT, F_SETFD, FD_CLOEXEC);
	if (!read_job(&argv, &env, &bytes, &len))
		report_failure(INSIDE_FD_REPORT, EPROTO, "sandbox: no job");
	close_range(INSIDE_FD_JOB, ~0U, 0);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	int signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0)
		report_failure(INSIDE_FD_REPORT, errno, "sandbox: signals");
	tell(REPORT_RUNNING, 0);
	pid_t pid = fork();
	if (pid == 0)
		run(&argv, &env);
	if (pid < 0)
		report_failure(INSIDE_FD_REPORT, errno, "sandbox: fork");
	explicit_bzero(bytes, len);
	free(bytes);
	return watch(pid, signal_fd);
}
