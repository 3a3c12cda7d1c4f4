/* What scalars mean, and subtrees as JSON. */
#include "base/alloc.h"
#include "base/yaml.h"

#include <errno.h>
#include <math.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t count_digits(const char *text)
{
	return strspn(text, "0123456789");
}

static bool is_plain(const struct yaml_node *node)
{
	return node && node->kind == YAML_SCALAR && !node->quoted;
}

const char *yaml_text(const struct yaml_node *node, const char *fallback)
{
	return node && node->kind == YAML_SCALAR ? node->text : fallback;
}

bool yaml_bool(const struct yaml_node *node, bool *ret)
{
	/* YAML 1.2 core schema, 10.3.2. */
	static const char *const words[] = {"true", "True", "TRUE", "false", "False", "FALSE"};
	if (!is_plain(node))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(node->text, words[i]) == 0) {
			*ret = i < 3;
			return true;
		}
	}
	return false;
}

/* YAML 1.2 core schema: [-+]?[0-9]+, 0o[0-7]+, 0x[0-9a-fA-F]+ */
bool yaml_int(const struct yaml_node *node, int64_t *ret)
{
	if (!is_plain(node))
		return false;
	const char *text = node->text, *digits = text + (*text == '-' || *text == '+');
	int base = 10;
	if (text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
		base = text[1] == 'o' ? 8 : 16;
		text = digits = text + 2;
	}
	const char *allowed = base == 8 ? "01234567" : base == 16 ? "0123456789abcdefABCDEF" : "0123456789";
	size_t n = strspn(digits, allowed);
	if (n == 0 || digits[n])
		return false;
	errno = 0;
	long long value = strtoll(text, NULL, base);
	if (errno)
		return false;
	*ret = value;
	return true;
}

/* A decimal number at the start of text ([-+]? digits, point, exponent; at least one digit): its length, or 0. */
static size_t scan_decimal(const char *text, double *ret)
{
	const char *p = text + (*text == '-' || *text == '+');
	size_t whole = count_digits(p), part = 0;
	p += whole;
	if (*p == '.') {
		part = count_digits(p + 1);
		p += 1 + part;
	}
	if (whole + part == 0)
		return 0;
	if (*p == 'e' || *p == 'E') {
		const char *exponent = p + 1 + (p[1] == '-' || p[1] == '+');
		size_t n = count_digits(exponent);
		if (n > 0)
			p = exponent + n;
	}
	double value = strtod(text, NULL); /* The program never calls setlocale(), so the point is a point. */
	if (!isfinite(value))
		return 0;
	*ret = value;
	return (size_t)(p - text);
}

bool yaml_number(const struct yaml_node *node, double *ret)
{
	double value;
	if (!is_plain(node))
		return false;
	size_t n = scan_decimal(node->text, &value);
	if (n == 0 || node->text[n])
		return false;
	*ret = value;
	return true;
}

bool yaml_fraction(const struct yaml_node *node, double *ret)
{
	double value;
	const char *text = yaml_text(node, "");
	size_t n = scan_decimal(text, &value);
	if (n == 0 || (text[n] && strcmp(text + n, "%") != 0))
		return false;
	*ret = text[n] ? value / 100 : value;
	return true;
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* A whole number and a unit, with nothing between them and nothing after. */
static bool read_with_unit(const struct yaml_node *node, const struct unit *units, size_t n_units, uint64_t *ret)
{
	const char *text = yaml_text(node, "");
	if (!is_digit(*text))
		return false;
	errno = 0;
	unsigned long long number = strtoull(text, NULL, 10);
	if (errno)
		return false;
	const char *unit = text + count_digits(text);
	for (size_t i = 0; i < n_units; i++) {
		uint64_t value;
		if (strcmp(unit, units[i].name) != 0)
			continue;
		/* Up to what fits a signed number, so that deadlines can be added without a thought. */
		if (__builtin_mul_overflow((uint64_t)number, units[i].factor, &value) || value > INT64_MAX)
			return false;
		*ret = value;
		return true;
	}
	return false;
}

bool yaml_duration_ms(const struct yaml_node *node, uint64_t *ret)
{
	static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000}};
	return read_with_unit(node, units, ARRAY_SIZE(units), ret);
}

bool yaml_size_bytes(const struct yaml_node *node, uint64_t *ret)
{
	static const struct unit units[] = {
		{"B", 1},
		{"k", 1000},
		{"K", 1000},
		{"M", 1000000},
		{"G", 1000000000},
		{"T", 1000000000000},
		{"Ki", UINT64_C(1) << 10},
		{"Mi", UINT64_C(1) << 20},
		{"Gi", UINT64_C(1) << 30},
		{"Ti", UINT64_C(1) << 40},
	};
	return read_with_unit(node, units, ARRAY_SIZE(units), ret);
}

static json_t *scalar_to_json(const struct yaml_node *node)
{
	bool truth;
	int64_t integer;
	double number;
	if (yaml_bool(node, &truth))
		return json_boolean(truth);
	if (yaml_int(node, &integer))
		return json_integer(integer);
	if (yaml_number(node, &number))
		return json_real(number);
	return json_string(node->text);
}

json_t *yaml_to_json(const struct yaml_node *node)
{
	json_t *json = NULL;
	if (!node)
		return json_null();
	switch (node->kind) {
	case YAML_NULL:
		return json_null();
	case YAML_SCALAR:
		json = scalar_to_json(node);
		break;
	case YAML_SEQUENCE:
		json = json_array();
		for (size_t i = 0; i < node->n; i++)
			json_array_append_new(json, yaml_to_json(node->values[i]));
		break;
	case YAML_MAPPING:
		json = json_object();
		for (size_t i = 0; i < node->n; i++)
			json_object_set_new(json, node->keys[i]->text, yaml_to_json(node->values[i]));
		break;
	}
	if (!json) /* All text was checked to be UTF-8 when it was read. */
		abort();
	return json;
}
