#include "base/attempt/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEY 32

static const char *const end_names[] = {
	[ATTEMPT_EXITED] = "exited",       [ATTEMPT_SIGNALED] = "signaled", [ATTEMPT_TIMED_OUT] = "timed_out",
	[ATTEMPT_CANCELLED] = "cancelled", [ATTEMPT_OOM] = "oom",           [ATTEMPT_NOT_STARTED] = "not_started",
};
#define N_ENDS (sizeof(end_names) / sizeof(end_names[0]))

static void append(struct record_writer *writer, const void *bytes, size_t len)
{
	if (writer->len + len > writer->capacity) {
		size_t capacity = (writer->len + len) * 2;
		writer->data = realloc(writer->data, capacity);
		if (!writer->data)
			abort();
		writer->capacity = capacity;
	}
	if (len)
		memcpy(writer->data + writer->len, bytes, len);
	writer->len += len;
}

void record_add(struct record_writer *writer, const char *key, const void *value, size_t len)
{
	char head[MAX_KEY + 24];
	int n = snprintf(head, sizeof(head), "%s %zu\n", key, len);

	if (n < 0 || (size_t)n >= sizeof(head))
		abort(); /* keys are our own constants */
	append(writer, head, (size_t)n);
	append(writer, value, len);
	append(writer, "\n", 1);
}

void record_add_text(struct record_writer *writer, const char *key, const char *value)
{
	record_add(writer, key, value, strlen(value));
}

void record_add_number(struct record_writer *writer, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	record_add_text(writer, key, text);
}

void record_writer_done(struct record_writer *writer)
{
	if (writer->data)
		explicit_bzero(writer->data, writer->capacity); /* it may have held secrets */
	free(writer->data);
	*writer = (struct record_writer){0};
}

struct record_reader record_reader(char *bytes, size_t len)
{
	return (struct record_reader){.at = bytes, .end = bytes + len};
}

bool record_number(const char *value, uint64_t *ret)
{
	char *end;

	if (*value < '0' || *value > '9')
		return false;
	errno = 0;
	unsigned long long number = strtoull(value, &end, 10);
	if (errno || *end)
		return false;
	*ret = number;
	return true;
}

int record_next(struct record_reader *reader, const char **ret_key, char **ret_value, size_t *ret_len)
{
	char *key = reader->at;
	size_t left = (size_t)(reader->end - reader->at);
	uint64_t len;

	if (left == 0)
		return 0;
	char *space = memchr(key, ' ', left < MAX_KEY ? left : MAX_KEY);
	if (!space || space == key)
		return -1;
	char *newline = memchr(space, '\n', (size_t)(reader->end - space));
	if (!newline)
		return -1;
	*space = *newline = '\0';
	char *value = newline + 1;
	if (!record_number(space + 1, &len) || len >= (uint64_t)(reader->end - value) || value[len] != '\n')
		return -1;
	value[len] = '\0';
	reader->at = value + len + 1;
	*ret_key = key;
	*ret_value = value;
	*ret_len = (size_t)len;
	return 1;
}

const char *attempt_end_name(enum attempt_end end)
{
	return (size_t)end < N_ENDS ? end_names[end] : "unknown";
}

void exit_record_encode(const struct exit_record *record, struct record_writer *writer)
{
	record_add_text(writer, "end", attempt_end_name(record->end));
	record_add_text(writer, "command", record->command);
	record_add_number(writer, "exit_code", (uint64_t)record->exit_code);
	record_add_number(writer, "signal", (uint64_t)record->signal);
	record_add_number(writer, "errnum", (uint64_t)record->errnum);
	record_add_number(writer, "started_ms", (uint64_t)record->started_ms);
	record_add_number(writer, "ended_ms", (uint64_t)record->ended_ms);
	record_add_number(writer, "cpu_ms", record->cpu_ms);
	record_add_number(writer, "max_rss_bytes", record->max_rss_bytes);
	record_add_text(writer, "message", record->message);
}

static bool decode_number(struct exit_record *record, const char *key, uint64_t number)
{
	if (strcmp(key, "exit_code") == 0)
		record->exit_code = (int)number;
	else if (strcmp(key, "signal") == 0)
		record->signal = (int)number;
	else if (strcmp(key, "errnum") == 0)
		record->errnum = (int)number;
	else if (strcmp(key, "started_ms") == 0)
		record->started_ms = (int64_t)number;
	else if (strcmp(key, "ended_ms") == 0)
		record->ended_ms = (int64_t)number;
	else if (strcmp(key, "cpu_ms") == 0)
		record->cpu_ms = number;
	else if (strcmp(key, "max_rss_bytes") == 0)
		record->max_rss_bytes = number;
	else
		return false;
	return true;
}

static bool decode_end(const char *value, struct exit_record *record)
{
	for (size_t i = 0; i < N_ENDS; i++) {
		if (strcmp(value, end_names[i]) != 0)
			continue;
		record->end = (enum attempt_end)i;
		return true;
	}
	return false;
}

bool exit_record_decode(char *bytes, size_t len, struct exit_record *ret)
{
	struct record_reader reader = record_reader(bytes, len);
	struct exit_record record = {0};
	const char *key;
	char *value;
	size_t value_len;
	uint64_t number;
	bool has_end = false, has_message = false;
	int status;

	while ((status = record_next(&reader, &key, &value, &value_len)) > 0) {
		if (strcmp(key, "end") == 0) {
			if (!decode_end(value, &record))
				return false;
			has_end = true;
		} else if (strcmp(key, "command") == 0) {
			snprintf(record.command, sizeof(record.command), "%s", value);
		} else if (strcmp(key, "message") == 0) {
			snprintf(record.message, sizeof(record.message), "%s", value);
			has_message = true; /* the last field: without it the record was cut */
		} else if (!record_number(value, &number) || !decode_number(&record, key, number)) {
			return false;
		}
	}
	if (status < 0 || !has_end || !has_message)
		return false;
	*ret = record;
	return true;
}
