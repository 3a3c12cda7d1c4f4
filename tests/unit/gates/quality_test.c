#include "gates/quality.h"

#include "tests/support/support.h"

/* JSON in single quotes reads better in C. */
static json_t *json_of(const char *text)
{
	cleanup_free char *copy = xstrdup(text);
	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	json_t *json = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(json_parse(copy, strlen(copy), &json, &err), err);
	return json;
}

static const char metrics[] =
	"{'metrics': ["
	" {'name': 'roc_auc', 'slice': null, 'value': 0.97, 'low': 0.95, 'high': 0.99, 'se': 0.01, 'n': 500},"
	" {'name': 'log_loss', 'slice': null, 'value': 0.20, 'low': 0.1804, 'high': 0.2196, 'n': 500},"
	" {'name': 'brier', 'slice': null, 'value': 0.05, 'n': 500},"
	" {'name': 'accuracy', 'slice': null, 'value': 0.9, 'se': 0.02, 'n': 500},"
	" {'name': 'f1', 'slice': null, 'value': null, 'n': 500, 'note': 'f1: prediction 3 is 7, no probability'},"
	" {'name': 'roc_auc', 'slice': 'country=fr', 'value': 0.9, 'se': 0.02, 'n': 300},"
	" {'name': 'roc_auc', 'slice': 'country=de', 'value': 0.7, 'se': 0.02, 'n': 250},"
	" {'name': 'roc_auc', 'slice': 'country=at', 'value': 0.2, 'se': 0.2, 'n': 10},"
	" {'name': 'roc_auc', 'slice': 'tier=gold', 'value': null, 'n': 40, 'note': 'roc_auc needs both classes'}],"
	" 'paired': [{'name': 'accuracy', 'slice': null, 'difference': -0.03, 'low': -0.0496, 'high': -0.0104, 'p': 0.003}]}";
static const char production[] =
	"{'metrics': [{'name': 'log_loss', 'slice': null, 'value': 0.19, 'se': 0.01, 'n': 400},"
	" {'name': 'accuracy', 'slice': null, 'value': 0.93, 'se': 0.02, 'n': 500},"
	" {'name': 'roc_auc', 'slice': null, 'value': 0.90, 'se': 0.01, 'n': 500},"
	" {'name': 'brier', 'slice': null, 'value': 0.07, 'n': 500}]}";

static const struct {
	const char *rule;
	bool first_release;
	const char *verdict, *reason; /* of the last row, and of the whole */
} cases[] = {
	{"'roc_auc >= 0.95'", false, "pass", "roc_auc 0.97 is at least 0.95"},
	{"'roc_auc>=98%'", false, "fail", "roc_auc 0.97 is below 0.98"},
	{"'log_loss <= 0.4'", false, "pass", "log_loss 0.2 is at most 0.4"},
	{"'log_loss <= 0.1'", false, "fail", "log_loss 0.2 is above 0.1"},
	{"'mcc >= 0.1'", false, "fail", "mcc: it was not measured; is it among the score stage's metrics?"},
	{"'f1 >= 0.1'", false, "fail", "f1: prediction 3 is 7, no probability"},
	{"{'metric': 'roc_auc', 'at_least': 0.95, 'confidence': 0.95}", false, "pass",
	 "roc_auc is 0.97, and with 95% confidence at least 0.953551; the bound is 0.95"},
	{"{'metric': 'roc_auc', 'at_least': 0.96, 'confidence': 0.95}", false, "investigate",
	 "roc_auc is 0.97, and with 95% confidence at least 0.953551; the bound is 0.96"},
	{"{'metric': 'roc_auc', 'at_least': 0.99, 'confidence': 0.95}", false, "fail",
	 "roc_auc is 0.97, and with 95% confidence at most 0.986449; the bound is 0.99"},
	{"{'metric': 'brier', 'at_most': 0.1, 'confidence': 0.95}", false, "investigate",
	 "brier 0.05 is at most 0.1; its uncertainty is not known"},
	{"{'metric': 'roc_auc', 'at_least': 0.5, 'min_rows': 1000}", false, "investigate",
	 "roc_auc: measured on 500 rows, fewer than min_rows 1000"},
	/* unpaired: difference 0.01, standard errors 0.01 (from the interval) and 0.01 */
	{"{'metric': 'log_loss', 'no_worse_than': 'production', 'margin': 0.04}", false, "pass",
	 "log_loss 0.2 against production's 0.19: worse by 0.01 (different rows, standard error 0.01414), with 95% confidence worse by at most "
	 "0.03326; margin 0.04"},
	{"{'metric': 'log_loss', 'no_worse_than': 'production', 'margin': 0.02}", false, "investigate",
	 "log_loss 0.2 against production's 0.19: worse by 0.01 (different rows, standard error 0.01414), with 95% confidence worse by at most "
	 "0.03326; margin 0.02"},
	/* paired: -0.03 with a standard error of 0.01 */
	{"{'metric': 'accuracy', 'no_worse_than': 'production', 'margin': '1%'}", false, "fail",
	 "accuracy 0.9 against production's 0.93: worse by 0.03 (the same rows, standard error 0.01), with 95% confidence worse by at least "
	 "0.01355; margin 0.01"},
	{"{'metric': 'roc_auc', 'no_worse_than': 'production'}", false, "pass",
	 "roc_auc 0.97 against production's 0.9: better by 0.07 (different rows, standard error 0.01414), with 95% confidence better by at least "
	 "0.04674; margin 0"},
	{"{'metric': 'brier', 'no_worse_than': 'production'}", false, "pass",
	 "brier 0.05 against production's 0.07: better by 0.02, margin 0; neither has an interval"},
	{"{'metric': 'roc_auc', 'no_worse_than': 'production', 'slice': 'country', 'min_rows': 280}", false, "fail",
	 "roc_auc of country=at: not judged: 10 rows, fewer than min_rows 280"},
	{"{'metric': 'log_loss', 'no_worse_than': 'production'}", true, "pass",
	 "first release: production has no log_loss to compare 0.2 with (without_baseline: pass)"},
	{"{'metric': 'log_loss', 'no_worse_than': 'production', 'without_baseline': 'hold'}", true, "investigate",
	 "first release: production has no log_loss to compare 0.2 with (without_baseline: hold)"},
	{"{'metric': 'log_loss', 'no_worse_than': 'production', 'without_baseline': 'fail'}", true, "fail",
	 "first release: production has no log_loss to compare 0.2 with (without_baseline: fail)"},
	{"{'metric': 'roc_auc', 'slice': 'country', 'at_least': 0.8, 'min_rows': 280}", false, "pass",
	 "roc_auc of country=at: not judged: 10 rows, fewer than min_rows 280"},
	{"{'metric': 'roc_auc', 'slice': 'country', 'at_least': 0.8, 'min_rows': 200}", false, "fail",
	 "roc_auc of country=at: not judged: 10 rows, fewer than min_rows 200"},
	{"{'metric': 'roc_auc', 'slice': 'country', 'at_least': 0.8, 'min_rows': 1000}", false, "investigate", "roc_auc: no country has min_rows 1000"},
	{"{'metric': 'roc_auc', 'slice': 'tier', 'at_least': 0.8}", false, "investigate", "roc_auc of tier=gold: roc_auc needs both classes"},
	{"{'metric': 'roc_auc', 'slice': 'city', 'at_least': 0.8}", false, "fail",
	 "roc_auc: it was not measured by city; is that among the score stage's slices?"},
	{"{'metric': 'file.latency_ms', 'at_most': 20, 'file': 'out/m.json'}", false, "pass", "file.latency_ms 12 is at most 20"},
	{"{'metric': 'file.deep.er', 'at_least': 8, 'file': 'out/m.json'}", false, "fail", "file.deep.er 7 is below 8"},
	{"{'metric': 'file.text', 'at_least': 8, 'file': 'out/m.json'}", false, "fail", "file.text: out/m.json has no number of that name"},
	{"{'metric': 'file.x', 'at_least': 8, 'file': 'out/none.json'}", false, "fail", "file.x: out/none.json is missing or no JSON"},
};

static void each_rule_has_its_verdict_and_reason(void **state)
{
	(void)state;
	cleanup_json json_t *found = json_of(metrics), *baseline = json_of(production),
		     *files = json_of("{'out/m.json': {'latency_ms': 12, 'deep': {'er': 7}, 'text': 'x'}}");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *list = xasprintf("[%s]", cases[i].rule);
		cleanup_json json_t *rules_json = json_of(list);
		cleanup_quality_rules struct quality_rules *rules = NULL;
		cleanup_error struct error *err = NULL;
		assert_ok(quality_parse(rules_json, &rules, &err), err);
		const struct quality_inputs inputs = {found, cases[i].first_release ? NULL : baseline, files};
		cleanup_json json_t *result = quality_judge(rules, &inputs);
		const json_t *rows = json_object_get(result, "rows"), *last = json_array_get(rows, json_array_size(rows) - 1);
		assert_string_equal(json_string_or(last, "reason", ""), cases[i].reason);
		assert_string_equal(json_string_or(result, "verdict", ""), cases[i].verdict);
	}
}

static void the_worst_row_is_the_verdict(void **state)
{
	(void)state;
	cleanup_json json_t *found = json_of(metrics), *rules_json = json_of(
		"['roc_auc >= 0.9', {'metric': 'roc_auc', 'slice': 'country', 'at_least': 0.8, 'at_most': 0.95, 'min_rows': 100}]");
	cleanup_quality_rules struct quality_rules *rules = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(quality_parse(rules_json, &rules, &err), err);
	const struct quality_inputs inputs = {.metrics = found};
	cleanup_json json_t *result = quality_judge(rules, &inputs);
	assert_string_equal(json_string_or(result, "verdict", ""), "fail");
	const json_t *rows = json_object_get(result, "rows");
	assert_int_equal(json_array_size(rows), 6); /* one overall; two bounds for fr and de; at skipped */
	const json_t *de = json_array_get(rows, 3);
	assert_string_equal(json_string_or(de, "rule", ""), "roc_auc of country=de >= 0.8");
	assert_string_equal(json_string_or(de, "reason", ""), "roc_auc of country=de 0.7 is below 0.8");
	assert_string_equal(json_string_or(de, "slice", ""), "country=de");
}

static void wrong_rules_are_told_by_number(void **state)
{
	(void)state;
	static const struct { const char *rules, *message; } wrong[] = {
		{"[]", "expected a list of rules with at least one"},
		{"['roc_auc >= 0.5', 7]", "rule 2: expected text such as \"roc_auc >= 0.85\" or a mapping"},
		{"['roc_auc > 0.5']", "rule 1: \"roc_auc > 0.5\": expected \"METRIC >= NUMBER\" or \"METRIC <= NUMBER\""},
		{"['roc_auc >= high']", "rule 1: \"roc_auc >= high\": \"high\" is no number"},
		{"['roc_auk >= 0.5']", "rule 1: unknown metric \"roc_auk\"; did you mean \"roc_auc\"?"},
		{"['zzzzzzzz >= 0.5']", "rule 1: unknown metric \"zzzzzzzz\"; your own come from a JSON file: file.NAME, with file: PATH"},
		{"['file.x >= 0.5']", "rule 1: \"file.x >= 0.5\": a file. metric needs the long form, with file: PATH"},
		{"[{'metric': 'mae', 'at_mots': 3}]", "rule 1: unknown key \"at_mots\"; did you mean \"at_most\"?"},
		{"[{'metric': 'mae'}]", "rule 1: it asks nothing: give at_least, at_most or no_worse_than"},
		{"[{'at_most': 1}]", "rule 1: metric: missing, or no text"},
		{"[{'metric': 'mae', 'at_most': 'much'}]", "rule 1: at_most: expected a number"},
		{"[{'metric': 'mae', 'at_most': 1, 'margin': 1}]", "rule 1: margin: means something only with no_worse_than"},
		{"[{'metric': 'mae', 'no_worse_than': 'staging'}]", "rule 1: no_worse_than: expected \"production\""},
		{"[{'metric': 'mae', 'no_worse_than': 'production', 'margin': -1}]", "rule 1: margin: expected a number of at least 0"},
		{"[{'metric': 'mae', 'no_worse_than': 'production', 'confidence': 95}]",
		 "rule 1: confidence: expected a number from 0.5 to below 1"},
		{"[{'metric': 'mae', 'no_worse_than': 'production', 'without_baseline': 'ok'}]",
		 "rule 1: without_baseline: expected pass, hold or fail"},
		{"[{'metric': 'file.x', 'at_most': 1}]", "rule 1: a file. metric needs file: PATH"},
		{"[{'metric': 'file.x', 'at_most': 1, 'file': '../x'}]", "rule 1: file: expected a path inside the workspace"},
		{"[{'metric': 'mae', 'at_most': 1, 'file': 'x'}]", "rule 1: file: only metrics named file.NAME are read from a file"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		cleanup_json json_t *json = json_of(wrong[i].rules);
		cleanup_quality_rules struct quality_rules *rules = NULL;
		cleanup_error struct error *err = NULL;
		assert_int_equal(quality_parse(json, &rules, &err), -1);
		assert_error(err, ERROR_INVALID, wrong[i].message);
	}
	cleanup_json json_t *json = json_of("[{'metric': 'file.x', 'no_worse_than': 'production', 'file': 'x.json'}]");
	cleanup_quality_rules struct quality_rules *rules = NULL;
	cleanup_error struct error *err = NULL;
	assert_int_equal(quality_parse(json, &rules, &err), -1);
	assert_error(err, ERROR_UNSUPPORTED, "rule 1: no_worse_than for file. metrics is not available in this build");
}

static void wanted_files_are_named_once(void **state)
{
	(void)state;
	cleanup_json json_t *json = json_of("[{'metric': 'file.x', 'at_most': 1, 'file': 'a.json'}, {'metric': 'file.y', 'at_most': 1, "
					    "'file': 'a.json'}, 'mae <= 3', {'metric': 'mae', 'no_worse_than': 'production'}]");
	cleanup_quality_rules struct quality_rules *rules = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(quality_parse(json, &rules, &err), err);
	cleanup_strlist struct strlist files = {0};
	quality_files(rules, &files);
	assert_int_equal(files.n, 1);
	assert_string_equal(files.items[0], "a.json");
	assert_true(quality_wants_baseline(rules));
}

static void nonsense_in_results_is_no_pass(void **state)
{
	(void)state;
	cleanup_json json_t *rules_json = json_of("['roc_auc >= 0.1']");
	cleanup_quality_rules struct quality_rules *rules = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(quality_parse(rules_json, &rules, &err), err);
	static const char *const nonsense[] = {"{}", "{'metrics': 3}", "{'metrics': [7, null]}", "{'metrics': [{'name': 'roc_auc', 'value': 'high'}]}",
					       "[]", "null"};
	for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++) {
		cleanup_json json_t *found = json_of(nonsense[i]);
		const struct quality_inputs inputs = {.metrics = found};
		cleanup_json json_t *result = quality_judge(rules, &inputs);
		assert_string_equal(json_string_or(result, "verdict", ""), "fail");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_has_its_verdict_and_reason), cmocka_unit_test(the_worst_row_is_the_verdict),
		cmocka_unit_test(wrong_rules_are_told_by_number),       cmocka_unit_test(wanted_files_are_named_once),
		cmocka_unit_test(nonsense_in_results_is_no_pass),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
