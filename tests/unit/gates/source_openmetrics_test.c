#include "gates/sources/openmetrics/selector.h"

#include "base/alloc.h"
#include "base/file.h"
#include "gates/measure.h"
#include "gates/sources/source.h"
#include "tests/support/http_peer.h"
#include "tests/support/support.h"

#include <math.h>
#include <string.h>
#include <time.h>

static char *read_page(size_t *ret_len)
{
	cleanup_error struct error *err = NULL;
	char *text;
	assert_ok(file_read(TEST_DATA "/openmetrics/model.om", 1 << 20, &text, ret_len, &err), err);
	return text;
}

static void a_page_is_read_whole(void **state)
{
	(void)state;
	size_t len, n;
	cleanup_free char *text = read_page(&len);
	cleanup_arena struct arena *arena = arena_new();
	cleanup_error struct error *err = NULL;
	struct page page;
	assert_ok(page_parse(text, len, true, arena, &page, &err), err);
	assert_int_equal(page.n_samples, 19);
	const struct page_sample *samples = page_find_samples(&page, "penstock_predictions_total", &n);
	assert_int_equal(n, 2);
	assert_string_equal(samples[0].series, "penstock_predictions_total{class=\"fine\",model=\"a\"}");
	assert_true(samples[0].value == 1700);
	assert_string_equal(page_label_value(&samples[1], "model"), "a \"b\" \\ c\n");
	assert_string_equal(samples[1].series, "penstock_predictions_total{class=\"fraud\",model=\"a \\\"b\\\" \\\\ c\\n\"}");
	assert_null(page_label_value(&samples[1], "le"));
	assert_string_equal(page_series_without(&samples[0], "class", arena), "penstock_predictions_total{model=\"a\"}");
	assert_null(page_find_samples(&page, "nothing", &n));
	assert_int_equal(page_find_family(&page, "penstock_score")->type, PAGE_HISTOGRAM);
	assert_null(page_find_family(&page, "nothing"));
	assert_ok(page_parse("", 0, false, arena, &page, &err), err);
	assert_int_equal(page.n_samples, 0);
}

static void each_mistake_is_told_with_its_line(void **state)
{
	(void)state;
	static const struct {
		bool openmetrics;
		const char *text, *message; /* message NULL: fine */
	} cases[] = {
		{false, "a 1\n\n# a comment\n  b{} 2 1395066363000\n#\n", NULL},
		{false, "a{x=\"1\",} 1\n", NULL},
		{false, "a\t{ x = \"1\" , y=\"\" } +Inf\n", NULL},
		{true, "# EOF", NULL},
		{true, "a 1\n# EOF\n", NULL},
		{false, "a 1\n# EOF\nb 1\n", NULL},
		{true, "a 1\n", "the page ends after line 1 without \"# EOF\": it is not whole"},
		{true, "# EOF\na 1\n", "line 2: something follows \"# EOF\""},
		{true, "# EOF \n", "line 1: \"# EOF\" is not alone"},
		{true, "\n# EOF\n", "line 1: an empty line is no OpenMetrics"},
		{true, "# what\n# EOF\n", "line 1: after \"#\" only HELP, TYPE, UNIT and EOF may stand in OpenMetrics"},
		{true, "a_total 1 # 5\n# EOF\n", "line 1: expected an exemplar's labels after \"#\""},
		{true, "a_total 1 # {x=\"1\"}\n# EOF\n", "line 1: expected an exemplar's value, found \"\""},
		{true, "a_total 1 # {x=\"1\"} 5 y\n# EOF\n", "line 1: expected an exemplar's timestamp, found \"y\""},
		{true, "a_total 1 # {x=\"1\"} 5 6 7\n# EOF\n", "line 1: the line goes on with \"7\" where it should end"},
		{false, "a 1", "line 1: the page ends in the middle of a line"},
		{false, "a 1\nb{x=\"", "line 2: the page ends in the middle of a line"},
		{false, "a\n", "line 1: expected a number, found \"\""},
		{false, "a x\n", "line 1: expected a number, found \"x\""},
		{false, "a 1 x\n", "line 1: expected a timestamp, found \"x\""},
		{false, "a 1 2 3\n", "line 1: the line goes on with \"3\" where it should end"},
		{false, "a 1 2 # {} 3\n", "line 1: the line goes on with \"# {} 3\" where it should end"},
		{false, "9a 1\n", "line 1: expected the name of a metric, found \"9a 1\""},
		{false, "<html>\n", "line 1: expected the name of a metric, found \"<html>\""},
		{false, "a{x=1} 1\n", "line 1: expected a quoted label value, found \"1} 1\""},
		{false, "a{x\"1\"} 1\n", "line 1: label \"x\" has no \"=\""},
		{false, "a{x=\"1} 1\n", "line 1: a label value without its closing quote"},
		{false, "a{x=\"1\\\"} 1\n", "line 1: a label value without its closing quote"},
		{false, "a{x=\"\\q\"} 1\n", "line 1: in a label value only \\\\, \\\" and \\n may follow a backslash"},
		{false, "a{x=\"1\" y=\"2\"} 1\n", "line 1: expected \",\" or \"}\" after a label, found \"y=\"2\"} 1\""},
		{false, "a{x=\"1\",x=\"2\"} 1\n", "line 1: label \"x\" stands there twice"},
		{false, "a{1=\"1\"} 1\n", "line 1: expected a label name, found \"1=\"1\"} 1\""},
		{false, "a{x=\"1\",y=\"2\"} 1\nb 1\na{y=\"2\",x=\"1\"} 2\n", "lines 1 and 3: a{x=\"1\",y=\"2\"} stands there twice"},
		{false, "# TYPE a counter\n# TYPE a counter\n", "a has two TYPE lines"},
		{false, "# TYPE a thing\n", "line 1: \"thing\" is no type of metric"},
		{false, "# TYPE\n", "line 1: expected the name of a metric after \"TYPE\""},
		{false, "a \xff\n", "the page is no UTF-8 text"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_arena struct arena *arena = arena_new();
		cleanup_error struct error *err = NULL;
		struct page page;
		int result = page_parse(cases[i].text, strlen(cases[i].text), cases[i].openmetrics, arena, &page, &err);
		if (!cases[i].message) {
			assert_no_error(err);
			continue;
		}
		assert_int_equal(result, -1);
		assert_error(err, ERROR_INVALID, cases[i].message);
	}
}

static void a_page_cut_short_is_never_taken_for_a_whole_one(void **state)
{
	(void)state;
	size_t len;
	cleanup_free char *text = read_page(&len);
	for (size_t cut = 0; cut + 1 < len; cut++) { /* the last newline may be missing */
		cleanup_arena struct arena *arena = arena_new();
		cleanup_error struct error *err = NULL;
		struct page page;
		cleanup_free char *part = xmemdup(text, cut + 1); /* exactly that long, so that a sanitizer sees the end */
		assert_int_equal(page_parse(part, cut, true, arena, &page, &err), -1);
	}
}

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

/* Hostile bytes: whatever comes of them, numbers that are taken come from whole lines. */
static void changed_bytes_never_crash_the_parser(void **state)
{
	(void)state;
	static const char spice[] = "{}\"\\#=,\n\r \t+-.eNIT\0\x80\xff|~!0";
	size_t len;
	cleanup_free char *text = read_page(&len);
	cleanup_error struct error *problem = NULL;
	struct selector *selector CLEANUP(selector_free) = NULL;
	assert_ok(selector_parse("penstock_score|penstock_predictions{model=~\".*\"}", &selector, &problem), problem);
	uint64_t seed = 1;
	unsigned refused = 0;
	for (int round = 0; round < 3000; round++) {
		cleanup_arena struct arena *arena = arena_new();
		cleanup_error struct error *err = NULL;
		struct arm_samples samples = {.arena = arena};
		struct page page;
		size_t size = 1 + next_random(&seed) % len;
		cleanup_free char *changed = xmemdup(text + next_random(&seed) % (len - size + 1), size);
		for (uint64_t changes = next_random(&seed) % 4; changes; changes--)
			changed[next_random(&seed) % size] = spice[next_random(&seed) % (sizeof(spice) - 1)];
		const struct page_metric metric = {.kind = METRIC_DISTRIBUTION, .distribution = selector, .by = "le|class"};
		if (page_parse(changed, size, round & 1, arena, &page, &err) < 0 ||
		    page_extract(&page, &metric, page_alternative(&page, selector), "i", &samples, &err) < 0 ||
		    arm_samples_finish(&samples, &err) < 0)
			refused++;
		arm_samples_done(&samples);
	}
	assert_true(refused > 1500 && refused < 3000);
}

static void selectors_are_read_and_their_mistakes_told(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"a", NULL},
		{" a:b { x = \"1\" , y!=\"2\", z=~\"a|b\", w!~\"\\\\d+\", } | c{} ", NULL},
		{"", "column 1: expected the name of a metric family, found \"\""},
		{"a b", "column 3: expected \"{\", \"|\" or the end, found \"b\""},
		{"a{x}", "column 4: expected =, !=, =~ or !~, found \"}\""},
		{"a{x=1}", "column 5: expected a quoted value, found \"1}\""},
		{"a{x=\"1}", "column 8: expected a closing quote, found \"\""},
		{"a{x=\"\\d\"}",
		 "column 7: expected \\\\, \\\" or \\n after a backslash (a backslash of an expression is written twice), found \"d\"}\""},
		{"a{x=\"1\" y", "column 9: expected \",\" or \"}\", found \"y\""},
		{"a{x=~\"(\"}", "column 9: the expression for label \"x\": missing closing parenthesis"},
		{"a{x!\"1\"}", "column 4: expected =, !=, =~ or !~, found \"!\"1\"}\""},
		{"a|", "column 3: expected the name of a metric family, found \"\""},
		{"sum(a)", "column 4: expected \"{\", \"|\" or the end, found \"(a)\""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct selector *selector CLEANUP(selector_free) = NULL;
		cleanup_error struct error *err = NULL;
		int result = selector_parse(cases[i].text, &selector, &err);
		if (!cases[i].message) {
			assert_no_error(err);
			continue;
		}
		assert_int_equal(result, -1);
		assert_error(err, ERROR_INVALID, cases[i].message);
	}
}

static void conditions_hold_for_whole_values(void **state)
{
	(void)state;
	static const struct {
		const char *selector;
		bool matches;
	} cases[] = {
		{"a", true},
		{"a{x=\"12\"}", true},
		{"a{x=\"1\"}", false},
		{"a{x!=\"1\"}", true},
		{"a{x=~\"1\"}", false},
		{"a{x=~\"1.\"}", true},
		{"a{x=~\"1|12\"}", true},
		{"a{x!~\"1.\"}", false},
		{"a{no=\"\"}", true},
		{"a{no!=\"\"}", false},
		{"a{x=\"12\",y=\"3\"}", true},
		{"a{x=\"12\",y=\"4\"}", false},
	};
	struct page_label labels[] = {{"x", "12"}, {"y", "3"}};
	const struct page_sample sample = {.name = "a", .series = "a{x=\"12\",y=\"3\"}", .labels = labels, .n_labels = 2};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct selector *selector CLEANUP(selector_free) = NULL;
		cleanup_error struct error *err = NULL;
		bool matches = !cases[i].matches;
		assert_ok(selector_parse(cases[i].selector, &selector, &err), err);
		assert_ok(selector_matches(selector, 0, &sample, &matches, &err), err);
		assert_int_equal(matches, cases[i].matches);
	}
	struct page_label evil[] = {{"x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"}};
	const struct page_sample slow = {.name = "a", .series = "a", .labels = evil, .n_labels = 1};
	struct selector *selector CLEANUP(selector_free) = NULL;
	cleanup_error struct error *err = NULL;
	bool matches;
	assert_ok(selector_parse("a{x=~\"(a+)+[cd]\"}", &selector, &err), err);
	assert_int_equal(selector_matches(selector, 0, &slow, &matches, &err), -1);
	assert_error(err, ERROR_INVALID,
		     "the expression \"(a+)+[cd]\" for label \"x\" takes too long for \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"");
}

/* ---- the driver, against scripted copies ---- */

struct told {
	bool called;
	struct source_reading reading;
	char *error;
	enum error_code code;
};

static void tell(void *arg, const struct source_reading *reading, struct error *err)
{
	struct told *told = arg;
	assert_false(told->called);
	assert_true((reading == NULL) != (err == NULL));
	told->called = true;
	if (reading)
		told->reading = *reading;
	if (err) {
		told->error = xstrdup(error_message(err));
		told->code = error_code_of(err);
	}
}

struct bench {
	struct loop *loop;
	struct source *source;
	struct source_watch *watch;
	int64_t now_ms;
};

static void bench_open(struct bench *bench, const struct analysis_metric *metric, const struct yaml_node *body)
{
	cleanup_error struct error *err = NULL;
	const struct source_ops *ops = source_find("openmetrics");
	*bench = (struct bench){.loop = loop_new(), .now_ms = 1000000};
	struct source_config config = {.name = body ? "pages" : NULL, .body = body};
	assert_ok(ops->open(&config, bench->loop, &bench->source, &err), err);
	assert_ok(ops->watch(bench->source, metric, &bench->watch, &err), err);
}

static void bench_close(struct bench *bench)
{
	bench->source->ops->unwatch(bench->watch);
	bench->source->ops->close(bench->source);
	loop_free(bench->loop);
}

/* One reading of a stable copy and a candidate copy, each a scripted server. */
static void read_peers(struct bench *bench, const struct http_peer *stable, const struct http_peer *candidate, struct told *told)
{
	cleanup_free char *one = stable ? xasprintf("127.0.0.1:%u", http_peer_port(stable)) : NULL;
	cleanup_free char *two = candidate ? xasprintf("127.0.0.1:%u", http_peer_port(candidate)) : NULL;
	const char *const first[] = {one}, *const second[] = {two};
	struct source_arm arms[2] = {{.name = "stable", .version = "1", .image = "i", .instances = first, .n_instances = stable != NULL},
				     {.name = "candidate", .version = "2", .image = "i", .instances = second, .n_instances = candidate != NULL}};
	struct source_span span = {.from_ms = bench->now_ms, .to_ms = bench->now_ms + 5000};
	bench->now_ms += 5000;
	*told = (struct told){0};
	bench->source->ops->read(bench->watch, arms, &span, tell, told);
	assert_false(told->called);
	while (loop_turn(bench->loop) && !told->called)
		;
	assert_true(told->called);
}

#define OM "application/openmetrics-text; version=1.0.0; charset=utf-8"

static void a_drift_metric_needs_no_selector(void **state)
{
	(void)state;
	static const struct http_exchange stable[] = {
		{.expect_path = "/metrics",
		 .expect_header = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
		 .content_type = OM,
		 .body = "# TYPE penstock_predictions counter\npenstock_predictions_total{class=\"no\"} 10\n# EOF\n"},
		{.content_type = OM,
		 .body = "# TYPE penstock_predictions counter\npenstock_predictions_total{class=\"no\"} "
			 "19\npenstock_predictions_total{class=\"yes\"} 1\n"
			 "# EOF\n"},
	};
	static const struct http_exchange candidate[] = {
		{.body = "penstock_predictions_total{class=\"no\"} 1\n"},
		{.content_type = "text/plain; version=0.0.4", .body = "penstock_predictions_total{class=\"no\"} 4\n"},
	};
	struct http_peer *one = http_peer_start(stable, 2), *two = http_peer_start(candidate, 2);
	const struct analysis_metric metric = {.metric = "prediction_drift",
					       .kind = METRIC_DISTRIBUTION,
					       .distribution = "penstock_predictions_total|penstock_prediction",
					       .by = "class|le"};
	struct bench bench;
	struct told told;
	bench_open(&bench, &metric, NULL);
	read_peers(&bench, one, two, &told);
	assert_null(told.error);
	assert_true(told.reading.nothing_yet);
	read_peers(&bench, one, two, &told);
	assert_null(told.error);
	assert_int_equal(told.reading.measure.stable.n_counts, 2);
	assert_int_equal(told.reading.measure.stable.counts[0], 9);
	assert_int_equal(told.reading.measure.stable.counts[1], 1);
	assert_int_equal(told.reading.measure.candidate.counts[0], 3);
	cleanup_json json_t *categories = source_categories(bench.watch);
	cleanup_free char *names = json_text(categories);
	assert_string_equal(names, "[\"no\",\"yes\"]");
	bench_close(&bench);
	http_peer_finish(one);
	http_peer_finish(two);
}

static void all_of_the_built_in_families_are_understood(void **state)
{
	(void)state;
	size_t len;
	cleanup_free char *page = read_page(&len);
	const struct http_exchange exchange[] = {{.expect_path = "/metrics", .content_type = OM, .body = page}};
	static const struct {
		struct analysis_metric metric;
		bool nothing_yet;
		const char *note;
	} cases[] = {
		{{.metric = "s", .kind = METRIC_DISTRIBUTION, .distribution = "penstock_score", .by = "le"}, true, ""},
		{{.metric = "f", .kind = METRIC_DISTRIBUTION, .distribution = "penstock_feature{feature=\"amount\"}"}, true, ""},
		{{.metric = "a", .kind = METRIC_RATE, .events = "penstock_labeled_correct_total", .total = "penstock_labeled_total"}, true, ""},
		{{.metric = "e", .kind = METRIC_RATE, .events = "empty_total", .total = "penstock_labeled"}, true, ""},
		{{.metric = "c", .kind = METRIC_MEAN, .value = "confidence", .low = 0, .high = 1}, false, ""},
		{{.metric = "n", .kind = METRIC_MEAN, .value = "penstock_feature_sum{feature=\"amount\"}", .low = 0, .high = 1},
		 false,
		 "stable: penstock_feature_sum{feature=\"amount\"} is NaN; candidate: penstock_feature_sum{feature=\"amount\"} is NaN"},
		{{.metric = "m", .kind = METRIC_RATE, .events = "nowhere_total", .total = "penstock_labeled_total"}, false, NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_peer *one = http_peer_start(exchange, 1), *two = http_peer_start(exchange, 1);
		struct bench bench;
		struct told told;
		bench_open(&bench, &cases[i].metric, NULL);
		read_peers(&bench, one, two, &told);
		assert_null(told.error);
		assert_int_equal(told.reading.nothing_yet, cases[i].nothing_yet);
		if (cases[i].note) {
			assert_string_equal(told.reading.note, cases[i].note);
		} else {
			assert_true(told.reading.no_data);
			assert_non_null(strstr(told.reading.note, "shows no family \"nowhere_total\""));
		}
		bench_close(&bench);
		http_peer_finish(one);
		http_peer_finish(two);
	}
}

static void what_a_copy_answers_wrongly_is_an_error_that_names_it(void **state)
{
	(void)state;
	static const struct http_exchange good[] = {{.body = "t_total 5\ne_total 1\n"}};
	static const struct {
		struct http_exchange bad;
		enum error_code code;
		const char *message; /* %s: the candidate's address */
	} cases[] = {
		{{.status = 503, .body = "no"}, ERROR_UNAVAILABLE, "%s answers 503 instead of 200"},
		{{.status = 302, .headers = "Location: http://127.0.0.1:1/\r\n"},
		 ERROR_PROTOCOL,
		 "%s answers 302; redirects are not followed, give the final address"},
		{{.content_type = "text/html", .body = "<html>"},
		 ERROR_PROTOCOL,
		 "%s answers text/html; metrics are application/openmetrics-text or text/plain"},
		{{.body = "t_total x\n"}, ERROR_INVALID, "%s line 1: expected a number, found \"x\""},
		{{.content_type = OM, .body = "t_total 5\n"}, ERROR_INVALID, "%s the page ends after line 1 without \"# EOF\": it is not whole"},
		{{.body = "# TYPE t_total gauge\nt_total 5\ne_total 1\n"}, ERROR_INVALID, "%s t_total is a gauge, not a counter"},
		{{.drop = true}, ERROR_PROTOCOL, "%s Empty reply from server"},
		{{.hang = true}, ERROR_TIMEOUT, "%s no answer within 300 ms"},
		{{.hang_after = true, .body = "t_total 5\n"}, ERROR_TIMEOUT, "%s no answer within 300 ms"},
		{{.raw = "SSH-2.0-x\r\n"}, ERROR_PROTOCOL, "%s Received HTTP/0.9 when not allowed"},
	};
	const struct analysis_metric metric = {.metric = "m", .kind = METRIC_RATE, .events = "e_total", .total = "t_total"};
	struct yaml_node value = {.kind = YAML_SCALAR, .text = "300ms"}, key = {.kind = YAML_SCALAR, .text = "timeout"};
	struct yaml_node *keys[] = {&key}, *values[] = {&value};
	const struct yaml_node body = {.kind = YAML_MAPPING, .n = 1, .keys = keys, .values = values};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_peer *one = http_peer_start(good, 1), *two = http_peer_start(&cases[i].bad, 1);
		struct bench bench;
		struct told told;
		bench_open(&bench, &metric, &body);
		read_peers(&bench, one, two, &told);
		cleanup_free char *error = told.error;
		cleanup_free char *address = xasprintf("metric source \"pages\": m: http://127.0.0.1:%u/metrics:", http_peer_port(two));
		cleanup_free char *expected = xasprintf("%s%s", address, cases[i].message + 2);
		assert_non_null(error);
		assert_string_equal(error, expected);
		assert_int_equal(told.code, cases[i].code);
		bench_close(&bench);
		http_peer_finish(one);
		http_peer_finish(two);
	}
}

static void a_page_without_end_is_cut_off(void **state)
{
	(void)state;
	size_t len = PAGE_MAX_BYTES + 1000;
	cleanup_free char *body = xmalloc(len + 1);
	memset(body, '#', len);
	body[len] = '\0';
	static const struct http_exchange good[] = {{.body = "t_total 5\ne_total 1\n"}};
	const struct http_exchange huge[] = {{.body = body, .body_len = len}};
	const struct analysis_metric metric = {.metric = "m", .kind = METRIC_RATE, .events = "e_total", .total = "t_total"};
	struct http_peer *one = http_peer_start(good, 1), *two = http_peer_start(huge, 1);
	struct bench bench;
	struct told told;
	bench_open(&bench, &metric, NULL);
	read_peers(&bench, one, two, &told);
	cleanup_free char *error = told.error;
	cleanup_free char *expected =
		xasprintf("metric source \"app\": m: http://127.0.0.1:%u/metrics: the answer is longer than 8388608 bytes", http_peer_port(two));
	assert_string_equal(error, expected);
	bench_close(&bench);
	http_peer_finish(one);
	http_peer_finish(two);
}

/* As many histograms as fit on a page, each with its count: no work of one for each of all others, or such a page stops the daemon. */
static void a_page_full_of_histograms_is_read_in_one_go(void **state)
{
	(void)state;
	enum { N = 45000 };
	struct buf text cleanup_buf;
	buf_init(&text, PAGE_MAX_BYTES);
	for (int i = 0; i < N; i++)
		buf_addf(&text, "h_bucket{x=\"%05d\",le=\"+Inf\"} %d\nh_count{x=\"%05d\"} %d\n", i, i, i, i == N - 1 ? 7 : i);
	cleanup_arena struct arena *arena = arena_new();
	cleanup_error struct error *err = NULL;
	struct selector *h CLEANUP(selector_free) = NULL;
	struct page page;
	assert_ok(selector_parse("h", &h, &err), err);
	assert_ok(page_parse(text.data, text.len, false, arena, &page, &err), err);
	struct arm_samples samples = {.arena = arena};
	const struct page_metric metric = {.kind = METRIC_DISTRIBUTION, .distribution = h};
	clock_t before = clock();
	assert_int_equal(page_extract(&page, &metric, 0, "x", &samples, &err), -1);
	assert_true(clock() - before < 10 * CLOCKS_PER_SEC);
	assert_error(err, ERROR_INVALID, "line 90000: h_count{x=\"44999\"} is 7, but its bucket le=\"+Inf\" is 44999");
	arm_samples_done(&samples);
}

static void an_arm_without_copies_has_no_data(void **state)
{
	(void)state;
	const struct analysis_metric metric = {.metric = "m", .kind = METRIC_RATE, .events = "e_total", .total = "t_total"};
	struct bench bench;
	struct told told;
	bench_open(&bench, &metric, NULL);
	read_peers(&bench, NULL, NULL, &told);
	assert_null(told.error);
	assert_true(told.reading.no_data);
	assert_string_equal(told.reading.note, "stable: no copy is ready; candidate: no copy is ready");
	bench_close(&bench);
}

static void who_stops_watching_is_not_called_back(void **state)
{
	(void)state;
	static const struct http_exchange never[] = {{.hang = true}};
	const struct analysis_metric metric = {.metric = "m", .kind = METRIC_RATE, .events = "e_total", .total = "t_total"};
	struct http_peer *one = http_peer_start(never, 0);
	cleanup_free char *address = xasprintf("127.0.0.1:%u", http_peer_port(one));
	const char *const instances[] = {address};
	struct source_arm arms[2] = {{.name = "stable", .instances = instances, .n_instances = 1},
				     {.name = "candidate", .instances = instances, .n_instances = 1}};
	struct source_span span = {.from_ms = 1, .to_ms = 2};
	struct bench bench;
	struct told told = {0};
	bench_open(&bench, &metric, NULL);
	bench.source->ops->read(bench.watch, arms, &span, tell, &told);
	loop_turn(bench.loop);
	bench_close(&bench);
	assert_false(told.called);
	http_peer_finish(one);
}

int main(void)
{
	loop_free(loop_new()); /* what libuv keeps open for good, before descriptors are counted */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_is_read_whole),
		cmocka_unit_test(each_mistake_is_told_with_its_line),
		cmocka_unit_test(a_page_cut_short_is_never_taken_for_a_whole_one),
		cmocka_unit_test(changed_bytes_never_crash_the_parser),
		cmocka_unit_test(selectors_are_read_and_their_mistakes_told),
		cmocka_unit_test(conditions_hold_for_whole_values),
		cmocka_unit_test_setup_teardown(a_drift_metric_needs_no_selector, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(all_of_the_built_in_families_are_understood, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(what_a_copy_answers_wrongly_is_an_error_that_names_it, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_page_without_end_is_cut_off, fixture_setup, fixture_teardown),
		cmocka_unit_test(a_page_full_of_histograms_is_read_in_one_go),
		cmocka_unit_test_setup_teardown(an_arm_without_copies_has_no_data, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(who_stops_watching_is_not_called_back, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
