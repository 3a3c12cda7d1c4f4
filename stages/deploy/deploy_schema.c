/* The body of a deploy stage as data, and the checks that a schema cannot express. */
#include "stages/deploy/deploy_priv.h"

#define MAX_REPLICAS 100
#define DAY_MS (24ull * 3600 * 1000)
#define MAX_KEEP_MS (30 * DAY_MS)
#define MAX_WINDOW_MS (365 * DAY_MS)
#define MIN_MEMORY (16u << 20)

static const struct schema replicas_schema = {SCHEMA_INTEGER, .has_min = true, .min = 1, .has_max = true, .max = MAX_REPLICAS};
static const struct schema requests_schema = {SCHEMA_INTEGER, .has_min = true, .min = 1, .has_max = true, .max = 1e9};

static const struct schema_field health_fields[] = {
	{"path", &schema_string, .doc = "HTTP path that answers 2xx when a copy is ready", .fallback = "/healthz"},
	{"within", &schema_duration, .doc = "a copy that is not ready after this long has failed", .fallback = "30s"},
	{"restart_after", &schema_duration, .doc = "a copy that was ready and then answers no check for so long is restarted; 0s: never", .fallback = "30s"},
	{.name = NULL}};
static const struct schema health_schema = {SCHEMA_STRUCT, .fields = health_fields};

static const struct schema cpu_schema = {SCHEMA_INTEGER, .has_min = true, .min = 1, .has_max = true, .max = 1024};
static const struct schema_field resources_fields[] = {{"memory", &schema_size, .doc = "of one copy; none: the target's own limit"},
						       {"cpu", &cpu_schema, .doc = "whole cores of one copy"},
						       {.name = NULL}};
static const struct schema resources_schema = {SCHEMA_STRUCT, .fields = resources_fields};

static const struct schema_field hold_fields[] = {
	{"at_least", &schema_duration, .doc = "no step is left before", .fallback = "1m"},
	{"at_most", &schema_duration, .doc = "then `analysis.undecided` says what happens", .fallback = "30m"},
	{.name = NULL}};
static const struct schema hold_schema = {SCHEMA_STRUCT, .fields = hold_fields};
static const struct schema_field step_fields[] = {
	{"weight", &schema_fraction, .required = true, .doc = "the candidate's share of the traffic"},
	{"hold", &hold_schema, .doc = "how long this step lasts, instead of the canary's own"},
	{"replicas", &replicas_schema, .doc = "the candidate's copies during this step; all of them are up before the promotion"},
	{"pause", &schema_bool, .doc = "when its evidence suffices, wait for `penstock resume`"},
	{"approve", &schema_bool, .doc = "when its evidence suffices, wait for `penstock approve`"},
	{.name = NULL}};
static const struct schema step_struct = {SCHEMA_STRUCT, .fields = step_fields};
static const struct schema step_schema = {SCHEMA_EITHER, .scalar = &schema_fraction, .mapping = &step_struct};
static const struct schema steps_schema = {SCHEMA_LIST, .item = &step_schema, .has_min = true,
					   .min = 1,    .has_max = true,      .max = ROLLOUT_MAX_STEPS};
static const struct schema_field canary_fields[] = {
	{"steps", &steps_schema, .doc = "shares, growing, or mappings with more words; all of the traffic is the last step, written or not",
	 .fallback = "[5%, 25%, 50%]"},
	{"hold", &hold_schema, .doc = "how long a step lasts; it ends as soon as the evidence suffices"},
	{.name = NULL}};
static const struct schema canary_schema = {SCHEMA_STRUCT, .fields = canary_fields};

static const struct schema_field verify_fields[] = {
	{"run", &schema_string, .required = true, .doc = "command, run in the commit's files with PENSTOCK_PREVIEW_URL"},
	{"timeout", &schema_duration, .doc = "then it has failed", .fallback = "5m"},
	{.name = NULL}};
static const struct schema verify_struct = {SCHEMA_STRUCT, .fields = verify_fields};
static const struct schema verify_schema = {SCHEMA_EITHER, .scalar = &schema_string, .mapping = &verify_struct};
static const struct schema_field blue_green_fields[] = {
	{"verify", &verify_schema, .doc = "a command that must succeed against the target's preview address before the switch"},
	{"approve", &schema_bool, .doc = "and then wait for `penstock approve`"},
	{.name = NULL}};
static const struct schema blue_green_schema = {SCHEMA_STRUCT, .fields = blue_green_fields};

static const struct schema immediate_schema = {SCHEMA_STRUCT, .fields = (const struct schema_field[]){{.name = NULL}}};
static const struct schema_field strategy_fields[] = {
	{"canary", &canary_schema, .doc = "step by step, judged at each"},
	{"blue_green", &blue_green_schema, .doc = "at full size without traffic, verified on the preview address, then all traffic at once"},
	{"immediate", &immediate_schema, .doc = "all traffic at once, as soon as all copies are ready"},
	{.name = NULL}};
static const char *const strategy_names[] = {"canary", "blue_green", "immediate", NULL};
static const struct schema strategy_name_schema = {SCHEMA_ENUM, .choices = strategy_names};
static const struct schema strategy_struct = {SCHEMA_STRUCT, .fields = strategy_fields};
static const struct schema strategy_schema = {SCHEMA_EITHER, .scalar = &strategy_name_schema, .mapping = &strategy_struct};

static const char *const policies[] = {"hold", "promote", "rollback", NULL};
static const struct schema policy_schema = {SCHEMA_ENUM, .choices = policies};
static const char *const guards[] = {"default", "none", "exchangeable", "tempered", NULL};
static const struct schema guard_schema = {SCHEMA_ENUM, .choices = guards};
static const struct schema_field analysis_fields[] = {
	{"alpha", &schema_fraction, .doc = "the chance of a false alarm over the whole rollout, however often one looks", .fallback = "0.05"},
	{"metrics", &deploy_metrics_schema, .required = true, .doc = "what is compared"},
	{"min_requests", &requests_schema, .doc = "the candidate must have answered this many before a step is left", .fallback = "100"},
	{"undecided", &policy_schema, .doc = "what to do when hold.at_most has passed and the evidence reaches neither boundary", .fallback = "hold"},
	{"no_data", &policy_schema, .doc = "... and an arm or a metric had nothing to judge", .fallback = "hold"},
	{"provider_error", &policy_schema, .doc = "... and a source of numbers does not answer", .fallback = "hold"},
	{"split_broken", &policy_schema, .doc = "... and traffic is not split as it should be", .fallback = "hold"},
	{"bursts", &guard_schema, .doc = "how a bad minute of one copy is kept from looking like harm", .fallback = "default"},
	{.name = NULL}};
static const struct schema analysis_schema = {SCHEMA_STRUCT, .fields = analysis_fields};

static const char *const newer[] = {"supersede", "wait", NULL};
static const struct schema newer_schema = {SCHEMA_ENUM, .choices = newer};
static const struct schema_field deploy_fields[] = {
	{"target", &schema_name, .required = true, .doc = "one of the operator's targets"},
	{"image", &schema_string, .required = true, .doc = "the build stage whose image this is; must be among what the stage needs"},
	{"replicas", &replicas_schema, .doc = "copies of the image", .fallback = "1"},
	{"health", &health_schema, .doc = "when a copy counts as ready, and when it is restarted"},
	{"resources", &resources_schema, .doc = "what one copy may use"},
	{"strategy", &strategy_schema, .doc = "how traffic gets to it; a first release goes live as soon as it is ready", .fallback = "canary"},
	{"analysis", &analysis_schema, .doc = "what decides at each step; without it steps are left by time alone"},
	{"keep_old", &schema_duration, .doc = "how long the old copies stay after the promotion, so that going back is instant", .fallback = "10m"},
	{"rollback_window", &schema_duration,
	 .doc = "a release that was live within it, and was not taken back, gets all traffic at once: no steps, no analysis; 0s: none does",
	 .fallback = "0s"},
	{"newer_release", &newer_schema, .doc = "what a newer release does to this rollout: take its place, or wait for its end", .fallback = "supersede"},
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

static const struct yaml_node *step_weight(const struct yaml_node *step)
{
	return step->kind == YAML_MAPPING ? yaml_get(step, "weight") : step;
}

/* As people write it. */
static void duration_text(uint64_t ms, char ret[24])
{
	if (ms % 60000 == 0)
		snprintf(ret, 24, "%llum", (unsigned long long)(ms / 60000));
	else
		snprintf(ret, 24, "%gs", (double)ms / 1000);
}

static void check_hold(const struct yaml_node *hold, uint64_t at_least, uint64_t at_most, struct diag_list *diags)
{
	const struct yaml_node *least = yaml_get(hold, "at_least"), *most = yaml_get(hold, "at_most");
	char usual[24];
	yaml_duration_ms(least, &at_least);
	yaml_duration_ms(most, &at_most);
	if (at_most >= at_least)
		return;
	duration_text(most ? at_least : at_most, usual);
	if (most && least)
		yaml_error(diags, most, "out-of-range", NULL, "hold.at_most must not be shorter than hold.at_least");
	else
		yaml_error(diags, most ? most : least, "out-of-range", NULL, "hold.at_most%s%s%s must not be shorter than hold.at_least%s%s%s",
			   most ? "" : " (", most ? "" : usual, most ? "" : " if not given)", least ? "" : " (", least ? "" : usual,
			   least ? "" : " if not given)");
}

static void check_step(const struct yaml_node *step, unsigned replicas, uint64_t at_least, uint64_t at_most, struct diag_list *diags)
{
	const struct yaml_node *copies = yaml_get(step, "replicas");
	bool pause = false, approve = false;
	int64_t n;
	if (yaml_get(step, "hold"))
		check_hold(yaml_get(step, "hold"), at_least, at_most, diags);
	if (yaml_int(copies, &n) && n > (int64_t)replicas)
		yaml_error(diags, copies, "out-of-range", NULL, "a step cannot have more copies than `replicas`, which is %u", replicas);
	yaml_bool(yaml_get(step, "pause"), &pause);
	if (yaml_bool(yaml_get(step, "approve"), &approve) && approve && pause)
		yaml_error(diags, yaml_get(step, "pause"), "two-waits", "leave out `pause`", "a step waits for `approve` or for `resume`, not for both");
}

static void check_steps(const struct yaml_node *canary, unsigned replicas, struct diag_list *diags)
{
	const struct yaml_node *steps = yaml_get(canary, "steps"), *hold = yaml_get(canary, "hold"), *previous = NULL;
	uint64_t at_least = HOLD_AT_LEAST_MS, at_most = HOLD_AT_MOST_MS;
	double before = 0;
	yaml_duration_ms(yaml_get(hold, "at_least"), &at_least);
	yaml_duration_ms(yaml_get(hold, "at_most"), &at_most);
	for (size_t i = 0; steps && i < steps->n; i++) {
		const struct yaml_node *weight = step_weight(steps->values[i]);
		double share;
		if (!weight || !yaml_fraction(weight, &share))
			continue;
		if (share < 1e-6)
			yaml_error(diags, weight, "out-of-range", NULL, "a step must be at least 0.0001%%, not %s", weight->text);
		else if (share <= before)
			yaml_error(diags, weight, "steps-not-increasing", NULL, "steps must grow, but %s comes after %s", weight->text, previous->text);
		before = share;
		previous = weight;
		if (steps->values[i]->kind == YAML_MAPPING)
			check_step(steps->values[i], replicas, at_least, at_most, diags);
	}
}

static void check_verify(const struct yaml_node *verify, struct diag_list *diags)
{
	const struct yaml_node *run = verify && verify->kind == YAML_MAPPING ? yaml_get(verify, "run") : verify;
	const struct yaml_node *timeout = yaml_get(verify, "timeout");
	uint64_t ms;
	if (run && run->kind == YAML_SCALAR && !run->text[strspn(run->text, " \t\n")])
		yaml_error(diags, run, "empty-command", NULL, "verify.run is empty");
	if (yaml_duration_ms(timeout, &ms) && (ms < 1000 || ms > 24 * 3600 * 1000ull))
		yaml_error(diags, timeout, "out-of-range", NULL, "verify.timeout must be between 1s and 24h, not %s", timeout->text);
}

static void check_strategy(const struct yaml_node *strategy, unsigned replicas, struct diag_list *diags)
{
	if (!strategy || strategy->kind == YAML_SCALAR)
		return;
	if (strategy->n != 1)
		yaml_error(diags, strategy, "one-strategy", NULL, "a strategy is exactly one of canary, blue_green and immediate");
	const struct yaml_node *canary = yaml_get(strategy, "canary");
	check_steps(canary, replicas, diags);
	check_hold(yaml_get(canary, "hold"), HOLD_AT_LEAST_MS, HOLD_AT_MOST_MS, diags);
	check_verify(yaml_get(yaml_get(strategy, "blue_green"), "verify"), diags);
}

/* ---- analysis ---- */

static bool check_analysis(const struct yaml_node *analysis, struct diag_list *diags)
{
	const struct yaml_node *list = yaml_get(analysis, "metrics"), *alpha = yaml_get(analysis, "alpha");
	bool decides = false;
	double value;
	if (yaml_fraction(alpha, &value) && (value <= 0 || value > 0.5))
		yaml_error(diags, alpha, "out-of-range", NULL, "alpha must be above 0 and at most 0.5, not %s", alpha->text);
	for (size_t i = 0; list && i < list->n; i++) {
		deploy_check_metric(list->values[i], diags);
		decides = decides || deploy_metric_decides(list->values[i]);
	}
	if (list)
		deploy_check_twins(list, diags);
	return decides;
}

/* ---- the whole ---- */

enum strategy deploy_strategy(const struct yaml_node *strategy)
{
	static const enum strategy values[] = {STRATEGY_CANARY, STRATEGY_BLUE_GREEN, STRATEGY_IMMEDIATE};
	for (size_t i = 0; strategy && i < ARRAY_SIZE(values); i++)
		if (strategy->kind == YAML_SCALAR ? strcmp(strategy->text, strategy_names[i]) == 0 : yaml_get_key(strategy, strategy_names[i]) != NULL)
			return values[i];
	return STRATEGY_CANARY;
}

enum undecided deploy_policy(const struct yaml_node *node)
{
	static const enum undecided values[] = {UNDECIDED_HOLD, UNDECIDED_PROMOTE, UNDECIDED_ROLLBACK};
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (strcmp(policies[i], yaml_text(node, "hold")) == 0)
			return values[i];
	return UNDECIDED_HOLD;
}

enum burst_guard_kind deploy_guard(const struct yaml_node *node)
{
	static const enum burst_guard_kind values[] = {BURSTS_DEFAULT, BURSTS_NONE, BURSTS_EXCHANGEABLE, BURSTS_TEMPERED};
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (strcmp(guards[i], yaml_text(node, "default")) == 0)
			return values[i];
	return BURSTS_DEFAULT;
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
	const struct yaml_node *restart = yaml_get(health, "restart_after");
	if (yaml_duration_ms(restart, &ms) && ms && (ms < 2000 || ms > 3600000))
		yaml_error(diags, restart, "out-of-range", NULL, "health.restart_after must be 0s or between 2s and 1h, not %s", restart->text);
}

static void check_at_most(const struct yaml_node *body, const char *key, uint64_t max_ms, const char *max, struct diag_list *diags)
{
	const struct yaml_node *node = yaml_get(body, key);
	uint64_t ms;
	if (yaml_duration_ms(node, &ms) && ms > max_ms)
		yaml_error(diags, node, "out-of-range", NULL, "%s must be at most %s, not %s", key, max, node->text);
}

static void check_resources(const struct yaml_node *resources, struct diag_list *diags)
{
	const struct yaml_node *memory = yaml_get(resources, "memory");
	uint64_t bytes;
	if (yaml_size_bytes(memory, &bytes) && bytes < MIN_MEMORY)
		yaml_error(diags, memory, "out-of-range", NULL, "resources.memory must be at least 16Mi, not %s", memory->text);
}

void deploy_check_body(const struct yaml_node *body, struct diag_list *diags)
{
	const struct yaml_node *analysis = yaml_get(body, "analysis"), *strategy = yaml_get(body, "strategy");
	int64_t replicas = 1;
	size_t errors = diag_errors(diags);
	yaml_int(yaml_get(body, "replicas"), &replicas);
	check_health(yaml_get(body, "health"), diags);
	check_resources(yaml_get(body, "resources"), diags);
	check_strategy(strategy, (unsigned)replicas, diags);
	bool decides = check_analysis(analysis, diags);
	check_at_most(body, "keep_old", MAX_KEEP_MS, "30d", diags);
	check_at_most(body, "rollback_window", MAX_WINDOW_MS, "365d", diags);
	if (deploy_strategy(strategy) == STRATEGY_CANARY && !decides && diag_errors(diags) == errors)
		warn(diags, analysis ? analysis : body, "no-analysis", "nothing decides in this canary: its steps are left by time alone",
		     "add `analysis: {metrics: [{metric: error_rate, no_worse_than: stable, margin: 0.5%}]}`");
	else if (deploy_strategy(strategy) != STRATEGY_CANARY && analysis && diag_errors(diags) == errors)
		warn(diags, analysis, "no-analysis", "only a canary is judged by its analysis: here all traffic moves at once",
		     "use `strategy: canary`, or leave the analysis out");
}
