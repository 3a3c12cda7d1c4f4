/* Inside the leader program only. libc only; out of memory aborts (attempt_start caps the size of what comes in).
 *
 * leader.c         from start to exit record
 * leader_spec.c    reading `spec` and the secrets
 * leader_run.c     one command: start, supervise, stop, reap
 * leader_child.c   between fork and exec
 * leader_inside.c  the same program as process 1 of a sandbox
 * leader_log.c     `log`: carriage returns, cap, full disks
 * leader_limits.c  cgroups, rlimits, out of memory
 * leader_time.c    the two clocks */
#ifndef BASE_ATTEMPT_LEADER_H
#define BASE_ATTEMPT_LEADER_H

#include "base/attempt/exit_record.h"
#include "base/attempt/leader_fds.h"
#include "base/attempt/mask.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

void *must_alloc(size_t size); /* zeroed */

struct text_list {
	char **items; /* NULL-terminated; NULL when empty */
	size_t n, capacity;
};
void text_list_add(struct text_list *list, const char *text); /* does not copy */

struct leader_command {
	const char *name, *dir;
	struct text_list argv, env;
	struct text_list wrapper; /* the sandbox program and its arguments; empty: none */
	struct text_list stage;   /* host paths that are made reachable as LEADER_STAGE_DIR/<index> before the uid changes */
	const char *stage_dir;
	bool to_result, with_secrets, has_user;
	uid_t uid;
	gid_t gid;
};

struct leader_secret {
	const char *name, *value;
	size_t len;
};

struct leader_spec {
	struct leader_command *commands;
	size_t n_commands;
	uint64_t timeout_ms, grace_ms;
	uint64_t memory_bytes, log_max_bytes, open_files, cpu;
	struct leader_secret *secrets;
	size_t n_secrets;
};
/* False and a reason for people when the bytes are not a spec. Keeps pointers into `bytes`. */
bool leader_spec_parse(struct leader_spec *spec, char *bytes, size_t len, char *ret_why, size_t why_size);
bool leader_secrets_parse(struct leader_spec *spec, char *bytes, size_t len);
/* A whole file with a NUL behind it, or NULL and errno. */
char *read_whole(int fd, size_t max, size_t *ret_len);
bool write_whole(int fd, const void *bytes, size_t len);

uint64_t mono_ms(void);
int64_t wall_ms(void);
void span_text(uint64_t ms, char *ret, size_t size); /* "3.2s", "4m05s" */

/* The log. Text goes in as it comes from the masker; a line rewritten by carriage returns is stored as its last frame. */
struct leader_log;
struct leader_log *leader_log_open(int dir_fd, uint64_t max_bytes);
void leader_log_text(struct leader_log *log, const char *bytes, size_t len, uint64_t now_ms);
/* A line of our own, "--- " before it. */
void leader_log_note(struct leader_log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Writes what has waited long enough; answers in how many ms to call again, or -1 for never. */
int leader_log_tick(struct leader_log *log, uint64_t now_ms);
void leader_log_end_line(struct leader_log *log);
const char *leader_log_last_line(const struct leader_log *log);
void leader_log_close(struct leader_log *log);

/* Limits of one attempt: over all its commands together. */
struct limits {
	char group[512]; /* our cgroup's folder, or "" */
	bool v2;
	int join_fd;                       /* cgroup.procs, or -1: the child writes itself in */
	uint64_t memory_bytes, data_bytes; /* data_bytes: by RLIMIT_DATA, when there is no group */
	uint64_t open_files;
	uint64_t oom_kills_before;
};
void limits_open(struct limits *limits, const struct leader_spec *spec, struct leader_log *log);
void limits_apply_in_child(const struct limits *limits); /* async-signal-safe */
/* True if the kernel killed for want of memory since limits_open, or rss says that the limit was hit. */
bool limits_saw_oom(const struct limits *limits, int signal, uint64_t max_rss_bytes);
void limits_close(struct limits *limits);

struct leader {
	int dir_fd, control_fd, signal_fd, result_fd;
	uint64_t result_left;
	bool result_cut;
	struct leader_spec spec;
	struct mask *mask;
	struct leader_log *log;
	struct limits limits;
	uint64_t deadline_ms; /* monotonic; 0: none */
	bool cancelled, timed_out, killed_after_grace;
};

/* What a child tells before exec fails, and what process 1 of a sandbox tells. One message each on a SOCK_SEQPACKET socket. */
enum report_kind { REPORT_RUNNING = 'R', REPORT_FAILED = 'E', REPORT_ENDED = 'W' };
struct report {
	int kind;
	int value; /* FAILED: errno; ENDED: wait status */
	char text[160];
};
#define STOP_MESSAGE 't' /* leader to process 1: TERM to everybody in there */

struct command_end {
	enum attempt_end end;
	int exit_code, signal, errnum;
	char message[256];
};
void leader_run(struct leader *leader, const struct leader_command *command, struct command_end *ret);
/* Kills and reaps everything that was left to us as the subreaper; the number of processes killed. */
unsigned leader_kill_strays(void);

struct child_plan {
	const struct leader *leader;
	const struct leader_command *command;
	char *const *argv, *const *env; /* of the program itself */
	int out_fd, err_fd, report_fd;
	int job_fd, exe_fd, passwd_fd, group_fd; /* for a sandbox */
};
__attribute__((noreturn)) void leader_child(const struct child_plan *plan);
/* The job for process 1, in a memory file: argv and environment. */
int leader_job(char *const *argv, char *const *env);
int leader_inside(void);
__attribute__((noreturn)) void report_failure(int fd, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#endif
