/* The metric sources of one rollout: opened when it is first judged, each metric asked at its own pace, answers kept until the next turn
 * takes them (evidence_take()). What was counted before a restart or a failed reading is not lost: counters are compared with the last
 * good reading; only the first reading after a restart compares with nothing. */
#ifndef RUNNER_ROLLOUTS_FEEDS_H
#define RUNNER_ROLLOUTS_FEEDS_H

#include "gates/sources/source.h"
#include "runner/core.h"

struct feeds;
typedef void (*feeds_news_fn)(void *arg);

/* Borrows spec and core; `state_dir`: of the target. NULL if no metric has a source. `categories`: what feeds_categories() gave before a
 * restart, or NULL. */
struct feeds *feeds_new(struct core *core, const struct rollout_spec *spec, const char *state_dir, const json_t *categories, feeds_news_fn news,
			void *arg);
void feeds_free(struct feeds *feeds); /* drops what is in flight; NULL is fine */

/* Asks every source that is due. `afresh`: the split changed since the last call. NULL is fine. */
void feeds_ask(struct feeds *feeds, const struct source_arm arms[2], bool afresh);

/* What has come in since: one answer for each call, false when there is no more. */
enum feed_kind { FEED_MEASURE, FEED_NOTHING_YET, FEED_NO_DATA, FEED_TROUBLE };
struct feed_answer {
	size_t metric;
	enum feed_kind kind;
	struct measure measure;
	char text[256]; /* TROUBLE: why; else a note or "" */
};
bool feeds_take(struct feeds *feeds, struct feed_answer *ret);
/* {"metric": ["class", ...], ...} of all distributions; new reference. */
json_t *feeds_categories(const struct feeds *feeds);
#endif
