#include "gates/stats/holm.h"

#include <math.h>
#include <stdlib.h>

void holm(const double *log_max_e, size_t k, double alpha, double *ret_log_threshold, bool *ret_rejected)
{
	size_t order[HOLM_MAX];
	if (k > HOLM_MAX)
		abort();                 /* our own mistake: every caller's number of metrics is bounded far below */
	for (size_t i = 0; i < k; i++) { /* insertion sort, the largest first */
		size_t at = i;
		while (at > 0 && log_max_e[order[at - 1]] < log_max_e[i]) {
			order[at] = order[at - 1];
			at--;
		}
		order[at] = i;
	}
	size_t n_rejected = 0;
	bool going = true;
	for (size_t rank = 0; rank < k; rank++) {
		size_t i = order[rank];
		ret_log_threshold[i] = log((double)(k - n_rejected) / alpha);
		going = going && log_max_e[i] >= ret_log_threshold[i];
		ret_rejected[i] = going;
		n_rejected += going;
	}
}
