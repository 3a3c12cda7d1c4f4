/* For tests of artifacts/: files, foreign archives (through libarchive's writer, which will write anything), images made of
 * them, and other people's tools as oracles. */
#ifndef TESTS_OCI_FIXTURE_H
#define TESTS_OCI_FIXTURE_H

#include "artifacts/layout.h"
#include "base/alloc.h"
#include "base/child.h"
#include "base/file.h"
#include "tests/support/support.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Runs a tool and gives its standard output (owned by the caller); fails the test if it is missing, naming its package. */
static inline char *run_tool(const char *package, const char *const *argv)
{
	struct child_spec spec = {.argv = argv, .timeout_ms = 120000};
	struct child_result result;
	cleanup_error struct error *err = NULL;
	if (child_run(&spec, &result, &err) < 0)
		fail_msg("cannot run %s: %s (Debian package: %s)", argv[0], error_message(err), package);
	if (result.exit_code != 0 || result.signal != 0 || result.timed_out)
		fail_msg("%s: exit %d, signal %d: %s", argv[0], result.exit_code, result.signal, result.err_text);
	char *out = STEAL(result.out);
	child_result_done(&result);
	return out;
}

/* Group setup: libuv keeps a pipe for the whole process from its first child on, which is no leak of a test. */
static inline int first_child(void **state)
{
	(void)state;
	free(run_tool("coreutils", (const char *[]){"true", NULL}));
	return 0;
}

static inline char *file_text(const char *path)
{
	cleanup_error struct error *err = NULL;
	char *text = NULL;
	if (file_read(path, (size_t)64 * 1024 * 1024, &text, NULL, &err) < 0)
		fail_msg("%s", error_message(err));
	return text;
}

static inline void assert_file(const char *dir, const char *name, const char *text)
{
	cleanup_free char *path = path_join(dir, name);
	cleanup_free char *found = file_text(path);
	assert_string_equal(found, text);
}

static inline unsigned mode_of(const char *dir, const char *name)
{
	cleanup_free char *path = path_join(dir, name);
	struct stat st;
	if (lstat(path, &st) < 0)
		fail_msg("%s: no such file", path);
	return st.st_mode;
}

static inline bool is_present(const char *dir, const char *name)
{
	cleanup_free char *path = path_join(dir, name);
	struct stat st;
	return lstat(path, &st) == 0;
}

/* One entry of an archive that may be as hostile as it likes. */
struct foreign {
	const char *path;
	unsigned type;      /* AE_IFREG ...; 0: regular */
	const char *text;   /* contents */
	const char *link;   /* target of a symbolic link */
	const char *hard;   /* target of a hard link */
	unsigned mode;      /* 0: 0644 */
	size_t zeros;       /* instead of text: that many zero bytes */
};

static inline void add_foreign(struct archive *archive, const struct foreign *item)
{
	struct archive_entry *entry = archive_entry_new();
	archive_entry_set_pathname(entry, item->path);
	archive_entry_set_filetype(entry, item->type ? item->type : AE_IFREG);
	archive_entry_set_perm(entry, item->mode ? item->mode : 0644);
	if (item->link)
		archive_entry_set_symlink(entry, item->link);
	if (item->hard)
		archive_entry_set_hardlink(entry, item->hard);
	if (item->type == AE_IFCHR)
		archive_entry_set_rdev(entry, makedev(1, 3));
	size_t len = item->zeros ? item->zeros : item->text ? strlen(item->text) : 0;
	archive_entry_set_size(entry, (la_int64_t)len);
	assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
	static const char zeros[65536];
	for (size_t done = 0; done < len;) {
		size_t n = item->zeros && len - done > sizeof(zeros) ? sizeof(zeros) : len - done;
		assert_int_equal(archive_write_data(archive, item->zeros ? zeros : item->text + done, n), n);
		done += n;
	}
	archive_entry_free(entry);
}

static inline void write_tar(const char *path, const struct foreign *items)
{
	struct archive *archive = archive_write_new();
	archive_write_set_format_pax_restricted(archive);
	assert_int_equal(archive_write_open_filename(archive, path), ARCHIVE_OK);
	for (; items->path; items++)
		add_foreign(archive, items);
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	archive_write_free(archive);
}

/* Compresses a file in place. */
static inline void compress_file(const char *path, int filter)
{
	cleanup_error struct error *err = NULL;
	cleanup_free char *text = NULL;
	size_t len;
	assert_ok(file_read(path, (size_t)256 * 1024 * 1024, &text, &len, &err), err);
	struct archive *archive = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	archive_write_set_format_raw(archive);
	archive_write_add_filter(archive, filter);
	archive_entry_set_filetype(entry, AE_IFREG);
	assert_int_equal(archive_write_open_filename(archive, path), ARCHIVE_OK);
	assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
	assert_int_equal(archive_write_data(archive, text, len), len);
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	archive_entry_free(entry);
	archive_write_free(archive);
}

/* Packs the entries (up to one with a NULL path) as a layer of the layout; filter ARCHIVE_FILTER_NONE, _GZIP or _ZSTD. */
static inline struct oci_layer foreign_layer(const char *layout, const struct foreign *items, int filter)
{
	struct oci_layer layer = {.blob.media_type = filter == ARCHIVE_FILTER_GZIP   ? OCI_LAYER_GZIP
						     : filter == ARCHIVE_FILTER_ZSTD ? OCI_LAYER_ZSTD
										     : OCI_LAYER_TAR};
	cleanup_error struct error *err = NULL;
	cleanup_free char *path = path_join(layout, "foreign.tar");
	uint64_t size;
	write_tar(path, items);
	assert_ok(digest_of_file(path, layer.diff_id, &size, &err), err);
	if (filter != ARCHIVE_FILTER_NONE)
		compress_file(path, filter);
	assert_ok(digest_of_file(path, layer.blob.digest, &layer.blob.size, &err), err);
	cleanup_free char *blob = layout_blob_path(layout, layer.blob.digest);
	assert_int_equal(rename(path, blob), 0);
	return layer;
}

/* An image of these layers, named by its digest. */
static inline void foreign_image(const char *layout, const struct oci_layer *layers, size_t n, char ret[DIGEST_SIZE])
{
	cleanup_error struct error *err = NULL;
	json_t *diff_ids = json_array(), *list = json_array();
	for (size_t i = 0; i < n; i++) {
		json_array_append_new(diff_ids, json_string(layers[i].diff_id));
		json_array_append_new(list, descriptor_json(&layers[i].blob));
	}
	cleanup_json json_t *config = json_pack("{s:s, s:s, s:{s:s, s:o}}", "architecture", "amd64", "os", "linux", "rootfs", "type", "layers",
						"diff_ids", diff_ids);
	struct oci_descriptor config_blob, manifest_blob;
	assert_ok(layout_put_json(layout, config, OCI_CONFIG, &config_blob, &err), err);
	cleanup_json json_t *manifest = json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", OCI_MANIFEST, "config",
						  descriptor_json(&config_blob), "layers", list);
	assert_ok(layout_put_json(layout, manifest, OCI_MANIFEST, &manifest_blob, &err), err);
	snprintf(ret, DIGEST_SIZE, "%s", manifest_blob.digest);
}
#endif
