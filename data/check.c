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

/* What is malformed, so that all of it is told at once: the first record's message, and the lines of some others. */
struct malformed {
	struct error *first;
	uint64_t count, lines[CHECK_MAX_EXAMPLES];
};

static void note_malformed(struct malformed *m, const struct csv_reader *csv, struct error *err)
{
	if (m->count == 0)
		m->first = err;
	else
		error_free(err);
	if (m->count < CHECK_MAX_EXAMPLES)
		m->lines[m->count] = csv_last_problem(csv)->line;
	m->count++;
}

static int tell_malformed(const struct malformed *m, struct error **err)
{
	if (m->count < 2)
		return error_move(err, m->first);
	cleanup_error struct error *first = m->first;
	cleanup_buf struct buf lines;
	buf_init(&lines, 1024);
	for (uint64_t i = 1; i < m->count && i < CHECK_MAX_EXAMPLES; i++)
		buf_addf(&lines, "%s%llu", i > 1 ? ", " : "", (unsigned long long)m->lines[i]);
	return error_set(err, error_code_of(first), 0, "%s (and %llu more malformed record%s: line%s %s%s)", error_message(first),
			 (unsigned long long)m->count - 1, m->count == 2 ? "" : "s", m->count == 2 ? "" : "s", lines.data,
			 m->count > CHECK_MAX_EXAMPLES ? ", ..." : "");
}

/* To the end of the file, past records that are malformed on their own. */
static int check_records(struct checking *c, struct csv_reader *csv, struct malformed *m, struct error **err)
{
	for (;;) {
		const struct csv_record *record;
		struct error *bad = NULL;
		int rc = csv_next(csv, &record, &bad);
		if (rc == 0)
			return 0;
		if (rc > 0) {
			if (check_record(c, record, err) < 0)
				return -1;
			continue;
		}
		const struct csv_problem *problem = csv_last_problem(csv);
		if (!problem)
			return error_move(err, bad);
		bool goes_on = csv_problem_goes_on(problem->kind);
		note_malformed(m, csv, bad);
		if (!goes_on)
			return 0;
	}
}

static int check_file(struct checking *c, const char *path, struct error **err)
{
	struct malformed malformed = {0};
	cleanup_csv struct csv_reader *csv = NULL;
	if (data_format_check(path, err) < 0 || csv_open(path, NULL, &csv, err) < 0)
		return -1;
	check_header(c, csv);
	if (check_records(c, csv, &malformed, err) < 0) {
		error_free(malformed.first);
		return -1;
	}
	c->report->bytes += csv_bytes(csv);
	return malformed.count ? tell_malformed(&malformed, err) : 0;
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
