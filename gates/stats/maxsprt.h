/* MaxSPRT, Kulldorff et al., Sequential Analysis 30 (2011): the sequential likelihood-ratio test with a horizon. It stops at `horizon` expected
 * events at the latest, and for that promise it is sharper than an e-process near the horizon. Here: its likelihood ratios, the exact critical value
 * of the Poisson form, and its power, which the R package Sequential publishes (CV.Poisson, Performance.Poisson).
 *
 * Poisson: c events where mu are expected under the null. ln LR = (mu - c) + c ln(c / mu) if c > mu, else 0. It falls between events, so that a
 * rejection happens at an event: the c-th rejects if it comes while mu <= mu_c, ln LR(c, mu_c) = critical value. The count is therefore a Markov
 * chain that is looked at at mu_1 < mu_2 < ... and all numbers are exact sums of Poisson probabilities. Looking in groups, less often than at each
 * event, only lowers alpha. */
#ifndef GATES_STATS_MAXSPRT_H
#define GATES_STATS_MAXSPRT_H

/* events >= 0, expected > 0; 0 where the events are not too many. */
double maxsprt_poisson_llr(double events, double expected);
/* c of n labels are the candidate's, each with probability p under the null: ln LR = c ln(c/n) + (n-c) ln((n-c)/n) - c ln p - (n-c) ln(1-p). */
double maxsprt_binomial_llr(double events, double n, double p);

/* Stream. State: doubles only, all zero = fresh. Rejected once log_max reaches the critical value. `least` is the package's M: fewer events never
 * reject. */
struct maxsprt {
	double events, expected, log_max;
};
void maxsprt_poisson_add(struct maxsprt *state, double events, double expected, double least);

/* The critical value for a horizon of expected events, 0 < horizon <= MAXSPRT_HORIZON, 1 <= least <= 100. NaN if even `least` events within the
 * horizon are rarer than alpha (or an argument is out of range). Milliseconds to a horizon of 100, a third of a second at 500. */
#define MAXSPRT_HORIZON 500
double maxsprt_poisson_critical(double horizon, double alpha, unsigned least);

struct maxsprt_performance {
	double power;       /* probability of a signal; with ratio 1 the true alpha */
	double signal_time; /* mean expected events (under the null) at the signal, given a signal */
	double sample_size; /* mean expected events at the end, signal or horizon */
};
/* When events come `ratio` times as often as expected. NaN in all if an argument is out of range. */
struct maxsprt_performance maxsprt_poisson_performance(double horizon, double critical, unsigned least, double ratio);
#endif
