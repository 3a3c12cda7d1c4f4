/* The Mann-Whitney test of Kayenta's judge, to the digit: the classifier that fixed-sample canaries are judged by, for parity and comparison.
 * It is not valid at repeated looks (tests/unit/gates/peeking_test.c).
 *
 * W(mu): rank (x - mu) and y together with average ties; d = R_x - m(m+1)/2 - mn/2; sigma^2 = mn/12 ((m+n+1) - sum(t^3 - t)/((m+n)(m+n-1)));
 * W = (d - sign(d)/2) / sigma, x the m canary points, y the n baseline points, NaN the largest of all. The interval's ends are the roots of
 * W(mu) = z and W(mu) = -z, the Hodges-Lehmann estimate the root of W(mu) = 0, found by Brent's method on [min x - max y, max x - min y] with
 * tolerance 1e-4, as R's wilcox.test(conf.int = TRUE) with the normal approximation does. Source: Kayenta's MannWhitneyClassifier, R's stats. */
#ifndef GATES_STATS_MANN_WHITNEY_H
#define GATES_STATS_MANN_WHITNEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mann_whitney {
	double low, high; /* of the shift x - y */
	double estimate;  /* Hodges-Lehmann */
	double w, p;      /* W(0) and its two-sided p by the normal approximation with continuity and tie corrections */
	double cles;      /* (2 R_x - m(m+1)) / (2mn): chance that a canary point exceeds a baseline point */
};

/* work: m + n doubles. False, and ret untouched, if an array is empty or all points are tied at some shift (sigma 0): no interval exists. */
bool mann_whitney(const double *x, size_t m, const double *y, size_t n, double confidence, double *work, struct mann_whitney *ret);

/* ---- Kayenta's verdict on one metric (after its NaN and outlier steps), confidence 0.98 and tolerance 0.25 built in ---- */
enum canary_class { CANARY_PASS, CANARY_HIGH, CANARY_LOW, CANARY_NODATA, CANARY_ERROR };
enum canary_direction { CANARY_INCREASE, CANARY_DECREASE, CANARY_EITHER };

/* Effect size: the ratio of means (NaN if either is 0) against allowed changes of 1.0 both ways, Kayenta's defaults. An empty array is NODATA.
 * Two arrays, each constant, that differ get Gaussian noise of value * 1e-5 as there; here from `seed`. work: 2 (m + n) doubles. */
enum canary_class canary_classify(const double *x, size_t m, const double *y, size_t n, enum canary_direction direction, uint64_t seed,
				  double *work, struct mann_whitney *ret);
#endif
