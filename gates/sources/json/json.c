#include "gates/sources/json/json.h"

#include "base/alloc.h"
#include "gates/sources/json/document.h"
#include "gates/sources/source_driver.h"
#include "gates/sources/template.h"

#include <assert.h>
#include <string.h>

enum { URL_MAX = 8 * 1024 };

/* Templates stand behind the host: a pipeline's version must not choose whom we ask. */
static const char *url_problem(const char *url)
{
	const char *problem = source_url_problem(url, true), *host = strstr(url, "://"), *hole = strstr(url, "{{");
	unsigned names;

	if (problem)
		return problem;
	if (hole && host && hole < host + 3 + strcspn(host + 3, "/?"))
		return "must not hold \"{{\" before its path";
	return template_names(url, &names, NULL) < 0
		       ? "holds a \"{{\" that names nothing; there are arm, version, image, instances, addresses, window, from, to"
		       : NULL;
}
static void check_url(const struct yaml_node *node, struct diag_list *diags)
{
	const char *problem = url_problem(yaml_text(node, ""));

	if (problem)
		yaml_error(diags, node, "metric_source", "for example \"http://127.0.0.1:8000/stats?version={{version}}\"", "the address %s",
			   problem);
}
static const struct schema url_schema = {.type = SCHEMA_STRING, .check = check_url};
static const struct schema_field fields[] = {
	{"url", &url_schema, .required = true, .doc = "the document's address; {{version}} and its like are filled in for each arm"},
	{"timeout", &schema_duration, .doc = "how long an answer may take", .fallback = "5s"},
	{"bearer_file", &schema_string, .doc = "a file with a token for the header Authorization; read for each request"},
	{.name = NULL},
};
static const struct schema config_schema = {.type = SCHEMA_STRUCT, .doc = "a JSON document over HTTP", .fields = fields};

struct json_source {
	struct source base;
	struct loop *loop;
	char *name, *url, *bearer_file;
	uint64_t timeout_ms;
	unsigned names; /* templates in the address */
};

struct json_watch {
	struct watch_core core;
	struct json_source *source;
	struct fetches *fetches;
	struct arena *arms_arena; /* of the copies of the arms while a request is in flight */
	struct source_arm arms[2];
};

static const char *check(const struct analysis_metric *metric, char *space, size_t size)
{
	return document_check(metric, false, space, size);
}

static int open_source(const struct source_config *config, struct loop *loop, struct source **ret, struct error **err)
{
	const char *url = yaml_text(yaml_get(config->body, "url"), ""), *problem = url_problem(url);
	unsigned names = 0;

	if (problem)
		return error_set(err, ERROR_INVALID, 0, "metric source \"%s\": the address %s", config->name, problem);
	if (template_names(url, &names, err) < 0)
		return -1;
	struct json_source *source = xcalloc(1, sizeof(*source));
	source->base.ops = &json_source;
	source->loop = loop;
	source->name = xstrdup(config->name);
	source->url = xstrdup(url);
	source->names = names;
	source->bearer_file = xstrdup(yaml_text(yaml_get(config->body, "bearer_file"), NULL));
	source->timeout_ms = SOURCE_TIMEOUT_MS;
	yaml_duration_ms(yaml_get(config->body, "timeout"), &source->timeout_ms);
	*ret = &source->base;
	return 0;
}

static void close_source(struct source *base)
{
	struct json_source *source = (struct json_source *)base;

	if (!source)
		return;
	free(source->name);
	free(source->url);
	free(source->bearer_file);
	free(source);
}

static bool is_shared(const struct json_source *source)
{
	return !(source->names & TEMPLATE_OF_ARM);
}

static int watch_metric(struct source *base, const struct analysis_metric *metric, struct source_watch **ret, struct error **err)
{
	struct json_source *source = (struct json_source *)base;
	char space[512];
	const char *problem = source_check(&json_source, metric, space, sizeof(space));

	if (!problem)
		problem = document_check(metric, is_shared(source), space, sizeof(space));
	if (problem)
		return error_set(err, ERROR_INVALID, 0, "metric source \"%s\": %s: %s", source->name, metric->metric, problem);
	struct json_watch *watch = xcalloc(1, sizeof(*watch));
	watch_init(&watch->core, &json_source, source->loop, source->name, metric);
	watch->source = source;
	*ret = &watch->core.base;
	return 0;
}

static void unwatch(struct source_watch *base)
{
	struct json_watch *watch = (struct json_watch *)base;

	if (!watch)
		return;
	fetches_drop(watch->fetches);
	arena_free(watch->arms_arena);
	watch_done(&watch->core);
	free(watch);
}

static int parse_answer(const struct fetched *result, json_t **ret, struct error **err)
{
	if (fetched_expect_ok(result, err) < 0)
		return -1;
	if (json_parse(result->body, result->body_len, ret, err) < 0)
		return error_context(err, "%s: no JSON", result->url);
	return 0;
}

static int take_documents(struct json_watch *watch, const struct fetched *results, size_t n, struct error **err)
{
	for (size_t arm = 0; arm < 2; arm++) {
		const struct fetched *result = &results[n == 2 ? arm : 0];
		cleanup_json json_t *document = NULL;
		if (parse_answer(result, &document, err) < 0)
			return -1;
		watch->core.arms[arm].windowed = watch->source->names & TEMPLATE_OF_SPAN;
		if (document_take(document, watch->core.metric, &watch->arms[arm], &watch->core.span, &watch->core.arms[arm], err) < 0)
			return error_context(err, "%s", result->url);
	}
	return 0;
}

static void answered(void *arg, const struct fetched *results, size_t n)
{
	struct json_watch *watch = arg;
	struct error *err = NULL;

	watch->fetches = NULL;
	int result = take_documents(watch, results, n, &err);
	assert((result < 0) == (err != NULL));
	arena_free(STEAL(watch->arms_arena));
	watch_finish(&watch->core, err);
}

static int ask(struct json_watch *watch, struct error **err)
{
	cleanup_strlist struct strlist urls = {0}, headers = {0};

	for (size_t arm = 0; arm < (is_shared(watch->source) ? 1 : 2); arm++) {
		struct buf url cleanup_buf;
		buf_init(&url, URL_MAX);
		if (template_expand(watch->source->url, &watch->arms[arm], &watch->core.span, TEMPLATE_URL, &url, err) < 0)
			return -1;
		strlist_add(&urls, url.data);
	}
	if (source_headers("application/json", watch->source->bearer_file, &headers, err) < 0)
		return -1;
	const struct fetches_spec spec = {.urls = strlist_items(&urls),
					  .n = urls.n,
					  .headers = strlist_items(&headers),
					  .timeout_ms = watch->source->timeout_ms,
					  .max_bytes = DOCUMENT_MAX_BYTES};
	watch->fetches = fetches_start(watch->core.loop, &spec, answered, watch);
	return 0;
}

static void read_metric(struct source_watch *base, const struct source_arm arms[2], const struct source_span *span, source_done_fn done, void *arg)
{
	struct json_watch *watch = (struct json_watch *)base;
	struct error *err = NULL;

	watch_begin(&watch->core, span, done, arg);
	watch->arms_arena = arena_new();
	for (size_t arm = 0; arm < 2; arm++)
		source_arm_copy(&arms[arm], watch->arms_arena, &watch->arms[arm]);
	watch->core.not_due = (watch->source->names & TEMPLATE_OF_SPAN) && (span->from_ms <= 0 || span->from_ms >= span->to_ms);
	bool empty = watch_lacks_copies(&watch->core, watch->source->names, arms);
	if (watch->core.not_due || empty || ask(watch, &err) < 0) {
		arena_free(STEAL(watch->arms_arena));
		watch_finish(&watch->core, err);
	}
}

const struct source_ops json_source = {
	.name = "json",
	.doc = "reads numbers from a JSON document over HTTP; selectors are JSON pointers: /models/{{version}}/errors",
	.config = &config_schema,
	.check = check,
	.open = open_source,
	.close = close_source,
	.watch = watch_metric,
	.read = read_metric,
	.unwatch = unwatch,
};
