#include "gates/sequential/guarded.h"

#include "gates/stats/rng.h"
#include "gates/stats/stored.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DRAWN 100000

#define GROSS_WEIGHT 0.25
#define GROSS_FIRST 2.0 /* times 1/alpha times stable's average, in the first window */
#define GROSS_THEN 1.0
#define GROSS_MORE 1.0 /* event more than was seen */
#define TEMPERED_WEIGHT 0.5

void guarded_arm_of(const struct measure_arm *arm, const uint32_t *ids, struct guarded_arm *ret)
{
	uint64_t n = 0, y = 0;
	*ret = (struct guarded_arm){.n = arm->n, .y = arm->y};
	for (unsigned i = 0; i < arm->n_instances && i < MEASURE_INSTANCES; i++) {
		if (!arm->instances[i].n)
			continue;
		n += arm->instances[i].n;
		y += arm->instances[i].y;
		ret->instances[ret->n_instances] = arm->instances[i];
		ret->names[ret->n_instances++] = 1 + (double)(ids ? ids[i] : i);
	}
	if (n >= arm->n && ret->n_instances)
		return;
	const struct instance_counts rest = {arm->n - n, arm->y > y ? arm->y - y : 0};
	if (ret->n_instances == MEASURE_INSTANCES) {
		ret->instances[MEASURE_INSTANCES - 1].n += rest.n;
		ret->instances[MEASURE_INSTANCES - 1].y += rest.y;
	} else {
		ret->instances[ret->n_instances++] = rest;
	}
}

/* ---- what the guards can test ---- */

static uint64_t thinned(struct rng *rng, uint64_t y, double ratio)
{
	uint64_t kept = 0;
	if (y > MOST_DRAWN)
		return (uint64_t)((double)y / ratio);
	for (uint64_t i = 0; i < y; i++)
		kept += (double)(rng_next(rng) >> 11) * 0x1p-53 * ratio < 1;
	return kept;
}

static void fail(struct guarded_arm *arm)
{
	arm->y = arm->n - arm->y;
	for (unsigned i = 0; i < arm->n_instances; i++)
		arm->instances[i].y = arm->instances[i].n - arm->instances[i].y;
}

/* Turns the question into one of bad events and a margin; returns the margin. */
static double as_margin(struct guarded_block *block, struct boundary boundary, enum better better)
{
	if (better == HIGHER_IS_BETTER) {
		fail(&block->stable);
		fail(&block->candidate);
		return boundary.kind == BOUNDARY_RATIO ? 1 - 1 / boundary.value : boundary.value;
	}
	if (boundary.kind == BOUNDARY_MARGIN)
		return boundary.value;
	struct rng rng;
	rng_seed(&rng, block->number);
	block->candidate.y = 0;
	for (unsigned i = 0; i < block->candidate.n_instances; i++) {
		struct instance_counts *instance = &block->candidate.instances[i];
		instance->y = thinned(&rng, instance->y, boundary.value);
		block->candidate.y += instance->y;
	}
	return 0;
}

/* ---- windows ---- */

/* The instance's place within this window: its own, a new one, or the last. */
static size_t place_of(struct guarded_window *window, double name)
{
	size_t n = stored_places(window->n_instances, MEASURE_INSTANCES);
	for (size_t i = 0; i < n; i++)
		if (window->names[i] == name)
			return i;
	if (n == MEASURE_INSTANCES)
		return n - 1;
	window->names[n] = name;
	window->n_instances = (double)(n + 1);
	return n;
}

/* Adds up the block, and gives its counts by the places of the window. */
static size_t place(struct guarded_window *window, const struct guarded_arm *arm, struct instance_counts ret[MEASURE_INSTANCES])
{
	memset(ret, 0, MEASURE_INSTANCES * sizeof(ret[0]));
	for (unsigned i = 0; i < arm->n_instances; i++) {
		size_t at = place_of(window, arm->names[i]);
		ret[at].n += arm->instances[i].n;
		ret[at].y += arm->instances[i].y;
		window->n[at] += (double)arm->instances[i].n;
		window->y[at] += (double)arm->instances[i].y;
	}
	return stored_places(window->n_instances, MEASURE_INSTANCES);
}

static size_t whole(const struct guarded_window *window, struct instance_counts ret[MEASURE_INSTANCES])
{
	size_t n = stored_places(window->n_instances, MEASURE_INSTANCES);
	for (size_t i = 0; i < n; i++)
		ret[i] = (struct instance_counts){stored_count(window->n[i]), stored_count(window->y[i])};
	return n;
}

static void higher(double *max, double now)
{
	*max = now > *max ? now : *max;
}

/* Safety of good events against a ratio has no margin to be tested by. */
static enum burst_guard_kind possible(enum burst_guard_kind bursts, const struct guarded_question *question)
{
	bool has_margin = question->null == NULL_NOT_WORSE || question->better == LOWER_IS_BETTER || question->boundary.kind == BOUNDARY_MARGIN;
	return has_margin || bursts == BURSTS_NONE ? bursts : BURSTS_TEMPERED;
}

static void end_window(struct guarded *guarded, enum burst_guard_kind bursts, double margin, enum block_null null, uint64_t number)
{
	struct instance_counts stable[MEASURE_INSTANCES], candidate[MEASURE_INSTANCES];
	size_t n_stable = whole(&guarded->stable, stable), n_candidate = whole(&guarded->candidate, candidate);
	if (bursts == BURSTS_DEFAULT)
		burst_guard_end_window(&guarded->process.guard);
	if (bursts == BURSTS_EXCHANGEABLE) {
		exchangeable_add(&guarded->process.ranks, stable, n_stable, candidate, n_candidate, margin, null, number);
	}
	tempering_observe(&guarded->noise, stable, n_stable);
	guarded->stable = (struct guarded_window){0};
	guarded->candidate = (struct guarded_window){0};
	guarded->span_ms = guarded->is_open = 0;
}

double guarded_dispersion(const struct guarded *guarded)
{
	double phi = tempering_phi(&guarded->noise);
	return isfinite(phi) && guarded->noise.freedom > 0 ? phi : (double)NAN;
}

void guarded_step(struct guarded *guarded, enum burst_guard_kind bursts, const struct guarded_question *question)
{
	switch (possible(bursts, question)) {
	case BURSTS_NONE:
	case BURSTS_TEMPERED:
		break;
	case BURSTS_DEFAULT:
		burst_guard_step(&guarded->process.guard);
		break;
	case BURSTS_EXCHANGEABLE: {
		/* Also the seed's part of a replay: the number of blocks goes on. */
		const struct exchangeable known = guarded->process.ranks;
		guarded->process.ranks = (struct exchangeable){.blocks = known.blocks, .past_n = known.past_n, .past_y = known.past_y};
		break;
	}
	}
	guarded->plain = (struct eprocess){0};
	guarded->stable = (struct guarded_window){0};
	guarded->candidate = (struct guarded_window){0};
	guarded->log_max = guarded->span_ms = guarded->is_open = 0;
}

/* ---- evidence ---- */

static void bet(struct guarded *guarded, const struct guarded_block *block, double past_a, const struct guarded_question *question, double phi)
{
	const struct block2x2 counts = {block->stable.n, block->stable.y, block->candidate.n, block->candidate.y};
	struct eprocess *process = &guarded->plain, before = *process;
	if (!isfinite(phi))
		return;
	eprocess_bet_on(process, &counts, past_a, question->boundary, question->null, question->better);
	if (phi > 1) {
		for (size_t i = 0; i < EPROCESS_MAX; i++)
			process->log_e[i] = before.log_e[i] + (process->log_e[i] - before.log_e[i]) / phi;
	}
}

/* Harm that no bad minute explains. `bad`: of bad events; margin: the one that is asked for. */
static void bet_on_gross(struct guarded *guarded, const struct guarded_block *bad, double margin, double alpha)
{
	double windows = guarded->noise.blocks > 0 ? GROSS_THEN : GROSS_FIRST, usual = (guarded->y_a + GROSS_MORE) / (guarded->n_a + GROSS_MORE);
	double edge = margin + windows / alpha * usual, past = (guarded->y_a + 0.05) / (guarded->n_a + 10);
	const struct block2x2 counts = {bad->stable.n, bad->stable.y, bad->candidate.n, bad->candidate.y};
	if (edge < 1)
		eprocess_bet(&guarded->plain, &counts, past, edge, NULL_NOT_WORSE);
}

static double mean_of_two(double log_a, double log_b, double weight_b)
{
	double top = log_a > log_b ? log_a : log_b;
	return top + log((1 - weight_b) * exp(log_a - top) + weight_b * exp(log_b - top));
}

double guarded_now(const struct guarded *guarded, enum burst_guard_kind bursts, const struct guarded_question *question)
{
	switch (possible(bursts, question)) {
	case BURSTS_NONE:
	case BURSTS_TEMPERED:
		return eprocess_log_e(&guarded->plain, question->null);
	case BURSTS_DEFAULT:
		return mean_of_two(burst_guard_log_e(&guarded->process.guard), eprocess_log_e(&guarded->plain, question->null),
				   question->null == NULL_NOT_WORSE ? GROSS_WEIGHT : TEMPERED_WEIGHT);
	case BURSTS_EXCHANGEABLE:
		return exchangeable_log_e(&guarded->process.ranks);
	}
	abort();
}

void guarded_add(struct guarded *guarded, enum burst_guard_kind asked, const struct guarded_block *block, double past_a,
		 const struct guarded_question *question)
{
	struct instance_counts stable[MEASURE_INSTANCES], candidate[MEASURE_INSTANCES];
	struct guarded_block bad = *block;
	enum burst_guard_kind bursts = possible(asked, question);
	double margin = as_margin(&bad, question->boundary, question->better);
	/* Ended before the next block rather than after this one: what comes next says whether the split moved. */
	if (guarded->is_open > 0 && (guarded->span_ms >= BURST_WINDOW_MS || guarded->weight_ppm != block->weight_ppm))
		end_window(guarded, bursts, margin, question->null, block->number);
	size_t n_stable = place(&guarded->stable, &bad.stable, stable), n_candidate = place(&guarded->candidate, &bad.candidate, candidate);
	guarded->is_open = 1;
	guarded->span_ms += block->span_ms;
	guarded->weight_ppm = block->weight_ppm;
	switch (bursts) {
	case BURSTS_NONE:
		bet(guarded, block, past_a, question, 1);
		break;
	case BURSTS_TEMPERED:
		bet(guarded, block, past_a, question, tempering_phi(&guarded->noise));
		break;
	case BURSTS_DEFAULT:
		if (question->null == NULL_NOT_WORSE) {
			burst_guard_add(&guarded->process.guard, stable, n_stable, candidate, n_candidate, margin, block->number);
			bet_on_gross(guarded, &bad, margin, question->alpha);
		} else {
			burst_guard_add_fine(&guarded->process.guard, stable, n_stable, candidate, n_candidate, margin);
			if (guarded->noise.freedom >= question->freedom)
				bet(guarded, block, past_a, question, tempering_phi(&guarded->noise));
		}
		break;
	case BURSTS_EXCHANGEABLE: /* at the end of the window */
		break;
	}
	guarded->n_a += (double)bad.stable.n;
	guarded->y_a += (double)bad.stable.y;
	higher(&guarded->log_max, guarded_now(guarded, bursts, question));
}
