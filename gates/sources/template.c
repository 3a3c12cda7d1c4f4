#include "gates/sources/template.h"

#include <string.h>

static const char *const names[] = {
#define X(name, text, doc) text,
	TEMPLATE_NAMES(X)
#undef X
};

/* One "{{name}}" at `at`, which begins with "{{": the name, and where the text goes on. */
static int read_name(const char *text, const char *at, enum template_name *ret, const char **ret_next, struct error **err)
{
	const char *end = strstr(at, "}}");
	size_t column = (size_t)(at - text) + 1;

	if (!end)
		return error_set(err, ERROR_INVALID, 0, "column %zu: \"{{\" without \"}}\"", column);
	const char *name = at + 2;
	size_t len = (size_t)(end - name);
	while (len && *name == ' ') {
		name++;
		len--;
	}
	while (len && name[len - 1] == ' ')
		len--;
	for (unsigned i = 0; i < TEMPLATE_N_NAMES; i++) {
		if (strlen(names[i]) != len || memcmp(names[i], name, len) != 0)
			continue;
		*ret = (enum template_name)i;
		*ret_next = end + 2;
		return 0;
	}
	return error_set(err, ERROR_INVALID, 0,
			 "column %zu: nothing is called \"{{%.*s}}\"; there are arm, version, image, instances, addresses, window, from, to", column,
			 (int)(len < 64 ? len : 64), name);
}

int template_names(const char *text, unsigned *ret_names, struct error **err)
{
	unsigned found = 0;

	for (const char *at = text; (at = strstr(at, "{{"));) {
		enum template_name name;
		if (read_name(text, at, &name, &at, err) < 0)
			return -1;
		found |= 1U << name;
	}
	*ret_names = found;
	return 0;
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

static void add_escaped(struct buf *out, const char *value, size_t len, enum template_escape escape)
{
	for (size_t i = 0; i < len; i++) {
		char c = value[i];
		switch (escape) {
		case TEMPLATE_QUOTED:
			if (c == '\\' || c == '"')
				buf_addc(out, '\\');
			if (c == '\n')
				buf_adds(out, "\\n");
			else
				buf_addc(out, c);
			break;
		case TEMPLATE_URL:
			if (is_unreserved(c))
				buf_addc(out, c);
			else
				buf_addf(out, "%%%02X", (unsigned char)c);
			break;
		case TEMPLATE_POINTER:
			if (c == '~' || c == '/')
				buf_adds(out, c == '~' ? "~0" : "~1");
			else
				buf_addc(out, c);
			break;
		case TEMPLATE_PLAIN:
			buf_addc(out, c);
			break;
		}
	}
}

/* "127\.0\.0\.1:20001|127\.0\.0\.1:20002", or with commas and no backslashes. */
static void add_instances(struct buf *out, const struct source_arm *arm, bool expression)
{
	for (size_t i = 0; i < arm->n_instances; i++) {
		if (i)
			buf_addc(out, expression ? '|' : ',');
		for (const char *c = arm->instances[i]; *c; c++) {
			if (expression && strchr("\\.+*?()[]{}|^$", *c))
				buf_addc(out, '\\');
			buf_addc(out, *c);
		}
	}
}

static void add_window(struct buf *out, const struct source_span *span)
{
	long long ms = span->to_ms > span->from_ms ? span->to_ms - span->from_ms : 1; /* PromQL refuses an empty range */

	if (ms % 1000 == 0)
		buf_addf(out, "%llds", ms / 1000);
	else
		buf_addf(out, "%lldms", ms);
}

static void add_time(struct buf *out, int64_t ms)
{
	if (ms < 0)
		ms = 0;
	buf_addf(out, "%lld.%03lld", (long long)ms / 1000, (long long)ms % 1000);
}

static void add_value(struct buf *out, enum template_name name, const struct source_arm *arm, const struct source_span *span)
{
	switch (name) {
	case TEMPLATE_NAME_ARM:
		buf_adds(out, arm->name);
		break;
	case TEMPLATE_NAME_VERSION:
		buf_adds(out, arm->version ? arm->version : "");
		break;
	case TEMPLATE_NAME_IMAGE:
		buf_adds(out, arm->image ? arm->image : "");
		break;
	case TEMPLATE_NAME_INSTANCES:
		add_instances(out, arm, true);
		break;
	case TEMPLATE_NAME_ADDRESSES:
		add_instances(out, arm, false);
		break;
	case TEMPLATE_NAME_WINDOW:
		add_window(out, span);
		break;
	case TEMPLATE_NAME_FROM:
		add_time(out, span->from_ms);
		break;
	case TEMPLATE_NAME_TO:
		add_time(out, span->to_ms);
		break;
	case TEMPLATE_N_NAMES:
		break;
	}
}

int template_expand(const char *text, const struct source_arm *arm, const struct source_span *span, enum template_escape escape, struct buf *out,
		    struct error **err)
{
	const char *at = text, *hole;
	struct buf value cleanup_buf;

	buf_init(&value, out->max);
	while ((hole = strstr(at, "{{"))) {
		enum template_name name;
		buf_add(out, at, (size_t)(hole - at));
		if (read_name(text, hole, &name, &at, err) < 0)
			return -1;
		/* An empty expression would match every series that has no such label. */
		if ((1U << name & TEMPLATE_OF_COPIES) && arm->n_instances == 0)
			return error_set(err, ERROR_UNAVAILABLE, 0, "%s has no ready copy to fill in for \"{{%s}}\"", arm->name, names[name]);
		buf_reset(&value);
		add_value(&value, name, arm, span);
		if (escape == TEMPLATE_URL && (strcmp(value.data, ".") == 0 || strcmp(value.data, "..") == 0))
			return error_set(err, ERROR_INVALID, 0, "\"%s\" for \"{{%s}}\" would lead to another address", value.data, names[name]);
		out->failed = out->failed || value.failed;
		add_escaped(out, value.data, value.len, escape);
	}
	buf_adds(out, at);
	if (out->failed)
		return error_set(err, ERROR_TOO_LARGE, 0, "filled in, the text is longer than %zu bytes", out->max);
	return 0;
}

int source_expand(const char *text, const struct source_arm *arm, const struct source_span *span, struct buf *out, struct error **err)
{
	return template_expand(text, arm, span, TEMPLATE_QUOTED, out, err);
}
