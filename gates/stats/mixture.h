/* Bounds on sums that hold at all times at once (time-uniform boundaries), each from a mixture of test martingales: with probability 1 - alpha the
 * sum S never crosses bound(V), however often one looks. The log form is the e-process itself: reject when it reaches ln(1/alpha). Source: Howard,
 * Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Ann. Statist. 2021, arXiv 1810.08240; numbers agree
 * with its software confseq (tests).
 *
 *   S       sum of centred observations; V its intrinsic time, a variance: t sigma^2 for sigma-sub-Gaussian steps, t p (1-p) for Bernoulli(p)
 *   v_opt   the V at which the bound shall be tightest (each is within a few percent over a factor of about 4 to either side)
 *   two-sided bounds hold for |S|, one-sided ones for S
 *
 * What each needs: steps whose conditional mean is 0 (one-sided: at most 0) and whose conditional law is sub-Gaussian (normal) or sub-Bernoulli
 * (beta-binomial: bounded between -g and h). No independence. Pure; no state beyond the sums, which the caller keeps. */
#ifndef GATES_STATS_MIXTURE_H
#define GATES_STATS_MIXTURE_H

enum mixture_side { MIXTURE_TWO_SIDED, MIXTURE_ONE_SIDED };

/* ---- normal ---- */
/* rho that is best at v_opt: v_opt / (2 L + ln(1 + 2 L)), L = ln(1 / alpha_opt) (one-sided: with 2 alpha_opt). The first two terms of the exact
 * answer by Lambert's W. v_opt > 0; alpha_opt in (0, 1), one-sided in (0, 1/2). */
double normal_mixture_rho(double v_opt, double alpha_opt, enum mixture_side side);
/* ln E: 1/2 ln(rho / (v + rho)) + s^2 / (2 (v + rho)); one-sided (half-normal mixture): plus ln(2 Phi(s / sqrt(v + rho))). */
double normal_mixture_log(double s, double v, double rho, enum mixture_side side);
/* The s where ln E = ln(1/alpha): sqrt((v + rho) (ln(1 + v / rho) + 2 ln(1/alpha))), one-sided by bisection. This two-sided form is the
 * "large n" default of A/B testing (mSPRT, Robbins 1970). */
double normal_mixture_bound(double v, double alpha, double rho, enum mixture_side side);
/* Half-width of the interval for a mean after n observations of sample variance `variance`: bound(n variance) / n with v_opt = n_opt variance.
 * Asymptotic: the variance is estimated, so it is exact only as n grows (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, arXiv 2103.06476); for
 * bounded observations bounded_mean.h is exact. INFINITY for n or variance <= 0. */
double robbins_half_width(double n, double variance, double alpha, double n_opt);

/* ---- beta-binomial: steps between -g and h; Bernoulli(p) minus p has g = p, h = 1 - p ---- */
struct beta_binomial {
	double r, g, h, log_start; /* r = max(rho - g h, g h / 1000); log_start: ln of the prior's constant */
	enum mixture_side side;
};
void beta_binomial_init(struct beta_binomial *mixture, double v_opt, double alpha_opt, double g, double h, enum mixture_side side);
/* -v/h <= s <= v/g. */
double beta_binomial_log(const struct beta_binomial *mixture, double s, double v);
/* At most v / g, the most that s can be: there the bound says nothing. */
double beta_binomial_bound(const struct beta_binomial *mixture, double v, double alpha);
/* The success probabilities that the two-sided mixture (v_opt = p (1-p) t_opt for each p) has not rejected: a confidence sequence for a rate.
 * trials 0: [0, 1]. */
void bernoulli_interval(double successes, double trials, double alpha, double t_opt, double alpha_opt, double *ret_low, double *ret_high);

/* ---- closed forms of the law of the iterated logarithm ---- */
/* Polynomial stitching: sqrt(k1^2 v l + k2^2 c^2 l^2) + k2 c l, k1 = (eta^1/4 + eta^-1/4) / sqrt 2, k2 = (sqrt eta + 1) / 2,
 * l = s ln ln(eta v / v_min) + ln(zeta(s) / (alpha ln^s eta)); v below v_min counts as v_min. One-sided; c is the sub-gamma scale (0: sub-Gaussian).
 * Usual values: s = 1.4, eta = 2. */
double stitched_bound(double v, double alpha, double v_min, double c, double s, double eta);
/* Half-width of the interval for the mean of 1-sub-Gaussian steps after t >= 1: 1.7 sqrt((ln ln(2t) + 0.72 ln(10.4 / alpha)) / t). */
double lil_half_width(double t, double alpha);
/* Riemann's zeta for s > 1 (Euler, Maclaurin). */
double riemann_zeta(double s);
#endif
