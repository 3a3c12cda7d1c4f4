#include "gates/sources/openmetrics/openmetrics.h"

#include "base/alloc.h"
#include "gates/sources/openmetrics/selector.h"
#include "gates/sources/source_driver.h"
#include "gates/sources/template.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#define ACCEPT "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
enum { ALL_PAGES_MAX_BYTES = 64 << 20, SELECTOR_MAX = 16 * 1024 };

static void check_path(const struct yaml_node *node, struct diag_list *diags)
{
	const char *text = yaml_text(node, "");

	if (*text != '/' || strpbrk(text, " #\t\r\n"))
		yaml_error(diags, node, "metric_source", "write /metrics", "a path on the copy's own server begins with \"/\" and holds no blanks");
}
static const struct schema path_schema = {.type = SCHEMA_STRING, .check = check_path};
static const struct schema port_schema = {.type = SCHEMA_INTEGER, .has_min = true, .min = 1, .has_max = true, .max = 65535};
static const struct schema_field fields[] = {
	{"path", &path_schema, .doc = "where a copy shows its metrics", .fallback = "/metrics"},
	{"port", &port_schema, .doc = "another port than the one that serves requests"},
	{"timeout", &schema_duration, .doc = "how long a copy may take to answer", .fallback = "5s"},
	{.name = NULL},
};
static const struct schema config_schema = {
	.type = SCHEMA_STRUCT, .doc = "OpenMetrics or Prometheus text, scraped from every ready copy of a release", .fields = fields};

struct page_source {
	struct source base;
	struct loop *loop;
	char *name, *path;
	int64_t port; /* 0: the copy's own */
	uint64_t timeout_ms;
};

/* One selector text for each arm: templates may make them differ. */
struct selectors {
	struct selector *events, *total, *value, *distribution;
};

struct page_watch {
	struct watch_core core;
	struct page_source *source;
	struct fetches *fetches;
	struct selectors selectors[2];
	struct {
		size_t arm;
		char *instance;
	} * from; /* of fetch i */
	size_t n_from;
};

/* ---- selectors ---- */

static void selectors_done(struct selectors *selectors)
{
	selector_free(selectors->events);
	selector_free(selectors->total);
	selector_free(selectors->value);
	selector_free(selectors->distribution);
	*selectors = (struct selectors){0};
}

static int parse_one(const char *what, const char *text, const struct source_arm *arm, const struct source_span *span, struct selector **ret,
		     struct error **err)
{
	if (!text)
		return 0;
	struct buf expanded cleanup_buf;
	buf_init(&expanded, SELECTOR_MAX);
	if (source_expand(text, arm, span, &expanded, err) < 0 || selector_parse(expanded.data, ret, err) < 0)
		return error_context(err, "%s", what);
	return 0;
}

static int parse_selectors(const struct analysis_metric *metric, const struct source_arm *arm, const struct source_span *span, struct selectors *ret,
			   struct error **err)
{
	if (parse_one("events", metric->events, arm, span, &ret->events, err) < 0 ||
	    parse_one("total", metric->total, arm, span, &ret->total, err) < 0 || parse_one("value", metric->value, arm, span, &ret->value, err) < 0)
		return -1;
	return parse_one("distribution", metric->distribution, arm, span, &ret->distribution, err);
}

static const char *check(const struct analysis_metric *metric, char *space, size_t size)
{
	static const char *const instances[] = {"127.0.0.1:1"};
	const struct source_arm example = {.name = "stable", .version = "1", .image = "image", .instances = instances, .n_instances = 1};
	const struct source_span span = {.from_ms = 0, .to_ms = 1000};
	struct selectors selectors = {0};
	cleanup_error struct error *err = NULL;

	int result = parse_selectors(metric, &example, &span, &selectors, &err);
	selectors_done(&selectors);
	if (result == 0)
		return NULL;
	snprintf(space, size, "%s", error_message(err));
	return space;
}

/* ---- source and watch ---- */

static int open_source(const struct source_config *config, struct loop *loop, struct source **ret, struct error **err)
{
	struct page_source *source = xcalloc(1, sizeof(*source));

	(void)err;
	source->base.ops = &openmetrics_source;
	source->loop = loop;
	source->name = xstrdup(config->name ? config->name : SOURCE_APP);
	source->path = xstrdup(yaml_text(yaml_get(config->body, "path"), "/metrics"));
	source->timeout_ms = SOURCE_TIMEOUT_MS;
	yaml_int(yaml_get(config->body, "port"), &source->port);
	yaml_duration_ms(yaml_get(config->body, "timeout"), &source->timeout_ms);
	*ret = &source->base;
	return 0;
}

static void close_source(struct source *base)
{
	struct page_source *source = (struct page_source *)base;

	if (!source)
		return;
	free(source->name);
	free(source->path);
	free(source);
}

static int watch_metric(struct source *base, const struct analysis_metric *metric, struct source_watch **ret, struct error **err)
{
	struct page_source *source = (struct page_source *)base;
	char space[512];
	const char *problem = source_check(&openmetrics_source, metric, space, sizeof(space));

	if (problem)
		return error_set(err, ERROR_INVALID, 0, "metric source \"%s\": %s: %s", source->name, metric->metric, problem);
	struct page_watch *watch = xcalloc(1, sizeof(*watch));
	watch_init(&watch->core, &openmetrics_source, source->loop, source->name, metric);
	watch->source = source;
	*ret = &watch->core.base;
	return 0;
}

static void end_scrape(struct page_watch *watch)
{
	for (size_t i = 0; i < watch->n_from; i++)
		free(watch->from[i].instance);
	free(watch->from);
	watch->from = NULL;
	watch->n_from = 0;
	selectors_done(&watch->selectors[0]);
	selectors_done(&watch->selectors[1]);
}

static void unwatch(struct source_watch *base)
{
	struct page_watch *watch = (struct page_watch *)base;

	if (!watch)
		return;
	fetches_drop(watch->fetches);
	end_scrape(watch);
	watch_done(&watch->core);
	free(watch);
}

/* ---- one scrape ---- */

static int parse_page(const struct fetched *result, struct arena *arena, struct page *ret, struct error **err)
{
	const char *type = result->content_type ? result->content_type : "text/plain";

	if (fetched_expect_ok(result, err) < 0)
		return -1;
	bool openmetrics = strncasecmp(type, "application/openmetrics-text", 28) == 0;
	if (!openmetrics && strncasecmp(type, "text/plain", 10) != 0)
		return error_set(err, ERROR_PROTOCOL, 0, "%s: answers %.80s; metrics are application/openmetrics-text or text/plain", result->url,
				 type);
	if (page_parse(result->body, result->body_len, openmetrics, arena, ret, err) < 0)
		return error_context(err, "%s", result->url);
	return 0;
}

/* The first alternative that any copy shows: the same for all, so that classes are never compared with buckets. */
static int choose_alternative(const struct page_watch *watch, const struct fetched *results, size_t n, size_t *ret, struct error **err)
{
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < n && best > 0; i++) {
		cleanup_arena struct arena *arena = arena_new();
		struct page page;
		const struct selector *distribution = watch->selectors[watch->from[i].arm].distribution;
		if (parse_page(&results[i], arena, &page, err) < 0)
			return -1;
		size_t alternative = page_alternative(&page, distribution);
		if (alternative < selector_count(distribution) && alternative < best)
			best = alternative;
	}
	*ret = best == SIZE_MAX ? 0 : best;
	return 0;
}

static int extract(struct page_watch *watch, const struct fetched *result, size_t i, size_t alternative, struct error **err)
{
	cleanup_arena struct arena *arena = arena_new();
	const struct analysis_metric *metric = watch->core.metric;
	const struct selectors *selectors = &watch->selectors[watch->from[i].arm];
	struct page page;

	if (parse_page(result, arena, &page, err) < 0)
		return -1;
	struct page_metric wanted = {.kind = metric->kind,
				     .events = selectors->events,
				     .total = selectors->total,
				     .value = selectors->value,
				     .distribution = selectors->distribution,
				     .by = metric->by};
	if (page_extract(&page, &wanted, alternative, watch->from[i].instance, &watch->core.arms[watch->from[i].arm], err) < 0)
		return error_context(err, "%s", result->url);
	return 0;
}

static int take_pages(struct page_watch *watch, const struct fetched *results, size_t n, struct error **err)
{
	size_t alternative = 0;

	if (watch->core.metric->kind == METRIC_DISTRIBUTION && choose_alternative(watch, results, n, &alternative, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (extract(watch, &results[i], i, alternative, err) < 0)
			return -1;
	return 0;
}

static void scraped(void *arg, const struct fetched *results, size_t n)
{
	struct page_watch *watch = arg;
	struct error *err = NULL;

	watch->fetches = NULL;
	int result = take_pages(watch, results, n, &err);
	end_scrape(watch);
	assert((result < 0) == (err != NULL));
	watch_finish(&watch->core, err);
}

static char *address_of(const struct page_source *source, const char *instance)
{
	const char *colon = strrchr(instance, ':');

	if (!source->port || !colon)
		return xasprintf("http://%s%s", instance, source->path);
	return xasprintf("http://%.*s:%lld%s", (int)(colon - instance), instance, (long long)source->port, source->path);
}

/* With a port of its own, copies that share an address would be one and the same page. */
static int check_addresses(const struct strlist *urls, struct error **err)
{
	for (size_t i = 0; i < urls->n; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(urls->items[i], urls->items[j]) == 0)
				return error_set(err, ERROR_INVALID, 0,
						 "%s would be the page of two copies; `port` is for copies with an address of their own",
						 urls->items[i]);
	return 0;
}

static int begin_scrape(struct page_watch *watch, const struct source_arm arms[2], struct error **err)
{
	cleanup_strlist struct strlist urls = {0}, headers = {0};

	watch->from = xcalloc(arms[0].n_instances + arms[1].n_instances + 1, sizeof(*watch->from));
	for (size_t arm = 0; arm < 2; arm++) {
		if (parse_selectors(watch->core.metric, &arms[arm], &watch->core.span, &watch->selectors[arm], err) < 0)
			return error_context(err, "%s", arms[arm].name);
		for (size_t i = 0; i < arms[arm].n_instances; i++) {
			strlist_take(&urls, address_of(watch->source, arms[arm].instances[i]));
			watch->from[watch->n_from].arm = arm;
			watch->from[watch->n_from++].instance = xstrdup(arms[arm].instances[i]);
		}
	}
	size_t share = (size_t)ALL_PAGES_MAX_BYTES / urls.n, max_bytes = share < PAGE_MAX_BYTES ? share : PAGE_MAX_BYTES;
	if ((watch->source->port && check_addresses(&urls, err) < 0) || source_headers(ACCEPT, NULL, &headers, err) < 0)
		return -1;
	const struct fetches_spec spec = {.urls = strlist_items(&urls),
					  .n = urls.n,
					  .headers = strlist_items(&headers),
					  .timeout_ms = watch->source->timeout_ms,
					  .max_bytes = max_bytes};
	watch->fetches = fetches_start(watch->core.loop, &spec, scraped, watch);
	return 0;
}

static void read_metric(struct source_watch *base, const struct source_arm arms[2], const struct source_span *span, source_done_fn done, void *arg)
{
	struct page_watch *watch = (struct page_watch *)base;
	struct error *err = NULL;

	watch_begin(&watch->core, span, done, arg);
	if (watch_lacks_copies(&watch->core, TEMPLATE_BIT(INSTANCES), arms)) {
		watch_finish(&watch->core, NULL);
	} else if (begin_scrape(watch, arms, &err) < 0) {
		end_scrape(watch);
		watch_finish(&watch->core, err);
	}
}

const struct source_ops openmetrics_source = {
	.name = "openmetrics",
	.doc = "scrapes the metrics page of every ready copy of both arms; all must answer. Selectors are families with conditions: "
	       "penstock_feature{feature=\"amount\"}",
	.config = &config_schema,
	.check = check,
	.open = open_source,
	.close = close_source,
	.watch = watch_metric,
	.read = read_metric,
	.unwatch = unwatch,
};
