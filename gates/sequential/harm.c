#include "gates/sequential/harm.h"

#include "gates/stats/rng.h"

#include <math.h>
#include <string.h>

#define MOST_DRAWN 100000

void harm_arm_of(const struct measure_arm *arm, const uint32_t *ids, struct harm_arm *ret)
{
	uint64_t n = 0, y = 0;
	*ret = (struct harm_arm){.n = arm->n, .y = arm->y};
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

static void fail(struct harm_arm *arm)
{
	arm->y = arm->n - arm->y;
	for (unsigned i = 0; i < arm->n_instances; i++)
		arm->instances[i].y = arm->instances[i].n - arm->instances[i].y;
}

/* Turns the question into one of bad events and a margin; returns the margin. */
static double as_margin(struct harm_block *block, struct boundary boundary, enum better better)
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
static size_t place_of(struct harm_window *window, double name)
{
	size_t n = (size_t)window->n_instances;
	for (size_t i = 0; i < n; i++)
		if (window->names[i] == name)
			return i;
	if (n == MEASURE_INSTANCES)
		return n - 1;
	window->names[n] = name;
	window->n_instances++;
	return n;
}

/* Adds up the block, and gives its counts by the places of the window. */
static size_t place(struct harm_window *window, const struct harm_arm *arm, struct instance_counts ret[MEASURE_INSTANCES])
{
	memset(ret, 0, MEASURE_INSTANCES * sizeof(ret[0]));
	for (unsigned i = 0; i < arm->n_instances; i++) {
		size_t at = place_of(window, arm->names[i]);
		ret[at].n += arm->instances[i].n;
		ret[at].y += arm->instances[i].y;
		window->n[at] += (double)arm->instances[i].n;
		window->y[at] += (double)arm->instances[i].y;
	}
	return (size_t)window->n_instances;
}

static size_t whole(const struct harm_window *window, struct instance_counts ret[MEASURE_INSTANCES])
{
	for (size_t i = 0; i < (size_t)window->n_instances; i++)
		ret[i] = (struct instance_counts){(uint64_t)window->n[i], (uint64_t)window->y[i]};
	return (size_t)window->n_instances;
}

static void higher(double *max, double now)
{
	*max = now > *max ? now : *max;
}

static void end_window(struct harm *harm, enum burst_guard_kind bursts, double margin, uint64_t number)
{
	struct instance_counts stable[MEASURE_INSTANCES], candidate[MEASURE_INSTANCES];
	size_t n_stable = whole(&harm->stable, stable), n_candidate = whole(&harm->candidate, candidate);
	if (bursts == BURSTS_DEFAULT)
		burst_guard_end_window(&harm->process.guard);
	if (bursts == BURSTS_EXCHANGEABLE) {
		exchangeable_add(&harm->process.ranks, stable, n_stable, candidate, n_candidate, margin, NULL_NOT_WORSE, number);
		higher(&harm->log_max, harm->process.ranks.log_max);
	}
	tempering_observe(&harm->noise, stable, n_stable);
	harm->stable = (struct harm_window){0};
	harm->candidate = (struct harm_window){0};
	harm->span_ms = harm->is_open = 0;
}

double harm_dispersion(const struct harm *harm)
{
	double phi = tempering_phi(&harm->noise);
	return isfinite(phi) ? phi : (double)NAN;
}

/* ---- evidence ---- */

static void bet(struct harm *harm, const struct block2x2 *counts, double past_a, struct boundary boundary, enum better better, double phi)
{
	struct eprocess *process = &harm->process.plain, before = *process;
	if (!isfinite(phi))
		return;
	eprocess_bet_on(process, counts, past_a, boundary, NULL_NOT_WORSE, better);
	if (phi > 1) {
		for (size_t i = 0; i < EPROCESS_MAX; i++)
			process->log_e[i] = before.log_e[i] + (process->log_e[i] - before.log_e[i]) / phi;
		process->log_max = before.log_max;
		higher(&process->log_max, eprocess_log_e(process, NULL_NOT_WORSE));
	}
	higher(&harm->log_max, process->log_max);
}

void harm_add(struct harm *harm, enum burst_guard_kind bursts, const struct harm_block *block, double past_a, struct boundary boundary,
	      enum better better)
{
	struct instance_counts stable[MEASURE_INSTANCES], candidate[MEASURE_INSTANCES];
	struct harm_block bad = *block;
	double margin = as_margin(&bad, boundary, better);
	/* Ended before the next block rather than after this one: what comes next says whether the split moved. */
	if (harm->is_open > 0 && (harm->span_ms >= BURST_WINDOW_MS || harm->weight_ppm != block->weight_ppm))
		end_window(harm, bursts, margin, block->number);
	size_t n_stable = place(&harm->stable, &bad.stable, stable), n_candidate = place(&harm->candidate, &bad.candidate, candidate);
	harm->is_open = 1;
	harm->span_ms += block->span_ms;
	harm->weight_ppm = block->weight_ppm;
	const struct block2x2 counts = {block->stable.n, block->stable.y, block->candidate.n, block->candidate.y};
	switch (bursts) {
	case BURSTS_NONE:
		bet(harm, &counts, past_a, boundary, better, 1);
		return;
	case BURSTS_TEMPERED:
		bet(harm, &counts, past_a, boundary, better, tempering_phi(&harm->noise));
		return;
	case BURSTS_DEFAULT:
		burst_guard_add(&harm->process.guard, stable, n_stable, candidate, n_candidate, margin, block->number);
		higher(&harm->log_max, harm->process.guard.log_max);
		return;
	case BURSTS_EXCHANGEABLE:
		return; /* at the end of the window */
	}
}
