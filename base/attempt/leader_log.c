#include "base/attempt/leader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 64 << 10, OUT_BYTES = 64 << 10, PARTIAL_MS = 200, FRAME_MS = 10000, LAST_LINE = 200, NO_FRAME = -1 };

struct leader_log {
	int fd;
	uint64_t head_left; /* bytes that may still be written as they come */
	char *tail;         /* a ring with the last bytes of what came after */
	size_t tail_size, tail_len, tail_at;
	uint64_t beyond; /* bytes that came after the head was full */
	char out[OUT_BYTES];
	size_t out_len;
	uint64_t unwritten; /* bytes lost to a failing write, not yet told */
	int write_errno;

	char line[LINE_MAX_BYTES]; /* the line being received */
	size_t line_len;
	bool after_cr; /* the last byte was a carriage return: a new frame or the end of a DOS line */
	bool frames;   /* this line has been rewritten */
	bool shown;    /* a part of this line is in the log already */
	uint64_t touched_ms, frame_ms;
	char last[LAST_LINE];
};

struct leader_log *leader_log_open(int dir_fd, uint64_t max_bytes)
{
	int fd = openat(dir_fd, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

	if (fd < 0)
		return NULL;
	struct leader_log *log = must_alloc(sizeof(*log));
	log->fd = fd;
	log->tail_size = (size_t)(max_bytes / 4 < (1 << 20) ? max_bytes / 4 : 1 << 20);
	log->head_left = max_bytes - log->tail_size;
	log->tail = must_alloc(log->tail_size + 1);
	return log;
}

/* A full disk costs log lines, never the run: what could not be written is counted and told when writing works again. */
static void write_out(struct leader_log *log)
{
	size_t at = 0;

	if (log->unwritten > 0 && log->out_len > 0) {
		char text[160];
		int n = snprintf(text, sizeof(text), "\n--- %" PRIu64 " bytes of log could not be written: %s\n", log->unwritten,
				 strerror(log->write_errno));
		if (!write_whole(log->fd, text, (size_t)n)) {
			log->unwritten += log->out_len;
			log->out_len = 0;
			return;
		}
		log->unwritten = 0;
	}
	while (at < log->out_len) {
		ssize_t n = write(log->fd, log->out + at, log->out_len - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			log->write_errno = errno;
			log->unwritten += log->out_len - at;
			break;
		}
		at += (size_t)n;
	}
	log->out_len = 0;
}

static void put_out(struct leader_log *log, const char *bytes, size_t len)
{
	while (len > 0) {
		if (log->out_len == OUT_BYTES)
			write_out(log);
		size_t room = OUT_BYTES - log->out_len, n = len < room ? len : room;
		memcpy(log->out + log->out_len, bytes, n);
		log->out_len += n;
		bytes += n;
		len -= n;
	}
}

static void put_tail(struct leader_log *log, const char *bytes, size_t len)
{
	log->beyond += len;
	if (log->tail_size == 0)
		return;
	if (len > log->tail_size) {
		bytes += len - log->tail_size;
		len = log->tail_size;
	}
	while (len > 0) {
		size_t room = log->tail_size - log->tail_at, n = len < room ? len : room;
		memcpy(log->tail + log->tail_at, bytes, n);
		log->tail_at = (log->tail_at + n) % log->tail_size;
		log->tail_len = log->tail_len + n < log->tail_size ? log->tail_len + n : log->tail_size;
		bytes += n;
		len -= n;
	}
}

static void put(struct leader_log *log, const char *bytes, size_t len)
{
	static const char notice[] = "\n--- the log has reached its limit; of what follows only the end will be kept\n";
	size_t n = len < log->head_left ? len : (size_t)log->head_left;

	put_out(log, bytes, n);
	log->head_left -= n;
	if (n == len)
		return;
	if (log->beyond == 0)
		put_out(log, notice, sizeof(notice) - 1);
	put_tail(log, bytes + n, len - n);
}

static void show_line(struct leader_log *log)
{
	if (log->line_len == 0)
		return;
	size_t n = log->line_len < LAST_LINE - 1 ? log->line_len : LAST_LINE - 1;
	memcpy(log->last, log->line, n);
	log->last[n] = '\0';
	put(log, log->line, log->line_len);
	log->line_len = 0;
}

static void finish_line(struct leader_log *log)
{
	show_line(log);
	put(log, "\n", 1);
	log->after_cr = log->frames = log->shown = false;
}

/* A carriage return was followed by more text: what stood there is overwritten. */
static void begin_frame(struct leader_log *log, uint64_t now_ms)
{
	if (log->shown)
		put(log, "\n", 1);
	if (!log->frames)
		log->frame_ms = now_ms;
	log->shown = false;
	log->frames = true;
	log->after_cr = false;
	log->line_len = 0;
}

static void add_to_line(struct leader_log *log, const char *bytes, size_t len)
{
	while (len > 0) {
		if (log->line_len == LINE_MAX_BYTES) {
			show_line(log);
			log->shown = true;
		}
		size_t room = LINE_MAX_BYTES - log->line_len, n = len < room ? len : room;
		memcpy(log->line + log->line_len, bytes, n);
		log->line_len += n;
		bytes += n;
		len -= n;
	}
}

void leader_log_text(struct leader_log *log, const char *bytes, size_t len, uint64_t now_ms)
{
	const char *at = bytes, *end = bytes + len;

	log->touched_ms = now_ms;
	while (at < end) {
		if (log->after_cr && *at == '\r') {
			at++;
			continue;
		}
		if (log->after_cr && *at != '\n')
			begin_frame(log, now_ms);
		const char *stop = at;
		while (stop < end && *stop != '\n' && *stop != '\r')
			stop++;
		add_to_line(log, at, (size_t)(stop - at));
		at = stop;
		if (at == end)
			break;
		if (*at == '\n')
			finish_line(log);
		else
			log->after_cr = true;
		at++;
	}
}

void leader_log_end_line(struct leader_log *log)
{
	if (log->line_len > 0 || log->shown)
		finish_line(log);
	log->after_cr = log->frames = false;
}

void leader_log_note(struct leader_log *log, const char *fmt, ...)
{
	char text[600];
	va_list args;

	leader_log_end_line(log);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	put(log, "--- ", 4);
	put(log, text, strlen(text));
	put(log, "\n", 1);
	write_out(log);
}

int leader_log_tick(struct leader_log *log, uint64_t now_ms)
{
	int again = -1;

	if (log->line_len > 0 && log->frames) {
		/* A progress bar that never ends a line still shows that it lives. */
		if (now_ms - log->frame_ms >= FRAME_MS) {
			show_line(log);
			put(log, "\n", 1);
			log->frame_ms = now_ms;
		} else {
			again = (int)(FRAME_MS - (now_ms - log->frame_ms));
		}
	} else if (log->line_len > 0 && !log->after_cr) {
		if (now_ms - log->touched_ms >= PARTIAL_MS) {
			show_line(log);
			log->shown = true;
		} else {
			again = (int)(PARTIAL_MS - (now_ms - log->touched_ms));
		}
	}
	write_out(log);
	return again;
}

const char *leader_log_last_line(const struct leader_log *log)
{
	return log->last;
}

void leader_log_close(struct leader_log *log)
{
	if (!log)
		return;
	leader_log_end_line(log);
	if (log->beyond > log->tail_len) {
		char text[80];
		int n = snprintf(text, sizeof(text), "--- %" PRIu64 " bytes were dropped here\n", log->beyond - log->tail_len);
		put_out(log, text, (size_t)n);
	}
	if (log->tail_len > 0) {
		size_t start = log->tail_len < log->tail_size ? 0 : log->tail_at;
		put_out(log, log->tail + start, log->tail_len - start);
		put_out(log, log->tail, start);
	}
	write_out(log);
	close(log->fd);
	free(log->tail);
	free(log);
}
