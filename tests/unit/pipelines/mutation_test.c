/* A few thousand broken versions of real files: each is a pipeline or at least one error, and never a crash. The mutations come
 * from a fixed seed, so a failure can be had again. */
#include "tests/support/support.h"
#include "tests/unit/pipelines/fake_kinds.h"

#include "base/alloc.h"
#include "base/file.h"
#include "pipelines/plan.h"

#define ROUNDS 2000

static uint32_t next_random(uint32_t *seed) /* xorshift32, Marsaglia 2003 */
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static size_t pick(uint32_t *seed, size_t n)
{
	return n ? next_random(seed) % n : 0;
}

/* Deletes, doubles or changes a few bytes or a whole line. `text` has room for twice the length. */
static size_t mutate(char *text, size_t len, uint32_t *seed)
{
	static const char special[] = "{}[]:,&*!|>'\"%@`#-? \n\t$";
	size_t at = pick(seed, len), n = 1 + pick(seed, 12);

	if (at + n > len)
		n = len - at;
	switch (pick(seed, 5)) {
	case 0: /* delete */
		memmove(text + at, text + at + n, len - at - n);
		return len - n;
	case 1: /* double */
		memmove(text + at + n, text + at, len - at);
		return len + n;
	case 2: /* flip a bit */
		text[at] = (char)(text[at] ^ (1 << pick(seed, 8)));
		return len;
	case 3: /* a character that means something */
		text[at] = special[pick(seed, sizeof(special) - 1)];
		return len;
	default: /* double a line somewhere else */
		while (at > 0 && text[at - 1] != '\n')
			at--;
		for (n = 0; at + n < len && text[at + n] != '\n';)
			n++;
		n += at + n < len;
		memmove(text + at + n, text + at, len - at);
		return len + n;
	}
}

static void try_it(const char *text, size_t len)
{
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_pipeline struct pipeline *pipeline = pipeline_parse("p.yml", text, len, fake_kinds_with_scan, diags);
	const struct event_facts facts = {.kind = EVENT_PUSH, .repository = "r", .branch = "main", .commit = "abcdef", .message = "m"};

	assert_int_equal(pipeline != NULL, diag_errors(diags) == 0);
	for (size_t i = 0; i < diag_count(diags); i++)
		assert_true(diag_at(diags, i)->line > 0 || strcmp(diag_at(diags, i)->code, "too-many") == 0);
	if (!pipeline)
		return;
	cleanup_plan struct plan *plan = plan_new(pipeline, &facts, diags);
	assert_int_equal(plan != NULL, diag_errors(diags) == 0);
}

static void mutate_file(const char *path, uint32_t seed)
{
	cleanup_error struct error *err = NULL;
	cleanup_free char *original = NULL, *text = NULL;
	size_t size;

	assert_ok(file_read(path, 1 << 20, &original, &size, &err), err);
	text = xcalloc(8, size);
	for (int round = 0; round < ROUNDS; round++) {
		size_t len = size;

		memcpy(text, original, size);
		for (size_t n = 1 + pick(&seed, 3); n > 0; n--)
			len = mutate(text, len, &seed);
		try_it(text, len);
	}
	for (size_t len = 0; len < size; len += 7) /* cut off */
		try_it(original, len);
}

static void broken_files_never_crash(void **state)
{
	(void)state;
	mutate_file(TEST_DATA "/pipelines/whole.yml", 1);
	mutate_file(TEST_DATA "/pipelines/rich.yml", 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(broken_files_never_crash)};

	(void)fake_kinds;
	return cmocka_run_group_tests_name("mutation", tests, NULL, NULL);
}
