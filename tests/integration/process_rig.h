/* A `process` target with real HAProxy, real sandboxed copies and real requests, for tests.
 *
 *     struct rig *rig = *state;
 *     char *good = rig_image(rig, "v1", "ok");
 *     struct plan stable = {...};
 *     rig_apply(rig, (struct wanted[]){{good, 2, 1000000}}, 1);     // waits until applied
 *     assert_int_equal(rig_get(rig, body), 200);
 */
#ifndef TESTS_INTEGRATION_PROCESS_RIG_H
#define TESTS_INTEGRATION_PROCESS_RIG_H

#include "deployers/target.h"
#include "tests/support/support.h"

struct rig {
	struct fixture *fixture;
	char *state_dir, *layout, *config; /* config: the target's YAML */
	uint16_t port;                     /* of the frontend */
	struct yaml_doc *doc;
	struct loop *loop;
	struct target *target;
	uint64_t generation; /* of the last rig_apply() */
	const char *health_path;
	uint64_t health_within_ms, restart_after_ms, memory_bytes;
	unsigned cpu, preview; /* preview: 1 + index of an arm */
	bool timed_out;
};
struct wanted {
	const char *image;
	unsigned replicas;
	uint32_t weight_ppm;
};

int rig_setup(void **state);
int rig_teardown(void **state); /* stops HAProxy and every copy, closes, looks for leaks */

/* Builds an image whose server answers with `version`; behaviour: "ok", "fail" (every tenth request is a 500), "crash", "sick" (never
 * healthy), "slow" (300 ms), "stubborn" (does not end on TERM). The digest is the caller's. */
char *rig_image(struct rig *rig, const char *version, const char *behaviour);

void rig_configure(struct rig *rig, const char *extra); /* before rig_open(): more YAML lines */
uint16_t rig_free_port(void);
void rig_move(struct rig *rig); /* gives the frontend another port; before rig_open() */
void rig_open(struct rig *rig);
void rig_close(struct rig *rig); /* as a daemon that ends: everything keeps running */
/* Applies and waits for the answer; NULL or the error, which is the caller's. */
struct error *rig_try_apply(struct rig *rig, const struct wanted *arms, unsigned n);
/* Asks for it, waits for nothing; the answer goes to `done`. */
void rig_start_apply(struct rig *rig, const struct wanted *arms, unsigned n, target_done_fn done, void *arg);
void rig_ignore_done(void *arg, uint64_t generation, struct error *err);
void rig_keep_error(void *arg, uint64_t generation, struct error *err); /* arg: a struct error **, set to a copy */
void rig_apply(struct rig *rig, const struct wanted *arms, unsigned n); /* fails the test on an error */
void rig_observe(struct rig *rig, struct actual *ret);
const struct arm_status *rig_arm(const struct actual *actual, const char *image); /* or NULL */
void rig_counts(struct rig *rig, struct counts_report *ret);
const struct arm_counts *rig_arm_counts(const struct counts_report *report, const char *image); /* zeroes if there are none */
/* Turns the loop for so long; for what must NOT happen, and for letting log lines arrive. */
void rig_run(struct rig *rig, uint64_t ms);
/* Turns the loop until it holds; fails the test after 30 s. */
#define rig_until(rig, condition)                                                                                                                    \
	for (uint64_t rig_deadline_ = clock_mono_ms() + 30000; !(condition); rig_run((rig), 20))                                                     \
		if (clock_mono_ms() > rig_deadline_)                                                                                                 \
	fail_msg("%s:%d: not within 30 s: %s", __FILE__, __LINE__, #condition)

/* One request from outside, waiting: status, or -1; the answer's body (a version) goes to body. */
int rig_get(const struct rig *rig, char body[64]);
int rig_ask(uint16_t port, const char *path, char body[64]); /* the same, of any loopback port */
/* Asks HAProxy's own socket. The answer is the caller's. */
char *rig_runtime(const struct rig *rig, const char *command);
char *rig_master(const struct rig *rig, const char *command); /* its master's socket */
unsigned long rig_router_pid(const struct rig *rig);          /* of the worker; 0: none */
/* Pid of the process that listens on a loopback port; 0: none. */
int rig_listener(uint16_t port);
/* How many copies have been started since the target was first opened. */
unsigned rig_starts(const struct rig *rig);

/* Requests all the time from two threads. */
struct load;
struct load *load_start(const struct rig *rig);
struct load_result {
	uint64_t requests, failed; /* failed: no answer, or not 200 */
	uint64_t from_first;       /* answers "v1" */
	char last_failure[128];
};
void load_stop(struct load *load, struct load_result *ret);
#endif
