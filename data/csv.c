#include "data/csv.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "data/values.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#define FIRST_BUFFER (256 * 1024)

/* A field as found, before quotes are undone: offsets from the start of its record. */
struct span {
	size_t start, end;
	bool quoted, doubled; /* doubled: holds "" */
};

struct csv_reader {
	char *name;
	int fd;             /* -1: bytes */
	const char *bytes;  /* what is left of borrowed bytes */
	size_t bytes_left;
	struct csv_options options;
	char *buffer;       /* capacity + 1, so that the last field can be terminated */
	size_t capacity, start, end; /* unread: [start, end) */
	bool eof;
	uint64_t line, number, consumed;
	struct span *spans;
	size_t spans_capacity;
	struct csv_field *fields;
	size_t fields_capacity;
	struct csv_record record;
	char **columns;
	size_t n_columns;
	struct csv_problem problem;
	char problem_text[192];
	bool has_problem, broken; /* broken: cannot go on */
	char special[256];
};

static const struct {
	const char *name; /* lower case */
	bool goes_on;
	const char *text;
} problems[] = {
#define X(name, goes_on, text) {#name, goes_on, text},
	CSV_PROBLEMS(X)
#undef X
};

bool csv_problem_goes_on(enum csv_problem_kind kind)
{
	return problems[kind].goes_on;
}

/* ---- reading ahead ---- */

static ssize_t read_source(struct csv_reader *csv, char *into, size_t room)
{
	if (csv->fd >= 0) {
		ssize_t got;
		do
			got = read(csv->fd, into, room);
		while (got < 0 && errno == EINTR);
		return got;
	}
	size_t n = csv->bytes_left < room ? csv->bytes_left : room;
	if (n)
		memcpy(into, csv->bytes, n);
	csv->bytes += n;
	csv->bytes_left -= n;
	return (ssize_t)n;
}

/* Makes more of the current record visible: moves it to the front, doubles the buffer if it fills it, and reads until full. */
static int read_more(struct csv_reader *csv, struct error **err)
{
	if (csv->start > 0) {
		memmove(csv->buffer, csv->buffer + csv->start, csv->end - csv->start);
		csv->end -= csv->start;
		csv->start = 0;
	} else if (csv->end == csv->capacity) {
		csv->capacity *= 2;
		csv->buffer = xrealloc(csv->buffer, csv->capacity + 1);
	}
	while (csv->end < csv->capacity && !csv->eof) {
		ssize_t got = read_source(csv, csv->buffer + csv->end, csv->capacity - csv->end);
		if (got < 0)
			return error_set(err, ERROR_IO, errno, "%s: read", csv->name);
		if (got == 0)
			csv->eof = true;
		csv->end += (size_t)got;
	}
	return 0;
}

/* ---- scanning one record ---- */

enum scan_result { SCAN_RECORD, SCAN_NEEDS_MORE, SCAN_FATAL };

struct scan {
	const char *text; /* of the record and what follows it */
	size_t len;
	bool eof;
	size_t pos, n;       /* n: fields found */
	uint64_t line_feeds; /* inside quoted fields */
	bool has_problem;
	enum csv_problem_kind problem;
	size_t problem_at;
};

static void note(struct scan *scan, enum csv_problem_kind kind, size_t at)
{
	if (scan->has_problem && !(csv_problem_goes_on(scan->problem) && !csv_problem_goes_on(kind)))
		return; /* The first one is told; one that ends the reading overrules. */
	scan->has_problem = true;
	scan->problem = kind;
	scan->problem_at = at;
}

static enum scan_result fatal(struct scan *scan, enum csv_problem_kind kind, size_t at)
{
	note(scan, kind, at);
	return SCAN_FATAL;
}

/* Is there a line end at pos? Its length, or 0; NEEDS_MORE through *more when a CR is the last byte seen. */
static size_t line_end(const struct scan *scan, size_t pos, bool *more)
{
	if (scan->text[pos] == '\n')
		return 1;
	if (scan->text[pos] != '\r')
		return 0;
	if (pos + 1 < scan->len)
		return scan->text[pos + 1] == '\n' ? 2 : 0;
	*more = !scan->eof;
	return 0;
}

static void count_line_feeds(struct scan *scan, size_t from, size_t to)
{
	const char *p = scan->text + from, *end = scan->text + to;
	while ((p = memchr(p, '\n', (size_t)(end - p)))) {
		scan->line_feeds++;
		p++;
	}
}

static enum scan_result scan_quoted(const struct csv_reader *csv, struct scan *scan, struct span *ret)
{
	size_t open = scan->pos, at = open + 1;
	bool doubled = false;
	for (;;) {
		const char *quote = memchr(scan->text + at, '"', scan->len - at);
		size_t close = quote ? (size_t)(quote - scan->text) : scan->len;
		if (close - open - 1 > csv->options.max_field_bytes)
			return fatal(scan, CSV_FIELD_TOO_LONG, open);
		if (!quote)
			return scan->eof ? fatal(scan, CSV_UNTERMINATED_QUOTE, open) : SCAN_NEEDS_MORE;
		if (close + 1 == scan->len && !scan->eof)
			return SCAN_NEEDS_MORE;
		if (close + 1 < scan->len && scan->text[close + 1] == '"') {
			doubled = true;
			at = close + 2;
			continue;
		}
		*ret = (struct span){open + 1, close, true, doubled};
		count_line_feeds(scan, open + 1, close);
		scan->pos = close + 1;
		return SCAN_RECORD;
	}
}

static enum scan_result scan_plain(const struct csv_reader *csv, struct scan *scan, struct span *ret)
{
	size_t from = scan->pos, pos = from;
	const char *text = scan->text;
	for (;;) {
		while (pos < scan->len && !csv->special[(unsigned char)text[pos]])
			pos++;
		if (pos - from > csv->options.max_field_bytes)
			return fatal(scan, CSV_FIELD_TOO_LONG, from);
		if (pos == scan->len) {
			if (!scan->eof)
				return SCAN_NEEDS_MORE;
			break;
		}
		if (text[pos] == '"') {
			note(scan, CSV_STRAY_QUOTE, pos);
		} else if (text[pos] == '\r') {
			bool more = false;
			if (line_end(scan, pos, &more) > 0)
				break;
			if (more)
				return SCAN_NEEDS_MORE;
			note(scan, CSV_STRAY_RETURN, pos);
		} else {
			break;
		}
		pos++;
	}
	*ret = (struct span){from, pos, false, false};
	scan->pos = pos;
	return SCAN_RECORD;
}

/* Finds the fields of one record without changing the text, so that it can begin again when more was read. On SCAN_RECORD pos is
 * behind the record's line end. */
static enum scan_result scan_record(struct csv_reader *csv, struct scan *scan)
{
	for (;;) {
		if (scan->n == csv->options.max_fields)
			return fatal(scan, CSV_TOO_MANY_FIELDS, scan->pos);
		csv->spans = xgrow(csv->spans, &csv->spans_capacity, scan->n + 1, sizeof(*csv->spans));
		struct span *span = &csv->spans[scan->n];
		bool quoted = scan->pos < scan->len && scan->text[scan->pos] == '"';
		enum scan_result result = quoted ? scan_quoted(csv, scan, span) : scan_plain(csv, scan, span);
		if (result != SCAN_RECORD)
			return result;
		scan->n++;
		if (scan->pos == scan->len)
			return SCAN_RECORD; /* Only at the end of the file do the scanners stop there. */
		if (scan->text[scan->pos] == csv->options.delimiter) {
			scan->pos++;
			continue;
		}
		bool more = false;
		size_t ending = line_end(scan, scan->pos, &more);
		if (more)
			return SCAN_NEEDS_MORE;
		if (!ending)
			return fatal(scan, CSV_AFTER_QUOTE, scan->pos);
		scan->pos += ending;
		return SCAN_RECORD;
	}
}

/* ---- problems ---- */

static void place(struct csv_reader *csv, const char *text, size_t at)
{
	csv->problem.line = csv->line;
	csv->problem.column = 1;
	for (size_t i = 0; i < at; i++) {
		if (text[i] == '\n') {
			csv->problem.line++;
			csv->problem.column = 1;
		} else if (((unsigned char)text[i] & 0xC0) != 0x80) {
			csv->problem.column++;
		}
	}
}

/* Sets the problem of the record that starts at `text`; returns -1 with err as csv_next() does. */
static int fail(struct csv_reader *csv, enum csv_problem_kind kind, const char *text, size_t at, size_t n_fields, struct error **err)
{
	place(csv, text, at);
	csv->has_problem = true;
	csv->problem.kind = kind;
	csv->problem.text = csv->problem_text;
	csv->broken = !csv_problem_goes_on(kind);
	const struct csv_options *o = &csv->options;
	const char *s = problems[kind].text;
	char *to = csv->problem_text;
	size_t size = sizeof(csv->problem_text);
	if (kind == CSV_FIELD_COUNT)
		snprintf(to, size, "%zu field%s, but the header has %zu", n_fields, n_fields == 1 ? "" : "s", csv->n_columns);
	else if (kind == CSV_FIELD_TOO_LONG)
		snprintf(to, size, "%s: more than %zu bytes%s", s, o->max_field_bytes, text[at] == '"' ? "; is its quote never closed?" : "");
	else if (kind == CSV_RECORD_TOO_LONG)
		snprintf(to, size, "%s: more than %zu bytes", s, o->max_record_bytes);
	else if (kind == CSV_TOO_MANY_FIELDS)
		snprintf(to, size, "%s: more than %zu", s, o->max_fields);
	else
		snprintf(to, size, "%s", s);
	return error_set(err, ERROR_INVALID, 0, "%s:%" PRIu64 ":%" PRIu64 ": %s", csv->name, csv->problem.line, csv->problem.column, to);
}

static int fail_again(struct csv_reader *csv, struct error **err)
{
	return error_set(err, ERROR_INVALID, 0, "%s:%" PRIu64 ":%" PRIu64 ": %s", csv->name, csv->problem.line, csv->problem.column,
			 csv->problem_text);
}

/* ---- records ---- */

static void undouble(struct csv_field *field, char *text)
{
	const char *from = text, *end = text + field->len;
	char *to = text;
	while (from < end) {
		const char *quote = memchr(from, '"', (size_t)(end - from));
		size_t n = (size_t)((quote ? quote + 1 : end) - from);
		memmove(to, from, n);
		to += n;
		from += quote ? n + 1 : n;
	}
	field->len = (size_t)(to - text);
}

static void make_fields(struct csv_reader *csv, char *text, size_t n)
{
	csv->fields = xgrow(csv->fields, &csv->fields_capacity, n, sizeof(*csv->fields));
	for (size_t i = 0; i < n; i++) {
		const struct span *span = &csv->spans[i];
		csv->fields[i] = (struct csv_field){text + span->start, span->end - span->start, span->quoted};
		if (span->doubled)
			undouble(&csv->fields[i], text + span->start);
		text[span->start + csv->fields[i].len] = '\0'; /* a delimiter, line end, quote or the byte kept free behind the buffer */
	}
}

static void consume(struct csv_reader *csv, size_t n, uint64_t lines)
{
	csv->start += n;
	csv->consumed += n;
	csv->line += lines;
}

/* Scans until a record is whole. 1: *ret is about it; 0: end of the file; -1. */
static int whole_record(struct csv_reader *csv, struct scan *ret, struct error **err)
{
	for (;;) {
		struct scan scan = {.text = csv->buffer + csv->start, .len = csv->end - csv->start, .eof = csv->eof};
		bool more = false;
		size_t blank = scan.len && csv->n_columns != 1 ? line_end(&scan, 0, &more) : 0;
		if (blank) {
			consume(csv, blank, 1);
			continue;
		}
		if (!scan.len && scan.eof)
			return 0;
		enum scan_result result = more || !scan.len ? SCAN_NEEDS_MORE : scan_record(csv, &scan);
		if (result == SCAN_NEEDS_MORE && scan.len > csv->options.max_record_bytes)
			result = fatal(&scan, CSV_RECORD_TOO_LONG, 0);
		if (result != SCAN_NEEDS_MORE) {
			*ret = scan;
			return 1;
		}
		if (read_more(csv, err) < 0)
			return -1;
	}
}

/* The checks on a record whose ends are known. */
static void check_record(const struct csv_reader *csv, struct scan *scan)
{
	const char *nul = memchr(scan->text, '\0', scan->pos);
	if (nul)
		note(scan, CSV_NUL_BYTE, (size_t)(nul - scan->text));
	else if (!utf8_is_valid(scan->text, scan->pos))
		note(scan, CSV_NOT_UTF8, utf8_valid_prefix(scan->text, scan->pos));
	if (csv->n_columns && scan->n != csv->n_columns) {
		const struct span *span = scan->n > csv->n_columns ? &csv->spans[csv->n_columns] : &csv->spans[scan->n - 1];
		note(scan, CSV_FIELD_COUNT, scan->n > csv->n_columns ? span->start - span->quoted : span->end + span->quoted);
	}
}

static int next_record(struct csv_reader *csv, struct error **err)
{
	struct scan scan;
	int rc = whole_record(csv, &scan, err);
	if (rc <= 0)
		return rc;
	csv->number++;
	char *text = csv->buffer + csv->start;
	if (!scan.has_problem || csv_problem_goes_on(scan.problem))
		check_record(csv, &scan);
	if (scan.has_problem) {
		fail(csv, scan.problem, text, scan.problem_at, scan.n, err);
		if (!csv->broken)
			consume(csv, scan.pos, scan.line_feeds + 1);
		return -1;
	}
	csv->record = (struct csv_record){.n = scan.n, .line = csv->line, .number = csv->number};
	make_fields(csv, text, scan.n);
	csv->record.fields = csv->fields;
	consume(csv, scan.pos, scan.line_feeds + 1);
	return 1;
}

int csv_next(struct csv_reader *csv, const struct csv_record **ret, struct error **err)
{
	if (csv->broken)
		return fail_again(csv, err);
	csv->has_problem = false;
	int rc = next_record(csv, err);
	if (rc > 0)
		*ret = &csv->record;
	return rc;
}

/* ---- opening ---- */

static int bad_header(struct csv_reader *csv, enum csv_problem_kind kind, uint64_t line, const char *what, const char *name, struct error **err)
{
	csv->has_problem = csv->broken = true;
	csv->problem = (struct csv_problem){kind, line, 1, csv->problem_text};
	snprintf(csv->problem_text, sizeof(csv->problem_text), "%s%.100s%s", what, name, *name ? "\"" : "");
	return fail_again(csv, err);
}

static int read_header(struct csv_reader *csv, struct error **err)
{
	static const char mark[] = "\xEF\xBB\xBF";
	if (read_more(csv, err) < 0)
		return -1;
	if (csv->end >= 3 && memcmp(csv->buffer, mark, 3) == 0)
		consume(csv, 3, 0);
	int rc = next_record(csv, err);
	if (rc < 0)
		return -1;
	if (rc == 0)
		return bad_header(csv, CSV_NO_HEADER, 1, problems[CSV_NO_HEADER].text, "", err);
	csv->number = 0;
	csv->columns = xcalloc(csv->record.n, sizeof(*csv->columns));
	for (size_t i = 0; i < csv->record.n; i++) {
		const char *name = csv->record.fields[i].text;
		if (!*name)
			return bad_header(csv, CSV_COLUMN_NAME, csv->record.line, "a column without a name in the header", "", err);
		if (csv_column(csv, name) >= 0)
			return bad_header(csv, CSV_COLUMN_NAME, csv->record.line, "the header names a column twice: \"", name, err);
		csv->columns[csv->n_columns++] = xstrdup(name);
	}
	return 0;
}

static int open_reader(int fd, const void *bytes, size_t len, const char *name, const struct csv_options *options, struct csv_reader **ret,
		       struct error **err)
{
	cleanup_csv struct csv_reader *csv = xcalloc(1, sizeof(*csv));
	csv->name = xstrdup(name);
	csv->fd = fd;
	csv->bytes = bytes;
	csv->bytes_left = len;
	csv->line = 1;
	if (options)
		csv->options = *options;
	struct csv_options *o = &csv->options;
	o->delimiter = o->delimiter ? o->delimiter : ',';
	o->max_field_bytes = o->max_field_bytes ? o->max_field_bytes : 1024 * 1024;
	o->max_record_bytes = o->max_record_bytes ? o->max_record_bytes : 16 * 1024 * 1024;
	o->max_fields = o->max_fields ? o->max_fields : 4096;
	csv->special[(unsigned char)o->delimiter] = csv->special['\n'] = csv->special['\r'] = csv->special['"'] = 1;
	csv->capacity = FIRST_BUFFER;
	csv->buffer = xmalloc(csv->capacity + 1);
	if (read_header(csv, err) < 0)
		return -1;
	*ret = STEAL(csv);
	return 0;
}

int csv_open_fd(int fd, const char *name, const struct csv_options *options, struct csv_reader **ret, struct error **err)
{
	return open_reader(fd, NULL, 0, name, options, ret, err);
}

int csv_open_bytes(const void *bytes, size_t len, const char *name, const struct csv_options *options, struct csv_reader **ret,
		   struct error **err)
{
	return open_reader(-1, bytes, len, name, options, ret, err);
}

int csv_open(const char *path, const struct csv_options *options, struct csv_reader **ret, struct error **err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_set(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, errno, "%s", path);
	return csv_open_fd(fd, path, options, ret, err);
}

void csv_close(struct csv_reader *csv)
{
	if (!csv)
		return;
	if (csv->fd >= 0)
		close(csv->fd);
	for (size_t i = 0; i < csv->n_columns; i++)
		free(csv->columns[i]);
	free(csv->columns);
	free(csv->fields);
	free(csv->spans);
	free(csv->buffer);
	free(csv->name);
	free(csv);
}

size_t csv_columns(const struct csv_reader *csv)
{
	return csv->n_columns;
}

const char *csv_column_name(const struct csv_reader *csv, size_t i)
{
	return csv->columns[i];
}

long csv_column(const struct csv_reader *csv, const char *name)
{
	for (size_t i = 0; i < csv->n_columns; i++)
		if (strcmp(csv->columns[i], name) == 0)
			return (long)i;
	return -1;
}

const struct csv_problem *csv_last_problem(const struct csv_reader *csv)
{
	return csv->has_problem ? &csv->problem : NULL;
}

uint64_t csv_bytes(const struct csv_reader *csv)
{
	return csv->consumed;
}
