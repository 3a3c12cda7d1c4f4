/* Who wrote a commit, and what about. The daemon reads both again from its own mirror; until then these are what it shows. */
#include "base/utf8.h"
#include "runner/git/git.h"
#include "runner/hook/hook_priv.h"

#include <git2.h>
#include <string.h>

enum { AUTHOR_MAX_BYTES = 512, MESSAGE_MAX_BYTES = 16 * 1024 };

static char *clean(const char *text, size_t max)
{
	size_t len = strnlen(text, max);
	char *copy = xstrndup(text, len);
	copy[utf8_valid_prefix(copy, len)] = '\0';
	return copy;
}

static git_commit *find(git_repository *repository, const char *name)
{
	git_object *object = NULL;
	git_oid oid;
	/* An annotated tag points at a tag object; the commit behind it is meant. */
	if (git_oid_fromstr(&oid, name) < 0 || git_object_lookup(&object, repository, &oid, GIT_OBJECT_ANY) < 0)
		return NULL;
	git_object *commit = NULL;
	int result = git_object_peel(&commit, object, GIT_OBJECT_COMMIT);
	git_object_free(object);
	return result < 0 ? NULL : (git_commit *)commit;
}

void hook_describe_commit(const char *git, const char *commit, char **ret_author, char **ret_message)
{
	static bool ready;
	if (!ready)
		git_init();
	ready = true;
	git_repository *repository = NULL;
	git_commit *found = NULL;
	if (git_repository_open_ext(&repository, git, GIT_REPOSITORY_OPEN_NO_SEARCH | GIT_REPOSITORY_OPEN_BARE, NULL) == 0)
		found = find(repository, commit);
	const git_signature *author = found ? git_commit_author(found) : NULL;
	cleanup_free char *who = author ? xasprintf("%s <%s>", author->name, author->email) : xstrdup("");
	const char *message = found ? git_commit_message(found) : NULL;
	*ret_author = clean(who, AUTHOR_MAX_BYTES);
	*ret_message = clean(message ? message : "", MESSAGE_MAX_BYTES);
	git_commit_free(found);
	git_repository_free(repository);
}
