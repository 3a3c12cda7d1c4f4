#include "gates/stats/mixture.h"

#include "gates/stats/beta.h"
#include "gates/stats/normal.h"

#include <math.h>

/* ---- normal ---- */

double normal_mixture_rho(double v_opt, double alpha_opt, enum mixture_side side)
{
	double log_term = -2 * log(side == MIXTURE_ONE_SIDED ? 2 * alpha_opt : alpha_opt);
	return v_opt / (log_term + log1p(log_term));
}

double normal_mixture_log(double s, double v, double rho, enum mixture_side side)
{
	double two_sided = s * s / (2 * (v + rho)) - 0.5 * log1p(v / rho);
	if (side == MIXTURE_TWO_SIDED)
		return two_sided;
	return two_sided + log(2 * normal_cdf(s / sqrt(v + rho)));
}

static double two_sided_bound(double v, double alpha, double rho)
{
	return sqrt((v + rho) * (log1p(v / rho) - 2 * log(alpha)));
}

double normal_mixture_bound(double v, double alpha, double rho, enum mixture_side side)
{
	double high = two_sided_bound(v, alpha, rho);
	if (side == MIXTURE_TWO_SIDED)
		return high;
	/* One-sided E is at least the two-sided one for s >= 0, so the bound lies below; E rises with s. */
	double low = 0, threshold = -log(alpha);
	for (int i = 0; i < 200; i++) {
		double middle = low + (high - low) / 2;
		if (middle <= low || middle >= high)
			break;
		if (normal_mixture_log(middle, v, rho, side) < threshold)
			low = middle;
		else
			high = middle;
	}
	return high;
}

double robbins_half_width(double n, double variance, double alpha, double n_opt)
{
	if (!(n > 0) || !(variance > 0))
		return (double)INFINITY;
	return two_sided_bound(n * variance, alpha, normal_mixture_rho(n_opt * variance, alpha, MIXTURE_TWO_SIDED)) / n;
}

/* ---- beta-binomial ---- */

/* ln of the Beta integral, over all of (0, 1) or, one-sided, over the part on the alternative's side. */
static double log_integral(const struct beta_binomial *m, double a, double b)
{
	double whole = log_beta(a, b), span = m->g + m->h;
	return m->side == MIXTURE_ONE_SIDED ? whole + log_incomplete_beta(a, b, m->h / span, m->g / span) : whole;
}

void beta_binomial_init(struct beta_binomial *mixture, double v_opt, double alpha_opt, double g, double h, enum mixture_side side)
{
	double r = fmax(normal_mixture_rho(v_opt, alpha_opt, side) - g * h, 1e-3 * g * h);
	*mixture = (struct beta_binomial){.r = r, .g = g, .h = h, .side = side};
	mixture->log_start = log_integral(mixture, r / (g * (g + h)), r / (h * (g + h)));
}

double beta_binomial_log(const struct beta_binomial *m, double s, double v)
{
	double g = m->g, h = m->h, span = g + h;
	double down = (v - g * s) / (g * span), up = (v + h * s) / (h * span); /* failures and successes, for Bernoulli steps */
	down = fmax(down, 0);
	up = fmax(up, 0);
	return v / (g * h) * log(span) - up * log(g) - down * log(h) + log_integral(m, m->r / (g * span) + down, m->r / (h * span) + up) -
	       m->log_start;
}

double beta_binomial_bound(const struct beta_binomial *mixture, double v, double alpha)
{
	double low = 0, high = v / mixture->g, threshold = -log(alpha);
	if (beta_binomial_log(mixture, high, v) < threshold)
		return high;
	for (int i = 0; i < 200; i++) {
		double middle = low + (high - low) / 2;
		if (middle <= low || middle >= high)
			break;
		if (beta_binomial_log(mixture, middle, v) < threshold)
			low = middle;
		else
			high = middle;
	}
	return high;
}

static double rate_evidence(double p, double successes, double trials, double t_opt, double alpha_opt)
{
	struct beta_binomial mixture;
	beta_binomial_init(&mixture, p * (1 - p) * t_opt, alpha_opt, p, 1 - p, MIXTURE_TWO_SIDED);
	return beta_binomial_log(&mixture, successes - p * trials, p * (1 - p) * trials);
}

void bernoulli_interval(double successes, double trials, double alpha, double t_opt, double alpha_opt, double *ret_low, double *ret_high)
{
	*ret_low = 0;
	*ret_high = 1;
	if (!(trials > 0))
		return;
	double rate = successes / trials, threshold = -log(alpha);
	for (int side = 0; side < 2; side++) {
		double out = side ? 1 : 0, in = rate;
		if (in == out)
			continue;
		for (int i = 0; i < 100 && fabs(out - in) > 1e-13; i++) {
			double middle = out + (in - out) / 2;
			if (middle <= 0 || middle >= 1 || rate_evidence(middle, successes, trials, t_opt, alpha_opt) >= threshold)
				out = middle;
			else
				in = middle;
		}
		*(side ? ret_high : ret_low) = out;
	}
}

/* ---- law of the iterated logarithm ---- */

double riemann_zeta(double s)
{
	/* Sum of the first terms, the integral of the rest, and the first corrections: error below 1e-15 for n = 20. */
	const double n = 20;
	double sum = 0;
	for (double k = 1; k < n; k++)
		sum += pow(k, -s);
	double edge = pow(n, -s), term = s * edge / n;
	return sum + n * edge / (s - 1) + edge / 2 + term / 12 - term * (s + 1) * (s + 2) / (720 * n * n) +
	       term * (s + 1) * (s + 2) * (s + 3) * (s + 4) / (30240 * n * n * n * n);
}

double stitched_bound(double v, double alpha, double v_min, double c, double s, double eta)
{
	double k1 = (pow(eta, 0.25) + pow(eta, -0.25)) / sqrt(2), k2 = (sqrt(eta) + 1) / 2;
	double at = fmax(v, v_min);
	double l = s * log(log(eta * at / v_min)) + log(riemann_zeta(s) / (alpha * pow(log(eta), s)));
	double linear = k2 * c * l;
	return sqrt(k1 * k1 * at * l + linear * linear) + linear;
}

double lil_half_width(double t, double alpha)
{
	return 1.7 * sqrt((log(log(2 * t)) + 0.72 * log(10.4 / alpha)) / t);
}
