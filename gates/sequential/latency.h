/* What both rows of latency metrics keep: the arms' ladders. */
#ifndef GATES_SEQUENTIAL_LATENCY_H
#define GATES_SEQUENTIAL_LATENCY_H

#include "gates/sequential/sequential.h"

/* All doubles, all zero = fresh. */
struct latency_arm {
	double buckets[LATENCY_LADDER_BUCKETS], n, step_n, sum_us;
};

void latency_arm_add(struct latency_arm *arm, const struct arm_counts *counts);
/* Milliseconds: the quantile, or the mean for q = 0; NAN without data. */
double latency_arm_value(const struct latency_arm *arm, double q);
/* The 1 - alpha confidence sequence of the quantile. */
void latency_arm_interval(const struct latency_arm *arm, double q, double alpha, double *ret_low, double *ret_high);
/* n requests spread as the arm's are; all of them in the last bucket if `worst`. */
void latency_arm_imagine(const struct latency_arm *arm, double n, bool worst, struct arm_counts *ret);
#endif
