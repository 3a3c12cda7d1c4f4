#include "gates/stats/normal.h"

#include <math.h>

double normal_cdf(double z)
{
	return 0.5 * erfc(-z / sqrt(2));
}

/* A start by bisection would do as well; the closed form for the tail, t = sqrt(-2 ln p), is Abramowitz and Stegun 26.2.23 (error
 * below 4.5e-4), which three Halley steps bring to the last digits. */
static double lower_half(double p)
{
	double t = sqrt(-2 * log(p));
	double x = -(t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
	for (int i = 0; i < 3; i++) {
		double error = normal_cdf(x) - p;
		double step = error * sqrt(2 * M_PI) * exp(x * x / 2);
		x -= step / (1 + x * step / 2);
	}
	return x;
}

double normal_quantile(double p)
{
	if (p == 0.5)
		return 0;
	return p < 0.5 ? lower_half(p) : -lower_half(1 - p);
}

double normal_two_sided_p(double z)
{
	return isnan(z) ? 1 : erfc(fabs(z) / sqrt(2));
}
