#include "runner/reason.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define REASON_MAX_BYTES 480
#define TAIL_BYTES 8192

/* A number or a text, as one would say it. */
static void add_value(struct buf *b, const json_t *value)
{
	if (json_is_string(value))
		buf_adds(b, json_string_value(value));
	else if (json_is_real(value))
		buf_addf(b, "%.6g", json_real_value(value));
	else if (json_is_integer(value))
		buf_addf(b, "%lld", (long long)json_integer_value(value));
	else if (value) {
		cleanup_free char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		buf_adds(b, text ? text : "");
	}
}

static bool passed(const json_t *row)
{
	const char *verdict = json_string_or(row, "verdict", "pass");
	return strcmp(verdict, "pass") == 0 || strcmp(verdict, "skip") == 0;
}

/* Cut rather than dropped: the beginning says most. */
static char *finish(struct buf *b)
{
	char *text = buf_steal(b);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	if (strlen(text) > REASON_MAX_BYTES) {
		size_t end = REASON_MAX_BYTES;
		while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
			end--;
		text[end] = '\0';
	}
	return text;
}

static void add_examples(struct buf *b, const json_t *examples)
{
	size_t n = json_array_size(examples);
	for (size_t i = 0; i < n && i < 3; i++) {
		const json_t *example = json_array_get(examples, i);
		buf_adds(b, i == 0 ? ": " : ", ");
		if (json_object_get(example, "line"))
			buf_addf(b, "line %lld ", (long long)json_int_or(example, "line", 0));
		buf_addc(b, '"');
		add_value(b, json_object_get(example, "value"));
		buf_addc(b, '"');
	}
	if (n > 3)
		buf_adds(b, ", ...");
}

/* amount: max 1000000, 3 rows: line 17 "9e9", line 20 "..." (and 2 more checks) */
static char *of_checks(const json_t *checks)
{
	const json_t *first = NULL;
	size_t failing = 0;
	for (size_t i = 0; i < json_array_size(checks); i++)
		if (!passed(json_array_get(checks, i))) {
			first = first ? first : json_array_get(checks, i);
			failing++;
		}
	if (!first)
		return NULL;
	struct buf b;
	buf_init(&b, 1 << 20);
	const char *column = json_string_or(first, "column", "");
	buf_addf(&b, "%s%s%s", column, column[0] ? ": " : "", json_string_or(first, "check", ""));
	if (json_object_get(first, "expected")) {
		buf_addc(&b, ' ');
		add_value(&b, json_object_get(first, "expected"));
	}
	if (json_object_get(first, "observed") && !json_is_null(json_object_get(first, "observed"))) {
		buf_adds(&b, ", found ");
		add_value(&b, json_object_get(first, "observed"));
	}
	int64_t count = json_int_or(first, "count", 0);
	if (count > 0)
		buf_addf(&b, ", %lld row%s", (long long)count, count == 1 ? "" : "s");
	add_examples(&b, json_object_get(first, "examples"));
	if (failing > 1)
		buf_addf(&b, " (and %zu more failing check%s)", failing - 1, failing == 2 ? "" : "s");
	return finish(&b);
}

/* roc_auc >= 0.85: 0.71; log_loss ...: 0.3 (reason) */
static char *of_rules(const json_t *rows)
{
	struct buf b;
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		if (passed(row))
			continue;
		buf_addf(&b, "%s%s: ", b.len ? "; " : "", json_string_or(row, "rule", "rule"));
		const char *reason = json_string_or(row, "reason", "");
		if (reason[0]) {
			buf_adds(&b, reason);
			continue;
		}
		add_value(&b, json_object_get(row, "value"));
		buf_adds(&b, ", bound ");
		add_value(&b, json_object_get(row, "bound"));
	}
	if (b.len == 0) {
		buf_done(&b);
		return NULL;
	}
	return finish(&b);
}

static char *of_metrics(const json_t *metrics)
{
	struct buf b;
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < json_array_size(metrics) && b.len < REASON_MAX_BYTES; i++) {
		const json_t *metric = json_array_get(metrics, i);
		if (json_string_or(metric, "slice", "")[0])
			continue;
		buf_addf(&b, "%s%s ", b.len ? ", " : "", json_string_or(metric, "name", ""));
		add_value(&b, json_object_get(metric, "value"));
	}
	if (b.len == 0) {
		buf_done(&b);
		return NULL;
	}
	return finish(&b);
}

static char *of_good(const char *kind, const json_t *result)
{
	if (strcmp(kind, "validate") == 0)
		return xasprintf("%lld rows, %zu checks passed", (long long)json_int_or(result, "rows", 0),
				 json_array_size(json_object_get(result, "checks")));
	if (strcmp(kind, "gate") == 0)
		return xasprintf("%zu rules passed", json_array_size(json_object_get(result, "rows")));
	if (strcmp(kind, "score") == 0)
		return of_metrics(json_object_get(result, "metrics"));
	if (strcmp(kind, "build") == 0)
		return xasprintf("version %s, %s", json_string_or(result, "version", "?"), json_string_or(result, "digest", "?"));
	return NULL;
}

char *reason_of_result(const char *kind, const json_t *result)
{
	if (!json_is_object(result))
		return NULL;
	const char *given = json_string_or(result, "reason", "");
	if (given[0])
		return xstrdup(given);
	char *bad = of_checks(json_object_get(result, "checks"));
	if (!bad && json_is_array(json_object_get(result, "rows")))
		bad = of_rules(json_object_get(result, "rows"));
	return bad ? bad : of_good(kind, result);
}

char *reason_of_log(const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char tail[TAIL_BYTES + 1];
	if (fd < 0 || fstat(fd, &st) < 0)
		return xstrdup("");
	off_t from = st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0;
	ssize_t len = pread(fd, tail, TAIL_BYTES, from);
	tail[len < 0 ? 0 : len] = '\0';
	for (char *end = tail + strlen(tail); end > tail;) {
		while (end > tail && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' '))
			*--end = '\0';
		char *start = end;
		while (start > tail && start[-1] != '\n')
			start--;
		/* "--- " begins what the leader itself says. */
		if (*start && strncmp(start, "--- ", 4) != 0) {
			struct buf b;
			buf_init(&b, TAIL_BYTES + 1);
			buf_add(&b, start, strnlen(start, 200));
			return finish(&b);
		}
		end = start;
	}
	return xstrdup("");
}
