/* `penstock lint` as a person or an editor calls it. */
#include "tests/support/support.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "runner/cli/lint.h"

#include <fcntl.h>
#include <string.h>

#define RIGHT "stages: {a: {run: x}}\n"
#define WRONG "stages: {a: {rnu: x}}\n"

/* Runs it in the fixture's directory; what it printed, with both outputs one after the other. */
static char *lint(struct fixture *fixture, const char *const *args, int *ret_status)
{
	static const char *const names[] = {"stdout", "stderr"};
	cleanup_error struct error *err = NULL;
	char *argv[8] = {(char[]){"lint"}};
	int argc = 1, kept[2];
	struct buf printed;

	for (; args[argc - 1]; argc++)
		argv[argc] = xstrdup(args[argc - 1]);
	fflush(stdout);
	fflush(stderr);
	assert_int_equal(chdir(fixture->dir), 0);
	for (int i = 0; i < 2; i++) {
		cleanup_fd int fd = open(names[i], O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

		kept[i] = dup(i + 1);
		assert_true(fd >= 0 && kept[i] >= 0 && dup2(fd, i + 1) >= 0);
	}
	*ret_status = cli_lint(argc, argv);
	fflush(stdout);
	fflush(stderr);
	buf_init(&printed, 1 << 20);
	for (int i = 0; i < 2; i++) {
		cleanup_free char *text = NULL;

		dup2(kept[i], i + 1);
		close(kept[i]);
		assert_ok(file_read(names[i], 1 << 20, &text, NULL, &err), err);
		buf_adds(&printed, text);
	}
	for (int i = 1; i < argc; i++)
		free(argv[i]);
	return buf_steal(&printed);
}

static const struct {
	const char *args[4];
	int status;
	const char *printed;
} cases[] = {
	{{NULL}, 2,
	 ".penstock.yml: ok (1 stage)\n.penstock/a.yml: ok (1 stage)\n"
	 ".penstock/b.yml:1:14: error: unknown key \"rnu\"; did you mean \"run\"?\n"
	 "    1 | stages: {a: {rnu: x}}\n      |              ^~~\n3 files: 1 error, 0 warnings\n"},
	{{".penstock/a.yml"}, 0, ".penstock/a.yml: ok (1 stage)\n"},
	{{"repo"}, 0, "repo/.penstock.yml: ok (1 stage)\n"},
	{{"--format", "json", "repo"}, 0, "{\n  \"diagnostics\": [],\n  \"files\": 1\n}\n"},
	{{"--json", "repo"}, 0, "{\n  \"diagnostics\": [],\n  \"files\": 1\n}\n"},
	{{".penstock"}, 2, "penstock lint: no pipeline in .penstock: neither .penstock.yml nor .penstock/*.yml exists\n"},
	{{"gone.yml"}, 2, "gone.yml:1:1: error: cannot read gone.yml: No such file or directory\n1 file: 1 error, 0 warnings\n"},
	{{"--format", "sarif"}, 2, "penstock lint: the format sarif is not available in this build; use text or json\n"},
	{{"--format", "xml"}, 2, "penstock lint: there is no format \"xml\"; use text or json\n"},
};

static void lint_finds_its_files_and_tells_by_its_status(void **state)
{
	struct fixture *fixture = *state;

	free(fixture_write(fixture, ".penstock.yml", RIGHT));
	free(fixture_write(fixture, ".penstock/a.yml", RIGHT));
	free(fixture_write(fixture, ".penstock/b.yml", WRONG));
	free(fixture_write(fixture, ".penstock/notes.txt", WRONG));
	free(fixture_write(fixture, "repo/.penstock.yml", RIGHT));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int status = -1;
		cleanup_free char *printed = lint(fixture, cases[i].args, &status);

		assert_string_equal(printed, cases[i].printed);
		assert_int_equal(status, cases[i].status);
	}
	assert_int_equal(chdir("/"), 0);
}

static void lint_explains_itself(void **state)
{
	struct fixture *fixture = *state;
	int status = -1;
	cleanup_free char *help = lint(fixture, (const char *const[]){"--help", NULL}, &status);

	assert_int_equal(status, 0);
	assert_non_null(strstr(help, "Usage: penstock lint [--format text|json] [FILE|DIRECTORY...]\n"));
	cleanup_free char *unknown = lint(fixture, (const char *const[]){"--bogus", NULL}, &status);
	assert_int_equal(status, 2);
	assert_non_null(strstr(unknown, "Try `penstock lint --help`.\n"));
	assert_int_equal(chdir("/"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lint_finds_its_files_and_tells_by_its_status, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(lint_explains_itself, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests_name("cli_lint", tests, NULL, NULL);
}
