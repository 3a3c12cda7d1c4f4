/* `penstock git-sync`: the only code that touches libgit2, and always a child of its own (libgit2 1.5 has no time-outs and parses packs that
 * strangers wrote). The daemon gives it a deadline and reads one JSON object from its standard output.
 *
 *     penstock git-sync fetch --url URL --mirror DIR --commit SHA --ref REF [--before SHA]
 *         updates the bare mirror and prints
 *         {"commit", "author", "message", "time", "timestamp", "before", "changed": [path...] or null, "pipelines": [{"file", "text"}]}
 *     penstock git-sync checkout --mirror DIR --commit SHA --to DIR [--include GLOB]... [--exclude PATH]...
 *         writes the commit's files into an existing or new folder
 *     penstock git-sync snapshot --from DIR --to DIR
 *         copies a working tree (uncommitted files too, ignored ones not, never .git) and prints the same JSON as fetch
 *
 * Redirects are off; URLs are http, https, file or absolute paths; refs and commits are checked before libgit2 sees them. Exit status 0, 1
 * (the request cannot be met: unknown commit, LFS pointers ...), 2 (usage), 5 (the surroundings: network, disk, a repository that vanished). */
#ifndef RUNNER_GIT_GIT_H
#define RUNNER_GIT_GIT_H

#include "base/json.h"
#include "pipelines/pipeline.h"

int git_sync_command(int argc, char **argv);

/* Refuses what could be read as an option, a range, another kind of transport, or control bytes. */
int git_check_url(const char *url, struct error **err) must_check;
int git_check_ref(const char *ref, struct error **err) must_check;       /* "refs/heads/main", "main", "HEAD" */
int git_check_commit(const char *commit, struct error **err) must_check; /* 40 lower-case hex digits */

/* Of one commit; docs/operator.md tells them. */
#define CHECKOUT_MAX_FILES 200000
#define CHECKOUT_MAX_BYTES (8ULL << 30)

struct checkout {
	const char *mirror, *commit, *to;
	struct globs include;          /* n == 0: all files */
	const char *const *exclude;    /* NULL-terminated paths ("model/", "out/x.csv") that something else will put there, or NULL */
	uint64_t max_files, max_bytes; /* of git_checkout(), links included; 0: as above */
};
/* Files as in the commit, executable bit included. Symbolic links are made as links only if they stay inside the tree; others are
 * refused. Submodules are left out, with a note on standard error. An LFS pointer is an error that names the file,
 * and more files, bytes or (tenfold) entries than allowed are ERROR_TOO_LARGE before they fill the disk. */
int git_checkout(const struct checkout *checkout, struct error **err) must_check;
/* Copies the files of a plain folder by the same rules (`from` in place of a mirror). */
int git_copy_tree(const char *from, const struct checkout *checkout, struct error **err) must_check;

int git_fetch(const char *url, const char *mirror, const char *commit, const char *ref, const char *before, json_t **ret,
	      struct error **err) must_check;
int git_snapshot(const char *from, const char *to, json_t **ret, struct error **err) must_check;

/* Once a process, before any of the above; undone at exit by the system. */
void git_init(void);
#endif
