#include "runner/git/git_priv.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

int tree_writer_open(struct tree_writer *writer, const struct checkout *what, struct error **err)
{
	if (dir_make(what->to, 0755, err) < 0)
		return -1;
	*writer = (struct tree_writer){.what = what, .dir_fd = open(what->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	return writer->dir_fd < 0 ? error_set(err, ERROR_IO, errno, "cannot open %s", what->to) : 0;
}

void tree_writer_close(struct tree_writer *writer)
{
	if (writer->dir_fd >= 0)
		close(writer->dir_fd);
	writer->dir_fd = -1;
}

static bool names_git(const char *path)
{
	for (const char *part = path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
		if (strncasecmp(part, ".git", 4) == 0 && (part[4] == '/' || part[4] == '\0'))
			return true;
	return false;
}

/* "model/" owns all below it, "out/x.csv" itself. */
static bool is_excluded(const char *const *exclude, const char *path)
{
	for (size_t i = 0; exclude && exclude[i]; i++) {
		size_t len = strlen(exclude[i]);
		while (len > 0 && exclude[i][len - 1] == '/')
			len--;
		if (len > 0 && strncmp(path, exclude[i], len) == 0 && (path[len] == '/' || path[len] == '\0'))
			return true;
	}
	return false;
}

int tree_writer_wants(const struct tree_writer *writer, const char *path, bool *ret, struct error **err)
{
	if (!path_is_inside(path) || names_git(path))
		return error_set(err, ERROR_INVALID, 0, "the tree has a path that no checkout may write");
	*ret = globs_match(&writer->what->include, path) && !is_excluded(writer->what->exclude, path);
	return 0;
}

static int make_parents(int dir_fd, const char *path, struct error **err)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *parent = slash ? xstrndup(path, (size_t)(slash - path)) : NULL;
	return parent ? dir_make_beneath(dir_fd, parent, 0755, err) : 0;
}

static int open_new(const struct tree_writer *writer, const char *path, bool executable, struct error **err)
{
	if (make_parents(writer->dir_fd, path, err) < 0)
		return -1;
	return file_open_beneath(writer->dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, executable ? 0755 : 0644, err);
}

int tree_writer_file(const struct tree_writer *writer, const char *path, const void *bytes, size_t len, bool executable, struct error **err)
{
	cleanup_fd int fd = open_new(writer, path, executable, err);
	if (fd < 0 || fd_write_all(fd, bytes, len, err) < 0)
		return error_context(err, "%s", path);
	if (fchmod(fd, executable ? 0755 : 0644) < 0)
		return error_set(err, ERROR_IO, errno, "cannot set the mode of %s", path);
	return 0;
}

int tree_writer_copy(const struct tree_writer *writer, const char *path, const char *from, struct error **err)
{
	cleanup_fd int in = open(from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (in < 0 || fstat(in, &st) < 0)
		return error_set(err, ERROR_IO, errno, "cannot read %s", from);
	bool executable = st.st_mode & 0100;
	cleanup_fd int out = open_new(writer, path, executable, err);
	if (out < 0)
		return error_context(err, "%s", path);
	/* copy_file_range shares blocks where the file system can. */
	for (ssize_t n; (n = copy_file_range(in, NULL, out, NULL, 1 << 30, 0)) != 0;)
		if (n < 0) {
			if (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)
				break;
			return error_set(err, ERROR_IO, errno, "cannot copy %s", path);
		}
	static char bytes[1 << 16];
	for (ssize_t n; (n = read(in, bytes, sizeof(bytes))) != 0;)
		if (n < 0 || fd_write_all(out, bytes, (size_t)n, err) < 0)
			return n < 0 ? error_set(err, ERROR_IO, errno, "cannot read %s", from) : error_context(err, "%s", path);
	return fchmod(out, executable ? 0755 : 0644) < 0 ? error_set(err, ERROR_IO, errno, "cannot set the mode of %s", path) : 0;
}

/* The link's own folder is a real one, so every ".." at the target's beginning climbs exactly one step, never above the tree. Behind a name
 * there may be none: the name can be a link itself, and what ".." means there is not in the letters. */
static bool link_stays_inside(const char *path, const char *target)
{
	int depth = 0;
	bool named = false;
	if (target[0] == '/' || target[0] == '\0')
		return false;
	for (const char *p = path; (p = strchr(p, '/')); p++)
		depth++;
	for (const char *part = target; *part;) {
		size_t len = strcspn(part, "/");
		if (len == 2 && memcmp(part, "..", 2) == 0) {
			if (named || --depth < 0)
				return false;
		} else if (len > 0 && !(len == 1 && part[0] == '.')) {
			named = true;
		}
		part += len;
		part += strspn(part, "/");
	}
	return true;
}

int tree_writer_link(const struct tree_writer *writer, const char *path, const char *target, struct error **err)
{
	if (!link_stays_inside(path, target)) {
		fprintf(stderr, "note: %s is a link that points outside the repository; it was left out\n", path);
		return 0;
	}
	if (make_parents(writer->dir_fd, path, err) < 0)
		return -1;
	const char *slash = strrchr(path, '/');
	cleanup_free char *parent = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
	cleanup_fd int dir = slash ? file_open_beneath(writer->dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, err) : dup(writer->dir_fd);
	if (dir < 0)
		return error_context(err, "%s", path);
	return symlinkat(target, dir, slash ? slash + 1 : path) < 0 ? error_set(err, ERROR_IO, errno, "cannot make the link %s", path) : 0;
}

int refuse_lfs_pointer(const char *path, const void *bytes, size_t len, struct error **err)
{
	static const char head[] = "version https://git-lfs.github.com/spec/v1\n";
	if (len >= 1024 || len < sizeof(head) - 1 || memcmp(bytes, head, sizeof(head) - 1) != 0)
		return 0;
	return error_set(err, ERROR_UNSUPPORTED, 0,
			 "%s is a Git LFS pointer, its content is not in the repository; Git LFS is not available in this build: "
			 "commit the file itself, or name `inputs` without it",
			 path);
}
