/* `penstock score` and `penstock gate` as a person or a script calls them: files in, text and JSON out, exit statuses. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "stages/command.h"
#include "tests/support/command_run.h"

static int enter(void **state)
{
	if (fixture_setup(state) != 0)
		return -1;
	const struct fixture *fixture = *state;
	return chdir(fixture->dir);
}

static int leave(void **state)
{
	if (chdir("/") != 0)
		return -1;
	return fixture_teardown(state);
}

static void write_file(const struct fixture *fixture, const char *name, const char *text)
{
	free(fixture_write(fixture, name, text));
}

/* scikit-learn's example for roc_auc_score and average_precision_score (1.2 documentation), in two slices of one class mix each. */
static const char predictions[] = "id,y,p,c\n1,0,0.1,fr\n2,0,0.4,de\n3,1,0.35,fr\n4,1,0.8,de\n";
#define SCORE "score --predictions p.csv --task binary --label y --prediction p"

static const json_t *row(const json_t *result, const char *list, const char *name, const char *slice)
{
	size_t i;
	json_t *each;
	json_array_foreach(json_object_get(result, list), i, each) {
		const char *its = json_string_or(each, "slice", NULL);
		if (strcmp(json_string_or(each, "name", ""), name) == 0 && (slice ? its && strcmp(its, slice) == 0 : !its))
			return each;
	}
	fail_msg("no row %s", name);
	return NULL;
}

static json_t *result_of(const struct said *said)
{
	json_t *json = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(json_parse(said->out, strlen(said->out), &json, &err), err);
	return json;
}

static void score_gives_values_with_intervals_by_slices(void **state)
{
	const struct fixture *fixture = *state;
	write_file(fixture, "p.csv", predictions);
	cleanup_said struct said said =
		command_line(fixture, score_command, SCORE " --metrics roc_auc,average_precision --metrics f1 --slice c --format json");
	assert_int_equal(said.status, 0);
	cleanup_json json_t *result = result_of(&said);
	assert_int_equal(json_int_or(result, "rows", 0), 4);
	const json_t *auc = row(result, "metrics", "roc_auc", NULL);
	assert_true(json_number_or(auc, "value", 0) == 0.75);
	assert_string_equal(json_string_or(auc, "method", ""), "delong");
	assert_int_equal(json_int_or(auc, "n", 0), 4);
	assert_true(json_number_or(row(result, "metrics", "roc_auc", "c=fr"), "value", 0) == 1);
	assert_true(json_number_or(row(result, "metrics", "f1", NULL), "value", 0) > 0.66);
	assert_non_null(strstr(said.err, "roc_auc"));
	assert_non_null(strstr(said.err, "4 rows, binary"));
	/* The same again gives the same bytes. */
	cleanup_said struct said again =
		command_line(fixture, score_command, SCORE " --metrics roc_auc,average_precision --metrics f1 --slice c --format json");
	assert_string_equal(said.out, again.out);
}

static void score_prints_a_table_for_people(void **state)
{
	const struct fixture *fixture = *state;
	write_file(fixture, "p.csv", predictions);
	cleanup_said struct said said = command_line(fixture, score_command, SCORE " --metrics roc_auc,accuracy");
	assert_int_equal(said.status, 0);
	assert_string_equal(said.out, "4 rows, binary\n"
				      "metric    slice  value  interval            rows  method\n"
				      "roc_auc   -      0.75   0.057048 .. 1       4     delong\n"
				      "accuracy  -      0.75   0.30064 .. 0.95441  4     wilson\n");
	assert_string_equal(said.err, "");
}

static void score_compares_row_by_row_where_the_rows_are_the_same(void **state)
{
	const struct fixture *fixture = *state;
	write_file(fixture, "p.csv", predictions);
	write_file(fixture, "old.csv", "y,p\nfalse,0.1\n0,0.2\nTrue,0.1\n1.0,0.3\n");
	cleanup_said struct said said = command_line(fixture, score_command, SCORE " --metrics brier --against old.csv --slice c --format json");
	assert_int_equal(said.status, 0);
	cleanup_json json_t *result = result_of(&said);
	const json_t *paired = row(result, "paired", "brier", NULL);
	/* by hand: mine .1525 * ... squares .01 .16 .4225 .04 against .01 .04 .81 .49 */
	double expected = (0.01 + 0.16 + 0.4225 + 0.04) / 4 - (0.01 + 0.04 + 0.81 + 0.49) / 4;
	assert_true(json_number_or(paired, "difference", 0) - expected < 1e-12 && expected - json_number_or(paired, "difference", 0) < 1e-12);
	assert_string_equal(json_string_or(paired, "method", ""), "paired mean difference");
	row(result, "paired", "brier", "c=de");
	write_file(fixture, "old.csv", "y,p\n1,0.1\n0,0.2\n1,0.1\n1,0.3\n");
	cleanup_said struct said other = command_line(fixture, score_command, SCORE " --metrics brier --against old.csv --format json");
	assert_int_equal(other.status, 0);
	cleanup_json json_t *unpaired = result_of(&other);
	assert_int_equal(json_array_size(json_object_get(unpaired, "paired")), 0);
	assert_string_equal(json_string_or(json_object_get(unpaired, "against"), "note", ""),
			    "not compared row by row: the other model's rows have other labels");
}

static void what_cannot_be_measured_in_a_slice_is_noted(void **state)
{
	const struct fixture *fixture = *state;
	write_file(fixture, "p.csv", "y,p,c\n0,0.1,fr\n1,0.4,fr\n1,0.35,\n");
	cleanup_said struct said said = command_line(fixture, score_command, SCORE " --metrics roc_auc --slice c --format json");
	assert_int_equal(said.status, 0);
	cleanup_json json_t *result = result_of(&said);
	const json_t *empty = row(result, "metrics", "roc_auc", "c=");
	assert_true(json_is_null(json_object_get(empty, "value")));
	assert_string_equal(json_string_or(empty, "note", ""), "roc_auc needs both classes, but all 1 rows are labelled 1");
}

static void score_tells_what_is_wrong(void **state)
{
	const struct fixture *fixture = *state;
	static const struct { const char *csv, *line, *message; } cases[] = {
		{predictions, "score --predictions p.csv", "--predictions, --task, --label and --prediction are needed; see penstock score --help"},
		{predictions, SCORE " --metrics roc_auk", "there is no metric \"roc_auk\"; did you mean \"roc_auc\"?"},
		{predictions, SCORE " --metrics rmse", "p.csv: rmse is a metric of regression tasks, not of binary ones"},
		{predictions, SCORE " --task multiclass", "the task multiclass is not available in this build; use binary or regression"},
		{predictions, SCORE " --task ranking", "--task: expected binary or regression, not \"ranking\""},
		{predictions, SCORE " --confidence 95", "--confidence: expected a number from 0.5 to 0.9999, not \"95\""},
		{predictions, SCORE " --format xml", "--format: expected text or json, not \"xml\""},
		{predictions, SCORE " more", "unexpected argument \"more\""},
		{predictions, SCORE " --slice city", "p.csv: no column \"city\"; the columns are id, y, p, c"},
		{"y,p\n0,0.5\nmaybe,0.1\n", SCORE, "p.csv: column \"y\": \"maybe\" is no label of a binary task; expected 0, 1, true or false"},
		{"y,p\n0,0.5\n1,high\n", SCORE, "p.csv:3: column \"p\": \"high\" is no float64"},
		{"y,p\n0,0.5\n1,nan\n", SCORE, "p.csv: roc_auc: prediction 2 is not a finite number"},
		{"y,p\n0,0.5\n1,7\n", SCORE " --metrics brier", "p.csv: brier: prediction 2 is 7, no probability"},
		{"y,p\n0,0.5\n0,0.7\n", SCORE, "p.csv: roc_auc needs both classes, but all 2 rows are labelled 0"},
		{"y,p\n", SCORE, "p.csv: no rows, only a header"},
		{"y,p\n0,\"0.5\n", SCORE, "p.csv:2:3: the quoted field that starts here is never closed"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		write_file(fixture, "p.csv", cases[i].csv);
		cleanup_said struct said said = command_line(fixture, score_command, cases[i].line);
		cleanup_free char *expected = xasprintf("penstock score: %s\n", cases[i].message);
		assert_string_equal(said.err, expected);
		assert_string_equal(said.out, "");
		assert_int_equal(said.status, 2);
	}
	cleanup_said struct said missing = command_line(fixture, score_command, "score --predictions none.csv --task binary --label y --prediction p");
	assert_int_equal(missing.status, 2);
	assert_string_equal(missing.err, "penstock score: none.csv: No such file or directory\n");
	cleanup_said struct said help = command_line(fixture, score_command, "score --help");
	assert_int_equal(help.status, 0);
	assert_non_null(strstr(help.out, "average_precision"));
}

static void a_regression_is_scored(void **state)
{
	const struct fixture *fixture = *state;
	write_file(fixture, "p.csv", "y,p\n3,2.5\n-0.5,0.0\n2,2\n7,8\n"); /* scikit-learn's example for mean_squared_error */
	cleanup_said struct said said = command_line(fixture, score_command, "score --predictions p.csv --task regression --label y --prediction p --format json");
	cleanup_json json_t *result = result_of(&said);
	assert_true(json_number_or(row(result, "metrics", "mae", NULL), "value", 0) == 0.5);
}

/* ---- gate ---- */

#define GATE "gate --rules rules.yml --metrics metrics.json"
static const char metrics[] = "{\"metrics\": [{\"name\": \"roc_auc\", \"slice\": null, \"value\": 0.71, \"se\": 0.01, \"n\": 500}], \"paired\": []}";

static void gate_passes_rejects_and_says_why(void **state)
{
	const struct fixture *fixture = *state;
	write_file(fixture, "metrics.json", metrics);
	write_file(fixture, "out/m.json", "{\"us\": 12.5}");
	write_file(fixture, "rules.yml", "- roc_auc >= 0.70\n- {metric: file.us, at_most: 20, file: out/m.json}\n");
	cleanup_said struct said pass = command_line(fixture, gate_command, GATE);
	assert_int_equal(pass.status, 0);
	assert_string_equal(pass.out, "pass  roc_auc >= 0.7  roc_auc 0.71 is at least 0.7\n"
				      "pass  file.us <= 20   file.us 12.5 is at most 20\n"
				      "verdict: pass\n");
	write_file(fixture, "rules.yml", "[\"roc_auc >= 0.95\"]");
	cleanup_said struct said fail = command_line(fixture, gate_command, GATE " --format json");
	assert_int_equal(fail.status, 3);
	assert_string_equal(fail.out, "{\"rows\":[{\"bound\":0.94999999999999996,\"metric\":\"roc_auc\",\"reason\":\"roc_auc 0.71 is below 0.95\","
				      "\"rule\":\"roc_auc >= 0.95\",\"slice\":null,\"value\":0.70999999999999996,\"verdict\":\"fail\"}],"
				      "\"verdict\":\"fail\"}\n");
	assert_non_null(strstr(fail.err, "roc_auc 0.71 is below 0.95"));
	write_file(fixture, "rules.yml", "{metric: roc_auc, at_least: 0.70, confidence: 0.95}");
	cleanup_said struct said wrong = command_line(fixture, gate_command, GATE); /* a mapping alone is no list */
	assert_int_equal(wrong.status, 2);
	write_file(fixture, "rules.yml", "- {metric: roc_auc, at_least: 0.70, confidence: 0.95}");
	cleanup_said struct said investigate = command_line(fixture, gate_command, GATE);
	assert_int_equal(investigate.status, 3);
	assert_non_null(strstr(investigate.out, "verdict: investigate\n"));
}

static void gate_knows_a_first_release(void **state)
{
	const struct fixture *fixture = *state;
	write_file(fixture, "metrics.json", metrics);
	write_file(fixture, "rules.yml", "- {metric: roc_auc, no_worse_than: production, margin: 0.02}\n");
	cleanup_said struct said first = command_line(fixture, gate_command, GATE " --baseline-if-present base.json");
	assert_int_equal(first.status, 0);
	assert_non_null(strstr(first.out, "first release: production has no roc_auc to compare 0.71 with (without_baseline: pass)"));
	cleanup_said struct said missing = command_line(fixture, gate_command, GATE " --baseline base.json");
	assert_int_equal(missing.status, 2);
	assert_non_null(strstr(missing.err, "base.json: No such file or directory"));
	write_file(fixture, "base.json", "{\"metrics\": [{\"name\": \"roc_auc\", \"slice\": null, \"value\": 0.95, \"se\": 0.01, \"n\": 500}]}");
	cleanup_said struct said worse = command_line(fixture, gate_command, GATE " --baseline-if-present base.json");
	assert_int_equal(worse.status, 3);
	assert_non_null(strstr(worse.out, "roc_auc 0.71 against production's 0.95: worse by 0.24"));
}

static void gate_tells_what_is_wrong(void **state)
{
	const struct fixture *fixture = *state;
	write_file(fixture, "metrics.json", metrics);
	write_file(fixture, "rules.yml", "- roc_auc >= 0.7\n- roc_auk >= 0.7\n- {metric: mae, at_mots: 1}\n");
	cleanup_said struct said rules = command_line(fixture, gate_command, GATE);
	assert_int_equal(rules.status, 2);
	assert_non_null(strstr(rules.err, "rules.yml:2:3: error: unknown metric \"roc_auk\"; did you mean \"roc_auc\"?"));
	assert_non_null(strstr(rules.err, "rules.yml:3:17: error: unknown key \"at_mots\""));
	write_file(fixture, "rules.yml", "- roc_auc >= 0.7\n");
	write_file(fixture, "metrics.json", "{\"metrics\": [");
	cleanup_said struct said torn = command_line(fixture, gate_command, GATE);
	assert_int_equal(torn.status, 2);
	cleanup_said struct said usage = command_line(fixture, gate_command, "gate --rules rules.yml");
	assert_int_equal(usage.status, 2);
	assert_non_null(strstr(usage.err, "usage: penstock gate"));
	cleanup_said struct said help = command_line(fixture, gate_command, "gate --help");
	assert_int_equal(help.status, 0);
	write_file(fixture, "metrics.json", metrics);
	write_file(fixture, "rules.yml", "- {metric: file.us, at_most: 20, file: none.json}\n");
	cleanup_said struct said absent = command_line(fixture, gate_command, GATE);
	assert_int_equal(absent.status, 3);
	assert_non_null(strstr(absent.out, "file.us: none.json is missing or no JSON"));
}

static void scores_go_straight_into_the_gate(void **state)
{
	const struct fixture *fixture = *state;
	write_file(fixture, "p.csv", predictions);
	cleanup_said struct said said = command_line(fixture, score_command, SCORE " --slice c --format json");
	write_file(fixture, "metrics.json", said.out);
	write_file(fixture, "rules.yml", "- roc_auc >= 0.7\n- {metric: roc_auc, slice: c, at_least: 0.9, min_rows: 2}\n");
	cleanup_said struct said verdict = command_line(fixture, gate_command, GATE);
	assert_int_equal(verdict.status, 0);
	assert_string_equal(verdict.out, "pass  roc_auc >= 0.7          roc_auc 0.75 is at least 0.7\n"
					 "pass  roc_auc of c=de >= 0.9  roc_auc of c=de 1 is at least 0.9\n"
					 "pass  roc_auc of c=fr >= 0.9  roc_auc of c=fr 1 is at least 0.9\n"
					 "verdict: pass\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(score_gives_values_with_intervals_by_slices),
		TEST(score_prints_a_table_for_people),
		TEST(score_compares_row_by_row_where_the_rows_are_the_same),
		TEST(what_cannot_be_measured_in_a_slice_is_noted),
		TEST(score_tells_what_is_wrong),
		TEST(a_regression_is_scored),
		TEST(gate_passes_rejects_and_says_why),
		TEST(gate_knows_a_first_release),
		TEST(gate_tells_what_is_wrong),
		TEST(scores_go_straight_into_the_gate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
