/* Verdicts in words. */
#include "gates/analysis_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

const char *analysis_e_value(double log_e, char space[24])
{
	double tens = floor(log_e / log(10));
	if (tens < 3)
		snprintf(space, 24, "%.3g", exp(log_e));
	else
		snprintf(space, 24, "%.1fe%.0f", exp(log_e - tens * log(10)), tens);
	return space;
}

/* "10.4% against 0% (margin 3 points)". Returns what snprintf returns. */
static int compared(const struct analysis_metric *spec, const struct metric_verdict *metric, char *ret, size_t size)
{
	switch (spec->kind) {
	case METRIC_RATE:
		if (strcmp(metric->test, "rate_ratio") == 0)
			return snprintf(ret, size, "%s: %.3g%% against %.3g%% (ratio %.3g)", metric->metric, 100 * metric->candidate,
					100 * metric->stable, metric->margin);
		return snprintf(ret, size, "%s: %.3g%% against %.3g%% (margin %.3g points)", metric->metric, 100 * metric->candidate,
				100 * metric->stable, 100 * metric->margin);
	case METRIC_LATENCY:
		return snprintf(ret, size, "%s: %.3g ms against %.3g ms (ratio %.3g)", metric->metric, metric->candidate, metric->stable,
				metric->margin);
	case METRIC_DISTRIBUTION:
		return snprintf(ret, size, "%s: a distance of %.3g, between %.3g and %.3g (at most %.3g)", metric->metric, metric->estimate,
				metric->low, metric->high, metric->margin);
	case METRIC_MEAN:
		return snprintf(ret, size, "%s: %.4g against %.4g (margin %.3g)", metric->metric, metric->candidate, metric->stable, metric->margin);
	}
	abort();
}

static void metric_reason(const struct analysis_metric *spec, const struct metric_verdict *metric, char *ret, size_t size)
{
	char worse[24], worse_bound[24], fine[24], fine_bound[24];
	int n = compared(spec, metric, ret, size);
	if (n < 0 || (size_t)n >= size)
		return;
	ret += n;
	size -= (size_t)n;
	analysis_e_value(metric->log_e_worse, worse);
	analysis_e_value(metric->log_threshold_worse, worse_bound);
	analysis_e_value(metric->log_e_fine, fine);
	analysis_e_value(metric->log_threshold_fine, fine_bound);
	/* Of the router's requests, or of what the source counted. */
	const char *what = spec->kind == METRIC_LATENCY || (spec->kind == METRIC_RATE && !spec->source) ? "requests" : "observations";
	if (metric->verdict == VERDICT_WORSE)
		snprintf(ret, size, " over %" PRIu64 " %s, e-value %s >= %s", metric->n_candidate, what, worse, worse_bound);
	else if (metric->verdict == VERDICT_FINE)
		snprintf(ret, size, " over %" PRIu64 " %s of this step, e-value %s >= %s", metric->step_n_candidate, what, fine, fine_bound);
	else
		snprintf(ret, size, " over %" PRIu64 " %s of this step; e-value %s of %s for fine, %s of %s for worse", metric->step_n_candidate,
			 what, fine, fine_bound, worse, worse_bound);
}

static const struct analysis_metric *spec_of(const struct analysis *analysis, const char *name)
{
	for (size_t i = 0; i < analysis->spec->n_metrics; i++)
		if (analysis->spec->metrics[i].metric == name)
			return &analysis->spec->metrics[i];
	return &analysis->spec->metrics[0];
}

static void no_data(const struct analysis *analysis, const struct metric_verdict *worst, char *ret, size_t size)
{
	const struct analysis_metric *spec = worst ? spec_of(analysis, worst->metric) : NULL;
	if (spec && !analysis_is_routers(spec))
		snprintf(ret, size, "no data: %s has had nothing of the %s in this step", worst->metric,
			 worst->step_n_candidate ? "stable release" : "candidate");
	else
		snprintf(ret, size, "no data: the %s has had no requests in this step", analysis->step_candidate ? "stable release" : "candidate");
}

void analysis_reason(const struct analysis *analysis, const struct metric_verdict *worst, struct analysis_verdict *ret)
{
	const size_t size = sizeof(ret->reason);
	switch (ret->verdict) {
	case VERDICT_SPLIT_BROKEN:
		snprintf(ret->reason, size,
			 "traffic is not split as it should be: %" PRIu64 " of %" PRIu64
			 " requests went to the candidate at a share of %.3g%%, p %.2g",
			 analysis->split.n_b, analysis->split.n_a + analysis->split.n_b, analysis->split.ppm / 1e4, ret->split_p);
		break;
	case VERDICT_PROVIDER_ERROR:
		if (worst && !analysis_is_routers(spec_of(analysis, worst->metric)))
			snprintf(ret->reason, size, "%s: its source does not answer: %s", worst->metric, worst->trouble);
		else
			snprintf(ret->reason, size, "the source of the counts does not answer");
		break;
	case VERDICT_NO_DATA:
		no_data(analysis, worst, ret->reason, size);
		break;
	case VERDICT_FINE:
	case VERDICT_UNDECIDED:
	case VERDICT_WORSE:
		if (worst)
			metric_reason(spec_of(analysis, worst->metric), worst, ret->reason, size);
		else
			snprintf(ret->reason, size, "no metric decides: steps are left after their hold time");
		break;
	}
}
