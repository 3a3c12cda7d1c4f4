/* What HAProxy is told, as text: its configuration file and the one-line map that splits the traffic. Pure.
 *
 * A target has two slots, the backends "<target>-a" and "<target>-b". The map has a single key, `split`, whose value names the
 * candidate's slot, its share in millionths, the generation of the desired state and, if there is one, the slot that the preview address
 * shows: "b:50000:17" or "b:0:17:b". One value and not four keys: a request reads it once, so that it can never see half of a change.
 * Promotion is "b:1000000:18": nothing is renamed.
 *
 *     request -> draw rand(1000000) < ppm ? candidate's slot : the other slot -> no copy up there? -> the candidate's requests go to
 *     the other slot if that has a copy up (the log line tells drawn arm and backend, so that it can be counted)
 *
 * The preview address is a frontend of its own, "<target>-preview": it routes to the slot named as the preview, to no other if that has
 * no copy up, and answers 503 with a text when none is. Its requests are not logged, so they are no part of any count.
 *
 * File names inside the text are relative: HAProxy runs in its own folder (-C), so that Unix sockets fit into 107 bytes however
 * long the state directory's path is. */
#ifndef DEPLOYERS_HAPROXY_CONFIG_H
#define DEPLOYERS_HAPROXY_CONFIG_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { SLOT_NONE = -1, SLOT_A, SLOT_B, SLOTS };
char slot_letter(int slot);        /* 'a', 'b', '-' */
int slot_from_letter(char letter); /* SLOT_NONE for anything else */

#define PPM 1000000u

struct split {
	int candidate; /* slot; SLOT_NONE: no release is live, every request gets a 503 that says so */
	uint32_t ppm;  /* the candidate's share; the other slot has the rest */
	uint64_t generation;
	int preview; /* slot that the preview address shows; SLOT_NONE: none. It has nothing to do with weights */
};
uint32_t split_weight(const struct split *split, int slot);
bool split_equal(const struct split *a, const struct split *b);
#define SPLIT_TEXT_SIZE 48
void split_format(const struct split *split, char ret[SPLIT_TEXT_SIZE]); /* "b:50000:17", "b:0:17:b" */
bool split_parse(const char *text, struct split *ret);                   /* false leaves *ret alone */

/* Names of the files in HAProxy's folder. */
#define ROUTER_CONFIG_FILE "haproxy.cfg"
#define ROUTER_MAP_FILE "split.map"
#define ROUTER_MAP_KEY "split"
#define ROUTER_RUNTIME_SOCKET "r.sock"
#define ROUTER_MASTER_SOCKET "m.sock"
#define ROUTER_LOG_SOCKET "l.sock"          /* we listen */
#define ROUTER_RELAY_SOCKET "q.sock"        /* HAProxy's own way to it */
#define ROUTER_SERVERS_FILE "servers.state" /* which servers were up, for the next HAProxy (server_states_text) */
#define ROUTER_OFFER_SOCKET "x.sock"        /* we listen while one starts, and give it its sockets */

#define CHECK_INTERVAL_MS 500
#define CHECK_RISE 1
#define CHECK_FALL 2

struct router_settings {
	const char *target;   /* a name of the schema's kind: [A-Za-z0-9][A-Za-z0-9_.-]* */
	const char *frontend; /* "127.0.0.1:9000" */
	const char *preview;  /* "127.0.0.1:9001": where people look at a release before it is live; NULL: there is no such address */
	unsigned max_connections, threads;
	uint64_t request_timeout_ms, drain_ms;
	const char *user;    /* host user that the worker drops to, or NULL */
	const char *program; /* which file HAProxy is (program.h's identity); part of the mark, so that another means a reload; or NULL */
};
struct router_server {
	unsigned id; /* named "i<id>" */
	int slot;
	uint16_t port; /* on 127.0.0.1 */
};

/* The whole file. health_paths[slot] NULL: the slot is not in use. Its `description` line carries config_mark(), by which a running
 * HAProxy tells which configuration it has loaded. */
void router_config_text(const struct router_settings *settings, const char *const health_paths[SLOTS], const struct router_server *servers,
			size_t n_servers, struct buf *out);
/* "penstock-<16 hex digits>": a hash over everything but the servers (those change at run time, without a reload), and the program. */
#define CONFIG_MARK_SIZE 32
void router_config_mark(const struct router_settings *settings, const char *const health_paths[SLOTS], char ret[CONFIG_MARK_SIZE]);
/* Health paths go into the configuration as they are: "/" first, then printable ASCII without blanks, quotes, "#", "\". */
bool health_path_is_sound(const char *path);
#endif
