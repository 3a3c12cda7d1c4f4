/* The far end of HAProxy's log ring: a Unix stream socket on the loop that HAProxy connects to and sends its lines through, each as
 * "<length> <line>" (RFC 6587, octet counting), through its relay (config.c): most lines written while nobody listens are lost there. */
#ifndef DEPLOYERS_HAPROXY_LOG_RING_H
#define DEPLOYERS_HAPROXY_LOG_RING_H

#include "base/loop.h"

#include <stddef.h>
#include <sys/types.h>

struct log_ring;
typedef void (*log_ring_line_fn)(void *arg, const char *line, size_t len); /* not NUL-terminated; valid during the call */
typedef void (*log_ring_broken_fn)(void *arg);                             /* a connection ended inside a line, or sent no frames */

/* Listens at `path` (at most 107 bytes; a leftover is replaced), readable and writable by `uid` alone (and root). */
int log_ring_open(struct loop *loop, const char *path, uid_t uid, log_ring_line_fn on_line, log_ring_broken_fn on_broken, void *arg,
		  struct log_ring **ret, struct error **err) must_check;
void log_ring_close(struct log_ring *ring); /* NULL is fine */

/* Takes whole frames off the front of bytes and calls on_line for each; returns how many bytes were used, or -1 if these are no
 * frames. Pure but for the callback. */
#define LOG_FRAME_MAX 4096
ssize_t log_frames(const char *bytes, size_t len, log_ring_line_fn on_line, void *arg);
#endif
