#include "gates/stats/categorical.h"

#include "gates/stats/beta.h"
#include "gates/stats/mixture.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static double log_mean(const double *logs, size_t n)
{
	double top = logs[0], sum = 0;
	for (size_t i = 1; i < n; i++)
		top = fmax(top, logs[i]);
	if (isinf(top))
		return top;
	for (size_t i = 0; i < n; i++)
		sum += exp(logs[i] - top);
	return top + log(sum / (double)n);
}

static double total(const double *counts, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += counts[i];
	return sum;
}

static bool splits(double share)
{
	return share > 0 && share < 1;
}

/* ---- any difference ---- */

static double stretch(const struct categorical *state, const struct categorical_test *test, double k)
{
	if (!splits(state->share))
		return 0;
	double p = state->share, log_p = log(p), log_q = log1p(-p), start = log_beta(k * p, k * (1 - p)), sum = 0;
	for (size_t j = 0; j < test->n; j++)
		if (state->a[j] + state->b[j] > 0)
			sum += log_beta(k * p + state->b[j], k * (1 - p) + state->a[j]) - start - state->b[j] * log_p - state->a[j] * log_q;
	return sum;
}

double categorical_now(const struct categorical *state, const struct categorical_test *test)
{
	double each[CATEGORICAL_MIXTURE_MAX] = {0};
	for (size_t i = 0; i < test->n_k; i++)
		each[i] = state->log_done[i] + stretch(state, test, test->k[i]);
	return log_mean(each, test->n_k);
}

void categorical_add(struct categorical *state, const struct categorical_test *test, double share, const double *a, const double *b)
{
	if (!splits(share))
		return;
	if (share < state->share || share > state->share) {
		for (size_t i = 0; i < test->n_k; i++)
			state->log_done[i] += stretch(state, test, test->k[i]);
		state->share = share;
		memset(state->a, 0, sizeof(state->a));
		memset(state->b, 0, sizeof(state->b));
	}
	for (size_t j = 0; j < test->n; j++) {
		state->a[j] += a[j];
		state->b[j] += b[j];
	}
	state->log_max = fmax(state->log_max, categorical_now(state, test));
}

/* ---- goodness of fit ---- */

static double log_gamma(double x)
{
	int sign;
	return lgamma_r(x, &sign);
}

double categorical_fit_log_e(const struct categorical_test *test, const double *pi, const double *counts)
{
	double each[CATEGORICAL_MIXTURE_MAX] = {0}, whole = total(pi, test->n), seen = total(counts, test->n);
	for (size_t i = 0; i < test->n_k; i++) {
		double k = test->k[i], sum = log_gamma(k) - log_gamma(k + seen);
		for (size_t j = 0; j < test->n; j++) {
			double p = pi[j] / whole;
			if (!(counts[j] > 0))
				continue;
			if (!(p > 0))
				return (double)INFINITY;
			sum += log_gamma(k * p + counts[j]) - log_gamma(k * p) - counts[j] * log(p);
		}
		each[i] = sum;
	}
	return log_mean(each, test->n_k);
}

/* ---- above or below a limit ---- */

/* The four values that z(S) can take: request in S or not, candidate's or stable's. */
struct bet_values {
	double in_b, in_a, out_b, out_a;
};

static struct bet_values values_of(double c, double p)
{
	return (struct bet_values){(1 - c) / p, -(1 - c) / (1 - p), -c / p, c / (1 - p)};
}

static void bet_on_worse(struct drift *drift, size_t n, double limit, double p, const double *a, const double *b)
{
	bool in[CATEGORIES_MAX];
	double in_set = 0;
	for (size_t j = 0; j < n; j++) {
		in[j] = drift->lead[j] > 0;
		in_set += in[j] ? drift->seen[j] : 0;
	}
	if (!(in_set > 0))
		return;
	double c = in_set / drift->n;
	struct bet_values z = values_of(c, p);
	double most = 1 / (limit - fmin(z.in_a, z.out_b)), share = 0.5;
	double in_a = 0, in_b = 0, out_a = 0, out_b = 0;
	for (size_t j = 0; j < n; j++) {
		*(in[j] ? &in_a : &out_a) += a[j];
		*(in[j] ? &in_b : &out_b) += b[j];
	}
	for (size_t i = 0; i < DRIFT_BETS; i++, share /= 2) {
		double lambda = share * most;
		drift->worse[i] += in_a * log1p(lambda * (z.in_a - limit)) + in_b * log1p(lambda * (z.in_b - limit)) +
				   out_a * log1p(lambda * (z.out_a - limit)) + out_b * log1p(lambda * (z.out_b - limit));
	}
}

/* c, the variance of 1{in S} - c that is expected for it, and the part of the best bet for TV 0: when the verdict is near, chance has made up about
 * half of the limit. c = 1/2 suits sets of about half the requests, 0 and 1 small ones and their complements. */
static const struct {
	double c, variance, part;
} fine_bets[DRIFT_BETS] = {{0.5, 0.25, 0.75}, {0.5, 0.25, 0.4}, {0, 0.15, 0.75}, {0, 0.15, 0.3}, {1, 0.15, 0.75}, {1, 0.15, 0.3}};

static void bet_on_fine(struct drift *drift, size_t n, double limit, double p, const double *a, const double *b)
{
	for (size_t i = 0; i < DRIFT_BETS; i++) {
		struct bet_values z = values_of(fine_bets[i].c, p);
		double lambda = fine_bets[i].part * limit * p * (1 - p) / fine_bets[i].variance, most = fmax(z.in_b, z.out_a) - limit;
		if (lambda * most > 0.5)
			lambda = 0.5 / most;
		double out_a = log1p(lambda * (limit - z.out_a)), out_b = log1p(lambda * (limit - z.out_b));
		double more_a = log1p(lambda * (limit - z.in_a)) - out_a, more_b = log1p(lambda * (limit - z.in_b)) - out_b;
		for (size_t j = 0; j < n; j++) {
			drift->out[i] += a[j] * out_a + b[j] * out_b;
			drift->in[i][j] += a[j] * more_a + b[j] * more_b;
		}
	}
}

void drift_add(struct drift *drift, size_t n, double limit, double share, const double *a, const double *b)
{
	if (!splits(share) || !(limit > 0) || !(limit < 1))
		return;
	bet_on_worse(drift, n, limit, share, a, b);
	bet_on_fine(drift, n, limit, share, a, b);
	for (size_t j = 0; j < n; j++) {
		drift->n += a[j] + b[j];
		drift->seen[j] += a[j] + b[j];
		drift->lead[j] += b[j] / share - a[j] / (1 - share);
	}
	drift->max_worse = fmax(drift->max_worse, drift_worse(drift));
	drift->max_fine = fmax(drift->max_fine, drift_fine(drift, n));
}

double drift_worse(const struct drift *drift)
{
	return log_mean(drift->worse, DRIFT_BETS);
}

double drift_fine(const struct drift *drift, size_t n)
{
	double each[DRIFT_BETS];
	for (size_t i = 0; i < DRIFT_BETS; i++) {
		each[i] = drift->out[i];
		for (size_t j = 0; j < n; j++)
			each[i] += fmin(drift->in[i][j], 0);
	}
	return log_mean(each, DRIFT_BETS);
}

/* ---- how much ---- */

double tv_estimate(size_t n, const double *a, const double *b)
{
	double n_a = total(a, n), n_b = total(b, n), sum = 0;
	if (!(n_a > 0) || !(n_b > 0))
		return 0;
	for (size_t j = 0; j < n; j++)
		sum += fabs(a[j] / n_a - b[j] / n_b);
	return sum / 2;
}

/* A term of PSI, infinite if just one side is 0. */
static double psi_term(double p, double q)
{
	if (p <= 0 && q <= 0)
		return 0;
	return p > 0 && q > 0 ? (q - p) * log(q / p) : (double)INFINITY;
}

double psi_estimate(size_t n, const double *a, const double *b, double smoothing)
{
	double n_a = total(a, n), n_b = total(b, n), sum = 0, scale = 1 + (double)n * smoothing;
	if (!(n_a > 0) || !(n_b > 0))
		return 0;
	for (size_t j = 0; j < n; j++)
		sum += psi_term((a[j] / n_a + smoothing) / scale, (b[j] / n_b + smoothing) / scale);
	return sum;
}

/* sqrt(R c'(V + W^-1)c) for W = [[w_aa, w_ab], [w_ab, w_bb]]; `log_level` is ln(1/alpha). */
static double ellipse_radius(double n_a, double n_b, double w_aa, double w_bb, double w_ab, double log_level)
{
	double v_a = n_a / 4, v_b = n_b / 4, det = w_aa * w_bb - w_ab * w_ab;
	double log_det = log1p(w_aa * v_a + w_bb * v_b + det * v_a * v_b);
	double c_a = -1 / n_a, c_b = 1 / n_b;
	double form = c_a * c_a * (v_a + w_bb / det) + c_b * c_b * (v_b + w_aa / det) - 2 * c_a * c_b * w_ab / det;
	return sqrt((2 * log_level + log_det) * form);
}

static double one_set_radius(double n_a, double n_b, const struct drift_plan *plan, double log_level)
{
	double p = plan->share, n_opt = plan->n_opt, along_a = -1 / (1 - p), along_b = 1 / p, alpha = exp(-log_level);
	/* A little room across the leaning direction: the split is never met exactly. */
	double room_a = 0.08 * 4 / (n_opt * (1 - p)), room_b = 0.08 * 4 / (n_opt * p);
	double lean = 1 / normal_mixture_rho(n_opt / 4 * (along_b - along_a), alpha, MIXTURE_TWO_SIDED);
	double leaning = ellipse_radius(n_a, n_b, lean * along_a * along_a + room_a, lean * along_b * along_b + room_b, lean * along_a * along_b,
					log_level - log(0.8));
	double each_a = 1 / normal_mixture_rho(n_opt * (1 - p) / 4, alpha, MIXTURE_TWO_SIDED);
	double each_b = 1 / normal_mixture_rho(n_opt * p / 4, alpha, MIXTURE_TWO_SIDED);
	return fmin(leaning, ellipse_radius(n_a, n_b, each_a, each_b, 0, log_level - log(0.2)));
}

struct drift_bounds tv_bounds(size_t n, const double *a, const double *b, const struct drift_plan *plan, double alpha)
{
	double n_a = total(a, n), n_b = total(b, n);
	struct drift_bounds bounds = {0, 1};
	if (!(n_a > 0) || !(n_b > 0))
		return bounds;
	if (n < 2)
		return (struct drift_bounds){0, 0};
	double middle = tv_estimate(n, a, b), level = -log(alpha / 2);
	double sets = (double)(n - 1) * log(2) + log1p(-exp2(1 - (double)n)); /* ln(2^(n-1) - 1) */
	bounds.high = fmin(1, middle + one_set_radius(n_a, n_b, plan, level));
	bounds.low = fmax(0, middle - one_set_radius(n_a, n_b, plan, level + sets));
	return bounds;
}

struct drift_bounds psi_bounds(size_t n, const double *a, const double *b, const struct drift_plan *plan, double smoothing, double alpha)
{
	struct drift_bounds bounds = {0, 0};
	double n_a = total(a, n), n_b = total(b, n), scale = 1 + (double)n * smoothing, each = alpha / (4 * (double)n);
	for (size_t j = 0; j < n; j++) {
		double low_a, high_a, low_b, high_b;
		bernoulli_interval(a[j], n_a, each, plan->n_opt * (1 - plan->share), each, &low_a, &high_a);
		bernoulli_interval(b[j], n_b, each, plan->n_opt * plan->share, each, &low_b, &high_b);
		low_a = (low_a + smoothing) / scale;
		low_b = (low_b + smoothing) / scale;
		high_a = (high_a + smoothing) / scale;
		high_b = (high_b + smoothing) / scale;
		bounds.high += fmax(psi_term(low_a, high_b), psi_term(high_a, low_b));
		if (low_b > high_a)
			bounds.low += psi_term(high_a, low_b);
		else if (low_a > high_b)
			bounds.low += psi_term(low_a, high_b);
	}
	double v = tv_bounds(n, a, b, plan, alpha).low / scale; /* its lower side is at alpha / 2 */
	if (v < 1)
		bounds.low = fmax(bounds.low, 2 * v * log((1 + v) / (1 - v)));
	return bounds;
}
