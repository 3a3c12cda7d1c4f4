#include "gates/quality_priv.h"

#include "gates/stats/normal.h"

#include <inttypes.h>
#include <math.h>

const char *quality_verdict_name(enum quality_verdict verdict)
{
	static const char *const names[] = {
		[QUALITY_SKIPPED] = "skipped", [QUALITY_PASS] = "pass", [QUALITY_INVESTIGATE] = "investigate", [QUALITY_FAIL] = "fail"};
	return names[verdict];
}

/* A number with what is known of its uncertainty. */
struct estimate {
	bool present, has_value, has_se;
	double value, se;
	uint64_t n;
	const char *note; /* why there is no value */
};

struct judge {
	const struct quality_inputs *inputs;
	json_t *rows;
	enum quality_verdict worst;
};

struct finding {
	const struct quality_rule *rule;
	const char *slice; /* "country=fr" or NULL */
	char *name;        /* "roc_auc of country=fr" */
	char *asked;       /* the rule in words */
	double value, bound; /* NAN: none */
	enum quality_verdict verdict;
	char *reason;
};

static void finding_done(struct finding *finding)
{
	free(finding->name);
	free(finding->asked);
	free(finding->reason);
}
#define cleanup_finding __attribute__((cleanup(finding_done)))

static struct finding about(const struct quality_rule *rule, const char *slice)
{
	return (struct finding){
		.rule = rule,
		.slice = slice,
		.name = slice ? xasprintf("%s of %s", rule->metric, slice) : xstrdup(rule->metric),
		.value = (double)NAN,
		.bound = (double)NAN,
	};
}

static void say(char **text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(char **text, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	char *said = xvasprintf(fmt, args);
	va_end(args);
	free(*text);
	*text = said;
}

static json_t *number_or_null(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static void report(struct judge *judge, const struct finding *finding)
{
	json_t *row = json_object();
	json_object_set_new(row, "rule", json_string(finding->asked));
	json_object_set_new(row, "metric", json_string(finding->rule->metric));
	json_object_set_new(row, "slice", finding->slice ? json_string(finding->slice) : json_null());
	json_object_set_new(row, "value", number_or_null(finding->value));
	json_object_set_new(row, "bound", number_or_null(finding->bound));
	json_object_set_new(row, "verdict", json_string(quality_verdict_name(finding->verdict)));
	json_object_set_new(row, "reason", json_string(finding->reason));
	json_array_append_new(judge->rows, row);
	if (finding->verdict > judge->worst)
		judge->worst = finding->verdict;
}

/* ---- finding numbers ---- */

/* The standard error, as told, or from the two-sided interval. */
static void read_uncertainty(const json_t *row, struct estimate *ret)
{
	const json_t *se = json_object_get(row, "se"), *low = json_object_get(row, "low"), *high = json_object_get(row, "high");
	double confidence = json_number_or(row, "confidence", 0.95);
	if (json_is_number(se)) {
		ret->has_se = true;
		ret->se = json_number_value(se);
	} else if (json_is_number(low) && json_is_number(high) && confidence > 0 && confidence < 1) {
		ret->has_se = true;
		ret->se = (json_number_value(high) - json_number_value(low)) / (2 * normal_quantile(0.5 + confidence / 2));
	}
	if (!(ret->se >= 0))
		ret->has_se = false;
}

static bool is_row(const json_t *row, const char *metric, const char *slice)
{
	const char *its_slice = json_string_or(row, "slice", NULL);
	if (strcmp(json_string_or(row, "name", ""), metric) != 0)
		return false;
	return slice ? its_slice && strcmp(its_slice, slice) == 0 : !its_slice;
}

static struct estimate find_estimate(const json_t *results, const char *list, const char *key, const char *metric, const char *slice)
{
	size_t i;
	json_t *row;
	struct estimate e = {.value = (double)NAN};
	json_array_foreach(json_object_get(results, list), i, row) {
		if (!is_row(row, metric, slice))
			continue;
		const json_t *value = json_object_get(row, key);
		e.present = true;
		e.n = (uint64_t)json_int_or(row, "n", 0);
		e.note = json_string_or(row, "note", NULL);
		if (e.note && strncmp(e.note, metric, strlen(metric)) == 0 && strncmp(e.note + strlen(metric), ": ", 2) == 0)
			e.note += strlen(metric) + 2; /* the reason begins with the name anyway */
		if (json_is_number(value)) {
			e.has_value = true;
			e.value = json_number_value(value);
			read_uncertainty(row, &e);
		}
		break;
	}
	return e;
}

/* "a.b": the key "a.b", or b within a. */
static const json_t *look_up(const json_t *json, const char *path)
{
	const json_t *whole = json_object_get(json, path);
	const char *dot = strchr(path, '.');
	if (whole || !dot)
		return whole;
	cleanup_free char *first = xstrndup(path, (size_t)(dot - path));
	const json_t *inner = json_object_get(json, first);
	return inner ? look_up(inner, dot + 1) : NULL;
}

/* ---- judging one number ---- */

static void judge_bound(struct judge *judge, struct finding *f, const struct estimate *e, bool least, double bound)
{
	const char *name = f->name;
	say(&f->asked, "%s %s %.6g", name, least ? ">=" : "<=", bound);
	f->bound = bound;
	f->value = e->value;
	bool good = least ? e->value >= bound : e->value <= bound;
	if (!f->rule->has_confidence || !e->has_se) {
		f->verdict = good ? QUALITY_PASS : QUALITY_FAIL;
		say(&f->reason, "%s %.6g is %s %.6g%s", name, e->value,
			 least ? (good ? "at least" : "below") : (good ? "at most" : "above"), bound,
			 f->rule->has_confidence ? "; its uncertainty is not known" : "");
		if (f->rule->has_confidence && good)
			f->verdict = QUALITY_INVESTIGATE;
	} else {
		double slack = normal_quantile(f->rule->confidence) * e->se, sign = least ? 1 : -1;
		double gain = sign * (e->value - bound);
		f->verdict = gain - slack >= 0 ? QUALITY_PASS : gain + slack < 0 ? QUALITY_FAIL : QUALITY_INVESTIGATE;
		say(&f->reason, "%s is %.6g, and with %g%% confidence %s %.6g; the bound is %.6g", name, e->value,
			 100 * f->rule->confidence, f->verdict == QUALITY_FAIL ? (least ? "at most" : "at least") : (least ? "at least" : "at most"),
			 f->verdict == QUALITY_FAIL ? e->value + sign * slack : e->value - sign * slack, bound);
	}
	report(judge, f);
}

static void first_release(struct judge *judge, struct finding *f)
{
	static const enum quality_verdict verdicts[] = {
		[WITHOUT_PASS] = QUALITY_PASS, [WITHOUT_HOLD] = QUALITY_INVESTIGATE, [WITHOUT_FAIL] = QUALITY_FAIL};
	static const char *const words[] = {[WITHOUT_PASS] = "pass", [WITHOUT_HOLD] = "hold", [WITHOUT_FAIL] = "fail"};
	f->verdict = verdicts[f->rule->without_baseline];
	say(&f->reason, "first release: production has no %s to compare %.6g with (without_baseline: %s)", f->name, f->value,
		 words[f->rule->without_baseline]);
	report(judge, f);
}

/* gain > 0: better than production. `looks`: slices judged by this rule, over which the error is shared (Bonferroni). */
static void judge_gain(struct judge *judge, struct finding *f, double production, const struct estimate *difference,
		       bool paired, size_t looks)
{
	double sign = metric_higher_is_better(f->rule->id) ? 1 : -1, margin = f->rule->margin, gain = sign * difference->value;
	double confidence = 1 - (1 - f->rule->confidence) / (double)(looks ? looks : 1);
	char against[64] = "";
	if (isfinite(production))
		snprintf(against, sizeof(against), " against production's %.6g", production);
	f->bound = isfinite(production) ? production - sign * margin : (double)NAN;
	if (!difference->has_se) {
		f->verdict = gain >= -margin ? QUALITY_PASS : QUALITY_FAIL;
		say(&f->reason, "%s %.6g%s: %s by %.6g, margin %.6g; neither has an interval", f->name, f->value, against,
			 gain < 0 ? "worse" : "better", fabs(gain), margin);
		report(judge, f);
		return;
	}
	double slack = normal_quantile(confidence) * difference->se, least = gain - slack, most = gain + slack;
	f->verdict = least >= -margin ? QUALITY_PASS : most < -margin ? QUALITY_FAIL : QUALITY_INVESTIGATE;
	double told = f->verdict == QUALITY_FAIL ? most : least;
	say(&f->reason, "%s %.6g%s: %s by %.4g (%s, standard error %.4g), with %.4g%% confidence %s by at %s %.4g; margin %.6g", f->name,
	    f->value, against, gain < 0 ? "worse" : "better", fabs(gain), paired ? "the same rows" : "different rows", difference->se,
	    100 * confidence, told < 0 ? "worse" : "better", (f->verdict == QUALITY_FAIL) == (told < 0) ? "least" : "most", fabs(told), margin);
	report(judge, f);
}

static void judge_production(struct judge *judge, struct finding *f, const struct estimate *e, size_t looks)
{
	const char *name = f->name;
	const json_t *baseline = judge->inputs->baseline;
	const char *metric = f->rule->metric;
	say(&f->asked, "%s no worse than production, margin %.6g", name, f->rule->margin);
	f->value = e->value;
	f->bound = (double)NAN;
	if (!baseline) {
		first_release(judge, f);
		return;
	}
	struct estimate paired = find_estimate(judge->inputs->metrics, "paired", "difference", metric, f->slice);
	struct estimate production = find_estimate(baseline, "metrics", "value", metric, f->slice);
	if (paired.has_value) {
		judge_gain(judge, f, e->value - paired.value, &paired, true, looks);
		return;
	}
	if (!production.has_value) {
		f->verdict = QUALITY_FAIL;
		say(&f->reason, "production's metrics have no %s; release once with it among the score stage's metrics first",
			 name);
		report(judge, f);
		return;
	}
	struct estimate difference = {.value = e->value - production.value, .has_se = e->has_se && production.has_se,
				      .se = hypot(e->se, production.se)};
	judge_gain(judge, f, production.value, &difference, false, looks);
}

/* ---- judging a rule ---- */

static void missing(struct judge *judge, struct finding *f, enum quality_verdict verdict, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void missing(struct judge *judge, struct finding *f, enum quality_verdict verdict, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *why = xvasprintf(fmt, args);
	va_end(args);
	f->verdict = verdict;
	say(&f->asked, "%s", f->name);
	say(&f->reason, "%s: %s", f->name, why);
	report(judge, f);
}

static void judge_estimate(struct judge *judge, const struct quality_rule *rule, const char *slice, const struct estimate *e, size_t looks)
{
	cleanup_finding struct finding f = about(rule, slice);
	if (rule->has_least)
		judge_bound(judge, &f, e, true, rule->least);
	if (rule->has_most)
		judge_bound(judge, &f, e, false, rule->most);
	if (rule->versus_production)
		judge_production(judge, &f, e, looks);
}

static void judge_file(struct judge *judge, const struct quality_rule *rule)
{
	cleanup_finding struct finding f = about(rule, NULL);
	const json_t *file = json_object_get(judge->inputs->files, rule->file);
	const json_t *value = look_up(file, rule->metric + strlen("file."));
	if (!json_is_number(value)) {
		missing(judge, &f, QUALITY_FAIL, file ? "%s has no number of that name" : "%s is missing or no JSON", rule->file);
		return;
	}
	const struct estimate e = {.present = true, .has_value = true, .value = json_number_value(value)};
	judge_estimate(judge, rule, NULL, &e, 1);
}

static void judge_overall(struct judge *judge, const struct quality_rule *rule)
{
	cleanup_finding struct finding f = about(rule, NULL);
	const struct estimate e = find_estimate(judge->inputs->metrics, "metrics", "value", rule->metric, NULL);
	if (!e.has_value) {
		const char *absent = e.present ? "it has no value" : "it was not measured; is it among the score stage's metrics?";
		missing(judge, &f, QUALITY_FAIL, "%s", e.note ? e.note : absent);
	} else if (e.n < rule->min_rows) {
		missing(judge, &f, QUALITY_INVESTIGATE, "measured on %" PRIu64 " rows, fewer than min_rows %" PRIu64, e.n, rule->min_rows);
	} else {
		judge_estimate(judge, rule, NULL, &e, 1);
	}
}

/* The slice's name if the row belongs to the rule's metric and column: "country=fr" for column "country". */
static const char *slice_of(const json_t *row, const struct quality_rule *rule)
{
	const char *slice = json_string_or(row, "slice", NULL);
	size_t len = strlen(rule->slice);
	if (!slice || strncmp(slice, rule->slice, len) != 0 || slice[len] != '=' || !is_row(row, rule->metric, slice))
		return NULL;
	return slice;
}

static void judge_slice(struct judge *judge, const struct quality_rule *rule, const char *slice, size_t looks)
{
	cleanup_finding struct finding f = about(rule, slice);
	const struct estimate e = find_estimate(judge->inputs->metrics, "metrics", "value", rule->metric, slice);
	if (e.n < rule->min_rows) {
		missing(judge, &f, QUALITY_SKIPPED, "not judged: %" PRIu64 " rows, fewer than min_rows %" PRIu64, e.n, rule->min_rows);
	} else if (!e.has_value) {
		missing(judge, &f, QUALITY_INVESTIGATE, "%s", e.note ? e.note : "it has no value");
	} else {
		judge_estimate(judge, rule, slice, &e, looks);
	}
}

static void judge_slices(struct judge *judge, const struct quality_rule *rule)
{
	size_t i, found = 0, large = 0;
	json_t *row;
	const json_t *metrics = json_object_get(judge->inputs->metrics, "metrics");
	json_array_foreach(metrics, i, row) {
		if (!slice_of(row, rule))
			continue;
		found++;
		large += (uint64_t)json_int_or(row, "n", 0) >= rule->min_rows;
	}
	json_array_foreach(metrics, i, row) {
		const char *slice = slice_of(row, rule);
		if (slice)
			judge_slice(judge, rule, slice, large);
	}
	cleanup_finding struct finding f = about(rule, NULL);
	if (!found) {
		missing(judge, &f, QUALITY_FAIL, "it was not measured by %s; is that among the score stage's slices?", rule->slice);
	} else if (!large) {
		missing(judge, &f, QUALITY_INVESTIGATE, "no %s has min_rows %" PRIu64, rule->slice, rule->min_rows);
	}
}

json_t *quality_judge(const struct quality_rules *rules, const struct quality_inputs *inputs)
{
	struct judge judge = {.inputs = inputs, .rows = json_array(), .worst = QUALITY_PASS};
	for (size_t i = 0; i < rules->n; i++) {
		const struct quality_rule *rule = &rules->items[i];
		if (rule->from_file)
			judge_file(&judge, rule);
		else if (rule->slice)
			judge_slices(&judge, rule);
		else
			judge_overall(&judge, rule);
	}
	json_t *result = json_object();
	json_object_set_new(result, "verdict", json_string(quality_verdict_name(judge.worst)));
	json_object_set_new(result, "rows", judge.rows);
	return result;
}
