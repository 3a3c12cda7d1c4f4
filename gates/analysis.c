#include "gates/analysis_priv.h"

#include "base/alloc.h"

#include <inttypes.h>
#include <math.h>

/* Counts are doubles in the formulas, which hold whole numbers exactly up to here. */
#define MAX_COUNT (UINT64_C(1) << 53)

/* The stable rate before anything was seen: half a percent, on the word of ten requests. Any guess is valid; this one costs little. */
#define PRIOR_ERRORS 0.05
#define PRIOR_REQUESTS 10.0

_Static_assert(ARRAY_SIZE(((struct arm_counts *)0)->latency_buckets) == LATENCY_BUCKETS, "one edge a bucket");

double latency_edge_ms(size_t i)
{
	static const double edges[] = {1, 1.5, 2, 3, 5, 7};
	static const double tens[] = {1, 10, 100, 1000};
	return i >= LATENCY_BUCKETS - 1 ? (double)INFINITY : edges[i % 6] * tens[i / 6];
}

double latency_quantile_ms(const struct arm_counts *counts, double q)
{
	uint64_t total = 0, seen = 0;
	for (size_t i = 0; i < LATENCY_BUCKETS; i++)
		total += counts->latency_buckets[i];
	if (!total)
		return (double)NAN;
	for (size_t i = 0; i < LATENCY_BUCKETS - 1; i++) {
		seen += counts->latency_buckets[i];
		if (seen && (double)seen >= q * (double)total)
			return latency_edge_ms(i);
	}
	return latency_edge_ms(LATENCY_BUCKETS - 2);
}

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = {
#define X(name, text, doc) text,
		VERDICTS(X)
#undef X
	};
	return names[verdict];
}

static double within(double value, double low, double high)
{
	return value >= low ? fmin(value, high) : low; /* NaN: low */
}

struct analysis *analysis_new(const struct rollout_spec *spec)
{
	struct analysis *analysis = xcalloc(1, sizeof(*analysis));
	analysis->spec = spec;
	analysis->alpha = spec->alpha > 0 && spec->alpha < 1 ? spec->alpha : 0.05;
	analysis->provider_answers = true;
	for (size_t i = 0; i < spec->n_metrics; i++) {
		const struct analysis_metric *metric = &spec->metrics[i];
		analysis->metrics[i].decides = !metric->informational && metric->versus_stable && strcmp(metric->metric, "error_rate") == 0;
		analysis->metrics[i].margin = within(metric->margin, 0, 0.999);
	}
	return analysis;
}

void analysis_free(struct analysis *analysis)
{
	free(analysis);
}

void analysis_step(struct analysis *analysis, unsigned step)
{
	analysis->step = step;
	analysis->step_stable = analysis->step_candidate = 0;
	for (size_t i = 0; i < analysis->spec->n_metrics; i++)
		analysis->metrics[i].fine = (struct eprocess){0};
}

void analysis_provider(struct analysis *analysis, bool answers)
{
	analysis->provider_answers = answers;
}

static int check_arm(const char *name, const struct arm_counts *block, const struct arm_counts *total, struct error **err)
{
	if (block->errors > block->completed)
		return error_set(err, ERROR_INVALID, 0, "%s: %" PRIu64 " errors among %" PRIu64 " completed requests", name, block->errors,
				 block->completed);
	bool large = block->assigned > MAX_COUNT || block->completed > MAX_COUNT || block->latency_sum_us > UINT64_MAX / 4 ||
		     total->completed + block->completed > MAX_COUNT || total->assigned + block->assigned > MAX_COUNT ||
		     total->latency_sum_us > UINT64_MAX / 4;
	for (size_t i = 0; i < LATENCY_BUCKETS; i++)
		large = large || block->latency_buckets[i] > MAX_COUNT || total->latency_buckets[i] > MAX_COUNT;
	if (large)
		return error_set(err, ERROR_INVALID, 0, "%s: counts beyond 2^53", name);
	return 0;
}

static void sum_arm(struct arm_counts *total, const struct arm_counts *block)
{
	total->assigned += block->assigned;
	total->completed += block->completed;
	total->errors += block->errors;
	total->latency_sum_us += block->latency_sum_us;
	for (size_t i = 0; i < LATENCY_BUCKETS; i++)
		total->latency_buckets[i] += block->latency_buckets[i];
}

int analysis_add(struct analysis *analysis, const struct analysis_block *block, struct error **err)
{
	if (check_arm("stable", &block->stable, &analysis->stable, err) < 0 ||
	    check_arm("candidate", &block->candidate, &analysis->candidate, err) < 0)
		return error_context(err, "block of counts");
	if (block->weight_ppm > 1000000)
		return error_set(err, ERROR_INVALID, 0, "block of counts: a share of %" PRIu32 " millionths", block->weight_ppm);
	if (block->to_ms < block->from_ms)
		return error_set(err, ERROR_INVALID, 0, "block of counts: ends before it begins");
	/* The bet is made before the block is counted in: predictable, from the past only. */
	double past = ((double)analysis->stable.errors + PRIOR_ERRORS) / ((double)analysis->stable.completed + PRIOR_REQUESTS);
	const struct block2x2 counts = {block->stable.completed, block->stable.errors, block->candidate.completed, block->candidate.errors};
	for (size_t i = 0; i < analysis->spec->n_metrics; i++) {
		struct metric_state *metric = &analysis->metrics[i];
		if (!metric->decides)
			continue;
		eprocess_bet(&metric->worse, &counts, past, metric->margin, NULL_NOT_WORSE);
		eprocess_bet(&metric->fine, &counts, past, metric->margin, NULL_NOT_FINE);
	}
	split_add(&analysis->split, block->weight_ppm, block->stable.assigned, block->candidate.assigned);
	sum_arm(&analysis->stable, &block->stable);
	sum_arm(&analysis->candidate, &block->candidate);
	analysis->step_stable += block->stable.completed;
	analysis->step_candidate += block->candidate.completed;
	return 0;
}
