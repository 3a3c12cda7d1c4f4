#include "stages/validate/validate.h"

static void refuse_reference(const struct yaml_node *node, struct diag_list *diags)
{
	yaml_error(diags, node, "unavailable", NULL, "checks of drift against a reference are not available in this build");
}

static const struct schema data_schema = {
	.type = SCHEMA_LIST, .item = &schema_path, .scalar_is_list = true, .has_min = true, .min = 1, .has_max = true, .max = 1000};
static const struct schema reference_schema = {.type = SCHEMA_PATH, .check = refuse_reference};
static const struct schema_field fields[] = {
	{.name = "data", .schema = &data_schema, .required = true, .doc = "CSV files with the same columns, checked as one table"},
	{.name = "schema", .schema = &schema_path, .required = true, .doc = "the data schema that they must fit"},
	{.name = "reference", .schema = &reference_schema, .doc = "data to compare with; not available in this build"},
	{.name = NULL},
};
static const struct schema body_schema = {.type = SCHEMA_STRUCT, .doc = "what is checked", .fields = fields};

static int prepare(const struct stage_facts *facts, struct stage_work *ret, struct error **err)
{
	(void)err; /* The body fits its schema, so nothing can be wrong any more. */
	const struct yaml_node *body = facts->planned->body, *data = yaml_get(body, "data");
	struct stage_work work = {.type = WORK_COMMAND, .native = true};
	strlist_add(&work.argv, STAGE_BINARY);
	strlist_add(&work.argv, "validate");
	strlist_add(&work.argv, "--schema");
	strlist_add(&work.argv, yaml_text(yaml_get(body, "schema"), ""));
	strlist_add(&work.argv, "--format");
	strlist_add(&work.argv, "json");
	strlist_add(&work.argv, "--"); /* a file may be called --x.csv */
	if (data->kind == YAML_SCALAR)
		strlist_add(&work.argv, data->text);
	for (size_t i = 0; data->kind == YAML_SEQUENCE && i < data->n; i++)
		strlist_add(&work.argv, data->values[i]->text);
	*ret = work;
	return 0;
}

const struct stage_ops validate_stage = {
	.kind = {.name = "validate", .doc = "checks of tables against a data schema, with the offending rows named", .schema = &body_schema},
	.prepare = prepare,
};
