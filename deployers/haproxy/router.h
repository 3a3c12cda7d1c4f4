/* One HAProxy of ours: its folder, its process (an attempt, so that it outlives the daemon), its sockets. Observing reads its sockets and
 * the attempt's lock; writing goes to disk first (atomically) and then to the running process, so that a crash or a reload comes
 * back with the truth. It decides nothing: that is the driver's plan.
 *
 *     <dir>/haproxy.cfg split.map r.sock m.sock l.sock starts/<n>/ (attempts)
 */
#ifndef DEPLOYERS_HAPROXY_ROUTER_H
#define DEPLOYERS_HAPROXY_ROUTER_H

#include "deployers/haproxy/log_ring.h"
#include "deployers/haproxy/state.h"

struct router;
struct router_callbacks {
	log_ring_line_fn on_line;
	log_ring_broken_fn on_broken;
	void (*on_exit)(void *arg); /* the process has ended */
	void *arg;
};
/* `settings` is copied; `user` in it is chosen here. `program`: path of HAProxy, or NULL: PATH. Starts nothing. */
int router_open(struct loop *loop, const char *dir, const struct router_settings *settings, const char *program,
		const struct router_callbacks *callbacks, struct router **ret, struct error **err) must_check;
void router_close(struct router *router); /* leaves HAProxy running; pending callbacks are dropped; NULL is fine */
const struct router_settings *router_settings_of(const struct router *router);

/* `state` is the receiver's for the call only (answers false: nobody there; err says why). */
typedef void (*router_observed_fn)(void *arg, bool runs, const struct router_state *state, const struct error *err);
void router_observe(struct router *router, router_observed_fn done, void *arg);

/* On disk; no running process is touched. */
int router_write_config(struct router *router, const char *const health_paths[SLOTS], const struct router_server *servers, size_t n,
			struct error **err) must_check;
int router_write_split(struct router *router, const struct split *split, struct error **err) must_check;
bool router_has_split_file(const struct router *router);

/* Each ends in exactly one call of done, from the loop; err stays ours, NULL: done and, for start and reload, answering with `mark`. */
typedef void (*router_done_fn)(void *arg, const struct error *err);
/* MISSING if there is no HAProxy, INVALID if it refuses the configuration, CONFLICT if the frontend is in use. */
void router_start(struct router *router, const char *mark, router_done_fn done, void *arg);
void router_reload(struct router *router, const char *mark, router_done_fn done, void *arg);
/* One command, or several separated by ";"; any answer but silence and the known words of success is an error. */
void router_command(struct router *router, const char *commands, router_done_fn done, void *arg);
/* Writes the split into the running map: by `set map` if it has its one entry, else by replacing its whole contents in one commit. */
void router_set_split(struct router *router, const struct split *split, bool one_entry, router_done_fn done, void *arg);
#endif
