#include "base/log.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <stdarg.h>

#define LINE_MAX_BYTES 8192

static enum log_level least_level = LOG_INFO;

void log_set_level(enum log_level least)
{
	least_level = least;
}

/* One event is one line, whatever is in it: text from outside must not be able to forge a second one. */
static void add_one_line(struct buf *line, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			buf_addf(line, "\\x%02x", *p);
		else
			buf_addc(line, (char)*p);
	}
}

void log_write(enum log_level level, const char *subject, const char *fmt, ...)
{
	static const char *const words[] = {[LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARNING] = "warning", [LOG_ERROR] = "error"};
	if (level < least_level)
		return;
	char message[LINE_MAX_BYTES / 2];
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);

	char stamp[RFC3339_SIZE];
	clock_rfc3339(clock_wall_ms(), stamp);
	cleanup_buf struct buf line;
	buf_init(&line, (size_t)4 * LINE_MAX_BYTES);
	buf_addf(&line, "%s %s ", stamp, words[level]);
	add_one_line(&line, subject);
	buf_addc(&line, ' ');
	add_one_line(&line, message);
	buf_adds(&line, len >= (int)sizeof(message) ? " [cut]\n" : "\n");
	/* One write, so that lines of several processes do not mix. There is nobody to tell if it fails. */
	ssize_t ignored = write(STDERR_FILENO, line.data, line.len);
	(void)ignored;
}
