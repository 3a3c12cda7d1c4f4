#include "runner/metrics_priv.h"

#include "deployers/rollout.h"
#include "runner/rollouts_view.h"

#include <string.h>

#define MAX_TEXT ((size_t)(4 * 1024 * 1024))

static uint64_t deliveries[N_DELIVERY_RESULTS], failed_commits;

void metrics_count_delivery(enum delivery_result result)
{
	deliveries[result]++;
}

static void count_failure(void *arg)
{
	(void)arg;
	failed_commits++;
}

void metrics_watch(struct core *core)
{
	core_on_reload(core, count_failure, NULL);
}

void metrics_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# TYPE %s %s\n# HELP %s %s\n", name, type, name, help);
}

void metrics_escaped(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			buf_addc(out, '\\');
		if (*text == '\n')
			buf_adds(out, "\\n");
		else
			buf_addc(out, *text);
	}
}

/* name{label="first column"} second column */
static int add_rows(struct core *core, struct buf *out, const char *name, const char *label, const char *sql, struct error **err)
{
	cleanup_stmt struct db_stmt *q = NULL;
	if (db_query(core->db, &q, err, sql, "") < 0)
		return -1;
	int more;
	while ((more = db_step(q, err)) > 0) {
		buf_addf(out, "%s{%s=\"", name, label);
		metrics_escaped(out, db_text(q, 0));
		buf_addf(out, "\"} %lld\n", (long long)db_int(q, 1));
	}
	return more;
}

static const struct row_metric {
	const char *name, *type, *sample, *label, *help, *sql;
} row_metrics[] = {
	{"penstock_runs_finished", "gauge", "penstock_runs_finished", "outcome", "Finished runs that are remembered, by outcome.",
	 "SELECT outcome, count(*) FROM run WHERE state = 'finished' GROUP BY 1 ORDER BY 1"},
	{"penstock_runs_open", "gauge", "penstock_runs_open", "state", "Runs that are not finished, by state; queued ones are the queue.",
	 "SELECT column1, (SELECT count(*) FROM run WHERE state = column1) FROM (VALUES ('queued'), ('syncing'), ('running'))"},
	{"penstock_stages_running", "gauge", "penstock_stages_running", "kind", "Running stages, by kind.",
	 "SELECT kind, count(*) FROM stage WHERE state = 'running' GROUP BY 1 ORDER BY 1"},
	{"penstock_deliveries_stored", "counter", "penstock_deliveries_stored_total", "provider", "Deliveries in the inbox, by provider.",
	 "SELECT provider, count(*) FROM delivery GROUP BY 1 ORDER BY 1"},
	{"penstock_rollouts", "gauge", "penstock_rollouts", "state", "Rollouts that are remembered, by state.",
	 "SELECT coalesce(json_extract(machine, '$.state'), ''), count(*) FROM rollout GROUP BY 1 ORDER BY 1"},
	{"penstock_event", "counter", "penstock_event_total", "log", "Events in the audit log.", "SELECT 'audit', coalesce(max(id), 0) FROM event"},
};

static void add_weights(struct buf *out, const json_t *target)
{
	const char *name = json_string_value(json_object_get(target, "name"));
	size_t i;
	json_t *arm;
	json_array_foreach(json_object_get(json_object_get(target, "actual"), "arms"), i, arm)
	{
		buf_adds(out, "penstock_target_weight_ratio{target=\"");
		metrics_escaped(out, name ? name : "");
		buf_adds(out, "\",version=\"");
		metrics_escaped(out, json_string_or(arm, "version", ""));
		buf_adds(out, "\",image=\"");
		metrics_escaped(out, json_string_or(arm, "image", ""));
		buf_addf(out, "\"} %.6f\n", (double)json_int_or(arm, "weight_ppm", 0) / 1e6);
	}
}

static int add_targets(struct core *core, struct buf *out, struct error **err)
{
	metrics_head(out, "penstock_target_weight_ratio", "gauge", "Share of a target's traffic that each of its releases was last seen with.");
	if (!core->rollouts)
		return 0;
	cleanup_json json_t *targets = targets_json(core, err);
	if (!targets)
		return -1;
	size_t i;
	json_t *target;
	json_array_foreach(targets, i, target) add_weights(out, target);
	return 0;
}

static void add_own(struct buf *out)
{
	static const char *const labels[] = {
#define X(name, label) label,
		DELIVERY_RESULTS(X)
#undef X
	};
	metrics_head(out, "penstock_build", "info", "What this is.");
	buf_addf(out, "penstock_build_info{version=\"%s\"} 1\n", PENSTOCK_VERSION);
	metrics_head(out, "penstock_deliveries", "counter", "Webhook deliveries since start, by what became of them.");
	for (size_t i = 0; i < N_DELIVERY_RESULTS; i++)
		buf_addf(out, "penstock_deliveries_total{result=\"%s\"} %llu\n", labels[i], (unsigned long long)deliveries[i]);
	metrics_head(out, "penstock_commits_failed", "counter", "Commits that failed since start.");
	buf_addf(out, "penstock_commits_failed_total %llu\n", (unsigned long long)failed_commits);
}

int metrics_text(struct core *core, char **ret, struct error **err)
{
	cleanup_buf struct buf out;
	buf_init(&out, MAX_TEXT);
	add_own(&out);
	for (size_t i = 0; i < ARRAY_SIZE(row_metrics); i++) {
		const struct row_metric *metric = &row_metrics[i];
		metrics_head(&out, metric->name, metric->type, metric->help);
		if (add_rows(core, &out, metric->sample, metric->label, metric->sql, err) < 0)
			return error_context(err, "metrics");
	}
	if (add_targets(core, &out, err) < 0 || metrics_add_rollouts(core, &out, err) < 0)
		return error_context(err, "metrics");
	buf_adds(&out, "# EOF\n");
	if (out.failed)
		return error_set(err, ERROR_TOO_LARGE, 0, "metrics: more than %zu bytes", MAX_TEXT);
	*ret = buf_steal(&out);
	return 0;
}
