#include "deployers/haproxy/log_line.h"

#include "base/clock.h"
#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

enum { A = SLOT_A, B = SLOT_B, NONE = SLOT_NONE };

static void requests_count_for_the_right_arm(void **state)
{
	static const struct {
		const char *line;
		int assigned, counted;
		bool error, fell_back;
		uint64_t latency_us;
	} cases[] = {
		/* served */
		{"9038 2 prod-a i1 200 12 0 1 14 -- b 50000 a", A, A, false, false, 13000},
		{"9038 2 prod-b i2 404 3 0 0 4 -- b 50000 b", B, B, false, false, 3000},
		{"9038 2 prod-b i2 500 3 0 0 4 -- b 50000 b", B, B, true, false, 3000},
		/* the candidate was down: its request went to the other arm, or to nobody */
		{"9038 2 prod-a i1 200 3 0 0 4 -- b 50000 b", B, A, false, true, 3000},
		{"9038 2 prod-b <NOSRV> 503 -1 -1 -1 0 SC b 50000 b", B, B, true, false, 0},
		/* the server refused, broke off, took too long, answered rubbish */
		{"9038 2 prod-b i2 503 -1 0 -1 3001 SC b 50000 b", B, B, true, false, 3001000},
		{"9038 2 prod-b i2 502 -1 0 0 5 SH b 50000 b", B, B, true, false, 5000},
		{"9038 2 prod-b i2 200 3 0 0 90 SD b 50000 b", B, B, true, false, 3000},
		{"9038 2 prod-b i2 504 -1 0 0 60000 sH b 50000 b", B, B, true, false, 60000000},
		{"9038 2 prod-b i2 503 -1 5000 -1 5000 sQ b 50000 b", B, B, true, false, 5000000},
		{"9038 2 prod-b i2 504 -1 0 0 60000 cH b 50000 b", B, B, true, false, 60000000},
		{"9038 2 prod-b i2 502 -1 0 0 5 PH b 50000 b", B, B, true, false, 5000},
		/* the client went away, before and after the answer began; or did not read it */
		{"9038 2 prod-b i2 -1 -1 0 0 800 CH b 50000 b", B, NONE, false, false, 0},
		{"9038 2 prod-b i2 200 3 0 0 90 CD b 50000 b", B, B, false, false, 3000},
		{"9038 2 prod-b i2 200 3 0 0 90000 cD b 50000 b", B, B, false, false, 3000},
		/* nobody's: not a request, no resources, nothing live */
		{"9038 2 prod <NOSRV> 400 -1 -1 -1 0 PR - - -", NONE, NONE, false, false, 0},
		{"9038 2 prod <NOSRV> 408 -1 -1 -1 10000 cR - - -", NONE, NONE, false, false, 0},
		{"9038 2 prod-none <NOSRV> 503 -1 0 -1 0 LR - 0 -", NONE, NONE, false, false, 0},
		{"9038 2 prod-b i2 503 -1 0 -1 3 RC b 50000 b", B, NONE, false, false, 0},
		{"9038 2 prod-b i2 500 -1 0 -1 3 IC b 50000 b", B, NONE, false, false, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct log_line line;
		struct log_effect effect;
		if (!log_line_parse("prod", cases[i].line, strlen(cases[i].line), &line))
			fail_msg("not read: %s", cases[i].line);
		log_line_effect(&line, &effect);
		if (effect.assigned != cases[i].assigned || effect.counted != cases[i].counted || effect.error != cases[i].error ||
		    effect.fell_back != cases[i].fell_back || (effect.counted != NONE && effect.latency_us != cases[i].latency_us))
			fail_msg("%s: assigned %d, counted %d, error %d, fell back %d, latency %llu", cases[i].line, effect.assigned, effect.counted,
				 effect.error, effect.fell_back, (unsigned long long)effect.latency_us);
	}
}

static void servers_are_known_by_their_number(void **state)
{
	static const struct {
		const char *name;
		unsigned id;
		bool has_server;
	} cases[] = {{"i1", 1, true}, {"i4711", 4711, true}, {"<NOSRV>", 0, false}, {"foreign", 0, true}, {"i", 0, true}, {"i1x", 0, true},
		     {"i99999999999", 0, true}};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct log_line line;
		char text[128];
		int len = snprintf(text, sizeof(text), "9038 2 prod-a %s 200 12 0 1 14 -- b 50000 a", cases[i].name);
		assert_true(log_line_parse("prod", text, (size_t)len, &line));
		assert_int_equal(line.server, cases[i].id);
		assert_int_equal(line.has_server, cases[i].has_server);
	}
}

static void what_is_no_such_line_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"Proxy prod stopped (cumulated conns: FE: 4, BE: 0).",
		"9038 2 prod-a i1 200 12 0 1 14 -- b 50000",
		"9038 2 prod-a i1 200 12 0 1 14 - b 50000 a",
		"9038 x prod-a i1 200 12 0 1 14 -- b 50000 a",
		"9038 2 prod-a i1 200 12 0 1 14 -- b 1000001 a",
		"9038 2 prod-a i1 200 12 0 1 14 -- b 50000 a more",
		"9038 2 prod-a  200 12 0 1 14 -- b 50000 a",
		"-1 2 prod-a i1 200 12 0 1 14 -- b 50000 a",
		"9999999999999999999 2 prod-a i1 200 1 0 1 1 -- b 5 a",
	};
	static const char whole[] = "9038 2 prod-a i1 200 12 0 1 14 -- b 50000 a";
	struct log_line line;
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (log_line_parse("prod", bad[i], strlen(bad[i]), &line))
			fail_msg("taken for a log line: %s", bad[i]);
	for (size_t len = 0; len < sizeof(whole) - 1; len++)
		assert_false(log_line_parse("prod", whole, len, &line));
}

static void missing_lines_are_noticed(void **state)
{
	static const struct {
		unsigned long pid;
		uint64_t number;
		bool follows;
	} steps[] = {
		{1, 5, false}, {1, 6, true},  {1, 7, true}, {1, 9, false}, {1, 10, true}, /* a hole is told once */
		{2, 0, true},  {1, 11, true}, {2, 1, true}, {1, 12, true},                /* a reload: two processes for a while */
		{3, 1, false}, {2, 2, true},
	};
	struct log_sequence sequence = {0};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (log_sequence_follows(&sequence, steps[i].pid, steps[i].number) != steps[i].follows)
			fail_msg("step %zu", i);
}

static void threads_may_overtake_each_other(void **state)
{
	static const uint64_t numbers[] = {0, 2, 1, 3, 3, 5, 6, 7};
	struct log_sequence sequence = {.tolerance = 3};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		assert_true(log_sequence_follows(&sequence, 1, numbers[i]));
	assert_false(log_sequence_follows(&sequence, 1, 20));
}

/* Not a benchmark: a bound that only a mistake in kind (an allocation or a scan each) would break. */
static void thousands_of_lines_a_second_are_little_work(void **state)
{
	static const char text[] = "9038 2 prod-a i1 200 12 0 1 14 -- b 50000 a";
	uint64_t from = clock_mono_ms(), good = 0;
	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		struct log_line line;
		struct log_effect effect;
		good += log_line_parse("prod", text, sizeof(text) - 1, &line);
		log_line_effect(&line, &effect);
	}
	assert_int_equal(good, 100000);
	assert_true(clock_mono_ms() - from < 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_count_for_the_right_arm),
		cmocka_unit_test(servers_are_known_by_their_number),
		cmocka_unit_test(what_is_no_such_line_is_refused),
		cmocka_unit_test(missing_lines_are_noticed),
		cmocka_unit_test(threads_may_overtake_each_other),
		cmocka_unit_test(thousands_of_lines_a_second_are_little_work),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
