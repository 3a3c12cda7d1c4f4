/* Sequential tests: what a metric's blocks are turned into, one row of registry.c for each kind of metric and bound.
 *
 * A row keeps a flat state: a struct whose members are all double, all zero = fresh. It is stored as a JSON array and resumed bit for
 * bit. Blocks go in; out comes evidence in two directions, each valid at every look:
 *   harm   over the whole rollout, never reset: the largest ln e-value (or ln 1/p of an anytime-valid p-value) against "not worse";
 *   fine   afresh at each step, against "not inside the bound";
 * and an interval for what is bounded that is valid at all times at once.
 *
 *     const struct sequential_ops *test = sequential_for(metric);
 *     void *state = xcalloc(1, test->state_size(&subject));
 *     test->add(&subject, state, &block);
 *     test->read(&subject, state, &reading);
 *
 * Nothing here decides: thresholds, Holm and policies are analysis.c's. Pure; no allocation. */
#ifndef GATES_SEQUENTIAL_SEQUENTIAL_H
#define GATES_SEQUENTIAL_SEQUENTIAL_H

#include "gates/measure.h"
#include "pipelines/rollout_spec.h"

struct sequential_subject {
	const struct analysis_metric *metric;
	double alpha, alpha_each; /* of the rollout; of this metric's harm in the worst case, alpha / deciding metrics */
	enum burst_guard_kind bursts;
};

struct sequential_block {
	const struct measure *measure;               /* RATE, DISTRIBUTION, MEAN */
	const uint32_t *stable_ids, *candidate_ids;  /* of measure's instances; NULL: their places are their names */
	const struct arm_counts *stable, *candidate; /* LATENCY */
	double span_ms;                              /* how long was counted; bursts are thought to be as long as BURST_WINDOW_MS */
	uint32_t weight_ppm;                         /* the candidate's share, if known */
	uint64_t number;                             /* of the block, and unlike those of other rollouts: the seed of what is drawn at random */
};

struct sequential_reading {
	double stable, candidate;          /* estimates over the whole rollout; NAN without data */
	double estimate, low, high, bound; /* what is bounded, its 1 - alpha confidence sequence, and the bound; NAN: none */
	double log_e_worse, log_e_fine;    /* the largest so far (fine: of this step); 0 without evidence */
	double log_e_any;                  /* DISTRIBUTION: against "both arms answer alike", shown beside; else 0 */
	double n_stable, n_candidate, step_n_stable, step_n_candidate;
	double dispersion; /* of the stable arm over burst-long windows, at least 1; NAN: not measured */
	const char *unit;  /* "%", "ms", "" */
};

/* Room for an imagined block. */
struct sequential_space {
	struct measure measure;
	struct arm_counts stable, candidate;
};

struct sequential_ops {
	const char *name;   /* "rate_margin" */
	const char *doc;    /* one line for people */
	const char *source; /* of the formula */
	enum metric_kind kind;
	bool (*takes)(const struct analysis_metric *metric);            /* among those of its kind; the first row that takes it has it */
	bool (*bounded)(const struct analysis_metric *metric);          /* whether it can decide: it has a bound */
	size_t (*state_size)(const struct sequential_subject *subject); /* bytes, a multiple of sizeof(double) */
	/* Blocks that lack an arm change counts only; empty ones change nothing. The block has been checked (analysis.h). */
	void (*add)(const struct sequential_subject *subject, void *state, const struct sequential_block *block);
	void (*step)(const struct sequential_subject *subject, void *state); /* a new step: fine afresh */
	void (*read)(const struct sequential_subject *subject, const void *state, struct sequential_reading *ret);
	/* A block of n candidate requests as the rates are now (or, `worst`, each as bad as can be), stable's along with them at the present split.
	 * False: nothing is known yet. `ret` points into `space`. For "what would change the verdict". */
	bool (*imagine)(const struct sequential_subject *subject, const void *state, double n, bool worst, struct sequential_space *space,
			struct sequential_block *ret);
};

const struct sequential_ops *const *sequential_registry(void); /* NULL-terminated */
/* Every metric has a row: what has no test is shown. */
const struct sequential_ops *sequential_for(const struct analysis_metric *metric);
#endif
