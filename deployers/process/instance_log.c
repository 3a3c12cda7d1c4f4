#include "deployers/process/instance_log.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t read_tail(const char *path, char *bytes, size_t size)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	off_t from = st.st_size > (off_t)size ? st.st_size - (off_t)size : 0;
	ssize_t n = pread(fd, bytes, size, from);
	return n > 0 ? (size_t)n : 0;
}

void instance_log_last(const char *attempt_dir, char *ret, size_t size)
{
	cleanup_free char *path = path_join(attempt_dir, "log");
	char tail[4096];
	size_t len = read_tail(path, tail, sizeof(tail)), from = 0;
	do {
		while (len && (unsigned char)tail[len - 1] <= ' ')
			len--;
		for (from = len; from && tail[from - 1] != '\n';)
			from--;
		if (len - from < 4 || memcmp(tail + from, "--- ", 4) != 0)
			break;
		len = from; /* the leader's own remark; what the program said stands before it */
	} while (len);
	size_t n = 0;
	while (from < len) {
		uint32_t c;
		size_t width = utf8_decode(tail + from, len - from, &c);
		bool strange = !width || utf8_is_unprintable(c);
		size_t step = width ? width : 1, takes = strange ? 1 : width;
		if (n + takes >= size)
			break;
		if (strange)
			ret[n] = '?';
		else
			memcpy(ret + n, tail + from, width);
		n += takes;
		from += step;
	}
	ret[n] = '\0';
}

static void forget_oldest(const char *dir)
{
	cleanup_dir DIR *entries = opendir(dir);
	unsigned oldest = 0;
	size_t n = 0;
	for (struct dirent *entry; entries && (entry = readdir(entries));) {
		unsigned id = (unsigned)strtoul(entry->d_name, NULL, 10);
		struct stat st;
		/* A link is the log of a copy that is still there. */
		if (!id || fstatat(dirfd(entries), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		n++;
		if (!oldest || id < oldest)
			oldest = id;
	}
	if (n <= KEPT_LOGS)
		return;
	cleanup_free char *path = xasprintf("%s/%06u.log", dir, oldest);
	if (unlink(path) < 0)
		log_write(LOG_WARNING, "process", "cannot remove %s: %s", path, strerror(errno));
}

void instance_log_keep(const char *state_dir, const struct instance *instance)
{
	cleanup_free char *attempt_dir = instance_attempt_dir(instance);
	cleanup_free char *logs = path_join(state_dir, "logs");
	if (!attempt_dir || dir_make(logs, 0700, NULL) < 0)
		return;
	cleanup_free char *from = path_join(attempt_dir, "log");
	cleanup_free char *to = xasprintf("%s/%06u.log", logs, instance->id);
	if (rename(from, to) < 0 && !(errno == ENOENT && (unlink(to) == 0 || errno == ENOENT)))
		log_write(LOG_WARNING, "process", "cannot keep the log of copy i%u: %s", instance->id, strerror(errno));
	forget_oldest(logs);
}

void instance_log_show(const char *state_dir, const struct instance *instance)
{
	cleanup_free char *logs = path_join(state_dir, "logs");
	cleanup_free char *link = xasprintf("%s/%06u.log", logs, instance->id);
	cleanup_free char *target = xasprintf("../instances/%06u/starts/%06u/log", instance->id, instance->starts);
	if (dir_make(logs, 0700, NULL) < 0 || (unlink(link) < 0 && errno != ENOENT) || symlink(target, link) < 0)
		log_write(LOG_WARNING, "process", "cannot make %s: %s", link, strerror(errno));
}
