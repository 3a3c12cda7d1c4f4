#include "gates/quality_priv.h"

#include "base/diag.h"
#include "base/file.h"
#include "data/values.h"

#include <math.h>

#define MAX_RULES 1000
#define FILE_PREFIX "file."

static const char *const keys[] = {"metric", "at_least", "at_most", "slice", "min_rows", "file", "no_worse_than",
				   "margin", "confidence", "without_baseline"};

static void rule_done(struct quality_rule *rule)
{
	free(rule->metric);
	free(rule->file);
	free(rule->slice);
}

void quality_rules_free(struct quality_rules *rules)
{
	if (!rules)
		return;
	for (size_t i = 0; i < rules->n; i++)
		rule_done(&rules->items[i]);
	free(rules->items);
	free(rules);
}

/* A number, or text such as "5%". */
static bool number_of_text(const char *text, size_t len, double *ret)
{
	bool percent = len > 1 && text[len - 1] == '%';
	double value;
	if (!value_float64(text, percent ? len - 1 : len, &value) || !isfinite(value))
		return false;
	*ret = percent ? value / 100 : value;
	return true;
}

static int read_number(const json_t *object, const char *key, bool *ret_present, double *ret, struct error **err)
{
	const json_t *value = json_object_get(object, key);
	*ret_present = value != NULL;
	if (!value)
		return 0;
	if (json_is_number(value))
		*ret = json_number_value(value);
	else if (!json_is_string(value) || !number_of_text(json_string_value(value), json_string_length(value), ret))
		return error_set(err, ERROR_INVALID, 0, "%s: expected a number", key);
	return 0;
}

static int read_metric(const char *name, struct quality_rule *rule, struct error **err)
{
	rule->metric = xstrdup(name);
	rule->from_file = strncmp(name, FILE_PREFIX, strlen(FILE_PREFIX)) == 0 && name[strlen(FILE_PREFIX)];
	if (rule->from_file || metric_from_name(name, &rule->id))
		return 0;
	const char *near = metric_suggest(name);
	if (near)
		return error_set(err, ERROR_INVALID, 0, "unknown metric \"%s\"; did you mean \"%s\"?", name, near);
	return error_set(err, ERROR_INVALID, 0, "unknown metric \"%s\"; your own come from a JSON file: file.NAME, with file: PATH", name);
}

/* "METRIC >= NUMBER" or "METRIC <= NUMBER". */
static int read_short(const char *text, struct quality_rule *rule, struct error **err)
{
	size_t name = strcspn(text, " \t<>="), at = name + strspn(text + name, " \t");
	const char *sign = text + at;
	bool least = strncmp(sign, ">=", 2) == 0, most = strncmp(sign, "<=", 2) == 0;
	if (!name || (!least && !most))
		return error_set(err, ERROR_INVALID, 0, "\"%s\": expected \"METRIC >= NUMBER\" or \"METRIC <= NUMBER\"", text);
	const char *number = sign + 2 + strspn(sign + 2, " \t");
	size_t len = strlen(number);
	while (len && (number[len - 1] == ' ' || number[len - 1] == '\t'))
		len--;
	double value;
	if (!number_of_text(number, len, &value))
		return error_set(err, ERROR_INVALID, 0, "\"%s\": \"%s\" is no number", text, number);
	cleanup_free char *metric = xstrndup(text, name);
	rule->has_least = least;
	rule->has_most = most;
	*(least ? &rule->least : &rule->most) = value;
	if (read_metric(metric, rule, err) < 0)
		return -1;
	if (rule->from_file)
		return error_set(err, ERROR_INVALID, 0, "\"%s\": a file. metric needs the long form, with file: PATH", text);
	return 0;
}

static int check_keys(const json_t *object, struct error **err)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)object, key, value) {
		bool known = false;
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			known = known || strcmp(key, keys[i]) == 0;
		if (known)
			continue;
		const char *near = nearest_word(key, keys, ARRAY_SIZE(keys));
		return error_set(err, ERROR_INVALID, 0, "unknown key \"%s\"%s%s%s", key, near ? "; did you mean \"" : "", near ? near : "",
				 near ? "\"?" : "");
	}
	return 0;
}

static int read_baseline(const json_t *object, struct quality_rule *rule, struct error **err)
{
	bool has_margin;
	const char *against = json_string_or(object, "no_worse_than", NULL);
	rule->versus_production = json_object_get(object, "no_worse_than") != NULL;
	if (rule->versus_production && (!against || strcmp(against, "production") != 0))
		return error_set(err, ERROR_INVALID, 0, "no_worse_than: expected \"production\"");
	if (read_number(object, "margin", &has_margin, &rule->margin, err) < 0)
		return -1;
	if (has_margin && rule->margin < 0)
		return error_set(err, ERROR_INVALID, 0, "margin: expected a number of at least 0");
	if (has_margin && !rule->versus_production)
		return error_set(err, ERROR_INVALID, 0, "margin: means something only with no_worse_than");
	if (!json_object_get(object, "without_baseline"))
		return 0;
	const char *without = json_string_or(object, "without_baseline", "");
	static const char *const choices[] = {"pass", "hold", "fail"};
	for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
		if (strcmp(without, choices[i]) == 0) {
			rule->without_baseline = (enum without_baseline)i;
			if (!rule->versus_production)
				return error_set(err, ERROR_INVALID, 0, "without_baseline: means something only with no_worse_than");
			return 0;
		}
	}
	return error_set(err, ERROR_INVALID, 0, "without_baseline: expected pass, hold or fail");
}

static int read_subject(const json_t *object, struct quality_rule *rule, struct error **err)
{
	const json_t *file = json_object_get(object, "file"), *slice = json_object_get(object, "slice");
	if (file && !(json_is_string(file) && path_is_inside(json_string_value(file))))
		return error_set(err, ERROR_INVALID, 0, "file: expected a path inside the workspace");
	if (slice && !(json_is_string(slice) && json_string_length(slice)))
		return error_set(err, ERROR_INVALID, 0, "slice: expected a column's name");
	rule->file = xstrdup(file ? json_string_value(file) : NULL);
	rule->slice = xstrdup(slice ? json_string_value(slice) : NULL);
	const json_t *rows = json_object_get(object, "min_rows");
	if (rows && !(json_is_integer(rows) && json_integer_value(rows) >= 0))
		return error_set(err, ERROR_INVALID, 0, "min_rows: expected a whole number of at least 0");
	rule->min_rows = rows ? (uint64_t)json_integer_value(rows) : 0;
	if (rule->from_file != (file != NULL))
		return error_set(err, ERROR_INVALID, 0, "%s", file ? "file: only metrics named file.NAME are read from a file"
								   : "a file. metric needs file: PATH");
	if (rule->from_file && (slice || rows))
		return error_set(err, ERROR_INVALID, 0, "a file. metric has no slices and no rows");
	return 0;
}

static int read_long(const json_t *object, struct quality_rule *rule, struct error **err)
{
	const char *metric = json_string_or(object, "metric", NULL);
	if (check_keys(object, err) < 0)
		return -1;
	if (!metric)
		return error_set(err, ERROR_INVALID, 0, "metric: missing, or no text");
	if (read_metric(metric, rule, err) < 0 || read_subject(object, rule, err) < 0 || read_baseline(object, rule, err) < 0 ||
	    read_number(object, "at_least", &rule->has_least, &rule->least, err) < 0 ||
	    read_number(object, "at_most", &rule->has_most, &rule->most, err) < 0 ||
	    read_number(object, "confidence", &rule->has_confidence, &rule->confidence, err) < 0)
		return -1;
	if (!rule->has_confidence)
		rule->confidence = 0.95;
	if (rule->confidence < 0.5 || rule->confidence >= 1)
		return error_set(err, ERROR_INVALID, 0, "confidence: expected a number from 0.5 to below 1");
	if (!rule->has_least && !rule->has_most && !rule->versus_production)
		return error_set(err, ERROR_INVALID, 0, "it asks nothing: give at_least, at_most or no_worse_than");
	if (rule->from_file && rule->has_confidence)
		return error_set(err, ERROR_INVALID, 0, "confidence: a file. metric is a plain number without an interval");
	if (rule->from_file && rule->versus_production)
		return error_set(err, ERROR_UNSUPPORTED, 0, "no_worse_than for file. metrics is not available in this build");
	return 0;
}

static int read_rule(const json_t *json, struct quality_rule *rule, struct error **err)
{
	rule->confidence = 0.95;
	if (json_is_string(json))
		return read_short(json_string_value(json), rule, err);
	if (json_is_object(json))
		return read_long(json, rule, err);
	return error_set(err, ERROR_INVALID, 0, "expected text such as \"roc_auc >= 0.85\" or a mapping");
}

char *quality_rule_problem(const json_t *json)
{
	cleanup_error struct error *err = NULL;
	struct quality_rule rule = {0};
	int rc = read_rule(json, &rule, &err);
	rule_done(&rule);
	return rc < 0 ? xstrdup(error_message(err)) : NULL;
}

int quality_parse(const json_t *json, struct quality_rules **ret, struct error **err)
{
	if (!json_is_array(json) || json_array_size(json) == 0)
		return error_set(err, ERROR_INVALID, 0, "expected a list of rules with at least one");
	if (json_array_size(json) > MAX_RULES)
		return error_set(err, ERROR_TOO_LARGE, 0, "more than %d rules", MAX_RULES);
	cleanup_quality_rules struct quality_rules *rules = xcalloc(1, sizeof(*rules));
	rules->items = xcalloc(json_array_size(json), sizeof(*rules->items));
	for (size_t i = 0; i < json_array_size(json); i++) {
		rules->n = i + 1;
		if (read_rule(json_array_get(json, i), &rules->items[i], err) < 0)
			return error_context(err, "rule %zu", i + 1);
	}
	*ret = STEAL(rules);
	return 0;
}

void quality_files(const struct quality_rules *rules, struct strlist *ret)
{
	for (size_t i = 0; i < rules->n; i++) {
		const char *file = rules->items[i].file;
		bool known = !file;
		for (size_t k = 0; k < ret->n && !known; k++)
			known = strcmp(ret->items[k], file) == 0;
		if (!known)
			strlist_add(ret, file);
	}
}

bool quality_wants_baseline(const struct quality_rules *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		if (rules->items[i].versus_production)
			return true;
	return false;
}
