/* Diagnostics as text, with the source line and a caret under the place. */
#include "base/diag.h"
#include "base/utf8.h"

#include <limits.h>

#define TAB_STOP 8
#define MAX_COLUMNS 160  /* an excerpt is cut to this; minified JSON has lines of a megabyte */
#define COLUMNS_BEFORE 80 /* kept before the caret when the line is cut in front */

struct line {
	const char *text;
	size_t len;
};

static bool find_line(const char *source, unsigned number, struct line *ret)
{
	if (strncmp(source, "\xef\xbb\xbf", 3) == 0) /* A byte order mark counts for no column. */
		source += 3;
	for (unsigned i = 1; number > 0; i++) {
		size_t len = strcspn(source, "\n");
		if (i == number) {
			*ret = (struct line){source, len > 0 && source[len - 1] == '\r' ? len - 1 : len};
			return true;
		}
		if (!source[len])
			return false;
		source += len + 1;
	}
	return false;
}

/* One character as it is shown: tabs become spaces, what would disturb the terminal becomes U+FFFD. */
struct shown {
	size_t bytes; /* in the source */
	const char *text;
	size_t len;
	unsigned width;
};

static struct shown show(const char *text, size_t len, unsigned at_column)
{
	static const char spaces[TAB_STOP + 1] = "        ";
	uint32_t c;
	size_t n = utf8_decode(text, len, &c);
	if (n == 1 && c == '\t') {
		unsigned width = TAB_STOP - at_column % TAB_STOP;
		return (struct shown){1, spaces, width, width};
	}
	if (n == 0 || utf8_is_unprintable(c))
		return (struct shown){n ? n : 1, UTF8_REPLACEMENT, 3, 1};
	return (struct shown){n, text, n, utf8_width(c)};
}

/* Display column (0-based) where the character with this 1-based number starts; the line's end for any beyond it. */
static unsigned display_column(struct line line, unsigned character)
{
	unsigned column = 0, number = 1;
	for (size_t i = 0; number < character && i < line.len; number++) {
		struct shown s = show(line.text + i, line.len - i, column);
		column += s.width;
		i += s.bytes;
	}
	return column;
}

/* Adds the columns [first, last) of the line. */
static void add_columns(struct buf *out, struct line line, unsigned first, unsigned last)
{
	unsigned column = 0;
	for (size_t i = 0; i < line.len;) {
		struct shown s = show(line.text + i, line.len - i, column);
		if (column >= first && column + s.width <= last)
			buf_add(out, s.text, s.len);
		column += s.width;
		i += s.bytes;
		if (column >= last)
			break;
	}
}

static void add_excerpt(struct buf *out, const struct diag *d, struct line line, bool color)
{
	unsigned start = display_column(line, d->column ? d->column : 1);
	unsigned end = d->end_column > d->column ? display_column(line, d->end_column) : start + 1;
	unsigned whole = display_column(line, UINT_MAX);
	unsigned first = whole > MAX_COLUMNS && start > COLUMNS_BEFORE ? start - COLUMNS_BEFORE : 0;
	unsigned last = whole > first + MAX_COLUMNS ? first + MAX_COLUMNS : whole;
	if (end > last)
		end = last > start ? last : start + 1;

	buf_addf(out, "%5u | %s", d->line, first ? "..." : "");
	add_columns(out, line, first, last);
	buf_addf(out, "%s\n", last < whole ? "..." : "");
	if (!d->column)
		return;
	char number[16];
	int width = snprintf(number, sizeof(number), "%5u", d->line);
	buf_addf(out, "%*s | %*s%s^", width, "", (int)(start - first + (first ? 3 : 0)), "", color ? "\033[1;32m" : "");
	for (unsigned i = start + 1; i < end; i++)
		buf_addc(out, '~');
	buf_addf(out, "%s\n", color ? "\033[0m" : "");
}

static void add_one(struct buf *out, const struct diag *d, const char *source, bool color)
{
	const char *bold = color ? "\033[1m" : "", *off = color ? "\033[0m" : "";
	const char *tint = !color ? "" : d->severity == DIAG_ERROR ? "\033[1;31m" : "\033[1;35m";
	buf_adds(out, bold);
	if (d->file)
		buf_addf(out, "%s:", d->file);
	if (d->line)
		buf_addf(out, "%u:", d->line);
	if (d->line && d->column)
		buf_addf(out, "%u:", d->column);
	buf_addf(out, "%s%s%s%s:%s %s", off, d->file || d->line ? " " : "", tint, d->severity == DIAG_ERROR ? "error" : "warning", off,
		 d->message ? d->message : "");
	if (d->hint)
		buf_addf(out, "; %s", d->hint);
	buf_addc(out, '\n');
	struct line line;
	if (source && find_line(source, d->line, &line))
		add_excerpt(out, d, line, color);
}

void diag_print(const struct diag_list *list, const char *source, bool color, struct buf *out)
{
	for (size_t i = 0; i < diag_count(list); i++)
		add_one(out, diag_at(list, i), source, color);
}
