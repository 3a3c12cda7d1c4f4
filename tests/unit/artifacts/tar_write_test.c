#include "artifacts/tar_write.h"

#include "base/buf.h"
#include "tests/unit/artifacts/oci_fixture.h"

static int sink(void *arg, const void *bytes, size_t len, struct error **err)
{
	(void)err;
	buf_add(arg, bytes, len);
	return 0;
}

static char *repeated(char c, size_t n)
{
	char *text = xmalloc(n + 1);
	memset(text, c, n);
	text[n] = '\0';
	return text;
}

/* Writes the entries, files with their path as contents, to <dir>/t.tar; the path is owned by the caller. */
static char *write_entries(const struct fixture *fixture, const struct tar_entry *entries, size_t n)
{
	cleanup_buf struct buf out;
	buf_init(&out, 1 << 20);
	cleanup_error struct error *err = NULL;
	struct tar_writer tar = {.write = sink, .arg = &out};
	for (size_t i = 0; i < n; i++) {
		struct tar_entry entry = entries[i];
		if (entry.type == TAR_FILE)
			entry.size = strlen(entry.path);
		assert_ok(tar_begin(&tar, &entry, &err), err);
		if (entry.size)
			assert_ok(tar_data(&tar, entry.path, entry.size, &err), err);
	}
	assert_ok(tar_finish(&tar, &err), err);
	assert_false(out.failed);
	assert_int_equal(out.len % 512, 0);
	char *path = path_join(fixture->dir, "t.tar");
	assert_ok(file_write_atomic(path, out.data, out.len, 0644, &err), err);
	return path;
}

static void gnu_tar_lists_what_was_written(void **state)
{
	const struct fixture *fixture = *state;
	const struct tar_entry entries[] = {
		{.path = "app", .type = TAR_DIRECTORY},
		{.path = "app/link", .type = TAR_SYMLINK, .target = "run.sh"},
		{.path = "app/run.sh", .executable = true},
		{.path = "app/weights"},
	};
	cleanup_free char *path = write_entries(fixture, entries, ARRAY_SIZE(entries));
	cleanup_free char *list = run_tool("tar", (const char *[]){"tar", "--utc", "--full-time", "-tvf", path, NULL});
	assert_string_equal(list, "drwxr-xr-x 0/0               0 1970-01-01 00:00:00 app\n"
				  "lrwxrwxrwx 0/0               0 1970-01-01 00:00:00 app/link -> run.sh\n"
				  "-rwxr-xr-x 0/0              10 1970-01-01 00:00:00 app/run.sh\n"
				  "-rw-r--r-- 0/0              11 1970-01-01 00:00:00 app/weights\n");
}

/* "aaa/bbb" of parts with these lengths, and then `end`. */
static char *path_of(size_t first, size_t last, const char *end)
{
	cleanup_free char *a = repeated('a', first), *b = repeated('b', last);
	return xasprintf("%s%s%s%s", a, first ? "/" : "", b, end);
}

static void assert_same_names(const char *path, char *const *expected, size_t n)
{
	struct archive *archive = archive_read_new();
	archive_read_support_format_tar(archive);
	assert_int_equal(archive_read_open_filename(archive, path, 10240), ARCHIVE_OK);
	struct archive_entry *entry;
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_OK);
		assert_string_equal(archive_entry_pathname(entry), expected[i]);
		if (archive_entry_filetype(entry) == AE_IFLNK)
			assert_string_equal(archive_entry_symlink(entry), expected[i]);
		else
			assert_int_equal(archive_entry_size(entry), strlen(expected[i]));
	}
	assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_EOF);
	archive_read_free(archive);
}

/* Names at and around every limit of ustar come back byte by byte through libarchive and Python, in a C locale. */
static void every_name_comes_back(void **state)
{
	const struct fixture *fixture = *state;
	char *paths[] = {
		path_of(0, 99, ""), path_of(0, 100, ""), path_of(0, 101, ""), path_of(155, 100, ""), path_of(156, 100, ""), path_of(100, 101, ""),
		path_of(1, 99, ""), path_of(200, 200, ""), path_of(1, 2000, ""), path_of(0, 0, "na\xc3\xafve"),
		path_of(0, 0, "nai\xcc\x88ve") /* decomposed: must not be composed */, path_of(0, 0, "\xff\xfe"), path_of(0, 120, "i\xcc\x88"),
		path_of(0, 120, "\xff"), path_of(0, 0, "new\nline"), path_of(5, 8, "=1 2"),
	};
	struct tar_entry entries[2 * ARRAY_SIZE(paths)];
	char *expected[2 * ARRAY_SIZE(paths)];
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		expected[i] = paths[i / 2];
		entries[i] = (struct tar_entry){.path = paths[i / 2], .type = i % 2 ? TAR_SYMLINK : TAR_FILE, .target = paths[i / 2]};
	}
	cleanup_free char *path = write_entries(fixture, entries, ARRAY_SIZE(entries));
	assert_same_names(path, expected, ARRAY_SIZE(expected));
	static const char script[] = "import sys,tarfile\n"
				     "t=tarfile.open(sys.argv[1],encoding='utf-8',errors='surrogateescape')\n"
				     "sys.stdout.buffer.write(b'\\0'.join(m.name.encode('utf-8','surrogateescape') for m in t if m.isreg()))\n";
	cleanup_free char *names = run_tool("python3", (const char *[]){"python3", "-c", script, path, NULL});
	const char *at = names;
	for (size_t i = 0; i < ARRAY_SIZE(paths); at += strlen(paths[i++]) + 1)
		assert_string_equal(at, paths[i]);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		free(paths[i]);
}

static int count(void *arg, const void *bytes, size_t len, struct error **err)
{
	(void)bytes, (void)err;
	*(uint64_t *)arg += len;
	return 0;
}

/* 8 GiB do not fit into ustar's eleven octal digits. */
static void a_large_size_is_a_pax_record(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	const uint64_t sizes[] = {077777777777ULL, 0100000000000ULL};
	const uint64_t headers[] = {512, 512 + 1024};
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t written = 0;
		struct tar_writer tar = {.write = count, .arg = &written};
		struct tar_entry entry = {.path = "weights", .size = sizes[i]};
		assert_ok(tar_begin(&tar, &entry, &err), err);
		assert_true(written == headers[i]);
		assert_true(tar.left == sizes[i]);
	}
	cleanup_buf struct buf out;
	buf_init(&out, 4096);
	struct tar_writer tar = {.write = sink, .arg = &out};
	assert_ok(tar_begin(&tar, &(struct tar_entry){.path = "w", .size = sizes[1]}, &err), err);
	struct archive *archive = archive_read_new();
	struct archive_entry *entry;
	archive_read_support_format_tar(archive);
	assert_int_equal(archive_read_open_memory(archive, out.data, out.len), ARCHIVE_OK);
	assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_OK);
	assert_true((uint64_t)archive_entry_size(entry) == sizes[1]);
	archive_read_free(archive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(gnu_tar_lists_what_was_written, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(every_name_comes_back, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_large_size_is_a_pax_record, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, first_child, NULL);
}
