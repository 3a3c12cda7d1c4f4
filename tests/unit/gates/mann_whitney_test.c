#include "gates/stats/mann_whitney.h"
#include "tests/support/support.h"

#include <math.h>
#include <string.h>

#define assert_near(value, expected, tolerance) assert_true(fabs((value) - (expected)) <= (tolerance))

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The 90 points of each side are data of Kayenta's public MannWhitneySuite ("tie out with R version"). */
static const double suite_baseline[] = {
	1.5, 6, 5, 2.5, 2.5, 2, 2, 3.5, 3, 3, 3, 2, 3, 8, 4, 2.5, 3, 2.5, 2.5, 2, 2.5, 2, 2, 2.5, 3.5, 3, 1.5, 5, 2.5, 5.5,
	2, 2.5, 3.5, 2, 2.5, 4, 2, 2, 2, 2, 5.5, 4.5, 4, 3, 3, 3.5, 2.5, 3, 2.5, 4, 6, 2, 5, 6, 3.5, 3, 54.5, 3, 5, 6,
	3.5, 4.5, 2.5, 2, 6, 5, 2.5, 3.5, 2, 3, 2.5, 3.5, 3.5, 2.5, 3, 4.5, 3, 15.5, 5, 2.5, 3, 4, 3.5, 4, 4, 2, 4.5, 2.5, 4, 3};
static const double suite_canary[] = {
	2.5, 2.5, 2, 2.5, 3.5, 2, 3.5, 1.5, 3, 3, 2.5, 3.5, 2, 2.5, 2, 2, 5, 3, 2, 1.5, 2, 4, 3, 2.5, 3, 2, 2, 2, 2.5, 3.5,
	1.5, 1.5, 3.5, 2, 2.5, 2.5, 3, 3.5, 2.5, 6.5, 2.5, 4, 2.5, 3, 2.5, 6.5, 2.5, 3, 1.5, 2, 2.5, 3, 7.5, 1.5, 2, 4, 2.5, 2, 2.5, 3.5,
	4, 2.5, 3, 2.5, 2, 3.5, 3, 16.5, 3, 3, 7, 4.5, 5, 2, 3.5, 6, 1.5, 3, 2.5, 4, 3, 1.5, 5, 3, 2.5, 5.5, 3, 1.5, 2.5, 6};

static void kayentas_suite_is_met_to_the_digit(void **state)
{
	(void)state;
	double work[180];
	struct mann_whitney result;
	assert_true(mann_whitney(suite_canary, 90, suite_baseline, 90, 0.95, work, &result));
	/* The interval of Kayenta's suite, which R 4's wilcox.test(conf.int = TRUE, exact = FALSE) gives as well. */
	assert_near(result.low, -0.500002521696696, 1e-14);
	assert_near(result.high, -3.486287505871302e-5, 1e-14);
	assert_near(result.estimate, -0.4999393907180323, 1e-4);
	assert_near(result.p, 0.04097223499284412, 1e-12);
}

static void r_is_met_on_arrays_of_different_length(void **state)
{
	(void)state;
	static const double x[] = {14.6, 7.6, 8.6, 9.2, 8.1, 8.1, 11.5, 9.8, 10.3, 14.4, 10.7, 15.4, 14.6, 10.6, 13.8, 10.9, 8.2, 9.4, 10,
				   12, 11.7, 11.4, 12.6, 7.2, 12.5};
	static const double y[] = {11.4, 12.5, 12.2, 9, 10.4, 9.3, 12.4, 11.2, 10.8, 10.2, 9.9, 13, 8.8, 10.7, 11.6, 13.4, 9.6, 10.4, 8.4, 10.2,
				   10.2, 13.7, 12.2, 11.2, 12.9, 10.5, 11, 11.7, 14.4, 12.4};
	double work[COUNT(x) + COUNT(y)];
	struct mann_whitney result;
	assert_true(mann_whitney(x, COUNT(x), y, COUNT(y), 0.98, work, &result));
	/* R: wilcox.test(x, y, conf.int = TRUE, conf.level = .98, exact = FALSE) */
	assert_near(result.low, -1.7999580595845668, 1e-12);
	assert_near(result.high, 1.1000449878392033, 1e-12);
	assert_near(result.estimate, -0.3999459905273200, 1e-4);
	assert_near(result.p, 0.5540058803133598, 1e-12);
	assert_true(result.cles > 0.4 && result.cles < 0.5);
}

/* Kayenta's issue 6278: seven of ten canary points at 100 against ones pass; the eighth flips the verdict. */
static void issue_6278_passes_seven_and_flips_at_eight(void **state)
{
	(void)state;
	double canary[10] = {100, 100, 100, 100, 100, 100, 100, 1, 1, 1}, baseline[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, work[40];
	struct mann_whitney result;
	assert_int_equal(canary_classify(canary, 10, baseline, 10, CANARY_INCREASE, 1, work, &result), CANARY_PASS);
	assert_near(result.low, 6.825022991538781e-5, 1e-14); /* as the issue prints it, and R */
	assert_near(result.high, 99, 0);
	assert_near(0.25 * result.estimate, 24.75, 1e-4);
	canary[7] = 100;
	assert_int_equal(canary_classify(canary, 10, baseline, 10, CANARY_INCREASE, 1, work, &result), CANARY_HIGH);
	assert_near(result.low, 98.99993164762162, 1e-9); /* R */
	assert_int_equal(canary_classify(canary, 10, baseline, 10, CANARY_DECREASE, 1, work, &result), CANARY_PASS);
	assert_int_equal(canary_classify(baseline, 10, canary, 10, CANARY_EITHER, 1, work, &result), CANARY_LOW);
}

static void arrays_without_an_answer_are_told(void **state)
{
	(void)state;
	double three[] = {3, 3, 3}, five[] = {5, 5, 5}, mixed[] = {1, 2, 3}, gaps[] = {1, NAN, 3}, work[12];
	struct mann_whitney result;
	assert_int_equal(canary_classify(three, 0, five, 3, CANARY_EITHER, 1, work, &result), CANARY_NODATA);
	assert_int_equal(canary_classify(three, 3, three, 3, CANARY_EITHER, 1, work, &result), CANARY_PASS);
	assert_int_equal(canary_classify(three, 3, three, 2, CANARY_EITHER, 1, work, &result), CANARY_PASS);
	assert_false(mann_whitney(three, 3, five, 3, 0.98, work, &result)); /* all tied at the shift 2 */
	assert_int_equal(canary_classify(five, 3, three, 3, CANARY_EITHER, 1, work, &result), CANARY_HIGH); /* noise parts the ties; the interval ends at the search's end */
	assert_false(mann_whitney(gaps, 3, mixed, 3, 0.98, work, &result)); /* an infinite range has no interval */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kayentas_suite_is_met_to_the_digit),
		cmocka_unit_test(r_is_met_on_arrays_of_different_length),
		cmocka_unit_test(issue_6278_passes_seven_and_flips_at_eight),
		cmocka_unit_test(arrays_without_an_answer_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
