#include "runner/cli/evidence.h"

#include "base/alloc.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

double evidence_number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

const json_t *evidence_asked(const json_t *rollout, const char *metric)
{
	size_t i;
	const json_t *asked, *list = json_object_get(json_object_get(rollout, "spec"), "metrics");
	json_array_foreach(list, i, asked)
	{
		if (strcmp(json_string_or(asked, "metric", ""), metric) == 0)
			return asked;
	}
	return NULL;
}

int64_t evidence_step_term(const json_t *rollout, const char *key)
{
	const json_t *spec = json_object_get(rollout, "spec"), *terms = json_object_get(spec, "terms");
	int64_t step = json_int_or(rollout, "step", 0);
	int64_t own = step > 0 ? json_int_or(json_array_get(terms, (size_t)step - 1), key, 0) : 0;
	return own ? own : json_int_or(spec, key, 0);
}

enum effect evidence_effect(const json_t *metric, const json_t *asked)
{
	const char *kind = json_string_or(asked, "kind", ""), *unit = json_string_or(metric, "unit", "");
	if (strcmp(kind, "distribution") == 0)
		return EFFECT_DISTANCE;
	if (json_number_or(asked, "ratio", 0) > 0 || strcmp(kind, "latency") == 0 || strcmp(unit, "ms") == 0)
		return EFFECT_RATIO;
	return strcmp(kind, "rate") == 0 || strcmp(unit, "%") == 0 ? EFFECT_POINTS : EFFECT_OWN;
}

/* Rates are fractions in JSON. */
void evidence_value(const json_t *metric, const char *key, char ret[EVIDENCE_TEXT])
{
	double value = evidence_number(metric, key);
	const char *unit = json_string_or(metric, "unit", "");
	if (isnan(value))
		snprintf(ret, EVIDENCE_TEXT, "-");
	else if (strcmp(unit, "%") == 0)
		snprintf(ret, EVIDENCE_TEXT, "%.3g%%", 100 * value);
	else
		snprintf(ret, EVIDENCE_TEXT, "%.4g%s%.8s", value, unit[0] ? " " : "", unit);
}

static const struct {
	const char *name, *unit;
	double scale;
} effects[] = {
	[EFFECT_POINTS] = {"difference", " points", 100},
	[EFFECT_RATIO] = {"ratio", " times", 1},
	[EFFECT_DISTANCE] = {"distance", "", 1},
	[EFFECT_OWN] = {"difference", "", 1},
};

const char *evidence_effect_name(enum effect effect)
{
	return effects[effect].name;
}

void evidence_amount(const json_t *metric, const char *key, enum effect effect, char ret[EVIDENCE_TEXT])
{
	double value = evidence_number(metric, key);
	if (isnan(value))
		snprintf(ret, EVIDENCE_TEXT, "-");
	else
		snprintf(ret, EVIDENCE_TEXT, "%.3g%s", effects[effect].scale * value, effects[effect].unit);
}

void evidence_interval(const json_t *metric, enum effect effect, char ret[2 * EVIDENCE_TEXT])
{
	double scale = effects[effect].scale, low = scale * evidence_number(metric, "low"), high = scale * evidence_number(metric, "high");
	const char *unit = effects[effect].unit;
	if (!isnan(low) && !isnan(high))
		snprintf(ret, 2 * EVIDENCE_TEXT, "from %.3g to %.3g%s", low, high, unit);
	else if (!isnan(low))
		snprintf(ret, 2 * EVIDENCE_TEXT, "%.3g%s at least", low, unit);
	else if (!isnan(high))
		snprintf(ret, 2 * EVIDENCE_TEXT, "%.3g%s at most", high, unit);
	else
		ret[0] = '\0';
}

void evidence_bound(const json_t *metric, const json_t *asked, char ret[2 * EVIDENCE_TEXT])
{
	char amount[EVIDENCE_TEXT];
	enum effect effect = evidence_effect(metric, asked);
	bool higher = json_bool_or(asked, "higher_is_better", false);
	evidence_amount(metric, "margin", effect, amount);
	if (strcmp(amount, "-") == 0)
		snprintf(ret, 2 * EVIDENCE_TEXT, "no bound");
	else if (effect == EFFECT_DISTANCE)
		snprintf(ret, 2 * EVIDENCE_TEXT, "distance at most %s (%.20s)", amount,
			 strcmp(json_string_or(asked, "distance", ""), "psi") == 0 ? "psi" : "total variation");
	else if (effect == EFFECT_RATIO)
		snprintf(ret, 2 * EVIDENCE_TEXT, "%s %s stable's", higher ? "at least" : "at most", amount);
	else
		snprintf(ret, 2 * EVIDENCE_TEXT, "margin %s%s", amount, higher ? " below" : "");
}

void evidence_e(double log_e, char ret[EVIDENCE_TEXT])
{
	double tens = floor(log_e / log(10));
	if (isnan(log_e))
		snprintf(ret, EVIDENCE_TEXT, "-");
	else if (isinf(log_e))
		snprintf(ret, EVIDENCE_TEXT, log_e > 0 ? "infinite" : "0");
	else if (fabs(tens) < 4)
		snprintf(ret, EVIDENCE_TEXT, "%.3g", exp(log_e));
	else
		snprintf(ret, EVIDENCE_TEXT, "%.1fe%.0f", exp(log_e - tens * log(10)), tens);
}

void evidence_count(int64_t n, char ret[EVIDENCE_TEXT])
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%" PRId64, n < 0 ? 0 : n), at = 0;
	for (size_t i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			ret[at++] = ',';
		ret[at++] = digits[i];
	}
	ret[at] = '\0';
}

double evidence_share(const json_t *metric, const char *direction)
{
	bool worse = strcmp(direction, "worse") == 0;
	double log_e = evidence_number(metric, worse ? "log_e_worse" : "log_e_fine");
	double threshold = evidence_number(metric, worse ? "log_threshold_worse" : "log_threshold_fine");
	return isnan(log_e) || !(threshold > 0) ? (double)NAN : fmin(fmax(log_e / threshold, 0), 1);
}

static const struct {
	const char *name, *words;
	enum ink ink;
} verdicts[] = {
	{"undecided", "undecided", INK_BLUE},
	{"fine", "fine", INK_GREEN},
	{"worse", "worse", INK_RED},
	{"no_data", "no data", INK_YELLOW},
	{"provider_error", "provider error", INK_YELLOW},
	{"split_broken", "split broken", INK_RED},
};

enum ink verdict_ink(const char *verdict)
{
	for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++)
		if (strcmp(verdicts[i].name, verdict) == 0)
			return verdicts[i].ink;
	return INK_PLAIN;
}

const char *verdict_words(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++)
		if (strcmp(verdicts[i].name, word) == 0)
			return verdicts[i].words;
	return word;
}

static void add_marks(struct buf *out, const char *mark, unsigned n)
{
	while (n--)
		buf_adds(out, mark);
}

void evidence_bar(struct screen *screen, enum ink ink, double share, unsigned width)
{
	double clamped = isnan(share) ? 0 : fmin(fmax(share, 0), 1);
	unsigned full = (unsigned)(clamped * width); /* rounded down: only what has been reached looks full */
	cleanup_buf struct buf marks, rest;
	buf_init(&marks, 4096);
	buf_init(&rest, 4096);
	if (full == 0 && clamped > 0 && width)
		full = 1; /* a little is not nothing */
	add_marks(&marks, screen->glyphs ? "\xe2\x96\x88" : "#", full);
	add_marks(&rest, screen->glyphs ? "\xe2\x96\x91" : "-", width - full);
	if (full)
		screen_ink(screen, ink, "%s", marks.data);
	if (full < width)
		screen_ink(screen, INK_DIM, "%s", rest.data);
}

/* ---- lines ---- */

struct line line_begin(struct screen *screen)
{
	return (struct line){screen, screen->width, screen->width > 0};
}

static unsigned columns_of(const char *text)
{
	unsigned columns = 0;
	uint32_t c;
	for (size_t at = 0, len = strlen(text), n; at < len; at += n ? n : 1) {
		n = utf8_decode(text + at, len - at, &c);
		columns += n ? utf8_width(c) : 1;
	}
	return columns;
}

void line_add(struct line *line, enum ink ink, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvasprintf(fmt, args);
	va_end(args);
	if (!text[0] || (line->limited && line->left == 0))
		return;
	cleanup_buf struct buf cut;
	buf_init(&cut, 1 << 20);
	screen_add_safe(&cut, text, line->limited ? line->left : 0);
	screen_ink(line->screen, ink, "%s", cut.data);
	unsigned used = columns_of(cut.data);
	line->left -= used < line->left ? used : line->left;
}

void line_bar(struct line *line, enum ink ink, double share, unsigned width)
{
	if (line->limited && width > line->left)
		width = line->left;
	evidence_bar(line->screen, ink, share, width);
	line->left -= line->limited ? width : 0;
}

void line_end(struct line *line)
{
	buf_addc(&line->screen->out, '\n');
}
