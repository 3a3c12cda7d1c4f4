#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "tests/support/support.h"

static void a_buffer_grows_up_to_its_maximum(void **state)
{
	(void)state;
	cleanup_buf struct buf b;
	buf_init(&b, 1000);
	assert_string_equal(b.data, "");
	for (int i = 0; i < 100; i++)
		buf_addf(&b, "%010d", i);
	assert_int_equal(b.len, 1000);
	assert_false(b.failed);
	assert_memory_equal(b.data + 990, "0000000099", 11);
	buf_addc(&b, 'x');
	assert_true(b.failed);
	assert_int_equal(b.len, 1000);
}

static void a_failure_sticks_until_reset(void **state)
{
	(void)state;
	cleanup_buf struct buf b;
	buf_init(&b, 4);
	buf_adds(&b, "abc");
	buf_adds(&b, "de");
	buf_addc(&b, 'd');
	assert_true(b.failed);
	assert_string_equal(b.data, "abc");
	buf_reset(&b);
	assert_false(b.failed);
	assert_string_equal(b.data, "");
	buf_addf(&b, "%s", "wxyz");
	assert_false(b.failed);
	assert_string_equal(b.data, "wxyz");
}

static void a_stolen_text_is_the_callers_and_the_buffer_goes_on(void **state)
{
	(void)state;
	cleanup_buf struct buf b;
	buf_init(&b, 100);
	cleanup_free char *empty = buf_steal(&b);
	assert_string_equal(empty, "");
	buf_add(&b, "a\0b", 3);
	cleanup_free char *text = buf_steal(&b);
	assert_memory_equal(text, "a\0b", 4);
	buf_adds(&b, "again");
	assert_string_equal(b.data, "again");
}

static void a_maximum_of_nothing_and_the_largest_one_work(void **state)
{
	(void)state;
	cleanup_buf struct buf none, any;
	buf_init(&none, 0);
	buf_adds(&none, "");
	assert_false(none.failed);
	buf_adds(&none, "a");
	assert_true(none.failed);
	assert_string_equal(none.data, "");
	buf_init(&any, SIZE_MAX / 2);
	buf_adds(&any, "text");
	assert_string_equal(any.data, "text");
}

static void a_list_of_strings_ends_with_null(void **state)
{
	(void)state;
	cleanup_strlist struct strlist list = {0};
	assert_null(strlist_items(&list)[0]);
	for (int i = 0; i < 20; i++)
		strlist_addf(&list, "item %d", i);
	strlist_add(&list, "copied");
	strlist_take(&list, xstrdup("owned"));
	assert_int_equal(list.n, 22);
	assert_string_equal(strlist_items(&list)[19], "item 19");
	assert_string_equal(strlist_items(&list)[21], "owned");
	assert_null(strlist_items(&list)[22]);
}

static void an_arena_gives_zeroed_and_aligned_memory(void **state)
{
	(void)state;
	cleanup_arena struct arena *arena = arena_new();
	static const size_t sizes[] = {0, 1, 3, 16, 17, 1000, 4096, 5000, 16384, 100000};
	for (size_t round = 0; round < 50; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			unsigned char *memory = arena_alloc(arena, sizes[i]);
			assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
			for (size_t k = 0; k < sizes[i]; k++)
				assert_true(memory[k] == 0);
			memset(memory, 0xff, sizes[i]);
		}
	}
	assert_string_equal(arena_printf(arena, "%d-%s", 7, "x"), "7-x");
	assert_string_equal(arena_strndup(arena, "abcdef", 3), "abc");
	assert_string_equal(arena_strndup(arena, "ab", 9), "ab");
	assert_null(arena_strdup(arena, NULL));
	arena_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buffer_grows_up_to_its_maximum),
		cmocka_unit_test(a_failure_sticks_until_reset),
		cmocka_unit_test(a_stolen_text_is_the_callers_and_the_buffer_goes_on),
		cmocka_unit_test(a_maximum_of_nothing_and_the_largest_one_work),
		cmocka_unit_test(a_list_of_strings_ends_with_null),
		cmocka_unit_test(an_arena_gives_zeroed_and_aligned_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
