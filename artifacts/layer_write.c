#include "artifacts/layer_write.h"

#include "artifacts/layout.h"
#include "base/alloc.h"

#include <assert.h>
#include <libdeflate.h>

#define BLOCK_BYTES ((size_t)1024 * 1024)
#define LEVEL 6

struct layer_writer {
	enum compression compression;
	struct sha256 *plain;
	struct blob_writer *blob;
	struct libdeflate_compressor *compressor; /* NULL: uncompressed */
	unsigned char *in, *out;
	size_t in_len, out_size;
};

int layer_writer_new(const char *layout, enum compression compression, struct layer_writer **ret, struct error **err)
{
	cleanup_layer_writer struct layer_writer *writer = xcalloc(1, sizeof(*writer));
	writer->compression = compression;
	writer->plain = sha256_new();
	writer->in = xmalloc(BLOCK_BYTES);
	if (compression == COMPRESSION_GZIP) {
		writer->compressor = libdeflate_alloc_compressor(LEVEL);
		if (!writer->compressor)
			abort(); /* Out of memory, as in base/alloc.h. */
		writer->out_size = libdeflate_gzip_compress_bound(writer->compressor, BLOCK_BYTES);
		writer->out = xmalloc(writer->out_size);
	}
	if (blob_writer_new(layout, &writer->blob, err) < 0)
		return -1;
	*ret = STEAL(writer);
	return 0;
}

static int flush(struct layer_writer *writer, struct error **err)
{
	size_t len = writer->in_len;
	writer->in_len = 0;
	sha256_update(writer->plain, writer->in, len);
	if (!writer->compressor)
		return blob_write(writer->blob, writer->in, len, err);
	size_t packed = libdeflate_gzip_compress(writer->compressor, writer->in, len, writer->out, writer->out_size);
	assert(packed > 0); /* The bound was asked for. */
	return blob_write(writer->blob, writer->out, packed, err);
}

int layer_write(void *arg, const void *bytes, size_t len, struct error **err)
{
	struct layer_writer *writer = arg;
	for (const unsigned char *from = bytes; len > 0;) {
		size_t n = BLOCK_BYTES - writer->in_len < len ? BLOCK_BYTES - writer->in_len : len;
		memcpy(writer->in + writer->in_len, from, n);
		writer->in_len += n;
		from += n;
		len -= n;
		if (writer->in_len == BLOCK_BYTES && flush(writer, err) < 0)
			return -1;
	}
	return 0;
}

int layer_commit(struct layer_writer *writer, struct oci_layer *ret, struct error **err)
{
	if (writer->in_len && flush(writer, err) < 0)
		return -1;
	struct oci_layer layer = {.blob.media_type = writer->compression == COMPRESSION_GZIP ? OCI_LAYER_GZIP : OCI_LAYER_TAR};
	uint8_t raw[SHA256_BYTES];
	sha256_final(writer->plain, raw);
	digest_from_raw(raw, layer.diff_id);
	if (blob_commit(writer->blob, layer.blob.digest, &layer.blob.size, err) < 0)
		return -1;
	*ret = layer;
	return 0;
}

void layer_writer_free(struct layer_writer *writer)
{
	if (!writer)
		return;
	sha256_free(writer->plain);
	blob_writer_free(writer->blob);
	libdeflate_free_compressor(writer->compressor);
	free(writer->in);
	free(writer->out);
	free(writer);
}
