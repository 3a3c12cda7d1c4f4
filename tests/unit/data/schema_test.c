#include "data/schema.h"

#include "base/alloc.h"
#include "tests/support/support.h"

static char *told(const char *text)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_data_schema struct data_schema *schema = data_schema_parse("s.yml", text, strlen(text), diags);
	struct buf out;
	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < diag_count(diags); i++) {
		const struct diag *diag = diag_at(diags, i);
		buf_addf(&out, "%u:%u: %s%s%s\n", diag->line, diag->column, diag->message, diag->hint ? "; " : "", diag->hint ? diag->hint : "");
	}
	assert_int_equal(schema == NULL, diag_errors(diags) > 0);
	return buf_steal(&out);
}

/* PIPELINE's example without its drift. */
static const char whole[] =
	"rows: {min: 1000}\nextra_columns: reject\ncolumns:\n"
	"  id:       {type: int64, unique: true, required: true}\n"
	"  amount:   {type: float64, min: 0, max: 1e6, null_fraction: {max: 0.01}, mean: {min: 10, max: 500}}\n"
	"  category: {type: string, in: [food, travel, other]}\n"
	"  at:       {type: timestamp, min: 2020-01-01T00:00:00Z, max_age: 2d}\n"
	"  email:    {type: string, matches: '^[^@ ]+@[^@ ]+$', length: {max: 254}}\n"
	"  score:    {type: float64, quantiles: {p99: {max: 1.0}}, distinct: {min: 100}}\n"
	"  opened_at: {type: timestamp, required: false}\n"
	"  closed_at: {type: timestamp}\n"
	"checks:\n"
	"  - {compare: [opened_at, \"<=\", closed_at]}\n"
	"  - {unique: [id, at]}\n"
	"  - {point_in_time: {feature: opened_at, label: closed_at}}\n";

static void the_whole_language_is_read(void **state)
{
	(void)state;
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_data_schema struct data_schema *s = data_schema_parse("s.yml", whole, strlen(whole), diags);
	assert_int_equal(diag_count(diags), 0);
	assert_true(s->rows.min.given && s->rows.min.whole == 1000 && !s->rows.max.given && s->reject_extra_columns);
	assert_int_equal(s->n_columns, 8);
	assert_true(s->columns[0].unique && s->columns[0].required && !s->columns[0].may_be_missing);
	assert_true(s->columns[1].value.max.number == 1e6 && s->columns[1].null_fraction.max.number == 0.01 && s->columns[1].mean.min.number == 10);
	assert_int_equal(s->columns[2].n_in, 3);
	assert_true(s->columns[3].value.min.whole == INT64_C(1577836800000000) && s->columns[3].max_age_ms == UINT64_C(2) * 86400000);
	assert_string_equal(s->columns[4].matches, "^[^@ ]+@[^@ ]+$");
	assert_true(s->columns[5].quantiles[0].fraction == 0.99 && s->columns[5].quantiles[0].range.max.number == 1);
	assert_true(s->columns[6].may_be_missing && !s->columns[7].may_be_missing && !s->columns[7].required);
	assert_int_equal(s->n_checks, 3);
	assert_string_equal(s->checks[0].text, "opened_at <= closed_at");
	assert_string_equal(s->checks[1].text, "id, at");
	assert_int_equal(s->checks[2].columns[1], 7);
}

static void mistakes_are_told_at_their_place(void **state)
{
	(void)state;
	static const struct { const char *text, *told; } cases[] = {
		{"", "1:1: the key \"columns\" is missing\n"},
		{"columns: {a: {type: int64, mni: 3}}", "1:28: unknown key \"mni\" in \"a\"; did you mean \"min\"?\n"},
		{"columns: {a: {type: integer}}", NULL},
		{"columns: {a: {}}", "1:14: the key \"type\" is missing in \"a\"\n"},
		{"columns: {a: {type: int64, min: x}}", "1:33: expected a number, not \"x\"\n"},
		{"columns: {a: {type: int64, min: 9, max: 3}}", "1:33: min 9 is greater than max 3\n"},
		{"columns: {a: {type: timestamp, min: yesterday}}", "1:37: expected a timestamp such as 2020-01-01T00:00:00Z, not \"yesterday\"\n"},
		{"columns: {a: {type: string, min: 3}}", "1:29: min is for columns of type int64, float64 and timestamp, and this one is string\n"},
		{"columns: {a: {type: int64, matches: x}}", "1:28: matches is for columns of type string, and this one is int64\n"},
		{"columns: {a: {type: int64, max_age: 2d}}", "1:28: max_age is for columns of type timestamp, and this one is int64\n"},
		{"columns: {a: {type: string, matches: 'a('}}", "1:38: not a pattern: missing closing parenthesis, at its character 3\n"},
		{"columns: {a: {type: int64, in: [1, two]}}", "1:36: \"two\" is no int64\n"},
		{"columns: {a: {type: float64, mean: {}}}", "1:36: it asks nothing: give min, max or both\n"},
		{"columns: {a: {type: float64, mean: {min: 3, max: 1}}}", "1:42: min 3 is greater than max 1\n"},
		{"columns: {a: {type: float64, null_fraction: {max: 2}}}", NULL},
		{"columns: {a: {type: float64, quantiles: {q5: {max: 2}, p101: {min: 1}}}}",
		 "1:42: expected a quantile from p0 to p100 such as p50 or p99.9, not \"q5\"\n"
		 "1:56: expected a quantile from p0 to p100 such as p50 or p99.9, not \"p101\"\n"},
		{"columns: {a: {type: timestamp, max_age: 2}}", NULL},
		{"columns: {abc: {type: int64}}\nchecks: [{unique: [abd]}]", "2:20: \"abd\" is none of the columns above; did you mean \"abc\"?\n"},
		{"columns: {a: {type: int64}, b: {type: string}}\nchecks: [{compare: [a, <, b]}]", "2:20: int64 cannot be compared with string\n"},
		{"columns: {a: {type: int64}, b: {type: float64}}\nchecks: [{compare: [a, =<, b]}]",
		 "2:24: expected one of <, <=, >, >=, == or !=, not \"=<\"\n"},
		{"columns: {a: {type: int64}}\nchecks: [{point_in_time: {feature: a, label: a}}]",
		 "2:36: \"a\" must be a column of type timestamp, not int64\n2:46: \"a\" must be a column of type timestamp, not int64\n"},
		{"columns: {a: {type: int64}}\nchecks: [{}]", "2:10: expected one of compare, unique or point_in_time in each check\n"},
		{"columns: {a: {type: int64}}\ndrift: {reference: r.csv}", "2:8: checks of drift are not available in this build\n"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *got = told(cases[i].text);
		if (cases[i].told)
			assert_string_equal(got, cases[i].told);
		else
			assert_true(strlen(got) > 0); /* the exact words are those of the language's own checks */
	}
}

/* Every prefix of a schema, and the schema with one byte changed, is read or refused: never a crash. */
static void damaged_schemas_are_refused(void **state)
{
	(void)state;
	cleanup_free char *text = xstrdup(whole);
	for (size_t i = 0; i < sizeof(whole) - 1; i++) {
		static const char bytes[] = "{]:'\n-0%";
		char kept = text[i];
		text[i] = '\0';
		free(told(text));
		text[i] = bytes[i % (sizeof(bytes) - 1)];
		free(told(text));
		text[i] = kept;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_language_is_read),
		cmocka_unit_test(mistakes_are_told_at_their_place),
		cmocka_unit_test(damaged_schemas_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
