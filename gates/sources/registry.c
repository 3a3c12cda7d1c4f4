#include "gates/sources/source.h"

#include "gates/sources/command/command.h"
#include "gates/sources/json/json.h"
#include "gates/sources/openmetrics/openmetrics.h"
#include "gates/sources/prometheus/prometheus.h"

#include <string.h>

/* One row a kind; the order is that of the manual. */
static const struct source_ops *const rows[] = {&openmetrics_source, &prometheus_source, &json_source, &command_source, NULL};

const struct source_ops *const *source_registry(void)
{
	return rows;
}

const struct source_ops *source_find(const char *kind)
{
	for (const struct source_ops *const *row = rows; *row; row++)
		if (strcmp((*row)->name, kind) == 0)
			return *row;
	return NULL;
}

/* The selectors that numbers of this kind need, whatever the source. */
static const char *missing_selector(const struct analysis_metric *metric)
{
	switch (metric->kind) {
	case METRIC_RATE:
		if (!metric->events || !metric->total)
			return "a rate from a metric source needs `events` and `total`";
		return metric->value || metric->distribution || metric->by
			       ? "a rate has `events` and `total`, and neither `value`, `distribution` nor `by`"
			       : NULL;
	case METRIC_DISTRIBUTION:
		if (!metric->distribution)
			return "a distribution from a metric source needs `distribution`";
		return metric->value || metric->events || metric->total
			       ? "a distribution has `distribution` and `by`, and neither `value`, `events` nor `total`"
			       : NULL;
	case METRIC_MEAN:
		if (!metric->value)
			return "a mean from a metric source needs `value`";
		return metric->distribution || metric->by || metric->events || metric->total
			       ? "a mean has `value`, and neither `distribution`, `by`, `events` nor `total`"
			       : NULL;
	case METRIC_LATENCY:
		break;
	}
	return "latency is judged by the router's own counts: leave `source` out";
}

const char *source_check(const struct source_ops *ops, const struct analysis_metric *metric, char *space, size_t size)
{
	const char *problem = missing_selector(metric);

	return problem ? problem : ops->check(metric, space, size);
}
