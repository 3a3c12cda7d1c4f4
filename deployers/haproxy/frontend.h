/* The address that clients talk to: "127.0.0.1:9000", "[::1]:9000", "*:9000" or ":9000" (all of IPv4). */
#ifndef DEPLOYERS_HAPROXY_FRONTEND_H
#define DEPLOYERS_HAPROXY_FRONTEND_H

#include "base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

bool frontend_parse(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len);
/* Listens there, for HAProxy (sockets.h): *ret_fd is the caller's. CONFLICT if another program does, DENIED for a privileged port, INVALID
 * for an address that is not this host's; each says what to do. `backlog`: connections that may wait to be accepted. */
int frontend_listen(const char *text, unsigned backlog, int *ret_fd, struct error **err) must_check;
/* May a server listen on 127.0.0.1:port now? */
bool loopback_port_is_free(uint16_t port);
#endif
