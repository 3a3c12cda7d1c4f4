/* The event loop: libuv with timers, descriptor watches and one hook before it sleeps. One thread; callbacks may stop any
 * registration, their own included. Handles are freed by their stop function; the loop frees itself only when none is left. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include "base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct loop;
struct loop *loop_new(void);
void loop_free(struct loop *loop); /* closes what libuv still has to close */
void loop_run(struct loop *loop);  /* until loop_stop() */
bool loop_turn(struct loop *loop); /* one iteration, waiting for something to happen; false when nothing is registered */
void loop_stop(struct loop *loop);
uv_loop_t *loop_uv(struct loop *loop);
DEFINE_CLEANUP(struct loop, loop_free);

struct loop_timer;
typedef void (*loop_timer_fn)(void *arg);
/* First after delay_ms, then every repeat_ms (0: once; a one-shot timer must still be stopped to be freed). */
struct loop_timer *loop_timer_start(struct loop *loop, uint64_t delay_ms, uint64_t repeat_ms, loop_timer_fn fn, void *arg);
void loop_timer_stop(struct loop_timer *timer); /* NULL is fine */

struct loop_watch;
enum { LOOP_READ = UV_READABLE, LOOP_WRITE = UV_WRITABLE, LOOP_HANGUP = UV_DISCONNECT };
typedef void (*loop_watch_fn)(void *arg, int events);
struct loop_watch *loop_watch_start(struct loop *loop, int fd, int events, loop_watch_fn fn, void *arg);
void loop_watch_stop(struct loop_watch *watch); /* does not close the fd; NULL is fine */

/* Runs fn before each time the loop sleeps (uv_prepare): where the daemon commits. One hook a loop. */
void loop_on_prepare(struct loop *loop, void (*fn)(void *arg), void *arg);
/* Runs fn(arg) in the next iteration, not from inside the caller. */
void loop_defer(struct loop *loop, void (*fn)(void *arg), void *arg);
#endif
