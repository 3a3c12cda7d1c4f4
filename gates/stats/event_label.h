/* The event-label test: whose events are they? Errors (or requests, or labels) arrive in any rhythm; under the null each one is arm i's with
 * probability p_i, the share of traffic it gets, whatever the load and the error rate do meanwhile. Source: Lindon, Malek, NeurIPS 2022,
 * arXiv 2011.03567. Valid at every look: reject when E reaches 1/alpha (Ville), anytime p = exp(-log_max).
 *
 *   d arms, a_i = k p_i:  ln E = lnG(k) - lnG(k + N) + sum_i [lnG(a_i + n_i) - lnG(a_i) - n_i ln p_i]          (lnG = ln Gamma)
 *   worse only, two arms: the Beta prior cut to theta > p: E times I_{1-p}(b + n_a, a + n_b) / I_{1-p}(b, a),  a = kp, b = k(1-p);
 *                         valid for every theta <= p.
 *   changing shares:      a factor for each stretch of constant shares (event_label_add), or, without starting the prior afresh, a grid over the
 *                         rate ratio (event_grid_add): prod theta_t^n_b (1-theta_t)^n_a / (p_t^n_b (1-p_t)^n_a), theta_t = p_t r / (1 - p_t + p_t r).
 *
 * k says where the test is sharpest: event_label_k. Order of arms: stable, candidate, any others; share and n are arrays in that order. Arms with
 * share 0 are left out of a stretch together with their events (then the others' labels are tested among themselves).
 *
 * State: doubles only, all zero = fresh. The caller keeps to one test (arms, side, k) for one state.
 * Cost, adds a second and core: 10 M two-sided (two arms, one k), 2 M with four k, 9 M grid; one-sided 1 M at up to 20,000 events in the
 * stretch, 0.3 M at 2 million (it grows with their square root). The bounds take 6 microseconds. */
#ifndef GATES_STATS_EVENT_LABEL_H
#define GATES_STATS_EVENT_LABEL_H

#include <stddef.h>

/* k that is sharpest at t_opt events: rho / (p (1-p)) - 1, rho = p (1-p) t_opt / (2 ln(1/alpha) + ln(1 + 2 ln(1/alpha))), the beta-binomial mixture
 * of Howard, Ramdas et al. (confseq); at alpha 0.05 t_opt / 7.94 - 1. At least 1. */
double event_label_k(double t_opt, double alpha);

/* The share that an event is the candidate's when its rate is `ratio` times the stable one's. Given this as p, the one-sided forms test
 * "ratio at most r". */
double event_label_share(double p, double ratio);

/* ---- one stretch of constant shares ---- */
/* d arms, two-sided; shares need not sum to 1 (they are divided by their sum). */
double event_label_log_e(const double *share, const double *n, size_t arms, double k);
/* Two arms, worse only; 0 < p < 1 is the candidate's share. */
double event_label_log_e_worse(double p, double n_a, double n_b, double k);

/* ---- streams ---- */
#define EVENT_LABEL_ARMS 4
#define EVENT_LABEL_MIXTURE 4
enum event_label_side { EVENT_LABEL_TWO_SIDED, EVENT_LABEL_WORSE /* two arms */ };
struct event_label_test {
	enum event_label_side side;
	size_t arms;                   /* 2 .. EVENT_LABEL_ARMS; one-sided: 2 */
	size_t n_k;                    /* 1 .. EVENT_LABEL_MIXTURE */
	double k[EVENT_LABEL_MIXTURE]; /* E is the mean over them */
};
struct event_label {
	double log_done[EVENT_LABEL_MIXTURE]; /* of finished stretches */
	double share[EVENT_LABEL_ARMS];       /* of the present stretch; all 0: none yet */
	double n[EVENT_LABEL_ARMS];           /* of the present stretch */
	double log_max;                       /* the largest ln E so far */
};
void event_label_add(struct event_label *state, const struct event_label_test *test, const double *share, const double *n);
double event_label_now(const struct event_label *state, const struct event_label_test *test);

/* Grid over the rate ratio r in {1.25, 1.5, 2, 3, 5, 10}, equal weights, worse only (valid for every ratio <= 1); p may change with every add.
 * "Better only" by the arms in each other's place: (1 - p, n_b, n_a). Shares outside (0, 1) are left out. */
#define EVENT_GRID 6
struct event_grid {
	double log_e[EVENT_GRID];
	double log_max;
};
void event_grid_add(struct event_grid *grid, double p, double n_a, double n_b);
double event_grid_now(const struct event_grid *grid);

/* ---- confidence sequence ---- */
/* The thetas (probability that an event is the candidate's) and, by e^delta = theta (1-p) / ((1-theta) p), the rate ratios that the two-sided test
 * has not rejected at alpha: {n_b ln theta + n_a ln(1-theta) >= lnB(a + n_b, b + n_a) - lnB(a, b) + ln alpha}. One stretch of constant p;
 * valid for all looks at once. Ratio 0 and infinity where nothing is known. Any pointer may be NULL. */
struct event_bounds {
	double low, high;
};
void event_label_bounds(double p, double n_a, double n_b, double k, double alpha, struct event_bounds *ret_theta, struct event_bounds *ret_ratio);
#endif
