#include "artifacts/pack.h"

#include "artifacts/tar_write.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#define COPY_BYTES ((size_t)256 * 1024)

struct pack {
	struct tar_writer tar;
	struct buf path;   /* in the archive, of the entry at hand */
	unsigned char *bytes;
	unsigned entries;
};

struct name {
	char *text;
	bool is_dir;
};

struct names {
	struct name *items;
	size_t n, capacity;
};

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i].text);
	free(names->items);
}
#define cleanup_names __attribute__((cleanup(names_done)))

/* As if directories were called "name/": then a walk gives full paths in byte order. */
static int compare_names(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	size_t nx = strlen(x->text), ny = strlen(y->text), n = nx < ny ? nx : ny;
	int order = memcmp(x->text, y->text, n);
	if (order)
		return order;
	unsigned char cx = n < nx ? (unsigned char)x->text[n] : x->is_dir ? '/' : '\0';
	unsigned char cy = n < ny ? (unsigned char)y->text[n] : y->is_dir ? '/' : '\0';
	return (cx > cy) - (cx < cy);
}

static int list_dir(struct pack *pack, int fd, struct names *names, struct error **err)
{
	/* A description of its own, since reading moves the offset. */
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *dir = own < 0 ? NULL : fdopendir(own);
	if (!dir) {
		int errnum = errno;
		if (own >= 0)
			close(own);
		return error_set(err, ERROR_IO, errnum, "cannot read directory %s", pack->path.data);
	}
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry)
			break;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (++pack->entries > PACK_MAX_ENTRIES)
			return error_set(err, ERROR_TOO_LARGE, 0, "more than %d files in one layer", PACK_MAX_ENTRIES);
		struct stat st;
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return error_set(err, ERROR_IO, errno, "cannot look at %s/%s", pack->path.data, entry->d_name);
		names->items = xgrow(names->items, &names->capacity, names->n + 1, sizeof(*names->items));
		names->items[names->n++] = (struct name){xstrdup(entry->d_name), S_ISDIR(st.st_mode)};
	}
	if (errno)
		return error_set(err, ERROR_IO, errno, "cannot read directory %s", pack->path.data);
	if (names->n > 1)
		qsort(names->items, names->n, sizeof(*names->items), compare_names);
	return 0;
}

static int pack_dir_entry(struct pack *pack, struct error **err)
{
	struct tar_entry entry = {.path = pack->path.data, .type = TAR_DIRECTORY};
	return tar_begin(&pack->tar, &entry, err);
}

static int pack_link(struct pack *pack, int dir_fd, const char *name, struct error **err)
{
	char target[PATH_MAX];
	ssize_t len = readlinkat(dir_fd, name, target, sizeof(target) - 1);
	if (len < 0)
		return error_set(err, ERROR_IO, errno, "cannot read link %s", pack->path.data);
	target[len] = '\0';
	struct tar_entry entry = {.path = pack->path.data, .type = TAR_SYMLINK, .target = target};
	return tar_begin(&pack->tar, &entry, err);
}

/* One piece; a file that is shorter or longer than it was when its header was written would make a false archive. */
static int copy_piece(struct pack *pack, int fd, size_t want, struct error **err)
{
	ssize_t n = read(fd, pack->bytes, want);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0)
		return error_set(err, ERROR_IO, errno, "cannot read %s", pack->path.data);
	if (n == 0)
		return error_set(err, ERROR_CONFLICT, 0, "%s became shorter while it was being packed", pack->path.data);
	return tar_data(&pack->tar, pack->bytes, (size_t)n, err);
}

/* What a stage made unreadable is the stage's mistake, not the disk's. */
static enum error_code open_failure(int errnum)
{
	return errnum == EACCES ? ERROR_DENIED : ERROR_IO;
}

static int pack_file(struct pack *pack, int dir_fd, const char *name, struct error **err)
{
	cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, open_failure(errno), errno, "cannot open %s", pack->path.data);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_CONFLICT, 0, "%s was replaced while it was being packed", pack->path.data);
	struct tar_entry entry = {
		.path = pack->path.data, .type = TAR_FILE, .executable = st.st_mode & S_IXUSR, .size = (uint64_t)st.st_size};
	if (tar_begin(&pack->tar, &entry, err) < 0)
		return -1;
	while (pack->tar.left > 0)
		if (copy_piece(pack, fd, pack->tar.left < COPY_BYTES ? (size_t)pack->tar.left : COPY_BYTES, err) < 0)
			return -1;
	if (read(fd, pack->bytes, 1) != 0)
		return error_set(err, ERROR_CONFLICT, 0, "%s grew while it was being packed", pack->path.data);
	return 0;
}

static int pack_tree(struct pack *pack, int fd, unsigned depth, struct error **err);

/* The entry `name` of dir_fd under the archive path at hand. */
static int pack_entry(struct pack *pack, int dir_fd, const char *name, unsigned depth, struct error **err)
{
	struct stat st;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, ERROR_IO, errno, "cannot look at %s", pack->path.data);
	if (S_ISLNK(st.st_mode))
		return pack_link(pack, dir_fd, name, err);
	if (S_ISREG(st.st_mode))
		return pack_file(pack, dir_fd, name, err);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERROR_INVALID, 0, "%s is a %s; only files, directories and symbolic links can be stored", pack->path.data,
				 S_ISFIFO(st.st_mode) ? "FIFO" : S_ISSOCK(st.st_mode) ? "socket" : "device");
	cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, open_failure(errno), errno, "cannot open directory %s", pack->path.data);
	if (pack_dir_entry(pack, err) < 0)
		return -1;
	return pack_tree(pack, fd, depth + 1, err);
}

static void path_truncate(struct buf *path, size_t len)
{
	path->len = len;
	path->data[len] = '\0';
}

static int path_push(struct buf *path, const char *name, size_t name_len, struct error **err)
{
	if (path->len)
		buf_addc(path, '/');
	buf_add(path, name, name_len);
	if (path->failed)
		return error_set(err, ERROR_TOO_LARGE, 0, "%s/%s: the path is longer than %d bytes", path->data, name, PACK_MAX_NAME);
	if (strncmp(name, ".wh.", 4) == 0)
		return error_set(err, ERROR_INVALID, 0, "%s cannot be stored: names that begin with \".wh.\" mean deletion in a layer",
				 path->data);
	return 0;
}

/* The contents of a directory, which itself has been written. */
static int pack_tree(struct pack *pack, int fd, unsigned depth, struct error **err)
{
	if (depth > PACK_MAX_DEPTH)
		return error_set(err, ERROR_TOO_LARGE, 0, "%s: more than %d directories deep", pack->path.data, PACK_MAX_DEPTH);
	cleanup_names struct names names = {0};
	if (list_dir(pack, fd, &names, err) < 0)
		return -1;
	size_t len = pack->path.len;
	for (size_t i = 0; i < names.n; i++) {
		const char *name = names.items[i].text;
		if (path_push(&pack->path, name, strlen(name), err) < 0)
			return -1;
		if (pack_entry(pack, fd, name, depth, err) < 0)
			return -1;
		path_truncate(&pack->path, len);
	}
	return 0;
}

/* Directory entries for all parts of `path` but the last. */
static int pack_parents(struct pack *pack, const char *path, struct error **err)
{
	for (const char *part = path, *slash; (slash = strchr(part, '/')); part = slash + 1)
		if (path_push(&pack->path, part, (size_t)(slash - part), err) < 0 || pack_dir_entry(pack, err) < 0)
			return -1;
	return 0;
}

bool pack_target_is_valid(const char *to)
{
	size_t len = strlen(to);
	if (len == 0 || to[0] != '/')
		return false;
	if (len == 1)
		return true;
	cleanup_free char *inside = xstrndup(to + 1, len - 1 - (to[len - 1] == '/'));
	return path_is_inside(inside);
}

/* What is at `from`: its parent directory and its name there. */
struct source {
	char *path;       /* without trailing slash */
	const char *name; /* last part of path */
	int dir_fd;
	bool is_dir, contents; /* contents: "from/" was asked for */
};

static void source_done(struct source *source)
{
	if (source->dir_fd >= 0)
		close(source->dir_fd);
	free(source->path);
}
#define cleanup_source __attribute__((cleanup(source_done)))

static int source_open(int source_fd, const char *from, struct source *ret, struct error **err)
{
	size_t len = strlen(from);
	ret->contents = len && from[len - 1] == '/';
	ret->path = xstrndup(from, len - ret->contents);
	if (!path_is_inside(ret->path))
		return error_set(err, ERROR_INVALID, 0, "\"%s\" is no path inside the workspace (relative, without \"..\")", from);
	const char *slash = strrchr(ret->path, '/');
	ret->name = slash ? slash + 1 : ret->path;
	cleanup_free char *parent = slash ? xstrndup(ret->path, (size_t)(slash - ret->path)) : NULL;
	cleanup_error struct error *why = NULL;
	ret->dir_fd = parent ? file_open_beneath(source_fd, parent, O_RDONLY | O_DIRECTORY, 0, &why) : fcntl(source_fd, F_DUPFD_CLOEXEC, 3);
	struct stat st;
	if (ret->dir_fd < 0 && why && error_code_of(why) != ERROR_NOT_FOUND)
		return error_move(err, STEAL(why));
	if (ret->dir_fd < 0 || fstatat(ret->dir_fd, ret->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, ERROR_NOT_FOUND, 0, "%s does not exist", from);
	ret->is_dir = S_ISDIR(st.st_mode);
	if (ret->contents && !ret->is_dir)
		return error_set(err, ERROR_INVALID, 0, "%s is no directory, but its name is given with a \"/\" at the end", from);
	return 0;
}

/* The item's path in the archive, "" for the root directory itself; allocated. */
static char *archive_path(const struct source *source, const char *to)
{
	size_t len = strlen(to);
	bool into = to[len - 1] == '/';
	cleanup_free char *dir = xstrndup(to + 1, len - 1 - (into && len > 1));
	if (!into || source->contents)
		return STEAL(dir);
	return dir[0] ? path_join(dir, source->name) : xstrdup(source->name);
}

static int pack_source(struct pack *pack, const struct source *source, const char *path, struct error **err)
{
	if (pack_parents(pack, path, err) < 0)
		return -1;
	const char *slash = strrchr(path, '/');
	const char *last = slash ? slash + 1 : path;
	if (*last)
		return path_push(&pack->path, last, strlen(last), err) < 0 ? -1 : pack_entry(pack, source->dir_fd, source->name, 0, err);
	cleanup_fd int fd = openat(source->dir_fd, source->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, open_failure(errno), errno, "cannot open directory %s", source->path);
	return pack_tree(pack, fd, 0, err);
}

int pack_layer(int source_fd, const struct pack_item *item, const char *layout, enum compression compression, struct oci_layer *ret,
	       struct error **err)
{
	if (!pack_target_is_valid(item->to))
		return error_set(err, ERROR_INVALID, 0, "\"%s\" is no absolute path (\"/app/model/\")", item->to);
	cleanup_source struct source source = {.dir_fd = -1};
	if (source_open(source_fd, item->from, &source, err) < 0)
		return -1;
	cleanup_free char *path = archive_path(&source, item->to);
	if (!path[0] && !source.is_dir)
		return error_set(err, ERROR_INVALID, 0, "%s cannot become the root directory", item->from);
	cleanup_layer_writer struct layer_writer *layer = NULL;
	if (layer_writer_new(layout, compression, &layer, err) < 0)
		return -1;
	cleanup_free unsigned char *bytes = xmalloc(COPY_BYTES);
	struct pack pack = {.tar = {.write = layer_write, .arg = layer}, .bytes = bytes};
	buf_init(&pack.path, PACK_MAX_NAME);
	int failed = pack_source(&pack, &source, path, err);
	buf_done(&pack.path);
	if (failed < 0 || tar_finish(&pack.tar, err) < 0)
		return -1;
	return layer_commit(layer, ret, err);
}
