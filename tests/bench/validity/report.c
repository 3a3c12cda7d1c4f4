#include "tests/bench/validity/report.h"

#include "gates/stats/beta.h"

#include <math.h>
#include <stdio.h>

/* Clopper and Pearson: the rate at which `hits` or more (low end; or fewer, high end) of n have probability `tail`. */
static double exact_bound(double hits, double n, double tail, bool low)
{
	double left = 0, right = 1;
	if (low ? hits == 0 : hits == n)
		return low ? 0 : 1;
	for (int i = 0; i < 60; i++) {
		double p = (left + right) / 2;
		/* P(X >= h) = I_p(h, n - h + 1); P(X <= h) = I_(1-p)(n - h, h + 1) */
		double log_tail = low ? log_incomplete_beta(hits, n - hits + 1, p, 1 - p) : log_incomplete_beta(n - hits, hits + 1, 1 - p, p);
		bool beyond = log_tail > log(tail);
		*(beyond == low ? &right : &left) = p;
	}
	return (left + right) / 2;
}

void report_title(const char *title)
{
	printf("\n%-46s %-22s %8s %8s  %16s\n", title, "world", "runs", "rate", "exact 95%");
}

bool report_line(const char *name, const char *world, bool promised, uint64_t hits, uint64_t runs)
{
	double n = (double)runs, h = (double)hits;
	if (!runs)
		return true;
	bool broken = promised && exact_bound(h, n, 0.001, true) > ALPHA;
	printf("%-46s %-22s %8.0f %7.2f%%  %6.2f .. %5.2f%%  %s\n", name, world, n, 100 * h / n, 100 * exact_bound(h, n, 0.025, true),
	       100 * exact_bound(h, n, 0.025, false),
	       broken     ? "BROKEN"
	       : promised ? "kept"
			  : "not promised");
	fflush(stdout);
	return !broken;
}
