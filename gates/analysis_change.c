/* What would change a metric's verdict: imagined blocks are fed to copies of its state. */
#include "gates/analysis_priv.h"

#include "base/alloc.h"

#include <math.h>
#include <stdio.h>

#define MOST_IMAGINED 1e9

enum question { FINE_AS_IT_IS, WORSE_AT_WORST };

/* ln E after n more requests of the candidate, in one block. NAN: nothing can be said. */
static double after(const struct metric_state *metric, enum question question, double n)
{
	cleanup_free double *state = xcalloc(1, metric->state_size);
	struct sequential_space space;
	struct sequential_block block;
	struct sequential_reading reading;
	memcpy(state, metric->state, metric->state_size);
	if (!metric->test->imagine(&metric->subject, state, n, question == WORSE_AT_WORST, &space, &block))
		return (double)NAN;
	block.number = 1;
	metric->test->add(&metric->subject, state, &block);
	metric->test->read(&metric->subject, state, &reading);
	return question == FINE_AS_IT_IS ? reading.log_e_fine : reading.log_e_worse;
}

/* The fewest requests that reach the threshold, to about a percent; INFINITY: none do. More requests are not always more evidence (rounding), so
 * this is a number for people. */
static double needed(const struct metric_state *metric, enum question question, double log_threshold)
{
	double high = 1, low = 0;
	while (!(after(metric, question, high) >= log_threshold)) {
		low = high;
		high *= 2;
		if (high > MOST_IMAGINED)
			return INFINITY;
	}
	while (high - low > 1 && high - low > 0.01 * high) {
		double middle = floor((low + high) / 2);
		if (after(metric, question, middle) >= log_threshold)
			high = middle;
		else
			low = middle;
	}
	return high;
}

/* "3,400": two digits that count. */
static const char *about(double n, char space[32])
{
	double unit = n < 100 ? 1 : pow(10, floor(log10(n)) - 1);
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%.0f", ceil(n / unit) * unit), out = 0;
	for (size_t i = 0; i < len && out < 30; i++) {
		if (i && (len - i) % 3 == 0)
			space[out++] = ',';
		space[out++] = digits[i];
	}
	space[out] = '\0';
	return space;
}

static const char *what_is_worst(const struct analysis_metric *metric)
{
	switch (metric->kind) {
	case METRIC_RATE:
		if (metric->higher_is_better)
			return "trials in a row that fail";
		return metric->source ? "events in a row" : "errors in a row";
	case METRIC_LATENCY:
		return "requests in a row that are slow beyond measure";
	case METRIC_DISTRIBUTION:
		return "observations in a row of the rarest class";
	case METRIC_MEAN:
		return "values in a row at the bad end of the range";
	}
	abort();
}

void analysis_what_would_change(const struct analysis *analysis, size_t i, char *ret, size_t size)
{
	const struct metric_state *metric = &analysis->metrics[i];
	struct analysis_verdict verdict;
	char more[32], bad[32];
	analysis_verdict(analysis, &verdict);
	const struct metric_verdict *now = &verdict.metrics[i];
	if (now->informational) {
		snprintf(ret, size, "nothing: it is shown only");
		return;
	}
	if (now->verdict == VERDICT_WORSE || now->verdict == VERDICT_SPLIT_BROKEN) {
		snprintf(ret, size, "nothing: %s",
			 now->verdict == VERDICT_WORSE ? "harm that was found stays found" : "what was counted cannot be trusted");
		return;
	}
	if (isnan(after(metric, FINE_AS_IT_IS, 1))) {
		snprintf(ret, size, "requests of both arms");
		return;
	}
	double fine = now->verdict == VERDICT_FINE ? 0 : needed(metric, FINE_AS_IT_IS, now->log_threshold_fine);
	double worse = needed(metric, WORSE_AT_WORST, now->log_threshold_worse);
	int n;
	if (now->verdict == VERDICT_FINE)
		n = snprintf(ret, size, "fine already");
	else if (isinf(fine))
		n = snprintf(ret, size, "not fine within one minute at these rates");
	else
		n = snprintf(ret, size, "fine after about %s more %s of the candidate at these rates", about(fine, more),
			     metric->subject.metric->source ? "observations" : "requests");
	if (n < 0 || (size_t)n >= size)
		return;
	if (isinf(worse))
		snprintf(ret + n, size - (size_t)n, "; no number of %s within one minute would make it worse", what_is_worst(metric->subject.metric));
	else
		snprintf(ret + n, size - (size_t)n, "; worse after about %s more %s", about(worse, bad), what_is_worst(metric->subject.metric));
}
