#include "base/utf8.h"
#include "tests/support/support.h"

static void every_character_comes_back(void **state)
{
	(void)state;
	for (uint32_t c = 0; c <= 0x10ffff; c += c < 0x3000 ? 1 : 97) {
		if (c >= 0xd800 && c <= 0xdfff)
			continue;
		char bytes[4];
		uint32_t back = 0;
		size_t n = utf8_encode(c, bytes);
		assert_int_equal(utf8_decode(bytes, n, &back), n);
		assert_int_equal(back, c);
		assert_int_equal(n > 1 && utf8_decode(bytes, n - 1, &back), 0);
	}
}

static void what_is_not_utf8_is_seen(void **state)
{
	(void)state;
	static const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
					  "\xf8\x88\x80\x80\x80", "\xff", "\xc3", "\xc3(", "\xe2\x82"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint32_t c;
		assert_int_equal(utf8_decode(bad[i], strlen(bad[i]), &c), 0);
	}
	assert_int_equal(utf8_valid_prefix("a\xc3\xa9\xff", 4), 3);
	assert_int_equal(utf8_count("a\xc3\xa9\xff", 4), 3);
	assert_int_equal(utf8_width(0x6f22), 2);
	assert_int_equal(utf8_width(0x301), 0);
	assert_int_equal(utf8_width('a'), 1);
	assert_true(utf8_is_unprintable(0x202e) && utf8_is_unprintable('\n') && !utf8_is_unprintable(0xe9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_character_comes_back),
		cmocka_unit_test(what_is_not_utf8_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
