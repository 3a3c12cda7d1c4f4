#include "runner/git/git_priv.h"

#include "base/alloc.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* Trees name other trees, and one as often as they like: ten small ones can stand for ten thousand million files. */
struct walk {
	const struct tree_writer *writer;
	git_repository *repo;
	git_odb *odb;
	uint64_t max_files, max_bytes, files, bytes;
	uint64_t entries; /* folders too, and what nobody asked for */
};

#define MAX_ENTRIES_PER_FILE 10

static int count_entry(struct walk *walk, struct error **err)
{
	if (++walk->entries > walk->max_files * MAX_ENTRIES_PER_FILE)
		return error_set(err, ERROR_TOO_LARGE, 0, "the commit holds more than %" PRIu64 " files and folders",
				 walk->max_files * MAX_ENTRIES_PER_FILE);
	return 0;
}

/* Asks for the size alone: a file that is too large is not unpacked into memory to learn so. */
static int count_file(struct walk *walk, const git_oid *id, const char *path, struct error **err)
{
	size_t len;
	git_object_t type;
	if (++walk->files > walk->max_files)
		return error_set(err, ERROR_TOO_LARGE, 0,
				 "the commit holds more than %" PRIu64 " files: name only those that the stage needs as its `inputs`",
				 walk->max_files);
	if (git_odb_read_header(&len, &type, walk->odb, id) < 0)
		return git_fail(err, ERROR_IO, "cannot read %s", path);
	if (len > walk->max_bytes - walk->bytes)
		return error_set(err, ERROR_TOO_LARGE, 0,
				 "the commit holds more than %" PRIu64 " bytes in its files: name only those that the stage needs as its `inputs`",
				 walk->max_bytes);
	walk->bytes += len;
	return 0;
}

static int write_blob(struct walk *walk, const git_tree_entry *entry, const char *path, struct error **err)
{
	CLEANUP(git_blob_free) git_blob *blob = NULL;
	if (count_file(walk, git_tree_entry_id(entry), path, err) < 0)
		return -1;
	if (git_blob_lookup(&blob, walk->repo, git_tree_entry_id(entry)) < 0)
		return git_fail(err, ERROR_IO, "cannot read %s", path);
	const void *bytes = git_blob_rawcontent(blob);
	size_t len = (size_t)git_blob_rawsize(blob);
	git_filemode_t mode = git_tree_entry_filemode(entry);
	if (mode == GIT_FILEMODE_LINK) {
		cleanup_free char *target = xstrndup(bytes, len);
		return tree_writer_link(walk->writer, path, target, err);
	}
	if (refuse_lfs_pointer(path, bytes, len, err) < 0)
		return -1;
	return tree_writer_file(walk->writer, path, bytes, len, mode == GIT_FILEMODE_BLOB_EXECUTABLE, err);
}

static int write_tree(struct walk *walk, const git_tree *tree, const char *prefix, struct error **err);

static int write_entry(struct walk *walk, const git_tree_entry *entry, const char *path, struct error **err)
{
	bool wanted;
	if (count_entry(walk, err) < 0 || tree_writer_wants(walk->writer, path, &wanted, err) < 0)
		return -1;
	switch (git_tree_entry_type(entry)) {
	case GIT_OBJECT_TREE: {
		CLEANUP(git_tree_free) git_tree *below = NULL;
		if (git_tree_lookup(&below, walk->repo, git_tree_entry_id(entry)) < 0)
			return git_fail(err, ERROR_IO, "cannot read %s", path);
		return write_tree(walk, below, path, err);
	}
	case GIT_OBJECT_BLOB:
		return wanted ? write_blob(walk, entry, path, err) : 0;
	case GIT_OBJECT_COMMIT:
		fprintf(stderr, "note: %s is a submodule; submodules are left out\n", path);
		return 0;
	case GIT_OBJECT_ANY:
	case GIT_OBJECT_INVALID:
	case GIT_OBJECT_TAG:
	case GIT_OBJECT_OFS_DELTA:
	case GIT_OBJECT_REF_DELTA:
		break;
	}
	return error_set(err, ERROR_INVALID, 0, "%s is of an unknown kind", path);
}

static int write_tree(struct walk *walk, const git_tree *tree, const char *prefix, struct error **err)
{
	if (strlen(prefix) > 4000)
		return error_set(err, ERROR_TOO_LARGE, 0, "the tree is nested too deeply");
	for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
		cleanup_free char *path = prefix[0] ? path_join(prefix, git_tree_entry_name(entry)) : xstrdup(git_tree_entry_name(entry));
		if (write_entry(walk, entry, path, err) < 0)
			return -1;
	}
	return 0;
}

int git_checkout(const struct checkout *checkout, struct error **err)
{
	CLEANUP(git_repository_free) git_repository *repo = NULL;
	CLEANUP(git_odb_free) git_odb *odb = NULL;
	CLEANUP(git_commit_free) git_commit *commit = NULL;
	CLEANUP(git_tree_free) git_tree *tree = NULL;
	git_oid oid;
	if (git_check_commit(checkout->commit, err) < 0)
		return -1;
	if (git_oid_fromstr(&oid, checkout->commit) < 0 || git_repository_open_bare(&repo, checkout->mirror) < 0 ||
	    git_commit_lookup(&commit, repo, &oid) < 0 || git_commit_tree(&tree, commit) < 0 || git_repository_odb(&odb, repo) < 0)
		return git_fail(err, ERROR_IO, "check out %s", checkout->commit);
	struct tree_writer writer;
	if (tree_writer_open(&writer, checkout, err) < 0)
		return -1;
	struct walk walk = {
		.writer = &writer,
		.repo = repo,
		.odb = odb,
		.max_files = checkout->max_files ? checkout->max_files : CHECKOUT_MAX_FILES,
		.max_bytes = checkout->max_bytes ? checkout->max_bytes : CHECKOUT_MAX_BYTES,
	};
	int result = write_tree(&walk, tree, "", err);
	tree_writer_close(&writer);
	return result;
}

/* ---- the same from a plain folder ---- */

static int copy_folder(const struct tree_writer *writer, const char *from, const char *prefix, struct error **err);

static int copy_entry(const struct tree_writer *writer, const char *from, const char *path, struct error **err)
{
	struct stat st;
	bool wanted;
	if (lstat(from, &st) < 0)
		return error_set(err, ERROR_IO, errno, "cannot read %s", from);
	if (tree_writer_wants(writer, path, &wanted, err) < 0)
		return -1;
	if (S_ISDIR(st.st_mode))
		return copy_folder(writer, from, path, err);
	if (!wanted)
		return 0;
	if (S_ISREG(st.st_mode))
		return tree_writer_copy(writer, path, from, err);
	if (S_ISLNK(st.st_mode)) {
		char target[4096];
		ssize_t len = readlink(from, target, sizeof(target) - 1);
		target[len < 0 ? 0 : len] = '\0';
		return tree_writer_link(writer, path, target, err);
	}
	return 0;
}

static int copy_folder(const struct tree_writer *writer, const char *from, const char *prefix, struct error **err)
{
	cleanup_dir DIR *dir = opendir(from);
	if (!dir)
		return error_set(err, ERROR_IO, errno, "cannot read %s", from);
	for (const struct dirent *entry; (entry = readdir(dir));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		cleanup_free char *below = path_join(from, entry->d_name);
		cleanup_free char *path = prefix[0] ? path_join(prefix, entry->d_name) : xstrdup(entry->d_name);
		if (copy_entry(writer, below, path, err) < 0)
			return -1;
	}
	return 0;
}

int git_copy_tree(const char *from, const struct checkout *checkout, struct error **err)
{
	struct tree_writer writer;
	if (tree_writer_open(&writer, checkout, err) < 0)
		return -1;
	int result = copy_folder(&writer, from, "", err);
	tree_writer_close(&writer);
	return result;
}
