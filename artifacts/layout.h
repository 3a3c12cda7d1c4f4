/* An OCI image layout on disk: oci-layout, index.json, blobs/sha256/<hex>.
 *
 * Reading trusts nothing: paths are opened beneath the layout without following links, only regular files are read, and what
 * is read is compared with its digest. Writing a blob goes through a blob_writer (aside, fsync, rename), so that a name in
 * blobs/sha256 always stands for whole contents. One writer at a time may change index.json; it is replaced atomically.
 *
 *     layout_make(dir, &err);
 *     cleanup_blob struct blob_writer *blob = NULL;
 *     blob_writer_new(dir, &blob, &err);
 *     blob_write(blob, bytes, len, &err);  ...
 *     blob_commit(blob, &digest, &size, &err);
 */
#ifndef ARTIFACTS_LAYOUT_H
#define ARTIFACTS_LAYOUT_H

#include "artifacts/oci.h"
#include "base/json.h"

/* Makes what is missing of a layout at `path`; an existing one of a version we do not know is UNSUPPORTED. */
int layout_make(const char *path, struct error **err) must_check;
/* A tag, as registries and tools accept it: [A-Za-z0-9_][A-Za-z0-9._-]{0,127} */
bool layout_tag_is_valid(const char *tag);

/* The hex part of a valid digest: the blob's file name. */
const char *digest_hex(const char *digest);
char *layout_blob_path(const char *layout, const char *digest); /* allocated */

/* Opens a layout's directory for the functions below; an fd or -1. */
int layout_open(const char *layout, struct error **err) must_check;
/* Reads `path` ("index.json") beneath the layout; at most max_bytes. NOT_FOUND, TOO_LARGE, DENIED (a link), INVALID, IO. */
int layout_read(int layout_fd, const char *path, size_t max_bytes, char **ret_text, size_t *ret_len, struct error **err) must_check;
/* A JSON blob (manifest, config), compared with its digest first. */
int layout_read_json(int layout_fd, const char *digest, json_t **ret, struct error **err) must_check;
/* index.json; an object with an array "manifests". */
int layout_read_index(int layout_fd, json_t **ret, struct error **err) must_check;
/* The digest that index.json names `tag`; NOT_FOUND. */
int layout_find_tag(int layout_fd, const char *tag, char ret[DIGEST_SIZE], struct error **err) must_check;

/* Names a manifest in index.json, taking the name from whoever had it; NULL manifest: the name goes away. */
int layout_set_tag(const char *layout, const char *tag, const struct oci_descriptor *manifest, struct error **err) must_check;
/* Replaces index.json by one with these entries (borrowed array). */
int layout_write_index(const char *layout, json_t *manifests, struct error **err) must_check;

/* Calls fn for the config, each layer, and each manifest (of an index) that `manifest` refers to; stops when fn fails. A
 * reference that is malformed is INVALID. `is_manifest`: it has references of its own. `subject` is not followed: it points
 * from the smaller thing to the larger one. */
typedef int (*reference_fn)(void *arg, const char *digest, uint64_t size, bool is_manifest, struct error **err);
int manifest_references(const json_t *manifest, reference_fn fn, void *arg, struct error **err) must_check;

struct blob_writer;
int blob_writer_new(const char *layout, struct blob_writer **ret, struct error **err) must_check;
int blob_write(struct blob_writer *writer, const void *bytes, size_t len, struct error **err) must_check;
/* Flushed to the disk and named by its digest. */
int blob_commit(struct blob_writer *writer, char ret_digest[DIGEST_SIZE], uint64_t *ret_size, struct error **err) must_check;
void blob_writer_free(struct blob_writer *writer); /* removes what was not committed */
DEFINE_CLEANUP(struct blob_writer, blob_writer_free);
#define cleanup_blob CLEANUP(blob_writer_free)

/* Canonical JSON (sorted, compact) as a blob. */
int layout_put_json(const char *layout, const json_t *json, const char *media_type, struct oci_descriptor *ret, struct error **err) must_check;
/* {"mediaType", "digest", "size"}; new reference. */
json_t *descriptor_json(const struct oci_descriptor *descriptor);
#endif
