#include "deployers/haproxy/program.h"

#include "base/alloc.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char *executable_in(const char *dir, size_t len, const char *suffix)
{
	cleanup_free char *path = xasprintf("%.*s%s/haproxy", (int)len, dir, suffix);
	return len && access(path, X_OK) == 0 ? STEAL(path) : NULL;
}

static char *in_path(const char *path)
{
	while (path && *path) {
		size_t len = strcspn(path, ":");
		char *found = executable_in(path, len, "");
		if (!found && len >= 4 && strncmp(path + len - 4, "/bin", 4) == 0)
			found = executable_in(path, len - 3, "sbin");
		if (found)
			return found;
		path += len;
		path += *path == ':';
	}
	return NULL;
}

int haproxy_program(const char *configured, char **ret_path, struct error **err)
{
	if (configured) {
		if (access(configured, X_OK) < 0)
			return error_set(err, ERROR_MISSING, 0,
					 "there is no HAProxy at %s, which the target's `haproxy` names; Debian's package is `haproxy`", configured);
		*ret_path = xstrdup(configured);
		return 0;
	}
	char *found = in_path(getenv("PATH"));
	if (!found)
		return error_set(err, ERROR_MISSING, 0, "HAProxy is not installed (no `haproxy` in PATH): apt-get install haproxy");
	*ret_path = found;
	return 0;
}

char *haproxy_program_identity(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return NULL;
	return xasprintf("%s %llu:%llu %lld %lld.%09ld", path, (unsigned long long)st.st_dev, (unsigned long long)st.st_ino, (long long)st.st_size,
			 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

/* "[ALERT]    (123) : config : text" -> "config : text" */
static const char *after_prefix(const char *line)
{
	const char *bracket = strstr(line, "[ALERT]");
	const char *colon = bracket ? strstr(bracket, ") : ") : NULL;
	return colon ? colon + 4 : line;
}

void haproxy_complaint_in(const char *text, char *ret, size_t size)
{
	const char *at = strstr(text, "[ALERT]");
	if (!at) {
		at = text;
		for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
			at = line;
	}
	size_t len = strcspn(at, "\n");
	cleanup_free char *line = xstrndup(at, len);
	snprintf(ret, size, "%s", *line ? after_prefix(line) : "it said nothing");
}

void haproxy_complaint(const char *log_path, char *ret, size_t size)
{
	cleanup_free char *text = NULL;
	if (file_read(log_path, 64u << 20, &text, NULL, NULL) < 0)
		snprintf(ret, size, "it left no log");
	else
		haproxy_complaint_in(text, ret, size);
}
