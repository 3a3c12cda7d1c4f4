#include "data/table.h"

#include "base/buf.h"
#include "tests/support/support.h"

#include <locale.h>
#include <math.h>

static void integers_are_exact_and_strict(void **state)
{
	(void)state;
	static const struct { const char *text; bool ok; int64_t value; } cases[] = {
		{"0", true, 0}, {"-0", true, 0}, {"+7", true, 7}, {"007", true, 7},
		{"9223372036854775807", true, INT64_MAX}, {"-9223372036854775808", true, INT64_MIN},
		{"9223372036854775808", false, 0}, {"-9223372036854775809", false, 0}, {"99999999999999999999", false, 0},
		{"", false, 0}, {"-", false, 0}, {"1.0", false, 0}, {" 1", false, 0}, {"1 ", false, 0}, {"0x1", false, 0}, {"1e3", false, 0},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t value = 42;
		assert_int_equal(value_int64(cases[i].text, strlen(cases[i].text), &value), cases[i].ok);
		assert_true(value == (cases[i].ok ? cases[i].value : 42));
	}
}

/* Right-hand sides are compiled: the compiler rounds correctly. */
static void decimals_are_correctly_rounded(void **state)
{
	(void)state;
	static const struct { const char *text; double value; } cases[] = {
		{"0", 0.0}, {"0.1", 0.1}, {"1e22", 1e22}, {"1e23", 1e23}, {"123456789012345678", 123456789012345678.0},
		{"9007199254740993", 9007199254740993.0}, {"9007199254740993.0000000000000000000001", 9007199254740994.0},
		{"2.2250738585072011e-308", 2.2250738585072011e-308}, {"1.7976931348623157e308", 1.7976931348623157e308},
		{"5e-324", 5e-324}, {".5", 0.5}, {"5.", 5.0}, {"-3.25E+2", -325.0}, {"0.000001", 1e-6}, {"1e-400", 0.0}, {"8.41E1", 84.1},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double value;
		assert_true(value_float64(cases[i].text, strlen(cases[i].text), &value));
		assert_true(value == cases[i].value);
	}
	static const char *const bad[] = {"", ".", "-", "e5", "1e", "1e+", "1,5", "1 ", " 1", "0x10", "1.2.3", "nano", "in", "1f"};
	double value = 42;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(value_float64(bad[i], strlen(bad[i]), &value));
	assert_true(value == 42);
	assert_true(value_float64("NaN", 3, &value) && isnan(value));
	assert_true(value_float64("-Infinity", 9, &value) && isinf(value) && value < 0);
	assert_true(value_float64("1e999", 5, &value) && isinf(value));
	assert_true(value_float64("-0.0", 4, &value) && value == 0 && signbit(value));
}

static void numbers_do_not_depend_on_the_locale(void **state)
{
	(void)state;
	if (!setlocale(LC_ALL, "de_DE.UTF-8"))
		skip();
	double value;
	bool ok = value_float64("3.14159265358979323846264", 25, &value);
	setlocale(LC_ALL, "C");
	assert_true(ok && value == 3.14159265358979323846264);
}

static void truth_is_read_in_few_spellings(void **state)
{
	(void)state;
	bool value;
	assert_true(value_bool("True", 4, &value) && value);
	assert_true(value_bool("0", 1, &value) && !value);
	assert_false(value_bool("yes", 3, &value));
	assert_false(value_bool("", 0, &value));
	assert_false(value_bool("10", 2, &value));
}

/* Seconds: date -u -d TEXT +%s (GNU coreutils). */
static void times_are_read_as_rfc_3339_has_them(void **state)
{
	(void)state;
	static const struct { const char *text; bool ok; int64_t us; const char *printed; } cases[] = {
		{"1970-01-01", true, 0, "1970-01-01T00:00:00Z"},
		{"2020-02-29T23:59:59Z", true, INT64_C(1583020799000000), "2020-02-29T23:59:59Z"},
		{"2020-01-01T00:00:00+02:00", true, INT64_C(1577829600000000), "2019-12-31T22:00:00Z"},
		{"1969-12-31 23:59:59.75", true, -250000, "1969-12-31T23:59:59.750000Z"},
		{"2021-06-05t04:03:02.1234567z", true, INT64_C(1622865782123456), "2021-06-05T04:03:02.123456Z"},
		{"0001-01-01", true, INT64_C(-62135596800000000), "0001-01-01T00:00:00Z"},
		{"9999-12-31T23:59:59Z", true, INT64_C(253402300799000000), "9999-12-31T23:59:59Z"},
		{"1990-12-31T23:59:60Z", true, INT64_C(662688000000000), "1991-01-01T00:00:00Z"},
		{"1900-02-29", false, 0, ""}, {"2021-02-29", false, 0, ""}, {"2021-13-01", false, 0, ""}, {"2021-00-01", false, 0, ""},
		{"2021-1-1", false, 0, ""}, {"2021-01-01T", false, 0, ""}, {"2021-01-01T24:00:00Z", false, 0, ""},
		{"2021-01-01T00:00Z", false, 0, ""}, {"2021-01-01T00:00:00.Z", false, 0, ""}, {"2021-01-01T00:00:00+2", false, 0, ""},
		{"2021-01-01T00:00:00ZZ", false, 0, ""}, {"2021/01/01", false, 0, ""}, {"yesterday!", false, 0, ""}, {"0000-01-01", false, 0, ""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t us = 42;
		char text[VALUE_TIMESTAMP_SIZE];
		assert_int_equal(value_timestamp(cases[i].text, strlen(cases[i].text), &us), cases[i].ok);
		if (!cases[i].ok)
			continue;
		assert_true(us == cases[i].us);
		value_timestamp_text(us, text);
		assert_string_equal(text, cases[i].printed);
	}
	char text[VALUE_TIMESTAMP_SIZE];
	value_timestamp_text(INT64_MIN, text);
	assert_string_equal(text, "");
	value_timestamp_text(INT64_MAX, text);
	assert_string_equal(text, "");
}

static const struct table_want wants[] = {
	{"y", VALUE_BOOL, false}, {"p", VALUE_FLOAT64, true}, {"c", VALUE_STRING, true}, {"n", VALUE_INT64, true}, {"t", VALUE_TIMESTAMP, true}};

static int read_text(const char *text, struct table **ret, struct error **err)
{
	cleanup_csv struct csv_reader *csv = NULL;
	if (csv_open_bytes(text, strlen(text), "p.csv", NULL, &csv, err) < 0)
		return -1;
	const struct table_limits limits = {.max_rows = 5000};
	return table_read(csv, "p.csv", wants, ARRAY_SIZE(wants), &limits, ret, err);
}

static void a_table_keeps_the_wanted_columns_in_the_wanted_order(void **state)
{
	(void)state;
	cleanup_table struct table *table = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(read_text("c,x,p,y,n,t\nfr,,0.5,1,-3,2020-01-01\n,,,false,,\n\"\",,1,true,4,\nfr,,1,true,4,\n", &table, &err), err);
	assert_int_equal(table->n_rows, 4);
	assert_int_equal(table->columns[0].boolean[0], 1);
	assert_true(table->columns[1].float64[0] == 0.5);
	assert_true(isnan(table->columns[1].float64[1]));
	assert_int_equal(table->columns[1].is_null[1], 1);
	assert_string_equal(table_string(&table->columns[2], 0), "fr");
	assert_string_equal(table_string(&table->columns[2], 3), "fr");
	assert_int_equal(table->columns[2].n_dictionary, 2);
	assert_int_equal(table->columns[2].is_null[1], 1);
	assert_int_equal(table->columns[2].is_null[2], 0);
	assert_int_equal(table->columns[3].int64[0], -3);
	assert_true(table->columns[4].int64[0] == INT64_C(1577836800000000));
}

static void a_table_grows(void **state)
{
	(void)state;
	cleanup_buf struct buf b;
	buf_init(&b, 1024 * 1024);
	buf_adds(&b, "y,p,c,n,t\n");
	for (int i = 0; i < 5000; i++)
		buf_addf(&b, "%d,%d.25,k%d,%s,\n", i & 1, i, i % 300, i % 2 ? "5" : "");
	cleanup_table struct table *table = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(read_text(b.data, &table, &err), err);
	assert_int_equal(table->n_rows, 5000);
	assert_int_equal(table->columns[2].n_dictionary, 300);
	for (size_t i = 0; i < 5000; i++) {
		char key[16];
		snprintf(key, sizeof(key), "k%zu", i % 300);
		assert_string_equal(table_string(&table->columns[2], i), key);
		assert_int_equal(table->columns[3].is_null[i], i % 2 == 0);
	}
	buf_adds(&b, "1,1,a,,\n");
	assert_int_equal(read_text(b.data, &table, &err), -1);
	assert_error(err, ERROR_TOO_LARGE, "p.csv:5002: more than 5000 rows");
}

static void what_does_not_fit_is_told_with_line_and_column(void **state)
{
	(void)state;
	static const struct { const char *text, *message; } cases[] = {
		{"y,p,c,n\n", "p.csv: no column \"t\"; the columns are y, p, c, n"},
		{"y,p,c,n,t\n,1,,,\n", "p.csv:2: column \"y\" is empty"},
		{"y,p,c,n,t\n1,1,\"a\nb\",,\n1,x,,,\n", "p.csv:4: column \"p\": \"x\" is no float64"},
		{"y,p,c,n,t\n1,1,,,2020\n", "p.csv:2: column \"t\": \"2020\" is no timestamp"},
		{"y,p,c,n,t\n1,1,,\n", "p.csv:2:6: 4 fields, but the header has 5"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_table struct table *table = NULL;
		cleanup_error struct error *err = NULL;
		assert_int_equal(read_text(cases[i].text, &table, &err), -1);
		assert_error(err, ERROR_INVALID, cases[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_exact_and_strict),
		cmocka_unit_test(decimals_are_correctly_rounded),
		cmocka_unit_test(numbers_do_not_depend_on_the_locale),
		cmocka_unit_test(truth_is_read_in_few_spellings),
		cmocka_unit_test(times_are_read_as_rfc_3339_has_them),
		cmocka_unit_test(a_table_keeps_the_wanted_columns_in_the_wanted_order),
		cmocka_unit_test(a_table_grows),
		cmocka_unit_test(what_does_not_fit_is_told_with_line_and_column),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
