#include "tests/support/support.h"
#include "tests/unit/pipelines/fake_kinds.h"

#include "base/alloc.h"
#include "base/file.h"
#include "pipelines/lint.h"

static struct lint_counts lint(struct fixture *fixture, const char *const *names, size_t n, enum lint_format format, struct buf *out)
{
	const struct lint_options options = {.files = names, .n_files = n, .kinds = fake_kinds, .format = format};
	struct lint_counts counts;

	assert_int_equal(chdir(fixture->dir), 0);
	buf_init(out, LINT_MAX_OUTPUT);
	lint_files(&options, out, &counts);
	assert_int_equal(chdir("/"), 0);
	assert_false(out->failed);
	return counts;
}

static void mistakes_are_shown_at_their_place(void **state)
{
	struct fixture *fixture = *state;

	free(fixture_write(fixture, "a.yml", "stages:\n  train: {run: x}\n  score:\n    needs: [trian]\n    run: y\n"));
	free(fixture_write(fixture, "b.yml", "stages: {a: {run: x}, b: {run: x}}\n"));
	cleanup_buf struct buf out;
	struct lint_counts counts = lint(fixture, (const char *[]){"a.yml", "b.yml", "c.yml"}, 3, LINT_TEXT, &out);

	assert_string_equal(out.data, "a.yml:4:13: error: stage \"score\" needs \"trian\", which is no stage; did you mean \"train\"?\n"
				      "    4 |     needs: [trian]\n"
				      "      |             ^~~~~\n"
				      "b.yml: ok (2 stages)\n"
				      "c.yml:1:1: error: cannot read c.yml: No such file or directory\n"
				      "3 files: 2 errors, 0 warnings\n");
	assert_int_equal(counts.files, 3);
	assert_int_equal(counts.errors, 2);
	assert_int_equal(counts.warnings, 0);
}

static void machines_get_json(void **state)
{
	struct fixture *fixture = *state;

	free(fixture_write(fixture, "a.yml", "stages: {a: {scan: {}}}\n"));
	cleanup_buf struct buf out;
	cleanup_json json_t *json = NULL;
	cleanup_error struct error *err = NULL;
	struct lint_counts counts = lint(fixture, (const char *[]){"a.yml"}, 1, LINT_JSON, &out);

	assert_int_equal(counts.errors, 1);
	assert_ok(json_parse(out.data, out.len, &json, &err), err);
	cleanup_free char *text = json_text(json);
	assert_string_equal(text, "{\"diagnostics\":[{\"code\":\"unsupported\",\"column\":14,\"file\":\"a.yml\",\"hint\":null,\"line\":1,"
				  "\"message\":\"scan stages are not available in this build\",\"severity\":\"error\"}],\"files\":1}");
}

static void a_file_that_is_too_large_is_told(void **state)
{
	struct fixture *fixture = *state;
	cleanup_free char *text = xcalloc(1, YAML_MAX_BYTES + 2);
	cleanup_buf struct buf out;

	memset(text, '#', YAML_MAX_BYTES + 1);
	free(fixture_write(fixture, "a.yml", text));
	assert_int_equal(lint(fixture, (const char *[]){"a.yml"}, 1, LINT_TEXT, &out).errors, 1);
	assert_non_null(strstr(out.data, "a.yml:1: error: the file is larger than 1 MiB\n"));
}

static void formats_have_names(void **state)
{
	enum lint_format format = LINT_TEXT;

	(void)state;
	assert_true(lint_format_from_name("json", &format) && format == LINT_JSON);
	assert_true(lint_format_from_name("text", &format) && format == LINT_TEXT);
	assert_false(lint_format_from_name("sarif", &format));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mistakes_are_shown_at_their_place, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(machines_get_json, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_file_that_is_too_large_is_told, fixture_setup, fixture_teardown),
		cmocka_unit_test(formats_have_names),
	};

	(void)fake_kinds_with_scan;
	return cmocka_run_group_tests_name("lint", tests, NULL, NULL);
}
