/* Every pipeline that we show to users is one that works: the templates, the examples, and the YAML of README and manual. */
#include "tests/support/support.h"

#include "base/alloc.h"
#include "base/file.h"
#include "pipelines/lint.h"
#include "stages/stage.h"

#include <glob.h>
#include <string.h>

static void check(const char *name, const char *text, size_t len)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_pipeline struct pipeline *pipeline = pipeline_parse(name, text, len, stage_kinds(), diags);
	cleanup_buf struct buf out;
	cleanup_free char *copy = xstrndup(text, len);

	buf_init(&out, 1 << 20);
	diag_print(diags, copy, false, &out);
	if (diag_count(diags) > 0)
		fail_msg("%s", out.data);
	assert_non_null(pipeline);
}

static unsigned check_files(const char *pattern)
{
	cleanup_free char *path = xasprintf("%s/%s", SOURCE_DIR, pattern);
	unsigned n = 0;
	glob_t found;

	if (glob(path, 0, NULL, &found) != 0)
		return 0;
	for (; n < found.gl_pathc; n++) {
		cleanup_error struct error *err = NULL;
		cleanup_free char *text = NULL;
		size_t len;

		assert_ok(file_read(found.gl_pathv[n], 1 << 20, &text, &len, &err), err);
		check(found.gl_pathv[n], text, len);
	}
	globfree(&found);
	return n;
}

/* The blocks of a page that are whole pipelines. */
static unsigned check_page(const char *page)
{
	cleanup_free char *path = xasprintf("%s/%s", SOURCE_DIR, page);
	cleanup_error struct error *err = NULL;
	cleanup_free char *text = NULL;
	unsigned n = 0;

	assert_ok(file_read(path, 1 << 20, &text, NULL, &err), err);
	for (const char *at = text; (at = strstr(at, "```yaml\n"));) {
		const char *block = at + strlen("```yaml\n"), *end = strstr(block, "```");

		assert_non_null(end);
		cleanup_free char *copy = xstrndup(block, (size_t)(end - block));
		at = end + 3;
		if (strncmp(copy, "stages:", 7) != 0 && !strstr(copy, "\nstages:"))
			continue;
		check(page, copy, strlen(copy));
		n++;
	}
	return n;
}

static void templates_have_no_mistakes(void **state)
{
	(void)state;
	assert_true(check_files("pipelines/templates/*.yml") >= 3);
}

static void the_quickstart_has_no_mistakes(void **state)
{
	(void)state;
	assert_int_equal(check_files("examples/quickstart/model/.penstock.yml"), 1);
}

static void pages_show_what_works(void **state)
{
	(void)state;
	assert_true(check_page("docs/pipeline.md") >= 6);
	assert_true(check_page("README.md") >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(templates_have_no_mistakes),
		cmocka_unit_test(the_quickstart_has_no_mistakes),
		cmocka_unit_test(pages_show_what_works),
	};

	return cmocka_run_group_tests_name("examples", tests, NULL, NULL);
}
