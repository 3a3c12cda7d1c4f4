/* Model metrics with their uncertainty, and comparisons of two models on the same rows. Pure: arrays in, numbers out, the same
 * numbers everywhere (resampling is seeded).
 *
 *     const struct metric_rows rows = {.task = TASK_BINARY, .y = labels, .p = probabilities, .n = n};
 *     struct metric_value auc;
 *     if (metric_compute(METRIC_ROC_AUC, &rows, NULL, &auc, err) < 0) ...
 *
 * Definitions, and the published values they are checked against, are in docs/stages/score.md. */
#ifndef GATES_METRICS_H
#define GATES_METRICS_H

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metric_task { TASK_BINARY, TASK_REGRESSION };
const char *task_name(enum metric_task task); /* "binary" */
bool task_from_name(const char *name, enum metric_task *ret);

/* name, text, task, is higher better, interval, documentation */
#define METRICS(X)                                                                                                              \
	X(ROC_AUC, "roc_auc", BINARY, true, "delong", "area under the ROC curve; ties count a half")                            \
	X(AVERAGE_PRECISION, "average_precision", BINARY, true, "bootstrap",                                                    \
	  "sum over distinct scores of precision times the gain in recall; no interpolation")                                   \
	X(LOG_LOSS, "log_loss", BINARY, false, "normal", "mean of -ln of the probability given to what happened, clipped at 2.2e-16") \
	X(BRIER, "brier", BINARY, false, "normal", "mean of (probability - label)^2")                                           \
	X(ECE, "ece", BINARY, false, "bootstrap", "expected calibration error of P(1), 10 bins (low, high] of equal width")     \
	X(ACCURACY, "accuracy", BINARY, true, "wilson", "share of rows on the right side of the threshold")                     \
	X(PRECISION, "precision", BINARY, true, "wilson", "share of positives among the rows called positive; 0 if there are none") \
	X(RECALL, "recall", BINARY, true, "wilson", "share of the positives that are called positive; 0 if there are none")      \
	X(F1, "f1", BINARY, true, "bootstrap", "harmonic mean of precision and recall; 0/0 is 0")                               \
	X(MCC, "mcc", BINARY, true, "bootstrap", "Matthews' correlation of label and call; 0/0 is 0")                           \
	X(RMSE, "rmse", REGRESSION, false, "normal", "square root of mse")                                                      \
	X(MAE, "mae", REGRESSION, false, "normal", "mean of |prediction - label|")                                              \
	X(MSE, "mse", REGRESSION, false, "normal", "mean of (prediction - label)^2")                                            \
	X(R2, "r2", REGRESSION, true, "bootstrap", "1 - mse / variance of the labels; constant labels: 1 if exact, else 0")     \
	X(MAPE, "mape", REGRESSION, false, "normal", "mean of |prediction - label| / max(|label|, 2.2e-16), as a fraction")

enum metric_id {
#define X(name, text, task, higher, interval, doc) METRIC_##name,
	METRICS(X)
#undef X
	N_METRICS
};

const char *metric_name(enum metric_id id);
const char *metric_doc(enum metric_id id);
enum metric_task metric_task_of(enum metric_id id);
bool metric_higher_is_better(enum metric_id id);
bool metric_from_name(const char *name, enum metric_id *ret);
/* The nearest metric's name for a message, or NULL. */
const char *metric_suggest(const char *name);

struct metric_rows {
	enum metric_task task;
	const double *y; /* BINARY: 0 or 1 */
	const double *p; /* BINARY: score (roc_auc, average_precision: any finite; others: probability of 1); REGRESSION: prediction */
	size_t n;
};

struct metric_options {
	double confidence;   /* of low..high, two-sided; default 0.95 */
	double threshold;    /* at or above it a row is called positive; default 0.5 (use 1e-300 for "0") */
	unsigned replicates; /* of a bootstrap; default 1,000, fewer beyond 200,000 rows, never below 200 */
	uint64_t seed;       /* default 1 */
};

struct metric_value {
	enum metric_id id;
	double value, low, high, se; /* se: of the value, NAN if unknown */
	size_t n;
	char method[64];             /* "delong", "wilson", "normal", "bootstrap percentile, 1000 replicates, seed 1" */
};

/* INVALID when the metric is not of the task, there are no rows, a value is not finite or out of range, or a class is missing. */
int metric_compute(enum metric_id id, const struct metric_rows *rows, const struct metric_options *options, struct metric_value *ret,
		   struct error **err) must_check;

struct metric_difference {
	enum metric_id id;
	double difference, low, high, se, p; /* this minus the other; p two-sided */
	size_t n;
	char method[64];
};

/* `other` are another model's predictions for the same n rows. DeLong paired for roc_auc; paired mean difference for log_loss,
 * brier, accuracy, mae, mse, mape; else a paired bootstrap (one resampling for both). Equal predictions: difference 0, p 1. */
int metric_compare(enum metric_id id, const struct metric_rows *rows, const double *other, const struct metric_options *options,
		   struct metric_difference *ret, struct error **err) must_check;
#endif
