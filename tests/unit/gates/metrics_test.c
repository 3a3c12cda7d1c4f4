#include "gates/metrics.h"

#include "data/table.h"
#include "gates/stats/auc.h"
#include "gates/stats/normal.h"
#include "tests/support/support.h"

#include <math.h>

static void assert_near(double value, double expected, double within)
{
	if (!(fabs(value - expected) <= within))
		fail_msg("%.12g, expected %.12g", value, expected);
}

static double compute(enum metric_id id, const double *y, const double *p, size_t n)
{
	const struct metric_rows rows = {.task = metric_task_of(id), .y = y, .p = p, .n = n};
	struct metric_value value;
	cleanup_error struct error *err = NULL;
	assert_ok(metric_compute(id, &rows, NULL, &value, &err), err);
	assert_int_equal(value.n, n);
	assert_true(value.low <= value.value + 1e-12 && value.value <= value.high + 1e-12);
	assert_true(value.method[0]);
	return value.value;
}

#define COMPUTE(id, y, p) compute(METRIC_##id, y, p, ARRAY_SIZE(y))

/* Examples of scikit-learn's documentation (sklearn.metrics, each function's page, 1.2), re-run there to more digits. */
static void values_are_those_of_scikit_learns_documentation(void **state)
{
	(void)state;
	const double y4[] = {0, 0, 1, 1}, s4[] = {.1, .4, .35, .8};
	assert_near(COMPUTE(ROC_AUC, y4, s4), 0.75, 1e-12);
	assert_near(COMPUTE(AVERAGE_PRECISION, y4, s4), 0.8333333333, 1e-10);
	const double y6[] = {0, 1, 0, 1, 1, 0}, s6[] = {.5, .5, .5, .7, .2, .1};
	assert_near(COMPUTE(ROC_AUC, y6, s6), 0.6666666667, 1e-10);
	assert_near(COMPUTE(AVERAGE_PRECISION, y6, s6), 0.7, 1e-12);
	/* log_loss(["spam", "ham", "ham", "spam"], [[.1, .9], [.9, .1], [.8, .2], [.35, .65]]) */
	const double yl[] = {1, 0, 0, 1}, pl[] = {.9, .1, .2, .65};
	assert_near(COMPUTE(LOG_LOSS, yl, pl), 0.2161618747, 1e-10);
	const double yc[] = {1}, pc[] = {0};
	assert_near(COMPUTE(LOG_LOSS, yc, pc), 36.0436533891, 1e-9);
	const double yb[] = {0, 1, 1, 0}, pb[] = {.1, .9, .8, .3};
	assert_near(COMPUTE(BRIER, yb, pb), 0.0375, 1e-12);
	/* matthews_corrcoef([+1, +1, +1, -1], [+1, -1, +1, +1]) = -0.33 */
	const double ym[] = {1, 1, 1, 0}, pm[] = {1, 0, 1, 1};
	assert_near(COMPUTE(MCC, ym, pm), -1.0 / 3, 1e-12);
	/* accuracy_score([0, 1, 2, 3], [0, 2, 1, 3]) = 0.5, here in two classes; f1 by its definition: 2 TP / (2 TP + FP + FN) */
	assert_near(COMPUTE(ACCURACY, ym, pm), 0.5, 1e-12);
	assert_near(COMPUTE(PRECISION, ym, pm), 2.0 / 3, 1e-12);
	assert_near(COMPUTE(RECALL, ym, pm), 2.0 / 3, 1e-12);
	assert_near(COMPUTE(F1, ym, pm), 2.0 / 3, 1e-12);
	const double yr[] = {3, -0.5, 2, 7}, pr[] = {2.5, 0.0, 2, 8};
	assert_near(COMPUTE(MAE, yr, pr), 0.5, 1e-12);
	assert_near(COMPUTE(MSE, yr, pr), 0.375, 1e-12);
	assert_near(COMPUTE(RMSE, yr, pr), 0.6123724357, 1e-10);
	assert_near(COMPUTE(R2, yr, pr), 0.9486081370, 1e-10);
	assert_near(COMPUTE(MAPE, yr, pr), 0.3273809524, 1e-10);
}

/* f1_score's example has three classes; one against the rest gives classes' F1 0.8, 0, 0, whose mean is the published 0.2666667. */
static void f1_of_each_class_averages_to_the_published_macro_value(void **state)
{
	(void)state;
	const int labels[] = {0, 1, 2, 0, 1, 2}, calls[] = {0, 2, 1, 0, 0, 1};
	double sum = 0;
	for (int class = 0; class < 3; class++) {
		double y[6], p[6];
		for (int i = 0; i < 6; i++) {
			y[i] = labels[i] == class;
			p[i] = calls[i] == class;
		}
		sum += COMPUTE(F1, y, p);
	}
	assert_near(sum / 3, 0.2666667, 1e-7);
}

/* The binary example of torchmetrics has 2 bins; its five rows fall into ten bins as {.25 .25} {.55} {.75 .75}: by hand
 * (2 * .25 + 1 * .45 + 2 * .25) / 5. */
static void calibration_error_uses_ten_bins_closed_above(void **state)
{
	(void)state;
	const double y[] = {0, 0, 1, 1, 1}, p[] = {.25, .25, .55, .75, .75};
	assert_near(COMPUTE(ECE, y, p), 0.29, 1e-12);
	const double y2[] = {0, 1, 1, 0}, p2[] = {0, 1, 0.1, 0.1000001};
	/* bins: (0, .1] holds 0 and .1: |1 - .1|; (.1, .2]: |0 - .1000001|; (.9, 1]: 0 */
	assert_near(COMPUTE(ECE, y2, p2), (0.9 + 0.1000001) / 4, 1e-12);
}

static void edges_follow_the_definitions(void **state)
{
	(void)state;
	const double y[] = {0, 0, 1}, low[] = {.1, .2, .3}, constant[] = {5, 5, 5}, near[] = {5, 5, 6};
	assert_near(COMPUTE(F1, y, low), 0, 0);
	assert_near(COMPUTE(PRECISION, y, low), 0, 0);
	assert_near(COMPUTE(MCC, y, low), 0, 0);
	assert_near(COMPUTE(R2, constant, constant), 1, 0);
	assert_near(COMPUTE(R2, constant, near), 0, 0);
	const double flat[] = {.5, .5, .5};
	assert_near(COMPUTE(ROC_AUC, y, flat), 0.5, 1e-12);
	const double half[] = {.5, .5, .5};
	assert_near(COMPUTE(ACCURACY, y, half), 1.0 / 3, 1e-12); /* at the threshold means positive */
}

/* DeLong by its definition: psi over all pairs, O(mn). */
static void delong_by_midranks_is_delong_by_pairs(void **state)
{
	(void)state;
	const double y[] = {1, 1, 0, 0, 1, 0, 0, 1, 0, 0}, u[] = {.9, .4, .4, .2, .7, .7, .1, .3, .3, .0},
		     v[] = {.5, .6, .4, .4, .9, .1, .2, .4, .8, .3};
	double v10[2][10], v01[2][10], a[2] = {0, 0};
	const double *s[2] = {u, v};
	const int n = 10, positives = 4, negatives = 6;
	for (int k = 0; k < 2; k++) {
		for (int i = 0; i < n; i++) {
			double sum = 0;
			for (int j = 0; j < n; j++) {
				if ((y[i] != 0) == (y[j] != 0))
					continue;
				double x = y[i] != 0 ? s[k][i] : s[k][j], z = y[i] != 0 ? s[k][j] : s[k][i];
				sum += x > z ? 1 : x < z ? 0 : 0.5;
			}
			if (y[i] != 0) {
				v10[k][i] = sum / negatives;
				a[k] += v10[k][i] / positives;
			} else {
				v01[k][i] = sum / positives;
			}
		}
	}
	double cov[2][2] = {{0}};
	for (int p = 0; p < 2; p++)
		for (int q = 0; q < 2; q++)
			for (int i = 0; i < n; i++)
				cov[p][q] += y[i] != 0 ? (v10[p][i] - a[p]) * (v10[q][i] - a[q]) / (positives - 1) / positives
						       : (v01[p][i] - a[p]) * (v01[q][i] - a[q]) / (negatives - 1) / negatives;
	struct auc auc;
	auc_delong(y, u, v, 10, &auc);
	assert_near(auc.value, a[0], 1e-12);
	assert_near(auc.value_2, a[1], 1e-12);
	assert_near(auc.variance, cov[0][0], 1e-12);
	assert_near(auc.variance_2, cov[1][1], 1e-12);
	assert_near(auc.covariance, cov[0][1], 1e-12);
}

/* Wilson: 0 of 10 and 7 of 10 at 95% (Wilson 1927; as R's prop.test(correct = FALSE)): [0, .2775], [.3968, .8922]. */
static void shares_have_wilsons_interval(void **state)
{
	(void)state;
	double y[10], p[10];
	for (int i = 0; i < 10; i++) {
		y[i] = i % 2;
		p[i] = i < 7 ? i % 2 : 1 - i % 2;
	}
	const struct metric_rows rows = {.task = TASK_BINARY, .y = y, .p = p, .n = 10};
	struct metric_value value;
	cleanup_error struct error *err = NULL;
	assert_ok(metric_compute(METRIC_ACCURACY, &rows, NULL, &value, &err), err);
	assert_near(value.value, 0.7, 1e-12);
	assert_near(value.low, 0.3968, 5e-5);
	assert_near(value.high, 0.8922, 5e-5);
	assert_string_equal(value.method, "wilson");
}

/* Values of the normal distribution's tables. */
static void normal_quantiles_are_the_tables(void **state)
{
	(void)state;
	assert_near(normal_quantile(0.975), 1.959963984540054, 1e-12);
	assert_near(normal_quantile(0.95), 1.644853626951473, 1e-12);
	assert_near(normal_quantile(0.5), 0, 0);
	assert_near(normal_quantile(1e-10), -6.361340902404056, 1e-9);
	assert_near(normal_cdf(normal_quantile(0.123)), 0.123, 1e-14);
	assert_near(normal_two_sided_p(2.20898359144), 0.02717578223, 1e-10); /* pROC's test suite: Z and p of wfns against s100b */
}

static struct metric_difference compare(enum metric_id id, const double *y, const double *p, const double *q, size_t n)
{
	const struct metric_rows rows = {.task = metric_task_of(id), .y = y, .p = p, .n = n};
	struct metric_difference d;
	cleanup_error struct error *err = NULL;
	assert_ok(metric_compare(id, &rows, q, NULL, &d, &err), err);
	return d;
}

static void equal_models_do_not_differ(void **state)
{
	(void)state;
	const double y[] = {0, 1, 1, 0, 1, 0}, p[] = {.1, .9, .6, .4, .3, .2};
	for (int id = 0; id < N_METRICS; id++) {
		struct metric_difference d = compare((enum metric_id)id, y, p, p, 6);
		assert_near(d.difference, 0, 0);
		assert_near(d.low, 0, 0);
		assert_near(d.high, 0, 0);
		assert_near(d.p, 1, 0);
	}
}

static void comparisons_are_paired_and_repeatable(void **state)
{
	(void)state;
	double y[400], good[400], bad[400];
	for (int i = 0; i < 400; i++) {
		y[i] = (i * 7) % 3 == 0;
		double noise = ((i * 7919) % 1000) / 1000.0;
		good[i] = 0.7 * y[i] + 0.3 * noise;
		bad[i] = 0.2 * y[i] + 0.8 * noise;
	}
	for (int id = 0; id < N_METRICS; id++) {
		struct metric_difference d = compare((enum metric_id)id, y, good, bad, 400);
		struct metric_difference again = compare((enum metric_id)id, y, good, bad, 400), back = compare((enum metric_id)id, y, bad, good, 400);
		if (metric_task_of((enum metric_id)id) == TASK_BINARY && id != METRIC_ECE) {
			bool better = metric_higher_is_better((enum metric_id)id) ? d.low > 0 : d.high < 0;
			assert_true(better || id == METRIC_PRECISION || id == METRIC_RECALL);
		}
		assert_memory_equal(&d.low, &again.low, sizeof(double));
		assert_near(back.difference, -d.difference, 1e-12);
		assert_near(back.low, -d.high, 1e-9);
		assert_true(d.low <= d.difference && d.difference <= d.high);
	}
}

/* Breast Cancer Wisconsin (Diagnostic), the quickstart's data: pROC 1.18.0 (R 4.2.2), roc() and roc.test(method = "delong"). */
static void delong_on_real_data_is_that_of_proc(void **state)
{
	(void)state;
	static const struct table_want wants[] = {
		{"malignant", VALUE_FLOAT64, false}, {"radius_mean", VALUE_FLOAT64, false}, {"texture_mean", VALUE_FLOAT64, false},
		{"perimeter_mean", VALUE_FLOAT64, false}};
	cleanup_table struct table *table = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(table_read_csv(SOURCE_DIR "/examples/quickstart/model/data/wdbc.csv", wants, ARRAY_SIZE(wants), NULL, &table, &err), err);
	const double *y = table->columns[0].float64, *radius = table->columns[1].float64, *texture = table->columns[2].float64,
		     *perimeter = table->columns[3].float64;
	size_t n = table->n_rows;
	assert_int_equal(n, 569);
	assert_near(compute(METRIC_ROC_AUC, y, radius, n), .9375165160, 1e-10);
	assert_near(compute(METRIC_ROC_AUC, y, texture, n), .7758244807, 1e-10);
	assert_near(compute(METRIC_ROC_AUC, y, perimeter, n), .9468976270, 1e-10);
	struct metric_difference d = compare(METRIC_ROC_AUC, y, radius, perimeter, n);
	assert_near(d.difference / d.se, -5.101751939, 1e-8);
	assert_near(d.p, 3.365e-7, 1e-10);
}

static void what_cannot_be_computed_is_told(void **state)
{
	(void)state;
	const double y[] = {1, 1}, p[] = {.5, 2}, nan_p[] = {.5, (double)NAN}, y2[] = {0, 2}, ok[] = {.1, .2};
	static const char *const one = "roc_auc needs both classes, but all 2 rows are labelled 1";
	const struct { enum metric_id id; struct metric_rows rows; const char *message; } cases[] = {
		{METRIC_ROC_AUC, {TASK_BINARY, y, ok, 2}, one},
		{METRIC_BRIER, {TASK_BINARY, y, p, 2}, "brier: prediction 2 is 2, no probability"},
		{METRIC_BRIER, {TASK_BINARY, y, nan_p, 2}, "brier: prediction 2 is not a finite number"},
		{METRIC_F1, {TASK_BINARY, y2, ok, 2}, "f1: label 2 is 2, neither 0 nor 1"},
		{METRIC_MAE, {TASK_BINARY, y, ok, 2}, "mae is a metric of regression tasks, not of binary ones"},
		{METRIC_MAE, {TASK_REGRESSION, y, ok, 0}, "mae: no rows"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct metric_value value;
		cleanup_error struct error *err = NULL;
		assert_int_equal(metric_compute(cases[i].id, &cases[i].rows, NULL, &value, &err), -1);
		assert_error(err, ERROR_INVALID, cases[i].message);
	}
}

static void every_metric_has_its_row(void **state)
{
	(void)state;
	for (int i = 0; i < N_METRICS; i++) {
		enum metric_id id;
		assert_true(metric_from_name(metric_name((enum metric_id)i), &id));
		assert_int_equal(id, i);
		assert_true(strlen(metric_doc(id)) > 10);
	}
	enum metric_id id;
	assert_false(metric_from_name("auc", &id));
	assert_string_equal(metric_suggest("roc_auk"), "roc_auc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_those_of_scikit_learns_documentation),
		cmocka_unit_test(f1_of_each_class_averages_to_the_published_macro_value),
		cmocka_unit_test(calibration_error_uses_ten_bins_closed_above),
		cmocka_unit_test(edges_follow_the_definitions),
		cmocka_unit_test(delong_by_midranks_is_delong_by_pairs),
		cmocka_unit_test(shares_have_wilsons_interval),
		cmocka_unit_test(normal_quantiles_are_the_tables),
		cmocka_unit_test(equal_models_do_not_differ),
		cmocka_unit_test(comparisons_are_paired_and_repeatable),
		cmocka_unit_test(delong_on_real_data_is_that_of_proc),
		cmocka_unit_test(what_cannot_be_computed_is_told),
		cmocka_unit_test(every_metric_has_its_row),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
