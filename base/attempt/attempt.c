#include "base/attempt/attempt.h"

#include "base/alloc.h"
#include "base/attempt/leader_fds.h"
#include "base/attempt/mask.h"
#include "base/attempt/record.h"
#include "base/attempt/sandbox.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { STAGE_UID_TRUSTED = 61180, STAGE_UID_UNTRUSTED = 61181, START_DEADLINE_MS = 30000, EXIT_RECORD_MAX = 65536 };
enum { SECRET_MAX_BYTES = 65536, SECRETS_MAX_BYTES = 262144 };

void attempt_stage_user(bool trusted, unsigned *ret_uid, unsigned *ret_gid)
{
	bool root = geteuid() == 0;

	*ret_uid = root ? (trusted ? STAGE_UID_TRUSTED : STAGE_UID_UNTRUSTED) : geteuid();
	*ret_gid = root ? *ret_uid : getegid();
}

bool secret_is_maskable(const char *text)
{
	size_t len = strlen(text);

	/* What surrounds it is often lost on the way into a log ("$(cat token)"), so it does not count. */
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' '))
		len--;
	while (len > 0 && (*text == ' ' || *text == '\n')) {
		text++;
		len--;
	}
	return len >= MASK_MIN_BYTES;
}

/* ---- our leaders, as long as we live ---- */

/* Children of this process are the process's own, so is this list: leaders not yet reaped. Reaping by number is safe, since an unreaped
 * child keeps its number. */
static struct {
	pid_t *pids;
	size_t n, capacity;
} leaders;

static void reap_leaders(void)
{
	for (size_t i = 0; i < leaders.n;) {
		if (waitpid(leaders.pids[i], NULL, WNOHANG) == 0)
			i++;
		else
			leaders.pids[i] = leaders.pids[--leaders.n];
	}
	if (leaders.n == 0) {
		free(leaders.pids);
		leaders.pids = NULL;
		leaders.capacity = 0;
	}
}

static void remember_leader(pid_t pid)
{
	leaders.pids = xgrow(leaders.pids, &leaders.capacity, leaders.n + 1, sizeof(*leaders.pids));
	leaders.pids[leaders.n++] = pid;
}

/* ---- state ---- */

static bool has(const char *dir, const char *name)
{
	cleanup_free char *path = path_join(dir, name);

	return path_exists(path);
}

int attempt_state(const char *dir, enum attempt_state *ret, struct error **err)
{
	cleanup_free char *lock = path_join(dir, "lock");

	reap_leaders();
	if (has(dir, "exit")) {
		*ret = ATTEMPT_FINISHED;
		return 0;
	}
	cleanup_fd int fd = open(lock, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		*ret = ATTEMPT_NEW;
		return 0;
	}
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "attempt: open %s", lock);
	if (flock(fd, LOCK_SH | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return error_set(err, ERROR_IO, errno, "attempt: lock %s", lock);
		*ret = ATTEMPT_RUNNING;
		return 0;
	}
	/* The lock was free after we had looked for the record: look again. */
	*ret = has(dir, "exit") ? ATTEMPT_FINISHED : has(dir, "started") ? ATTEMPT_LOST : ATTEMPT_NEW;
	return 0;
}

int attempt_exit_record(const char *dir, struct exit_record *ret, struct error **err)
{
	cleanup_free char *path = path_join(dir, "exit");
	cleanup_free char *bytes = NULL;
	size_t len;

	if (file_read(path, EXIT_RECORD_MAX, &bytes, &len, err) < 0)
		return error_context(err, "attempt");
	if (!exit_record_decode(bytes, len, ret))
		return error_set(err, ERROR_INVALID, 0, "attempt: %s is not an exit record", path);
	return 0;
}

int attempt_cancel(const char *dir, struct error **err)
{
	cleanup_free char *path = path_join(dir, "control");
	cleanup_fd int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	/* ENXIO: nobody reads, so nobody runs. */
	if (fd < 0)
		return errno == ENOENT || errno == ENXIO ? 0 : error_set(err, ERROR_IO, errno, "attempt: open %s", path);
	if (write(fd, "c", 1) < 0 && errno != EPIPE && errno != EAGAIN)
		return error_set(err, ERROR_IO, errno, "attempt: write %s", path);
	return 0;
}

/* ---- start ---- */

static int check_secrets(const struct attempt_spec *spec, struct error **err)
{
	size_t total = 0;

	for (size_t i = 0; i < spec->n_secrets; i++) {
		const struct attempt_secret *secret = &spec->secrets[i];
		size_t len = strlen(secret->value);
		if (!secret_is_maskable(secret->value))
			return error_set(err, ERROR_INVALID, 0, "secret %s is shorter than %d bytes and could not be masked in the log", secret->name,
					 MASK_MIN_BYTES);
		total += len;
		if (len > SECRET_MAX_BYTES || total > SECRETS_MAX_BYTES)
			return error_set(err, ERROR_TOO_LARGE, 0, "secret %s: at most %d bytes each and %d together", secret->name, SECRET_MAX_BYTES,
					 SECRETS_MAX_BYTES);
	}
	return 0;
}

static void add_list(struct record_writer *writer, const char *key, const char *const *items)
{
	for (size_t i = 0; items && items[i]; i++)
		record_add_text(writer, key, items[i]);
}

static int add_command(struct record_writer *writer, const struct attempt_spec *spec, const struct attempt_command *command, struct error **err)
{
	unsigned uid, gid;

	record_add_text(writer, "command", command->name);
	add_list(writer, "argv", command->argv);
	add_list(writer, "env", command->env);
	if (command->to_result)
		record_add_number(writer, "to_result", 1);
	if (command->with_secrets)
		record_add_number(writer, "with_secrets", 1);
	if (geteuid() == 0 && (command->as_stage_user || command->sandbox.enabled)) {
		attempt_stage_user(!spec->untrusted, &uid, &gid);
		record_add_number(writer, "uid", uid);
		record_add_number(writer, "gid", gid);
	}
	if (!command->sandbox.enabled) {
		if (command->sandbox.dir)
			record_add_text(writer, "dir", command->sandbox.dir);
		return 0;
	}
	struct sandbox_wrapper wrapper;
	if (sandbox_wrap(&command->sandbox, &wrapper, err) < 0)
		return error_context(err, "command %s", command->name);
	add_list(writer, "wrapper", strlist_items(&wrapper.argv));
	add_list(writer, "stage", strlist_items(&wrapper.stage));
	if (wrapper.stage_dir)
		record_add_text(writer, "stage_dir", wrapper.stage_dir);
	sandbox_wrapper_done(&wrapper);
	return 0;
}

static int write_spec(const struct attempt_spec *spec, struct error **err)
{
	cleanup_free char *path = path_join(spec->dir, "spec");
	struct record_writer writer = {0};
	int status = 0;

	record_add_number(&writer, "timeout_ms", spec->timeout_ms);
	record_add_number(&writer, "grace_ms", spec->grace_ms);
	record_add_number(&writer, "memory_bytes", spec->limits.memory_bytes);
	record_add_number(&writer, "log_max_bytes", spec->limits.log_max_bytes);
	record_add_number(&writer, "open_files", spec->limits.open_files);
	record_add_number(&writer, "cpu", spec->limits.cpu);
	for (size_t i = 0; i < spec->n_commands && status == 0; i++)
		status = add_command(&writer, spec, &spec->commands[i], err);
	if (status == 0) {
		/* No fsync: it is read at once, by a leader that makes `started` durable before it acts on it. */
		cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		status = fd < 0 ? error_set(err, ERROR_IO, errno, "create %s", path) : fd_write_all(fd, writer.data, writer.len, err);
	}
	record_writer_done(&writer);
	return status;
}

static int secrets_fd(const struct attempt_spec *spec, int *ret, struct error **err)
{
	struct record_writer writer = {0};
	cleanup_fd int fd = memfd_create("secrets", MFD_CLOEXEC);

	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "hand over the secrets");
	for (size_t i = 0; i < spec->n_secrets; i++) {
		record_add_text(&writer, "name", spec->secrets[i].name);
		record_add_text(&writer, "value", spec->secrets[i].value);
	}
	int status = writer.len ? fd_write_all(fd, writer.data, writer.len, err) : 0;
	record_writer_done(&writer);
	if (status == 0)
		*ret = steal_fd(&fd);
	return status;
}

static char *leader_path(struct error **err)
{
	const char *set = getenv("PENSTOCK_LEADER");
	cleanup_free char *self = set && *set ? NULL : path_of_self();
	cleanup_free char *path = set && *set ? xstrdup(set) : path_join(self ? self : "/usr/bin", "penstock-leader");

	if (access(path, X_OK) < 0) {
		(void)error_set(err, ERROR_MISSING, errno, "%s is not there: it is installed beside penstock, in the package \"penstock\"", path);
		return NULL;
	}
	return STEAL(path);
}

struct launch {
	const char *leader, *dir;
	int lock, status, secrets;
};

/* Async-signal-safe. Descriptors first go above all their final numbers. */
__attribute__((noreturn)) static void become_leader(const struct launch *launch)
{
	char *argv[] = {(char *)(uintptr_t)launch->leader, (char *)(uintptr_t)launch->dir, NULL};
	char *env[] = {(char *)(uintptr_t) "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", (char *)(uintptr_t) "LANG=C.UTF-8",
		       NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int lock = fcntl(launch->lock, F_DUPFD_CLOEXEC, 10), status = fcntl(launch->status, F_DUPFD_CLOEXEC, 10);
	int secrets = fcntl(launch->secrets, F_DUPFD_CLOEXEC, 10);
	sigset_t none;

	setsid();
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	bool ok = dup2(null, 0) >= 0 && dup2(null, 1) >= 0 && dup2(null, 2) >= 0 && dup2(lock, LEADER_FD_LOCK) >= 0 &&
		  dup2(status, LEADER_FD_STATUS) >= 0 && dup2(secrets, LEADER_FD_SECRETS) >= 0;
	if (ok) {
		close_range(LEADER_FD_SECRETS + 1, ~0U, CLOSE_RANGE_CLOEXEC);
		/* Its exec must not close the status pipe, but must tell us when it fails. */
		sigprocmask(SIG_SETMASK, &none, NULL);
		execve(launch->leader, argv, env);
	}
	int errnum = errno;
	char text[] = "exec: errno 000";
	text[sizeof(text) - 2] = (char)('0' + errnum % 10);
	text[sizeof(text) - 3] = (char)('0' + errnum / 10 % 10);
	text[sizeof(text) - 4] = (char)('0' + errnum / 100 % 10);
	ssize_t ignored = write(status >= 0 ? status : launch->status, text, sizeof(text) - 1);
	(void)ignored;
	_exit(127);
}

/* One NUL byte: it runs. Text: why it does not. */
static int await_leader(int status_fd, struct error **err)
{
	char text[400];
	struct pollfd poll_fd = {.fd = status_fd, .events = POLLIN};
	int ready;

	do
		ready = poll(&poll_fd, 1, START_DEADLINE_MS);
	while (ready < 0 && errno == EINTR);
	if (ready == 0) /* it holds the lock, so a later look will tell; a disk that takes this long to sync is the likely cause */
		return error_set(err, ERROR_TIMEOUT, 0, "the leader has not reported for %d s", START_DEADLINE_MS / 1000);
	ssize_t n = read(status_fd, text, sizeof(text) - 1);
	if (n == 1 && text[0] == '\0')
		return 0;
	text[n > 0 ? n : 0] = '\0';
	if (n <= 0)
		return error_set(err, ERROR_INTERNAL, 0, "the leader ended without a word");
	return error_set(err, strstr(text, strerror(ENOSPC)) ? ERROR_NO_SPACE : ERROR_IO, 0, "leader: %s", text);
}

static int fork_leader(const struct launch *launch, int status_write, struct error **err)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t pid = fork();
	if (pid == 0)
		become_leader(launch);
	int errnum = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(status_write);
	if (pid < 0)
		return error_set(err, ERROR_IO, errnum, "fork");
	remember_leader(pid);
	return 0;
}

/* Takes the lock and makes sure that nothing has run here. */
static int claim(const char *dir, int *ret_lock, struct error **err)
{
	cleanup_free char *path = path_join(dir, "lock");
	cleanup_fd int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (lock < 0)
		return error_set(err, ERROR_IO, errno, "open %s", path);
	int status = flock(lock, LOCK_EX | LOCK_NB);
	int errnum = errno;
	if (has(dir, "exit")) /* also while its leader, done with it, is on the way out */
		return error_set(err, ERROR_CONFLICT, 0, "it has already finished");
	if (status < 0)
		return errnum == EWOULDBLOCK ? error_set(err, ERROR_CONFLICT, 0, "it is already running")
					     : error_set(err, ERROR_IO, errnum, "lock %s", path);
	if (has(dir, "started"))
		return error_set(err, ERROR_CONFLICT, 0, "it was started before and is lost; a new attempt is needed");
	*ret_lock = steal_fd(&lock);
	return 0;
}

static int start(const struct attempt_spec *spec, struct error **err)
{
	cleanup_free char *leader = NULL, *control = path_join(spec->dir, "control");
	cleanup_fd int lock = -1, secrets = -1, status_read = -1;
	int status[2];

	if (check_secrets(spec, err) < 0 || claim(spec->dir, &lock, err) < 0)
		return -1;
	leader = leader_path(err);
	if (!leader || write_spec(spec, err) < 0 || secrets_fd(spec, &secrets, err) < 0)
		return -1;
	if (mkfifo(control, 0600) < 0 && errno != EEXIST)
		return error_set(err, ERROR_IO, errno, "create %s", control);
	if (pipe2(status, O_CLOEXEC) < 0)
		return error_set(err, ERROR_IO, errno, "pipe");
	status_read = status[0];
	struct launch launch = {.leader = leader, .dir = spec->dir, .lock = lock, .status = status[1], .secrets = secrets};
	if (fork_leader(&launch, status[1], err) < 0)
		return -1;
	return await_leader(status_read, err);
}

int attempt_start(const struct attempt_spec *spec, struct error **err)
{
	reap_leaders();
	if (start(spec, err) < 0)
		return error_context(err, "attempt %s", spec->dir);
	return 0;
}
