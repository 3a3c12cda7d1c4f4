#include "gates/sources/prometheus/prometheus.h"

#include "base/alloc.h"
#include "gates/sources/openmetrics/selector.h"
#include "gates/sources/prometheus/answer.h"
#include "gates/sources/source_driver.h"
#include "gates/sources/template.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { QUERY_MAX = 32 * 1024, MAX_QUERIES = 4, DEFAULT_STEP_MS = 15000, MAX_STEPS = 5000 };

static void check_url(const struct yaml_node *node, struct diag_list *diags)
{
	const char *problem = source_url_problem(yaml_text(node, ""), false);

	if (problem)
		yaml_error(diags, node, "metric_source", "for example \"http://127.0.0.1:9090\"", "the address %s", problem);
}
static void check_step(const struct yaml_node *node, struct diag_list *diags)
{
	uint64_t step_ms = 0;

	yaml_duration_ms(node, &step_ms);
	if (step_ms < 1000)
		yaml_error(diags, node, "metric_source", NULL, "the step is at least 1s");
}
static const struct schema url_schema = {.type = SCHEMA_STRING, .check = check_url};
static const struct schema step_schema = {.type = SCHEMA_DURATION, .check = check_step};
static const struct schema_field fields[] = {
	{"url", &url_schema, .required = true, .doc = "the server's address; /api/v1/query is appended"},
	{"timeout", &schema_duration, .doc = "how long an answer may take", .fallback = "5s"},
	{"step", &step_schema, .doc = "the distance of observations of a `value`: the server's scrape interval", .fallback = "15s"},
	{"bearer_file", &schema_string, .doc = "a file with a token for the header Authorization; read for each request"},
	{.name = NULL},
};
static const struct schema config_schema = {.type = SCHEMA_STRUCT, .doc = "a Prometheus, or what speaks its HTTP API", .fields = fields};

struct prometheus {
	struct source base;
	struct loop *loop;
	char *name, *url, *bearer_file;
	uint64_t timeout_ms, step_ms;
};

struct query {
	size_t arm;
	enum sample_role role;
	char *text;
};

struct query_watch {
	struct watch_core core;
	struct prometheus *source;
	struct selector *bare; /* DISTRIBUTION written as plain selectors; else NULL */
	bool windowed;
	struct fetches *fetches;
	struct answer_asked asked;
	struct query queries[MAX_QUERIES];
	size_t n_queries;
};

/* ---- queries ---- */

/* A selector as for a metrics page, without a word about the arm, stands for the series of the arm's own copies. NULL: it is PromQL. */
static struct selector *bare_families(const char *text)
{
	struct selector *selector CLEANUP(selector_free) = NULL;
	unsigned names = 0;

	if (!text || template_names(text, &names, NULL) < 0 || names || selector_parse(text, &selector, NULL) < 0)
		return NULL;
	return STEAL(selector);
}

static bool is_bare(const char *text)
{
	struct selector *selector CLEANUP(selector_free) = bare_families(text);

	return selector != NULL;
}

/* The name that the server stores: a histogram's buckets. */
static char *stored_name(const struct selector *bare, size_t alternative, const char *by)
{
	cleanup_arena struct arena *arena = arena_new();
	const char *family = selector_family(bare, alternative);
	bool buckets = strcmp(selector_by(by, alternative, arena), "le") == 0;
	size_t len = strlen(family);
	bool told = len > 7 && strcmp(family + len - 7, "_bucket") == 0;

	return xasprintf("%s%s", family, buckets && !told ? "_bucket" : "");
}

/* The query before templates are filled in. `by` is NULL for what is no distribution. */
static char *whole_query(const char *text, const char *by, bool distribution)
{
	struct selector *bare CLEANUP(selector_free) = bare_families(text);
	struct buf query cleanup_buf;

	buf_init(&query, QUERY_MAX);
	for (size_t i = 0; bare && i < selector_count(bare); i++) {
		cleanup_free char *name = distribution ? stored_name(bare, i, by) : xstrdup(selector_family(bare, i));
		const char *conditions = selector_conditions(bare, i);
		buf_addf(&query, "%s%s{%s%sinstance=~\"{{instances}}\"}", i ? " or " : "", name, conditions, *conditions ? "," : "");
	}
	return bare ? buf_steal(&query) : xstrdup(text);
}

/* What is wrong with one query's templates; *ret_windowed if it counts within the span. */
static const char *check_query(const char *what, const char *text, char *space, size_t size, bool *ret_windowed)
{
	cleanup_error struct error *err = NULL;
	unsigned names = 0;

	if (template_names(text, &names, &err) < 0) {
		snprintf(space, size, "%s: %s", what, error_message(err));
		return space;
	}
	*ret_windowed = names & TEMPLATE_OF_SPAN;
	if ((names & TEMPLATE_OF_ARM) || is_bare(text))
		return NULL;
	snprintf(space, size,
		 "%s: the query is the same for both arms; tell them apart with {{arm}}, {{version}}, {{image}} or {{instances}}, "
		 "for example requests_total{instance=~\"{{instances}}\"}",
		 what);
	return space;
}

static const char *check(const struct analysis_metric *metric, char *space, size_t size)
{
	bool one = false, other = false;
	const char *problem = NULL;

	switch (metric->kind) {
	case METRIC_RATE:
		problem = check_query("events", metric->events, space, size, &one);
		if (!problem)
			problem = check_query("total", metric->total, space, size, &other);
		if (!problem && one != other)
			return "`events` and `total` must be counted alike: {{window}} in both of them, or in neither";
		return problem;
	case METRIC_DISTRIBUTION:
		if (metric->by && strchr(metric->by, '|') && !is_bare(metric->distribution))
			return "`by` names one label; several are for plain selectors with \"|\" between them";
		return check_query("distribution", metric->distribution, space, size, &one);
	case METRIC_MEAN:
		return check_query("value", metric->value, space, size, &one);
	case METRIC_LATENCY:
		break;
	}
	return NULL; /* source_check() has refused it */
}

/* ---- source and watch ---- */

static int open_source(const struct source_config *config, struct loop *loop, struct source **ret, struct error **err)
{
	const char *url = yaml_text(yaml_get(config->body, "url"), ""), *problem = source_url_problem(url, false);
	size_t len = strlen(url);

	if (problem)
		return error_set(err, ERROR_INVALID, 0, "metric source \"%s\": the address %s", config->name, problem);
	while (len && url[len - 1] == '/')
		len--;
	struct prometheus *source = xcalloc(1, sizeof(*source));
	source->base.ops = &prometheus_source;
	source->loop = loop;
	source->name = xstrdup(config->name);
	source->url = xstrndup(url, len);
	source->bearer_file = xstrdup(yaml_text(yaml_get(config->body, "bearer_file"), NULL));
	source->timeout_ms = SOURCE_TIMEOUT_MS;
	source->step_ms = DEFAULT_STEP_MS;
	yaml_duration_ms(yaml_get(config->body, "timeout"), &source->timeout_ms);
	yaml_duration_ms(yaml_get(config->body, "step"), &source->step_ms);
	*ret = &source->base;
	return 0;
}

static void close_source(struct source *base)
{
	struct prometheus *source = (struct prometheus *)base;

	if (!source)
		return;
	free(source->name);
	free(source->url);
	free(source->bearer_file);
	free(source);
}

static int watch_metric(struct source *base, const struct analysis_metric *metric, struct source_watch **ret, struct error **err)
{
	struct prometheus *source = (struct prometheus *)base;
	char space[512];
	bool other;
	const char *problem = source_check(&prometheus_source, metric, space, sizeof(space));

	if (problem)
		return error_set(err, ERROR_INVALID, 0, "metric source \"%s\": %s: %s", source->name, metric->metric, problem);
	struct query_watch *watch = xcalloc(1, sizeof(*watch));
	watch_init(&watch->core, &prometheus_source, source->loop, source->name, metric);
	watch->source = source;
	const char *first = metric->kind == METRIC_RATE ? metric->total : metric->distribution;
	if (metric->kind != METRIC_MEAN && check_query("", first, space, sizeof(space), &other) == NULL)
		watch->windowed = other;
	if (metric->kind == METRIC_DISTRIBUTION)
		watch->bare = bare_families(metric->distribution);
	*ret = &watch->core.base;
	return 0;
}

static void end_queries(struct query_watch *watch)
{
	for (size_t i = 0; i < watch->n_queries; i++)
		free(watch->queries[i].text);
	watch->n_queries = 0;
}

static void unwatch(struct source_watch *base)
{
	struct query_watch *watch = (struct query_watch *)base;

	if (!watch)
		return;
	fetches_drop(watch->fetches);
	end_queries(watch);
	selector_free(watch->bare);
	watch_done(&watch->core);
	free(watch);
}

/* ---- answers ---- */

static int take_value(const struct answer *answer, struct arm_samples *samples, struct error **err)
{
	if (answer->n_series > 1)
		return error_set(err, ERROR_INVALID, 0, "one series is expected, the query gives %zu: %s, %s%s", answer->n_series,
				 answer->series[0].series, answer->series[1].series, answer->n_series > 2 ? ", ..." : "");
	for (size_t i = 0; answer->n_series && i < answer->series->n_points; i++) {
		struct sample sample = {.role = SAMPLE_VALUE,
					.group = "",
					.series = answer->series->series,
					.edge = (double)NAN,
					.value = answer->series->points[i].value};
		if (arm_samples_add(samples, &sample, err) < 0)
			return -1;
	}
	return 0;
}

static int take_counters(const struct answer *answer, enum sample_role role, struct arm_samples *samples, struct error **err)
{
	for (size_t i = 0; i < answer->n_series; i++) {
		const struct answer_series *series = &answer->series[i];
		struct sample sample = {.role = role,
					.group = answer_group(series, samples->arena),
					.series = series->series,
					.edge = (double)NAN,
					.value = series->points[0].value};
		if (arm_samples_add(samples, &sample, err) < 0)
			return -1;
	}
	return 0;
}

static int take_bucket(const struct answer_series *series, struct arm_samples *samples, struct error **err)
{
	const char *le = answer_label(series, "le");
	struct histogram_bucket bucket = {.value = series->points[0].value};

	if (!le || !sample_number(le, strlen(le), &bucket.le) || isnan(bucket.le))
		return error_set(err, ERROR_INVALID, 0, "%s has no label \"le\" with a bucket's upper edge; is it a histogram?", series->series);
	bucket.group = answer_group(series, samples->arena);
	bucket.series = answer_series_without(series, "le", samples->arena);
	return arm_samples_add_bucket(samples, &bucket, err);
}

static int take_class(const struct answer_series *series, const char *by, struct arm_samples *samples, struct error **err)
{
	struct sample sample = {.role = SAMPLE_COUNT,
				.group = answer_group(series, samples->arena),
				.series = series->series,
				.category = answer_label(series, by),
				.edge = (double)NAN,
				.value = series->points[0].value};

	if (!sample.category)
		return error_set(err, ERROR_INVALID, 0, "%s has no label \"%s\" to tell its class", series->series, by);
	return arm_samples_add(samples, &sample, err);
}

/* Which of the plain selectors' families a series belongs to. */
static size_t alternative_of(const struct query_watch *watch, const struct answer_series *series)
{
	const char *name = answer_label(series, "__name__");

	for (size_t i = 0; watch->bare && i < selector_count(watch->bare); i++) {
		cleanup_free char *stored = stored_name(watch->bare, i, watch->core.metric->by);
		if (name && strcmp(name, stored) == 0)
			return i;
	}
	return 0;
}

static int take_distribution(const struct query_watch *watch, const struct answer *answer, size_t alternative, struct arm_samples *samples,
			     struct error **err)
{
	const char *by = selector_by(watch->core.metric->by, alternative, samples->arena);
	bool buckets = strcmp(by, "le") == 0;

	for (size_t i = 0; i < answer->n_series; i++) {
		const struct answer_series *series = &answer->series[i];
		if (watch->bare && alternative_of(watch, series) != alternative)
			continue;
		if ((buckets ? take_bucket(series, samples, err) : take_class(series, by, samples, err)) < 0)
			return -1;
	}
	return 0;
}

static size_t first_alternative(const struct query_watch *watch, const struct answer answers[MAX_QUERIES])
{
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < watch->n_queries; i++)
		for (size_t j = 0; j < answers[i].n_series; j++) {
			size_t alternative = alternative_of(watch, &answers[i].series[j]);
			best = alternative < best ? alternative : best;
		}
	return best == SIZE_MAX ? 0 : best;
}

/* No series of events in either arm: nobody can tell a service without errors from a misspelt name. */
static void tell_missing_events(struct query_watch *watch)
{
	for (size_t arm = 0; arm < 2; arm++)
		for (size_t i = 0; i < watch->core.arms[arm].n; i++)
			if (watch->core.arms[arm].items[i].role == SAMPLE_EVENTS)
				return;
	for (size_t arm = 0; arm < 2; arm++)
		snprintf(watch->core.arms[arm].missing, sizeof(watch->core.arms[arm].missing),
			 "no series for `events` (if none means zero, append: or vector(0))");
}

static const char *role_name(enum sample_role role)
{
	switch (role) {
	case SAMPLE_EVENTS:
		return "events";
	case SAMPLE_TOTAL:
		return "total";
	case SAMPLE_COUNT:
		return "distribution";
	case SAMPLE_VALUE:
		return "value";
	}
	return "";
}

static int take_answer(struct query_watch *watch, const struct query *query, const struct answer *answer, size_t alternative, struct error **err)
{
	struct arm_samples *samples = &watch->core.arms[query->arm];

	samples->windowed = watch->windowed;
	switch (query->role) {
	case SAMPLE_EVENTS:
	case SAMPLE_TOTAL:
		return take_counters(answer, query->role, samples, err);
	case SAMPLE_COUNT:
		return take_distribution(watch, answer, alternative, samples, err);
	case SAMPLE_VALUE:
		return take_value(answer, samples, err);
	}
	return 0;
}

static int blame(const struct query *query, const char *url, struct error **err)
{
	return error_context(err, "%s: %s: %s", url, query->arm ? "candidate" : "stable", role_name(query->role));
}

static int take_answers(struct query_watch *watch, const struct fetched *results, struct error **err)
{
	struct answer answers[MAX_QUERIES];

	for (size_t i = 0; i < watch->n_queries; i++) {
		const struct fetched *result = &results[i];
		if (result->err || (result->status >= 300 && result->status < 400))
			return fetched_expect_ok(result, err);
		if (answer_parse(result->body, result->body_len, result->status, &watch->asked, watch->core.arena, &answers[i], err) < 0)
			return blame(&watch->queries[i], result->url, err);
	}
	size_t alternative = watch->bare ? first_alternative(watch, answers) : 0;
	for (size_t i = 0; i < watch->n_queries; i++)
		if (take_answer(watch, &watch->queries[i], &answers[i], alternative, err) < 0)
			return blame(&watch->queries[i], results[i].url, err);
	if (watch->core.metric->kind == METRIC_RATE)
		tell_missing_events(watch);
	return 0;
}

static void answered(void *arg, const struct fetched *results, size_t n)
{
	struct query_watch *watch = arg;
	struct error *err = NULL;

	assert(n == watch->n_queries);
	watch->fetches = NULL;
	int result = take_answers(watch, results, &err);
	assert((result < 0) == (err != NULL));
	end_queries(watch);
	watch_finish(&watch->core, err);
}

/* ---- asking ---- */

/* The instants of a range query are multiples of the step: readings neither repeat nor leave out one. False: none lies in the span. */
static bool choose_instants(struct query_watch *watch)
{
	const struct source_span *span = &watch->core.span;
	int64_t step = (int64_t)watch->source->step_ms, from = span->from_ms / step + 1, to = span->to_ms / step;

	if (watch->core.metric->kind != METRIC_MEAN) {
		watch->asked = (struct answer_asked){.to_s = (double)span->to_ms / 1000.0};
		/* What is counted within a span needs one. */
		return !watch->windowed || (span->from_ms > 0 && span->from_ms < span->to_ms);
	}
	if (to - from >= MAX_STEPS)
		from = to - MAX_STEPS + 1;
	watch->asked = (struct answer_asked){.range = true, .from_s = (double)(from * step) / 1000.0, .to_s = (double)(to * step) / 1000.0};
	return span->from_ms > 0 && from <= to;
}

static int add_query(struct query_watch *watch, const struct source_arm *arm, size_t which, enum sample_role role, const char *text,
		     struct error **err)
{
	struct buf query cleanup_buf;
	bool distribution = role == SAMPLE_COUNT;
	cleanup_free char *whole = whole_query(text, distribution ? watch->core.metric->by : NULL, distribution);

	buf_init(&query, QUERY_MAX);
	if (source_expand(whole, arm, &watch->core.span, &query, err) < 0)
		return error_context(err, "%s", role_name(role));
	watch->queries[watch->n_queries++] = (struct query){.arm = which, .role = role, .text = buf_steal(&query)};
	return 0;
}

static int make_queries(struct query_watch *watch, const struct source_arm arms[2], struct error **err)
{
	const struct analysis_metric *metric = watch->core.metric;
	const struct {
		enum sample_role role;
		const char *text;
	} parts[] = {
		{SAMPLE_EVENTS, metric->events}, {SAMPLE_TOTAL, metric->total}, {SAMPLE_COUNT, metric->distribution}, {SAMPLE_VALUE, metric->value}};

	for (size_t arm = 0; arm < 2; arm++)
		for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
			if (parts[i].text && add_query(watch, &arms[arm], arm, parts[i].role, parts[i].text, err) < 0)
				return -1;
	return 0;
}

static void add_form_value(struct buf *form, const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || strchr("-._~", *c))
			buf_addc(form, (char)*c);
		else
			buf_addf(form, "%%%02X", *c);
	}
}

static char *form_of(const struct query_watch *watch, const struct query *query)
{
	struct buf form cleanup_buf;

	buf_init(&form, 4 * (size_t)QUERY_MAX);
	buf_adds(&form, "query=");
	add_form_value(&form, query->text);
	if (watch->asked.range)
		buf_addf(&form, "&start=%.3f&end=%.3f&step=%.3f", watch->asked.from_s, watch->asked.to_s, (double)watch->source->step_ms / 1000.0);
	else
		buf_addf(&form, "&time=%.3f", watch->asked.to_s);
	buf_addf(&form, "&timeout=%llums", (unsigned long long)watch->source->timeout_ms);
	return buf_steal(&form);
}

static int ask(struct query_watch *watch, const struct source_arm arms[2], struct error **err)
{
	cleanup_strlist struct strlist urls = {0}, forms = {0}, headers = {0};

	if (make_queries(watch, arms, err) < 0 || source_headers("application/json", watch->source->bearer_file, &headers, err) < 0)
		return -1;
	strlist_add(&headers, "Content-Type: application/x-www-form-urlencoded");
	for (size_t i = 0; i < watch->n_queries; i++) {
		strlist_addf(&urls, "%s/api/v1/%s", watch->source->url, watch->asked.range ? "query_range" : "query");
		strlist_take(&forms, form_of(watch, &watch->queries[i]));
	}
	const struct fetches_spec spec = {.urls = strlist_items(&urls),
					  .forms = strlist_items(&forms),
					  .n = urls.n,
					  .headers = strlist_items(&headers),
					  .timeout_ms = watch->source->timeout_ms,
					  .max_bytes = ANSWER_MAX_BYTES};
	watch->fetches = fetches_start(watch->core.loop, &spec, answered, watch);
	return 0;
}

static unsigned names_in(const char *text)
{
	unsigned names = 0;

	if (!text || template_names(text, &names, NULL) < 0)
		return 0;
	return is_bare(text) ? names | TEMPLATE_BIT(INSTANCES) : names;
}

static void read_metric(struct source_watch *base, const struct source_arm arms[2], const struct source_span *span, source_done_fn done, void *arg)
{
	struct query_watch *watch = (struct query_watch *)base;
	struct error *err = NULL;
	const struct analysis_metric *metric = watch->core.metric;
	unsigned names = names_in(metric->events) | names_in(metric->total) | names_in(metric->distribution) | names_in(metric->value);

	watch_begin(&watch->core, span, done, arg);
	watch->core.not_due = !choose_instants(watch);
	if (watch->core.not_due || watch_lacks_copies(&watch->core, names, arms)) {
		watch_finish(&watch->core, NULL);
	} else if (ask(watch, arms, &err) < 0) {
		end_queries(watch);
		watch_finish(&watch->core, err);
	}
}

const struct source_ops prometheus_source = {
	.name = "prometheus",
	.doc = "asks a Prometheus: instant queries for counters and distributions, range queries for values. Selectors are PromQL with {{...}}, "
	       "or plain selectors (family{label=\"x\"}), which mean the series of the arm's own copies",
	.config = &config_schema,
	.check = check,
	.open = open_source,
	.close = close_source,
	.watch = watch_metric,
	.read = read_metric,
	.unwatch = unwatch,
};
