#include "gates/sources/reading.h"
#include "gates/sources/template.h"

#include "tests/support/support.h"

#include <math.h>
#include <string.h>

/* One series of one arm as a test writes it; role by letter: e(vents), t(otal), c(ount of a class), b(ucket), v(alue). */
struct given {
	char arm, role;
	const char *group, *series; /* class or edge for c and b */
	double value;
};

struct stage {
	struct arena *arena;
	struct metric_memory memory;
	struct category_order *order;
	struct analysis_metric metric;
	int64_t now_ms;
	bool afresh, windowed;
	struct source_reading reading;
};

static void stage_open(struct stage *stage, enum metric_kind kind)
{
	*stage = (struct stage){.arena = arena_new(), .metric = {.metric = "m", .kind = kind, .low = 0, .high = 1}};
	stage->order = kind == METRIC_DISTRIBUTION ? category_order_new() : NULL;
}

static void stage_close(struct stage *stage)
{
	metric_memory_done(&stage->memory);
	category_order_free(stage->order);
	arena_free(stage->arena);
}

static int fill(struct arm_samples *arm, char name, const struct given *given, size_t n, struct error **err)
{
	int result = 0;
	for (size_t i = 0; i < n && result == 0; i++) {
		struct sample sample = {.group = given[i].group, .series = given[i].series, .edge = (double)NAN, .value = given[i].value};
		if (given[i].arm != name)
			continue;
		if (given[i].role == 'b') {
			double le = 0;
			assert_true(sample_number(given[i].series, strlen(given[i].series), &le));
			result = arm_samples_add_bucket(arm, &(struct histogram_bucket){given[i].group, "h", le, given[i].value}, err);
			continue;
		}
		sample.role = given[i].role == 'e'   ? SAMPLE_EVENTS
			      : given[i].role == 't' ? SAMPLE_TOTAL
			      : given[i].role == 'c' ? SAMPLE_COUNT
						     : SAMPLE_VALUE;
		sample.category = given[i].series;
		result = arm_samples_add(arm, &sample, err);
	}
	return result == 0 ? arm_samples_finish(arm, err) : result;
}

static int stage_read(struct stage *stage, const struct given *given, size_t n, struct error **err)
{
	struct arm_samples arms[2] = {{.arena = stage->arena, .windowed = stage->windowed}, {.arena = stage->arena, .windowed = stage->windowed}};
	struct source_span span = {.from_ms = stage->now_ms, .to_ms = stage->now_ms + 5000, .afresh = stage->afresh};
	stage->now_ms += 5000;
	int result = fill(&arms[0], 's', given, n, err);
	if (result == 0)
		result = fill(&arms[1], 'c', given, n, err);
	if (result == 0)
		result = reading_take(&stage->memory, stage->order, &stage->metric, arms, &span, &stage->reading, err);
	arm_samples_done(&arms[0]);
	arm_samples_done(&arms[1]);
	return result;
}

#define READ(stage, ...)                                                                                                                             \
	do {                                                                                                                                         \
		static const struct given given_[] = {__VA_ARGS__};                                                                                  \
		cleanup_error struct error *err_ = NULL;                                                                                             \
		assert_ok(stage_read((stage), given_, ARRAY_SIZE(given_), &err_), err_);                                                             \
	} while (0)
#define REFUSED(stage, text, ...)                                                                                                                    \
	do {                                                                                                                                         \
		static const struct given given_[] = {__VA_ARGS__};                                                                                  \
		cleanup_error struct error *err_ = NULL;                                                                                             \
		assert_int_equal(stage_read((stage), given_, ARRAY_SIZE(given_), &err_), -1);                                                        \
		assert_error(err_, ERROR_INVALID, text);                                                                                             \
	} while (0)

static void counters_are_compared_with_the_reading_before(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, METRIC_RATE);
	READ(&stage, {'s', 'e', "a", "e", 5}, {'s', 't', "a", "t", 100}, {'c', 'e', "x", "e", 0}, {'c', 't', "x", "t", 10});
	assert_true(stage.reading.nothing_yet);
	READ(&stage, {'s', 'e', "a", "e", 7}, {'s', 't', "a", "t", 200}, {'c', 'e', "x", "e", 1}, {'c', 't', "x", "t", 20});
	assert_false(stage.reading.nothing_yet || stage.reading.no_data);
	assert_int_equal(stage.reading.measure.stable.n, 100);
	assert_int_equal(stage.reading.measure.stable.y, 2);
	assert_int_equal(stage.reading.measure.candidate.n, 10);
	assert_int_equal(stage.reading.measure.candidate.y, 1);
	assert_int_equal(stage.reading.measure.stable.n_instances, 1);
	assert_int_equal(stage.reading.measure.stable.instances[0].n, 100);
	READ(&stage, {'s', 'e', "a", "e", 7}, {'s', 't', "a", "t", 200}, {'c', 'e', "x", "e", 1}, {'c', 't', "x", "t", 20});
	assert_true(stage.reading.no_data);
	assert_string_equal(stage.reading.note, "nothing was counted since the last reading");
	stage_close(&stage);
}

static void a_restarted_instance_counts_from_zero(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, METRIC_RATE);
	READ(&stage, {'s', 't', "a", "t", 100}, {'s', 'e', "a", "e", 9}, {'s', 't', "b", "t", 100}, {'c', 't', "x", "t", 10});
	READ(&stage, {'s', 't', "a", "t", 40}, {'s', 'e', "a", "e", 12}, {'s', 't', "b", "t", 150}, {'c', 't', "x", "t", 15});
	/* The total went down, so the events began at zero too although they did not go down. */
	assert_int_equal(stage.reading.measure.stable.n, 90);
	assert_int_equal(stage.reading.measure.stable.y, 12);
	assert_int_equal(stage.reading.measure.stable.n_instances, 2);
	assert_int_equal(stage.reading.measure.stable.instances[0].n, 40);
	assert_int_equal(stage.reading.measure.stable.instances[1].n, 50);
	assert_string_equal(stage.reading.note, "stable: counters of 1 instance were reset");
	/* All of an arm's instances restarted: nothing to compare. */
	READ(&stage, {'s', 't', "a", "t", 90}, {'s', 't', "b", "t", 190}, {'c', 't', "x", "t", 3});
	assert_true(stage.reading.nothing_yet);
	stage_close(&stage);
}

static void new_series_count_from_zero_and_new_instances_from_their_first_reading(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, METRIC_RATE);
	READ(&stage, {'s', 't', "a", "t", 100}, {'c', 't', "x", "t", 10});
	READ(&stage, {'s', 't', "a", "t", 110}, {'c', 't', "x", "t", 20}, {'c', 'e', "x", "e", 2}, {'c', 't', "y", "t", 5000},
	     {'c', 'e', "y", "e", 77});
	assert_int_equal(stage.reading.measure.candidate.n, 10);
	assert_int_equal(stage.reading.measure.candidate.y, 2);
	/* y is known now; x does not answer this time and goes on where it was. */
	READ(&stage, {'s', 't', "a", "t", 110}, {'c', 't', "y", "t", 5010}, {'c', 'e', "y", "e", 78});
	assert_int_equal(stage.reading.measure.candidate.n, 10);
	assert_int_equal(stage.reading.measure.candidate.y, 1);
	READ(&stage, {'s', 't', "a", "t", 110}, {'c', 't', "x", "t", 26}, {'c', 'e', "x", "e", 2}, {'c', 't', "y", "t", 5010});
	assert_int_equal(stage.reading.measure.candidate.n, 6);
	assert_int_equal(stage.reading.measure.candidate.y, 0);
	/* A series that its instance dropped counts from zero when it is back with less. */
	READ(&stage, {'s', 't', "a", "t", 110}, {'c', 't', "y", "t", 5020}, {'c', 'e', "y", "e", 3});
	assert_int_equal(stage.reading.measure.candidate.y, 3);
	assert_int_equal(stage.reading.measure.candidate.n, 10);
	stage_close(&stage);
}

/* A page that was cut between two lines, or an exporter that skips a beat. */
static void a_series_that_was_left_out_once_goes_on_where_it_was(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, METRIC_RATE);
	READ(&stage, {'s', 't', "a", "t", 100}, {'c', 't', "x", "t", 1000}, {'c', 'e', "x", "e", 400});
	READ(&stage, {'s', 't', "a", "t", 200}, {'c', 't', "x", "t", 1100});
	assert_int_equal(stage.reading.measure.candidate.y, 0);
	READ(&stage, {'s', 't', "a", "t", 300}, {'c', 't', "x", "t", 1200}, {'c', 'e', "x", "e", 402});
	assert_int_equal(stage.reading.measure.candidate.n, 100);
	assert_int_equal(stage.reading.measure.candidate.y, 2);
	/* Restarted: whatever was there before, events that come later have all come since. */
	READ(&stage, {'s', 't', "a", "t", 400}, {'c', 't', "x", "t", 50}, {'c', 't', "w", "t", 5});
	READ(&stage, {'s', 't', "a", "t", 500}, {'c', 't', "x", "t", 600}, {'c', 't', "w", "t", 5}, {'c', 'e', "x", "e", 410});
	assert_int_equal(stage.reading.measure.candidate.n, 550);
	assert_int_equal(stage.reading.measure.candidate.y, 410);
	stage_close(&stage);
}

static void names_of_classes_are_bounded(void **state)
{
	(void)state;
	char name[CATEGORY_NAME_MAX + 2];
	const struct given given[] = {{'s', 'c', "a", "cat", 5}, {'c', 'c', "x", name, 5}};
	struct stage stage;
	stage_open(&stage, METRIC_DISTRIBUTION);
	memset(name, 'x', sizeof(name));
	name[CATEGORY_NAME_MAX + 1] = '\0';
	cleanup_error struct error *err = NULL, *none = NULL;
	assert_int_equal(stage_read(&stage, given, ARRAY_SIZE(given), &err), -1);
	assert_error(err, ERROR_TOO_LARGE, "the name of a class is longer than 256 bytes; choose a label with shorter values");
	assert_int_equal(category_order_count(stage.order), 0);
	name[CATEGORY_NAME_MAX] = '\0';
	assert_ok(stage_read(&stage, given, ARRAY_SIZE(given), &none), none);
	assert_int_equal(category_order_count(stage.order), 2);
	stage_close(&stage);
}

static void instances_that_come_and_go_do_not_fill_the_memory(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, METRIC_RATE);
	for (int round = 0; round < 12; round++) {
		struct given given[1602];
		char names[800][32];
		given[0] = (struct given){'s', 't', "a", "t", 10.0 * round};
		given[1] = (struct given){'c', 't', "x", "t", 5.0 * round};
		for (size_t i = 0; i < 800; i++) {
			snprintf(names[i], sizeof(names[i]), "g%d.%zu", round, i);
			given[2 + i] = (struct given){'s', 't', names[i], "t", 7};
			given[802 + i] = (struct given){'c', 't', names[i], "t", 7};
		}
		cleanup_error struct error *err = NULL;
		assert_ok(stage_read(&stage, given, ARRAY_SIZE(given), &err), err);
		assert_int_equal(stage.reading.nothing_yet, round == 0);
		assert_int_equal(stage.reading.measure.stable.n, round ? 10 : 0);
		assert_int_equal(stage.reading.measure.candidate.n, round ? 5 : 0);
		assert_true(stage.memory.arms[0].n_groups <= 4096);
	}
	stage_close(&stage);
}

static void sums_that_went_down_start_afresh(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, METRIC_RATE);
	READ(&stage, {'s', 't', "", "t", 100}, {'c', 't', "", "t", 1000});
	READ(&stage, {'s', 't', "", "t", 110}, {'c', 't', "", "t", 600});
	assert_true(stage.reading.nothing_yet);
	assert_string_equal(stage.reading.note, "candidate: counters went down and do not tell by instance; they start afresh");
	READ(&stage, {'s', 't', "", "t", 120}, {'c', 't', "", "t", 601});
	assert_int_equal(stage.reading.measure.stable.n, 10);
	assert_int_equal(stage.reading.measure.candidate.n, 1);
	assert_int_equal(stage.reading.measure.candidate.n_instances, 0);
	stage.afresh = true;
	READ(&stage, {'s', 't', "", "t", 150}, {'c', 't', "", "t", 650});
	assert_true(stage.reading.nothing_yet);
	stage.afresh = false;
	READ(&stage, {'s', 't', "", "t", 151}, {'c', 't', "", "t", 651});
	assert_int_equal(stage.reading.measure.stable.n, 1);
	stage_close(&stage);
}

static void events_may_run_ahead_of_their_trials_once(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, METRIC_RATE);
	READ(&stage, {'s', 't', "", "t", 0}, {'c', 't', "", "t", 0}, {'c', 'e', "", "e", 0});
	READ(&stage, {'s', 't', "", "t", 9}, {'c', 't', "", "t", 2}, {'c', 'e', "", "e", 3});
	assert_int_equal(stage.reading.measure.candidate.y, 2);
	READ(&stage, {'s', 't', "", "t", 9}, {'c', 't', "", "t", 4}, {'c', 'e', "", "e", 3});
	assert_int_equal(stage.reading.measure.candidate.n, 2);
	assert_int_equal(stage.reading.measure.candidate.y, 1);
	READ(&stage, {'s', 't', "", "t", 10}, {'c', 't', "", "t", 5}, {'c', 'e', "", "e", 13});
	REFUSED(&stage, "candidate: 10 events among 1 trials, and too many already in the reading before: `events` does not count a part of `total`",
		{'s', 't', "", "t", 11}, {'c', 't', "", "t", 6}, {'c', 'e', "", "e", 23});
	stage_close(&stage);
}

static void numbers_that_no_counter_has_are_errors_and_leave_no_trace(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, METRIC_RATE);
	READ(&stage, {'s', 't', "a", "t", 10}, {'c', 't', "x", "t", 10});
	REFUSED(&stage, "candidate: t of x is -1: no counter is negative", {'s', 't', "a", "t", 20}, {'c', 't', "x", "t", -1});
	REFUSED(&stage, "candidate: t of x is 10.5: a counter of events is a whole number", {'s', 't', "a", "t", 20}, {'c', 't', "x", "t", 10.5});
	REFUSED(&stage, "candidate: t of x is 9007199254740994: beyond 2^53 not every whole number can be told from the next",
		{'s', 't', "a", "t", 20}, {'c', 't', "x", "t", 9007199254740994.0});
	REFUSED(&stage, "stable: t of a stands there twice", {'s', 't', "a", "t", 20}, {'s', 't', "a", "t", 20}, {'c', 't', "x", "t", 11});
	READ(&stage, {'s', 't', "a", "t", (double)NAN}, {'c', 't', "x", "t", 11});
	assert_true(stage.reading.no_data);
	assert_string_equal(stage.reading.note, "stable: t is NaN");
	READ(&stage, {'s', 't', "a", "t", 20});
	assert_true(stage.reading.no_data);
	assert_string_equal(stage.reading.note, "candidate: no series");
	READ(&stage, {'s', 't', "a", "t", 30}, {'c', 't', "x", "t", 13});
	assert_int_equal(stage.reading.measure.stable.n, 20);
	assert_int_equal(stage.reading.measure.candidate.n, 3);
	stage.now_ms -= 9000;
	REFUSED(&stage, "time went back by 4000 ms since the last reading; nothing is counted until the next", {'s', 't', "a", "t", 40},
		{'c', 't', "x", "t", 14});
	READ(&stage, {'s', 't', "a", "t", 41}, {'c', 't', "x", "t", 14});
	assert_int_equal(stage.reading.measure.stable.n, 11);
	stage_close(&stage);
}

static void classes_keep_their_places(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, METRIC_DISTRIBUTION);
	READ(&stage, {'s', 'c', "a", "no", 5}, {'s', 'c', "a", "yes", 5}, {'c', 'c', "x", "no", 1});
	READ(&stage, {'s', 'c', "a", "no", 6}, {'s', 'c', "a", "yes", 8}, {'c', 'c', "x", "no", 3}, {'c', 'c', "x", "maybe", 4});
	assert_int_equal(stage.reading.measure.stable.n_counts, 3);
	assert_int_equal(stage.reading.measure.stable.counts[0], 1);
	assert_int_equal(stage.reading.measure.stable.counts[1], 3);
	assert_int_equal(stage.reading.measure.candidate.counts[0], 2);
	assert_int_equal(stage.reading.measure.candidate.counts[2], 4);
	assert_int_equal(stage.reading.measure.candidate.n, 6);

	/* A watch of a daemon started later goes on with the same places. */
	cleanup_json json_t *names = category_order_to_json(stage.order);
	cleanup_free char *text = json_text(names);
	assert_string_equal(text, "[\"no\",\"yes\",\"maybe\"]");
	struct category_order *later = category_order_new();
	cleanup_error struct error *err = NULL;
	assert_ok(category_order_from_json(later, names, &err), err);
	assert_int_equal(category_order_place(later, "maybe"), 2);
	assert_int_equal(category_order_place(later, "never"), -1);
	category_order_free(later);
	stage_close(&stage);
}

static void classes_beyond_the_last_place_count_together(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, METRIC_DISTRIBUTION);
	for (int round = 1; round <= 2; round++) {
		struct given given[140];
		char names[70][8];
		for (size_t i = 0; i < 70; i++) {
			snprintf(names[i], sizeof(names[i]), "c%02zu", i);
			given[2 * i] = (struct given){'s', 'c', "a", names[i], 10.0 * round};
			given[2 * i + 1] = (struct given){'c', 'c', "x", names[i], 3.0 * round};
		}
		cleanup_error struct error *err = NULL;
		assert_ok(stage_read(&stage, given, ARRAY_SIZE(given), &err), err);
	}
	assert_int_equal(stage.reading.measure.stable.n_counts, MEASURE_CATEGORIES);
	assert_int_equal(stage.reading.measure.stable.counts[0], 10);
	assert_int_equal(stage.reading.measure.stable.counts[63], 70);
	assert_int_equal(stage.reading.measure.candidate.counts[63], 21);
	assert_int_equal(stage.reading.measure.stable.n, 700);
	assert_string_equal(stage.reading.note, "70 categories; those from number 64 on count as one");
	stage_close(&stage);
}

static void buckets_count_what_fell_into_each(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, METRIC_DISTRIBUTION);
	READ(&stage, {'s', 'b', "a", "+Inf", 10}, {'s', 'b', "a", "0.50", 4}, {'s', 'b', "a", "10", 9}, {'c', 'b', "x", "+Inf", 0},
	     {'c', 'b', "x", "0.5", 0}, {'c', 'b', "x", "1e1", 0});
	READ(&stage, {'s', 'b', "a", "+Inf", 20}, {'s', 'b', "a", "0.50", 5}, {'s', 'b', "a", "10", 18}, {'c', 'b', "x", "+Inf", 3},
	     {'c', 'b', "x", "0.5", 1}, {'c', 'b', "x", "10", 1});
	assert_int_equal(stage.reading.measure.stable.counts[0], 1);
	assert_int_equal(stage.reading.measure.stable.counts[1], 8);
	assert_int_equal(stage.reading.measure.stable.counts[2], 1);
	assert_int_equal(stage.reading.measure.candidate.counts[2], 2);
	assert_string_equal(category_order_name(stage.order, 2), "+Inf");
	REFUSED(&stage, "stable and candidate have different buckets (number 1 ends at 0.5 and at 0.7): they cannot be compared",
		{'s', 'b', "a", "+Inf", 20}, {'s', 'b', "a", "0.5", 5}, {'c', 'b', "x", "+Inf", 3}, {'c', 'b', "x", "0.7", 1});
	REFUSED(&stage, "the buckets have changed since the rollout began (number 2 ended at 10, now at +Inf): they cannot be compared",
		{'s', 'b', "a", "+Inf", 20}, {'s', 'b', "a", "0.5", 5}, {'c', 'b', "x", "+Inf", 3}, {'c', 'b', "x", "0.5", 1});
	REFUSED(&stage, "h of a: the bucket le=\"+Inf\" is missing", {'s', 'b', "a", "0.5", 5}, {'c', 'b', "x", "+Inf", 3});
	REFUSED(&stage, "h of a: the bucket le=\"1\" counts 3, less than the 4 of le=\"0.5\" which it contains", {'s', 'b', "a", "0.5", 4},
		{'s', 'b', "a", "1", 3}, {'s', 'b', "a", "+Inf", 3});
	REFUSED(&stage, "h of a: the bucket le=\"1\" stands there twice", {'s', 'b', "a", "1.0", 4}, {'s', 'b', "a", "1", 4});
	REFUSED(&stage, "h of a: the bucket le=\"1\" counts -4: no counter is negative", {'s', 'b', "a", "1", -4}, {'s', 'b', "a", "+Inf", 4});
	REFUSED(&stage, "h of a: the bucket le=\"1\" counts inf: that is no number of anything", {'s', 'b', "a", "1", (double)INFINITY});
	REFUSED(&stage, "h of a and h of b have different buckets: they cannot be added up; select one of them", {'s', 'b', "a", "+Inf", 4},
		{'s', 'b', "b", "1", 4}, {'s', 'b', "b", "+Inf", 4});
	REFUSED(&stage, "some series are counters by class and some are buckets of a histogram: they cannot be compared", {'s', 'b', "a", "+Inf", 4},
		{'c', 'c', "b", "1", 4});
	stage_close(&stage);
}

static void values_stay_within_their_range(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, METRIC_MEAN);
	READ(&stage, {'s', 'v', "a", "v", 0.5}, {'s', 'v', "b", "v", 0.25}, {'c', 'v', "x", "v", 1});
	assert_false(stage.reading.nothing_yet || stage.reading.no_data);
	assert_int_equal(stage.reading.measure.stable.n, 2);
	assert_true(stage.reading.measure.stable.sum == 0.75);
	REFUSED(&stage, "candidate: v is 1.5, outside the metric's range of 0 to 1", {'s', 'v', "a", "v", 0.5}, {'c', 'v', "x", "v", 1.5});
	READ(&stage, {'s', 'v', "a", "v", 0.5}, {'c', 'v', "x", "v", (double)INFINITY});
	assert_true(stage.reading.no_data);
	stage_close(&stage);
}

static void what_was_counted_in_a_window_needs_no_reading_before(void **state)
{
	(void)state;
	struct stage stage;
	stage_open(&stage, METRIC_RATE);
	stage.windowed = true;
	READ(&stage, {'s', 't', "a", "t", 99.6}, {'s', 'e', "a", "e", 1.4}, {'c', 't', "x", "t", 10.2}, {'c', 'e', "x", "e", 10.4});
	assert_int_equal(stage.reading.measure.stable.n, 100);
	assert_int_equal(stage.reading.measure.stable.y, 1);
	assert_int_equal(stage.reading.measure.candidate.y, 10);
	assert_int_equal(stage.reading.measure.stable.n_instances, 0);
	REFUSED(&stage, "stable: t counts -3: more than can be told apart, or less than nothing", {'s', 't', "a", "t", -3}, {'c', 't', "x", "t", 1});
	stage_close(&stage);
}

static void numbers_are_read_as_the_formats_write_them(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool ok;
		double value;
	} cases[] = {
		{"1", true, 1},     {"-1.5e3", true, -1500}, {"+4", true, 4},
		{".5", true, 0.5},  {"5.", true, 5},         {"+Inf", true, (double)INFINITY},
		{"", false, 0},     {"-", false, 0},         {"1e", false, 0},
		{"0x10", false, 0}, {"1 ", false, 0},        {"-inf", true, -(double)INFINITY},
		{"e5", false, 0},   {"1e999", false, 0},     {"infinit", false, 0},
		{"1,5", false, 0},  {"--1", false, 0},       {"NaNo", false, 0},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double value = 0;
		assert_int_equal(sample_number(cases[i].text, strlen(cases[i].text), &value), cases[i].ok);
		assert_true(value == cases[i].value);
	}
	double value = 0;
	assert_true(sample_number("NaN", 3, &value) && isnan(value));
	assert_false(sample_number("1\0"
				   "2",
				   3, &value));
}

static void templates_are_filled_in_for_each_arm(void **state)
{
	(void)state;
	static const char *const instances[] = {"127.0.0.1:20001", "[::1]:20002"};
	const struct source_arm arm = {.name = "candidate", .version = "v1\"x/\n", .image = "i@sha256:0", .instances = instances, .n_instances = 2};
	const struct source_arm empty = {.name = "candidate"};
	static const struct {
		const char *text;
		enum template_escape escape;
		bool empty;
		enum error_code code;
		const char *expected;
	} cases[] = {
		{"x{v=\"{{version}}\", a=\"{{ arm }}\"}", TEMPLATE_QUOTED, false, ERROR_INTERNAL, "x{v=\"v1\\\"x/\\n\", a=\"candidate\"}"},
		{"{{instances}}", TEMPLATE_QUOTED, false, ERROR_INTERNAL, "127\\\\.0\\\\.0\\\\.1:20001|\\\\[::1\\\\]:20002"},
		{"{{addresses}}", TEMPLATE_PLAIN, false, ERROR_INTERNAL, "127.0.0.1:20001,[::1]:20002"},
		{"?q={{image}}&v={{version}}", TEMPLATE_URL, false, ERROR_INTERNAL, "?q=i%40sha256%3A0&v=v1%22x%2F%0A"},
		{"/{{version}}/n", TEMPLATE_POINTER, false, ERROR_INTERNAL, "/v1\"x~1\n/n"},
		{"[{{window}}] {{from}} {{to}}", TEMPLATE_QUOTED, false, ERROR_INTERNAL, "[5250ms] 1.750 7.000"},
		{"{{version}}", TEMPLATE_PLAIN, true, ERROR_INTERNAL, ""},
		{"{{instances}}", TEMPLATE_QUOTED, true, ERROR_UNAVAILABLE, "candidate has no ready copy to fill in for \"{{instances}}\""},
		{"x {{what}}", TEMPLATE_QUOTED, false, ERROR_INVALID,
		 "column 3: nothing is called \"{{what}}\"; there are arm, version, image, instances, addresses, window, from, to"},
		{"{{arm}} {{arm", TEMPLATE_QUOTED, false, ERROR_INVALID, "column 9: \"{{\" without \"}}\""},
	};
	const struct source_span span = {.from_ms = 1750, .to_ms = 7000};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf out cleanup_buf;
		cleanup_error struct error *err = NULL;
		buf_init(&out, 4096);
		int result = template_expand(cases[i].text, cases[i].empty ? &empty : &arm, &span, cases[i].escape, &out, &err);
		if (cases[i].code != ERROR_INTERNAL) {
			assert_int_equal(result, -1);
			assert_error(err, cases[i].code, cases[i].expected);
			continue;
		}
		assert_no_error(err);
		assert_string_equal(out.data, cases[i].expected);
	}
	struct buf small cleanup_buf;
	cleanup_error struct error *err = NULL;
	unsigned names = 0;
	buf_init(&small, 8);
	assert_int_equal(source_expand("{{instances}}", &arm, &span, &small, &err), -1);
	assert_error(err, ERROR_TOO_LARGE, "filled in, the text is longer than 8 bytes");
	cleanup_error struct error *none = NULL;
	assert_ok(template_names("{{arm}}{{window}}", &names, &none), none);
	assert_int_equal(names, TEMPLATE_BIT(ARM) | TEMPLATE_BIT(WINDOW));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_are_compared_with_the_reading_before),
		cmocka_unit_test(a_restarted_instance_counts_from_zero),
		cmocka_unit_test(new_series_count_from_zero_and_new_instances_from_their_first_reading),
		cmocka_unit_test(a_series_that_was_left_out_once_goes_on_where_it_was),
		cmocka_unit_test(names_of_classes_are_bounded),
		cmocka_unit_test(instances_that_come_and_go_do_not_fill_the_memory),
		cmocka_unit_test(sums_that_went_down_start_afresh),
		cmocka_unit_test(events_may_run_ahead_of_their_trials_once),
		cmocka_unit_test(numbers_that_no_counter_has_are_errors_and_leave_no_trace),
		cmocka_unit_test(classes_keep_their_places),
		cmocka_unit_test(classes_beyond_the_last_place_count_together),
		cmocka_unit_test(buckets_count_what_fell_into_each),
		cmocka_unit_test(values_stay_within_their_range),
		cmocka_unit_test(what_was_counted_in_a_window_needs_no_reading_before),
		cmocka_unit_test(numbers_are_read_as_the_formats_write_them),
		cmocka_unit_test(templates_are_filled_in_for_each_arm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
