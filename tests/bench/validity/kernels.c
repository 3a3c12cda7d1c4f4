/* The kernels that validity.c's rows do not hold: whole distributions, quantiles, bounded means, ratios, distances. Each is fed with what it is
 * for, in the four worlds, at the edge of what it tests, and looked at after every block.
 *
 * A run is 20 minutes of six blocks each, a third of the requests the candidate's. What needs requests alike within each arm is promised in the flat
 * world only; there the others are told, not promised. */
#include "tests/bench/validity/report.h"

#include "gates/stats/bounded_mean.h"
#include "gates/stats/categorical.h"
#include "gates/stats/quantile_band.h"
#include "gates/stats/rate_sequence.h"
#include "tests/support/noisy_counts.h"

#include <string.h>

#define BLOCKS 120
#define BLOCKS_A_MINUTE 6
#define REQUESTS 90 /* of both arms in a block */
#define SHARE (1.0 / 3)
#define RATIO 1.5
#define LIMIT 0.1
#define CLASSES 4
#define BUCKETS 10
#define MEAN 0.3

enum world { FLAT, DIURNAL, SHARED, ALONE, WORLDS };
static const char *const world_names[WORLDS] = {"flat", "diurnal", "bursts shared", "bursts in one"};

struct block {
	uint64_t n_a, n_b;
	double classes_a[CLASSES], classes_b[CLASSES], edge_b[CLASSES]; /* edge: LIMIT away from stable's */
	double values_a[BUCKETS], values_b[BUCKETS];                    /* latencies or scores, by bucket; arms alike */
	struct block2x2 errors;                                         /* RATIO times stable's rate */
	double stable_rate;
	double spread; /* of scores around their mean, which never moves */
};

struct tests {
	double values_a[BUCKETS], values_b[BUCKETS], classes_a[CLASSES], edge_b[CLASSES]; /* sums */
	struct rate_ratio ratio;
	struct drift drift;
	struct mean_cs mean, mean_a, mean_b;
	struct mean_grid grid;
	struct mean_bet randomised;
	double fit_log_max;
	bool dkw_equal, dkw_slower, larger, smaller, quantile_missed, service, ratio_missed, distance_missed, mean_missed, difference_missed,
		grid_missed;
};

static const double edges[BUCKETS - 1] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
static const double buckets[BUCKETS] = {0.2, 0.2, 0.15, 0.15, 0.1, 0.1, 0.05, 0.02, 0.02, 0.01}; /* flat: edge 7 is the 0.95 quantile */
static const double classes[CLASSES] = {0.3, 0.3, 0.2, 0.2};
static const struct fixed_quantile p95 = {.q = 0.95, .t_opt = 2000, .alpha_opt = ALPHA};
static const struct dkw dkw = {.t_min = 100};
static const struct categorical_test fit_test = {.n = CLASSES, .n_k = 2, .k = {10, 100}};

/* ---- data ---- */

struct source {
	struct rng rng;
	enum world world;
	double noise_a, noise_b, past_n, past_y;
};

/* Drift moves weight from the first half of the cells to the second, or back. */
static void draw_cells(struct rng *rng, uint64_t n, const double *shares, size_t n_cells, double drift, double *ret)
{
	double total = 0, left = 1;
	memset(ret, 0, n_cells * sizeof(*ret));
	for (size_t i = 0; i < n_cells; i++)
		total += shares[i] * (i < n_cells / 2 ? 1 : drift);
	for (size_t i = 0; i < n_cells; i++) {
		double share = shares[i] * (i < n_cells / 2 ? 1 : drift) / total;
		ret[i] = i + 1 < n_cells ? (double)draw_binomial(rng, n, fmin(share / left, 1)) : (double)n;
		n -= (uint64_t)ret[i];
		left -= share;
	}
}

/* Exactly LIMIT from the arm alike: of the requests that would fall into the classes that lead, as many as it takes fall into the last but one. */
static void draw_edge(struct rng *rng, uint64_t n, double drift, double *ret)
{
	double total = 0.6 + 0.4 * drift;
	draw_cells(rng, n, classes, CLASSES, drift, ret);
	for (size_t i = 0; i < 2; i++) {
		uint64_t moved = draw_binomial(rng, (uint64_t)ret[i], LIMIT * total / 0.6);
		ret[i] -= (double)moved;
		ret[2] += (double)moved;
	}
}

static void draw_block(struct source *source, int number, struct block *block)
{
	struct rng *rng = &source->rng;
	double load = source->world == DIURNAL ? 1 + 0.9 * sin(number * 2 * M_PI / BLOCKS * 3) : 1;
	if (number % BLOCKS_A_MINUTE == 0) {
		source->noise_a = draw_noise(rng, source->world >= SHARED ? 1 : 0);
		source->noise_b = source->world == ALONE ? draw_noise(rng, 1) : source->noise_a;
	}
	double a = fmin(fmax(load * source->noise_a, 0.1), 3), b = fmin(fmax(load * source->noise_b, 0.1), 3);
	block->n_b = draw_binomial(rng, REQUESTS, SHARE);
	block->n_a = REQUESTS - block->n_b;
	draw_cells(rng, block->n_a, classes, CLASSES, a, block->classes_a);
	draw_cells(rng, block->n_b, classes, CLASSES, b, block->classes_b);
	draw_edge(rng, block->n_b, b, block->edge_b);
	draw_cells(rng, block->n_a, buckets, BUCKETS, a, block->values_a);
	draw_cells(rng, block->n_b, buckets, BUCKETS, b, block->values_b);
	block->errors =
		(struct block2x2){block->n_a, draw_binomial(rng, block->n_a, 0.05 * a), block->n_b, draw_binomial(rng, block->n_b, 0.05 * RATIO * b)};
	block->stable_rate = (source->past_y + 0.05) / (source->past_n + 10);
	source->past_n += (double)block->errors.n_a;
	source->past_y += (double)block->errors.y_a;
	block->spread = fmin(a / 3, 1);
}

/* ---- looks ---- */

static bool outside(struct mean_bounds bounds, double truth)
{
	return bounds.low > truth || bounds.high < truth;
}

/* A score of the same mean whatever its spread: 1 with probability MEAN, drawn towards the mean. */
static double draw_score(struct rng *rng, double spread)
{
	return MEAN + spread * ((draw_uniform(rng) < MEAN ? 1 : 0) - MEAN);
}

static void look_at_means(struct tests *t, struct rng *rng, const struct block *block, bool dear)
{
	for (int i = 0; i < 12; i++) {
		bool candidate = draw_uniform(rng) < SHARE;
		double x = draw_score(rng, block->spread);
		mean_cs_add(&t->mean, x, ALPHA);
		mean_cs_add(candidate ? &t->mean_b : &t->mean_a, x, ALPHA / 2);
		mean_bet_randomised(&t->randomised, x, candidate, SHARE, 0, NULL_NOT_WORSE);
		if (dear && i % 4 == 0)
			mean_grid_add(&t->grid, x, ALPHA);
	}
	t->mean_missed |= outside(mean_cs_running(&t->mean), MEAN);
	t->difference_missed |= outside(mean_difference(&t->mean_a, &t->mean_b, ALPHA), 0);
	t->grid_missed |= dear && outside(mean_grid_now(&t->grid, ALPHA), MEAN);
}

static void look_at_values(struct tests *t, const struct block *block, bool dear)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		t->values_a[i] += block->values_a[i];
		t->values_b[i] += block->values_b[i];
	}
	const struct histogram a = {edges, t->values_a, BUCKETS - 1}, b = {edges, t->values_b, BUCKETS - 1};
	double n_a = histogram_total(&a), n_b = histogram_total(&b), below = n_a;
	t->dkw_equal |= dkw_p_value(&dkw, histogram_gap(&a, &b, GAP_EQUALITY), n_a, n_b) < ALPHA;
	t->dkw_slower |= dkw_p_value(&dkw, histogram_gap(&a, &b, GAP_SLOWER_B), n_a, n_b) < ALPHA;
	for (size_t i = 7; i < BUCKETS; i++)
		below -= t->values_a[i];
	t->service |= fixed_quantile_edge_log_e(&p95, below, n_a) >= LN_20;
	if (!dear)
		return;
	struct quantile_interval interval = fixed_quantile_interval(&p95, &a, ALPHA);
	t->quantile_missed |= interval.low > edges[6] || interval.high < edges[6];
	t->larger |= quantile_order_log_e(&p95, &a, &b, QUANTILE_B_LARGER) >= LN_20;
	t->smaller |= quantile_order_log_e(&p95, &a, &b, QUANTILE_B_SMALLER) >= LN_20;
}

static void look_at_counts(struct tests *t, const struct block *block)
{
	double low, high;
	rate_ratio_add(&t->ratio, &block->errors, block->stable_rate);
	rate_ratio_bounds(&t->ratio, ALPHA, &low, &high);
	t->ratio_missed |= low > RATIO || high < RATIO;
	drift_add(&t->drift, CLASSES, LIMIT, SHARE, block->classes_a, block->edge_b);
	for (size_t i = 0; i < CLASSES; i++) {
		t->classes_a[i] += block->classes_a[i];
		t->edge_b[i] += block->edge_b[i];
	}
	const struct drift_plan plan = {SHARE, 5000};
	struct drift_bounds bounds = tv_bounds(CLASSES, t->classes_a, t->edge_b, &plan, ALPHA);
	t->distance_missed |= bounds.low > LIMIT || bounds.high < LIMIT;
	t->fit_log_max = fmax(t->fit_log_max, categorical_fit_log_e(&fit_test, classes, t->classes_a));
}

static void run_once(enum world world, uint64_t run, bool dear, struct tests *tests)
{
	struct source source = {.world = world};
	struct block block;
	memset(tests, 0, sizeof(*tests));
	rng_seed(&source.rng, UINT64_C(1) << 32 | (run * WORLDS + world));
	for (int number = 0; number < BLOCKS; number++) {
		draw_block(&source, number, &block);
		look_at_counts(tests, &block);
		look_at_values(tests, &block, dear);
		look_at_means(tests, &source.rng, &block, dear);
	}
}

/* ---- the table ---- */

enum promise { ALWAYS, SHARED_RATES /* not where one instance bursts */, STEADY /* requests alike within an arm: flat */ };
#define ROWS(X)                                                                                                                                      \
	X("rate ratio sequence, at 1.5", SHARED_RATES, false, t->ratio_missed)                                                                       \
	X("distance above 0.1, at its edge", SHARED_RATES, false, t->drift.max_worse >= LN_20)                                                       \
	X("distance below 0.1, at its edge", SHARED_RATES, false, t->drift.max_fine >= LN_20)                                                        \
	X("distance's interval, at 0.1", STEADY, false, t->distance_missed)                                                                          \
	X("goodness of fit, 4 classes", STEADY, false, t->fit_log_max >= LN_20)                                                                      \
	X("DKW, two samples, equality", STEADY, false, t->dkw_equal)                                                                                 \
	X("DKW, two samples, slower", STEADY, false, t->dkw_slower)                                                                                  \
	X("one value as p95 (service level)", STEADY, false, t->service)                                                                             \
	X("p95's interval", STEADY, true, t->quantile_missed)                                                                                        \
	X("order of p95s, candidate larger", STEADY, true, t->larger)                                                                                \
	X("order of p95s, candidate smaller", STEADY, true, t->smaller)                                                                              \
	X("mean's interval, empirical Bernstein", ALWAYS, false, t->mean_missed)                                                                     \
	X("interval of a difference of means", ALWAYS, false, t->difference_missed)                                                                  \
	X("mean's interval, betting", ALWAYS, true, t->grid_missed)                                                                                  \
	X("randomised bet on a difference of scores", ALWAYS, false, t->randomised.log_max >= LN_20)

static const struct {
	const char *name;
	enum promise promise;
	bool dear; /* every fifth run */
} rows[] = {
#define X(name, promise, dear, alarmed) {name, promise, dear},
	ROWS(X)
#undef X
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static void count(const struct tests *t, bool dear, uint64_t hits[N_ROWS], uint64_t runs[N_ROWS])
{
	const bool alarmed[] = {
#define X(name, promise, dear, alarm) (alarm),
		ROWS(X)
#undef X
	};
	for (size_t r = 0; r < N_ROWS; r++) {
		if (rows[r].dear && !dear)
			continue;
		hits[r] += alarmed[r];
		runs[r]++;
	}
}

bool more_kernels(uint64_t runs)
{
	bool kept = true;
	report_title("false alarms and misses, alpha 5%");
	for (enum world world = FLAT; world < WORLDS; world++) {
		uint64_t hits[N_ROWS] = {0}, n[N_ROWS] = {0};
		for (uint64_t run = 0; run < runs; run++) {
			struct tests tests;
			run_once(world, run, run % 5 == 0, &tests);
			count(&tests, run % 5 == 0, hits, n);
		}
		for (size_t r = 0; r < N_ROWS; r++) {
			bool promised = rows[r].promise == ALWAYS || world == FLAT || (rows[r].promise == SHARED_RATES && world != ALONE);
			kept = report_line(rows[r].name, world_names[world], promised, hits[r], n[r]) && kept;
		}
	}
	return kept;
}
