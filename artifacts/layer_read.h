/* One layer on its way out of a layout: the blob is hashed, decompressed, hashed again and read as a tar archive, in a fixed
 * amount of memory. Nothing is certain before layer_reader_finish(): unpack aside, and keep it only then.
 *
 *     while ((more = layer_reader_next(reader, &entry, &err)) > 0) ...
 *     layer_reader_finish(reader, &err);   // reads to the end and compares size, digest and diff_id
 */
#ifndef ARTIFACTS_LAYER_READ_H
#define ARTIFACTS_LAYER_READ_H

#include "artifacts/oci.h"

#include <archive_entry.h>

struct layer_reader;
/* `diff_id` may be NULL (then only the blob's digest counts). At most max_plain bytes of tar are read: TOO_LARGE. */
int layer_reader_new(int layout_fd, const struct oci_descriptor *layer, const char *diff_id, uint64_t max_plain, struct layer_reader **ret,
		     struct error **err) must_check;
/* 1 with the next entry, 0 at the end, -1. */
int layer_reader_next(struct layer_reader *reader, struct archive_entry **ret, struct error **err) must_check;
/* The next piece of the entry's contents and where it belongs (archives may be sparse); 1, 0 at its end, -1. */
int layer_reader_data(struct layer_reader *reader, const void **ret, size_t *ret_len, uint64_t *ret_offset, struct error **err) must_check;
int layer_reader_finish(struct layer_reader *reader, struct error **err) must_check;
uint64_t layer_reader_plain_bytes(const struct layer_reader *reader);
void layer_reader_free(struct layer_reader *reader);
DEFINE_CLEANUP(struct layer_reader, layer_reader_free);
#define cleanup_layer_reader CLEANUP(layer_reader_free)
#endif
