#include "base/alloc.h"
#include "base/yaml.h"
#include "tests/support/support.h"

#include <math.h>

/* All mistakes as "line:column:end code message; hint" lines. */
static char *list_mistakes(const struct diag_list *diags)
{
	struct buf text;
	buf_init(&text, 1 << 20);
	for (size_t i = 0; i < diag_count(diags); i++) {
		const struct diag *d = diag_at(diags, i);
		buf_addf(&text, "%s%u:%u:%u %s %s%s%s", i ? "\n" : "", d->line, d->column, d->end_column, d->code, d->message,
			 d->hint ? "; " : "", d->hint ? d->hint : "");
	}
	return buf_steal(&text);
}

static void expect_mistakes(const char *text, size_t len, bool readable, const char *mistakes)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_yaml struct yaml_doc *doc = yaml_parse("x.yml", text, len, diags);
	cleanup_free char *told = list_mistakes(diags);
	if (strcmp(told, mistakes) != 0)
		fail_msg("for:\n%.300s\nexpected:\n%s\ngot:\n%s", text, mistakes, told);
	assert_int_equal(doc != NULL, readable);
}

static void expect_json(const char *text, size_t len, const char *json)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_yaml struct yaml_doc *doc = yaml_parse("x.yml", text, len, diags);
	cleanup_free char *told = list_mistakes(diags);
	assert_string_equal(told, "");
	cleanup_json json_t *value = yaml_to_json(yaml_root(doc));
	cleanup_free char *got = json_text(value);
	if (strcmp(got, json) != 0)
		fail_msg("for:\n%s\nexpected %s\ngot %s", text, json, got);
}

static void yaml_and_json_give_the_values_they_say(void **state)
{
	(void)state;
	static const struct {
		const char *text, *json;
	} cases[] = {
		{"", "null"},
		{"# nothing\n", "null"},
		{"---\na: 1\n...\n", "{\"a\":1}"},
		{"\xef\xbb\xbf" "a: 1", "{\"a\":1}"},
		{"a: 1\r\nb: [x,\r\n  y]\r\n", "{\"a\":1,\"b\":[\"x\",\"y\"]}"},
		/* YAML 1.2 core, and no more: on, yes and no are words. */
		{"[true, True, FALSE, on, yes, no, off, y, n]", "[true,true,false,\"on\",\"yes\",\"no\",\"off\",\"y\",\"n\"]"},
		{"on: yes", "{\"on\":\"yes\"}"},
		{"[~, null, Null, NULL, nUll, '', \"\"]", "[null,null,null,null,\"nUll\",\"\",\"\"]"},
		{"{a: , b: ~}", "{\"a\":null,\"b\":null}"},
		{"[1, -2, +3, 007, 0x1F, 0o17, 1_000, '4', 9223372036854775807]",
		 "[1,-2,3,7,31,15,\"1_000\",\"4\",9223372036854775807]"},
		{"[0.5, .5, 1., -1e3, 1e400, .inf, .nan, 1.2.3]", "[0.5,0.5,1.0,-1000.0,\"1e400\",\".inf\",\".nan\",\"1.2.3\"]"},
		{"a: |\n  x\n  y\nb: >-\n  p\n  q\n", "{\"a\":\"x\\ny\\n\",\"b\":\"p q\"}"},
		{"null: 1\n1: 2\ntrue: 3\n", "{\"1\":2,\"null\":1,\"true\":3}"},
		{"a: &x {k: 1}\nb: *x\nc: [*x, *x]\n", "{\"a\":{\"k\":1},\"b\":{\"k\":1},\"c\":[{\"k\":1},{\"k\":1}]}"},
		{"a: &x 1\nb: &x 2\nc: *x\n", "{\"a\":1,\"b\":2,\"c\":2}"},
		{"run: |\n  if true; then\n  \techo tab\n  fi\n", "{\"run\":\"if true; then\\n\\techo tab\\nfi\\n\"}"},
		{"a:\t1\n", "{\"a\":1}"},
		/* JSON. */
		{"{\"a\":1,\"b\":[true,false,null],\"c\":{}}", "{\"a\":1,\"b\":[true,false,null],\"c\":{}}"},
		{"{\n\t\"a\\/b\": \"\\\"\\\\\\u00e9\\n\\t\\b\",\n\t\"n\": -1.5e+3\n}", "{\"a/b\":\"\\\"\\\\\xc3\xa9\\n\\t\\b\",\"n\":-1500.0}"},
		{"[\"\\ud83d\\ude00\", \"true\", true, 7]", "[\"\xf0\x9f\x98\x80\",\"true\",true,7]"},
		{"{\"a\"\n:\n1}", "{\"a\":1}"},
		{" [ \"\x7f\" ] ", "[\"\x7f\"]"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect_json(cases[i].text, strlen(cases[i].text), cases[i].json);
}

static void a_text_without_a_nul_behind_it_is_read_to_its_length_only(void **state)
{
	(void)state;
	char *text = xmemdup("a: 123", 4);
	expect_json(text, 4, "{\"a\":1}");
	free(text);
}

static void a_key_too_long_for_libyaml_is_still_json(void **state)
{
	(void)state;
	struct buf text, json;
	buf_init(&text, 10000);
	buf_init(&json, 10000);
	cleanup_free char *key = xmalloc(2001);
	memset(key, 'k', 2000);
	key[2000] = '\0';
	buf_addf(&text, "{ \"%s\" : 1 }", key);
	buf_addf(&json, "{\"%s\":1}", key);
	expect_json(text.data, text.len, json.data);
	buf_done(&text);
	buf_done(&json);
}

static void every_mistake_has_its_place(void **state)
{
	(void)state;
	static const struct {
		bool readable;
		const char *text, *mistakes;
	} cases[] = {
		{true, "a: 1\nb: 2\na: 3\n\"a\": 4\n",
		 "3:1:2 duplicate-key duplicate key \"a\"; the first one is at line 1\n"
		 "4:1:4 duplicate-key duplicate key \"a\"; the first one is at line 1"},
		{true, "{\"a\": 1, \"a\": 2}", "1:10:13 duplicate-key duplicate key \"a\"; the first one is at line 1"},
		{true, "? [x, y]\n: 1\n", "1:3:9 bad-key a key must be plain text"},
		{true, "? {a: 1}\n: 1\n", "1:3:9 bad-key a key must be plain text"},
		{true, "?\n: 1\n", "1:2:0 bad-key a key is missing before \":\""},
		{true, "a: &x {b: 1}\nc:\n  <<: *x\n",
		 "3:3:5 merge-key merge keys (\"<<\") are not part of YAML 1.2; write the keys out, or use an alias as the whole value"},
		{true, "a: !!str 5", "1:4:11 tag tags such as !!str are not allowed; remove it"},
		{true, "a: !ruby/object:Gem {}", "1:4:5 tag tags such as !ruby/object:Gem are not allowed; remove it"},
		{true, "a: 1\n---\nb: 2\n", "2:1:0 several-documents a second document starts here; only one is allowed in a file"},
		{true, "a: *trian\nb: 1", "1:4:10 unknown-alias alias \"*trian\" has no anchor before it"},
		{true, "a: &train 1\nb: *trian\n",
		 "2:4:10 unknown-alias alias \"*trian\" has no anchor before it; did you mean \"*train\"?"},
		{true, "a: &a [1, *a]\n", "1:11:13 unknown-alias alias \"*a\" stands inside what it refers to"},
		{true, "a: \"x\\0y\"", "1:4:10 nul text cannot contain the character U+0000"},
		{false, "a:\n\t- b\n", "2:1:0 tab a tab cannot indent; use spaces"},
		{false, "a:\n  b: 1\n\tc: 2\n", "3:1:0 tab a tab cannot indent; use spaces"},
		{false, "a: b: c\n",
		 "1:5:0 syntax mapping values are not allowed in this context; text that has \": \" in it needs quotes"},
		{false, "a: @x\n",
		 "1:4:0 syntax found character that cannot start any token; text that starts with this character needs quotes"},
		{false, "x: [1, 2\ny: 3\n",
		 "2:2:0 syntax did not find expected ',' or ']', while parsing a flow sequence that starts at line 1"},
		{false, "a: \"x\n", "2:1:0 syntax found unexpected end of stream, while scanning a quoted scalar that starts at line 1"},
		{false, "\xc3\xa9: \x07" "b\n",
		 "1:4:0 syntax the character U+0007 is not allowed in YAML; in a quoted string it can be written as an escape"},
		{false, "a: 1\n\xc3\xa9\xc3\xa9\xff", "2:3:0 encoding a byte that is not valid UTF-8"},
		{false, "a: \xed\xa0\x80", "1:4:0 encoding a byte that is not valid UTF-8"}, /* a surrogate */
		{false, "a: \xc0\xaf", "1:4:0 encoding a byte that is not valid UTF-8"},     /* an overlong "/" */
		{false, "{\"a\": 1", "1:8:0 syntax did not find expected ',' or '}', while parsing a flow mapping that starts at line 1"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect_mistakes(cases[i].text, strlen(cases[i].text), cases[i].readable, cases[i].mistakes);
	expect_mistakes("a: 1\nb\0c", 8, false, "2:2:0 nul a NUL byte; this is no text file");
}

static void several_mistakes_are_told_at_once(void **state)
{
	(void)state;
	static const char text[] = "a: !!int 1\na: *b\n";
	expect_mistakes(text, sizeof(text) - 1, true,
			"1:4:11 tag tags such as !!int are not allowed; remove it\n"
			"2:1:2 duplicate-key duplicate key \"a\"; the first one is at line 1\n"
			"2:4:6 unknown-alias alias \"*b\" has no anchor before it");
}

static void a_billion_laughs_end_early(void **state)
{
	(void)state;
	struct buf text;
	buf_init(&text, 10000);
	buf_adds(&text, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 30; i++) {
		buf_addf(&text, "a%d: &a%d [", i, i);
		for (int k = 0; k < 9; k++)
			buf_addf(&text, "%s*a%d", k ? "," : "", i - 1);
		buf_adds(&text, "]\n");
	}
	expect_mistakes(text.data, text.len, false,
			"6:10:13 too-large more than 100000 values, counting each alias as what it stands for");
	buf_done(&text);
}

static char *repeat(const char *piece, size_t n, const char *end)
{
	struct buf text;
	buf_init(&text, 4 << 20);
	for (size_t i = 0; i < n; i++)
		buf_adds(&text, piece);
	buf_adds(&text, end);
	return buf_steal(&text);
}

static void limits_of_depth_number_and_size_hold(void **state)
{
	(void)state;
	const struct {
		const char *piece;
		size_t n;
		const char *end, *mistakes;
	} cases[] = {
		{"[", 5000, "", "1:65:66 too-deep nested more than 64 levels deep"},
		{"{a: ", 5000, "", "1:257:258 too-deep nested more than 64 levels deep"},
		{"- ", 5000, "x", "1:129:130 too-deep nested more than 64 levels deep"},
		{"{\"a\":", 5000, "1", "1:321:322 too-deep nested more than 64 levels deep"},
		{"- x\n", 100001, "", "100000:3:4 too-large more than 100000 values, counting each alias as what it stands for"},
		{"# filler\n", 120000, "", "1:0:0 too-large the file is larger than 1 MiB"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *text = repeat(cases[i].piece, cases[i].n, cases[i].end);
		expect_mistakes(text, strlen(text), false, cases[i].mistakes);
	}
	/* An alias is as deep as what it stands for. */
	struct buf text;
	buf_init(&text, 10000);
	cleanup_free char *deep = repeat("[", 40, ""), *close = repeat("]", 40, "");
	buf_addf(&text, "a: &a %s%s\nb: %s*a%s\n", deep, close, deep, close);
	expect_mistakes(text.data, text.len, false, "2:44:46 too-deep nested more than 64 levels deep");
	buf_done(&text);
	/* JSON that only jansson reads has the same limits. */
	cleanup_free char *open = repeat("[", 70, "\"\\ud83d\\ude00\""), *end = repeat("]", 70, "");
	cleanup_free char *json = xasprintf("%s%s", open, end);
	expect_mistakes(json, strlen(json), false, "1:65:66 too-deep nested more than 64 levels deep");
	/* Many anchors. */
	buf_init(&text, 1 << 20);
	for (int i = 0; i < 1001; i++)
		buf_addf(&text, "- &n%d x\n", i);
	expect_mistakes(text.data, text.len, false, "1001:3:11 too-many-anchors more than 1000 anchors");
	buf_done(&text);
	/* Just inside the limits. */
	cleanup_free char *fine = repeat("[", 64, "x");
	cleanup_free char *whole = xasprintf("%s%.64s", fine, end);
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_yaml struct yaml_doc *doc = yaml_parse("x.yml", whole, strlen(whole), diags);
	assert_non_null(doc);
}

struct place {
	unsigned line, column, end_column;
};

static void expect_place(const struct yaml_node *node, struct place place)
{
	assert_non_null(node);
	assert_int_equal(node->line, place.line);
	assert_int_equal(node->column, place.column);
	assert_int_equal(node->end_column, place.end_column);
}

static void nodes_know_where_they_stand(void **state)
{
	(void)state;
	static const char text[] = "\xc3\xa9: \xe6\xbc\xa2 x   # comment\n"
				   "list: [a, \"b c\"]\n"
				   "map:\n"
				   "  key: value\n"
				   "  many: [1,\n    2]\n"
				   "block: |\n  x\n"
				   "empty:\n";
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_yaml struct yaml_doc *doc = yaml_parse("x.yml", text, sizeof(text) - 1, diags);
	const struct yaml_node *root = yaml_root(doc), *map = yaml_get(root, "map"), *list = yaml_get(root, "list");
	expect_place(yaml_get_key(root, "\xc3\xa9"), (struct place){1, 1, 2});
	expect_place(yaml_get(root, "\xc3\xa9"), (struct place){1, 4, 7});
	expect_place(list, (struct place){2, 7, 17});
	expect_place(list->values[1], (struct place){2, 11, 16});
	expect_place(map, (struct place){4, 3, 0});
	expect_place(yaml_get_key(map, "key"), (struct place){4, 3, 6});
	expect_place(yaml_get(map, "many"), (struct place){5, 9, 0});
	expect_place(yaml_get(root, "block"), (struct place){7, 8, 0});
	assert_int_equal(yaml_get(root, "empty")->kind, YAML_NULL);
	assert_int_equal(yaml_get(root, "empty")->line, 9);
	assert_string_equal(list->file, "x.yml");
	assert_true(list->values[1]->quoted && !list->values[0]->quoted && yaml_get(root, "block")->quoted);
	assert_null(yaml_get(root, "none"));
	assert_null(yaml_get(list, "a"));
	assert_null(yaml_get(NULL, "a"));
	assert_null(yaml_get_key(NULL, "a"));
}

static void json_read_by_jansson_has_places_too(void **state)
{
	(void)state;
	static const char text[] = "{\n  \"s\": \"\\ud83d\\ude00\",\n  \"l\": [ 12, {\"k\": null} ]\n}\n";
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_yaml struct yaml_doc *doc = yaml_parse("x.json", text, sizeof(text) - 1, diags);
	const struct yaml_node *root = yaml_root(doc), *list = yaml_get(root, "l");
	expect_place(root, (struct place){1, 1, 0});
	expect_place(yaml_get_key(root, "s"), (struct place){2, 3, 6});
	expect_place(yaml_get(root, "s"), (struct place){2, 8, 22});
	expect_place(list, (struct place){3, 8, 27});
	expect_place(list->values[0], (struct place){3, 10, 12});
	expect_place(yaml_get(list->values[1], "k"), (struct place){3, 20, 24});
}

static struct yaml_node scalar(const char *text, bool quoted)
{
	return (struct yaml_node){.kind = YAML_SCALAR, .text = text, .quoted = quoted};
}

static void durations_and_sizes_need_their_units(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool is_duration, is_size;
		uint64_t value;
	} cases[] = {
		{"250ms", true, false, 250},      {"90s", true, false, 90000},        {"15m", true, false, 900000},
		{"2h", true, false, 7200000},     {"3d", true, false, 259200000},     {"0s", true, false, 0},
		{"512Ki", false, true, 524288},   {"4Gi", false, true, 4294967296},   {"10M", false, true, 10000000},
		{"7B", false, true, 7},           {"1k", false, true, 1000},          {"2Ti", false, true, 2199023255552},
		{"90", false, false, 0},          {"", false, false, 0},              {"s", false, false, 0},
		{"-5s", false, false, 0},         {"+5s", false, false, 0},           {"1.5h", false, false, 0},
		{"5 s", false, false, 0},         {"5S", false, false, 0},            {"5s ", false, false, 0},
		{"1h30m", false, false, 0},       {"99999999999999999999s", false, false, 0}, {"9223372036854775807s", false, false, 0},
		{"9223372036854775807ms", true, false, 9223372036854775807}, {"18446744073709551615ms", false, false, 0},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct yaml_node node = scalar(cases[i].text, i % 2);
		uint64_t duration = 4711, size = 4711;
		if (yaml_duration_ms(&node, &duration) != cases[i].is_duration || yaml_size_bytes(&node, &size) != cases[i].is_size)
			fail_msg("\"%s\" is taken for the wrong thing", cases[i].text);
		assert_true(duration == (cases[i].is_duration ? cases[i].value : 4711));
		assert_true(size == (cases[i].is_size ? cases[i].value : 4711));
	}
}

static void numbers_are_read_exactly_or_not_at_all(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool is_number, is_fraction;
		double number, fraction;
	} cases[] = {
		{"5%", false, true, 0, 0.05}, {"0.05", true, true, 0.05, 0.05}, {"0.5%", false, true, 0, 0.005}, {"1e-3", true, true, 1e-3, 1e-3},
		{"100%", false, true, 0, 1},  {"-2", true, true, -2, -2},       {"5 %", false, false, 0, 0},     {"%", false, false, 0, 0},
		{"5%%", false, false, 0, 0},  {".", false, false, 0, 0},        {"1e", false, false, 0, 0},      {"inf", false, false, 0, 0},
		{"nan", false, false, 0, 0},  {"0x10", false, false, 0, 0},     {"1e999", false, false, 0, 0},   {" 1", false, false, 0, 0},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct yaml_node node = scalar(cases[i].text, false);
		double number = 0, fraction = 0;
		if (yaml_number(&node, &number) != cases[i].is_number || yaml_fraction(&node, &fraction) != cases[i].is_fraction)
			fail_msg("\"%s\" is taken for the wrong thing", cases[i].text);
		assert_true(fabs(number - cases[i].number) < 1e-15 && fabs(fraction - cases[i].fraction) < 1e-15);
	}
	struct yaml_node quoted = scalar("5", true), truth = scalar("true", true), large = scalar("9223372036854775808", false);
	int64_t integer = 7;
	double number;
	bool flag;
	assert_false(yaml_int(&quoted, &integer) || yaml_number(&quoted, &number) || yaml_bool(&truth, &flag) || yaml_int(&large, &integer));
	assert_false(yaml_int(NULL, &integer) || yaml_bool(NULL, &flag) || yaml_number(NULL, &number));
	assert_int_equal(integer, 7);
	assert_string_equal(yaml_text(&quoted, "f"), "5");
	assert_string_equal(yaml_text(NULL, "f"), "f");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(yaml_and_json_give_the_values_they_say),
		cmocka_unit_test(a_text_without_a_nul_behind_it_is_read_to_its_length_only),
		cmocka_unit_test(a_key_too_long_for_libyaml_is_still_json),
		cmocka_unit_test(every_mistake_has_its_place),
		cmocka_unit_test(several_mistakes_are_told_at_once),
		cmocka_unit_test(a_billion_laughs_end_early),
		cmocka_unit_test(limits_of_depth_number_and_size_hold),
		cmocka_unit_test(nodes_know_where_they_stand),
		cmocka_unit_test(json_read_by_jansson_has_places_too),
		cmocka_unit_test(durations_and_sizes_need_their_units),
		cmocka_unit_test(numbers_are_read_exactly_or_not_at_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
