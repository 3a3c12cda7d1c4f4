#include "artifacts/store.h"

#include "artifacts/capture.h"
#include "tests/unit/artifacts/oci_fixture.h"

#include <fcntl.h>
#include <sys/wait.h>

DEFINE_CLEANUP(struct oci_store, oci_store_free);
#define cleanup_store CLEANUP(oci_store_free)

static struct oci_store *open_store(const struct fixture *fixture)
{
	cleanup_free char *path = path_join(fixture->dir, "oci");
	struct oci_store *store = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(oci_store_open(path, &store, &err), err);
	return store;
}

/* Delivers one output, "x" with that text, as incoming/<name>, as a child would; gives the manifest's digest. */
static void deliver(const struct fixture *fixture, struct oci_store *store, const char *name, const char *text, char ret[DIGEST_SIZE])
{
	static const char *const outputs[] = {"x"};
	cleanup_free char *workspace = path_join(fixture->dir, "ws");
	cleanup_free char *incoming = NULL;
	cleanup_error struct error *err = NULL;
	free(fixture_write(fixture, "ws/x", text));
	assert_ok(oci_incoming_make(store, name, 65534, 65534, &incoming, &err), err);
	assert_ok(capture_outputs(workspace, outputs, 1, incoming, ret, &err), err);
}

/* The digest of the only layer. */
static void layer_of(const struct oci_store *store, const char *incoming, const char *manifest, char ret[DIGEST_SIZE])
{
	cleanup_free char *path = incoming ? xasprintf("%s/incoming/%s", oci_store_path(store), incoming) : xstrdup(oci_store_path(store));
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *json = NULL;
	cleanup_fd int fd = layout_open(path, &err);
	assert_ok(layout_read_json(fd, manifest, &json, &err), err);
	snprintf(ret, DIGEST_SIZE, "%s", json_string_or(json_array_get(json_object_get(json, "layers"), 0), "digest", ""));
}

static char *list_of(const struct oci_store *store, const char *dir)
{
	cleanup_free char *path = path_join(oci_store_path(store), dir);
	return run_tool("coreutils", (const char *[]){"ls", "-A", path, NULL});
}

static void a_delivery_is_verified_and_taken(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_store struct oci_store *store = open_store(fixture);
	cleanup_error struct error *err = NULL;
	char sent[DIGEST_SIZE], got[DIGEST_SIZE], layer[DIGEST_SIZE];
	deliver(fixture, store, "7", "hello", sent);
	assert_false(oci_blob_exists(store, sent));
	assert_ok(oci_incoming_accept(store, "7", "outputs", got, &err), err);
	assert_string_equal(sent, got);
	assert_true(oci_blob_exists(store, got));
	layer_of(store, NULL, got, layer);
	cleanup_free char *blob = oci_blob_path(store, layer);
	char digest[DIGEST_SIZE];
	uint64_t size;
	assert_ok(digest_of_file(blob, digest, &size, &err), err);
	assert_string_equal(digest, layer);
	cleanup_json json_t *manifest = NULL;
	assert_ok(oci_manifest_read(store, got, &manifest, &err), err);
	/* The answer can be had again until the record is dropped; then there is nothing. */
	assert_ok(oci_incoming_accept(store, "7", "outputs", got, &err), err);
	assert_ok(oci_incoming_drop(store, "7", &err), err);
	cleanup_free char *left = list_of(store, "incoming");
	assert_string_equal(left, "");
	assert_int_equal(oci_incoming_accept(store, "7", "outputs", got, &err), -1);
	assert_error(err, ERROR_NOT_FOUND, "incoming 7: cannot open 7: No such file or directory");
}

/* As it is in the daemon: root's store, a child without any rights. */
static void an_unprivileged_child_delivers(void **state)
{
	struct fixture *fixture = *state;
	if (geteuid() != 0)
		skip();
	cleanup_store struct oci_store *store = open_store(fixture);
	cleanup_error struct error *err = NULL;
	cleanup_free char *workspace = path_join(fixture->dir, "ws");
	cleanup_free char *incoming = NULL;
	char got[DIGEST_SIZE];
	free(fixture_write(fixture, "ws/x", "hello"));
	assert_int_equal(chmod(fixture->dir, 0711), 0);
	assert_ok(oci_incoming_make(store, "7", 65534, 65534, &incoming, &err), err);
	pid_t pid = fork();
	if (pid == 0) {
		static const char *const outputs[] = {"x"};
		if (setgid(65534) < 0 || setuid(65534) < 0 || capture_outputs(workspace, outputs, 1, incoming, got, NULL) < 0)
			_exit(1);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_ok(oci_incoming_accept(store, "7", "outputs", got, &err), err);
	/* From now on they are nobody's but ours. */
	cleanup_free char *blob = oci_blob_path(store, got);
	struct stat st;
	assert_int_equal(stat(blob, &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_mode & 07777, 0444);
}

static void a_tag_that_was_not_delivered_is_told(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_store struct oci_store *store = open_store(fixture);
	cleanup_error struct error *err = NULL;
	char sent[DIGEST_SIZE], got[DIGEST_SIZE];
	deliver(fixture, store, "7", "hello", sent);
	assert_int_equal(oci_incoming_accept(store, "7", "image", got, &err), -1);
	assert_error(err, ERROR_NOT_FOUND, "incoming 7: no manifest named \"image\" was delivered");
	cleanup_error struct error *other = NULL;
	assert_ok(oci_incoming_accept(store, "7", "outputs", got, &other), other);
}

/* What a hostile child can do to its folder; each is refused and nothing of it reaches the store. */
static void blob_truncated(const char *layout, const char *blob)
{
	(void)layout;
	assert_int_equal(truncate(blob, 100), 0);
}

static void blob_corrupted(const char *layout, const char *blob)
{
	(void)layout;
	int fd = open(blob, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, 600), 1);
	close(fd);
}

static void blob_missing(const char *layout, const char *blob)
{
	(void)layout;
	assert_int_equal(unlink(blob), 0);
}

static void blob_is_a_link(const char *layout, const char *blob)
{
	cleanup_free char *other = path_join(layout, "elsewhere");
	assert_int_equal(rename(blob, other), 0);
	assert_int_equal(symlink("../../elsewhere", blob), 0);
}

static void blob_is_shared(const char *layout, const char *blob)
{
	cleanup_free char *other = path_join(layout, "elsewhere");
	assert_int_equal(link(blob, other), 0);
}

static void blob_is_a_fifo(const char *layout, const char *blob)
{
	(void)layout;
	assert_int_equal(unlink(blob), 0);
	assert_int_equal(mkfifo(blob, 0644), 0);
}

static void index_is_a_link(const char *layout, const char *blob)
{
	(void)blob;
	cleanup_free char *index = path_join(layout, "index.json");
	assert_int_equal(unlink(index), 0);
	assert_int_equal(symlink("/etc/passwd", index), 0);
}

static void index_is_no_json(const char *layout, const char *blob)
{
	(void)blob;
	cleanup_free char *index = path_join(layout, "index.json");
	int fd = open(index, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "{\"manifests\": [", 15), 15);
	close(fd);
}

static void blobs_are_elsewhere(const char *layout, const char *blob)
{
	(void)blob;
	cleanup_free char *blobs = path_join(layout, "blobs");
	cleanup_free char *other = path_join(layout, "other");
	assert_int_equal(rename(blobs, other), 0);
	assert_int_equal(symlink("other", blobs), 0);
}

static void damaged_deliveries_are_refused(void **state)
{
	const struct fixture *fixture = *state;
	static const struct {
		void (*damage)(const char *layout, const char *blob);
		enum error_code code;
		const char *text; /* %s: the layer's digest */
	} cases[] = {
		{blob_truncated, ERROR_INVALID, "incoming 7: manifest \"outputs\": blob %s: it has 100 bytes, but 2048 are said"},
		{blob_corrupted, ERROR_INVALID, "incoming 7: manifest \"outputs\": blob %s: its contents have the digest "},
		{blob_missing, ERROR_INVALID, "incoming 7: manifest \"outputs\": blob %s: it is missing"},
		{blob_is_a_link, ERROR_INVALID, "incoming 7: manifest \"outputs\": blob %s: it is no file"},
		{blob_is_shared, ERROR_INVALID, "incoming 7: manifest \"outputs\": blob %s: it is no file of its own"},
		{blob_is_a_fifo, ERROR_INVALID, "incoming 7: manifest \"outputs\": blob %s: it is no file of its own"},
		{index_is_a_link, ERROR_DENIED, "incoming 7: index.json: it goes through a symbolic link or leaves its directory"},
		{index_is_no_json, ERROR_INVALID, "incoming 7: index.json: line 1, column 15: "},
		{blobs_are_elsewhere, ERROR_INVALID, "incoming 7: cannot open blobs: "},
	};
	cleanup_store struct oci_store *store = open_store(fixture);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char sent[DIGEST_SIZE], layer[DIGEST_SIZE], got[DIGEST_SIZE];
		deliver(fixture, store, "7", "hello", sent);
		layer_of(store, "7", sent, layer);
		cleanup_free char *layout = xasprintf("%s/incoming/7", oci_store_path(store));
		cleanup_free char *blob = layout_blob_path(layout, layer);
		cases[i].damage(layout, blob);
		cleanup_error struct error *err = NULL;
		assert_int_equal(oci_incoming_accept(store, "7", "outputs", got, &err), -1);
		const char *place = strstr(cases[i].text, "%s");
		cleanup_free char *text = place ? xasprintf("%.*s%s%s", (int)(place - cases[i].text), cases[i].text, layer, place + 2)
						: xstrdup(cases[i].text);
		if (strncmp(error_message(err), text, strlen(text)) != 0)
			fail_msg("case %zu: \"%s\" does not begin with \"%s\"", i, error_message(err), text);
		assert_int_equal(error_code_of(err), cases[i].code);
		cleanup_free char *left = list_of(store, "blobs/sha256");
		assert_string_equal(left, "");
	}
}

/* Knowing a digest is no right to the blob: what is referred to must have been delivered. */
static void a_reference_into_the_store_is_no_delivery(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_store struct oci_store *store = open_store(fixture);
	cleanup_error struct error *err = NULL;
	char secret[DIGEST_SIZE], thief[DIGEST_SIZE], got[DIGEST_SIZE], layer[DIGEST_SIZE];
	deliver(fixture, store, "1", "secret", secret);
	assert_ok(oci_incoming_accept(store, "1", "outputs", got, &err), err);
	deliver(fixture, store, "2", "secret", thief);
	layer_of(store, "2", thief, layer);
	cleanup_free char *stolen = xasprintf("%s/incoming/2/blobs/sha256/%s", oci_store_path(store), digest_hex(layer));
	assert_int_equal(unlink(stolen), 0);
	assert_int_equal(oci_incoming_accept(store, "2", "outputs", got, &err), -1);
	assert_int_equal(error_code_of(err), ERROR_INVALID);
	assert_non_null(strstr(error_message(err), "it is missing"));
}

static void a_crash_at_any_rename_is_made_good(void **state)
{
	const struct fixture *fixture = *state;
	char sent[DIGEST_SIZE], got[DIGEST_SIZE];
	/* Accept once to learn the record, then rebuild each state that a crash can leave. */
	for (unsigned moved = 0; moved <= 4; moved++) {
		cleanup_store struct oci_store *store = open_store(fixture);
		cleanup_error struct error *err = NULL;
		char text[16];
		snprintf(text, sizeof(text), "text %u", moved);
		deliver(fixture, store, "twin", text, sent);
		assert_ok(oci_incoming_accept(store, "twin", "outputs", got, &err), err);
		cleanup_free char *from = xasprintf("%s/incoming/twin.accepted", oci_store_path(store));
		cleanup_free char *to = xasprintf("%s/incoming/7.accepted", oci_store_path(store));
		cleanup_json json_t *record = NULL;
		assert_ok(json_read(from, 1 << 20, &record, &err), err);
		const json_t *blobs = json_object_get(record, "blobs");
		deliver(fixture, store, "7", text, sent);
		assert_int_equal(rename(from, to), 0);
		/* `moved` of its blobs are in the store, the others only in the folder; 4: all, and the folder is gone. */
		for (size_t i = 0; i < json_array_size(blobs); i++) {
			const char *digest = json_string_value(json_array_get(blobs, i));
			cleanup_free char *in_store = oci_blob_path(store, digest);
			cleanup_free char *in_folder =
				xasprintf("%s/incoming/7/blobs/sha256/%s", oci_store_path(store), digest_hex(digest));
			assert_int_equal(unlink(i < moved ? in_folder : in_store), 0);
		}
		assert_int_equal(json_array_size(blobs), 3);
		cleanup_free char *folder = xasprintf("%s/incoming/7", oci_store_path(store));
		if (moved == 4)
			assert_ok(tree_remove(folder, &err), err);
		/* Collecting now, with roots that do not know it, must not take it. */
		uint64_t freed;
		assert_ok(oci_store_collect(store, NULL, 0, &freed, &err), err);
		assert_ok(oci_incoming_accept(store, "7", "outputs", got, &err), err);
		assert_string_equal(got, sent);
		for (size_t i = 0; i < json_array_size(blobs); i++)
			assert_true(oci_blob_exists(store, json_string_value(json_array_get(blobs, i))));
		assert_ok(oci_incoming_drop(store, "7", &err), err);
	}
}

static void collecting_keeps_what_roots_reach(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_store struct oci_store *store = open_store(fixture);
	cleanup_error struct error *err = NULL;
	char kept[DIGEST_SIZE], gone[DIGEST_SIZE], unknown[DIGEST_SIZE], kept_layer[DIGEST_SIZE], gone_layer[DIGEST_SIZE], got[DIGEST_SIZE];
	deliver(fixture, store, "1", "kept", kept);
	assert_ok(oci_incoming_accept(store, "1", "outputs", got, &err), err);
	deliver(fixture, store, "2", "gone", gone);
	assert_ok(oci_incoming_accept(store, "2", "outputs", got, &err), err);
	assert_ok(oci_incoming_drop(store, "2", &err), err);
	deliver(fixture, store, "3", "accepted, but its row is not written yet", unknown);
	assert_ok(oci_incoming_accept(store, "3", "outputs", got, &err), err);
	layer_of(store, NULL, kept, kept_layer);
	layer_of(store, NULL, gone, gone_layer);
	assert_ok(oci_store_tag(store, "keep", kept, &err), err);
	assert_ok(oci_store_tag(store, "go", gone, &err), err);

	const char *const roots[] = {kept, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff00"};
	uint64_t freed = 0;
	assert_ok(oci_store_collect(store, roots, 2, &freed, &err), err);
	assert_true(freed > 2048);
	assert_true(oci_blob_exists(store, kept) && oci_blob_exists(store, kept_layer) && oci_blob_exists(store, unknown));
	assert_false(oci_blob_exists(store, gone) || oci_blob_exists(store, gone_layer));
	cleanup_free char *index = path_join(oci_store_path(store), "index.json");
	cleanup_free char *text = file_text(index);
	assert_non_null(strstr(text, "\"keep\""));
	assert_null(strstr(text, "\"go\""));
	/* The record of what the roots know has served. */
	cleanup_free char *left = list_of(store, "incoming");
	assert_string_equal(left, "3.accepted\n");
}

static void collecting_stops_at_a_damaged_root(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_store struct oci_store *store = open_store(fixture);
	cleanup_error struct error *err = NULL;
	char digest[DIGEST_SIZE], layer[DIGEST_SIZE], got[DIGEST_SIZE];
	deliver(fixture, store, "1", "kept", digest);
	assert_ok(oci_incoming_accept(store, "1", "outputs", got, &err), err);
	assert_ok(oci_incoming_drop(store, "1", &err), err);
	layer_of(store, NULL, digest, layer);
	cleanup_free char *blob = oci_blob_path(store, digest);
	assert_ok(file_write_atomic(blob, "{}", 2, 0644, &err), err);
	const char *const roots[] = {digest};
	uint64_t freed = 0;
	assert_int_equal(oci_store_collect(store, roots, 1, &freed, &err), -1);
	assert_int_equal(error_code_of(err), ERROR_INVALID);
	assert_true(oci_blob_exists(store, layer));
}

static void tags_move_and_go(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_store struct oci_store *store = open_store(fixture);
	cleanup_error struct error *err = NULL;
	char one[DIGEST_SIZE], two[DIGEST_SIZE], found[DIGEST_SIZE];
	deliver(fixture, store, "1", "one", one);
	assert_ok(oci_incoming_accept(store, "1", "outputs", one, &err), err);
	deliver(fixture, store, "2", "two", two);
	assert_ok(oci_incoming_accept(store, "2", "outputs", two, &err), err);
	cleanup_fd int fd = layout_open(oci_store_path(store), &err);
	assert_ok(oci_store_tag(store, "prod", one, &err), err);
	assert_ok(oci_store_tag(store, "prod", two, &err), err);
	assert_ok(layout_find_tag(fd, "prod", found, &err), err);
	assert_string_equal(found, two);
	cleanup_free char *name = xasprintf("oci:%s:prod", oci_store_path(store));
	free(run_tool("skopeo", (const char *[]){"skopeo", "inspect", "--raw", name, NULL}));
	assert_ok(oci_store_tag(store, "prod", NULL, &err), err);
	assert_int_equal(layout_find_tag(fd, "prod", found, &err), -1);
	assert_error(err, ERROR_NOT_FOUND, "index.json has no manifest named \"prod\"");
	cleanup_error struct error *bad = NULL;
	assert_int_equal(oci_store_tag(store, "-x/y", one, &bad), -1);
	assert_error(bad, ERROR_INVALID, "tag \"-x/y\": \"-x/y\" is no tag: letters, digits, \"_\", \".\" and \"-\", at most 128");
}

static void names_of_deliveries_cannot_leave(void **state)
{
	const struct fixture *fixture = *state;
	cleanup_store struct oci_store *store = open_store(fixture);
	static const char *const names[] = {"", "..", ".", "a/b", "../x", "x.accepted", "a b"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_error struct error *err = NULL;
		cleanup_free char *path = NULL;
		assert_int_equal(oci_incoming_make(store, names[i], 0, 0, &path, &err), -1);
		cleanup_free char *text = xasprintf("\"%s\" is no name for a delivery", names[i]);
		assert_error(err, ERROR_INVALID, text);
	}
}

static void a_store_of_a_newer_kind_is_refused(void **state)
{
	struct fixture *fixture = *state;
	free(fixture_write(fixture, "oci/oci-layout", "{\"imageLayoutVersion\":\"2.0.0\"}"));
	cleanup_free char *path = path_join(fixture->dir, "oci");
	struct oci_store *store = NULL;
	cleanup_error struct error *err = NULL;
	assert_int_equal(oci_store_open(path, &store, &err), -1);
	cleanup_free char *text = xasprintf("artifact store %s: %s/oci-layout: image layout version \"2.0.0\" is not available in this build (1.x is)",
					    path, path);
	assert_error(err, ERROR_UNSUPPORTED, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_delivery_is_verified_and_taken, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(an_unprivileged_child_delivers, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_tag_that_was_not_delivered_is_told, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(damaged_deliveries_are_refused, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_reference_into_the_store_is_no_delivery, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_crash_at_any_rename_is_made_good, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(collecting_keeps_what_roots_reach, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(collecting_stops_at_a_damaged_root, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(tags_move_and_go, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(names_of_deliveries_cannot_leave, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_store_of_a_newer_kind_is_refused, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, first_child, NULL);
}
