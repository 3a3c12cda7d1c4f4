/* A metric's verdict, as the API gives it (docs/api.md, "A verdict"), as words, numbers with their units, and bars. Pure; every getter takes JSON
 * that may lack any key: what is not known is shown as "-". */
#ifndef RUNNER_CLI_EVIDENCE_H
#define RUNNER_CLI_EVIDENCE_H

#include "runner/cli/screen.h"

enum { EVIDENCE_TEXT = 48 };

/* What is bounded: the difference of two rates in points, a ratio, a distance between distributions, or a difference in the metric's own unit. */
enum effect { EFFECT_POINTS, EFFECT_RATIO, EFFECT_DISTANCE, EFFECT_OWN };
/* `asked`: the metric as the rollout's spec has it, or NULL. */
enum effect evidence_effect(const json_t *metric, const json_t *asked);
const char *evidence_effect_name(enum effect effect); /* "difference", "ratio", "distance" */
/* The metric's entry in rollout.spec.metrics, or NULL. */
const json_t *evidence_asked(const json_t *rollout, const char *metric);
/* A number of the present step's own terms before the strategy's ("hold_at_most_ms"); 0 if neither says it. */
int64_t evidence_step_term(const json_t *rollout, const char *key);

/* "0.12%", "12.5 ms", "0.4": metric[key], one of "stable", "candidate". */
void evidence_value(const json_t *metric, const char *key, char ret[EVIDENCE_TEXT]);
/* "0.5 points", "1.2 times", "0.04": metric[key], one of "estimate", "low", "high", "margin". */
void evidence_amount(const json_t *metric, const char *key, enum effect effect, char ret[EVIDENCE_TEXT]);
/* "from -0.11 to 0.36 points", "at least 0.9 times", "" if neither end is known. */
void evidence_interval(const json_t *metric, enum effect effect, char ret[2 * EVIDENCE_TEXT]);
/* "margin 0.5 points", "at most 1.2 times stable's", "distance at most 0.1 (psi)", "no bound". */
void evidence_bound(const json_t *metric, const json_t *asked, char ret[2 * EVIDENCE_TEXT]);
/* e^log_e: "3.1", "4.1e12", also where e^x would overflow; "-" for NAN. */
void evidence_e(double log_e, char ret[EVIDENCE_TEXT]);
/* "12,345" */
void evidence_count(int64_t n, char ret[EVIDENCE_TEXT]);
/* How far the evidence is on its way ("worse", "fine"): ln e / ln threshold, within 0 and 1; NAN if it is not known. */
double evidence_share(const json_t *metric, const char *direction);
/* A number, or NAN. */
double evidence_number(const json_t *object, const char *key);

enum ink verdict_ink(const char *verdict);
/* "no_data" -> "no data"; static or `word` itself. */
const char *verdict_words(const char *word);
/* A bar of `width` columns; NAN is empty. */
void evidence_bar(struct screen *screen, enum ink ink, double share, unsigned width);

/* A line that ends at the edge of the screen: pieces that do not fit are cut. */
struct line {
	struct screen *screen;
	unsigned left; /* columns; 0 with `limited`: full */
	bool limited;
};
struct line line_begin(struct screen *screen);
void line_add(struct line *line, enum ink ink, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void line_bar(struct line *line, enum ink ink, double share, unsigned width);
void line_end(struct line *line);
#endif
