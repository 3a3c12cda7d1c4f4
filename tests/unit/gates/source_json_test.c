#include "gates/sources/json/document.h"

#include "base/alloc.h"
#include "base/child.h"
#include "gates/measure.h"
#include "gates/sources/source.h"
#include "tests/support/http_peer.h"
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

static void pointers_are_those_of_rfc_6901(void **state)
{
	(void)state;
	static const char text[] = "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"m~n\":8,\" \":7,\"k\\\"l\":6}";
	static const struct {
		const char *pointer, *value;
		enum error_code code;
	} cases[] = {
		{"/foo/0", "\"bar\"", ERROR_INTERNAL},
		{"/", "0", ERROR_INTERNAL},
		{"/a~1b", "1", ERROR_INTERNAL},
		{"/c%d", "2", ERROR_INTERNAL},
		{"/k\"l", "6", ERROR_INTERNAL},
		{"/ ", "7", ERROR_INTERNAL},
		{"/m~0n", "8", ERROR_INTERNAL},
		{"/foo", "[\"bar\",\"baz\"]", ERROR_INTERNAL},
		{"/foo/2", "the document has nothing at \"/foo/2\"", ERROR_NOT_FOUND},
		{"/foo/-", "the document has nothing at \"/foo/-\"", ERROR_NOT_FOUND},
		{"/foo/00", "the document has nothing at \"/foo/00\"", ERROR_NOT_FOUND},
		{"/foo/", "the document has nothing at \"/foo/\"", ERROR_NOT_FOUND},
		{"/foo/0/x", "the document has nothing at \"/foo/0/x\"", ERROR_NOT_FOUND},
		{"/x/y", "the document has nothing at \"/x\"", ERROR_NOT_FOUND},
		{"/foo/99999999999999999999", "the document has nothing at \"/foo/99999999999999999999\"", ERROR_NOT_FOUND},
		{"foo", "\"foo\": a JSON pointer begins with \"/\"", ERROR_INVALID},
		{"/a~b", "\"/a~b\": in a JSON pointer \"~\" is written ~0, and \"/\" within a name ~1", ERROR_INVALID},
		{"/a~", "\"/a~\": in a JSON pointer \"~\" is written ~0, and \"/\" within a name ~1", ERROR_INVALID},
	};
	cleanup_json json_t *document = NULL;
	cleanup_error struct error *problem = NULL;
	assert_ok(json_parse(text, strlen(text), &document, &problem), problem);
	const json_t *whole = NULL;
	assert_ok(json_pointer(document, "", &whole, &problem), problem);
	assert_ptr_equal(whole, document);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		const json_t *value = NULL;
		int result = json_pointer(document, cases[i].pointer, &value, &err);
		if (cases[i].code != ERROR_INTERNAL) {
			assert_int_equal(result, -1);
			assert_error(err, cases[i].code, cases[i].value);
			continue;
		}
		assert_no_error(err);
		cleanup_free char *found = json_text(value);
		assert_string_equal(found, cases[i].value);
	}
}

static void documents_are_taken_or_refused_for_a_reason(void **state)
{
	(void)state;
	static const struct analysis_metric rate = {.metric = "m", .kind = METRIC_RATE, .events = "/{{version}}/e", .total = "/{{version}}/t"};
	static const struct analysis_metric share = {.metric = "m", .kind = METRIC_DISTRIBUTION, .distribution = "/{{arm}}"};
	static const struct analysis_metric mean = {.metric = "m", .kind = METRIC_MEAN, .value = "/x"};
	static const struct {
		const struct analysis_metric *metric;
		bool windowed;
		const char *document;
		size_t n_samples;
		const char *message; /* NULL: fine */
	} cases[] = {
		{&rate, false, "{\"v/1\":{\"e\":1,\"t\":2.0}}", 2, NULL},
		{&rate, false, "{\"v/1\":{\"e\":null,\"t\":2.0}}", 2, NULL},
		{&rate, false, "{\"v/1\":{\"e\":1}}", 0, "stable: total: the document has nothing at \"/v~11/t\""},
		{&rate, false, "{\"v/1\":{\"e\":\"1\",\"t\":2}}", 0, "stable: events: /v~11/e is a string, not a number"},
		{&rate, false, "{\"v/1\":{\"e\":true,\"t\":2}}", 0, "stable: events: /v~11/e is a boolean, not a number"},
		{&share, false, "{\"stable\":{\"a\":1,\"b\":5}}", 2, NULL},
		{&share, false, "{\"stable\":[1,2,3]}", 3, NULL},
		{&share, false, "{\"stable\":{}}", 0, NULL},
		{&share, false, "{\"stable\":[1,[]]}", 0, "stable: distribution: /stable/1 is a list, not a number"},
		{&share, false, "{\"stable\":5}", 0,
		 "stable: distribution: /stable is a number; a mapping from classes to counts, or a list of counts is needed"},
		{&mean, false, "{\"x\":0.5}", 1, NULL},
		{&mean, true, "{\"x\":[0.5,0.25]}", 2, NULL},
		{&mean, false, "{\"x\":[0.5,0.25]}", 0,
		 "stable: value: /x is a list; observations in lists need {{window}}, or {{from}} and {{to}}, in the source's address or arguments"},
	};
	const struct source_arm arm = {.name = "stable", .version = "v/1", .image = "i"};
	const struct source_span span = {.from_ms = 1, .to_ms = 2};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_arena struct arena *arena = arena_new();
		cleanup_error struct error *err = NULL;
		cleanup_json json_t *document = NULL;
		struct arm_samples samples = {.arena = arena, .windowed = cases[i].windowed};
		assert_ok(json_parse(cases[i].document, strlen(cases[i].document), &document, &err), err);
		int result = document_take(document, cases[i].metric, &arm, &span, &samples, &err);
		if (cases[i].message) {
			assert_int_equal(result, -1);
			assert_string_equal(error_message(err), cases[i].message);
		} else {
			assert_no_error(err);
			assert_int_equal(samples.n, cases[i].n_samples);
		}
		arm_samples_done(&samples);
	}
}

/* ---- the drivers ---- */

struct told {
	bool called;
	struct source_reading reading;
	char *error;
};

static void tell(void *arg, const struct source_reading *reading, struct error *err)
{
	struct told *told = arg;
	assert_false(told->called);
	told->called = true;
	if (reading)
		told->reading = *reading;
	if (err)
		told->error = xstrdup(error_message(err));
}

struct bench {
	struct loop *loop;
	struct diag_list *diags;
	struct yaml_doc *config;
	struct source *source;
	struct source_watch *watch;
	int64_t from_ms;
};

/* Owned: what the source or the watch says against it; NULL if nothing. */
static char *bench_try(struct bench *bench, const char *kind, const char *text, const struct analysis_metric *metric)
{
	cleanup_error struct error *err = NULL;
	const struct source_ops *ops = source_find(kind);
	*bench = (struct bench){.loop = loop_new(), .diags = diag_list_new(), .from_ms = 1000};
	bench->config = yaml_parse("penstock.yml", text, strlen(text), bench->diags);
	if (!schema_check(ops->config, yaml_root(bench->config), bench->diags))
		return xstrdup(diag_at(bench->diags, 0)->message);
	struct source_config config = {.name = "src", .body = yaml_root(bench->config)};
	assert_ok(ops->open(&config, bench->loop, &bench->source, &err), err);
	if (ops->watch(bench->source, metric, &bench->watch, &err) < 0)
		return xstrdup(error_message(err));
	return NULL;
}

static void bench_close(struct bench *bench)
{
	if (bench->watch)
		bench->source->ops->unwatch(bench->watch);
	if (bench->source)
		bench->source->ops->close(bench->source);
	child_drain(bench->loop);
	yaml_doc_free(bench->config);
	diag_list_free(bench->diags);
	loop_free(bench->loop);
}

static void bench_read(struct bench *bench, struct told *told)
{
	static const char *const one[] = {"h:1"}, *const two[] = {"h:2"};
	struct source_arm arms[2] = {{.name = "stable", .version = "v1", .image = "i", .instances = one, .n_instances = 1},
				     {.name = "candidate", .version = "v2", .image = "i", .instances = two, .n_instances = 1}};
	struct source_span span = {.from_ms = bench->from_ms, .to_ms = bench->from_ms + 5000};
	bench->from_ms += 5000;
	*told = (struct told){0};
	bench->source->ops->read(bench->watch, arms, &span, tell, told);
	while (loop_turn(bench->loop) && !told->called)
		;
	assert_true(told->called);
}

static void one_document_serves_both_arms(void **state)
{
	(void)state;
	static const struct http_exchange script[] = {
		{.expect_method = "GET", .expect_path = "/stats", .body = "{\"v1\":{\"ok\":5,\"all\":10},\"v2\":{\"ok\":1,\"all\":1}}"},
		{.body = "{\"v1\":{\"ok\":14,\"all\":20},\"v2\":{\"ok\":3,\"all\":4}}"},
		{.body = "{\"v1\":{\"ok\":14,\"all\":20},\"v2\":{\"ok\":0,\"all\":0}}"},
	};
	static const struct analysis_metric metric = {.metric = "m", .kind = METRIC_RATE, .events = "/{{version}}/ok", .total = "/{{version}}/all"};
	struct http_peer *peer = http_peer_start(script, ARRAY_SIZE(script));
	cleanup_free char *config = xasprintf("url: \"%s\"", http_peer_url(peer, "/stats"));
	struct bench bench;
	struct told told;
	assert_null(bench_try(&bench, "json", config, &metric));
	bench_read(&bench, &told);
	assert_null(told.error);
	assert_true(told.reading.nothing_yet);
	bench_read(&bench, &told);
	assert_null(told.error);
	assert_int_equal(told.reading.measure.stable.n, 10);
	assert_int_equal(told.reading.measure.stable.y, 9);
	assert_int_equal(told.reading.measure.candidate.n, 3);
	bench_read(&bench, &told);
	assert_true(told.reading.nothing_yet);
	bench_close(&bench);
	http_peer_finish(peer);
}

static void each_arm_has_its_own_address(void **state)
{
	(void)state;
	static const struct http_exchange script[] = {{.body = "{\"score\":[0.5,0.25]}"}, {.body = "{\"score\":[0.5,0.25]}"}};
	static const struct analysis_metric metric = {.metric = "m", .kind = METRIC_MEAN, .value = "/score", .high = 1};
	struct http_peer *peer = http_peer_start(script, 2);
	cleanup_free char *config = xasprintf("url: \"%s\"", http_peer_url(peer, "/s?v={{version}}&since={{from}}"));
	struct bench bench;
	struct told told;
	assert_null(bench_try(&bench, "json", config, &metric));
	bench_read(&bench, &told);
	assert_null(told.error);
	assert_int_equal(told.reading.measure.candidate.n, 2);
	bool first = strncmp(http_peer_request(peer, 0), "GET /s?v=v1&since=1.000 ", 24) == 0;
	assert_int_equal(strncmp(http_peer_request(peer, first ? 1 : 0), "GET /s?v=v2&since=1.000 ", 24), 0);
	bench_close(&bench);
	http_peer_finish(peer);
}

static void wrong_documents_are_errors_that_name_the_address(void **state)
{
	(void)state;
	static const struct {
		struct http_exchange answer;
		const char *message;
	} cases[] = {
		{{.body = "{\"x\":1"}, "no JSON: line 1, column 6: '}' expected near end of file"},
		{{.body = "{\"x\":1,\"x\":2}"}, "no JSON: line 1, column 10: duplicate object key near '\"x\"'"},
		{{.status = 404}, "answers 404 instead of 200"},
		{{.body = "{\"v1\":7,\"v2\":{}}"}, "candidate: value: /v2 is a mapping, not a number"},
		{{.hang = true}, "no answer within 300 ms"},
	};
	static const struct analysis_metric metric = {.metric = "m", .kind = METRIC_MEAN, .value = "/{{version}}", .high = 9};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_peer *peer = http_peer_start(&cases[i].answer, 1);
		cleanup_free char *config = xasprintf("url: \"%s\"\ntimeout: 300ms", http_peer_url(peer, "/d"));
		cleanup_free char *expected = xasprintf("metric source \"src\": m: %s: %s", http_peer_url(peer, "/d"), cases[i].message);
		struct bench bench;
		struct told told;
		assert_null(bench_try(&bench, "json", config, &metric));
		bench_read(&bench, &told);
		cleanup_free char *error = told.error;
		assert_non_null(error);
		assert_string_equal(error, expected);
		bench_close(&bench);
		http_peer_finish(peer);
	}
}

static void a_command_writes_its_document(void **state)
{
	(void)state;
	static const struct analysis_metric metric = {.metric = "m", .kind = METRIC_DISTRIBUTION, .distribution = "/bins"};
	static const char config[] =
		"run: [python3, -c, 'import json,sys; n=2 if sys.argv[1]==\"v2\" else 1; print(json.dumps({\"bins\":[n,0,3*n]}))', "
		"'{{version}}', '{{window}}']";
	struct bench bench;
	struct told told;
	assert_null(bench_try(&bench, "command", config, &metric));
	bench_read(&bench, &told);
	assert_null(told.error);
	assert_false(told.reading.nothing_yet);
	assert_int_equal(told.reading.measure.stable.counts[2], 3);
	assert_int_equal(told.reading.measure.candidate.counts[2], 6);
	assert_int_equal(told.reading.measure.candidate.n_counts, 3);
	bench_close(&bench);
}

static void what_a_command_does_wrong_is_told(void **state)
{
	(void)state;
	static const struct {
		const char *config, *message;
	} cases[] = {
		{"run: [python3, -c, 'import sys; sys.exit(\"no database\")']", "python3: exit status 1: no database"},
		{"run: [python3, -c, 'print(\"{\")']",
		 "python3: standard output is no JSON: line 2, column 0: string or '}' expected near end of file"},
		{"run: [python3, -c, 'import time; time.sleep(60)']\ntimeout: 300ms", "python3: did not end within 300 ms and was killed"},
		{"run: [python3, -c, 'print(\"[\" + 5000000 * \" \" + \"]\")']", "python3: wrote more than 4194304 bytes"},
		{"run: [/nowhere/program]", "run /nowhere/program: No such file or directory"},
		{"run: [python3, -c, 'print(\"[]\")']", "python3: stable: value: the document has nothing at \"/v1\""},
	};
	static const struct analysis_metric metric = {.metric = "m", .kind = METRIC_MEAN, .value = "/{{version}}", .high = 9};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *expected = xasprintf("metric source \"src\": m: %s", cases[i].message);
		struct bench bench;
		struct told told;
		assert_null(bench_try(&bench, "command", cases[i].config, &metric));
		bench_read(&bench, &told);
		cleanup_free char *error = told.error;
		assert_non_null(error);
		assert_string_equal(error, expected);
		bench_close(&bench);
	}
}

static void a_command_that_nobody_waits_for_is_killed(void **state)
{
	(void)state;
	static const struct analysis_metric metric = {.metric = "m", .kind = METRIC_MEAN, .value = "/{{version}}", .high = 9};
	struct source_arm arms[2] = {{.name = "stable", .version = "v1"}, {.name = "candidate", .version = "v2"}};
	struct source_span span = {.from_ms = 1, .to_ms = 2};
	struct bench bench;
	struct told told = {0};
	assert_null(bench_try(&bench, "command", "run: [python3, -c, 'import time; time.sleep(600)']", &metric));
	bench.source->ops->read(bench.watch, arms, &span, tell, &told);
	bench_close(&bench);
	assert_false(told.called);
}

static void what_cannot_work_is_refused_before_it_is_asked(void **state)
{
	(void)state;
	static const struct analysis_metric apart = {.metric = "m", .kind = METRIC_MEAN, .value = "/{{version}}", .high = 9};
	static const struct analysis_metric same = {.metric = "m", .kind = METRIC_MEAN, .value = "/x", .high = 9};
	static const struct analysis_metric by = {.metric = "m", .kind = METRIC_DISTRIBUTION, .distribution = "/{{arm}}", .by = "class"};
	static const struct {
		const char *kind, *config;
		const struct analysis_metric *metric;
		const char *problem;
	} cases[] = {
		{"json", "url: 'http://h/{{version}}'", &same, NULL},
		{"json", "url: 'http://h/x'", &apart, NULL},
		{"json", "url: 'http://h/x'", &same,
		 "metric source \"src\": m: value: \"/x\" is the same number for both arms; write {{arm}} or {{version}} into the pointer"},
		{"json", "url: 'http://h/x'", &by,
		 "metric source \"src\": m: `by` has no meaning here: `distribution` points at a mapping from classes to counts, or at a list of "
		 "counts"},
		{"json", "url: 'http://{{version}}/x'", &same, "the address must not hold \"{{\" before its path"},
		{"json", "url: 'http://u:p@h/x'", &same, "the address must hold no user or password: messages show it; use bearer_file"},
		{"json", "url: 'file:///etc/passwd'", &same, "the address must begin with http:// or https://"},
		{"json", "url: 'http://h/{{what}}'", &same,
		 "the address holds a \"{{\" that names nothing; there are arm, version, image, instances, addresses, window, from, to"},
		{"command", "run: ['{{version}}']", &same, "the argument is the program: it is never filled in"},
		{"command", "run: [x, '{{ver}}']", &same,
		 "the argument holds a \"{{\" that names nothing; there are arm, version, image, instances, addresses, window, from, to"},
		{"command", "run: [x]", &same,
		 "metric source \"src\": m: value: \"/x\" is the same number for both arms; write {{arm}} or {{version}} into the pointer"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bench bench;
		cleanup_free char *problem = bench_try(&bench, cases[i].kind, cases[i].config, cases[i].metric);
		if (cases[i].problem) {
			assert_non_null(problem);
			assert_string_equal(problem, cases[i].problem);
		} else if (problem) {
			fail_msg("%s", problem);
		}
		bench_close(&bench);
	}
}

int main(void)
{
	loop_free(loop_new()); /* what libuv keeps open for good, before descriptors are counted */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pointers_are_those_of_rfc_6901),
		cmocka_unit_test(documents_are_taken_or_refused_for_a_reason),
		cmocka_unit_test_setup_teardown(one_document_serves_both_arms, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(each_arm_has_its_own_address, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(wrong_documents_are_errors_that_name_the_address, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_command_writes_its_document, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(what_a_command_does_wrong_is_told, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_command_that_nobody_waits_for_is_killed, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(what_cannot_work_is_refused_before_it_is_asked, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
