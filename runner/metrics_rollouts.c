/* Verdicts as metrics, with the values AND the bounds they were judged by: whoever draws them sees how far from a decision they are. Of each
 * target its newest rollout that has begun; what is not known has no sample. */
#include "runner/metrics_priv.h"

#include "gates/analysis.h"
#include "runner/rollouts_view.h"

#include <math.h>
#include <string.h>

struct family {
	const char *name, *type, *help;
	void (*rows)(const struct family *family, const json_t *rollout, struct buf *out);
	/* Of per-metric rows: the sample's label beside target and metric, and which number each of its values shows. */
	const char *label, *values[2], *keys[2];
	bool of_deciding; /* a metric that is only shown has none */
};

static void begin(struct buf *out, const char *name, const json_t *rollout, const json_t *metric)
{
	buf_addf(out, "%s{target=\"", name);
	metrics_escaped(out, json_string_or(rollout, "target", ""));
	if (metric) {
		buf_adds(out, "\",metric=\"");
		metrics_escaped(out, json_string_or(metric, "metric", ""));
	}
}

static void end(struct buf *out, double value)
{
	buf_addf(out, "\"} %.12g\n", value);
}

/* ---- of a rollout ---- */

static void add_number(const struct family *family, const json_t *rollout, struct buf *out)
{
	begin(out, family->name, rollout, NULL);
	end(out, json_number_or(rollout, family->keys[0], 0));
}

static void add_weight(const struct family *family, const json_t *rollout, struct buf *out)
{
	begin(out, family->name, rollout, NULL);
	end(out, (double)json_int_or(rollout, "weight_ppm", 0) / 1e6);
}

static void add_under_way(const struct family *family, const json_t *rollout, struct buf *out)
{
	begin(out, family->name, rollout, NULL);
	end(out, json_int_or(rollout, "finished_ms", 0) == 0);
}

static void add_held(const struct family *family, const json_t *rollout, struct buf *out)
{
	begin(out, family->name, rollout, NULL);
	end(out, json_bool_or(rollout, "held", false) && json_int_or(rollout, "finished_ms", 0) == 0);
}

static void add_split(const struct family *family, const json_t *rollout, struct buf *out)
{
	const json_t *p = json_object_get(json_object_get(rollout, "verdict"), "split_p");
	if (!json_is_number(p))
		return;
	begin(out, family->name, rollout, NULL);
	end(out, json_number_value(p));
}

/* ---- of its metrics ---- */

static const json_t *metrics_of(const json_t *rollout)
{
	return json_object_get(json_object_get(rollout, "verdict"), "metrics");
}

static void add_values(const struct family *family, const json_t *rollout, struct buf *out)
{
	size_t i;
	const json_t *metric;
	json_array_foreach(metrics_of(rollout), i, metric)
	{
		if (family->of_deciding && json_bool_or(metric, "informational", false))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(family->keys) && family->keys[k]; k++) {
			const json_t *value = json_object_get(metric, family->keys[k]);
			if (!json_is_number(value) || !isfinite(json_number_value(value)))
				continue;
			begin(out, family->name, rollout, metric);
			if (family->label)
				buf_addf(out, "\",%s=\"%s", family->label, family->values[k]);
			end(out, json_number_value(value));
		}
	}
}

static const char *const verdicts[] = {
#define X(name, text, doc) text,
	VERDICTS(X)
#undef X
};

static void add_verdicts(const struct family *family, const json_t *rollout, struct buf *out)
{
	size_t i;
	const json_t *metric;
	json_array_foreach(metrics_of(rollout), i, metric)
	{
		for (size_t k = 0; k < ARRAY_SIZE(verdicts); k++) {
			begin(out, family->name, rollout, metric);
			buf_addf(out, "\",verdict=\"%s", verdicts[k]);
			end(out, strcmp(verdicts[k], json_string_or(metric, "verdict", "")) == 0);
		}
	}
}

static void add_looks(const struct family *family, const json_t *rollout, struct buf *out)
{
	size_t i;
	const json_t *metric;
	(void)family;
	json_array_foreach(metrics_of(rollout), i, metric)
	{
		const json_t *looks = json_object_get(metric, "looks");
		for (size_t k = 0; k < ARRAY_SIZE(verdicts) && json_is_object(looks); k++) {
			begin(out, "penstock_rollout_verdict_looks_total", rollout, metric);
			buf_addf(out, "\",verdict=\"%s", verdicts[k]);
			end(out, (double)json_int_or(looks, verdicts[k], 0));
		}
	}
}

static const struct family families[] = {
	{.name = "penstock_rollout_number",
	 .type = "gauge",
	 .help = "Number of the target's newest rollout, which the other families are of.",
	 .rows = add_number,
	 .keys = {"id"}},
	{.name = "penstock_rollout_under_way", .type = "gauge", .help = "1 until it has ended.", .rows = add_under_way},
	{.name = "penstock_rollout_held",
	 .type = "gauge",
	 .help = "1 while it will not go on by itself: somebody, or the surroundings, must act.",
	 .rows = add_held},
	{.name = "penstock_rollout_step",
	 .type = "gauge",
	 .help = "Step of the strategy, from 1; 0 outside the steps.",
	 .rows = add_number,
	 .keys = {"step"}},
	{.name = "penstock_rollout_weight_ratio",
	 .type = "gauge",
	 .help = "Share of the traffic that the candidate is meant to have.",
	 .rows = add_weight},
	{.name = "penstock_rollout_split_p",
	 .type = "gauge",
	 .help = "Anytime-valid p-value of the split; broken at 0.001 and below.",
	 .rows = add_split},
	{.name = "penstock_rollout_metric_value",
	 .type = "gauge",
	 .help = "A metric's value so far: rates as ratios, latencies in milliseconds, others in their own unit.",
	 .rows = add_values,
	 .label = "arm",
	 .values = {"stable", "candidate"},
	 .keys = {"stable", "candidate"}},
	{.name = "penstock_rollout_metric_bound",
	 .type = "gauge",
	 .help = "Bound on the metric's estimate: margin of a difference, ratio, or distance.",
	 .rows = add_values,
	 .keys = {"margin"}},
	{.name = "penstock_rollout_metric_estimate",
	 .type = "gauge",
	 .help = "What is bounded: difference, ratio or distance of candidate and stable.",
	 .rows = add_values,
	 .keys = {"estimate"}},
	{.name = "penstock_rollout_metric_low",
	 .type = "gauge",
	 .help = "Lower end of the estimate's confidence sequence at 1 - alpha.",
	 .rows = add_values,
	 .keys = {"low"}},
	{.name = "penstock_rollout_metric_high",
	 .type = "gauge",
	 .help = "Upper end of the estimate's confidence sequence at 1 - alpha.",
	 .rows = add_values,
	 .keys = {"high"}},
	{.name = "penstock_rollout_metric_log_e",
	 .type = "gauge",
	 .help = "Natural logarithm of the e-value: of worse over the whole rollout, of fine in this step.",
	 .rows = add_values,
	 .of_deciding = true,
	 .label = "direction",
	 .values = {"worse", "fine"},
	 .keys = {"log_e_worse", "log_e_fine"}},
	{.name = "penstock_rollout_metric_log_e_threshold",
	 .type = "gauge",
	 .help = "What the logarithm of the e-value has to reach.",
	 .rows = add_values,
	 .of_deciding = true,
	 .label = "direction",
	 .values = {"worse", "fine"},
	 .keys = {"log_threshold_worse", "log_threshold_fine"}},
	{.name = "penstock_rollout_metric_verdict", .type = "gauge", .help = "1 for the verdict that the metric has now.", .rows = add_verdicts},
	{.name = "penstock_rollout_verdict_looks",
	 .type = "counter",
	 .help = "How often each verdict was given in the target's newest rollout.",
	 .rows = add_looks},
};

void metrics_of_rollouts(const json_t *rollouts, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		size_t k;
		const json_t *rollout;
		metrics_head(out, families[i].name, families[i].type, families[i].help);
		json_array_foreach(rollouts, k, rollout) families[i].rows(&families[i], rollout, out);
	}
}

int metrics_add_rollouts(struct core *core, struct buf *out, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	cleanup_json json_t *rollouts = json_array();
	int more = 0;
	if (core->rollouts && db_query(core->db, &q, err,
				       "SELECT coalesce(max(CASE WHEN finished_ms IS NULL THEN id END), max(id)) FROM rollout"
				       " WHERE finished_ms IS NULL OR finished_ms <> 0 GROUP BY target ORDER BY target",
				       "") < 0)
		return -1;
	while (q && (more = db_step(q, err)) > 0) {
		json_t *rollout = rollouts_json(core, db_int(q, 0), err);
		if (!rollout)
			return -1;
		json_array_append_new(rollouts, rollout);
	}
	if (more == 0)
		metrics_of_rollouts(rollouts, out);
	return more;
}
