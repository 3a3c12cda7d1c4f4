#include "tests/support/command_run.h"

#include "base/file.h"

#include <fcntl.h>
#include <string.h>

#define MAX_PRINTED ((size_t)1 << 20)

void said_done(struct said *said)
{
	free(said->out);
	free(said->err);
}

struct said command_run(const struct fixture *fixture, int (*command)(int, char **), const struct strlist *argv)
{
	cleanup_free char *out = path_join(fixture->dir, "stdout"), *err = path_join(fixture->dir, "stderr");
	const char *const paths[] = {"/dev/null", out, err};
	struct said said = {0};
	cleanup_error struct error *trouble = NULL;
	int kept[3];
	fflush(NULL);
	for (int i = 0; i < 3; i++) {
		cleanup_fd int fd = open(paths[i], i == 0 ? O_RDONLY | O_CLOEXEC : O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
		kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
		assert_true(fd >= 0 && kept[i] >= 0 && dup2(fd, i) >= 0);
	}
	said.status = command((int)argv->n, argv->items);
	fflush(NULL);
	for (int i = 0; i < 3; i++) {
		dup2(kept[i], i);
		close(kept[i]);
	}
	assert_ok(file_read(out, MAX_PRINTED, &said.out, NULL, &trouble), trouble);
	assert_ok(file_read(err, MAX_PRINTED, &said.err, NULL, &trouble), trouble);
	return said;
}

struct said command_line(const struct fixture *fixture, int (*command)(int, char **), const char *line)
{
	cleanup_strlist struct strlist argv = {0};
	for (const char *p = line; *p;) {
		size_t len = strcspn(p, " ");
		strlist_take(&argv, xstrndup(p, len));
		p += len + (p[len] == ' ');
	}
	return command_run(fixture, command, &argv);
}
