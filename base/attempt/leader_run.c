#include "base/attempt/leader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DRAIN_MS = 5000, STRAYS_MS = 5000, READ_BYTES = 64 << 10 };

struct supervision {
	struct leader *leader;
	const struct leader_command *command;
	pid_t pid;
	int report_fd, log_fd, result_fd; /* our ends; -1 once finished with */
	struct mask_stream *log_stream, *result_stream;
	bool exited;
	int status;   /* of the child */
	bool running; /* process 1 of the sandbox has said so */
	bool inside_ended;
	int inside_status; /* what it said about the command: more exact than `status` */
	int failed_errno;  /* exec failed */
	char failed_text[160];
	bool stopping, killed;
	uint64_t now_ms, kill_at_ms, drain_until_ms; /* monotonic */
};

static void emit_log(void *arg, const char *bytes, size_t len)
{
	struct supervision *s = arg;

	leader_log_text(s->leader->log, bytes, len, s->now_ms);
}

static void emit_result(void *arg, const char *bytes, size_t len)
{
	struct leader *leader = arg;
	size_t n = len < leader->result_left ? len : (size_t)leader->result_left;

	if (n > 0 && leader->result_fd >= 0 && !write_whole(leader->result_fd, bytes, n)) {
		leader_log_note(leader->log, "the result could not be written: %s", strerror(errno));
		leader->result_left = 0;
		leader->result_cut = true;
		return;
	}
	leader->result_left -= n;
	if (n < len && !leader->result_cut) {
		leader_log_note(leader->log, "the result is longer than %u MiB: the rest was dropped", LEADER_RESULT_MAX >> 20);
		leader->result_cut = true;
	}
}

/* ---- start ---- */

static void environment(const struct leader *leader, const struct leader_command *command, struct text_list *ret)
{
	for (size_t i = 0; i < command->env.n; i++)
		text_list_add(ret, command->env.items[i]);
	for (size_t i = 0; command->with_secrets && i < leader->spec.n_secrets; i++) {
		const struct leader_secret *secret = &leader->spec.secrets[i];
		size_t size = strlen(secret->name) + secret->len + 2;
		char *entry = must_alloc(size);
		snprintf(entry, size, "%s=%s", secret->name, secret->value);
		text_list_add(ret, entry);
	}
	if (!ret->items) {
		ret->items = must_alloc(sizeof(char *));
		ret->capacity = 1;
	}
}

static void forget_environment(const struct leader_command *command, struct text_list *env)
{
	for (size_t i = command->env.n; i < env->n; i++) {
		explicit_bzero(env->items[i], strlen(env->items[i]));
		free(env->items[i]);
	}
	free(env->items);
}

static int text_file(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	if (fd >= 0 && write_whole(fd, text, strlen(text)))
		lseek(fd, 0, SEEK_SET);
	return fd;
}

/* Programs that ask for their user's name get an answer, and not the host's list of users. */
static int passwd_file(uid_t uid, gid_t gid)
{
	char text[300];

	snprintf(text, sizeof(text),
		 "root:x:0:0:root:/root:/bin/sh\npenstock:x:%u:%u:penstock:/tmp:/bin/sh\n"
		 "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		 (unsigned)uid, (unsigned)gid);
	return text_file(text);
}

static int group_file(gid_t gid)
{
	char text[100];

	snprintf(text, sizeof(text), "root:x:0:\npenstock:x:%u:\nnogroup:x:65534:\n", (unsigned)gid);
	return text_file(text);
}

static int close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return -1;
}

/* Forks; 0, or -1 and errno. */
static int launch(struct supervision *s, const struct text_list *env)
{
	const struct leader_command *command = s->command;
	struct child_plan plan = {.leader = s->leader,
				  .command = command,
				  .argv = command->argv.items,
				  .env = env->items,
				  .job_fd = -1,
				  .exe_fd = -1,
				  .passwd_fd = -1,
				  .group_fd = -1};
	int report[2] = {-1, -1}, log[2] = {-1, -1}, result[2] = {-1, -1};
	bool ok = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, report) == 0 && pipe2(log, O_CLOEXEC) == 0;

	if (ok && command->to_result)
		ok = pipe2(result, O_CLOEXEC) == 0;
	if (ok && command->wrapper.n > 0) {
		uid_t uid = command->has_user ? command->uid : geteuid();
		gid_t gid = command->has_user ? command->gid : getegid();
		plan.job_fd = leader_job(plan.argv, plan.env);
		plan.exe_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		plan.passwd_fd = passwd_file(uid, gid);
		plan.group_fd = group_file(gid);
		ok = plan.job_fd >= 0 && plan.exe_fd >= 0 && plan.passwd_fd >= 0 && plan.group_fd >= 0;
	}
	plan.report_fd = report[1];
	plan.err_fd = log[1];
	plan.out_fd = command->to_result ? result[1] : log[1];
	s->pid = ok ? fork() : -1;
	if (s->pid == 0)
		leader_child(&plan);
	int errnum = errno;
	int *others[] = {&report[1], &log[1], &result[1], &plan.job_fd, &plan.exe_fd, &plan.passwd_fd, &plan.group_fd};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		close_fd(others[i]);
	s->report_fd = report[0];
	s->log_fd = log[0];
	s->result_fd = result[0];
	errno = errnum;
	if (s->pid > 0)
		setpgid(s->pid, s->pid);
	return s->pid > 0 ? 0 : -1;
}

/* ---- stop ---- */

static void kill_child(struct supervision *s)
{
	if (s->exited)
		return;
	kill(-s->pid, SIGKILL);
	kill(s->pid, SIGKILL);
	s->killed = true;
}

/* TERM to the group; in a sandbox to everybody, by its process 1: TERM to the sandbox program would be KILL for those inside. */
static void begin_stop(struct supervision *s, uint64_t now)
{
	if (s->stopping || s->exited)
		return;
	s->stopping = true;
	s->kill_at_ms = now + s->leader->spec.grace_ms;
	if (s->command->wrapper.n == 0) {
		kill(-s->pid, SIGTERM);
		return;
	}
	char message = STOP_MESSAGE;
	if (send(s->report_fd, &message, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		kill_child(s);
}

static int parent_of(const char *pid)
{
	char path[300], text[512];

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	const char *after_name = strrchr(text, ')'); /* the name may hold anything */
	int parent = -1;
	if (after_name && sscanf(after_name, ") %*c %d", &parent) != 1)
		return -1;
	return parent;
}

static unsigned kill_own_children(void)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	unsigned killed = 0;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || parent_of(entry->d_name) != getpid())
			continue;
		if (kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL) == 0)
			killed++;
	}
	if (dir)
		closedir(dir);
	return killed;
}

/* Each round kills our children, and those of the killed become ours: it ends when there are none. */
unsigned leader_kill_strays(void)
{
	uint64_t until = mono_ms() + STRAYS_MS;
	unsigned killed = 0;

	for (;;) {
		pid_t pid;
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (pid < 0 || mono_ms() > until) /* ECHILD; or somebody hangs in the kernel, where no signal reaches */
			return killed;
		killed += kill_own_children();
		struct timespec pause = {.tv_nsec = 1000000};
		nanosleep(&pause, NULL);
	}
}

/* ---- events ---- */

static void reap(struct supervision *s, uint64_t now)
{
	siginfo_t info;

	/* Looks before it reaps: while the zombie stands, its group's number cannot be anybody else's. */
	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		if (info.si_pid == s->pid) {
			kill(-s->pid, SIGKILL);
			waitpid(s->pid, &s->status, 0);
			s->exited = true;
			s->drain_until_ms = now + DRAIN_MS;
		} else {
			waitpid(info.si_pid, NULL, 0);
		}
	}
}

static void signals(struct supervision *s, uint64_t now)
{
	struct signalfd_siginfo info;

	while (read(s->leader->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			s->leader->cancelled = true;
	}
	reap(s, now);
}

static void control(struct supervision *s)
{
	char bytes[64];

	if (read(s->leader->control_fd, bytes, sizeof(bytes)) > 0)
		s->leader->cancelled = true;
}

static void reports(struct supervision *s)
{
	struct report report;
	ssize_t n = recv(s->report_fd, &report, sizeof(report), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != (ssize_t)sizeof(report)) { /* end: exec succeeded, or process 1 is gone */
		close_fd(&s->report_fd);
		return;
	}
	if (report.kind == REPORT_RUNNING)
		s->running = true;
	if (report.kind == REPORT_ENDED && s->running) {
		s->inside_ended = true;
		s->inside_status = report.value;
	}
	if (report.kind == REPORT_FAILED) {
		report.text[sizeof(report.text) - 1] = '\0';
		s->failed_errno = report.value ? report.value : EPROTO;
		memcpy(s->failed_text, report.text, sizeof(s->failed_text));
	}
}

static void output(int *fd, struct mask_stream *stream)
{
	static char bytes[READ_BYTES];
	ssize_t n = read(*fd, bytes, sizeof(bytes));

	if (n > 0) {
		mask_feed(stream, bytes, (size_t)n);
		return;
	}
	if (n < 0 && errno == EINTR)
		return;
	mask_end(stream);
	close_fd(fd);
}

static int until(uint64_t at, uint64_t now, int timeout)
{
	if (at == 0)
		return timeout;
	uint64_t left = at > now ? at - now : 0;
	if (left > 3600000)
		left = 3600000;
	return timeout < 0 || (int)left < timeout ? (int)left : timeout;
}

/* One turn: what time demands, then what has happened. */
static void turn(struct supervision *s)
{
	struct leader *leader = s->leader;
	uint64_t now = mono_ms();

	if (leader->deadline_ms && now >= leader->deadline_ms && !s->exited && !s->stopping)
		leader->timed_out = true;
	if (leader->cancelled || leader->timed_out)
		begin_stop(s, now);
	if (s->stopping && !s->killed && !s->exited && now >= s->kill_at_ms) {
		kill_child(s);
		leader->killed_after_grace = true;
	}
	int timeout = leader_log_tick(leader->log, now);
	if (!s->exited && !s->stopping)
		timeout = until(leader->deadline_ms, now, timeout);
	if (!s->exited && s->stopping && !s->killed)
		timeout = until(s->kill_at_ms, now, timeout);
	if (s->exited)
		timeout = until(s->drain_until_ms, now, timeout);

	struct pollfd fds[] = {{leader->signal_fd, POLLIN, 0},
			       {leader->control_fd, POLLIN, 0},
			       {s->report_fd, POLLIN, 0},
			       {s->log_fd, POLLIN, 0},
			       {s->result_fd, POLLIN, 0}};
	if (poll(fds, 5, timeout) <= 0)
		return;
	now = s->now_ms = mono_ms();
	if (fds[4].revents)
		output(&s->result_fd, s->result_stream);
	if (fds[3].revents)
		output(&s->log_fd, s->log_stream);
	if (fds[2].revents)
		reports(s);
	if (fds[1].revents)
		control(s);
	if (fds[0].revents)
		signals(s, now);
}

/* ---- end ---- */

static void signal_text(int signal, char *ret, size_t size)
{
	const char *name = sigabbrev_np(signal);

	if (name)
		snprintf(ret, size, "SIG%s", name);
	else
		snprintf(ret, size, "signal %d", signal);
}

static void end_by_status(struct supervision *s, int status, struct command_end *ret)
{
	struct rusage usage = {0};
	char name[32];
	bool failed = WIFSIGNALED(status) || WEXITSTATUS(status) != 0;

	getrusage(RUSAGE_CHILDREN, &usage);
	ret->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	ret->exit_code = WIFSIGNALED(status) ? 0 : WEXITSTATUS(status);
	signal_text(ret->signal, name, sizeof(name));
	if (failed && limits_saw_oom(&s->leader->limits, ret->signal, (uint64_t)usage.ru_maxrss * 1024)) {
		ret->end = ATTEMPT_OOM;
		if (ret->signal)
			snprintf(ret->message, sizeof(ret->message), "killed by %s (out of memory)", name);
		else
			snprintf(ret->message, sizeof(ret->message), "exit status %d after a process was killed (out of memory)", ret->exit_code);
	} else if (ret->signal) {
		ret->end = ATTEMPT_SIGNALED;
		snprintf(ret->message, sizeof(ret->message), "killed by %s", name);
	} else {
		ret->end = ATTEMPT_EXITED;
		snprintf(ret->message, sizeof(ret->message), "exit status %d", ret->exit_code);
	}
}

static void end_of(struct supervision *s, struct command_end *ret)
{
	const struct leader *leader = s->leader;
	bool wrapped = s->command->wrapper.n > 0;

	*ret = (struct command_end){0};
	if (s->failed_errno) {
		ret->end = ATTEMPT_NOT_STARTED;
		ret->errnum = s->failed_errno;
		snprintf(ret->message, sizeof(ret->message), "%s: %s", s->failed_text, strerror(s->failed_errno));
	} else if (s->stopping) {
		char span[24], grace[24];
		span_text(leader->spec.timeout_ms, span, sizeof(span));
		span_text(leader->spec.grace_ms, grace, sizeof(grace));
		ret->end = leader->timed_out ? ATTEMPT_TIMED_OUT : ATTEMPT_CANCELLED;
		int n = !leader->timed_out ? snprintf(ret->message, sizeof(ret->message), "cancelled")
					   : snprintf(ret->message, sizeof(ret->message), "timed out after %s", span);
		if (leader->killed_after_grace)
			snprintf(ret->message + n, sizeof(ret->message) - (size_t)n, "; it did not end within %s of SIGTERM and was killed", grace);
	} else if (wrapped && !s->running) {
		ret->end = ATTEMPT_NOT_STARTED;
		snprintf(ret->message, sizeof(ret->message), "sandbox: %s", leader_log_last_line(leader->log));
	} else {
		end_by_status(s, s->inside_ended ? s->inside_status : s->status, ret);
	}
}

void leader_run(struct leader *leader, const struct leader_command *command, struct command_end *ret)
{
	struct supervision s = {.leader = leader, .command = command, .report_fd = -1, .log_fd = -1, .result_fd = -1};
	struct text_list env = {0};

	leader_log_note(leader->log, "%s", command->name);
	environment(leader, command, &env);
	int launched = launch(&s, &env);
	int errnum = errno;
	forget_environment(command, &env);
	if (launched < 0) {
		*ret = (struct command_end){.end = ATTEMPT_NOT_STARTED, .errnum = errnum};
		snprintf(ret->message, sizeof(ret->message), "start: %s", strerror(errnum));
		close_fd(&s.report_fd);
		close_fd(&s.log_fd);
		close_fd(&s.result_fd);
		return;
	}
	s.log_stream = mask_stream_new(leader->mask, emit_log, &s);
	s.result_stream = mask_stream_new(leader->mask, emit_result, leader);
	while (!s.exited)
		turn(&s);
	unsigned strays = leader_kill_strays();
	/* All that could hold the pipes is dead now, so the end of file is near; the deadline is for what cannot be killed. */
	while ((s.log_fd >= 0 || s.result_fd >= 0 || s.report_fd >= 0) && mono_ms() < s.drain_until_ms)
		turn(&s);
	mask_end(s.log_stream);
	mask_end(s.result_stream);
	mask_stream_free(s.log_stream);
	mask_stream_free(s.result_stream);
	close_fd(&s.report_fd);
	close_fd(&s.log_fd);
	close_fd(&s.result_fd);
	leader_log_end_line(leader->log);
	if (strays > 0 && command->wrapper.n == 0)
		leader_log_note(leader->log, "%u process%s left behind by %s: killed", strays, strays == 1 ? "" : "es", command->name);
	end_of(&s, ret);
}
