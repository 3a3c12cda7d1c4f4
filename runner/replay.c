#include "runner/replay.h"

#include "base/alloc.h"

#include <inttypes.h>

struct replay {
	struct replay_setup setup;
	struct analysis *analysis; /* NULL: no metrics */
	struct rollout machine;
	bool knows_machine;
	int64_t last_id;
	unsigned step; /* of the rows, where no turns tell it */
	struct replay_report report;
};

struct replay *replay_new(const struct replay_setup *setup)
{
	struct replay *replay = xcalloc(1, sizeof(*replay));
	replay->setup = *setup;
	if (setup->spec->n_metrics)
		replay->analysis = analysis_new(setup->spec);
	return replay;
}

void replay_free(struct replay *replay)
{
	if (!replay)
		return;
	analysis_free(replay->analysis);
	free(replay);
}

const struct analysis *replay_analysis(const struct replay *replay)
{
	return replay->analysis;
}

struct analysis *replay_steal_analysis(struct replay *replay)
{
	return STEAL(replay->analysis);
}

void replay_report(const struct replay *replay, struct replay_report *ret)
{
	*ret = replay->report;
	ret->has_state = replay->knows_machine;
	ret->state = replay->machine.state;
}

json_t *replay_verdict_json(const struct analysis_verdict *verdict)
{
	json_t *metrics = json_array();
	for (size_t i = 0; i < verdict->n_metrics; i++) {
		const struct metric_verdict *metric = &verdict->metrics[i];
		json_array_append_new(metrics, json_pack("{s:s, s:s, s:f, s:f}", "metric", metric->metric, "verdict", verdict_name(metric->verdict),
							 "log_e_worse", metric->log_e_worse, "log_e_fine", metric->log_e_fine));
	}
	return json_pack("{s:s, s:f, s:o}", "verdict", verdict_name(verdict->verdict), "split_p", verdict->split_p, "metrics", metrics);
}

/* ---- evidence ---- */

static int find_metric(const struct replay *replay, const json_t *row, size_t *ret, struct error **err)
{
	const char *name;
	if (json_need_string(row, "metric", &name, err) < 0)
		return -1;
	for (size_t i = 0; i < replay->setup.spec->n_metrics; i++) {
		if (strcmp(replay->setup.spec->metrics[i].metric, name) == 0) {
			*ret = i;
			return 0;
		}
	}
	return error_set(err, ERROR_INVALID, 0, "the rollout has no metric \"%s\"", name);
}

/* After each observation that was used, as in the daemon: the look counters are part of the state. */
static void look(struct replay *replay)
{
	struct analysis_verdict verdict;
	analysis_verdict(replay->analysis, &verdict);
	analysis_look(replay->analysis, &verdict);
}

static int take_counts(struct replay *replay, const json_t *row, struct error **err)
{
	struct analysis_block block;
	if (json_object_get(row, "dropped")) {
		replay->report.dropped++;
		return 0;
	}
	if (analysis_block_from_json(row, &block, err) < 0 || analysis_add(replay->analysis, &block, err) < 0)
		return -1;
	replay->report.counts++;
	look(replay);
	return 0;
}

static int take_measure(struct replay *replay, const json_t *row, struct error **err)
{
	struct measure measure;
	size_t metric;
	if (find_metric(replay, row, &metric, err) < 0)
		return -1;
	if (json_object_get(row, "dropped")) {
		replay->report.dropped++;
		return 0;
	}
	if (measure_from_json(json_object_get(row, "measure"), replay->setup.spec->metrics[metric].kind, &measure, err) < 0)
		return -1;
	analysis_source(replay->analysis, metric, false, NULL);
	if (analysis_measure(replay->analysis, metric, &measure, err) < 0)
		return -1;
	replay->report.measures++;
	look(replay);
	return 0;
}

static int take_source(struct replay *replay, const json_t *row, struct error **err)
{
	size_t metric;
	if (find_metric(replay, row, &metric, err) < 0)
		return -1;
	const char *trouble = json_string_or(row, "trouble", "");
	analysis_source(replay->analysis, metric, json_bool_or(row, "no_data", false), trouble[0] ? trouble : NULL);
	look(replay);
	return 0;
}

/* ---- turns ---- */

static int take_begin(struct replay *replay, const json_t *row, struct error **err)
{
	if (rollout_from_json(json_object_get(row, "machine"), &replay->machine, err) < 0)
		return -1;
	replay->report.has_begin = replay->knows_machine = true;
	return 0;
}

static void differs(struct replay *replay, int64_t id, const char *what, const json_t *stored, const json_t *recomputed)
{
	cleanup_free char *a = json_text(stored), *b = json_text(recomputed);
	size_t at = 0;
	while (a[at] && a[at] == b[at])
		at++;
	size_t from = at > 60 ? at - 60 : 0;
	replay->report.differs_at = id;
	snprintf(replay->report.difference, sizeof(replay->report.difference), "%s: stored ...%.180s; recomputed ...%.180s", what, a + from,
		 b + from);
}

static bool same_verdict(struct replay *replay, int64_t id, const json_t *row, const struct analysis_verdict *verdict)
{
	const json_t *stored = json_object_get(row, "verdict");
	if (!verdict || !json_is_object(stored))
		return true;
	cleanup_json json_t *now = replay_verdict_json(verdict);
	if (json_equal(stored, now))
		return true;
	differs(replay, id, "verdict", stored, now);
	return false;
}

static int take_turn(struct replay *replay, int64_t id, const json_t *row, struct error **err)
{
	struct rollout_input_store store;
	struct rollout_input input = {0};
	struct rollout_output out;
	struct analysis_verdict verdict;
	struct rollout stored;
	if (rollout_input_from_json(json_object_get(row, "input"), &store, &input, err) < 0 ||
	    rollout_from_json(json_object_get(row, "machine"), &stored, err) < 0)
		return -1;
	if (!replay->knows_machine) { /* what it began with is not known */
		replay->machine = stored;
		replay->knows_machine = true;
		return 0;
	}
	bool judged = replay->analysis && rollout_is_judged(&replay->machine);
	if (judged)
		analysis_verdict(replay->analysis, &verdict);
	input.spec = replay->setup.spec;
	input.stable = replay->setup.stable;
	input.candidate = replay->setup.candidate;
	input.verdict = judged ? &verdict : NULL;
	rollout_next(&replay->machine, &input, &out);
	cleanup_json json_t *now = rollout_to_json(&out.next), *then = rollout_to_json(&stored);
	bool same = json_equal(then, now);
	replay->report.turns++;
	if (!same && !replay->report.differs_at)
		differs(replay, id, "decision", then, now);
	else if (!replay->report.differs_at)
		same = same_verdict(replay, id, row, judged ? &verdict : NULL);
	replay->report.agreed += same;
	replay->machine = stored; /* a later difference is told from here on */
	if (replay->analysis && out.new_step)
		analysis_step(replay->analysis, out.next.step);
	return 0;
}

static int check_place(struct replay *replay, int64_t id, const char *kind, struct error **err)
{
	if (id <= replay->last_id)
		return error_set(err, ERROR_INVALID, 0, "it stands behind number %" PRId64, replay->last_id);
	if (strcmp(kind, "begin") == 0 && replay->last_id)
		return error_set(err, ERROR_INVALID, 0, "the beginning stands behind number %" PRId64, replay->last_id);
	replay->last_id = id;
	return 0;
}

int replay_row(struct replay *replay, int64_t id, unsigned step, const json_t *row, struct error **err)
{
	const char *kind = json_string_or(row, "kind", "counts");
	bool evidence = strcmp(kind, "begin") != 0 && strcmp(kind, "turn") != 0;
	int result = -1;
	if (check_place(replay, id, kind, err) < 0)
		return error_context(err, "observation %" PRId64, id);
	if (!replay->knows_machine && replay->analysis && step != replay->step) {
		analysis_step(replay->analysis, step);
		replay->step = step;
	}
	if (evidence && !replay->analysis)
		result = 0;
	else if (strcmp(kind, "counts") == 0)
		result = take_counts(replay, row, err);
	else if (strcmp(kind, "measure") == 0)
		result = take_measure(replay, row, err);
	else if (strcmp(kind, "source") == 0)
		result = take_source(replay, row, err);
	else if (strcmp(kind, "provider") == 0)
		analysis_provider(replay->analysis, json_bool_or(row, "answers", true)), result = 0;
	else if (strcmp(kind, "begin") == 0)
		result = take_begin(replay, row, err);
	else if (strcmp(kind, "turn") == 0)
		result = take_turn(replay, id, row, err);
	else
		error_set(err, ERROR_INVALID, 0, "unknown kind \"%s\"", kind);
	return result < 0 ? error_context(err, "observation %" PRId64, id) : 0;
}
