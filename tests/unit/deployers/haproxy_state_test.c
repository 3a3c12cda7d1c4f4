#include "deployers/haproxy/state.h"

#include "base/alloc.h"
#include "tests/support/support.h"

#include <string.h>

/* As HAProxy 2.6.12 answers, shortened. */
#define INFO "Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nPid: 9038\nUptime: 0d 0h00m01s\nnode: vm\ndescription: penstock-0123456789abcdef\n\n"
#define MAP "0x55b3502c0770 split b:50000:17\n\n"
#define SERVERS_HEADER                                                                                                                               \
	"1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change "               \
	"srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn "                \
	"srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n"
#define SERVER(backend, name, op, admin, result, port)                                                                                               \
	"3 " backend " 1 " name " 127.0.0.1 " op " " admin " 1 1 1 " result " 2 6 0 0 0 - " port " - 0 0 - - 0\n"
#define PASSED "15 3" /* status and result of the last check */
#define FAILED "7 2"
#define RUNS_AGAIN "15 0" /* a slow check: the status is still that of the one before */
#define NEVER "0 0"
#define STAT_HEADER "# pxname,svname,qcur,qmax,scur,smax,slim\n"

static void a_whole_answer_is_read(void **state)
{
	static const char answer[] = INFO MAP SERVERS_HEADER SERVER("prod-a", "i1", "2", "0", PASSED, "20000")
		SERVER("prod-a", "i2", "2", "8", NEVER, "20001") SERVER("prod-b", "i12", "0", "1", FAILED, "20002")
			SERVER("prod-b", "foreign", "2", "0", PASSED, "9") SERVER("other-a", "i1", "2", "0", PASSED, "1")
				SERVER("prod-none", "i7", "2", "0", PASSED,
				       "1") "\n" STAT_HEADER "prod-a,i1,1,0,4,9,\nprod-b,i12,0,0,2,9,\nprod-b,BACKEND,0,0,7,9,\n\n";
	cleanup_error struct error *err = NULL;
	struct router_state router = {0};
	(void)state;
	assert_ok(router_state_parse("prod", answer, &router, &err), err);
	assert_true(router.answers);
	assert_int_equal(router.pid, 9038);
	assert_int_equal(router.version_major, 2);
	assert_int_equal(router.version_minor, 6);
	assert_string_equal(router.mark, "penstock-0123456789abcdef");
	assert_true(router.has_split);
	assert_int_equal(router.split.candidate, SLOT_B);
	assert_int_equal(router.split.ppm, 50000);
	assert_int_equal(router.n_servers, 4);
	const struct server_state *first = router_state_server(&router, 1), *second = router_state_server(&router, 2),
				  *third = router_state_server(&router, 12);
	assert_true(first->up && first->checked && first->admin == SERVER_READY && first->slot == SLOT_A && first->port == 20000);
	assert_int_equal(first->sessions, 5); /* working and waiting */
	assert_true(second->up && !second->checked && second->admin == SERVER_DRAIN);
	assert_true(!third->up && !third->checked && third->admin == SERVER_MAINT && third->sessions == 2);
	assert_null(router_state_server(&router, 7));
	assert_int_equal(router.servers[3].id, 0);
	assert_int_equal(router_state_ready(&router, SLOT_A), 1);
	router_state_done(&router);
}

/* What was taken for lost health once in a while: the moment in which HAProxy is asking, and the one miss that it allows. */
static void a_server_stays_ready_while_it_is_checked_again(void **state)
{
	static const struct {
		const char *answer;
		unsigned ready;
	} cases[] = {
		{INFO MAP SERVERS_HEADER SERVER("prod-a", "i1", "2", "0", PASSED, "20000") "\n" STAT_HEADER "\n", 1},
		{INFO MAP SERVERS_HEADER SERVER("prod-a", "i1", "2", "0", RUNS_AGAIN, "20000") "\n" STAT_HEADER "\n", 1},
		{INFO MAP SERVERS_HEADER SERVER("prod-a", "i1", "2", "0", FAILED, "20000") "\n" STAT_HEADER "\n", 1},
		{INFO MAP SERVERS_HEADER SERVER("prod-a", "i1", "0", "0", FAILED, "20000") "\n" STAT_HEADER "\n", 0},
		{INFO MAP SERVERS_HEADER SERVER("prod-a", "i1", "2", "0", NEVER, "20000") "\n" STAT_HEADER "\n", 0},
		{INFO MAP SERVERS_HEADER SERVER("prod-a", "i1", "2", "0", "1 0", "20000") "\n" STAT_HEADER "\n", 0},
		{INFO MAP SERVERS_HEADER SERVER("prod-a", "i1", "2", "0", "2 0", "20000") "\n" STAT_HEADER "\n", 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		struct router_state router = {0};
		assert_ok(router_state_parse("prod", cases[i].answer, &router, &err), err);
		assert_int_equal(router_state_ready(&router, SLOT_A), cases[i].ready);
		router_state_done(&router);
	}
}

static void maps_changed_by_hand_are_seen(void **state)
{
	static const struct {
		const char *map;
		bool has_split;
		size_t entries;
	} cases[] = {
		{"\n", false, 0},
		{"Unknown map identifier. Please use #<id> or <file>.\n\n", false, 0},
		{"0x1 split nonsense\n\n", false, 1},
		{"0x1 other b:5:1\n\n", false, 1},
		{"0x1 split b:5:1\n0x2 split a:5:1\n\n", false, 2},
		{"0x1 split b:900000\n\n", true, 1},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *answer = xasprintf(INFO "%s" SERVERS_HEADER "\n" STAT_HEADER "\n", cases[i].map);
		cleanup_error struct error *err = NULL;
		struct router_state router = {0};
		assert_ok(router_state_parse("prod", answer, &router, &err), err);
		assert_int_equal(router.has_split, cases[i].has_split);
		assert_int_equal(router.split_entries, cases[i].entries);
		router_state_done(&router);
	}
}

static void broken_answers_are_errors(void **state)
{
	static const struct {
		const char *answer, *message;
	} cases[] = {
		{"", "haproxy: its answer ends after 0 of 4 parts"},
		{INFO MAP, "haproxy: its answer ends after 2 of 4 parts"},
		{INFO MAP "1\n\n" STAT_HEADER "\n", "haproxy: `show servers state` has no header line"},
		{INFO MAP "# be_name srv_name\n\n" STAT_HEADER "\n",
		 "haproxy: `show servers state` has no column \"srv_op_state\"; is this HAProxy 2.6 or newer?"},
		{INFO MAP SERVERS_HEADER "\n# pxname,svname\n\n", "haproxy: `show stat` has no column \"qcur\"; is this HAProxy 2.6 or newer?"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		struct router_state router = {0};
		assert_int_equal(router_state_parse("prod", cases[i].answer, &router, &err), -1);
		assert_error(err, ERROR_PROTOCOL, cases[i].message);
	}
}

static void cut_answers_never_crash(void **state)
{
	static const char answer[] =
		INFO MAP SERVERS_HEADER SERVER("prod-a", "i1", "2", "0", PASSED, "20000") "\n" STAT_HEADER "prod-a,i1,1,0,4,9,\n\n";
	(void)state;
	for (size_t len = 0; len < sizeof(answer); len++) {
		cleanup_free char *cut = xstrndup(answer, len);
		cleanup_error struct error *err = NULL;
		struct router_state router = {0};
		if (router_state_parse("prod", cut, &router, &err) == 0)
			router_state_done(&router);
	}
}

static void old_workers_are_counted(void **state)
{
	(void)state;
	assert_int_equal(old_workers_parse(""), 0);
	assert_int_equal(old_workers_parse("#<PID> <type>\n9035 master 0\n# workers\n9038 worker 0\n# programs\n\n"), 0);
	assert_int_equal(old_workers_parse(
				 "#<PID> <type>\n9035 master 1\n# workers\n9630 worker 0\n# old workers\n9038 worker 1\n9000 worker 2\n# programs\n"),
			 2);
}

/* HAProxy 2.6 took exactly these lines: i3 served at once, i4 got nothing until its first good check. */
static void states_of_servers_are_told_to_the_next_one(void **state)
{
	static const struct server_state servers[] = {
		{.id = 3, .name = "i3", .slot = SLOT_A, .port = 20000, .admin = SERVER_READY, .up = true, .checked = true},
		{.id = 4, .name = "i4", .slot = SLOT_B, .port = 20001, .admin = SERVER_READY},
		{.id = 5, .name = "i5", .slot = SLOT_B, .port = 20002, .admin = SERVER_DRAIN, .up = true, .checked = true},
		{.id = 6, .name = "i6", .slot = SLOT_B, .port = 20003, .admin = SERVER_READY, .up = true}, /* no check has seen it */
		{.id = 7, .name = "i7", .slot = SLOT_B, .port = 20004, .admin = SERVER_MAINT, .up = true, .checked = true},
		{.name = "stranger", .slot = SLOT_A, .port = 80, .admin = SERVER_READY, .up = true, .checked = true},
	};
	(void)state;
	cleanup_buf struct buf text;
	buf_init(&text, 4096);
	server_states_text("prod", servers, ARRAY_SIZE(servers), &text);
	const char *lines = strstr(text.data, "srv_agent_port\n");
	assert_ptr_equal(strstr(text.data, "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state "), text.data);
	assert_non_null(lines);
	assert_string_equal(lines + strlen("srv_agent_port\n"), "1 prod-a 1 i3 127.0.0.1 2 0 1 1 1 15 3 2 6 0 0 0 - 20000 - 0 0 - - 0\n"
								"1 prod-b 2 i4 127.0.0.1 0 0 1 1 1 8 2 0 6 0 0 0 - 20001 - 0 0 - - 0\n"
								"1 prod-b 3 i5 127.0.0.1 2 8 1 1 1 15 3 2 6 0 0 0 - 20002 - 0 0 - - 0\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states_of_servers_are_told_to_the_next_one),
		cmocka_unit_test(a_whole_answer_is_read),
		cmocka_unit_test(a_server_stays_ready_while_it_is_checked_again),
		cmocka_unit_test(maps_changed_by_hand_are_seen),
		cmocka_unit_test(broken_answers_are_errors),
		cmocka_unit_test(cut_answers_never_crash),
		cmocka_unit_test(old_workers_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
