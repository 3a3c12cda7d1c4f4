#include "gates/stats/bounded_mean.h"

#include <math.h>
#include <stddef.h>

bool unit_scale(double x, double low, double high, double *ret)
{
	if (!(low < high) || !isfinite(high - low) || !(x >= low) || !(x <= high))
		return false;
	double u = (x - low) / (high - low);
	*ret = u < 1 ? u : 1;
	return true;
}

static bool is_unit(double x)
{
	return x >= 0 && x <= 1;
}

/* The plug-in bet for observation n + 1, from the n before it. */
static double plug_in(double n, double deviations, double alpha)
{
	double t = n + 1, variance = n > 0 ? (0.25 + deviations) / (n + 1) : 0.25;
	return sqrt(2 * log(2 / alpha) / (variance * t * log1p(t)));
}

static double deviation(double n, double sum, double x)
{
	double from = x - (0.5 + sum) / (n + 1);
	return from * from;
}

/* ---- empirical Bernstein ---- */

static double lower_bound(double bets, double bets_x, double spent, double alpha)
{
	if (!(bets > 0))
		return 0;
	double low = (bets_x - log(2 / alpha) - spent) / bets;
	return low > 0 ? low : 0;
}

bool mean_cs_add(struct mean_cs *cs, double x, double alpha)
{
	if (!is_unit(x))
		return false;
	double lambda = fmin(plug_in(cs->n, cs->deviations, alpha), 0.5), psi = -log1p(-lambda) - lambda;
	double from = cs->n > 0 ? x - cs->sum / cs->n : x, from_mirrored = cs->n > 0 ? from : 1 - x;
	cs->spent_low += from * from * psi;
	cs->spent_high += from_mirrored * from_mirrored * psi;
	cs->bets += lambda;
	cs->bets_x += lambda * x;
	cs->n++;
	cs->sum += x;
	cs->deviations += deviation(cs->n, cs->sum, x);
	struct mean_bounds now = mean_cs_now(cs, alpha);
	cs->best_low = fmax(cs->best_low, now.low);
	cs->best_low_mirrored = fmax(cs->best_low_mirrored, 1 - now.high);
	return true;
}

struct mean_bounds mean_cs_now(const struct mean_cs *cs, double alpha)
{
	return (struct mean_bounds){lower_bound(cs->bets, cs->bets_x, cs->spent_low, alpha),
				    1 - lower_bound(cs->bets, cs->bets - cs->bets_x, cs->spent_high, alpha)};
}

struct mean_bounds mean_cs_running(const struct mean_cs *cs)
{
	return (struct mean_bounds){cs->best_low, 1 - cs->best_low_mirrored};
}

struct mean_bounds mean_difference(const struct mean_cs *a, const struct mean_cs *b, double alpha)
{
	struct mean_bounds of_a = mean_cs_now(a, alpha / 2), of_b = mean_cs_now(b, alpha / 2);
	return (struct mean_bounds){of_b.low - of_a.high, of_b.high - of_a.low};
}

/* ---- betting ---- */

static double grid_point(size_t i)
{
	return (double)(i + 1) / MEAN_GRID;
}

bool mean_grid_add(struct mean_grid *grid, double x, double alpha)
{
	if (!is_unit(x))
		return false;
	double lambda = plug_in(grid->n, grid->deviations, alpha);
	for (size_t i = 0; i < MEAN_GRID - 1; i++) {
		double m = grid_point(i);
		grid->up[i] += log1p(fmin(lambda, 0.5 / m) * (x - m));
		grid->down[i] += log1p(-fmin(lambda, 0.5 / (1 - m)) * (x - m));
	}
	grid->n++;
	grid->sum += x;
	grid->deviations += deviation(grid->n, grid->sum, x);
	return true;
}

struct mean_bounds mean_grid_now(const struct mean_grid *grid, double alpha)
{
	struct mean_bounds bounds = {0, 1};
	double threshold = log(2 / alpha);
	for (size_t i = 0; i < MEAN_GRID - 1 && grid->up[i] >= threshold; i++)
		bounds.low = grid_point(i);
	for (size_t i = MEAN_GRID - 1; i > 0 && grid->down[i - 1] >= threshold; i--)
		bounds.high = grid_point(i - 1);
	return bounds;
}

/* ln of (1 + K) / 2: half the stake stays aside, or the arm whose mean is far on the wrong side would lose all that the other one wins. */
static double half_held(double log_capital)
{
	return log_capital > 0 ? log_capital + log1p(exp(-log_capital)) - log(2) : log1p(exp(log_capital)) - log(2);
}

/* Against "mean <= line" and "mean >= line", line of 0 .. 200 or beyond: a smaller hypothesis may borrow its neighbour's capital, a trivial one has
 * none. */
static double against_at_most(const struct mean_grid *grid, double line)
{
	return line < MEAN_GRID ? half_held(grid->up[line > 1 ? (size_t)line - 1 : 0]) : 0;
}

static double against_at_least(const struct mean_grid *grid, double line)
{
	return line > 0 ? half_held(grid->down[line < MEAN_GRID ? (size_t)line - 1 : MEAN_GRID - 2]) : 0;
}

double mean_grid_log_e(const struct mean_grid *a, const struct mean_grid *b, double margin, enum block_null null)
{
	double least = (double)INFINITY;
	/* mean_A lies in a cell [line, line + 1]; by the capitals' monotony its worst end for each arm bounds the product from below. */
	for (double line = 0; line < MEAN_GRID; line++) {
		double value;
		if (null == NULL_NOT_WORSE)
			value = against_at_least(a, line) + against_at_most(b, ceil(line + 1 + margin * MEAN_GRID - 1e-9));
		else
			value = against_at_most(a, line + 1) + against_at_least(b, floor(line + margin * MEAN_GRID + 1e-9));
		least = fmin(least, value);
	}
	return least;
}

/* ---- e-process for a difference against a margin ---- */

/* The best bet if the past went on: maximises the second-order expansion of E ln(1 + lambda y). At most half of what keeps capital positive. */
static double kelly(const struct mean_bet *bet, double most)
{
	if (!(bet->sum > 0))
		return 0;
	double mean = bet->sum / (bet->n + 1), square = (bet->squares + 0.25) / (bet->n + 1);
	return fmin(mean / square, most / 2);
}

bool mean_bet_add(struct mean_bet *bet, double z, double low, double high, double margin, enum block_null null)
{
	/* A hair of tolerance: the caller's z and ends are rounded apart. */
	double slack = 1e-9 * (high - low);
	if (!(z >= low - slack) || !(z <= high + slack))
		return false;
	double y = null == NULL_NOT_WORSE ? z - margin : margin - z;
	double loss = null == NULL_NOT_WORSE ? margin - low : high - margin; /* the most that y can be below 0 */
	if (loss > 0) {
		double most = 1 / loss, share = 0.5;
		for (size_t i = 0; i < MEAN_BETS - 1; i++, share /= 2)
			bet->log_e[i] += log1p(share * most * y);
		bet->log_e[MEAN_BETS - 1] += log1p(kelly(bet, most) * y);
	}
	bet->n++;
	bet->sum += y;
	bet->squares += y * y;
	bet->log_max = fmax(bet->log_max, mean_bet_now(bet));
	return true;
}

bool mean_bet_randomised(struct mean_bet *bet, double x, bool candidate, double p, double margin, enum block_null null)
{
	if (!is_unit(x) || !(p > 0) || !(p < 1))
		return false;
	double c = (0.5 + bet->sum_x) / (bet->n + 1);
	double z = candidate ? (x - c) / p : (c - x) / (1 - p);
	double low = -fmax(c / p, (1 - c) / (1 - p)), high = fmax((1 - c) / p, c / (1 - p));
	if (!mean_bet_add(bet, z, low, high, margin, null))
		return false;
	bet->sum_x += x;
	return true;
}

bool mean_bet_block(struct mean_bet *bet, double n_a, double sum_a, double n_b, double sum_b, double margin, enum block_null null)
{
	if (!(n_a > 0) || !(n_b > 0))
		return true;
	if (!is_unit(sum_a / n_a) || !is_unit(sum_b / n_b))
		return false;
	return mean_bet_add(bet, sum_b / n_b - sum_a / n_a, -1, 1, margin, null);
}

double mean_bet_now(const struct mean_bet *bet)
{
	double top = bet->log_e[0], sum = 0;
	for (size_t i = 1; i < MEAN_BETS; i++)
		top = fmax(top, bet->log_e[i]);
	for (size_t i = 0; i < MEAN_BETS; i++)
		sum += exp(bet->log_e[i] - top);
	return top + log(sum / MEAN_BETS);
}
