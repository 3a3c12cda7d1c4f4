#include "base/attempt/sandbox.h"

#include "base/attempt/leader_fds.h"
#include "base/file.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number

/* Namespaces and privileges: the same for every sandbox. */
static const char *const fixed[] = {
	"--unshare-user",   "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
	"--disable-userns", "--cap-drop",    "ALL",           "--new-session", "--die-with-parent",
	"--as-pid-1",       "--hostname",    "penstock",      "--clearenv",
};

/* What programs commonly need of /etc. Nothing in these files is private to the host. */
static const char *const etc_always[] = {
	"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl",        "ca-certificates", "localtime",      "timezone",   "nsswitch.conf",
	"hosts",       "host.conf",  "services",     "protocols",    "mime.types", "fonts",           "debian_version", "os-release",
};
static const char *const etc_network[] = {"resolv.conf", "gai.conf"};

static const char *bubblewrap(void)
{
	static const char *const places[] = {"/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

/* Root in a container may lack the right to mount; then paths are used as they are. */
static const char *find_stage_dir(void)
{
	static const char *const places[] = {"/mnt", "/media", "/srv", "/tmp"};
	struct stat st;

	if (geteuid() != 0 || prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) != 1)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (lstat(places[i], &st) == 0 && S_ISDIR(st.st_mode))
			return places[i];
	return NULL;
}

static void add(struct sandbox_wrapper *wrapper, const char *word)
{
	strlist_add(&wrapper->argv, word);
}

static void add3(struct sandbox_wrapper *wrapper, const char *option, const char *from, const char *to)
{
	add(wrapper, option);
	add(wrapper, from);
	add(wrapper, to);
}

/* The path under which the sandbox program will find a caller's host path. */
static char *staged(struct sandbox_wrapper *wrapper, const char *path)
{
	if (!wrapper->stage_dir)
		return xstrdup(path);
	strlist_add(&wrapper->stage, path);
	return xasprintf("%s/%zu", wrapper->stage_dir, wrapper->stage.n - 1);
}

/* A link, or a folder or file bound read-only, as `name` in the root. `host` is where we look, `seen` where the sandbox program will. */
static void add_entry(struct sandbox_wrapper *wrapper, const char *host, const char *seen, const char *inside)
{
	char target[4096];
	struct stat st;

	if (lstat(host, &st) < 0)
		return;
	if (!S_ISLNK(st.st_mode)) {
		if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))
			add3(wrapper, "--ro-bind", seen, inside);
		return;
	}
	ssize_t n = readlink(host, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	add3(wrapper, "--symlink", target, inside);
}

static void add_host_root(struct sandbox_wrapper *wrapper, bool network)
{
	static const char *const beside_usr[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};

	add3(wrapper, "--ro-bind", "/usr", "/usr");
	for (size_t i = 0; i < ARRAY_SIZE(beside_usr); i++)
		add_entry(wrapper, beside_usr[i], beside_usr[i], beside_usr[i]);
	for (size_t i = 0; i < ARRAY_SIZE(etc_always) + (network ? ARRAY_SIZE(etc_network) : 0); i++) {
		const char *name = i < ARRAY_SIZE(etc_always) ? etc_always[i] : etc_network[i - ARRAY_SIZE(etc_always)];
		cleanup_free char *path = path_join("/etc", name);
		add3(wrapper, "--ro-bind-try", path, path);
	}
}

static bool is_private(const char *name)
{
	static const char *const names[] = {".", "..", "proc", "dev", "sys", "tmp"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static int add_entries(struct sandbox_wrapper *wrapper, const char *host, const char *seen, const char *inside, bool skip_etc, struct error **err)
{
	cleanup_dir DIR *dir = opendir(host);
	const struct dirent *entry;

	if (!dir)
		return error_set(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, errno, "sandbox: root file system %s", host);
	while ((entry = readdir(dir))) {
		if (is_private(entry->d_name) || (skip_etc && strcmp(entry->d_name, "etc") == 0))
			continue;
		cleanup_free char *from = path_join(host, entry->d_name);
		cleanup_free char *through = path_join(seen, entry->d_name);
		cleanup_free char *to = path_join(inside, entry->d_name);
		add_entry(wrapper, from, through, to);
	}
	return 0;
}

/* Entry by entry onto the tmpfs root rather than as one mount: so binds may be mounted at places that the image lacks. */
static int add_image_root(struct sandbox_wrapper *wrapper, const struct sandbox *sandbox, struct error **err)
{
	cleanup_free char *seen = staged(wrapper, sandbox->rootfs);
	cleanup_free char *etc = path_join(sandbox->rootfs, "etc");
	cleanup_free char *etc_seen = path_join(seen, "etc");
	struct stat st;

	if (add_entries(wrapper, sandbox->rootfs, seen, "/", true, err) < 0)
		return -1;
	if (lstat(etc, &st) == 0 && S_ISDIR(st.st_mode) && add_entries(wrapper, etc, etc_seen, "/etc", false, err) < 0)
		return -1;
	for (size_t i = 0; sandbox->network && i < ARRAY_SIZE(etc_network); i++) {
		cleanup_free char *host = path_join("/etc", etc_network[i]);
		cleanup_free char *own = path_join(etc, etc_network[i]);
		if (lstat(own, &st) < 0)
			add3(wrapper, "--ro-bind-try", host, host);
	}
	return 0;
}

static void add_users(struct sandbox_wrapper *wrapper, const char *rootfs)
{
	cleanup_free char *passwd = path_join(rootfs ? rootfs : "", "etc/passwd");

	if (rootfs && path_exists(passwd))
		return;
	add3(wrapper, "--ro-bind-data", TEXT_OF(INSIDE_FD_PASSWD), "/etc/passwd");
	add3(wrapper, "--ro-bind-data", TEXT_OF(INSIDE_FD_GROUP), "/etc/group");
}

static int check_paths(const struct sandbox *sandbox, struct error **err)
{
	if (sandbox->rootfs && sandbox->rootfs[0] != '/')
		return error_set(err, ERROR_INVALID, 0, "sandbox: rootfs \"%s\" is not an absolute path", sandbox->rootfs);
	for (size_t i = 0; i < sandbox->n_binds; i++) {
		const struct sandbox_bind *bind = &sandbox->binds[i];
		if (bind->from[0] != '/' || bind->to[0] != '/')
			return error_set(err, ERROR_INVALID, 0, "sandbox: bind \"%s\" to \"%s\": both must be absolute paths", bind->from, bind->to);
	}
	return 0;
}

int sandbox_wrap(const struct sandbox *sandbox, struct sandbox_wrapper *ret, struct error **err)
{
	struct sandbox_wrapper wrapper = {.stage_dir = find_stage_dir()};
	const char *program = bubblewrap();

	if (!program)
		return error_set(err, ERROR_MISSING, 0, "sandbox: bwrap was not found: install the package \"bubblewrap\"");
	if (check_paths(sandbox, err) < 0)
		return -1;
	add(&wrapper, program);
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		add(&wrapper, fixed[i]);
	if (!sandbox->network)
		add(&wrapper, "--unshare-net");
	if (!sandbox->rootfs)
		add_host_root(&wrapper, sandbox->network);
	else if (add_image_root(&wrapper, sandbox, err) < 0) {
		sandbox_wrapper_done(&wrapper);
		return -1;
	}
	add_users(&wrapper, sandbox->rootfs);
	strlist_add(&wrapper.argv, "--proc");
	strlist_add(&wrapper.argv, "/proc");
	strlist_add(&wrapper.argv, "--dev");
	strlist_add(&wrapper.argv, "/dev");
	strlist_add(&wrapper.argv, "--tmpfs");
	strlist_add(&wrapper.argv, "/tmp");
	for (size_t i = 0; i < sandbox->n_binds; i++) {
		const struct sandbox_bind *bind = &sandbox->binds[i];
		cleanup_free char *from = staged(&wrapper, bind->from);
		add3(&wrapper, bind->writable ? "--bind" : "--ro-bind", from, bind->to);
	}
	add(&wrapper, "--remount-ro");
	add(&wrapper, "/");
	add(&wrapper, "--chdir");
	add(&wrapper, sandbox->dir ? sandbox->dir : "/");
	add(&wrapper, "--");
	add(&wrapper, INSIDE_EXE);
	add(&wrapper, INSIDE_ARG);
	*ret = wrapper;
	return 0;
}

void sandbox_wrapper_done(struct sandbox_wrapper *wrapper)
{
	strlist_done(&wrapper->argv);
	strlist_done(&wrapper->stage);
}
