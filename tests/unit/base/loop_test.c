#include "base/loop.h"

#include "tests/support/support.h"

#include <fcntl.h>
#include <unistd.h>

struct seen {
	struct loop *loop;
	struct loop_timer *timer;
	struct loop_watch *watch;
	int count, prepared, events;
	int fd;
};

static int warm_up(void **state)
{
	(void)state;
	loop_free(loop_new()); /* libuv's process-wide descriptors come with the first loop */
	return 0;
}

static void stop_at_three(void *arg)
{
	struct seen *seen = arg;

	if (++seen->count == 3) {
		loop_timer_stop(seen->timer);
		loop_stop(seen->loop);
	}
}

static void timers_repeat_and_may_stop_themselves(void **state)
{
	(void)state;
	struct loop *loop CLEANUP(loop_free) = loop_new();
	struct seen seen = {.loop = loop};
	seen.timer = loop_timer_start(loop, 0, 1, stop_at_three, &seen);
	loop_run(loop);
	assert_int_equal(seen.count, 3);
	assert_false(loop_turn(loop)); /* finishes the closing; nothing is registered */
}

static void read_once(void *arg, int events)
{
	struct seen *seen = arg;
	char bytes[8];

	seen->events |= events;
	seen->count++;
	if (read(seen->fd, bytes, sizeof(bytes)) <= 0) {
		loop_watch_stop(seen->watch);
		seen->watch = NULL;
	}
}

static void descriptors_are_watched_until_stopped_from_inside(void **state)
{
	(void)state;
	struct loop *loop CLEANUP(loop_free) = loop_new();
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	struct seen seen = {.loop = loop, .fd = ends[0]};
	seen.watch = loop_watch_start(loop, ends[0], LOOP_READ, read_once, &seen);
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_true(loop_turn(loop));
	assert_int_equal(seen.count, 1);
	assert_true(seen.events & LOOP_READ);
	close(ends[1]);
	while (seen.watch)
		loop_turn(loop);
	assert_int_equal(seen.count, 2);
	close(ends[0]);
}

static void hung_up(void *arg, int events)
{
	struct seen *seen = arg;

	seen->events = events;
	loop_watch_stop(seen->watch);
	seen->watch = NULL;
}

static void a_writer_learns_that_its_reader_is_gone(void **state)
{
	(void)state;
	struct loop *loop CLEANUP(loop_free) = loop_new();
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	struct seen seen = {.loop = loop};
	seen.watch = loop_watch_start(loop, ends[1], LOOP_HANGUP, hung_up, &seen);
	close(ends[0]);
	while (seen.watch)
		loop_turn(loop);
	assert_true(seen.events & LOOP_HANGUP);
	close(ends[1]);
}

static void count_prepare(void *arg)
{
	((struct seen *)arg)->prepared++;
}

static void count_deferred(void *arg)
{
	struct seen *seen = arg;

	if (++seen->count < 3)
		loop_defer(seen->loop, count_deferred, seen);
}

static void what_is_deferred_runs_later_one_iteration_at_a_time(void **state)
{
	(void)state;
	struct loop *loop CLEANUP(loop_free) = loop_new();
	struct seen seen = {.loop = loop};
	loop_on_prepare(loop, count_prepare, &seen);
	loop_defer(loop, count_deferred, &seen);
	assert_int_equal(seen.count, 0);
	while (seen.count < 3) {
		int before = seen.count;
		loop_turn(loop);
		assert_int_equal(seen.count, before + 1);
	}
	assert_true(seen.prepared >= 3);
	assert_false(loop_turn(loop)); /* the hook alone keeps nothing alive */
	loop_on_prepare(loop, NULL, NULL);
}

static void stopping_nothing_is_fine(void **state)
{
	(void)state;
	loop_timer_stop(NULL);
	loop_watch_stop(NULL);
	loop_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(timers_repeat_and_may_stop_themselves),
		TEST(descriptors_are_watched_until_stopped_from_inside),
		TEST(a_writer_learns_that_its_reader_is_gone),
		TEST(what_is_deferred_runs_later_one_iteration_at_a_time),
		TEST(stopping_nothing_is_fine),
	};
	return cmocka_run_group_tests(tests, warm_up, NULL);
}
