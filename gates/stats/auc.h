/* Area under the ROC curve by midranks, with DeLong's variances (DeLong, DeLong, Clarke-Pearson 1988; midranks: Sun, Xu 2014).
 * O(n log n). */
#ifndef GATES_STATS_AUC_H
#define GATES_STATS_AUC_H

#include <stddef.h>

/* y is 0 or 1 (nonzero), both present; scores are finite. scores_2 may be NULL; else both models judged the same rows. */
struct auc {
	double value, value_2;
	double variance, variance_2, covariance; /* of the estimates; 0 with fewer than two rows of a class */
	size_t n_positive, n_negative;
};
void auc_delong(const double *y, const double *scores, const double *scores_2, size_t n, struct auc *ret);
/* Row indexes by falling score. Allocated. */
size_t *order_by_falling_score(const double *scores, size_t n);
#endif
