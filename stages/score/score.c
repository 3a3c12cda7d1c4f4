#include "stages/score/score.h"

#include "stages/score/score_priv.h"

static void check_metric(const struct yaml_node *node, struct diag_list *diags)
{
	enum metric_id id;
	if (metric_from_name(node->text, &id))
		return;
	const char *near = metric_suggest(node->text);
	cleanup_free char *hint = near ? xasprintf("did you mean \"%s\"?", near) : NULL;
	yaml_error(diags, node, "unknown-metric", hint, "there is no metric \"%s\"", node->text);
}

static void check_task(const struct yaml_node *node, struct diag_list *diags)
{
	enum metric_task task;
	if (!task_from_name(node->text, &task))
		yaml_error(diags, node, "unsupported", NULL, "the task %s is not available in this build; use binary or regression", node->text);
}

/* Structure is right by now: every metric belongs to the task. */
static void check_body(const struct yaml_node *node, struct diag_list *diags)
{
	enum metric_task task;
	enum metric_id id;
	const struct yaml_node *metrics = yaml_get(node, "metrics");
	if (!task_from_name(yaml_text(yaml_get(node, "task"), ""), &task) || !metrics)
		return;
	const struct yaml_node *one = metrics;
	const struct yaml_node *const *items = metrics->kind == YAML_SEQUENCE ? (const struct yaml_node *const *)metrics->values : &one;
	size_t n = metrics->kind == YAML_SEQUENCE ? metrics->n : 1;
	for (size_t i = 0; i < n; i++)
		if (metric_from_name(yaml_text(items[i], ""), &id) && metric_task_of(id) != task)
			yaml_error(diags, items[i], "wrong-task", NULL, "%s is a metric of %s tasks, and this one is %s", metric_name(id),
				   task_name(metric_task_of(id)), task_name(task));
}

static const char *const task_choices[] = {"binary", "regression", "multiclass", NULL};
static const struct schema task_schema = {.type = SCHEMA_ENUM, .choices = task_choices, .check = check_task};
static const struct schema metric_schema = {.type = SCHEMA_STRING, .check = check_metric};
static const struct schema metrics_schema = {.type = SCHEMA_LIST,
					     .doc = "names of metrics",
					     .item = &metric_schema,
					     .scalar_is_list = true,
					     .has_min = true,
					     .min = 1,
					     .has_max = true,
					     .max = SCORE_MAX_METRICS};
static const struct schema column_schema = {.type = SCHEMA_STRING, .doc = "a column's name"};
static const struct schema slices_schema = {
	.type = SCHEMA_LIST, .doc = "columns", .item = &column_schema, .scalar_is_list = true, .has_max = true, .max = SCORE_MAX_SLICES};
static const struct schema confidence_schema = {
	.type = SCHEMA_NUMBER, .has_min = true, .min = 0.5, .has_max = true, .max = 0.9999, .doc = "of the intervals, two-sided"};
static const struct schema threshold_schema = {.type = SCHEMA_NUMBER, .has_min = true, .min = 0, .has_max = true, .max = 1};

static const struct schema_field fields[] = {
	{.name = "predictions", .schema = &schema_path, .required = true, .doc = "CSV with labels and predictions"},
	{.name = "task", .schema = &task_schema, .required = true, .doc = "binary or regression"},
	{.name = "label", .schema = &column_schema, .required = true, .doc = "the column with what happened; binary: 0, 1, true or false"},
	{.name = "prediction", .schema = &column_schema, .required = true, .doc = "the column with the model's score, probability or value"},
	{.name = "metrics", .schema = &metrics_schema, .doc = "what to measure",
	 .fallback = "roc_auc, log_loss, brier, accuracy; regression: rmse, mae, r2"},
	{.name = "slices", .schema = &slices_schema, .doc = "columns whose values are measured each on their own"},
	{.name = "threshold", .schema = &threshold_schema, .doc = "at or above it a row is called positive", .fallback = "0.5"},
	{.name = "confidence", .schema = &confidence_schema, .doc = "of the intervals", .fallback = "0.95"},
	{.name = NULL},
};
static const struct schema body_schema = {.type = SCHEMA_STRUCT, .doc = "what is measured", .fields = fields, .check = check_body};

void score_default_metrics(struct score_request *request)
{
	static const enum metric_id binary[] = {METRIC_ROC_AUC, METRIC_LOG_LOSS, METRIC_BRIER, METRIC_ACCURACY};
	static const enum metric_id regression[] = {METRIC_RMSE, METRIC_MAE, METRIC_R2};
	bool is_binary = request->task == TASK_BINARY;
	request->n_metrics = is_binary ? ARRAY_SIZE(binary) : ARRAY_SIZE(regression);
	for (size_t i = 0; i < request->n_metrics; i++)
		request->metrics[i] = is_binary ? binary[i] : regression[i];
}

static void add_option(struct strlist *argv, const char *option, const struct yaml_node *value)
{
	if (!value)
		return;
	strlist_add(argv, option);
	strlist_add(argv, value->text);
}

/* `--option VALUE` once for every item. */
static void add_each(struct strlist *argv, const char *option, const struct yaml_node *list)
{
	if (list && list->kind == YAML_SCALAR)
		add_option(argv, option, list);
	for (size_t i = 0; list && list->kind == YAML_SEQUENCE && i < list->n; i++)
		add_option(argv, option, list->values[i]);
}

static int prepare(const struct stage_facts *facts, struct stage_work *ret, struct error **err)
{
	(void)err; /* The body fits its schema, so nothing can be wrong any more. */
	const struct yaml_node *body = facts->planned->body;
	struct stage_work work = {.type = WORK_COMMAND, .native = true, .wants_baseline_file = yaml_text(yaml_get(body, "predictions"), NULL)};
	strlist_add(&work.argv, STAGE_BINARY);
	strlist_add(&work.argv, "score");
	add_option(&work.argv, "--predictions", yaml_get(body, "predictions"));
	add_option(&work.argv, "--task", yaml_get(body, "task"));
	add_option(&work.argv, "--label", yaml_get(body, "label"));
	add_option(&work.argv, "--prediction", yaml_get(body, "prediction"));
	add_option(&work.argv, "--threshold", yaml_get(body, "threshold"));
	add_option(&work.argv, "--confidence", yaml_get(body, "confidence"));
	add_each(&work.argv, "--metrics", yaml_get(body, "metrics"));
	add_each(&work.argv, "--slice", yaml_get(body, "slices"));
	strlist_add(&work.argv, "--format");
	strlist_add(&work.argv, "json");
	strlist_add(&work.against_argv, "--against");
	strlist_add(&work.against_argv, STAGE_IN "/baseline-predictions.csv");
	*ret = work;
	return 0;
}

const struct stage_ops score_stage = {
	.kind = {.name = "score", .doc = "metrics of predictions, with confidence intervals, by slices, compared with production", .schema = &body_schema},
	.prepare = prepare,
};
