#include "base/clock.h"
#include "base/log.h"
#include "tests/support/support.h"

#include <fcntl.h>

static void stamps_are_rfc_3339_in_utc(void **state)
{
	(void)state;
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {
		{0, "1970-01-01T00:00:00Z"},
		{999, "1970-01-01T00:00:00Z"},
		{-1, "1969-12-31T23:59:59Z"},
		{1582934400000, "2020-02-29T00:00:00Z"}, /* date -u -d 2020-02-29 +%s */
		{1795469874123, "2026-11-23T21:37:54Z"},
		{253402300799999, "9999-12-31T23:59:59Z"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[RFC3339_SIZE];
		clock_rfc3339(cases[i].ms, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void spans_are_short(void **state)
{
	(void)state;
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {
		{0, "0ms"},         {850, "850ms"},       {3250, "3.2s"},          {59999, "59.9s"},        {60000, "1m00s"},
		{245000, "4m05s"},  {3599999, "59m59s"},  {7380000, "2h03m"},      {172799999, "47h59m"},   {172800000, "2d00h"},
		{UINT64_MAX, "213503982334d14h"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[SPAN_SIZE];
		clock_span(cases[i].ms, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void a_fake_clock_says_what_it_is_told(void **state)
{
	(void)state;
	int64_t now = 1795469874123;
	clock_set_fake(&now);
	assert_int_equal(clock_wall_ms(), now);
	now += 1500;
	assert_int_equal(clock_mono_ms(), now);
	clock_set_fake(NULL);
	uint64_t first = clock_mono_ms(), second = clock_mono_ms();
	assert_true(second >= first);
	assert_true(clock_wall_ms() > 1577836800000); /* 2020 */
}

static void a_log_line_is_one_line_whatever_is_in_it(void **state)
{
	(void)state;
	int64_t now = 1795469874123;
	int ends[2], saved = dup(STDERR_FILENO);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	dup2(ends[1], STDERR_FILENO);
	clock_set_fake(&now);
	log_write(LOG_DEBUG, "run/12", "not shown");
	log_write(LOG_INFO, "run/12", "stage %s finished: %s", "train\n2026 error forged", "success\x1b[2J");
	clock_set_fake(NULL);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(ends[1]);
	char text[500];
	ssize_t n = read(ends[0], text, sizeof(text) - 1);
	close(ends[0]);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, "2026-11-23T21:37:54Z info run/12 stage train\\x0a2026 error forged finished: success\\x1b[2J\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stamps_are_rfc_3339_in_utc),
		cmocka_unit_test(spans_are_short),
		cmocka_unit_test(a_fake_clock_says_what_it_is_told),
		cmocka_unit_test_setup_teardown(a_log_line_is_one_line_whatever_is_in_it, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
