#include "gates/analysis_priv.h"

#include "base/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVERY_MS 5000.0 /* how often a source is asked unless the metric says otherwise */

double latency_quantile_ms(const struct arm_counts *counts, double q)
{
	return latency_ladder_quantile(counts->latency_buckets, q);
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

bool analysis_is_routers(const struct analysis_metric *metric)
{
	return !metric->source && (metric->kind == METRIC_RATE || metric->kind == METRIC_LATENCY);
}

/* What `default` means for a metric. The burst guard is made for a router's errors, of which a bad minute of one copy makes twice as many. Labels and
 * orders that a source counts are many and no copy's doing: at rates of a fifth and more the guard would explain any difference as a burst. */
static enum burst_guard_kind guard_of(const struct rollout_spec *spec, const struct analysis_metric *metric)
{
	bool outcomes = metric->source && (metric->kind == METRIC_RATE || metric->kind == METRIC_MEAN);
	return spec->bursts == BURSTS_DEFAULT && outcomes ? BURSTS_TEMPERED : spec->bursts;
}

struct analysis *analysis_new(const struct rollout_spec *spec)
{
	struct analysis *analysis = xcalloc(1, sizeof(*analysis));
	analysis->spec = spec;
	analysis->alpha = spec->alpha > 0 && spec->alpha < 1 ? spec->alpha : 0.05;
	analysis->provider_answers = true;
	size_t deciding = 0;
	for (size_t i = 0; i < spec->n_metrics; i++) {
		struct metric_state *metric = &analysis->metrics[i];
		metric->subject = (struct sequential_subject){&spec->metrics[i], analysis->alpha, analysis->alpha,
								     guard_of(spec, &spec->metrics[i])};
		metric->test = sequential_for(&spec->metrics[i]);
		metric->state_size = metric->test->state_size(&metric->subject);
		metric->state = xcalloc(1, metric->state_size);
		metric->decides = !spec->metrics[i].informational && metric->test->bounded(&spec->metrics[i]);
		deciding += metric->decides;
	}
	for (size_t i = 0; i < spec->n_metrics && deciding; i++)
		analysis->metrics[i].subject.alpha_each = analysis->alpha / (double)deciding;
	return analysis;
}

void analysis_free(struct analysis *analysis)
{
	if (!analysis)
		return;
	for (size_t i = 0; i < analysis->spec->n_metrics; i++)
		free(analysis->metrics[i].state);
	free(analysis);
}

size_t analysis_state_bytes(const struct analysis *analysis, size_t metric)
{
	return analysis->metrics[metric].state_size;
}

void analysis_step(struct analysis *analysis, unsigned step)
{
	analysis->step = step;
	analysis->step_stable = analysis->step_candidate = 0;
	for (size_t i = 0; i < analysis->spec->n_metrics; i++)
		analysis->metrics[i].test->step(&analysis->metrics[i].subject, analysis->metrics[i].state);
}

void analysis_provider(struct analysis *analysis, bool answers)
{
	analysis->provider_answers = answers;
}

void analysis_source(struct analysis *analysis, size_t metric, bool no_data, const char *trouble)
{
	struct metric_state *state = &analysis->metrics[metric];
	state->no_data = no_data;
	snprintf(state->trouble, sizeof(state->trouble), "%s", trouble ? trouble : "");
}

static void feed(struct analysis *analysis, struct metric_state *metric, struct sequential_block *block)
{
	/* What is drawn at random must differ from rollout to rollout, or a proof that averages over it says nothing of the one stream that all of
	 * them would share; and it must be the same in a replay. The moment at which counting began is both, and no outcome has a say in it. */
	block->number = (uint64_t)analysis->began_ms * UINT64_C(0x9e3779b97f4a7c15) + ++analysis->blocks;
	metric->blocks++;
	metric->test->add(&metric->subject, metric->state, block);
}

static struct measure_arm errors_of(const struct arm_counts *counts)
{
	struct measure_arm arm = {.n = counts->completed, .y = counts->errors, .n_instances = counts->n_instances};
	memcpy(arm.instances, counts->instances, sizeof(arm.instances));
	return arm;
}

/* Before the block is counted in: harm that a broken split comes after was found by honest counts. */
static void check_split(struct analysis *analysis, const struct analysis_block *block)
{
	bool rejected[ROLLOUT_MAX_METRICS] = {false};
	double threshold[ROLLOUT_MAX_METRICS];
	split_add(&analysis->split, block->weight_ppm, block->stable.assigned, block->candidate.assigned);
	if (analysis->split_broken || split_p(&analysis->split) > SPLIT_ALPHA)
		return;
	analysis_harm(analysis, threshold, rejected);
	for (size_t i = 0; i < analysis->spec->n_metrics; i++)
		analysis->metrics[i].harm_before_split = rejected[i];
	analysis->split_broken = true;
}

int analysis_add(struct analysis *analysis, const struct analysis_block *block, struct error **err)
{
	if (analysis_check_block(block, err) < 0)
		return -1;
	if (!analysis->began_ms)
		analysis->began_ms = block->from_ms;
	check_split(analysis, block);
	analysis->weight_ppm = block->weight_ppm;
	if (!block->stable.completed && !block->candidate.completed)
		return 0;
	const struct measure errors = {errors_of(&block->stable), errors_of(&block->candidate)};
	struct sequential_block counts = {
		.measure = &errors,
		.stable_ids = block->stable.instance_ids,
		.candidate_ids = block->candidate.instance_ids,
		.stable = &block->stable,
		.candidate = &block->candidate,
		.span_ms = (double)(block->to_ms - block->from_ms),
		.weight_ppm = block->weight_ppm,
	};
	for (size_t i = 0; i < analysis->spec->n_metrics; i++)
		if (analysis_is_routers(&analysis->spec->metrics[i]))
			feed(analysis, &analysis->metrics[i], &counts);
	analysis->step_stable += block->stable.completed;
	analysis->step_candidate += block->candidate.completed;
	return 0;
}

int analysis_measure(struct analysis *analysis, size_t metric, const struct measure *measure, struct error **err)
{
	const struct analysis_metric *spec = &analysis->spec->metrics[metric];
	if (spec->kind == METRIC_LATENCY)
		return error_set(err, ERROR_INVALID, 0, "%s: a latency is counted by the router, not by a source", spec->metric);
	if (analysis_check_measure(spec, measure, err) < 0)
		return error_context(err, "%s", spec->metric);
	if (!measure->stable.n && !measure->candidate.n)
		return 0;
	struct sequential_block block = {
		.measure = measure, .weight_ppm = analysis->weight_ppm, .span_ms = spec->every_ms ? (double)spec->every_ms : EVERY_MS};
	feed(analysis, &analysis->metrics[metric], &block);
	return 0;
}

int analysis_latency(struct analysis *analysis, size_t metric, const struct analysis_block *block, struct error **err)
{
	if (analysis_check_block(block, err) < 0)
		return -1;
	if (!block->stable.completed && !block->candidate.completed)
		return 0;
	struct sequential_block counts = {.stable = &block->stable,
					  .candidate = &block->candidate,
					  .weight_ppm = block->weight_ppm,
					  .span_ms = (double)(block->to_ms - block->from_ms)};
	feed(analysis, &analysis->metrics[metric], &counts);
	return 0;
}

void analysis_look(struct analysis *analysis, const struct analysis_verdict *verdict)
{
	for (size_t i = 0; i < verdict->n_metrics; i++)
		analysis->metrics[i].looks[verdict->metrics[i].verdict]++;
}
