/* What to do next, given what is and what should be: a pure function. The driver observes, asks, does that one thing, and observes again;
 * so it can be killed between any two steps, and repairing what somebody changed by hand is the same as a rollout.
 *
 * Order: the router answers with the right configuration -> the split is written, if every arm that gains is up (so that going back is
 * never kept waiting) -> copies are made, started, put behind the router in drain mode -> those that a health check has seen are let in ->
 * what is not wanted, and has no traffic, is drained and taken away.
 *
 * Two rules are kept here and nowhere else: no weight to an arm that is not up, and no capacity is taken away while traffic may
 * reach it. */
#ifndef DEPLOYERS_PROCESS_PLAN_H
#define DEPLOYERS_PROCESS_PLAN_H

#include "base/digest.h"
#include "deployers/haproxy/state.h"

#define PLAN_ARMS 2

enum run_state {
	RUN_NEW, /* made, not started yet */
	RUN_RUNNING,
	RUN_DEAD,     /* ended by itself or lost; to be started again if still wanted */
	RUN_STOPPING, /* we have told it to end, it has not yet */
	RUN_STOPPED,
};

/* One copy of an image on one port: an attempt and its record on disk. */
struct instance_view {
	unsigned id;
	char image[DIGEST_SIZE];
	int slot;
	unsigned replica; /* 0 .. replicas-1 */
	uint16_t port;
	enum run_state run;
	bool start_due;     /* NEW or DEAD: its pause before the next start is over */
	bool retired;       /* it lost its port: make another in its place */
	bool admitted;      /* the configuration on disk has its server */
	bool waiting;       /* not up yet, but still within the time it was given */
	bool failed;        /* crash loop, or not ready in time */
	bool drain_overdue; /* its last requests had their time */
	char message[160];  /* why it failed */
};

struct plan_arm {
	char image[DIGEST_SIZE];
	unsigned replicas;
	uint32_t weight_ppm;
};
struct plan_desired {
	struct plan_arm arms[PLAN_ARMS]; /* stable first; the second is the candidate */
	unsigned n_arms;
	uint64_t generation;
};

struct plan_observed {
	bool router_runs; /* its attempt is alive */
	struct router_state router;
	char mark[CONFIG_MARK_SIZE]; /* of the configuration that it should have loaded */
	bool split_settled;          /* requests that were routed by an older split have reached their server */
	const struct instance_view *instances;
	size_t n_instances;
};

#define PLAN_ACTIONS(X)                                                                                                                              \
	X(DONE, "done", "everything is as desired")                                                                                                  \
	X(WAIT, "wait", "nothing to do but to look again")                                                                                           \
	X(FAILED, "failed", "as far as possible; an arm cannot be brought up")                                                                       \
	X(START_ROUTER, "start router", "check the configuration, start HAProxy")                                                                    \
	X(RELOAD_ROUTER, "reload router", "load the configuration on disk")                                                                          \
	X(CREATE, "create instance", "unpack the image, choose a port, record it")                                                                   \
	X(START, "start instance", "start its process")                                                                                              \
	X(ADD_SERVER, "add server", "behind the router, without traffic, checked")                                                                   \
	X(ADMIT, "admit server", "healthy: give it its part of its slot's traffic")                                                                  \
	X(SET_SPLIT, "set split", "write the map")                                                                                                   \
	X(DRAIN, "drain server", "no new requests")                                                                                                  \
	X(CUT, "cut sessions", "its time to finish is over")                                                                                         \
	X(DISABLE, "disable server", "into maintenance, so that it can be deleted")                                                                  \
	X(DELETE_SERVER, "delete server", "from the router")                                                                                         \
	X(STOP, "stop instance", "TERM, grace, KILL")                                                                                                \
	X(REMOVE, "remove instance", "its folder")
enum plan_kind {
#define X(name, text, doc) PLAN_##name,
	PLAN_ACTIONS(X)
#undef X
};
const char *plan_kind_name(enum plan_kind kind);

struct plan_action {
	enum plan_kind kind;
	unsigned id;             /* instance or server; 0: none */
	int slot;                /* CREATE; servers */
	char server[64];         /* name, for actions on servers (one made by hand has no id) */
	char image[DIGEST_SIZE]; /* CREATE */
	unsigned replica;        /* CREATE */
	struct split split;      /* SET_SPLIT */
	char reason[200];        /* WAIT, FAILED: for people */
};
void process_plan(const struct plan_observed *observed, const struct plan_desired *desired, struct plan_action *ret);

/* The slot an image has, by its instances; SLOT_NONE if it has none. */
int plan_slot_of(const struct plan_observed *observed, const char *image);
/* Copies of an image that run and that the router sends requests to. */
unsigned plan_ready(const struct plan_observed *observed, const char *image);
/* The applied weight of an image, as the router's map has it. */
uint32_t plan_weight(const struct plan_observed *observed, const char *image);
#endif
