#include "pipelines/parse_priv.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const days[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
static const struct cron_field {
	const char *name;
	unsigned min, max;
	const char *const *words; /* words[i] stands for min + i */
	size_t n_words;
} cron_fields[] = {
	{"minute", 0, 59, NULL, 0}, {"hour", 0, 23, NULL, 0},	{"day of month", 1, 31, NULL, 0},
	{"month", 1, 12, months, 12}, {"day of week", 0, 7, days, 7},
};

static bool read_value(const struct cron_field *field, const char **p, unsigned *ret)
{
	unsigned value = 0;
	size_t digits = 0;

	for (size_t i = 0; i < field->n_words; i++) {
		if (strncasecmp(*p, field->words[i], 3) == 0 && !isalnum((unsigned char)(*p)[3])) {
			*ret = field->min + (unsigned)i;
			*p += 3;
			return true;
		}
	}
	for (; isdigit((unsigned char)**p) && digits < 4; digits++)
		value = value * 10 + (unsigned)(*(*p)++ - '0');
	*ret = value;
	return digits > 0 && value >= field->min && value <= field->max;
}

/* "*", "5", "1-5", each optionally with "/2"; several between commas. */
static bool field_ok(const struct cron_field *field, const char *text)
{
	const char *p = text;

	for (;;) {
		unsigned low, high, stride = 0;

		if (*p == '*') {
			p++;
		} else {
			if (!read_value(field, &p, &low))
				return false;
			if (*p == '-') {
				p++;
				if (!read_value(field, &p, &high) || high < low)
					return false;
			}
		}
		if (*p == '/') {
			p++;
			for (size_t i = 0; isdigit((unsigned char)*p) && i < 3; i++)
				stride = stride * 10 + (unsigned)(*p++ - '0');
			if (stride == 0)
				return false;
		}
		if (*p == '\0')
			return true;
		if (*p++ != ',')
			return false;
	}
}

const char *cron_problem(struct arena *arena, const char *text)
{
	static const char *const nicknames[] = {"@hourly", "@daily", "@weekly", "@monthly", "@yearly"};
	const char *p = text;

	for (size_t i = 0; i < ARRAY_SIZE(nicknames); i++) {
		if (strcmp(nicknames[i], text) == 0)
			return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(cron_fields); i++) {
		const char *field;

		p += strspn(p, " \t");
		field = arena_strndup(arena, p, strcspn(p, " \t"));
		if (!*field)
			return arena_printf(arena, "it has %zu of 5 fields: minute, hour, day of month, month, day of week", i);
		if (!field_ok(&cron_fields[i], field))
			return arena_printf(arena, "\"%s\" is no %s", field, cron_fields[i].name);
		p += strlen(field);
	}
	return p[strspn(p, " \t")] ? "it has more than 5 fields" : NULL;
}
