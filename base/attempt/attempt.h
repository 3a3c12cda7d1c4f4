/* Attempts: things that run under penstock-leader and survive us. Stages, served instances and HAProxy all use this.
 *
 * An attempt is a folder. We write `spec` there, lock `lock` (flock), fork, and the leader inherits the lock. The leader fsyncs
 * `started`, runs the commands one after another, writes `log` (through the secret masker) and at the end `exit` (aside, fsync,
 * rename). It reads `control` (a FIFO) for cancellation. Pids are never identity:
 *
 *   lock free, no `started`            ATTEMPT_NEW       start it (again)
 *   lock held                          ATTEMPT_RUNNING   attach: watch the folder
 *   `exit` present                     ATTEMPT_FINISHED  read it
 *   lock free, `started`, no `exit`    ATTEMPT_LOST
 *
 * Folder layout: spec started lock control log exit [result]   (result: standard output of commands with to_result)
 *
 * What callers must do for a sandbox: files handed over writable belong to attempt_stage_user(); they themselves must be accessible to
 * it. The folders above them need not be: as root, the leader mounts what `binds` and `rootfs` name where the stage's user reaches it.
 * Started by an ordinary user everything runs as that user. All paths are absolute. Inside there are: /usr (or rootfs) read-only, a few
 * files of /etc, private /proc /dev /tmp /dev/shm, the binds, nothing else; process 1 is the leader program.
 *
 * Environment: the sandbox program itself never sees a command's environment or the secrets; they reach the command through a memory file. */
#ifndef BASE_ATTEMPT_ATTEMPT_H
#define BASE_ATTEMPT_ATTEMPT_H

#include "base/attempt/exit_record.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the sandbox shows. Everything not listed is invisible; /usr and the few /etc files needed are always there unless `rootfs`. */
struct sandbox_bind {
	const char *from, *to; /* host path, path inside */
	bool writable;
};
struct sandbox {
	bool enabled;       /* false: run as we are (HAProxy, our own trusted helpers) */
	const char *rootfs; /* an unpacked image as root (read-only), or NULL for the host's /usr */
	const struct sandbox_bind *binds;
	size_t n_binds;
	const char *dir; /* working directory inside; "/workspace" for stages */
	bool network;    /* share the host's network; else none but loopback of its own */
};

struct attempt_command {
	const char *name; /* "prepare", "main", "capture", ... told in the exit record and the log */
	const char *const *argv;
	const char *const *env; /* complete environment; secrets are added by the leader if with_secrets */
	struct sandbox sandbox;
	bool to_result; /* standard output goes to `result` (at most 16 MiB), standard error to `log` */
	bool with_secrets;
	bool as_stage_user; /* drop to the unprivileged uid (when we are root); implied by sandbox.enabled */
};

struct attempt_secret {
	const char *name, *value; /* environment variable; masked in the log in all its spellings */
};

struct attempt_limits {
	uint64_t memory_bytes;  /* 0: none */
	uint64_t log_max_bytes; /* 0: 64 MiB; beyond it the middle is dropped and the log says so */
	unsigned open_files;    /* 0: 4096 */
	unsigned cpu;           /* 0: none; cgroup v2 cpu.max where delegated, else told in the log as not enforced */
};

struct attempt_spec {
	const char *dir; /* the attempt's folder; exists */
	const struct attempt_command *commands;
	size_t n_commands;   /* run in order until one fails */
	uint64_t timeout_ms; /* over all commands; 0: none (instances) */
	uint64_t grace_ms;   /* TERM -> KILL; 0: 10 s */
	struct attempt_limits limits;
	const struct attempt_secret *secrets; /* handed over on an inherited descriptor, never on disk, never in argv */
	size_t n_secrets;
	bool untrusted; /* run under the uid for untrusted runs */
};

enum attempt_state { ATTEMPT_NEW, ATTEMPT_RUNNING, ATTEMPT_FINISHED, ATTEMPT_LOST };

/* Starts the leader (found beside our own executable, or in $PENSTOCK_LEADER). Returns after the leader has reported that it runs
 * or failed; whether the first command could be executed is in the exit record (NOT_STARTED). CONFLICT if the attempt is already
 * running, finished or lost; MISSING names the Debian package; INVALID: a secret that cannot be masked. Safe to call after a crash.
 * The leader is our child: later calls of this module reap it (no signal handler, no other child is touched). */
int attempt_start(const struct attempt_spec *spec, struct error **err) must_check;
int attempt_state(const char *dir, enum attempt_state *ret, struct error **err) must_check;
int attempt_exit_record(const char *dir, struct exit_record *ret, struct error **err) must_check;
/* TERM, grace, KILL by the leader. A finished attempt is fine (no effect). */
int attempt_cancel(const char *dir, struct error **err) must_check;

/* Calls done once, from the loop, when the attempt is finished or lost: whether we started it or a daemon before us did. */
struct attempt_watch;
typedef void (*attempt_done_fn)(void *arg, enum attempt_state state);
struct attempt_watch *attempt_watch_start(struct loop *loop, const char *dir, attempt_done_fn done, void *arg);
void attempt_watch_stop(struct attempt_watch *watch); /* NULL is fine; does not touch the attempt */

/* The unprivileged host uid/gid that stages and instances run under when we are root, one per trust level: 61180 and 61181, in the range
 * that systemd's UIDS-GIDS page lists as unused (61184 and above are its dynamic users); equal to our own when we are not root.
 * Files handed to a sandbox must be owned by it. */
void attempt_stage_user(bool trusted, unsigned *ret_uid, unsigned *ret_gid);

/* True if `text` (a would-be secret) is long enough to be masked (at least 8 bytes). */
bool secret_is_maskable(const char *text);
#endif
