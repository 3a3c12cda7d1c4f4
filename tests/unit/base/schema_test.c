#include "base/schema.h"
#include "tests/support/support.h"

static void check_even(const struct yaml_node *node, struct diag_list *diags)
{
	int64_t number;
	if (yaml_int(node, &number) && number % 2)
		yaml_error(diags, node, "odd", NULL, "%s is odd", node->text);
}

static const char *const queues[] = {"fifo", "latest", NULL};
static const struct schema queue_schema = {.type = SCHEMA_ENUM, .choices = queues};
static const struct schema limit_schema = {.type = SCHEMA_INTEGER, .has_min = true, .min = 1, .has_max = true, .max = 10};
static const struct schema even_schema = {.type = SCHEMA_INTEGER, .check = check_even};
static const struct schema steps_schema = {.type = SCHEMA_LIST, .item = &schema_fraction, .has_min = true, .min = 1, .has_max = true, .max = 3};
static const struct schema names_schema = {.type = SCHEMA_MAP, .key = &schema_name, .item = &schema_integer, .has_min = true, .min = 1};
static const struct schema_field group_fields[] = {
	{.name = "group", .schema = &schema_name, .required = true, .doc = "what shares the limit"},
	{.name = "limit", .schema = &limit_schema, .fallback = "1"},
	{.name = NULL},
};
static const struct schema group_schema = {.type = SCHEMA_STRUCT, .fields = group_fields};
static const struct schema either_schema = {
	.type = SCHEMA_EITHER, .scalar = &schema_name, .list = &schema_string_list, .mapping = &group_schema};
static const struct schema not_map_schema = {.type = SCHEMA_EITHER, .scalar = &schema_bool, .list = &schema_path_list};
static const struct schema_field fields[] = {
	{.name = "needs", .schema = &schema_string_list, .alias = "depends_on"},
	{.name = "name", .schema = &schema_name},
	{.name = "path", .schema = &schema_path},
	{.name = "inputs", .schema = &schema_glob_list},
	{.name = "on", .schema = &schema_bool},
	{.name = "n", .schema = &schema_integer},
	{.name = "x", .schema = &schema_number},
	{.name = "timeout", .schema = &schema_duration},
	{.name = "memory", .schema = &schema_size},
	{.name = "margin", .schema = &schema_fraction},
	{.name = "queue", .schema = &queue_schema},
	{.name = "limit", .schema = &limit_schema},
	{.name = "even", .schema = &even_schema},
	{.name = "steps", .schema = &steps_schema},
	{.name = "counts", .schema = &names_schema},
	{.name = "env", .schema = &schema_string_map},
	{.name = "concurrency", .schema = &group_schema},
	{.name = "either", .schema = &either_schema},
	{.name = "flag", .schema = &not_map_schema},
	{.name = "any", .schema = &schema_any},
	{.name = NULL},
};
static const struct schema whole = {.type = SCHEMA_STRUCT, .fields = fields};

static void expect(const char *text, const char *mistakes)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_yaml struct yaml_doc *doc = yaml_parse("x.yml", text, strlen(text), diags);
	assert_non_null(doc);
	assert_int_equal(diag_count(diags), 0);
	bool right = schema_check(&whole, yaml_root(doc), diags);
	cleanup_buf struct buf told;
	buf_init(&told, 100000);
	for (size_t i = 0; i < diag_count(diags); i++) {
		const struct diag *d = diag_at(diags, i);
		buf_addf(&told, "%s%u:%u %s %s%s%s", i ? "\n" : "", d->line, d->column, d->code, d->message, d->hint ? "; " : "",
			 d->hint ? d->hint : "");
	}
	if (strcmp(told.data, mistakes) != 0)
		fail_msg("for:\n%s\nexpected:\n%s\ngot:\n%s", text, mistakes, told.data);
	assert_int_equal(right, mistakes[0] == '\0');
}

static void what_is_right_passes(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"",
		"needs: train",
		"depends_on: [train, unit]",
		"{name: a.b-c_1, path: model/, inputs: [src/**, '!src/*.tmp', data/x]}",
		"{on: true, n: -5, x: 1e3, timeout: 90s, memory: 4Gi, margin: 0.5%}",
		"{queue: latest, limit: 10, even: 4, steps: [1%, 0.25, 100%]}",
		"counts: {a: 1, b: 2}",
		"env: {A: 1, B: text, C: 'true', D: false}",
		"env:",
		"concurrency: {group: fraud}",
		"either: fraud",
		"either: [a, b]",
		"either: {group: fraud, limit: 2}",
		"flag: false",
		"flag: [a/b]",
		"any: {x: [1, {y: ~}]}",
		"any:",
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect(cases[i], "");
}

static void what_is_wrong_is_told_word_for_word(void **state)
{
	(void)state;
	static const struct {
		const char *text, *mistakes;
	} cases[] = {
		{"[a]", "1:1 wrong-type this must be a mapping, not a list"},
		{"5", "1:1 wrong-type this must be a mapping, not \"5\""},
		{"nedes: a", "1:1 unknown-key unknown key \"nedes\"; did you mean \"needs\"?"},
		{"depend_on: a", "1:1 unknown-key unknown key \"depend_on\"; did you mean \"depends_on\"?"},
		{"concurrency: {group: a, zzz: 1}", "1:25 unknown-key unknown key \"zzz\" in \"concurrency\"; known keys: group, limit"},
		{"concurrency: {limit: 1}", "1:14 missing-key the key \"group\" is missing in \"concurrency\""},
		{"concurrency:", "1:13 missing-key the key \"group\" is missing in \"concurrency\""},
		{"needs: a\ndepends_on: b", "2:1 duplicate-key \"depends_on\" is another name of \"needs\", which is at line 1"},
		{"needs: {a: b}", "1:8 wrong-type \"needs\" must be text, or a list of such, not a mapping"},
		{"needs:", "1:7 wrong-type \"needs\" must be text, or a list of such, not empty"},
		{"needs: [[a]]", "1:9 wrong-type an item of \"needs\" must be text, not a list"},
		{"name: a b",
		 "1:7 bad-name \"name\" must be a name (letters, digits, \"_\", \".\" and \"-\", starting with a letter or digit, at most 63), not "
		 "\"a b\""},
		{"name: -x",
		 "1:7 bad-name \"name\" must be a name (letters, digits, \"_\", \".\" and \"-\", starting with a letter or digit, at most 63), not "
		 "\"-x\""},
		{"path: /etc", "1:7 bad-path \"path\" must be a relative path without \"..\", not \"/etc\""},
		{"path: ../x", "1:7 bad-path \"path\" must be a relative path without \"..\", not \"../x\""},
		{"path: ./x", "1:7 bad-path \"path\" must be a relative path without \"..\", not \"./x\"; did you mean \"x\"?"},
		{"inputs: ['!../x']", "1:10 bad-path an item of \"inputs\" must be a relative pattern without \"..\", not \"!../x\""},
		{"on: yes", "1:5 wrong-type \"on\" must be true or false, not \"yes\"; did you mean true?"},
		{"on: Off", "1:5 wrong-type \"on\" must be true or false, not \"Off\"; did you mean false?"},
		{"on: 'true'", "1:5 wrong-type \"on\" must be true or false, not \"true\"; remove the quotes"},
		{"n: 1.5", "1:4 wrong-type \"n\" must be a whole number, not \"1.5\""},
		{"n: '15'", "1:4 wrong-type \"n\" must be a whole number, not \"15\"; remove the quotes"},
		{"x: many", "1:4 wrong-type \"x\" must be a number, not \"many\""},
		{"timeout: 30",
		 "1:10 wrong-type \"timeout\" must be a duration such as 90s, 15m, 2h or 3d, not \"30\"; add a unit: did you mean 30s?"},
		{"timeout: soon", "1:10 wrong-type \"timeout\" must be a duration such as 90s, 15m, 2h or 3d, not \"soon\""},
		{"memory: 512", "1:9 wrong-type \"memory\" must be a size such as 512Mi, 4Gi or 10M, not \"512\"; add a unit: did you mean 512Mi?"},
		{"margin: 5", "1:9 out-of-range \"margin\" must be at most 1, not 5; did you mean 5%?"},
		{"margin: -1%", "1:9 out-of-range \"margin\" must be at least 0, not -1%"},
		{"margin: x", "1:9 wrong-type \"margin\" must be a fraction such as 5% or 0.05, not \"x\""},
		{"queue: lates", "1:8 unknown-value \"queue\" must be one of fifo or latest, not \"lates\"; did you mean \"latest\"?"},
		{"queue: [fifo]", "1:8 wrong-type \"queue\" must be one of fifo or latest, not a list"},
		{"limit: 0", "1:8 out-of-range \"limit\" must be at least 1, not 0"},
		{"limit: 11", "1:8 out-of-range \"limit\" must be at most 10, not 11"},
		{"even: 3", "1:7 odd 3 is odd"},
		{"even: x", "1:7 wrong-type \"even\" must be a whole number, not \"x\""},
		{"steps: []", "1:8 out-of-range \"steps\" must have at least 1 item, not 0"},
		{"steps: [1%, 2%, 3%, 4%]", "1:8 out-of-range \"steps\" must have at most 3 items, not 4"},
		{"steps: 1%", "1:8 wrong-type \"steps\" must be a list, not \"1%\""},
		{"counts: {}", "1:9 out-of-range \"counts\" must have at least 1 key, not 0"},
		{"counts: {a b: 1}",
		 "1:10 bad-name a key of \"counts\" must be a name (letters, digits, \"_\", \".\" and \"-\", starting with a letter or digit, at "
		 "most 63), not \"a b\""},
		{"counts: {a: x}", "1:13 wrong-type \"a\" must be a whole number, not \"x\""},
		{"env: {A: [1]}", "1:10 wrong-type \"A\" must be text, not a list"},
		{"env: {A: }", "1:10 wrong-type \"A\" must be text, not empty"},
		{"flag: {a: 1}", "1:7 wrong-type \"flag\" must be true or false or a list, not a mapping"},
		{"name: a-text-that-is-much-longer-than-forty-characters-and-so-it-is-cut-here",
		 "1:7 bad-name \"name\" must be a name (letters, digits, \"_\", \".\" and \"-\", starting with a letter or digit, at most 63), not "
		 "\"a-text-that-is-much-longer-than-forty-ch...\""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect(cases[i].text, cases[i].mistakes);
}

static void all_mistakes_come_at_once(void **state)
{
	(void)state;
	expect("nedes: a\ntimeout: 30\nlimit: 0\nconcurrency: {limit: 99}\n",
	       "1:1 unknown-key unknown key \"nedes\"; did you mean \"needs\"?\n"
	       "2:10 wrong-type \"timeout\" must be a duration such as 90s, 15m, 2h or 3d, not \"30\"; add a unit: did you mean 30s?\n"
	       "3:8 out-of-range \"limit\" must be at least 1, not 0\n"
	       "4:14 missing-key the key \"group\" is missing in \"concurrency\"\n"
	       "4:22 out-of-range \"limit\" must be at most 10, not 99");
}

static void a_field_is_found_under_its_other_name(void **state)
{
	(void)state;
	static const char text[] = "depends_on: unit";
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_yaml struct yaml_doc *doc = yaml_parse("x.yml", text, sizeof(text) - 1, diags);
	assert_string_equal(yaml_text(schema_get(&whole, yaml_root(doc), "needs"), ""), "unit");
	assert_string_equal(yaml_text(schema_get(&whole, yaml_root(doc), "depends_on"), ""), "unit");
	assert_null(schema_get(&whole, yaml_root(doc), "name"));
	assert_null(schema_get(&whole, yaml_root(doc), "unheard-of"));
	assert_null(schema_get(&whole, NULL, "needs"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_right_passes),
		cmocka_unit_test(what_is_wrong_is_told_word_for_word),
		cmocka_unit_test(all_mistakes_come_at_once),
		cmocka_unit_test(a_field_is_found_under_its_other_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
