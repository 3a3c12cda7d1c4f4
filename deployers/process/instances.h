/* The copies of one target on disk: a folder each, that survives the daemon and says everything needed to start it again.
 *
 *     instances/<id>/instance.json      written before the first start and with every change
 *     instances/<id>/starts/<n>/        one attempt for each start
 *
 * We are the folder's only writer, so the records in memory are what the files say; whether a copy runs is asked of its attempt's
 * lock each time. */
#ifndef DEPLOYERS_PROCESS_INSTANCES_H
#define DEPLOYERS_PROCESS_INSTANCES_H

#include "base/alloc.h"
#include "base/attempt/attempt.h"
#include "deployers/process/plan.h"

#define MAX_INSTANCES 512
#define QUICK_EXIT_MS 10000 /* a copy that ends sooner has crashed at its start */
#define QUICK_EXITS_MAX 3   /* in a row: a crash loop */
#define CRASH_WINDOW_MS 600000
#define CRASHES_MAX 5 /* in the window, quick or not: a crash loop too */
#define CRASHES_KEPT 8
#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 30000

struct instance {
	unsigned id, replica, starts, quick_exits;
	char image[DIGEST_SIZE];
	int slot;
	uint16_t port;
	bool admitted, stopping, retired;
	bool limits_known; /* memory_bytes and cpu below; records of older releases do not have them */
	bool restarting;   /* we have ended its latest start, since it hung */
	int64_t created_ms, started_ms, next_start_ms;
	int64_t wait_from_ms; /* when it was up last, or made: it may take `health_within_ms` from then */
	uint64_t health_within_ms;
	uint64_t restart_after_ms;
	uint64_t memory_bytes; /* that its latest start was given; 0: no limit */
	unsigned cpu;
	unsigned ended_starts;            /* starts whose end has been noted */
	unsigned up_start;                /* the latest start that was seen up */
	int64_t crashes_ms[CRASHES_KEPT]; /* when it ended without being asked to, or hung: the newest first */
	char *health_path, *version;
	struct strlist argv, env; /* from the image, at its making: the image may be collected from the store later */
	char *dir;                /* working directory or NULL */
	bool host_base;
	char *folder;
	char message[160]; /* how it last ended */
	/* Not on disk. */
	int64_t drain_since_ms; /* 0: not seen draining */
	int64_t deaf_since_ms;  /* since when the router's checks of it fail; 0: they do not, or nobody can tell */
	bool other_path;        /* desired asks for another health path than its slot's checks do */
	bool outdated;          /* its latest start was given other limits than are wanted now */
};

/* What the router says of a copy. */
enum instance_health {
	HEALTH_UNKNOWN, /* no router, or it does not check the copy now */
	HEALTH_DEAF,    /* its checks fail */
	HEALTH_ANSWERS, /* they succeed, but it gets no requests (yet) */
	HEALTH_UP,      /* it takes traffic */
};

struct instances {
	char *state_dir;
	struct instance **items; /* by id */
	size_t n, capacity;
};
/* Reads all records. A folder without a readable record never started anything and is removed. */
int instances_open(const char *state_dir, struct instances *ret, struct error **err) must_check;
void instances_done(struct instances *instances);
struct instance *instances_find(const struct instances *instances, unsigned id); /* or NULL */
/* Takes `instance` (folder not set), gives it its folder and writes its record; the list owns it. On failure it is freed. */
int instances_add(struct instances *instances, struct instance *instance, struct error **err) must_check;
int instance_save(const struct instance *instance, struct error **err) must_check;
/* Keeps the last log as logs/<id>.log (the newest 20), removes folder and record. */
int instances_remove(struct instances *instances, unsigned id, struct error **err) must_check;
void instance_free(struct instance *instance);

/* A port of the range that no record holds and nobody listens on; 0: none. */
uint16_t instances_free_port(const struct instances *instances, uint16_t first, uint16_t last);
/* The attempt's folder of the latest start; allocated, NULL before the first. */
char *instance_attempt_dir(const struct instance *instance);

/* Notes an end that was not noted yet (counts crashes, sets the pause before the next start) and fills in the plan's view. `now_ms`:
 * wall clock. */
int instance_look(struct instance *instance, enum instance_health health, int64_t now_ms, uint64_t drain_ms, struct instance_view *ret,
		  struct error **err) must_check;
/* What only time and the record say; pure. `state`: of its latest start. */
void instance_view_of(const struct instance *instance, enum attempt_state state, enum instance_health health, int64_t now_ms, uint64_t drain_ms,
		      struct instance_view *ret);
/* It has ended, or hangs. lived_ms: since its start. */
void instance_crashed(struct instance *instance, int64_t lived_ms, int64_t now_ms);
unsigned instance_recent_crashes(const struct instance *instance, int64_t now_ms);
/* A clean slate: what it is started with next has not crashed yet. */
void instance_forget_crashes(struct instance *instance);
/* How often it was started again. */
unsigned instance_restarts(const struct instance *instance);
/* Pause before the next start after so many recent crashes: 0 ms, then 250 ms doubling up to 30 s. */
uint64_t instance_backoff_ms(unsigned crashes);
#endif
