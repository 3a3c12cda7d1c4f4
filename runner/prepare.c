#include "runner/prepare.h"

#include "artifacts/capture.h"
#include "base/alloc.h"
#include "base/file.h"
#include "runner/git/git.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define SPEC_MAX_BYTES (16 << 20)

static void add_strings(struct strlist *list, const json_t *array)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *text = json_string_value(json_array_get(array, i));
		if (text)
			strlist_add(list, text);
	}
}

/* "src/" means all below it. */
static void add_globs(struct strlist *list, const json_t *array)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *glob = json_string_value(json_array_get(array, i));
		if (glob && glob[0])
			strlist_addf(list, "%s%s", glob, glob[strlen(glob) - 1] == '/' ? "**" : "");
	}
}

static int write_files(const json_t *spec, const char *workspace, struct error **err)
{
	cleanup_strlist struct strlist include = {0}, exclude = {0};
	const json_t *restore = json_object_get(spec, "restore");
	add_globs(&include, json_object_get(spec, "include"));
	for (size_t i = 0; i < json_array_size(restore); i++)
		add_strings(&exclude, json_object_get(json_array_get(restore, i), "paths"));
	const struct checkout checkout = {
		.mirror = json_string_or(spec, "mirror", ""),
		.commit = json_string_or(spec, "commit", ""),
		.to = workspace,
		.include = {strlist_items(&include), include.n},
		.exclude = strlist_items(&exclude),
	};
	const char *source = json_string_or(spec, "source", "");
	return source[0] ? git_copy_tree(source, &checkout, err) : git_checkout(&checkout, err);
}

static int restore_outputs(const json_t *spec, const char *workspace, struct error **err)
{
	const json_t *restore = json_object_get(spec, "restore");
	for (size_t i = 0; i < json_array_size(restore); i++) {
		const json_t *one = json_array_get(restore, i);
		if (capture_restore(json_string_or(one, "layout", ""), json_string_or(one, "digest", ""), workspace, err) < 0)
			return error_context(err, "outputs of stage \"%s\"", json_string_or(one, "stage", ""));
	}
	return 0;
}

/* Production's version of one file: unpacked aside, so that nothing else of it is seen. */
static int extract_file(const json_t *extract, const char *workspace, struct error **err)
{
	const char *path = json_string_or(extract, "path", "");
	cleanup_free char *aside = xasprintf("%s.baseline", workspace), *from = path_join(aside, path);
	if (!path_is_inside(path))
		return error_set(err, ERROR_INVALID, 0, "\"%s\" is no path inside a workspace", path);
	if (tree_remove(aside, err) < 0 || dir_make(aside, 0700, err) < 0 ||
	    capture_restore(json_string_or(extract, "layout", ""), json_string_or(extract, "digest", ""), aside, err) < 0)
		return error_context(err, "baseline");
	cleanup_fd int dir = open(aside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set(err, ERROR_IO, errno, "baseline: cannot open %s", aside);
	cleanup_fd int file = file_open_beneath(dir, path, O_RDONLY | O_CLOEXEC, 0, err);
	struct stat st;
	if (file < 0)
		return error_context(err, "baseline");
	if (fstat(file, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, ERROR_INVALID, 0, "baseline: %s of production's outputs is no file", path);
	const char *to = json_string_or(extract, "to", "");
	if (file_copy(from, to, err) < 0)
		return error_context(err, "baseline");
	if (chmod(to, 0644) < 0)
		return error_set(err, ERROR_IO, errno, "baseline: cannot set the mode of %s", to);
	return tree_remove(aside, err);
}

static int give_away(int dir_fd, const char *name, unsigned uid, unsigned gid, struct error **err);

static int give_away_entries(int fd, unsigned uid, unsigned gid, struct error **err)
{
	cleanup_dir DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return error_set(err, ERROR_IO, errno, "cannot read a folder of the workspace");
	}
	for (const struct dirent *entry; (entry = readdir(dir));)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && give_away(dirfd(dir), entry->d_name, uid, gid, err) < 0)
			return -1;
	return 0;
}

static int give_away(int dir_fd, const char *name, unsigned uid, unsigned gid, struct error **err)
{
	struct stat st;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || fchownat(dir_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, ERROR_IO, errno, "cannot give %s to user %u", name, uid);
	if (!S_ISDIR(st.st_mode))
		return 0;
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? error_set(err, ERROR_IO, errno, "cannot open %s", name) : give_away_entries(fd, uid, gid, err);
}

/* Where the checkpoint will appear. The repository and the outputs of earlier stages may have put a link there. */
static int make_checkpoint(const char *workspace, const char *checkpoint, struct error **err)
{
	cleanup_fd int dir = open(workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set(err, ERROR_IO, errno, "cannot open %s", workspace);
	cleanup_free char *path = xstrdup(checkpoint);
	for (size_t len = strlen(path); len > 0 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	return dir_make_beneath(dir, path, 0755, err) < 0 ? error_context(err, "checkpoint") : 0;
}

static int prepare(const json_t *spec, struct error **err)
{
	const char *workspace, *checkpoint = json_string_or(spec, "checkpoint", "");
	if (json_need_string(spec, "workspace", &workspace, err) < 0)
		return -1;
	/* Not atomic, and it need not be: an attempt that dies here is never continued. */
	if (tree_remove(workspace, err) < 0 || dir_make(workspace, 0755, err) < 0 || write_files(spec, workspace, err) < 0 ||
	    restore_outputs(spec, workspace, err) < 0)
		return -1;
	if (checkpoint[0] && make_checkpoint(workspace, checkpoint, err) < 0)
		return -1;
	const json_t *extract = json_object_get(spec, "extract");
	if (json_is_object(extract) && extract_file(extract, workspace, err) < 0)
		return -1;
	unsigned uid = (unsigned)json_int_or(spec, "uid", geteuid()), gid = (unsigned)json_int_or(spec, "gid", getegid());
	return uid == geteuid() && gid == getegid() ? 0 : give_away(AT_FDCWD, workspace, uid, gid, err);
}

int prepare_command(int argc, char **argv)
{
	if (argc != 3 || strcmp(argv[1], "--spec") != 0) {
		fputs("usage: penstock prepare --spec FILE\n", stderr);
		return 2;
	}
	cleanup_error struct error *err = NULL;
	cleanup_json json_t *spec = NULL;
	git_init();
	if (json_read(argv[2], SPEC_MAX_BYTES, &spec, &err) == 0 && prepare(spec, &err) == 0)
		return 0;
	fprintf(stderr, "%s\n", error_message(err));
	return error_exit_status(err) == 5 ? 5 : 1;
}
