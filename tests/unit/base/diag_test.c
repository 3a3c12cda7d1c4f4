#include "base/alloc.h"
#include "base/diag.h"
#include "tests/support/support.h"

static void add(struct diag_list *list, enum diag_severity severity, unsigned line, unsigned column, unsigned end, const char *message,
		const char *hint)
{
	diag_add(list, &(struct diag){severity, ".penstock.yml", line, column, end, "some-code", message, hint});
}

static char *print(const struct diag_list *list, const char *source, bool color)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	diag_print(list, source, color, &out);
	assert_false(out.failed);
	return buf_steal(&out);
}

/* One error at a place of a source, as text. */
static void expect(const char *source, unsigned line, unsigned column, unsigned end, const char *text)
{
	cleanup_diags struct diag_list *list = diag_list_new();
	add(list, DIAG_ERROR, line, column, end, "wrong", NULL);
	cleanup_free char *printed = print(list, source, false);
	assert_string_equal(printed, text);
}

static void a_mistake_is_shown_at_its_place(void **state)
{
	(void)state;
	cleanup_diags struct diag_list *list = diag_list_new();
	add(list, DIAG_ERROR, 3, 13, 18, "stage \"score\" needs \"trian\", which is no stage", "did you mean \"train\"?");
	cleanup_free char *text = print(list, "stages:\n  score:\n    needs: [trian]\n", false);
	assert_string_equal(text, ".penstock.yml:3:13: error: stage \"score\" needs \"trian\", which is no stage; did you mean \"train\"?\n"
				  "    3 |     needs: [trian]\n"
				  "      |             ^~~~~\n");
}

static void carets_stand_under_tabs_wide_and_combining_characters(void **state)
{
	(void)state;
	expect("\ta:\tb", 1, 5, 6, ".penstock.yml:1:5: error: wrong\n"
				   "    1 |         a:      b\n"
				   "      |                 ^\n");
	expect("\xe6\xbc\xa2\xe5\xad\x97: x", 1, 1, 3, ".penstock.yml:1:1: error: wrong\n" /* two ideographs */
						     "    1 | \xe6\xbc\xa2\xe5\xad\x97: x\n"
						     "      | ^~~~\n");
	expect("\xe6\xbc\xa2: xy", 1, 4, 6, ".penstock.yml:1:4: error: wrong\n"
					    "    1 | \xe6\xbc\xa2: xy\n"
					    "      |     ^~\n");
	expect("e\xcc\x81: x", 1, 5, 6, ".penstock.yml:1:5: error: wrong\n" /* e, combining acute */
					"    1 | e\xcc\x81: x\n"
					"      |    ^\n");
	expect("\xef\xbb\xbf" "a: x", 1, 4, 5, ".penstock.yml:1:4: error: wrong\n" /* a byte order mark is no column */
					       "    1 | a: x\n"
					       "      |    ^\n");
}

static void unknown_places_are_left_out(void **state)
{
	(void)state;
	expect("a", 0, 0, 0, ".penstock.yml: error: wrong\n");
	expect("a\nb", 2, 0, 0, ".penstock.yml:2: error: wrong\n    2 | b\n");
	expect("a", 9, 3, 0, ".penstock.yml:9:3: error: wrong\n");
	expect(NULL, 9, 3, 0, ".penstock.yml:9:3: error: wrong\n");
	expect("ab\r\n", 1, 9, 12, ".penstock.yml:1:9: error: wrong\n"
				   "    1 | ab\n"
				   "      |   ^\n");
	expect("ab", 1, 2, 0, ".penstock.yml:1:2: error: wrong\n"
			      "    1 | ab\n"
			      "      |  ^\n");
}

static void a_strangers_file_cannot_steer_the_terminal(void **state)
{
	(void)state;
	expect("a: \x1b[2Jb\xff", 1, 4, 5, ".penstock.yml:1:4: error: wrong\n"
					   "    1 | a: \xef\xbf\xbd[2Jb\xef\xbf\xbd\n"
					   "      |    ^\n");
	cleanup_diags struct diag_list *list = diag_list_new();
	add(list, DIAG_ERROR, 0, 0, 0, "unknown key \"\x1b[31m\n\xe2\x80\xae\xff\"", NULL);
	cleanup_free char *text = print(list, NULL, false);
	assert_string_equal(text, ".penstock.yml: error: unknown key \"\\x1b[31m\\x0a\xef\xbf\xbd\xef\xbf\xbd\"\n");
}

static void a_very_long_line_is_cut_around_the_place(void **state)
{
	(void)state;
	cleanup_free char *source = xmalloc(5001);
	memset(source, '.', 5000);
	source[5000] = '\0';
	memcpy(source + 2000, "here", 4);
	cleanup_diags struct diag_list *list = diag_list_new();
	add(list, DIAG_ERROR, 1, 2001, 2005, "wrong", NULL);
	cleanup_free char *text = print(list, source, false);
	const char *line = strchr(text, '\n') + 1, *caret = strchr(line, '\n') + 1;
	assert_true(strlen(text) < 400);
	assert_memory_equal(line + strcspn(caret, "^"), "here", 4);
	assert_string_equal(caret + strcspn(caret, "^"), "^~~~\n");
}

static void colours_come_only_when_asked_for(void **state)
{
	(void)state;
	cleanup_diags struct diag_list *list = diag_list_new();
	add(list, DIAG_WARNING, 1, 1, 2, "odd", NULL);
	cleanup_free char *plain = print(list, "x", false), *colored = print(list, "x", true);
	assert_string_equal(plain, ".penstock.yml:1:1: warning: odd\n    1 | x\n      | ^\n");
	assert_string_equal(colored, "\033[1m.penstock.yml:1:1:\033[0m \033[1;35mwarning:\033[0m odd\n    1 | x\n      | \033[1;32m^\033[0m\n");
}

static void mistakes_are_sorted_by_place_and_counted(void **state)
{
	(void)state;
	cleanup_diags struct diag_list *list = diag_list_new();
	add(list, DIAG_ERROR, 5, 1, 0, "third", NULL);
	add(list, DIAG_WARNING, 2, 7, 0, "second", NULL);
	add(list, DIAG_ERROR, 2, 3, 0, "first", NULL);
	add(list, DIAG_ERROR, 5, 1, 0, "fourth, told later", NULL);
	static const char *const order[] = {"first", "second", "third", "fourth, told later"};
	assert_int_equal(diag_count(list), 4);
	assert_int_equal(diag_errors(list), 3);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(diag_at(list, i)->message, order[i]);
}

static void too_many_mistakes_end_with_a_word_about_it(void **state)
{
	(void)state;
	cleanup_diags struct diag_list *list = diag_list_new();
	for (unsigned i = 0; i < 1000; i++)
		add(list, DIAG_ERROR, 2000 - i, 1, 0, "wrong", NULL);
	assert_int_equal(diag_count(list), 1000);
	add(list, DIAG_ERROR, 1, 1, 0, "one more", NULL);
	add(list, DIAG_ERROR, 1, 1, 0, "another", NULL);
	assert_int_equal(diag_count(list), 1001);
	assert_int_equal(diag_errors(list), 1002);
	assert_string_equal(diag_at(list, 1000)->message, "more than 1,000 mistakes; the rest is not told");
}

static void json_has_the_documented_fields(void **state)
{
	(void)state;
	cleanup_diags struct diag_list *list = diag_list_new();
	add(list, DIAG_ERROR, 3, 13, 18, "wrong \xff", NULL);
	add(list, DIAG_WARNING, 4, 1, 0, "odd", "look");
	cleanup_json json_t *json = diag_json(list);
	cleanup_free char *text = json_text(json);
	assert_string_equal(text, "[{\"code\":\"some-code\",\"column\":13,\"file\":\".penstock.yml\",\"hint\":null,\"line\":3,\"message\":"
				  "\"wrong \xef\xbf\xbd\",\"severity\":\"error\"},{\"code\":\"some-code\",\"column\":1,\"file\":\".penstock.yml\","
				  "\"hint\":\"look\",\"line\":4,\"message\":\"odd\",\"severity\":\"warning\"}]");
}

static void the_nearest_word_is_near(void **state)
{
	(void)state;
	static const char *const words[] = {"train", "score", "needs", "on", "branches", NULL, "timeout"};
	static const struct {
		const char *word, *nearest;
	} cases[] = {
		{"trian", "train"},     /* two letters swapped count as one */
		{"Train", "train"},     {"TRAIN", "train"}, {"scor", "score"},       {"need", "needs"},     {"neds", "needs"},
		{"branch", "branches"}, {"no", "on"},       {"tiemout", "timeout"}, {"timeouts", "timeout"}, {"xyz", NULL},
		{"", NULL},             {"x", NULL},        {"release", NULL},      {"stain", NULL},        {"tarin", "train"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *nearest = nearest_word(cases[i].word, words, ARRAY_SIZE(words));
		if (!nearest != !cases[i].nearest || (nearest && strcmp(nearest, cases[i].nearest) != 0))
			fail_msg("nearest_word(\"%s\") is %s", cases[i].word, nearest ? nearest : "NULL");
	}
	cleanup_free char *longer = xmalloc(10001);
	memset(longer, 'x', 10000);
	longer[10000] = '\0';
	assert_null(nearest_word(longer, words, ARRAY_SIZE(words)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mistake_is_shown_at_its_place),
		cmocka_unit_test(carets_stand_under_tabs_wide_and_combining_characters),
		cmocka_unit_test(unknown_places_are_left_out),
		cmocka_unit_test(a_strangers_file_cannot_steer_the_terminal),
		cmocka_unit_test(a_very_long_line_is_cut_around_the_place),
		cmocka_unit_test(colours_come_only_when_asked_for),
		cmocka_unit_test(mistakes_are_sorted_by_place_and_counted),
		cmocka_unit_test(too_many_mistakes_end_with_a_word_about_it),
		cmocka_unit_test(json_has_the_documented_fields),
		cmocka_unit_test(the_nearest_word_is_near),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
