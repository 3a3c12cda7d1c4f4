/* The pusher's side of a webhook: `penstock hook`. Git calls the post-receive hook with the updated refs; each is written to a spool
 * (fsynced) before anything is sent, under a nonce that is its delivery id for ever. So a lost answer, a dead daemon or two pushes at
 * once cost nothing: what has no 202 stays in the spool, and what arrives twice is the same delivery.
 *
 *     <git folder>/penstock/config.json            {"url": ...}                            0600, as all of these
 *                           secret                 the key of the signature
 *                           spool/<order>-<nonce>  one body each, in the order of the pushes
 *                           refused/...            bodies that the daemon will never take; <name>.why tells the reason
 *                           lock, sending          flock()ed: writing to the spool; delivering
 *
 *     struct hook_folder *folder;
 *     hook_open(".", &folder, &err);
 *     hook_spool(folder, "refs/heads/main", before, after, &err);
 *     hook_deliver(folder, stderr, &result, &err);
 *
 * The wire format is in runner/webhooks/webhooks.h. */
#ifndef RUNNER_HOOK_HOOK_H
#define RUNNER_HOOK_HOOK_H

#include "base/cleanup.h"

#include <stdbool.h>
#include <stdio.h>

#define HOOK_SECRET_MAX_BYTES 4096

struct hook_install {
	const char *repository; /* a bare repository or a working tree */
	const char *url;        /* http(s)://HOST[:PORT]/hooks/NAME */
	const char *secret;     /* not empty */
	const char *executable; /* absolute path of the penstock to call */
	bool force;             /* an existing post-receive hook is kept as post-receive.before-penstock */
};
/* Installs, or installs anew with another address or secret. *ret_note: what the user should know, or NULL; owned by the caller.
 * Errors: INVALID (URL, secret), NOT_FOUND (no repository), CONFLICT (another hook is there), IO. */
int hook_install(const struct hook_install *install, char **ret_note, struct error **err) must_check;
/* The hook's text, which calls `executable`; owned by the caller. */
char *hook_script(const char *executable);

struct hook_folder;
/* `repository` as above, or its git folder. NOT_FOUND: no repository, or no hook of Penstock's in it. */
int hook_open(const char *repository, struct hook_folder **ret, struct error **err) must_check;
void hook_close(struct hook_folder *folder);
DEFINE_CLEANUP(struct hook_folder, hook_close);
const char *hook_url(const struct hook_folder *folder);
const char *hook_repository(const struct hook_folder *folder); /* as the user would name it */
bool hook_is_called(const struct hook_folder *folder);         /* git will call it: the file is there, ours and executable */

/* Author and message of `after` are read from the repository, or left "" if that fails. The body is on disk afterwards. */
int hook_spool(struct hook_folder *folder, const char *ref, const char *before, const char *after, struct error **err) must_check;

struct hook_result {
	unsigned delivered, refused, waiting;
};
/* Sends what is spooled, in order, until each has its 202, one is not answered, or the spool is empty; waits for another process that
 * is doing the same. Every outcome is a line on `out`. An unreachable daemon is a result (waiting > 0), not an error. */
int hook_deliver(struct hook_folder *folder, FILE *out, struct hook_result *ret, struct error **err) must_check;
/* Puts what was refused back into the spool, at its old place. */
int hook_retry_refused(struct hook_folder *folder, unsigned *ret_count, struct error **err) must_check;

/* How many there are. `each`, if not NULL, is told of every one in order: its file name, its ref, and why it was refused (NULL: waits). */
typedef void (*hook_each_fn)(void *arg, const char *name, const char *ref, const char *why);
int hook_list(struct hook_folder *folder, hook_each_fn each, void *arg, struct hook_result *ret, struct error **err) must_check;
#endif
