/* Inside runner/git only. */
#ifndef RUNNER_GIT_GIT_PRIV_H
#define RUNNER_GIT_GIT_PRIV_H

#include "runner/git/git.h"

#include <git2.h>

DEFINE_CLEANUP(git_repository, git_repository_free);
DEFINE_CLEANUP(git_remote, git_remote_free);
DEFINE_CLEANUP(git_commit, git_commit_free);
DEFINE_CLEANUP(git_tree, git_tree_free);
DEFINE_CLEANUP(git_blob, git_blob_free);
DEFINE_CLEANUP(git_object, git_object_free);
DEFINE_CLEANUP(git_diff, git_diff_free);
DEFINE_CLEANUP(git_index, git_index_free);
DEFINE_CLEANUP(git_odb, git_odb_free);
DEFINE_CLEANUP(git_reference, git_reference_free);

/* libgit2 1.5 forgets the match data of its regular expressions (it reads configuration with them); the leak checker is told that these are
 * not ours. Nothing but calls of libgit2 belongs between the two. */
void git_leaks_begin(void);
void git_leaks_end(void);

/* libgit2's last error in our words; `code` unless its class says it better (network, disk). */
int git_fail(struct error **err, enum error_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Writes below one directory, never through a link. Both the mirror's trees and plain folders end here. */
struct tree_writer {
	int dir_fd;
	const struct checkout *what;
};
int tree_writer_open(struct tree_writer *writer, const struct checkout *what, struct error **err) must_check;
void tree_writer_close(struct tree_writer *writer);
/* Is this path asked for? Refuses paths that no checkout may write (".git", "..", control bytes). */
int tree_writer_wants(const struct tree_writer *writer, const char *path, bool *ret, struct error **err) must_check;
int tree_writer_file(const struct tree_writer *writer, const char *path, const void *bytes, size_t len, bool executable,
		     struct error **err) must_check;
int tree_writer_copy(const struct tree_writer *writer, const char *path, const char *from, struct error **err) must_check;
/* A link that would leave the tree is left out, with a note. */
int tree_writer_link(const struct tree_writer *writer, const char *path, const char *target, struct error **err) must_check;

/* Error if the bytes are a Git LFS pointer. */
int refuse_lfs_pointer(const char *path, const void *bytes, size_t len, struct error **err) must_check;

/* {"commit", "author", "message", "time", "timestamp": seconds, "before": null, "changed": null, "pipelines": []} */
json_t *commit_json(const git_commit *commit);
/* Appends {"file", "text"}. */
int add_pipeline(json_t *pipelines, const char *file, const char *text, size_t len, struct error **err) must_check;
bool is_pipeline_file(const char *name); /* of an entry in .penstock/ */
#define PIPELINES_MAX 32
#endif
