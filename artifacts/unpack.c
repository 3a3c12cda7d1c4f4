#include "artifacts/unpack.h"

#include "artifacts/layer_read.h"
#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define MAX_PARTS 256 /* directories in one name */
#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"

const struct unpack_limits unpack_default_limits = {.max_bytes = (uint64_t)256 << 30, .max_entries = 2000000};

int descriptor_read(const json_t *json, struct oci_descriptor *ret, struct error **err)
{
	const char *media_type, *digest;
	int64_t size;
	if (json_need_string(json, "mediaType", &media_type, err) < 0 || json_need_string(json, "digest", &digest, err) < 0 ||
	    json_need_int(json, "size", &size, err) < 0)
		return error_context(err, "descriptor");
	if (!digest_is_valid(digest) || size < 0)
		return error_set(err, ERROR_INVALID, 0, "descriptor of \"%s\" is malformed (sha256 digests only)", digest);
	*ret = (struct oci_descriptor){.size = (uint64_t)size, .media_type = media_type};
	snprintf(ret->digest, DIGEST_SIZE, "%s", digest);
	return 0;
}

/* "./a//b/" gives "a/b"; the root itself gives "". */
static int normalize(const char *raw, char **ret, struct error **err)
{
	if (!raw)
		return error_set(err, ERROR_INVALID, 0, "an entry has no readable name");
	if (raw[0] == '/')
		return error_set(err, ERROR_INVALID, 0, "\"%s\" is an absolute name", raw);
	if (strlen(raw) >= PATH_MAX)
		return error_set(err, ERROR_INVALID, 0, "\"%.100s...\" is too long for a name", raw);
	cleanup_free char *name = xmalloc(strlen(raw) + 1);
	size_t len = 0;
	unsigned parts = 0;
	for (const char *part = raw; *part;) {
		size_t n = strcspn(part, "/");
		if (n == 2 && part[0] == '.' && part[1] == '.')
			return error_set(err, ERROR_INVALID, 0, "\"%s\" leaves its directory", raw);
		if (n > 0 && !(n == 1 && part[0] == '.')) {
			if (len)
				name[len++] = '/';
			memcpy(name + len, part, n);
			len += n;
			parts++;
		}
		part += n + (part[n] == '/');
	}
	name[len] = '\0';
	if (parts > MAX_PARTS)
		return error_set(err, ERROR_INVALID, 0, "\"%.100s...\" is more than %d directories deep", raw, MAX_PARTS);
	*ret = STEAL(name);
	return 0;
}

static int open_beneath(int root_fd, const char *path)
{
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	long fd;
	do
		fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return (int)fd;
}

static int dir_error(int errnum, const char *path, struct error **err)
{
	if (errnum == ELOOP || errnum == EXDEV)
		return error_set(err, ERROR_INVALID, 0, "%s goes through a symbolic link", path);
	if (errnum == ENOTDIR)
		return error_set(err, ERROR_CONFLICT, 0, "%s is no directory", path);
	return error_set(err, ERROR_IO, errnum, "cannot open directory %s", path);
}

/* Opens the directory `path` ("": the root), making what is missing of it. */
static int open_dir(const struct unpack *unpack, const char *path, struct error **err)
{
	int fd = open_beneath(unpack->root_fd, path[0] ? path : ".");
	if (fd >= 0)
		return fd;
	if (errno != ENOENT)
		return dir_error(errno, path, err);
	cleanup_free char *made = xstrdup(path);
	for (char *slash = strchr(made, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		const char *last = strrchr(made, '/');
		cleanup_free char *parent = last ? xstrndup(made, (size_t)(last - made)) : xstrdup(".");
		cleanup_fd int parent_fd = open_beneath(unpack->root_fd, parent);
		if (parent_fd < 0)
			return dir_error(errno, made, err);
		const char *name = last ? last + 1 : made;
		if (mkdirat(parent_fd, name, 0755) == 0) {
			if (fchmodat(parent_fd, name, 0755, 0) < 0) /* whatever the umask is */
				return dir_error(errno, made, err);
		} else if (errno != EEXIST) {
			return dir_error(errno, made, err);
		}
		if (!slash)
			break;
		*slash = '/';
	}
	fd = open_beneath(unpack->root_fd, path);
	return fd >= 0 ? fd : dir_error(errno, path, err);
}

/* Opens the parent directory of a normalized name that is not the root; *ret_last points into name. */
static int open_parent(const struct unpack *unpack, const char *name, const char **ret_last, struct error **err)
{
	const char *slash = strrchr(name, '/');
	cleanup_free char *parent = slash ? xstrndup(name, (size_t)(slash - name)) : xstrdup("");
	*ret_last = slash ? slash + 1 : name;
	return open_dir(unpack, parent, err);
}

static int remove_tree(const struct unpack *unpack, const char *name, struct error **err)
{
	/* By path: the parents were just opened without links, and nobody else works here. */
	cleanup_free char *path = path_join(unpack->root, name);
	return tree_remove(path, err);
}

/* Makes room for something other than a directory. */
static int make_room(const struct unpack *unpack, int dir_fd, const char *last, const char *name, struct error **err)
{
	struct stat st;
	if (fstatat(dir_fd, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_set(err, ERROR_IO, errno, "cannot look at %s", name);
	if (unpack->existing == UNPACK_REPLACE)
		return remove_tree(unpack, name, err);
	if (S_ISDIR(st.st_mode) || unpack->existing == UNPACK_SAME_ONLY)
		return error_set(err, ERROR_CONFLICT, 0, "%s exists already", name);
	if (unlinkat(dir_fd, last, 0) < 0)
		return error_set(err, ERROR_IO, errno, "cannot replace %s", name);
	return 0;
}

static int unpack_dir(const struct unpack *unpack, const char *name, mode_t mode, struct error **err)
{
	if (!name[0])
		return 0;
	const char *last;
	cleanup_fd int dir_fd = open_parent(unpack, name, &last, err);
	if (dir_fd < 0)
		return -1;
	struct stat st;
	bool exists = fstatat(dir_fd, last, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (exists && S_ISDIR(st.st_mode)) {
		if (unpack->existing != UNPACK_REPLACE)
			return 0;
	} else if (exists && unpack->existing != UNPACK_REPLACE) {
		return error_set(err, ERROR_CONFLICT, 0, "%s exists already and is no directory", name);
	} else {
		if (exists && remove_tree(unpack, name, err) < 0)
			return -1;
		if (mkdirat(dir_fd, last, 0700) < 0)
			return error_set(err, ERROR_IO, errno, "cannot make directory %s", name);
	}
	/* It is a directory and no link, as was just seen, so following is not possible. Its owner can always write. */
	if (fchmodat(dir_fd, last, (mode & 0777) | 0700, 0) < 0)
		return error_set(err, ERROR_IO, errno, "cannot set the mode of %s", name);
	return 0;
}

static int write_at(int fd, const void *bytes, size_t len, uint64_t offset, struct error **err)
{
	for (const char *from = bytes; len > 0;) {
		ssize_t n = pwrite(fd, from, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, ERROR_IO, errno, "write");
		from += n;
		len -= (size_t)n;
		offset += (size_t)n;
	}
	return 0;
}

static int write_contents(struct layer_reader *reader, int fd, uint64_t size, struct error **err)
{
	const void *bytes;
	size_t len;
	uint64_t offset;
	int more;
	while ((more = layer_reader_data(reader, &bytes, &len, &offset, err)) > 0) {
		if (offset > size || len > size - offset)
			return error_set(err, ERROR_INVALID, 0, "holds more than its %llu bytes", (unsigned long long)size);
		if (write_at(fd, bytes, len, offset, err) < 0)
			return -1;
	}
	return more;
}

/* Compares contents with a file that is there. 0 the same, 1 different, -1. */
static int differs(struct layer_reader *reader, int fd, struct error **err)
{
	cleanup_free unsigned char *own = NULL;
	size_t capacity = 0;
	const void *bytes;
	size_t len;
	uint64_t offset;
	int more;
	while ((more = layer_reader_data(reader, &bytes, &len, &offset, err)) > 0) {
		own = xgrow(own, &capacity, len + 1, 1);
		for (size_t have = 0; have < len;) {
			ssize_t n = pread(fd, own + have, len - have, (off_t)(offset + have));
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return error_set(err, ERROR_IO, errno, "read");
			if (n == 0)
				return 1;
			have += (size_t)n;
		}
		if (memcmp(own, bytes, len) != 0)
			return 1;
	}
	return more;
}

/* 1 if a file with just these contents is there already, 0 if nothing is there, -1. */
static int is_there(struct layer_reader *reader, int dir_fd, const char *last, uint64_t size, const char *name, struct error **err)
{
	struct stat st;
	if (fstatat(dir_fd, last, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return 0;
	cleanup_fd int fd = openat(dir_fd, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size) {
		int different = differs(reader, fd, err);
		if (different <= 0)
			return different < 0 ? -1 : 1;
	}
	return error_set(err, ERROR_CONFLICT, 0, "%s exists already with other contents", name);
}

static int unpack_file(const struct unpack *unpack, struct layer_reader *reader, const char *name, mode_t mode, uint64_t size,
		       struct error **err)
{
	const char *last;
	cleanup_fd int dir_fd = open_parent(unpack, name, &last, err);
	if (dir_fd < 0)
		return -1;
	if (unpack->existing == UNPACK_SAME_ONLY) {
		int there = is_there(reader, dir_fd, last, size, name, err);
		if (there != 0)
			return there < 0 ? -1 : 0;
	}
	if (make_room(unpack, dir_fd, last, name, err) < 0)
		return -1;
	cleanup_fd int fd = openat(dir_fd, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot create %s", name);
	if (write_contents(reader, fd, size, err) < 0)
		return error_context(err, "%s", name);
	if (ftruncate(fd, (off_t)size) < 0 || fchmod(fd, mode & 0777) < 0 || close(steal_fd(&fd)) < 0)
		return error_set(err, ERROR_IO, errno, "cannot write %s", name);
	return 0;
}

static int unpack_symlink(const struct unpack *unpack, const char *name, const char *target, struct error **err)
{
	if (!target || !target[0])
		return error_set(err, ERROR_INVALID, 0, "symbolic link %s has no readable target", name);
	const char *last;
	cleanup_fd int dir_fd = open_parent(unpack, name, &last, err);
	if (dir_fd < 0)
		return -1;
	char found[PATH_MAX];
	ssize_t len = unpack->existing == UNPACK_SAME_ONLY ? readlinkat(dir_fd, last, found, sizeof(found)) : -1;
	if (len >= 0 && (size_t)len == strlen(target) && memcmp(found, target, (size_t)len) == 0)
		return 0;
	if (make_room(unpack, dir_fd, last, name, err) < 0)
		return -1;
	if (symlinkat(target, dir_fd, last) < 0)
		return error_set(err, ERROR_IO, errno, "cannot make symbolic link %s", name);
	return 0;
}

static int unpack_hardlink(const struct unpack *unpack, const char *name, const char *raw_target, struct error **err)
{
	cleanup_free char *target = NULL;
	if (normalize(raw_target, &target, err) < 0)
		return error_context(err, "hard link %s", name);
	if (strcmp(target, name) == 0)
		return 0;
	const char *last, *target_last;
	cleanup_fd int dir_fd = open_parent(unpack, name, &last, err);
	cleanup_fd int target_fd = dir_fd < 0 || !target[0] ? -1 : open_parent(unpack, target, &target_last, err);
	if (dir_fd < 0 || (target[0] && target_fd < 0))
		return -1;
	struct stat st;
	if (!target[0] || fstatat(target_fd, target_last, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, ERROR_INVALID, 0, "hard link %s points at %s, which is no file of the archive", name, raw_target);
	if (make_room(unpack, dir_fd, last, name, err) < 0)
		return -1;
	if (linkat(target_fd, target_last, dir_fd, last, 0) < 0)
		return error_set(err, ERROR_IO, errno, "cannot link %s to %s", name, target);
	return 0;
}

static int take_entry(struct unpack *unpack, struct archive_entry *entry, struct error **err)
{
	if (unpack->left.max_entries == 0)
		return error_set(err, ERROR_TOO_LARGE, 0, "more entries than are allowed");
	unpack->left.max_entries--;
	/* Sparse files declare more than the archive holds. */
	la_int64_t size = archive_entry_size(entry);
	if (size < 0 || (uint64_t)size > unpack->left.max_bytes)
		return error_set(err, ERROR_TOO_LARGE, 0, "%s has %lld bytes, more than are allowed",
				 archive_entry_pathname(entry) ? archive_entry_pathname(entry) : "an entry", (long long)size);
	return 0;
}

/* The last part of a normalized name if it is a whiteout, else NULL. */
static const char *whiteout_of(const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *last = slash ? slash + 1 : name;
	return strncmp(last, WHITEOUT, sizeof(WHITEOUT) - 1) == 0 ? last : NULL;
}

static int unpack_entry(struct unpack *unpack, struct layer_reader *reader, struct archive_entry *entry, struct error **err)
{
	cleanup_free char *name = NULL;
	if (take_entry(unpack, entry, err) < 0 || normalize(archive_entry_pathname(entry), &name, err) < 0)
		return -1;
	if (unpack->existing == UNPACK_REPLACE && whiteout_of(name))
		return 0;
	mode_t type = archive_entry_filetype(entry), mode = archive_entry_perm(entry);
	if (!name[0] && type != AE_IFDIR)
		return error_set(err, ERROR_INVALID, 0, "an entry would replace the root directory");
	if (archive_entry_hardlink(entry))
		return unpack_hardlink(unpack, name, archive_entry_hardlink(entry), err);
	if (type == AE_IFDIR)
		return unpack_dir(unpack, name, mode, err);
	if (type == AE_IFREG)
		return unpack_file(unpack, reader, name, mode, (uint64_t)archive_entry_size(entry), err);
	if (type == AE_IFLNK)
		return unpack_symlink(unpack, name, archive_entry_symlink(entry), err);
	return error_set(err, ERROR_INVALID, 0, "%s is a device, FIFO or socket; only files, directories and links are unpacked", name);
}

int unpack_layer(struct unpack *unpack, const struct oci_descriptor *layer, const char *diff_id, struct error **err)
{
	cleanup_layer_reader struct layer_reader *reader = NULL;
	if (layer_reader_new(unpack->layout_fd, layer, diff_id, unpack->left.max_bytes, &reader, err) < 0)
		return -1;
	struct archive_entry *entry;
	int more;
	while ((more = layer_reader_next(reader, &entry, err)) > 0)
		if (unpack_entry(unpack, reader, entry, err) < 0)
			return error_context(err, "unpack");
	if (more < 0 || layer_reader_finish(reader, err) < 0)
		return -1;
	unpack->left.max_bytes -= layer_reader_plain_bytes(reader);
	return 0;
}

/* Empties a directory that an opaque whiteout names. */
static int remove_children(const struct unpack *unpack, int dir_fd, const char *parent, struct error **err)
{
	int own = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *dir = own < 0 ? NULL : fdopendir(own);
	if (!dir) {
		int errnum = errno;
		if (own >= 0)
			close(own);
		return error_set(err, ERROR_IO, errnum, "cannot read directory %s", parent);
	}
	cleanup_strlist struct strlist names = {0};
	const struct dirent *entry;
	for (errno = 0; (entry = readdir(dir)); errno = 0)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			strlist_add(&names, entry->d_name);
	if (errno)
		return error_set(err, ERROR_IO, errno, "cannot read directory %s", parent);
	for (size_t i = 0; i < names.n; i++) {
		cleanup_free char *path = parent[0] ? path_join(parent, names.items[i]) : xstrdup(names.items[i]);
		if (remove_tree(unpack, path, err) < 0)
			return -1;
	}
	return 0;
}

static int apply_whiteout(const struct unpack *unpack, const char *name, const char *last, struct error **err)
{
	cleanup_free char *parent = xstrndup(name, last == name ? 0 : (size_t)(last - name - 1));
	const char *target = last + sizeof(WHITEOUT) - 1;
	bool opaque = strcmp(last, OPAQUE) == 0;
	if (!opaque && strncmp(target, WHITEOUT, sizeof(WHITEOUT) - 1) == 0)
		return 0; /* Other ".wh..wh." names are bookkeeping of old union file systems. */
	if (!target[0] || strcmp(target, ".") == 0 || strcmp(target, "..") == 0)
		return error_set(err, ERROR_INVALID, 0, "%s is no valid whiteout", name);
	cleanup_fd int dir_fd = open_beneath(unpack->root_fd, parent[0] ? parent : ".");
	if (dir_fd < 0) /* Nothing is there that could be deleted. */
		return errno == ENOENT ? 0 : dir_error(errno, parent, err);
	if (opaque)
		return remove_children(unpack, dir_fd, parent, err);
	cleanup_free char *path = parent[0] ? path_join(parent, target) : xstrdup(target);
	return remove_tree(unpack, path, err);
}

int unpack_whiteouts(struct unpack *unpack, const struct oci_descriptor *layer, struct error **err)
{
	cleanup_layer_reader struct layer_reader *reader = NULL;
	if (layer_reader_new(unpack->layout_fd, layer, NULL, unpack->left.max_bytes, &reader, err) < 0)
		return -1;
	struct archive_entry *entry;
	uint64_t entries = 0;
	int more;
	while ((more = layer_reader_next(reader, &entry, err)) > 0) {
		cleanup_free char *name = NULL;
		if (++entries > unpack->left.max_entries)
			return error_set(err, ERROR_TOO_LARGE, 0, "unpack: more entries than are allowed");
		if (normalize(archive_entry_pathname(entry), &name, err) < 0)
			return error_context(err, "unpack");
		const char *last = whiteout_of(name);
		if (last && apply_whiteout(unpack, name, last, err) < 0)
			return error_context(err, "unpack");
	}
	return more < 0 ? -1 : 0;
}
