#include "runner/cli/explain_text.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "runner/cli/evidence.h"
#include "runner/cli/rollout_lines.h"

#include <math.h>
#include <string.h>

enum { PAGE = 80, LABEL = 10, INDENT = 2 };
#define SPLIT_ALPHA 0.001 /* of the sample-ratio check (gates/analysis.h) */

static bool is_final(const json_t *rollout)
{
	return json_int_or(rollout, "finished_ms", 0) != 0;
}

static double alpha_of(const json_t *rollout)
{
	return json_number_or(rollout, "alpha", json_number_or(json_object_get(rollout, "spec"), "alpha", 0.05));
}

static void add_word(struct screen *screen, enum ink ink, const char *word, size_t len, unsigned indent, unsigned *used)
{
	unsigned width = screen->width && screen->width < PAGE ? screen->width : PAGE, columns = (unsigned)utf8_count(word, len);
	if (*used > indent && *used + 1 + columns > width) {
		buf_addf(&screen->out, "\n%*s", (int)indent, "");
		*used = indent;
	} else if (*used > indent) {
		buf_addc(&screen->out, ' ');
		++*used;
	}
	screen_ink(screen, ink, "%.*s", (int)len, word);
	*used += columns;
}

/* Words, broken at the edge of the page; what follows the first line stands under it. */
static void add_wrapped(struct screen *screen, enum ink ink, const char *text, unsigned indent)
{
	unsigned used = indent;
	for (const char *word = text; *(word += strspn(word, " \n\t")); word += strcspn(word, " \n\t"))
		add_word(screen, ink, word, strcspn(word, " \n\t"), indent, &used);
	buf_addc(&screen->out, '\n');
}

/* "  label      words ..." */
static void say(struct screen *screen, const char *label, enum ink ink, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void say(struct screen *screen, const char *label, enum ink ink, const char *fmt, ...)
{
	cleanup_buf struct buf text;
	buf_init(&text, 1 << 20);
	va_list args;
	va_start(args, fmt);
	buf_vaddf(&text, fmt, args);
	va_end(args);
	buf_addf(&screen->out, "%*s", INDENT, "");
	screen_ink(screen, INK_DIM, "%-*s", LABEL, label);
	buf_addc(&screen->out, ' ');
	add_wrapped(screen, ink, text.data, INDENT + LABEL + 1);
}

/* ---- the rollout ---- */

static void add_title(struct screen *screen, const json_t *rollout)
{
	const json_t *stable = json_object_get(rollout, "stable");
	int64_t step = json_int_or(rollout, "step", 0), steps = json_int_or(rollout, "steps", 0);
	screen_ink(screen, INK_BOLD, "rollout %lld to %s", (long long)json_int_or(rollout, "id", 0), json_string_or(rollout, "target", "?"));
	screen_ink(screen, INK_PLAIN, ", %s: %s -> %s", json_string_or(rollout, "strategy", "?"),
		   json_is_object(stable) ? json_string_or(stable, "version", "?") : "(first release)",
		   json_string_or(json_object_get(rollout, "candidate"), "version", "?"));
	buf_addc(&screen->out, '\n');
	screen_ink(screen, rollout_ink(rollout), "%s", json_string_or(rollout, "state", "?"));
	if (step > 0 && steps > 0)
		screen_ink(screen, INK_PLAIN, ", step %lld of %lld", (long long)step, (long long)steps);
	if (!is_final(rollout))
		screen_ink(screen, INK_PLAIN, ", %.4g%% of the traffic", (double)json_int_or(rollout, "weight_ppm", 0) / 10000);
	if (json_bool_or(rollout, "fast_track", false))
		screen_ink(screen, INK_YELLOW, "; fast track: it was live within rollback_window, so no steps and no analysis");
	if (json_bool_or(rollout, "emergency", false))
		screen_ink(screen, INK_RED, "; emergency: one ready copy is enough, nothing is judged");
	buf_addc(&screen->out, '\n');
}

/* The event of the decision that stands: the first that gave its reason, since later ones (who paused ...) may repeat it. */
static const json_t *event_of(const json_t *events, const char *reason)
{
	const json_t *found = NULL;
	for (size_t i = json_array_size(events); i > 0; i--) {
		const json_t *event = json_array_get(events, i - 1);
		bool same = strcmp(json_string_or(json_object_get(event, "data"), "reason", ""), reason) == 0;
		if (found && !same)
			break;
		found = same ? event : NULL;
	}
	return found;
}

static void add_decision(struct screen *screen, const json_t *rollout, const json_t *events)
{
	const char *waits = json_string_or(rollout, "waits_for", ""), *reason = json_string_or(rollout, "reason", "");
	const json_t *event = reason[0] ? event_of(events, reason) : NULL;
	const char *by = json_string_or(rollout, "decided_by", "");
	char at[RFC3339_SIZE] = "";
	if (event)
		clock_rfc3339(json_int_or(event, "at_ms", 0), at);
	if (reason[0])
		say(screen, "decision", INK_PLAIN, "%s%s%s%s%s: %s", at, at[0] && by[0] ? ", " : "", by[0] ? "by " : "", by,
		    at[0] || by[0] ? "" : "the last", reason);
	if (waits[0] && !is_final(rollout))
		say(screen, "waits for", json_bool_or(rollout, "held", false) ? INK_YELLOW : INK_PLAIN, "%s%s", waits,
		    json_bool_or(rollout, "held", false) ? " (held: it will not go on by itself)" : "");
	if (json_string_or(rollout, "approved_by", "")[0])
		say(screen, "approved", INK_PLAIN, "by %s", json_string_or(rollout, "approved_by", ""));
	const json_t *verify = json_object_get(rollout, "verify");
	const char *why = json_string_or(verify, "why", "");
	if (strcmp(json_string_or(verify, "status", "none"), "none") != 0)
		say(screen, "verify", INK_PLAIN, "%s%s%s", json_string_or(verify, "status", ""), why[0] ? ": " : "", why);
}

/* ---- one metric ---- */

static void add_value(struct screen *screen, const json_t *rollout, const json_t *metric, enum effect effect)
{
	char stable[EVIDENCE_TEXT], candidate[EVIDENCE_TEXT], estimate[EVIDENCE_TEXT], interval[2 * EVIDENCE_TEXT];
	cleanup_buf struct buf text;
	buf_init(&text, 4096);
	evidence_value(metric, "stable", stable);
	evidence_value(metric, "candidate", candidate);
	evidence_amount(metric, "estimate", effect, estimate);
	evidence_interval(metric, effect, interval);
	if (strcmp(candidate, "-") != 0 || strcmp(stable, "-") != 0)
		buf_addf(&text, "candidate %s, stable %s", candidate, stable);
	if (strcmp(estimate, "-") != 0)
		buf_addf(&text, "%s%s %s", text.len ? "; " : "", evidence_effect_name(effect), estimate);
	if (interval[0])
		buf_addf(&text, ", %g%% confidence sequence %s", 100 * (1 - alpha_of(rollout)), interval);
	say(screen, "value", INK_PLAIN, "%s", text.len ? text.data : "none yet");
}

static void add_bound(struct screen *screen, const json_t *metric, const json_t *asked)
{
	char bound[2 * EVIDENCE_TEXT];
	const char *source = json_string_or(metric, "source", "");
	evidence_bound(metric, asked, bound);
	say(screen, "bound", INK_PLAIN, "%s; test %s, counts of %s%s", bound, json_string_or(metric, "test", "?"),
	    source[0] ? "source " : "the router", source);
}

static void add_data(struct screen *screen, const json_t *metric)
{
	char candidate[EVIDENCE_TEXT], stable[EVIDENCE_TEXT], step[EVIDENCE_TEXT], blocks[EVIDENCE_TEXT];
	evidence_count(json_int_or(metric, "n_candidate", 0), candidate);
	evidence_count(json_int_or(metric, "step_n_candidate", 0), step);
	evidence_count(json_int_or(metric, "n_stable", 0), stable);
	evidence_count(json_int_or(metric, "blocks", 0), blocks);
	say(screen, "n", INK_PLAIN, "candidate %s (%s in this step), stable %s; %s blocks", candidate, step, stable, blocks);
}

static void add_harm(struct screen *screen, const json_t *rollout, const json_t *metric)
{
	char e[EVIDENCE_TEXT], threshold[EVIDENCE_TEXT], p[EVIDENCE_TEXT] = "-";
	double share = evidence_share(metric, "worse"), anytime = evidence_number(metric, "p_anytime");
	if (isnan(share))
		return;
	evidence_e(evidence_number(metric, "log_e_worse"), e);
	evidence_e(evidence_number(metric, "log_threshold_worse"), threshold);
	if (!isnan(anytime))
		snprintf(p, sizeof(p), "%.2g", anytime);
	say(screen, "worse?", share >= 1 ? INK_RED : INK_PLAIN,
	    "e-value %s of %s (Holm's threshold at alpha %g, over the whole rollout): %.0f%% of the way; anytime p %s", e, threshold,
	    alpha_of(rollout), floor(100 * share), p);
}

static void add_safety(struct screen *screen, const json_t *rollout, const json_t *metric)
{
	char e[EVIDENCE_TEXT], threshold[EVIDENCE_TEXT];
	double share = evidence_share(metric, "fine");
	if (isnan(share))
		return;
	evidence_e(evidence_number(metric, "log_e_fine"), e);
	evidence_e(evidence_number(metric, "log_threshold_fine"), threshold);
	say(screen, "fine?", share >= 1 ? INK_GREEN : INK_PLAIN, "e-value %s of %s (1/alpha at alpha %g, in this step alone): %.0f%% of the way", e,
	    threshold, alpha_of(rollout), floor(100 * share));
}

static void add_guard(struct screen *screen, const json_t *rollout, const json_t *metric)
{
	double dispersion = evidence_number(metric, "dispersion");
	const char *bursts = json_string_or(json_object_get(rollout, "spec"), "bursts", "default");
	if (isnan(dispersion))
		return;
	say(screen, "bursts", INK_PLAIN, "counts of stable's copies scatter %.3g times as much as independent ones would; guard: %s", dispersion,
	    bursts);
}

static void add_looks(struct screen *screen, const json_t *metric)
{
	const char *verdict;
	json_t *n;
	char count[EVIDENCE_TEXT];
	cleanup_buf struct buf text;
	buf_init(&text, 4096);
	json_object_foreach((json_t *)(uintptr_t)json_object_get(metric, "looks"), verdict, n)
	{
		if (json_integer_value(n) <= 0)
			continue;
		evidence_count(json_integer_value(n), count);
		buf_addf(&text, "%s%s %s", text.len ? ", " : "", count, verdict_words(verdict));
	}
	if (text.len)
		say(screen, "looks", INK_PLAIN, "%s", text.data);
}

static void add_metric(struct screen *screen, const json_t *rollout, const json_t *metric)
{
	const char *name = json_string_or(metric, "metric", "?"), *verdict = json_string_or(metric, "verdict", "?");
	const char *trouble = json_string_or(metric, "trouble", ""), *change = json_string_or(metric, "would_change", "");
	const json_t *asked = evidence_asked(rollout, name);
	enum effect effect = evidence_effect(metric, asked);
	bool informational = json_bool_or(metric, "informational", false);
	buf_addc(&screen->out, '\n');
	screen_ink(screen, INK_BOLD, "%s", name);
	screen_ink(screen, INK_PLAIN, ": ");
	screen_ink(screen, informational ? INK_DIM : verdict_ink(verdict), "%s", verdict_words(verdict));
	screen_ink(screen, INK_DIM, "%s", informational ? " (shown only: it decides nothing)" : "");
	buf_addc(&screen->out, '\n');
	add_value(screen, rollout, metric, effect);
	add_bound(screen, metric, asked);
	add_data(screen, metric);
	if (!informational) {
		add_harm(screen, rollout, metric);
		add_safety(screen, rollout, metric);
		add_guard(screen, rollout, metric);
		add_looks(screen, metric);
	}
	if (trouble[0])
		say(screen, "trouble", INK_YELLOW, "%s", trouble);
	if (change[0] && !informational && !is_final(rollout))
		say(screen, "to change", INK_PLAIN, "%s", change);
}

/* ---- what holds for all of them ---- */

static void add_split(struct screen *screen, const json_t *verdict)
{
	double p = evidence_number(verdict, "split_p");
	if (isnan(p))
		return;
	bool broken = p <= SPLIT_ALPHA;
	say(screen, "split", broken ? INK_RED : INK_PLAIN, "%s: anytime p %.2g, broken at %g and below%s", broken ? "BROKEN" : "as it should be", p,
	    SPLIT_ALPHA, broken ? "; only harm that was found before still counts" : "");
}

static const char *policy_words(const char *policy)
{
	return strcmp(policy, "promote") == 0    ? "go on to the next step"
	       : strcmp(policy, "rollback") == 0 ? "go back"
						 : "wait for a person or evidence";
}

static void add_policies(struct screen *screen, const json_t *rollout)
{
	static const char *const names[] = {"undecided", "no_data", "provider_error", "split_broken"};
	const json_t *policies = json_object_get(rollout, "policies"), *spec = json_object_get(rollout, "spec");
	char at_least[SPAN_SIZE], at_most[SPAN_SIZE], n[EVIDENCE_TEXT], have[EVIDENCE_TEXT];
	cleanup_buf struct buf text;
	buf_init(&text, 4096);
	int64_t most = evidence_step_term(rollout, "hold_at_most_ms");
	clock_span((uint64_t)evidence_step_term(rollout, "hold_at_least_ms"), at_least);
	clock_span((uint64_t)most, at_most);
	evidence_count(json_int_or(spec, "min_requests", 0), n);
	evidence_count(json_int_or(json_object_get(rollout, "verdict"), "step_candidate_requests", 0), have);
	say(screen, "a step", INK_PLAIN, "is left when all its metrics are fine, after %s at least, with %s requests of the candidate (%s so far)",
	    at_least, n, have);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		buf_addf(&text, "%s%s: %s", i ? "; " : "", verdict_words(names[i]),
			 policy_words(json_string_or(policies, names[i], json_string_or(spec, names[i], "hold"))));
	int64_t lasted = json_int_or(rollout, "step_elapsed_ms", 0);
	char so_far[SPAN_SIZE + 16] = "", span[SPAN_SIZE];
	clock_span((uint64_t)lasted, span);
	if (lasted > 0)
		snprintf(so_far, sizeof(so_far), " (%s so far)", span);
	if (most)
		say(screen, "policies", INK_PLAIN, "act when a step has lasted %s%s, pauses not counted: %s. Worse: go back at once", at_most, so_far,
		    text.data);
	else
		say(screen, "policies", INK_PLAIN, "never act: hold.at_most is not set. Worse: go back at once");
}

static void add_judgement(struct screen *screen, const json_t *rollout)
{
	const json_t *verdict = json_object_get(rollout, "verdict"), *metric;
	char at[RFC3339_SIZE] = "";
	size_t i;
	if (!json_is_object(verdict)) {
		say(screen, "evidence", INK_PLAIN, "none%s",
		    is_final(rollout) ? ": it was never judged"
		    : strcmp(json_string_or(rollout, "strategy", "canary"), "canary") == 0
			    ? ": it is judged when the candidate has its share of the traffic"
			    : ": this strategy moves all traffic at once, unjudged");
		return;
	}
	if (json_int_or(verdict, "at_ms", 0))
		clock_rfc3339(json_int_or(verdict, "at_ms", 0), at);
	const char *reason = json_string_or(verdict, "reason", "");
	bool told = strcmp(reason, json_string_or(rollout, "reason", "")) == 0;
	say(screen, is_final(rollout) ? "evidence" : "verdict", verdict_ink(json_string_or(verdict, "verdict", "")), "%s%s%s%s%s%s",
	    is_final(rollout) ? "at its end: " : "", verdict_words(json_string_or(verdict, "verdict", "?")), at[0] ? " at " : "", at,
	    told ? "" : ": ", told ? "" : reason);
	add_split(screen, verdict);
	if (!is_final(rollout))
		add_policies(screen, rollout);
	json_array_foreach(json_object_get(verdict, "metrics"), i, metric) add_metric(screen, rollout, metric);
}

void add_explanation(struct screen *screen, const json_t *rollout, const json_t *events)
{
	add_title(screen, rollout);
	add_decision(screen, rollout, events);
	add_judgement(screen, rollout);
}
