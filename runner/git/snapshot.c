/* The files of a working tree as `penstock run` sees them. */
#include "runner/git/git_priv.h"

#include "base/alloc.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct snapshot {
	git_repository *repo; /* NULL: a plain folder */
	git_index *index;
	const char *prefix; /* of the folder inside the working tree, "" or "sub/dir/" */
	const char *avoid;  /* the copy itself, if it lies inside */
	struct tree_writer writer;
};

/* Ignored, and nobody added it in spite of that. */
static bool is_ignored(const struct snapshot *snap, const char *path, bool folder)
{
	int ignored = 0;
	if (!snap->repo)
		return false;
	cleanup_free char *inside = xasprintf("%s%s%s", snap->prefix, path, folder ? "/" : "");
	if (git_ignore_path_is_ignored(&ignored, snap->repo, inside) < 0 || !ignored)
		return false;
	if (folder)
		return git_index_find_prefix(NULL, snap->index, inside) < 0;
	return !git_index_get_bypath(snap->index, inside, 0);
}

static int copy_folder(const struct snapshot *snap, const char *from, const char *prefix, struct error **err);

static int copy_entry(const struct snapshot *snap, const char *from, const char *path, struct error **err)
{
	struct stat st;
	if (lstat(from, &st) < 0)
		return error_set(err, ERROR_IO, errno, "cannot read %s", from);
	if (is_ignored(snap, path, S_ISDIR(st.st_mode)) || strcmp(from, snap->avoid) == 0)
		return 0;
	if (S_ISDIR(st.st_mode)) {
		cleanup_free char *git = path_join(from, ".git");
		if (path_exists(git)) {
			fprintf(stderr, "note: %s is a repository of its own; it was left out\n", path);
			return 0;
		}
		return copy_folder(snap, from, path, err);
	}
	bool wanted;
	if (tree_writer_wants(&snap->writer, path, &wanted, err) < 0)
		return error_context(err, "%s", from);
	if (S_ISREG(st.st_mode))
		return tree_writer_copy(&snap->writer, path, from, err);
	if (S_ISLNK(st.st_mode)) {
		char target[4096];
		ssize_t len = readlink(from, target, sizeof(target) - 1);
		target[len < 0 ? 0 : len] = '\0';
		return tree_writer_link(&snap->writer, path, target, err);
	}
	return 0;
}

static int copy_folder(const struct snapshot *snap, const char *from, const char *prefix, struct error **err)
{
	cleanup_dir DIR *dir = opendir(from);
	if (!dir)
		return error_set(err, ERROR_IO, errno, "cannot read %s", from);
	for (const struct dirent *entry; (entry = readdir(dir));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || strcmp(entry->d_name, ".git") == 0)
			continue;
		cleanup_free char *below = path_join(from, entry->d_name);
		cleanup_free char *path = prefix[0] ? path_join(prefix, entry->d_name) : xstrdup(entry->d_name);
		if (copy_entry(snap, below, path, err) < 0)
			return -1;
	}
	return 0;
}

static int read_pipeline(const char *dir, const char *file, json_t *pipelines, struct error **err)
{
	cleanup_free char *path = path_join(dir, file), *text = NULL;
	size_t len;
	if (!path_exists(path))
		return 0;
	return file_read(path, YAML_MAX_BYTES, &text, &len, err) < 0 ? -1 : add_pipeline(pipelines, file, text, len, err);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_pipelines(const char *dir, json_t *pipelines, struct error **err)
{
	if (read_pipeline(dir, ".penstock.yml", pipelines, err) < 0)
		return -1;
	cleanup_free char *folder = path_join(dir, ".penstock");
	struct dirent **entries = NULL;
	int n = scandir(folder, &entries, NULL, by_name), result = 0;
	for (int i = 0; i < n; i++) {
		if (result == 0 && is_pipeline_file(entries[i]->d_name)) {
			cleanup_free char *file = path_join(".penstock", entries[i]->d_name);
			result = read_pipeline(dir, file, pipelines, err);
		}
		free(entries[i]);
	}
	free(entries);
	return result;
}

/* HEAD's commit with "branch", or zeros in a folder without one. */
static json_t *head_json(git_repository *repo)
{
	CLEANUP(git_reference_free) git_reference *head = NULL;
	CLEANUP(git_object_free) git_object *object = NULL;
	if (!repo || git_repository_head(&head, repo) < 0 || git_reference_peel(&object, head, GIT_OBJECT_COMMIT) < 0)
		return json_pack("{s:s, s:s, s:s, s:s, s:n, s:n, s:[], s:s}", "commit", "0000000000000000000000000000000000000000", "author", "",
				 "message", "", "time", "", "before", "changed", "pipelines", "branch", "");
	json_t *json = commit_json((git_commit *)object);
	json_object_set_new(json, "branch", json_string(git_reference_is_branch(head) ? git_reference_shorthand(head) : ""));
	return json;
}

static int open_repository(const char *from, git_repository **ret_repo, git_index **ret_index, char **ret_prefix, struct error **err)
{
	*ret_prefix = xstrdup("");
	if (git_repository_open_ext(ret_repo, from, 0, NULL) < 0)
		return 0;
	if (git_repository_index(ret_index, *ret_repo) < 0)
		return git_fail(err, ERROR_IO, "read the index of %s", from);
	const char *workdir = git_repository_workdir(*ret_repo);
	cleanup_free char *root = workdir ? realpath(workdir, NULL) : NULL;
	size_t len = root ? strlen(root) : 0;
	if (root && strncmp(from, root, len) == 0 && from[len] == '/') {
		free(*ret_prefix);
		*ret_prefix = xasprintf("%s/", from + len + 1);
	}
	return 0;
}

int git_snapshot(const char *from, const char *to, json_t **ret, struct error **err)
{
	cleanup_free char *real = realpath(from, NULL), *prefix = NULL;
	if (!real)
		return error_set(err, ERROR_NOT_FOUND, errno, "cannot read %s", from);
	CLEANUP(git_repository_free) git_repository *repo = NULL;
	CLEANUP(git_index_free) git_index *index = NULL;
	if (open_repository(real, &repo, &index, &prefix, err) < 0)
		return -1;
	if (tree_remove(to, err) < 0) /* what an earlier, interrupted snapshot left */
		return -1;
	struct checkout all = {.to = to};
	struct snapshot snap = {.repo = repo, .index = index, .prefix = prefix};
	if (tree_writer_open(&snap.writer, &all, err) < 0)
		return -1;
	cleanup_free char *avoid = realpath(to, NULL);
	snap.avoid = avoid ? avoid : to;
	int copied = copy_folder(&snap, real, "", err);
	tree_writer_close(&snap.writer);
	if (copied < 0)
		return -1;
	cleanup_json json_t *json = head_json(repo);
	if (read_pipelines(to, json_object_get(json, "pipelines"), err) < 0)
		return -1;
	*ret = STEAL(json);
	return 0;
}
