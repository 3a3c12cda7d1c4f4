/* Targets: where releases run. A strategy only ever says what should be true next (struct desired); a driver makes it so and reports
 * what is (struct actual), read back, never from memory. A driver never knows which strategy is running. One folder per kind:
 * deployers/<kind>/, listed in deployers/registry.c. */
#ifndef DEPLOYERS_TARGET_H
#define DEPLOYERS_TARGET_H

#include "artifacts/release.h"
#include "base/loop.h"
#include "base/schema.h"
#include "gates/analysis.h"

#define MAX_ARMS 3
enum route_kind { ROUTE_RANDOM };
struct route { enum route_kind kind; };

struct arm {
	const struct release *release; /* borrowed for the call; drivers copy what they keep */
	unsigned replicas;
	uint32_t weight_ppm;           /* of all traffic; the arms' weights add up to 1,000,000 (or all are 0: no traffic) */
};
struct desired {
	struct arm arms[MAX_ARMS];
	unsigned n_arms;
	struct route route;
	uint64_t generation;           /* grows with every change, survives restarts */
	unsigned preview;              /* 1 + index of the arm that the preview address shows; 0: none, it answers 503 */
	bool hurry;                    /* an emergency: one ready copy of an arm is enough to raise its weight; the others come up under load */
	const char *health_path;
	uint64_t health_within_ms;
	uint64_t restart_after_ms;     /* a copy that was up and answers no check for so long is restarted; 0: never */
	uint64_t memory_bytes;         /* of one copy; 0: the target's own limit */
	unsigned cpu;                  /* of one copy, whole cores; 0: none */
};

#define MAX_SEEN_INSTANCES 32
struct instance_status {
	unsigned id;                   /* as in arm_counts.instance_ids */
	char address[56];              /* "127.0.0.1:20001" */
	bool ready;
	unsigned restarts;             /* by itself or by us, since it was made */
};
struct arm_status {
	char image[72];                /* manifest digest: which release this is */
	unsigned replicas, ready;      /* instances that exist; that the router sees as up */
	unsigned outdated;             /* of replicas: with other settings than desired (limits, health); being replaced one by one */
	uint32_t weight_ppm;           /* as the router applies it now */
	struct instance_status instances[MAX_SEEN_INSTANCES];
	unsigned n_instances;
	bool failed;                   /* crash loop, or not ready within health_within: it will not come by waiting */
	char message[160];             /* why, for people */
};
struct actual {
	struct arm_status arms[MAX_ARMS];
	unsigned n_arms;               /* arms that still have instances or weight */
	uint64_t generation;           /* of the last desired state fully applied and read back; 0: none */
	int64_t seen_at_ms;
	bool router_ok;
	char preview_image[72];        /* what the preview address shows now, read back; "": nothing, or the target has no preview */
	char preview_url[128];         /* "http://127.0.0.1:9001", or "": the operator gave this target none */
	char message[160];             /* what is wrong with the router, or "" */
	uint64_t repairs;              /* since it was opened: what had been as desired, was not any more, and is again by the driver's own doing */
	bool repairing;                /* one is under way */
	char repaired[160];            /* what the last repair had found, for people */
	int64_t repair_took_ms;
};

/* Counts per image since last asked; `gap` if anything may have been missed since (restart, log gap): start a new block. */
struct arm_report { char image[72]; struct arm_counts counts; };
struct counts_report {
	struct arm_report arms[MAX_ARMS];
	unsigned n_arms;
	bool gap;
	uint32_t weight_ppm_min, weight_ppm_max; /* of the share the requests were drawn with, as the requests' own log lines carry it */
};

struct target_config {
	const char *name;
	const char *kind;              /* "process" */
	const struct yaml_node *body;  /* of the kind, schema-checked */
	const char *state_dir;         /* state/targets/<name>, exists */
	const char *layout;            /* state/oci: where images are */
	const char *self;              /* our executable, for children such as `penstock unpack` */
};

struct target;
typedef void (*target_done_fn)(void *arg, uint64_t generation, struct error *err);    /* err NULL: applied and read back; stays ours */
typedef void (*target_actual_fn)(void *arg, const struct actual *actual, struct error *err);
typedef void (*target_counts_fn)(void *arg, const struct counts_report *report, struct error *err);

struct target_ops {
	const char *name;
	const char *doc;
	const struct schema *config;
	int (*open)(const struct target_config *config, struct loop *loop, struct target **ret, struct error **err);
	void (*apply)(struct target *target, const struct desired *desired, target_done_fn done, void *arg); /* idempotent; a newer generation supersedes */
	void (*observe)(struct target *target, target_actual_fn done, void *arg);
	void (*counts)(struct target *target, target_counts_fn done, void *arg);
	void (*close)(struct target *target); /* leaves everything running; pending callbacks are dropped */
};
/* Every driver's struct target begins with this. */
struct target { const struct target_ops *ops; };

const struct target_ops *const *target_registry(void); /* NULL-terminated */
const struct target_ops *target_find(const char *kind);
#endif
