/* Which series of a page a metric means: `family`, `family{class="fraud",code!="200",path=~"/v1/.*",zone!~"x|y"}`, or several of these with
 * "|" between them, of which the first that is there counts. Regular expressions are PCRE2, must match the whole value, and have a match
 * limit. Pure. */
#ifndef GATES_SOURCES_OPENMETRICS_SELECTOR_H
#define GATES_SOURCES_OPENMETRICS_SELECTOR_H

#include "gates/sources/openmetrics/page.h"
#include "gates/sources/samples.h"
#include "pipelines/rollout_spec.h"

struct selector;
/* INVALID, naming the column. */
int selector_parse(const char *text, struct selector **ret, struct error **err) must_check;
void selector_free(struct selector *selector); /* NULL is fine */
DEFINE_CLEANUP(struct selector, selector_free);
/* How many alternatives, and their families' names. */
size_t selector_count(const struct selector *selector);
const char *selector_family(const struct selector *selector, size_t alternative);
const char *selector_conditions(const struct selector *selector, size_t alternative); /* as written between the braces; "" without any */
/* All its conditions hold. INVALID: an expression ran into its limit. */
int selector_matches(const struct selector *selector, size_t alternative, const struct page_sample *sample, bool *ret, struct error **err) must_check;

/* `by` is one label for each alternative, "class|le"; a single one is for all. NULL means "le". Owned by the arena. */
const char *selector_by(const char *by, size_t alternative, struct arena *arena);

/* What the metric needs from one instance's page goes into `samples`, as group `instance`. Which alternative of the distribution counts is
 * the caller's (page_alternative). A family that is not on the page is told in samples->missing. INVALID: series of another type, without
 * the label, not a histogram as it should be. */
struct page_metric {
	enum metric_kind kind;
	const struct selector *events, *total, *value, *distribution; /* those of the kind */
	const char *by;
};
int page_extract(const struct page *page, const struct page_metric *metric, size_t alternative, const char *instance, struct arm_samples *samples,
		 struct error **err) must_check;
/* The first alternative whose family is on the page; selector_count() if none is. */
size_t page_alternative(const struct page *page, const struct selector *distribution);
#endif
