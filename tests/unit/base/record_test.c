#include "base/attempt/record.h"

#include "base/alloc.h"
#include "tests/support/support.h"

#include <string.h>

static void fields_come_back_in_order_with_any_bytes(void **state)
{
	(void)state;
	struct record_writer writer = {0};
	record_add_text(&writer, "argv", "two\nlines 7\n");
	record_add(&writer, "argv", "a\0b", 3);
	record_add_text(&writer, "empty", "");
	record_add_number(&writer, "big", UINT64_MAX);
	cleanup_free char *bytes = xstrndup("", writer.len);
	free(bytes);
	bytes = xmalloc(writer.len + 1);
	memcpy(bytes, writer.data, writer.len);
	bytes[writer.len] = '\0';
	struct record_reader reader = record_reader(bytes, writer.len);
	const char *key;
	char *value;
	size_t len;
	uint64_t number;
	assert_int_equal(record_next(&reader, &key, &value, &len), 1);
	assert_string_equal(key, "argv");
	assert_string_equal(value, "two\nlines 7\n");
	assert_int_equal(record_next(&reader, &key, &value, &len), 1);
	assert_int_equal(len, 3);
	assert_memory_equal(value, "a\0b", 4);
	assert_int_equal(record_next(&reader, &key, &value, &len), 1);
	assert_string_equal(value, "");
	assert_int_equal(record_next(&reader, &key, &value, &len), 1);
	assert_true(record_number(value, &number) && number == UINT64_MAX);
	assert_int_equal(record_next(&reader, &key, &value, &len), 0);
	record_writer_done(&writer);
}

static void malformed_records_are_refused(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"x",
		"key",
		"key 3",
		"key 3\n",
		"key 3\nab\n",
		"key 3\nabcd\n",
		"key 3\nabc",
		"key x\nabc\n",
		"key -1\nabc\n",
		" 3\nabc\n",
		"key 18446744073709551615\nabc\n",
		"key 99999999999999999999\nabc\n",
		"key  3\nabc\n",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1\na\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *bytes = xstrdup(cases[i]);
		struct record_reader reader = record_reader(bytes, strlen(bytes));
		const char *key;
		char *value;
		size_t len;
		assert_int_equal(record_next(&reader, &key, &value, &len), -1);
	}
}

static void numbers_are_whole_and_fit(void **state)
{
	(void)state;
	static const char *const bad[] = {"", " 1", "1 ", "-1", "+1", "0x1", "18446744073709551616", "1.0"};
	uint64_t number = 7;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(record_number(bad[i], &number));
	assert_int_equal(number, 7);
}

static void exit_records_come_back_whole_or_not_at_all(void **state)
{
	(void)state;
	const struct exit_record record = {.end = ATTEMPT_OOM,
					   .command = "main",
					   .exit_code = 0,
					   .signal = 9,
					   .errnum = 2,
					   .started_ms = 1700000000000,
					   .ended_ms = 1700000000999,
					   .cpu_ms = 12,
					   .max_rss_bytes = 1ULL << 40,
					   .message = "killed by SIGKILL (out of memory)"};
	struct record_writer writer = {0};
	struct exit_record back;
	exit_record_encode(&record, &writer);
	for (size_t cut = 0; cut <= writer.len; cut++) {
		cleanup_free char *bytes = xmalloc(writer.len + 1);
		memcpy(bytes, writer.data, writer.len);
		bytes[cut] = '\0';
		assert_int_equal(exit_record_decode(bytes, cut, &back), cut == writer.len);
	}
	assert_int_equal(back.end, ATTEMPT_OOM);
	assert_string_equal(back.command, "main");
	assert_int_equal(back.signal, 9);
	assert_int_equal(back.started_ms, 1700000000000);
	assert_int_equal(back.max_rss_bytes, 1ULL << 40);
	assert_string_equal(back.message, "killed by SIGKILL (out of memory)");
	record_writer_done(&writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_come_back_in_order_with_any_bytes),
		cmocka_unit_test(malformed_records_are_refused),
		cmocka_unit_test(numbers_are_whole_and_fit),
		cmocka_unit_test(exit_records_come_back_whole_or_not_at_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
