/* The sample-ratio check: do the arms get the shares they should? The two-sided event-label test (event_label.h) on assignments: under the null each
 * one is the candidate's with probability p, whatever the load. Mixed over k = 10, 100, 1,000, 10,000, so that gross faults (weights not applied)
 * show within dozens of requests and slight ones in the end. Each stretch of time with one share is a factor; the product stays valid when the share
 * changes. */
#ifndef GATES_STATS_SPLIT_H
#define GATES_STATS_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#define SPLIT_MIXTURE 4
struct split_check {
	double log_done[SPLIT_MIXTURE]; /* of finished stretches */
	uint32_t ppm;                   /* of the present stretch; 0: none yet */
	uint64_t n_a, n_b;              /* of the present stretch */
	double log_max;
};

/* Shares of 0 and 1,000,000 split nothing and are left out. */
void split_add(struct split_check *check, uint32_t ppm, uint64_t n_a, uint64_t n_b);
double split_log_e(const struct split_check *check);
/* Anytime-valid p-value: 1 / the largest E so far, at most 1. */
double split_p(const struct split_check *check);
#endif
