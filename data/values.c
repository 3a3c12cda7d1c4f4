#include "data/values.h"

#include "base/cleanup.h"

#include <errno.h>
#include <locale.h>
#include <math.h>

static const char *const type_names[] = {
#define X(name, text, doc) text,
	VALUE_TYPES(X)
#undef X
};

const char *value_type_name(enum value_type type)
{
	return type_names[type];
}

bool value_type_from_name(const char *name, enum value_type *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(type_names); i++) {
		if (strcmp(name, type_names[i]) == 0) {
			*ret = (enum value_type)i;
			return true;
		}
	}
	return false;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool same_word(const char *text, size_t len, const char *lower)
{
	if (strlen(lower) != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
		if (c != lower[i])
			return false;
	}
	return true;
}

bool value_int64(const char *text, size_t len, int64_t *ret)
{
	size_t i = len && (text[0] == '-' || text[0] == '+') ? 1 : 0;
	bool negative = i && text[0] == '-';
	if (i == len)
		return false;
	int64_t value = 0; /* built below zero, where there is one more number */
	for (; i < len; i++) {
		if (!is_digit(text[i]))
			return false;
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, text[i] - '0', &value))
			return false;
	}
	if (!negative && value == INT64_MIN)
		return false;
	*ret = negative ? value : -value;
	return true;
}

/* What the grammar made of a number: value = digits * 10^exponent, if `exact` (at most 19 digits, none dropped). */
struct decimal {
	uint64_t digits;
	int exponent;
	bool negative, exact;
};

static bool read_exponent(const char *text, size_t len, size_t i, int *ret)
{
	bool negative = i < len && text[i] == '-';
	if (i < len && (text[i] == '-' || text[i] == '+'))
		i++;
	if (i == len)
		return false;
	int value = 0;
	for (; i < len; i++) {
		if (!is_digit(text[i]))
			return false;
		if (value < 100000)
			value = value * 10 + (text[i] - '0');
	}
	*ret = negative ? -value : value;
	return true;
}

static bool read_decimal(const char *text, size_t len, struct decimal *ret)
{
	struct decimal d = {.exact = true};
	size_t i = 0, significant = 0, seen = 0;
	if (len && (text[0] == '-' || text[0] == '+'))
		d.negative = text[i++] == '-';
	bool fraction = false;
	for (; i < len; i++) {
		if (text[i] == '.' && !fraction) {
			fraction = true;
			continue;
		}
		if (!is_digit(text[i]))
			break;
		seen++;
		if (significant || text[i] != '0')
			significant++;
		if (significant > 19) {
			d.exact = false;
			continue;
		}
		d.digits = d.digits * 10 + (uint64_t)(text[i] - '0');
		d.exponent -= fraction;
	}
	if (!seen)
		return false;
	if (i < len) {
		int exponent;
		if ((text[i] != 'e' && text[i] != 'E') || !read_exponent(text, len, i + 1, &exponent))
			return false;
		d.exponent += exponent;
	}
	*ret = d;
	return true;
}

static double slow_float64(const char *text, size_t len)
{
	static locale_t c_locale; /* made once, lives as long as the process */
	if (!c_locale)
		c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	char small[64];
	cleanup_free char *large = NULL;
	char *copy = small;
	if (len >= sizeof(small)) {
		large = malloc(len + 1);
		if (!large)
			abort();
		copy = large;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	return strtod_l(copy, NULL, c_locale);
}

static bool read_special(const char *text, size_t len, double *ret)
{
	bool negative = len && text[0] == '-';
	size_t skip = len && (text[0] == '-' || text[0] == '+') ? 1 : 0;
	text += skip;
	len -= skip;
	if (same_word(text, len, "nan"))
		*ret = (double)NAN;
	else if (same_word(text, len, "inf") || same_word(text, len, "infinity"))
		*ret = negative ? -(double)INFINITY : (double)INFINITY;
	else
		return false;
	return true;
}

bool value_float64(const char *text, size_t len, double *ret)
{
	static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
				      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	struct decimal d;
	if (!read_decimal(text, len, &d))
		return read_special(text, len, ret);
	/* Both factors are exact doubles, so one multiplication or division rounds once, correctly (W. D. Clinger, PLDI 1990). */
	if (d.exact && d.digits <= (UINT64_C(1) << 53) && d.exponent >= -22 && d.exponent <= 22) {
		double value = (double)d.digits;
		value = d.exponent < 0 ? value / tens[-d.exponent] : value * tens[d.exponent];
		*ret = d.negative ? -value : value;
		return true;
	}
	*ret = slow_float64(text, len);
	return true;
}

bool value_bool(const char *text, size_t len, bool *ret)
{
	bool yes = same_word(text, len, "true") || same_word(text, len, "1");
	if (!yes && !same_word(text, len, "false") && !same_word(text, len, "0"))
		return false;
	*ret = yes;
	return true;
}

/* ---- time ---- */

static bool two_digits(const char *text, int low, int high, int *ret)
{
	if (!is_digit(text[0]) || !is_digit(text[1]))
		return false;
	int value = (text[0] - '0') * 10 + (text[1] - '0');
	if (value < low || value > high)
		return false;
	*ret = value;
	return true;
}

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days since 1970-01-01; years from March, so that the leap day comes last. */
static int64_t days_from_civil(int year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static void civil_from_days(int64_t days, int *year, int *month, int *day)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t doe = days - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(yoe + era * 400 + (*month <= 2));
}

static bool read_date(const char *text, int64_t *ret_days)
{
	int century, year, month, day;
	if (!two_digits(text, 0, 99, &century) || !two_digits(text + 2, 0, 99, &year) || text[4] != '-' ||
	    !two_digits(text + 5, 1, 12, &month) || text[7] != '-')
		return false;
	year += century * 100;
	if (year < 1 || !two_digits(text + 8, 1, days_in_month(year, month), &day))
		return false;
	*ret_days = days_from_civil(year, month, day);
	return true;
}

/* Seconds to subtract; text is what follows the time. */
static bool read_offset(const char *text, size_t len, int64_t *ret_s)
{
	*ret_s = 0;
	if (len == 0 || (len == 1 && (text[0] == 'Z' || text[0] == 'z')))
		return true;
	int hours, minutes;
	if (len != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':' || !two_digits(text + 1, 0, 23, &hours) ||
	    !two_digits(text + 4, 0, 59, &minutes))
		return false;
	*ret_s = (text[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

bool value_timestamp(const char *text, size_t len, int64_t *ret_us)
{
	int64_t days, offset_s, micros = 0;
	if (len < 10 || !read_date(text, &days))
		return false;
	if (len == 10) {
		*ret_us = days * INT64_C(86400000000);
		return true;
	}
	int hour, minute, second;
	if (len < 19 || (text[10] != 'T' && text[10] != 't' && text[10] != ' ') || !two_digits(text + 11, 0, 23, &hour) || text[13] != ':' ||
	    !two_digits(text + 14, 0, 59, &minute) || text[16] != ':' || !two_digits(text + 17, 0, 60, &second))
		return false;
	size_t i = 19;
	if (i < len && text[i] == '.') {
		int64_t unit = 100000;
		size_t first = ++i;
		for (; i < len && is_digit(text[i]); i++, unit /= 10)
			micros += (text[i] - '0') * unit;
		if (i == first)
			return false;
	}
	if (!read_offset(text + i, len - i, &offset_s))
		return false;
	*ret_us = (days * 86400 + hour * 3600 + minute * 60 + second - offset_s) * 1000000 + micros;
	return true;
}

void value_timestamp_text(int64_t us, char ret[VALUE_TIMESTAMP_SIZE])
{
	int64_t seconds = us / 1000000, micros = us % 1000000;
	if (micros < 0) {
		micros += 1000000;
		seconds--;
	}
	int64_t days = seconds / 86400, rest = seconds % 86400;
	if (rest < 0) {
		rest += 86400;
		days--;
	}
	ret[0] = '\0';
	if (days < -719162 || days > 2932896) /* 0001-01-01, 9999-12-31 */
		return;
	int year, month, day, s = (int)rest;
	civil_from_days(days, &year, &month, &day);
	int n = snprintf(ret, VALUE_TIMESTAMP_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u", (unsigned)year % 10000, (unsigned)month % 100,
			 (unsigned)day % 100, (unsigned)(s / 3600) % 100, (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	if (micros)
		n += snprintf(ret + n, VALUE_TIMESTAMP_SIZE - (size_t)n, ".%06u", (unsigned)micros % 1000000);
	snprintf(ret + n, VALUE_TIMESTAMP_SIZE - (size_t)n, "Z");
}

/* ---- UTF-8 ---- */

/* Length of the character at p (RFC 3629, table in section 4), or 0. */
static size_t utf8_length(const unsigned char *p, size_t len)
{
	unsigned char c = p[0], low = 0x80, high = 0xBF;
	size_t n;
	if (c >= 0xC2 && c <= 0xDF)
		n = 2;
	else if (c >= 0xE0 && c <= 0xEF)
		n = 3;
	else if (c >= 0xF0 && c <= 0xF4)
		n = 4;
	else
		return 0;
	if (c == 0xE0)
		low = 0xA0;
	else if (c == 0xED)
		high = 0x9F;
	else if (c == 0xF0)
		low = 0x90;
	else if (c == 0xF4)
		high = 0x8F;
	if (n > len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	return n;
}

bool utf8_is_valid(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len;
	while (p < end) {
		uint64_t word;
		if (end - p >= 8) {
			memcpy(&word, p, 8);
			if (!(word & UINT64_C(0x8080808080808080))) {
				p += 8;
				continue;
			}
		}
		if (*p < 0x80) {
			p++;
			continue;
		}
		size_t n = utf8_length(p, (size_t)(end - p));
		if (!n)
			return false;
		p += n;
	}
	return true;
}
