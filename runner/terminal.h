/* Text of strangers on its way to a terminal: it may colour its lines, and do nothing else. */
#ifndef RUNNER_TERMINAL_H
#define RUNNER_TERMINAL_H

#include "base/buf.h"

/* Zero-initialise it; it remembers what a chunk ended in the middle of. */
struct terminal_filter {
	enum { TERMINAL_PLAIN, TERMINAL_ESCAPED, TERMINAL_IN_SEQUENCE, TERMINAL_AFTER_C2 /* half a character, perhaps U+0080 to U+009F */ } at;
	char sequence[32];
	size_t len;
};

/* Appends what may be shown of bytes[0..len): printable text, tabs, newlines and whole colour sequences (ESC [ ... m). */
void terminal_filter(struct terminal_filter *filter, const char *bytes, size_t len, struct buf *out);
#endif
