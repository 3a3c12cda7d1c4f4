#include "runner/git/git_priv.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#define BYTE_BUDGET (8ULL << 30)
#define CHANGED_MAX 10000

/* ---- the mirror ---- */

/* Two runs of one repository may sync at the same time; the second waits here, until its deadline. */
static int lock_mirror(const char *mirror, struct error **err)
{
	cleanup_free char *path = xasprintf("%s.lock", mirror);
	cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return error_set(err, ERROR_IO, errno, "cannot lock %s", path);
	return steal_fd(&fd);
}

static int open_mirror(const char *mirror, git_repository **ret, struct error **err)
{
	if (dir_make(mirror, 0700, err) < 0)
		return -1;
	if (git_repository_open_bare(ret, mirror) == 0)
		return 0;
	if (git_repository_init(ret, mirror, true) < 0)
		return git_fail(err, ERROR_IO, "make the mirror %s", mirror);
	return 0;
}

static int on_progress(const git_indexer_progress *progress, void *payload)
{
	bool *too_large = payload;
	if (progress->received_bytes <= BYTE_BUDGET)
		return 0;
	*too_large = true;
	return -1;
}

/* A path on this machine can be looked at before libgit2 words its own riddle. */
static int tell_vanished(const char *url, struct error **err)
{
	const char *path = strncmp(url, "file://", 7) == 0 ? url + 7 : url;
	if (path[0] == '/' && !path_exists(path))
		return error_set(err, ERROR_UNAVAILABLE, 0,
				 "the repository %s is gone: put it back, or correct its url in penstock.yml, then retry the run", url);
	return 0;
}

static int fetch_refs(git_repository *repo, const char *url, char **refspecs, size_t n, struct error **err)
{
	CLEANUP(git_remote_free) git_remote *remote = NULL;
	git_leaks_begin();
	int made = git_remote_create_anonymous(&remote, repo, url);
	git_leaks_end();
	if (made < 0)
		return git_fail(err, ERROR_INVALID, "%s", url);
	bool too_large = false;
	git_fetch_options options;
	git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);
	options.callbacks.transfer_progress = on_progress;
	options.callbacks.payload = &too_large;
	options.proxy_opts.type = GIT_PROXY_NONE;
	options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
	options.update_fetchhead = 0;
	git_strarray specs = {.strings = refspecs, .count = n};
	git_leaks_begin();
	int fetched = git_remote_fetch(remote, &specs, &options, NULL);
	git_leaks_end();
	if (fetched == 0)
		return 0;
	if (too_large)
		return error_set(err, ERROR_TOO_LARGE, 0, "fetch %s: more than 8 GiB; the fetch was given up", url);
	return git_fail(err, ERROR_UNAVAILABLE, "fetch %s (is the repository still there, and readable for this user?)", url);
}

static bool has_commit(git_repository *repo, const git_oid *oid)
{
	CLEANUP(git_object_free) git_object *object = NULL;
	return git_object_lookup(&object, repo, oid, GIT_OBJECT_ANY) == 0;
}

/* First only what was pushed; a ref that has moved on or is gone (and a commit that nobody named a ref for) wants all of it. */
static int update_mirror(git_repository *repo, const char *url, const git_oid *oid, const char *ref, struct error **err)
{
	if (ref && strncmp(ref, "refs/", 5) == 0) {
		cleanup_free char *one = xasprintf("+%s:%s", ref, ref);
		cleanup_error struct error *dropped = NULL;
		if (fetch_refs(repo, url, &one, 1, &dropped) == 0 && has_commit(repo, oid))
			return 0;
	}
	char heads[] = "+refs/heads/*:refs/heads/*", tags[] = "+refs/tags/*:refs/tags/*";
	char *all[] = {heads, tags};
	if (tell_vanished(url, err) < 0 || fetch_refs(repo, url, all, ARRAY_SIZE(all), err) < 0)
		return -1;
	return 0;
}

/* ---- what is told of the commit ---- */

static int on_changed(const git_diff_delta *delta, float progress, void *payload)
{
	(void)progress;
	json_t *changed = payload;
	if (json_array_size(changed) > CHANGED_MAX)
		return 0;
	json_array_append_new(changed, json_string(delta->new_file.path ? delta->new_file.path : delta->old_file.path));
	return 0;
}

/* Ends the comparison: a bomb of trees differs in more files than there is memory for. */
static int stop_at_too_many(const git_diff *so_far, const git_diff_delta *delta, const char *pathspec, void *payload)
{
	(void)delta, (void)pathspec, (void)payload;
	return git_diff_num_deltas(so_far) > CHANGED_MAX ? -1 : 0;
}

/* NULL: unknown, because there is nothing to compare with, or because it is more than anybody wants to read. */
static json_t *changed_paths(git_repository *repo, const git_tree *tree, const char *before)
{
	CLEANUP(git_commit_free) git_commit *old = NULL;
	CLEANUP(git_tree_free) git_tree *old_tree = NULL;
	CLEANUP(git_diff_free) git_diff *diff = NULL;
	git_oid oid;
	git_diff_options options;
	if (git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION) < 0)
		return NULL;
	options.notify_cb = stop_at_too_many;
	if (!before || git_oid_fromstr(&oid, before) < 0 || git_commit_lookup(&old, repo, &oid) < 0 || git_commit_tree(&old_tree, old) < 0 ||
	    git_diff_tree_to_tree(&diff, repo, old_tree, (git_tree *)tree, &options) < 0)
		return NULL;
	json_t *changed = json_array();
	if (git_diff_foreach(diff, on_changed, NULL, NULL, NULL, changed) == 0 && json_array_size(changed) <= CHANGED_MAX)
		return changed;
	json_decref(changed);
	return NULL;
}

static int read_pipeline(git_repository *repo, const git_tree_entry *entry, const char *file, json_t *pipelines, struct error **err)
{
	CLEANUP(git_blob_free) git_blob *blob = NULL;
	if (git_tree_entry_type(entry) != GIT_OBJECT_BLOB || git_tree_entry_filemode(entry) == GIT_FILEMODE_LINK)
		return error_set(err, ERROR_INVALID, 0, "%s is not a plain file", file);
	if (git_blob_lookup(&blob, repo, git_tree_entry_id(entry)) < 0)
		return git_fail(err, ERROR_IO, "read %s", file);
	return add_pipeline(pipelines, file, git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob), err);
}

static int read_pipelines(git_repository *repo, const git_tree *tree, json_t *pipelines, struct error **err)
{
	const git_tree_entry *one = git_tree_entry_byname(tree, ".penstock.yml"), *many = git_tree_entry_byname(tree, ".penstock");
	if (one && read_pipeline(repo, one, ".penstock.yml", pipelines, err) < 0)
		return -1;
	if (!many || git_tree_entry_type(many) != GIT_OBJECT_TREE)
		return 0;
	CLEANUP(git_tree_free) git_tree *folder = NULL;
	if (git_tree_lookup(&folder, repo, git_tree_entry_id(many)) < 0)
		return git_fail(err, ERROR_IO, "read .penstock");
	for (size_t i = 0; i < git_tree_entrycount(folder); i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(folder, i);
		if (!is_pipeline_file(git_tree_entry_name(entry)))
			continue;
		cleanup_free char *file = path_join(".penstock", git_tree_entry_name(entry));
		if (read_pipeline(repo, entry, file, pipelines, err) < 0)
			return -1;
	}
	return 0;
}

static int describe(git_repository *repo, const git_oid *oid, const char *before, json_t **ret, struct error **err)
{
	CLEANUP(git_object_free) git_object *object = NULL, *peeled = NULL;
	CLEANUP(git_tree_free) git_tree *tree = NULL;
	char sha[GIT_OID_HEXSZ + 1];
	git_oid_tostr(sha, sizeof(sha), oid);
	/* An annotated tag is pushed as an object of its own. */
	if (git_object_lookup(&object, repo, oid, GIT_OBJECT_ANY) < 0 || git_object_peel(&peeled, object, GIT_OBJECT_COMMIT) < 0)
		return error_set(err, ERROR_NOT_FOUND, 0, "commit %s is not in the repository (any more): was the branch pushed over?", sha);
	if (git_commit_tree(&tree, (git_commit *)peeled) < 0)
		return git_fail(err, ERROR_IO, "read commit %s", sha);
	cleanup_json json_t *json = commit_json((git_commit *)peeled);
	json_t *changed = changed_paths(repo, tree, before);
	json_object_set_new(json, "before", before ? json_string(before) : json_null());
	json_object_set_new(json, "changed", changed ? changed : json_null());
	if (read_pipelines(repo, tree, json_object_get(json, "pipelines"), err) < 0)
		return -1;
	*ret = STEAL(json);
	return 0;
}

int git_fetch(const char *url, const char *mirror, const char *commit, const char *ref, const char *before, json_t **ret, struct error **err)
{
	if (git_check_url(url, err) < 0 || git_check_commit(commit, err) < 0 || (ref && git_check_ref(ref, err) < 0))
		return -1;
	if (before && strspn(before, "0") == strlen(before))
		before = NULL;
	if (before && git_check_commit(before, err) < 0)
		return -1;
	cleanup_fd int lock = lock_mirror(mirror, err);
	CLEANUP(git_repository_free) git_repository *repo = NULL;
	git_oid oid;
	if (lock < 0 || open_mirror(mirror, &repo, err) < 0)
		return -1;
	git_oid_fromstr(&oid, commit);
	if (!has_commit(repo, &oid) && update_mirror(repo, url, &oid, ref, err) < 0)
		return -1;
	return describe(repo, &oid, before, ret, err);
}
