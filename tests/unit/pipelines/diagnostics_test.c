/* Every mistake of the language with its exact text and place: tests/data/pipelines/diagnostics.txt. */
#include "tests/support/support.h"
#include "tests/unit/pipelines/fake_kinds.h"

#include "base/alloc.h"
#include "base/file.h"

#include <inttypes.h>

#define CASES TEST_DATA "/pipelines/diagnostics.txt"

static void add_diagnostic(struct buf *out, const struct diag *diag)
{
	buf_addf(out, "%u:%u-%u %s: %s%s%s\n", diag->line, diag->column, diag->end_column, diag->code, diag->message,
		 diag->hint ? " ; " : "", diag->hint ? diag->hint : "");
}

/* The diagnostics of a file as the cases write them; "" for a pipeline without mistakes. */
static char *diagnose(const char *text, size_t len)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_pipeline struct pipeline *pipeline = pipeline_parse("p.yml", text, len, fake_kinds, diags);
	struct buf out;

	assert_int_equal(pipeline != NULL, diag_errors(diags) == 0);
	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < diag_count(diags); i++)
		add_diagnostic(&out, diag_at(diags, i));
	return buf_steal(&out);
}

/* The start of the next line that begins with `mark`, or NULL. */
static const char *find_mark(const char *text, const char *mark)
{
	size_t len = strlen(mark);

	while (text && strncmp(text, mark, len) != 0) {
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return text;
}

/* What a case expects: its lines but for empty ones and comments. */
static char *expected_of(const char *text, const char *end)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	while (text < end) {
		size_t len = strcspn(text, "\n");

		if (len > 0 && text[0] != '#')
			buf_addf(&out, "%.*s\n", (int)len, text);
		text += len + 1;
	}
	return buf_steal(&out);
}

static void every_mistake_is_told_with_its_place(void **state)
{
	cleanup_error struct error *err = NULL;
	cleanup_free char *cases = NULL;
	unsigned n = 0, wrong = 0;

	(void)state;
	assert_ok(file_read(CASES, 1 << 20, &cases, NULL, &err), err);
	for (const char *at = find_mark(cases, "== "), *next; at; at = next, n++) {
		const char *file = strchr(at, '\n') + 1, *split = find_mark(file, "--\n"), *rest = split + 3;

		next = find_mark(rest, "== ");
		cleanup_free char *expected = expected_of(rest, next ? next : rest + strlen(rest));
		cleanup_free char *found = diagnose(file, (size_t)(split - file));

		if (strcmp(expected, found) == 0)
			continue;
		print_error("%.*s\nexpected:\n%sfound:\n%s\n", (int)strcspn(at, "\n"), at, expected, found);
		wrong++;
	}
	assert_int_equal(wrong, 0);
	assert_true(n >= 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_mistake_is_told_with_its_place)};

	(void)fake_kinds_with_scan;
	return cmocka_run_group_tests_name("diagnostics", tests, NULL, NULL);
}
