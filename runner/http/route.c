#include "runner/http/http_priv.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *url_decode(const char *text, size_t len)
{
	cleanup_free char *out = xcalloc(1, len + 1);
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];
		if (c == '%') {
			int high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
			if (low < 0)
				return NULL;
			c = high << 4 | low;
			i += 2;
		}
		if (c < ' ' || c == 0x7f)
			return NULL;
		out[n++] = (char)c;
	}
	return utf8_valid_prefix(out, n) == n ? STEAL(out) : NULL;
}

void route_match_done(struct route_match *match)
{
	for (size_t i = 0; i < match->n_params; i++)
		free(match->params[i].value);
	match->n_params = 0;
}

/* Does the path have the pattern's shape? Without decoding: the slashes count as they came. */
static bool has_shape(const char *pattern, const char *path)
{
	for (;;) {
		size_t want = strcspn(pattern, "/"), got = strcspn(path, "/");
		bool any = pattern[0] == ':';
		if (any ? got == 0 : want != got || memcmp(pattern, path, want) != 0)
			return false;
		pattern += want;
		path += got;
		if (!*pattern || !*path)
			return *pattern == *path;
		pattern++;
		path++;
	}
}

static bool take_params(const char *pattern, const char *path, struct route_match *ret)
{
	for (;; pattern++, path++) {
		size_t want = strcspn(pattern, "/"), got = strcspn(path, "/");
		if (pattern[0] == ':' && ret->n_params < HTTP_MAX_PARAMS) {
			char *value = url_decode(path, got);
			if (!value)
				return false;
			ret->params[ret->n_params].name = pattern + 1;
			ret->params[ret->n_params].name_len = want - 1;
			ret->params[ret->n_params++].value = value;
		}
		pattern += want;
		path += got;
		if (!*pattern)
			return true;
	}
}

void route_find(const struct http_route *routes, const char *method, const char *path, struct route_match *ret)
{
	const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
	*ret = (struct route_match){.status = 404};
	for (const struct http_route *route = routes; route->method; route++) {
		if (!has_shape(route->pattern, path))
			continue;
		if (strcmp(route->method, wanted) == 0) {
			if (take_params(route->pattern, path, ret)) {
				ret->route = route;
				ret->status = 0;
				return;
			}
			route_match_done(ret);
			ret->status = 400;
			return;
		}
		size_t len = strlen(ret->allow);
		snprintf(ret->allow + len, sizeof(ret->allow) - len, "%s%s", len ? ", " : "", route->method);
		ret->status = 405;
	}
}
