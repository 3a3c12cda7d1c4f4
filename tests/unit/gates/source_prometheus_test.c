#include "gates/sources/prometheus/answer.h"

#include "base/alloc.h"
#include "gates/measure.h"
#include "gates/sources/source.h"
#include "tests/support/http_peer.h"
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

#define VECTOR(series) "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[" series "]}}"
#define MATRIX(series) "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[" series "]}}"

static void answers_are_taken_or_refused_for_a_reason(void **state)
{
	(void)state;
	static const struct {
		bool range;
		long status;
		const char *body;
		enum error_code code;
		const char *message; /* NULL: fine */
	} cases[] = {
		{false, 200, VECTOR(""), ERROR_INTERNAL, NULL},
		{false, 200, VECTOR("{\"metric\":{\"a\":\"b\"},\"value\":[1000,\"NaN\"]}"), ERROR_INTERNAL, NULL},
		{false, 200, VECTOR("{\"metric\":{},\"value\":[1000.0004,\"1e3\"]}"), ERROR_INTERNAL, NULL},
		{false, 200,
		 "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1000,\"5\"]},\"infos\":[\"may be no counter\"]}",
		 ERROR_INTERNAL, NULL},
		{false, 200, "{\"status\":\"success\",\"warnings\":[],\"data\":{\"resultType\":\"vector\",\"result\":[]}}", ERROR_INTERNAL, NULL},
		{true, 200, MATRIX("{\"metric\":{},\"values\":[[985,\"1\"],[1000,\"2\"]]}"), ERROR_INTERNAL, NULL},
		{true, 200, MATRIX("{\"metric\":{},\"values\":[]}"), ERROR_INTERNAL, NULL},
		{false, 200, "{\"status\":\"success\",\"warnings\":[\"store s2 did not answer\"],\"data\":{\"resultType\":\"vector\",\"result\":[]}}",
		 ERROR_UNAVAILABLE, "the answer may be partial, Prometheus warns: store s2 did not answer"},
		{false, 200, "{\"status\":\"success\",\"isPartial\":true,\"data\":{\"resultType\":\"vector\",\"result\":[]}}", ERROR_UNAVAILABLE,
		 "the answer is partial"},
		{false, 400, "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:5: parse error\"}", ERROR_INVALID,
		 "Prometheus says bad_data (status 400): 1:5: parse error"},
		{false, 503, "{\"status\":\"error\",\"errorType\":\"timeout\",\"error\":\"query timed out\"}", ERROR_UNAVAILABLE,
		 "Prometheus says timeout (status 503): query timed out"},
		{false, 200, "{\"status\":\"error\"}", ERROR_UNAVAILABLE, "Prometheus says unknown (status 200): no reason"},
		{false, 502, "<html>", ERROR_UNAVAILABLE, "answers 502 instead of 200"},
		{false, 500, VECTOR(""), ERROR_UNAVAILABLE, "answers 500 instead of 200"},
		{false, 200, "<html>", ERROR_PROTOCOL, "the answer is no JSON: line 1, column 1: invalid token near '<'"},
		{false, 200, "[]", ERROR_PROTOCOL, "the answer is no JSON: not a mapping"},
		{false, 200, "{}", ERROR_PROTOCOL, "`status` is neither \"success\" nor \"error\"; is this a Prometheus?"},
		{false, 200, "{\"status\":\"success\"}", ERROR_PROTOCOL, "\"\" is no type of result; is this a Prometheus?"},
		{false, 200, MATRIX(""), ERROR_INVALID, "the query gives a range of samples; an instant vector or a scalar is needed"},
		{false, 200, "{\"status\":\"success\",\"data\":{\"resultType\":\"string\",\"result\":[1000,\"x\"]}}", ERROR_INVALID,
		 "the query gives a string; an instant vector or a scalar is needed"},
		{true, 200, VECTOR(""), ERROR_PROTOCOL, "\"vector\" is no type of result; is this a Prometheus?"},
		{false, 200, "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\"}}", ERROR_PROTOCOL,
		 "`result` is no list; is this a Prometheus?"},
		{false, 200, VECTOR("5"), ERROR_PROTOCOL, "a series is no mapping; is this a Prometheus?"},
		{false, 200, VECTOR("{\"value\":[1000,\"1\"]}"), ERROR_PROTOCOL, "a series has no mapping of labels; is this a Prometheus?"},
		{false, 200, VECTOR("{\"metric\":{\"a\":1},\"value\":[1000,\"1\"]}"), ERROR_PROTOCOL, "a label is no string; is this a Prometheus?"},
		{false, 200, VECTOR("{\"metric\":{},\"value\":[1000,1]}"), ERROR_PROTOCOL, "{}: a sample is a pair of a time and a quoted number"},
		{false, 200, VECTOR("{\"metric\":{\"a\":\"\\\"\"}}"), ERROR_PROTOCOL,
		 "{a=\"\\\"\"}: a sample is a pair of a time and a quoted number"},
		{false, 200, VECTOR("{\"metric\":{\"__name__\":\"up\"},\"value\":[1000,\"x\"]}"), ERROR_PROTOCOL, "up: \"x\" is no number"},
		{false, 200, VECTOR("{\"metric\":{\"__name__\":\"up\"},\"value\":[940,\"1\"]}"), ERROR_PROTOCOL,
		 "up: asked for the time 1000.000, the answer is of 940.000"},
		{false, 200, VECTOR("{\"metric\":{},\"value\":[1000,\"1\"]},{\"metric\":{},\"value\":[1000,\"1\"]}"), ERROR_PROTOCOL,
		 "{} stands there twice"},
		{false, 200, VECTOR("{\"metric\":{},\"histogram\":[1000,{}]}"), ERROR_UNSUPPORTED,
		 "{}: native histograms are not available in this build; keep the classic buckets (scrape_classic_histograms)"},
		{true, 200, MATRIX("{\"metric\":{},\"values\":[[1000,\"1\"],[985,\"2\"]]}"), ERROR_PROTOCOL,
		 "{}: time goes back, from 1000.000 to 985.000"},
		{true, 200, MATRIX("{\"metric\":{},\"values\":[[900,\"1\"]]}"), ERROR_PROTOCOL,
		 "{}: asked for the time from 970.000 to 1000.000, a sample is of 900.000"},
		{true, 200, MATRIX("{\"metric\":{},\"values\":7}"), ERROR_PROTOCOL, "{}: expected at most 12000 samples"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_arena struct arena *arena = arena_new();
		cleanup_error struct error *err = NULL;
		const struct answer_asked asked = {.range = cases[i].range, .from_s = 970, .to_s = 1000};
		struct answer answer;
		int result = answer_parse(cases[i].body, strlen(cases[i].body), cases[i].status, &asked, arena, &answer, &err);
		if (!cases[i].message) {
			assert_no_error(err);
			continue;
		}
		assert_int_equal(result, -1);
		assert_error(err, cases[i].code, cases[i].message);
	}
}

static void series_tell_whose_they_are(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	cleanup_error struct error *err = NULL;
	const struct answer_asked asked = {.to_s = 1000};
	static const char body[] =
		VECTOR("{\"metric\":{\"le\":\"0.5\",\"__name__\":\"s_bucket\",\"job\":\"m\",\"instance\":\"h:1\"},\"value\":[1000,\"7\"]},"
		       "{\"metric\":{\"instance\":\"h:2\"},\"value\":[1000,\"8\"]},{\"metric\":{\"x\":\"y\"},\"value\":[1000,\"9\"]}");
	struct answer answer;
	assert_ok(answer_parse(body, strlen(body), 200, &asked, arena, &answer, &err), err);
	assert_int_equal(answer.n_series, 3);
	assert_string_equal(answer.series[0].series, "s_bucket{instance=\"h:1\",job=\"m\",le=\"0.5\"}");
	assert_string_equal(answer_series_without(&answer.series[0], "le", arena), "s_bucket{instance=\"h:1\",job=\"m\"}");
	assert_string_equal(answer_group(&answer.series[0], arena), "h:1 (m)");
	assert_string_equal(answer_group(&answer.series[1], arena), "h:2");
	assert_string_equal(answer_group(&answer.series[2], arena), "");
}

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

static void changed_bytes_never_crash_the_reader(void **state)
{
	(void)state;
	static const char body[] = MATRIX("{\"metric\":{\"__name__\":\"up\",\"a\":\"b\"},\"values\":[[985,\"1\"],[1000,\"2\"]]},"
					  "{\"metric\":{\"le\":\"+Inf\"},\"values\":[[985,\"NaN\"]]}");
	static const char spice[] = "{}[]\",:\\0159eE.-+ntu\x80\0";
	uint64_t seed = 7;
	unsigned refused = 0;
	for (int round = 0; round < 5000; round++) {
		cleanup_arena struct arena *arena = arena_new();
		cleanup_error struct error *err = NULL;
		const struct answer_asked asked = {.range = true, .from_s = 970, .to_s = 1000};
		struct answer answer;
		size_t len = round % 3 ? sizeof(body) - 1 : next_random(&seed) % sizeof(body);
		cleanup_free char *changed = xmemdup(body, len + 1);
		for (uint64_t changes = next_random(&seed) % 3; changes && len; changes--)
			changed[next_random(&seed) % len] = spice[next_random(&seed) % (sizeof(spice) - 1)];
		refused += answer_parse(changed, len, 200, &asked, arena, &answer, &err) < 0;
	}
	assert_true(refused > 2000 && refused < 5000);
}

/* ---- the driver, against a scripted server ---- */

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
	struct fixture *fixture;
	struct loop *loop;
	struct diag_list *diags;
	struct yaml_doc *config;
	struct source *source;
	struct source_watch *watch;
	int64_t from_ms;
};

static void bench_open(struct bench *bench, struct http_peer *peer, const struct analysis_metric *metric, const char *more)
{
	cleanup_error struct error *err = NULL;
	const struct source_ops *ops = source_find("prometheus");
	cleanup_free char *text = xasprintf("url: \"%s\"\n%s", http_peer_url(peer, "/prom/"), more);
	*bench = (struct bench){.loop = loop_new(), .diags = diag_list_new(), .from_ms = 985000};
	bench->config = yaml_parse("penstock.yml", text, strlen(text), bench->diags);
	assert_true(schema_check(ops->config, yaml_root(bench->config), bench->diags));
	struct source_config config = {.name = "prom", .body = yaml_root(bench->config)};
	assert_ok(ops->open(&config, bench->loop, &bench->source, &err), err);
	assert_ok(ops->watch(bench->source, metric, &bench->watch, &err), err);
}

static void bench_close(struct bench *bench)
{
	bench->source->ops->unwatch(bench->watch);
	bench->source->ops->close(bench->source);
	yaml_doc_free(bench->config);
	diag_list_free(bench->diags);
	loop_free(bench->loop);
}

static void bench_read(struct bench *bench, struct told *told)
{
	static const char *const one[] = {"h:1"}, *const two[] = {"h:2"};
	struct source_arm arms[2] = {{.name = "stable", .version = "v1", .image = "i", .instances = one, .n_instances = 1},
				     {.name = "candidate", .version = "v2", .image = "i", .instances = two, .n_instances = 1}};
	struct source_span span = {.from_ms = bench->from_ms, .to_ms = bench->from_ms + 15000};
	bench->from_ms += 15000;
	*told = (struct told){0};
	bench->source->ops->read(bench->watch, arms, &span, tell, told);
	while (loop_turn(bench->loop) && !told->called)
		;
	assert_true(told->called);
}

/* Requests of one reading arrive in any order: every exchange of a script must do for each of them. */
static void a_value_is_observed_at_multiples_of_the_step(void **state)
{
	(void)state;
	static const char body[] = MATRIX("{\"metric\":{\"__name__\":\"conf\"},\"values\":[[990,\"0.5\"],[995,\"0.25\"],[1000,\"0.75\"]]}");
	static const struct http_exchange script[] = {
		{.expect_method = "POST",
		 .expect_path = "/prom/api/v1/query_range",
		 .expect_header = "Content-Type: application/x-www-form-urlencoded",
		 .body = body},
		{.expect_header = "Accept: application/json", .body = body},
	};
	struct http_peer *peer = http_peer_start(script, 2);
	const struct analysis_metric metric = {.metric = "conf", .kind = METRIC_MEAN, .value = "avg(conf{v=\"{{version}}\"})", .low = 0, .high = 1};
	struct bench bench;
	struct told told;
	bench_open(&bench, peer, &metric, "step: 5s\n");
	bench_read(&bench, &told);
	assert_null(told.error);
	assert_int_equal(told.reading.measure.stable.n, 3);
	assert_true(told.reading.measure.candidate.sum == 1.5);
	bool stable = strstr(http_peer_request(peer, 0), "v1") != NULL;
	assert_non_null(strstr(http_peer_request(peer, stable ? 0 : 1),
			       "\r\n\r\nquery=avg%28conf%7Bv%3D%22v1%22%7D%29&start=990.000&end=1000.000&step=5.000&timeout=5000ms"));
	assert_non_null(strstr(http_peer_request(peer, stable ? 1 : 0), "v%3D%22v2%22"));
	bench_close(&bench);
	http_peer_finish(peer);
}

static void counters_of_several_series_are_compared_one_by_one(void **state)
{
	(void)state;
#define COUNTERS(at, a, b)                                                                                                                           \
	VECTOR("{\"metric\":{\"instance\":\"x\",\"job\":\"j\"},\"value\":[" at ",\"" a "\"]},"                                                       \
	       "{\"metric\":{\"instance\":\"y\",\"job\":\"j\"},\"value\":[" at ",\"" b "\"]}")
	static const struct http_exchange script[] = {
		{.body = COUNTERS("1000", "5", "100")}, {.body = COUNTERS("1000", "5", "100")}, {.body = COUNTERS("1000", "5", "100")},
		{.body = COUNTERS("1000", "5", "100")}, {.body = COUNTERS("1015", "9", "30")},  {.body = COUNTERS("1015", "9", "30")},
		{.body = COUNTERS("1015", "9", "30")},  {.body = COUNTERS("1015", "9", "30")},
	};
	struct http_peer *peer = http_peer_start(script, ARRAY_SIZE(script));
	const struct analysis_metric metric = {
		.metric = "accuracy", .kind = METRIC_RATE, .events = "penstock_labeled_correct_total", .total = "penstock_labeled_total{a=\"b\", }"};
	struct bench bench;
	struct told told;
	bench_open(&bench, peer, &metric, "");
	bench_read(&bench, &told);
	assert_null(told.error);
	assert_true(told.reading.nothing_yet);
	bench_read(&bench, &told);
	assert_null(told.error);
	assert_int_equal(told.reading.measure.stable.n, 34);
	assert_int_equal(told.reading.measure.stable.n_instances, 2);
	assert_int_equal(told.reading.measure.stable.instances[1].n, 30);
	assert_string_equal(told.reading.note, "stable: counters of 1 instance were reset; candidate: counters of 1 instance were reset");
	bool found = false;
	for (size_t i = 0; i < 4; i++)
		found = found || strstr(http_peer_request(peer, i),
					"query=penstock_labeled_total%7Ba%3D%22b%22%2Cinstance%3D~%22h%3A2%22%7D&time=1000.000&") != NULL;
	assert_true(found);
	bench_close(&bench);
	http_peer_finish(peer);
}

static void a_distribution_has_classes_or_buckets(void **state)
{
	(void)state;
#define CLASSES(at, no, yes)                                                                                                                         \
	VECTOR("{\"metric\":{\"__name__\":\"penstock_predictions_total\",\"instance\":\"x\",\"class\":\"no\"},\"value\":[" at ",\"" no "\"]},"       \
	       "{\"metric\":{\"__name__\":\"penstock_predictions_total\",\"instance\":\"x\",\"class\":\"yes\"},\"value\":[" at ",\"" yes "\"]}")
#define BUCKETS(at, low, all)                                                                                                                        \
	VECTOR("{\"metric\":{\"instance\":\"x\",\"le\":\"0.5\"},\"value\":[" at ",\"" low "\"]},"                                                    \
	       "{\"metric\":{\"instance\":\"x\",\"le\":\"+Inf\"},\"value\":[" at ",\"" all "\"]}")
	static const struct http_exchange scripts[][4] = {
		{{.body = CLASSES("1000", "5", "1")},
		 {.body = CLASSES("1000", "5", "1")},
		 {.body = CLASSES("1015", "6", "5")},
		 {.body = CLASSES("1015", "6", "5")}},
		{{.body = BUCKETS("1000", "5", "6")},
		 {.body = BUCKETS("1000", "5", "6")},
		 {.body = BUCKETS("1015", "6", "11")},
		 {.body = BUCKETS("1015", "6", "11")}},
	};
	static const struct analysis_metric metrics[] = {
		{.metric = "prediction_drift",
		 .kind = METRIC_DISTRIBUTION,
		 .distribution = "penstock_predictions_total|penstock_prediction",
		 .by = "class|le"},
		{.metric = "s", .kind = METRIC_DISTRIBUTION, .distribution = "sum by (le, instance) (s_bucket{v=\"{{version}}\"})"},
	};
	for (size_t i = 0; i < 2; i++) {
		struct http_peer *peer = http_peer_start(scripts[i], 4);
		struct bench bench;
		struct told told;
		bench_open(&bench, peer, &metrics[i], "");
		bench_read(&bench, &told);
		assert_null(told.error);
		assert_true(told.reading.nothing_yet);
		bench_read(&bench, &told);
		assert_null(told.error);
		assert_int_equal(told.reading.measure.stable.counts[0], 1);
		assert_int_equal(told.reading.measure.candidate.counts[1], 4);
		if (i == 0)
			assert_non_null(strstr(http_peer_request(peer, 0), "query=penstock_predictions_total%7Binstance%3D~%22h%3A"));
		if (i == 0)
			assert_non_null(strstr(http_peer_request(peer, 0), "%20or%20penstock_prediction_bucket%7Binstance"));
		bench_close(&bench);
		http_peer_finish(peer);
	}
}

static void every_failure_names_source_metric_and_address(void **state)
{
	(void)state;
	static const struct {
		struct http_exchange answer;
		const char *message; /* after `metric source "prom": m: <url>: ` */
	} cases[] = {
		{{.status = 503, .body = "{\"status\":\"error\",\"errorType\":\"unavailable\",\"error\":\"starting\"}"},
		 "stable: value: Prometheus says unavailable (status 503): starting"},
		{{.status = 301, .headers = "Location: /x\r\n"}, "answers 301; redirects are not followed, give the final address"},
		{{.hang = true}, "no answer within 300 ms"},
		{{.drop = true}, "Empty reply from server"},
		{{.body = MATRIX("{\"metric\":{\"a\":\"1\"},\"values\":[[990,\"1\"]]},{\"metric\":{\"a\":\"2\"},\"values\":[[990,\"1\"]]}")},
		 "stable: value: one series is expected, the query gives 2: {a=\"1\"}, {a=\"2\"}"},
	};
	const struct analysis_metric metric = {.metric = "m", .kind = METRIC_MEAN, .value = "x{v=\"{{version}}\"}", .high = 1};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct http_exchange script[] = {cases[i].answer, cases[i].answer};
		struct http_peer *peer = http_peer_start(script, 2);
		struct bench bench;
		struct told told;
		bench_open(&bench, peer, &metric, "timeout: 300ms\n");
		bench_read(&bench, &told);
		cleanup_free char *error = told.error;
		cleanup_free char *expected = xasprintf("metric source \"prom\": m: http://127.0.0.1:%u/prom/api/v1/query_range: %s",
							http_peer_port(peer), cases[i].message);
		assert_non_null(error);
		assert_string_equal(error, expected);
		bench_close(&bench);
		http_peer_finish(peer);
	}
}

static void nothing_found_is_no_data_and_says_what(void **state)
{
	(void)state;
	static const struct http_exchange empty[] = {{.body = VECTOR("")}, {.body = VECTOR("")}, {.body = VECTOR("")}, {.body = VECTOR("")}};
	const struct analysis_metric metric = {.metric = "m", .kind = METRIC_RATE, .events = "e{v=\"{{version}}\"}", .total = "t{v=\"{{version}}\"}"};
	struct http_peer *peer = http_peer_start(empty, 4);
	struct bench bench;
	struct told told;
	bench_open(&bench, peer, &metric, "");
	bench_read(&bench, &told);
	assert_null(told.error);
	assert_true(told.reading.no_data);
	assert_string_equal(told.reading.note, "stable: no series for `events` (if none means zero, append: or vector(0)); "
					       "candidate: no series for `events` (if none means zero, append: or vector(0))");
	bench_close(&bench);
	http_peer_finish(peer);
}

static void counts_of_a_window_need_one(void **state)
{
	(void)state;
	static const struct http_exchange script[] = {{.body = VECTOR("{\"metric\":{},\"value\":[1000,\"99.6\"]}")},
						      {.body = VECTOR("{\"metric\":{},\"value\":[1000,\"99.6\"]}")},
						      {.body = VECTOR("{\"metric\":{},\"value\":[1000,\"99.6\"]}")},
						      {.body = VECTOR("{\"metric\":{},\"value\":[1000,\"99.6\"]}")}};
	const struct analysis_metric metric = {.metric = "m",
					       .kind = METRIC_RATE,
					       .events = "sum(increase(e{v=\"{{version}}\"}[{{window}}]))",
					       .total = "sum(increase(t{v=\"{{version}}\"}[{{window}}]))"};
	struct http_peer *peer = http_peer_start(script, 4);
	struct bench bench;
	struct told told;
	bench_open(&bench, peer, &metric, "");
	bench.from_ms = 0;
	bench_read(&bench, &told);
	assert_true(told.reading.nothing_yet);
	bench.from_ms = 985000;
	bench_read(&bench, &told);
	assert_null(told.error);
	assert_int_equal(told.reading.measure.stable.n, 100);
	assert_non_null(strstr(http_peer_request(peer, 0), "%5B15s%5D"));
	bench_close(&bench);
	http_peer_finish(peer);
}

static void a_token_comes_from_its_file(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *path = fixture_write(fixture, "token", "s3cret\n");
	cleanup_free char *more = xasprintf("bearer_file: \"%s\"\n", path);
	static const struct http_exchange script[] = {{.expect_header = "Authorization: Bearer s3cret", .body = MATRIX("")},
						      {.expect_header = "Authorization: Bearer s3cret", .body = MATRIX("")}};
	const struct analysis_metric metric = {.metric = "m", .kind = METRIC_MEAN, .value = "x{v=\"{{version}}\"}", .high = 1};
	struct http_peer *peer = http_peer_start(script, 2);
	struct bench bench;
	struct told told;
	bench_open(&bench, peer, &metric, more);
	bench_read(&bench, &told);
	assert_null(told.error);
	assert_true(told.reading.no_data);
	free(fixture_write(fixture, "token", "two words\n"));
	bench_read(&bench, &told);
	cleanup_free char *error = told.error;
	assert_string_equal(error, fixture_text(fixture, "metric source \"prom\": m: bearer_file: %s/token holds no token of printable characters"));
	bench_close(&bench);
	http_peer_finish(peer);
}

static void queries_that_cannot_tell_the_arms_apart_are_refused(void **state)
{
	(void)state;
	static const struct {
		struct analysis_metric metric;
		const char *problem;
	} cases[] = {
		{{.kind = METRIC_RATE, .events = "e{v=\"{{version}}\"}", .total = "t_total"}, NULL},
		{{.kind = METRIC_MEAN, .value = "x{a=\"1\"}"}, NULL},
		{{.kind = METRIC_MEAN, .value = "avg(x{a=\"1\"})"},
		 "value: the query is the same for both arms; tell them apart with {{arm}}, {{version}}, {{image}} or {{instances}}, for example "
		 "requests_total{instance=~\"{{instances}}\"}"},
		{{.kind = METRIC_MEAN, .value = "x{a=\"{{vers}}\"}"},
		 "value: column 6: nothing is called \"{{vers}}\"; there are arm, version, image, instances, addresses, window, from, to"},
		{{.kind = METRIC_RATE, .events = "e{v=\"{{version}}\"}", .total = "increase(t{v=\"{{version}}\"}[{{window}}])"},
		 "`events` and `total` must be counted alike: {{window}} in both of them, or in neither"},
		{{.kind = METRIC_RATE, .events = "e"}, "a rate from a metric source needs `events` and `total`"},
		{{.kind = METRIC_RATE, .events = "e", .total = "t", .by = "x"},
		 "a rate has `events` and `total`, and neither `value`, `distribution` nor `by`"},
		{{.kind = METRIC_DISTRIBUTION, .distribution = "sum by (a, b) (x{v=\"{{version}}\"})", .by = "a|b"},
		 "`by` names one label; several are for plain selectors with \"|\" between them"},
		{{.kind = METRIC_LATENCY}, "latency is judged by the router's own counts: leave `source` out"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char space[512];
		const char *problem = source_check(source_find("prometheus"), &cases[i].metric, space, sizeof(space));
		if (cases[i].problem) {
			assert_non_null(problem);
			assert_string_equal(problem, cases[i].problem);
		} else {
			assert_null(problem);
		}
	}
}

int main(void)
{
	loop_free(loop_new()); /* what libuv keeps open for good, before descriptors are counted */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_taken_or_refused_for_a_reason),
		cmocka_unit_test(series_tell_whose_they_are),
		cmocka_unit_test(changed_bytes_never_crash_the_reader),
		cmocka_unit_test_setup_teardown(a_value_is_observed_at_multiples_of_the_step, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(counters_of_several_series_are_compared_one_by_one, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_distribution_has_classes_or_buckets, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(every_failure_names_source_metric_and_address, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(nothing_found_is_no_data_and_says_what, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(counts_of_a_window_need_one, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_token_comes_from_its_file, fixture_setup, fixture_teardown),
		cmocka_unit_test(queries_that_cannot_tell_the_arms_apart_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
