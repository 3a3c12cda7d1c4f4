/* Canary analysis: blocks of counts in, a verdict per metric out, valid at every look. Pure; the state is a handful of numbers that is
 * stored as JSON with the rollout and resumed bit for bit.
 *
 * Rates use the block 2x2 e-test in its margin form (Turner, Ly & Gruenwald, arXiv 2106.02693, with the boundary point that minimises
 * the n-weighted KL divergence; docs/statistics.md): "worse" H0 theta_B <= theta_A + m, judged over the whole rollout; "fine"
 * H0 theta_B >= theta_A + m, judged afresh at each step. A block is what was counted while the split stood still.
 * The sample-ratio check runs on assignments at a fixed alpha of 0.001, outside Holm. */
#ifndef GATES_ANALYSIS_H
#define GATES_ANALYSIS_H

#include "base/json.h"
#include "pipelines/rollout_spec.h"

/* One arm's counts within one block. */
struct arm_counts {
	uint64_t assigned;        /* requests the split drew for this arm (for the sample-ratio check) */
	uint64_t completed;       /* requests answered (or timed out) */
	uint64_t errors;          /* 5xx, connection failures, time-outs among completed */
	uint64_t latency_sum_us;
	uint64_t latency_buckets[24]; /* completed by latency: bucket i counts < latency_edge_ms(i) and >= the edge before; the last is open */
};
double latency_edge_ms(size_t i);                                   /* 1, 1.5, 2, 3, 5, 7, 10, 15 ... */
                                                                    /* the last is INFINITY */
/* Upper edge of the quantile's bucket (of the open one its lower edge, so that the value is always finite); NAN without data. */
double latency_quantile_ms(const struct arm_counts *counts, double q);

struct analysis_block {
	struct arm_counts stable, candidate;
	uint32_t weight_ppm;      /* the candidate's share during the block */
	int64_t from_ms, to_ms;
};

#define VERDICTS(X)                                                                     \
	X(UNDECIDED, "undecided", "the evidence does not reach either boundary yet")    \
	X(FINE, "fine", "inside the margin, or better")                                 \
	X(WORSE, "worse", "outside the margin")                                         \
	X(NO_DATA, "no_data", "one arm has had no requests")                            \
	X(PROVIDER_ERROR, "provider_error", "the source of the counts did not answer")  \
	X(SPLIT_BROKEN, "split_broken", "traffic is not split as it should be")
enum verdict {
#define X(name, text, doc) VERDICT_##name,
	VERDICTS(X)
#undef X
};
const char *verdict_name(enum verdict verdict);

struct metric_verdict {
	const char *metric;       /* borrowed from the spec */
	enum verdict verdict;
	bool informational;
	double stable, candidate; /* estimates over the whole rollout (rate, or milliseconds); NAN without data */
	double margin;            /* as in the spec */
	double log_e_worse, log_threshold_worse; /* natural logs, the largest e-value so far (worse stays worse); Holm threshold over the
	                                            deciding metrics */
	double log_e_fine, log_threshold_fine;   /* of this step */
	uint64_t n_stable, n_candidate;
};

struct analysis_verdict {
	enum verdict verdict;     /* worst of the deciding metrics: WORSE > SPLIT_BROKEN > PROVIDER_ERROR > NO_DATA > UNDECIDED > FINE */
	struct metric_verdict metrics[ROLLOUT_MAX_METRICS];
	size_t n_metrics;
	uint64_t step_candidate_requests; /* completed in this step */
	double split_p;           /* anytime p of the sample-ratio check */
	char reason[256];         /* "error_rate: 10.2% against 0.1% (margin 3 points) over 541 requests, e-value 4.1e3 >= 20" */
};

struct analysis; /* the e-processes of one rollout */
struct analysis *analysis_new(const struct rollout_spec *spec);
void analysis_free(struct analysis *analysis);
DEFINE_CLEANUP(struct analysis, analysis_free);
/* Whole state, exact doubles; analysis_from_json gives a state that continues bit for bit. */
json_t *analysis_to_json(const struct analysis *analysis);
int analysis_from_json(const struct rollout_spec *spec, const json_t *json, struct analysis **ret, struct error **err) must_check;

/* A new step begins: safety starts afresh, harm goes on. */
void analysis_step(struct analysis *analysis, unsigned step);
/* Whether the source of the counts answers. While it does not, what is undecided is PROVIDER_ERROR; evidence already there stays. */
void analysis_provider(struct analysis *analysis, bool answers);
/* Empty blocks are harmless. Absurd ones (errors > completed) are INVALID and change nothing. */
int analysis_add(struct analysis *analysis, const struct analysis_block *block, struct error **err) must_check;
void analysis_verdict(const struct analysis *analysis, struct analysis_verdict *ret);
#endif
