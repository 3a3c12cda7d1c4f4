#include "data/column.h"

#include "base/alloc.h"

#include <assert.h>
#include <math.h>

bool value_read(enum value_type type, const char *text, size_t len, struct value *ret)
{
	struct value value = {.type = type, .text = text, .len = len};
	bool yes = false, ok = true;
	switch (type) {
	case VALUE_INT64:
		ok = value_int64(text, len, &value.whole);
		value.number = (double)value.whole;
		break;
	case VALUE_FLOAT64:
		ok = value_float64(text, len, &value.number) && isfinite(value.number);
		break;
	case VALUE_BOOL:
		ok = value_bool(text, len, &yes);
		value.whole = yes;
		value.number = yes;
		break;
	case VALUE_STRING:
		break;
	case VALUE_TIMESTAMP:
		ok = value_timestamp(text, len, &value.whole);
		break;
	}
	if (ok)
		*ret = value;
	return ok;
}

static bool is_number(enum value_type type)
{
	return type == VALUE_INT64 || type == VALUE_FLOAT64;
}

bool value_types_compare(enum value_type a, enum value_type b)
{
	return a == b || (is_number(a) && is_number(b));
}

/* Doubles from 2^63 on are beyond every int64; below, their whole part is one. */
static int compare_whole_number(int64_t whole, double number)
{
	if (number >= 0x1p63)
		return -1;
	if (number < -0x1p63)
		return 1;
	double floored = floor(number);
	int64_t other = (int64_t)floored;
	if (whole != other)
		return whole < other ? -1 : 1;
	return number > floored ? -1 : 0;
}

int value_compare(const struct value *a, const struct value *b)
{
	if (a->type == VALUE_STRING) {
		int order = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
		if (order == 0)
			return (a->len > b->len) - (a->len < b->len);
		return order < 0 ? -1 : 1;
	}
	if (a->type == VALUE_FLOAT64 && b->type == VALUE_FLOAT64)
		return (a->number > b->number) - (a->number < b->number);
	if (a->type == VALUE_FLOAT64)
		return -compare_whole_number(b->whole, a->number);
	if (b->type == VALUE_FLOAT64)
		return compare_whole_number(a->whole, b->number);
	return (a->whole > b->whole) - (a->whole < b->whole);
}

/* ---- moments ---- */

/* high + low += x, without losing what falls off the end of high. */
static void add_exactly(double *high, double *low, double x)
{
	double sum = *high + x, part = sum - *high;
	*low += (*high - (sum - part)) + (x - part);
	*high = sum;
}

void moments_add(struct moments *m, double x)
{
	if (m->n++ == 0)
		m->first = x;
	/* d + e is the difference exactly; d * d + f is its square. */
	double d = x - m->first, part = d - x;
	double e = (x - (d - part)) - (m->first + part);
	double square = d * d, f = fma(d, d, -square);
	add_exactly(&m->sum, &m->sum_low, d);
	m->sum_low += e;
	add_exactly(&m->squares, &m->squares_low, square);
	m->squares_low += f + 2 * d * e;
}

double moments_mean(const struct moments *m)
{
	if (m->n == 0)
		return (double)NAN;
	/* sum / n in two parts, since the first value may be far from the mean and cancel against it. */
	double n = (double)m->n, quotient = m->sum / n, rest = (fma(-quotient, n, m->sum) + m->sum_low) / n;
	double mean = m->first;
	add_exactly(&mean, &rest, quotient);
	return mean + rest;
}

double moments_sd(const struct moments *m)
{
	if (m->n < 2)
		return (double)NAN;
	/* squares - sum^2 / n, with sum^2 / n in two parts as well. */
	double n = (double)m->n, sum = m->sum + m->sum_low, low = m->sum_low - (sum - m->sum);
	double quotient = sum / n, rest = fma(-quotient, n, sum) / n + low / n;
	double product = sum * quotient, product_low = fma(sum, quotient, -product) + sum * rest + low * quotient;
	double about = (m->squares - product) + (m->squares_low - product_low);
	if (!isfinite(about))
		return (double)INFINITY;
	return sqrt(fmax(about, 0) / (n - 1));
}

/* ---- quantiles ---- */

bool samples_add(struct samples *samples, double x)
{
	if (samples->n == SAMPLES_MAX)
		return false;
	samples->values = xgrow(samples->values, &samples->capacity, samples->n + 1, sizeof(*samples->values));
	samples->values[samples->n++] = x;
	samples->sorted = false;
	return true;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

double samples_quantile(struct samples *samples, double p)
{
	if (samples->n == 0)
		return (double)NAN;
	if (!samples->sorted)
		qsort(samples->values, samples->n, sizeof(*samples->values), by_value);
	samples->sorted = true;
	double h = (double)(samples->n - 1) * p;
	size_t below = (size_t)floor(h);
	if (below + 1 >= samples->n)
		return samples->values[samples->n - 1];
	return samples->values[below] + (h - (double)below) * (samples->values[below + 1] - samples->values[below]);
}

void samples_done(struct samples *samples)
{
	free(samples->values);
	*samples = (struct samples){0};
}
