/* Records: the format of `spec`, of the secrets handed to the leader, and of `exit`. libc only; out of memory aborts.
 *
 * A record is a list of fields "key SPACE length LF value LF". Lengths are checked, values may hold any bytes, order is kept and
 * keys repeat, so a list is a key given several times. It can be read with a pager.
 *
 *     struct record_writer w = {0};
 *     record_add_text(&w, "argv", "/bin/true");
 *     ... write w.data, w.len ...
 *     record_writer_done(&w);
 *
 *     struct record_reader r = record_reader(bytes, len);       // bytes[len] must be writable NUL; values are cut in place
 *     while ((status = record_next(&r, &key, &value, &value_len)) > 0) ... */
#ifndef BASE_ATTEMPT_RECORD_H
#define BASE_ATTEMPT_RECORD_H

#include "base/attempt/exit_record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record_writer {
	char *data;
	size_t len, capacity;
};
void record_add(struct record_writer *writer, const char *key, const void *value, size_t len);
void record_add_text(struct record_writer *writer, const char *key, const char *value);
void record_add_number(struct record_writer *writer, const char *key, uint64_t value);
void record_writer_done(struct record_writer *writer);

struct record_reader {
	char *at, *end;
};
struct record_reader record_reader(char *bytes, size_t len);
/* 1: a field, NUL-terminated in place; 0: the end; -1: malformed. */
int record_next(struct record_reader *reader, const char **ret_key, char **ret_value, size_t *ret_len);
/* False unless all of value is a decimal number that fits. */
bool record_number(const char *value, uint64_t *ret);

/* The exit record as bytes, and back; exit_record_decode() changes `bytes` and is false for anything malformed. */
void exit_record_encode(const struct exit_record *record, struct record_writer *writer);
bool exit_record_decode(char *bytes, size_t len, struct exit_record *ret);
const char *attempt_end_name(enum attempt_end end); /* "exited", "timed_out" */
#endif
