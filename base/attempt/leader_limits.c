#include "base/attempt/leader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define V2_ROOT "/sys/fs/cgroup"
#define V1_ROOT "/sys/fs/cgroup/memory"
#define GROUP_PREFIX "penstock-"

static bool put_file(const char *dir, const char *name, const char *text)
{
	char path[600];

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return false;
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

/* The number after `key` in a file of "key number" lines; 0 if it cannot be read. */
static uint64_t counter(const char *path, const char *key)
{
	char text[16384];
	size_t key_len = strlen(key);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, key_len) == 0 && line[key_len] == ' ')
			return strtoull(line + key_len + 1, NULL, 10);
	}
	return 0;
}

/* Our own group in a hierarchy, from "N:controllers:/path" in /proc/self/cgroup. */
static bool own_group(const char *controllers, char *ret, size_t size)
{
	char line[512];
	bool found = false;
	FILE *file = fopen("/proc/self/cgroup", "re");

	while (file && !found && fgets(line, sizeof(line), file)) {
		char *first = strchr(line, ':');
		char *second = first ? strchr(first + 1, ':') : NULL;
		if (!second)
			continue;
		*second = '\0';
		if (strcmp(first + 1, controllers) != 0)
			continue;
		second[1 + strcspn(second + 1, "\n")] = '\0';
		const char *path = second + 1;
		found = snprintf(ret, size, "%s", strcmp(path, "/") == 0 ? "" : path) < (int)size;
	}
	if (file)
		fclose(file);
	return found;
}

/* A leader that was killed leaves an empty group behind. */
static void sweep(const char *parent)
{
	DIR *dir = opendir(parent);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char *end, path[800];
		if (strncmp(entry->d_name, GROUP_PREFIX, sizeof(GROUP_PREFIX) - 1) != 0)
			continue;
		long pid = strtol(entry->d_name + sizeof(GROUP_PREFIX) - 1, &end, 10);
		if (*end || pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
			continue;
		snprintf(path, sizeof(path), "%s/%s", parent, entry->d_name);
		rmdir(path); /* refused by the kernel if somebody is in there */
	}
	if (dir)
		closedir(dir);
}

static bool make_group(struct limits *limits, const char *parent)
{
	sweep(parent);
	if (snprintf(limits->group, sizeof(limits->group), "%s/" GROUP_PREFIX "%d", parent, (int)getpid()) >= (int)sizeof(limits->group) ||
	    (mkdir(limits->group, 0755) < 0 && errno != EEXIST))
		limits->group[0] = '\0';
	return limits->group[0] != '\0';
}

static void drop_group(struct limits *limits)
{
	rmdir(limits->group);
	limits->group[0] = '\0';
}

static bool join_later(struct limits *limits)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/cgroup.procs", limits->group);
	limits->join_fd = open(path, O_WRONLY | O_CLOEXEC);
	return limits->join_fd >= 0;
}

static bool has_word(const char *path, const char *word)
{
	char text[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, word) != NULL;
}

static bool open_v2(struct limits *limits, const struct leader_spec *spec, bool *ret_cpu)
{
	char own[256], parent[300], path[600], text[64];

	*ret_cpu = false;
	if (!own_group("", own, sizeof(own)))
		return false;
	snprintf(parent, sizeof(parent), V2_ROOT "%s", own);
	snprintf(path, sizeof(path), "%s/cgroup.controllers", parent);
	if (access(path, R_OK) != 0 || (spec->memory_bytes && !has_word(path, "memory")) || !make_group(limits, parent))
		return false;
	limits->v2 = true;
	/* Fails where processes sit in the parent itself; then only what was switched on before us is there. */
	put_file(parent, "cgroup.subtree_control", "+memory");
	put_file(parent, "cgroup.subtree_control", "+cpu");
	snprintf(text, sizeof(text), "%" PRIu64, spec->memory_bytes);
	bool ok = !spec->memory_bytes || put_file(limits->group, "memory.max", text);
	if (ok && spec->memory_bytes)
		put_file(limits->group, "memory.swap.max", "0");
	snprintf(text, sizeof(text), "%" PRIu64 " 100000", spec->cpu * 100000);
	*ret_cpu = spec->cpu && put_file(limits->group, "cpu.max", text);
	if (ok && (spec->memory_bytes || *ret_cpu) && join_later(limits))
		return true;
	drop_group(limits);
	*ret_cpu = false;
	limits->v2 = false;
	return false;
}

static bool open_v1(struct limits *limits, uint64_t memory_bytes)
{
	char own[256], parent[300], text[32];

	if (!own_group("memory", own, sizeof(own)))
		return false;
	snprintf(parent, sizeof(parent), V1_ROOT "%s", own);
	/* In a container the path is the host's: then the root of what we see is our own group. */
	if (access(parent, F_OK) != 0)
		snprintf(parent, sizeof(parent), V1_ROOT);
	if (!make_group(limits, parent))
		return false;
	snprintf(text, sizeof(text), "%" PRIu64, memory_bytes);
	if (put_file(limits->group, "memory.limit_in_bytes", text)) {
		put_file(limits->group, "memory.memsw.limit_in_bytes", text); /* without swap: the limit is the limit */
		if (join_later(limits))
			return true;
	}
	drop_group(limits);
	return false;
}

void limits_open(struct limits *limits, const struct leader_spec *spec, struct leader_log *log)
{
	const uint64_t mib = 1 << 20;
	bool cpu = false;

	*limits = (struct limits){.join_fd = -1, .memory_bytes = spec->memory_bytes, .open_files = spec->open_files};
	limits->oom_kills_before = counter("/proc/vmstat", "oom_kill");
	if (!spec->memory_bytes && !spec->cpu)
		return;
	bool group = open_v2(limits, spec, &cpu) || (spec->memory_bytes && open_v1(limits, spec->memory_bytes));
	if (spec->memory_bytes && group)
		leader_log_note(log, "memory limit %" PRIu64 " MiB by cgroup %s", spec->memory_bytes / mib, limits->v2 ? "v2" : "v1");
	if (spec->memory_bytes && !group) {
		/* RLIMIT_AS would count reservations, which large runtimes make by the hundred GiB; RLIMIT_DATA counts private memory. */
		limits->data_bytes = spec->memory_bytes;
		leader_log_note(log, "memory limit %" PRIu64 " MiB for each process by RLIMIT_DATA (no cgroup is delegated to us)",
				spec->memory_bytes / mib);
	}
	if (spec->cpu && cpu)
		leader_log_note(log, "limit of %" PRIu64 " CPUs by cgroup v2", spec->cpu);
	if (spec->cpu && !cpu)
		leader_log_note(log, "limit of %" PRIu64 " CPUs is not enforced (no cgroup v2 is delegated to us)", spec->cpu);
}

static void lower(__rlimit_resource_t what, uint64_t value)
{
	struct rlimit limit;

	if (getrlimit(what, &limit) < 0)
		return;
	if (limit.rlim_max != RLIM_INFINITY && value > limit.rlim_max)
		value = limit.rlim_max;
	limit.rlim_cur = limit.rlim_max = value;
	setrlimit(what, &limit);
}

void limits_apply_in_child(const struct limits *limits)
{
	if (limits->join_fd >= 0 && write(limits->join_fd, "0", 1) < 0) {
		static const char text[] = "--- could not join the cgroup: the memory limit is not enforced\n";
		write_whole(2, text, sizeof(text) - 1);
	}
	lower(RLIMIT_CORE, 0);
	lower(RLIMIT_NOFILE, limits->open_files);
	if (limits->data_bytes)
		lower(RLIMIT_DATA, limits->data_bytes);
	/* When the machine runs out of memory, a stage goes before the daemon. Raising needs no privilege. */
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		write_whole(fd, "200", 3);
		close(fd);
	}
}

bool limits_saw_oom(const struct limits *limits, int signal, uint64_t max_rss_bytes)
{
	if (limits->group[0]) {
		char path[600];
		snprintf(path, sizeof(path), "%s/%s", limits->group, limits->v2 ? "memory.events" : "memory.oom_control");
		if (counter(path, "oom_kill") > 0)
			return true;
	}
	if (limits->data_bytes && signal && max_rss_bytes >= limits->data_bytes / 10 * 9)
		return true; /* a refused allocation ends many programs by SIGSEGV or SIGABRT */
	return signal == SIGKILL && counter("/proc/vmstat", "oom_kill") > limits->oom_kills_before;
}

void limits_close(struct limits *limits)
{
	if (limits->join_fd >= 0)
		close(limits->join_fd);
	limits->join_fd = -1;
	if (limits->group[0])
		drop_group(limits);
}
