/* Between fork and exec. The leader has one thread, so the whole of libc may be used here. */
#include "base/attempt/leader.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARKED 20 /* where descriptors wait until their final numbers are free */

void report_failure(int fd, int errnum, const char *fmt, ...)
{
	struct report report = {.kind = REPORT_FAILED, .value = errnum};
	va_list args;

	va_start(args, fmt);
	vsnprintf(report.text, sizeof(report.text), fmt, args);
	va_end(args);
	send(fd, &report, sizeof(report), MSG_NOSIGNAL);
	_exit(127);
}

static int park(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, PARKED);
}

/* Makes the host paths of the sandbox reachable for the stage's user, wherever they lie and whatever the permissions above them:
 * cloned mounts below one folder, in a mount namespace of the child's own. */
static void stage_mounts(const struct leader_command *command, int report_fd)
{
	int *trees = must_alloc(command->stage.n * sizeof(*trees));

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		/* EINVAL: "/" is no mount point, which is so in a chroot. No namespace for users can be made there either. */
		report_failure(report_fd, errno,
			       errno == EINVAL ? "sandbox: not possible inside a chroot (use pivot_root, or a container)"
					       : "sandbox: private mounts");
	for (size_t i = 0; i < command->stage.n; i++) {
		trees[i] = open_tree(AT_FDCWD, command->stage.items[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
		if (trees[i] < 0)
			report_failure(report_fd, errno, "sandbox: %s", command->stage.items[i]);
	}
	if (mount("tmpfs", command->stage_dir, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") < 0)
		report_failure(report_fd, errno, "sandbox: mount on %s", command->stage_dir);
	for (size_t i = 0; i < command->stage.n; i++) {
		char path[300];
		struct stat st;
		snprintf(path, sizeof(path), "%s/%zu", command->stage_dir, i);
		bool ok = fstat(trees[i], &st) == 0;
		if (ok && S_ISDIR(st.st_mode)) {
			ok = mkdir(path, 0755) == 0;
		} else if (ok) {
			int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
			ok = fd >= 0 && close(fd) == 0;
		}
		if (!ok || move_mount(trees[i], "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
			report_failure(report_fd, errno, "sandbox: mount %s", command->stage.items[i]);
		close(trees[i]);
	}
	free(trees);
}

static void become_user(const struct leader_command *command, int report_fd)
{
	if (!command->has_user)
		return;
	if (setgroups(0, NULL) < 0 || setresgid(command->gid, command->gid, command->gid) < 0 ||
	    setresuid(command->uid, command->uid, command->uid) < 0)
		report_failure(report_fd, errno, "become user %u", (unsigned)command->uid);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void place(int fd, int number, int report_fd)
{
	if (fd >= 0 && dup2(fd, number) < 0)
		report_failure(report_fd, errno, "descriptors");
}

/* The sandbox program starts with an environment of ours alone: an LD_PRELOAD of the stage would run outside. */
__attribute__((noreturn)) static void exec_wrapper(const struct child_plan *plan, int report_fd)
{
	static char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", NULL};
	int parked[] = {park(plan->job_fd), park(plan->exe_fd), park(plan->passwd_fd), park(plan->group_fd)};

	place(report_fd, INSIDE_FD_REPORT, report_fd);
	place(parked[0], INSIDE_FD_JOB, report_fd);
	place(parked[1], INSIDE_FD_EXE, report_fd);
	place(parked[2], INSIDE_FD_PASSWD, report_fd);
	place(parked[3], INSIDE_FD_GROUP, report_fd);
	close_range(INSIDE_FD_END, ~0U, CLOSE_RANGE_CLOEXEC);
	char *const *wrapper = plan->command->wrapper.items;
	execve(wrapper[0], wrapper, env);
	report_failure(INSIDE_FD_REPORT, errno, "exec %s", wrapper[0]);
}

__attribute__((noreturn)) static void exec_plain(const struct child_plan *plan, int report_fd)
{
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	environ = (char **)(uintptr_t)plan->env; /* so that PATH is the command's own */
	execvp(plan->argv[0], plan->argv);
	report_failure(report_fd, errno, "exec %s", plan->argv[0]);
}

void leader_child(const struct child_plan *plan)
{
	const struct leader_command *command = plan->command;
	bool wrapped = command->wrapper.n > 0;
	pid_t leader = getppid();
	int report_fd = park(plan->report_fd), out_fd = park(plan->out_fd), err_fd = park(plan->err_fd);
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setpgid(0, 0);
	place(null_fd, 0, report_fd);
	place(out_fd, 1, report_fd);
	place(err_fd, 2, report_fd);
	limits_apply_in_child(&plan->leader->limits);
	if (wrapped && command->stage.n > 0)
		stage_mounts(command, report_fd);
	if (!wrapped && command->dir && chdir(command->dir) < 0)
		report_failure(report_fd, errno, "working directory %s", command->dir);
	if (wrapped && chdir("/") < 0)
		report_failure(report_fd, errno, "chdir /");
	become_user(command, report_fd);
	/* After the change of user, which clears it. A leader that died in between is noticed by its number. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != leader)
		_exit(127);
	umask(022);
	reset_signals();
	if (!wrapped && command->has_user)
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* bubblewrap does so itself, inside */
	if (wrapped)
		exec_wrapper(plan, report_fd);
	exec_plain(plan, report_fd);
}
