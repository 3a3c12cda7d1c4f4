#include "base/attempt/leader.h"

#include <inttypes.h>
#include <time.h>

uint64_t mono_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int64_t wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void span_text(uint64_t ms, char *ret, size_t size)
{
	uint64_t seconds = ms / 1000;

	if (ms < 1000)
		snprintf(ret, size, "%" PRIu64 "ms", ms);
	else if (seconds < 60)
		snprintf(ret, size, "%" PRIu64 ".%" PRIu64 "s", seconds, ms % 1000 / 100);
	else if (seconds < 3600)
		snprintf(ret, size, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60, seconds % 60);
	else
		snprintf(ret, size, "%" PRIu64 "h%02" PRIu64 "m", seconds / 3600, seconds / 60 % 60);
}
