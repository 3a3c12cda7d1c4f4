#include "pipelines/pipeline.h"

#include "base/alloc.h"

#include <string.h>

/* A pattern is run as a nondeterministic automaton, one state a token: patterns and branch names come from strangers, and a
 * backtracking matcher takes exponential time on "*a*a*a*a*b". This one takes pattern length times text length, always. */
enum token_type { T_LITERAL, T_ANY, T_CLASS, T_STAR, T_GLOBSTAR, T_PARTS, T_INSIDE_PARTS, T_END };
struct token {
	enum token_type type;
	unsigned value;     /* LITERAL */
	const char *class;  /* CLASS: just behind its "[" */
};

/* Decodes one character; a byte that is no UTF-8 stands for itself, so that matching never fails. */
static unsigned next_char(const char **text)
{
	const unsigned char *p = (const unsigned char *)*text;
	unsigned value = *p;
	size_t more = value >= 0xf0 && value < 0xf8 ? 3 : value >= 0xe0 ? 2 : value >= 0xc0 ? 1 : 0;

	if (value >= 0xf8)
		more = 0;
	for (size_t i = 1; i <= more; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			more = 0;
			break;
		}
	}
	if (more)
		value &= 0x3fu >> more;
	for (size_t i = 1; i <= more; i++)
		value = value << 6 | (p[i] & 0x3f);
	*text += 1 + more;
	return value;
}

/* The end of a class that starts at p, or NULL if it is not closed (then "[" is an ordinary character). */
static const char *class_end(const char *p)
{
	if (*p == '!' || *p == '^')
		p++;
	if (*p == ']')
		p++;
	while (*p && *p != ']')
		p++;
	return *p ? p : NULL;
}

static bool class_matches(const char *p, unsigned c)
{
	const char *end = class_end(p);
	bool negated = *p == '!' || *p == '^', found = false;

	if (negated)
		p++;
	while (p < end) {
		unsigned low = next_char(&p), high = low;

		if (p + 1 < end && *p == '-') {
			p++;
			high = next_char(&p);
		}
		if (c >= low && c <= high)
			found = true;
	}
	return c != '/' && found != negated;
}

/* Compiles into tokens, at most two a byte of the pattern, and an END. */
static size_t compile(const char *pattern, struct token *tokens)
{
	const char *p = pattern;
	size_t n = 0;

	while (*p) {
		bool at_start = p == pattern || p[-1] == '/';

		if (p[0] == '*' && p[1] == '*' && p[2] == '/' && at_start) {
			tokens[n++] = (struct token){.type = T_PARTS};
			tokens[n++] = (struct token){.type = T_INSIDE_PARTS};
			p += 3;
		} else if (p[0] == '*' && p[1] == '*') {
			tokens[n++] = (struct token){.type = T_GLOBSTAR};
			p += 2;
		} else if (*p == '*') {
			tokens[n++] = (struct token){.type = T_STAR};
			p++;
		} else if (*p == '?') {
			tokens[n++] = (struct token){.type = T_ANY};
			p++;
		} else if (*p == '[' && class_end(p + 1)) {
			tokens[n++] = (struct token){.type = T_CLASS, .class = p + 1};
			p = class_end(p + 1) + 1;
		} else {
			tokens[n++] = (struct token){.type = T_LITERAL, .value = next_char(&p)};
		}
	}
	if (p > pattern && p[-1] == '/') /* "data/" means everything below it */
		tokens[n++] = (struct token){.type = T_GLOBSTAR};
	tokens[n] = (struct token){.type = T_END};
	return n;
}

/* States that are reached without reading a character. */
static void close_states(const struct token *tokens, size_t n, bool *states)
{
	for (size_t i = 0; i < n; i++) {
		if (!states[i])
			continue;
		if (tokens[i].type == T_STAR || tokens[i].type == T_GLOBSTAR)
			states[i + 1] = true;
		if (tokens[i].type == T_PARTS)
			states[i + 1] = states[i + 2] = true;
	}
}

static void step(const struct token *token, size_t i, unsigned c, bool *next)
{
	switch (token->type) {
	case T_LITERAL:
		next[i + 1] |= c == token->value;
		break;
	case T_ANY:
		next[i + 1] |= c != '/';
		break;
	case T_CLASS:
		next[i + 1] |= class_matches(token->class, c);
		break;
	case T_STAR:
		next[i] |= c != '/';
		break;
	case T_GLOBSTAR:
		next[i] = true;
		break;
	case T_INSIDE_PARTS:
		next[i] = true;
		next[i + 1] |= c == '/';
		break;
	case T_PARTS:
	case T_END:
		break;
	}
}

bool glob_match(const char *pattern, const char *text)
{
	size_t room = 2 * strlen(pattern) + 3;
	cleanup_free struct token *tokens = xcalloc(room, sizeof(*tokens));
	cleanup_free bool *memory = xcalloc(2 * room, sizeof(*memory));
	bool *now = memory, *next = memory + room;
	size_t n = compile(pattern, tokens);

	now[0] = true;
	close_states(tokens, n, now);
	while (*text) {
		unsigned c = next_char(&text);
		bool *swap = now;

		memset(next, 0, room * sizeof(*next));
		for (size_t i = 0; i < n; i++) {
			if (now[i])
				step(&tokens[i], i, c, next);
		}
		close_states(tokens, n, next);
		now = next;
		next = swap;
	}
	return now[n];
}

bool globs_match(const struct globs *globs, const char *text)
{
	bool positive = false, matched = false;

	for (size_t i = 0; i < globs->n; i++) {
		const char *pattern = globs->items[i];

		if (pattern[0] == '!') {
			if (glob_match(pattern + 1, text))
				return false;
		} else {
			positive = true;
			matched = matched || glob_match(pattern, text);
		}
	}
	return matched || !positive;
}
