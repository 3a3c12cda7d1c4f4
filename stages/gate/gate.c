#include "stages/gate/gate.h"

#include "gates/quality.h"
#include "stages/gate/gate_priv.h"

#define RULES "rules.json"

/* The node a rule's mistake is about: the value of the key its message begins with, else the rule. */
static const struct yaml_node *blamed(const struct yaml_node *rule, const char *problem)
{
	const char *colon = strchr(problem, ':');
	if (rule->kind != YAML_MAPPING)
		return rule;
	if (strncmp(problem, "unknown metric", strlen("unknown metric")) == 0)
		return yaml_get(rule, "metric");
	for (size_t i = 0; colon && i < rule->n; i++) {
		const char *key = rule->keys[i]->text;
		if (key && strlen(key) == (size_t)(colon - problem) && strncmp(key, problem, strlen(key)) == 0)
			return rule->values[i];
	}
	return rule;
}

static void check_rule(const struct yaml_node *node, struct diag_list *diags)
{
	cleanup_json json_t *json = yaml_to_json(node);
	cleanup_free char *problem = quality_rule_problem(json);
	if (problem)
		yaml_error(diags, blamed(node, problem), "gate-rule", NULL, "%s", problem);
}

static const struct schema confidence_schema = {
	.type = SCHEMA_NUMBER, .has_min = true, .min = 0.5, .has_max = true, .max = 1, .doc = "of the one-sided bound"};
static const char *const without_choices[] = {"pass", "hold", "fail", NULL};
static const struct schema without_schema = {.type = SCHEMA_ENUM, .choices = without_choices};
static const char *const against_choices[] = {"production", NULL};
static const struct schema against_schema = {.type = SCHEMA_ENUM, .choices = against_choices};
static const struct schema count_schema = {.type = SCHEMA_INTEGER, .has_min = true, .min = 0};
static const struct schema number_schema = {.type = SCHEMA_ANY, .doc = "a number, or a percentage such as 95%"};

static const struct schema_field rule_fields[] = {
	{.name = "metric", .schema = &schema_string, .required = true, .doc = "a metric of the score stage, or file.NAME"},
	{.name = "at_least", .schema = &number_schema, .doc = "it must not be below this"},
	{.name = "at_most", .schema = &number_schema, .doc = "it must not be above this"},
	{.name = "no_worse_than", .schema = &against_schema, .doc = "compare with the live release"},
	{.name = "margin", .schema = &number_schema, .doc = "how much worse is still fine, in the metric's own unit", .fallback = "0"},
	{.name = "confidence", .schema = &confidence_schema, .doc = "of the comparison; with at_least or at_most the bound must hold surely",
	 .fallback = "0.95"},
	{.name = "without_baseline", .schema = &without_schema, .doc = "the verdict when there is no live release", .fallback = "pass"},
	{.name = "slice", .schema = &schema_string, .doc = "a column of the score stage's slices; every value must satisfy the rule"},
	{.name = "min_rows", .schema = &count_schema, .doc = "slices with fewer rows are not judged", .fallback = "0"},
	{.name = "file", .schema = &schema_path, .doc = "a JSON file of the workspace, for metrics named file.NAME"},
	{.name = NULL},
};
static const struct schema short_schema = {.type = SCHEMA_STRING, .doc = "METRIC >= NUMBER or METRIC <= NUMBER", .check = check_rule};
static const struct schema long_schema = {.type = SCHEMA_STRUCT, .fields = rule_fields, .check = check_rule};
static const struct schema rule_schema = {.type = SCHEMA_EITHER, .doc = "a rule", .scalar = &short_schema, .mapping = &long_schema};
const struct schema gate_rules_schema = {
	.type = SCHEMA_LIST, .doc = "rules; the worst verdict is the stage's", .item = &rule_schema, .scalar_is_list = true, .has_min = true, .min = 1};

json_t *gate_rules_json(const struct yaml_node *node)
{
	json_t *rules = yaml_to_json(node);
	if (json_is_array(rules))
		return rules;
	json_t *list = json_array();
	json_array_append_new(list, rules);
	return list;
}

static int prepare(const struct stage_facts *facts, struct stage_work *ret, struct error **err)
{
	cleanup_json json_t *json = gate_rules_json(facts->planned->body);
	cleanup_quality_rules struct quality_rules *rules = NULL;
	if (quality_parse(json, &rules, err) < 0)
		return -1; /* what was filled into the rules made them wrong */
	struct stage_work work = {.type = WORK_COMMAND, .native = true, .wants_metrics = true, .n_in_files = 1};
	work.wants_baseline = quality_wants_baseline(rules);
	work.in_files[0].name = xstrdup(RULES);
	work.in_files[0].bytes = json_text_pretty(json);
	static const char *const argv[] = {STAGE_BINARY, "gate", "--rules", STAGE_IN "/" RULES, "--metrics", STAGE_IN "/metrics.json",
					   "--format",   "json"};
	for (size_t i = 0; i < ARRAY_SIZE(argv); i++)
		strlist_add(&work.argv, argv[i]);
	if (work.wants_baseline) {
		strlist_add(&work.argv, "--baseline-if-present");
		strlist_add(&work.argv, STAGE_IN "/baseline.json");
	}
	*ret = work;
	return 0;
}

const struct stage_ops gate_stage = {
	.kind = {.name = "gate", .doc = "quality rules: a release that breaks one is rejected", .schema = &gate_rules_schema},
	.prepare = prepare,
};
