/* Unpacking layers beneath a directory. Archives come from outside, so nothing in one is trusted: every parent directory is
 * opened with openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), so an archive cannot write through a link that it (or a layer
 * before it) made; absolute names and ".." are refused; files are created O_EXCL; hard links must point at a file unpacked
 * here; devices, FIFOs and sockets are refused; set-id and sticky bits and owners are dropped; bytes and entries are counted. */
#ifndef ARTIFACTS_UNPACK_H
#define ARTIFACTS_UNPACK_H

#include "artifacts/oci.h"
#include "base/json.h"

enum unpack_existing {
	UNPACK_REPLACE,       /* image layers: the later one wins, whatever it finds; whiteouts delete */
	UNPACK_REPLACE_FILES, /* outputs over a commit's files: a file may replace a file */
	UNPACK_SAME_ONLY,     /* a file that is there must be the same, else CONFLICT */
};

struct unpack_limits {
	uint64_t max_bytes; /* of uncompressed tar, over all layers */
	uint64_t max_entries;
};
extern const struct unpack_limits unpack_default_limits; /* 256 GiB, 2,000,000 entries */

struct unpack {
	int layout_fd;
	const char *root;  /* path of root_fd; nobody else may be working there */
	int root_fd;
	enum unpack_existing existing;
	struct unpack_limits left;
};

/* Applies one layer. `diff_id` NULL: not compared. On failure the directory holds a part of it. */
int unpack_layer(struct unpack *unpack, const struct oci_descriptor *layer, const char *diff_id, struct error **err) must_check;
/* Deletes what the layer's whiteouts (".wh.name", ".wh..wh..opq") name; to be called before unpack_layer(), so that it
 * concerns the layers below only. */
int unpack_whiteouts(struct unpack *unpack, const struct oci_descriptor *layer, struct error **err) must_check;
/* {"mediaType", "digest", "size"} of a manifest; media_type is borrowed from the JSON. */
int descriptor_read(const json_t *json, struct oci_descriptor *ret, struct error **err) must_check;
/* image_unpack() of capture.h with limits of one's own. */
int image_unpack_within(const char *layout, const char *manifest_digest, const char *rootfs, const struct unpack_limits *limits,
			struct error **err) must_check;
#endif
