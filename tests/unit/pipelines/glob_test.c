#include "tests/support/support.h"

#include "base/alloc.h"
#include "pipelines/pipeline.h"

#include <string.h>

static const struct {
	const char *pattern, *text;
	bool match;
} cases[] = {
	{"main", "main", true},
	{"main", "maine", false},
	{"", "", true},
	{"", "a", false},
	{"*", "", true},
	{"*", "main", true},
	{"*", "feature/x", false},
	{"feature/*", "feature/x", true},
	{"feature/*", "feature/x/y", false},
	{"feature/*", "feature/", true},
	{"*/x", "feature/x", true},
	{"v*", "v1.2.3", true},
	{"v*.*", "v1", false},
	{"*.csv", "data.csv", true},
	{"*.csv", "data/a.csv", false},
	{"a*b*c", "a--b--c", true},
	{"a*b*c", "a--c--b", false},
	{"**", "", true},
	{"**", "a/b/c", true},
	{"src/**", "src/a/b.py", true},
	{"src/**", "src/a", true},
	{"src/**", "src", false},
	{"src/**", "srcs/a", false},
	{"**/x.py", "x.py", true},
	{"**/x.py", "a/b/x.py", true},
	{"**/x.py", "a/bx.py", false},
	{"a/**/b", "a/b", true},
	{"a/**/b", "a/x/y/b", true},
	{"a/**/b", "a/xb", false},
	{"a/**/b", "ab", false},
	{"a**b", "a/x/b", true},
	{"**.py", "a/b.py", true},
	{"data/", "data/a/b.csv", true},
	{"data/", "data", false},
	{"?", "a", true},
	{"?", "", false},
	{"?", "/", false},
	{"?", "\xc3\xa9", true},            /* one character, two bytes */
	{"caf?", "caf\xc3\xa9", true},
	{"[a-c]", "b", true},
	{"[a-c]", "d", false},
	{"[!a-c]", "d", true},
	{"[^a-c]", "b", false},
	{"[!a]", "/", false},
	{"[]]", "]", true},
	{"[a-]", "-", true},
	{"[\xc3\xa0-\xc3\xbf]", "\xc3\xa9", true},
	{"[abc", "[abc", true},             /* not closed: ordinary characters */
	{"v[0-9]*", "v1-rc", true},
	{"v[0-9]*", "vx", false},
	{"\xff", "\xff", true},             /* no UTF-8 at all */
	{"--upload-pack=*", "--upload-pack=x", true},
};

static void globs_match_by_parts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (glob_match(cases[i].pattern, cases[i].text) != cases[i].match)
			fail_msg("\"%s\" %s match \"%s\"", cases[i].pattern, cases[i].match ? "must" : "must not", cases[i].text);
	}
}

static bool any(const char *const *patterns, const char *text)
{
	struct globs globs = {patterns, 0};

	while (patterns[globs.n])
		globs.n++;
	return globs_match(&globs, text);
}

static void negated_globs_take_away(void **state)
{
	(void)state;
	assert_true(any((const char *[]){NULL}, "anything"));
	assert_true(any((const char *[]){"main", "release/*", NULL}, "release/1"));
	assert_false(any((const char *[]){"main", "release/*", NULL}, "dev"));
	assert_true(any((const char *[]){"!dev", NULL}, "main"));
	assert_false(any((const char *[]){"!dev", NULL}, "dev"));
	assert_false(any((const char *[]){"**", "!release/*", NULL}, "release/1"));
	assert_false(any((const char *[]){"!release/*", "**", NULL}, "release/1")); /* in any order */
}

/* A backtracking matcher would take longer than the sun has. */
static void hostile_patterns_take_no_time(void **state)
{
	struct buf pattern, text;

	(void)state;
	buf_init(&pattern, 10000);
	buf_init(&text, 10000);
	for (int i = 0; i < 60; i++)
		buf_adds(&pattern, i % 2 ? "*a" : "**a");
	buf_adds(&pattern, "b");
	for (int i = 0; i < 2000; i++)
		buf_adds(&text, "a");
	assert_false(glob_match(pattern.data, text.data));
	buf_adds(&text, "b");
	assert_true(glob_match(pattern.data, text.data));
	buf_done(&pattern);
	buf_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(globs_match_by_parts),
		cmocka_unit_test(negated_globs_take_away),
		cmocka_unit_test(hostile_patterns_take_no_time),
	};

	return cmocka_run_group_tests_name("glob", tests, NULL, NULL);
}
