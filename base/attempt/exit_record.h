/* How an attempt ended: the facts that the leader leaves in the file `exit`. libc only, shared with the leader program. */
#ifndef BASE_ATTEMPT_EXIT_RECORD_H
#define BASE_ATTEMPT_EXIT_RECORD_H

#include <stdint.h>

/* Facts only, the caller turns them into an outcome. */
enum attempt_end {
	ATTEMPT_EXITED,
	ATTEMPT_SIGNALED,
	ATTEMPT_TIMED_OUT,
	ATTEMPT_CANCELLED,
	ATTEMPT_OOM,
	ATTEMPT_NOT_STARTED /* exec or sandbox failure */
};
struct exit_record {
	enum attempt_end end;
	char command[32];             /* the command that ended it: the failing one, or the last */
	int exit_code;                /* EXITED */
	int signal;                   /* SIGNALED, OOM */
	int errnum;                   /* NOT_STARTED */
	int64_t started_ms, ended_ms; /* wall clock */
	uint64_t cpu_ms, max_rss_bytes;
	char message[256]; /* one line for people: "killed by SIGKILL (out of memory)", "exec bwrap: No such file" */
};
#endif
