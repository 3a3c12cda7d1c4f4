/* Checks tables against a data schema: one pass, rows by rows, bounded memory. Says how many rows offend, which, and with what.
 *
 *     cleanup_check_report struct check_report *report = NULL;
 *     if (data_check(schema, paths, n_paths, &report, err) < 0) ...   // a file that cannot be read or is malformed
 *     report->passed
 *
 * Nulls pass every check but `required` and `null_fraction`. A value that is not of its column's type fails `type` and takes part in
 * nothing else. A missing column fails `present`, and what is asked of it is skipped. */
#ifndef DATA_CHECK_H
#define DATA_CHECK_H

#include "base/json.h"
#include "data/schema.h"

/* Whose failures count rows come first in a report's reason. name, text */
#define CHECK_KINDS(X)                                                        \
	X(MIN_ROWS, "min_rows") X(MAX_ROWS, "max_rows") X(EXTRA_COLUMNS, "extra_columns") \
	X(PRESENT, "present") X(TYPE, "type") X(REQUIRED, "required") X(UNIQUE, "unique") X(IN, "in") X(MATCHES, "matches") \
	X(LENGTH, "length") X(MIN, "min") X(MAX, "max") X(MAX_AGE, "max_age") X(NULL_FRACTION, "null_fraction") X(MEAN, "mean") \
	X(SD, "sd") X(QUANTILE, "quantile") X(DISTINCT, "distinct") X(COMPARE, "compare") X(POINT_IN_TIME, "point_in_time")
enum check_kind {
#define X(name, text) CHECK_##name,
	CHECK_KINDS(X)
#undef X
	N_CHECK_KINDS
};
const char *check_kind_name(enum check_kind kind);

enum check_verdict { CHECK_PASS, CHECK_FAIL, CHECK_SKIP };
const char *check_verdict_name(enum check_verdict verdict); /* "pass" */

#define CHECK_MAX_EXAMPLES 10
struct check_example {
	size_t file;         /* index into the report's files */
	uint64_t line;
	char *value;         /* cut to a length that one can read */
	const char *note;    /* static, or NULL */
	size_t first_file;   /* UNIQUE: where the value came first; first_line 0: not said */
	uint64_t first_line;
};

struct check_row {
	enum check_kind kind;
	const char *column; /* or NULL; of the schema */
	const char *name;   /* the kind's name; of a quantile "p99" */
	json_t *expected, *observed; /* observed: NULL where rows are counted */
	enum check_verdict verdict;
	bool counts_rows;
	uint64_t count;     /* of offending rows; EXTRA_COLUMNS: columns */
	struct check_example examples[CHECK_MAX_EXAMPLES];
	size_t n_examples;
};

struct column_summary {
	const char *name;
	enum value_type type;
	bool present, has_range, distinct_is_all; /* !distinct_is_all: there are at least that many */
	uint64_t nulls, distinct;
	json_t *min, *max;      /* NULL: none */
	double mean, sd;        /* NaN: none */
};

struct check_report {
	bool passed;
	uint64_t rows, bytes;
	const char *const *files; /* borrowed from the caller */
	size_t n_files;
	struct column_summary *columns;
	size_t n_columns;
	struct check_row *checks;
	size_t n_checks, checks_capacity;
};

/* Borrows the schema and the paths for the report's lifetime. Files ending in .parquet, .jsonl or .ndjson are UNSUPPORTED.
 * Errors: NOT_FOUND, IO, INVALID (malformed; "PATH:LINE:COLUMN: reason"), TOO_LARGE (more values than `unique` or quantiles can hold). */
int data_check(const struct data_schema *schema, const char *const *paths, size_t n_paths, struct check_report **ret,
	       struct error **err) must_check;
void check_report_free(struct check_report *report);
DEFINE_CLEANUP(struct check_report, check_report_free);
#define cleanup_check_report CLEANUP(check_report_free)

/* "csv", or UNSUPPORTED for what this build does not read. */
int data_format_check(const char *path, struct error **err) must_check;
#endif
