/* The log's lines, added up per release and per copy. */
#include "deployers/process/process_priv.h"

#include "tests/support/support.h"

#include <stdio.h>
#include <string.h>

#define FIRST "sha256:aaaa"
#define SECOND "sha256:bbbb"

static struct process *tallied(void)
{
	struct process *process = xcalloc(1, sizeof(*process));
	process->magic = PROCESS_MAGIC;
	process->name = (char *)(uintptr_t) "prod";
	process->settings.threads = 1;
	tally_open(process);
	snprintf(process->tally.slot_image[SLOT_A], DIGEST_SIZE, FIRST);
	snprintf(process->tally.slot_image[SLOT_B], DIGEST_SIZE, SECOND);
	return process;
}

static void add(struct process *process, const char *what)
{
	static unsigned number;
	char line[160];
	int len = snprintf(line, sizeof(line), "9038 %u %s", number++, what);
	tally_line(process, line, (size_t)len);
}

static const struct arm_counts *counts_for(const struct counts_report *report, const char *image)
{
	for (unsigned i = 0; i < report->n_arms; i++)
		if (strcmp(report->arms[i].image, image) == 0)
			return &report->arms[i].counts;
	fail_msg("%s is not in the report", image);
	return NULL;
}

static void check_sums(const struct arm_counts *counts)
{
	uint64_t n = 0, y = 0;
	for (unsigned i = 0; i < counts->n_instances; i++) {
		n += counts->instances[i].n;
		y += counts->instances[i].y;
	}
	assert_int_equal(n, counts->completed);
	assert_int_equal(y, counts->errors);
	assert_int_equal(latency_ladder_total(counts->latency_buckets), counts->completed);
}

static void requests_are_counted_for_their_copy(void **state)
{
	static const struct {
		const char *line;
	} lines[] = {
		{"prod-a i1 200 12 0 1 14 -- b 50000 a"},       {"prod-a i3 200 12 0 1 14 -- b 50000 a"},
		{"prod-a i1 500 12 0 1 14 -- b 50000 a"},       {"prod-b i2 200 3 0 0 4 -- b 50000 b"},
		{"prod-b <NOSRV> 503 -1 -1 -1 0 SC b 50000 b"}, {"prod-a i3 200 3 0 0 4 -- b 50000 b"}, /* fell back */
		{"prod-b i2 -1 -1 0 0 800 CH b 50000 b"},                                               /* given up by the client: nobody's */
	};
	struct process *process = tallied();
	struct counts_report report;
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		add(process, lines[i].line);
	tally_take(process, &report);
	const struct arm_counts *a = counts_for(&report, FIRST), *b = counts_for(&report, SECOND);
	check_sums(a);
	check_sums(b);
	assert_int_equal(a->assigned, 3);
	assert_int_equal(a->completed, 4);
	assert_int_equal(a->errors, 1);
	assert_int_equal(a->n_instances, 2);
	assert_int_equal(a->instance_ids[0], 1);
	assert_int_equal(a->instances[0].n, 2);
	assert_int_equal(a->instances[0].y, 1);
	assert_int_equal(a->instance_ids[1], 3);
	assert_int_equal(a->instances[1].n, 2);
	assert_int_equal(a->latency_buckets[latency_ladder_index(13)], 3);
	assert_int_equal(b->assigned, 4);
	assert_int_equal(b->completed, 2);
	assert_int_equal(b->n_instances, 2);
	assert_int_equal(b->instance_ids[0], 2);
	assert_int_equal(b->instance_ids[1], 0); /* no copy served it */
	assert_int_equal(b->instances[1].y, 1);
	/* What was taken is not told again. */
	tally_take(process, &report);
	assert_int_equal(report.n_arms, 0);
	assert_false(report.gap);
	free(process);
}

static void more_copies_than_there_are_places_share_the_last(void **state)
{
	struct process *process = tallied();
	struct counts_report report;
	(void)state;
	for (unsigned id = 1; id <= MEASURE_INSTANCES + 8; id++) {
		char line[80];
		snprintf(line, sizeof(line), "prod-a i%u %d 12 0 1 14 -- b 0 a", id, id % 4 ? 200 : 500);
		add(process, line);
	}
	tally_take(process, &report);
	const struct arm_counts *a = counts_for(&report, FIRST);
	check_sums(a);
	assert_int_equal(a->n_instances, MEASURE_INSTANCES);
	assert_int_equal(a->instances[MEASURE_INSTANCES - 1].n, 9);
	free(process);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_counted_for_their_copy),
		cmocka_unit_test(more_copies_than_there_are_places_share_the_last),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
