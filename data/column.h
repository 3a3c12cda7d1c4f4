/* What is gathered about a column while its values go by: typed values, moments, distinct values, quantiles. Streaming; only
 * distinct values and quantiles keep anything per value, and both are bounded. */
#ifndef DATA_COLUMN_H
#define DATA_COLUMN_H

#include "base/cleanup.h"
#include "data/values.h"

/* ---- a value ---- */

struct value {
	enum value_type type;
	const char *text; /* as written, borrowed */
	size_t len;
	int64_t whole;    /* INT64; TIMESTAMP: microseconds; BOOL: 0 or 1 */
	double number;    /* INT64, FLOAT64 and BOOL as numbers */
};
/* False if the text is not of the type. Not-a-number and infinities are not values of float64 here. */
bool value_read(enum value_type type, const char *text, size_t len, struct value *ret);
/* -1, 0 or 1; exact, also between int64 and float64. Both are numbers, or both are of one type. */
int value_compare(const struct value *a, const struct value *b);
/* Numbers compare with numbers, everything else with its own type. */
bool value_types_compare(enum value_type a, enum value_type b);

/* ---- distinct values ---- */

/* Values as 128-bit keyed fingerprints (SipHash-2-4-128, Aumasson and Bernstein 2012, key drawn per process): two of a billion different
 * values fall together with probability below 1e-20. Equal values (1, 01 and 1.0 in a float64 column) have equal fingerprints. */
struct fingerprint { uint64_t a, b; };
struct fingerprint fingerprint_of_bytes(const void *bytes, size_t len);
struct fingerprint fingerprint_of_value(const struct value *value);

struct value_set; /* 24 bytes a value, at most three quarters full */
struct value_set *value_set_new(size_t max_values);
void value_set_free(struct value_set *set);
DEFINE_CLEANUP(struct value_set, value_set_free);
#define cleanup_value_set CLEANUP(value_set_free)
enum value_set_added { SET_NEW, SET_KNOWN, SET_FULL };
/* KNOWN: *ret_mark (may be NULL) is the mark with which it came first. FULL: it is new, and was not kept. */
enum value_set_added value_set_add(struct value_set *set, struct fingerprint value, uint64_t mark, uint64_t *ret_mark);
bool value_set_has(const struct value_set *set, struct fingerprint value);
size_t value_set_count(const struct value_set *set);

/* ---- moments ---- */

/* Sums of differences from the first value and of their squares, carried in double-double (Dekker 1971; Ogita, Rump, Oishi 2005), so that
 * NIST's NumAcc sets come out to the last digits that their data in binary have. */
struct moments {
	uint64_t n;
	double first, sum, sum_low, squares, squares_low;
};
void moments_add(struct moments *moments, double x);
double moments_mean(const struct moments *moments); /* NaN for none */
double moments_sd(const struct moments *moments);   /* of the sample, n - 1; NaN below two; infinite if it overflows */

/* ---- quantiles ---- */

struct samples {
	double *values;
	size_t n, capacity;
	bool sorted;
};
#define SAMPLES_MAX ((size_t)64 * 1024 * 1024) /* 512 MiB */
bool samples_add(struct samples *samples, double x); /* false: full */
/* Linear between order statistics, h = (n - 1) p (Hyndman and Fan 1996, type 7: what R and NumPy do); sorts; NaN for none. */
double samples_quantile(struct samples *samples, double p);
void samples_done(struct samples *samples);
#endif
