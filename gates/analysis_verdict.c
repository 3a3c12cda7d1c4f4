#include "gates/analysis_priv.h"

#include "gates/stats/holm.h"
#include "gates/stats/stored.h"

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

void analysis_read_metric(const struct analysis *analysis, size_t i, struct sequential_reading *ret)
{
	const struct metric_state *metric = &analysis->metrics[i];
	metric->test->read(&metric->subject, metric->state, ret);
}

static void harm_of(const struct analysis *analysis, const struct sequential_reading *readings, double *ret_log_threshold, bool *ret_rejected)
{
	double log_max[ROLLOUT_MAX_METRICS] = {0}, threshold[ROLLOUT_MAX_METRICS];
	bool rejected[ROLLOUT_MAX_METRICS];
	size_t index[ROLLOUT_MAX_METRICS], n = 0;
	for (size_t i = 0; i < analysis->spec->n_metrics; i++) {
		if (analysis->metrics[i].decides) {
			log_max[n] = readings[i].log_e_worse;
			index[n++] = i;
		}
	}
	holm(log_max, n, analysis->alpha, threshold, rejected);
	for (size_t k = 0; k < n; k++) {
		ret_log_threshold[index[k]] = threshold[k];
		ret_rejected[index[k]] = rejected[k];
	}
}

void analysis_harm(const struct analysis *analysis, double ret_log_threshold[ROLLOUT_MAX_METRICS], bool ret_rejected[ROLLOUT_MAX_METRICS])
{
	struct sequential_reading readings[ROLLOUT_MAX_METRICS];
	for (size_t i = 0; i < analysis->spec->n_metrics; i++)
		analysis_read_metric(analysis, i, &readings[i]);
	harm_of(analysis, readings, ret_log_threshold, ret_rejected);
}

static enum verdict router_state(const struct analysis *analysis)
{
	if (!analysis->provider_answers)
		return VERDICT_PROVIDER_ERROR;
	return analysis->step_stable && analysis->step_candidate ? VERDICT_UNDECIDED : VERDICT_NO_DATA;
}

/* What can be said of a metric before its evidence is looked at. */
static enum verdict state_of_data(const struct analysis *analysis, const struct metric_state *metric, const struct sequential_reading *reading)
{
	bool routers = analysis_is_routers(metric->subject.metric);
	if (metric->trouble[0] || (routers && !analysis->provider_answers))
		return VERDICT_PROVIDER_ERROR;
	bool silent = !(reading->step_n_stable > 0 && reading->step_n_candidate > 0);
	return silent || metric->no_data ? VERDICT_NO_DATA : VERDICT_UNDECIDED;
}

static void fill(const struct analysis *analysis, size_t i, const struct sequential_reading *reading, struct metric_verdict *ret)
{
	const struct metric_state *metric = &analysis->metrics[i];
	*ret = (struct metric_verdict){
		.metric = metric->subject.metric->metric,
		.test = metric->test->name,
		.unit = reading->unit,
		.verdict = state_of_data(analysis, metric, reading),
		.informational = !metric->decides,
		.stable = reading->stable,
		.candidate = reading->candidate,
		.estimate = reading->estimate,
		.low = reading->low,
		.high = reading->high,
		.margin = reading->bound,
		.log_e_worse = reading->log_e_worse,
		.log_e_fine = reading->log_e_fine,
		.log_e_any = reading->log_e_any,
		.log_threshold_fine = log(1 / analysis->alpha),
		.p_anytime = fmin(1, exp(-reading->log_e_worse)),
		.n_stable = stored_count(reading->n_stable),
		.n_candidate = stored_count(reading->n_candidate),
		.step_n_candidate = stored_count(reading->step_n_candidate),
		.blocks = metric->blocks,
		.dispersion = reading->dispersion,
	};
	memcpy(ret->looks, metric->looks, sizeof(ret->looks));
	if (ret->verdict == VERDICT_PROVIDER_ERROR)
		snprintf(ret->trouble, sizeof(ret->trouble), "%s", metric->trouble[0] ? metric->trouble : "the router does not tell its counts");
}

/* Harm: Holm over the largest e-values of all deciding metrics. Safety: each at alpha, in this step. A broken split leaves nothing but harm that was
 * found before it. */
static void decide(const struct analysis *analysis, const struct sequential_reading *readings, struct analysis_verdict *ret)
{
	double threshold[ROLLOUT_MAX_METRICS] = {0};
	bool rejected[ROLLOUT_MAX_METRICS] = {false};
	harm_of(analysis, readings, threshold, rejected);
	for (size_t i = 0; i < ret->n_metrics; i++) {
		struct metric_verdict *metric = &ret->metrics[i];
		if (!analysis->metrics[i].decides)
			continue;
		metric->log_threshold_worse = threshold[i];
		if (analysis->split_broken)
			metric->verdict = analysis->metrics[i].harm_before_split ? VERDICT_WORSE : VERDICT_SPLIT_BROKEN;
		else if (rejected[i])
			metric->verdict = VERDICT_WORSE;
		else if (metric->verdict == VERDICT_UNDECIDED && metric->log_e_fine >= metric->log_threshold_fine)
			metric->verdict = VERDICT_FINE;
	}
}

void analysis_verdict(const struct analysis *analysis, struct analysis_verdict *ret)
{
	struct sequential_reading readings[ROLLOUT_MAX_METRICS];
	*ret = (struct analysis_verdict){
		.verdict = VERDICT_FINE,
		.n_metrics = analysis->spec->n_metrics,
		.step_candidate_requests = analysis->step_candidate,
		.split_p = split_p(&analysis->split),
	};
	for (size_t i = 0; i < ret->n_metrics; i++) {
		analysis_read_metric(analysis, i, &readings[i]);
		fill(analysis, i, &readings[i], &ret->metrics[i]);
	}
	decide(analysis, readings, ret);
	const struct metric_verdict *worst = NULL;
	for (size_t i = 0; i < ret->n_metrics; i++) {
		const struct metric_verdict *metric = &ret->metrics[i];
		if (!metric->informational && (!worst || severity(metric->verdict) > severity(worst->verdict)))
			worst = metric;
	}
	if (worst)
		ret->verdict = worst->verdict;
	else if (router_state(analysis) != VERDICT_UNDECIDED)
		ret->verdict = router_state(analysis); /* nothing decides, but silence is still no data */
	if (analysis->split_broken && severity(VERDICT_SPLIT_BROKEN) > severity(ret->verdict))
		ret->verdict = VERDICT_SPLIT_BROKEN;
	analysis_reason(analysis, worst, ret);
}
