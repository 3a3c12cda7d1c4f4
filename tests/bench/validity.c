/* Do the tests keep their promise? False alarms under the null with a look at every block, and power beside the planning tables.
 * Usage: validity [--runs N] [--no-power]   (default 10,000 runs; the suite takes 500)
 *
 * A run is 30 minutes of six blocks each; two instances of stable and one of the candidate answer 200 requests a block each, 1% of them wrong,
 * alpha 0.05. Worlds: flat; diurnal, the rate swinging between 0.1 and 1.9 of that; bursts that all instances share (gamma noise of CV 1, redrawn
 * every minute); bursts of each instance by itself (the same, drawn for each; of errors only, latencies, classes and scores stay flat there). The
 * last is not promised by tests that see only an arm's sums: their rows there show why the guard is the default, and fail nothing.
 * More kernels: validity/kernels.c; the analysis that the daemon runs, and whole rollouts: validity/analysis.c, with one run for ANALYSIS_EVERY of these.
 * Exit status 1 if a rate that is promised to be at most alpha is above it with p < 0.001 (one row in a thousand by chance at exactly alpha). */
#include "gates/stats/block2x2.h"
#include "gates/stats/bounded_mean.h"
#include "gates/stats/burst_guard.h"
#include "gates/stats/categorical.h"
#include "gates/stats/event_label.h"
#include "gates/stats/exceedance.h"
#include "gates/stats/exchangeable.h"
#include "gates/stats/rate_sequence.h"
#include "gates/stats/split.h"
#include "gates/stats/tempering.h"
#include "tests/bench/validity/report.h"
#include "tests/support/noisy_counts.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTES 30
#define BLOCKS_A_MINUTE 6
#define REQUESTS 200
#define BASE 0.01
#define MARGIN 0.01
#define SHARE (1.0 / 3)
#define CLASSES 3
#define ANALYSIS_EVERY 20 /* whole analyses are dear: one run where kernels have so many */
#define THOROUGH 1000     /* runs from which on whole analyses are simulated with all guards and numbers of copies */

enum world { FLAT, DIURNAL, SHARED, ALONE, WORLDS };
static const char *const world_names[WORLDS] = {"flat", "diurnal", "bursts shared", "bursts in one"};

/* What a block holds; the minute's sums are handed out with its last block. */
struct block {
	struct noisy_arm stable, candidate; /* equal rates */
	struct block2x2 equal, edge;        /* edge: the candidate is worse by exactly the margin */
	double classes_a[CLASSES], classes_b[CLASSES];
	uint64_t latency_a[LATENCY_LADDER_BUCKETS], latency_b[LATENCY_LADDER_BUCKETS]; /* candidate 1.2 times as slow */
	double score_a, score_b;            /* mean scores */
	uint64_t assigned_a, assigned_b;
	double stable_rate;                 /* from the past */
};

struct tests {
	struct event_label label;
	struct event_grid grid;
	struct eprocess worse, worse_edge, fine_edge;
	struct burst_guard guard, guard_edge, guard_fine;
	struct exchangeable ranks;
	struct tempering tempering;
	double tempered, tempered_max;
	struct exceedance exceedance;
	struct categorical categorical;
	struct mean_bet bet;
	struct split_check split;
	struct rate_difference difference;
	bool difference_missed;
};

static const double shares[2] = {1 - SHARE, SHARE};
static const struct event_label_test label_test = {.side = EVENT_LABEL_TWO_SIDED, .arms = 2, .n_k = 2, .k = {10, 100}};
static const struct categorical_test class_test = {.n = CLASSES, .n_k = 2, .k = {10, 100}};

static void add_block(struct tests *tests, const struct block *block)
{
	double errors[2] = {(double)block->equal.y_a, (double)block->equal.y_b}, before = event_grid_now(&tests->grid);
	struct instance_counts edge = {block->edge.n_b, block->edge.y_b};
	event_label_add(&tests->label, &label_test, shares, errors);
	event_grid_add(&tests->grid, SHARE, errors[0], errors[1]);
	double phi = tempering_phi(&tests->tempering);
	tests->tempered += (event_grid_now(&tests->grid) - before) / phi;
	tests->tempered_max = fmax(tests->tempered_max, tests->tempered);
	tempering_observe(&tests->tempering, block->stable.counts, block->stable.n);
	eprocess_bet(&tests->worse, &block->equal, block->stable_rate, 0, NULL_NOT_WORSE);
	eprocess_bet(&tests->worse_edge, &block->edge, block->stable_rate, MARGIN, NULL_NOT_WORSE);
	eprocess_bet(&tests->fine_edge, &block->edge, block->stable_rate, MARGIN, NULL_NOT_FINE);
	burst_guard_add(&tests->guard, block->stable.counts, block->stable.n, block->candidate.counts, 1, 0, 0);
	burst_guard_add(&tests->guard_edge, block->stable.counts, block->stable.n, &edge, 1, MARGIN, 0);
	burst_guard_add_fine(&tests->guard_fine, block->stable.counts, block->stable.n, &edge, 1, MARGIN);
	categorical_add(&tests->categorical, &class_test, SHARE, block->classes_a, block->classes_b);
	mean_bet_block(&tests->bet, 2 * REQUESTS, 2 * REQUESTS * block->score_a, REQUESTS, REQUESTS * block->score_b, 0, NULL_NOT_WORSE);
	split_add(&tests->split, (uint32_t)(SHARE * 1e6), block->assigned_a, block->assigned_b);
}

static void add_minute(struct tests *tests, const struct block *sums, uint64_t seed, bool latency, bool sequence)
{
	burst_guard_end_window(&tests->guard);
	burst_guard_end_window(&tests->guard_edge);
	burst_guard_end_window(&tests->guard_fine);
	exchangeable_add(&tests->ranks, sums->stable.counts, sums->stable.n, sums->candidate.counts, 1, 0, NULL_NOT_WORSE, seed);
	if (latency)
		exceedance_add(&tests->exceedance, sums->latency_a, sums->latency_b, 0.95, 1.2, 0);
	if (sequence) {
		double low, high;
		rate_difference_add(&tests->difference, &sums->equal, sums->stable_rate);
		rate_difference_bounds(&tests->difference, ALPHA, &low, &high);
		tests->difference_missed = tests->difference_missed || low > 0 || high < 0;
	}
}

/* ---- data ---- */

struct source {
	struct rng rng;
	enum world world;
	double past_n, past_y;
};

static void draw_latencies(struct rng *rng, struct block *block, double drift)
{
	memset(block->latency_a, 0, sizeof(block->latency_a));
	memset(block->latency_b, 0, sizeof(block->latency_b));
	for (int i = 0; i < 60; i++)
		block->latency_a[latency_ladder_index(40 * drift * exp(draw_normal(rng) / 2))]++;
	for (int i = 0; i < 30; i++)
		block->latency_b[latency_ladder_index(48 * drift * exp(draw_normal(rng) / 2))]++;
}

static void draw_answers(struct rng *rng, struct block *block, double drift)
{
	memset(block->classes_a, 0, sizeof(block->classes_a));
	memset(block->classes_b, 0, sizeof(block->classes_b));
	block->score_a = block->score_b = 0;
	for (int i = 0; i < 60; i++) {
		double u = draw_uniform(rng) * drift; /* classes and scores drift with the load, alike in both arms */
		bool candidate = draw_uniform(rng) < SHARE;
		(candidate ? block->classes_b : block->classes_a)[u < 0.3 ? 0 : u < 0.6 ? 1 : 2]++;
		*(i < 40 ? &block->score_a : &block->score_b) += fmin(u, 1) / (i < 40 ? 40 : 20);
	}
	block->assigned_b = draw_binomial(rng, 3 * REQUESTS, SHARE);
	block->assigned_a = 3 * REQUESTS - block->assigned_b;
}

static void draw_block(struct source *source, struct block *block, int number, bool latency)
{
	struct rng *rng = &source->rng;
	double load = source->world == DIURNAL ? 1 + 0.9 * sin(number * 2 * M_PI / (MINUTES * BLOCKS_A_MINUTE) * 3) : 1;
	if (number % BLOCKS_A_MINUTE == 0) {
		noisy_redraw(rng, &block->stable, source->world >= SHARED ? 1 : 0);
		noisy_redraw(rng, &block->candidate, source->world >= SHARED ? 1 : 0);
		if (source->world == SHARED)
			for (size_t i = 0; i < 2; i++)
				block->stable.noise[i] = block->candidate.noise[0];
	}
	double base = BASE * load;
	noisy_draw(rng, &block->stable, REQUESTS, base, 0);
	noisy_draw(rng, &block->candidate, REQUESTS, base, 0);
	block->equal = (struct block2x2){2 * REQUESTS, block->stable.counts[0].y + block->stable.counts[1].y, REQUESTS, block->candidate.counts[0].y};
	block->edge = block->equal;
	block->edge.y_b = draw_binomial(rng, REQUESTS, fmin(base * block->candidate.noise[0] + MARGIN, 1));
	block->stable_rate = (source->past_y + 0.05) / (source->past_n + 10);
	source->past_n += (double)block->equal.n_a;
	source->past_y += (double)block->equal.y_a;
	double drift = source->world == ALONE ? 1 : fmax(0.3, fmin(2, load * (source->world == SHARED ? block->candidate.noise[0] : 1)));
	draw_answers(rng, block, drift);
	if (latency)
		draw_latencies(rng, block, drift);
}

static void add_counts(struct block *sums, const struct block *block)
{
	for (size_t i = 0; i < 2; i++) {
		sums->stable.counts[i].n += block->stable.counts[i].n;
		sums->stable.counts[i].y += block->stable.counts[i].y;
	}
	sums->candidate.counts[0].n += block->candidate.counts[0].n;
	sums->candidate.counts[0].y += block->candidate.counts[0].y;
	sums->equal.n_a += block->equal.n_a, sums->equal.y_a += block->equal.y_a;
	sums->equal.n_b += block->equal.n_b, sums->equal.y_b += block->equal.y_b;
	for (size_t i = 0; i < LATENCY_LADDER_BUCKETS; i++) {
		sums->latency_a[i] += block->latency_a[i];
		sums->latency_b[i] += block->latency_b[i];
	}
}

static void run_once(enum world world, uint64_t run, bool latency, bool sequence, struct tests *tests)
{
	struct source source = {.world = world};
	struct block block = {.stable = {.n = 2}, .candidate = {.n = 1}}, sums = block;
	memset(tests, 0, sizeof(*tests));
	rng_seed(&source.rng, run * 64 + world);
	for (int number = 0; number < MINUTES * BLOCKS_A_MINUTE; number++) {
		if (number % BLOCKS_A_MINUTE == 0)
			sums = (struct block){.stable = {.n = 2}, .candidate = {.n = 1}};
		draw_block(&source, &block, number, latency);
		if (number % BLOCKS_A_MINUTE == 0)
			sums.stable_rate = block.stable_rate;
		add_block(tests, &block);
		add_counts(&sums, &block);
		if (number % BLOCKS_A_MINUTE == BLOCKS_A_MINUTE - 1)
			add_minute(tests, &sums, run, latency, sequence);
	}
}

/* ---- false alarms ---- */

enum promise { ANY_NOISE /* promised in every world */, SUMS_ONLY /* not where one instance bursts */, NONE };
enum cost { CHEAP, LATENCY, SEQUENCE /* both: every 5th run */ };
#define ROWS(X)                                                                                          \
	X("event label, two-sided, k 10 and 100", SUMS_ONLY, CHEAP, t->label.log_max >= LN_20)           \
	X("event label, grid of ratios, worse", SUMS_ONLY, CHEAP, t->grid.log_max >= LN_20)              \
	X("block 2x2, worse, equal rates", SUMS_ONLY, CHEAP, t->worse.log_max >= LN_20)                  \
	X("block 2x2, worse, at the margin", SUMS_ONLY, CHEAP, t->worse_edge.log_max >= LN_20)           \
	X("block 2x2, fine, at the margin", SUMS_ONLY, CHEAP, t->fine_edge.log_max >= LN_20)             \
	X("burst guard, equal rates", ANY_NOISE, CHEAP, t->guard.log_max >= LN_20)                       \
	X("burst guard, at the margin", ANY_NOISE, CHEAP, t->guard_edge.log_max >= LN_20)                \
	X("burst guard, fine, at the margin", ANY_NOISE, CHEAP, t->guard_fine.log_max >= LN_20)          \
	X("exchangeable ranks, equal rates", ANY_NOISE, CHEAP, t->ranks.log_max >= LN_20)                \
	X("event grid tempered by stable's phi", NONE, CHEAP, t->tempered_max >= LN_20)                  \
	X("exceedance p95, harm, ratio at its edge", SUMS_ONLY, LATENCY, t->exceedance.harm_log_max >= LN_20) \
	X("exceedance p95, fine, ratio at its edge", SUMS_ONLY, LATENCY, t->exceedance.fine_log_max >= LN_20) \
	X("categorical, 3 classes", SUMS_ONLY, CHEAP, t->categorical.log_max >= LN_20)                   \
	X("bet on a difference of mean scores", SUMS_ONLY, CHEAP, t->bet.log_max >= LN_20)               \
	X("sample ratio", ANY_NOISE, CHEAP, -log(split_p(&t->split)) >= LN_20)                           \
	X("sequence for the rate difference", SUMS_ONLY, SEQUENCE, t->difference_missed)

static const struct {
	const char *name;
	enum promise promise;
	enum cost cost;
} rows[] = {
#define X(name, promise, cost, alarmed) {name, promise, cost},
	ROWS(X)
#undef X
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static void judge(const struct tests *t, bool ret_alarmed[N_ROWS])
{
	const bool alarmed[] = {
#define X(name, promise, cost, alarm) (alarm),
		ROWS(X)
#undef X
	};
	memcpy(ret_alarmed, alarmed, sizeof(alarmed));
}

static bool report(enum world world, const uint64_t *hits, const uint64_t *runs)
{
	bool kept = true;
	for (size_t r = 0; r < N_ROWS; r++) {
		bool promised = rows[r].promise == ANY_NOISE || (rows[r].promise == SUMS_ONLY && world != ALONE);
		kept = report_line(rows[r].name, world_names[world], promised, hits[r], runs[r]) && kept;
	}
	return kept;
}

static bool false_alarms(uint64_t runs)
{
	bool kept = true;
	report_title("false alarms, alpha 5%");
	for (enum world world = FLAT; world < WORLDS; world++) {
		uint64_t hits[N_ROWS] = {0}, n[N_ROWS] = {0};
		for (uint64_t run = 0; run < runs; run++) {
			bool alarmed[N_ROWS], dear = run % 5 == 0;
			struct tests tests;
			run_once(world, run, dear, dear, &tests);
			judge(&tests, alarmed);
			for (size_t r = 0; r < N_ROWS; r++) {
				if (rows[r].cost != CHEAP && !dear)
					continue;
				hits[r] += alarmed[r];
				n[r]++;
			}
		}
		kept = report(world, hits, n) && kept;
	}
	return kept;
}

/* ---- power ---- */

static int ascending(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;
	return (a > b) - (a < b);
}

/* Requests of both arms until block 2x2 (margin 0, worse) alarms. */
static double until_block(struct rng *rng, double base, double ratio, double share, double unused)
{
	(void)unused;
	struct eprocess process = {{0}, 0};
	double n = 0, y = 0;
	uint64_t n_b = (uint64_t)(1000 * share), n_a = 1000 - n_b;
	for (int block = 1; block < 2000; block++) {
		struct block2x2 counts = {n_a, draw_binomial(rng, n_a, base), n_b, draw_binomial(rng, n_b, base * ratio)};
		eprocess_bet(&process, &counts, (y + 0.05) / (n + 10), 0, NULL_NOT_WORSE);
		n += (double)n_a;
		y += (double)counts.y_a;
		if (process.log_max >= LN_20)
			return block * 1000.0;
	}
	return INFINITY;
}

/* Error events until the two-sided event-label test of one k alarms. */
static double until_label(struct rng *rng, double unused, double ratio, double share, double k)
{
	(void)unused;
	double theta = share * ratio / (share * ratio + 1 - share), n[2] = {0, 0}, arms[2] = {1 - share, share};
	for (int events = 1; events < 100000; events++) {
		n[draw_uniform(rng) < theta]++;
		if (event_label_log_e(arms, n, 2, k) >= LN_20)
			return events;
	}
	return INFINITY;
}

/* Requests of both arms until the categorical test alarms: (.7, .2, .1) against (.6, .25, .15). */
static double until_classes(struct rng *rng, double unused, double unused_2, double share, double k)
{
	(void)unused, (void)unused_2;
	static const double upto[2][2] = {{0.7, 0.9}, {0.6, 0.85}};
	struct categorical_test test = {.n = 3, .n_k = 1, .k = {k}};
	struct categorical state = {0};
	for (int requests = 10; requests < 100000; requests += 10) {
		double counts[2][3] = {{0}};
		for (int i = 0; i < 10; i++) {
			bool candidate = draw_uniform(rng) < share;
			double u = draw_uniform(rng);
			counts[candidate][u < upto[candidate][0] ? 0 : u < upto[candidate][1] ? 1 : 2]++;
		}
		categorical_add(&state, &test, share, counts[0], counts[1]);
		if (state.log_max >= LN_20)
			return requests;
	}
	return INFINITY;
}

/* Minutes until the burst guard alarms, 600 requests an instance and minute, nine of stable and one of the candidate, noise of this CV. */
static double until_guard(struct rng *rng, double base, double ratio, double unused, double cv)
{
	(void)unused;
	struct burst_guard guard;
	struct noisy_arm a = {.n = 9}, b = {.n = 1};
	memset(&guard, 0, sizeof(guard));
	for (int minute = 1; minute <= 60; minute++) {
		noisy_redraw(rng, &a, cv);
		noisy_redraw(rng, &b, cv);
		noisy_draw(rng, &a, 600, base, 0);
		noisy_draw(rng, &b, 600, base * ratio, 0);
		burst_guard_add(&guard, a.counts, 9, b.counts, 1, 0, 0);
		burst_guard_end_window(&guard);
		if (guard.log_max >= LN_20)
			return minute;
	}
	return INFINITY;
}

static const struct {
	const char *name;
	double (*until)(struct rng *rng, double base, double ratio, double share, double k);
	double base, ratio, share, k;
	const char *planned;
} plans[] = {
	{"block 2x2, base 1%, RR 2, 10%: median requests", until_block, 0.01, 2, 0.1, 0, "11,000"},
	{"block 2x2, base 1%, RR 2, 50%: median requests", until_block, 0.01, 2, 0.5, 0, "5,000"},
	{"block 2x2, base 1%, RR 1.5, 10%: median requests", until_block, 0.01, 1.5, 0.1, 0, "35,000"},
	{"block 2x2, base 1%, RR 5, 10%: median requests", until_block, 0.01, 5, 0.1, 0, "2,000"},
	{"block 2x2, base 5%, RR 1.5, 10%: median requests", until_block, 0.05, 1.5, 0.1, 0, "8,000"},
	{"event label, k 10, RR 2, 10%: mean events", until_label, 0, 2, 0.1, 10, "157"},
	{"event label, k 10, RR 5, 10%: mean events", until_label, 0, 5, 0.1, 10, "23"},
	{"event label, k 100, RR 2, 10%: mean events", until_label, 0, 2, 0.1, 100, "180"},
	{"event label, k 10, RR 1.5, 50%: mean events", until_label, 0, 1.5, 0.5, 10, "228"},
	{"categorical, k 100, 10%: median requests", until_classes, 0, 0, 0.1, 100, "2,161"},
	{"categorical, k 10, 10%: median requests", until_classes, 0, 0, 0.1, 10, "4,006"},
	{"burst guard 9+1, no noise, 1% and 2%: minutes", until_guard, 0.01, 2, 0, 0, "ranks 8.1"},
	{"burst guard 9+1, CV 0.5, 1% and 2%: minutes", until_guard, 0.01, 2, 0, 0.5, "ranks 13.8"},
	{"burst guard 9+1, CV 1, 1% and 5%: minutes", until_guard, 0.01, 5, 0, 1, "ranks 12.0"},
};

static void power(uint64_t runs)
{
	double *until = calloc(runs, sizeof(*until));
	if (!until)
		abort();
	printf("\n%-52s %6s %9s %9s  %s\n", "power", "found", "mean", "median", "planned");
	for (size_t p = 0; p < sizeof(plans) / sizeof(plans[0]); p++) {
		double sum = 0, found = 0;
		for (uint64_t run = 0; run < runs; run++) {
			struct rng rng;
			rng_seed(&rng, run * 64 + p);
			until[run] = plans[p].until(&rng, plans[p].base, plans[p].ratio, plans[p].share, plans[p].k);
			if (isfinite(until[run])) {
				sum += until[run];
				found++;
			}
		}
		qsort(until, runs, sizeof(*until), ascending);
		printf("%-52s %5.0f%% %9.1f %9.1f  %s\n", plans[p].name, 100 * found / (double)runs, sum / found, until[runs / 2], plans[p].planned);
		fflush(stdout);
	}
	free(until);
}

int main(int argc, char **argv)
{
	uint64_t runs = 10000;
	bool with_power = true;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc) {
			runs = strtoull(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--no-power") == 0) {
			with_power = false;
		} else {
			fprintf(stderr, "usage: validity [--runs N] [--no-power]\n");
			return 2;
		}
	}
	if (runs < 10 || runs > 10000000) {
		fprintf(stderr, "validity: --runs takes 10 to 10,000,000\n");
		return 2;
	}
	bool kept = false_alarms(runs);
	kept = more_kernels(runs) && kept;
	kept = whole_analyses((runs + ANALYSIS_EVERY - 1) / ANALYSIS_EVERY, runs >= THOROUGH) && kept;
	kept = whole_rollouts((runs + ANALYSIS_EVERY - 1) / ANALYSIS_EVERY, runs >= THOROUGH) && kept;
	if (with_power)
		power(runs < 500 ? runs : 500);
	return kept ? 0 : 1;
}
