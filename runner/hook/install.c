/* Putting the hook into a repository. */
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "runner/hook/hook_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { SCRIPT_MAX_BYTES = 1024 * 1024 };

int hook_find_git(const char *repository, char **ret, struct error **err)
{
	static const char *const places[] = {".git", "."};
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		cleanup_free char *git = i == 0 ? path_join(repository, places[i]) : xstrdup(repository);
		cleanup_free char *head = path_join(git, "HEAD"), *objects = path_join(git, "objects");
		if (path_exists(head) && path_exists(objects)) {
			char *real = realpath(git, NULL);
			if (!real)
				return error_set(err, ERROR_IO, errno, "%s", git);
			*ret = real;
			return 0;
		}
	}
	return error_set(err, ERROR_NOT_FOUND, 0, "%s is no git repository", repository);
}

void hook_look(const char *git, bool *ret_exists, bool *ret_ours)
{
	cleanup_free char *path = path_join(git, "hooks/post-receive"), *text = NULL;
	cleanup_error struct error *err = NULL;
	struct stat info;
	*ret_exists = lstat(path, &info) == 0;
	*ret_ours = *ret_exists && file_read(path, SCRIPT_MAX_BYTES, &text, NULL, &err) == 0 && strstr(text, HOOK_MARK);
}

/* 'it'\''s': the one way of quoting that sh leaves alone whatever the bytes are. */
static void add_quoted(struct buf *out, const char *text)
{
	buf_addc(out, '\'');
	for (; *text; text++) {
		if (*text == '\'')
			buf_adds(out, "'\\''");
		else
			buf_addc(out, *text);
	}
	buf_addc(out, '\'');
}

char *hook_script(const char *executable)
{
	struct buf text;
	buf_init(&text, SCRIPT_MAX_BYTES);
	buf_adds(&text, "#!/bin/sh\n" HOOK_MARK "\n# Tells Penstock what was pushed. It never fails the push.\npenstock=");
	add_quoted(&text, executable);
	buf_adds(&text, "\nif [ -x \"$penstock\" ]; then\n\texec \"$penstock\" hook send\nfi\n"
			"cat > /dev/null\n"
			"echo \"penstock: $penstock is gone, so nobody was told of this push; run \\`penstock hook install\\` again\" >&2\n");
	return buf_steal(&text);
}

static int check_url(const char *url, struct error **err)
{
	const char *host = strncmp(url, "http://", 7) == 0 ? url + 7 : strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;
	const char *path = host ? strchr(host, '/') : NULL;
	bool right = path && path > host && strncmp(path, "/hooks/", 7) == 0 && path[7] && !strpbrk(path + 7, "/?#");
	for (const char *p = url; *p && right; p++)
		right = (unsigned char)*p > ' ' && (unsigned char)*p < 0x7f;
	if (right && memchr(host, '@', (size_t)(path - host)))
		return error_set(err, ERROR_INVALID, 0, "the URL has a user in it; the secret is what proves who calls");
	return right ? 0
		     : error_set(err, ERROR_INVALID, 0,
				 "\"%s\" is no webhook address; it looks like http://127.0.0.1:8080/hooks/NAME, where NAME is the repository's in "
				 "penstock.yml",
				 url);
}

/* Root installs it for whoever owns the repository: the pusher, not root, runs the hook. */
static int hand_over(const char *git, const char *path, struct error **err)
{
	struct stat info;
	if (geteuid() != 0)
		return 0;
	if (stat(git, &info) < 0 || lchown(path, info.st_uid, info.st_gid) < 0)
		return error_set(err, ERROR_IO, errno, "give %s to the repository's owner", path);
	return 0;
}

static int make_folder(const char *git, const char *name, struct error **err)
{
	cleanup_free char *path = path_join(git, name);
	if (dir_make(path, 0700, err) < 0)
		return -1;
	return hand_over(git, path, err);
}

static int write_file(const char *git, const char *name, const char *text, mode_t mode, struct error **err)
{
	cleanup_free char *path = path_join(git, name);
	if (file_write_atomic(path, text, strlen(text), mode, err) < 0)
		return -1;
	return hand_over(git, path, err);
}

/* Leaves a hook of somebody else's alone, or, by force, aside. */
static int make_room(const char *git, bool force, char **ret_note, struct error **err)
{
	bool exists, ours;
	hook_look(git, &exists, &ours);
	if (!exists || ours)
		return 0;
	cleanup_free char *old = path_join(git, "hooks/post-receive"), *aside = path_join(git, "hooks/post-receive.before-penstock");
	if (!force)
		return error_set(err, ERROR_CONFLICT, 0,
				 "%s exists and is not Penstock's; --force replaces it (keeping it as post-receive.before-penstock), or let it call "
				 "`penstock hook send` with the same standard input",
				 old);
	if (path_exists(aside))
		return error_set(err, ERROR_CONFLICT, 0, "%s is not Penstock's, and %s exists already; move one of them away", old, aside);
	if (rename(old, aside) < 0)
		return error_set(err, ERROR_IO, errno, "move %s aside", old);
	*ret_note = xasprintf("the hook that was there is kept as %s and is not called any more", aside);
	return 0;
}

static int write_all(const struct hook_install *install, const char *git, struct error **err)
{
	static const char *const folders[] = {"hooks", "penstock", "penstock/spool", "penstock/refused"};
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		cleanup_free char *path = path_join(git, folders[i]);
		if (!(i == 0 && path_exists(path)) && make_folder(git, folders[i], err) < 0)
			return -1;
	}
	cleanup_json json_t *config = json_pack("{s:s}", "url", install->url);
	cleanup_free char *text = json_text_pretty(config), *script = hook_script(install->executable);
	if (write_file(git, "penstock/secret", install->secret, 0600, err) < 0 || write_file(git, "penstock/config.json", text, 0600, err) < 0)
		return -1;
	return write_file(git, "hooks/post-receive", script, 0755, err);
}

int hook_install(const struct hook_install *install, char **ret_note, struct error **err)
{
	cleanup_free char *git = NULL, *note = NULL;
	if (check_url(install->url, err) < 0)
		return -1;
	if (!install->secret[0])
		return error_set(err, ERROR_INVALID, 0, "the secret is empty");
	if (hook_find_git(install->repository, &git, err) < 0 || make_room(git, install->force, &note, err) < 0)
		return -1;
	if (write_all(install, git, err) < 0)
		return -1;
	*ret_note = STEAL(note);
	return 0;
}
