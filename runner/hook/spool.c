/* What was pushed and has no answer yet: files, in order, each safely on disk before anything is sent. */
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "runner/hook/hook_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { CONFIG_MAX_BYTES = 64 * 1024, BODY_MAX_BYTES = 256 * 1024, ORDER_DIGITS = 12, NONCE_BYTES = 16, LOOK_AGAIN_MS = 20, SPOOL_WAIT_MS = 10000 };

static int read_config(struct hook_folder *folder, struct error **err)
{
	cleanup_free char *path = path_join(folder->dir, "config.json"), *secret = path_join(folder->dir, "secret");
	cleanup_json json_t *config = NULL;
	const char *url;
	if (json_read(path, CONFIG_MAX_BYTES, &config, err) < 0 || json_need_string(config, "url", &url, err) < 0)
		return -1;
	folder->url = xstrdup(url);
	return file_read(secret, HOOK_SECRET_MAX_BYTES, &folder->secret, NULL, err);
}

int hook_open(const char *repository, struct hook_folder **ret, struct error **err)
{
	cleanup_free char *git = NULL;
	if (hook_find_git(repository, &git, err) < 0)
		return -1;
	struct hook_folder *folder = xcalloc(1, sizeof(*folder));
	folder->repository = xstrdup(strcmp(repository, ".") == 0 ? git : repository);
	folder->dir = path_join(git, "penstock");
	folder->git = STEAL(git);
	folder->spool = path_join(folder->dir, "spool");
	folder->refused = path_join(folder->dir, "refused");
	int result = 0;
	struct stat info;
	if (stat(folder->dir, &info) < 0)
		result = error_set(err, ERROR_NOT_FOUND, 0, "%s has no hook of Penstock's; `penstock hook install` puts one there",
				   folder->repository);
	else if (read_config(folder, err) < 0)
		result = error_context(err, "the hook's configuration");
	if (result < 0)
		hook_close(folder);
	else
		*ret = folder;
	return result;
}

void hook_close(struct hook_folder *folder)
{
	if (!folder)
		return;
	free(folder->repository);
	free(folder->git);
	free(folder->dir);
	free(folder->spool);
	free(folder->refused);
	free(folder->url);
	free(folder->secret);
	free(folder);
}

const char *hook_url(const struct hook_folder *folder)
{
	return folder->url;
}

const char *hook_repository(const struct hook_folder *folder)
{
	return folder->repository;
}

bool hook_is_called(const struct hook_folder *folder)
{
	cleanup_free char *path = path_join(folder->git, "hooks/post-receive");
	bool exists, ours;
	hook_look(folder->git, &exists, &ours);
	return ours && access(path, X_OK) == 0;
}

int hook_lock(const struct hook_folder *folder, const char *name, unsigned wait_ms, int *ret_fd, struct error **err)
{
	cleanup_free char *path = path_join(folder->dir, name);
	cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "open %s", path);
	uint64_t deadline = clock_mono_ms() + wait_ms;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_set(err, ERROR_IO, errno, "lock %s", path);
		if (clock_mono_ms() >= deadline)
			return error_set(err, ERROR_UNAVAILABLE, 0, "another process holds %s", path);
		poll(NULL, 0, LOOK_AGAIN_MS);
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* "000000000012-<32 hex digits>"; anything else in the folder (a file that is being written aside) is none of ours. */
static bool is_body_name(const char *name)
{
	size_t digits = strspn(name, "0123456789");
	return digits == ORDER_DIGITS && name[digits] == '-' && strspn(name + digits + 1, "0123456789abcdef") == 2 * NONCE_BYTES &&
	       !name[digits + 1 + 2 * NONCE_BYTES];
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int hook_names(const char *dir, struct strlist *ret, struct error **err)
{
	cleanup_dir DIR *stream = opendir(dir);
	if (!stream)
		return error_set(err, ERROR_IO, errno, "read %s", dir);
	for (const struct dirent *entry; (entry = readdir(stream));)
		if (is_body_name(entry->d_name))
			strlist_add(ret, entry->d_name);
	if (ret->n)
		qsort(ret->items, ret->n, sizeof(ret->items[0]), by_name);
	return 0;
}

/* One more than any that waits. */
static int next_order(const struct hook_folder *folder, unsigned long long *ret, struct error **err)
{
	cleanup_strlist struct strlist names = {0};
	if (hook_names(folder->spool, &names, err) < 0)
		return -1;
	*ret = names.n ? strtoull(names.items[names.n - 1], NULL, 10) + 1 : 1;
	return 0;
}

int hook_spool(struct hook_folder *folder, const char *ref, const char *before, const char *after, struct error **err)
{
	cleanup_free char *author = NULL, *message = NULL;
	hook_describe_commit(folder->git, after, &author, &message);
	cleanup_json json_t *body =
		json_pack("{s:s, s:s, s:s, s:s, s:s}", "ref", ref, "before", before, "after", after, "author", author, "message", message);
	if (!body)
		return error_set(err, ERROR_INVALID, 0, "the name of this ref is not UTF-8 text");
	cleanup_free char *text = json_text(body);
	cleanup_fd int lock = -1;
	unsigned long long order;
	if (hook_lock(folder, "lock", SPOOL_WAIT_MS, &lock, err) < 0 || next_order(folder, &order, err) < 0)
		return -1;
	char nonce[2 * NONCE_BYTES + 1];
	random_hex(NONCE_BYTES, nonce);
	cleanup_free char *path = xasprintf("%s/%0*llu-%s", folder->spool, ORDER_DIGITS, order, nonce);
	return file_write_atomic(path, text, strlen(text), 0600, err);
}

static int move(const char *from_dir, const char *to_dir, const char *name, struct error **err)
{
	cleanup_free char *from = path_join(from_dir, name), *to = path_join(to_dir, name);
	if (rename(from, to) < 0)
		return error_set(err, ERROR_IO, errno, "move %s to %s", from, to_dir);
	if (dir_sync(to_dir, err) < 0)
		return -1;
	return dir_sync(from_dir, err);
}

int hook_refuse(const struct hook_folder *folder, const char *name, const char *why, struct error **err)
{
	cleanup_free char *path = xasprintf("%s/%s.why", folder->refused, name);
	if (file_write_atomic(path, why, strlen(why), 0600, err) < 0)
		return -1;
	return move(folder->spool, folder->refused, name, err);
}

int hook_retry_refused(struct hook_folder *folder, unsigned *ret_count, struct error **err)
{
	cleanup_strlist struct strlist names = {0};
	cleanup_fd int lock = -1;
	if (hook_lock(folder, "lock", SPOOL_WAIT_MS, &lock, err) < 0 || hook_names(folder->refused, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++) {
		cleanup_free char *why = xasprintf("%s/%s.why", folder->refused, names.items[i]);
		if (move(folder->refused, folder->spool, names.items[i], err) < 0)
			return -1;
		if (unlink(why) < 0 && errno != ENOENT)
			return error_set(err, ERROR_IO, errno, "remove %s", why);
	}
	*ret_count = (unsigned)names.n;
	return 0;
}

static void tell(const char *dir, const char *name, bool refused, hook_each_fn each, void *arg)
{
	cleanup_free char *path = path_join(dir, name), *why_path = xasprintf("%s/%s.why", dir, name), *why = NULL;
	cleanup_json json_t *body = NULL;
	cleanup_error struct error *ignored = NULL, *ignored_too = NULL;
	if (json_read(path, BODY_MAX_BYTES, &body, &ignored) < 0)
		body = json_object();
	if (refused && file_read(why_path, BODY_MAX_BYTES, &why, NULL, &ignored_too) < 0)
		why = xstrdup("the reason is lost");
	each(arg, name, json_string_or(body, "ref", "?"), why);
}

int hook_list(struct hook_folder *folder, hook_each_fn each, void *arg, struct hook_result *ret, struct error **err)
{
	cleanup_strlist struct strlist waiting = {0}, refused = {0};
	if (hook_names(folder->spool, &waiting, err) < 0 || hook_names(folder->refused, &refused, err) < 0)
		return -1;
	for (size_t i = 0; each && i < waiting.n; i++)
		tell(folder->spool, waiting.items[i], false, each, arg);
	for (size_t i = 0; each && i < refused.n; i++)
		tell(folder->refused, refused.items[i], true, each, arg);
	*ret = (struct hook_result){.waiting = (unsigned)waiting.n, .refused = (unsigned)refused.n};
	return 0;
}
