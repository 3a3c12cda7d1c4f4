/* From what a source read of both arms to what the tests take: one reading. Pure. */
#ifndef GATES_SOURCES_READING_H
#define GATES_SOURCES_READING_H

#include "gates/sources/categories.h"
#include "gates/sources/memory.h"
#include "gates/sources/source.h"

struct metric_memory { /* all zero: nothing read yet */
	struct series_memory arms[2];
	uint64_t surplus[2][MEASURE_INSTANCES]; /* RATE: events counted before their trials were */
	bool was_surplus[2];
	int64_t read_ms; /* end of the last span; 0: none */
};
void metric_memory_done(struct metric_memory *memory);

/* `order` is NULL unless the metric is a DISTRIBUTION. The samples are sorted in place.
 * Errors are INVALID and leave the memory as it was: numbers that no honest counter has (memory.h, categories.h), events that outgrow their
 * trials in two readings running, values outside the metric's range, time that went back (told once). */
int reading_take(struct metric_memory *memory, struct category_order *order, const struct analysis_metric *metric, struct arm_samples arms[2],
		 const struct source_span *span, struct source_reading *ret, struct error **err) must_check;
#endif
