#include "gates/analysis_priv.h"

#include "gates/stats/holm.h"

#include <inttypes.h>
#include <math.h>

/* How bad a verdict is; the worst of the deciding metrics is the whole's. */
static int severity(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_FINE:
		return 0;
	case VERDICT_UNDECIDED:
		return 1;
	case VERDICT_NO_DATA:
		return 2;
	case VERDICT_PROVIDER_ERROR:
		return 3;
	case VERDICT_SPLIT_BROKEN:
		return 4;
	case VERDICT_WORSE:
		return 5;
	}
	abort();
}

static double rate(const struct arm_counts *arm)
{
	return arm->completed ? (double)arm->errors / (double)arm->completed : (double)NAN;
}

/* A latency metric's number: latency_p50 ... latency_p99, latency_p999, or the mean. */
static double latency(const struct arm_counts *arm, const char *metric)
{
	if (strcmp(metric, "latency_mean") == 0)
		return arm->completed ? (double)arm->latency_sum_us / 1000.0 / (double)arm->completed : (double)NAN;
	if (strncmp(metric, "latency_p", 9) != 0)
		return (double)NAN;
	double q = 0, unit = 0.1;
	const char *digit = metric + 9;
	for (; *digit >= '0' && *digit <= '9'; digit++, unit /= 10)
		q += (*digit - '0') * unit;
	return *digit || digit == metric + 9 ? (double)NAN : latency_quantile_ms(arm, q);
}

static enum verdict state_of_data(const struct analysis *analysis)
{
	if (!analysis->provider_answers)
		return VERDICT_PROVIDER_ERROR;
	return analysis->step_stable && analysis->step_candidate ? VERDICT_UNDECIDED : VERDICT_NO_DATA;
}

static void fill_metric(const struct analysis *analysis, size_t i, struct metric_verdict *ret)
{
	const struct analysis_metric *metric = &analysis->spec->metrics[i];
	const struct metric_state *state = &analysis->metrics[i];
	bool is_rate = strcmp(metric->metric, "error_rate") == 0;
	*ret = (struct metric_verdict){
		.metric = metric->metric,
		.verdict = state_of_data(analysis),
		.informational = !state->decides,
		.stable = is_rate ? rate(&analysis->stable) : latency(&analysis->stable, metric->metric),
		.candidate = is_rate ? rate(&analysis->candidate) : latency(&analysis->candidate, metric->metric),
		.margin = metric->margin,
		.n_stable = analysis->stable.completed,
		.n_candidate = analysis->candidate.completed,
	};
	if (!state->decides && isnan(ret->candidate) && ret->verdict == VERDICT_UNDECIDED)
		ret->verdict = VERDICT_NO_DATA;
}

/* Harm: Holm over the largest e-values of all deciding metrics. Safety: each at alpha, in this step. */
static void decide(const struct analysis *analysis, struct analysis_verdict *ret)
{
	double log_max[ROLLOUT_MAX_METRICS] = {0}, threshold[ROLLOUT_MAX_METRICS];
	bool rejected[ROLLOUT_MAX_METRICS];
	size_t index[ROLLOUT_MAX_METRICS], n = 0;
	for (size_t i = 0; i < ret->n_metrics; i++) {
		if (analysis->metrics[i].decides) {
			log_max[n] = analysis->metrics[i].worse.log_max;
			index[n++] = i;
		}
	}
	holm(log_max, n, analysis->alpha, threshold, rejected);
	for (size_t k = 0; k < n; k++) {
		const struct metric_state *state = &analysis->metrics[index[k]];
		struct metric_verdict *metric = &ret->metrics[index[k]];
		metric->log_e_worse = log_max[k];
		metric->log_threshold_worse = threshold[k];
		metric->log_e_fine = state->fine.log_max;
		metric->log_threshold_fine = log(1 / analysis->alpha);
		if (rejected[k])
			metric->verdict = VERDICT_WORSE;
		else if (metric->verdict == VERDICT_UNDECIDED && metric->log_e_fine >= metric->log_threshold_fine)
			metric->verdict = VERDICT_FINE;
	}
}

/* "4.1e3", also where e^x would overflow. */
static const char *e_value(double log_e, char space[24])
{
	double tens = floor(log_e / log(10));
	if (tens < 3)
		snprintf(space, 24, "%.3g", exp(log_e));
	else
		snprintf(space, 24, "%.1fe%.0f", exp(log_e - tens * log(10)), tens);
	return space;
}

static void metric_reason(const struct analysis_verdict *verdict, const struct metric_verdict *metric, char *ret, size_t size)
{
	char worse[24], worse_bound[24], fine[24], fine_bound[24];
	e_value(metric->log_e_worse, worse);
	e_value(metric->log_threshold_worse, worse_bound);
	e_value(metric->log_e_fine, fine);
	e_value(metric->log_threshold_fine, fine_bound);
	int n = snprintf(ret, size, "%s: %.3g%% against %.3g%% (margin %.3g points)", metric->metric, 100 * metric->candidate,
			 100 * metric->stable, 100 * metric->margin);
	if (n < 0 || (size_t)n >= size)
		return;
	char *rest = ret + n;
	size -= (size_t)n;
	if (metric->verdict == VERDICT_WORSE)
		snprintf(rest, size, " over %" PRIu64 " requests, e-value %s >= %s", metric->n_candidate, worse, worse_bound);
	else if (metric->verdict == VERDICT_FINE)
		snprintf(rest, size, " over %" PRIu64 " requests of this step, e-value %s >= %s", verdict->step_candidate_requests, fine,
			 fine_bound);
	else
		snprintf(rest, size, " over %" PRIu64 " requests of this step; e-value %s of %s for fine, %s of %s for worse",
			 verdict->step_candidate_requests, fine, fine_bound, worse, worse_bound);
}

static void reason(const struct analysis *analysis, const struct metric_verdict *worst, struct analysis_verdict *ret)
{
	const size_t size = sizeof(ret->reason);
	switch (ret->verdict) {
	case VERDICT_SPLIT_BROKEN:
		snprintf(ret->reason, size,
			 "traffic is not split as it should be: %" PRIu64 " of %" PRIu64 " requests went to the candidate at a share of %.3g%%, p %.2g",
			 analysis->split.n_b, analysis->split.n_a + analysis->split.n_b, analysis->split.ppm / 1e4, ret->split_p);
		break;
	case VERDICT_PROVIDER_ERROR:
		snprintf(ret->reason, size, "the source of the counts does not answer");
		break;
	case VERDICT_NO_DATA:
		snprintf(ret->reason, size, "no data: the %s has had no requests in this step",
			 analysis->step_candidate ? "stable release" : "candidate");
		break;
	case VERDICT_FINE:
	case VERDICT_UNDECIDED:
	case VERDICT_WORSE:
		if (worst)
			metric_reason(ret, worst, ret->reason, size);
		else
			snprintf(ret->reason, size, "no metric decides: steps are left after their hold time");
		break;
	}
}

void analysis_verdict(const struct analysis *analysis, struct analysis_verdict *ret)
{
	*ret = (struct analysis_verdict){
		.verdict = VERDICT_FINE,
		.n_metrics = analysis->spec->n_metrics,
		.step_candidate_requests = analysis->step_candidate,
		.split_p = split_p(&analysis->split),
	};
	for (size_t i = 0; i < ret->n_metrics; i++)
		fill_metric(analysis, i, &ret->metrics[i]);
	decide(analysis, ret);
	const struct metric_verdict *worst = NULL;
	for (size_t i = 0; i < ret->n_metrics; i++) {
		const struct metric_verdict *metric = &ret->metrics[i];
		if (!metric->informational && (!worst || severity(metric->verdict) > severity(worst->verdict)))
			worst = metric;
	}
	if (worst)
		ret->verdict = worst->verdict;
	else if (state_of_data(analysis) != VERDICT_UNDECIDED)
		ret->verdict = state_of_data(analysis); /* nothing decides, but silence is still no data */
	if (ret->split_p <= SPLIT_ALPHA && severity(VERDICT_SPLIT_BROKEN) > severity(ret->verdict))
		ret->verdict = VERDICT_SPLIT_BROKEN;
	reason(analysis, worst, ret);
}
