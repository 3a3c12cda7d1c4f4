#include "artifacts/capture.h"

#include "artifacts/commands.h"
#include "tests/unit/artifacts/oci_fixture.h"

#include <fcntl.h>

static int capture(const struct fixture *fixture, const char *workspace, const char *const *outputs, size_t n, char ret[DIGEST_SIZE],
		   struct error **err)
{
	cleanup_free char *dir = path_join(fixture->dir, workspace);
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_error struct error *ignored = NULL;
	assert_ok(dir_make(dir, 0755, &ignored), ignored);
	return capture_outputs(dir, outputs, n, layout, ret, err);
}

static char *new_workspace(const struct fixture *fixture, const char *name)
{
	char *dir = path_join(fixture->dir, name);
	cleanup_error struct error *err = NULL;
	assert_ok(dir_make(dir, 0755, &err), err);
	return dir;
}

static void outputs_come_back_as_they_were(void **state)
{
	const struct fixture *fixture = *state;
	static const char *const outputs[] = {"model/", "out/metrics.json", "out/deep/x", "current"};
	free(fixture_write(fixture, "a/model/w.bin", "weights"));
	free(fixture_write(fixture, "a/model/sub/\xc3\x84", "umlaut"));
	free(fixture_write(fixture, "a/out/metrics.json", "{}"));
	free(fixture_write(fixture, "a/out/deep/x", "x"));
	free(fixture_write(fixture, "a/out/not-declared", "x"));
	cleanup_free char *tool = fixture_write(fixture, "a/model/run", "#!/bin/sh\n");
	assert_int_equal(chmod(tool, 0755), 0);
	cleanup_free char *empty = path_join(fixture->dir, "a/model/empty");
	cleanup_free char *link = path_join(fixture->dir, "a/current");
	assert_int_equal(mkdir(empty, 0755), 0);
	assert_int_equal(symlink("model/w.bin", link), 0);
	cleanup_error struct error *err = NULL;
	char digest[DIGEST_SIZE], again[DIGEST_SIZE];
	assert_ok(capture(fixture, "a", outputs, ARRAY_SIZE(outputs), digest, &err), err);

	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_free char *back = new_workspace(fixture, "b");
	assert_ok(capture_restore(layout, digest, back, &err), err);
	cleanup_free char *list = run_tool("findutils", (const char *[]){"sh", "-c", "cd \"$1\" && find . | LC_ALL=C sort", "sh", back, NULL});
	assert_string_equal(list, ".\n./current\n./model\n./model/empty\n./model/run\n./model/sub\n./model/sub/\xc3\x84\n./model/w.bin\n"
				  "./out\n./out/deep\n./out/deep/x\n./out/metrics.json\n");
	assert_file(back, "model/sub/\xc3\x84", "umlaut");
	assert_int_equal(mode_of(back, "model/run"), S_IFREG | 0755);
	assert_true(S_ISLNK(mode_of(back, "current")));
	/* What came back gives the same digest again, and restoring over itself is no conflict. */
	assert_ok(capture(fixture, "b", outputs, ARRAY_SIZE(outputs), again, &err), err);
	assert_string_equal(digest, again);
	assert_ok(capture_restore(layout, digest, back, &err), err);
}

static void skopeo_knows_the_artifact(void **state)
{
	const struct fixture *fixture = *state;
	static const char *const outputs[] = {"model/"};
	free(fixture_write(fixture, "a/model/w.bin", "weights"));
	cleanup_error struct error *err = NULL;
	char digest[DIGEST_SIZE];
	assert_ok(capture(fixture, "a", outputs, 1, digest, &err), err);
	cleanup_free char *name = xasprintf("oci:%s/layout:outputs", fixture->dir);
	cleanup_free char *raw = run_tool("skopeo", (const char *[]){"skopeo", "inspect", "--raw", name, NULL});
	char found[DIGEST_SIZE];
	digest_of_bytes(raw, strlen(raw), found);
	assert_string_equal(found, digest);
	assert_non_null(strstr(raw, "\"annotations\":{\"io.penstock.output\":\"model/\"}"));
	assert_non_null(strstr(raw, "\"artifactType\":\"application/vnd.penstock.outputs.v1\""));
}

static void broken_promises_are_named(void **state)
{
	const struct fixture *fixture = *state;
	free(fixture_write(fixture, "a/file", "x"));
	free(fixture_write(fixture, "secret", "x"));
	cleanup_free char *link = path_join(fixture->dir, "a/up");
	cleanup_free char *fifo = path_join(fixture->dir, "a/fifo");
	assert_int_equal(symlink("..", link), 0);
	assert_int_equal(mkfifo(fifo, 0644), 0);
	static const struct {
		const char *output, *text;
	} cases[] = {
		{"model/", "output \"model/\": model/ does not exist"},
		{"out/x.csv", "output \"out/x.csv\": out/x.csv does not exist"},
		{"file/", "file/ is no directory, but its name is given with a \"/\" at the end"},
		{"up/secret", "output \"up/secret\": up: it goes through a symbolic link or leaves its directory"},
		{"../secret", "output \"../secret\" is no path inside the workspace"},
		{"fifo", "fifo is a FIFO; only files, directories and symbolic links can be stored"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_error struct error *err = NULL;
		char digest[DIGEST_SIZE];
		assert_int_equal(capture(fixture, "a", &cases[i].output, 1, digest, &err), -1);
		assert_error(err, ERROR_INVALID, cases[i].text);
	}
}

static void no_outputs_and_nested_outputs_are_fine(void **state)
{
	const struct fixture *fixture = *state;
	static const char *const nested[] = {"out/x", "out/", "out", "outer"};
	free(fixture_write(fixture, "a/out/x", "x"));
	free(fixture_write(fixture, "a/outer", "y"));
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_free char *b = new_workspace(fixture, "b");
	cleanup_error struct error *err = NULL;
	char digest[DIGEST_SIZE];
	assert_ok(capture(fixture, "a", NULL, 0, digest, &err), err);
	assert_ok(capture_restore(layout, digest, b, &err), err);
	assert_ok(capture(fixture, "a", nested, ARRAY_SIZE(nested), digest, &err), err);
	assert_ok(capture_restore(layout, digest, b, &err), err);
	assert_file(b, "out/x", "x");
	assert_file(b, "outer", "y");
	cleanup_fd int fd = layout_open(layout, &err);
	cleanup_json json_t *manifest = NULL;
	assert_ok(layout_read_json(fd, digest, &manifest, &err), err);
	assert_int_equal(json_array_size(json_object_get(manifest, "layers")), 2);
}

/* One artifact from one file. */
static void capture_file(const struct fixture *fixture, const char *name, const char *text, const char *output, char ret[DIGEST_SIZE])
{
	cleanup_free char *path = path_join("source", name);
	cleanup_free char *dir = path_join(fixture->dir, "source");
	cleanup_error struct error *err = NULL;
	assert_ok(tree_remove(dir, &err), err);
	free(fixture_write(fixture, path, text));
	assert_ok(capture(fixture, "source", &output, 1, ret, &err), err);
}

static void a_restore_never_overwrites_other_contents(void **state)
{
	const struct fixture *fixture = *state;
	char digest[DIGEST_SIZE];
	capture_file(fixture, "out/x", "new", "out/", digest);
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_free char *b = new_workspace(fixture, "b");
	free(fixture_write(fixture, "b/out/x", "old"));
	cleanup_error struct error *err = NULL;
	assert_int_equal(capture_restore(layout, digest, b, &err), -1);
	cleanup_free char *text = xasprintf("restore outputs %s: unpack: out/x exists already with other contents", digest);
	assert_error(err, ERROR_CONFLICT, text);
	assert_file(b, "out/x", "old");
}

static void outputs_replace_the_commits_files(void **state)
{
	const struct fixture *fixture = *state;
	char one[DIGEST_SIZE], two[DIGEST_SIZE];
	capture_file(fixture, "out/metrics.json", "new", "out/metrics.json", one);
	capture_file(fixture, "model/w", "weights", "model/", two);
	const char *const digests[] = {one, two};
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_free char *b = new_workspace(fixture, "b");
	free(fixture_write(fixture, "b/out/metrics.json", "of the commit"));
	free(fixture_write(fixture, "b/model/README", "of the commit"));
	cleanup_error struct error *err = NULL;
	assert_ok(capture_restore_all(layout, digests, 2, b, &err), err);
	assert_file(b, "out/metrics.json", "new");
	assert_file(b, "model/README", "of the commit");
	assert_file(b, "model/w", "weights");
	/* A link of the commit is replaced where a file goes, and never followed where a directory should be. */
	cleanup_free char *file = path_join(fixture->dir, "b/out/metrics.json");
	cleanup_free char *outside = fixture_write(fixture, "outside/metrics.json", "untouched");
	assert_int_equal(unlink(file), 0);
	assert_int_equal(symlink(outside, file), 0);
	assert_ok(capture_restore_all(layout, digests, 2, b, &err), err);
	assert_file(b, "out/metrics.json", "new");
	assert_file(fixture->dir, "outside/metrics.json", "untouched");
	cleanup_free char *out = path_join(fixture->dir, "b/out");
	assert_ok(tree_remove(out, &err), err);
	assert_int_equal(symlink("../outside", out), 0);
	assert_int_equal(capture_restore_all(layout, digests, 2, b, &err), -1);
	assert_int_equal(error_code_of(err), ERROR_CONFLICT);
	assert_file(fixture->dir, "outside/metrics.json", "untouched");
}

static void overlapping_outputs_of_two_stages_conflict(void **state)
{
	const struct fixture *fixture = *state;
	char one[DIGEST_SIZE], two[DIGEST_SIZE];
	capture_file(fixture, "out/x", "1", "out/", one);
	capture_file(fixture, "out/y", "2", "out/y", two);
	const char *const digests[] = {one, two};
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_free char *b = new_workspace(fixture, "b");
	cleanup_error struct error *err = NULL;
	assert_int_equal(capture_restore_all(layout, digests, 2, b, &err), -1);
	cleanup_free char *text = xasprintf("two needed stages have overlapping outputs: \"out/\" of %s and \"out/y\" of %s", one, two);
	assert_error(err, ERROR_CONFLICT, text);
	assert_false(is_present(b, "out"));
}

/* Runs a command with its output and messages in files; gives the exit status. */
static int run(const struct fixture *fixture, int (*command)(int, char **), const char *const *argv)
{
	cleanup_free char *out = path_join(fixture->dir, "stdout");
	cleanup_free char *err = path_join(fixture->dir, "stderr");
	int argc = 0;
	while (argv[argc])
		argc++;
	fflush(NULL);
	int saved_out = dup(1), saved_err = dup(2);
	int out_fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0644), err_fd = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	dup2(out_fd, 1);
	dup2(err_fd, 2);
	int status = command(argc, (char **)(uintptr_t)argv);
	fflush(NULL);
	dup2(saved_out, 1);
	dup2(saved_err, 2);
	close(saved_out), close(saved_err), close(out_fd), close(err_fd);
	return status;
}

static void the_commands_do_it_with_exit_codes(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *layout = path_join(fixture->dir, "layout");
	cleanup_free char *a = new_workspace(fixture, "a");
	cleanup_free char *rootfs = path_join(fixture->dir, "rootfs");
	free(fixture_write(fixture, "a/x", "x"));
	assert_int_equal(run(fixture, capture_command, (const char *[]){"capture", "--workspace", a, "--layout", layout, "--", "x", NULL}), 0);
	cleanup_free char *digest = path_join(fixture->dir, "stdout");
	cleanup_free char *line = file_text(digest);
	assert_int_equal(strlen(line), DIGEST_SIZE);
	line[DIGEST_SIZE - 1] = '\0';
	assert_true(digest_is_valid(line));

	assert_int_equal(run(fixture, capture_command, (const char *[]){"capture", "--workspace", a, "--layout", layout, "--", "y", NULL}), 1);
	assert_file(fixture->dir, "stderr", "penstock capture: output \"y\": y does not exist\n");
	assert_file(fixture->dir, "stdout", "");
	assert_int_equal(
		run(fixture, capture_command, (const char *[]){"capture", "--workspace", "/nowhere", "--layout", layout, "--", "y", NULL}), 5);
	assert_int_equal(run(fixture, capture_command, (const char *[]){"capture", "--layout", layout, NULL}), 2);
	assert_file(fixture->dir, "stderr", "usage: penstock capture --workspace DIR --layout DIR -- OUTPUT...\n");

	const char *const unpack[] = {"unpack", "--layout", layout, "--image", line, "--rootfs", rootfs, NULL};
	assert_int_equal(run(fixture, unpack_command, unpack), 2); /* The outputs of a stage are no image. */
	const char *const bad[] = {"unpack", "--layout", layout, "--image", "sha256:x", "--rootfs", rootfs, NULL};
	assert_int_equal(run(fixture, unpack_command, bad), 2);
	assert_false(is_present(fixture->dir, "rootfs"));
	assert_int_equal(run(fixture, unpack_command, (const char *[]){"unpack", NULL}), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(outputs_come_back_as_they_were, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(skopeo_knows_the_artifact, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(broken_promises_are_named, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(no_outputs_and_nested_outputs_are_fine, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_restore_never_overwrites_other_contents, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(outputs_replace_the_commits_files, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(overlapping_outputs_of_two_stages_conflict, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(the_commands_do_it_with_exit_codes, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, first_child, NULL);
}
