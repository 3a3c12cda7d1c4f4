/* Inside data/check*.c: the state of a check while rows go by. */
#ifndef DATA_CHECK_PRIV_H
#define DATA_CHECK_PRIV_H

#include "data/check.h"
#include "data/column.h"
#include "data/csv.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define NO_CHECK SIZE_MAX
#define UNIQUE_MAX ((size_t)32 * 1000 * 1000)   /* values that `unique` can tell apart; about 2 GiB */
#define DISTINCT_MAX ((size_t)8 * 1000 * 1000)  /* where a schema asks for their number */
#define DISTINCT_SHOWN ((size_t)100 * 1000)     /* where it does not */
#define MATCH_STEPS 200000                      /* of PCRE2 for one value */

/* Everything about one column. `at[kind]` is the place of a check in the report, or NO_CHECK. */
struct column_state {
	const struct data_column *column;
	struct column_summary *summary;
	size_t at[N_CHECK_KINDS];
	size_t first_quantile;    /* the others follow */
	long place;               /* in the file being read; -1: missing there */
	struct moments moments;
	struct samples samples;
	struct value_set *distinct, *allowed;
	bool distinct_full;
	pcre2_code *pattern;
	pcre2_match_data *match;
	pcre2_match_context *limits;
	struct value least, greatest; /* numbers and times; texts are not kept */
	uint64_t values;
	/* Of the row at hand. */
	struct value value;
	bool has_value;
};

struct table_check_state {
	const struct data_table_check *check;
	size_t at;
	struct value_set *seen;
	struct buf key;
};

struct checking {
	const struct data_schema *schema;
	struct check_report *report;
	struct column_state *columns;
	struct table_check_state *checks;
	size_t min_rows, max_rows, extra_columns; /* places or NO_CHECK */
	size_t file;
	uint64_t line;
};

/* check_row.c: one row */
void check_offend(struct checking *c, size_t at, const char *value, size_t len, const char *note, const uint64_t *first_mark);
int check_record(struct checking *c, const struct csv_record *record, struct error **err) must_check;

/* check_setup.c: the rows of the report before the first row of data, and all that they need */
void check_setup(struct checking *c);
void check_done(struct checking *c);

/* check_finish.c: verdicts and what is judged at the end */
void check_finish(struct checking *c);
json_t *check_value_json(const struct value *value);
#endif
