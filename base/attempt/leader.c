/* penstock-leader: runs one attempt and survives whoever started it (attempt.h tells the contract). Started by attempt_start()
 * only: `penstock-leader DIR`, with the descriptors of leader_fds.h. */
#include "base/attempt/leader.h"
#include "base/attempt/record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define SPEC_MAX (32U << 20)
#define SECRETS_MAX (4U << 20)
#define EXIT_RECORD_SPACE 4096 /* reserved at the start, so that a disk that fills up meanwhile cannot take the record */
#define DEFAULT_LOG_MAX (64ULL << 20)
#define DEFAULT_GRACE_MS 10000
#define DEFAULT_OPEN_FILES 4096

/* Tells attempt_start() why nothing was started; the attempt stays new. */
__attribute__((noreturn, format(printf, 2, 3))) static void refuse(int errnum, const char *fmt, ...)
{
	char text[300];
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (errnum && n >= 0 && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, ": %s", strerror(errnum));
	write_whole(LEADER_FD_STATUS, text, strlen(text));
	_exit(1);
}

static void read_inputs(struct leader *leader)
{
	char why[200];
	size_t len;
	int fd = openat(leader->dir_fd, "spec", O_RDONLY | O_CLOEXEC);
	char *bytes = fd < 0 ? NULL : read_whole(fd, SPEC_MAX, &len);

	if (!bytes)
		refuse(errno, "read spec");
	close(fd);
	if (!leader_spec_parse(&leader->spec, bytes, len, why, sizeof(why)))
		refuse(0, "%s", why);
	bytes = read_whole(LEADER_FD_SECRETS, SECRETS_MAX, &len);
	if (!bytes || !leader_secrets_parse(&leader->spec, bytes, len))
		refuse(bytes ? EPROTO : errno, "read secrets");
	close(LEADER_FD_SECRETS);
	leader->mask = mask_new();
	for (size_t i = 0; i < leader->spec.n_secrets; i++)
		mask_add_secret(leader->mask, leader->spec.secrets[i].value, leader->spec.secrets[i].len);
	mask_prepare(leader->mask);
	if (!leader->spec.grace_ms)
		leader->spec.grace_ms = DEFAULT_GRACE_MS;
	if (!leader->spec.log_max_bytes)
		leader->spec.log_max_bytes = DEFAULT_LOG_MAX;
	if (!leader->spec.open_files)
		leader->spec.open_files = DEFAULT_OPEN_FILES;
}

static void open_signals(struct leader *leader)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_SETMASK, &set, NULL);
	leader->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (leader->signal_fd < 0)
		refuse(errno, "signals");
}

static bool wants_result(const struct leader_spec *spec)
{
	for (size_t i = 0; i < spec->n_commands; i++)
		if (spec->commands[i].to_result)
			return true;
	return false;
}

static void open_files(struct leader *leader)
{
	/* Read and write, so that the last writer's going is no end of file. Who holds the writing end alone sees our going as a hang-up. */
	leader->control_fd = openat(leader->dir_fd, "control", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (leader->control_fd < 0)
		refuse(errno, "open control");
	leader->log = leader_log_open(leader->dir_fd, leader->spec.log_max_bytes);
	if (!leader->log)
		refuse(errno, "open log");
	leader->result_left = LEADER_RESULT_MAX;
	leader->result_fd = -1;
	if (wants_result(&leader->spec)) {
		leader->result_fd = openat(leader->dir_fd, "result", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
		if (leader->result_fd < 0)
			refuse(errno, "open result");
	}
	int fd = openat(leader->dir_fd, "exit.new", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0)
		refuse(errno, "reserve the exit record");
	int errnum = posix_fallocate(fd, 0, EXIT_RECORD_SPACE);
	close(fd);
	if (errnum && errnum != EOPNOTSUPP && errnum != EINVAL)
		refuse(errnum, "reserve the exit record");
}

/* The point of no return: from here on the attempt has been run. */
static void mark_started(struct leader *leader, int64_t started_ms)
{
	struct record_writer writer = {0};
	int fd = openat(leader->dir_fd, "started", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

	if (fd < 0)
		refuse(errno, "write started");
	record_add_number(&writer, "started_ms", (uint64_t)started_ms);
	record_add_number(&writer, "leader_pid", (uint64_t)getpid()); /* for people; never an identity */
	if (!write_whole(fd, writer.data, writer.len) || fsync(fd) < 0 || fsync(leader->dir_fd) < 0) {
		int errnum = errno;
		unlinkat(leader->dir_fd, "started", 0);
		refuse(errnum, "write started");
	}
	close(fd);
	record_writer_done(&writer);
	write_whole(LEADER_FD_STATUS, "\0", 1);
	close(LEADER_FD_STATUS);
}

static bool write_exit(const struct leader *leader, const struct exit_record *record)
{
	struct record_writer writer = {0};
	int fd = openat(leader->dir_fd, "exit.new", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	exit_record_encode(record, &writer);
	bool ok = fd >= 0 && write_whole(fd, writer.data, writer.len) && ftruncate(fd, (off_t)writer.len) == 0 && fsync(fd) == 0;
	int errnum = errno;
	if (fd >= 0)
		close(fd);
	record_writer_done(&writer);
	errno = errnum;
	return ok && renameat(leader->dir_fd, "exit.new", leader->dir_fd, "exit") == 0 && fsync(leader->dir_fd) == 0;
}

/* The log is complete and closed by then: a reader may look at it as soon as there is an exit record. */
static void tell_late(const struct leader *leader, int errnum)
{
	char text[200];
	int n = snprintf(text, sizeof(text), "--- the exit record could not be written: %s; trying again until it can\n", strerror(errnum));
	int fd = openat(leader->dir_fd, "log", O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd < 0)
		return;
	write_whole(fd, text, (size_t)n);
	close(fd);
}

/* Tries until it succeeds: with the lock held the attempt counts as running, which is nearer to the truth than "lost" and can still
 * become right. Only a TERM or a cancel ends the trying, and then the attempt is lost. The folder's removal ends it too. */
static void leave_exit_record(struct leader *leader, const struct exit_record *record)
{
	sigset_t term;
	struct timespec pause = {.tv_sec = 1};
	char byte;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigaddset(&term, SIGINT);
	while (read(leader->control_fd, &byte, 1) > 0)
		;
	for (int tries = 0; !write_exit(leader, record); tries++) {
		if (errno == ENOENT)
			return;
		if (tries == 0)
			tell_late(leader, errno);
		if (sigtimedwait(&term, NULL, &pause) > 0 || read(leader->control_fd, &byte, 1) > 0)
			return;
	}
}

static void fill_usage(struct exit_record *record)
{
	struct rusage usage = {0};

	getrusage(RUSAGE_CHILDREN, &usage);
	record->cpu_ms =
		(uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 + (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
	record->max_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
}

static void run_all(struct leader *leader, struct exit_record *record)
{
	for (size_t i = 0; i < leader->spec.n_commands; i++) {
		const struct leader_command *command = &leader->spec.commands[i];
		struct command_end end;
		char span[24];
		uint64_t began = mono_ms();

		leader_run(leader, command, &end);
		record->end = end.end;
		record->exit_code = end.exit_code;
		record->signal = end.signal;
		record->errnum = end.errnum;
		snprintf(record->command, sizeof(record->command), "%s", command->name);
		snprintf(record->message, sizeof(record->message), "%s", end.message);
		span_text(mono_ms() - began, span, sizeof(span));
		leader_log_note(leader->log, "%s: %s after %s", command->name, end.message, span);
		if (end.end != ATTEMPT_EXITED || end.exit_code != 0)
			return;
		if (leader->cancelled && i + 1 < leader->spec.n_commands) { /* it came when this command had just ended */
			record->end = ATTEMPT_CANCELLED;
			snprintf(record->message, sizeof(record->message), "cancelled");
			return;
		}
	}
}

int main(int argc, char **argv)
{
	struct leader leader = {0};
	struct exit_record record = {0};

	if (argc == 2 && strcmp(argv[1], INSIDE_ARG) == 0)
		return leader_inside();
	if (argc != 2 || fcntl(LEADER_FD_LOCK, F_GETFD) < 0 || fcntl(LEADER_FD_STATUS, F_GETFD) < 0) {
		fputs("penstock-leader is started by penstock; there is nothing to run by hand\n", stderr);
		return 2;
	}
	/* None of our descriptors, the lock least of all, may reach a child. */
	close_range(LEADER_FD_LOCK, ~0U, CLOSE_RANGE_CLOEXEC);
	leader.dir_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (leader.dir_fd < 0 || fchdir(leader.dir_fd) < 0)
		refuse(errno, "open %s", argv[1]);
	read_inputs(&leader);
	open_signals(&leader);
	open_files(&leader);
	/* Our memory holds secrets: nobody of the same user may trace us. Children that exec are traceable as ever. */
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	record.started_ms = wall_ms();
	mark_started(&leader, record.started_ms);
	limits_open(&leader.limits, &leader.spec, leader.log);
	leader.deadline_ms = leader.spec.timeout_ms ? mono_ms() + leader.spec.timeout_ms : 0;
	run_all(&leader, &record);
	limits_close(&leader.limits);
	record.ended_ms = wall_ms();
	fill_usage(&record);
	leader_log_close(leader.log);
	leader.log = NULL;
	leave_exit_record(&leader, &record);
	return 0;
}
