#include "base/json.h"
#include "tests/support/support.h"

static void bad_json_is_told_with_its_place(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "line 1, column 0: '[' or '{' expected near end of file"},
		{"{\"a\": 1,\n \"a\": 2}", "line 2, column 4: duplicate object key near '\"a\"'"},
		{"{\"a\": }", "line 1, column 7: unexpected token near '}'"},
		{"[1] x", "line 1, column 5: end of file expected near 'x'"},
		{"[\"\xff\"]", "line 1, column 2: unable to decode byte 0xff near '\"'"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		json_t *json = NULL;
		assert_int_equal(json_parse(cases[i].text, strlen(cases[i].text), &json, &err), -1);
		if (i > 0) /* The wording for an empty text is the library's and changed between its versions. */
			assert_error(err, ERROR_INVALID, cases[i].message);
		assert_int_equal(error_code_of(err), ERROR_INVALID);
		assert_null(json);
	}
}

static void the_same_value_gives_the_same_bytes(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *json = NULL;
	static const char text[] = "{\"b\": [1, 2.5, null], \"a\": \"\\u00e9\\/\"}";
	assert_ok(json_parse(text, sizeof(text) - 1, &json, &err), err);
	cleanup_free char *compact = json_text(json);
	assert_string_equal(compact, "{\"a\":\"\xc3\xa9/\",\"b\":[1,2.5,null]}");
	cleanup_free char *pretty = json_text_pretty(json);
	assert_string_equal(pretty, "{\n  \"a\": \"\xc3\xa9/\",\n  \"b\": [\n    1,\n    2.5,\n    null\n  ]\n}\n");
}

static void getters_name_the_key(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *json = json_pack("{s:s, s:i, s:f, s:b}", "name", "x", "n", 3, "rate", 0.5, "on", 1);
	const char *text = NULL;
	int64_t number = 0;
	assert_ok(json_need_string(json, "name", &text, &err), err);
	assert_string_equal(text, "x");
	assert_ok(json_need_int(json, "n", &number, &err), err);
	assert_int_equal(number, 3);
	assert_int_equal(json_need_string(json, "n", &text, &err), -1);
	assert_error(err, ERROR_INVALID, "key \"n\": expected a string");
	cleanup_error struct error *other = NULL;
	assert_int_equal(json_need_int(json, "missing", &number, &other), -1);
	assert_error(other, ERROR_INVALID, "key \"missing\": expected an integer");

	assert_string_equal(json_string_or(json, "n", "fallback"), "fallback");
	assert_int_equal(json_int_or(json, "n", 7), 3);
	assert_int_equal(json_int_or(json, "rate", 7), 7);
	assert_true(json_number_or(json, "rate", 1) > 0.4 && json_number_or(json, "rate", 1) < 0.6);
	assert_true(json_bool_or(json, "on", false));
	assert_true(json_bool_or(NULL, "on", true));
}

static void a_file_is_named_in_its_errors(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *path = fixture_write(fixture, "x.json", "{\"a\" 1}");
	cleanup_error struct error *err = NULL;
	json_t *json = NULL;
	assert_int_equal(json_read(path, 100, &json, &err), -1);
	assert_error(err, ERROR_INVALID, fixture_text(fixture, "%s/x.json: line 1, column 6: ':' expected near '1'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_json_is_told_with_its_place),
		cmocka_unit_test(the_same_value_gives_the_same_bytes),
		cmocka_unit_test(getters_name_the_key),
		cmocka_unit_test_setup_teardown(a_file_is_named_in_its_errors, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
