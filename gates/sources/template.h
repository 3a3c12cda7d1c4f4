/* "{{name}}" in selectors, addresses and arguments of metric sources: what is filled in for each arm, and how it is escaped where it
 * lands. source_expand() (source.h) is the form for PromQL. */
#ifndef GATES_SOURCES_TEMPLATE_H
#define GATES_SOURCES_TEMPLATE_H

#include "base/buf.h"
#include "gates/sources/source.h"

#define TEMPLATE_NAMES(X)                                                                                                                            \
	X(ARM, "arm", "stable or candidate")                                                                                                         \
	X(VERSION, "version", "the release's version")                                                                                               \
	X(IMAGE, "image", "the release's image, name@digest")                                                                                        \
	X(INSTANCES, "instances", "a regular expression that matches the addresses of the arm's ready copies")                                       \
	X(ADDRESSES, "addresses", "the same addresses with commas between them")                                                                     \
	X(WINDOW, "window", "the time since the last reading, as PromQL writes it: 30s, 5250ms")                                                     \
	X(FROM, "from", "when that time began, Unix seconds with milliseconds")                                                                      \
	X(TO, "to", "when it ended")
enum template_name {
#define X(name, text, doc) TEMPLATE_NAME_##name,
	TEMPLATE_NAMES(X)
#undef X
		TEMPLATE_N_NAMES
};
/* Sets of names, as bits. */
#define TEMPLATE_BIT(name) (1U << TEMPLATE_NAME_##name)
#define TEMPLATE_OF_ARM (TEMPLATE_BIT(ARM) | TEMPLATE_BIT(VERSION) | TEMPLATE_BIT(IMAGE) | TEMPLATE_BIT(INSTANCES) | TEMPLATE_BIT(ADDRESSES))
#define TEMPLATE_OF_COPIES (TEMPLATE_BIT(INSTANCES) | TEMPLATE_BIT(ADDRESSES)) /* nothing to fill in when the arm has no ready copy */
#define TEMPLATE_OF_SPAN (TEMPLATE_BIT(WINDOW) | TEMPLATE_BIT(FROM) | TEMPLATE_BIT(TO))

enum template_escape {
	TEMPLATE_QUOTED,  /* inside a double-quoted string of PromQL or of a selector */
	TEMPLATE_URL,     /* percent-encoded (RFC 3986, all but the unreserved characters) */
	TEMPLATE_POINTER, /* inside a part of a JSON pointer (RFC 6901) */
	TEMPLATE_PLAIN,   /* an argument of its own: nothing to escape */
};

/* Which names the text uses. INVALID: an unknown name or a "{{" without "}}", naming the column. */
int template_names(const char *text, unsigned *ret_names, struct error **err) must_check;
/* Appends to `out`. INVALID as above; UNAVAILABLE: the arm has no ready copy and the text names them; TOO_LARGE: `out` is full. */
int template_expand(const char *text, const struct source_arm *arm, const struct source_span *span, enum template_escape escape, struct buf *out,
		    struct error **err) must_check;
#endif
