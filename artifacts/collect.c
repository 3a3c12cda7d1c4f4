#include "artifacts/layout.h"
#include "artifacts/store_priv.h"
#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#define MAX_NESTING 4

struct marks {
	const struct oci_store *store;
	json_t *digests; /* digest -> true, of all that stays */
	unsigned nesting;
};

static int mark(void *arg, const char *digest, uint64_t size, bool is_manifest, struct error **err)
{
	struct marks *marks = arg;
	(void)size;
	if (json_object_get(marks->digests, digest))
		return 0;
	json_object_set_new(marks->digests, digest, json_true());
	if (!is_manifest || !oci_blob_exists(marks->store, digest))
		return 0;
	if (marks->nesting >= MAX_NESTING)
		return error_set(err, ERROR_INVALID, 0, "indexes are nested more than %d deep", MAX_NESTING);
	cleanup_json json_t *manifest = NULL;
	/* A manifest that cannot be read must stop us: we would delete all it refers to. */
	if (layout_read_json(marks->store->fd, digest, &manifest, err) < 0)
		return -1;
	marks->nesting++;
	int result = manifest_references(manifest, mark, marks, err);
	marks->nesting--;
	return result < 0 ? error_context(err, "manifest %s", digest) : 0;
}

/* Does the database know all manifests of an accepted delivery? Then its record has served. */
static bool is_known(const json_t *record, const json_t *roots)
{
	const char *tag;
	json_t *digest;
	json_object_foreach((json_t *)json_object_get(record, "manifests"), tag, digest)
		if (!json_string_value(digest) || !json_object_get(roots, json_string_value(digest)))
			return false;
	return true;
}

static int mark_record(struct marks *marks, const char *name, const json_t *roots, struct error **err)
{
	cleanup_free char *path = xasprintf("%s/incoming/%s", marks->store->path, name);
	cleanup_free char *dir = xstrndup(path, strlen(path) - strlen(ACCEPTED_SUFFIX));
	cleanup_json json_t *record = NULL;
	if (json_read(path, ACCEPTED_MAX, &record, err) < 0)
		return -1;
	if (is_known(record, roots) && !path_exists(dir)) {
		if (unlink(path) < 0)
			return error_set(err, ERROR_IO, errno, "cannot remove %s", path);
		return 0;
	}
	const json_t *blobs = json_object_get(record, "blobs");
	for (size_t i = 0; i < json_array_size(blobs); i++)
		json_object_set_new(marks->digests, json_string_value(json_array_get(blobs, i)), json_true());
	return 0;
}

static bool ends_with(const char *text, const char *suffix)
{
	size_t len = strlen(text), n = strlen(suffix);
	return len > n && strcmp(text + len - n, suffix) == 0;
}

/* Names in a directory of the store; "." and ".." left out. */
static int list(int dir_fd, const char *path, struct strlist *ret, struct error **err)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int errnum = errno;
		if (fd >= 0)
			close(fd);
		return error_set(err, ERROR_IO, errnum, "cannot read %s", path);
	}
	const struct dirent *entry;
	for (errno = 0; (entry = readdir(dir)); errno = 0)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			strlist_add(ret, entry->d_name);
	if (errno)
		return error_set(err, ERROR_IO, errno, "cannot read %s", path);
	return 0;
}

static int mark_all(struct marks *marks, const char *const *roots, size_t n_roots, struct error **err)
{
	cleanup_json json_t *known = json_object();
	for (size_t i = 0; i < n_roots; i++) {
		if (!digest_is_valid(roots[i]))
			return error_set(err, ERROR_INVALID, 0, "root \"%s\" is no digest", roots[i]);
		json_object_set_new(known, roots[i], json_true());
		if (mark(marks, roots[i], 0, true, err) < 0)
			return -1;
	}
	cleanup_strlist struct strlist names = {0};
	if (list(marks->store->fd, "incoming", &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++)
		if (ends_with(names.items[i], ACCEPTED_SUFFIX) && mark_record(marks, names.items[i], known, err) < 0)
			return -1;
	return 0;
}

/* Tags of manifests that go: first, so that index.json never names what is not there. */
static int drop_tags(const struct marks *marks, struct error **err)
{
	cleanup_json json_t *index = NULL;
	if (layout_read_index(marks->store->fd, &index, err) < 0)
		return -1;
	json_t *manifests = json_object_get(index, "manifests");
	size_t before = json_array_size(manifests);
	for (size_t i = before; i-- > 0;) {
		const char *digest = json_string_or(json_array_get(manifests, i), "digest", "");
		if (!json_object_get(marks->digests, digest))
			json_array_remove(manifests, i);
	}
	return json_array_size(manifests) == before ? 0 : layout_write_index(marks->store->path, manifests, err);
}

static int sweep(const struct marks *marks, uint64_t *ret_freed, struct error **err)
{
	cleanup_strlist struct strlist names = {0};
	if (list(marks->store->fd, "blobs/sha256", &names, err) < 0)
		return -1;
	uint64_t freed = 0;
	for (size_t i = 0; i < names.n; i++) {
		char digest[DIGEST_SIZE + NAME_MAX];
		snprintf(digest, sizeof(digest), "sha256:%s", names.items[i]);
		struct stat st;
		if (!digest_is_valid(digest) || json_object_get(marks->digests, digest))
			continue;
		if (fstatat(marks->store->blobs_fd, names.items[i], &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    unlinkat(marks->store->blobs_fd, names.items[i], 0) < 0)
			return error_set(err, ERROR_IO, errno, "cannot delete blob %s", digest);
		freed += (uint64_t)st.st_size;
	}
	*ret_freed = freed;
	return 0;
}

int oci_store_collect(struct oci_store *store, const char *const *roots, size_t n_roots, uint64_t *ret_freed_bytes, struct error **err)
{
	cleanup_json json_t *digests = json_object();
	struct marks marks = {.store = store, .digests = digests};
	pthread_mutex_lock(&store->lock);
	int result = mark_all(&marks, roots, n_roots, err);
	if (result == 0)
		result = drop_tags(&marks, err);
	if (result == 0)
		result = sweep(&marks, ret_freed_bytes, err);
	pthread_mutex_unlock(&store->lock);
	return result < 0 ? error_context(err, "collect") : 0;
}
