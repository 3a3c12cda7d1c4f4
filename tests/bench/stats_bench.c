/* Blocks per second and core, and bytes of state, of every kernel in gates/stats. Usage: stats_bench [SECONDS per kernel, default 0.5] */
#include "gates/stats/block2x2.h"
#include "gates/stats/bounded_mean.h"
#include "gates/stats/burst_guard.h"
#include "gates/stats/categorical.h"
#include "gates/stats/event_label.h"
#include "gates/stats/exceedance.h"
#include "gates/stats/exchangeable.h"
#include "gates/stats/quantile_band.h"
#include "gates/stats/rate_sequence.h"
#include "gates/stats/split.h"
#include "gates/stats/tempering.h"
#include "tests/support/noisy_counts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCKS 256
#define STABLE 3
#define CLASSES 10

/* What every kernel is fed: 900 requests of stable and 100 of the candidate a block, 1% errors, ten classes, lognormal latencies. */
static struct {
	struct block2x2 block;
	struct instance_counts stable[STABLE], candidate;
	double classes_a[CLASSES], classes_b[CLASSES];
	uint64_t latency_a[LATENCY_LADDER_BUCKETS], latency_b[LATENCY_LADDER_BUCKETS];
	double score;
} blocks[BLOCKS];
static double edges[LATENCY_LADDER_BUCKETS - 1], counts_a[LATENCY_LADDER_BUCKETS], counts_b[LATENCY_LADDER_BUCKETS];

static union {
	struct event_label label;
	struct event_grid grid;
	struct eprocess eprocess;
	struct burst_guard guard;
	struct exchangeable exchangeable;
	struct tempering tempering;
	struct exceedance exceedance;
	struct categorical categorical;
	struct drift drift;
	struct mean_cs mean;
	struct mean_grid mean_grid;
	struct mean_bet bet;
	struct rate_difference difference;
	struct rate_ratio ratio;
	struct split_check split;
} state;
static double sink; /* so that nothing is optimised away */

static const double shares[2] = {0.9, 0.1};
static const struct event_label_test label_test = {.side = EVENT_LABEL_TWO_SIDED, .arms = 2, .n_k = 1, .k = {100}};
static const struct event_label_test label_worse = {.side = EVENT_LABEL_WORSE, .arms = 2, .n_k = 1, .k = {100}};
static const struct categorical_test class_test = {.n = CLASSES, .n_k = 1, .k = {100}};
static const struct dkw band = {.t_min = 100};

static void run_label(size_t i)
{
	double n[2] = {(double)blocks[i].block.y_a, (double)blocks[i].block.y_b};
	event_label_add(&state.label, &label_test, shares, n);
}
static void run_label_worse(size_t i)
{
	double n[2] = {(double)blocks[i].block.y_a, (double)blocks[i].block.y_b};
	event_label_add(&state.label, &label_worse, shares, n);
}
static void run_grid(size_t i)
{
	event_grid_add(&state.grid, 0.1, (double)blocks[i].block.y_a, (double)blocks[i].block.y_b);
}
static void run_factor(size_t i)
{
	sink += block2x2_log_factor(&blocks[i].block, 0.01, 0.02, 0, NULL_NOT_WORSE);
}
static void run_worse(size_t i)
{
	eprocess_bet(&state.eprocess, &blocks[i].block, 0.01, 0, NULL_NOT_WORSE);
}
static void run_margin(size_t i)
{
	eprocess_bet(&state.eprocess, &blocks[i].block, 0.01, 0.005, NULL_NOT_WORSE);
}
static void run_fine(size_t i)
{
	eprocess_bet(&state.eprocess, &blocks[i].block, 0.01, 0.005, NULL_NOT_FINE);
}
static void run_guard(size_t i)
{
	burst_guard_add(&state.guard, blocks[i].stable, STABLE, &blocks[i].candidate, 1, 0.005, 0);
	if (i % 60 == 59)
		burst_guard_end_window(&state.guard);
}
static void run_exchangeable(size_t i)
{
	exchangeable_add(&state.exchangeable, blocks[i].stable, STABLE, &blocks[i].candidate, 1, 0.005, NULL_NOT_WORSE, 1);
}
static void run_tempering(size_t i)
{
	tempering_observe(&state.tempering, blocks[i].stable, STABLE);
	sink += tempering_phi(&state.tempering);
}
static void run_exceedance(size_t i)
{
	exceedance_add(&state.exceedance, blocks[i].latency_a, blocks[i].latency_b, 0.99, 1.2, 0);
}
static void run_categorical(size_t i)
{
	categorical_add(&state.categorical, &class_test, 0.1, blocks[i].classes_a, blocks[i].classes_b);
}
static void run_drift(size_t i)
{
	drift_add(&state.drift, CLASSES, 0.1, 0.1, blocks[i].classes_a, blocks[i].classes_b);
}
static void run_mean(size_t i)
{
	if (mean_cs_add(&state.mean, blocks[i].score, 0.05))
		sink += mean_cs_now(&state.mean, 0.05).low;
}
static void run_mean_grid(size_t i)
{
	sink += mean_grid_add(&state.mean_grid, blocks[i].score, 0.05);
}
static void run_bet(size_t i)
{
	sink += mean_bet_block(&state.bet, 900, 900 * blocks[i].score, 100, 100 * blocks[(i + 1) % BLOCKS].score, 0.02, NULL_NOT_FINE);
}
static void run_dkw(size_t i)
{
	struct histogram a = {edges, counts_a, LATENCY_LADDER_BUCKETS - 1}, b = {edges, counts_b, LATENCY_LADDER_BUCKETS - 1};
	counts_a[i % LATENCY_LADDER_BUCKETS]++;
	sink += histogram_gap(&a, &b, GAP_SLOWER_B) - dkw_radius(&band, 1e5 + (double)i, 0.025);
}
static void run_difference(size_t i)
{
	rate_difference_add(&state.difference, &blocks[i].block, 0.01);
}
static void run_ratio(size_t i)
{
	rate_ratio_add(&state.ratio, &blocks[i].block, 0.01);
}
static void run_split(size_t i)
{
	split_add(&state.split, 100000, blocks[i].block.n_a, blocks[i].block.n_b);
	sink += split_log_e(&state.split);
}

static const struct {
	const char *name;
	void (*run)(size_t block);
	size_t bytes;
} kernels[] = {
	{"event label, two-sided, one k", run_label, sizeof(struct event_label)},
	{"event label, worse, one k", run_label_worse, sizeof(struct event_label)},
	{"event label, grid of ratios", run_grid, sizeof(struct event_grid)},
	{"block 2x2, one alternative", run_factor, 0},
	{"block 2x2, worse (6 alternatives)", run_worse, sizeof(struct eprocess)},
	{"block 2x2, worse with margin", run_margin, sizeof(struct eprocess)},
	{"block 2x2, fine with margin", run_fine, sizeof(struct eprocess)},
	{"burst guard (12 x 20 grid)", run_guard, sizeof(struct burst_guard)},
	{"exchangeable instances, 3 + 1", run_exchangeable, sizeof(struct exchangeable)},
	{"tempering, 3 instances", run_tempering, sizeof(struct tempering)},
	{"exceedance, p99 and ratio 1.2", run_exceedance, sizeof(struct exceedance)},
	{"categorical, 10 classes, one k", run_categorical, sizeof(struct categorical)},
	{"drift against a limit, 10 classes", run_drift, sizeof(struct drift)},
	{"empirical Bernstein, one score", run_mean, sizeof(struct mean_cs)},
	{"betting grid of 200, one score", run_mean_grid, sizeof(struct mean_grid)},
	{"bet on a difference of means", run_bet, sizeof(struct mean_bet)},
	{"DKW gap of two ladders", run_dkw, 2 * sizeof(counts_a)},
	{"sequence for a rate difference", run_difference, sizeof(struct rate_difference)},
	{"sequence for a rate ratio", run_ratio, sizeof(struct rate_ratio)},
	{"sample ratio", run_split, sizeof(struct split_check)},
};

static void prepare(void)
{
	struct rng rng;
	rng_seed(&rng, 1);
	for (size_t i = 0; i < BLOCKS; i++) {
		blocks[i].block = (struct block2x2){900, 0, 100, 0};
		for (size_t j = 0; j < STABLE; j++) {
			blocks[i].stable[j] = (struct instance_counts){300, draw_binomial(&rng, 300, 0.01)};
			blocks[i].block.y_a += blocks[i].stable[j].y;
		}
		blocks[i].candidate = (struct instance_counts){100, draw_binomial(&rng, 100, 0.01)};
		blocks[i].block.y_b = blocks[i].candidate.y;
		for (int r = 0; r < 1000; r++) {
			bool stable = r < 900;
			(stable ? blocks[i].classes_a : blocks[i].classes_b)[rng_below(&rng, CLASSES)]++;
			(stable ? blocks[i].latency_a : blocks[i].latency_b)[latency_ladder_index(40 * exp(draw_normal(&rng) / 2))]++;
		}
		blocks[i].score = draw_uniform(&rng);
	}
	for (size_t i = 0; i < LATENCY_LADDER_BUCKETS - 1; i++)
		edges[i] = latency_ladder_edge(i);
	memset(counts_b, 0, sizeof(counts_b));
	counts_b[90] = 1e5;
}

static double now(void)
{
	struct timespec time;
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) != 0)
		abort();
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.5;
	prepare();
	printf("%-36s %14s %10s\n", "kernel", "blocks/s/core", "bytes");
	for (size_t k = 0; k < sizeof(kernels) / sizeof(kernels[0]); k++) {
		uint64_t done = 0;
		memset(&state, 0, sizeof(state));
		double start = now(), spent;
		do {
			for (size_t i = 0; i < BLOCKS; i++)
				kernels[k].run(i);
			done += BLOCKS;
		} while ((spent = now() - start) < seconds);
		printf("%-36s %14.0f %10zu\n", kernels[k].name, (double)done / spent, kernels[k].bytes);
	}
	return isnan(sink) ? 2 : 0;
}
