/* What HAProxy answers, parsed: `show info`, `show map`, `show servers state`, `show stat`. Pure. Unknown columns and lines are
 * skipped, missing ones are a PROTOCOL error: column names are looked up, never counted. */
#ifndef DEPLOYERS_HAPROXY_STATE_H
#define DEPLOYERS_HAPROXY_STATE_H

#include "base/cleanup.h"
#include "deployers/haproxy/config.h"

enum server_admin { SERVER_READY, SERVER_DRAIN, SERVER_MAINT };
#define MAX_SERVERS 1024

struct server_state {
	unsigned id; /* from "i<id>"; 0: not one of ours */
	char name[64];
	int slot;
	uint16_t port;
	enum server_admin admin;
	bool up;           /* HAProxy thinks that it runs ... */
	bool checked;      /* ... and a health check has said so (a server without one is assumed up) */
	unsigned sessions; /* requests it is working on or that wait for it */
};
struct router_state {
	bool answers;
	unsigned long pid;
	unsigned version_major, version_minor;
	char mark[CONFIG_MARK_SIZE]; /* of the configuration it has loaded */
	bool has_split;              /* the map holds exactly one readable `split` */
	size_t split_entries;        /* how many entries it holds; anything but 1 was made by hand */
	struct split split;
	struct server_state *servers;
	size_t n_servers;
	unsigned old_workers; /* still finishing their requests after a reload */
};
void router_state_done(struct router_state *state);
const struct server_state *router_state_server(const struct router_state *state, unsigned id); /* or NULL */
/* Servers of a slot that take traffic: ready, up and seen so by a check. */
unsigned router_state_ready(const struct router_state *state, int slot);

/* HAProxy's server state file (doc/management.txt, "show servers state", version 1): what the next HAProxy shall think of its servers
 * before its own first checks, so that copies that are up take requests at once and those that are down get none. Servers that no check
 * has seen are left out; it ignores those that are not in its configuration. */
void server_states_text(const char *target, const struct server_state *servers, size_t n, struct buf *out);

/* The commands whose answers, in this order, router_state_parse() reads; one connection. */
#define ROUTER_STATE_COMMANDS "show info;show map " ROUTER_MAP_FILE ";show servers state;show stat -1 4 -1"
/* How many old workers there are, in the master socket's `show proc`. */
#define ROUTER_MASTER_COMMANDS "show proc"
unsigned old_workers_parse(const char *answer);
/* `target` gives the backends' names; old_workers stays 0. */
int router_state_parse(const char *target, const char *answer, struct router_state *ret, struct error **err) must_check;
#endif
