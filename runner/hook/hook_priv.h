/* Inside runner/hook only. */
#ifndef RUNNER_HOOK_HOOK_PRIV_H
#define RUNNER_HOOK_HOOK_PRIV_H

#include "base/alloc.h"
#include "runner/hook/hook.h"

#define HOOK_MARK "# Installed by `penstock hook install`."

struct hook_folder {
	char *repository, *git;      /* as given; its git folder */
	char *dir, *spool, *refused; /* <git>/penstock and below */
	char *url, *secret;
};

/* The git folder of a bare repository, a working tree or a git folder. NOT_FOUND if it is none of these. */
int hook_find_git(const char *repository, char **ret, struct error **err) must_check;
/* Does the post-receive hook exist, and is it ours? */
void hook_look(const char *git, bool *ret_exists, bool *ret_ours);

/* Takes <folder>/<name>, waiting at most wait_ms. UNAVAILABLE if somebody holds it longer. */
int hook_lock(const struct hook_folder *folder, const char *name, unsigned wait_ms, int *ret_fd, struct error **err) must_check;
/* Names of the bodies in `dir`, sorted, which is their order. */
int hook_names(const char *dir, struct strlist *ret, struct error **err) must_check;
/* Moves a body to refused/ and writes the reason beside it. */
int hook_refuse(const struct hook_folder *folder, const char *name, const char *why, struct error **err) must_check;

/* "" if they cannot be had; both owned by the caller. Valid UTF-8. */
void hook_describe_commit(const char *git, const char *commit, char **ret_author, char **ret_message);
#endif
