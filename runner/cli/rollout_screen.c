#include "runner/cli/rollout_screen.h"

#include "base/clock.h"
#include "runner/cli/evidence.h"
#include "runner/cli/rollout_lines.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { PAGE = 80, NARROW = 64, ARM_BAR = 36, EVIDENCE_BAR = 16, NAME_WIDTH = 18, VERSION_WIDTH = 16 };

static void clock_time(int64_t at_ms, char ret[16])
{
	time_t seconds = (time_t)(at_ms / 1000);
	struct tm local;
	if (!localtime_r(&seconds, &local) || strftime(ret, 16, "%H:%M:%S", &local) == 0)
		snprintf(ret, 16, "--:--:--");
}

static const char *version_of(const json_t *rollout, const char *arm)
{
	return json_string_or(json_object_get(rollout, arm), "version", "none");
}

static bool is_final(const json_t *rollout)
{
	return json_int_or(rollout, "finished_ms", 0) != 0;
}

/* ---- the head ---- */

static void add_title(struct screen *screen, const json_t *rollout, int64_t now_ms)
{
	char span[SPAN_SIZE];
	int64_t created = json_int_or(rollout, "created_ms", now_ms), until = is_final(rollout) ? json_int_or(rollout, "finished_ms", 0) : now_ms;
	clock_span(until > created ? (uint64_t)(until - created) : 0, span);
	struct line line = line_begin(screen);
	line_add(&line, INK_BOLD, "rollout %lld to %s", (long long)json_int_or(rollout, "id", 0), json_string_or(rollout, "target", "?"));
	line_add(&line, INK_PLAIN, "  %s %s ", version_of(rollout, "stable"), screen->glyphs ? "\xe2\x86\x92" : "->");
	line_add(&line, INK_BOLD, "%s", version_of(rollout, "candidate"));
	line_add(&line, INK_DIM, "  %s, %s %s", json_string_or(rollout, "strategy", "?"), is_final(rollout) ? "took" : "for", span);
	line_end(&line);
}

/* How long the step has lasted, and when its policies act. */
static void add_step_time(struct line *line, const json_t *rollout)
{
	char lasted[SPAN_SIZE], at_most[SPAN_SIZE];
	int64_t ms = json_int_or(rollout, "step_elapsed_ms", 0), most = evidence_step_term(rollout, "hold_at_most_ms");
	if (ms < 1000 || ms >= most)
		return;
	clock_span((uint64_t)(ms - ms % 1000), lasted);
	clock_span((uint64_t)most, at_most);
	line_add(line, INK_DIM, ", %s of at most %s", lasted, at_most);
}

static void add_state(struct screen *screen, const json_t *rollout)
{
	int64_t step = json_int_or(rollout, "step", 0), steps = json_int_or(rollout, "steps", 0);
	struct line line = line_begin(screen);
	line_add(&line, rollout_ink(rollout), "%s", json_string_or(rollout, "state", "?"));
	if (step > 0 && steps > 0)
		line_add(&line, INK_PLAIN, ", step %lld of %lld", (long long)step, (long long)steps);
	if (strcmp(json_string_or(rollout, "state", ""), "stepping") == 0)
		add_step_time(&line, rollout);
	if (json_bool_or(rollout, "emergency", false))
		line_add(&line, INK_RED, ", emergency: one ready copy is enough");
	if (json_bool_or(rollout, "fast_track", false))
		line_add(&line, INK_YELLOW, ", fast track: was live not long ago; no steps, no analysis");
	if (json_string_or(rollout, "approved_by", "")[0])
		line_add(&line, INK_GREEN, ", approved by %s", json_string_or(rollout, "approved_by", ""));
	line_end(&line);
}

static void add_waits(struct screen *screen, const json_t *rollout)
{
	const char *waits = json_string_or(rollout, "waits_for", ""), *reason = json_string_or(rollout, "reason", "");
	struct line line = line_begin(screen);
	if (is_final(rollout) || !waits[0]) {
		line_add(&line, INK_DIM, "%s", reason[0] ? "because: " : "");
		line_add(&line, INK_PLAIN, "%s", reason);
	} else if (json_bool_or(rollout, "held", false)) {
		line_add(&line, INK_YELLOW, "HELD, waits for: %s", waits);
	} else {
		line_add(&line, INK_DIM, "waits for: ");
		line_add(&line, INK_PLAIN, "%s", waits);
	}
	line_end(&line);
}

static void add_verification(struct screen *screen, const json_t *rollout)
{
	const json_t *verify = json_object_get(rollout, "verify");
	const char *status = json_string_or(verify, "status", "none"), *why = json_string_or(verify, "why", "");
	if (strcmp(status, "none") == 0)
		return;
	struct line line = line_begin(screen);
	enum ink ink = strcmp(status, "failed") == 0 ? INK_RED : strcmp(status, "passed") == 0 ? INK_GREEN : INK_BLUE;
	line_add(&line, INK_DIM, "verification: ");
	line_add(&line, ink, "%s%s%s", status, why[0] ? ": " : "", why);
	line_end(&line);
}

/* Where people can look at the candidate before it has traffic. */
static void add_preview(struct screen *screen, const json_t *rollout)
{
	const json_t *actual = json_object_get(rollout, "actual");
	const char *url = json_string_or(actual, "preview_url", ""), *shown = json_string_or(actual, "preview_image", "");
	if (!url[0] || !shown[0] || strcmp(shown, json_string_or(json_object_get(rollout, "candidate"), "image", "")) != 0)
		return;
	struct line line = line_begin(screen);
	line_add(&line, INK_DIM, "preview:      ");
	line_add(&line, INK_BLUE, "%s", url);
	line_end(&line);
}

/* ---- the arms ---- */

static const json_t *seen_arm(const json_t *rollout, const char *arm)
{
	const char *image = json_string_or(json_object_get(rollout, arm), "image", "?");
	const json_t *seen, *arms = json_object_get(json_object_get(rollout, "actual"), "arms");
	size_t i;
	json_array_foreach(arms, i, seen)
	{
		if (strcmp(json_string_or(seen, "image", ""), image) == 0)
			return seen;
	}
	return NULL;
}

static int64_t wanted_ppm(const json_t *rollout, const char *arm)
{
	int64_t candidate = json_int_or(rollout, "weight_ppm", 0);
	if (strcmp(arm, "candidate") == 0)
		return candidate;
	return json_is_object(json_object_get(rollout, "stable")) ? 1000000 - candidate : 0;
}

static void add_arm(struct screen *screen, const json_t *rollout, const char *arm, enum ink ink)
{
	const json_t *seen = seen_arm(rollout, arm);
	int64_t wanted = wanted_ppm(rollout, arm), ppm = seen ? json_int_or(seen, "weight_ppm", 0) : wanted;
	char share[16];
	snprintf(share, sizeof(share), "%.4g%%", (double)ppm / 10000);
	struct line line = line_begin(screen);
	line_add(&line, INK_DIM, "  %-10s", arm);
	line_bar(&line, ink, (double)ppm / 1e6,
		 screen->width && screen->width < NARROW ? ARM_BAR / 4
		 : screen->width && screen->width < PAGE ? ARM_BAR / 2
							 : ARM_BAR);
	line_add(&line, INK_BOLD, " %6s", share);
	if (seen && ppm != wanted)
		line_add(&line, INK_YELLOW, " (wanted %.4g%%)", (double)wanted / 10000);
	if (seen) {
		int64_t ready = json_int_or(seen, "ready", 0), replicas = json_int_or(seen, "replicas", 0);
		line_add(&line, ready < replicas ? INK_YELLOW : INK_PLAIN, "  %lld/%lld ready", (long long)ready, (long long)replicas);
		if (json_bool_or(seen, "failed", false))
			line_add(&line, INK_RED, " failed");
		if (json_string_or(seen, "message", "")[0])
			line_add(&line, INK_DIM, "  %s", json_string_or(seen, "message", ""));
	} else if (!is_final(rollout)) {
		line_add(&line, INK_DIM, "  not seen");
	}
	line_end(&line);
}

static void add_arms(struct screen *screen, const json_t *rollout)
{
	buf_addc(&screen->out, '\n');
	if (json_is_object(json_object_get(rollout, "stable")))
		add_arm(screen, rollout, "stable", INK_GREEN);
	add_arm(screen, rollout, "candidate", INK_BLUE);
}

/* ---- the evidence ---- */

static void add_metric_head(struct screen *screen, const json_t *rollout, const json_t *metric)
{
	char stable[EVIDENCE_TEXT], candidate[EVIDENCE_TEXT], bound[2 * EVIDENCE_TEXT];
	const char *verdict = json_string_or(metric, "verdict", ""), *name = json_string_or(metric, "metric", "?");
	bool shown = json_bool_or(metric, "informational", false);
	struct line line = line_begin(screen);
	cleanup_buf struct buf cut;
	buf_init(&cut, 4096);
	screen_add_safe(&cut, name, NAME_WIDTH);
	evidence_value(metric, "stable", stable);
	evidence_value(metric, "candidate", candidate);
	evidence_bound(metric, evidence_asked(rollout, name), bound);
	line_add(&line, INK_BOLD, "  %-*s", NAME_WIDTH, cut.data);
	line_add(&line, shown ? INK_DIM : verdict_ink(verdict), " %-14s", shown ? "shown only" : verdict_words(verdict));
	if (screen->width && screen->width < NARROW) {
		line_end(&line);
		line = line_begin(screen);
		line_add(&line, INK_PLAIN, "   ");
	}
	if (evidence_effect(metric, evidence_asked(rollout, name)) == EFFECT_DISTANCE && !isnan(evidence_number(metric, "estimate")))
		line_add(&line, INK_PLAIN, " apart by %.3g", evidence_number(metric, "estimate"));
	else if (strcmp(stable, "-") == 0 && strcmp(candidate, "-") == 0)
		line_add(&line, INK_PLAIN, " no value yet");
	else
		line_add(&line, INK_PLAIN, " %s %s %s", stable, screen->glyphs ? "\xe2\x86\x92" : "->", candidate);
	line_add(&line, INK_DIM, "%s%s", shown ? "" : ", ", shown ? "" : bound);
	line_end(&line);
}

static void add_direction(struct line *line, const json_t *metric, const char *direction, enum ink ink, unsigned width)
{
	double share = evidence_share(metric, direction);
	line_add(line, INK_DIM, "%s ", direction);
	line_bar(line, ink, share, width);
	if (isnan(share))
		line_add(line, INK_DIM, "    -");
	else
		line_add(line, share >= 1 ? ink : INK_PLAIN, " %3.0f%%", floor(100 * share));
}

static void add_metric_bars(struct screen *screen, const json_t *metric)
{
	char n[EVIDENCE_TEXT];
	unsigned width = screen->width && screen->width < NARROW ? EVIDENCE_BAR / 3 : EVIDENCE_BAR;
	struct line line = line_begin(screen);
	evidence_count(json_int_or(metric, "n_candidate", 0), n);
	line_add(&line, INK_PLAIN, "    ");
	add_direction(&line, metric, "worse", INK_RED, width);
	line_add(&line, INK_PLAIN, "   ");
	add_direction(&line, metric, "fine", INK_GREEN, width);
	line_add(&line, INK_DIM, "   n %s", n);
	line_end(&line);
}

static void add_metric_interval(struct screen *screen, const json_t *rollout, const json_t *metric)
{
	char estimate[EVIDENCE_TEXT], interval[2 * EVIDENCE_TEXT];
	enum effect effect = evidence_effect(metric, evidence_asked(rollout, json_string_or(metric, "metric", "")));
	const char *trouble = json_string_or(metric, "trouble", "");
	struct line line = line_begin(screen);
	evidence_amount(metric, "estimate", effect, estimate);
	evidence_interval(metric, effect, interval);
	if (trouble[0]) {
		line_add(&line, INK_YELLOW, "    source: %s", trouble);
		line_end(&line);
	}
	if (strcmp(estimate, "-") == 0)
		return;
	line = line_begin(screen);
	line_add(&line, INK_DIM, "    %s %s", evidence_effect_name(effect), estimate);
	if (interval[0])
		line_add(&line, INK_DIM, "; %s (%g%%)", interval, 100 * (1 - json_number_or(rollout, "alpha", 0.05)));
	line_end(&line);
}

static void add_evidence(struct screen *screen, const json_t *rollout)
{
	const json_t *verdict = json_object_get(rollout, "verdict"), *metric, *metrics = json_object_get(verdict, "metrics");
	size_t i;
	if (!json_is_object(verdict))
		return;
	buf_addc(&screen->out, '\n');
	json_array_foreach(metrics, i, metric)
	{
		add_metric_head(screen, rollout, metric);
		if (!json_bool_or(metric, "informational", false))
			add_metric_bars(screen, metric);
		add_metric_interval(screen, rollout, metric);
	}
	if (strcmp(json_string_or(verdict, "verdict", ""), "split_broken") == 0) {
		struct line line = line_begin(screen);
		line_add(&line, INK_RED, "  split broken: p %.2g", json_number_or(verdict, "split_p", 0));
		line_end(&line);
	}
}

/* ---- the log ---- */

static const char *event_words(const json_t *event, struct buf *space)
{
	const json_t *data = json_object_get(event, "data");
	const char *kind = json_string_or(event, "kind", "");
	if (strcmp(kind, "rollout.approved") == 0)
		return "beforehand";
	if (strcmp(kind, "rollout.waiting") == 0)
		return json_string_or(data, "waits_for", "");
	if (strcmp(kind, "rollout.created") != 0)
		return json_string_or(data, "reason", json_string_or(data, "found", json_string_or(data, "error", "")));
	buf_addf(space, "%s%s", json_string_or(json_object_get(data, "candidate"), "version", "?"),
		 json_bool_or(data, "waits", false) ? ", waits for the rollout before it" : "");
	return space->data;
}

void add_event_line(struct screen *screen, const json_t *event)
{
	char at[16];
	const char *kind = json_string_or(event, "kind", "?"), *dot = strchr(kind, '.'), *actor = json_string_or(event, "actor", "");
	cleanup_buf struct buf space;
	buf_init(&space, 1 << 16);
	clock_time(json_int_or(event, "at_ms", 0), at);
	const char *words = event_words(event, &space);
	struct line line = line_begin(screen);
	line_add(&line, INK_DIM, "  %s  ", at);
	line_add(&line, INK_BOLD, "%s", dot ? dot + 1 : kind);
	line_add(&line, INK_PLAIN, "%s%s", words[0] ? "  " : "", words);
	if (actor[0] && strcmp(actor, "penstock") != 0 && !strstr(words, actor))
		line_add(&line, INK_DIM, " (%s)", actor);
	line_end(&line);
}

void add_rollout_screen(struct screen *screen, const json_t *rollout, const json_t *events, int64_t now_ms)
{
	size_t n = json_array_size(events);
	add_title(screen, rollout, now_ms);
	add_state(screen, rollout);
	add_waits(screen, rollout);
	add_verification(screen, rollout);
	add_preview(screen, rollout);
	add_arms(screen, rollout);
	add_evidence(screen, rollout);
	if (n)
		buf_addc(&screen->out, '\n');
	for (size_t i = n > ROLLOUT_LOG_LINES ? n - ROLLOUT_LOG_LINES : 0; i < n; i++)
		add_event_line(screen, json_array_get(events, i));
}

/* ---- one line ---- */

void add_rollout_line(struct screen *screen, const json_t *rollout, int64_t now_ms)
{
	char at[16];
	const json_t *metric, *metrics = json_object_get(json_object_get(rollout, "verdict"), "metrics");
	const char *waits = json_string_or(rollout, "waits_for", "");
	size_t i;
	clock_time(now_ms, at);
	struct line line = line_begin(screen);
	line_add(&line, INK_PLAIN, "  %s  %s", at, json_string_or(rollout, "state", "?"));
	if (json_int_or(rollout, "step", 0) > 0)
		line_add(&line, INK_PLAIN, ", step %lld of %lld", (long long)json_int_or(rollout, "step", 0),
			 (long long)json_int_or(rollout, "steps", 0));
	line_add(&line, INK_PLAIN, ", %.4g%%", (double)json_int_or(rollout, "weight_ppm", 0) / 10000);
	json_array_foreach(metrics, i, metric)
	{
		double worse = evidence_share(metric, "worse"), fine = evidence_share(metric, "fine");
		if (json_bool_or(metric, "informational", false))
			continue;
		line_add(&line, INK_PLAIN, "; %s %s", json_string_or(metric, "metric", "?"), verdict_words(json_string_or(metric, "verdict", "?")));
		if (!isnan(worse) && !isnan(fine))
			line_add(&line, INK_PLAIN, " (worse %.0f%%, fine %.0f%%)", floor(100 * worse), floor(100 * fine));
	}
	if (waits[0])
		line_add(&line, INK_PLAIN, "; %s %s", json_bool_or(rollout, "held", false) ? "HELD, waits for" : "waits for", waits);
	line_end(&line);
}

json_t *rollout_gist(const json_t *rollout)
{
	static const char *const keys[] = {"state", "step", "weight_ppm", "waits_for", "held"};
	json_t *gist = json_array(), *metric;
	const json_t *metrics = json_object_get(json_object_get(rollout, "verdict"), "metrics");
	size_t i;
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		json_array_append(gist, json_object_get(rollout, keys[i]));
	json_array_foreach(metrics, i, metric) json_array_append(gist, json_object_get(metric, "verdict"));
	return gist;
}
