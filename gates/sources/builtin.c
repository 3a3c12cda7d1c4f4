#include "gates/sources/builtin.h"

#include <string.h>

static const struct builtin_metric rows[] = {
#define X(metric_name, metric_kind, from, q, metric_events, metric_total, metric_value, metric_distribution, metric_by, higher, text)                \
	{.name = (metric_name),                                                                                                                      \
	 .doc = (text),                                                                                                                              \
	 .kind = METRIC_##metric_kind,                                                                                                               \
	 .source = (from),                                                                                                                           \
	 .quantile = (q),                                                                                                                            \
	 .events = (metric_events),                                                                                                                  \
	 .total = (metric_total),                                                                                                                    \
	 .value = (metric_value),                                                                                                                    \
	 .distribution = (metric_distribution),                                                                                                      \
	 .by = (metric_by),                                                                                                                          \
	 .higher_is_better = (higher)},
	BUILTIN_METRICS(X)
#undef X
};

#define PART "{{part}}"

const struct builtin_metric *builtin_metrics(size_t *ret_n)
{
	*ret_n = ARRAY_SIZE(rows);
	return rows;
}

static bool takes_part(const struct builtin_metric *row)
{
	return row->name[strlen(row->name) - 1] == '.';
}

const struct builtin_metric *builtin_metric_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = strlen(rows[i].name);
		if (takes_part(&rows[i]) ? strncmp(name, rows[i].name, len) == 0 && name[len] : strcmp(name, rows[i].name) == 0)
			return &rows[i];
	}
	return NULL;
}

/* The part goes into a selector's quoted string: only what needs no escape there, or anywhere else. */
static bool is_plain(const char *part)
{
	return part[strspn(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/-")] == '\0';
}

static const char *with_part(const char *selector, const char *part, struct arena *arena)
{
	const char *hole = selector ? strstr(selector, PART) : NULL;

	if (!hole)
		return selector;
	return arena_printf(arena, "%.*s%s%s", (int)(hole - selector), selector, part, hole + strlen(PART));
}

int builtin_metric_fill(const struct builtin_metric *row, struct analysis_metric *metric, struct arena *arena, struct error **err)
{
	const char *part = takes_part(row) ? metric->metric + strlen(row->name) : "";

	if (!is_plain(part))
		return error_set(err, ERROR_INVALID, 0, "metric \"%s\": \"%s\" must be of letters, digits and any of _ . : / -", metric->metric,
				 part);
	metric->kind = row->kind;
	metric->quantile = row->quantile;
	metric->higher_is_better = row->higher_is_better;
	if (!metric->source)
		metric->source = row->source;
	if (metric->events || metric->total || metric->value || metric->distribution || metric->by)
		return 0;
	metric->events = with_part(row->events, part, arena);
	metric->total = with_part(row->total, part, arena);
	metric->value = with_part(row->value, part, arena);
	metric->distribution = with_part(row->distribution, part, arena);
	metric->by = row->by;
	return 0;
}
