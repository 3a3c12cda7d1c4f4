/* The quality gate: rules about metrics in, a verdict with reasons out. Pure; all inputs are JSON that somebody else has read.
 *
 * A rule is a string, "roc_auc >= 0.85" or "log_loss <= 0.4", or an object:
 *     {"metric": "log_loss", "no_worse_than": "production", "margin": 0.01, "confidence": 0.95, "without_baseline": "pass"}
 *     {"metric": "roc_auc", "slice": "country", "at_least": 0.80, "min_rows": 200}
 *     {"metric": "file.latency_ms", "at_most": 20, "file": "out/metrics.json"}
 *
 * Three-valued: a bound compared with a plain value passes or fails; a comparison with production, or a bound with `confidence`, passes
 * when the one-sided confidence bound is on the good side, fails when the opposite bound is on the bad side, and else says investigate.
 * A metric that is missing fails: no number is never a pass. */
#ifndef GATES_QUALITY_H
#define GATES_QUALITY_H

#include "base/alloc.h"
#include "base/json.h"

enum quality_verdict { QUALITY_SKIPPED /* a slice with too few rows */, QUALITY_PASS, QUALITY_INVESTIGATE, QUALITY_FAIL };
const char *quality_verdict_name(enum quality_verdict verdict); /* "pass" */

struct quality_rules;
/* INVALID "rule 2: ..." for the first rule that is wrong; UNSUPPORTED for what the language knows and this build does not do. */
int quality_parse(const json_t *rules, struct quality_rules **ret, struct error **err) must_check;
void quality_rules_free(struct quality_rules *rules);
DEFINE_CLEANUP(struct quality_rules, quality_rules_free);
#define cleanup_quality_rules CLEANUP(quality_rules_free)
/* One rule alone, for whoever checks them at their places: NULL if it is right, else the reason, allocated. */
char *quality_rule_problem(const json_t *rule);

/* Workspace-relative files that `file.` rules want, each once. */
void quality_files(const struct quality_rules *rules, struct strlist *ret);
/* Does any rule compare with production? */
bool quality_wants_baseline(const struct quality_rules *rules);

struct quality_inputs {
	const json_t *metrics;  /* results of `penstock score`, merged: {"metrics": [...], "paired": [...]} */
	const json_t *baseline; /* production's, of the same form; NULL: there is no live release */
	const json_t *files;    /* {"out/metrics.json": its JSON}; a file that could not be read is absent */
};

/* {"verdict": "pass"|"investigate"|"fail", "rows": [{"rule", "metric", "slice", "value", "bound", "verdict", "reason"}]}. New reference.
 * value, bound and slice may be null. */
json_t *quality_judge(const struct quality_rules *rules, const struct quality_inputs *inputs);
#endif
