#include "gates/stats/tempering.h"

#include <math.h>

static double squared(double y, double expected, double rate)
{
	double off = y - expected;
	return off * off / (expected * (1 - rate));
}

void tempering_observe(struct tempering *state, const struct instance_counts *stable, size_t n)
{
	double all = 0, errors = 0, serving = 0;
	for (size_t i = 0; i < n; i++) {
		all += (double)stable[i].n;
		errors += fmin((double)stable[i].y, (double)stable[i].n);
		serving += stable[i].n > 0;
	}
	if (!(all > 0))
		return;
	double rate = errors / all;
	if (serving >= 2 && rate > 0 && rate < 1) {
		for (size_t i = 0; i < n; i++)
			if (stable[i].n)
				state->pearson += squared(fmin((double)stable[i].y, (double)stable[i].n), rate * (double)stable[i].n, rate);
		state->freedom += serving - 1;
	} else if (serving < 2 && state->last_n > 0) {
		double both = (errors + state->last_y) / (all + state->last_n);
		if (both > 0 && both < 1) {
			state->pearson += squared(errors, both * all, both) + squared(state->last_y, both * state->last_n, both);
			state->freedom++;
		}
	}
	state->last_n = all;
	state->last_y = errors;
	state->blocks++;
}

double tempering_phi(const struct tempering *state)
{
	if (state->blocks < TEMPERING_WAIT)
		return INFINITY;
	/* Blocks of nothing but successes show no dispersion, and give no evidence either. */
	return state->freedom > 0 ? fmax(1, state->pearson / state->freedom) : 1;
}
