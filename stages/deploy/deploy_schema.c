/* The body of a deploy stage as data, and the checks that a schema cannot express. */
#include "stages/deploy/deploy_priv.h"

#include <math.h>

#define MAX_REPLICAS 100
#define MAX_KEEP_MS (30ull * 24 * 3600 * 1000)

static const struct schema replicas_schema = {SCHEMA_INTEGER, .has_min = true, .min = 1, .has_max = true, .max = MAX_REPLICAS};
static const struct schema requests_schema = {SCHEMA_INTEGER, .has_min = true, .min = 1, .has_max = true, .max = 1e9};

static const struct schema_field health_fields[] = {
	{"path", &schema_string, .doc = "HTTP path that answers 2xx when a copy is ready", .fallback = "/healthz"},
	{"within", &schema_duration, .doc = "a copy that is not ready after this long has failed", .fallback = "30s"},
	{.name = NULL}};
static const struct schema health_schema = {SCHEMA_STRUCT, .fields = health_fields};

static const struct schema steps_schema = {SCHEMA_LIST, .item = &schema_fraction, .has_min = true,
					   .min = 1,    .has_max = true,          .max = ROLLOUT_MAX_STEPS};
static const struct schema_field hold_fields[] = {
	{"at_least", &schema_duration, .doc = "no step is left before", .fallback = "1m"},
	{"at_most", &schema_duration, .doc = "then `analysis.undecided` says what happens", .fallback = "30m"},
	{.name = NULL}};
static const struct schema hold_schema = {SCHEMA_STRUCT, .fields = hold_fields};
static const struct schema_field canary_fields[] = {
	{"steps", &steps_schema, .doc = "the candidate's share of the traffic, growing; all of it is the last step, written or not",
	 .fallback = "[5%, 25%, 50%]"},
	{"hold", &hold_schema, .doc = "how long a step lasts; it ends as soon as the evidence suffices"},
	{.name = NULL}};
static const struct schema canary_schema = {SCHEMA_STRUCT, .fields = canary_fields};
static const struct schema immediate_schema = {SCHEMA_STRUCT, .fields = (const struct schema_field[]){{.name = NULL}}};
static const struct schema_field strategy_fields[] = {{"canary", &canary_schema, .doc = "step by step, judged at each"},
						      {"immediate", &immediate_schema, .doc = "all traffic at once, as soon as all copies are ready"},
						      {"blue_green", &schema_any, .doc = "not available in this build"},
						      {.name = NULL}};
static const char *const strategy_names[] = {"canary", "immediate", "blue_green", NULL};
static const struct schema strategy_name_schema = {SCHEMA_ENUM, .choices = strategy_names};
static const struct schema strategy_struct = {SCHEMA_STRUCT, .fields = strategy_fields};
static const struct schema strategy_schema = {SCHEMA_EITHER, .scalar = &strategy_name_schema, .mapping = &strategy_struct};

static const char *const references[] = {"stable", NULL};
static const struct schema reference_schema = {SCHEMA_ENUM, .choices = references};
static const struct schema_field metric_fields[] = {
	{"metric", &schema_string, .required = true, .doc = "error_rate, or latency_p50, latency_p90, latency_p95, latency_p99"},
	{"no_worse_than", &reference_schema, .doc = "stable: what is live now, measured at the same time"},
	{"margin", &schema_fraction, .doc = "how much worse still passes, in percentage points: 0.5%"},
	{"ratio", &schema_number, .doc = "for latency; not available in this build"},
	{"at_most", &schema_any, .doc = "not available in this build"},
	{"source", &schema_string, .doc = "not available in this build"},
	{"show", &schema_bool, .doc = "true: shown beside the verdicts, does not decide"},
	{.name = NULL}};
static const struct schema metric_schema = {SCHEMA_STRUCT, .fields = metric_fields};
static const struct schema metrics_schema = {SCHEMA_LIST, .item = &metric_schema, .has_min = true,
					     .min = 1,    .has_max = true,        .max = ROLLOUT_MAX_METRICS};
static const char *const policies[] = {"hold", "promote", "rollback", NULL};
static const struct schema policy_schema = {SCHEMA_ENUM, .choices = policies};
static const struct schema_field analysis_fields[] = {
	{"alpha", &schema_fraction, .doc = "the chance of a false alarm over the whole rollout, however often one looks", .fallback = "0.05"},
	{"metrics", &metrics_schema, .required = true, .doc = "what is compared"},
	{"min_requests", &requests_schema, .doc = "the candidate must have answered this many before a step is left", .fallback = "100"},
	{"undecided", &policy_schema, .doc = "what to do when hold.at_most has passed without a verdict; no data always holds", .fallback = "hold"},
	{.name = NULL}};
static const struct schema analysis_schema = {SCHEMA_STRUCT, .fields = analysis_fields};

static const struct schema_field deploy_fields[] = {
	{"target", &schema_name, .required = true, .doc = "one of the operator's targets"},
	{"image", &schema_string, .required = true, .doc = "the build stage whose image this is; must be among what the stage needs"},
	{"replicas", &replicas_schema, .doc = "copies of the image", .fallback = "1"},
	{"health", &health_schema, .doc = "when a copy counts as ready"},
	{"strategy", &strategy_schema, .doc = "how traffic gets to it; a first release goes live as soon as it is ready", .fallback = "canary"},
	{"analysis", &analysis_schema, .doc = "what decides at each step; without it steps are left by time alone"},
	{"keep_old", &schema_duration, .doc = "how long the old copies stay after the promotion, so that going back is instant", .fallback = "10m"},
	{.name = NULL}};
const struct schema deploy_schema = {SCHEMA_STRUCT, .fields = deploy_fields, .doc = "moves traffic to an image, and back if it is worse"};

/* ---- strategy ---- */

static void warn(struct diag_list *diags, const struct yaml_node *at, const char *code, const char *message, const char *hint)
{
	diag_add(diags, &(struct diag){.severity = DIAG_WARNING,
				       .file = at->file,
				       .line = at->line,
				       .column = at->column,
				       .end_column = at->end_column,
				       .code = code,
				       .message = message,
				       .hint = hint});
}

static void check_steps(const struct yaml_node *steps, struct diag_list *diags)
{
	double before = 0;
	for (size_t i = 0; steps && i < steps->n; i++) {
		const struct yaml_node *step = steps->values[i];
		double share;
		if (!yaml_fraction(step, &share))
			continue;
		if (share < 1e-6)
			yaml_error(diags, step, "out-of-range", NULL, "a step must be at least 0.0001%%, not %s", step->text);
		else if (share <= before)
			yaml_error(diags, step, "steps-not-increasing", NULL, "steps must grow, but %s comes after %s", step->text,
				   steps->values[i - 1]->text);
		before = share;
	}
}

static void check_hold(const struct yaml_node *hold, struct diag_list *diags)
{
	uint64_t at_least = 60000, at_most = 1800000;
	yaml_duration_ms(yaml_get(hold, "at_least"), &at_least);
	yaml_duration_ms(yaml_get(hold, "at_most"), &at_most);
	if (at_most < at_least)
		yaml_error(diags, yaml_get(hold, yaml_get(hold, "at_most") ? "at_most" : "at_least"), "out-of-range", NULL,
			   "hold.at_most%s must not be shorter than hold.at_least", yaml_get(hold, "at_most") ? "" : " (30m if not given)");
}

static void refuse_blue_green(const struct yaml_node *at, struct diag_list *diags)
{
	yaml_error(diags, at, "unsupported", "use canary or immediate", "the strategy blue_green is not available in this build");
}

static void check_strategy(const struct yaml_node *strategy, struct diag_list *diags)
{
	if (!strategy)
		return;
	if (strategy->kind == YAML_SCALAR) {
		if (strcmp(strategy->text, "blue_green") == 0)
			refuse_blue_green(strategy, diags);
		return;
	}
	const struct yaml_node *canary = yaml_get(strategy, "canary");
	if (yaml_get_key(strategy, "blue_green"))
		refuse_blue_green(yaml_get_key(strategy, "blue_green"), diags);
	else if (strategy->n != 1)
		yaml_error(diags, strategy, "one-strategy", NULL, "a strategy is exactly one of canary and immediate");
	check_steps(yaml_get(canary, "steps"), diags);
	check_hold(yaml_get(canary, "hold"), diags);
}

/* ---- analysis ---- */

static const struct {
	const char *name;
	bool decides;
} metrics[] = {
#define X(text, decides, doc) {text, decides},
	DEPLOY_METRICS(X)
#undef X
};

static int find_metric(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++)
		if (strcmp(metrics[i].name, name) == 0)
			return (int)i;
	return -1;
}

static void check_metric_name(const struct yaml_node *at, struct diag_list *diags)
{
	const char *names[ARRAY_SIZE(metrics)];
	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++)
		names[i] = metrics[i].name;
	if (strcmp(at->text, "prediction_drift") == 0) {
		yaml_error(diags, at, "unsupported", NULL, "the metric prediction_drift is not available in this build");
		return;
	}
	const char *near = nearest_word(at->text, names, ARRAY_SIZE(names));
	char hint[128];
	snprintf(hint, sizeof(hint), near ? "did you mean \"%s\"?" : "known metrics: error_rate, latency_p50, latency_p90, latency_p95, latency_p99",
		 near);
	yaml_error(diags, at, "unknown-metric", hint, "\"%s\" is no metric of a rollout", at->text);
}

static bool is_shown_only(const struct yaml_node *metric)
{
	bool show = false;
	int row = find_metric(yaml_text(yaml_get(metric, "metric"), ""));
	yaml_bool(yaml_get(metric, "show"), &show);
	return show || row < 0 || !metrics[row].decides;
}

static void check_rate(const struct yaml_node *metric, struct diag_list *diags)
{
	const struct yaml_node *margin = yaml_get(metric, "margin"), *name = yaml_get(metric, "metric");
	double value;
	if (yaml_get(metric, "ratio"))
		yaml_error(diags, yaml_get_key(metric, "ratio"), "wrong-bound", "write `margin: 0.5%`", "%s is compared by a margin, not by a ratio",
			   name->text);
	if (is_shown_only(metric))
		return;
	if (!yaml_get(metric, "no_worse_than"))
		yaml_error(diags, metric, "missing-key", "add `no_worse_than: stable`", "%s does not say what it is compared with", name->text);
	if (!margin && !yaml_get(metric, "ratio"))
		yaml_error(diags, metric, "missing-key", "add `margin: 0.5%`, in percentage points",
			   "%s needs a margin: without one no candidate can ever be shown to be fine", name->text);
	else if (yaml_fraction(margin, &value) && value <= 0)
		yaml_error(diags, margin, "out-of-range", NULL, "the margin must be above 0: with none, no candidate can ever be shown to be fine");
}

static void check_latency(const struct yaml_node *metric, struct diag_list *diags)
{
	const struct yaml_node *show = yaml_get(metric, "show");
	bool shown = true;
	if (yaml_get(metric, "ratio"))
		yaml_error(diags, yaml_get_key(metric, "ratio"), "unsupported", "leave out `ratio` to show it beside the verdicts",
			   "latency verdicts are not available in this build");
	if (yaml_get(metric, "margin"))
		yaml_error(diags, yaml_get_key(metric, "margin"), "wrong-bound", "leave out `margin` to show it beside the verdicts",
			   "a margin is for rates, not for %s", yaml_get(metric, "metric")->text);
	if (yaml_bool(show, &shown) && !shown)
		yaml_error(diags, show, "wrong-value", "leave the metric out",
			   "latency is only shown in this build, so `show: false` leaves nothing");
}

static void check_metric(const struct yaml_node *metric, struct diag_list *diags)
{
	static const char *const unavailable[] = {"at_most", "source"};
	const struct yaml_node *name = yaml_get(metric, "metric");
	for (size_t i = 0; i < ARRAY_SIZE(unavailable); i++)
		if (yaml_get_key(metric, unavailable[i]))
			yaml_error(diags, yaml_get_key(metric, unavailable[i]), "unsupported", NULL,
				   "`%s` in the analysis of a rollout is not available in this build", unavailable[i]);
	int row = name && name->kind == YAML_SCALAR ? find_metric(name->text) : -1;
	if (row < 0) {
		if (name && name->kind == YAML_SCALAR)
			check_metric_name(name, diags);
	} else if (metrics[row].decides) {
		check_rate(metric, diags);
	} else {
		check_latency(metric, diags);
	}
}

static void check_twins(const struct yaml_node *list, struct diag_list *diags)
{
	for (size_t i = 0; i < list->n; i++) {
		const char *name = yaml_text(yaml_get(list->values[i], "metric"), "");
		for (size_t j = 0; j < i; j++) {
			if (name[0] && strcmp(name, yaml_text(yaml_get(list->values[j], "metric"), "")) == 0) {
				yaml_error(diags, yaml_get(list->values[i], "metric"), "duplicate-metric", NULL,
					   "\"%s\" is there twice; the first is at line %u", name, list->values[j]->line);
				break;
			}
		}
	}
}

static bool check_analysis(const struct yaml_node *analysis, struct diag_list *diags)
{
	const struct yaml_node *list = yaml_get(analysis, "metrics"), *alpha = yaml_get(analysis, "alpha");
	bool decides = false;
	double value;
	if (yaml_fraction(alpha, &value) && (value <= 0 || value > 0.5))
		yaml_error(diags, alpha, "out-of-range", NULL, "alpha must be above 0 and at most 0.5, not %s", alpha->text);
	for (size_t i = 0; list && i < list->n; i++) {
		check_metric(list->values[i], diags);
		decides = decides || !is_shown_only(list->values[i]);
	}
	if (list)
		check_twins(list, diags);
	return decides;
}

/* ---- the whole ---- */

static bool is_canary(const struct yaml_node *strategy)
{
	return !strategy || (strategy->kind == YAML_SCALAR ? strcmp(strategy->text, "canary") == 0 : yaml_get_key(strategy, "canary") != NULL);
}

static void check_health(const struct yaml_node *health, struct diag_list *diags)
{
	const struct yaml_node *path = yaml_get(health, "path"), *within = yaml_get(health, "within");
	uint64_t ms;
	if (path && path->kind == YAML_SCALAR) {
		bool good = path->text[0] == '/' && strlen(path->text) <= 1024;
		for (const char *c = path->text; *c; c++)
			good = good && *c > ' ' && *c < 0x7f;
		if (!good)
			yaml_error(diags, path, "bad-path", NULL, "health.path must begin with \"/\" and have no spaces, such as /healthz");
	}
	if (yaml_duration_ms(within, &ms) && (ms < 1000 || ms > 3600000))
		yaml_error(diags, within, "out-of-range", NULL, "health.within must be between 1s and 1h, not %s", within->text);
}

void deploy_check_body(const struct yaml_node *body, struct diag_list *diags)
{
	const struct yaml_node *analysis = yaml_get(body, "analysis"), *strategy = yaml_get(body, "strategy"), *keep = yaml_get(body, "keep_old");
	uint64_t ms;
	size_t errors = diag_errors(diags);
	check_health(yaml_get(body, "health"), diags);
	check_strategy(strategy, diags);
	bool decides = check_analysis(analysis, diags);
	if (yaml_duration_ms(keep, &ms) && ms > MAX_KEEP_MS)
		yaml_error(diags, keep, "out-of-range", NULL, "keep_old must be at most 30d, not %s", keep->text);
	if (is_canary(strategy) && !decides && diag_errors(diags) == errors)
		warn(diags, analysis ? analysis : body, "no-analysis", "nothing decides in this canary: its steps are left by time alone",
		     "add `analysis: {metrics: [{metric: error_rate, no_worse_than: stable, margin: 0.5%}]}`");
}

/* ---- reading ---- */

static void read_steps(const struct yaml_node *steps, struct rollout_spec *ret)
{
	static const uint32_t usual[] = {50000, 250000, 500000};
	if (!steps) {
		memcpy(ret->steps_ppm, usual, sizeof(usual));
		ret->n_steps = ARRAY_SIZE(usual);
		return;
	}
	for (size_t i = 0; i < steps->n && ret->n_steps < ROLLOUT_MAX_STEPS; i++) {
		double share = 0;
		yaml_fraction(steps->values[i], &share);
		if (share < 1) /* 100% is implied */
			ret->steps_ppm[ret->n_steps++] = (uint32_t)lround(share * 1e6);
	}
}

static void read_strategy(const struct yaml_node *strategy, struct rollout_spec *ret)
{
	ret->hold_at_least_ms = 60000;
	ret->hold_at_most_ms = 1800000;
	ret->strategy = is_canary(strategy) ? STRATEGY_CANARY : STRATEGY_IMMEDIATE;
	if (ret->strategy != STRATEGY_CANARY)
		return;
	const struct yaml_node *canary = yaml_get(strategy, "canary"), *hold = yaml_get(canary, "hold");
	read_steps(yaml_get(canary, "steps"), ret);
	yaml_duration_ms(yaml_get(hold, "at_least"), &ret->hold_at_least_ms);
	yaml_duration_ms(yaml_get(hold, "at_most"), &ret->hold_at_most_ms);
}

static void read_analysis(const struct yaml_node *analysis, struct rollout_spec *ret)
{
	static const enum undecided values[] = {UNDECIDED_HOLD, UNDECIDED_PROMOTE, UNDECIDED_ROLLBACK};
	const struct yaml_node *list = yaml_get(analysis, "metrics");
	const char *policy = yaml_text(yaml_get(analysis, "undecided"), "hold");
	int64_t requests = 100;
	ret->alpha = 0.05;
	yaml_fraction(yaml_get(analysis, "alpha"), &ret->alpha);
	yaml_int(yaml_get(analysis, "min_requests"), &requests);
	ret->min_requests = (uint64_t)requests;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (strcmp(policies[i], policy) == 0)
			ret->undecided = values[i];
	for (size_t i = 0; list && i < list->n && ret->n_metrics < ROLLOUT_MAX_METRICS; i++) {
		const struct yaml_node *node = list->values[i];
		struct analysis_metric *metric = &ret->metrics[ret->n_metrics++];
		metric->metric = metrics[find_metric(yaml_text(yaml_get(node, "metric"), ""))].name;
		metric->versus_stable = yaml_get(node, "no_worse_than") != NULL;
		metric->informational = is_shown_only(node);
		yaml_fraction(yaml_get(node, "margin"), &metric->margin);
	}
}

void deploy_read(const struct yaml_node *body, struct arena *arena, struct rollout_spec *ret)
{
	const struct yaml_node *health = yaml_get(body, "health");
	int64_t replicas = 1;
	*ret = (struct rollout_spec){.health_within_ms = 30000, .keep_old_ms = 600000};
	ret->target = arena_strdup(arena, yaml_text(yaml_get(body, "target"), ""));
	ret->image_stage = arena_strdup(arena, yaml_text(yaml_get(body, "image"), ""));
	yaml_int(yaml_get(body, "replicas"), &replicas);
	ret->replicas = (unsigned)replicas;
	ret->health_path = arena_strdup(arena, yaml_text(yaml_get(health, "path"), "/healthz"));
	yaml_duration_ms(yaml_get(health, "within"), &ret->health_within_ms);
	yaml_duration_ms(yaml_get(body, "keep_old"), &ret->keep_old_ms);
	read_strategy(yaml_get(body, "strategy"), ret);
	read_analysis(yaml_get(body, "analysis"), ret);
}
