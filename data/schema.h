/* The data schema: what a table must look like, read from YAML into a plain checked struct (docs/data-schema.md).
 *
 *     cleanup_diags struct diag_list *diags = diag_list_new();
 *     cleanup_data_schema struct data_schema *schema = data_schema_parse("data/schema.yml", text, len, diags);
 *     if (!schema) ...                                // diags has every mistake, each at its place
 *
 * All strings live in the schema and go with it. What the language knows and this build does not do (`drift`) is a diagnostic with
 * the code "unavailable" at its line. Pure: reads no files. */
#ifndef DATA_SCHEMA_H
#define DATA_SCHEMA_H

#include "base/diag.h"
#include "data/values.h"

/* One end of a range. For columns of whole numbers and timestamps `whole` is exact if is_whole; otherwise `number` counts. */
struct data_bound {
	bool given, is_whole;
	int64_t whole; /* timestamps: microseconds */
	double number;
	const char *text; /* as written */
};
struct data_range { struct data_bound min, max; };

struct data_quantile {
	const char *name; /* "p99.9" */
	double fraction;  /* 0.999 */
	struct data_range range;
};

struct data_text { const char *text; size_t len; };

struct data_column {
	const char *name;
	enum value_type type;
	bool may_be_missing;  /* required: false */
	bool required;        /* required: true: no nulls */
	bool unique;
	const struct data_text *in; /* each is a value of the type */
	size_t n_in;
	const char *matches;  /* a pattern that compiles, or NULL */
	struct data_range value, length, null_fraction, mean, sd, distinct;
	const struct data_quantile *quantiles;
	size_t n_quantiles;
	uint64_t max_age_ms;  /* 0: not asked */
	const char *max_age;  /* as written */
};

/* name, text */
#define DATA_OPERATORS(X) X(LESS, "<") X(AT_MOST, "<=") X(MORE, ">") X(AT_LEAST, ">=") X(EQUAL, "==") X(DIFFERENT, "!=")
enum data_operator {
#define X(name, text) DATA_##name,
	DATA_OPERATORS(X)
#undef X
};
const char *data_operator_text(enum data_operator op);

enum data_table_check_kind { DATA_COMPARE, DATA_UNIQUE, DATA_POINT_IN_TIME };
struct data_table_check {
	enum data_table_check_kind kind;
	enum data_operator op;  /* COMPARE; POINT_IN_TIME: AT_MOST */
	const size_t *columns;  /* indexes into the schema's columns; COMPARE: left, right; POINT_IN_TIME: feature, label */
	size_t n_columns;
	const char *text;       /* "opened_at <= closed_at", "user, day" */
};

struct data_schema {
	struct data_range rows;
	bool reject_extra_columns;
	const struct data_column *columns;
	size_t n_columns;
	const struct data_table_check *checks;
	size_t n_checks;
	struct arena *arena; /* owns it all */
};

/* NULL when there is a mistake; diags tells all of them. */
struct data_schema *data_schema_parse(const char *file, const char *text, size_t len, struct diag_list *diags);
void data_schema_free(struct data_schema *schema);
DEFINE_CLEANUP(struct data_schema, data_schema_free);
#define cleanup_data_schema CLEANUP(data_schema_free)
#endif
