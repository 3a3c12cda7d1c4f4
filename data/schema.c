#include "data/schema.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/schema.h"
#include "data/column.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MAX_COLUMNS 4096

/* ---- the form ---- */

static void refuse_drift(const struct yaml_node *node, struct diag_list *diags)
{
	yaml_error(diags, node, "unavailable", NULL, "checks of drift are not available in this build");
}

static void check_pattern(const struct yaml_node *node, struct diag_list *diags)
{
	int code;
	PCRE2_SIZE offset;
	pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)node->text, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &offset, NULL);
	if (compiled) {
		pcre2_code_free(compiled);
		return;
	}
	PCRE2_UCHAR reason[160] = "";
	pcre2_get_error_message(code, reason, sizeof(reason));
	yaml_error(diags, node, "pattern", NULL, "not a pattern: %s, at its character %zu", (const char *)reason, (size_t)offset + 1);
}

static const char *const type_choices[] = {
#define X(name, text, doc) text,
	VALUE_TYPES(X)
#undef X
		NULL};
static const char *const extra_choices[] = {"reject", "allow", NULL};

static const struct schema type_schema = {.type = SCHEMA_ENUM, .choices = type_choices};
static const struct schema extra_schema = {.type = SCHEMA_ENUM, .choices = extra_choices};
static const struct schema count_schema = {.type = SCHEMA_INTEGER, .has_min = true, .min = 0};
static const struct schema values_schema = {.type = SCHEMA_LIST, .item = &schema_string, .scalar_is_list = true, .has_min = true, .min = 1};
static const struct schema pattern_schema = {.type = SCHEMA_STRING, .check = check_pattern};
static const struct schema drift_schema = {.type = SCHEMA_ANY, .check = refuse_drift};

#define RANGE(id, of)                                                                                                                                \
	static const struct schema_field id##_fields[] = {                                                                                           \
		{.name = "min", .schema = (of), .doc = "at least"},                                                                                  \
		{.name = "max", .schema = (of), .doc = "at most"},                                                                                   \
		{.name = NULL},                                                                                                                      \
	};                                                                                                                                           \
	static const struct schema id##_schema = {.type = SCHEMA_STRUCT, .fields = id##_fields}
RANGE(counts, &count_schema);
RANGE(fractions, &schema_fraction);
RANGE(numbers, &schema_number);
static const struct schema quantiles_schema = {.type = SCHEMA_MAP, .item = &numbers_schema, .has_min = true, .min = 1};

static const struct schema_field column_fields[] = {
	{.name = "type", .schema = &type_schema, .required = true, .doc = "what every value is"},
	{.name = "required", .schema = &schema_bool, .doc = "true: every row has a value; false: the column may be missing"},
	{.name = "unique", .schema = &schema_bool, .doc = "no value twice"},
	{.name = "in", .schema = &values_schema, .doc = "the only values"},
	{.name = "matches", .schema = &pattern_schema, .doc = "a regular expression (PCRE2) that is found in every value"},
	{.name = "length", .schema = &counts_schema, .doc = "of texts, in characters"},
	{.name = "min", .schema = &schema_string, .doc = "the least value: a number or a timestamp"},
	{.name = "max", .schema = &schema_string, .doc = "the greatest value: a number or a timestamp"},
	{.name = "max_age", .schema = &schema_duration, .doc = "how old the newest timestamp may be"},
	{.name = "null_fraction", .schema = &fractions_schema, .doc = "the share of rows without a value"},
	{.name = "mean", .schema = &numbers_schema, .doc = "of the values"},
	{.name = "sd", .schema = &numbers_schema, .doc = "standard deviation of the values, with n - 1"},
	{.name = "quantiles", .schema = &quantiles_schema, .doc = "p50, p99, p99.9 ...: each a range"},
	{.name = "distinct", .schema = &counts_schema, .doc = "the number of different values"},
	{.name = NULL},
};
static const struct schema column_schema = {.type = SCHEMA_STRUCT, .fields = column_fields};
static const struct schema columns_schema = {
	.type = SCHEMA_MAP, .item = &column_schema, .has_min = true, .min = 1, .has_max = true, .max = MAX_COLUMNS};

static const struct schema compare_schema = {.type = SCHEMA_LIST, .item = &schema_string, .has_min = true, .min = 3, .has_max = true, .max = 3};
static const struct schema unique_schema = {.type = SCHEMA_LIST, .item = &schema_string, .has_min = true, .min = 1, .has_max = true, .max = 64};
static const struct schema_field point_fields[] = {
	{.name = "feature", .schema = &schema_string, .required = true, .doc = "when the features were known: a timestamp column"},
	{.name = "label", .schema = &schema_string, .required = true, .doc = "when the label was known: a timestamp column"},
	{.name = NULL},
};
static const struct schema point_schema = {.type = SCHEMA_STRUCT, .fields = point_fields};
static void check_is_one(const struct yaml_node *node, struct diag_list *diags)
{
	if (node->n != 1)
		yaml_error(diags, node, "check", NULL, "expected one of compare, unique or point_in_time in each check");
}
static const struct schema_field check_fields[] = {
	{.name = "compare", .schema = &compare_schema, .doc = "[left column, <= or another operator, right column], in every row"},
	{.name = "unique", .schema = &unique_schema, .doc = "columns whose values together come only once"},
	{.name = "point_in_time", .schema = &point_schema, .doc = "no feature from after its label"},
	{.name = NULL},
};
static const struct schema check_schema = {.type = SCHEMA_STRUCT, .fields = check_fields, .check = check_is_one};
static const struct schema checks_schema = {.type = SCHEMA_LIST, .item = &check_schema, .has_max = true, .max = 1000};

static const struct schema_field file_fields[] = {
	{.name = "rows", .schema = &counts_schema, .doc = "how many"},
	{.name = "extra_columns", .schema = &extra_schema, .doc = "columns that are not named below", .fallback = "allow"},
	{.name = "columns", .schema = &columns_schema, .required = true, .doc = "by name"},
	{.name = "checks", .schema = &checks_schema, .doc = "of several columns together"},
	{.name = "drift", .schema = &drift_schema, .doc = "against a reference"},
	{.name = NULL},
};
static const struct schema file_schema = {.type = SCHEMA_STRUCT, .fields = file_fields};

/* ---- reading ---- */

struct reading {
	struct arena *arena;
	struct diag_list *diags;
	struct data_schema *schema;
	const struct yaml_node *columns;
};

static struct data_bound read_bound(struct reading *r, const struct yaml_node *node)
{
	struct data_bound bound = {0};
	if (!node)
		return bound;
	bound.given = true;
	bound.text = arena_strdup(r->arena, node->text);
	if (!yaml_number(node, &bound.number))
		(void)yaml_fraction(node, &bound.number);
	bound.is_whole = value_int64(node->text, strlen(node->text), &bound.whole);
	return bound;
}

static struct data_range read_range(struct reading *r, const struct yaml_node *node, bool fraction)
{
	struct data_range range = {read_bound(r, yaml_get(node, "min")), read_bound(r, yaml_get(node, "max"))};
	if (!node)
		return range;
	if (fraction) {
		(void)yaml_fraction(yaml_get(node, "min"), &range.min.number);
		(void)yaml_fraction(yaml_get(node, "max"), &range.max.number);
	}
	if (!range.min.given && !range.max.given)
		yaml_error(r->diags, node, "range", NULL, "it asks nothing: give min, max or both");
	else if (range.min.given && range.max.given && range.min.number > range.max.number)
		yaml_error(r->diags, yaml_get(node, "min"), "range", NULL, "min %s is greater than max %s", range.min.text, range.max.text);
	return range;
}

/* min and max of values: numbers or timestamps, as the type says. */
static struct data_bound read_value_bound(struct reading *r, const struct yaml_node *node, enum value_type type)
{
	struct data_bound bound = {0};
	if (!node)
		return bound;
	struct value value;
	bound.given = true;
	bound.text = arena_strdup(r->arena, node->text);
	if (type == VALUE_TIMESTAMP) {
		if (!value_timestamp(node->text, strlen(node->text), &bound.whole))
			yaml_error(r->diags, node, "bound", NULL, "expected a timestamp such as 2020-01-01T00:00:00Z, not \"%s\"", node->text);
		bound.is_whole = true;
		return bound;
	}
	bound.is_whole = type == VALUE_INT64 && value_int64(node->text, strlen(node->text), &bound.whole);
	if (value_read(VALUE_FLOAT64, node->text, strlen(node->text), &value))
		bound.number = value.number;
	else
		yaml_error(r->diags, node, "bound", NULL, "expected a number, not \"%s\"", node->text);
	return bound;
}

static bool is_above(const struct data_bound *a, const struct data_bound *b)
{
	return a->is_whole && b->is_whole ? a->whole > b->whole : a->number > b->number;
}

static void read_values(struct reading *r, const struct yaml_node *node, struct data_column *column)
{
	if (!node)
		return;
	const struct yaml_node *const *items = node->kind == YAML_SEQUENCE ? (const struct yaml_node *const *)node->values : &node;
	size_t n = node->kind == YAML_SEQUENCE ? node->n : 1;
	struct data_text *texts = arena_alloc(r->arena, n * sizeof(*texts));
	for (size_t i = 0; i < n; i++) {
		struct value value;
		texts[i] = (struct data_text){arena_strdup(r->arena, items[i]->text), strlen(items[i]->text)};
		if (!value_read(column->type, texts[i].text, texts[i].len, &value))
			yaml_error(r->diags, items[i], "value", NULL, "\"%s\" is no %s", items[i]->text, value_type_name(column->type));
	}
	column->in = texts;
	column->n_in = n;
}

static void read_quantiles(struct reading *r, const struct yaml_node *node, struct data_column *column)
{
	if (!node)
		return;
	struct data_quantile *quantiles = arena_alloc(r->arena, node->n * sizeof(*quantiles));
	for (size_t i = 0; i < node->n; i++) {
		const char *name = node->keys[i]->text;
		double percent = -1;
		if (name[0] != 'p' || !strchr("0123456789", name[1]) || !value_float64(name + 1, strlen(name + 1), &percent) ||
		    !(percent >= 0 && percent <= 100))
			yaml_error(r->diags, node->keys[i], "quantile", NULL, "expected a quantile from p0 to p100 such as p50 or p99.9, not \"%s\"",
				   name);
		quantiles[i] = (struct data_quantile){arena_strdup(r->arena, name), percent / 100, read_range(r, node->values[i], false)};
	}
	column->quantiles = quantiles;
	column->n_quantiles = node->n;
}

/* What is asked of a type that cannot answer. */
static void check_fits_type(struct reading *r, const struct yaml_node *node, enum value_type type)
{
	bool number = type == VALUE_INT64 || type == VALUE_FLOAT64, text = type == VALUE_STRING, time = type == VALUE_TIMESTAMP;
	const struct {
		const char *key;
		bool fits;
		const char *of;
	} keys[] = {
		{"matches", text, "string"},
		{"length", text, "string"},
		{"min", number || time, "int64, float64 and timestamp"},
		{"max", number || time, "int64, float64 and timestamp"},
		{"max_age", time, "timestamp"},
		{"mean", number || type == VALUE_BOOL, "int64, float64 and bool"},
		{"sd", number || type == VALUE_BOOL, "int64, float64 and bool"},
		{"quantiles", number, "int64 and float64"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!keys[i].fits && yaml_get(node, keys[i].key))
			yaml_error(r->diags, yaml_get_key(node, keys[i].key), "wrong-type", NULL, "%s is for columns of type %s, and this one is %s",
				   keys[i].key, keys[i].of, value_type_name(type));
}

static void read_column(struct reading *r, const char *name, const struct yaml_node *node, struct data_column *column)
{
	const struct yaml_node *required = yaml_get(node, "required"), *matches = yaml_get(node, "matches"), *age = yaml_get(node, "max_age");
	column->name = arena_strdup(r->arena, name);
	(void)value_type_from_name(yaml_text(yaml_get(node, "type"), ""), &column->type);
	check_fits_type(r, node, column->type);
	column->may_be_missing = yaml_bool(required, &column->required) && !column->required;
	(void)yaml_bool(yaml_get(node, "unique"), &column->unique);
	read_values(r, yaml_get(node, "in"), column);
	column->matches = matches ? arena_strdup(r->arena, matches->text) : NULL;
	column->length = read_range(r, yaml_get(node, "length"), false);
	if (column->type == VALUE_INT64 || column->type == VALUE_FLOAT64 || column->type == VALUE_TIMESTAMP) {
		column->value.min = read_value_bound(r, yaml_get(node, "min"), column->type);
		column->value.max = read_value_bound(r, yaml_get(node, "max"), column->type);
		if (column->value.min.given && column->value.max.given && is_above(&column->value.min, &column->value.max))
			yaml_error(r->diags, yaml_get(node, "min"), "range", NULL, "min %s is greater than max %s", column->value.min.text,
				   column->value.max.text);
	}
	if (age && yaml_duration_ms(age, &column->max_age_ms))
		column->max_age = arena_strdup(r->arena, age->text);
	column->null_fraction = read_range(r, yaml_get(node, "null_fraction"), true);
	column->mean = read_range(r, yaml_get(node, "mean"), false);
	column->sd = read_range(r, yaml_get(node, "sd"), false);
	column->distinct = read_range(r, yaml_get(node, "distinct"), false);
	read_quantiles(r, yaml_get(node, "quantiles"), column);
}

/* ---- checks of several columns ---- */

static bool find_column(struct reading *r, const struct yaml_node *name, size_t *ret)
{
	for (size_t i = 0; i < r->schema->n_columns; i++) {
		if (strcmp(r->schema->columns[i].name, name->text) == 0) {
			*ret = i;
			return true;
		}
	}
	cleanup_free const char **names = xcalloc(r->schema->n_columns + 1, sizeof(*names));
	for (size_t i = 0; i < r->schema->n_columns; i++)
		names[i] = r->schema->columns[i].name;
	const char *near = nearest_word(name->text, names, r->schema->n_columns);
	cleanup_free char *hint = near ? xasprintf("did you mean \"%s\"?", near) : NULL;
	yaml_error(r->diags, name, "unknown-column", hint, "\"%s\" is none of the columns above", name->text);
	return false;
}

static bool read_operator(struct reading *r, const struct yaml_node *node, enum data_operator *ret)
{
	for (int op = DATA_LESS; op <= DATA_DIFFERENT; op++) {
		if (strcmp(node->text, data_operator_text((enum data_operator)op)) == 0) {
			*ret = (enum data_operator)op;
			return true;
		}
	}
	yaml_error(r->diags, node, "operator", NULL, "expected one of <, <=, >, >=, == or !=, not \"%s\"", node->text);
	return false;
}

static void read_compare(struct reading *r, const struct yaml_node *node, struct data_table_check *check)
{
	size_t *columns = arena_alloc(r->arena, 2 * sizeof(*columns));
	bool left = find_column(r, node->values[0], &columns[0]), right = find_column(r, node->values[2], &columns[1]);
	check->kind = DATA_COMPARE;
	check->columns = columns;
	check->n_columns = 2;
	if (!read_operator(r, node->values[1], &check->op) || !left || !right)
		return;
	enum value_type a = r->schema->columns[columns[0]].type, b = r->schema->columns[columns[1]].type;
	if (!value_types_compare(a, b))
		yaml_error(r->diags, node, "wrong-type", NULL, "%s cannot be compared with %s", value_type_name(a), value_type_name(b));
	check->text = arena_printf(r->arena, "%s %s %s", node->values[0]->text, node->values[1]->text, node->values[2]->text);
}

static void read_unique(struct reading *r, const struct yaml_node *node, struct data_table_check *check)
{
	size_t *columns = arena_alloc(r->arena, node->n * sizeof(*columns));
	cleanup_buf struct buf text;
	buf_init(&text, YAML_MAX_BYTES);
	for (size_t i = 0; i < node->n; i++) {
		(void)find_column(r, node->values[i], &columns[i]);
		buf_addf(&text, "%s%s", i ? ", " : "", node->values[i]->text);
	}
	check->kind = DATA_UNIQUE;
	check->columns = columns;
	check->n_columns = node->n;
	check->text = arena_strdup(r->arena, text.data);
}

static void read_point_in_time(struct reading *r, const struct yaml_node *node, struct data_table_check *check)
{
	static const char *const keys[] = {"feature", "label"};
	size_t *columns = arena_alloc(r->arena, 2 * sizeof(*columns));
	for (size_t i = 0; i < 2; i++) {
		const struct yaml_node *name = yaml_get(node, keys[i]);
		if (find_column(r, name, &columns[i]) && r->schema->columns[columns[i]].type != VALUE_TIMESTAMP)
			yaml_error(r->diags, name, "wrong-type", NULL, "\"%s\" must be a column of type timestamp, not %s", name->text,
				   value_type_name(r->schema->columns[columns[i]].type));
	}
	check->kind = DATA_POINT_IN_TIME;
	check->op = DATA_AT_MOST;
	check->columns = columns;
	check->n_columns = 2;
	check->text = arena_printf(r->arena, "%s <= %s", yaml_get(node, "feature")->text, yaml_get(node, "label")->text);
}

static void read_checks(struct reading *r, const struct yaml_node *node)
{
	if (!node || node->kind != YAML_SEQUENCE)
		return;
	struct data_table_check *checks = arena_alloc(r->arena, node->n * sizeof(*checks));
	for (size_t i = 0; i < node->n; i++) {
		const struct yaml_node *compare = yaml_get(node->values[i], "compare"), *unique = yaml_get(node->values[i], "unique");
		if (compare)
			read_compare(r, compare, &checks[i]);
		else if (unique)
			read_unique(r, unique, &checks[i]);
		else
			read_point_in_time(r, yaml_get(node->values[i], "point_in_time"), &checks[i]);
	}
	r->schema->checks = checks;
	r->schema->n_checks = node->n;
}

struct data_schema *data_schema_parse(const char *file, const char *text, size_t len, struct diag_list *diags)
{
	cleanup_yaml struct yaml_doc *doc = yaml_parse(file, text, len, diags);
	if (!doc || diag_errors(diags) || !schema_check(&file_schema, yaml_root(doc), diags))
		return NULL;
	const struct yaml_node *root = yaml_root(doc), *columns = yaml_get(root, "columns");
	struct arena *arena = arena_new();
	struct data_schema *schema = arena_alloc(arena, sizeof(*schema));
	struct reading r = {.arena = arena, .diags = diags, .schema = schema, .columns = columns};
	schema->arena = arena;
	if (yaml_get(root, "rows"))
		schema->rows = read_range(&r, yaml_get(root, "rows"), false);
	schema->reject_extra_columns = strcmp(yaml_text(yaml_get(root, "extra_columns"), "allow"), "reject") == 0;
	struct data_column *read = arena_alloc(arena, columns->n * sizeof(*read));
	for (size_t i = 0; i < columns->n; i++)
		read_column(&r, columns->keys[i]->text, columns->values[i], &read[i]);
	schema->columns = read;
	schema->n_columns = columns->n;
	read_checks(&r, yaml_get(root, "checks"));
	if (diag_errors(diags) == 0)
		return schema;
	data_schema_free(schema);
	return NULL;
}

void data_schema_free(struct data_schema *schema)
{
	if (schema)
		arena_free(schema->arena);
}

const char *data_operator_text(enum data_operator op)
{
	static const char *const texts[] = {
#define X(name, text) text,
		DATA_OPERATORS(X)
#undef X
	};
	return texts[op];
}
