#include "tests/support/support.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "runner/core.h"

#include <string.h>

struct desk {
	struct config *config;
	struct core *core;
	struct buf told; /* what effects and hooks did, in order */
	char *state;
};

static void desk_open(struct desk *desk, void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *path = xasprintf("%s/state", fixture->dir);
	cleanup_error struct error *err = NULL;
	*desk = (struct desk){.config = config_local(path), .state = xstrdup(path)};
	buf_init(&desk->told, 65536);
	assert_ok(core_open(desk->config, &desk->core, &err), err);
}

static void desk_close(struct desk *desk)
{
	core_close(desk->core);
	config_free(desk->config);
	buf_done(&desk->told);
	free(desk->state);
}

static struct desk *teller; /* effects get one argument, which says what to tell */
static void tell(struct core *core, void *arg)
{
	(void)core;
	buf_addf(&teller->told, "%s ", (const char *)arg);
}
static void tell_dropped(struct core *core, void *arg)
{
	(void)core;
	buf_addf(&teller->told, "no-%s ", (const char *)arg);
}
static void tell_reload(void *arg)
{
	(void)arg;
	buf_adds(&teller->told, "reload ");
}
static void tell_events(void *arg, int64_t newest)
{
	(void)arg;
	buf_addf(&teller->told, "events-%lld ", (long long)newest);
}

static int64_t count_events(const struct desk *desk)
{
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(db_query(desk->core->db, &q, &err, "SELECT count(*) FROM event", ""), err);
	assert_int_equal(db_step(q, &err), 1);
	return db_int(q, 0);
}

static void append(struct desk *desk, const char *kind)
{
	cleanup_error struct error *err = NULL;
	assert_ok(event_append(desk->core, kind, "run/1", 0, NULL, NULL, &err), err);
}

static void effects_run_after_the_commit_in_order(void **state)
{
	struct desk desk;
	desk_open(&desk, state);
	teller = &desk;
	core_on_events(desk.core, tell_events, NULL);
	core_event_begin(desk.core);
	append(&desk, "a");
	core_effect(desk.core, tell, tell_dropped, (void *)"one");
	core_event_end(desk.core, true);
	core_event_begin(desk.core);
	core_effect(desk.core, tell, tell_dropped, (void *)"two");
	core_event_end(desk.core, true);
	assert_string_equal(desk.told.data, "");
	core_commit(desk.core);
	assert_string_equal(desk.told.data, "one two events-1 ");
	core_commit(desk.core);
	assert_string_equal(desk.told.data, "one two events-1 ");
	desk_close(&desk);
}

static void an_event_that_is_not_kept_leaves_nothing(void **state)
{
	struct desk desk;
	desk_open(&desk, state);
	teller = &desk;
	core_on_events(desk.core, tell_events, NULL);
	core_event_begin(desk.core);
	append(&desk, "kept");
	core_effect(desk.core, tell, tell_dropped, (void *)"kept");
	core_event_begin(desk.core); /* one inside the other */
	append(&desk, "dropped");
	core_effect(desk.core, tell, tell_dropped, (void *)"dropped");
	core_event_end(desk.core, false);
	core_event_end(desk.core, true);
	core_event_begin(desk.core);
	append(&desk, "dropped");
	core_event_end(desk.core, false);
	core_commit(desk.core);
	assert_string_equal(desk.told.data, "no-dropped kept events-1 ");
	assert_int_equal(count_events(&desk), 1);
	desk_close(&desk);
}

static void append_later(struct core *core, void *arg)
{
	struct desk *desk = arg;
	core_event_begin(core);
	append(desk, "outcome");
	core_effect(core, tell, NULL, (void *)"second");
	core_event_end(core, true);
}

static void the_outcome_of_an_effect_is_an_event_of_its_own(void **state)
{
	struct desk desk;
	desk_open(&desk, state);
	teller = &desk;
	core_event_begin(desk.core);
	append(&desk, "intent");
	core_effect(desk.core, append_later, NULL, &desk);
	core_event_end(desk.core, true);
	core_commit(desk.core);
	assert_string_equal(desk.told.data, "second ");
	assert_int_equal(count_events(&desk), 2);
	assert_false(db_in_transaction(desk.core->db));
	desk_close(&desk);
}

/* A violated foreign key that is looked at only when it is committed. */
static void break_commit(struct desk *desk)
{
	cleanup_error struct error *err = NULL;
	assert_ok(db_run(desk->core->db, &err, "PRAGMA defer_foreign_keys = ON", ""), err);
	assert_ok(db_run(desk->core->db, &err, "INSERT INTO stage (run_id, idx, name, kind) VALUES (99, 0, 'a', 'run')", ""), err);
}

static void a_failed_commit_drops_effects_and_reloads(void **state)
{
	struct desk desk;
	desk_open(&desk, state);
	teller = &desk;
	core_on_reload(desk.core, tell_reload, NULL);
	core_on_events(desk.core, tell_events, NULL);
	core_event_begin(desk.core);
	append(&desk, "a");
	break_commit(&desk);
	core_effect(desk.core, tell, tell_dropped, (void *)"one");
	core_event_end(desk.core, true);
	core_commit(desk.core);
	assert_string_equal(desk.told.data, "no-one reload ");
	assert_int_equal(count_events(&desk), 0);
	assert_false(db_in_transaction(desk.core->db));
	/* And goes on: what is written afterwards is committed by the timer. */
	core_event_begin(desk.core);
	append(&desk, "b");
	core_effect(desk.core, tell, tell_dropped, (void *)"two");
	core_event_end(desk.core, true);
	while (!strstr(desk.told.data, "two"))
		loop_turn(desk.core->loop);
	assert_string_equal(desk.told.data, "no-one reload two events-1 ");
	desk_close(&desk);
}

static void a_full_disk_loses_the_event_and_nothing_else(void **state)
{
	struct desk desk;
	desk_open(&desk, state);
	teller = &desk;
	core_on_reload(desk.core, tell_reload, NULL);
	core_event_begin(desk.core);
	append(&desk, "before");
	core_event_end(desk.core, true);
	core_commit(desk.core);
	/* SQLite's own limit stands in for the disk's: the same SQLITE_FULL, the same automatic rollback. */
	cleanup_error struct error *err = NULL;
	assert_ok(db_run(desk.core->db, &err, "PRAGMA max_page_count = 1", ""), err);
	cleanup_free char *large = xmalloc(200000);
	memset(large, 'x', 199999);
	large[199999] = '\0';
	core_event_begin(desk.core);
	core_effect(desk.core, tell, tell_dropped, (void *)"one");
	int appended = event_append(desk.core, large, "run/1", 0, NULL, NULL, &err);
	core_event_end(desk.core, appended == 0);
	assert_int_equal(appended, -1);
	assert_error(err, ERROR_NO_SPACE, "database: the disk that holds the database is full: free some space; nothing was lost");
	core_commit(desk.core);
	assert_non_null(strstr(desk.told.data, "no-one"));
	assert_int_equal(count_events(&desk), 1);
	desk_close(&desk);
}

static void two_daemons_cannot_share_a_state(void **state)
{
	struct fixture *fixture = *state;
	struct desk desk;
	desk_open(&desk, state);
	struct core *second = NULL;
	cleanup_error struct error *err = NULL;
	assert_int_equal(core_open(desk.config, &second, &err), -1);
	cleanup_free char *expected = xasprintf("state %s/state: another penstock already works in %s/state: stop it, or use another state folder",
						fixture->dir, fixture->dir);
	assert_error(err, ERROR_CONFLICT, expected);
	desk_close(&desk);
}

static void the_loop_commits_before_it_sleeps(void **state)
{
	struct desk desk;
	desk_open(&desk, state);
	teller = &desk;
	core_event_begin(desk.core);
	append(&desk, "a");
	core_effect(desk.core, tell, NULL, (void *)"one");
	core_event_end(desk.core, true);
	struct loop_timer *timer = loop_timer_start(desk.core->loop, 0, 0, tell_reload, NULL);
	while (!strstr(desk.told.data, "one"))
		loop_turn(desk.core->loop);
	loop_timer_stop(timer);
	assert_false(db_in_transaction(desk.core->db));
	desk_close(&desk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(effects_run_after_the_commit_in_order),
		TEST(an_event_that_is_not_kept_leaves_nothing),
		TEST(the_outcome_of_an_effect_is_an_event_of_its_own),
		TEST(a_failed_commit_drops_effects_and_reloads),
		TEST(a_full_disk_loses_the_event_and_nothing_else),
		TEST(two_daemons_cannot_share_a_state),
		TEST(the_loop_commits_before_it_sleeps),
	};
	loop_free(loop_new()); /* libuv keeps a pipe for signals from its first loop on */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
