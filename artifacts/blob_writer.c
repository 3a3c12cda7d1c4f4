#include "artifacts/layout.h"
#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

struct blob_writer {
	char *dir;   /* blobs/sha256 */
	char *aside; /* ".part-..." in it; NULL once it has its name */
	int fd;
	struct sha256 *hash;
	uint64_t size;
};

int blob_writer_new(const char *layout, struct blob_writer **ret, struct error **err)
{
	cleanup_blob struct blob_writer *writer = xcalloc(1, sizeof(*writer));
	char random[17];
	random_hex(8, random);
	writer->fd = -1;
	writer->hash = sha256_new();
	writer->dir = path_join(layout, "blobs/sha256");
	cleanup_free char *aside = xasprintf("%s/.part-%s", writer->dir, random);
	writer->fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (writer->fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot create a blob in %s", writer->dir);
	writer->aside = STEAL(aside);
	*ret = STEAL(writer);
	return 0;
}

int blob_write(struct blob_writer *writer, const void *bytes, size_t len, struct error **err)
{
	sha256_update(writer->hash, bytes, len);
	writer->size += len;
	if (fd_write_all(writer->fd, bytes, len, err) < 0)
		return error_context(err, "cannot write a blob in %s", writer->dir);
	return 0;
}

int blob_commit(struct blob_writer *writer, char ret_digest[DIGEST_SIZE], uint64_t *ret_size, struct error **err)
{
	uint8_t raw[SHA256_BYTES];
	char digest[DIGEST_SIZE];
	sha256_final(writer->hash, raw);
	digest_from_raw(raw, digest);
	if (fchmod(writer->fd, 0644) < 0 || fsync(writer->fd) < 0 || close(steal_fd(&writer->fd)) < 0)
		return error_set(err, ERROR_IO, errno, "cannot write blob %s in %s", digest, writer->dir);
	cleanup_free char *path = path_join(writer->dir, digest_hex(digest));
	if (rename(writer->aside, path) < 0)
		return error_set(err, ERROR_IO, errno, "cannot name blob %s in %s", digest, writer->dir);
	free(STEAL(writer->aside));
	if (dir_sync(writer->dir, err) < 0)
		return -1;
	snprintf(ret_digest, DIGEST_SIZE, "%s", digest);
	*ret_size = writer->size;
	return 0;
}

void blob_writer_free(struct blob_writer *writer)
{
	if (!writer)
		return;
	if (writer->fd >= 0)
		close(writer->fd);
	if (writer->aside)
		unlink(writer->aside);
	sha256_free(writer->hash);
	free(writer->aside);
	free(writer->dir);
	free(writer);
}
