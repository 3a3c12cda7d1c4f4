#include "base/loop.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdio.h>

enum { TIMER_MAGIC = 0x71e2a001, WATCH_MAGIC = 0x71e2a002 };

struct deferred {
	void (*fn)(void *arg);
	void *arg;
};

struct loop {
	uv_loop_t uv;
	uv_prepare_t prepare;
	uv_idle_t idle; /* runs only while something is deferred */
	void (*on_prepare)(void *arg);
	void *on_prepare_arg;
	struct deferred *deferred;
	size_t n_deferred, deferred_capacity;
};

struct loop_timer {
	unsigned magic;
	uv_timer_t uv;
	loop_timer_fn fn;
	void *arg;
};

struct loop_watch {
	unsigned magic;
	uv_poll_t uv;
	int events;
	loop_watch_fn fn;
	void *arg;
};

/* libuv refuses only what is our own mistake: a descriptor watched twice, a closed one, a regular file. */
static void must(int status, const char *what)
{
	if (status >= 0)
		return;
	fprintf(stderr, "loop: %s: %s\n", what, uv_strerror(status));
	abort();
}

static void prepare_cb(uv_prepare_t *handle)
{
	struct loop *loop = handle->data;

	if (loop->on_prepare)
		loop->on_prepare(loop->on_prepare_arg);
}

/* Takes the queue away first: what is deferred from here runs in the iteration after this one. */
static void idle_cb(uv_idle_t *handle)
{
	struct loop *loop = handle->data;
	struct deferred *queue = loop->deferred;
	size_t n = loop->n_deferred;

	loop->deferred = NULL;
	loop->n_deferred = loop->deferred_capacity = 0;
	uv_idle_stop(&loop->idle);
	for (size_t i = 0; i < n; i++)
		queue[i].fn(queue[i].arg);
	free(queue);
}

struct loop *loop_new(void)
{
	struct loop *loop = xcalloc(1, sizeof(*loop));

	must(uv_loop_init(&loop->uv), "init");
	must(uv_prepare_init(&loop->uv, &loop->prepare), "prepare");
	must(uv_idle_init(&loop->uv, &loop->idle), "idle");
	loop->prepare.data = loop;
	loop->idle.data = loop;
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	uv_close((uv_handle_t *)&loop->prepare, NULL);
	uv_close((uv_handle_t *)&loop->idle, NULL);
	/* Close callbacks run in an iteration; without blocking, since a registration left open may never fire. */
	int status = uv_loop_close(&loop->uv);
	for (int i = 0; i < 8 && status == UV_EBUSY; i++) {
		uv_run(&loop->uv, UV_RUN_NOWAIT);
		status = uv_loop_close(&loop->uv);
	}
	if (status == UV_EBUSY)
		return; /* somebody still holds a registration: freeing it under them would be worse than this leak */
	free(loop->deferred);
	free(loop);
}

void loop_run(struct loop *loop)
{
	uv_run(&loop->uv, UV_RUN_DEFAULT);
}

bool loop_turn(struct loop *loop)
{
	return uv_run(&loop->uv, UV_RUN_ONCE) != 0;
}

void loop_stop(struct loop *loop)
{
	uv_stop(&loop->uv);
}

uv_loop_t *loop_uv(struct loop *loop)
{
	return &loop->uv;
}

static void timer_cb(uv_timer_t *handle)
{
	struct loop_timer *timer = handle->data;

	assert(timer->magic == TIMER_MAGIC);
	timer->fn(timer->arg);
}

static void timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

struct loop_timer *loop_timer_start(struct loop *loop, uint64_t delay_ms, uint64_t repeat_ms, loop_timer_fn fn, void *arg)
{
	struct loop_timer *timer = xcalloc(1, sizeof(*timer));

	timer->magic = TIMER_MAGIC;
	timer->fn = fn;
	timer->arg = arg;
	must(uv_timer_init(&loop->uv, &timer->uv), "timer");
	timer->uv.data = timer;
	/* libuv counts from the loop's cached time, which is old after a long callback or before the first turn. */
	uv_update_time(&loop->uv);
	must(uv_timer_start(&timer->uv, timer_cb, delay_ms, repeat_ms), "timer start");
	return timer;
}

void loop_timer_stop(struct loop_timer *timer)
{
	if (!timer)
		return;
	assert(timer->magic == TIMER_MAGIC);
	timer->magic = 0;
	uv_close((uv_handle_t *)&timer->uv, timer_closed);
}

static void poll_cb(uv_poll_t *handle, int status, int events)
{
	struct loop_watch *watch = handle->data;

	assert(watch->magic == WATCH_MAGIC);
	/* On a descriptor error libuv stops watching; the owner's next read or write tells it what happened. */
	watch->fn(watch->arg, status < 0 ? watch->events | LOOP_HANGUP : events);
}

static void watch_closed(uv_handle_t *handle)
{
	free(handle->data);
}

struct loop_watch *loop_watch_start(struct loop *loop, int fd, int events, loop_watch_fn fn, void *arg)
{
	struct loop_watch *watch = xcalloc(1, sizeof(*watch));

	watch->magic = WATCH_MAGIC;
	watch->events = events;
	watch->fn = fn;
	watch->arg = arg;
	must(uv_poll_init(&loop->uv, &watch->uv, fd), "watch");
	watch->uv.data = watch;
	must(uv_poll_start(&watch->uv, events, poll_cb), "watch start");
	return watch;
}

void loop_watch_stop(struct loop_watch *watch)
{
	if (!watch)
		return;
	assert(watch->magic == WATCH_MAGIC);
	watch->magic = 0;
	uv_close((uv_handle_t *)&watch->uv, watch_closed);
}

void loop_on_prepare(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	loop->on_prepare = fn;
	loop->on_prepare_arg = arg;
	if (!fn) {
		uv_prepare_stop(&loop->prepare);
		return;
	}
	must(uv_prepare_start(&loop->prepare, prepare_cb), "prepare start");
	/* The hook alone must not keep the loop alive. */
	uv_unref((uv_handle_t *)&loop->prepare);
}

void loop_defer(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	loop->deferred = xgrow(loop->deferred, &loop->deferred_capacity, loop->n_deferred + 1, sizeof(*loop->deferred));
	loop->deferred[loop->n_deferred++] = (struct deferred){.fn = fn, .arg = arg};
	must(uv_idle_start(&loop->idle, idle_cb), "idle start");
}
