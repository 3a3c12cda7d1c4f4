/* Finding HAProxy, and what it complained about. */
#ifndef DEPLOYERS_HAPROXY_PROGRAM_H
#define DEPLOYERS_HAPROXY_PROGRAM_H

#include "base/cleanup.h"

#include <stddef.h>

/* Absolute path of HAProxy: `configured` if not NULL, else from PATH (and for each ".../bin" in it its ".../sbin", which an ordinary
 * user's PATH lacks). MISSING, naming the package, if there is none. *ret_path is the caller's. */
int haproxy_program(const char *configured, char **ret_path, struct error **err) must_check;
/* What distinguishes this file from the one that may replace it (path, device, inode, size, time of change); the caller's. NULL if it
 * cannot be looked at. */
char *haproxy_program_identity(const char *path);
/* The first [ALERT] of a log, without what stands before the message, else its last line. */
void haproxy_complaint_in(const char *text, char *ret, size_t size);
void haproxy_complaint(const char *log_path, char *ret, size_t size);
#endif
