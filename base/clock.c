#include "base/clock.h"

static const int64_t *fake_ms;

static int64_t read_ms(clockid_t id)
{
	struct timespec now;
	if (clock_gettime(id, &now) < 0) /* Cannot fail for these two clocks. */
		abort();
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t clock_mono_ms(void)
{
	return (uint64_t)(fake_ms ? *fake_ms : read_ms(CLOCK_MONOTONIC));
}

int64_t clock_wall_ms(void)
{
	return fake_ms ? *fake_ms : read_ms(CLOCK_REALTIME);
}

void clock_set_fake(const int64_t *wall_ms)
{
	fake_ms = wall_ms;
}

void clock_rfc3339(int64_t wall_ms, char ret[RFC3339_SIZE])
{
	time_t seconds = (time_t)(wall_ms / 1000 - (wall_ms % 1000 < 0));
	struct tm t;
	if (!gmtime_r(&seconds, &t)) /* Every int64_t of milliseconds is a representable year. */
		abort();
	char text[80]; /* room for what the compiler believes these numbers may be */
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min,
		 t.tm_sec);
	snprintf(ret, RFC3339_SIZE, "%.*s", RFC3339_SIZE - 1, text);
}

void clock_span(uint64_t span_ms, char ret[SPAN_SIZE])
{
	unsigned long long ms = span_ms, s = ms / 1000, m = s / 60, h = m / 60;
	if (ms < 1000)
		snprintf(ret, SPAN_SIZE, "%llums", ms);
	else if (s < 60) /* Cut, not rounded, so that 59.96 s is not "60.0s". */
		snprintf(ret, SPAN_SIZE, "%llu.%llus", s, ms % 1000 / 100);
	else if (m < 60)
		snprintf(ret, SPAN_SIZE, "%llum%02llus", m, s % 60);
	else if (h < 48)
		snprintf(ret, SPAN_SIZE, "%lluh%02llum", h, m % 60);
	else
		snprintf(ret, SPAN_SIZE, "%llud%02lluh", h / 24, h % 24);
}
