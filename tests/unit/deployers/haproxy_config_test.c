#include "deployers/haproxy/config.h"

#include "base/alloc.h"
#include "deployers/haproxy/frontend.h"
#include "deployers/haproxy/log_ring.h"
#include "deployers/haproxy/program.h"
#include "tests/support/support.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void splits_are_written_and_read(void **state)
{
	static const struct {
		const char *text;
		struct split split;
		uint32_t weight_a, weight_b;
	} cases[] = {
		{"-:0:0", {SLOT_NONE, 0, 0, SLOT_NONE}, 0, 0},
		{"b:50000:17", {SLOT_B, 50000, 17, SLOT_NONE}, 950000, 50000},
		{"a:1000000:18", {SLOT_A, 1000000, 18, SLOT_NONE}, 1000000, 0},
		{"b:0:18446744073709551615", {SLOT_B, 0, UINT64_MAX, SLOT_NONE}, 1000000, 0},
		{"b:0:18446744073709551615:b", {SLOT_B, 0, UINT64_MAX, SLOT_B}, 1000000, 0}, /* the longest */
		{"b:0:19:a", {SLOT_B, 0, 19, SLOT_A}, 1000000, 0},
		{"-:0:20:a", {SLOT_NONE, 0, 20, SLOT_A}, 0, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[SPLIT_TEXT_SIZE];
		struct split split;
		split_format(&cases[i].split, text);
		assert_string_equal(text, cases[i].text);
		assert_true(split_parse(text, &split));
		assert_true(split_equal(&split, &cases[i].split));
		assert_int_equal(split_weight(&split, SLOT_A), cases[i].weight_a);
		assert_int_equal(split_weight(&split, SLOT_B), cases[i].weight_b);
		assert_int_equal(split_weight(&split, SLOT_NONE), 0);
	}
}

static void splits_made_by_hand_are_read_or_refused(void **state)
{
	static const char *const bad[] = {"", "b", "b:", "b:x:1", "c:5:1", "b:1000001:1", "b:-1:1", "b:5:1x", "b5:1", "b:5:", "nonsense", "b:5:1:", "b:5:1:c", "b:5:1:ab", "b:5:1:a:"};
	struct split split = {SLOT_A, 7, 7, SLOT_B};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(split_parse(bad[i], &split));
	assert_int_equal(split.ppm, 7);
	assert_int_equal(split.preview, SLOT_B);
	assert_true(split_parse("b:900000", &split)); /* without a generation: nobody's */
	assert_int_equal(split.generation, 0);
	assert_int_equal(split.ppm, 900000);
	assert_int_equal(split.preview, SLOT_NONE);
	assert_true(split_parse("b:5:1:-", &split));
	assert_int_equal(split.preview, SLOT_NONE);
}

static const struct router_settings settings = {
	.target = "prod", .frontend = "127.0.0.1:9000", .max_connections = 4000, .threads = 1, .request_timeout_ms = 60000, .drain_ms = 30000};

static char *text_of(const struct router_settings *s, const char *const paths[SLOTS], const struct router_server *servers, size_t n)
{
	struct buf text;
	buf_init(&text, 65536);
	router_config_text(s, paths, servers, n, &text);
	assert_false(text.failed);
	return buf_steal(&text);
}

static void configuration_names_servers_checks_and_arms(void **state)
{
	static const struct router_server servers[] = {{3, SLOT_A, 20000}, {4, SLOT_B, 20001}, {5, SLOT_A, 20002}};
	static const char *const paths[SLOTS] = {"/healthz", NULL};
	static const char *const expected[] = {
		"    bind 127.0.0.1:9000\n",
		"    http-request set-var(txn.split) str(split),map_str(split.map,-:0:0)\n",
		"    http-request set-var(txn.arm) var(txn.slot) if { rand(1000000),sub(txn.ppm) lt 0 }\n",
		("    use_backend prod-a if { var(txn.arm) -m str a } { nbsrv(prod-a) gt 0 }\n"
		 "    use_backend prod-b if { var(txn.arm) -m str a } { var(txn.slot) -m str a } { nbsrv(prod-b) gt 0 }\n"
		 "    use_backend prod-a if { var(txn.arm) -m str a }\n"),
		"    default_backend prod-none\n",
		("backend prod-a\n    option httpchk GET /healthz\n    server i3 127.0.0.1:20000 check inter 500 rise 1 fall 2\n"
		 "    server i5 127.0.0.1:20002 check inter 500 rise 1 fall 2\n"),
		"backend prod-b\n    server i4 127.0.0.1:20001 check inter 500 rise 1 fall 2\n",
		"    stats socket unix@r.sock mode 600 level admin expose-fd listeners\n",
		"    noreuseport\n    server-state-file servers.state\n",
		"    load-server-state-from-file global\n",
		"    server log unix@q.sock log-proto octet-count\n",
		"listen prod-log\n    mode tcp\n",
		"    rate-limit sessions 4\n    retries 0\n    timeout client 24h\n    timeout server 24h\n    server log unix@l.sock\n",
	};
	(void)state;
	cleanup_free char *text = text_of(&settings, paths, servers, ARRAY_SIZE(servers));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		if (!strstr(text, expected[i]))
			fail_msg("not in the configuration: %s\n%s", expected[i], text);
	assert_null(strstr(text, "    user "));
}

static void preview_address_is_a_frontend_without_log(void **state)
{
	static const char expected[] = "frontend prod-preview\n    bind 127.0.0.1:9001\n    no log\n    option forwardfor\n"
				       "    http-request set-var(txn.preview) str(split),map_str(split.map,-:0:0),field(4,:)\n"
				       "    use_backend prod-a if { var(txn.preview) -m str a }\n"
				       "    use_backend prod-b if { var(txn.preview) -m str b }\n"
				       "    default_backend prod-nopreview\n";
	static const char *const paths[SLOTS] = {"/healthz", NULL};
	struct router_settings with = settings;
	char mark[CONFIG_MARK_SIZE], other[CONFIG_MARK_SIZE];
	(void)state;
	with.preview = "127.0.0.1:9001";
	cleanup_free char *text = text_of(&with, paths, NULL, 0), *without = text_of(&settings, paths, NULL, 0);
	if (!strstr(text, expected))
		fail_msg("not in the configuration: %s\n%s", expected, text);
	assert_non_null(strstr(text, "string \"no release of target prod is on preview now\\n\"\n"));
	assert_null(strstr(without, "preview"));
	router_config_mark(&settings, paths, mark);
	router_config_mark(&with, paths, other);
	assert_string_not_equal(mark, other);
}

static void mark_changes_with_everything_but_the_servers(void **state)
{
	static const struct router_server server = {3, SLOT_A, 20000};
	static const char *const paths[SLOTS] = {"/healthz", NULL}, *const other_paths[SLOTS] = {"/healthz", "/ready"};
	struct router_settings moved = settings;
	char mark[CONFIG_MARK_SIZE], other[CONFIG_MARK_SIZE];
	(void)state;
	struct router_settings upgraded = settings;
	moved.frontend = "127.0.0.1:9001";
	upgraded.program = "/usr/sbin/haproxy 8:1 2:3 4";
	router_config_mark(&settings, paths, mark);
	assert_int_equal(strlen(mark), strlen("penstock-") + 16);
	cleanup_free char *with = text_of(&settings, paths, &server, 1), *without = text_of(&settings, paths, NULL, 0);
	assert_non_null(strstr(with, mark));
	assert_non_null(strstr(without, mark));
	router_config_mark(&settings, other_paths, other);
	assert_string_not_equal(mark, other);
	router_config_mark(&moved, paths, other);
	assert_string_not_equal(mark, other);
	router_config_mark(&upgraded, paths, other);
	assert_string_not_equal(mark, other);
}

static void health_paths_cannot_write_configuration(void **state)
{
	static const char *const good[] = {"/", "/healthz", "/v1/models/fraud:ready?verbose=1&x=y"};
	static const char *const bad[] = {"", "healthz", "/a b", "/a\nserver x", "/a#b", "/a\"b", "/a\\b", "/a$b", "/a%b", "/\xc3\xa9", "/a'b"};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(health_path_is_sound(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(health_path_is_sound(bad[i]));
	assert_false(health_path_is_sound(NULL));
}

static void frontends_are_addresses_with_ports(void **state)
{
	static const char *const good[] = {"127.0.0.1:9000", "*:80", ":8080", "[::1]:9000", "0.0.0.0:65535"};
	static const char *const bad[] = {"",
					  "9000",
					  "127.0.0.1",
					  "127.0.0.1:",
					  "127.0.0.1:0",
					  "127.0.0.1:65536",
					  "127.0.0.1:9x",
					  "::1:9000",
					  "localhost:9000",
					  "[::1:9000",
					  "127.0.0.1:9000 user root",
					  "1.2.3.4.5:80"};
	struct sockaddr_storage address;
	socklen_t len;
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(frontend_parse(good[i], &address, &len));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (frontend_parse(bad[i], &address, &len))
			fail_msg("\"%s\" is taken for an address", bad[i]);
}

static void complaints_are_the_alert_or_the_last_line(void **state)
{
	static const struct {
		const char *log, *complaint;
	} cases[] = {
		{"", "it said nothing"},
		{"one\ntwo\n", "two"},
		{"[NOTICE]   (1) : x\n[ALERT]    (12) : config : parsing [a:3] : unknown keyword\n[ALERT]    (12) : config : Fatal errors\n",
		 "config : parsing [a:3] : unknown keyword"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char line[256];
		haproxy_complaint_in(cases[i].log, line, sizeof(line));
		assert_string_equal(line, cases[i].complaint);
	}
}

static void programs_are_found_in_path_and_its_sbin(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *before = xstrdup(getenv("PATH"));
	cleanup_free char *program = fixture_write(fixture, "sbin/haproxy", "#!/bin/sh\n");
	cleanup_error struct error *err = NULL, *missing = NULL;
	cleanup_free char *found = NULL, *bin = path_join(fixture->dir, "bin");
	assert_int_equal(chmod(program, 0755), 0);
	setenv("PATH", bin, 1);
	int status = haproxy_program(NULL, &found, &err);
	setenv("PATH", before, 1);
	assert_int_equal(status, 0);
	assert_string_equal(found, program);
	assert_int_equal(haproxy_program("/nonexistent/haproxy", &found, &missing), -1);
	assert_error(missing, ERROR_MISSING,
		     "there is no HAProxy at /nonexistent/haproxy, which the target's `haproxy` names; Debian's package is `haproxy`");
}

struct seen {
	char text[256];
};
static void note_line(void *arg, const char *line, size_t len)
{
	struct seen *seen = arg;
	size_t at = strlen(seen->text);
	snprintf(seen->text + at, sizeof(seen->text) - at, "<%.*s>", (int)len, line);
}

static void frames_are_cut_by_their_lengths(void **state)
{
	static const struct {
		const char *bytes;
		ssize_t used;
		const char *lines;
	} cases[] = {
		{"", 0, ""},          {"5 hello", 7, "<hello>"},   {"5 hello3 a b", 12, "<hello><a b>"},
		{"5 hel", 0, ""},     {"5 hello12", 7, "<hello>"}, {"0 3 abc", 7, "<><abc>"},
		{"x", -1, ""},        {"5hello", -1, ""},          {"99999 x", -1, ""},
		{" 5 hello", -1, ""}, {"5 hello!", -1, "<hello>"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct seen seen = {0};
		assert_int_equal(log_frames(cases[i].bytes, strlen(cases[i].bytes), note_line, &seen), cases[i].used);
		assert_string_equal(seen.text, cases[i].lines);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits_are_written_and_read),
		cmocka_unit_test(splits_made_by_hand_are_read_or_refused),
		cmocka_unit_test(configuration_names_servers_checks_and_arms),
		cmocka_unit_test(preview_address_is_a_frontend_without_log),
		cmocka_unit_test(mark_changes_with_everything_but_the_servers),
		cmocka_unit_test(health_paths_cannot_write_configuration),
		cmocka_unit_test(frontends_are_addresses_with_ports),
		cmocka_unit_test(complaints_are_the_alert_or_the_last_line),
		cmocka_unit_test_setup_teardown(programs_are_found_in_path_and_its_sbin, fixture_setup, fixture_teardown),
		cmocka_unit_test(frames_are_cut_by_their_lengths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
