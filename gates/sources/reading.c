#include "gates/sources/reading.h"

#include "base/alloc.h"
#include "base/utf8.h"

#include <math.h>
#include <string.h>

static const char *const arm_names[2] = {"stable", "candidate"};

void metric_memory_done(struct metric_memory *memory)
{
	series_memory_done(&memory->arms[0]);
	series_memory_done(&memory->arms[1]);
	*memory = (struct metric_memory){0};
}

__attribute__((format(printf, 2, 3))) static void note(struct source_reading *reading, const char *fmt, ...)
{
	size_t len = strlen(reading->note);
	va_list args;

	if (len && len + 2 < sizeof(reading->note)) {
		memcpy(reading->note + len, "; ", 3);
		len += 2;
	}
	va_start(args, fmt);
	vsnprintf(reading->note + len, sizeof(reading->note) - len, fmt, args);
	va_end(args);
	reading->note[utf8_valid_prefix(reading->note, strlen(reading->note))] = '\0'; /* not half a character */
}

static bool has_role(const struct arm_samples *arm, enum sample_role role)
{
	for (size_t i = 0; i < arm->n; i++)
		if (arm->items[i].role == role)
			return true;
	return false;
}

/* Answered, but with nothing to count. */
static bool is_no_data(enum metric_kind kind, const struct arm_samples arms[2], struct source_reading *reading)
{
	enum sample_role role = kind == METRIC_RATE ? SAMPLE_TOTAL : kind == METRIC_MEAN ? SAMPLE_VALUE : SAMPLE_COUNT;

	for (size_t arm = 0; arm < 2; arm++) {
		if (*arms[arm].missing)
			note(reading, "%s: %s", arm_names[arm], arms[arm].missing);
		else if (!has_role(&arms[arm], role))
			note(reading, "%s: no series", arm_names[arm]);
		for (size_t i = 0; i < arms[arm].n; i++) {
			const struct sample *sample = &arms[arm].items[i];
			if (isfinite(sample->value))
				continue;
			note(reading, "%s: %s is %s", arm_names[arm], sample->series, isnan(sample->value) ? "NaN" : "infinite");
			break;
		}
	}
	reading->no_data = *reading->note != '\0';
	return reading->no_data;
}

struct tally { /* of one arm */
	struct series_changes changes;
	struct measure_arm measure;
	uint64_t surplus[MEASURE_INSTANCES];
	bool was_surplus;
};

static int to_count(double value, const struct sample *sample, uint64_t *sum, struct error **err)
{
	if (value < 0 || value > COUNTER_MAX || *sum + (uint64_t)value > (uint64_t)COUNTER_MAX)
		return error_set(err, ERROR_INVALID, 0, "%s counts %.17g: more than can be told apart, or less than nothing", sample->series, value);
	*sum += (uint64_t)value;
	return 0;
}

/* What increase() and its like extrapolate is no whole number. */
static double change_of(const struct tally *tally, const struct arm_samples *arm, size_t i)
{
	return arm->windowed ? round(arm->items[i].value) : tally->changes.change[i];
}

/* A request may be counted as an event shortly before it is counted as a trial, or end in the reading after that in which it began: such
 * events wait for their trials. More and more of them is something else. */
static int settle_surplus(struct tally *tally, size_t n_places, bool was_surplus, struct error **err)
{
	uint64_t before = 0, now = 0, y = 0, n = 0;

	for (size_t i = 0; i < n_places; i++) {
		struct instance_counts *place = &tally->measure.instances[i];
		y += place->y;
		n += place->n;
		before += tally->surplus[i];
		place->y += tally->surplus[i];
		tally->surplus[i] = place->y > place->n ? place->y - place->n : 0;
		place->y -= tally->surplus[i];
		now += tally->surplus[i];
		tally->measure.n += place->n;
		tally->measure.y += place->y;
	}
	if (now > before && was_surplus)
		return error_set(
			err, ERROR_INVALID, 0,
			"%llu events among %llu trials, and too many already in the reading before: `events` does not count a part of `total`",
			(unsigned long long)y, (unsigned long long)n);
	tally->was_surplus = now > 0;
	return 0;
}

static int tally_rate(const struct series_memory *memory, const struct arm_samples *arm, bool was_surplus, struct tally *tally, struct error **err)
{
	bool by_instance = !arm->windowed;
	size_t n_places = 1;

	for (size_t i = 0; i < arm->n; i++)
		by_instance = by_instance && (*arm->items[i].group || change_of(tally, arm, i) == 0);
	for (size_t i = 0; i < arm->n; i++) {
		const struct sample *sample = &arm->items[i];
		double change = change_of(tally, arm, i);
		int place = by_instance ? series_memory_place(memory, sample->group) : 0;
		if (change == 0)
			continue;
		if (place < 0 || place >= MEASURE_INSTANCES)
			place = MEASURE_INSTANCES - 1;
		struct instance_counts *counts = &tally->measure.instances[place];
		if (to_count(change, sample, sample->role == SAMPLE_EVENTS ? &counts->y : &counts->n, err) < 0)
			return -1;
	}
	if (by_instance && memory->n_groups > 1)
		n_places = memory->n_groups < MEASURE_INSTANCES ? memory->n_groups : MEASURE_INSTANCES;
	if (settle_surplus(tally, n_places, was_surplus, err) < 0)
		return -1;
	tally->measure.n_instances = by_instance ? (unsigned)n_places : 0;
	if (!by_instance)
		tally->measure.instances[0] = (struct instance_counts){0};
	return 0;
}

static int tally_distribution(const struct category_order *order, const struct arm_samples *arm, struct tally *tally, struct error **err)
{
	size_t n = category_order_count(order);

	tally->measure.n_counts = (unsigned)(n < MEASURE_CATEGORIES ? n : MEASURE_CATEGORIES);
	for (size_t i = 0; i < arm->n; i++) {
		const struct sample *sample = &arm->items[i];
		double change = change_of(tally, arm, i);
		int place = category_order_place(order, sample->category);
		if (to_count(change, sample, &tally->measure.counts[place], err) < 0 || to_count(change, sample, &tally->measure.n, err) < 0)
			return -1;
	}
	return 0;
}

static int tally_mean(const struct analysis_metric *metric, const struct arm_samples *arm, struct tally *tally, struct error **err)
{
	for (size_t i = 0; i < arm->n; i++) {
		const struct sample *sample = &arm->items[i];
		if (sample->value < metric->low || sample->value > metric->high)
			return error_set(err, ERROR_INVALID, 0, "%s is %.10g, outside the metric's range of %.10g to %.10g", sample->series,
					 sample->value, metric->low, metric->high);
		tally->measure.n++;
		tally->measure.sum += sample->value;
	}
	return 0;
}

static int tally_arm(const struct metric_memory *memory, size_t which, const struct category_order *order, const struct analysis_metric *metric,
		     const struct arm_samples *arm, struct tally *tally, struct error **err)
{
	memcpy(tally->surplus, memory->surplus[which], sizeof(tally->surplus));
	switch (metric->kind) {
	case METRIC_RATE:
		return tally_rate(&memory->arms[which], arm, memory->was_surplus[which], tally, err);
	case METRIC_DISTRIBUTION:
		return tally_distribution(order, arm, tally, err);
	case METRIC_MEAN:
		return tally_mean(metric, arm, tally, err);
	case METRIC_LATENCY:
		break;
	}
	return error_set(err, ERROR_INVALID, 0, "latency is judged by the router's own counts");
}

static void tell_changes(const struct tally tallies[2], struct source_reading *reading)
{
	for (size_t arm = 0; arm < 2; arm++) {
		const struct series_changes *changes = &tallies[arm].changes;
		if (changes->started_afresh)
			note(reading, "%s: counters went down and do not tell by instance; they start afresh", arm_names[arm]);
		else if (changes->n_restarted)
			note(reading, "%s: counters of %zu instance%s were reset", arm_names[arm], changes->n_restarted,
			     changes->n_restarted == 1 ? "" : "s");
	}
}

static int compare_arms(const struct metric_memory *memory, struct arm_samples arms[2], struct tally tallies[2], struct error **err)
{
	for (size_t arm = 0; arm < 2; arm++)
		if (!arms[arm].windowed && series_memory_compare(&memory->arms[arm], &arms[arm], &tallies[arm].changes, err) < 0)
			return error_context(err, "%s", arm_names[arm]);
	return 0;
}

static int tally_arms(const struct metric_memory *memory, const struct category_order *order, const struct analysis_metric *metric,
		      const struct arm_samples arms[2], struct tally tallies[2], struct error **err)
{
	for (size_t arm = 0; arm < 2; arm++)
		if (tally_arm(memory, arm, order, metric, &arms[arm], &tallies[arm], err) < 0)
			return error_context(err, "%s", arm_names[arm]);
	return 0;
}

static int take(struct metric_memory *memory, struct category_order *order, const struct analysis_metric *metric, struct arm_samples arms[2],
		const struct source_span *span, struct tally tallies[2], struct source_reading *reading, struct error **err)
{
	bool counters = metric->kind != METRIC_MEAN;

	if (counters && compare_arms(memory, arms, tallies, err) < 0)
		return -1;
	bool nothing = span->afresh || (counters && (tallies[0].changes.nothing || tallies[1].changes.nothing));
	if (metric->kind == METRIC_DISTRIBUTION && category_order_take(order, arms, err) < 0)
		return -1;
	if (!nothing && tally_arms(memory, order, metric, arms, tallies, err) < 0)
		return -1;
	for (size_t arm = 0; arm < 2; arm++) {
		if (counters && !arms[arm].windowed)
			series_memory_keep(&memory->arms[arm], &arms[arm]);
		if (nothing)
			memset(tallies[arm].surplus, 0, sizeof(tallies[arm].surplus));
		memcpy(memory->surplus[arm], tallies[arm].surplus, sizeof(tallies[arm].surplus));
		memory->was_surplus[arm] = !nothing && tallies[arm].was_surplus;
	}
	memory->read_ms = span->to_ms;
	reading->nothing_yet = nothing;
	tell_changes(tallies, reading);
	return 0;
}

int reading_take(struct metric_memory *memory, struct category_order *order, const struct analysis_metric *metric, struct arm_samples arms[2],
		 const struct source_span *span, struct source_reading *ret, struct error **err)
{
	struct source_reading reading = {0};
	cleanup_free struct tally *tallies = xcalloc(2, sizeof(*tallies));

	int64_t before_ms = span->from_ms > memory->read_ms ? span->from_ms : memory->read_ms;
	if (span->to_ms < before_ms) {
		memory->read_ms = span->to_ms; /* told once, not until the clock has caught up */
		return error_set(err, ERROR_INVALID, 0, "time went back by %lld ms since the last reading; nothing is counted until the next",
				 (long long)(before_ms - span->to_ms));
	}
	if (is_no_data(metric->kind, arms, &reading)) {
		*ret = reading;
		return 0;
	}
	int result = take(memory, order, metric, arms, span, tallies, &reading, err);
	free(tallies[0].changes.change);
	free(tallies[1].changes.change);
	if (result < 0)
		return -1;
	reading.measure.stable = tallies[0].measure;
	reading.measure.candidate = tallies[1].measure;
	if (!reading.nothing_yet && reading.measure.stable.n == 0 && reading.measure.candidate.n == 0) {
		reading.no_data = true;
		note(&reading, "nothing was counted since the last reading");
	}
	if (order && category_order_count(order) > MEASURE_CATEGORIES)
		note(&reading, "%zu categories; those from number %d on count as one", category_order_count(order), MEASURE_CATEGORIES);
	*ret = reading;
	return 0;
}
