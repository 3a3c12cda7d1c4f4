/* `penstock analyze` on recorded counts, as a person or a script calls it. */
#include "tests/support/command_run.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "runner/cli/commands.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

/* The same line so many times. */
static void repeat(struct buf *out, int times, const char *line)
{
	for (int i = 0; i < times; i++)
		buf_addf(out, "%s\n", line);
}

static struct said analyze(struct fixture *fixture, const char *text, const char *options)
{
	free(fixture_write(fixture, "counts.jsonl", text));
	assert_int_equal(chdir(fixture->dir), 0);
	cleanup_free char *line = xasprintf("analyze counts.jsonl%s", options);
	return command_line(fixture, cli_analyze, line);
}

static json_t *answer(struct fixture *fixture, const char *text, const char *options, int *ret_status)
{
	cleanup_free char *all = xasprintf("%s --format json", options);
	cleanup_said struct said said = analyze(fixture, text, all);
	cleanup_error struct error *err = NULL;
	json_t *json = NULL;
	*ret_status = said.status;
	assert_ok(json_parse(said.out, strlen(said.out), &json, &err), err);
	return json;
}

static double number(const json_t *json, const char *key)
{
	return json_number_value(json_object_get(json, key));
}

#define RATE(stable, candidate) "{\"metric\": \"error_rate\", \"stable\": " stable ", \"candidate\": " candidate "}"

static void a_rate_without_a_margin_is_tested_for_equality(void **state)
{
	int status;
	cleanup_buf struct buf text;
	buf_init(&text, 1 << 20);
	repeat(&text, 12, RATE("{\"n\": 900, \"y\": 9}", "{\"n\": 100, \"y\": 3}"));
	cleanup_json json_t *json = answer(*state, text.data, "", &status);
	const json_t *metric = json_array_get(json_object_get(json, "metrics"), 0);
	assert_int_equal(status, 3);
	assert_string_equal(json_string_or(json, "verdict", ""), "worse");
	assert_string_equal(json_string_or(metric, "name", ""), "error_rate");
	assert_string_equal(json_string_or(metric, "test", ""), "rate_margin");
	assert_true(number(metric, "log_e") >= log(20) && fabs(number(metric, "log_threshold") - log(20)) < 1e-9);
	assert_true(fabs(number(metric, "p_anytime") - exp(-number(metric, "log_e"))) < 1e-12);
	assert_true(fabs(number(metric, "estimate") - 0.02) < 1e-9);
	assert_true(number(metric, "low") <= 0.02 && number(metric, "high") >= 0.02);
	assert_int_equal(number(metric, "n"), 12000);
	assert_int_equal(number(metric, "blocks"), 12);
	/* Since the block after which it was said first: shorter files say when. */
	int64_t since = json_int_or(json, "decided_at_block", 0);
	assert_in_range(since, 2, 12);
	buf_reset(&text);
	repeat(&text, (int)since - 1, RATE("{\"n\": 900, \"y\": 9}", "{\"n\": 100, \"y\": 3}"));
	cleanup_json json_t *before = answer(*state, text.data, "", &status);
	assert_int_equal(status, 1);
	assert_string_equal(json_string_or(before, "verdict", ""), "undecided");
	assert_true(json_is_null(json_object_get(before, "decided_at_block")));
}

static void bounds_come_from_options(void **state)
{
	static const struct {
		const char *line, *options, *verdict;
		int status;
	} cases[] = {
		{RATE("{\"n\": 900, \"y\": 0}", "{\"n\": 100, \"y\": 0}"), " --margin error_rate=3%", "fine", 0},
		{RATE("{\"n\": 900, \"y\": 0}", "{\"n\": 100, \"y\": 0}"), "", "undecided", 1},
		{RATE("{\"n\": 900, \"y\": 90}", "{\"n\": 900, \"y\": 100}"), " --ratio error_rate=1.5", "fine", 0},
		{RATE("{\"n\": 900, \"y\": 90}", "{\"n\": 900, \"y\": 300}"), " --ratio error_rate=1.5", "worse", 3},
		{RATE("{\"n\": 900, \"y\": 800}", "{\"n\": 900, \"y\": 600}"), " --better error_rate=higher", "worse", 3},
		{RATE("{\"n\": 900, \"y\": 800}", "{\"n\": 900, \"y\": 600}"), "", "fine", 0},
		{RATE("{\"n\": 900, \"y\": 800}", "{\"n\": 900, \"y\": 860}"), " --show error_rate", "undecided", 1},
		{"{\"metric\": \"c\", \"weight\": 0.5, \"stable\": {\"counts\": [500, 500]}, \"candidate\": {\"counts\": [500, 500]}}", "", "fine",
		 0},
		{"{\"metric\": \"c\", \"weight\": 0.5, \"stable\": {\"counts\": [500, 500]}, \"candidate\": {\"counts\": [800, 200]}}", "", "worse",
		 3},
		{"{\"metric\": \"c\", \"stable\": {\"counts\": [500, 500]}, \"candidate\": {\"counts\": [800, 200]}}",
		 " --distance c=psi --at-most c=0.2", "worse", 3},
		{"{\"metric\": \"m\", \"stable\": {\"n\": 100, \"sum\": 400}, \"candidate\": {\"n\": 100, \"sum\": 410}}",
		 " --range m=0:10 --margin m=2", "fine", 0},
		{"{\"metric\": \"m\", \"stable\": {\"n\": 2, \"sum\": 0.4}, \"candidate\": {\"values\": [0.9, 0.8]}}", "", "worse", 3},
		{"{\"metric\": \"latency_p50\", \"stable\": {\"ms\": [10, 11, 12, 13, 14, 15]}, \"candidate\": {\"ms\": [30, 31, 32, 33, 34]}}", "",
		 "worse", 3},
		{"{\"metric\": \"latency_p50\", \"stable\": {\"latency\": [[50, 90], [51, 90]]}, \"candidate\": {\"latency\": [[40, 90], [41, 90]]}}",
		 "", "fine", 0},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int status;
		cleanup_buf struct buf text;
		buf_init(&text, 1 << 20);
		repeat(&text, 40, cases[i].line);
		cleanup_json json_t *json = answer(*state, text.data, cases[i].options, &status);
		if (status != cases[i].status || strcmp(json_string_or(json, "verdict", ""), cases[i].verdict) != 0)
			fail_msg("case %zu: %s, exit status %d", i, json_string_or(json, "verdict", ""), status);
	}
}

static void bad_lines_are_all_told_and_nothing_is_counted(void **state)
{
	cleanup_said struct said said = analyze(
		*state,
		RATE("{\"n\": 9, \"y\": 1}", "{\"n\": 1, \"y\": 0}") "\n" /* well */
		RATE("{\"n\": 1, \"y\": 2}",
		     "{\"n\": 1, \"y\": 0}") "\n"
					     "\n" RATE(
						     "{\"n\": -1, \"y\": 0}",
						     "{\"n\": 1, \"y\": 0}") "\n"
									     "{\"metric\": \"error_rate\"}\n" RATE(
										     "{\"counts\": [1]}",
										     "{\"n\": 1, \"y\": 0}") "\n"
													     "[1]\n"
													     "{\"metric\": \"x\", \"stable\": "
													     "{\"n\": 9007199254740993, \"y\": 0}, "
													     "\"candidate\": {\"n\": 1, \"y\": 0}}\n"
													     "{\"metric\": \"x\", \"stable\": "
													     "{\"n\": 1, \"y\": 0}, \"candidate\": "
													     "{\"n\": 1, \"y\": 0}, \"wieght\": 1}\n"
													     "{\"metric\": \"x\", \"stable\": "
													     "{\"n\": 1, \"y\": 0}, \"candidate\": "
													     "{\"n\": 1, \"y\": 0}, \"weight\": 2}\n"
													     "{\"metric\": \"m\", \"stable\": "
													     "{\"values\": [1.5]}, \"candidate\": "
													     "{\"values\": []}}\n",
		"");
	assert_int_equal(said.status, 2);
	assert_string_equal(said.out, "");
	assert_string_equal(said.err, "counts.jsonl:2: measure: stable: 2 events among 1 trials\n"
				      "counts.jsonl:4: measure: stable: key \"n\": negative\n"
				      "counts.jsonl:5: key \"stable\": expected an object\n"
				      "counts.jsonl:6: stable: a distribution, but metric \"error_rate\" is a rate\n"
				      "counts.jsonl:7: expected an object\n"
				      "counts.jsonl:8: measure: stable: key \"n\": beyond 2^53\n"
				      "counts.jsonl:9: unknown key \"wieght\"\n"
				      "counts.jsonl:10: \"weight\": expected the candidate's share, between 0 and 1\n"
				      "counts.jsonl:11: stable: \"values\": number 1 is not one between 0 and 1\n"
				      "penstock analyze: 9 bad lines; nothing was counted\n");
}

#define LINE(name, stable, candidate) "{\"metric\": \"" name "\", \"stable\": " stable ", \"candidate\": " candidate "}\n"
#define BIG "{\"n\": 4503599627370496, \"y\": 0}"

/* Nothing is read past in silence, and nothing of the file moves the terminal. */
static void what_would_be_ignored_is_told(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{LINE("c", "{\"counts\": [1, 2], \"n\": 3}", "{\"counts\": [1, 2]}"), "1: stable: \"n\" beside \"counts\": only one"},
		{LINE("c", "{\"counts\": [1, 2]}", "{\"counts\": [1, 2], \"y\": 3}"), "1: candidate: \"y\" beside \"counts\": only one"},
		{LINE("m", "{\"values\": [1], \"n\": 1}", "{\"values\": [1]}"), "1: stable: \"n\" beside \"values\""},
		{LINE("m", "{\"values\": [1], \"sum\": 1}", "{\"values\": [1]}"), "1: stable: \"sum\" beside \"values\""},
		{LINE("m", "{\"n\": 1, \"sum\": 1, \"y\": 1}", "{\"values\": [1]}"), "1: stable: \"y\" beside \"sum\""},
		{LINE("l", "{\"ms\": [1], \"y\": 1}", "{\"ms\": [1]}"), "1: stable: \"y\" beside \"ms\""},
		{LINE("l", "{\"ms\": [1], \"latency\": [[3, 1]]}", "{\"ms\": [1]}"), "1: stable: \"latency\" beside \"ms\""},
		{LINE("l", "{\"latency\": [[3, 1.5]]}", "{\"ms\": [1]}"), "1: stable: \"latency\": row 1: expected whole numbers"},
		{LINE("l", "{\"latency\": [[3, 1], [2.5, 1]]}", "{\"ms\": [1]}"), "1: stable: \"latency\": row 2: expected whole numbers"},
		{LINE("latency_p100", "{\"ms\": [1]}", "{\"ms\": [1]}"), "1: \"latency_p100\" names no quantile"},
		{LINE("latency_p0", "{\"ms\": [1]}", "{\"ms\": [1]}"), "1: \"latency_p0\" names no quantile"},
		{LINE("latency_p99999999999999999999", "{\"ms\": [1]}", "{\"ms\": [1]}"), "99\" names no quantile"},
		{LINE("e\\u001b[2J", "{\"n\": 1, \"y\": 0}", "{\"n\": 1, \"y\": 0}"), "1: key \"metric\": a name with characters that"},
		{LINE("e", "{\"n\": 1, \"y\": 0, \"\\u001b[2J\": 0}", "{\"n\": 1, \"y\": 0}"), "1: stable: unknown key \"?[2J\""},
		{"{\"metric\": \"e\", \"weight\": 0, \"stable\": {\"n\": 9, \"y\": 0}, \"candidate\": {\"n\": 1, \"y\": 0}}\n",
		 "1: \"weight\": 0, but the candidate has requests"},
		{"{\"metric\": \"e\", \"weight\": 1e-9, \"stable\": {\"n\": 9, \"y\": 0}, \"candidate\": {\"n\": 1, \"y\": 0}}\n",
		 "1: \"weight\": 1e-09, but the candidate has requests"},
		{"{\"metric\": \"e\", \"weight\": 1, \"stable\": {\"n\": 9, \"y\": 0}, \"candidate\": {\"n\": 1, \"y\": 0}}\n",
		 "1: \"weight\": 1, but the stable arm has requests"},
		{LINE("e", BIG, "{\"n\": 1, \"y\": 0}") LINE("e", BIG, "{\"n\": 1, \"y\": 0}"),
		 "counts.jsonl:2: with this line the counts of metric \"e\" add up beyond 2^53"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_said struct said said = analyze(*state, cases[i].text, "");
		if (said.status != 2 || !has(said.err, cases[i].message) || has(said.err, "\x1b") || said.out[0])
			fail_msg("case %zu: exit status %d: %s", i, said.status, said.err);
	}
}

static void slips_of_the_pen_are_told(void **state)
{
	static const char one[] = RATE("{\"n\": 9, \"y\": 1}", "{\"n\": 1, \"y\": 0}");
	static const struct {
		const char *text, *options, *message;
	} cases[] = {
		{one, " --margin eror_rate=1%", "counts.jsonl has no line of metric \"eror_rate\""},
		{"\n", "", "counts.jsonl has no blocks"},
		{one, " --alpha 0.6", "--alpha: expected a number between 1e-12 and 0.5: \"0.6\""},
		{one, " --alpha 1e-13", "--alpha: expected a number between 1e-12 and 0.5: \"1e-13\""},
		{one, " --margin error_rate", "--margin: expected NAME=0.5%: \"error_rate\""},
		{one, " --ratio error_rate=0.9", "--ratio: expected NAME=1.2, at least 1: \"error_rate=0.9\""},
		{one, " --bursts some", "--bursts: expected none, default, exchangeable or tempered: \"some\""},
		{one, " --range error_rate=1:0", "--range: expected NAME=LOW:HIGH"},
		{one, " --format xml", "--format: expected text or json: \"xml\""},
		{one, " more.jsonl", "expected one file, or - for standard input"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_said struct said said = analyze(*state, cases[i].text, cases[i].options);
		assert_int_equal(said.status, 2);
		if (!has(said.err, cases[i].message))
			fail_msg("case %zu: %s", i, said.err);
	}
	cleanup_said struct said missing = command_line(*state, cli_analyze, "analyze missing.jsonl");
	assert_int_equal(missing.status, 1);
	assert_true(has(missing.err, "missing.jsonl"));
}

static void the_text_is_for_people(void **state)
{
	cleanup_buf struct buf text;
	buf_init(&text, 1 << 20);
	repeat(&text, 12, RATE("{\"n\": 900, \"y\": 9}", "{\"n\": 100, \"y\": 3}"));
	cleanup_said struct said said = analyze(*state, text.data, "");
	assert_int_equal(said.status, 3);
	assert_true(has(said.out, "error_rate: worse, since block "));
	assert_true(has(said.out, "  test       rate_margin over 12 blocks: 10800 of stable, 1200 of the candidate\n"));
	assert_true(has(said.out, "  arms       stable 1%, candidate 3%\n"));
	assert_true(has(said.out, "  difference 2 points, between "));
	assert_true(has(said.out, "worse after 12 blocks, since block "));
}

/* Shares that are not kept break the split; steps begin safety afresh; copies bring the guard with them. */
static void the_split_steps_and_copies_are_taken_in(void **state)
{
	int status;
	cleanup_buf struct buf text;
	buf_init(&text, 1 << 20);
	repeat(&text, 10, "{\"metric\": \"e\", \"stable\": {\"n\": 900, \"y\": 0}, \"candidate\": {\"n\": 400, \"y\": 0}, \"weight\": 0.1}");
	cleanup_json json_t *broken = answer(*state, text.data, " --margin e=1%", &status);
	assert_string_equal(json_string_or(broken, "verdict", ""), "split_broken");
	assert_int_equal(status, 1);
	buf_reset(&text);
	repeat(&text, 20, "{\"metric\": \"e\", \"stable\": {\"n\": 900, \"y\": 0}, \"candidate\": {\"n\": 100, \"y\": 0}, \"step\": 0}");
	repeat(&text, 1, "{\"metric\": \"e\", \"stable\": {\"n\": 9, \"y\": 0}, \"candidate\": {\"n\": 1, \"y\": 0}, \"step\": 1}");
	cleanup_json json_t *afresh = answer(*state, text.data, " --margin e=1%", &status);
	assert_string_equal(json_string_or(afresh, "verdict", ""), "undecided");
	assert_int_equal(status, 1);
	buf_reset(&text);
	repeat(&text, 6,
	       "{\"metric\": \"e\", \"stable\": {\"n\": 900, \"y\": 40, \"instances\": [[450, 35], [450, 5]]}, \"candidate\": {\"n\": 400, \"y\": "
	       "45}}");
	cleanup_json json_t *guarded = answer(*state, text.data, "", &status);
	assert_string_equal(json_string_or(guarded, "verdict", ""), "undecided");
	assert_true(number(json_array_get(json_object_get(guarded, "metrics"), 0), "dispersion") > 5);
	cleanup_json json_t *believed = answer(*state, text.data, " --bursts none", &status);
	assert_string_equal(json_string_or(believed, "verdict", ""), "worse");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_rate_without_a_margin_is_tested_for_equality, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(bounds_come_from_options, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(bad_lines_are_all_told_and_nothing_is_counted, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(what_would_be_ignored_is_told, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(slips_of_the_pen_are_told, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(the_text_is_for_people, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(the_split_steps_and_copies_are_taken_in, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
