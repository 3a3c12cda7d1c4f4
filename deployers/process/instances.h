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
#include "deployers/process/plan.h"

#define MAX_INSTANCES 512
#define QUICK_EXIT_MS 10000 /* a copy that ends sooner has crashed at its start */
#define QUICK_EXITS_MAX 3   /* in a row: a crash loop */
#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 30000

struct instance {
	unsigned id, replica, starts, quick_exits;
	char image[DIGEST_SIZE];
	int slot;
	uint16_t port;
	bool admitted, stopping, retired;
	int64_t created_ms, started_ms, next_start_ms;
	int64_t wait_from_ms; /* when it was up last, or made: it may take `health_within_ms` from then */
	uint64_t health_within_ms;
	unsigned ended_starts; /* starts whose end has been noted */
	char *health_path, *version;
	struct strlist argv, env; /* from the image, at its making: the image may be collected from the store later */
	char *dir;                /* working directory or NULL */
	bool host_base;
	char *folder;
	char message[160]; /* how it last ended */
	/* Not on disk. */
	int64_t drain_since_ms; /* 0: not seen draining */
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

/* Notes an end that was not noted yet (counts quick exits, sets the pause before the next start) and fills in the plan's view. `now_ms`:
 * wall clock. `up`: it takes traffic. */
int instance_look(struct instance *instance, bool up, int64_t now_ms, uint64_t drain_ms, struct instance_view *ret, struct error **err) must_check;
/* 0 ms, then 250 ms doubling up to 30 s. */
uint64_t instance_backoff_ms(unsigned quick_exits);
#endif
