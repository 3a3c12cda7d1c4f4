#include "gates/stats/split.h"

#include <math.h>

static const double concentration[SPLIT_MIXTURE] = {10, 100, 1000, 10000};

static double log_beta(double a, double b)
{
	/* lgamma_r: lgamma would write a global. */
	int sign;
	return lgamma_r(a, &sign) + lgamma_r(b, &sign) - lgamma_r(a + b, &sign);
}

static double stretch_log_e(double k, double p, double n_a, double n_b)
{
	if (n_a + n_b <= 0)
		return 0;
	double a = k * p, b = k * (1 - p);
	return log_beta(a + n_b, b + n_a) - log_beta(a, b) - n_b * log(p) - n_a * log1p(-p);
}

static double component(const struct split_check *check, size_t i)
{
	if (!check->ppm)
		return check->log_done[i];
	return check->log_done[i] + stretch_log_e(concentration[i], check->ppm / 1e6, (double)check->n_a, (double)check->n_b);
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
