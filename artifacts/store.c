#include "artifacts/store_priv.h"

#include "artifacts/layout.h"
#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>

static int open_dir_in(int dir_fd, const char *name, struct error **err)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open directory %s", name);
	return fd;
}

DEFINE_CLEANUP(struct oci_store, oci_store_free);

int oci_store_open(const char *path, struct oci_store **ret, struct error **err)
{
	__attribute__((cleanup(oci_store_free_scoped))) struct oci_store *store = xcalloc(1, sizeof(*store));
	store->fd = store->blobs_fd = store->incoming_fd = -1;
	pthread_mutex_init(&store->lock, NULL);
	store->path = xstrdup(path);
	cleanup_free char *incoming = path_join(path, "incoming");
	if (layout_make(path, err) < 0 || dir_make(incoming, 0755, err) < 0 || (store->fd = layout_open(path, err)) < 0 ||
	    (store->blobs_fd = open_dir_in(store->fd, "blobs/sha256", err)) < 0 ||
	    (store->incoming_fd = open_dir_in(store->fd, "incoming", err)) < 0)
		return error_context(err, "artifact store %s", path);
	*ret = STEAL(store);
	return 0;
}

void oci_store_free(struct oci_store *store)
{
	if (!store)
		return;
	const int fds[] = {store->fd, store->blobs_fd, store->incoming_fd};
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	pthread_mutex_destroy(&store->lock);
	free(store->path);
	free(store);
}

const char *oci_store_path(const struct oci_store *store)
{
	return store->path;
}

char *oci_blob_path(const struct oci_store *store, const char *digest)
{
	return layout_blob_path(store->path, digest);
}

bool oci_blob_exists(const struct oci_store *store, const char *digest)
{
	return digest_is_valid(digest) && faccessat(store->blobs_fd, digest_hex(digest), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int oci_manifest_read(const struct oci_store *store, const char *digest, json_t **ret, struct error **err)
{
	return layout_read_json(store->fd, digest, ret, err);
}

static int tag_manifest(struct oci_store *store, const char *tag, const char *digest, struct error **err)
{
	if (!digest)
		return layout_set_tag(store->path, tag, NULL, err);
	cleanup_json json_t *manifest = NULL;
	if (layout_read_json(store->fd, digest, &manifest, err) < 0)
		return -1;
	/* The blob was just read and compared, so its size is that of the digest's contents. */
	cleanup_free char *path = layout_blob_path(store->path, digest);
	struct oci_descriptor descriptor;
	if (digest_of_file(path, descriptor.digest, &descriptor.size, err) < 0)
		return -1;
	descriptor.media_type = json_string_or(manifest, "mediaType", OCI_MANIFEST);
	return layout_set_tag(store->path, tag, &descriptor, err);
}

int oci_store_tag(struct oci_store *store, const char *tag, const char *manifest_digest, struct error **err)
{
	pthread_mutex_lock(&store->lock);
	int result = tag_manifest(store, tag, manifest_digest, err);
	pthread_mutex_unlock(&store->lock);
	return result < 0 ? error_context(err, "tag \"%s\"", tag) : 0;
}
