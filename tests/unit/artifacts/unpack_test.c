#include "artifacts/unpack.h"

#include "artifacts/capture.h"
#include "tests/unit/artifacts/oci_fixture.h"

static char *make_layout(const struct fixture *fixture)
{
	char *layout = path_join(fixture->dir, "layout");
	cleanup_error struct error *err = NULL;
	assert_ok(layout_make(layout, &err), err);
	return layout;
}

/* Unpacks an image of these layers into <dir>/rootfs. */
static int unpack_layers_of(const struct fixture *fixture, const char *layout, const struct oci_layer *layers, size_t n,
			    const struct unpack_limits *limits, struct error **err)
{
	char digest[DIGEST_SIZE];
	foreign_image(layout, layers, n, digest);
	cleanup_free char *rootfs = path_join(fixture->dir, "rootfs");
	return image_unpack_within(layout, digest, rootfs, limits, err);
}

#define MAX_ENTRIES 6

/* After each of these nothing may exist at the destination, and nothing outside may have changed. */
static const struct {
	const char *text; /* end of the message */
	enum error_code code;
	struct foreign entries[MAX_ENTRIES];
} hostile[] = {
	{"\"../evil\" leaves its directory", ERROR_INVALID, {{.path = "../evil", .text = "x"}}},
	{"\"a/../../evil\" leaves its directory", ERROR_INVALID, {{.path = "a/../../evil", .text = "x"}}},
	{"\"a/../\" leaves its directory", ERROR_INVALID, {{.path = "a/..", .type = AE_IFDIR}}},
	{"\"/etc/evil\" is an absolute name", ERROR_INVALID, {{.path = "/etc/evil", .text = "x"}}},
	{"\"../rootfs.partial-evil/x\" leaves its directory", ERROR_INVALID, {{.path = "../rootfs.partial-evil/x", .text = "x"}}},
	{"out goes through a symbolic link", ERROR_INVALID,
	 {{.path = "out", .type = AE_IFLNK, .link = ".."}, {.path = "out/evil", .text = "x"}}},
	{"out goes through a symbolic link", ERROR_INVALID,
	 {{.path = "out", .type = AE_IFLNK, .link = "/tmp"}, {.path = "out/evil", .text = "x"}}},
	{"b/c goes through a symbolic link", ERROR_INVALID,
	 {{.path = "a/", .type = AE_IFDIR}, {.path = "b", .type = AE_IFLNK, .link = "a"}, {.path = "b/c/d", .text = "x"}}},
	{"hard link passwd: \"../../etc/passwd\" leaves its directory", ERROR_INVALID, {{.path = "passwd", .hard = "../../etc/passwd"}}},
	{"hard link passwd: \"/etc/passwd\" is an absolute name", ERROR_INVALID, {{.path = "passwd", .hard = "/etc/passwd"}}},
	{"hard link h points at l, which is no file of the archive", ERROR_INVALID,
	 {{.path = "l", .type = AE_IFLNK, .link = "/etc/passwd"}, {.path = "h", .hard = "l"}}},
	{"hard link h points at nowhere, which is no file of the archive", ERROR_INVALID, {{.path = "h", .hard = "nowhere"}}},
	{"null is a device, FIFO or socket; only files, directories and links are unpacked", ERROR_INVALID,
	 {{.path = "null", .type = AE_IFCHR}}},
	{"pipe is a device, FIFO or socket; only files, directories and links are unpacked", ERROR_INVALID,
	 {{.path = "pipe", .type = AE_IFIFO}}},
	{"an entry would replace the root directory", ERROR_INVALID, {{.path = "./", .type = AE_IFLNK, .link = "/tmp"}}},
	{"f is no directory", ERROR_CONFLICT, {{.path = "f", .text = "x"}, {.path = "f/g", .text = "x"}}},
};

static void hostile_archives_are_refused_whole(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *layout = make_layout(fixture);
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		cleanup_error struct error *err = NULL;
		struct oci_layer layer = foreign_layer(layout, hostile[i].entries, i % 2 ? ARCHIVE_FILTER_GZIP : ARCHIVE_FILTER_NONE);
		assert_int_equal(unpack_layers_of(fixture, layout, &layer, 1, &unpack_default_limits, &err), -1);
		cleanup_free char *end = xasprintf(": unpack: %s", hostile[i].text);
		const char *message = error_message(err);
		if (strlen(message) < strlen(end) || strcmp(message + strlen(message) - strlen(end), end) != 0)
			fail_msg("case %zu: \"%s\" does not end with \"%s\"", i, message, end);
		assert_int_equal(error_code_of(err), hostile[i].code);
		cleanup_free char *left = run_tool("coreutils", (const char *[]){"ls", "-A", fixture->dir, NULL});
		assert_string_equal(left, "layout\n");
	}
	assert_false(path_exists("/tmp/evil"));
	assert_false(path_exists("/etc/evil"));
}

static void a_later_layer_cannot_write_through_an_earlier_ones_link(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *layout = make_layout(fixture);
	const struct foreign lower[] = {{.path = "out", .type = AE_IFLNK, .link = "/tmp"}, {.path = NULL}};
	const struct foreign upper[] = {{.path = "out/evil", .text = "x"}, {.path = NULL}};
	const struct oci_layer layers[] = {foreign_layer(layout, lower, ARCHIVE_FILTER_NONE), foreign_layer(layout, upper, ARCHIVE_FILTER_NONE)};
	cleanup_error struct error *err = NULL;
	assert_int_equal(unpack_layers_of(fixture, layout, layers, 2, &unpack_default_limits, &err), -1);
	assert_int_equal(error_code_of(err), ERROR_INVALID);
	assert_false(path_exists("/tmp/evil"));
}

static void budgets_stop_bombs(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *layout = make_layout(fixture);
	const struct foreign bomb[] = {{.path = "zeros", .zeros = (size_t)64 << 20}, {.path = NULL}};
	const struct foreign many[] = {{.path = "a", .text = "1"}, {.path = "b", .text = "2"}, {.path = "c", .text = "3"}, {.path = NULL}};
	const struct unpack_limits small = {.max_bytes = (uint64_t)1 << 20, .max_entries = 2};
	const struct unpack_limits headers = {.max_bytes = 1100, .max_entries = 100};
	struct oci_layer layer = foreign_layer(layout, bomb, ARCHIVE_FILTER_GZIP);
	assert_true(layer.blob.size < 200000);
	cleanup_error struct error *one = NULL, *two = NULL, *three = NULL;
	assert_int_equal(unpack_layers_of(fixture, layout, &layer, 1, &small, &one), -1);
	assert_int_equal(error_code_of(one), ERROR_TOO_LARGE);
	assert_non_null(strstr(error_message(one), "zeros has 67108864 bytes, more than are allowed"));
	layer = foreign_layer(layout, many, ARCHIVE_FILTER_GZIP);
	assert_int_equal(unpack_layers_of(fixture, layout, &layer, 1, &small, &two), -1);
	assert_int_equal(error_code_of(two), ERROR_TOO_LARGE);
	assert_non_null(strstr(error_message(two), "more entries than are allowed"));
	/* Entries that say they are small: the stream itself is counted. */
	assert_int_equal(unpack_layers_of(fixture, layout, &layer, 1, &headers, &three), -1);
	assert_int_equal(error_code_of(three), ERROR_TOO_LARGE);
	assert_non_null(strstr(error_message(three), "unpacks to more than the 1100 bytes that are allowed"));
}

static void whiteouts_delete_what_is_below(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *layout = make_layout(fixture);
	const struct foreign lower[] = {
		{.path = "gone", .text = "1"},     {.path = "kept", .text = "2"},  {.path = "dir/old", .text = "3"},
		{.path = "dir/sub/old", .text = "4"}, {.path = "tree/x/y", .text = "5"}, {.path = "file", .text = "old"},
		{.path = "was-dir/x", .text = "6"}, {.path = NULL},
	};
	const struct foreign upper[] = {
		{.path = ".wh.gone", .text = ""},
		{.path = "dir/new", .text = "new"},
		{.path = "dir/.wh..wh..opq", .text = ""}, /* after the file: it still concerns the layer below only */
		{.path = ".wh.tree", .text = ""},
		{.path = "nowhere/.wh.x", .text = ""},
		{.path = ".wh..wh.plnk", .text = ""},
		{.path = "file", .text = "new"},
		{.path = "was-dir", .text = "a file now"},
		{.path = NULL},
	};
	const struct oci_layer layers[] = {foreign_layer(layout, lower, ARCHIVE_FILTER_ZSTD), foreign_layer(layout, upper, ARCHIVE_FILTER_GZIP)};
	cleanup_error struct error *err = NULL;
	assert_ok(unpack_layers_of(fixture, layout, layers, 2, &unpack_default_limits, &err), err);
	cleanup_free char *rootfs = path_join(fixture->dir, "rootfs");
	cleanup_free char *list = run_tool("findutils", (const char *[]){"sh", "-c", "cd \"$1\" && find . | LC_ALL=C sort", "sh", rootfs, NULL});
	assert_string_equal(list, ".\n./dir\n./dir/new\n./file\n./kept\n./was-dir\n");
	assert_file(rootfs, "file", "new");
	assert_file(rootfs, "was-dir", "a file now");
}

static void bad_whiteouts_are_refused(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *layout = make_layout(fixture);
	static const char *const names[] = {".wh.", "a/.wh...", "a/.wh.."};
	const struct foreign lower[] = {{.path = "a/b", .text = "1"}, {.path = NULL}};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct foreign upper[] = {{.path = names[i], .text = ""}, {.path = NULL}};
		const struct oci_layer layers[] = {foreign_layer(layout, lower, ARCHIVE_FILTER_NONE),
						   foreign_layer(layout, upper, ARCHIVE_FILTER_NONE)};
		cleanup_error struct error *err = NULL;
		assert_int_equal(unpack_layers_of(fixture, layout, layers, 2, &unpack_default_limits, &err), -1);
		cleanup_free char *end = xasprintf("unpack: %s is no valid whiteout", names[i]);
		assert_non_null(strstr(error_message(err), end));
	}
}

static void set_id_bits_and_the_umask_do_not_matter(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *layout = make_layout(fixture);
	const struct foreign entries[] = {
		{.path = "su", .text = "x", .mode = 06755},
		{.path = "d/", .type = AE_IFDIR, .mode = 01777},
		{.path = "made/x", .text = "x", .mode = 0600},
		{.path = "hard", .hard = "su"},
		{.path = NULL},
	};
	struct oci_layer layer = foreign_layer(layout, entries, ARCHIVE_FILTER_NONE);
	cleanup_error struct error *err = NULL;
	mode_t before = umask(077);
	int unpacked = unpack_layers_of(fixture, layout, &layer, 1, &unpack_default_limits, &err);
	umask(before);
	assert_ok(unpacked, err);
	assert_int_equal(mode_of(fixture->dir, "rootfs"), S_IFDIR | 0755);
	assert_int_equal(mode_of(fixture->dir, "rootfs/su"), S_IFREG | 0755);
	assert_int_equal(mode_of(fixture->dir, "rootfs/hard"), S_IFREG | 0755);
	assert_int_equal(mode_of(fixture->dir, "rootfs/d"), S_IFDIR | 0777);
	assert_int_equal(mode_of(fixture->dir, "rootfs/made"), S_IFDIR | 0755);
	assert_int_equal(mode_of(fixture->dir, "rootfs/made/x"), S_IFREG | 0600);
}

static void damaged_layers_are_refused(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *layout = make_layout(fixture);
	const struct foreign entries[] = {{.path = "w", .zeros = 100000}, {.path = NULL}};
	static const int filters[] = {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD};
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		struct oci_layer layer = foreign_layer(layout, entries, filters[i]);
		cleanup_free char *blob = layout_blob_path(layout, layer.blob.digest);
		cleanup_error struct error *wrong_id = NULL, *flipped = NULL, *cut = NULL;
		struct oci_layer other = layer;
		snprintf(other.diff_id, DIGEST_SIZE, "%s", "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
		assert_int_equal(unpack_layers_of(fixture, layout, &other, 1, &unpack_default_limits, &wrong_id), -1);
		assert_int_equal(error_code_of(wrong_id), ERROR_INVALID);
		assert_non_null(strstr(error_message(wrong_id), "layer is damaged: its diff_id is "));
		/* One byte of the contents. */
		FILE *file = fopen(blob, "r+");
		assert_int_equal(fseek(file, (long)layer.blob.size / 2, SEEK_SET), 0);
		int byte = fgetc(file);
		assert_int_equal(fseek(file, (long)layer.blob.size / 2, SEEK_SET), 0);
		fputc(byte ^ 0x55, file);
		assert_int_equal(fclose(file), 0);
		assert_int_equal(unpack_layers_of(fixture, layout, &layer, 1, &unpack_default_limits, &flipped), -1);
		assert_int_equal(error_code_of(flipped), ERROR_INVALID);
		assert_int_equal(truncate(blob, (off_t)layer.blob.size / 2), 0);
		assert_int_equal(unpack_layers_of(fixture, layout, &layer, 1, &unpack_default_limits, &cut), -1);
		assert_non_null(strstr(error_message(cut), " is damaged: "));
		assert_false(is_present(fixture->dir, "rootfs"));
	}
}

/* Cut anywhere, with a descriptor that fits: every prefix of an archive is refused by its digest or its structure. */
static void no_prefix_of_a_layer_passes(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *layout = make_layout(fixture);
	const struct foreign entries[] = {{.path = "a", .text = "hello"}, {.path = "b", .text = "world"}, {.path = NULL}};
	struct oci_layer layer = foreign_layer(layout, entries, ARCHIVE_FILTER_GZIP);
	cleanup_free char *blob = layout_blob_path(layout, layer.blob.digest);
	for (uint64_t size = layer.blob.size; size-- > 0;) {
		assert_int_equal(truncate(blob, (off_t)size), 0);
		struct oci_layer cut = layer;
		cut.blob.size = size;
		cleanup_error struct error *err = NULL;
		assert_int_equal(unpack_layers_of(fixture, layout, &cut, 1, &unpack_default_limits, &err), -1);
		assert_int_equal(error_code_of(err), ERROR_INVALID);
	}
}

/* Archives with changed bytes, whose digests fit: whatever comes out, nothing crashes and nothing lands outside. */
static void mutated_archives_do_no_harm(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *layout = make_layout(fixture);
	const struct foreign entries[] = {
		{.path = "d/", .type = AE_IFDIR}, {.path = "d/a", .text = "hello"},	    {.path = "l", .type = AE_IFLNK, .link = "d/a"},
		{.path = "h", .hard = "d/a"},	  {.path = "d/b", .text = "world"}, {.path = NULL},
	};
	struct oci_layer layer = foreign_layer(layout, entries, ARCHIVE_FILTER_NONE);
	cleanup_free char *blob = layout_blob_path(layout, layer.blob.digest);
	cleanup_free char *tar = file_text(blob);
	const struct unpack_limits limits = {.max_bytes = 1 << 20, .max_entries = 100};
	cleanup_free char *rootfs = path_join(fixture->dir, "rootfs");
	uint64_t random = 88172645463325252ULL;
	for (unsigned round = 0; round < 400; round++) {
		cleanup_free char *bytes = xmemdup(tar, layer.blob.size);
		for (unsigned change = 0; change <= round % 4; change++) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			char *header = bytes + random % layer.blob.size / 512 * 512;
			header[(random >> 20) % 512] = "/.0157xgLKSM\xff"[(random >> 40) % 13];
			/* With the right checksum, or nobody looks further. */
			unsigned sum = 0;
			memset(header + 148, ' ', 8);
			for (size_t i = 0; i < 512; i++)
				sum += (unsigned char)header[i];
			char digits[8];
			snprintf(digits, sizeof(digits), "%06o", sum);
			memcpy(header + 148, digits, 7);
		}
		struct oci_layer changed = {.blob.media_type = OCI_LAYER_TAR};
		struct blob_writer *writer = NULL;
		cleanup_error struct error *err = NULL, *refused = NULL;
		assert_ok(blob_writer_new(layout, &writer, &err), err);
		assert_ok(blob_write(writer, bytes, layer.blob.size, &err), err);
		assert_ok(blob_commit(writer, changed.blob.digest, &changed.blob.size, &err), err);
		blob_writer_free(writer);
		snprintf(changed.diff_id, DIGEST_SIZE, "%s", changed.blob.digest);
		(void)unpack_layers_of(fixture, layout, &changed, 1, &limits, &refused); /* Either is fine. */
		assert_ok(tree_remove(rootfs, &err), err);
		assert_false(is_present(fixture->dir, "rootfs.partial"));
	}
	cleanup_free char *left = run_tool("coreutils", (const char *[]){"ls", "-A", fixture->dir, NULL});
	assert_string_equal(left, "layout\n");
}

static void what_is_there_is_left_alone(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *layout = make_layout(fixture);
	free(fixture_write(fixture, "rootfs/mine", "x"));
	const struct foreign entries[] = {{.path = "a", .text = "hello"}, {.path = NULL}};
	struct oci_layer layer = foreign_layer(layout, entries, ARCHIVE_FILTER_NONE);
	cleanup_error struct error *err = NULL;
	assert_int_equal(unpack_layers_of(fixture, layout, &layer, 1, &unpack_default_limits, &err), -1);
	assert_error(err, ERROR_CONFLICT, fixture_text(fixture, "%s/rootfs exists already"));
	/* What a crash left aside is not in the way. */
	cleanup_free char *rootfs = path_join(fixture->dir, "rootfs");
	free(fixture_write(fixture, "rootfs.partial/half", "x"));
	cleanup_error struct error *ignored = NULL;
	assert_ok(tree_remove(rootfs, &ignored), ignored);
	assert_ok(unpack_layers_of(fixture, layout, &layer, 1, &unpack_default_limits, &ignored), ignored);
	assert_file(rootfs, "a", "hello");
	assert_false(is_present(fixture->dir, "rootfs/half"));
	assert_false(is_present(fixture->dir, "rootfs.partial"));
}

static void names_of_other_writers_come_out_unchanged(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *layout = make_layout(fixture);
	/* Python writes pax records in UTF-8 without hdrcharset. */
	static const char script[] = "import sys,tarfile,io\n"
				     "t=tarfile.open(sys.argv[1],'w',format=tarfile.PAX_FORMAT)\n"
				     "i=tarfile.TarInfo('na\\u00efve/'+'x'*120); i.size=1; t.addfile(i,io.BytesIO(b'1')); t.close()\n";
	cleanup_free char *tar = path_join(fixture->dir, "layout/t.tar");
	free(run_tool("python3", (const char *[]){"python3", "-c", script, tar, NULL}));
	struct oci_layer layer = {.blob.media_type = OCI_LAYER_TAR};
	cleanup_error struct error *err = NULL;
	assert_ok(digest_of_file(tar, layer.blob.digest, &layer.blob.size, &err), err);
	snprintf(layer.diff_id, DIGEST_SIZE, "%s", layer.blob.digest);
	cleanup_free char *blob = layout_blob_path(layout, layer.blob.digest);
	assert_int_equal(rename(tar, blob), 0);
	assert_ok(unpack_layers_of(fixture, layout, &layer, 1, &unpack_default_limits, &err), err);
	assert_true(is_present(fixture->dir, "rootfs/na\xc3\xafve"));
}

static void unknown_layer_types_are_told(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_free char *layout = make_layout(fixture);
	const struct foreign entries[] = {{.path = "a", .text = "hello"}, {.path = NULL}};
	struct oci_layer layer = foreign_layer(layout, entries, ARCHIVE_FILTER_NONE);
	layer.blob.media_type = "application/vnd.example+lzma";
	cleanup_error struct error *err = NULL, *plain = NULL;
	assert_int_equal(unpack_layers_of(fixture, layout, &layer, 1, &unpack_default_limits, &err), -1);
	assert_int_equal(error_code_of(err), ERROR_UNSUPPORTED);
	assert_non_null(strstr(error_message(err), "layers of type application/vnd.example+lzma are not available in this build"));
	layer.blob.media_type = OCI_LAYER_GZIP;
	assert_int_equal(unpack_layers_of(fixture, layout, &layer, 1, &unpack_default_limits, &plain), -1);
	assert_int_equal(error_code_of(plain), ERROR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(hostile_archives_are_refused_whole, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_later_layer_cannot_write_through_an_earlier_ones_link, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(budgets_stop_bombs, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(whiteouts_delete_what_is_below, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(bad_whiteouts_are_refused, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(set_id_bits_and_the_umask_do_not_matter, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(damaged_layers_are_refused, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(no_prefix_of_a_layer_passes, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(mutated_archives_do_no_harm, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(what_is_there_is_left_alone, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(names_of_other_writers_come_out_unchanged, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(unknown_layer_types_are_told, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, first_child, NULL);
}
