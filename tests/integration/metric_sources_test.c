/* Metric sources with a real Prometheus and real copies of a model server: the same numbers must come from the copies' own pages and from
 * the server that scrapes them. */
#include "base/alloc.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/http_client.h"
#include "gates/measure.h"
#include "gates/sources/builtin.h"
#include "gates/sources/source.h"
#include "tests/support/support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum { STABLE, CANDIDATE, PROMETHEUS, N_CHILDREN };

struct rig {
	struct fixture *fixture;
	struct loop *loop;
	struct child *children[N_CHILDREN]; /* NULL: not running */
	char *addresses[N_CHILDREN];
	struct diag_list *diags;
	struct yaml_doc *doc;
	struct source *app, *prom;
	struct arena *arena;
	int64_t from_ms;
};

struct told {
	bool called;
	struct source_reading reading;
	char *error;
};

static void tell(void *arg, const struct source_reading *reading, struct error *err)
{
	struct told *told = arg;
	told->called = true;
	if (reading)
		told->reading = *reading;
	if (err)
		told->error = xstrdup(error_message(err));
}

static void turn(struct rig *rig, uint64_t ms)
{
	struct pollfd nothing = {.fd = -1};
	uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
	poll(&nothing, 1, (int)ms);
}

/* Until it holds; fails after 30 s. */
#define UNTIL(rig, condition)                                                                                                                        \
	for (uint64_t deadline_ = clock_mono_ms() + 30000; !(condition); turn((rig), 20))                                                            \
		if (clock_mono_ms() > deadline_)                                                                                                     \
	fail_msg("%s:%d: not within 30 s: %s", __FILE__, __LINE__, #condition)

/* The kernel chooses; the port is free again until the child takes it. */
static char *free_address(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	return xasprintf("127.0.0.1:%u", ntohs(address.sin_port));
}

/* The answer's body, or NULL; owned by the caller. */
static char *get(const struct rig *rig, size_t which, const char *path)
{
	cleanup_free char *url = xasprintf("http://%s%s", rig->addresses[which], path);
	struct http_request request = {.url = url, .timeout_ms = 5000};
	struct http_response response;
	if (http_fetch(&request, &response, NULL) < 0)
		return NULL;
	char *body = response.status == 200 ? STEAL(response.body) : NULL;
	http_response_done(&response);
	return body;
}

static bool answers(const struct rig *rig, size_t which, const char *path, const char *wanted)
{
	cleanup_free char *body = get(rig, which, path);
	return body && strstr(body, wanted);
}

static void act(const struct rig *rig, size_t which, const char *path)
{
	cleanup_free char *body = get(rig, which, path);
	assert_non_null(body);
}

struct slot {
	struct rig *rig;
	size_t which;
};

static void gone(void *arg, const struct child_result *result)
{
	struct slot *slot = arg;
	if (!result->cancelled)
		print_error("%s ended: %s\n", slot->which == PROMETHEUS ? "prometheus" : "the model server", result->err_text);
	slot->rig->children[slot->which] = NULL;
	free(slot);
}

static void start(struct rig *rig, size_t which, const char *const *argv)
{
	cleanup_error struct error *err = NULL;
	struct slot *slot = xcalloc(1, sizeof(*slot));
	struct child_spec spec = {.argv = argv, .dir = rig->fixture->dir};
	*slot = (struct slot){rig, which};
	assert_ok(child_start(rig->loop, &spec, gone, slot, &rig->children[which], &err), err);
}

static void stop(struct rig *rig, size_t which)
{
	if (rig->children[which])
		child_cancel(rig->children[which]);
	UNTIL(rig, !rig->children[which]);
}

static void start_model(struct rig *rig, size_t which)
{
	const char *port = strchr(rig->addresses[which], ':') + 1;
	const char *const argv[] = {"python3", SOURCE_DIR "/tests/integration/model_server.py", port, NULL};
	start(rig, which, argv);
	UNTIL(rig, answers(rig, which, "/metrics", "penstock_score_count"));
}

static void start_prometheus(struct rig *rig)
{
	cleanup_free char *config = xasprintf("global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
					      "scrape_configs:\n"
					      "  - job_name: models\n"
					      "    static_configs:\n"
					      "      - {targets: [\"%s\"], labels: {version: v1}}\n"
					      "      - {targets: [\"%s\"], labels: {version: v2}}\n",
					      rig->addresses[STABLE], rig->addresses[CANDIDATE]);
	cleanup_free char *path = fixture_write(rig->fixture, "prometheus.yml", config);
	cleanup_free char *config_option = xasprintf("--config.file=%s", path);
	cleanup_free char *data_option = xasprintf("--storage.tsdb.path=%s/tsdb", rig->fixture->dir);
	cleanup_free char *listen_option = xasprintf("--web.listen-address=%s", rig->addresses[PROMETHEUS]);
	const char *const argv[] = {"prometheus", config_option, data_option, listen_option, "--log.level=error", NULL};
	start(rig, PROMETHEUS, argv);
	UNTIL(rig, answers(rig, PROMETHEUS, "/-/ready", "Ready"));
	UNTIL(rig, answers(rig, PROMETHEUS, "/api/v1/query?query=sum(up)", "\"2\""));
}

static void open_sources(struct rig *rig)
{
	cleanup_error struct error *err = NULL;
	cleanup_free char *text = xasprintf("{url: \"http://%s\", step: 1s, timeout: 10s}", rig->addresses[PROMETHEUS]);
	const struct source_ops *app = source_find("openmetrics"), *prom = source_find("prometheus");
	rig->doc = yaml_parse("penstock.yml", text, strlen(text), rig->diags);
	assert_true(schema_check(prom->config, yaml_root(rig->doc), rig->diags));
	const struct source_config ours = {.name = SOURCE_APP}, theirs = {.name = "prom", .body = yaml_root(rig->doc)};
	assert_ok(app->open(&ours, rig->loop, &rig->app, &err), err);
	assert_ok(prom->open(&theirs, rig->loop, &rig->prom, &err), err);
}

static int rig_setup(void **state)
{
	loop_free(loop_new());
	if (fixture_setup(state) < 0)
		return -1;
	struct rig *rig = xcalloc(1, sizeof(*rig));
	rig->fixture = *state;
	rig->loop = loop_new();
	rig->diags = diag_list_new();
	rig->arena = arena_new();
	for (size_t i = 0; i < N_CHILDREN; i++)
		rig->addresses[i] = free_address();
	start_model(rig, STABLE);
	start_model(rig, CANDIDATE);
	start_prometheus(rig);
	open_sources(rig);
	rig->from_ms = clock_wall_ms() - 1000;
	*state = rig;
	return 0;
}

static int rig_teardown(void **state)
{
	struct rig *rig = *state;
	rig->app->ops->close(rig->app);
	rig->prom->ops->close(rig->prom);
	for (size_t i = 0; i < N_CHILDREN; i++) {
		stop(rig, i);
		free(rig->addresses[i]);
	}
	child_drain(rig->loop);
	yaml_doc_free(rig->doc);
	diag_list_free(rig->diags);
	arena_free(rig->arena);
	loop_free(rig->loop);
	*state = rig->fixture;
	free(rig);
	return fixture_teardown(state);
}

static void read_once(struct rig *rig, struct source_watch *watch, struct told *told)
{
	const char *const one[] = {rig->addresses[STABLE]}, *const two[] = {rig->addresses[CANDIDATE]};
	const struct source_arm arms[2] = {{.name = "stable", .version = "v1", .image = "i", .instances = one, .n_instances = 1},
					   {.name = "candidate", .version = "v2", .image = "i", .instances = two, .n_instances = 1}};
	const struct source_span span = {.from_ms = rig->from_ms, .to_ms = clock_wall_ms()};
	*told = (struct told){0};
	watch->ops->read(watch, arms, &span, tell, told);
	UNTIL(rig, told->called);
}

static struct source_watch *watch_metric(const struct rig *rig, struct source *source, struct analysis_metric *metric)
{
	cleanup_error struct error *err = NULL;
	struct source_watch *watch;
	const struct builtin_metric *known = builtin_metric_find(metric->metric);
	if (known)
		assert_ok(builtin_metric_fill(known, metric, rig->arena, &err), err);
	assert_ok(source->ops->watch(source, metric, &watch, &err), err);
	return watch;
}

static void check_drift(const struct source_reading *reading)
{
	assert_false(reading->nothing_yet || reading->no_data);
	assert_int_equal(reading->measure.stable.n_counts, 2);
	assert_int_equal(reading->measure.stable.counts[0], 90);
	assert_int_equal(reading->measure.stable.counts[1], 10);
	assert_int_equal(reading->measure.candidate.counts[0], 7);
	assert_int_equal(reading->measure.candidate.counts[1], 3);
}

static void check_scores(const struct source_reading *reading)
{
	assert_false(reading->nothing_yet || reading->no_data);
	assert_int_equal(reading->measure.stable.n_counts, 10);
	assert_int_equal(reading->measure.stable.counts[1], 90);
	assert_int_equal(reading->measure.stable.counts[9], 10);
	assert_int_equal(reading->measure.candidate.counts[1], 7);
	assert_int_equal(reading->measure.candidate.counts[9], 3);
}

static void check_accuracy(const struct source_reading *reading)
{
	assert_false(reading->nothing_yet || reading->no_data);
	assert_int_equal(reading->measure.stable.n, 50);
	assert_int_equal(reading->measure.stable.y, 45);
	assert_int_equal(reading->measure.candidate.n, 5);
	assert_int_equal(reading->measure.candidate.y, 2);
}

/* First some history that must not count, then what must. */
static void pages_and_prometheus_tell_the_same(void **state)
{
	struct rig *rig = *state;
	static const struct {
		const char *name;
		void (*check)(const struct source_reading *reading);
	} metrics[] = {{"prediction_drift", check_drift}, {"score_distribution", check_scores}, {"accuracy", check_accuracy}};
	struct analysis_metric specs[6];
	struct source_watch *watches[6];
	struct told told;

	act(rig, STABLE, "/predict?class=no&score=0.15&n=5");
	act(rig, STABLE, "/predict?class=yes&score=0.95&n=5");
	act(rig, CANDIDATE, "/predict?class=no&score=0.55&n=5");
	act(rig, STABLE, "/label?n=3&correct=3");
	UNTIL(rig, answers(rig, PROMETHEUS, "/api/v1/query?query=sum(penstock_predictions_total)", "\"15\""));
	UNTIL(rig, answers(rig, PROMETHEUS, "/api/v1/query?query=sum(penstock_labeled_total)", "\"3\""));
	for (size_t i = 0; i < 6; i++) {
		specs[i] = (struct analysis_metric){.metric = metrics[i / 2].name};
		watches[i] = watch_metric(rig, i % 2 ? rig->prom : rig->app, &specs[i]);
		read_once(rig, watches[i], &told);
		if (told.error)
			fail_msg("%s", told.error);
		assert_true(told.reading.nothing_yet);
	}
	act(rig, STABLE, "/predict?class=no&score=0.15&n=90");
	act(rig, STABLE, "/predict?class=yes&score=0.95&n=10");
	act(rig, CANDIDATE, "/predict?class=no&score=0.15&n=7");
	act(rig, CANDIDATE, "/predict?class=yes&score=0.95&n=3");
	act(rig, STABLE, "/label?n=50&correct=45");
	act(rig, CANDIDATE, "/label?n=5&correct=2");
	UNTIL(rig, answers(rig, PROMETHEUS, "/api/v1/query?query=sum(penstock_predictions_total)", "\"125\""));
	UNTIL(rig, answers(rig, PROMETHEUS, "/api/v1/query?query=sum(penstock_labeled_total)", "\"58\""));
	for (size_t i = 0; i < 6; i++) {
		read_once(rig, watches[i], &told);
		if (told.error)
			fail_msg("%s", told.error);
		metrics[i / 2].check(&told.reading);
		watches[i]->ops->unwatch(watches[i]);
	}
}

static void values_are_observed_over_a_range(void **state)
{
	struct rig *rig = *state;
	struct analysis_metric metric = {.metric = "up", .kind = METRIC_MEAN, .value = "max(up{version=\"{{version}}\"})", .low = 0, .high = 1};
	struct source_watch *watch = watch_metric(rig, rig->prom, &metric);
	struct told told;
	rig->from_ms = clock_wall_ms();
	UNTIL(rig, clock_wall_ms() > rig->from_ms + 3100);
	read_once(rig, watch, &told);
	if (told.error)
		fail_msg("%s", told.error);
	assert_in_range(told.reading.measure.stable.n, 3, 4);
	assert_true(told.reading.measure.stable.sum == (double)told.reading.measure.stable.n);
	watch->ops->unwatch(watch);
}

static void expect_error(struct rig *rig, struct source_watch *watch, const char *wanted)
{
	struct told told;
	read_once(rig, watch, &told);
	cleanup_free char *error = told.error;
	if (!error || !strstr(error, wanted))
		fail_msg("expected \"%s\", got \"%s\"", wanted, error ? error : told.reading.note);
	watch->ops->unwatch(watch);
}

static void failures_of_the_real_ones_are_told(void **state)
{
	struct rig *rig = *state;
	struct analysis_metric wrong = {.metric = "m", .kind = METRIC_MEAN, .value = "avg(up{version=\"{{version}}\"}", .high = 1};
	struct analysis_metric several = {.metric = "m", .kind = METRIC_MEAN, .value = "up{version=~\"{{version}}|v1|v2\"}", .high = 1};
	struct analysis_metric range = {
		.metric = "m", .kind = METRIC_RATE, .events = "up{version=\"{{version}}\"}[1m]", .total = "up{version=\"{{version}}\"}[1m]"};
	struct analysis_metric none = {.metric = "m", .kind = METRIC_RATE, .events = "nowhere", .total = "nothing"};
	struct analysis_metric accuracy = {.metric = "accuracy"}, same = {.metric = "accuracy"};
	struct told told;
	rig->from_ms = clock_wall_ms(); /* both copies have been scraped before it */
	UNTIL(rig, clock_wall_ms() > rig->from_ms + 1100);
	expect_error(rig, watch_metric(rig, rig->prom, &wrong), "stable: value: Prometheus says bad_data (status 400): ");
	expect_error(rig, watch_metric(rig, rig->prom, &several),
		     "stable: value: one series is expected, the query gives 2: up{instance=\"127.0.0.1:");
	expect_error(rig, watch_metric(rig, rig->prom, &range), "stable: events: the query gives a range of samples");
	struct source_watch *watch = watch_metric(rig, rig->prom, &none);
	read_once(rig, watch, &told);
	assert_null(told.error);
	assert_true(told.reading.no_data);
	watch->ops->unwatch(watch);

	stop(rig, CANDIDATE);
	expect_error(rig, watch_metric(rig, rig->app, &accuracy), "metric source \"app\": accuracy: http://127.0.0.1:");
	UNTIL(rig, answers(rig, PROMETHEUS, "/api/v1/query?query=sum(up)", "\"1\""));
	watch = watch_metric(rig, rig->prom, &same);
	read_once(rig, watch, &told);
	assert_null(told.error);
	assert_true(told.reading.no_data);
	assert_string_equal(told.reading.note, "candidate: no series");
	stop(rig, PROMETHEUS);
	expect_error(rig, watch, "/api/v1/query: Failed to connect");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pages_and_prometheus_tell_the_same, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(values_are_observed_over_a_range, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(failures_of_the_real_ones_are_told, rig_setup, rig_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
