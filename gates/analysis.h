/* Canary analysis: blocks of counts in, a verdict per metric out, valid at every look. Pure; the state is a handful of numbers that is
 * stored as JSON with the rollout and resumed bit for bit.
 *
 * Each metric gets one row of gates/sequential/registry.c, chosen by its kind and bound (sequential.h): a harm test (over the whole rollout,
 * never reset, Holm over all deciding metrics), a safety test (afresh at each step, at alpha; all must agree), and a confidence
 * sequence for people. A block is what was counted while the split stood still. The sample-ratio check runs on
 * assignments at a fixed alpha of 0.001, outside Holm; a broken split leaves no verdict but harm that was found before.
 *
 *     analysis_add(a, &block, &err);            // the router's counts: error_rate, latency, the split, exposure
 *     analysis_measure(a, i, &measure, &err);   // metric i's own source has answered
 *     analysis_verdict(a, &verdict);            // at any time, as often as one likes
 *
 * Everything that goes in is stored as an observation; feeding the same observations in the same order to a fresh analysis gives
 * the same verdicts to the last bit (`penstock replay`). */
#ifndef GATES_ANALYSIS_H
#define GATES_ANALYSIS_H

#include "base/json.h"
#include "gates/measure.h"
#include "pipelines/rollout_spec.h"

/* Upper edge of the quantile's bucket (of the open one its lower edge, so that the value is always finite); NAN without data. */
double latency_quantile_ms(const struct arm_counts *counts, double q);

struct analysis_block {
	struct arm_counts stable, candidate;
	uint32_t weight_ppm; /* the candidate's share during the block */
	int64_t from_ms, to_ms;
};
/* {"weight_ppm", "from_ms", "to_ms", "stable": {"assigned", "completed", "errors", "latency_sum_us", "latency": [[bucket, n] ...],
 *  "instances": [[id, n, y] ...]}, "candidate": ...}; version 1's dense "latency_buckets" of 24 are read too (into the nearest rungs). */
json_t *analysis_block_to_json(const struct analysis_block *block);
int analysis_block_from_json(const json_t *json, struct analysis_block *ret, struct error **err) must_check;
json_t *measure_to_json(const struct measure *measure, enum metric_kind kind);
int measure_from_json(const json_t *json, enum metric_kind kind, struct measure *ret, struct error **err) must_check;

#define VERDICTS(X)                                                                                                                                  \
	X(UNDECIDED, "undecided", "the evidence does not reach either boundary yet")                                                                 \
	X(FINE, "fine", "inside the margin, or better")                                                                                              \
	X(WORSE, "worse", "outside the margin")                                                                                                      \
	X(NO_DATA, "no_data", "one arm has had no requests")                                                                                         \
	X(PROVIDER_ERROR, "provider_error", "the source of the counts did not answer")                                                               \
	X(SPLIT_BROKEN, "split_broken", "traffic is not split as it should be")
enum verdict {
#define X(name, text, doc) VERDICT_##name,
	VERDICTS(X)
#undef X
};
#define N_VERDICTS 6
const char *verdict_name(enum verdict verdict);

struct metric_verdict {
	const char *metric; /* borrowed from the spec */
	const char *test;   /* name of its row in gates/sequential/registry.c; static */
	const char *unit;   /* of the estimates: "%", "ms", "" ; static. Rates are fractions here all the same */
	enum verdict verdict;
	bool informational;
	double stable, candidate;                /* estimates over the whole rollout (rate, milliseconds, mean ...); NAN without data */
	double estimate, low, high;              /* what is bounded (difference, ratio, distance) and its 1 - alpha confidence sequence; NAN: none */
	double margin;                           /* the bound on `estimate`: margin, ratio or distance, as in the spec */
	double log_e_worse, log_threshold_worse; /* natural logs, the largest e-value so far (worse stays worse); Holm threshold over the
						    deciding metrics */
	double log_e_fine, log_threshold_fine;   /* of this step */
	double log_e_any;                        /* DISTRIBUTION: against "both arms answer alike", shown beside, never decides; else 0 */
	double p_anytime;                        /* of harm: 1 / the largest e-value, at most 1 */
	uint64_t n_stable, n_candidate;          /* over the whole rollout */
	uint64_t step_n_candidate;
	uint64_t blocks;
	double dispersion;          /* of the stable arm's instances, at least 1; what the guard against bursts works with; NAN: not measured */
	uint64_t looks[N_VERDICTS]; /* how often each verdict was given so far (analysis_look()) */
	char trouble[120];          /* PROVIDER_ERROR: why */
};

struct analysis_verdict {
	enum verdict verdict; /* worst of the deciding metrics: WORSE > SPLIT_BROKEN > PROVIDER_ERROR > NO_DATA > UNDECIDED > FINE */
	struct metric_verdict metrics[ROLLOUT_MAX_METRICS];
	size_t n_metrics;
	uint64_t step_candidate_requests; /* completed in this step */
	double split_p;                   /* anytime p of the sample-ratio check */
	char reason[256];                 /* "error_rate: 10.2% against 0.1% (margin 3 points) over 541 requests, e-value 4.1e3 >= 20" */
};
/* What would change a metric's verdict, for people: "fine after about 3,400 more requests of the candidate at these rates; worse
 * after 12 errors more at once". Needs its analysis for the bets it would make. */
struct analysis; /* the e-processes of one rollout */
void analysis_what_would_change(const struct analysis *analysis, size_t metric, char *ret, size_t size);

struct analysis *analysis_new(const struct rollout_spec *spec); /* borrows spec */
void analysis_free(struct analysis *analysis);
DEFINE_CLEANUP(struct analysis, analysis_free);
/* Whole state, exact doubles; analysis_from_json gives a state that continues bit for bit. UNSUPPORTED for a state that another version
 * of the program stored: replay the observations instead. */
json_t *analysis_to_json(const struct analysis *analysis);
int analysis_from_json(const struct rollout_spec *spec, const json_t *json, struct analysis **ret, struct error **err) must_check;
size_t analysis_state_bytes(const struct analysis *analysis, size_t metric);

/* A new step begins: safety starts afresh, harm goes on. */
void analysis_step(struct analysis *analysis, unsigned step);
/* Whether the source of the router's counts answers. While it does not, what is undecided is PROVIDER_ERROR; evidence already there stays. */
void analysis_provider(struct analysis *analysis, bool answers);
/* The same for one metric's own source: NULL: it answers; else why not. `no_data`: it answered with nothing. */
void analysis_source(struct analysis *analysis, size_t metric, bool no_data, const char *trouble);
/* Empty blocks are harmless. Absurd ones (errors > completed) are INVALID and change nothing. */
int analysis_add(struct analysis *analysis, const struct analysis_block *block, struct error **err) must_check;
int analysis_measure(struct analysis *analysis, size_t metric, const struct measure *measure, struct error **err) must_check;
/* The ladders of one latency metric alone (recorded counts: `penstock analyze`); nothing else of the block is looked at. */
int analysis_latency(struct analysis *analysis, size_t metric, const struct analysis_block *block, struct error **err) must_check;
void analysis_verdict(const struct analysis *analysis, struct analysis_verdict *ret);
/* Counts this look in metric_verdict.looks; once for each observation. */
void analysis_look(struct analysis *analysis, const struct analysis_verdict *verdict);
#endif
