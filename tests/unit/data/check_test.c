#include "data/check.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "data/infer.h"
#include "tests/support/support.h"

static struct data_schema *schema_of(const char *text)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	struct data_schema *schema = data_schema_parse("s.yml", text, strlen(text), diags);
	for (size_t i = 0; i < diag_count(diags); i++)
		print_message("%s\n", diag_at(diags, i)->message);
	assert_non_null(schema);
	return schema;
}

static void add_example(struct buf *out, const struct check_report *report, const struct check_example *example)
{
	buf_addf(out, " %s%s%llu=%s", report->n_files > 1 ? report->files[example->file] : "", report->n_files > 1 ? ":" : "",
		 (unsigned long long)example->line, example->value);
	if (example->note)
		buf_addf(out, "(%s)", example->note);
	if (example->first_line)
		buf_addf(out, "(first %llu)", (unsigned long long)example->first_line);
}

/* Every check that did not pass, one a line: "a min 1: 1 of 3: 3=0"; or the error. Files are named by their basename. */
static char *told(const struct fixture *fixture, const char *schema_text, const char *const *texts, size_t n)
{
	cleanup_data_schema struct data_schema *schema = schema_of(schema_text);
	const char *names[4] = {"t0.csv", "t1.csv", "t2.csv", "t3.csv"};
	struct buf out;
	cleanup_error struct error *err = NULL;
	cleanup_check_report struct check_report *report = NULL;
	buf_init(&out, 1 << 20);
	assert_int_equal(chdir(fixture->dir), 0);
	for (size_t i = 0; i < n; i++)
		free(fixture_write(fixture, names[i], texts[i]));
	if (data_check(schema, names, n, &report, &err) < 0) {
		buf_addf(&out, "! %s", error_message(err));
		assert_null(report);
		return buf_steal(&out);
	}
	bool passed = true;
	for (size_t i = 0; i < report->n_checks; i++) {
		const struct check_row *row = &report->checks[i];
		if (row->verdict == CHECK_PASS)
			continue;
		passed = passed && row->verdict == CHECK_SKIP;
		cleanup_free char *observed = row->observed ? json_dumps(row->observed, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)) : NULL;
		buf_addf(&out, "%s%s%s %s:", row->column ? row->column : "", row->column ? " " : "", row->name, check_verdict_name(row->verdict));
		if (observed)
			buf_addf(&out, " %s", observed);
		if (row->count)
			buf_addf(&out, " %llu of %llu:", (unsigned long long)row->count, (unsigned long long)report->rows);
		for (size_t k = 0; k < row->n_examples; k++)
			add_example(&out, report, &row->examples[k]);
		buf_addc(&out, '\n');
	}
	assert_int_equal(passed, report->passed);
	return buf_steal(&out);
}

static const struct { const char *schema, *data, *told; } cases[] = {
	/* rows and columns */
	{"rows: {min: 2}\ncolumns: {a: {type: int64}}", "a\n1\n2\n", ""},
	{"rows: {min: 3, max: 9}\ncolumns: {a: {type: int64}}", "a\n1\n2\n", "min_rows fail: 2\n"},
	{"rows: {max: 1}\ncolumns: {a: {type: int64}}", "a\n1\n2\n", "max_rows fail: 2\n"},
	{"rows: {min: 1}\ncolumns: {a: {type: int64}}", "a\n", "min_rows fail: 0\n"},
	{"columns: {a: {type: int64}}", "a,b\n1,2\n", ""},
	{"extra_columns: reject\ncolumns: {a: {type: int64}}", "a,b,c\n1,2,3\n", "extra_columns fail: 2 of 1: 1=b 1=c\n"},
	{"columns: {a: {type: int64}, b: {type: int64, min: 0, mean: {min: 1}}}", "a\n1\n",
	 "b present fail: 1 of 1: 1=b(no such column)\nb type skip:\nb min skip:\nb mean skip: null\n"},
	{"columns: {a: {type: int64}, b: {type: int64, required: false}}\nchecks: [{compare: [a, <, b]}]", "a\n1\n",
	 "b type skip:\ncompare skip:\n"},
	/* types and nulls */
	{"columns: {a: {type: int64}}", "a\n1\n1.5\nx\n+3\n", "a type fail: 2 of 4: 3=1.5 4=x\n"},
	{"columns: {a: {type: float64, max: 3}}", "a\n1\nnan\ninf\n 2\n", "a type fail: 3 of 4: 3=nan 4=inf 5= 2\n"},
	{"columns: {a: {type: bool}}", "a\ntrue\nFALSE\n1\nyes\n", "a type fail: 1 of 4: 5=yes\n"},
	{"columns: {a: {type: timestamp}}", "a\n2020-02-29\n2021-02-29\n", "a type fail: 1 of 2: 3=2021-02-29\n"},
	{"columns: {a: {type: int64}, b: {type: string, required: true}}", "a,b\n,x\n1,\n\"\",\"\"\n",
	 "a type fail: 1 of 3: 4=\nb required fail: 1 of 3: 3=\n"},
	{"columns: {a: {type: int64, null_fraction: {max: 40%}}, b: {type: int64}}", "a,b\n,1\n,2\n1,3\n4,4\n",
	 "a null_fraction fail: 0.5\n"},
	{"columns: {a: {type: int64, null_fraction: {max: 50%}}, b: {type: int64}}", "a,b\n,1\n,2\n1,3\n4,4\n", ""},
	/* values */
	{"columns: {a: {type: int64, min: 9007199254740993}}", "a\n9007199254740992\n9007199254740993\n",
	 "a min fail: 1 of 2: 2=9007199254740992\n"},
	{"columns: {a: {type: int64, min: 0.5, max: 1e6}}", "a\n0\n1\n1000000\n1000001\n", "a min fail: 1 of 4: 2=0\na max fail: 1 of 4: 5=1000001\n"},
	{"columns: {a: {type: float64, min: 0, max: 0.3}}", "a\n0\n-0.0\n0.3\n0.30000000000000004\n-1e-300\n",
	 "a min fail: 1 of 5: 6=-1e-300\na max fail: 1 of 5: 5=0.30000000000000004\n"},
	{"columns: {a: {type: timestamp, min: 2020-01-01T00:00:00Z}}", "a\n2020-01-01T00:30:00+01:00\n2020-01-01\n",
	 "a min fail: 1 of 2: 2=2020-01-01T00:30:00+01:00\n"},
	{"columns: {a: {type: string, in: [x, \"y z\"]}}", "a\nx\ny z\nX\n\"x\"\n", "a in fail: 1 of 4: 4=X\n"},
	{"columns: {a: {type: float64, in: [1, 2.5]}}", "a\n1.0\n2.50\n3\n", "a in fail: 1 of 3: 4=3\n"},
	{"columns: {a: {type: string, matches: '^[a-z]+$'}}", "a\nabc\n\"abc\n\"\nAbc\n", "a matches fail: 2 of 3: 3=abc\n 5=Abc\n"},
	{"columns: {a: {type: string, length: {min: 2, max: 3}}}", "a\n\xc3\xa4\xc3\xb6\xc3\xbc\nabcd\na\n", "a length fail: 2 of 3: 3=abcd 4=a\n"},
	{"columns: {a: {type: int64, unique: true}, b: {type: int64}}", "a,b\n1,1\n2,1\n01,1\n,1\n,1\n1,1\n",
	 "a unique fail: 2 of 6: 4=01(first 2) 7=1(first 2)\n"},
	/* aggregates; no values are no pass */
	{"columns: {a: {type: float64, mean: {min: 2, max: 3}, sd: {max: 1}}}", "a\n1\n2\n3\n6\n", "a sd fail: 2.16025\n"},
	{"columns: {a: {type: float64, mean: {max: 3}}, b: {type: int64}}", "a,b\n,1\n", "a mean fail: null\n"},
	{"columns: {a: {type: float64, sd: {max: 3}}}", "a\n1\n", "a sd fail: null\n"},
	{"columns: {a: {type: bool, mean: {max: 0.5}}}", "a\n1\ntrue\nfalse\n", "a mean fail: 0.666667\n"},
	{"columns: {a: {type: int64, distinct: {min: 2, max: 2}}}", "a\n1\n1\n", "a distinct fail: 1\n"},
	{"columns: {a: {type: float64, quantiles: {p50: {max: 2}, p100: {max: 4}}}}", "a\n1\n2\n4\n3\n", "a p50 fail: 2.5\n"},
	{"columns: {a: {type: timestamp, max_age: 2d}}", "a\n2026-01-01\n2026-01-08T00:00:00Z\n", ""},
	{"columns: {a: {type: timestamp, max_age: 2d}}", "a\n2026-01-01\n2026-01-07T23:59:59Z\n", "a max_age fail: \"2026-01-07T23:59:59Z\"\n"},
	/* several columns */
	{"columns: {a: {type: int64}, b: {type: float64}}\nchecks: [{compare: [a, \"<=\", b]}]", "a,b\n1,1\n2,1.5\n3,\n,1\nx,1\n",
	 "a type fail: 1 of 5: 6=x\ncompare fail: 1 of 5: 3=2, 1.5\n"},
	{"columns: {u: {type: string}, d: {type: timestamp}}\nchecks: [{unique: [u, d]}]",
	 "u,d\nx,2020-01-01\nx,2020-01-02\ny,2020-01-01\nx,2020-01-01T00:00:00Z\nx,\nx,\n", "unique fail: 1 of 6: 5=x, 2020-01-01T00:00:00Z(first 2)\n"},
	{"columns: {u: {type: string}, v: {type: string}}\nchecks: [{unique: [u, v]}]", "u,v\nab,c\na,bc\n", ""},
	{"columns: {f: {type: timestamp}, l: {type: timestamp}}\nchecks: [{point_in_time: {feature: f, label: l}}]",
	 "f,l\n2020-01-01,2020-01-02\n2020-01-03,2020-01-02\n", "point_in_time fail: 1 of 2: 3=2020-01-03, 2020-01-02\n"},
	/* lines are physical */
	{"columns: {a: {type: string}, b: {type: int64, max: 1}}", "a,b\n\"x\ny\",1\n\nz,2\n", "b max fail: 1 of 2: 5=2\n"},
	/* malformed */
	{"columns: {a: {type: int64}}", "", "! t0.csv:1:1: the file is empty; expected a header line"},
	{"columns: {a: {type: int64}, b: {type: int64}}", "a,b\n1,2\n3\n", "! t0.csv:3:2: 1 field, but the header has 2"},
	{"columns: {a: {type: int64}, b: {type: int64}}", "a,b\n1,2\n3\n4,5\n6,7,8\n9\n",
	 "! t0.csv:3:2: 1 field, but the header has 2 (and 2 more malformed records: lines 5, 6)"},
	{"columns: {a: {type: string}, b: {type: int64}}", "a,b\n\xff,2\n", "! t0.csv:2:1: bytes that are not UTF-8"},
};

static void checks_find_what_they_are_for(void **state)
{
	const struct fixture *fixture = *state;
	static const int64_t tenth = INT64_C(1768003200000);
	clock_set_fake(&tenth); /* 2026-01-10T00:00:00Z */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *got = told(fixture, cases[i].schema, &cases[i].data, 1);
		if (strcmp(got, cases[i].told) != 0)
			print_message("case %zu: %s\n", i, cases[i].schema);
		assert_string_equal(got, cases[i].told);
	}
	clock_set_fake(NULL);
}

static void several_files_are_one_table(void **state)
{
	const struct fixture *fixture = *state;
	static const char *const texts[] = {"a,b\n1,1\n2,2\n", "b,a\n3,2\n4,x\n"};
	cleanup_free char *got = told(fixture, "rows: {min: 5}\ncolumns: {a: {type: int64, unique: true}, b: {type: int64, max: 3}}", texts, 2);
	assert_string_equal(got, "min_rows fail: 4\na type fail: 1 of 4: t1.csv:3=x\na unique fail: 1 of 4: t1.csv:2=2(first 3)\n"
				 "b max fail: 1 of 4: t1.csv:3=4\n");
	static const char *const lacking[] = {"a\n1\n", "b\n3\n"};
	cleanup_free char *missing = told(fixture, "columns: {a: {type: int64, min: 0}}", lacking, 2);
	assert_string_equal(missing, "a present fail: 1 of 2: t1.csv:1=a(no such column)\na type skip:\na min skip:\n");
}

/* (a+)+$ on a long row of a's and a b takes 2^n steps when one lets it. */
static void a_pattern_without_end_is_stopped(void **state)
{
	const struct fixture *fixture = *state;
	static const char *const text = "a\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\naaaa\n";
	cleanup_free char *got = told(fixture, "columns: {a: {type: string, matches: '^(a+)+$'}}", &text, 1);
	assert_string_equal(got, "a matches fail: 1 of 2: 2=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"
				 "(the pattern needs too many steps)\n");
}

static void only_ten_examples_are_kept_and_long_ones_are_cut(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_buf struct buf text;
	buf_init(&text, 1 << 22);
	buf_adds(&text, "a\n");
	for (int i = 0; i < 12; i++) {
		for (int k = 0; i == 0 && k < 100000; k++)
			buf_adds(&text, "\xc3\xa4");
		buf_addf(&text, "x%d\n", i);
	}
	const char *bytes = text.data;
	cleanup_free char *got = told(fixture, "columns: {a: {type: int64}}", &bytes, 1);
	assert_non_null(strstr(got, "a type fail: 12 of 12: 2=\xc3\xa4"));
	assert_non_null(strstr(got, "\xc3\xa4... (200002 bytes) 3=x1"));
	assert_non_null(strstr(got, "11=x9\n"));
}

static void what_this_build_does_not_read_is_said(void **state)
{
	(void)state;
	static const struct { const char *path, *message; } files[] = {
		{"x.parquet", "x.parquet: Parquet is not available in this build; convert it to CSV"},
		{"x.jsonl", "x.jsonl: JSON Lines is not available in this build; convert it to CSV"},
	};
	cleanup_data_schema struct data_schema *schema = schema_of("columns: {a: {type: int64}}");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_error struct error *err = NULL;
		cleanup_check_report struct check_report *report = NULL;
		assert_int_equal(data_check(schema, &files[i].path, 1, &report, &err), -1);
		assert_error(err, ERROR_UNSUPPORTED, files[i].message);
	}
}

static void an_inferred_schema_fits_its_data(void **state)
{
	const struct fixture *fixture = *state;
	static const char *const text = "id,x,\"odd: name\",flag,at,kind,true,empty\n"
					"3,1,a,true,2020-01-01,red,k1,\n1,2.50,b,false,2020-03-01T10:00:00Z,red,k2,\n2,-3e2,,true,,red,k3,\n"
					"4,0,d,true,2020-01-02,blue,k4,\n5,0,e,true,2020-01-02,red,k5,\n6,0,f,true,2020-01-02,red,k6,\n"
					"7,0,f,true,2020-01-02,blue,k7,\n8,0,f,true,2020-01-02,red,k8,\n9,0,f,true,2020-01-02,red,k9,\n"
					"10,0,f,true,2020-01-02,red,\"k\"\"10\",\n";
	cleanup_free char *path = fixture_write(fixture, "data.csv", text);
	cleanup_buf struct buf schema;
	cleanup_error struct error *err = NULL;
	buf_init(&schema, 1 << 20);
	assert_ok(data_infer(path, &schema, &err), err);
	assert_string_equal(schema.data, "# Made from 10 rows. It fits them exactly: widen what may vary, drop what does not matter.\n"
					 "rows: {min: 1}\nextra_columns: reject\ncolumns:\n"
					 "  id: {type: int64, required: true, unique: true, min: 1, max: 10}\n"
					 "  x: {type: float64, required: true, min: -3e2, max: 2.50}\n"
					 "  \"odd: name\": {type: string}\n"
					 "  flag: {type: bool, required: true}\n"
					 "  at: {type: timestamp, min: 2020-01-01T00:00:00Z, max: 2020-03-01T10:00:00Z}\n"
					 "  kind: {type: string, required: true, in: [\"red\", \"blue\"]}\n"
					 "  \"true\": {type: string, required: true, unique: true}\n"
					 "  empty: {type: string}\n");
	cleanup_free char *got = told(fixture, schema.data, &text, 1);
	assert_string_equal(got, "");
}

static int leave(void **state)
{
	return chdir("/") == 0 ? fixture_teardown(state) : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(checks_find_what_they_are_for, fixture_setup, leave),
		cmocka_unit_test_setup_teardown(several_files_are_one_table, fixture_setup, leave),
		cmocka_unit_test_setup_teardown(a_pattern_without_end_is_stopped, fixture_setup, leave),
		cmocka_unit_test_setup_teardown(only_ten_examples_are_kept_and_long_ones_are_cut, fixture_setup, leave),
		cmocka_unit_test(what_this_build_does_not_read_is_said),
		cmocka_unit_test_setup_teardown(an_inferred_schema_fits_its_data, fixture_setup, leave),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
