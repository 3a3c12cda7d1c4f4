#include "artifacts/pack.h"

#include "tests/unit/artifacts/oci_fixture.h"

#include <fcntl.h>
#include <locale.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Packs <dir>/src with the item; 0 or -1. */
static int pack(const struct fixture *fixture, const char *from, const char *to, enum compression compression, struct oci_layer *ret,
		struct error **err)
{
	cleanup_free char *source = path_join(fixture->dir, "src");
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_error struct error *ignored = NULL;
	assert_ok(layout_make(layout, &ignored), ignored);
	assert_ok(dir_make(source, 0755, &ignored), ignored);
	cleanup_fd int fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	struct pack_item item = {.from = from, .to = to};
	return pack_layer(fd, &item, layout, compression, ret, err);
}

/* Names in the layer, one a line, as GNU tar sees them. */
static char *names_of(const struct fixture *fixture, const struct oci_layer *layer)
{
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_free char *blob = layout_blob_path(layout, layer->blob.digest);
	cleanup_free char *all = run_tool("tar", (const char *[]){"tar", "-tf", blob, NULL});
	return STEAL(all);
}

static void fill(const struct fixture *fixture, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(fixture_write(fixture, names[i], names[i]));
}

/* Order of creation, umask, times and locale of the machine leave no trace. */
static void the_same_files_give_the_same_bytes(void **state)
{
	const struct fixture *fixture = *state;
	static const char *const names[] = {"src/m/b", "src/m/a", "src/m/a-b", "src/m/a.d/x", "src/m/\xc3\x84", "src/m/Z", "src/m/a0"};
	static const char *const reversed[] = {"src/m/a0", "src/m/Z", "src/m/\xc3\x84", "src/m/a.d/x", "src/m/a-b", "src/m/a", "src/m/b"};
	struct oci_layer first, second;
	cleanup_error struct error *err = NULL;
	fill(fixture, names, ARRAY_SIZE(names));
	assert_ok(pack(fixture, "m/", "/app/m/", COMPRESSION_GZIP, &first, &err), err);
	cleanup_free char *source = path_join(fixture->dir, "src");
	assert_ok(tree_remove(source, &err), err);

	mode_t before = umask(077);
	setlocale(LC_ALL, "C.UTF-8");
	fill(fixture, reversed, ARRAY_SIZE(reversed));
	cleanup_free char *file = path_join(source, "m/b");
	const struct timespec times[2] = {{.tv_sec = 12345}, {.tv_sec = 12345}};
	assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
	assert_int_equal(chmod(file, 0604), 0);
	int packed = pack(fixture, "m/", "/app/m/", COMPRESSION_GZIP, &second, &err);
	umask(before);
	setlocale(LC_ALL, "C");
	assert_ok(packed, err);
	assert_string_equal(first.blob.digest, second.blob.digest);
	assert_string_equal(first.diff_id, second.diff_id);
	assert_string_not_equal(first.blob.digest, first.diff_id);

	struct oci_layer plain;
	assert_ok(pack(fixture, "m/", "/app/m/", COMPRESSION_NONE, &plain, &err), err);
	assert_string_equal(plain.diff_id, first.diff_id);
	assert_string_equal(plain.blob.digest, plain.diff_id);
	cleanup_free char *listed = names_of(fixture, &first);
	assert_string_equal(listed, "app\napp/m\napp/m/Z\napp/m/a\napp/m/a-b\napp/m/a.d\napp/m/a.d/x\napp/m/a0\napp/m/b\napp/m/\xc3\x84\n");
}

static void slashes_at_the_end_say_what_goes_where(void **state)
{
	const struct fixture *fixture = *state;
	static const char *const names[] = {"src/model/w", "src/serve.py"};
	static const struct {
		const char *from, *to, *listed;
	} cases[] = {
		{"model/", "/app/model/", "app\napp/model\napp/model/w\n"},
		{"model/", "/app", "app\napp/w\n"},
		{"model", "/app/", "app\napp/model\napp/model/w\n"},
		{"model", "/app/v1", "app\napp/v1\napp/v1/w\n"},
		{"model/", "/", "w\n"},
		{"model", "/", "model\nmodel/w\n"},
		{"serve.py", "/app/", "app\napp/serve.py\n"},
		{"serve.py", "/app/main.py", "app\napp/main.py\n"},
		{"model/w", "/", "w\n"},
	};
	fill(fixture, names, ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		struct oci_layer layer;
		assert_ok(pack(fixture, cases[i].from, cases[i].to, COMPRESSION_NONE, &layer, &err), err);
		cleanup_free char *listed = names_of(fixture, &layer);
		assert_string_equal(listed, cases[i].listed);
	}
}

static void what_cannot_be_packed_is_named(void **state)
{
	const struct fixture *fixture = *state;
	static const char *const names[] = {"src/serve.py", "src/wh/.wh.x", "secret"};
	fill(fixture, names, ARRAY_SIZE(names));
	cleanup_free char *fifo_dir = path_join(fixture->dir, "src/fifo");
	cleanup_free char *fifo = path_join(fixture->dir, "src/fifo/f");
	cleanup_free char *link = path_join(fixture->dir, "src/out");
	assert_int_equal(mkdir(fifo_dir, 0755), 0);
	assert_int_equal(mkfifo(fifo, 0644), 0);
	assert_int_equal(symlink("..", link), 0);
	static const struct {
		const char *from, *to;
		enum error_code code;
		const char *text;
	} cases[] = {
		{"model/", "/app/", ERROR_NOT_FOUND, "model/ does not exist"},
		{"no/where", "/app/", ERROR_NOT_FOUND, "no/where does not exist"},
		{"serve.py/", "/app/", ERROR_INVALID, "serve.py/ is no directory, but its name is given with a \"/\" at the end"},
		{"../secret", "/app/", ERROR_INVALID, "\"../secret\" is no path inside the workspace (relative, without \"..\")"},
		{"/etc/passwd", "/app/", ERROR_INVALID, "\"/etc/passwd\" is no path inside the workspace (relative, without \"..\")"},
		{"out/secret", "/app/", ERROR_DENIED, "out: it goes through a symbolic link or leaves its directory"},
		{"out/", "/app/", ERROR_INVALID, "out/ is no directory, but its name is given with a \"/\" at the end"},
		{"fifo/", "/app/", ERROR_INVALID, "app/f is a FIFO; only files, directories and symbolic links can be stored"},
		{"wh/", "/app/", ERROR_INVALID, "app/.wh.x cannot be stored: names that begin with \".wh.\" mean deletion in a layer"},
		{"serve.py", "/a/.wh.b/", ERROR_INVALID, "a/.wh.b cannot be stored: names that begin with \".wh.\" mean deletion in a layer"},
		{"serve.py", "app/", ERROR_INVALID, "\"app/\" is no absolute path (\"/app/model/\")"},
		{"serve.py", "/app/../etc/", ERROR_INVALID, "\"/app/../etc/\" is no absolute path (\"/app/model/\")"},
		{"serve.py", "//app", ERROR_INVALID, "\"//app\" is no absolute path (\"/app/model/\")"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		struct oci_layer layer;
		assert_int_equal(pack(fixture, cases[i].from, cases[i].to, COMPRESSION_GZIP, &layer, &err), -1);
		assert_error(err, cases[i].code, cases[i].text);
	}
	/* And nothing half-written stays in the layout. */
	cleanup_free char *blobs = path_join(fixture->dir, "layout/blobs/sha256");
	cleanup_free char *left = run_tool("coreutils", (const char *[]){"ls", "-A", blobs, NULL});
	assert_string_equal(left, "");
}

static void links_stay_links(void **state)
{
	const struct fixture *fixture = *state;
	free(fixture_write(fixture, "src/m/v1", "x"));
	cleanup_free char *latest = path_join(fixture->dir, "src/m/latest");
	cleanup_free char *outside = path_join(fixture->dir, "src/m/outside");
	assert_int_equal(symlink("v1", latest), 0);
	assert_int_equal(symlink("/etc/shadow", outside), 0);
	cleanup_error struct error *err = NULL;
	struct oci_layer layer;
	assert_ok(pack(fixture, "m/", "/m", COMPRESSION_NONE, &layer, &err), err);
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_free char *blob = layout_blob_path(layout, layer.blob.digest);
	cleanup_free char *list = run_tool("tar", (const char *[]){"tar", "--utc", "-tvf", blob, "m/latest", "m/outside", NULL});
	assert_string_equal(list, "lrwxrwxrwx 0/0               0 1970-01-01 00:00 m/latest -> v1\n"
				  "lrwxrwxrwx 0/0               0 1970-01-01 00:00 m/outside -> /etc/shadow\n");
}

/* More than one gzip member, and a last one that is not full: everybody reads one stream. */
static void large_layers_are_many_members_of_one_stream(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *text = xmalloc(3500001);
	for (size_t i = 0; i < 3500000; i++)
		text[i] = (char)('a' + (i * i + i / 7) % 26);
	text[3500000] = '\0';
	free(fixture_write(fixture, "src/w", text));
	cleanup_error struct error *err = NULL;
	struct oci_layer layer;
	assert_ok(pack(fixture, "w", "/", COMPRESSION_GZIP, &layer, &err), err);
	assert_true(layer.blob.size < 3500000);
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_free char *blob = layout_blob_path(layout, layer.blob.digest);
	cleanup_free char *out = path_join(fixture->dir, "out");
	assert_ok(dir_make(out, 0755, &err), err);
	free(run_tool("tar", (const char *[]){"tar", "-xzf", blob, "-C", out, NULL}));
	assert_file(out, "w", text);
	/* RFC 1952: no flags, time 0, operating system unknown. */
	cleanup_free char *bytes = file_text(blob);
	assert_memory_equal(bytes, "\x1f\x8b\x08\x00\x00\x00\x00\x00", 8);
	assert_int_equal((unsigned char)bytes[9], 255);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_same_files_give_the_same_bytes, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(slashes_at_the_end_say_what_goes_where, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_packed_is_named, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(links_stay_links, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(large_layers_are_many_members_of_one_stream, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, first_child, NULL);
}
