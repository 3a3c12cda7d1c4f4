/* The contract of every row of gates/sequential/registry.c, with every guard. */
#include "gates/sequential/sequential.h"

#include "base/alloc.h"
#include "tests/support/support.h"
#include "tests/unit/gates/draw.h"

/* A metric of each row, and worlds for it: `b` with the candidate on the boundary, or far beyond it. */
struct world {
	const char *test;
	struct analysis_metric metric;
	double a, boundary, beyond; /* stable's and the candidate's parameter */
	double b_near;              /* inside the bound, and well so */
};
static const struct world worlds[] = {
	{"rate_margin", {.metric = "e", .kind = METRIC_RATE, .versus_stable = true, .margin = 0.01}, 0.02, 0.03, 0.5, 0.001},
	{"rate_margin", {.metric = "e", .kind = METRIC_RATE, .versus_stable = true, .margin = 0.02, .higher_is_better = true}, 0.9, 0.88, 0.2, 0.99},
	{"rate_ratio", {.metric = "e", .kind = METRIC_RATE, .versus_stable = true, .ratio = 1.5}, 0.02, 0.03, 0.5, 0.001},
	{"rate_ratio", {.metric = "e", .kind = METRIC_RATE, .versus_stable = true, .ratio = 1.1, .higher_is_better = true}, 0.88, 0.8, 0.2, 0.99},
	{"latency_ratio", {.metric = "l", .kind = METRIC_LATENCY, .versus_stable = true, .ratio = 1.2, .quantile = 0.95}, 20, 24, 200, 5},
	{"latency_shown", {.metric = "l", .kind = METRIC_LATENCY, .quantile = 0.99}, 20, 20, 20, 20},
	{"distance_at_most", {.metric = "d", .kind = METRIC_DISTRIBUTION, .at_most = 0.1}, 0.5, 0.6, 0.95, 0.5},
	{"distance_at_most", {.metric = "d", .kind = METRIC_DISTRIBUTION, .at_most = 0.0403, .distance = DISTANCE_PSI}, 0.5, 0.6, 0.95, 0.5},
	{"mean_margin", {.metric = "m", .kind = METRIC_MEAN, .versus_stable = true, .margin = 0.5, .low = -2, .high = 3}, 0.5, 1, 2.5, -1},
};

static const enum burst_guard_kind guards[] = {BURSTS_DEFAULT, BURSTS_NONE, BURSTS_EXCHANGEABLE, BURSTS_TEMPERED};

#define EACH(subject)                                                                                                                                \
	for (size_t each = 0; each < ARRAY_SIZE(worlds) * ARRAY_SIZE(guards); each++)                                                                \
		for (struct sequential_subject subject = subject_of(each); subject.metric; subject.metric = NULL)

static struct sequential_subject subject_of(size_t each)
{
	return (struct sequential_subject){&worlds[each / ARRAY_SIZE(guards)].metric, 0.05, 0.05, guards[each % ARRAY_SIZE(guards)]};
}

static void draw_arm(struct rng *rng, const struct analysis_metric *metric, uint64_t n, double p, struct measure_arm *ret, struct arm_counts *ladder)
{
	*ret = (struct measure_arm){.n = n};
	*ladder = (struct arm_counts){.completed = n};
	switch (metric->kind) {
	case METRIC_RATE:
		ret->n_instances = 2;
		ret->instances[0] = (struct instance_counts){n / 2, draw_binomial(rng, n / 2, p)};
		ret->instances[1] = (struct instance_counts){n - n / 2, draw_binomial(rng, n - n / 2, p)};
		ret->y = ret->instances[0].y + ret->instances[1].y;
		break;
	case METRIC_DISTRIBUTION:
		ret->n_counts = 2;
		ret->counts[0] = draw_binomial(rng, n, p);
		ret->counts[1] = n - ret->counts[0];
		break;
	case METRIC_MEAN: /* half at random within one around the mean, half on it */
		ret->sum = (double)n * p;
		for (uint64_t i = 0; i < n / 2; i++)
			ret->sum += draw_uniform(rng) - 0.5;
		break;
	case METRIC_LATENCY:
		for (uint64_t i = 0; i < n; i++) {
			double z = sqrt(-2 * log(draw_uniform(rng))) * cos(2 * M_PI * draw_uniform(rng));
			ladder->latency_buckets[latency_ladder_index(p * exp(0.4 * z))]++;
		}
		break;
	}
}

/* A block of `seconds`; the share is a quarter. */
static void feed(const struct sequential_subject *subject, void *state, struct rng *rng, uint64_t n, double a, double b, double seconds,
		 uint64_t number)
{
	static struct measure measure;
	static struct arm_counts stable, candidate;
	uint64_t n_b = draw_binomial(rng, n, 0.25);
	draw_arm(rng, subject->metric, n - n_b, a, &measure.stable, &stable);
	draw_arm(rng, subject->metric, n_b, b, &measure.candidate, &candidate);
	const struct sequential_block block = {
		.measure = &measure, .stable = &stable, .candidate = &candidate, .span_ms = seconds * 1000, .weight_ppm = 250000, .number = number};
	sequential_for(subject->metric)->add(subject, state, &block);
}

static void rows_are_complete_and_chosen(void **state)
{
	(void)state;
	size_t rows = 0;
	for (const struct sequential_ops *const *row = sequential_registry(); *row; row++, rows++) {
		bool seen = false;
		for (size_t i = 0; i < ARRAY_SIZE(worlds); i++)
			seen = seen || strcmp(worlds[i].test, (*row)->name) == 0;
		assert_true(seen);
		assert_true((*row)->name[0] && (*row)->doc[0] && (*row)->source[0]);
		assert_true((*row)->takes && (*row)->bounded && (*row)->add && (*row)->step && (*row)->read && (*row)->imagine);
	}
	assert_int_equal(rows, 6);
	EACH(subject)
	{
		const struct sequential_ops *test = sequential_for(subject.metric);
		assert_string_equal(test->name, worlds[each / ARRAY_SIZE(guards)].test);
		assert_int_equal(test->state_size(&subject) % sizeof(double), 0);
		assert_int_equal(test->bounded(subject.metric), strcmp(test->name, "latency_shown") != 0);
	}
}

static void a_fresh_state_knows_nothing_and_empty_blocks_change_nothing(void **state)
{
	(void)state;
	EACH(subject)
	{
		const struct sequential_ops *test = sequential_for(subject.metric);
		size_t size = test->state_size(&subject);
		cleanup_free double *fresh = xcalloc(1, size), *fed = xcalloc(1, size);
		static struct sequential_space space;
		struct sequential_block imagined;
		struct sequential_reading reading;
		test->read(&subject, fresh, &reading);
		assert_true(reading.log_e_worse == 0 && reading.log_e_fine == 0 && reading.n_stable == 0 && reading.n_candidate == 0);
		assert_true(isnan(reading.estimate));
		assert_false(test->imagine(&subject, fresh, 100, false, &space, &imagined));
		static const struct measure nothing;
		static const struct arm_counts none;
		const struct sequential_block empty = {.measure = &nothing, .stable = &none, .candidate = &none, .span_ms = 1000, .number = 1};
		test->add(&subject, fed, &empty);
		assert_memory_equal(fresh, fed, size);
	}
}

static void harm_is_never_forgotten_and_safety_starts_afresh(void **state)
{
	(void)state;
	EACH(subject)
	{
		const struct sequential_ops *test = sequential_for(subject.metric);
		const struct world *world = &worlds[each / ARRAY_SIZE(guards)];
		cleanup_free double *fed = xcalloc(1, test->state_size(&subject));
		struct sequential_reading before = {0}, now;
		struct rng rng;
		rng_seed(&rng, each);
		for (uint64_t i = 0; i < 24; i++) {
			feed(&subject, fed, &rng, 400, world->a, i % 8 < 4 ? world->b_near : world->beyond, 20, i);
			test->read(&subject, fed, &now);
			assert_true(now.log_e_worse >= before.log_e_worse && now.log_e_fine >= before.log_e_fine);
			assert_true(isfinite(now.log_e_worse) && isfinite(now.log_e_fine));
			before = now;
			if (i % 8 != 7)
				continue;
			test->step(&subject, fed);
			test->read(&subject, fed, &now);
			assert_true(now.log_e_worse == before.log_e_worse && now.n_candidate == before.n_candidate);
			assert_true(now.log_e_fine == 0 && now.step_n_stable == 0 && now.step_n_candidate == 0);
			before = now;
		}
	}
}

/* With the candidate on the boundary neither verdict may come more often than in alpha of the runs. */
static void on_the_boundary_neither_is_said_often(void **state)
{
	(void)state;
	enum { RUNS = 40, BLOCKS = 30 };
	EACH(subject)
	{
		const struct sequential_ops *test = sequential_for(subject.metric);
		const struct world *world = &worlds[each / ARRAY_SIZE(guards)];
		int worse = 0, fine = 0;
		for (int run = 0; run < RUNS; run++) {
			cleanup_free double *fed = xcalloc(1, test->state_size(&subject));
			struct sequential_reading reading;
			struct rng rng;
			rng_seed(&rng, 1000 * each + (uint64_t)run);
			for (uint64_t i = 0; i < BLOCKS; i++)
				feed(&subject, fed, &rng, 600, world->a, world->boundary, 60, i);
			test->read(&subject, fed, &reading); /* the largest e-values of all looks */
			worse += reading.log_e_worse >= log(20);
			fine += reading.log_e_fine >= log(20);
		}
		if (worse > alarms_allowed(RUNS, 0.05) || fine > alarms_allowed(RUNS, 0.05))
			fail_msg("%s, metric %zu, guard %zu: %d worse, %d fine of %d", test->name, each / ARRAY_SIZE(guards),
				 each % ARRAY_SIZE(guards), worse, fine, RUNS);
	}
}

static void gross_harm_and_clear_safety_are_found(void **state)
{
	(void)state;
	EACH(subject)
	{
		const struct sequential_ops *test = sequential_for(subject.metric);
		const struct world *world = &worlds[each / ARRAY_SIZE(guards)];
		cleanup_free double *bad = xcalloc(1, test->state_size(&subject)), *good = xcalloc(1, test->state_size(&subject));
		struct sequential_reading worse, fine;
		struct rng rng;
		if (!test->bounded(subject.metric))
			continue;
		rng_seed(&rng, each);
		for (uint64_t i = 0; i < 60; i++) {
			feed(&subject, bad, &rng, 1000, world->a, world->beyond, 60, i);
			feed(&subject, good, &rng, 1000, world->a, world->b_near, 60, i);
		}
		test->read(&subject, bad, &worse);
		test->read(&subject, good, &fine);
		if (!(worse.log_e_worse >= log(20) && fine.log_e_fine >= log(20)) || worse.log_e_fine > log(20) || fine.log_e_worse > log(20))
			fail_msg("%s, metric %zu, guard %zu: worse %g, fine %g; wrongly %g, %g", test->name, each / ARRAY_SIZE(guards),
				 each % ARRAY_SIZE(guards), worse.log_e_worse, fine.log_e_fine, fine.log_e_worse, worse.log_e_fine);
		assert_true(worse.low <= worse.estimate && worse.estimate <= worse.high);
	}
}

/* Imagined blocks can be fed: as many requests as were asked for, and the worst are no better than the usual. */
static void imagined_blocks_are_blocks(void **state)
{
	(void)state;
	EACH(subject)
	{
		const struct sequential_ops *test = sequential_for(subject.metric);
		const struct world *world = &worlds[each / ARRAY_SIZE(guards)];
		size_t size = test->state_size(&subject);
		cleanup_free double *fed = xcalloc(1, size), *usual = xcalloc(1, size), *worst = xcalloc(1, size);
		static struct sequential_space space;
		struct sequential_reading before, after_usual, after_worst;
		struct sequential_block block;
		struct rng rng;
		rng_seed(&rng, each);
		for (uint64_t i = 0; i < 10; i++)
			feed(&subject, fed, &rng, 1000, world->a, world->a, 60, i);
		if (!test->imagine(&subject, fed, 500, false, &space, &block)) {
			assert_false(test->bounded(subject.metric));
			continue;
		}
		memcpy(usual, fed, size);
		memcpy(worst, fed, size);
		test->read(&subject, fed, &before);
		test->add(&subject, usual, &block);
		test->read(&subject, usual, &after_usual);
		assert_true(test->imagine(&subject, fed, 500, true, &space, &block));
		test->add(&subject, worst, &block);
		test->read(&subject, worst, &after_worst);
		assert_true(fabs(after_usual.n_candidate - before.n_candidate - 500) <= 1);
		assert_true(fabs(after_worst.n_candidate - before.n_candidate - 500) <= 1);
		assert_true(after_worst.log_e_worse >= after_usual.log_e_worse);
	}
}

/* A state that came back damaged or made up: numbers of every size at every place. */
static double hostile(struct rng *rng, int round)
{
	static const double sizes[] = {-1e18, 1e18, -1, 0.5, 33, 1e308, -1e308, 0x1p53, -0.0, 5e-324, 31.5, 1e5, 64};
	if (round < (int)ARRAY_SIZE(sizes))
		return sizes[round];
	double size = sizes[rng_next(rng) % ARRAY_SIZE(sizes)];
	return rng_next(rng) % 2 ? size : (draw_uniform(rng) - 0.3) * pow(10, floor(draw_uniform(rng) * 20));
}

static void any_finite_state_is_harmless(void **state)
{
	(void)state;
	EACH(subject)
	{
		const struct sequential_ops *test = sequential_for(subject.metric);
		const struct world *world = &worlds[each / ARRAY_SIZE(guards)];
		size_t size = test->state_size(&subject);
		cleanup_free double *made_up = xcalloc(1, size);
		static struct sequential_space space;
		struct sequential_reading reading;
		struct sequential_block block;
		struct rng rng;
		rng_seed(&rng, each);
		for (int round = 0; round < 24; round++) {
			for (size_t i = 0; i < size / sizeof(double); i++)
				made_up[i] = hostile(&rng, round);
			test->read(&subject, made_up, &reading);
			for (uint64_t i = 0; i < 3; i++) {
				feed(&subject, made_up, &rng, 40, world->a, world->b_near, 60, i);
				test->read(&subject, made_up, &reading);
				if (test->imagine(&subject, made_up, 50, i == 2, &space, &block))
					assert_true(block.weight_ppm <= 1000000);
				if (i == 1)
					test->step(&subject, made_up);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_complete_and_chosen),
		cmocka_unit_test(a_fresh_state_knows_nothing_and_empty_blocks_change_nothing),
		cmocka_unit_test(harm_is_never_forgotten_and_safety_starts_afresh),
		cmocka_unit_test(on_the_boundary_neither_is_said_often),
		cmocka_unit_test(gross_harm_and_clear_safety_are_found),
		cmocka_unit_test(imagined_blocks_are_blocks),
		cmocka_unit_test(any_finite_state_is_harmless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
