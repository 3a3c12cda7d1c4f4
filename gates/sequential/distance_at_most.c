/* Distance between the arms' distributions.
 *
 * Total variation with a known share: the e-processes of categorical.h's drift ("above" over the whole rollout, "below" in this step), which hold
 * while the classes themselves drift over the day. Else, and for PSI: a confidence sequence, whose level at which it leaves the bound is an
 * anytime-valid p-value; it needs each arm's distribution to stand still. The two-sample e-test ("any difference at all?") is shown beside and never
 * decides: with enough requests it finds differences that nobody minds. */
#include "gates/sequential/rows.h"
#include "gates/stats/categorical.h"
#include "gates/stats/stored.h"

#include <math.h>

#define SMOOTHING 0.001 /* of PSI: each class gets a thousandth of its arm's count, so that empty ones stay finite */
#define SHARPEST_AT 10000.0

/* All doubles, all zero = fresh. */
struct distance_side {
	double a[MEASURE_CATEGORIES], b[MEASURE_CATEGORIES], n_a, n_b;
	struct drift drift;
};
struct distances {
	struct distance_side whole, step;
	struct categorical alike;
	double n;           /* categories */
	double share;       /* the candidate's, last known; 0: never */
	double low, high;   /* of the whole, two-sided at alpha */
	double worse, fine; /* the largest -ln p so far (fine: of this step) */
};

_Static_assert(CATEGORIES_MAX == MEASURE_CATEGORIES, "the kernels take what sources tell");

static bool is_psi(const struct sequential_subject *subject)
{
	return subject->metric->distance == DISTANCE_PSI;
}

static size_t categories(const struct distances *d)
{
	return stored_places(d->n, MEASURE_CATEGORIES);
}

static bool takes(const struct analysis_metric *metric)
{
	(void)metric;
	return true;
}

static bool bounded(const struct analysis_metric *metric)
{
	return metric->at_most > 0 && (metric->distance == DISTANCE_PSI || metric->at_most < 1);
}

static size_t state_size(const struct sequential_subject *subject)
{
	(void)subject;
	return sizeof(struct distances);
}

static struct drift_bounds bounds(const struct sequential_subject *subject, const struct distances *d, const struct distance_side *side, double alpha)
{
	double share = d->share > 0 ? d->share : side->n_b / (side->n_a + side->n_b);
	const struct drift_plan plan = {.share = fmin(fmax(share, 1e-6), 1 - 1e-6), .n_opt = SHARPEST_AT};
	size_t n = categories(d);
	return is_psi(subject) ? psi_bounds(n, side->a, side->b, &plan, SMOOTHING, alpha) : tv_bounds(n, side->a, side->b, &plan, alpha);
}

/* The largest -ln of a level, on a grid, at which one end of the confidence sequence lies beyond the bound. An end by itself has half the level. */
static double confidence(const struct sequential_subject *subject, const struct distances *d, const struct distance_side *side, bool worse)
{
	static const double parts[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 32, 100, 1000, 1e6};
	double best = 0;
	if (!(side->n_a > 0 && side->n_b > 0))
		return 0;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		double level = subject->alpha / parts[i];
		struct drift_bounds now = bounds(subject, d, side, fmin(2 * level, 0.999));
		if (worse ? now.low <= subject->metric->at_most : now.high >= subject->metric->at_most)
			break;
		best = -log(level);
	}
	return best;
}

static void add_side(const struct sequential_subject *subject, struct distance_side *side, double share, const double *a, const double *b)
{
	for (size_t i = 0; i < MEASURE_CATEGORIES; i++) {
		side->a[i] += a[i];
		side->b[i] += b[i];
		side->n_a += a[i];
		side->n_b += b[i];
	}
	if (bounded(subject->metric) && !is_psi(subject) && share > 0)
		drift_add(&side->drift, MEASURE_CATEGORIES, subject->metric->at_most, share, a, b);
}

static const struct categorical_test *alike_test(void)
{
	static const struct categorical_test test = {MEASURE_CATEGORIES, 2, {10, 100}};
	return &test;
}

static void weigh(const struct sequential_subject *subject, struct distances *d)
{
	if (!(d->whole.n_a > 0 && d->whole.n_b > 0))
		return;
	struct drift_bounds now = bounds(subject, d, &d->whole, subject->alpha);
	d->low = fmax(now.low, 0);
	d->high = is_psi(subject) ? now.high : fmin(now.high, 1);
	if (!bounded(subject->metric))
		return;
	if (!is_psi(subject) && d->share > 0) {
		d->worse = fmax(d->worse, d->whole.drift.max_worse);
		d->fine = fmax(d->fine, d->step.drift.max_fine);
	} else {
		d->worse = fmax(d->worse, confidence(subject, d, &d->whole, true));
		d->fine = fmax(d->fine, confidence(subject, d, &d->step, false));
	}
}

static void add(const struct sequential_subject *subject, void *state, const struct sequential_block *block)
{
	struct distances *d = state;
	const struct measure *measure = block->measure;
	double a[MEASURE_CATEGORIES], b[MEASURE_CATEGORIES];
	unsigned n = measure->stable.n_counts > measure->candidate.n_counts ? measure->stable.n_counts : measure->candidate.n_counts;
	double share = block->weight_ppm > 0 && block->weight_ppm < 1000000 ? block->weight_ppm / 1e6 : 0;
	for (size_t i = 0; i < MEASURE_CATEGORIES; i++) {
		a[i] = (double)measure->stable.counts[i];
		b[i] = (double)measure->candidate.counts[i];
	}
	if (!measure->stable.n && !measure->candidate.n)
		return;
	d->n = fmax(d->n, n);
	d->share = share > 0 ? share : d->share;
	add_side(subject, &d->whole, share, a, b);
	add_side(subject, &d->step, share, a, b);
	if (share > 0)
		categorical_add(&d->alike, alike_test(), share, a, b);
	weigh(subject, d);
}

static void step(const struct sequential_subject *subject, void *state)
{
	struct distances *d = state;
	(void)subject;
	d->step = (struct distance_side){.n_a = 0};
	d->fine = 0;
}

static void read_state(const struct sequential_subject *subject, const void *state, struct sequential_reading *ret)
{
	const struct distances *d = state;
	const struct distance_side *whole = &d->whole;
	bool known = whole->n_a > 0 && whole->n_b > 0;
	size_t n = categories(d);
	*ret = (struct sequential_reading){
		.stable = (double)NAN,
		.candidate = (double)NAN,
		.estimate = !known            ? (double)NAN
			    : is_psi(subject) ? psi_estimate(n, whole->a, whole->b, SMOOTHING)
					      : tv_estimate(n, whole->a, whole->b),
		.low = known ? d->low : (double)NAN,
		.high = known ? d->high : (double)NAN,
		.bound = bounded(subject->metric) ? subject->metric->at_most : (double)NAN,
		.log_e_worse = d->worse,
		.log_e_fine = d->fine,
		.log_e_any = d->alike.log_max,
		.n_stable = whole->n_a,
		.n_candidate = whole->n_b,
		.step_n_stable = d->step.n_a,
		.step_n_candidate = d->step.n_b,
		.dispersion = (double)NAN,
		.unit = "",
	};
}

static void imagine_arm(const double *counts, double all, double n, struct measure_arm *ret)
{
	double carried = 0;
	ret->n_counts = MEASURE_CATEGORIES;
	for (size_t i = 0; i < MEASURE_CATEGORIES; i++) {
		double exact = counts[i] / all * n + carried, whole = floor(exact + 1e-9);
		ret->counts[i] = stored_count(whole);
		ret->n += ret->counts[i];
		carried = exact - whole;
	}
}

static bool imagine(const struct sequential_subject *subject, const void *state, double n, bool worst, struct sequential_space *space,
		    struct sequential_block *ret)
{
	const struct distances *d = state;
	(void)subject;
	if (!(d->whole.n_a > 0 && d->whole.n_b > 0))
		return false;
	space->measure = (struct measure){.stable = {.n = 0}};
	imagine_arm(d->whole.a, d->whole.n_a, fmax(1, n * d->whole.n_a / d->whole.n_b), &space->measure.stable);
	if (worst) {
		size_t rarest = 0;
		for (size_t i = 1; i < categories(d); i++)
			rarest = d->whole.a[i] < d->whole.a[rarest] ? i : rarest;
		space->measure.candidate = (struct measure_arm){.n = stored_count(n), .n_counts = (unsigned)categories(d)};
		space->measure.candidate.counts[rarest] = stored_count(n);
	} else {
		imagine_arm(d->whole.b, d->whole.n_b, n, &space->measure.candidate);
	}
	space->measure.stable.n_counts = space->measure.candidate.n_counts = (unsigned)categories(d);
	*ret = (struct sequential_block){.measure = &space->measure, .weight_ppm = (uint32_t)stored_places(d->share * 1e6, 1000000)};
	return true;
}

const struct sequential_ops sequential_distance_at_most = {
	.name = "distance_at_most",
	.doc = "how far the arms' distributions are apart: total variation or PSI",
	.source = "bets on random labels: Waudby-Smith, Ramdas, arXiv 2010.09686; PSI: Bernoulli intervals, Howard et al., arXiv 1810.08240",
	.kind = METRIC_DISTRIBUTION,
	.takes = takes,
	.bounded = bounded,
	.state_size = state_size,
	.add = add,
	.step = step,
	.read = read_state,
	.imagine = imagine,
};
