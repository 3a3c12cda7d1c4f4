/* The listening sockets outlive HAProxy. We hold a duplicate of each; while HAProxy is down new connections wait in the kernel's queue
 * instead of being refused, and the next HAProxy is given the very same sockets.
 *
 * Both ways go over HAProxy's own protocol for seamless reloads, `_getsocks`: to get duplicates from a running worker we ask its stats
 * socket (`expose-fd listeners`), as `haproxy -x` does; to hand them over we listen at a socket of ours that a new HAProxy is pointed at
 * with `-x`. So the configuration names addresses, never descriptors, and a frontend can be moved by a reload. Why not otherwise:
 * `bind fd@N` cannot name a socket that came after HAProxy's start, and such sockets are not given out again to a new daemon;
 * pidfd_getfd() needs the right to trace, which an ordinary user often has not (Yama) and which setuid takes away; a holder process is one
 * more that can die. The protocol is the same in 1.9 to 3.x: a reload across versions depends on it (src/sock.c, sock_get_old_sockets();
 * src/cli.c, _getsocks()):
 *
 *     asks     "_getsocks\n"
 *     answers  int n, then the n descriptors as SCM_RIGHTS, up to 252 a message, with a few bytes for each: the length and name of its
 *              network namespace, the length and name of its interface, 4 bytes of zeroes; each message but the last is acknowledged
 *              by an int
 *
 * With `noreuseport` in the configuration HAProxy can never listen beside our duplicate with a second socket, which would get half of
 * the connections while ours starved: it has ours, or it fails to start and says so. */
#ifndef DEPLOYERS_HAPROXY_SOCKETS_H
#define DEPLOYERS_HAPROXY_SOCKETS_H

#include "base/loop.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Listening TCP sockets of ours: duplicates, close-on-exec. */
#define HELD_MAX 64
struct held_sockets {
	int fds[HELD_MAX];
	size_t n;
};
void held_sockets_close(struct held_sockets *held);
bool held_sockets_have(const struct held_sockets *held, const struct sockaddr_storage *address);
void held_sockets_add(struct held_sockets *held, int fd); /* takes fd; closes it if there are too many */
/* Closes those whose address is none of the given ones. */
void held_sockets_keep(struct held_sockets *held, const struct sockaddr_storage *addresses, size_t n);

/* How many sockets a message's bytes describe, -1 if they are cut short or longer than that. Pure. */
ssize_t socket_descriptions(const unsigned char *bytes, size_t len);

/* Asks the worker at `path` for duplicates of its listening TCP sockets. Exactly one call of done, from the loop; *held is the receiver's
 * (its fds too), err stays ours. UNAVAILABLE, TIMEOUT, PROTOCOL. */
struct socket_fetch;
typedef void (*socket_fetch_fn)(void *arg, struct held_sockets *held, const struct error *err);
struct socket_fetch *socket_fetch_start(struct loop *loop, const char *path, socket_fetch_fn done, void *arg);
void socket_fetch_stop(struct socket_fetch *fetch); /* before done: done is not called; NULL is fine */

/* Listens at `path` and gives the sockets to every process of our own user, or root, that asks. `held` is read when it asks and must
 * live as long. */
struct socket_offer;
int socket_offer_open(struct loop *loop, const char *path, const struct held_sockets *held, struct socket_offer **ret, struct error **err) must_check;
void socket_offer_close(struct socket_offer *offer); /* NULL is fine */
#define SOCKETS_TIMEOUT_MS 1000
#endif
