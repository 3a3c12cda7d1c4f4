#include "gates/stats/beta.h"

#include <math.h>

#define LOG_2PI 1.8378770664093454836

double stirling_rest(double x)
{
	if (x < 10) {
		int sign;
		return lgamma_r(x, &sign) - ((x - 0.5) * log(x) - x + LOG_2PI / 2);
	}
	double s = 1 / (x * x);
	return (1.0 / 12 - s * (1.0 / 360 - s * (1.0 / 1260 - s * (1.0 / 1680 - s * (1.0 / 1188 - s * (691.0 / 360360 - s / 156)))))) / x;
}

double log_against(double n, double expected, double excess)
{
	if (n <= 0)
		return 0;
	double u = excess / expected;
	return n * (fabs(u) < 0.5 ? log1p(u) : log(n / expected));
}

double log_beta(double a, double b)
{
	double sum = a + b;
	return log_against(a, sum, -b) + log_against(b, sum, -a) + (LOG_2PI - log(a) - log(b) + log(sum)) / 2 + stirling_rest(a) + stirling_rest(b) -
	       stirling_rest(sum);
}

/* 1 / (1 + d1 / (1 + d2 / ...)) by Lentz's method: the ratios of successive numerators and denominators. */
static double fraction(double a, double b, double x)
{
	const double tiny = 1e-300;
	double c = 1, d = 0, value = 1;
	for (double m = 0; m < 1e6; m++) {
		double before = value;
		for (int odd = 0; odd <= 1; odd++) {
			double coefficient = odd ? -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
						 : m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
			if (!odd && m == 0)
				continue; /* the leading 1 */
			c = 1 + coefficient / c;
			d = 1 + coefficient * d;
			c = fabs(c) < tiny ? tiny : c;
			d = 1 / (fabs(d) < tiny ? tiny : d);
			value *= c * d;
		}
		if (!(fabs(value - before) > 1e-16 * fabs(value))) /* NAN ends it, too */
			break;
	}
	return 1 / value;
}

/* ln of x^a y^b / (a B(a, b)) times the fraction: I_x(a, b) where x lies below the mean. */
static double lower_tail(double a, double b, double x, double y)
{
	double sum = a + b, excess = a * y - b * x; /* a - (a + b) x */
	double front = (log(a) + log(b) - log(sum) - LOG_2PI) / 2 - log_against(a, sum * x, excess) - log_against(b, sum * y, -excess) -
		       stirling_rest(a) - stirling_rest(b) + stirling_rest(sum);
	return front - log(a) + log(fraction(a, b, x));
}

double log_incomplete_beta(double a, double b, double x, double y)
{
	if (x <= 0)
		return -(double)INFINITY;
	if (y <= 0)
		return 0;
	if (x * (a + b + 2) < a + 1)
		return lower_tail(a, b, x, y);
	return log1p(-exp(lower_tail(b, a, y, x)));
}
