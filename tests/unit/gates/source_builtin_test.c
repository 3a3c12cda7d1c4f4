#include "gates/sources/builtin.h"

#include "tests/support/support.h"

#include <string.h>

static void metrics_are_found_by_name(void **state)
{
	(void)state;
	static const struct {
		const char *name, *row;
	} cases[] = {
		{"error_rate", "error_rate"}, {"latency_p999", "latency_p999"}, {"accuracy", "accuracy"}, {"feature_bins.amount", "feature_bins."},
		{"feature_bins.", NULL},      {"feature_bins", NULL},           {"accuracy2", NULL},      {"", NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct builtin_metric *row = builtin_metric_find(cases[i].name);
		assert_int_equal(row != NULL, cases[i].row != NULL);
		if (row)
			assert_string_equal(row->name, cases[i].row);
	}
}

static void every_row_says_enough_to_be_read(void **state)
{
	(void)state;
	size_t n;
	const struct builtin_metric *rows = builtin_metrics(&n);
	assert_true(n >= 12);
	for (size_t i = 0; i < n; i++) {
		assert_true(strlen(rows[i].doc) > 10);
		assert_int_equal(rows[i].kind == METRIC_LATENCY, strncmp(rows[i].name, "latency_", 8) == 0);
		if (!rows[i].source)
			continue;
		assert_int_equal(rows[i].kind == METRIC_RATE, rows[i].events && rows[i].total);
		assert_int_equal(rows[i].kind == METRIC_DISTRIBUTION, rows[i].distribution && rows[i].by);
		assert_int_equal(rows[i].kind == METRIC_MEAN, rows[i].value != NULL);
	}
}

static void what_the_user_did_not_write_is_filled_in(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	cleanup_error struct error *err = NULL;
	struct analysis_metric metric = {.metric = "feature_bins.amount"};
	assert_ok(builtin_metric_fill(builtin_metric_find(metric.metric), &metric, arena, &err), err);
	assert_int_equal(metric.kind, METRIC_DISTRIBUTION);
	assert_string_equal(metric.source, "app");
	assert_string_equal(metric.distribution, "penstock_feature{feature=\"amount\"}");
	assert_string_equal(metric.by, "le");

	metric = (struct analysis_metric){.metric = "accuracy", .source = "prom", .events = "right", .total = "all"};
	assert_ok(builtin_metric_fill(builtin_metric_find(metric.metric), &metric, arena, &err), err);
	assert_true(metric.higher_is_better);
	assert_string_equal(metric.source, "prom");
	assert_string_equal(metric.events, "right");

	metric = (struct analysis_metric){.metric = "latency_p99"};
	assert_ok(builtin_metric_fill(builtin_metric_find(metric.metric), &metric, arena, &err), err);
	assert_null(metric.source);
	assert_true(metric.quantile == 0.99);
}

static void a_part_cannot_leave_its_quotes(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	cleanup_error struct error *err = NULL;
	struct analysis_metric metric = {.metric = "feature_bins.a\"} or x{y=\""};
	assert_int_equal(builtin_metric_fill(builtin_metric_find(metric.metric), &metric, arena, &err), -1);
	assert_error(err, ERROR_INVALID,
		     "metric \"feature_bins.a\"} or x{y=\"\": \"a\"} or x{y=\"\" must be of letters, digits and any of _ . : / -");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(metrics_are_found_by_name),
		cmocka_unit_test(every_row_says_enough_to_be_read),
		cmocka_unit_test(what_the_user_did_not_write_is_filled_in),
		cmocka_unit_test(a_part_cannot_leave_its_quotes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
