/* Holm's step-down over e-processes: sorted by evidence, the i-th largest of K must reach (K - i + 1) / alpha. Valid at any stopping
 * time and under any dependence, as 1 / max E is an anytime-valid p-value. */
#ifndef GATES_STATS_HOLM_H
#define GATES_STATS_HOLM_H

#include <stdbool.h>
#include <stddef.h>

/* log_max_e[k]: largest ln E so far. Sets each one's ln threshold and whether it is rejected. The threshold is its rank's; of those that are not
 * rejected it is that of the first of them, for whichever of them is to be rejected next has to reach that. k is at most HOLM_MAX. */
#define HOLM_MAX 64
void holm(const double *log_max_e, size_t k, double alpha, double *ret_log_threshold, bool *ret_rejected);
#endif
