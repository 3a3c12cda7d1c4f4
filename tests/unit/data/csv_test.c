#include "data/csv.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "tests/support/support.h"

#define TEXT(literal) literal, sizeof(literal) - 1

/* Everything a reader says about some bytes, one line a record: "2: a|b" with the physical line, "[...]" around quoted fields,
 * "! message" for a problem; reading goes on where it may. */
static char *told(const char *bytes, size_t len, const struct csv_options *options)
{
	cleanup_buf struct buf out;
	buf_init(&out, 1024 * 1024);
	cleanup_csv struct csv_reader *csv = NULL;
	cleanup_error struct error *err = NULL;
	if (csv_open_bytes(bytes, len, "t.csv", options, &csv, &err) < 0) {
		buf_addf(&out, "! %s\n", error_message(err));
		return buf_steal(&out);
	}
	for (;;) {
		const struct csv_record *record;
		cleanup_error struct error *bad = NULL;
		int rc = csv_next(csv, &record, &bad);
		if (rc == 0)
			break;
		if (rc < 0) {
			buf_addf(&out, "! %s\n", error_message(bad));
			if (!csv_problem_goes_on(csv_last_problem(csv)->kind))
				break;
			continue;
		}
		assert_int_equal(record->n, csv_columns(csv));
		buf_addf(&out, "%d:", (int)record->line);
		for (size_t i = 0; i < record->n; i++) {
			assert_int_equal(strlen(record->fields[i].text), record->fields[i].len);
			buf_addf(&out, record->fields[i].quoted ? "%s[%s]" : "%s%s", i ? "|" : " ", record->fields[i].text);
		}
		buf_addc(&out, '\n');
	}
	return buf_steal(&out);
}

static const struct {
	const char *bytes;
	size_t len;
	const char *expected;
} cases[] = {
	{TEXT("a,b\n1,2\n3,4\n"), "2: 1|2\n3: 3|4\n"},
	{TEXT("a,b\r\n1,2\r\n"), "2: 1|2\n"},
	{TEXT("a,b\n1,2"), "2: 1|2\n"},
	{TEXT("a,b\n1,"), "2: 1|\n"},
	{TEXT("a,b\n,\n"), "2: |\n"},
	{TEXT("\xEF\xBB\xBF" "a,b\n1,2\n"), "2: 1|2\n"},
	{TEXT("a,b\n\"x,y\",\"\"\n"), "2: [x,y]|[]\n"},
	{TEXT("a,b\n\"she said \"\"no\"\"\",\"\"\"\"\n"), "2: [she said \"no\"]|[\"]\n"},
	{TEXT("a,b\n\"two\nlines\",1\n\"\r\n\",2\n5,6\n"), "2: [two\nlines]|1\n4: [\r\n]|2\n6: 5|6\n"},
	{TEXT("a,b\n1,\"2\""), "2: 1|[2]\n"},
	{TEXT("\"a\",\"b,\n c\"\n1,2\n"), "3: 1|2\n"},
	{TEXT("a,b\n\n1,2\n\r\n\n3,4\n\n"), "3: 1|2\n6: 3|4\n"},
	{TEXT("a\n1\n\n\"\"\n2\n"), "2: 1\n3: \n4: []\n5: 2\n"},
	{TEXT("a,b\n\xC3\xA9,\xE2\x82\xAC\n"), "2: \xC3\xA9|\xE2\x82\xAC\n"},
	{TEXT("a,b\n1\n1,2,3\n4,5\n"), "! t.csv:2:2: 1 field, but the header has 2\n! t.csv:3:5: 3 fields, but the header has 2\n4: 4|5\n"},
	{TEXT("a,b\n1,\"open\n2,3\n"), "! t.csv:2:3: the quoted field that starts here is never closed\n"},
	{TEXT("a,b\n\"x\"y,2\n"),
	 "! t.csv:2:4: text after a closing quote; expected a delimiter or a line end (a quote inside quotes is doubled)\n"},
	{TEXT("a,b\n\xC3\xA9\xC3\xA9x\"y,2\n3,4\n"),
	 "! t.csv:2:4: a quote inside an unquoted field; quote the whole field and double the quote\n3: 3|4\n"},
	{TEXT("a,b\n1,2\r3\n4,5\n"), "! t.csv:2:4: a carriage return without a line feed\n3: 4|5\n"},
	{TEXT("a,b\n1,2\r"), "! t.csv:2:4: a carriage return without a line feed\n"},
	{TEXT("a,b\n\"x\ny\",\0\n4,5\n"), "! t.csv:3:4: a NUL byte; is this a text file?\n4: 4|5\n"},
	{TEXT("a,b\nab\xFFz,2\n4,5\n"), "! t.csv:2:3: bytes that are not UTF-8\n3: 4|5\n"},
	{TEXT("a,b\nx,\xED\xA0\x80\n"), "! t.csv:2:3: bytes that are not UTF-8\n"},
	{TEXT(""), "! t.csv:1:1: the file is empty; expected a header line\n"},
	{TEXT("\n\n"), "! t.csv:1:1: the file is empty; expected a header line\n"},
	{TEXT("a,,c\n"), "! t.csv:1:1: a column without a name in the header\n"},
	{TEXT("a,b,a\n"), "! t.csv:1:1: the header names a column twice: \"a\"\n"},
	{TEXT("a,b"), ""},
};

static void records_and_problems_are_told_with_their_places(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *text = told(cases[i].bytes, cases[i].len, NULL);
		assert_string_equal(text, cases[i].expected);
	}
}

static void limits_hold(void **state)
{
	(void)state;
	const struct csv_options options = {.delimiter = ';', .max_field_bytes = 4, .max_fields = 3};
	cleanup_free char *fits = told(TEXT("a;b\n1234;x,y\n"), &options);
	assert_string_equal(fits, "2: 1234|x,y\n");
	cleanup_free char *field = told(TEXT("a;b\n1;12345\n"), &options);
	assert_string_equal(field, "! t.csv:2:3: a field is too long: more than 4 bytes\n");
	cleanup_free char *quoted = told(TEXT("a;b\n1;\"2\n3;4\n5;6\n"), &options);
	assert_string_equal(quoted, "! t.csv:2:3: a field is too long: more than 4 bytes; is its quote never closed?\n");
	cleanup_free char *fields = told(TEXT("a;b;c;d\n"), &options);
	assert_string_equal(fields, "! t.csv:1:7: too many fields: more than 3\n");
}

static void a_record_longer_than_its_limit_ends_the_reading(void **state)
{
	(void)state;
	const size_t len = 3 * 1024 * 1024;
	cleanup_free char *big = xmalloc(len);
	memset(big, ',', len);
	memcpy(big, "a\n", 2);
	const struct csv_options options = {.max_record_bytes = 1024 * 1024, .max_fields = 10 * 1024 * 1024};
	cleanup_free char *text = told(big, len, &options);
	assert_string_equal(text, "! t.csv:2:1: a record is too long: more than 1048576 bytes\n");
}

static void a_problem_that_ends_the_reading_is_repeated(void **state)
{
	(void)state;
	cleanup_csv struct csv_reader *csv = NULL;
	cleanup_error struct error *err = NULL, *again = NULL;
	const struct csv_record *record;
	assert_ok(csv_open_bytes(TEXT("a\n\"x"), "t.csv", NULL, &csv, &err), err);
	assert_int_equal(csv_next(csv, &record, &err), -1);
	assert_int_equal(csv_next(csv, &record, &again), -1);
	assert_error(again, ERROR_INVALID, "t.csv:2:1: the quoted field that starts here is never closed");
	assert_int_equal(csv_last_problem(csv)->kind, CSV_UNTERMINATED_QUOTE);
	assert_int_equal(csv_last_problem(csv)->column, 1);
}

/* Records that straddle every place of the buffer's end: the answer does not depend on how the bytes arrive. */
static void records_across_the_ends_of_the_buffer_are_whole(void **state)
{
	struct fixture *fixture = *state;
	cleanup_buf struct buf b;
	buf_init(&b, 8 * 1024 * 1024);
	buf_adds(&b, "id,text\r\n");
	const int rows = 60000;
	for (int i = 0; i < rows; i++)
		buf_addf(&b, "%d,\"%.*s\"\"\r\n%.*s\"\r\n", i, i % 13, "xxxxxxxxxxxxxx", i % 7, "yyyyyyyyyyyyyy");
	assert_false(b.failed);
	cleanup_free char *path = fixture_write(fixture, "big.csv", b.data);
	cleanup_csv struct csv_reader *csv = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(csv_open(path, NULL, &csv, &err), err);
	const struct csv_record *record;
	int i = 0, rc;
	while ((rc = csv_next(csv, &record, &err)) > 0) {
		char expected[64];
		snprintf(expected, sizeof(expected), "%.*s\"\r\n%.*s", i % 13, "xxxxxxxxxxxxxx", i % 7, "yyyyyyyyyyyyyy");
		assert_string_equal(record->fields[1].text, expected);
		assert_int_equal(record->line, 2 + 2 * i);
		i++;
	}
	assert_no_error(err);
	assert_int_equal(i, rows);
	assert_int_equal(csv_bytes(csv), b.len);
}

static void a_missing_file_is_told(void **state)
{
	struct fixture *fixture = *state;
	cleanup_csv struct csv_reader *csv = NULL;
	cleanup_error struct error *err = NULL;
	assert_int_equal(csv_open(fixture_text(fixture, "%s/none.csv"), NULL, &csv, &err), -1);
	assert_error(err, ERROR_NOT_FOUND, fixture_text(fixture, "%s/none.csv: No such file or directory"));
}

/* Every cut and every single-byte change of a small file: nothing crashes, and reading always ends. */
static void no_bytes_crash_the_reader(void **state)
{
	(void)state;
	static const char seed[] = "a,b\r\n\"x\"\"y\",\"1\n2\"\n\xC3\xA9,3\r\n";
	static const char changes[] = {'"', ',', '\n', '\r', '\0', 'x', (char)0xFF, (char)0xC3};
	for (size_t len = 0; len < sizeof(seed); len++) {
		cleanup_free char *cut = xmemdup(seed, len);
		free(told(cut, len, NULL));
		for (size_t at = 0; at < len; at++) {
			for (size_t c = 0; c < sizeof(changes); c++) {
				char saved = cut[at];
				cut[at] = changes[c];
				free(told(cut, len, NULL));
				cut[at] = saved;
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_and_problems_are_told_with_their_places),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(a_record_longer_than_its_limit_ends_the_reading),
		cmocka_unit_test(a_problem_that_ends_the_reading_is_repeated),
		cmocka_unit_test_setup_teardown(records_across_the_ends_of_the_buffer_are_whole, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_missing_file_is_told, fixture_setup, fixture_teardown),
		cmocka_unit_test(no_bytes_crash_the_reader),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
