/* CSV as RFC 4180 has it, record by record, in bounded memory.
 *
 *     struct csv_reader *csv = NULL;
 *     if (csv_open("data/train.csv", NULL, &csv, err) < 0)           // reads the header record
 *             return -1;
 *     long amount = csv_column(csv, "amount");                       // -1: no such column
 *     const struct csv_record *record;
 *     int rc;
 *     while ((rc = csv_next(csv, &record, err)) > 0)
 *             use(record->line, record->fields[amount].text, record->fields[amount].len);
 *     csv_close(csv);                                                // rc 0: end of file, -1: malformed
 *
 * What is read: fields between delimiters; quoted fields may hold delimiters, line breaks and doubled quotes; records end with LF or CRLF, the
 * last one may lack it; a UTF-8 byte order mark is skipped. The first record names the columns; names are unique and not empty. Empty
 * lines are skipped, except in a file of one column, where they are an empty field.
 *
 * What is refused, each with line, column and reason: see CSV_PROBLEMS. After a problem marked `goes on` csv_next() may be called
 * again and gives the next record (so that a checker can count bad records); after the others it repeats the error.
 *
 * Fields are slices of the reader's buffer: nothing is allocated per field or record. They are NUL-terminated, and valid until the
 * next call. Text is valid UTF-8 without NUL. An unquoted empty field is a null; a quoted one is an empty string. */
#ifndef DATA_CSV_H
#define DATA_CSV_H

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, goes on with the next record, text */
#define CSV_PROBLEMS(X)                                                                        \
	X(UNTERMINATED_QUOTE, false, "the quoted field that starts here is never closed")      \
	X(AFTER_QUOTE, false, "text after a closing quote; expected a delimiter or a line end (a quote inside quotes is doubled)") \
	X(STRAY_QUOTE, true, "a quote inside an unquoted field; quote the whole field and double the quote") \
	X(STRAY_RETURN, true, "a carriage return without a line feed")                         \
	X(FIELD_COUNT, true, "wrong number of fields")                                         \
	X(NUL_BYTE, true, "a NUL byte; is this a text file?")                                  \
	X(NOT_UTF8, true, "bytes that are not UTF-8")                                          \
	X(FIELD_TOO_LONG, false, "a field is too long")                                        \
	X(RECORD_TOO_LONG, false, "a record is too long")                                      \
	X(TOO_MANY_FIELDS, false, "too many fields")                                           \
	X(NO_HEADER, false, "the file is empty; expected a header line")                       \
	X(COLUMN_NAME, false, "an empty or repeated column name")

enum csv_problem_kind {
#define X(name, goes_on, text) CSV_##name,
	CSV_PROBLEMS(X)
#undef X
};

struct csv_problem {
	enum csv_problem_kind kind;
	uint64_t line, column; /* physical, 1-based; columns count characters */
	const char *text;      /* the reason with its numbers: "3 fields, but the header has 4"; valid until the next call */
};

struct csv_options {           /* zeroes mean the defaults */
	char delimiter;            /* ',' */
	size_t max_field_bytes;    /* 1 MiB */
	size_t max_record_bytes;   /* 16 MiB, which also bounds the memory used */
	size_t max_fields;         /* 4,096 */
};

struct csv_field {
	const char *text;
	size_t len;
	bool quoted;
};

struct csv_record {
	const struct csv_field *fields;
	size_t n;        /* always the number of columns */
	uint64_t line;   /* physical line on which the record starts, 1-based; the header is usually on 1 */
	uint64_t number; /* of the data record, from 1, bad ones counted */
};

struct csv_reader;

/* Opens and reads the header. `options` may be NULL. Errors: NOT_FOUND, IO, INVALID (malformed; message "PATH:LINE:COLUMN: reason").
 * csv_open_fd() takes the descriptor over, also on failure; `name` stands in messages. csv_open_bytes() borrows the bytes. */
int csv_open(const char *path, const struct csv_options *options, struct csv_reader **ret, struct error **err) must_check;
int csv_open_fd(int fd, const char *name, const struct csv_options *options, struct csv_reader **ret, struct error **err) must_check;
int csv_open_bytes(const void *bytes, size_t len, const char *name, const struct csv_options *options, struct csv_reader **ret,
		   struct error **err) must_check;
void csv_close(struct csv_reader *csv);
DEFINE_CLEANUP(struct csv_reader, csv_close);
#define cleanup_csv CLEANUP(csv_close)

size_t csv_columns(const struct csv_reader *csv);
const char *csv_column_name(const struct csv_reader *csv, size_t i);
long csv_column(const struct csv_reader *csv, const char *name); /* index or -1 */

/* 1 and *ret (owned by the reader), 0 at the end of the file, -1 on a malformed record (INVALID) or a read error (IO). */
int csv_next(struct csv_reader *csv, const struct csv_record **ret, struct error **err) must_check;
/* The problem behind the last -1 of csv_next(), or NULL if that was a read error. */
const struct csv_problem *csv_last_problem(const struct csv_reader *csv);
bool csv_problem_goes_on(enum csv_problem_kind kind);
uint64_t csv_bytes(const struct csv_reader *csv);         /* consumed so far, the header included */
#endif
