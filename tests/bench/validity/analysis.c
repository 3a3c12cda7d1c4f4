/* The analysis as the daemon uses it (gates/analysis.h, a rollout_spec, blocks in, verdicts out): false `worse` and false `fine`.
 *
 * A run is half an hour of blocks of ten seconds, about 100 requests a copy and block, a minute being the guards' window. Each test stands in an
 * analysis of its own, at alpha, its candidate on the very edge of the bound or equal to stable. Copies carry gamma noise that is redrawn every
 * minute: in how many errors they give, how often they stall (latency), in their scores and, where noise is a copy's own, in their classes. What a
 * metric's e-values reach is kept as the largest so far, so the look at the end of a step tells of a look at every block; each cell's first run
 * checks that by looking at each. */
#include "tests/bench/validity/report.h"

#include "gates/analysis.h"
#include "tests/support/noisy_counts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 180
#define BLOCKS_A_MINUTE 6
#define BLOCK_MS 10000
#define REQUESTS 100 /* a copy and block, on average */
#define BASE 0.01
#define MARGIN 0.01
#define RATIO 1.5
#define SLOWER 1.2  /* three rungs of the ladder */
#define STALLED 0.1 /* of requests; the metric's quantile lies among them */
#define SCORE 0.1
#define SCORE_MARGIN 0.05
#define DISTANCE 0.1
#define CLASSES 4

/* ---- worlds ---- */

struct world {
	const char *name;
	double cv;
	bool diurnal, alone, straddling; /* alone: noise is a copy's own; straddling: it is redrawn amid the guards' windows */
	bool thorough;                   /* not of the short form */
};
static const struct world worlds[] = {
	{.name = "flat"},
	{.name = "diurnal", .diurnal = true},
	{.name = "bursts shared", .cv = 1},
	{.name = "in one, CV 0.5", .cv = 0.5, .alone = true, .thorough = true},
	{.name = "in one, CV 1", .cv = 1, .alone = true},
	{.name = "in one, CV 1, straddling", .cv = 1, .alone = true, .straddling = true, .thorough = true},
};
#define N_WORLDS (sizeof(worlds) / sizeof(worlds[0]))

static const size_t copies[] = {1, 2, 9}; /* of stable, against one of the candidate */
#define N_COPIES (sizeof(copies) / sizeof(copies[0]))

#define N_GUARDS 4
static const struct {
	const char *name;
	enum burst_guard_kind kind;
} guards[N_GUARDS] = {{"default", BURSTS_DEFAULT}, {"exchangeable", BURSTS_EXCHANGEABLE}, {"tempered", BURSTS_TEMPERED}, {"none", BURSTS_NONE}};

/* ---- subjects ---- */

/* How the candidate's error rate follows from stable's. */
enum candidate { EQUAL, MARGIN_EDGE, RATIO_EDGE, CANDIDATES };

struct subject {
	const char *name;
	struct analysis_metric metric;
	enum candidate candidate; /* of the other kinds: EQUAL or at the edge */
	bool equal_is_fine;       /* then `fine` is right */
};
static const struct subject subjects[] = {
	{"rate_margin 0", {.metric = "error_rate", .versus_stable = true}, EQUAL, false},
	{"rate_margin, edge", {.metric = "error_rate", .versus_stable = true, .margin = MARGIN}, MARGIN_EDGE, false},
	{"rate_margin, equal", {.metric = "error_rate", .versus_stable = true, .margin = MARGIN}, EQUAL, true},
	{"rate_ratio, edge", {.metric = "error_rate", .versus_stable = true, .ratio = RATIO}, RATIO_EDGE, false},
	{"latency_ratio, edge",
	 {.metric = "latency_p95", .kind = METRIC_LATENCY, .versus_stable = true, .ratio = SLOWER, .quantile = 0.95},
	 MARGIN_EDGE,
	 false},
	{"distance_at_most, edge",
	 {.metric = "classes", .kind = METRIC_DISTRIBUTION, .at_most = DISTANCE, .source = "app", .every_ms = BLOCK_MS},
	 MARGIN_EDGE,
	 false},
	{"mean_margin, edge",
	 {.metric = "score", .kind = METRIC_MEAN, .versus_stable = true, .margin = SCORE_MARGIN, .high = 1, .source = "app", .every_ms = BLOCK_MS},
	 MARGIN_EDGE,
	 false},
};
#define N_SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))

/* Of a whole rollout. */
#define ROLLOUT_METRICS 3
static const uint32_t steps_ppm[4] = {50000, 100000, 250000, 500000};
#define N_STEPS 4
static const size_t rollout_subjects[ROLLOUT_METRICS] = {1, 4, 6}; /* of subjects: error rate, latency, score */

/* ---- data ---- */

struct source {
	struct rng rng;
	const struct world *world;
	size_t n_stable;
	uint32_t weight_ppm;
	int number, offset;
	int64_t began_ms;
	double load;
	double noise[NOISY_INSTANCES + 1]; /* the last: the candidate's */
};

/* A block: stable once, the candidate for each way it may be. [0]: equal arms; [1]: at the edge. */
struct drawn {
	struct analysis_block errors[CANDIDATES]; /* latencies: EQUAL equal, others at the edge */
	struct measure classes[2], scores[2];
};

static void draw_errors(struct source *source, struct arm_counts *arm, const double *noise, size_t n, enum candidate candidate)
{
	arm->errors = 0;
	for (size_t i = 0; i < n; i++) {
		double rate = BASE * source->load * noise[i] * (candidate == RATIO_EDGE ? RATIO : 1) + (candidate == MARGIN_EDGE ? MARGIN : 0);
		arm->instances[i].y = draw_binomial(&source->rng, arm->instances[i].n, fmin(rate, 1));
		arm->errors += arm->instances[i].y;
	}
}

/* A tenth of the requests stall, somewhere on twelve rungs from a fifth of a second; of a slower candidate three rungs higher. */
static void draw_latencies(struct source *source, struct arm_counts *arm, const double *noise, size_t n, bool slower)
{
	size_t rung = latency_ladder_index(200) + (slower ? 3 : 0);
	memset(arm->latency_buckets, 0, sizeof(arm->latency_buckets));
	for (size_t i = 0; i < n; i++) {
		uint64_t stalled = draw_binomial(&source->rng, arm->instances[i].n, fmin(STALLED * source->load * noise[i], 1));
		arm->latency_buckets[latency_ladder_index(20)] += arm->instances[i].n - stalled;
		for (uint64_t k = 0; k < stalled; k++)
			arm->latency_buckets[rung + rng_below(&source->rng, 12)]++;
	}
}

/* The first class swings between 20 and 40%, the edge moves a tenth from the second to the last. */
static void draw_classes(struct source *source, const struct arm_counts *counts, const double *noise, size_t n, bool edge, struct measure_arm *ret)
{
	*ret = (struct measure_arm){.n = counts->completed, .n_counts = CLASSES};
	for (size_t i = 0; i < n; i++) {
		double swing = 0.2 + 0.1 * fmin(source->load * noise[i], 2);
		const double shares[CLASSES] = {swing, edge ? 0.2 : 0.3, 0.2, edge ? 0.4 - (swing - 0.2) : 0.3 - (swing - 0.2)};
		uint64_t left = counts->instances[i].n;
		double rest = 1;
		for (size_t k = 0; k + 1 < CLASSES; k++) {
			uint64_t drawn = draw_binomial(&source->rng, left, fmin(shares[k] / rest, 1));
			ret->counts[k] += drawn;
			left -= drawn;
			rest -= shares[k];
		}
		ret->counts[CLASSES - 1] += left;
	}
}

/* Ones and zeros: the most spread that scores can be. */
static void draw_scores(struct source *source, const struct arm_counts *counts, const double *noise, size_t n, bool edge, struct measure_arm *ret)
{
	*ret = (struct measure_arm){.n = counts->completed};
	for (size_t i = 0; i < n; i++) {
		double mean = SCORE * source->load * noise[i];
		ret->sum += (double)draw_binomial(&source->rng, counts->instances[i].n, fmin(mean, 1 - SCORE_MARGIN) + (edge ? SCORE_MARGIN : 0));
	}
}

static void draw_noise_of_copies(struct source *source)
{
	const struct world *world = source->world;
	size_t n = source->n_stable + 1;
	for (size_t i = 0; i < n; i++)
		source->noise[i] = world->alone || i == 0 ? draw_noise(&source->rng, world->cv) : source->noise[0];
}

static void begin(struct source *source, uint64_t seed)
{
	rng_seed(&source->rng, seed);
	source->number = 0;
	source->began_ms = 1764000000000 + (int64_t)(seed * 977); /* no two rollouts begin at the same moment */
	source->offset = source->world->straddling ? 1 + (int)rng_below(&source->rng, BLOCKS_A_MINUTE - 1) : 0;
	draw_noise_of_copies(source);
}

/* Sends a block's requests: each to the candidate with the known share. */
static void send(struct source *source, struct analysis_block *block)
{
	uint64_t all = REQUESTS * (source->n_stable + 1), n_b = draw_binomial(&source->rng, all, source->weight_ppm / 1e6), n_a = all - n_b;
	*block = (struct analysis_block){
		.weight_ppm = source->weight_ppm,
		.from_ms = source->began_ms + (int64_t)source->number * BLOCK_MS,
		.to_ms = source->began_ms + (int64_t)(source->number + 1) * BLOCK_MS};
	block->stable.assigned = block->stable.completed = n_a;
	block->stable.n_instances = (unsigned)source->n_stable;
	for (size_t i = 0; i < source->n_stable; i++) {
		block->stable.instances[i].n = n_a / source->n_stable + (i < n_a % source->n_stable);
		block->stable.instance_ids[i] = (uint32_t)i;
	}
	block->candidate.assigned = block->candidate.completed = n_b;
	block->candidate.n_instances = 1;
	block->candidate.instances[0].n = n_b;
	block->candidate.instance_ids[0] = (uint32_t)source->n_stable;
}

static void draw(struct source *source, struct drawn *drawn)
{
	size_t n = source->n_stable;
	const double *noise = source->noise, *noise_b = &source->noise[n];
	struct analysis_block *block = &drawn->errors[EQUAL];
	if (source->number && (source->number + source->offset) % BLOCKS_A_MINUTE == 0)
		draw_noise_of_copies(source);
	source->load = source->world->diurnal ? 1 + 0.9 * sin(source->number * 2 * M_PI / BLOCKS * 3) : 1;
	send(source, block);
	draw_errors(source, &block->stable, noise, n, EQUAL);
	draw_latencies(source, &block->stable, noise, n, false);
	draw_errors(source, &block->candidate, noise_b, 1, EQUAL);
	draw_latencies(source, &block->candidate, noise_b, 1, false);
	for (enum candidate c = MARGIN_EDGE; c < CANDIDATES; c++) {
		drawn->errors[c] = *block;
		draw_errors(source, &drawn->errors[c].candidate, noise_b, 1, c);
		draw_latencies(source, &drawn->errors[c].candidate, noise_b, 1, true);
	}
	draw_classes(source, &block->stable, noise, n, false, &drawn->classes[0].stable);
	draw_scores(source, &block->stable, noise, n, false, &drawn->scores[0].stable);
	drawn->classes[1] = drawn->classes[0];
	drawn->scores[1] = drawn->scores[0];
	for (size_t edge = 0; edge < 2; edge++) {
		draw_classes(source, &block->candidate, noise_b, 1, edge, &drawn->classes[edge].candidate);
		draw_scores(source, &block->candidate, noise_b, 1, edge, &drawn->scores[edge].candidate);
	}
	source->number++;
}

/* ---- feeding ---- */

static void must(int result, struct error *err)
{
	if (result < 0) {
		fprintf(stderr, "validity: %s\n", error_message(err));
		exit(2);
	}
}

static void measure(struct analysis *analysis, size_t metric, const struct analysis_metric *spec, const struct drawn *drawn, bool edge)
{
	struct error *err = NULL;
	if (spec->source)
		must(analysis_measure(analysis, metric, spec->kind == METRIC_MEAN ? &drawn->scores[edge] : &drawn->classes[edge], &err), err);
}

static void feed(struct analysis *analysis, const struct rollout_spec *spec, const struct drawn *drawn, enum candidate candidate)
{
	struct error *err = NULL;
	must(analysis_add(analysis, &drawn->errors[candidate], &err), err);
	for (size_t i = 0; i < spec->n_metrics; i++)
		measure(analysis, i, &spec->metrics[i], drawn, candidate != EQUAL);
}

struct seen {
	bool worse, fine;
};

/* What the verdicts so far were; a split that is thought broken (one run in a thousand) hides neither. */
static struct seen look(const struct analysis *analysis)
{
	struct analysis_verdict verdict;
	analysis_verdict(analysis, &verdict);
	const struct metric_verdict *metric = &verdict.metrics[0];
	return (struct seen){metric->log_e_worse >= metric->log_threshold_worse, metric->log_e_fine >= metric->log_threshold_fine};
}

/* ---- each test by itself ---- */

/* One guard and subject. */
struct row {
	size_t guard, subject;
	struct rollout_spec spec;
	struct analysis *analysis;
	struct seen ever;
	uint64_t worse, fine;
};

/* What the guards do alike is simulated once: distances know none, means have no ranks. The guards that promise nothing when copies burst, and all of
 * the short form, stand two copies against one. */
static bool is_simulated(size_t guard, size_t subject, size_t n_stable, bool thorough)
{
	enum burst_guard_kind kind = guards[guard].kind;
	enum metric_kind metric = subjects[subject].metric.kind;
	if (kind == BURSTS_DEFAULT)
		return true;
	if (metric == METRIC_DISTRIBUTION || (metric == METRIC_MEAN && kind == BURSTS_EXCHANGEABLE))
		return false;
	return kind == BURSTS_EXCHANGEABLE || (thorough && n_stable == 2);
}

/* docs/statistics.md, "Which test a metric gets" and "Bursts in one copy". */
static bool promised(const struct world *world, size_t guard, const struct analysis_metric *metric, bool fine)
{
	enum burst_guard_kind kind = guards[guard].kind;
	if (kind == BURSTS_TEMPERED && metric->kind != METRIC_DISTRIBUTION)
		return false; /* measured only */
	if (!world->alone)
		return true;
	if (metric->kind == METRIC_DISTRIBUTION || kind == BURSTS_NONE || world->straddling)
		return false; /* no guard knows classes; windows are taken to be independent */
	bool ranked = kind == BURSTS_EXCHANGEABLE && metric->kind == METRIC_RATE;
	return ranked || !fine; /* `fine` by default: 2.5 to 14%, as the page says */
}

static void must_agree(struct seen ever, struct seen last)
{
	if (ever.worse != last.worse || ever.fine != last.fine) {
		fprintf(stderr, "validity: the last look does not tell what the looks before it told\n");
		exit(2);
	}
}

static size_t rows_of(size_t n_stable, bool thorough, struct row ret[N_GUARDS * N_SUBJECTS])
{
	size_t n = 0;
	for (size_t g = 0; g < N_GUARDS; g++)
		for (size_t s = 0; s < N_SUBJECTS; s++) {
			if (!is_simulated(g, s, n_stable, thorough))
				continue;
			ret[n] = (struct row){.guard = g, .subject = s, .spec = {.alpha = ALPHA, .n_metrics = 1, .bursts = guards[g].kind}};
			ret[n++].spec.metrics[0] = subjects[s].metric;
		}
	return n;
}

static void run_once(struct source *source, uint64_t seed, bool every_look, struct row *rows, size_t n)
{
	struct drawn drawn;
	begin(source, seed);
	for (size_t i = 0; i < n; i++) {
		rows[i].analysis = analysis_new(&rows[i].spec);
		rows[i].ever = (struct seen){false, false};
	}
	for (int number = 0; number < BLOCKS; number++) {
		draw(source, &drawn);
		for (size_t i = 0; i < n; i++) {
			feed(rows[i].analysis, &rows[i].spec, &drawn, subjects[rows[i].subject].candidate);
			if (!every_look)
				continue;
			struct seen now = look(rows[i].analysis);
			rows[i].ever = (struct seen){rows[i].ever.worse || now.worse, rows[i].ever.fine || now.fine};
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct seen last = look(rows[i].analysis);
		if (every_look)
			must_agree(rows[i].ever, last);
		rows[i].worse += last.worse;
		rows[i].fine += last.fine;
		analysis_free(rows[i].analysis);
	}
}

static bool report_cell(const struct world *world, size_t n_stable, const struct row *rows, size_t n, uint64_t runs)
{
	bool kept = true;
	for (size_t i = 0; i < n; i++) {
		char name[80], where[80];
		const struct subject *subject = &subjects[rows[i].subject];
		size_t g = rows[i].guard;
		snprintf(where, sizeof(where), "%zu+1 %s", n_stable, world->name);
		snprintf(name, sizeof(name), "%s: %s, worse", guards[g].name, subject->name);
		kept = report_line(name, where, promised(world, g, &subject->metric, false), rows[i].worse, runs) && kept;
		snprintf(name, sizeof(name), "%s: %s, fine", guards[g].name, subject->name);
		if (!subject->equal_is_fine)
			kept = report_line(name, where, promised(world, g, &subject->metric, true), rows[i].fine, runs) && kept;
	}
	return kept;
}

bool whole_analyses(uint64_t runs, bool thorough)
{
	struct row rows[N_GUARDS * N_SUBJECTS];
	bool kept = true;
	report_title("the analysis, one metric, half an hour");
	for (size_t w = 0; w < N_WORLDS; w++)
		for (size_t c = 0; c < N_COPIES; c++) {
			if (!thorough && (copies[c] != 2 || worlds[w].thorough))
				continue;
			struct source source = {.world = &worlds[w], .n_stable = copies[c], .weight_ppm = (uint32_t)(1000000 / (copies[c] + 1))};
			size_t n = rows_of(copies[c], thorough, rows);
			for (uint64_t run = 0; run < runs; run++)
				run_once(&source, (run * N_WORLDS + w) * N_COPIES + c, run == 0, rows, n);
			kept = report_cell(&worlds[w], copies[c], rows, n, runs) && kept;
		}
	return kept;
}

/* ---- whole rollouts ---- */

struct rollout_cell {
	uint64_t rolled_back[N_GUARDS][2], passed[N_GUARDS][2]; /* passed: all metrics fine in one step or more. [0]: equal arms; [1]: at the edges */
};

static struct rollout_spec rollout_spec_of(size_t guard)
{
	struct rollout_spec spec = {.alpha = ALPHA, .n_metrics = ROLLOUT_METRICS, .bursts = guards[guard].kind, .n_steps = N_STEPS};
	memcpy(spec.steps_ppm, steps_ppm, sizeof(steps_ppm));
	for (size_t i = 0; i < ROLLOUT_METRICS; i++)
		spec.metrics[i] = subjects[rollout_subjects[i]].metric;
	return spec;
}

static void roll_out_once(struct source *source, uint64_t seed, size_t n_guards, struct rollout_cell *cell)
{
	struct rollout_spec specs[N_GUARDS];
	struct analysis *analyses[N_GUARDS][2];
	struct drawn drawn;
	bool worse[N_GUARDS][2] = {{false}}, passed[N_GUARDS][2] = {{false}};
	for (size_t i = 0; i < n_guards * 2; i++) {
		specs[i / 2] = rollout_spec_of(i / 2);
		analyses[i / 2][i % 2] = analysis_new(&specs[i / 2]);
	}
	source->weight_ppm = steps_ppm[0];
	begin(source, seed);
	for (int number = 0; number < BLOCKS; number++) {
		int at = number % (BLOCKS / N_STEPS);
		source->weight_ppm = steps_ppm[number / (BLOCKS / N_STEPS)];
		draw(source, &drawn);
		for (size_t i = 0; i < n_guards * 2; i++) {
			struct analysis *analysis = analyses[i / 2][i % 2];
			struct analysis_verdict verdict;
			if (at == 0)
				analysis_step(analysis, (unsigned)(number / (BLOCKS / N_STEPS)));
			feed(analysis, &specs[i / 2], &drawn, i % 2 ? MARGIN_EDGE : EQUAL);
			if (at + 1 < BLOCKS / N_STEPS)
				continue;
			analysis_verdict(analysis, &verdict);
			worse[i / 2][i % 2] |= verdict.verdict == VERDICT_WORSE;
			passed[i / 2][i % 2] |= verdict.verdict == VERDICT_FINE;
		}
	}
	for (size_t i = 0; i < n_guards * 2; i++) {
		cell->rolled_back[i / 2][i % 2] += worse[i / 2][i % 2];
		cell->passed[i / 2][i % 2] += passed[i / 2][i % 2];
		analysis_free(analyses[i / 2][i % 2]);
	}
}

static bool report_rollouts(const struct world *world, size_t n_stable, size_t n_guards, const struct rollout_cell *cell, uint64_t runs)
{
	bool kept = true;
	for (size_t g = 0; g < n_guards; g++) {
		static const struct analysis_metric any_rate = {.kind = METRIC_RATE};
		bool promise = promised(world, g, &any_rate, false);
		char name[80], where[80];
		snprintf(where, sizeof(where), "%zu+1 %s", n_stable, world->name);
		snprintf(name, sizeof(name), "%s: rolled back, equal arms", guards[g].name);
		kept = report_line(name, where, promise, cell->rolled_back[g][0], runs) && kept;
		snprintf(name, sizeof(name), "%s: rolled back, at the edges", guards[g].name);
		kept = report_line(name, where, promise, cell->rolled_back[g][1], runs) && kept;
		snprintf(name, sizeof(name), "%s: a step passed, at the edges", guards[g].name);
		report_line(name, where, false, cell->passed[g][1], runs); /* promised for each step by itself */
	}
	return kept;
}

bool whole_rollouts(uint64_t runs, bool thorough)
{
	static const size_t n_stable = 2;
	const size_t n_guards = thorough ? N_GUARDS : 1; /* the default comes first */
	bool kept = true;
	report_title("whole rollouts, 4 steps, 3 metrics");
	for (size_t w = 0; w < N_WORLDS; w++) {
		struct rollout_cell cell = {.rolled_back = {{0}}};
		if (!thorough && worlds[w].thorough)
			continue;
		struct source source = {.world = &worlds[w], .n_stable = n_stable};
		for (uint64_t run = 0; run < runs; run++)
			roll_out_once(&source, UINT64_C(1) << 40 | (run * N_WORLDS + w), n_guards, &cell);
		kept = report_rollouts(&worlds[w], n_stable, n_guards, &cell, runs) && kept;
	}
	return kept;
}
