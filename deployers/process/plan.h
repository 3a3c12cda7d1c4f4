/* What to do next, given what is and what should be: a pure function. The driver observes, asks, does that one thing, and observes again;
 * so it can be killed between any two steps, and repairing what somebody changed by hand is the same as a rollout.
 *
 * Order: the router answers with the right configuration -> the split is written, if every arm that gains is up (so that going back is
 * never kept waiting) -> copies are made, started, put behind the router in drain mode -> those that a health check has seen are let in ->
 * what is not wanted, and has no traffic, is drained and taken away.
 *
 * New limits for an image that runs already: a copy with the new ones is made beside the old one of its number, one at a time; once it takes
 * traffic the old one is drained. So there are never fewer ready copies than wanted, and at most one more. A replacement that does
 * not come up changes nothing for the old copies.
 *
 * A copy that hangs is down for the router already, so no request is sent to it: what it has in hand gets its time, then it is
 * restarted in its place.
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
	RUN_DEAD,       /* ended by itself or lost; to be started again if still wanted */
	RUN_RESTARTING, /* we have told it to end, since it hung; then it is DEAD */
	RUN_STOPPING,   /* we have told it to end for good, it has not yet */
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
	bool hung;          /* runs and was up, but has answered no health check for as long as is allowed */
	bool outdated;      /* runs with other limits than wanted: to be replaced. One that does not run takes the new ones at its start */
	bool other_path;    /* its slot's health checks ask for another path than wanted */
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
	unsigned preview; /* 1 + index of the arm that the preview address shows; 0: none, or there is no such address */
	bool hurry;       /* one copy that is up is enough to raise an arm's weight */
};

struct plan_observed {
	bool router_runs; /* its attempt is alive */
	struct router_state router;
	char mark[CONFIG_MARK_SIZE]; /* of the configuration that it should have loaded */
	bool split_settled;          /* requests that were routed by an older split have reached their server */
	bool disk_is_wrong;          /* HAProxy's files are not as we left them: the next reload would read something else */
	const struct instance_view *instances;
	size_t n_instances;
};

#define PLAN_ACTIONS(X)                                                                                                                              \
	X(DONE, "done", "everything is as desired")                                                                                                  \
	X(WAIT, "wait", "nothing to do but to look again")                                                                                           \
	X(FAILED, "failed", "as far as possible; an arm cannot be brought up")                                                                       \
	X(START_ROUTER, "start router", "check the configuration, start HAProxy")                                                                    \
	X(RELOAD_ROUTER, "reload router", "load the configuration on disk")                                                                          \
	X(WRITE_DISK, "write files", "the configuration and the map, as the running router has them")                                                \
	X(CREATE, "create instance", "unpack the image, choose a port, record it")                                                                   \
	X(START, "start instance", "start its process")                                                                                              \
	X(ADD_SERVER, "add server", "behind the router, without traffic, checked")                                                                   \
	X(ADMIT, "admit server", "healthy: give it its part of its slot's traffic")                                                                  \
	X(SET_SPLIT, "set split", "write the map")                                                                                                   \
	X(DRAIN, "drain server", "no new requests")                                                                                                  \
	X(CUT, "cut sessions", "its time to finish is over")                                                                                         \
	X(DISABLE, "disable server", "into maintenance, so that it can be deleted")                                                                  \
	X(DELETE_SERVER, "delete server", "from the router")                                                                                         \
	X(ADOPT_PATH, "adopt health path", "ask the copies that take traffic for it; if all answer, the checks do")                                  \
	X(RESTART, "restart instance", "it hangs: TERM, grace, KILL; it is started again after its pause")                                           \
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
	char image[DIGEST_SIZE]; /* CREATE, ADOPT_PATH */
	unsigned replica;        /* CREATE */
	struct split split;      /* SET_SPLIT */
	char reason[200];        /* WAIT, FAILED: for people */
};
void process_plan(const struct plan_observed *observed, const struct plan_desired *desired, struct plan_action *ret);

/* Is it to stay? False for what is to be drained and taken away, and for what is on its way out already. */
bool plan_wants(const struct plan_observed *observed, const struct plan_desired *desired, const struct instance_view *instance);
/* It runs and the router sends requests to it. */
bool plan_takes_traffic(const struct plan_observed *observed, const struct instance_view *instance);
/* The slot an image has, by its instances; SLOT_NONE if it has none. */
int plan_slot_of(const struct plan_observed *observed, const char *image);
/* Copies of an image that run and that the router sends requests to. */
unsigned plan_ready(const struct plan_observed *observed, const char *image);
/* The applied weight of an image, as the router's map has it. */
uint32_t plan_weight(const struct plan_observed *observed, const char *image);
#endif
