#include "runner/git/git_priv.h"

#include "base/alloc.h"

#include <stdarg.h>
#include <string.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define CHECKS_LEAKS
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(CHECKS_LEAKS)
#include <sanitizer/lsan_interface.h>
void git_leaks_begin(void)
{
	__lsan_disable();
}
void git_leaks_end(void)
{
	__lsan_enable();
}
#else
void git_leaks_begin(void)
{
}
void git_leaks_end(void)
{
}
#endif

static bool has_control_bytes(const char *text)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return true;
	return false;
}

int git_check_url(const char *url, struct error **err)
{
	if (has_control_bytes(url))
		return error_set(err, ERROR_INVALID, 0, "the repository's url has blanks or control bytes in it");
	bool http = strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0;
	const char *host = http ? strstr(url, "://") + 3 : NULL;
	if (host && memchr(host, '@', strcspn(host, "/")))
		return error_set(err, ERROR_INVALID, 0, "the repository's url carries a name or password; these do not belong into a url");
	if (!http && strncmp(url, "file:///", 8) != 0 && url[0] != '/')
		return error_set(err, ERROR_INVALID, 0, "\"%s\" is no https://, http:// or file:// url and no absolute path", url);
	return 0;
}

int git_check_ref(const char *ref, struct error **err)
{
	const char *why = NULL;
	if (!ref[0] || strlen(ref) > 255)
		why = "is empty or too long";
	else if (has_control_bytes(ref))
		why = "has blanks or control bytes in it";
	else if (ref[0] == '-' || strstr(ref, "/-"))
		why = "begins with \"-\", like an option";
	else if (strstr(ref, "..") || strstr(ref, "@{") || strpbrk(ref, "~^:?*[\\"))
		why = "has characters in it that no branch or tag may have";
	else if (ref[0] == '/' || ref[strlen(ref) - 1] == '/' || strstr(ref, "//"))
		why = "has an empty part";
	return why ? error_set(err, ERROR_INVALID, 0, "the ref \"%s\" %s", has_control_bytes(ref) ? "?" : ref, why) : 0;
}

int git_check_commit(const char *commit, struct error **err)
{
	if (strlen(commit) != 40 || strspn(commit, "0123456789abcdef") != 40)
		return error_set(err, ERROR_INVALID, 0, "a commit is 40 lower-case hex digits");
	return 0;
}

int git_fail(struct error **err, enum error_code code, const char *fmt, ...)
{
	const git_error *last = git_error_last();
	const char *message = last && last->message ? last->message : "unknown error";
	if (last && (last->klass == GIT_ERROR_NET || last->klass == GIT_ERROR_HTTP || last->klass == GIT_ERROR_SSL))
		code = ERROR_UNAVAILABLE;
	if (strstr(message, "No space left") || strstr(message, "quota exceeded"))
		code = ERROR_NO_SPACE;
	va_list args;
	va_start(args, fmt);
	cleanup_free char *what = xvasprintf(fmt, args);
	va_end(args);
	return error_set(err, code, 0, "%s: %s", what, message);
}

/* Nothing of the user's or the system's git configuration applies: no proxies, no insteadOf, no credential helpers. The owner of a mirror
 * or of a repository on this machine does not matter: libgit2 runs no hooks and no configured programs. */
void git_init(void)
{
	git_libgit2_init();
	static const int levels[] = {GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL};
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "/nonexistent");
	git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
}
