/* Deliveries. A child that may be hostile wrote incoming/<name>; we take the folder away from its user, read every blob
 * through a descriptor that nobody else can write to any more, and follow the references from the tagged manifests: what
 * they do not name is not taken, and what they name must have been delivered (knowing a digest is no right to a blob).
 *
 * Order of a delivery, each step durable before the next: blobs verified and synced; <name>.accepted written; blobs renamed
 * into the store; folder removed. After a crash before the second step everything is verified again, after it the rest is
 * done. The record stays until oci_incoming_drop() or until oci_store_collect() sees its manifests among the roots, so
 * that a caller who crashed before it wrote its own rows gets the same answer again. */
#include "artifacts/layout.h"
#include "artifacts/store_priv.h"
#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MAX_NESTING 4 /* indexes of indexes */
#define COPY_BYTES ((size_t)256 * 1024)

struct delivery {
	int dir_fd, blobs_fd;
	json_t *seen;      /* digest -> true */
	json_t *manifests; /* tag -> digest */
	unsigned nesting;
	unsigned char *bytes;
};

char *accepted_path(const struct oci_store *store, const char *name)
{
	return xasprintf("%s/incoming/%s" ACCEPTED_SUFFIX, store->path, name);
}

static int check_name(const char *name, struct error **err)
{
	size_t len = strlen(name), suffix = sizeof(ACCEPTED_SUFFIX) - 1;
	bool plain = len > 0 && len <= 128 && name[0] != '.' &&
		     strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
	if (!plain || (len >= suffix && strcmp(name + len - suffix, ACCEPTED_SUFFIX) == 0))
		return error_set(err, ERROR_INVALID, 0, "\"%s\" is no name for a delivery", name);
	return 0;
}

static char *delivery_path(const struct oci_store *store, const char *name)
{
	return xasprintf("%s/incoming/%s", store->path, name);
}

int oci_incoming_drop(struct oci_store *store, const char *name, struct error **err)
{
	if (check_name(name, err) < 0)
		return -1;
	cleanup_free char *dir = delivery_path(store, name);
	cleanup_free char *accepted = accepted_path(store, name);
	if (tree_remove(dir, err) < 0)
		return -1;
	if (unlink(accepted) < 0 && errno != ENOENT)
		return error_set(err, ERROR_IO, errno, "cannot remove %s", accepted);
	return 0;
}

int oci_incoming_make(struct oci_store *store, const char *name, unsigned uid, unsigned gid, char **ret_path, struct error **err)
{
	if (oci_incoming_drop(store, name, err) < 0)
		return -1;
	cleanup_free char *dir = delivery_path(store, name);
	if (layout_make(dir, err) < 0)
		return error_context(err, "incoming %s", name);
	static const char *const parts[] = {"", "/blobs", "/blobs/sha256", "/index.json", "/oci-layout"};
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		cleanup_free char *path = xasprintf("%s%s", dir, parts[i]);
		if (geteuid() == 0 && lchown(path, uid, gid) < 0)
			return error_set(err, ERROR_IO, errno, "cannot give %s to user %u", path, uid);
	}
	*ret_path = STEAL(dir);
	return 0;
}

/* Takes an open file or directory away from its user. */
static int take_over(int fd, mode_t mode, const char *what, struct error **err)
{
	if ((geteuid() == 0 && fchown(fd, geteuid(), getegid()) < 0) || fchmod(fd, mode) < 0)
		return error_set(err, ERROR_IO, errno, "cannot take over %s", what);
	return 0;
}

static int open_taken(int dir_fd, const char *name, struct error **err)
{
	cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_INVALID, errno, "cannot open %s", name);
	if (take_over(fd, 0755, name, err) < 0)
		return -1;
	return steal_fd(&fd);
}

static int hash_fd(struct delivery *delivery, int fd, char ret[DIGEST_SIZE], struct error **err)
{
	struct sha256 *hash = sha256_new();
	ssize_t n;
	do {
		n = read(fd, delivery->bytes, COPY_BYTES);
		if (n > 0)
			sha256_update(hash, delivery->bytes, (size_t)n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	int errnum = errno;
	uint8_t raw[SHA256_BYTES];
	sha256_final(hash, raw);
	sha256_free(hash);
	if (n < 0)
		return error_set(err, ERROR_IO, errnum, "cannot read it");
	digest_from_raw(raw, ret);
	return 0;
}

static int verify_contents(struct delivery *delivery, const char *digest, uint64_t size, struct error **err)
{
	cleanup_fd int fd = openat(delivery->blobs_fd, digest_hex(digest), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	if (fd < 0)
		return error_set(err, ERROR_INVALID, 0, "%s", errno == ENOENT ? "it is missing" : "it is no file");
	if (fstat(fd, &st) < 0)
		return error_set(err, ERROR_IO, errno, "cannot look at it");
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		return error_set(err, ERROR_INVALID, 0, "it is no file of its own");
	if (take_over(fd, 0444, "it", err) < 0)
		return -1;
	if ((uint64_t)st.st_size != size)
		return error_set(err, ERROR_INVALID, 0, "it has %lld bytes, but %llu are said", (long long)st.st_size, (unsigned long long)size);
	char found[DIGEST_SIZE];
	if (hash_fd(delivery, fd, found, err) < 0)
		return -1;
	if (strcmp(found, digest) != 0)
		return error_set(err, ERROR_INVALID, 0, "its contents have the digest %s", found);
	if (fsync(fd) < 0)
		return error_set(err, ERROR_IO, errno, "cannot sync it");
	return 0;
}

static int verify_reference(void *arg, const char *digest, uint64_t size, bool is_manifest, struct error **err)
{
	struct delivery *delivery = arg;
	if (!json_object_get(delivery->seen, digest)) {
		if (json_object_size(delivery->seen) >= OCI_BLOBS_MAX)
			return error_set(err, ERROR_TOO_LARGE, 0, "more than %d blobs", OCI_BLOBS_MAX);
		if (verify_contents(delivery, digest, size, err) < 0)
			return error_context(err, "blob %s", digest);
		json_object_set_new(delivery->seen, digest, json_true());
	}
	if (!is_manifest)
		return 0;
	if (delivery->nesting >= MAX_NESTING)
		return error_set(err, ERROR_INVALID, 0, "indexes are nested more than %d deep", MAX_NESTING);
	cleanup_json json_t *manifest = NULL;
	if (layout_read_json(delivery->dir_fd, digest, &manifest, err) < 0)
		return -1;
	delivery->nesting++;
	int result = manifest_references(manifest, verify_reference, delivery, err);
	delivery->nesting--;
	return result;
}

/* Every tagged manifest of the delivered index.json and all it refers to. */
static int verify(struct delivery *delivery, struct error **err)
{
	cleanup_json json_t *index = NULL;
	if (layout_read_index(delivery->dir_fd, &index, err) < 0)
		return -1;
	const json_t *entries = json_object_get(index, "manifests");
	for (size_t i = 0; i < json_array_size(entries); i++) {
		const json_t *entry = json_array_get(entries, i);
		const char *tag = json_string_or(json_object_get(entry, "annotations"), OCI_REF_NAME, NULL);
		const char *digest;
		int64_t size;
		if (!tag)
			continue;
		if (!layout_tag_is_valid(tag))
			return error_set(err, ERROR_INVALID, 0, "index.json: \"%s\" is no tag", tag);
		if (json_need_string(entry, "digest", &digest, err) < 0 || json_need_int(entry, "size", &size, err) < 0)
			return error_context(err, "index.json");
		if (!digest_is_valid(digest) || size < 0)
			return error_set(err, ERROR_INVALID, 0, "index.json: manifest \"%s\" is malformed", tag);
		if (verify_reference(delivery, digest, (uint64_t)size, true, err) < 0)
			return error_context(err, "manifest \"%s\"", tag);
		json_object_set_new(delivery->manifests, tag, json_string(digest));
	}
	return 0;
}

static int write_record(const struct oci_store *store, const char *name, const struct delivery *delivery, json_t **ret, struct error **err)
{
	json_t *blobs = json_array();
	const char *digest;
	json_t *value;
	json_object_foreach(delivery->seen, digest, value)
		json_array_append_new(blobs, json_string(digest));
	cleanup_json json_t *record = json_pack("{s:O, s:o}", "manifests", delivery->manifests, "blobs", blobs);
	cleanup_free char *text = json_text(record);
	cleanup_free char *path = accepted_path(store, name);
	if (file_write_atomic(path, text, strlen(text), 0600, err) < 0)
		return -1;
	*ret = STEAL(record);
	return 0;
}

/* Verifies incoming/<name> and writes its record. */
static int inspect(const struct oci_store *store, const char *name, json_t **ret_record, struct error **err)
{
	cleanup_fd int dir_fd = open_taken(store->incoming_fd, name, err);
	cleanup_fd int outer_fd = dir_fd < 0 ? -1 : open_taken(dir_fd, "blobs", err);
	cleanup_fd int blobs_fd = outer_fd < 0 ? -1 : open_taken(outer_fd, "sha256", err);
	if (blobs_fd < 0)
		return -1;
	cleanup_json json_t *seen = json_object();
	cleanup_json json_t *manifests = json_object();
	cleanup_free unsigned char *bytes = xmalloc(COPY_BYTES);
	struct delivery delivery = {.dir_fd = dir_fd, .blobs_fd = blobs_fd, .seen = seen, .manifests = manifests, .bytes = bytes};
	if (verify(&delivery, err) < 0)
		return -1;
	return write_record(store, name, &delivery, ret_record, err);
}

/* Renames what still lies in the folder; the rest must have arrived before. */
static int move_blobs(const struct oci_store *store, const char *name, const json_t *record, struct error **err)
{
	const json_t *blobs = json_object_get(record, "blobs");
	for (size_t i = 0; i < json_array_size(blobs); i++) {
		const char *digest = json_string_value(json_array_get(blobs, i));
		if (!digest || !digest_is_valid(digest))
			return error_set(err, ERROR_INTERNAL, 0, "its record is damaged");
		cleanup_free char *from = xasprintf("%s/blobs/sha256/%s", name, digest_hex(digest));
		/* A blob that is there already has the same contents: replacing it changes nothing. */
		if (renameat(store->incoming_fd, from, store->blobs_fd, digest_hex(digest)) == 0)
			continue;
		if (errno != ENOENT)
			return error_set(err, ERROR_IO, errno, "cannot move blob %s", digest);
		if (!oci_blob_exists(store, digest))
			return error_set(err, ERROR_IO, 0, "blob %s vanished before it could be moved", digest);
	}
	if (fsync(store->blobs_fd) < 0)
		return error_set(err, ERROR_IO, errno, "cannot sync the store");
	cleanup_free char *dir = delivery_path(store, name);
	return tree_remove(dir, err);
}

static int accept_delivery(struct oci_store *store, const char *name, json_t **ret_record, struct error **err)
{
	cleanup_free char *path = accepted_path(store, name);
	cleanup_json json_t *record = NULL;
	if (path_exists(path)) {
		if (json_read(path, ACCEPTED_MAX, &record, err) < 0)
			return -1;
	} else if (inspect(store, name, &record, err) < 0) {
		return -1;
	}
	pthread_mutex_lock(&store->lock);
	int moved = move_blobs(store, name, record, err);
	pthread_mutex_unlock(&store->lock);
	if (moved < 0)
		return -1;
	*ret_record = STEAL(record);
	return 0;
}

int oci_incoming_accept(struct oci_store *store, const char *name, const char *tag, char ret_manifest[DIGEST_SIZE], struct error **err)
{
	cleanup_json json_t *record = NULL;
	if (check_name(name, err) < 0)
		return -1;
	if (accept_delivery(store, name, &record, err) < 0)
		return error_context(err, "incoming %s", name);
	const char *digest = json_string_or(json_object_get(record, "manifests"), tag, NULL);
	if (!digest)
		return error_set(err, ERROR_NOT_FOUND, 0, "incoming %s: no manifest named \"%s\" was delivered", name, tag);
	snprintf(ret_manifest, DIGEST_SIZE, "%s", digest);
	return 0;
}
