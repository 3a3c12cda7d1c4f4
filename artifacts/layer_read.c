#include "artifacts/layer_read.h"

#include "artifacts/layout.h"
#include "base/alloc.h"
#include "base/file.h"

#include <archive.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>

#define BLOCK_BYTES ((size_t)128 * 1024)

struct layer_reader {
	char digest[DIGEST_SIZE], diff_id[DIGEST_SIZE]; /* expected; diff_id may be "" */
	int fd;
	struct sha256 *blob_hash, *plain_hash;
	struct archive *decompressor; /* NULL: the blob is the tar */
	struct archive *tar;
	unsigned char *block, *plain;
	uint64_t plain_bytes, max_plain;
	struct error *error;          /* of a callback: says more than libarchive can */
	locale_t locale, locale_before;
};

/* libarchive converts names of pax records to the locale's charset and fails in a C locale. Only while it is called. */
static void enter(struct layer_reader *reader)
{
	if (reader->locale)
		reader->locale_before = uselocale(reader->locale);
}

static void leave(struct layer_reader *reader)
{
	if (reader->locale)
		uselocale(reader->locale_before);
}

/* libarchive's failure, or what our own callbacks said before it. */
static int reader_error(struct layer_reader *reader, struct archive *archive, struct error **err)
{
	if (reader->error) {
		error_move(err, STEAL(reader->error));
		return error_context(err, "layer %s", reader->digest);
	}
	const char *why = archive_error_string(archive);
	return error_set(err, ERROR_INVALID, 0, "layer %s is no valid archive: %s", reader->digest, why ? why : "unreadable");
}

static la_ssize_t read_blob(struct archive *archive, void *arg, const void **ret)
{
	struct layer_reader *reader = arg;
	ssize_t n;
	do
		n = read(reader->fd, reader->block, BLOCK_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		error_set(&reader->error, ERROR_IO, errno, "cannot read the blob");
		archive_set_error(archive, EIO, "read");
		return -1;
	}
	sha256_update(reader->blob_hash, reader->block, (size_t)n);
	*ret = reader->block;
	return n;
}

static la_ssize_t plain_done(struct layer_reader *reader, struct archive *archive, const void *bytes, la_ssize_t n)
{
	if (n <= 0)
		return n;
	sha256_update(reader->plain_hash, bytes, (size_t)n);
	reader->plain_bytes += (size_t)n;
	if (reader->plain_bytes <= reader->max_plain)
		return n;
	error_set(&reader->error, ERROR_TOO_LARGE, 0, "unpacks to more than the %llu bytes that are allowed",
		  (unsigned long long)reader->max_plain);
	archive_set_error(archive, EFBIG, "too large");
	return -1;
}

static la_ssize_t read_plain(struct archive *archive, void *arg, const void **ret)
{
	struct layer_reader *reader = arg;
	if (!reader->decompressor)
		return plain_done(reader, archive, reader->block, read_blob(archive, arg, ret));
	la_ssize_t n = archive_read_data(reader->decompressor, reader->plain, BLOCK_BYTES);
	if (n < 0) {
		if (!reader->error)
			error_set(&reader->error, ERROR_INVALID, 0, "cannot decompress: %s", archive_error_string(reader->decompressor));
		archive_set_error(archive, EIO, "decompress");
		return -1;
	}
	*ret = reader->plain;
	return plain_done(reader, archive, reader->plain, n);
}

/* 0, or -1 if this build does not read that type. *ret: the filter to allow, ARCHIVE_FILTER_NONE for a plain tar. */
static int filter_of(const char *media_type, int *ret)
{
	static const struct {
		const char *media_type;
		int filter;
	} rows[] = {
		{OCI_LAYER_TAR, ARCHIVE_FILTER_NONE},
		{OCI_LAYER_GZIP, ARCHIVE_FILTER_GZIP},
		{DOCKER_LAYER_GZIP, ARCHIVE_FILTER_GZIP},
		{OCI_LAYER_ZSTD, ARCHIVE_FILTER_ZSTD},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].media_type, media_type) == 0) {
			*ret = rows[i].filter;
			return 0;
		}
	return -1;
}

static int open_decompressor(struct layer_reader *reader, int filter, struct error **err)
{
	struct archive *raw = reader->decompressor = archive_read_new();
	struct archive_entry *entry;
	archive_read_support_format_raw(raw);
	if (filter == ARCHIVE_FILTER_GZIP)
		archive_read_support_filter_gzip(raw);
	else
		archive_read_support_filter_zstd(raw);
	if (archive_read_open(raw, reader, NULL, read_blob, NULL) != ARCHIVE_OK || archive_read_next_header(raw, &entry) != ARCHIVE_OK)
		return reader_error(reader, raw, err);
	/* Not compressed at all, though it says so: the raw format would hand the bytes through. */
	if (archive_filter_code(raw, 0) != filter)
		return error_set(err, ERROR_INVALID, 0, "layer %s is not compressed as its media type says", reader->digest);
	return 0;
}

static int open_blob(struct layer_reader *reader, int layout_fd, const struct oci_descriptor *layer, struct error **err)
{
	cleanup_free char *path = xasprintf("blobs/sha256/%s", digest_hex(layer->digest));
	reader->fd = file_open_beneath(layout_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
	if (reader->fd < 0)
		return error_context(err, "layer");
	struct stat st;
	if (fstat(reader->fd, &st) < 0)
		return error_set(err, ERROR_IO, errno, "layer %s", layer->digest);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != layer->size)
		return error_set(err, ERROR_INVALID, 0, "layer %s is damaged: %lld bytes, not %llu", layer->digest, (long long)st.st_size,
				 (unsigned long long)layer->size);
	return 0;
}

int layer_reader_new(int layout_fd, const struct oci_descriptor *layer, const char *diff_id, uint64_t max_plain, struct layer_reader **ret,
		     struct error **err)
{
	int filter;
	if (filter_of(layer->media_type, &filter) < 0)
		return error_set(err, ERROR_UNSUPPORTED, 0, "layers of type %s are not available in this build", layer->media_type);
	cleanup_layer_reader struct layer_reader *reader = xcalloc(1, sizeof(*reader));
	reader->fd = -1;
	snprintf(reader->digest, DIGEST_SIZE, "%s", layer->digest);
	snprintf(reader->diff_id, DIGEST_SIZE, "%s", diff_id ? diff_id : "");
	reader->blob_hash = sha256_new();
	reader->plain_hash = sha256_new();
	reader->block = xmalloc(BLOCK_BYTES);
	reader->plain = xmalloc(BLOCK_BYTES);
	reader->max_plain = max_plain;
	reader->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	if (open_blob(reader, layout_fd, layer, err) < 0)
		return -1;
	if (filter != ARCHIVE_FILTER_NONE && open_decompressor(reader, filter, err) < 0)
		return -1;
	reader->tar = archive_read_new();
	archive_read_support_format_tar(reader->tar);
	archive_read_support_format_empty(reader->tar);
	enter(reader);
	int opened = archive_read_open(reader->tar, reader, NULL, read_plain, NULL);
	leave(reader);
	if (opened != ARCHIVE_OK)
		return reader_error(reader, reader->tar, err);
	*ret = STEAL(reader);
	return 0;
}

int layer_reader_next(struct layer_reader *reader, struct archive_entry **ret, struct error **err)
{
	enter(reader);
	int result = archive_read_next_header(reader->tar, ret);
	leave(reader);
	if (result == ARCHIVE_EOF)
		return 0;
	/* A warning is about what we do not use (times, owners, attributes), or about the name, which is then missing. */
	if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
		return reader_error(reader, reader->tar, err);
	return 1;
}

int layer_reader_data(struct layer_reader *reader, const void **ret, size_t *ret_len, uint64_t *ret_offset, struct error **err)
{
	la_int64_t offset = 0;
	int result = archive_read_data_block(reader->tar, ret, ret_len, &offset);
	if (result == ARCHIVE_EOF)
		return 0;
	if (result != ARCHIVE_OK || offset < 0)
		return reader_error(reader, reader->tar, err);
	*ret_offset = (uint64_t)offset;
	return 1;
}

static int compare_digest(const char *what, struct sha256 *hash, const char *expected, struct error **err)
{
	uint8_t raw[SHA256_BYTES];
	char found[DIGEST_SIZE];
	sha256_final(hash, raw);
	digest_from_raw(raw, found);
	if (expected[0] && strcmp(found, expected) != 0)
		return error_set(err, ERROR_INVALID, 0, "layer is damaged: its %s is %s, not %s", what, found, expected);
	return 0;
}

int layer_reader_finish(struct layer_reader *reader, struct error **err)
{
	/* Both streams to their very ends: padding after the archive and after the compressed stream counts too. */
	const void *bytes;
	la_ssize_t n;
	while ((n = read_plain(reader->tar, reader, &bytes)) > 0)
		continue;
	while (n == 0 && (n = read_blob(reader->tar, reader, &bytes)) > 0)
		n = 0;
	if (n < 0)
		return reader_error(reader, reader->tar, err);
	if (compare_digest("digest", reader->blob_hash, reader->digest, err) < 0)
		return -1;
	return compare_digest("diff_id", reader->plain_hash, reader->diff_id, err);
}

uint64_t layer_reader_plain_bytes(const struct layer_reader *reader)
{
	return reader->plain_bytes;
}

void layer_reader_free(struct layer_reader *reader)
{
	if (!reader)
		return;
	if (reader->tar)
		archive_read_free(reader->tar);
	if (reader->decompressor)
		archive_read_free(reader->decompressor);
	if (reader->fd >= 0)
		close(reader->fd);
	if (reader->locale)
		freelocale(reader->locale);
	sha256_free(reader->blob_hash);
	sha256_free(reader->plain_hash);
	error_free(reader->error);
	free(reader->block);
	free(reader->plain);
	free(reader);
}
