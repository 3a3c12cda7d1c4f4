/* Between metrics.c (what is computed, and how sure) and metrics_statistics.c (the numbers themselves). */
#ifndef GATES_METRICS_PRIV_H
#define GATES_METRICS_PRIV_H

#include "gates/metrics.h"

/* One model's rows, ready for repeated evaluation. */
struct statistic {
	enum metric_id id;
	const double *y, *p;
	size_t n;
	double threshold;
	const size_t *order; /* by falling score, for average_precision */
};

/* The statistic with row i counted weights[i] times (NULL: once). Resampling may leave a class out; then what 0/0 gives. */
double statistic_value(const struct statistic *s, const uint32_t *weights);
/* A row's contribution, for metrics that are means of rows (log_loss, brier, accuracy, mae, mse, rmse's square, mape). */
double row_value(enum metric_id id, double y, double p, double threshold);
bool metric_is_mean(enum metric_id id);

struct mean { double value, se; };
struct mean mean_of(const double *values, size_t n);
#endif
