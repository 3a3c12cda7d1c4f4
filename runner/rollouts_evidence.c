/* Counts into blocks, blocks into the analysis, verdicts into JSON. */
#include "runner/rollouts_priv.h"

#include "base/clock.h"
#include "base/log.h"

#include <math.h>

bool is_judged(const struct rollout *machine)
{
	enum rollout_state state = machine->state == ROLLOUT_PAUSED ? machine->paused_from : machine->state;
	return state == ROLLOUT_STEPPING || (state == ROLLOUT_AWAITING && machine->candidate.weight_ppm > 0);
}

static void block_of(const struct active *active, const struct counts_report *report, struct analysis_block *ret)
{
	*ret = (struct analysis_block){
		.weight_ppm = active->machine.candidate.weight_ppm, .from_ms = active->block_from_ms, .to_ms = clock_wall_ms()};
	for (unsigned i = 0; i < report->n_arms && i < MAX_ARMS; i++) {
		if (strcmp(report->arms[i].image, active->candidate.image) == 0)
			ret->candidate = report->arms[i].counts;
		else if (strcmp(report->arms[i].image, active->stable.image) == 0)
			ret->stable = report->arms[i].counts;
	}
}

static bool is_empty(const struct arm_counts *counts)
{
	return !counts->assigned && !counts->completed;
}

/* Why this block proves nothing, or NULL. A split that moved within a block would make the arms' shares differ from what is tested. */
static const char *why_not(const struct active *active, const struct counts_report *report)
{
	const struct rollout *machine = &active->machine;
	if (!machine->step_confirmed || machine->candidate.weight_ppm != active->spec.steps_ppm[machine->step])
		return "the step's weight was not confirmed yet";
	if (report->weight_ppm_min != report->weight_ppm_max || report->weight_ppm_min != machine->candidate.weight_ppm)
		return "mixed: the weight moved while these were counted";
	return NULL;
}

int evidence_take(struct watched *watched, const struct counts_report *report, bool *ret_counted, struct error **err)
{
	struct active *active = watched->active;
	*ret_counted = false;
	if (!report || !active->analysis || !is_judged(&active->machine))
		return 0;
	struct analysis_block block;
	block_of(active, report, &block);
	active->block_from_ms = block.to_ms;
	if (is_empty(&block.stable) && is_empty(&block.candidate))
		return 0;
	const char *dropped = why_not(active, report);
	cleanup_error struct error *absurd = NULL;
	if (!dropped && analysis_add(active->analysis, &block, &absurd) < 0) {
		log_write(LOG_WARNING, watched->subject, "counts not used: %s", error_message(absurd));
		dropped = error_message(absurd);
	}
	*ret_counted = true;
	return observation_insert(watched->rollouts->core, active, &block, dropped, report->gap, err);
}

static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *metric_json(const struct metric_verdict *metric)
{
	return json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "metric", metric->metric, "verdict",
			 verdict_name(metric->verdict), "informational", metric->informational, "stable", number(metric->stable), "candidate",
			 number(metric->candidate), "margin", number(metric->margin), "log_e_worse", number(metric->log_e_worse),
			 "log_threshold_worse", number(metric->log_threshold_worse), "log_e_fine", number(metric->log_e_fine), "log_threshold_fine",
			 number(metric->log_threshold_fine), "n_stable", (json_int_t)metric->n_stable, "n_candidate",
			 (json_int_t)metric->n_candidate);
}

json_t *verdict_json(const struct analysis_verdict *verdict)
{
	json_t *metrics = json_array();
	for (size_t i = 0; i < verdict->n_metrics; i++)
		json_array_append_new(metrics, metric_json(&verdict->metrics[i]));
	return json_pack("{s:s, s:s, s:o, s:I, s:o}", "verdict", verdict_name(verdict->verdict), "reason", verdict->reason, "split_p",
			 number(verdict->split_p), "step_candidate_requests", (json_int_t)verdict->step_candidate_requests, "metrics", metrics);
}
