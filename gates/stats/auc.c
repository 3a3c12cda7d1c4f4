#include "gates/stats/auc.h"

#include "base/alloc.h"
#include "base/cleanup.h"

struct keyed {
	double score;
	size_t row;
};

static int falling(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;
	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return x->row < y->row ? -1 : x->row > y->row; /* the same order everywhere */
}

size_t *order_by_falling_score(const double *scores, size_t n)
{
	cleanup_free struct keyed *keyed = xcalloc(n, sizeof(*keyed));
	for (size_t i = 0; i < n; i++)
		keyed[i] = (struct keyed){scores[i], i};
	qsort(keyed, n, sizeof(*keyed), falling);
	size_t *order = xcalloc(n, sizeof(*order));
	for (size_t i = 0; i < n; i++)
		order[i] = keyed[i].row;
	return order;
}

/* psi_mean[row]: for a positive row the share of negatives it beats (ties a half), for a negative the share of positives that beat it. */
static void placements(const double *y, const double *scores, size_t n, double n_positive, double n_negative, double *ret)
{
	cleanup_free size_t *order = order_by_falling_score(scores, n);
	double above_positive = 0, above_negative = 0;
	for (size_t from = 0, to; from < n; from = to) {
		double positive = 0, negative = 0;
		for (to = from; to < n && scores[order[to]] == scores[order[from]]; to++)
			*(y[order[to]] != 0 ? &positive : &negative) += 1;
		for (size_t i = from; i < to; i++) {
			if (y[order[i]] != 0)
				ret[order[i]] = (n_negative - above_negative - negative / 2) / n_negative;
			else
				ret[order[i]] = (above_positive + positive / 2) / n_positive;
		}
		above_positive += positive;
		above_negative += negative;
	}
}

/* Sample covariance of two models' placements within one class, divided by the class's size. */
static double part(const double *y, int positive, const double *u, const double *v, double mean_u, double mean_v, size_t n, size_t n_class)
{
	if (n_class < 2)
		return 0;
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		if ((y[i] != 0) == positive)
			sum += (u[i] - mean_u) * (v[i] - mean_v);
	return sum / (double)(n_class - 1) / (double)n_class;
}

static double mean_of_positives(const double *y, const double *u, size_t n, size_t n_positive)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		if (y[i] != 0)
			sum += u[i];
	return sum / (double)n_positive;
}

void auc_delong(const double *y, const double *scores, const double *scores_2, size_t n, struct auc *ret)
{
	struct auc auc = {0};
	for (size_t i = 0; i < n; i++)
		*(y[i] != 0 ? &auc.n_positive : &auc.n_negative) += 1;
	size_t m = auc.n_positive, k = auc.n_negative;
	cleanup_free double *u = xcalloc(n, sizeof(*u)), *v = xcalloc(n, sizeof(*v));
	placements(y, scores, n, (double)m, (double)k, u);
	auc.value = mean_of_positives(y, u, n, m);
	auc.variance = part(y, 1, u, u, auc.value, auc.value, n, m) + part(y, 0, u, u, auc.value, auc.value, n, k);
	if (scores_2) {
		placements(y, scores_2, n, (double)m, (double)k, v);
		auc.value_2 = mean_of_positives(y, v, n, m);
		auc.variance_2 = part(y, 1, v, v, auc.value_2, auc.value_2, n, m) + part(y, 0, v, v, auc.value_2, auc.value_2, n, k);
		auc.covariance = part(y, 1, u, v, auc.value, auc.value_2, n, m) + part(y, 0, u, v, auc.value, auc.value_2, n, k);
	}
	*ret = auc;
}
