#include "gates/stats/event_label.h"

#include "gates/stats/beta.h"

#include <math.h>
#include <stdbool.h>

double event_label_k(double t_opt, double alpha)
{
	double two_log = -2 * log(alpha);
	return fmax(1, t_opt / (two_log + log1p(two_log)) - 1);
}

double event_label_share(double p, double ratio)
{
	return p * ratio / (1 - p + p * ratio);
}

/* ---- one stretch ---- */

/* By Stirling, with x_i = a_i + n_i and X their sum, the gammas turn into X KL(x/X || p) and small terms, none of which grows with the counts faster
 * than the evidence does: sum_i [x_i ln(x_i / (X p_i)) - ln(x_i / a_i) / 2 + rest(x_i) - rest(a_i)] + ln(X / k) / 2 - rest(X) + rest(k). */
double event_label_log_e(const double *share, const double *n, size_t arms, double k)
{
	double shares = 0, total = 0, sum = 0;
	size_t used = 0;
	for (size_t i = 0; i < arms; i++) {
		if (share[i] > 0) {
			shares += share[i];
			total += n[i];
			used++;
		}
	}
	if (used < 2 || total <= 0)
		return 0;
	for (size_t i = 0; i < arms; i++) {
		if (!(share[i] > 0))
			continue;
		double p = share[i] / shares, a = k * p, x = a + n[i];
		sum += log_against(x, (k + total) * p, n[i] - total * p);
		if (n[i] > 0)
			sum += stirling_rest(x) - stirling_rest(a) - log1p(n[i] / a) / 2;
	}
	return sum + log1p(total / k) / 2 - stirling_rest(k + total) + stirling_rest(k);
}

double event_label_log_e_worse(double p, double n_a, double n_b, double k)
{
	const double share[] = {1 - p, p}, n[] = {n_a, n_b};
	if (!(p > 0 && p < 1) || n_a + n_b <= 0)
		return 0;
	double a = k * p, b = k * (1 - p);
	return event_label_log_e(share, n, 2, k) + log_incomplete_beta(b + n_a, a + n_b, 1 - p, p) - log_incomplete_beta(b, a, 1 - p, p);
}

/* ---- streams ---- */

static double component(const struct event_label *state, const struct event_label_test *test, size_t i)
{
	double stretch = test->side == EVENT_LABEL_TWO_SIDED ? event_label_log_e(state->share, state->n, test->arms, test->k[i])
							     : event_label_log_e_worse(state->share[1] / (state->share[0] + state->share[1]),
										       state->n[0], state->n[1], test->k[i]);
	return state->log_done[i] + stretch;
}

static double log_mean(const double *each, size_t n)
{
	double top = each[0], sum = 0;
	for (size_t i = 1; i < n; i++)
		top = fmax(top, each[i]);
	for (size_t i = 0; i < n; i++)
		sum += exp(each[i] - top);
	return top + log(sum / (double)n);
}

double event_label_now(const struct event_label *state, const struct event_label_test *test)
{
	double each[EVENT_LABEL_MIXTURE] = {0};
	for (size_t i = 0; i < test->n_k; i++)
		each[i] = component(state, test, i);
	return test->n_k == 1 ? each[0] : log_mean(each, test->n_k);
}

void event_label_add(struct event_label *state, const struct event_label_test *test, const double *share, const double *n)
{
	double total = 0;
	bool same = true;
	size_t used = 0;
	for (size_t i = 0; i < test->arms; i++) {
		total += share[i] > 0 ? n[i] : 0;
		used += share[i] > 0;
		same = same && share[i] == state->share[i];
	}
	if (used < 2 || total <= 0)
		return;
	if (!same) {
		for (size_t i = 0; i < test->n_k; i++)
			state->log_done[i] = component(state, test, i);
		for (size_t i = 0; i < test->arms; i++) {
			state->share[i] = share[i];
			state->n[i] = 0;
		}
	}
	for (size_t i = 0; i < test->arms; i++)
		state->n[i] += n[i];
	state->log_max = fmax(state->log_max, event_label_now(state, test));
}

/* ---- grid over the rate ratio ---- */

static const struct {
	double less_one, log;
} ratios[EVENT_GRID] = {
	{0.25, 0.22314355131420976}, {0.5, 0.4054651081081644}, {1, 0.6931471805599453},
	{2, 1.0986122886681098},     {4, 1.6094379124341003},   {9, 2.302585092994046},
};

void event_grid_add(struct event_grid *grid, double p, double n_a, double n_b)
{
	if (!(p > 0 && p < 1) || n_a + n_b <= 0)
		return;
	for (size_t i = 0; i < EVENT_GRID; i++)
		grid->log_e[i] += n_b * ratios[i].log - (n_a + n_b) * log1p(p * ratios[i].less_one);
	grid->log_max = fmax(grid->log_max, event_grid_now(grid));
}

double event_grid_now(const struct event_grid *grid)
{
	return log_mean(grid->log_e, EVENT_GRID);
}

/* ---- confidence sequence ---- */

/* ln(1 + e^z), never overflowing. */
static double softplus(double z)
{
	return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
}

/* The log-odds at which n_b ln theta + n_a ln(1-theta) falls to `least`, going from `inside` (where it is above) towards `outside`. */
static double edge(double n_a, double n_b, double least, double inside, double outside)
{
	for (int i = 0; i < 80; i++) {
		double z = inside + (outside - inside) / 2;
		if (-n_b * softplus(-z) - n_a * softplus(z) >= least)
			inside = z;
		else
			outside = z;
	}
	return outside;
}

void event_label_bounds(double p, double n_a, double n_b, double k, double alpha, struct event_bounds *ret_theta, struct event_bounds *ret_ratio)
{
	double low = -(double)INFINITY, high = (double)INFINITY; /* log-odds of theta */
	if (p > 0 && p < 1 && n_a + n_b > 0) {
		const double share[] = {1 - p, p}, n[] = {n_a, n_b};
		/* At p itself ln E is the test's; so E(theta) = E(p) + ln-likelihood of p minus that of theta. */
		double least = event_label_log_e(share, n, 2, k) + n_b * log(p) + n_a * log1p(-p) + log(alpha);
		double centre = n_a > 0 && n_b > 0 ? log(n_b) - log(n_a) : n_b > 0 ? 700 : -700;
		if (n_b > 0)
			low = edge(n_a, n_b, least, centre, -700);
		if (n_a > 0)
			high = edge(n_a, n_b, least, centre, 700);
	}
	double odds = log(p) - log1p(-p);
	if (ret_theta)
		*ret_theta = (struct event_bounds){1 / (1 + exp(-low)), 1 / (1 + exp(-high))};
	if (ret_ratio)
		*ret_ratio = (struct event_bounds){exp(low - odds), exp(high - odds)};
}
