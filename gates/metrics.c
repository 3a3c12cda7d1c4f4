#include "gates/metrics_priv.h"

#include "base/alloc.h"
#include "base/diag.h"
#include "gates/stats/auc.h"
#include "gates/stats/normal.h"
#include "gates/stats/rng.h"

#include <math.h>

static const struct {
	const char *name;
	enum metric_task task;
	bool higher;
	const char *doc;
} rows_of_table[] = {
#define X(name, text, task, higher, interval, doc) {text, TASK_##task, higher, doc},
	METRICS(X)
#undef X
};

const char *task_name(enum metric_task task)
{
	return task == TASK_BINARY ? "binary" : "regression";
}

bool task_from_name(const char *name, enum metric_task *ret)
{
	bool binary = strcmp(name, "binary") == 0;
	if (!binary && strcmp(name, "regression") != 0)
		return false;
	*ret = binary ? TASK_BINARY : TASK_REGRESSION;
	return true;
}

const char *metric_name(enum metric_id id)
{
	return rows_of_table[id].name;
}

const char *metric_doc(enum metric_id id)
{
	return rows_of_table[id].doc;
}

enum metric_task metric_task_of(enum metric_id id)
{
	return rows_of_table[id].task;
}

bool metric_higher_is_better(enum metric_id id)
{
	return rows_of_table[id].higher;
}

bool metric_from_name(const char *name, enum metric_id *ret)
{
	for (size_t i = 0; i < N_METRICS; i++) {
		if (strcmp(name, rows_of_table[i].name) == 0) {
			*ret = (enum metric_id)i;
			return true;
		}
	}
	return false;
}

const char *metric_suggest(const char *name)
{
	const char *names[N_METRICS];
	for (size_t i = 0; i < N_METRICS; i++)
		names[i] = rows_of_table[i].name;
	return nearest_word(name, names, N_METRICS);
}

/* ---- what may be asked ---- */

static struct metric_options with_defaults(const struct metric_options *given, size_t n)
{
	struct metric_options o = given ? *given : (struct metric_options){0};
	o.confidence = o.confidence > 0 && o.confidence < 1 ? o.confidence : 0.95;
	o.threshold = o.threshold != 0 ? o.threshold : 0.5;
	o.seed = o.seed ? o.seed : 1;
	if (!o.replicates)
		o.replicates = n <= 200000 ? 1000 : n >= 1000000 ? 200 : (unsigned)(200000000 / n);
	return o;
}

static bool wants_probabilities(enum metric_id id)
{
	return metric_task_of(id) == TASK_BINARY && id != METRIC_ROC_AUC && id != METRIC_AVERAGE_PRECISION;
}

static int check_predictions(enum metric_id id, const double *p, size_t n, struct error **err)
{
	for (size_t i = 0; i < n; i++) {
		if (!isfinite(p[i]))
			return error_set(err, ERROR_INVALID, 0, "%s: prediction %zu is not a finite number", metric_name(id), i + 1);
		if (wants_probabilities(id) && (p[i] < 0 || p[i] > 1))
			return error_set(err, ERROR_INVALID, 0, "%s: prediction %zu is %g, no probability", metric_name(id), i + 1, p[i]);
	}
	return 0;
}

static int check_rows(enum metric_id id, const struct metric_rows *rows, struct error **err)
{
	const char *name = metric_name(id);
	if (metric_task_of(id) != rows->task)
		return error_set(err, ERROR_INVALID, 0, "%s is a metric of %s tasks, not of %s ones", name, task_name(metric_task_of(id)),
				 task_name(rows->task));
	if (!rows->n)
		return error_set(err, ERROR_INVALID, 0, "%s: no rows", name);
	size_t positive = 0;
	for (size_t i = 0; i < rows->n; i++) {
		if (rows->task == TASK_BINARY && rows->y[i] != 0 && rows->y[i] != 1)
			return error_set(err, ERROR_INVALID, 0, "%s: label %zu is %g, neither 0 nor 1", name, i + 1, rows->y[i]);
		if (!isfinite(rows->y[i]))
			return error_set(err, ERROR_INVALID, 0, "%s: label %zu is not a finite number", name, i + 1);
		positive += rows->y[i] != 0;
	}
	if ((id == METRIC_ROC_AUC || id == METRIC_AVERAGE_PRECISION) && (positive == 0 || positive == rows->n))
		return error_set(err, ERROR_INVALID, 0, "%s needs both classes, but all %zu rows are labelled %d", name, rows->n, positive > 0);
	return check_predictions(id, rows->p, rows->n, err);
}

/* ---- intervals ---- */

static void normal_interval(double value, double se, double confidence, double *low, double *high)
{
	double z = normal_quantile(0.5 + confidence / 2);
	*low = value - z * se;
	*high = value + z * se;
}

/* Wilson's score interval: sound for shares near 0 and 1 and for few rows (Wilson 1927). */
static void wilson_interval(double hits, double n, double confidence, double *low, double *high)
{
	double z = normal_quantile(0.5 + confidence / 2), z2 = z * z, p = n > 0 ? hits / n : 0;
	if (n <= 0) {
		*low = 0;
		*high = 1;
		return;
	}
	double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
	double half = z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
	*low = hits > 0 ? middle - half : 0;
	*high = hits < n ? middle + half : 1;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Linear interpolation between order statistics (R's type 7). */
static double sorted_quantile(const double *sorted, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t below = (size_t)at;
	if (below + 1 >= n)
		return sorted[n - 1];
	return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

struct bootstrap { double low, high, se, p; };

/* Percentile bootstrap of one statistic, or of the difference of two on the same resampled rows. */
static struct bootstrap resample(const struct statistic *s, const struct statistic *other, const struct metric_options *o)
{
	cleanup_free double *values = xcalloc(o->replicates, sizeof(*values));
	cleanup_free uint32_t *weights = xcalloc(s->n, sizeof(*weights));
	struct rng rng;
	rng_seed(&rng, o->seed);
	size_t below = 0, above = 0;
	for (unsigned r = 0; r < o->replicates; r++) {
		memset(weights, 0, s->n * sizeof(*weights));
		for (size_t i = 0; i < s->n; i++)
			weights[rng_below(&rng, s->n)]++;
		values[r] = statistic_value(s, weights) - (other ? statistic_value(other, weights) : 0);
		below += values[r] <= 0;
		above += values[r] >= 0;
	}
	struct mean spread = mean_of(values, o->replicates);
	qsort(values, o->replicates, sizeof(*values), by_size);
	double tail = (1 - o->confidence) / 2, n = o->replicates;
	return (struct bootstrap){
		.low = sorted_quantile(values, o->replicates, tail),
		.high = sorted_quantile(values, o->replicates, 1 - tail),
		.se = spread.se * sqrt(n),
		.p = fmin(1, 2 * ((double)(below < above ? below : above) + 1) / (n + 1)),
	};
}

static void bootstrap_method(const struct metric_options *o, char method[64])
{
	snprintf(method, 64, "bootstrap percentile, %u replicates, seed %u", o->replicates, (unsigned)o->seed);
}

/* ---- values ---- */

static void auc_value(const struct metric_rows *rows, const struct metric_options *o, struct metric_value *ret)
{
	struct auc auc;
	auc_delong(rows->y, rows->p, NULL, rows->n, &auc);
	ret->value = auc.value;
	ret->se = sqrt(auc.variance);
	normal_interval(ret->value, ret->se, o->confidence, &ret->low, &ret->high);
	ret->low = fmax(0, ret->low);
	ret->high = fmin(1, ret->high);
	snprintf(ret->method, sizeof(ret->method), "delong");
}

static void share_value(enum metric_id id, const struct metric_rows *rows, const struct metric_options *o, struct metric_value *ret)
{
	double hits = 0, of = 0;
	for (size_t i = 0; i < rows->n; i++) {
		bool called = rows->p[i] >= o->threshold, is = rows->y[i] != 0;
		of += id == METRIC_ACCURACY ? 1 : id == METRIC_PRECISION ? called : is;
		hits += id == METRIC_ACCURACY ? called == is : called && is;
	}
	ret->value = of > 0 ? hits / of : 0;
	ret->se = of > 0 ? sqrt(ret->value * (1 - ret->value) / of) : (double)NAN;
	wilson_interval(hits, of, o->confidence, &ret->low, &ret->high);
	snprintf(ret->method, sizeof(ret->method), "wilson");
}

static void mean_value(enum metric_id id, const struct metric_rows *rows, const struct metric_options *o, struct metric_value *ret)
{
	cleanup_free double *each = xcalloc(rows->n, sizeof(*each));
	for (size_t i = 0; i < rows->n; i++)
		each[i] = row_value(id, rows->y[i], rows->p[i], o->threshold);
	struct mean mean = mean_of(each, rows->n);
	ret->value = mean.value;
	ret->se = mean.se;
	normal_interval(mean.value, mean.se, o->confidence, &ret->low, &ret->high);
	ret->low = fmax(0, ret->low); /* none of these can be negative */
	if (id == METRIC_RMSE) {      /* the interval of the mean square, on the scale of its root */
		ret->value = sqrt(mean.value);
		ret->low = sqrt(ret->low);
		ret->high = sqrt(ret->high);
		ret->se = ret->value > 0 ? mean.se / (2 * ret->value) : 0;
	}
	snprintf(ret->method, sizeof(ret->method), "normal");
}

static struct statistic statistic_of(enum metric_id id, const struct metric_rows *rows, const double *p, const struct metric_options *o,
				     size_t **ret_order)
{
	*ret_order = id == METRIC_AVERAGE_PRECISION ? order_by_falling_score(p, rows->n) : NULL;
	return (struct statistic){.id = id, .y = rows->y, .p = p, .n = rows->n, .threshold = o->threshold, .order = *ret_order};
}

static void bootstrap_value(enum metric_id id, const struct metric_rows *rows, const struct metric_options *o, struct metric_value *ret)
{
	cleanup_free size_t *order = NULL;
	const struct statistic s = statistic_of(id, rows, rows->p, o, &order);
	ret->value = statistic_value(&s, NULL);
	struct bootstrap b = resample(&s, NULL, o);
	ret->low = b.low;
	ret->high = b.high;
	ret->se = b.se;
	bootstrap_method(o, ret->method);
}

int metric_compute(enum metric_id id, const struct metric_rows *rows, const struct metric_options *options, struct metric_value *ret,
		   struct error **err)
{
	if (check_rows(id, rows, err) < 0)
		return -1;
	const struct metric_options o = with_defaults(options, rows->n);
	struct metric_value value = {.id = id, .n = rows->n};
	if (id == METRIC_ROC_AUC)
		auc_value(rows, &o, &value);
	else if (id == METRIC_ACCURACY || id == METRIC_PRECISION || id == METRIC_RECALL)
		share_value(id, rows, &o, &value);
	else if (metric_is_mean(id))
		mean_value(id, rows, &o, &value);
	else
		bootstrap_value(id, rows, &o, &value);
	*ret = value;
	return 0;
}

/* ---- differences ---- */

static void normal_difference(double difference, double se, double confidence, struct metric_difference *ret)
{
	ret->difference = difference;
	ret->se = se;
	normal_interval(difference, se, confidence, &ret->low, &ret->high);
	if (se > 0)
		ret->p = normal_two_sided_p(difference / se);
	else
		ret->p = difference == 0 ? 1 : 0; /* Z = 0/0 is no difference */
}

static void auc_difference(const struct metric_rows *rows, const double *other, const struct metric_options *o, struct metric_difference *ret)
{
	struct auc auc;
	auc_delong(rows->y, rows->p, other, rows->n, &auc);
	double variance = auc.variance + auc.variance_2 - 2 * auc.covariance;
	normal_difference(auc.value - auc.value_2, sqrt(fmax(0, variance)), o->confidence, ret);
	snprintf(ret->method, sizeof(ret->method), "delong paired");
}

static void mean_difference(enum metric_id id, const struct metric_rows *rows, const double *other, const struct metric_options *o,
			    struct metric_difference *ret)
{
	cleanup_free double *each = xcalloc(rows->n, sizeof(*each));
	for (size_t i = 0; i < rows->n; i++)
		each[i] = row_value(id, rows->y[i], rows->p[i], o->threshold) - row_value(id, rows->y[i], other[i], o->threshold);
	struct mean mean = mean_of(each, rows->n);
	normal_difference(mean.value, mean.se, o->confidence, ret);
	snprintf(ret->method, sizeof(ret->method), "paired mean difference");
}

static void bootstrap_difference(enum metric_id id, const struct metric_rows *rows, const double *other, const struct metric_options *o,
				 struct metric_difference *ret)
{
	cleanup_free size_t *order = NULL, *other_order = NULL;
	const struct statistic s = statistic_of(id, rows, rows->p, o, &order), t = statistic_of(id, rows, other, o, &other_order);
	ret->difference = statistic_value(&s, NULL) - statistic_value(&t, NULL);
	struct bootstrap b = resample(&s, &t, o);
	ret->low = b.low;
	ret->high = b.high;
	ret->se = b.se;
	ret->p = b.p;
	char method[64];
	bootstrap_method(o, method);
	snprintf(ret->method, sizeof(ret->method), "paired %.56s", method);
}

int metric_compare(enum metric_id id, const struct metric_rows *rows, const double *other, const struct metric_options *options,
		   struct metric_difference *ret, struct error **err)
{
	if (check_rows(id, rows, err) < 0)
		return -1;
	if (check_predictions(id, other, rows->n, err) < 0)
		return error_context(err, "the other model");
	const struct metric_options o = with_defaults(options, rows->n);
	struct metric_difference difference = {.id = id, .n = rows->n};
	if (id == METRIC_ROC_AUC)
		auc_difference(rows, other, &o, &difference);
	else if (metric_is_mean(id) && id != METRIC_RMSE)
		mean_difference(id, rows, other, &o, &difference);
	else
		bootstrap_difference(id, rows, other, &o, &difference);
	*ret = difference;
	return 0;
}
