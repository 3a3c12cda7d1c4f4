#include "gates/stats/maxsprt.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* Room for the counts that stay below the boundary at the largest horizon: that many above it would be a critical value of hundreds. */
#define MAX_COUNT 1024
#define MAX_CRITICAL 100.0
#define MAX_LEAST 100

double maxsprt_poisson_llr(double events, double expected)
{
	return events > expected ? expected - events + events * log(events / expected) : 0;
}

double maxsprt_binomial_llr(double events, double n, double p)
{
	if (!(events > n * p))
		return 0;
	double rest = n - events, sum = events * (log(events / n) - log(p));
	return rest > 0 ? sum + rest * (log(rest / n) - log1p(-p)) : sum;
}

void maxsprt_poisson_add(struct maxsprt *state, double events, double expected, double least)
{
	state->events += events;
	state->expected += expected;
	if (state->events >= least && state->expected > 0)
		state->log_max = fmax(state->log_max, maxsprt_poisson_llr(state->events, state->expected));
}

/* mu_c: the c-th event rejects up to here. With mu = c e^y: e^y - 1 - y = critical / c, y < 0; Newton from the left rises to the root without
 * overshoot. */
static double latest(double c, double critical)
{
	double v = critical / c, y = -v - 1;
	for (int i = 0; i < 100; i++) {
		double slope = expm1(y), step = (slope - y - v) / slope;
		y -= step;
		if (fabs(step) <= 1e-16 * fabs(y))
			break;
	}
	return c * exp(y);
}

/* The chain between two looks: P(j more events), and P(at least r more). */
struct stretch {
	double at, length, ratio; /* from `at` on, in expected events */
	double exactly[MAX_COUNT], at_least[MAX_COUNT + 1];
};

static void stretch_fill(struct stretch *stretch, size_t n)
{
	double mean = stretch->length * stretch->ratio, below = 0;
	stretch->at_least[0] = 1;
	for (size_t j = 0; j < n; j++) {
		int sign;
		double count = (double)j;
		stretch->exactly[j] = mean > 0 ? exp(count * log(mean) - mean - lgamma_r(count + 1, &sign)) : j == 0;
		below += stretch->exactly[j];
		stretch->at_least[j + 1] = below < 1 ? 1 - below : 0;
	}
}

/* Ends the stretch with at most `top` - 1 events allowed: chances of `count` move on, those that reach top leave into the sums. An r-th arrival at
 * rate `ratio` within a length has mean time r / ratio P(at least r + 1 arrivals in it). */
static void advance(double *chance, size_t top, struct stretch *stretch, double *power, double *time)
{
	stretch_fill(stretch, top + 1);
	for (size_t i = 0; i < top; i++) {
		size_t r = top - i;
		*power += chance[i] * stretch->at_least[r];
		*time += chance[i] * (stretch->at * stretch->at_least[r] + (double)r / stretch->ratio * stretch->at_least[r + 1]);
	}
	for (size_t j = top; j-- > 0;) {
		double sum = 0;
		for (size_t i = 0; i <= j; i++)
			sum += chance[i] * stretch->exactly[j - i];
		chance[j] = sum;
	}
}

struct maxsprt_performance maxsprt_poisson_performance(double horizon, double critical, unsigned least, double ratio)
{
	if (!(horizon > 0 && horizon <= MAXSPRT_HORIZON && critical > 0 && critical <= MAX_CRITICAL && least >= 1 && least <= MAX_LEAST && ratio > 0))
		return (struct maxsprt_performance){(double)NAN, (double)NAN, (double)NAN};
	double chance[MAX_COUNT] = {1}, power = 0, time = 0;
	struct stretch stretch = {.ratio = ratio};
	for (size_t top = least; top < MAX_COUNT - 1; top++) {
		double end = latest((double)top, critical);
		bool last = end >= horizon;
		stretch.length = (last ? horizon : end) - stretch.at;
		advance(chance, top, &stretch, &power, &time);
		stretch.at += stretch.length;
		if (last)
			break;
	}
	return (struct maxsprt_performance){power, time / power, time + (1 - power) * horizon};
}

/* ln(true alpha / alpha) of a critical value: close to a straight line, falling. */
static double excess(double horizon, double critical, unsigned least, double alpha)
{
	return log(fmax(maxsprt_poisson_performance(horizon, critical, least, 1).power / alpha, 1e-20));
}

double maxsprt_poisson_critical(double horizon, double alpha, unsigned least)
{
	if (!(horizon > 0 && horizon <= MAXSPRT_HORIZON && alpha > 0 && alpha < 1 && least >= 1 && least <= MAX_LEAST))
		return (double)NAN;
	double low = 1e-6, high = 50, f_low = excess(horizon, low, least, alpha), f_high = excess(horizon, high, least, alpha);
	if (!(f_low >= 0 && f_high < 0))
		return (double)NAN;
	/* False position; an end that stays twice loses half its value, or it would stay for ever (Illinois). */
	int stayed = 0;
	for (int i = 0; i < 100 && high - low > 1e-13 * high; i++) {
		double critical = (low * f_high - high * f_low) / (f_high - f_low);
		if (!(critical > low && critical < high))
			break;
		double f = excess(horizon, critical, least, alpha);
		if (fabs(f) < 1e-13)
			return critical;
		if (f > 0) {
			low = critical;
			f_low = f;
			f_high *= stayed > 0 ? 0.5 : 1;
			stayed = 1;
		} else {
			high = critical;
			f_high = f;
			f_low *= stayed < 0 ? 0.5 : 1;
			stayed = -1;
		}
	}
	return low + (high - low) / 2;
}
