/* The beta function and its incomplete form in logarithms: exact to about the last digits for any positive arguments, counts of 1e12 included,
 * where differences of lgamma lose theirs. Pure, no globals (lgamma writes one). */
#ifndef GATES_STATS_BETA_H
#define GATES_STATS_BETA_H

/* What Stirling's formula leaves out: ln Gamma(x) - ((x - 1/2) ln x - x + ln(2 pi) / 2), x > 0. DLMF 5.11.1. */
double stirling_rest(double x);
/* ln B(a, b), a, b > 0. */
double log_beta(double a, double b);
/* ln I_x(a, b), the distribution function of Beta(a, b) at x: a, b > 0; y = 1 - x is given beside x so that neither is rounded.
 * Continued fraction, DLMF 8.17.22; about sqrt(max(a, b)) rounds of it where x is near the mean. */
double log_incomplete_beta(double a, double b, double x, double y);
/* n ln(n / expected), 0 for n = 0, where `excess` is n - expected in its most exact form. */
double log_against(double n, double expected, double excess);
#endif
