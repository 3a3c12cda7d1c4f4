/* Counts into blocks, answers of sources into measures, both into the analysis and into rows that a replay reads (runner/replay.h). */
#include "runner/rollouts_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"

#include <math.h>

/* ---- rows ---- */

static int keep(struct watched *watched, json_t *row /* taken */, bool used, bool *ret_counted, struct error **err)
{
	struct active *active = watched->active;
	cleanup_json json_t *taken = row;
	*ret_counted = true;
	if (used) {
		struct analysis_verdict verdict;
		analysis_verdict(active->analysis, &verdict);
		analysis_look(active->analysis, &verdict);
	}
	return observation_insert(watched->rollouts->core, active->machine.id, active->machine.step, taken, err);
}

/* ---- the router's counts ---- */

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
	if (ret->to_ms < ret->from_ms)
		ret->from_ms = ret->to_ms; /* the wall clock was set back */
}

static bool is_empty(const struct arm_counts *counts)
{
	return !counts->assigned && !counts->completed;
}

/* Why this block proves nothing, or NULL. A split that moved within a block would make the arms' shares differ from what is tested. */
static const char *why_not(const struct active *active, const struct counts_report *report)
{
	const struct rollout *machine = &active->machine;
	bool confirmed = machine->step_confirmed || machine->state == ROLLOUT_PROMOTING;
	if (!confirmed || machine->candidate.weight_ppm != active->spec.steps_ppm[machine->step])
		return "the step's weight was not confirmed yet";
	if (report->weight_ppm_min != report->weight_ppm_max || report->weight_ppm_min != machine->candidate.weight_ppm)
		return "mixed: the weight moved while these were counted";
	return NULL;
}

static int take_counts(struct watched *watched, const struct counts_report *report, bool *ret_counted, struct error **err)
{
	struct active *active = watched->active;
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
	json_t *row = analysis_block_to_json(&block);
	json_object_set_new(row, "kind", json_string("counts"));
	if (report->gap)
		json_object_set_new(row, "gap", json_true());
	if (dropped)
		json_object_set_new(row, "dropped", json_string(dropped)); /* not fed to the analysis; a replay skips it too */
	return keep(watched, row, !dropped, ret_counted, err);
}

static int take_provider(struct watched *watched, bool *ret_counted, struct error **err)
{
	struct active *active = watched->active;
	bool answers = !watched->provider_failed;
	if (active->provider_told == !answers)
		return 0;
	active->provider_told = !answers;
	analysis_provider(active->analysis, answers);
	return keep(watched, json_pack("{s:s, s:b}", "kind", "provider", "answers", answers), false, ret_counted, err);
}

/* ---- sources ---- */

static int take_measure(struct watched *watched, const struct feed_answer *answer, bool *ret_counted, struct error **err)
{
	struct active *active = watched->active;
	const struct analysis_metric *metric = &active->spec.metrics[answer->metric];
	cleanup_error struct error *absurd = NULL;
	const char *dropped = NULL;
	active->source_told[answer->metric] = false;
	analysis_source(active->analysis, answer->metric, false, NULL);
	if (analysis_measure(active->analysis, answer->metric, &answer->measure, &absurd) < 0) {
		log_write(LOG_WARNING, watched->subject, "metric %s: not used: %s", metric->metric, error_message(absurd));
		dropped = error_message(absurd);
	}
	json_t *row = json_pack("{s:s, s:s, s:o}", "kind", "measure", "metric", metric->metric, "measure", measure_to_json(&answer->measure, metric->kind));
	if (answer->text[0])
		json_object_set_new(row, "note", json_stringn(answer->text, utf8_valid_prefix(answer->text, strlen(answer->text))));
	if (dropped)
		json_object_set_new(row, "dropped", json_string(dropped));
	return keep(watched, row, !dropped, ret_counted, err);
}

/* No measure: whether it answers at all is told when it changes. */
static int take_state(struct watched *watched, const struct feed_answer *answer, bool *ret_counted, struct error **err)
{
	struct active *active = watched->active;
	size_t i = answer->metric;
	const char *name = active->spec.metrics[i].metric;
	bool no_data = answer->kind == FEED_NO_DATA;
	char trouble[sizeof(active->source_trouble[0])];
	snprintf(trouble, sizeof(trouble), "%.119s", answer->kind == FEED_TROUBLE ? answer->text : "");
	trouble[utf8_valid_prefix(trouble, strlen(trouble))] = '\0'; /* cut between characters; and what a stranger says need not be UTF-8 */
	if (active->source_told[i] && active->source_no_data[i] == no_data && strcmp(active->source_trouble[i], trouble) == 0)
		return 0;
	active->source_told[i] = true;
	active->source_no_data[i] = no_data;
	memcpy(active->source_trouble[i], trouble, sizeof(trouble));
	if (trouble[0])
		log_write(LOG_WARNING, watched->subject, "metric %s: %s", name, answer->text);
	analysis_source(active->analysis, i, no_data, trouble[0] ? trouble : NULL);
	json_t *row = json_pack("{s:s, s:s}", "kind", "source", "metric", name);
	if (no_data)
		json_object_set_new(row, "no_data", json_true());
	if (trouble[0])
		json_object_set_new(row, "trouble", json_string(trouble));
	return keep(watched, row, true, ret_counted, err);
}

static int take_answers(struct watched *watched, bool *ret_counted, struct error **err)
{
	struct feed_answer answer;
	while (feeds_take(watched->active->feeds, &answer)) {
		int result = answer.kind == FEED_MEASURE ? take_measure(watched, &answer, ret_counted, err)
							 : take_state(watched, &answer, ret_counted, err);
		if (result < 0)
			return -1;
	}
	return 0;
}

static void source_arm(const struct actual *actual, const char *name, const struct release *release, const char *addresses[MAX_SEEN_INSTANCES],
		       struct source_arm *ret)
{
	*ret = (struct source_arm){.name = name, .version = release->version, .image = release->image, .instances = addresses};
	for (unsigned i = 0; i < actual->n_arms && i < MAX_ARMS; i++) {
		const struct arm_status *arm = &actual->arms[i];
		for (unsigned k = 0; strcmp(arm->image, release->image) == 0 && k < arm->n_instances && k < MAX_SEEN_INSTANCES; k++)
			if (arm->instances[k].ready)
				addresses[ret->n_instances++] = arm->instances[k].address;
	}
}

/* The next turn takes it; a source that is still telling us must not be closed by that turn. */
static void on_news(void *arg)
{
	struct watched *watched = arg;
	if (watched->magic != WATCHED_MAGIC)
		abort();
	watched->look_at_ms = 0;
}

void evidence_ask(struct watched *watched)
{
	struct active *active = watched->active;
	const struct actual *actual = watched_actual(watched);
	if (!active || !active->analysis || !actual || !active->stable.id || !rollout_is_judged(&active->machine) || !active->machine.step_confirmed)
		return;
	const char *stable[MAX_SEEN_INSTANCES], *candidate[MAX_SEEN_INSTANCES];
	struct source_arm arms[2];
	source_arm(actual, "stable", &active->stable, stable, &arms[0]);
	source_arm(actual, "candidate", &active->candidate, candidate, &arms[1]);
	if (!arms[0].n_instances || !arms[1].n_instances)
		return; /* that is health's matter; nobody is there to be asked */
	if (!active->feeds_made)
		active->feeds = feeds_new(watched->rollouts->core, &active->spec, watched->state_dir, active->categories, on_news, watched);
	active->feeds_made = true;
	feeds_ask(active->feeds, arms, active->feeds_asked && active->feeds_step != active->machine.step);
	active->feeds_asked = true;
	active->feeds_step = active->machine.step;
}

int evidence_take(struct watched *watched, const struct counts_report *report, bool *ret_counted, struct error **err)
{
	struct active *active = watched->active;
	*ret_counted = false;
	if (!active->analysis || !rollout_is_judged(&active->machine))
		return 0;
	if (take_provider(watched, ret_counted, err) < 0 || take_answers(watched, ret_counted, err) < 0)
		return -1;
	return report ? take_counts(watched, report, ret_counted, err) : 0;
}

/* ---- verdicts as JSON ---- */

static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *looks_json(const struct metric_verdict *metric)
{
	json_t *json = json_object();
	for (size_t i = 0; i < N_VERDICTS; i++)
		json_object_set_new(json, verdict_name((enum verdict)i), json_integer((json_int_t)metric->looks[i]));
	return json;
}

static json_t *metric_json(const struct analysis_metric *asked, const struct metric_verdict *metric)
{
	const struct {
		const char *key;
		double value;
	} numbers[] = {
		{"stable", metric->stable},           {"candidate", metric->candidate},
		{"estimate", metric->estimate},       {"low", metric->low},
		{"high", metric->high},               {"margin", metric->margin},
		{"log_e_worse", metric->log_e_worse}, {"log_threshold_worse", metric->log_threshold_worse},
		{"log_e_fine", metric->log_e_fine},   {"log_threshold_fine", metric->log_threshold_fine},
		{"p_anytime", metric->p_anytime},     {"dispersion", metric->dispersion},
	};
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:o, s:s}", "metric", metric->metric, "test",
				 metric->test ? metric->test : "", "unit", metric->unit ? metric->unit : "", "verdict",
				 verdict_name(metric->verdict), "informational", metric->informational, "n_stable", (json_int_t)metric->n_stable,
				 "n_candidate", (json_int_t)metric->n_candidate, "step_n_candidate", (json_int_t)metric->step_n_candidate, "blocks",
				 (json_int_t)metric->blocks, "looks", looks_json(metric), "trouble", metric->trouble);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		json_object_set_new(json, numbers[i].key, number(numbers[i].value));
	json_object_set_new(json, "source", asked->source ? json_string(asked->source) : json_null());
	return json;
}

json_t *verdict_json(const struct rollout_spec *spec, const struct analysis *analysis, const struct analysis_verdict *verdict)
{
	json_t *metrics = json_array();
	for (size_t i = 0; i < verdict->n_metrics; i++) {
		char change[256] = "";
		json_t *metric = metric_json(&spec->metrics[i], &verdict->metrics[i]);
		analysis_what_would_change(analysis, i, change, sizeof(change));
		json_object_set_new(metric, "would_change", json_string(change));
		json_array_append_new(metrics, metric);
	}
	return json_pack("{s:s, s:s, s:o, s:I, s:I, s:o}", "verdict", verdict_name(verdict->verdict), "reason", verdict->reason, "split_p",
			 number(verdict->split_p), "step_candidate_requests", (json_int_t)verdict->step_candidate_requests, "at_ms",
			 (json_int_t)clock_wall_ms(), "metrics", metrics);
}
