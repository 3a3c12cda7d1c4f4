#include "base/alloc.h"
#include "base/file.h"
#include "tests/support/support.h"

#include <fcntl.h>
#include <sys/stat.h>

static void a_file_is_read_up_to_its_limit(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *path = fixture_write(fixture, "ten", "0123456789");
	cleanup_error struct error *err = NULL;
	cleanup_free char *text = NULL;
	size_t len = 99;
	assert_ok(file_read(path, 10, &text, &len, &err), err);
	assert_string_equal(text, "0123456789");
	assert_int_equal(len, 10);
	char *untouched = text;
	assert_int_equal(file_read(path, 9, &text, NULL, &err), -1);
	assert_error(err, ERROR_TOO_LARGE, fixture_text(fixture, "cannot read %s/ten: it is larger than 9 bytes"));
	assert_ptr_equal(text, untouched);
}

static void a_file_whose_size_is_not_told_is_read_whole_and_limited(void **state)
{
	(void)state;
	cleanup_error struct error *err = NULL;
	cleanup_free char *text = NULL;
	size_t len = 0;
	assert_ok(file_read("/proc/self/maps", 1 << 24, &text, &len, &err), err);
	assert_true(len > 100 && strlen(text) == len);
	assert_int_equal(file_read("/proc/self/maps", 50, &text, NULL, &err), -1);
	assert_error(err, ERROR_TOO_LARGE, "cannot read /proc/self/maps: it is larger than 50 bytes");
}

static void what_cannot_be_read_is_told(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *fifo = path_join(fixture->dir, "fifo");
	free(fixture_write(fixture, "file", ""));
	assert_int_equal(mkfifo(fifo, 0600), 0);
	const struct {
		const char *name;
		enum error_code code;
		const char *message;
	} cases[] = {
		{"", ERROR_INVALID, "cannot read %s/: it is a directory"},
		{"none", ERROR_NOT_FOUND, "cannot read %s/none: No such file or directory"},
		{"file/x", ERROR_NOT_FOUND, "cannot read %s/file/x: Not a directory"},
		{"fifo", ERROR_INVALID, "cannot read %s/fifo: it is no regular file"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		cleanup_free char *path = path_join(fixture->dir, cases[i].name);
		char *text = NULL;
		assert_int_equal(file_read(path, 100, &text, NULL, &err), -1);
		assert_error(err, cases[i].code, fixture_text(fixture, cases[i].message));
	}
}

static void an_atomic_write_replaces_and_leaves_nothing_aside(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *path = fixture_write(fixture, "state", "old");
	cleanup_error struct error *err = NULL;
	mode_t before = umask(077);
	int written = file_write_atomic(path, "new", 3, 0644, &err);
	umask(before);
	assert_ok(written, err);
	cleanup_free char *text = NULL;
	assert_ok(file_read(path, 100, &text, NULL, &err), err);
	assert_string_equal(text, "new");
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	cleanup_dir DIR *dir = opendir(fixture->dir);
	int entries = 0;
	while (readdir(dir))
		entries++;
	assert_int_equal(entries, 3); /* ".", ".." and the file */
}

static void a_write_that_cannot_be_is_told(void **state)
{
	struct fixture *fixture = *state;
	cleanup_error struct error *err = NULL;
	free(fixture_write(fixture, "full/x", ""));
	cleanup_free char *dir = path_join(fixture->dir, "full");
	assert_int_equal(file_write_atomic(dir, "x", 1, 0644, &err), -1);
	assert_error(err, ERROR_IO, fixture_text(fixture, "cannot write %s/full: Is a directory"));
	cleanup_error struct error *full = NULL;
	cleanup_fd int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_int_equal(fd_write_all(fd, "x", 1, &full), -1);
	assert_error(full, ERROR_NO_SPACE, "write: No space left on device");
}

static void directories_are_made_with_parents(void **state)
{
	struct fixture *fixture = *state;
	cleanup_error struct error *err = NULL;
	cleanup_free char *deep = path_join(fixture->dir, "a/b//c/");
	assert_ok(dir_make(deep, 0755, &err), err);
	assert_ok(dir_make(deep, 0755, &err), err);
	assert_true(path_exists(deep));
	cleanup_free char *file = fixture_write(fixture, "f", "");
	cleanup_free char *below = path_join(file, "x");
	assert_int_equal(dir_make(below, 0755, &err), -1);
	assert_error(err, ERROR_IO, fixture_text(fixture, "cannot make directory %s/f: Not a directory"));
}

static void a_tree_goes_away_but_not_what_it_points_at(void **state)
{
	struct fixture *fixture = *state;
	cleanup_error struct error *err = NULL;
	cleanup_free char *kept = fixture_write(fixture, "outside/kept", "x");
	free(fixture_write(fixture, "tree/a/b/one", "1"));
	free(fixture_write(fixture, "tree/c/two", "2"));
	cleanup_free char *tree = path_join(fixture->dir, "tree");
	cleanup_free char *outside = path_join(fixture->dir, "outside");
	cleanup_free char *link = path_join(fixture->dir, "tree/a/link");
	cleanup_free char *closed = path_join(fixture->dir, "tree/c");
	assert_int_equal(symlink(outside, link), 0);
	assert_int_equal(chmod(closed, 0), 0);
	assert_ok(tree_remove(tree, &err), err);
	assert_false(path_exists(tree));
	assert_true(path_exists(kept));
	assert_ok(tree_remove(tree, &err), err);
	cleanup_free char *top = path_join(fixture->dir, "top");
	assert_int_equal(symlink(outside, top), 0);
	assert_ok(tree_remove(top, &err), err);
	assert_true(path_exists(kept));
}

static void a_tree_deeper_than_any_path_goes_away(void **state)
{
	struct fixture *fixture = *state;
	cleanup_error struct error *err = NULL;
	cleanup_free char *tree = path_join(fixture->dir, "deep");
	assert_ok(dir_make(tree, 0755, &err), err);
	int at = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(at, "d", 0755), 0);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	close(at);
	assert_ok(tree_remove(tree, &err), err);
	assert_false(path_exists(tree));
}

static void a_copy_keeps_contents_and_the_executable_bit(void **state)
{
	struct fixture *fixture = *state;
	cleanup_error struct error *err = NULL;
	cleanup_free char *from = fixture_write(fixture, "from", "#!/bin/sh\n");
	cleanup_free char *to = path_join(fixture->dir, "to");
	assert_int_equal(chmod(from, 0700), 0);
	assert_ok(file_copy(from, to, &err), err);
	cleanup_free char *text = NULL;
	assert_ok(file_read(to, 100, &text, NULL, &err), err);
	assert_string_equal(text, "#!/bin/sh\n");
	struct stat st;
	assert_int_equal(stat(to, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	cleanup_free char *link = path_join(fixture->dir, "link");
	assert_int_equal(symlink("from", link), 0);
	assert_int_equal(file_copy(link, to, &err), -1);
	assert_error(err, ERROR_INVALID, fixture_text(fixture, "cannot read %s/link: it is a symbolic link"));
}

static void paths_from_a_repository_stay_inside(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		bool inside;
	} cases[] = {
		{"a", true},      {"a/b.c", true},  {".penstock.yml", true}, {"...", true},      {"a b/\xc3\xa9", true}, {"-x", true},
		{"", false},      {"/", false},     {"/etc/passwd", false},  {"..", false},      {"a/../b", false},      {"a/..", false},
		{".", false},     {"./a", false},   {"a/./b", false},        {"a//b", false},    {"a/", false},          {"a\nb", false},
		{"a\x7f", false}, {"a\x1b[", false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (path_is_inside(cases[i].path) != cases[i].inside)
			fail_msg("path_is_inside(\"%s\") is wrong", cases[i].path);
	char longer[300];
	memset(longer, 'x', sizeof(longer));
	longer[256] = '\0';
	assert_false(path_is_inside(longer));
	longer[255] = '\0';
	assert_true(path_is_inside(longer));
}

static void nothing_opens_through_a_symbolic_link(void **state)
{
	struct fixture *fixture = *state;
	free(fixture_write(fixture, "d/file", "x"));
	cleanup_free char *link = path_join(fixture->dir, "link");
	assert_int_equal(symlink("d", link), 0);
	cleanup_fd int dir = open(fixture->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static const struct {
		const char *path;
		enum error_code code;
		const char *message;
	} cases[] = {
		{"link/file", ERROR_DENIED, "link/file: it goes through a symbolic link or leaves its directory"},
		{"../x", ERROR_INVALID, "\"../x\" is no path inside the repository"},
		{"d/none", ERROR_NOT_FOUND, "cannot open d/none: No such file or directory"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		assert_int_equal(file_open_beneath(dir, cases[i].path, O_RDONLY, 0, &err), -1);
		assert_error(err, cases[i].code, cases[i].message);
	}
	cleanup_error struct error *err = NULL;
	cleanup_fd int opened = file_open_beneath(dir, "d/file", O_RDONLY, 0, &err);
	assert_ok(opened, err);
	cleanup_fd int made = file_open_beneath(dir, "d/new", O_WRONLY | O_CREAT | O_EXCL, 0600, &err);
	assert_ok(made, err);
}

static void no_folder_is_made_through_a_symbolic_link(void **state)
{
	struct fixture *fixture = *state;
	free(fixture_write(fixture, "inside/file", "x"));
	free(fixture_write(fixture, "outside/file", "x"));
	cleanup_free char *root = path_join(fixture->dir, "inside"), *link = path_join(root, "link"), *deep = path_join(root, "a/b/c"),
			  *escaped = path_join(fixture->dir, "outside/new");
	assert_int_equal(symlink("../outside", link), 0);
	cleanup_fd int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static const struct {
		const char *path;
		enum error_code code;
		const char *message;
	} cases[] = {
		{"link/new", ERROR_DENIED, "link/new: a part of it is a file or a symbolic link"},
		{"link", ERROR_DENIED, "link: a part of it is a file or a symbolic link"},
		{"file/new", ERROR_DENIED, "file/new: a part of it is a file or a symbolic link"},
		{"../new", ERROR_INVALID, "\"../new\" is no path inside the repository"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		assert_int_equal(dir_make_beneath(dir, cases[i].path, 0755, &err), -1);
		assert_error(err, cases[i].code, cases[i].message);
	}
	assert_false(path_exists(escaped));
	cleanup_error struct error *err = NULL;
	assert_ok(dir_make_beneath(dir, "a/b/c", 0755, &err), err);
	assert_ok(dir_make_beneath(dir, "a/b/c", 0755, &err), err);
	assert_true(path_exists(deep));
}

static void paths_join_with_one_slash(void **state)
{
	(void)state;
	static const char *const cases[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *joined = path_join(cases[i][0], cases[i][1]);
		assert_string_equal(joined, cases[i][2]);
	}
	cleanup_free char *self = path_of_self();
	assert_true(self[0] == '/' && path_exists(self));
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(a_file_is_read_up_to_its_limit),
		WITH_DIR(a_file_whose_size_is_not_told_is_read_whole_and_limited),
		WITH_DIR(what_cannot_be_read_is_told),
		WITH_DIR(an_atomic_write_replaces_and_leaves_nothing_aside),
		WITH_DIR(a_write_that_cannot_be_is_told),
		WITH_DIR(directories_are_made_with_parents),
		WITH_DIR(a_tree_goes_away_but_not_what_it_points_at),
		WITH_DIR(a_tree_deeper_than_any_path_goes_away),
		WITH_DIR(a_copy_keeps_contents_and_the_executable_bit),
		WITH_DIR(paths_from_a_repository_stay_inside),
		WITH_DIR(nothing_opens_through_a_symbolic_link),
		WITH_DIR(no_folder_is_made_through_a_symbolic_link),
		WITH_DIR(paths_join_with_one_slash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
