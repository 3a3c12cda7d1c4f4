/* One layer on its way into a layout: the tar stream is hashed (diff_id), compressed or not, hashed again (digest) and
 * written, in a fixed amount of memory.
 *
 * gzip: members of 1 MiB of input each, one after another, which RFC 1952 (2.2) makes one gzip stream. libdeflate
 * compresses whole buffers, and one thread with fixed blocks gives the same bytes for the same library version; across
 * versions of libdeflate compare diff_ids. The member header holds no time and no operating system. */
#ifndef ARTIFACTS_LAYER_WRITE_H
#define ARTIFACTS_LAYER_WRITE_H

#include "artifacts/oci.h"

enum compression { COMPRESSION_GZIP, COMPRESSION_NONE };

struct layer_writer;
int layer_writer_new(const char *layout, enum compression compression, struct layer_writer **ret, struct error **err) must_check;
/* Has the form of a tar_writer's sink; `writer` is a struct layer_writer. */
int layer_write(void *writer, const void *bytes, size_t len, struct error **err) must_check;
int layer_commit(struct layer_writer *writer, struct oci_layer *ret, struct error **err) must_check;
void layer_writer_free(struct layer_writer *writer);
DEFINE_CLEANUP(struct layer_writer, layer_writer_free);
#define cleanup_layer_writer CLEANUP(layer_writer_free)
#endif
