#include "gates/stats/rate_sequence.h"

#include <math.h>
#include <stdbool.h>

static const double differences[] = {
	1.0e-4, 1.2e-4, 1.5e-4, 2.0e-4, 2.5e-4, 3.0e-4, 4.0e-4, 5.0e-4, 6.0e-4, 8.0e-4, /**/
	1.0e-3, 1.2e-3, 1.5e-3, 2.0e-3, 2.5e-3, 3.0e-3, 4.0e-3, 5.0e-3, 6.0e-3, 8.0e-3, /**/
	1.0e-2, 1.2e-2, 1.5e-2, 2.0e-2, 2.5e-2, 3.0e-2, 4.0e-2, 5.0e-2, 6.0e-2, 8.0e-2, /**/
	1.0e-1, 1.2e-1, 1.5e-1, 2.0e-1, 2.5e-1, 3.0e-1, 4.0e-1, 5.0e-1,
};
static const double ratios[] = {1.05, 1.1, 1.2, 1.3, 1.4, 1.5, 1.7, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 15, 20};
#define N_DIFFERENCES (sizeof(differences) / sizeof(differences[0]))
#define N_RATIOS (sizeof(ratios) / sizeof(ratios[0]))
_Static_assert(RATE_DIFFERENCE_GRID == 2 * N_DIFFERENCES + 1, "grid and its size");
_Static_assert(RATE_RATIO_GRID == 2 * N_RATIOS + 1, "grid and its size");
_Static_assert(sizeof(struct rate_difference) == sizeof(double) * (2 + 4 * RATE_DIFFERENCE_GRID), "doubles only");
_Static_assert(sizeof(struct rate_ratio) == sizeof(double) * (2 + 4 * RATE_RATIO_GRID), "doubles only");

double rate_difference_grid(size_t i)
{
	if (i < N_DIFFERENCES)
		return -differences[N_DIFFERENCES - 1 - i];
	return i > N_DIFFERENCES ? differences[i - N_DIFFERENCES - 1] : 0;
}

double rate_ratio_grid(size_t i)
{
	if (i < N_RATIOS)
		return 1 / ratios[N_RATIOS - 1 - i];
	return i > N_RATIOS ? ratios[i - N_RATIOS - 1] : 1;
}

static bool usable(const struct block2x2 *block, double past_rate)
{
	return block->n_a && block->n_b && block->y_a <= block->n_a && block->y_b <= block->n_b && past_rate > 0 && past_rate < 1;
}

/* Bets the block against one boundary: the alternative lies on one side of it, so that only the null of the other side is bet against. */
static void bet(const struct block2x2 *block, double past_rate, double alt_b, struct boundary boundary, double *log_e, double *log_max,
		double *log_e_least, double *log_max_least)
{
	double edge = boundary.kind == BOUNDARY_RATIO ? past_rate * boundary.value : past_rate + boundary.value;
	if (alt_b > edge) {
		*log_e += boundary_log_factor(block, past_rate, alt_b, boundary, NULL_NOT_WORSE);
		*log_max = fmax(*log_max, *log_e);
	} else {
		*log_e_least += boundary_log_factor(block, past_rate, alt_b, boundary, NULL_NOT_FINE);
		*log_max_least = fmax(*log_max_least, *log_e_least);
	}
}

/* Keeps an estimate of theta_b off 0 and 1, where one event would cost everything: half way from the past rate at most, hundredfold down. */
static double inside(double rate, double past_rate)
{
	return fmax(fmin(rate, (1 + past_rate) / 2), past_rate / 100);
}

void rate_difference_add(struct rate_difference *state, const struct block2x2 *block, double past_rate)
{
	if (!usable(block, past_rate))
		return;
	double alt_b = inside(past_rate + state->sum / (state->weight + 0.5 / past_rate), past_rate);
	for (size_t i = 0; i < RATE_DIFFERENCE_GRID; i++)
		bet(block, past_rate, alt_b, (struct boundary){BOUNDARY_MARGIN, rate_difference_grid(i)}, &state->log_e[i], &state->log_max[i],
		    &state->log_e_least[i], &state->log_max_least[i]);
	double n_a = (double)block->n_a, n_b = (double)block->n_b, weight = n_a * n_b / (n_a + n_b);
	state->weight += weight;
	state->sum += weight * ((double)block->y_b / n_b - (double)block->y_a / n_a);
}

void rate_ratio_add(struct rate_ratio *state, const struct block2x2 *block, double past_rate)
{
	if (!usable(block, past_rate))
		return;
	double alt_b = inside(past_rate * (state->events_b + 0.5) / (state->events_a + 0.5), past_rate);
	for (size_t i = 0; i < RATE_RATIO_GRID; i++)
		bet(block, past_rate, alt_b, (struct boundary){BOUNDARY_RATIO, rate_ratio_grid(i)}, &state->log_e[i], &state->log_max[i],
		    &state->log_e_least[i], &state->log_max_least[i]);
	double n_a = (double)block->n_a, n_b = (double)block->n_b;
	state->events_a += (double)block->y_a * n_b / (n_a + n_b);
	state->events_b += (double)block->y_b * n_a / (n_a + n_b);
}

/* How many nulls in a row are rejected from below (up) and from above (down). */
static void rejected(const double *log_max, const double *log_max_least, size_t n, double alpha, size_t *ret_up, size_t *ret_down)
{
	double threshold = log(2 / alpha);
	size_t up = 0, down = 0;
	while (up < n && log_max[up] >= threshold)
		up++;
	while (down < n && log_max_least[n - 1 - down] >= threshold)
		down++;
	*ret_up = up;
	*ret_down = down;
}

void rate_difference_bounds(const struct rate_difference *state, double alpha, double *ret_low, double *ret_high)
{
	size_t up, down;
	rejected(state->log_max, state->log_max_least, RATE_DIFFERENCE_GRID, alpha, &up, &down);
	*ret_low = up ? rate_difference_grid(up - 1) : -1;
	*ret_high = down ? rate_difference_grid(RATE_DIFFERENCE_GRID - down) : 1;
}

void rate_ratio_bounds(const struct rate_ratio *state, double alpha, double *ret_low, double *ret_high)
{
	size_t up, down;
	rejected(state->log_max, state->log_max_least, RATE_RATIO_GRID, alpha, &up, &down);
	*ret_low = up ? rate_ratio_grid(up - 1) : 0;
	*ret_high = down ? rate_ratio_grid(RATE_RATIO_GRID - down) : (double)INFINITY;
}
