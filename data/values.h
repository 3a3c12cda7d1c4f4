/* Values from text, independent of the locale, exact, and strict: the whole text must be the value. No surrounding blanks.
 * Each reader returns false and leaves *ret untouched if the text is not of the type. Texts are (pointer, length) and need no NUL. */
#ifndef DATA_VALUES_H
#define DATA_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, text in schemas, documentation */
#define VALUE_TYPES(X)                                                                                    \
	X(INT64, "int64", "a whole number from -9223372036854775808 to 9223372036854775807")              \
	X(FLOAT64, "float64", "a decimal number; nan, inf and infinity are read, and are not finite")     \
	X(BOOL, "bool", "true or false (any case), 1 or 0")                                               \
	X(STRING, "string", "text in UTF-8")                                                              \
	X(TIMESTAMP, "timestamp", "RFC 3339 date and time, or a date; without an offset it is UTC")

enum value_type {
#define X(name, text, doc) VALUE_##name,
	VALUE_TYPES(X)
#undef X
};
const char *value_type_name(enum value_type type);
bool value_type_from_name(const char *name, enum value_type *ret);

bool value_int64(const char *text, size_t len, int64_t *ret); /* [+-]digits; overflow is false */
/* [+-]digits[.digits][e[+-]digits], correctly rounded to nearest even; also nan, inf, infinity in any case (check isfinite()). */
bool value_float64(const char *text, size_t len, double *ret);
bool value_bool(const char *text, size_t len, bool *ret);
/* Microseconds since 1970-01-01T00:00:00Z, proleptic Gregorian, years 0001 to 9999. YYYY-MM-DD, or with T, t or a blank:
 * hh:mm:ss[.fraction][Z|z|+hh:mm|-hh:mm]. Fraction digits after the sixth are dropped. A leap second counts as the next second. */
bool value_timestamp(const char *text, size_t len, int64_t *ret_us);
/* RFC 3339 in UTC, fraction only if there is one; ret holds at least VALUE_TIMESTAMP_SIZE. Outside years 1 to 9999: "". */
#define VALUE_TIMESTAMP_SIZE 32
void value_timestamp_text(int64_t us, char ret[VALUE_TIMESTAMP_SIZE]);

bool utf8_is_valid(const char *text, size_t len); /* RFC 3629: no surrogates, no overlong forms; NUL is valid */
#endif
