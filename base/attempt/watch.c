#include "base/attempt/attempt.h"

#include "base/alloc.h"
#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>

enum { WATCH_MAGIC = 0x71e2a005, PROBE_MS = 2000, SETTLE_MS = 5 };

/* The leader alone reads `control`, and we hold its writing end: the kernel tells us the moment the leader is gone, whoever started it and
 * however it ended. No inotify instance is spent on it. The slow probe is for what cannot be foreseen (a FIFO removed by hand). */
struct attempt_watch {
	unsigned magic;
	struct loop *loop;
	char *dir;
	int control;
	struct loop_watch *hangup;
	struct loop_timer *timer;
	attempt_done_fn done;
	void *arg;
};

static void probe(void *arg);

static void next_probe(struct attempt_watch *watch, uint64_t delay_ms)
{
	loop_timer_stop(STEAL(watch->timer));
	watch->timer = loop_timer_start(watch->loop, delay_ms, 0, probe, watch);
}

static void let_go(struct attempt_watch *watch)
{
	loop_watch_stop(STEAL(watch->hangup));
	loop_timer_stop(STEAL(watch->timer));
	if (watch->control >= 0)
		close(steal_fd(&watch->control));
}

static void hung_up(void *arg, int events)
{
	struct attempt_watch *watch = arg;

	(void)events;
	assert(watch->magic == WATCH_MAGIC);
	loop_watch_stop(STEAL(watch->hangup));
	close(steal_fd(&watch->control));
	probe(watch);
}

static void watch_control(struct attempt_watch *watch)
{
	cleanup_free char *path = path_join(watch->dir, "control");

	watch->control = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (watch->control >= 0)
		watch->hangup = loop_watch_start(watch->loop, watch->control, LOOP_HANGUP, hung_up, watch);
}

static void probe(void *arg)
{
	struct attempt_watch *watch = arg;
	cleanup_error struct error *err = NULL;
	enum attempt_state state;

	assert(watch->magic == WATCH_MAGIC);
	if (attempt_state(watch->dir, &state, &err) < 0) {
		next_probe(watch, PROBE_MS); /* out of descriptors, say: it passes, and the attempt does not depend on us */
		return;
	}
	if (state == ATTEMPT_FINISHED || state == ATTEMPT_LOST) {
		attempt_done_fn done = watch->done;
		let_go(watch);
		done(watch->arg, state);
		return;
	}
	if (state == ATTEMPT_RUNNING && watch->control < 0)
		watch_control(watch);
	/* Lock held but nobody reads: it is starting, or its descriptors are being closed one after another. */
	next_probe(watch, state == ATTEMPT_RUNNING && watch->control < 0 ? SETTLE_MS : PROBE_MS);
}

struct attempt_watch *attempt_watch_start(struct loop *loop, const char *dir, attempt_done_fn done, void *arg)
{
	struct attempt_watch *watch = xcalloc(1, sizeof(*watch));

	watch->magic = WATCH_MAGIC;
	watch->loop = loop;
	watch->dir = xstrdup(dir);
	watch->control = -1;
	watch->done = done;
	watch->arg = arg;
	next_probe(watch, 0);
	return watch;
}

void attempt_watch_stop(struct attempt_watch *watch)
{
	if (!watch)
		return;
	assert(watch->magic == WATCH_MAGIC);
	let_go(watch);
	watch->magic = 0;
	free(watch->dir);
	free(watch);
}
