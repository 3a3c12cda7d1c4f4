#include "gates/sources/openmetrics/selector.h"

#include <math.h>
#include <string.h>

/* A family is on the page if it has samples, or if only its TYPE is there: then there simply was nothing to count yet. */
struct found {
	const char *name; /* of the samples */
	const struct page_sample *samples;
	size_t n;
	const struct page_family *family; /* or NULL: no TYPE */
};

/* The family "x" or "x_total" by either name; `suffix` is "_total" or "_bucket" or "". */
static bool find(const struct page *page, const char *family, const char *suffix, struct found *ret)
{
	char name[512];
	size_t len = strlen(family), suffix_len = strlen(suffix);
	bool has_suffix = suffix_len && len > suffix_len && strcmp(family + len - suffix_len, suffix) == 0;

	*ret = (struct found){.name = family};
	if (len + suffix_len >= sizeof(name))
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)(has_suffix ? len - suffix_len : len), family);
	ret->family = page_find_family(page, family);
	if (!ret->family)
		ret->family = page_find_family(page, name);
	if (suffix_len && !has_suffix)
		snprintf(name, sizeof(name), "%s%s", family, suffix);
	else
		snprintf(name, sizeof(name), "%s", family);
	ret->samples = page_find_samples(page, name, &ret->n);
	if (!ret->n)
		ret->samples = page_find_samples(page, family, &ret->n);
	return ret->n || ret->family;
}

static bool is_there(const struct page *page, const char *family)
{
	struct found found;

	return find(page, family, "_total", &found) || find(page, family, "_bucket", &found);
}

size_t page_alternative(const struct page *page, const struct selector *distribution)
{
	size_t n = selector_count(distribution);

	for (size_t i = 0; i < n; i++)
		if (is_there(page, selector_family(distribution, i)))
			return i;
	return n;
}

static int check_type(const struct found *found, enum page_type wanted, const char *asked, struct error **err)
{
	enum page_type type = found->family ? found->family->type : PAGE_UNKNOWN;

	if (type == wanted || type == PAGE_UNKNOWN || type == PAGE_UNTYPED)
		return 0;
	return error_set(err, ERROR_INVALID, 0, "%s is a %s, not a %s", asked, page_type_name(type), page_type_name(wanted));
}

static void tell_missing(struct arm_samples *samples, const char *instance, const char *family)
{
	if (!*samples->missing)
		snprintf(samples->missing, sizeof(samples->missing), "%s shows no family \"%s\"", instance, family);
}

static int extract_counter(const struct page *page, const struct selector *selector, enum sample_role role, const char *instance,
			   struct arm_samples *samples, struct error **err)
{
	size_t alternative = page_alternative(page, selector);
	struct found found;

	if (alternative == selector_count(selector)) {
		tell_missing(samples, instance, selector_family(selector, 0));
		return 0;
	}
	const char *family = selector_family(selector, alternative);
	find(page, family, "_total", &found);
	if (check_type(&found, PAGE_COUNTER, family, err) < 0)
		return -1;
	for (size_t i = 0; i < found.n; i++) {
		bool matches;
		struct sample sample = {
			.role = role, .group = instance, .series = found.samples[i].series, .edge = (double)NAN, .value = found.samples[i].value};
		if (selector_matches(selector, alternative, &found.samples[i], &matches, err) < 0)
			return -1;
		if (matches && arm_samples_add(samples, &sample, err) < 0)
			return -1;
	}
	return 0;
}

static int extract_value(const struct page *page, const struct selector *selector, const char *instance, struct arm_samples *samples,
			 struct error **err)
{
	const struct page_sample *first = NULL;
	const char *family = selector_family(selector, 0);
	struct found found;

	if (!find(page, family, "", &found)) {
		tell_missing(samples, instance, family);
		return 0;
	}
	if (check_type(&found, PAGE_GAUGE, family, err) < 0)
		return -1;
	for (size_t i = 0; i < found.n; i++) {
		bool matches;
		if (selector_matches(selector, 0, &found.samples[i], &matches, err) < 0)
			return -1;
		if (!matches)
			continue;
		if (first)
			return error_set(err, ERROR_INVALID, 0, "%s and %s both match; a value is one series of each instance", first->series,
					 found.samples[i].series);
		first = &found.samples[i];
	}
	if (!first) {
		tell_missing(samples, instance, family);
		return 0;
	}
	struct sample sample = {.role = SAMPLE_VALUE, .group = instance, .series = first->series, .edge = (double)NAN, .value = first->value};
	return arm_samples_add(samples, &sample, err);
}

/* The format demands that a histogram's _count is its bucket +Inf. */
static int check_count(const struct page *page, const char *family, const struct page_sample *bucket, const char *series, struct arena *arena,
		       struct error **err)
{
	const char *name = arena_printf(arena, "%s_count", family);
	/* name_bucket{...} and name_count{...}: the same labels behind different names. */
	const char *labels = strchr(series, '{');
	const char *wanted = arena_printf(arena, "%s%s", name, labels ? labels : "");
	const struct page_sample *count = page_find_series(page, name, wanted);
	if (count && count->value != bucket->value)
		return error_set(err, ERROR_INVALID, 0, "line %zu: %s is %.17g, but its bucket le=\"+Inf\" is %.17g", count->line, wanted,
				 count->value, bucket->value);
	return 0;
}

static int extract_histogram(const struct page *page, const struct selector *selector, size_t alternative, const char *instance,
			     struct arm_samples *samples, struct error **err)
{
	const char *family = selector_family(selector, alternative);
	struct found found;

	find(page, family, "_bucket", &found);
	if (check_type(&found, PAGE_HISTOGRAM, family, err) < 0)
		return -1;
	for (size_t i = 0; i < found.n; i++) {
		const struct page_sample *sample = &found.samples[i];
		struct histogram_bucket bucket = {.group = instance, .value = sample->value};
		const char *le = page_label_value(sample, "le");
		bool matches;
		if (selector_matches(selector, alternative, sample, &matches, err) < 0)
			return -1;
		if (!matches)
			continue;
		if (!le || !sample_number(le, strlen(le), &bucket.le) || isnan(bucket.le))
			return error_set(err, ERROR_INVALID, 0, "line %zu: %s has no label \"le\" with a bucket's upper edge; is it a histogram?",
					 sample->line, sample->series);
		bucket.series = page_series_without(sample, "le", samples->arena);
		if (isinf(bucket.le) && check_count(page, family, sample, bucket.series, samples->arena, err) < 0)
			return -1;
		if (arm_samples_add_bucket(samples, &bucket, err) < 0)
			return -1;
	}
	return 0;
}

static int extract_classes(const struct page *page, const struct selector *selector, size_t alternative, const char *by, const char *instance,
			   struct arm_samples *samples, struct error **err)
{
	const char *family = selector_family(selector, alternative);
	struct found found;

	find(page, family, "_total", &found);
	if (check_type(&found, PAGE_COUNTER, family, err) < 0)
		return -1;
	for (size_t i = 0; i < found.n; i++) {
		const struct page_sample *from = &found.samples[i];
		struct sample sample = {.role = SAMPLE_COUNT, .group = instance, .series = from->series, .edge = (double)NAN, .value = from->value};
		bool matches;
		if (selector_matches(selector, alternative, from, &matches, err) < 0)
			return -1;
		if (!matches)
			continue;
		sample.category = page_label_value(from, by);
		if (!sample.category)
			return error_set(err, ERROR_INVALID, 0, "line %zu: %s has no label \"%s\" to tell its class", from->line, from->series, by);
		if (arm_samples_add(samples, &sample, err) < 0)
			return -1;
	}
	return 0;
}

static int extract_distribution(const struct page *page, const struct page_metric *metric, size_t alternative, const char *instance,
				struct arm_samples *samples, struct error **err)
{
	if (alternative >= selector_count(metric->distribution) || !is_there(page, selector_family(metric->distribution, alternative))) {
		size_t wanted = alternative < selector_count(metric->distribution) ? alternative : 0;
		tell_missing(samples, instance, selector_family(metric->distribution, wanted));
		return 0;
	}
	const char *by = selector_by(metric->by, alternative, samples->arena);
	if (strcmp(by, "le") == 0)
		return extract_histogram(page, metric->distribution, alternative, instance, samples, err);
	return extract_classes(page, metric->distribution, alternative, by, instance, samples, err);
}

int page_extract(const struct page *page, const struct page_metric *metric, size_t alternative, const char *instance, struct arm_samples *samples,
		 struct error **err)
{
	size_t n;
	const struct page_sample *start = page_find_samples(page, "process_start_time_seconds", &n);

	arm_samples_add_group(samples, instance, n == 1 ? start->value : (double)NAN);
	switch (metric->kind) {
	case METRIC_RATE:
		if (extract_counter(page, metric->events, SAMPLE_EVENTS, instance, samples, err) < 0)
			return -1;
		return extract_counter(page, metric->total, SAMPLE_TOTAL, instance, samples, err);
	case METRIC_DISTRIBUTION:
		return extract_distribution(page, metric, alternative, instance, samples, err);
	case METRIC_MEAN:
		return extract_value(page, metric->value, instance, samples, err);
	case METRIC_LATENCY:
		break;
	}
	return error_set(err, ERROR_INVALID, 0, "latency is judged by the router's own counts");
}
