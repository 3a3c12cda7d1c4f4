#include "base/file.h"

#include "base/alloc.h"
#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static enum error_code code_of_errno(int errnum)
{
	return errnum == ENOENT || errnum == ENOTDIR ? ERROR_NOT_FOUND : ERROR_IO;
}

static int read_error(struct error **err, int errnum, const char *path)
{
	return error_set(err, code_of_errno(errnum), errnum, "cannot read %s", path);
}

static int write_error(struct error **err, int errnum, const char *path)
{
	return error_set(err, ERROR_IO, errnum, "cannot write %s", path);
}

/* Opens for reading without blocking on a FIFO, and refuses what is no regular file. */
static int open_regular(const char *path, int flags, struct stat *st, struct error **err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
	if (fd < 0 && errno == ELOOP && (flags & O_NOFOLLOW))
		return error_set(err, ERROR_INVALID, 0, "cannot read %s: it is a symbolic link", path);
	if (fd < 0 || fstat(fd, st) < 0)
		return read_error(err, errno, path);
	if (!S_ISREG(st->st_mode))
		return error_set(err, ERROR_INVALID, 0, "cannot read %s: it is %s", path,
				 S_ISDIR(st->st_mode) ? "a directory" : "no regular file");
	return steal_fd(&fd);
}

/* Reads to the end or until max bytes are there; -1 with errno set. */
static ssize_t read_up_to(int fd, char *bytes, size_t max)
{
	size_t have = 0;
	while (have < max) {
		ssize_t n = read(fd, bytes + have, max - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

int file_read(const char *path, size_t max_bytes, char **ret_text, size_t *ret_len, struct error **err)
{
	struct stat st;
	cleanup_fd int fd = open_regular(path, 0, &st, err);
	if (fd < 0)
		return -1;
	/* The size is only a first guess: files in /proc say 0, and others may grow while we read. */
	size_t capacity = st.st_size > 0 && (uintmax_t)st.st_size < max_bytes ? (size_t)st.st_size + 1 : 4096;
	size_t have = 0;
	cleanup_free char *text = xmalloc(capacity + 1);
	for (;;) {
		ssize_t n = (uintmax_t)st.st_size > max_bytes ? 0 : read_up_to(fd, text + have, capacity - have);
		if (n < 0)
			return read_error(err, errno, path);
		have += (size_t)n;
		if (have > max_bytes || (uintmax_t)st.st_size > max_bytes)
			return error_set(err, ERROR_TOO_LARGE, 0, "cannot read %s: it is larger than %zu bytes", path, max_bytes);
		if (have < capacity)
			break;
		capacity *= 2;
		text = xrealloc(text, capacity + 1);
	}
	text[have] = '\0';
	*ret_text = STEAL(text);
	if (ret_len)
		*ret_len = have;
	return 0;
}

int fd_write_all(int fd, const void *bytes, size_t len, struct error **err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)bytes + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, ERROR_IO, errno, "write");
		done += (size_t)n;
	}
	return 0;
}

/* The directory part of a path: "a/b" gives "a", "b" gives ".", "/b" gives "/". */
static char *path_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return xstrdup(".");
	return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

static int write_synced(const char *path, const void *bytes, size_t len, mode_t mode, struct error **err)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "create %s", path);
	if (fd_write_all(fd, bytes, len, err) < 0)
		return -1;
	if (fchmod(fd, mode) < 0) /* Not by open(): the mode asked for holds whatever the umask is. */
		return error_set(err, ERROR_IO, errno, "chmod");
	if (fsync(fd) < 0)
		return error_set(err, ERROR_IO, errno, "fsync");
	if (close(steal_fd(&fd)) < 0)
		return error_set(err, ERROR_IO, errno, "close");
	return 0;
}

int file_write_atomic(const char *path, const void *bytes, size_t len, mode_t mode, struct error **err)
{
	char random[17];
	random_hex(8, random);
	cleanup_free char *aside = xasprintf("%s.%s.tmp", path, random);
	cleanup_free char *parent = path_parent(path);
	if (write_synced(aside, bytes, len, mode, err) < 0) {
		unlink(aside);
		return error_context(err, "cannot write %s", path);
	}
	if (rename(aside, path) < 0) {
		int errnum = errno;
		unlink(aside);
		return write_error(err, errnum, path);
	}
	return dir_sync(parent, err);
}

int dir_sync(const char *path, struct error **err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return error_set(err, fd < 0 ? code_of_errno(errno) : ERROR_IO, errno, "cannot sync directory %s", path);
	return 0;
}

static bool is_directory(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int dir_make(const char *path, mode_t mode, struct error **err)
{
	if (is_directory(path))
		return 0;
	cleanup_free char *part = xstrdup(path);
	for (char *p = part + 1; part[0]; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char end = *p;
		*p = '\0';
		if (mkdir(part, mode) < 0 && (errno != EEXIST || !is_directory(part)))
			return error_set(err, ERROR_IO, errno == EEXIST ? ENOTDIR : errno, "cannot make directory %s", part);
		*p = end;
		if (end == '\0')
			return 0;
	}
	return error_set(err, ERROR_INVALID, 0, "cannot make a directory without a name");
}

/* Removing trees.
 *
 * A tree that a stage made may be deeper than we have descriptors or stack, or full of unwritable directories. So nothing
 * recurses: a subdirectory found below a child of the top is moved up to be itself a child of the top, and the top is read
 * again until nothing is left. Each directory moves at most once, and two descriptors suffice. */

static int open_dir_at(int dir_fd, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir_fd, name, flags);
	if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, 0700, AT_SYMLINK_NOFOLLOW) == 0)
		fd = openat(dir_fd, name, flags);
	if (fd >= 0 && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		(void)fchmod(fd, 0700); /* If this fails, the removals in it tell. */
	return fd;
}

/* Removes one entry if that is easy: 1 removed (or gone), 0 a directory that is not empty, -1 errno. */
static int remove_entry(int dir_fd, const char *name)
{
	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 1;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	int errnum = errno;
	if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 1;
	if (errno == ENOTDIR) /* A file after all, and the first answer says why it stays. */
		errno = errnum;
	return errno == ENOTEMPTY || errno == EEXIST ? 0 : -1;
}

/* Moves a directory whose own bits may forbid it (moving rewrites its ".."). */
static int move_up(int dir_fd, const char *name, int top_fd)
{
	char fresh[40] = ".penstock-";
	random_hex(12, fresh + 10);
	if (renameat(dir_fd, name, top_fd, fresh) == 0)
		return 0;
	if (errno != EACCES || fchmodat(dir_fd, name, 0700, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	return renameat(dir_fd, name, top_fd, fresh);
}

/* Empties the directory `fd` (which it closes): its subdirectories that are not empty go up to top_fd, or, when it is the top
 * itself (top_fd < 0), are emptied in turn. -1 with errno. */
static int empty_dir(int fd, int top_fd)
{
	cleanup_dir DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -1;
	}
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry)
			return errno ? -1 : 0;
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		int removed = remove_entry(dirfd(dir), name);
		if (removed < 0)
			return -1;
		if (removed)
			continue;
		if (top_fd >= 0) {
			if (move_up(dirfd(dir), name, top_fd) < 0)
				return -1;
			continue;
		}
		int child = open_dir_at(dirfd(dir), name);
		if (child < 0 || empty_dir(child, dirfd(dir)) < 0 || unlinkat(dirfd(dir), name, AT_REMOVEDIR) < 0)
			return -1;
	}
}

int tree_remove(const char *path, struct error **err)
{
	for (;;) {
		int removed = remove_entry(AT_FDCWD, path);
		if (removed > 0)
			return 0;
		/* Entries that moved up while the top was being read may need another reading. */
		int fd = removed < 0 ? -1 : open_dir_at(AT_FDCWD, path);
		if (fd < 0 || empty_dir(fd, -1) < 0) {
			if (errno == ENOENT)
				continue;
			return error_set(err, ERROR_IO, errno, "cannot remove %s", path);
		}
	}
}

static int copy_bytes(int in, int out, struct error **err)
{
	if (ioctl(out, FICLONE, in) == 0)
		return 0;
	const size_t space = (size_t)128 * 1024;
	cleanup_free char *bytes = xmalloc(space);
	for (;;) {
		/* copy_file_range() stays in the kernel; it may refuse at any time, and then we go on by hand from there. */
		ssize_t n = copy_file_range(in, NULL, out, NULL, (size_t)1 << 30, 0);
		if (n > 0)
			continue;
		n = read_up_to(in, bytes, space);
		if (n < 0)
			return error_set(err, ERROR_IO, errno, "read");
		if (n == 0)
			return 0;
		if (fd_write_all(out, bytes, (size_t)n, err) < 0)
			return -1;
	}
}

int file_copy(const char *from, const char *to, struct error **err)
{
	struct stat st;
	cleanup_fd int in = open_regular(from, O_NOFOLLOW, &st, err);
	if (in < 0)
		return -1;
	mode_t mode = st.st_mode & S_IXUSR ? 0755 : 0644;
	cleanup_fd int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (out < 0)
		return write_error(err, errno, to);
	if (copy_bytes(in, out, err) < 0) {
		unlink(to);
		return error_context(err, "cannot copy %s to %s", from, to);
	}
	if (fchmod(out, mode) < 0 || close(steal_fd(&out)) < 0) {
		int errnum = errno;
		unlink(to);
		return write_error(err, errnum, to);
	}
	return 0;
}

bool path_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

char *path_join(const char *dir, const char *name)
{
	size_t len = strlen(dir);
	return xasprintf("%s%s%s", dir, len && dir[len - 1] != '/' ? "/" : "", name);
}

bool path_is_inside(const char *path)
{
	size_t whole = strlen(path);
	if (whole == 0 || whole >= PATH_MAX)
		return false;
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	for (const char *part = path;;) {
		size_t len = strcspn(part, "/");
		if (len == 0 || len > NAME_MAX || (len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		if (!part[len])
			return true;
		part += len + 1;
	}
}

int file_open_beneath(int dir_fd, const char *path, int flags, mode_t mode, struct error **err)
{
	if (!path_is_inside(path))
		return error_set(err, ERROR_INVALID, 0, "\"%s\" is no path inside the repository", path);
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	for (;;) {
		long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno == ELOOP || errno == EXDEV)
			return error_set(err, ERROR_DENIED, 0, "%s: it goes through a symbolic link or leaves its directory", path);
		if (errno != EAGAIN && errno != EINTR) /* EAGAIN: something was renamed while the kernel looked. */
			return error_set(err, code_of_errno(errno), errno, "cannot open %s", path);
	}
}

int dir_make_beneath(int dir_fd, const char *path, mode_t mode, struct error **err)
{
	if (!path_is_inside(path))
		return error_set(err, ERROR_INVALID, 0, "\"%s\" is no path inside the repository", path);
	cleanup_fd int at = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
	for (const char *part = path; at >= 0 && *part;) {
		size_t len = strcspn(part, "/");
		cleanup_free char *name = xstrndup(part, len);
		if (mkdirat(at, name, mode) < 0 && errno != EEXIST)
			return error_set(err, code_of_errno(errno), errno, "cannot make the folder %s", path);
		int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0 && (errno == ENOTDIR || errno == ELOOP))
			return error_set(err, ERROR_DENIED, 0, "%s: a part of it is a file or a symbolic link", path);
		int why = errno;
		close(at);
		at = next;
		errno = why;
		part += len + (part[len] == '/');
	}
	return at < 0 ? error_set(err, code_of_errno(errno), errno, "cannot open the folder %s", path) : 0;
}

char *path_of_self(void)
{
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (len <= 0) /* /proc is missing: nothing of Penstock could work. */
		abort();
	path[len] = '\0';
	return path_parent(path);
}
