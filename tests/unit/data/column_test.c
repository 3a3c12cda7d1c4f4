#include "data/column.h"

#include "base/alloc.h"
#include "tests/support/support.h"

#include <math.h>

static void check_close(double got, double expected, double relative)
{
	if (!(fabs(got - expected) <= relative * fabs(expected)))
		fail_msg("%.17g is not %.17g within %g", got, expected, relative);
}

/* NIST Statistical Reference Datasets, univariate, Lottery.dat: 218 draws; certified mean and standard deviation to 15 digits
 * (https://www.itl.nist.gov/div898/strd/univ/lottery.html). */
static const int lottery[] = {
	162, 671, 933, 414, 788, 730, 817, 33,  536, 875, 670, 236, 473, 167, 877, 980, 316, 950, 456, 92,  517, 557, 956, 954, 104, 178, 794, 278,
	147, 773, 437, 435, 502, 610, 582, 780, 689, 562, 964, 791, 28,	 97,  848, 281, 858, 538, 660, 972, 671, 613, 867, 448, 738, 966, 139, 636,
	847, 659, 754, 243, 122, 455, 195, 968, 793, 59,  730, 361, 574, 522, 97,  762, 431, 158, 429, 414, 22,	 629, 788, 999, 187, 215, 810, 782,
	47,  34,  108, 986, 25,	 644, 829, 630, 315, 567, 919, 331, 207, 412, 242, 607, 668, 944, 749, 168, 864, 442, 533, 805, 372, 63,  458, 777,
	416, 340, 436, 140, 919, 350, 510, 572, 905, 900, 85,  389, 473, 758, 444, 169, 625, 692, 140, 897, 672, 288, 312, 860, 724, 226, 884, 508,
	976, 741, 476, 417, 831, 15,  318, 432, 241, 114, 799, 955, 833, 358, 935, 146, 630, 830, 440, 642, 356, 373, 271, 715, 367, 393, 190, 669,
	8,   861, 108, 795, 269, 590, 326, 866, 64,  523, 862, 840, 219, 382, 998, 4,	628, 305, 747, 247, 34,	 747, 729, 645, 856, 974, 24,  568,
	24,  694, 608, 480, 410, 729, 947, 293, 53,  930, 223, 203, 677, 227, 62,  455, 387, 318, 562, 242, 428, 968};

static void moments_are_those_that_nist_certifies(void **state)
{
	(void)state;
	struct moments m = {0};
	assert_int_equal(ARRAY_SIZE(lottery), 218);
	for (size_t i = 0; i < ARRAY_SIZE(lottery); i++)
		moments_add(&m, lottery[i]);
	check_close(moments_mean(&m), 518.958715596330, 1e-14);
	check_close(moments_sd(&m), 291.699727470969, 1e-14);

	/* NumAcc1: 10000001, 10000003, 10000002. */
	struct moments first = {0};
	moments_add(&first, 10000001);
	moments_add(&first, 10000003);
	moments_add(&first, 10000002);
	assert_true(moments_mean(&first) == 10000002.0);
	assert_true(moments_sd(&first) == 1.0);

	/* NumAcc2, 3 and 4: x.2, then 500 times x.1 and x.3; certified sd 0.1. Those decimals are not exact in binary, so what can be had is
	 * the sd of the doubles nearest to them (exact rational arithmetic, Python's fractions). */
	static const struct { double low, middle, high, sd; } sets[] = {
		{1.1, 1.2, 1.3, 0.1}, {1000000.1, 1000000.2, 1000000.3, 0.1000000000349245965}, {10000000.1, 10000000.2, 10000000.3, 0.1000000005587935447}};
	for (size_t s = 0; s < ARRAY_SIZE(sets); s++) {
		struct moments set = {0};
		moments_add(&set, sets[s].middle);
		for (int i = 0; i < 500; i++) {
			moments_add(&set, sets[s].low);
			moments_add(&set, sets[s].high);
		}
		check_close(moments_mean(&set), sets[s].middle, 1e-15);
		check_close(moments_sd(&set), sets[s].sd, 1e-15);
	}
}

static void an_outlier_in_front_costs_no_digits(void **state)
{
	(void)state;
	struct moments m = {0};
	moments_add(&m, 1e12);
	for (int i = 0; i < 1000; i++)
		moments_add(&m, i % 2 ? 1.0 : 2.0);
	/* mean = (1e12 + 1500) / 1001; the sum of squares about it in exact rational arithmetic (Python's fractions). */
	check_close(moments_mean(&m), 999001000.4995005, 1e-15);
	check_close(moments_sd(&m), 31606977062.003288, 1e-14);
	struct moments none = {0};
	assert_true(isnan(moments_mean(&none)) && isnan(moments_sd(&none)));
	moments_add(&none, 3);
	assert_true(moments_mean(&none) == 3 && isnan(moments_sd(&none)));
	struct moments huge = {0};
	moments_add(&huge, -1.7e308);
	moments_add(&huge, 1.7e308);
	assert_true(isinf(moments_sd(&huge)));
}

static void quantiles_are_those_of_r_and_numpy(void **state)
{
	(void)state;
	/* numpy.quantile([7, 1, 3, 5], q), its default method "linear". */
	static const struct { double p, expected; } cases[] = {{0, 1}, {0.25, 2.5}, {0.5, 4}, {0.9, 6.4}, {1, 7}};
	struct samples samples = {0};
	assert_true(isnan(samples_quantile(&samples, 0.5)));
	static const double values[] = {7, 1, 3, 5};
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		assert_true(samples_add(&samples, values[i]));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_close(samples_quantile(&samples, cases[i].p), cases[i].expected, 1e-15);
	samples_done(&samples);
}

static struct value value_of(enum value_type type, const char *text)
{
	struct value value = {0};
	assert_true(value_read(type, text, strlen(text), &value));
	return value;
}

static void values_compare_exactly(void **state)
{
	(void)state;
	static const struct { enum value_type left_type; const char *left; enum value_type right_type; const char *right; int order; } cases[] = {
		{VALUE_INT64, "9007199254740993", VALUE_FLOAT64, "9007199254740992", 1}, /* 2^53 + 1 is no double */
		{VALUE_INT64, "9007199254740993", VALUE_INT64, "9007199254740992", 1},
		{VALUE_INT64, "9223372036854775807", VALUE_FLOAT64, "9223372036854775808", -1},
		{VALUE_INT64, "-9223372036854775808", VALUE_FLOAT64, "-9223372036854775808", 0},
		{VALUE_INT64, "-3", VALUE_FLOAT64, "-2.5", -1},
		{VALUE_FLOAT64, "-2.5", VALUE_INT64, "-3", 1},
		{VALUE_FLOAT64, "-0", VALUE_FLOAT64, "0", 0},
		{VALUE_STRING, "ab", VALUE_STRING, "abc", -1},
		{VALUE_STRING, "b", VALUE_STRING, "abc", 1},
		{VALUE_TIMESTAMP, "2020-01-01", VALUE_TIMESTAMP, "2020-01-01T01:00:00+01:00", 0},
		{VALUE_BOOL, "false", VALUE_BOOL, "1", -1},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct value left = value_of(cases[i].left_type, cases[i].left), right = value_of(cases[i].right_type, cases[i].right);
		assert_int_equal(value_compare(&left, &right), cases[i].order);
		assert_int_equal(value_compare(&right, &left), -cases[i].order);
	}
	struct value none;
	assert_false(value_read(VALUE_FLOAT64, "nan", 3, &none));
	assert_false(value_read(VALUE_FLOAT64, "-inf", 4, &none));
}

static void a_set_tells_values_apart(void **state)
{
	(void)state;
	cleanup_value_set struct value_set *set = value_set_new(100000);
	uint64_t mark = 0;
	for (int64_t i = 0; i < 100000; i++)
		assert_int_equal(value_set_add(set, fingerprint_of_bytes(&i, sizeof(i)), (uint64_t)i, NULL), SET_NEW);
	for (int64_t i = 0; i < 100000; i++) {
		assert_int_equal(value_set_add(set, fingerprint_of_bytes(&i, sizeof(i)), 7, &mark), SET_KNOWN);
		assert_int_equal(mark, i);
	}
	assert_int_equal(value_set_count(set), 100000);
	assert_int_equal(value_set_add(set, fingerprint_of_bytes("x", 1), 0, NULL), SET_FULL);
	assert_false(value_set_has(set, fingerprint_of_bytes("x", 1)));
	struct value one = value_of(VALUE_FLOAT64, "1"), same = value_of(VALUE_FLOAT64, "1.00"), zero = value_of(VALUE_FLOAT64, "-0"),
		     plain = value_of(VALUE_FLOAT64, "0");
	struct fingerprint a = fingerprint_of_value(&one), b = fingerprint_of_value(&same);
	assert_memory_equal(&a, &b, sizeof(a));
	a = fingerprint_of_value(&zero);
	b = fingerprint_of_value(&plain);
	assert_memory_equal(&a, &b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moments_are_those_that_nist_certifies), cmocka_unit_test(an_outlier_in_front_costs_no_digits),
		cmocka_unit_test(quantiles_are_those_of_r_and_numpy),	 cmocka_unit_test(values_compare_exactly),
		cmocka_unit_test(a_set_tells_values_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
