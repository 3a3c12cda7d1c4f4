#include "data/check.h"

#include "base/alloc.h"
#include "data/check_priv.h"

const char *check_kind_name(enum check_kind kind)
{
	static const char *const names[] = {
#define X(name, text) text,
		CHECK_KINDS(X)
#undef X
	};
	return names[kind];
}

const char *check_verdict_name(enum check_verdict verdict)
{
	static const char *const names[] = {[CHECK_PASS] = "pass", [CHECK_FAIL] = "fail", [CHECK_SKIP] = "skip"};
	return names[verdict];
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);
	return len >= n && strcmp(text + len - n, end) == 0;
}

int data_format_check(const char *path, struct error **err)
{
	if (ends_with(path, ".parquet"))
		return error_set(err, ERROR_UNSUPPORTED, 0, "%s: Parquet is not available in this build; convert it to CSV", path);
	if (ends_with(path, ".jsonl") || ends_with(path, ".ndjson"))
		return error_set(err, ERROR_UNSUPPORTED, 0, "%s: JSON Lines is not available in this build; convert it to CSV", path);
	return 0;
}

static bool is_named(const struct data_schema *schema, const char *name)
{
	for (size_t i = 0; i < schema->n_columns; i++)
		if (strcmp(schema->columns[i].name, name) == 0)
			return true;
	return false;
}

/* Columns are present if every file has them. */
static void check_header(struct checking *c, const struct csv_reader *csv)
{
	c->line = 1;
	for (size_t i = 0; i < c->schema->n_columns; i++) {
		struct column_state *s = &c->columns[i];
		s->place = csv_column(csv, s->column->name);
		s->summary->present = (c->file == 0 || s->summary->present) && s->place >= 0;
		if (s->place < 0 && s->at[CHECK_PRESENT] != NO_CHECK)
			check_offend(c, s->at[CHECK_PRESENT], s->column->name, strlen(s->column->name), "no such column", NULL);
	}
	for (size_t i = 0; c->extra_columns != NO_CHECK && i < csv_columns(csv); i++) {
		const char *name = csv_column_name(csv, i);
		if (!is_named(c->schema, name))
			check_offend(c, c->extra_columns, name, strlen(name), NULL, NULL);
	}
}

static int check_file(struct checking *c, const char *path, struct error **err)
{
	cleanup_csv struct csv_reader *csv = NULL;
	const struct csv_record *record;
	if (data_format_check(path, err) < 0 || csv_open(path, NULL, &csv, err) < 0)
		return -1;
	check_header(c, csv);
	int rc;
	while ((rc = csv_next(csv, &record, err)) > 0)
		if (check_record(c, record, err) < 0)
			return -1;
	c->report->bytes += csv_bytes(csv);
	return rc;
}

int data_check(const struct data_schema *schema, const char *const *paths, size_t n_paths, struct check_report **ret, struct error **err)
{
	cleanup_check_report struct check_report *report = xcalloc(1, sizeof(*report));
	struct checking c = {.schema = schema, .report = report};
	int rc = 0;
	report->files = paths;
	report->n_files = n_paths;
	check_setup(&c);
	for (c.file = 0; rc == 0 && c.file < n_paths; c.file++)
		rc = check_file(&c, paths[c.file], err);
	if (rc == 0)
		check_finish(&c);
	check_done(&c);
	if (rc < 0)
		return -1;
	*ret = STEAL(report);
	return 0;
}

void check_report_free(struct check_report *report)
{
	if (!report)
		return;
	for (size_t i = 0; i < report->n_columns; i++) {
		json_decref(report->columns[i].min);
		json_decref(report->columns[i].max);
	}
	for (size_t i = 0; i < report->n_checks; i++) {
		struct check_row *row = &report->checks[i];
		json_decref(row->expected);
		json_decref(row->observed);
		for (size_t k = 0; k < row->n_examples; k++)
			free(row->examples[k].value);
	}
	free(report->columns);
	free(report->checks);
	free(report);
}
