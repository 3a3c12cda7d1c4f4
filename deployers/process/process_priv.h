/* Inside the process driver only: the target's object and what its files call of each other.
 *
 * One pass of the driver: observe (router's sockets, attempts' locks) -> process_plan() -> do that one thing -> observe again. Passes
 * follow each other at once while there is something to do, and every second when there is not: that is how a killed copy, a restarted
 * HAProxy or a map changed by hand is noticed and repaired. */
#ifndef DEPLOYERS_PROCESS_PRIV_H
#define DEPLOYERS_PROCESS_PRIV_H

#include "deployers/haproxy/log_line.h"
#include "deployers/haproxy/router.h"
#include "deployers/process/instances.h"
#include "deployers/process/settings.h"
#include "deployers/target.h"

enum { PROCESS_MAGIC = 0x70a57e02, SETTLED_AFTER_MS = 150, LOOK_AGAIN_MS = 1000, WAIT_MS = 100, FAILED_AGAIN_MS = 500 };

/* How copies are run and watched. */
struct kept_settings {
	char *health_path;
	uint64_t health_within_ms, restart_after_ms, memory_bytes;
	unsigned cpu;
};
/* What was asked for last; on disk as desired.json, so that a new daemon goes on with it. */
struct kept_arm {
	char *version, *commit;
	int64_t release_id;
	struct kept_settings settings;
};
/* The settings that are asked for are those of one rollout, which is about its last arm: the release that comes. What is there already keeps
 * those that it came with, during the rollout and when it is taken back; it gets others when it is itself asked for with others. */
struct kept_desired {
	struct plan_desired plan;
	struct kept_arm arms[PLAN_ARMS];
	struct kept_settings asked;
};

#define COUNTED_IMAGES 6
struct counted {
	char image[DIGEST_SIZE];
	struct arm_counts counts;
};
struct tally {
	struct log_sequence sequence;
	char slot_image[SLOTS][DIGEST_SIZE]; /* whose requests a slot's are; stays when its copies are gone, until the next */
	struct counted images[COUNTED_IMAGES];
	size_t n_images;
	uint64_t fell_back[SLOTS]; /* drawn for the slot, answered by the other; since its image came */
	bool gap, has_ppm;
	uint32_t ppm_min, ppm_max;
};

struct reply;
struct waiter;
struct image_job;
struct image_removal;
struct path_probe;

struct process {
	struct target base;
	unsigned magic;
	struct loop *loop;
	char *name, *state_dir, *layout, *self, *subject; /* subject: of log lines */
	struct process_settings settings;
	struct router *router;
	struct instances instances;

	bool has_desired;
	struct kept_desired desired;
	uint64_t applied;       /* generation of the desired state last seen fully true; 0: the one we have is not yet */
	unsigned last_instance; /* highest id given */
	struct waiter *waiters; /* apply calls that have not been answered */
	struct reply *replies, **last_reply;
	struct loop_timer *reply_timer;
	struct observer *observers;

	struct loop_timer *pass_timer;
	bool busy;                   /* a pass is under way */
	bool again;                  /* something happened meanwhile: look again at once */
	struct plan_action action;   /* of this pass */
	bool unwell;                 /* something is done about a state that had been as desired: */
	char found[160];             /* ... what was found; "": nothing that anybody wants to be told */
	int64_t unwell_since_ms;     /* monotonic */
	uint64_t repairs;            /* that have come to their end, for `actual` */
	char repaired[160];
	int64_t repair_took_ms;
	unsigned repeats;            /* passes in a row with this very action */
	unsigned failures;           /* passes in a row that failed */
	char trouble[160];           /* of the last failed pass, or "" */
	char bad_image[DIGEST_SIZE]; /* that cannot be unpacked or used, and why */
	char bad_image_why[160];
	struct split seen_split;
	bool seen_has_split;
	uint64_t split_changed_ms; /* monotonic: when the router's map was first seen as it is */
	struct image_job *image_job;
	struct image_removal *image_removal;
	struct path_probe *path_probe;
	struct tally tally;
};
struct process *process_of(struct target *target);

/* desired.c */
int desired_load(struct process *process, struct error **err) must_check;
int desired_save(const struct process *process, struct error **err) must_check;
/* Checks and copies; *ret is the caller's. UNSUPPORTED, INVALID. */
int desired_copy(const struct desired *desired, struct kept_desired *ret, struct error **err) must_check;
bool desired_equal(const struct kept_desired *a, const struct kept_desired *b);
void desired_done(struct kept_desired *desired);
/* The arms that were there before keep their settings (see kept_desired). */
void desired_inherit(const struct kept_desired *before, struct kept_desired *desired);
/* What an image's copies shall be run and watched with; NULL if it is not desired. */
const struct kept_settings *desired_settings(const struct process *process, const char *image);
uint64_t desired_memory(const struct process *process, const struct kept_settings *settings); /* 0: no limit */

/* pass.c */
void pass_soon(struct process *process, uint64_t delay_ms);
void pass_finished(struct process *process, struct error *err); /* the action is done or has failed; takes err */
/* Fills in the plan's view; *ret_views is the caller's. */
int pass_look(struct process *process, bool runs, const struct router_state *state, struct plan_observed *ret, struct instance_view **ret_views,
	      struct error **err) must_check;

/* repairs.c: telling what somebody changed, or what ended, once it is as desired again. */
void repair_note(struct process *process, const struct plan_observed *observed); /* action is about to be done */
void repair_is_over(struct process *process);                                    /* all is as desired */

/* disk.c: HAProxy's files, which a reload or a new HAProxy reads. `observed`: of all copies, in their order. */
int disk_write_config(struct process *process, const struct plan_observed *observed, struct error **err) must_check;
bool disk_is_wrong(const struct process *process, const struct plan_observed *observed);

/* health_path.c */
void health_path_adopt(struct process *process, const struct plan_observed *observed); /* of action.image; ends in pass_finished() */
void path_probe_drop(struct path_probe *probe);                                        /* NULL is fine */

/* actions.c */
void action_do(struct process *process, const struct plan_observed *observed);

/* instance_start.c */
int instance_create(struct process *process, const struct plan_action *action, struct error **err) must_check;
int instance_start(struct process *process, struct instance *instance, struct error **err) must_check;

/* images.c: state_dir/images/<64 hex digits>, an image's files, unpacked once by a child. */
char *image_dir(const struct process *process, const char *digest);
bool image_is_unpacked(const struct process *process, const char *digest);
void image_unpack_start(struct process *process, const char *digest); /* ends in pass_finished() */
void images_forget_unused(struct process *process);                   /* removed by a child */
void image_job_drop(struct image_job *job);                           /* NULL is fine */
void image_removal_drop(struct image_removal *removal);               /* NULL is fine */

/* replies.c: calls back from the loop, never from inside a call of ours. */
void reply_done(struct process *process, target_done_fn done, void *arg, uint64_t generation, struct error *err);
void reply_counts(struct process *process, target_counts_fn done, void *arg);
void replies_drop(struct process *process);

/* waiters */
void waiters_add(struct process *process, target_done_fn done, void *arg);
void waiters_tell(struct process *process, uint64_t generation, enum error_code code, const char *message); /* message NULL: success */
void waiters_drop(struct process *process);

/* observe.c */
void observe_start(struct process *process, target_actual_fn done, void *arg);
void observers_drop(struct process *process);

/* tally.c */
void tally_open(struct process *process);
void tally_line(void *process, const char *line, size_t len);
void tally_broken(void *process);
void tally_slots(struct process *process); /* the copies have changed */
void tally_take(struct process *process, struct counts_report *ret);
#endif
