#include "tests/support/support.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <sys/wait.h>

char *temp_dir_new(void)
{
	const char *base = getenv("TMPDIR");
	char *dir = path_join(base && base[0] == '/' ? base : "/tmp", "penstock-test.XXXXXX");
	if (!mkdtemp(dir))
		fail_msg("cannot make %s: %s", dir, strerror(errno));
	return dir;
}

void temp_dir_remove(char *dir)
{
	if (!dir)
		return;
	cleanup_error struct error *err = NULL;
	int removed = tree_remove(dir, &err);
	free(dir);
	if (removed < 0)
		fail_msg("%s", error_message(err));
}

/* Calls `see` for each open descriptor but the one that reads the list. */
static unsigned each_open_fd(void (*see)(unsigned fd))
{
	cleanup_dir DIR *dir = opendir("/proc/self/fd");
	assert_non_null(dir);
	unsigned n = 0;
	for (const struct dirent *entry; (entry = readdir(dir));) {
		unsigned long fd = strtoul(entry->d_name, NULL, 10);
		if (entry->d_name[0] == '.' || fd == (unsigned long)dirfd(dir))
			continue;
		n++;
		if (see)
			see((unsigned)fd);
	}
	return n;
}

unsigned count_open_fds(void)
{
	return each_open_fd(NULL);
}

static void tell_fd(unsigned fd)
{
	char link[64], target[512];
	snprintf(link, sizeof(link), "/proc/self/fd/%u", fd);
	ssize_t len = readlink(link, target, sizeof(target) - 1);
	target[len < 0 ? 0 : len] = '\0';
	print_error("descriptor %u is open: %s\n", fd, target);
}

int fixture_setup(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));
	fixture->open_fds = count_open_fds();
	fixture->dir = temp_dir_new();
	*state = fixture;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *fixture = *state;
	unsigned before = fixture->open_fds, now = count_open_fds();
	if (now > before)
		each_open_fd(tell_fd);
	temp_dir_remove(fixture->dir);
	free(fixture);
	*state = NULL;
	int child = waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? 0 : 1;
	if (child)
		print_error("a child process was left behind or not waited for\n");
	if (now > before)
		print_error("%u descriptors were open before the test, %u after it\n", before, now);
	return child || now > before ? -1 : 0;
}

const char *fixture_text(struct fixture *fixture, const char *pattern)
{
	const char *hole = strstr(pattern, "%s");
	assert_non_null(hole);
	snprintf(fixture->text, sizeof(fixture->text), "%.*s%s%s", (int)(hole - pattern), pattern, fixture->dir, hole + 2);
	return fixture->text;
}

char *fixture_write(const struct fixture *fixture, const char *name, const char *text)
{
	cleanup_error struct error *err = NULL;
	char *path = path_join(fixture->dir, name);
	cleanup_free char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	assert_ok(dir_make(parent, 0755, &err), err);
	assert_ok(file_write_atomic(path, text, strlen(text), 0644, &err), err);
	return path;
}

void check_error(const struct error *err, enum error_code code, const char *text, const char *file, int line)
{
	if (!err) {
		print_error("expected the error \"%s\", but there is none\n", text);
		_fail(file, line);
	} else if (error_code_of(err) != code || strcmp(error_message(err), text) != 0) {
		print_error("expected %s \"%s\"\n     got %s \"%s\"\n", error_code_name(code), text,
			    error_code_name(error_code_of(err)), error_message(err));
		_fail(file, line);
	}
}

void check_no_error(const struct error *err, const char *file, int line)
{
	if (err) {
		print_error("unexpected error: %s: %s\n", error_code_name(error_code_of(err)), error_message(err));
		_fail(file, line);
	}
}
