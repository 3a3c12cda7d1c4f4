#include "gates/stats/split.h"

#include "gates/stats/event_label.h"

#include <math.h>

static const double concentration[SPLIT_MIXTURE] = {10, 100, 1000, 10000};

static double component(const struct split_check *check, size_t i)
{
	if (!check->ppm)
		return check->log_done[i];
	const double share[] = {1e6 - check->ppm, check->ppm}, n[] = {(double)check->n_a, (double)check->n_b};
	return check->log_done[i] + event_label_log_e(share, n, 2, concentration[i]);
}

double split_log_e(const struct split_check *check)
{
	double each[SPLIT_MIXTURE], top = -(double)INFINITY, sum = 0;
	for (size_t i = 0; i < SPLIT_MIXTURE; i++) {
		each[i] = component(check, i);
		top = fmax(top, each[i]);
	}
	for (size_t i = 0; i < SPLIT_MIXTURE; i++)
		sum += exp(each[i] - top) / SPLIT_MIXTURE;
	return top + log(sum);
}

void split_add(struct split_check *check, uint32_t ppm, uint64_t n_a, uint64_t n_b)
{
	if (ppm == 0 || ppm >= 1000000 || (n_a == 0 && n_b == 0))
		return;
	if (check->ppm != ppm) {
		double done[SPLIT_MIXTURE];
		for (size_t i = 0; i < SPLIT_MIXTURE; i++)
			done[i] = component(check, i);
		for (size_t i = 0; i < SPLIT_MIXTURE; i++)
			check->log_done[i] = done[i];
		check->ppm = ppm;
		check->n_a = check->n_b = 0;
	}
	check->n_a += n_a;
	check->n_b += n_b;
	double now = split_log_e(check);
	if (now > check->log_max)
		check->log_max = now;
}

double split_p(const struct split_check *check)
{
	return check->log_max > 0 ? exp(-check->log_max) : 1;
}
