/* The command table keeps its promises: every command explains itself, refuses what it does not know, and those that ask the daemon
 * say so when there is none. */
#include "tests/support/command_run.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "runner/cli/cli.h"
#include "runner/cli/screen.h"

#include <fcntl.h>
#include <string.h>

/* `penstock ARGS...` in the fixture's directory. */
static struct said say(const struct fixture *fixture, const char *const *args)
{
	cleanup_strlist struct strlist argv = {0};
	strlist_add(&argv, "penstock");
	for (; *args; args++)
		strlist_add(&argv, *args);
	assert_int_equal(chdir(fixture->dir), 0);
	return command_run(fixture, cli_main, &argv);
}
#define SAY(fixture, ...) say(fixture, (const char *const[]){__VA_ARGS__, NULL})

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

static void every_command_explains_itself(void **state)
{
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		if (!command->group)
			continue;
		cleanup_said struct said said = SAY(*state, command->name, "--help");
		cleanup_free char *usage = xasprintf("sage: penstock %s", command->name);
		if (said.status != 0 || !has(said.out, usage) || said.err[0])
			fail_msg("penstock %s --help: exit status %d, \"%s\" \"%s\"", command->name, said.status, said.out, said.err);
		assert_non_null(command->synopsis);
		assert_true(command->summary && command->summary[0]);
	}
}

static void every_command_refuses_an_unknown_option(void **state)
{
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		if (!command->group)
			continue;
		cleanup_said struct said said = SAY(*state, command->name, "--frobnicate");
		if (said.status != 2 || said.out[0] || !has(said.err, command->name))
			fail_msg("penstock %s --frobnicate: exit status %d, \"%s\"", command->name, said.status, said.err);
	}
}

static void names_are_unique_and_groups_stand_together(void **state)
{
	(void)state;
	for (const struct cli_command *a = cli_commands; a->name; a++)
		for (const struct cli_command *b = a + 1; b->name; b++) {
			assert_string_not_equal(a->name, b->name);
			bool together = !a->group || !b->group || strcmp(a->group, b->group) != 0 || strcmp((b - 1)->group, b->group) == 0;
			assert_true(together);
		}
}

static const struct {
	const char *args[5];
	int status;
	const char *err;
} refusals[] = {
	{{"shwo"}, 2, "penstock: there is no command \"shwo\"; did you mean `penstock show`?\n`penstock help` lists them.\n"},
	{{"xyzzyxyzzy"}, 2, "penstock: there is no command \"xyzzyxyzzy\"\n`penstock help` lists them.\n"},
	{{"show"}, 2, "penstock show: something is missing: penstock show [--wait] [--json] RUN\nTry `penstock show --help`.\n"},
	{{"show", "x"}, 2, "penstock show: \"x\" is no number of a run; `penstock ps` lists them\nTry `penstock show --help`.\n"},
	{{"show", "1", "2"}, 2, "penstock show: unexpected argument \"2\"\nTry `penstock show --help`.\n"},
	{{"show", "--jsn", "1"}, 2, "penstock show: there is no option \"--jsn\"; did you mean --json?\nTry `penstock show --help`.\n"},
	{{"ps", "--limit"}, 2, "penstock ps: --limit wants a value\nTry `penstock ps --help`.\n"},
	{{"cancel", "0"}, 2, "penstock cancel: \"0\" is no number of a run; `penstock ps` lists them\nTry `penstock cancel --help`.\n"},
	{{"secret", "ste", "A"}, 2, "penstock secret: there is no \"ste\"; did you mean set?\nTry `penstock secret --help`.\n"},
	{{"secret", "set"}, 2, "penstock secret: usage: penstock secret set NAME\n"},
	{{"secret", "set", "A", "--socket", "no/socket"}, 2, "penstock secret: secret A: there is no value on standard input\n"},
	{{"ps", "--socket", "no/socket"},
	 5,
	 "penstock ps: the daemon is not reachable at no/socket (named by --socket): there is no such socket\n"
	 "Is `penstock serve` running, and may you use its socket?\n"},
	{{"help", "shwo"}, 2, "penstock: there is no command \"shwo\"; did you mean `penstock show`?\n`penstock help` lists them.\n"},
};

static void mistakes_are_told(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const char *args[6] = {0};
		memcpy(args, refusals[i].args, sizeof(refusals[i].args));
		cleanup_said struct said said = say(*state, args);
		assert_string_equal(said.err, refusals[i].err);
		assert_int_equal(said.status, refusals[i].status);
		assert_string_equal(said.out, "");
	}
}

static void the_socket_is_taken_from_the_environment_and_the_file_here(void **state)
{
	struct fixture *fixture = *state;
	free(fixture_write(fixture, "penstock.yml", "socket: here.sock\nstate: state\n"));
	{
		cleanup_said struct said said = SAY(fixture, "ps");
		assert_string_equal(said.err,
				    fixture_text(fixture, "penstock ps: the daemon is not reachable at %s/here.sock (named by ./penstock.yml): "
							  "there is no such socket\n"
							  "Is `penstock serve` running, and may you use its socket?\n"));
	}
	setenv("PENSTOCK_SOCKET", "there.sock", 1);
	cleanup_said struct said said = SAY(fixture, "ps");
	unsetenv("PENSTOCK_SOCKET");
	assert_true(has(said.err, "there.sock (named by $PENSTOCK_SOCKET)"));
	assert_int_equal(said.status, 5);
}

static void help_lists_every_command_that_is_not_hidden(void **state)
{
	cleanup_said struct said said = SAY(*state, "help");
	assert_int_equal(said.status, 0);
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		cleanup_free char *line = xasprintf("\n  %-9s  ", command->name);
		assert_int_equal(has(said.out, line), command->group != NULL);
	}
}

static void the_manual_names_every_command(void **state)
{
	(void)state;
	cleanup_free char *manual = NULL;
	cleanup_error struct error *err = NULL;
	assert_ok(file_read(SOURCE_DIR "/docs/cli.md", 1 << 20, &manual, NULL, &err), err);
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		cleanup_free char *name = xasprintf("`%s", command->name);
		if (!has(manual, name))
			fail_msg("docs/cli.md does not name %s", command->name);
	}
}

static void output_that_is_lost_is_a_failure(void **state)
{
	struct fixture *fixture = *state;
	static const char *const lines[][3] = {{"version"}, {"version", "--json"}, {"help"}, {"lint", "--help"}, {"lint", "ok.yml"}, {"score", "--help"}};
	free(fixture_write(fixture, "ok.yml", "stages: {a: {run: x}}\n"));
	cleanup_free char *told = path_join(fixture->dir, "stderr");
	assert_int_equal(chdir(fixture->dir), 0);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		cleanup_strlist struct strlist argv = {0};
		cleanup_free char *text = NULL, *expected = xasprintf("penstock %s: cannot write to standard output\n", lines[i][0]);
		strlist_add(&argv, "penstock");
		for (size_t w = 0; w < 3 && lines[i][w]; w++)
			strlist_add(&argv, lines[i][w]);
		fflush(NULL);
		cleanup_fd int full = open("/dev/full", O_WRONLY | O_CLOEXEC), aside = open(told, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
		cleanup_fd int kept_out = dup(1), kept_err = dup(2);
		assert_true(dup2(full, 1) >= 0 && dup2(aside, 2) >= 0);
		int status = cli_main((int)argv.n, argv.items);
		dup2(kept_out, 1);
		dup2(kept_err, 2);
		clearerr(stdout);
		assert_int_equal(status, 5);
		assert_int_equal(file_read(told, 4096, &text, NULL, NULL), 0);
		assert_string_equal(text, expected);
	}
}

static void a_strangers_text_cannot_command_the_terminal(void **state)
{
	static const struct {
		const char *text;
		unsigned columns;
		const char *shown;
	} cases[] = {
		{"plain", 0, "plain"},
		{"first\nsecond", 0, "first"},
		{"\033[2Jgone", 0, "?[2Jgone"},
		{"a\tb", 0, "a b"},
		{"\xff\xfe", 0, "??"},
		{"reading \xe2\x80\xae"
		 "around",
		 0, "reading ?around"},
		{"too long a text", 8, "too lon\xe2\x80\xa6"},
		{"fits", 4, "fits"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_buf struct buf out;
		buf_init(&out, 1024);
		screen_add_safe(&out, cases[i].text, cases[i].columns);
		assert_string_equal(out.data, cases[i].shown);
	}
}

static void columns_are_aligned_by_what_is_seen(void **state)
{
	(void)state;
	struct screen screen = {0};
	cleanup_grid struct grid *grid = grid_new();
	buf_init(&screen.out, 4096);
	grid_cell(grid, INK_PLAIN, "a"), grid_number(grid, INK_PLAIN, "1"), grid_cell(grid, INK_PLAIN, "last"), grid_row(grid);
	grid_cell(grid, INK_PLAIN, "\xc3\xa9t\xc3\xa9"), grid_number(grid, INK_PLAIN, "100"), grid_cell(grid, INK_PLAIN, "%s", ""), grid_row(grid);
	grid_print(grid, 1, &screen);
	assert_string_equal(screen.out.data, " a      1  last\n \xc3\xa9t\xc3\xa9  100\n");
	screen_done(&screen);
}

int main(void)
{
	unsetenv("PENSTOCK_SOCKET");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_command_explains_itself, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(every_command_refuses_an_unknown_option, fixture_setup, fixture_teardown),
		cmocka_unit_test(names_are_unique_and_groups_stand_together),
		cmocka_unit_test_setup_teardown(mistakes_are_told, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(the_socket_is_taken_from_the_environment_and_the_file_here, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(help_lists_every_command_that_is_not_hidden, fixture_setup, fixture_teardown),
		cmocka_unit_test(the_manual_names_every_command),
		cmocka_unit_test_setup_teardown(output_that_is_lost_is_a_failure, fixture_setup, fixture_teardown),
		cmocka_unit_test(a_strangers_text_cannot_command_the_terminal),
		cmocka_unit_test(columns_are_aligned_by_what_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
