/* Counts and places that a state keeps as doubles. A stored state may be damaged or made up: whatever number stands there, what is read from it here
 * is a count, and a place within its array. */
#ifndef GATES_STATS_STORED_H
#define GATES_STATS_STORED_H

#include <stddef.h>
#include <stdint.h>

/* Rounded down; below 0 or NAN: 0, at most 2^53. */
static inline uint64_t stored_count(double n)
{
	if (!(n > 0))
		return 0;
	return n < 0x1p53 ? (uint64_t)n : UINT64_C(1) << 53;
}

/* How many of an array's `most` places are taken. */
static inline size_t stored_places(double n, size_t most)
{
	uint64_t places = stored_count(n);
	return places < most ? (size_t)places : most;
}
#endif
