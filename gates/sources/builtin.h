/* The metrics that rollouts know by name, so that a pipeline need not write selectors: where each comes from, of what kind it is, which
 * families a model server exposes for it. The deploy stage, help texts and the manual (docs/metric-sources.md) read this table.
 *
 *     struct analysis_metric metric = {.metric = "feature_bins.amount", ...what the user wrote..., .at_most = 0.1};
 *     const struct builtin_metric *known = builtin_metric_find(metric.metric);   // NULL: the user's own; then `source` and selectors are needed
 *     if (known && builtin_metric_fill(known, &metric, arena, &err) < 0) ...     // what the user did not write
 *
 * The selectors here are in the language of OpenMetrics sources; a Prometheus source understands them too (a plain selector means the
 * series of the arm's own copies). For `json` and `command` sources selectors are always the user's. */
#ifndef GATES_SOURCES_BUILTIN_H
#define GATES_SOURCES_BUILTIN_H

#include "pipelines/rollout_spec.h"

/* name, kind, default source (NULL: the target's router), quantile (LATENCY; 0: the mean, shown only),
 * events, total, value, distribution, by, higher is better, doc.
 * A name that ends in "." wants a part of the user's behind it, which stands for {{part}} in the selectors. "a|b": the first of these
 * families that is there; `by` then names the label for each. */
#define BUILTIN_METRICS(X)                                                                                                                           \
	X("error_rate", RATE, NULL, 0, NULL, NULL, NULL, NULL, NULL, false,                                                                          \
	  "share of requests that failed: 5xx, no answer, time-outs; counted by the router")                                                         \
	X("latency_mean", LATENCY, NULL, 0, NULL, NULL, NULL, NULL, NULL, false, "mean time to the answer; shown, never judged")                     \
	X("latency_p50", LATENCY, NULL, 0.5, NULL, NULL, NULL, NULL, NULL, false, "median time to the answer")                                       \
	X("latency_p90", LATENCY, NULL, 0.9, NULL, NULL, NULL, NULL, NULL, false, "90 of 100 answers are faster")                                    \
	X("latency_p95", LATENCY, NULL, 0.95, NULL, NULL, NULL, NULL, NULL, false, "95 of 100 answers are faster")                                   \
	X("latency_p99", LATENCY, NULL, 0.99, NULL, NULL, NULL, NULL, NULL, false, "99 of 100 answers are faster")                                   \
	X("latency_p999", LATENCY, NULL, 0.999, NULL, NULL, NULL, NULL, NULL, false, "999 of 1000 answers are faster")                               \
	X("prediction_drift", DISTRIBUTION, "app", 0, NULL, NULL, NULL, "penstock_predictions_total|penstock_prediction", "class|le", false,         \
	  "how the predicted classes are shared (or, for numbers, the histogram of predictions)")                                                    \
	X("score_distribution", DISTRIBUTION, "app", 0, NULL, NULL, NULL, "penstock_score", "le", false, "the histogram of scores")                  \
	X("feature_bins.", DISTRIBUTION, "app", 0, NULL, NULL, NULL, "penstock_feature{feature=\"{{part}}\"}", "le", false,                          \
	  "the histogram of one feature's values as they arrive: feature_bins.amount")                                                               \
	X("accuracy", RATE, "app", 0, "penstock_labeled_correct_total", "penstock_labeled_total", NULL, NULL, NULL, true,                            \
	  "share of right answers among those whose true label has arrived")                                                                         \
	X("conversion", RATE, "app", 0, "penstock_conversions_total", "penstock_exposures_total", NULL, NULL, NULL, true,                            \
	  "share of answers that led to what the business wants")

struct builtin_metric {
	const char *name, *doc;
	enum metric_kind kind;
	const char *source; /* NULL: the target's router */
	double quantile;    /* LATENCY */
	const char *events, *total, *value, *distribution, *by;
	bool higher_is_better;
};

/* All rows, in the manual's order. */
const struct builtin_metric *builtin_metrics(size_t *ret_n);
/* NULL: no built-in of that name. "feature_bins.amount" finds the row "feature_bins."; "feature_bins" and "feature_bins." find nothing. */
const struct builtin_metric *builtin_metric_find(const char *name);
/* Sets kind, quantile, better and, where the metric has none of its own, source and selectors. Strings belong to the arena or are static.
 * If the user wrote any selector, no other selector is filled in. INVALID: the part behind the "." is no plain name. */
int builtin_metric_fill(const struct builtin_metric *row, struct analysis_metric *metric, struct arena *arena, struct error **err) must_check;
#endif
