/* The normal distribution. */
#ifndef GATES_STATS_NORMAL_H
#define GATES_STATS_NORMAL_H

double normal_cdf(double z);
/* Inverse of normal_cdf for 0 < p < 1: Abramowitz and Stegun 26.2.23, then Halley steps to about the last digits. */
double normal_quantile(double p);
/* P(|Z| >= |z|); 1 for NaN. */
double normal_two_sided_p(double z);
#endif
