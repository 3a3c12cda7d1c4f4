#include "runner/terminal.h"

#include <string.h>

static void in_sequence(struct terminal_filter *filter, char c, struct buf *out)
{
	bool fits = filter->len < sizeof(filter->sequence) - 1; /* so that it always ends in NUL */
	if (c == 'm' && fits && strspn(filter->sequence, "0123456789;") == filter->len)
		buf_addf(out, "\033[%.*sm", (int)filter->len, filter->sequence);
	if (c == '\n')
		buf_addc(out, c);
	if (c >= '@' || c == '\n')
		filter->at = TERMINAL_PLAIN;
	else if (fits)
		filter->sequence[filter->len++] = c;
}

static void plain(struct terminal_filter *filter, char c, struct buf *out)
{
	if (c == '\xc2')
		filter->at = TERMINAL_AFTER_C2;
	else if (c == '\033')
		filter->at = TERMINAL_ESCAPED;
	else if ((unsigned char)c >= ' ' || c == '\n' || c == '\t')
		buf_addc(out, c == 0x7f ? '?' : c);
}

static void filter_byte(struct terminal_filter *filter, char c, struct buf *out)
{
	switch (filter->at) {
	case TERMINAL_AFTER_C2:
		filter->at = TERMINAL_PLAIN;
		if ((unsigned char)c >= 0x80 && (unsigned char)c <= 0x9f) {
			buf_addc(out, '?'); /* U+009B is as good an escape as ESC [ */
			return;
		}
		buf_addc(out, '\xc2');
		plain(filter, c, out);
		return;
	case TERMINAL_PLAIN:
		plain(filter, c, out);
		return;
	case TERMINAL_ESCAPED:
		filter->at = c == '[' ? TERMINAL_IN_SEQUENCE : TERMINAL_PLAIN;
		memset(filter->sequence, 0, sizeof(filter->sequence));
		filter->len = 0;
		if (c == '\n')
			buf_addc(out, c);
		return;
	case TERMINAL_IN_SEQUENCE:
		in_sequence(filter, c, out);
		return;
	}
}

void terminal_filter(struct terminal_filter *filter, const char *bytes, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i++)
		filter_byte(filter, bytes[i], out);
}
