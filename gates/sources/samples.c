#include "gates/sources/samples.h"

#include "base/alloc.h"

#include <math.h>
#include <string.h>
#include <strings.h>

int arm_samples_add(struct arm_samples *samples, const struct sample *sample, struct error **err)
{
	if (samples->n == SAMPLES_MAX)
		return error_set(err, ERROR_TOO_LARGE, 0, "more than %d series match; select fewer", SAMPLES_MAX);
	samples->items = xgrow(samples->items, &samples->capacity, samples->n + 1, sizeof(*samples->items));
	struct sample *copy = &samples->items[samples->n++];
	*copy = *sample;
	copy->group = arena_strdup(samples->arena, sample->group);
	copy->series = arena_strdup(samples->arena, sample->series);
	copy->category = arena_strdup(samples->arena, sample->category);
	return 0;
}

void arm_samples_add_group(struct arm_samples *samples, const char *name, double start)
{
	samples->groups = xgrow(samples->groups, &samples->groups_capacity, samples->n_groups + 1, sizeof(*samples->groups));
	samples->groups[samples->n_groups++] = (struct sample_group){.name = arena_strdup(samples->arena, name), .start = start};
}

void arm_samples_done(struct arm_samples *samples)
{
	free(samples->items);
	free(samples->groups);
	free(samples->buckets);
	*samples = (struct arm_samples){.arena = samples->arena};
}

int arm_samples_add_bucket(struct arm_samples *samples, const struct histogram_bucket *bucket, struct error **err)
{
	if (samples->n_buckets == SAMPLES_MAX)
		return error_set(err, ERROR_TOO_LARGE, 0, "more than %d buckets match; select fewer", SAMPLES_MAX);
	samples->buckets = xgrow(samples->buckets, &samples->buckets_capacity, samples->n_buckets + 1, sizeof(*samples->buckets));
	samples->buckets[samples->n_buckets++] = (struct histogram_bucket){.group = arena_strdup(samples->arena, bucket->group),
									   .series = arena_strdup(samples->arena, bucket->series),
									   .le = bucket->le,
									   .value = bucket->value};
	return 0;
}

static bool is_word(const char *text, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(text, word, len) == 0;
}

bool sample_number(const char *text, size_t len, double *ret)
{
	char copy[64], *end;
	bool negative = len && *text == '-', digit = false;

	if (is_word(text, len, "nan")) {
		*ret = (double)NAN;
		return true;
	}
	size_t sign = len && (*text == '-' || *text == '+');
	if (is_word(text + sign, len - sign, "inf") || is_word(text + sign, len - sign, "infinity")) {
		*ret = negative ? -(double)INFINITY : (double)INFINITY;
		return true;
	}
	if (len == 0 || len >= sizeof(copy))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!strchr("0123456789+-.eE", text[i]) || !text[i])
			return false;
		digit = digit || (text[i] >= '0' && text[i] <= '9');
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	double value = strtod(copy, &end); /* The program never calls setlocale(), so the point is a point. */
	if (*end || !digit || !isfinite(value))
		return false;
	*ret = value;
	return true;
}

const char *sample_edge_name(struct arena *arena, double edge)
{
	if (isinf(edge))
		return edge > 0 ? "+Inf" : "-Inf";
	char shortest[32] = "";
	for (int digits = 1; digits <= 17; digits++) {
		char text[32];
		snprintf(text, sizeof(text), "%.*g", digits, edge);
		if (strtod(text, NULL) == edge && (!*shortest || strlen(text) < strlen(shortest))) /* "10" rather than "1e+01" */
			memcpy(shortest, text, sizeof(text));
	}
	return arena_strdup(arena, shortest);
}

static int compare_buckets(const void *a, const void *b)
{
	const struct histogram_bucket *one = a, *two = b;
	int order = strcmp(one->group, two->group);

	if (order == 0)
		order = strcmp(one->series, two->series);
	if (order == 0)
		order = (one->le > two->le) - (one->le < two->le);
	return order;
}

static bool same_histogram(const struct histogram_bucket *a, const struct histogram_bucket *b)
{
	return strcmp(a->group, b->group) == 0 && strcmp(a->series, b->series) == 0;
}

/* "at" or "": a histogram is told with whose it is. */
#define WHOSE(bucket) (bucket)->series, *(bucket)->group ? " of " : "", (bucket)->group

/* increase() and its like extrapolate: what was equal then differs in the last digits. Whole numbers are exact. */
static double rounding(double a, double b)
{
	return a == floor(a) && b == floor(b) ? 0 : 1e-9 * b;
}

static int check_histogram(const struct histogram_bucket *buckets, size_t n, struct error **err)
{
	for (size_t i = 1; i < n; i++) {
		if (buckets[i].le == buckets[i - 1].le)
			return error_set(err, ERROR_INVALID, 0, "%s%s%s: the bucket le=\"%g\" stands there twice", WHOSE(&buckets[i]), buckets[i].le);
		if (buckets[i].value < buckets[i - 1].value - rounding(buckets[i].value, buckets[i - 1].value))
			return error_set(err, ERROR_INVALID, 0,
					 "%s%s%s: the bucket le=\"%g\" counts %.17g, less than the %.17g of le=\"%g\" which it contains",
					 WHOSE(&buckets[i]), buckets[i].le, buckets[i].value, buckets[i - 1].value, buckets[i - 1].le);
	}
	if (n && buckets[0].value < 0)
		return error_set(err, ERROR_INVALID, 0, "%s%s%s: the bucket le=\"%g\" counts %g: no counter is negative", WHOSE(buckets),
				 buckets[0].le, buckets[0].value);
	if (n && !(isinf(buckets[n - 1].le) && buckets[n - 1].le > 0))
		return error_set(err, ERROR_INVALID, 0, "%s%s%s: the bucket le=\"+Inf\" is missing", WHOSE(buckets));
	return 0;
}

static int check_edges(const struct histogram_bucket *first, size_t n_first, const struct histogram_bucket *other, size_t n, struct error **err)
{
	bool same = n == n_first;

	for (size_t i = 0; same && i < n; i++)
		same = first[i].le == other[i].le;
	if (same)
		return 0;
	return error_set(err, ERROR_INVALID, 0, "%s%s%s and %s%s%s have different buckets: they cannot be added up; select one of them", WHOSE(first),
			 WHOSE(other));
}

static int add_histogram(struct arm_samples *samples, const struct histogram_bucket *buckets, size_t n, struct error **err)
{
	double before = 0;

	for (size_t i = 0; i < n; i++) {
		struct sample sample = {.role = SAMPLE_COUNT, .group = buckets[i].group, .edge = buckets[i].le, .value = buckets[i].value - before};
		sample.category = sample_edge_name(samples->arena, buckets[i].le);
		sample.series = arena_printf(samples->arena, "%s le=\"%s\"", buckets[i].series, sample.category);
		before = buckets[i].value;
		if (arm_samples_add(samples, &sample, err) < 0)
			return -1;
	}
	return 0;
}

int arm_samples_finish(struct arm_samples *samples, struct error **err)
{
	struct histogram_bucket *buckets = samples->buckets;
	size_t n = samples->n_buckets, n_first = 0;

	for (size_t i = 0; i < n; i++) /* before sorting: NaN has no order */
		if (isnan(buckets[i].le) || !isfinite(buckets[i].value))
			return error_set(err, ERROR_INVALID, 0, "%s%s%s: the bucket le=\"%g\" counts %g: that is no number of anything",
					 WHOSE(&buckets[i]), buckets[i].le, buckets[i].value);
	if (n)
		qsort(buckets, n, sizeof(*buckets), compare_buckets);
	for (size_t at = 0, len; at < n; at += len) {
		for (len = 1; at + len < n && same_histogram(&buckets[at], &buckets[at + len]);)
			len++;
		if (at == 0)
			n_first = len;
		if (check_histogram(buckets + at, len, err) < 0 || check_edges(buckets, n_first, buckets + at, len, err) < 0 ||
		    add_histogram(samples, buckets + at, len, err) < 0)
			return -1;
	}
	samples->n_buckets = 0;
	return 0;
}
