/* What a stranger's log may do to a terminal: colour its lines, and nothing else. */
#include "runner/terminal.h"
#include "tests/support/support.h"

#include <string.h>

static const struct {
	const char *in, *out;
} cases[] = {
	{"plain\ttext\n", "plain\ttext\n"},
	{"\033[31mred\033[0m", "\033[31mred\033[0m"},
	{"\033[1;38;5;12mx", "\033[1;38;5;12mx"},
	{"a\033[2Jb", "ab"},
	{"a\033[31;\nb", "a\nb"},
	{"a\033]0;title\007b", "a0;titleb"},
	{"a\033\nb", "a\nb"},
	{"\302\23331m", "?31m"},
	{"gr\303\274n \302\265", "gr\303\274n \302\265"},
	{"back\010space\177", "backspace?"},
	{"\033[1111111111111111111111111111111111111111mx", "x"},
};

static void only_colours_come_through_however_the_text_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].in);
		for (size_t cut = 0; cut <= len; cut++) {
			struct terminal_filter filter = {0};
			struct buf out;
			buf_init(&out, 1024);
			terminal_filter(&filter, cases[i].in, cut, &out);
			terminal_filter(&filter, cases[i].in + cut, len - cut, &out);
			assert_string_equal(out.data, cases[i].out);
			buf_done(&out);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(only_colours_come_through_however_the_text_is_cut)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
