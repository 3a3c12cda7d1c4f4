#include "gates/sources/openmetrics/selector.h"

#include "base/alloc.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MAX_MATCHERS = 32, MAX_ALTERNATIVES = 8, MATCH_LIMIT = 100000 };

struct matcher {
	char *label, *value;
	bool negated;
	pcre2_code *expression; /* or NULL */
};
struct alternative {
	char *family, *conditions;
	struct matcher matchers[MAX_MATCHERS];
	size_t n_matchers;
};
struct selector {
	struct alternative *alternatives;
	size_t n;
};

void selector_free(struct selector *selector)
{
	if (!selector)
		return;
	for (size_t i = 0; i < selector->n; i++) {
		struct alternative *alternative = &selector->alternatives[i];
		for (size_t j = 0; j < alternative->n_matchers; j++) {
			free(alternative->matchers[j].label);
			free(alternative->matchers[j].value);
			pcre2_code_free(alternative->matchers[j].expression);
		}
		free(alternative->family);
		free(alternative->conditions);
	}
	free(selector->alternatives);
	free(selector);
}

struct cursor {
	const char *text, *at;
};

static int fail(const struct cursor *c, struct error **err, const char *expected)
{
	size_t len = strcspn(c->at, " ");

	return error_set(err, ERROR_INVALID, 0, "column %zu: expected %s, found \"%.*s\"", (size_t)(c->at - c->text) + 1, expected,
			 (int)(len < 40 ? len : 40), c->at);
}

static void skip_blanks(struct cursor *c)
{
	while (*c->at == ' ' || *c->at == '\t' || *c->at == '\n')
		c->at++;
}

static char *take_name(struct cursor *c, bool colon)
{
	size_t len = 0;

	for (char ch; (ch = c->at[len]); len++)
		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_' || (colon && ch == ':') || (len && ch >= '0' && ch <= '9')))
			break;
	char *name = len ? xstrndup(c->at, len) : NULL;
	c->at += len;
	return name;
}

static char *take_quoted(struct cursor *c, struct error **err)
{
	if (*c->at != '"') {
		fail(c, err, "a quoted value");
		return NULL;
	}
	cleanup_free char *value = xcalloc(strlen(c->at), 1);
	size_t len = 0;
	c->at++;
	while (*c->at && *c->at != '"') {
		if (*c->at == '\\') {
			c->at++;
			if (!*c->at || !strchr("\\\"n", *c->at)) {
				fail(c, err, "\\\\, \\\" or \\n after a backslash (a backslash of an expression is written twice)");
				return NULL;
			}
			value[len++] = *c->at == 'n' ? '\n' : *c->at;
			c->at++;
			continue;
		}
		value[len++] = *c->at++;
	}
	if (!*c->at) {
		fail(c, err, "a closing quote");
		return NULL;
	}
	c->at++;
	return STEAL(value);
}

static int compile(const struct cursor *c, struct matcher *matcher, struct error **err)
{
	int code;
	PCRE2_SIZE offset;
	PCRE2_UCHAR message[128];

	matcher->expression = pcre2_compile((PCRE2_SPTR)matcher->value, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED, &code,
					    &offset, NULL);
	if (matcher->expression)
		return 0;
	pcre2_get_error_message(code, message, sizeof(message));
	return error_set(err, ERROR_INVALID, 0, "column %zu: the expression for label \"%s\": %s", (size_t)(c->at - c->text) + 1, matcher->label,
			 (const char *)message);
}

static int take_matcher(struct cursor *c, struct alternative *alternative, struct error **err)
{
	if (alternative->n_matchers == MAX_MATCHERS)
		return error_set(err, ERROR_INVALID, 0, "column %zu: more than %d conditions", (size_t)(c->at - c->text) + 1, MAX_MATCHERS);
	struct matcher *matcher = &alternative->matchers[alternative->n_matchers];
	matcher->label = take_name(c, false);
	if (!matcher->label)
		return fail(c, err, "a label's name");
	alternative->n_matchers++;
	skip_blanks(c);
	matcher->negated = *c->at == '!';
	bool expression = (c->at[0] == '=' || c->at[0] == '!') && c->at[1] == '~';
	if (!expression && strncmp(c->at, "!=", 2) != 0 && *c->at != '=')
		return fail(c, err, "=, !=, =~ or !~");
	c->at += matcher->negated || expression ? 2 : 1;
	skip_blanks(c);
	matcher->value = take_quoted(c, err);
	if (!matcher->value)
		return -1;
	return expression ? compile(c, matcher, err) : 0;
}

static int take_matchers(struct cursor *c, struct alternative *alternative, struct error **err)
{
	if (*c->at != '{')
		return 0;
	const char *begin = ++c->at;
	for (;;) {
		skip_blanks(c);
		if (*c->at == '}')
			break;
		if (take_matcher(c, alternative, err) < 0)
			return -1;
		skip_blanks(c);
		if (*c->at == ',')
			c->at++;
		else if (*c->at != '}')
			return fail(c, err, "\",\" or \"}\"");
	}
	size_t len = (size_t)(c->at - begin);
	while (len && strchr(" \t\n,", begin[len - 1]))
		len--;
	alternative->conditions = xstrndup(begin, len);
	c->at++;
	skip_blanks(c);
	return 0;
}

int selector_parse(const char *text, struct selector **ret, struct error **err)
{
	struct selector *selector CLEANUP(selector_free) = xcalloc(1, sizeof(*selector));
	struct cursor c = {text, text};

	selector->alternatives = xcalloc(MAX_ALTERNATIVES, sizeof(*selector->alternatives));
	for (;;) {
		skip_blanks(&c);
		if (selector->n == MAX_ALTERNATIVES)
			return error_set(err, ERROR_INVALID, 0, "column %zu: more than %d alternatives", (size_t)(c.at - text) + 1, MAX_ALTERNATIVES);
		struct alternative *alternative = &selector->alternatives[selector->n];
		alternative->family = take_name(&c, true);
		if (!alternative->family)
			return fail(&c, err, "the name of a metric family");
		selector->n++;
		skip_blanks(&c);
		if (take_matchers(&c, alternative, err) < 0)
			return -1;
		if (!*c.at)
			break;
		if (*c.at != '|')
			return fail(&c, err, "\"{\", \"|\" or the end");
		c.at++;
	}
	*ret = STEAL(selector);
	return 0;
}

size_t selector_count(const struct selector *selector)
{
	return selector->n;
}

const char *selector_family(const struct selector *selector, size_t alternative)
{
	return selector->alternatives[alternative].family;
}

const char *selector_conditions(const struct selector *selector, size_t alternative)
{
	const char *conditions = selector->alternatives[alternative].conditions;

	return conditions ? conditions : "";
}

static int matches(const struct matcher *matcher, const char *value, bool *ret, struct error **err)
{
	if (!matcher->expression) {
		*ret = (strcmp(matcher->value, value) == 0) != matcher->negated;
		return 0;
	}
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	pcre2_match_context *context = pcre2_match_context_create(NULL);
	if (!data || !context)
		abort();
	pcre2_set_match_limit(context, MATCH_LIMIT);
	int result = pcre2_match(matcher->expression, (PCRE2_SPTR)value, strlen(value), 0, 0, data, context);
	pcre2_match_context_free(context);
	pcre2_match_data_free(data);
	if (result < 0 && result != PCRE2_ERROR_NOMATCH)
		return error_set(err, ERROR_INVALID, 0, "the expression \"%s\" for label \"%s\" takes too long for \"%.60s\"", matcher->value,
				 matcher->label, value);
	*ret = (result >= 0) != matcher->negated;
	return 0;
}

int selector_matches(const struct selector *selector, size_t alternative, const struct page_sample *sample, bool *ret, struct error **err)
{
	const struct alternative *wanted = &selector->alternatives[alternative];
	bool all = true;

	for (size_t i = 0; all && i < wanted->n_matchers; i++) {
		const char *value = page_label_value(sample, wanted->matchers[i].label);
		if (matches(&wanted->matchers[i], value ? value : "", &all, err) < 0) /* as in PromQL: no label is an empty one */
			return -1;
	}
	*ret = all;
	return 0;
}

const char *selector_by(const char *by, size_t alternative, struct arena *arena)
{
	const char *at = by ? by : "le";

	if (!strchr(at, '|'))
		return at;
	for (; alternative && strchr(at, '|'); alternative--)
		at = strchr(at, '|') + 1;
	return arena_strndup(arena, at, strcspn(at, "|"));
}
