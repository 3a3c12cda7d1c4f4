/* What was measured of the two arms: plain counts, as the router or a metric source gives them, and as the sequential tests take them.
 * All of it is "since last asked" (a block), never since the beginning. */
#ifndef GATES_MEASURE_H
#define GATES_MEASURE_H

#include "gates/stats/burst_guard.h"
#include "gates/stats/exceedance.h"

#include <stddef.h>
#include <stdint.h>

#define MEASURE_INSTANCES 32  /* more are added up in the last place */
#define MEASURE_CATEGORIES 64

/* One arm's requests within one block, as the router counts them. */
struct arm_counts {
	uint64_t assigned;        /* requests the split drew for this arm (for the sample-ratio check) */
	uint64_t completed;       /* requests answered (or timed out) */
	uint64_t errors;          /* 5xx, connection failures, time-outs among completed */
	uint64_t latency_sum_us;
	uint64_t latency_buckets[LATENCY_LADDER_BUCKETS]; /* completed by latency, on the ladder of gates/stats/exceedance.h */
	unsigned n_instances;     /* 0: not known by instance */
	struct instance_counts instances[MEASURE_INSTANCES]; /* completed and errors of each copy; they add up to the above */
	uint32_t instance_ids[MEASURE_INSTANCES];
};

/* One arm of one metric within one block, from a metric source. Which members are set follows from the metric's kind. */
struct measure_arm {
	uint64_t n, y;            /* RATE: trials and events among them. DISTRIBUTION: n is the sum of counts. MEAN: n values */
	double sum;               /* MEAN: of the n values, each within the metric's range */
	uint64_t counts[MEASURE_CATEGORIES]; /* DISTRIBUTION: both arms in the same order of categories, fixed by the source for its lifetime */
	unsigned n_counts;
	unsigned n_instances;     /* RATE: 0: not known by instance */
	struct instance_counts instances[MEASURE_INSTANCES];
};
struct measure { struct measure_arm stable, candidate; };
#endif
