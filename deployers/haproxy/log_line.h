/* One request as HAProxy's log tells it, and what it counts for. Pure, no allocation: thousands of lines a second come this way.
 *
 *     pid lc backend server status Tr Tw Tc Ta ts slot ppm arm
 *     9038 2 prod-a i1 200 12 0 0 14 -- b 50000 a
 *
 * pid and lc (the frontend's own counter of log lines) tell whether a line is missing. slot is the candidate's slot and ppm its share at
 * the moment of the draw, arm the slot that was drawn, "-" where nothing was drawn (a request that could not be parsed). */
#ifndef DEPLOYERS_HAPROXY_LOG_LINE_H
#define DEPLOYERS_HAPROXY_LOG_LINE_H

#include "deployers/haproxy/config.h"

#include <stddef.h>

struct log_line {
	unsigned long pid;
	uint64_t sequence;
	int backend;                                          /* slot that served it; SLOT_NONE: none */
	bool has_server;                                      /* false: "<NOSRV>" */
	unsigned server;                                      /* id, from "i<id>"; 0: none, or not one of ours */
	int status;                                           /* -1 or 0: none */
	int64_t response_ms, queue_ms, connect_ms, active_ms; /* -1: did not come so far */
	char cause, phase;                                    /* the two letters of the termination state */
	int candidate;                                        /* slot */
	uint32_t ppm;
	int arm; /* slot drawn */
};
/* `target` as in the backends' names. False: not such a line. */
bool log_line_parse(const char *target, const char *line, size_t len, struct log_line *ret);

struct log_effect {
	int assigned; /* slot whose `assigned` grows; SLOT_NONE: none */
	int counted;  /* slot whose `completed` grows (and `errors`, latency); SLOT_NONE: none */
	bool error;
	bool fell_back; /* drawn for one slot, served by the other */
	uint64_t latency_us;
};
/* Errors: 5xx by the server, connection refused or failed, time-outs of ours waiting for the server (s?, and c? before the answer began).
 * Not errors: 4xx; requests that the client gave up (C?), which are not completed unless the answer had begun; what the
 * proxy ran out of (R?, I?), which is nobody's completed request either. */
void log_line_effect(const struct log_line *line, struct log_effect *ret);

/* Notices missing lines. Lines of one process are numbered without holes; with several threads they may overtake each other by as many. */
#define LOG_PROCESSES 4
struct log_sequence {
	unsigned tolerance; /* threads - 1 */
	struct {
		unsigned long pid;
		uint64_t next;
	} processes[LOG_PROCESSES]; /* the latest first */
	size_t n;
};
/* False: something is or may be missing before this line (a hole, or a process not seen before whose first line is not its number 0). */
bool log_sequence_follows(struct log_sequence *sequence, unsigned long pid, uint64_t number);
#endif
