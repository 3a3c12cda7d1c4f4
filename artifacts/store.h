/* The only artifact store: an OCI image layout. Children write blobs into incoming/<attempt>/ (itself a small layout); the daemon
 * verifies every digest, renames the blobs in, and alone writes index.json (tagged manifests only). */
#ifndef ARTIFACTS_STORE_H
#define ARTIFACTS_STORE_H

#include "base/digest.h"
#include "base/json.h"

#include <stdint.h>

/* Calls on one store from several threads are serialised where they must be. */
struct oci_store;
/* Opens or creates oci-layout, index.json, blobs/sha256, incoming. */
int oci_store_open(const char *path, struct oci_store **ret, struct error **err) must_check;
void oci_store_free(struct oci_store *store);
const char *oci_store_path(const struct oci_store *store);

char *oci_blob_path(const struct oci_store *store, const char *digest); /* allocated; the digest must be valid */
bool oci_blob_exists(const struct oci_store *store, const char *digest);
/* Creates incoming/<name>, a fresh layout writable by uid/gid (removing what an earlier crash left); allocated path. */
int oci_incoming_make(struct oci_store *store, const char *name, unsigned uid, unsigned gid, char **ret_path, struct error **err) must_check;
/* Verifies every blob of incoming/<name> against its name and its references, moves them in, removes the folder. Idempotent after a crash.
 * *ret_manifest gets the digest of the manifest named `tag` in the incoming index.json; a folder with several (outputs and an image)
 * may be asked for each. Blobs that no tagged manifest refers to are not taken. Once accepted, the answer can be had again, and
 * collecting spares it, until oci_incoming_drop() (call it when the digest is in the database) or until collecting finds it
 * among the roots. Reads everything: call it from a worker if it may be large. INVALID: damaged or incomplete; NOT_FOUND: no such
 * folder or tag. */
int oci_incoming_accept(struct oci_store *store, const char *name, const char *tag, char ret_manifest[DIGEST_SIZE], struct error **err) must_check;
int oci_incoming_drop(struct oci_store *store, const char *name, struct error **err) must_check;
/* Sets "org.opencontainers.image.ref.name" = tag for a manifest in our index.json (atomic). NULL digest removes the tag. */
int oci_store_tag(struct oci_store *store, const char *tag, const char *manifest_digest, struct error **err) must_check;
int oci_manifest_read(const struct oci_store *store, const char *digest, json_t **ret, struct error **err) must_check;
/* Deletes blobs that are reachable from none of the `roots` (manifest digests), and the tags of manifests that go. Spares deliveries
 * that were accepted but are not among the roots yet. A root that is not there is fine; one that is damaged is INVALID, and then
 * nothing is deleted. */
int oci_store_collect(struct oci_store *store, const char *const *roots, size_t n_roots, uint64_t *ret_freed_bytes, struct error **err) must_check;
#endif
