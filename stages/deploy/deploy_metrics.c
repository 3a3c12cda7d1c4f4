/* The metrics of an analysis: which words each kind takes, and reading them. Built-in names bring their kind and their selectors
 * (gates/sources/builtin.h); any other name is the user's own and needs a source and one of the forms below. */
#include "stages/deploy/deploy_priv.h"

#include "gates/sources/builtin.h"

static const char *const references[] = {"stable", NULL};
static const struct schema reference_schema = {SCHEMA_ENUM, .choices = references};
static const char *const directions[] = {"lower", "higher", NULL};
static const struct schema direction_schema = {SCHEMA_ENUM, .choices = directions};
static const char *const distances[] = {"total_variation", "psi", NULL};
static const struct schema distance_schema = {SCHEMA_ENUM, .choices = distances};
static const struct schema margin_schema = {SCHEMA_FRACTION, .has_min = true, .min = 0, .has_max = true, .max = 1e12};
static const struct schema distance_limit_schema = {SCHEMA_NUMBER, .has_min = true, .min = 0, .has_max = true, .max = 100};
static const struct schema range_schema = {SCHEMA_LIST, .item = &schema_number, .has_min = true, .min = 2, .has_max = true, .max = 2};
static const struct schema_field metric_fields[] = {
	{"metric", &schema_string, .required = true, .doc = "a built-in name, or your own with a source"},
	{"no_worse_than", &reference_schema, .doc = "stable: what is live now, measured at the same time"},
	{"margin", &margin_schema, .doc = "how much worse still passes: percentage points for rates (0.5%), the metric's own unit for means"},
	{"ratio", &schema_number, .doc = "candidate / stable that still passes: 1.2 for a latency that may grow by a fifth"},
	{"at_most", &distance_limit_schema, .doc = "the distance between the arms' distributions that still passes"},
	{"distance", &distance_schema, .doc = "how it is measured", .fallback = "total_variation"},
	{"better", &direction_schema, .doc = "which way is good", .fallback = "lower, unless the built-in says otherwise"},
	{"range", &range_schema, .doc = "of a mean: [lowest, highest] value that can come"},
	{"show", &schema_bool, .doc = "true: shown beside the verdicts, does not decide"},
	{"source", &schema_string, .doc = "app (the copies' own /metrics), or one of the operator's metric sources; none: the router's counts"},
	{"events", &schema_string, .doc = "rate: selector of the counter of events"},
	{"total", &schema_string, .doc = "rate: selector of the counter of trials"},
	{"value", &schema_string, .doc = "mean: selector of the value"},
	{"distribution", &schema_string, .doc = "distribution: selector of a histogram, or of a counter with the label `by`"},
	{"by", &schema_string, .doc = "distribution: the label whose values are the classes"},
	{"every", &schema_duration, .doc = "how often the source is asked", .fallback = "5s"},
	{.name = NULL}};
static const struct schema metric_schema = {SCHEMA_STRUCT, .fields = metric_fields};
const struct schema deploy_metrics_schema = {SCHEMA_LIST, .item = &metric_schema, .has_min = true,
					     .min = 1,    .has_max = true,        .max = ROLLOUT_MAX_METRICS};

/* ---- what a metric is ---- */

static const struct yaml_node *word(const struct yaml_node *metric, const char *key)
{
	return yaml_get(metric, key);
}

static const char *name_of(const struct yaml_node *metric)
{
	return yaml_text(word(metric, "metric"), "");
}

/* By its form, where the name says nothing. */
static bool kind_of_form(const struct yaml_node *metric, enum metric_kind *ret)
{
	if (word(metric, "events") || word(metric, "total"))
		*ret = METRIC_RATE;
	else if (word(metric, "value"))
		*ret = METRIC_MEAN;
	else if (word(metric, "distribution"))
		*ret = METRIC_DISTRIBUTION;
	else
		return false;
	return true;
}

static bool kind_of(const struct yaml_node *metric, enum metric_kind *ret)
{
	const struct builtin_metric *builtin = builtin_metric_find(name_of(metric));
	if (builtin)
		*ret = builtin->kind;
	return builtin || kind_of_form(metric, ret);
}

static bool has_bound(const struct yaml_node *metric, enum metric_kind kind)
{
	switch (kind) {
	case METRIC_RATE:
		return word(metric, "margin") || word(metric, "ratio");
	case METRIC_LATENCY:
		return word(metric, "ratio") != NULL;
	case METRIC_DISTRIBUTION:
		return word(metric, "at_most") != NULL;
	case METRIC_MEAN:
		return word(metric, "margin") != NULL;
	}
	abort();
}

bool deploy_metric_decides(const struct yaml_node *metric)
{
	enum metric_kind kind;
	bool show = false;
	yaml_bool(word(metric, "show"), &show);
	return !show && kind_of(metric, &kind) && has_bound(metric, kind);
}

/* ---- checks ---- */

static void unknown_name(const struct yaml_node *metric, struct diag_list *diags)
{
	const char *names[64], *near;
	size_t n;
	char hint[512] = "";
	const struct builtin_metric *rows = builtin_metrics(&n);
	for (size_t i = 0; i < n && i < ARRAY_SIZE(names); i++)
		names[i] = rows[i].name;
	near = nearest_word(name_of(metric), names, n);
	if (near) {
		snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
	} else {
		cleanup_buf struct buf list;
		buf_init(&list, sizeof(hint) - 128);
		for (size_t i = 0; i < n; i++)
			buf_addf(&list, "%s%s", i ? ", " : "", names[i]);
		snprintf(hint, sizeof(hint), "built in: %s; your own needs a `source`", list.len ? list.data : "");
	}
	yaml_error(diags, word(metric, "metric"), "unknown-metric", hint, "\"%s\" is no metric of a rollout", name_of(metric));
}

/* Words that mean nothing for this kind. */
static void check_words(const struct yaml_node *metric, enum metric_kind kind, struct diag_list *diags)
{
	static const struct {
		const char *key;
		unsigned kinds; /* bits */
		const char *what;
	} words[] = {
		{"margin", 1u << METRIC_RATE | 1u << METRIC_MEAN, "a margin is for rates and means"},
		{"ratio", 1u << METRIC_RATE | 1u << METRIC_LATENCY, "a ratio is for latencies and rates"},
		{"at_most", 1u << METRIC_DISTRIBUTION, "`at_most` is for distributions"},
		{"distance", 1u << METRIC_DISTRIBUTION, "`distance` is for distributions"},
		{"better", 1u << METRIC_RATE | 1u << METRIC_MEAN, "`better` is for rates and means"},
		{"range", 1u << METRIC_MEAN, "`range` is for means"},
		{"events", 1u << METRIC_RATE, "`events` is for rates"},
		{"total", 1u << METRIC_RATE, "`total` is for rates"},
		{"value", 1u << METRIC_MEAN, "`value` is for means"},
		{"distribution", 1u << METRIC_DISTRIBUTION, "`distribution` is for distributions"},
		{"by", 1u << METRIC_DISTRIBUTION, "`by` is for distributions"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (yaml_get_key(metric, words[i].key) && !(words[i].kinds & 1u << kind))
			yaml_error(diags, yaml_get_key(metric, words[i].key), "wrong-bound", NULL, "%s, not for %s, which is a %s", words[i].what,
				   name_of(metric), metric_kind_name(kind));
}

static void check_range(const struct yaml_node *metric, struct diag_list *diags)
{
	const struct yaml_node *range = word(metric, "range");
	double low = 0, high = 0;
	if (!range)
		yaml_error(diags, metric, "missing-key", "add `range: [lowest, highest]`",
			   "%s does not say between which bounds its values lie; without them no number of readings proves anything", name_of(metric));
	else if (range->kind == YAML_SEQUENCE && range->n == 2 && yaml_number(range->values[0], &low) && yaml_number(range->values[1], &high) &&
		 !(low < high))
		yaml_error(diags, range, "out-of-range", NULL, "the range must grow, but %s is not above %s", range->values[1]->text,
			   range->values[0]->text);
}

/* The numbers' form: which selectors are needed, given the source. */
static void check_form(const struct yaml_node *metric, enum metric_kind kind, struct diag_list *diags)
{
	const struct builtin_metric *builtin = builtin_metric_find(name_of(metric));
	const struct yaml_node *source = word(metric, "source");
	static const char *const keys[] = {"events", "total", "value", "distribution", "by", "every"};
	bool from_router = builtin && !builtin->source && !source;
	enum metric_kind form;
	for (size_t i = 0; from_router && i < ARRAY_SIZE(keys); i++)
		if (yaml_get_key(metric, keys[i]))
			yaml_error(diags, yaml_get_key(metric, keys[i]), "no-source", "add `source`, or leave it out",
				   "%s is counted by the router; `%s` needs a source", name_of(metric), keys[i]);
	if (kind == METRIC_LATENCY && source)
		yaml_error(diags, yaml_get_key(metric, "source"), "wrong-source", "leave `source` out", "%s is measured by the router", name_of(metric));
	else if (!builtin && !source)
		yaml_error(diags, metric, "missing-key", "add `source`", "%s is no built-in metric and does not say where its numbers come from",
			   name_of(metric));
	else if (kind == METRIC_RATE && !from_router && !word(metric, "events") != !word(metric, "total"))
		yaml_error(diags, metric, "missing-key", NULL, "%s needs both `events` and `total`", name_of(metric));
	else if (builtin && !builtin->source && source && kind != METRIC_LATENCY && !kind_of_form(metric, &form))
		yaml_error(diags, metric, "missing-key", NULL, "%s from a source needs `events` and `total`", name_of(metric));
	if (kind == METRIC_MEAN)
		check_range(metric, diags);
}

static bool is_higher_better(const struct yaml_node *metric)
{
	const struct builtin_metric *builtin = builtin_metric_find(name_of(metric));
	const char *better = yaml_text(word(metric, "better"), NULL);
	return better ? strcmp(better, "higher") == 0 : builtin && builtin->higher_is_better;
}

static void check_ratio(const struct yaml_node *metric, struct diag_list *diags)
{
	const struct yaml_node *node = word(metric, "ratio");
	double ratio;
	if (!yaml_number(node, &ratio))
		return;
	if (is_higher_better(metric) && !(ratio > 0 && ratio <= 1))
		yaml_error(diags, node, "out-of-range", NULL, "where higher is better the ratio is above 0 and at most 1, not %s", node->text);
	else if (!is_higher_better(metric) && !(ratio >= 1 && ratio <= 100))
		yaml_error(diags, node, "out-of-range", NULL, "the ratio must be between 1 and 100, not %s", node->text);
}

static void check_bound(const struct yaml_node *metric, enum metric_kind kind, struct diag_list *diags)
{
	const struct yaml_node *margin = word(metric, "margin");
	bool show = false, stable = word(metric, "no_worse_than") != NULL;
	double value;
	yaml_bool(word(metric, "show"), &show);
	check_ratio(metric, diags);
	if (kind == METRIC_LATENCY && builtin_metric_find(name_of(metric)) && builtin_metric_find(name_of(metric))->quantile <= 0 && word(metric, "ratio"))
		yaml_error(diags, yaml_get_key(metric, "ratio"), "wrong-bound", "judge a quantile, such as latency_p99",
			   "%s is only shown: one slow request can move a mean by any amount, so that no number of them proves anything", name_of(metric));
	if (margin && word(metric, "ratio"))
		yaml_error(diags, yaml_get_key(metric, "ratio"), "two-bounds", "leave one out", "%s has a margin and a ratio", name_of(metric));
	if (kind == METRIC_RATE && yaml_fraction(margin, &value) && value > 1)
		yaml_error(diags, margin, "out-of-range", NULL, "the margin of a rate is at most 100%%, not %s", margin->text);
	if (show)
		return;
	if (has_bound(metric, kind) && kind != METRIC_DISTRIBUTION && !stable)
		yaml_error(diags, metric, "missing-key", "add `no_worse_than: stable`", "%s does not say what it is compared with", name_of(metric));
	if (yaml_fraction(margin, &value) && value <= 0)
		yaml_error(diags, margin, "out-of-range", NULL, "the margin must be above 0: with none, no candidate can ever be shown to be fine");
	if (has_bound(metric, kind))
		return;
	switch (kind) {
	case METRIC_RATE:
		yaml_error(diags, metric, "missing-key", "add `margin: 0.5%`, in percentage points",
			   "%s needs a margin: without one no candidate can ever be shown to be fine", name_of(metric));
		break;
	case METRIC_MEAN:
		yaml_error(diags, metric, "missing-key", "add `margin`, in the metric's own unit",
			   "%s needs a margin: without one no candidate can ever be shown to be fine", name_of(metric));
		break;
	case METRIC_LATENCY:
	case METRIC_DISTRIBUTION:
		break; /* without a bound they are shown */
	}
}

/* What stands behind the "." of feature_bins.amount. */
static void check_part(const struct yaml_node *metric, struct diag_list *diags)
{
	const struct builtin_metric *builtin = builtin_metric_find(name_of(metric));
	cleanup_arena struct arena *arena = arena_new();
	cleanup_error struct error *err = NULL;
	struct analysis_metric filled = {.metric = name_of(metric)};
	if (builtin && builtin_metric_fill(builtin, &filled, arena, &err) < 0)
		yaml_error(diags, word(metric, "metric"), "bad-name", NULL, "%s", error_message(err));
}

void deploy_check_metric(const struct yaml_node *metric, struct diag_list *diags)
{
	const struct yaml_node *name = word(metric, "metric"), *every = word(metric, "every");
	enum metric_kind kind;
	uint64_t ms;
	if (!name || name->kind != YAML_SCALAR)
		return;
	if (!kind_of(metric, &kind)) {
		if (word(metric, "source"))
			yaml_error(diags, metric, "missing-key", NULL, "%s needs one of `events` and `total`, `value`, `distribution`", name->text);
		else
			unknown_name(metric, diags);
		return;
	}
	check_words(metric, kind, diags);
	check_form(metric, kind, diags);
	check_bound(metric, kind, diags);
	check_part(metric, diags);
	if (yaml_duration_ms(every, &ms) && (ms < 1000 || ms > 3600000))
		yaml_error(diags, every, "out-of-range", NULL, "`every` must be between 1s and 1h, not %s", every->text);
}

void deploy_check_twins(const struct yaml_node *list, struct diag_list *diags)
{
	for (size_t i = 0; i < list->n; i++) {
		const char *name = name_of(list->values[i]);
		for (size_t j = 0; j < i; j++) {
			if (name[0] && strcmp(name, name_of(list->values[j])) == 0) {
				yaml_error(diags, word(list->values[i], "metric"), "duplicate-metric", NULL,
					   "\"%s\" is there twice; the first is at line %u", name, list->values[j]->line);
				break;
			}
		}
	}
}

/* ---- reading ---- */

static const char *text_of(const struct yaml_node *metric, const char *key, struct arena *arena)
{
	const char *text = yaml_text(word(metric, key), NULL);
	return text ? arena_strdup(arena, text) : NULL;
}

void deploy_read_metric(const struct yaml_node *metric, struct arena *arena, struct analysis_metric *ret)
{
	const struct builtin_metric *builtin = builtin_metric_find(name_of(metric));
	const struct yaml_node *range = word(metric, "range");
	*ret = (struct analysis_metric){
		.metric = arena_strdup(arena, name_of(metric)),
		.versus_stable = word(metric, "no_worse_than") != NULL,
		.informational = !deploy_metric_decides(metric),
		.at_most = -1,
		.every_ms = 5000,
		.source = text_of(metric, "source", arena),
		.events = text_of(metric, "events", arena),
		.total = text_of(metric, "total", arena),
		.value = text_of(metric, "value", arena),
		.distribution = text_of(metric, "distribution", arena),
		.by = text_of(metric, "by", arena),
	};
	kind_of(metric, &ret->kind);
	/* Its only mistake, a part that is no plain name, was told by the check. */
	if (builtin && builtin_metric_fill(builtin, ret, arena, NULL) < 0)
		ret->informational = true;
	ret->higher_is_better = is_higher_better(metric);
	yaml_fraction(word(metric, "margin"), &ret->margin);
	yaml_number(word(metric, "ratio"), &ret->ratio);
	yaml_number(word(metric, "at_most"), &ret->at_most);
	yaml_duration_ms(word(metric, "every"), &ret->every_ms);
	if (strcmp(yaml_text(word(metric, "distance"), ""), "psi") == 0)
		ret->distance = DISTANCE_PSI;
	if (range) {
		yaml_number(range->values[0], &ret->low);
		yaml_number(range->values[1], &ret->high);
	}
}
