/* Distributions and quantiles (latency, scores) from histograms, at every look.
 *
 * All functions are pure in the counts: the histogram is the state. `n_edges` ascending edges make n_edges + 1 buckets, bucket i being
 * (edges[i-1], edges[i]], the last one what lies above; counts are doubles. What is only known per bucket is answered per bucket: a test looks at
 * edges only (its supremum can only be smaller: valid, less sharp), a quantile comes as the interval of its bucket. A sample that is known exactly is
 * a histogram whose edges are the distinct values.
 *
 * Costs (64 buckets, a second and core): gaps 3.6 M, fixed-quantile tests 30,000 to 50,000; p-values of the band 250,000; the solved constant takes
 * 0.2 ms whenever it is asked for.
 *
 * p-values and ln E are of this look and belong to a test that is valid over all looks: the caller keeps the smallest p (largest ln E).
 *
 * Needs: requests are independent and alike within each arm, both arms start together (drift over the day breaks it: then prefer categorical.h on the
 * same buckets, which needs random labels only). Sources: Howard, Ramdas, "Sequential estimation of quantiles with applications to A/B testing and
 * best-arm identification", Bernoulli 28(3) 2022, arXiv 1906.09712; its use for canaries: Lindon, Sanden, Shirikian, KDD 2022, arXiv 2205.14762. */
#ifndef GATES_STATS_QUANTILE_BAND_H
#define GATES_STATS_QUANTILE_BAND_H

#include <stddef.h>

struct histogram {
	const double *edges; /* ascending */
	const double *counts;
	size_t n_edges; /* counts has one more */
};
double histogram_total(const struct histogram *histogram);

/* ---- bands for the whole distribution: sup_x |F_t(x) - F(x)| <= d for all t at once ---- */
/* d = A sqrt((ln(1 + ln(t / t_min)) + C) / t), A = 0.85, for t >= t_min (before: INFINITY). Theorem 2 of the paper holds for each C with probability
 * 1 - error(C), error(C) = min over eta of 4 exp(-g C) (1 + 1 / ((g - 1) ln eta)), g = 2/eta (A - sqrt(2 (eta - 1) / C))^2 > 1. */
struct dkw {
	double t_min;    /* >= 1 */
	int closed_form; /* C = 0.8 ln(1612 / alpha), meant for t_min 1, in place of the solved one, which is smaller */
};
double dkw_error(double constant);
double dkw_constant(double alpha); /* the C with error(C) = alpha */
double dkw_radius(const struct dkw *dkw, double t, double alpha);

enum dkw_gap { GAP_EQUALITY /* sup |F_A - F_B| */, GAP_SLOWER_B /* sup F_A - F_B: B's values tend to be larger */ };
double histogram_gap(const struct histogram *a, const struct histogram *b, enum dkw_gap kind); /* same edges; 0 if an arm is empty */
/* Smallest alpha at which gap > d(n_a, alpha/2) + d(n_b, alpha/2), 1 where that is above 0.8. Reject at alpha iff p < alpha. */
double dkw_p_value(const struct dkw *dkw, double gap, double n_a, double n_b);

/* ---- intervals of quantiles; ends are edges, -INFINITY and INFINITY beyond them ---- */
struct quantile_interval {
	double low, high;
};
/* Valid for all q and all looks at once: order statistics floor(n (q - d)) + 1 and ceil(n (q + d)). */
struct quantile_interval dkw_quantile(const struct dkw *dkw, const struct histogram *histogram, double q, double alpha);
/* Q_B(q) - Q_A(q), for all q at once, from the two bands at alpha/2 each. */
struct quantile_interval dkw_quantile_difference(const struct dkw *dkw, const struct histogram *a, const struct histogram *b, double q, double alpha);

/* ---- one fixed quantile, sharper in the tails: requests up to x are Bernoulli(q) if x is the quantile ---- */
struct fixed_quantile {
	double q;         /* 0 < q < 1 */
	double t_opt;     /* requests per arm at which it shall be sharpest */
	double alpha_opt; /* for choosing the mixture */
};
/* The values x that the two-sided beta-binomial mixture has not rejected as the q-quantile. For all looks, this q only. */
struct quantile_interval fixed_quantile_interval(const struct fixed_quantile *test, const struct histogram *histogram, double alpha);
/* One arm, one value known beforehand (a service level: "99% within 200 ms"): ln E against "a request lies up to the value with probability q",
 * `below` of n having done so. K values: at alpha / K each, or Holm. */
double fixed_quantile_edge_log_e(const struct fixed_quantile *test, double below, double n);
/* Two arms: ln E against "both have the same q-quantile": the least over x of the product of the arms' mixtures. Within a bucket the counts up to x
 * may be anything between the edges', so the least over that is taken: valid with buckets and with ties. Same edges in both. exp(-ln E) is the
 * paper's (and confseq's) quantile A/B p-value. */
double quantile_ab_log_e(const struct fixed_quantile *test, const struct histogram *a, const struct histogram *b);
/* The same in one direction, by one-sided mixtures: against "the q-quantile of B is at most that of A" (B_LARGER) or "at least" (B_SMALLER). For a ratio r
 * give the histogram of B over r times the edges: "Q_B <= r Q_A" is then rejected for worse, "Q_B >= r Q_A" for fine. The bucket positions decide;
 * edges themselves are not read. */
enum quantile_direction { QUANTILE_B_LARGER, QUANTILE_B_SMALLER };
double quantile_order_log_e(const struct fixed_quantile *test, const struct histogram *a, const struct histogram *b,
			    enum quantile_direction alternative);
#endif
