#include "runner/rollouts_feeds.h"

#include "base/alloc.h"
#include "base/clock.h"

#define FEED_MAGIC 0xfeed51deu
#define OVERDUE_MS 60000 /* a source answers or gives up by itself long before */
#define EVERY_MS 5000

struct feed {
	unsigned magic;
	struct feeds *feeds;
	size_t metric;
	struct source *source;
	struct source_watch *watch;
	bool asking, afresh, has_answer;
	int64_t asked_ms, good_ms; /* good_ms: end of the last good reading's span */
	struct feed_answer answer;
};

struct feeds {
	struct core *core;
	const struct rollout_spec *spec;
	char *state_dir;
	json_t *categories; /* of before, for watches that are not open yet */
	feeds_news_fn news;
	void *arg;
	struct feed *items;
	size_t n;
};

struct feeds *feeds_new(struct core *core, const struct rollout_spec *spec, const char *state_dir, const json_t *categories, feeds_news_fn news,
			void *arg)
{
	size_t n = 0;
	for (size_t i = 0; i < spec->n_metrics; i++)
		n += spec->metrics[i].source != NULL;
	if (!n)
		return NULL;
	struct feeds *feeds = xcalloc(1, sizeof(*feeds));
	*feeds = (struct feeds){.core = core,
				.spec = spec,
				.state_dir = xstrdup(state_dir),
				.categories = json_deep_copy(categories),
				.news = news,
				.arg = arg,
				.items = xcalloc(n, sizeof(struct feed))};
	for (size_t i = 0; i < spec->n_metrics; i++)
		if (spec->metrics[i].source)
			feeds->items[feeds->n++] = (struct feed){.magic = FEED_MAGIC, .feeds = feeds, .metric = i};
	return feeds;
}

static void feed_close(struct feed *feed)
{
	if (feed->watch)
		feed->watch->ops->unwatch(feed->watch);
	if (feed->source)
		feed->source->ops->close(feed->source);
	feed->watch = NULL;
	feed->source = NULL;
}

void feeds_free(struct feeds *feeds)
{
	if (!feeds)
		return;
	for (size_t i = 0; i < feeds->n; i++) {
		feed_close(&feeds->items[i]);
		feeds->items[i].magic = 0;
	}
	json_decref(feeds->categories);
	free(feeds->items);
	free(feeds->state_dir);
	free(feeds);
}

/* ---- opening ---- */

static int find_source(const struct feed *feed, struct source_config *ret_config, const struct source_ops **ret, struct error **err)
{
	const struct config *config = feed->feeds->core->config;
	const char *name = feed->feeds->spec->metrics[feed->metric].source;
	const struct config_source *named = config_source(config, name);
	*ret_config = (struct source_config){.name = name, .state_dir = feed->feeds->state_dir};
	if (strcmp(name, SOURCE_APP) == 0) {
		*ret = source_find("openmetrics");
		return 0;
	}
	if (!named)
		return error_set(err, ERROR_NOT_FOUND, 0, "there is no metric source \"%s\" in %s", name, config->file ? config->file : "penstock.yml");
	ret_config->body = named->body;
	*ret = source_find(named->kind);
	return 0;
}

static int feed_open(struct feed *feed, struct error **err)
{
	const struct analysis_metric *metric = &feed->feeds->spec->metrics[feed->metric];
	struct source_config config;
	const struct source_ops *ops;
	char space[200];
	if (find_source(feed, &config, &ops, err) < 0)
		return -1;
	const char *wrong = source_check(ops, metric, space, sizeof(space));
	if (wrong)
		return error_set(err, ERROR_INVALID, 0, "metric %s: %s", metric->metric, wrong);
	if (ops->open(&config, feed->feeds->core->loop, &feed->source, err) < 0)
		return -1;
	if (ops->watch(feed->source, metric, &feed->watch, err) < 0) {
		feed_close(feed);
		return -1;
	}
	const json_t *before = json_object_get(feed->feeds->categories, metric->metric);
	if (before && json_array_size(before) && source_categories_restore(feed->watch, before, err) < 0) {
		feed_close(feed);
		return -1;
	}
	return 0;
}

/* ---- asking ---- */

static void set_answer(struct feed *feed, enum feed_kind kind, const char *text)
{
	feed->has_answer = true;
	feed->answer.metric = feed->metric;
	feed->answer.kind = kind;
	snprintf(feed->answer.text, sizeof(feed->answer.text), "%s", text);
}

static void on_reading(void *arg, const struct source_reading *reading, struct error *why /* the source's */)
{
	struct feed *feed = arg;
	if (feed->magic != FEED_MAGIC)
		abort();
	feed->asking = false;
	if (why) {
		set_answer(feed, FEED_TROUBLE, error_message(why));
	} else {
		if (!reading->no_data)
			feed->good_ms = feed->asked_ms;
		feed->afresh = feed->afresh && reading->no_data;
		feed->answer.measure = reading->measure;
		set_answer(feed, reading->nothing_yet ? FEED_NOTHING_YET : reading->no_data ? FEED_NO_DATA : FEED_MEASURE, reading->note);
	}
	feed->feeds->news(feed->feeds->arg);
}

static void feed_ask(struct feed *feed, const struct source_arm arms[2])
{
	uint64_t every = feed->feeds->spec->metrics[feed->metric].every_ms;
	int64_t now = clock_wall_ms(), pace = every ? (int64_t)every : EVERY_MS;
	cleanup_error struct error *err = NULL;
	if (feed->asking && now - feed->asked_ms < OVERDUE_MS)
		return;
	/* A wall clock that was set back must not stop us. */
	if (feed->asked_ms && now - feed->asked_ms < pace && now >= feed->asked_ms)
		return;
	if (feed->asking)
		feed_close(feed); /* it never answered: begin anew */
	feed->asking = false;
	if (!feed->watch && feed_open(feed, &err) < 0) {
		feed->asked_ms = now;
		set_answer(feed, FEED_TROUBLE, error_message(err));
		return;
	}
	struct source_span span = {.from_ms = feed->good_ms ? feed->good_ms : now - pace, .to_ms = now, .afresh = feed->afresh};
	if (span.to_ms < span.from_ms)
		span.to_ms = span.from_ms;
	feed->asking = true;
	feed->asked_ms = now;
	feed->watch->ops->read(feed->watch, arms, &span, on_reading, feed);
}

void feeds_ask(struct feeds *feeds, const struct source_arm arms[2], bool afresh)
{
	for (size_t i = 0; feeds && i < feeds->n; i++) {
		feeds->items[i].afresh = feeds->items[i].afresh || afresh;
		feed_ask(&feeds->items[i], arms);
	}
}

bool feeds_take(struct feeds *feeds, struct feed_answer *ret)
{
	for (size_t i = 0; feeds && i < feeds->n; i++) {
		struct feed *feed = &feeds->items[i];
		if (!feed->has_answer)
			continue;
		*ret = feed->answer;
		feed->has_answer = false;
		return true;
	}
	return false;
}

json_t *feeds_categories(const struct feeds *feeds)
{
	json_t *all = json_object();
	for (size_t i = 0; feeds && i < feeds->n; i++) {
		const struct feed *feed = &feeds->items[i];
		const char *name = feeds->spec->metrics[feed->metric].metric;
		if (feed->watch && feed->watch->categories)
			json_object_set_new(all, name, source_categories(feed->watch));
		else if (json_object_get(feeds->categories, name))
			json_object_set(all, name, json_object_get(feeds->categories, name));
	}
	return all;
}
