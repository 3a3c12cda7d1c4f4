/* What counters said at the last good reading, and how far they have come since: series by series, as counters are reset one process at
 * a time. Pure; comparing changes nothing, so that a reading which turns out bad later leaves no trace. */
#ifndef GATES_SOURCES_MEMORY_H
#define GATES_SOURCES_MEMORY_H

#include "gates/sources/samples.h"

#define COUNTER_MAX 9007199254740992.0 /* 2^53: beyond it a double does not hold every whole number */

struct known_series;
struct known_group;
struct series_memory { /* of one arm; all zero: nothing read yet */
	bool started;
	struct known_series *series; /* sorted */
	size_t n_series;
	struct known_group *groups; /* in the order in which they were first seen: their places */
	size_t n_groups;
};
void series_memory_done(struct series_memory *memory);

struct series_changes {
	double *change;      /* of samples->items[i], never negative; owned by the caller */
	size_t n_restarted;  /* instances whose counters were reset */
	size_t n_new;        /* instances that are read for the first time */
	bool nothing;        /* the first reading, or nothing that could be compared: all changes are 0 */
	bool started_afresh; /* ... because counters went down that do not tell by instance */
};
/* Sorts `samples` in place. INVALID, naming the series: twice the same, negative, no whole number, beyond 2^53. TOO_LARGE:
 * too many instances. All values must be finite. */
int series_memory_compare(const struct series_memory *memory, struct arm_samples *samples, struct series_changes *ret, struct error **err) must_check;
/* From now on these are the last values. Series that are not there keep theirs, in case they come back, but those
 * of an instance that was restarted. */
void series_memory_keep(struct series_memory *memory, const struct arm_samples *samples);
/* The instance's place in the order of first sight, or -1. */
int series_memory_place(const struct series_memory *memory, const char *group);
#endif
