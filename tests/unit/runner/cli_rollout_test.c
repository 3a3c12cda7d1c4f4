/* What people see of a rollout, from the API's JSON: the page of `rollout watch`, the words of `explain`, the families of /metrics. */
#include "tests/support/support.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "runner/cli/evidence.h"
#include "runner/cli/explain_text.h"
#include "runner/cli/rollout_commands.h"
#include "runner/cli/rollout_find.h"
#include "runner/cli/rollout_screen.h"
#include "runner/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW INT64_C(1764000125000)

static json_t *data(const char *name)
{
	cleanup_free char *path = xasprintf(SOURCE_DIR "/tests/data/rollouts/%s.json", name);
	cleanup_error struct error *err = NULL;
	json_t *json;
	assert_ok(json_read(path, 1 << 20, &json, &err), err);
	return json;
}

static void screen_like(struct screen *screen, unsigned width, bool color, bool glyphs)
{
	*screen = (struct screen){.width = width, .color = color, .glyphs = glyphs};
	buf_init(&screen->out, 1 << 20);
}

/* The whole text, or the file of that name in tests/data/rollouts is shown as what was expected. */
static void expect(const struct screen *screen, const char *name)
{
	cleanup_free char *path = xasprintf(SOURCE_DIR "/tests/data/rollouts/%s.txt", name), *expected = NULL;
	cleanup_error struct error *err = NULL;
	if (getenv("PENSTOCK_WRITE_EXPECTED"))
		assert_ok(file_write_atomic(path, screen->out.data, screen->out.len, 0644, &err), err);
	assert_ok(file_read(path, 1 << 20, &expected, NULL, &err), err);
	if (strcmp(screen->out.data, expected) != 0)
		fail_msg("%s is not as expected:\n%s", name, screen->out.data);
}

static unsigned widest_line(const char *text)
{
	unsigned widest = 0;
	for (const char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		unsigned columns = (unsigned)utf8_count(line, (size_t)(end - line));
		widest = columns > widest ? columns : widest;
	}
	return widest;
}

/* ---- the page ---- */

static void the_page_shows_weights_copies_evidence_and_decisions(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		unsigned width;
		bool color, glyphs;
	} cases[] = {{"page-plain", 0, false, false}, {"page-80", 80, false, true}, {"page-40", 40, false, false}, {"page-color", 80, true, true}};
	cleanup_json json_t *rollout = data("stepping"), *events = data("events");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct screen screen;
		screen_like(&screen, cases[i].width, cases[i].color, cases[i].glyphs);
		add_rollout_screen(&screen, rollout, events, NOW);
		expect(&screen, cases[i].name);
		if (cases[i].width && !cases[i].color)
			assert_true(widest_line(screen.out.data) <= cases[i].width);
		assert_int_equal(strchr(screen.out.data, '\033') != NULL, cases[i].color);
		screen_done(&screen);
	}
}

static void the_page_of_one_that_has_ended_tells_why(void **state)
{
	(void)state;
	cleanup_json json_t *rollout = data("rolled_back"), *events = json_array();
	struct screen screen;
	screen_like(&screen, 80, false, false);
	add_rollout_screen(&screen, rollout, events, NOW);
	expect(&screen, "page-rolled-back");
	screen_done(&screen);
}

static void a_distance_an_approval_and_the_time_of_a_step_are_told(void **state)
{
	(void)state;
	cleanup_json json_t *rollout = data("stepping"), *events = json_pack("[{s:s, s:s, s:{s:s}}]", "kind", "rollout.approved", "actor",
									     "uid:0(root)", "data", "reason", "resumed by uid:0(root)");
	struct screen screen;
	json_object_set_new(rollout, "step_elapsed_ms", json_integer(73400));
	json_object_set_new(json_object_get(rollout, "spec"), "hold_at_most_ms", json_integer(240000));
	json_object_del(json_object_get(rollout, "spec"), "terms");
	json_object_set_new(json_object_get(rollout, "spec"), "metrics",
			    json_pack("[{s:s, s:s}]", "metric", "prediction_drift", "kind", "distribution"));
	json_object_set_new(json_object_get(rollout, "verdict"), "metrics",
			    json_pack("[{s:s, s:s, s:f, s:f, s:f, s:f}, {s:s, s:s, s:f, s:f}]", "metric", "prediction_drift", "verdict", "fine",
				      "margin", 0.1, "estimate", 0.0318, "low", 0.0, "high", 0.0933, "metric", "error_rate", "verdict", "no_data",
				      "low", -1.0, "high", 1.0));
	screen_like(&screen, 0, false, false);
	add_rollout_screen(&screen, rollout, events, NOW);
	assert_non_null(strstr(screen.out.data, ", 1m13s of at most 4m00s\n"));
	assert_non_null(strstr(screen.out.data, " apart by 0.0318, distance at most 0.1 (total variation)\n"));
	assert_null(strstr(screen.out.data, "difference -")); /* no interval around nothing */
	assert_non_null(strstr(screen.out.data, "  approved  beforehand (uid:0(root))\n"));
	screen_done(&screen);
}

static void what_waits_for_a_person_is_shown_as_held(void **state)
{
	(void)state;
	cleanup_json json_t *rollout = data("stepping"), *events = json_array();
	struct screen screen;
	json_object_set_new(rollout, "state", json_string("awaiting"));
	json_object_set_new(rollout, "held", json_true());
	json_object_set_new(rollout, "waits_for", json_string("`penstock approve prod`"));
	json_object_set_new(rollout, "verify", json_pack("{s:s, s:s}", "status", "failed", "why", "exit code 1"));
	screen_like(&screen, 80, true, false);
	add_rollout_screen(&screen, rollout, events, NOW);
	assert_non_null(strstr(screen.out.data, "\033[33mHELD, waits for: `penstock approve prod`\033[0m"));
	assert_non_null(strstr(screen.out.data, "\033[31mfailed: exit code 1\033[0m"));
	screen_done(&screen);
}

/* Nothing is known but that there is one: no crash, no nonsense. */
static void empty_and_strange_answers_are_harmless(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"{}", "[]",
		"{\"verdict\":{\"metrics\":[{}, 3, null, {\"metric\":7,\"looks\":[]}]},\"actual\":{\"arms\":[1]},\"spec\":[],\"stable\":4}",
		"{\"finished_ms\":-5,\"step\":99999,\"steps\":1,\"weight_ppm\":-3,\"created_ms\":1e300,\"events\":{}}"};
	cleanup_json json_t *events = json_pack("[{}, i, n, {s:s, s:[]}]", 4, "kind", "rollout.created", "data");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cleanup_error struct error *err = NULL;
		cleanup_json json_t *rollout = NULL, *list = json_array();
		assert_ok(json_parse(texts[i], strlen(texts[i]), &rollout, &err), err);
		struct screen screen;
		screen_like(&screen, 30, true, true);
		json_array_append(list, rollout);
		add_rollout_screen(&screen, rollout, events, NOW);
		add_rollout_line(&screen, rollout, NOW);
		add_explanation(&screen, rollout, events);
		metrics_of_rollouts(list, &screen.out);
		assert_true(screen.out.len > 0 && !screen.out.failed);
		screen_done(&screen);
	}
}

static void a_strangers_text_cannot_command_the_terminal(void **state)
{
	(void)state;
	cleanup_json json_t *rollout = data("stepping"), *events = data("events");
	static const char evil[] = "\033[2J\033]0;owned\007\r\xc2\x9b"
				   "31m\xe2\x80\xae";
	json_object_set_new(json_object_get(rollout, "candidate"), "version", json_string(evil));
	json_object_set_new(rollout, "waits_for", json_string(evil));
	json_object_set_new(rollout, "reason", json_string(evil));
	json_t *metric = json_array_get(json_object_get(json_object_get(rollout, "verdict"), "metrics"), 0);
	json_object_set_new(metric, "metric", json_string(evil));
	json_object_set_new(metric, "trouble", json_string(evil));
	json_object_set_new(metric, "would_change", json_string(evil));
	json_object_set_new(json_object_get(json_array_get(events, 2), "data"), "reason", json_string(evil));
	struct screen screen;
	screen_like(&screen, 80, false, true);
	add_rollout_screen(&screen, rollout, events, NOW);
	add_rollout_line(&screen, rollout, NOW);
	add_explanation(&screen, rollout, events);
	assert_null(strpbrk(screen.out.data, "\033\007\r"));
	assert_null(strstr(screen.out.data, "\xc2\x9b"));
	assert_null(strstr(screen.out.data, "\xe2\x80\xae"));
	screen_done(&screen);
}

/* ---- elsewhere than on a terminal ---- */

static void a_line_is_printed_when_something_changed(void **state)
{
	(void)state;
	cleanup_json json_t *rollout = data("stepping"), *before = rollout_gist(rollout);
	struct screen screen;
	screen_like(&screen, 0, false, false);
	add_rollout_line(&screen, rollout, NOW);
	assert_string_equal(screen.out.data,
			    "  16:02:05  stepping, step 2 of 3, 25%; error_rate fine (worse 4%, fine 100%); latency_p99 undecided (worse 39%, fine "
			    "30%); prediction_drift provider error (worse 0%, fine 0%); waits for evidence\n");
	json_t *metric = json_array_get(json_object_get(json_object_get(rollout, "verdict"), "metrics"), 1);
	json_object_set_new(metric, "n_candidate", json_integer(9999));
	cleanup_json json_t *same = rollout_gist(rollout);
	assert_true(json_equal(before, same));
	json_object_set_new(metric, "verdict", json_string("fine"));
	cleanup_json json_t *after = rollout_gist(rollout);
	assert_false(json_equal(before, after));
	screen_done(&screen);
}

static void time_alone_is_no_change(void **state)
{
	(void)state;
	cleanup_json json_t *rollout = data("stepping"), *a = rollout_without_times(rollout);
	json_object_set_new(json_object_get(rollout, "actual"), "seen_ms", json_integer(1));
	cleanup_json json_t *b = rollout_without_times(rollout);
	assert_true(json_equal(a, b));
	assert_int_equal(json_int_or(json_object_get(rollout, "actual"), "seen_ms", 0), 1);
	json_object_set_new(rollout, "step", json_integer(3));
	cleanup_json json_t *c = rollout_without_times(rollout);
	assert_false(json_equal(a, c));
}

static void the_exit_status_is_how_it_ended(void **state)
{
	(void)state;
	static const struct {
		const char *state;
		int status;
	} cases[] = {{"promoted", 0}, {"rolled_back", 4}, {"failed", 1}};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json json_t *rollout = json_pack("{s:s}", "state", cases[i].state);
		assert_int_equal(rollout_status(rollout), cases[i].status);
	}
}

static void numbers_of_rollouts_are_told_from_names(void **state)
{
	(void)state;
	static const struct {
		const char *word;
		int64_t number;
	} cases[] = {{"7", 7}, {"#7", 7}, {"rollout/7", 7}, {"0", 0}, {"prod", 0}, {"7a", 0}, {"", 0}, {"-7", 0}, {"9999999999999999", 0}};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t number = 0;
		assert_int_equal(rollout_number(cases[i].word, &number), cases[i].number != 0);
		assert_int_equal(number, cases[i].number);
	}
}

/* ---- numbers ---- */

static void e_values_are_shown_at_any_size(void **state)
{
	(void)state;
	static const struct {
		double log_e;
		const char *text;
	} cases[] = {{0, "1"},         {2.995732273553991, "20"}, {12.25, "2.1e5"}, {5000, "3.0e2171"}, {-2.302585, "0.1"},
		     {-40, "4.2e-18"}, {INFINITY, "infinite"},    {-INFINITY, "0"}, {NAN, "-"}};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[EVIDENCE_TEXT];
		evidence_e(cases[i].log_e, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void counts_have_their_thousands_apart(void **state)
{
	(void)state;
	static const struct {
		int64_t n;
		const char *text;
	} cases[] = {{0, "0"}, {999, "999"}, {1000, "1,000"}, {1234567, "1,234,567"}, {INT64_MAX, "9,223,372,036,854,775,807"}, {-1, "0"}};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[EVIDENCE_TEXT];
		evidence_count(cases[i].n, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void a_bar_is_never_fuller_than_the_evidence(void **state)
{
	(void)state;
	static const struct {
		double share;
		const char *text;
	} cases[] = {{0, "----------"}, {0.001, "#---------"}, {0.5, "#####-----"}, {0.999, "#########-"},
		     {1, "##########"}, {7, "##########"},     {-1, "----------"},  {NAN, "----------"}};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct screen screen;
		screen_like(&screen, 0, false, false);
		evidence_bar(&screen, INK_RED, cases[i].share, 10);
		assert_string_equal(screen.out.data, cases[i].text);
		screen_done(&screen);
	}
}

static void bounds_have_their_unit(void **state)
{
	(void)state;
	static const struct {
		const char *metric, *asked, *text;
	} cases[] = {
		{"{\"margin\":0.005,\"unit\":\"%\"}", "{\"kind\":\"rate\"}", "margin 0.5 points"},
		{"{\"margin\":0.005,\"unit\":\"%\"}", "{}", "margin 0.5 points"},
		{"{\"margin\":0.02,\"unit\":\"%\"}", "{\"kind\":\"rate\",\"higher_is_better\":true}", "margin 2 points below"},
		{"{\"margin\":1.2,\"unit\":\"%\"}", "{\"kind\":\"rate\",\"ratio\":1.2}", "at most 1.2 times stable's"},
		{"{\"margin\":1.2,\"unit\":\"ms\"}", "{\"kind\":\"latency\",\"ratio\":1.2}", "at most 1.2 times stable's"},
		{"{\"margin\":0.1}", "{\"kind\":\"distribution\",\"distance\":\"psi\"}", "distance at most 0.1 (psi)"},
		{"{\"margin\":3.5}", "{\"kind\":\"mean\"}", "margin 3.5"},
		{"{\"margin\":null}", "{\"kind\":\"mean\"}", "no bound"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json json_t *metric = json_loads(cases[i].metric, 0, NULL), *asked = json_loads(cases[i].asked, 0, NULL);
		char text[2 * EVIDENCE_TEXT];
		evidence_bound(metric, asked, text);
		assert_string_equal(text, cases[i].text);
	}
}

/* ---- explain ---- */

static void an_explanation_has_every_number_with_its_unit(void **state)
{
	(void)state;
	static const char *const names[] = {"stepping", "rolled_back"};
	cleanup_json json_t *events = data("events");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_json json_t *rollout = data(names[i]);
		if (i == 1)
			json_array_append_new(events, json_pack("{s:i, s:I, s:s, s:{s:s}}", "id", 200, "at_ms", (json_int_t)NOW, "kind",
								"rollout.rolling_back", "data", "reason", json_string_or(rollout, "reason", "")));
		cleanup_free char *expected = xasprintf("explain-%s", names[i]);
		struct screen screen;
		screen_like(&screen, 0, false, false);
		add_explanation(&screen, rollout, events);
		expect(&screen, expected);
		assert_true(widest_line(screen.out.data) <= 80);
		screen_done(&screen);
	}
}

static void what_was_never_judged_says_so(void **state)
{
	(void)state;
	cleanup_json json_t *rollout = data("stepping"), *events = json_array();
	json_object_set_new(rollout, "verdict", json_null());
	json_object_set_new(rollout, "fast_track", json_true());
	struct screen screen;
	screen_like(&screen, 0, false, false);
	add_explanation(&screen, rollout, events);
	assert_non_null(strstr(screen.out.data, "none: it is judged when the candidate has its share of the traffic\n"));
	assert_non_null(strstr(screen.out.data, "fast track: it was live within rollback_window"));
	screen_done(&screen);
}

/* ---- metrics ---- */

static void metrics_have_values_and_bounds(void **state)
{
	(void)state;
	cleanup_json json_t *rollouts = json_array();
	struct screen screen;
	screen_like(&screen, 0, false, false);
	json_array_append_new(rollouts, data("stepping"));
	json_array_append_new(rollouts, data("rolled_back"));
	json_object_set_new(json_array_get(rollouts, 1), "target", json_string("a\"b\\c\nd"));
	metrics_of_rollouts(rollouts, &screen.out);
	expect(&screen, "metrics");
	screen_done(&screen);
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	tzset();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page_shows_weights_copies_evidence_and_decisions),
		cmocka_unit_test(the_page_of_one_that_has_ended_tells_why),
		cmocka_unit_test(a_distance_an_approval_and_the_time_of_a_step_are_told),
		cmocka_unit_test(what_waits_for_a_person_is_shown_as_held),
		cmocka_unit_test(empty_and_strange_answers_are_harmless),
		cmocka_unit_test(a_strangers_text_cannot_command_the_terminal),
		cmocka_unit_test(a_line_is_printed_when_something_changed),
		cmocka_unit_test(time_alone_is_no_change),
		cmocka_unit_test(the_exit_status_is_how_it_ended),
		cmocka_unit_test(numbers_of_rollouts_are_told_from_names),
		cmocka_unit_test(e_values_are_shown_at_any_size),
		cmocka_unit_test(counts_have_their_thousands_apart),
		cmocka_unit_test(a_bar_is_never_fuller_than_the_evidence),
		cmocka_unit_test(bounds_have_their_unit),
		cmocka_unit_test(an_explanation_has_every_number_with_its_unit),
		cmocka_unit_test(what_was_never_judged_says_so),
		cmocka_unit_test(metrics_have_values_and_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
