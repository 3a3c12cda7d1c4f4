/* The clock seam: spans from the monotonic clock, stamps from the wall clock. Tests replace both. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ms(void);
int64_t clock_wall_ms(void); /* since 1970-01-01T00:00:00Z */

/* From now on both clocks answer with *wall_ms (mono: the same number); NULL gives the real ones back. Tests only. */
void clock_set_fake(const int64_t *wall_ms);

#define RFC3339_SIZE 32
/* "2026-11-23T21:37:54Z" */
void clock_rfc3339(int64_t wall_ms, char ret[RFC3339_SIZE]);
/* "850ms", "3.2s", "4m05s", "2h03m" for people. */
#define SPAN_SIZE 24
void clock_span(uint64_t span_ms, char ret[SPAN_SIZE]);
#endif
