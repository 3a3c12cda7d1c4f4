#include "gates/metrics_priv.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define ECE_BINS 10

bool metric_is_mean(enum metric_id id)
{
	return id == METRIC_LOG_LOSS || id == METRIC_BRIER || id == METRIC_ACCURACY || id == METRIC_MAE || id == METRIC_MSE ||
	       id == METRIC_RMSE || id == METRIC_MAPE;
}

double row_value(enum metric_id id, double y, double p, double threshold)
{
	switch (id) {
	case METRIC_LOG_LOSS: {
		double clipped = fmin(fmax(p, DBL_EPSILON), 1 - DBL_EPSILON);
		return y != 0 ? -log(clipped) : -log1p(-clipped);
	}
	case METRIC_ACCURACY:
		return (p >= threshold) == (y != 0);
	case METRIC_MAE:
		return fabs(p - y);
	case METRIC_MAPE:
		return fabs(p - y) / fmax(fabs(y), DBL_EPSILON);
	case METRIC_BRIER:
	case METRIC_MSE:
	case METRIC_RMSE:
		return (p - y) * (p - y);
	case METRIC_ROC_AUC:
	case METRIC_AVERAGE_PRECISION:
	case METRIC_ECE:
	case METRIC_PRECISION:
	case METRIC_RECALL:
	case METRIC_F1:
	case METRIC_MCC:
	case METRIC_R2:
	case N_METRICS:
		break;
	}
	abort(); /* our own mistake: not a mean of rows */
}

/* Neumaier's compensated sum: millions of rows keep their last digits. */
struct sum { double total, lost; };

static void sum_add(struct sum *sum, double x)
{
	double t = sum->total + x;
	sum->lost += fabs(sum->total) >= fabs(x) ? (sum->total - t) + x : (x - t) + sum->total;
	sum->total = t;
}

static double sum_get(const struct sum *sum)
{
	return sum->total + sum->lost;
}

struct mean mean_of(const double *values, size_t n)
{
	struct sum sum = {0}, squares = {0};
	for (size_t i = 0; i < n; i++)
		sum_add(&sum, values[i]);
	double mean = sum_get(&sum) / (double)n;
	for (size_t i = 0; i < n; i++)
		sum_add(&squares, (values[i] - mean) * (values[i] - mean));
	double variance = n > 1 ? sum_get(&squares) / (double)(n - 1) : 0;
	return (struct mean){mean, sqrt(variance / (double)n)};
}

static double weight_of(const uint32_t *weights, size_t i)
{
	return weights ? weights[i] : 1;
}

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static double average_precision(const struct statistic *s, const uint32_t *weights)
{
	double positives = 0, seen = 0, hits = 0;
	struct sum sum = {0};
	for (size_t i = 0; i < s->n; i++)
		positives += s->y[i] != 0 ? weight_of(weights, i) : 0;
	for (size_t from = 0, to; from < s->n; from = to) {
		double before = hits;
		for (to = from; to < s->n && s->p[s->order[to]] == s->p[s->order[from]]; to++) {
			double w = weight_of(weights, s->order[to]);
			seen += w;
			hits += s->y[s->order[to]] != 0 ? w : 0;
		}
		sum_add(&sum, (hits - before) * ratio(hits, seen));
	}
	return ratio(sum_get(&sum), positives);
}

static double calibration_error(const struct statistic *s, const uint32_t *weights)
{
	double rows[ECE_BINS] = {0}, hits[ECE_BINS] = {0}, confidence[ECE_BINS] = {0}, all = 0, error = 0;
	for (size_t i = 0; i < s->n; i++) {
		double w = weight_of(weights, i), at = ceil(s->p[i] * ECE_BINS) - 1;
		size_t bin = at < 0 ? 0 : (size_t)at;
		rows[bin] += w;
		hits[bin] += s->y[i] != 0 ? w : 0;
		confidence[bin] += w * s->p[i];
		all += w;
	}
	for (size_t b = 0; b < ECE_BINS; b++)
		error += fabs(hits[b] - confidence[b]);
	return ratio(error, all);
}

static double from_confusion(const struct statistic *s, const uint32_t *weights)
{
	double tp = 0, fp = 0, fn = 0, tn = 0;
	for (size_t i = 0; i < s->n; i++) {
		double w = weight_of(weights, i);
		bool called = s->p[i] >= s->threshold, is = s->y[i] != 0;
		*(called ? (is ? &tp : &fp) : (is ? &fn : &tn)) += w;
	}
	switch (s->id) {
	case METRIC_PRECISION:
		return ratio(tp, tp + fp);
	case METRIC_RECALL:
		return ratio(tp, tp + fn);
	case METRIC_F1:
		return ratio(2 * tp, 2 * tp + fp + fn);
	case METRIC_MCC: {
		double product = sqrt(tp + fp) * sqrt(tp + fn) * sqrt(tn + fp) * sqrt(tn + fn);
		return product > 0 ? (tp * tn - fp * fn) / product : 0;
	}
	case METRIC_ROC_AUC:
	case METRIC_AVERAGE_PRECISION:
	case METRIC_LOG_LOSS:
	case METRIC_BRIER:
	case METRIC_ECE:
	case METRIC_ACCURACY:
	case METRIC_RMSE:
	case METRIC_MAE:
	case METRIC_MSE:
	case METRIC_R2:
	case METRIC_MAPE:
	case N_METRICS:
		break;
	}
	abort(); /* our own mistake: not made of these four numbers */
}

static double r_squared(const struct statistic *s, const uint32_t *weights)
{
	struct sum labels = {0}, residual = {0}, total = {0};
	double n = 0;
	for (size_t i = 0; i < s->n; i++) {
		double w = weight_of(weights, i);
		sum_add(&labels, w * s->y[i]);
		n += w;
	}
	double mean = sum_get(&labels) / n;
	for (size_t i = 0; i < s->n; i++) {
		double w = weight_of(weights, i);
		sum_add(&residual, w * (s->p[i] - s->y[i]) * (s->p[i] - s->y[i]));
		sum_add(&total, w * (s->y[i] - mean) * (s->y[i] - mean));
	}
	double left = sum_get(&residual), variance = sum_get(&total);
	if (variance > 0)
		return 1 - left / variance;
	return left > 0 ? 0 : 1;
}

static double weighted_mean(const struct statistic *s, const uint32_t *weights)
{
	struct sum sum = {0};
	double n = 0;
	for (size_t i = 0; i < s->n; i++) {
		double w = weight_of(weights, i);
		sum_add(&sum, w * row_value(s->id, s->y[i], s->p[i], s->threshold));
		n += w;
	}
	double mean = sum_get(&sum) / n;
	return s->id == METRIC_RMSE ? sqrt(mean) : mean;
}

double statistic_value(const struct statistic *s, const uint32_t *weights)
{
	switch (s->id) {
	case METRIC_AVERAGE_PRECISION:
		return average_precision(s, weights);
	case METRIC_ECE:
		return calibration_error(s, weights);
	case METRIC_PRECISION:
	case METRIC_RECALL:
	case METRIC_F1:
	case METRIC_MCC:
		return from_confusion(s, weights);
	case METRIC_R2:
		return r_squared(s, weights);
	case METRIC_LOG_LOSS:
	case METRIC_BRIER:
	case METRIC_ACCURACY:
	case METRIC_RMSE:
	case METRIC_MAE:
	case METRIC_MSE:
	case METRIC_MAPE:
		return weighted_mean(s, weights);
	case METRIC_ROC_AUC:
	case N_METRICS:
		break;
	}
	abort(); /* our own mistake: roc_auc has DeLong's way */
}
