/* What the record, the clock and the router together say of a copy: does it run, will it come up, does it hang, does it keep crashing? */
#include "deployers/process/instance_log.h"
#include "deployers/process/instances.h"

#include <stdio.h>
#include <string.h>

uint64_t instance_backoff_ms(unsigned crashes)
{
	uint64_t pause = BACKOFF_FIRST_MS;
	if (!crashes)
		return 0;
	for (unsigned i = 1; i < crashes && pause < BACKOFF_MAX_MS; i++)
		pause *= 2;
	return pause < BACKOFF_MAX_MS ? pause : BACKOFF_MAX_MS;
}

unsigned instance_recent_crashes(const struct instance *in, int64_t now_ms)
{
	unsigned n = 0;
	while (n < CRASHES_KEPT && in->crashes_ms[n] && now_ms - in->crashes_ms[n] < CRASH_WINDOW_MS)
		n++;
	return n;
}

void instance_crashed(struct instance *in, int64_t lived_ms, int64_t now_ms)
{
	memmove(&in->crashes_ms[1], &in->crashes_ms[0], (CRASHES_KEPT - 1) * sizeof(in->crashes_ms[0]));
	in->crashes_ms[0] = now_ms;
	in->quick_exits = lived_ms < QUICK_EXIT_MS ? in->quick_exits + 1 : 0;
	in->next_start_ms = now_ms + (int64_t)instance_backoff_ms(instance_recent_crashes(in, now_ms));
}

void instance_forget_crashes(struct instance *in)
{
	memset(in->crashes_ms, 0, sizeof(in->crashes_ms));
	in->quick_exits = 0;
	in->next_start_ms = 0;
}

unsigned instance_restarts(const struct instance *in)
{
	return in->starts ? in->starts - 1 : 0;
}

/* Cut to size between characters: it goes into JSON. */
static void describe(char *ret, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void describe(char *ret, size_t size, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	cleanup_free char *text = xvasprintf(fmt, args);
	va_end(args);
	size_t n = strlen(text);
	if (n >= size)
		for (n = size - 1; n && ((unsigned char)text[n] & 0xc0) == 0x80;)
			n--;
	memcpy(ret, text, n);
	ret[n] = '\0';
}

/* ---- ends ---- */

static void describe_end(struct instance *in, const char *attempt_dir, enum attempt_state state, int64_t *ended_ms)
{
	struct exit_record record = {.ended_ms = *ended_ms};
	cleanup_error struct error *unreadable = NULL;
	char last[100];
	instance_log_last(attempt_dir, last, sizeof(last));
	const char *before = last[0] ? "; last line: " : "";
	bool known = state == ATTEMPT_FINISHED && attempt_exit_record(attempt_dir, &record, &unreadable) == 0;
	*ended_ms = record.ended_ms;
	if (in->restarting)
		describe(in->message, sizeof(in->message), "hung: no answer to its health check (GET %.40s) for %g s, restarted%s%s", in->health_path,
			 (double)in->restart_after_ms / 1000, before, last);
	else if (known)
		describe(in->message, sizeof(in->message), "%s%s%s", record.message[0] ? record.message : "ended", before, last);
	else
		describe(in->message, sizeof(in->message), "was lost (killed with its leader, or the machine went down)");
}

static void note_end(struct instance *in, const char *attempt_dir, enum attempt_state state, int64_t now_ms)
{
	int64_t ended_ms = now_ms;
	describe_end(in, attempt_dir, state, &ended_ms);
	instance_crashed(in, ended_ms - in->started_ms, now_ms);
	in->restarting = false;
	in->deaf_since_ms = 0;
	in->ended_starts = in->starts;
	if (in->wait_from_ms < now_ms && in->up_start == in->starts)
		in->wait_from_ms = now_ms; /* it was up: the next start has all its time again */
}

/* ---- health ---- */

static bool note_health(struct instance *in, enum instance_health health, int64_t now_ms)
{
	bool changed = false;
	if (health != HEALTH_DEAF)
		in->deaf_since_ms = 0;
	else if (!in->deaf_since_ms)
		in->deaf_since_ms = now_ms;
	if (health == HEALTH_UP) {
		in->wait_from_ms = now_ms;
		changed = in->up_start != in->starts;
		in->up_start = in->starts;
		if (in->quick_exits && now_ms - in->started_ms >= QUICK_EXIT_MS) {
			in->quick_exits = 0;
			changed = true;
		}
	} else if (health == HEALTH_UNKNOWN && in->up_start == in->starts) {
		in->wait_from_ms = now_ms; /* while nobody looks, nothing is overdue */
	}
	return changed;
}

static enum run_state run_state_of(const struct instance *in, enum attempt_state state)
{
	switch (state) {
	case ATTEMPT_NEW:
		return in->stopping ? RUN_STOPPED : RUN_NEW;
	case ATTEMPT_RUNNING:
		return in->stopping ? RUN_STOPPING : in->restarting ? RUN_RESTARTING : RUN_RUNNING;
	case ATTEMPT_FINISHED:
	case ATTEMPT_LOST:
		break;
	}
	return in->stopping ? RUN_STOPPED : RUN_DEAD;
}

static void describe_failure(const struct instance *in, bool looping, bool overdue, int64_t now_ms, char *ret, size_t size)
{
	unsigned crashes = instance_recent_crashes(in, now_ms);
	if (looping && in->quick_exits >= QUICK_EXITS_MAX)
		describe(ret, size, "ended %u times right after its start: %s", in->quick_exits, in->message);
	else if (looping)
		describe(ret, size, "crashed %u times within %d minutes: %s", crashes, CRASH_WINDOW_MS / 60000, in->message);
	else if (overdue)
		describe(ret, size, "not healthy (GET %s) within %llu s%s%s", in->health_path, (unsigned long long)in->health_within_ms / 1000,
			 in->message[0] ? "; " : "", in->message);
	else
		describe(ret, size, "%s", in->message);
}

void instance_view_of(const struct instance *in, enum attempt_state state, enum instance_health health, int64_t now_ms, uint64_t drain_ms,
		      struct instance_view *ret)
{
	*ret = (struct instance_view){.id = in->id,
				      .slot = in->slot,
				      .replica = in->replica,
				      .port = in->port,
				      .retired = in->retired,
				      .admitted = in->admitted,
				      .outdated = in->outdated,
				      .other_path = in->other_path,
				      .run = run_state_of(in, state)};
	bool up = health == HEALTH_UP && state == ATTEMPT_RUNNING;
	/* One that was up is restarted first. */
	uint64_t within_ms = in->health_within_ms + (in->up_start == in->starts ? in->restart_after_ms : 0);
	bool overdue = !up && now_ms >= in->wait_from_ms + (int64_t)within_ms;
	bool looping = !up && (in->quick_exits >= QUICK_EXITS_MAX || instance_recent_crashes(in, now_ms) >= CRASHES_MAX);
	ret->failed = overdue || looping;
	ret->waiting = !up && !ret->failed;
	ret->start_due = now_ms >= in->next_start_ms;
	ret->hung = ret->run == RUN_RUNNING && in->restart_after_ms && in->deaf_since_ms && in->up_start == in->starts &&
		    now_ms >= in->deaf_since_ms + (int64_t)in->restart_after_ms;
	ret->drain_overdue = in->drain_since_ms && now_ms >= in->drain_since_ms + (int64_t)drain_ms;
	snprintf(ret->image, sizeof(ret->image), "%s", in->image);
	describe_failure(in, looping, overdue, now_ms, ret->message, sizeof(ret->message));
}

int instance_look(struct instance *in, enum instance_health health, int64_t now_ms, uint64_t drain_ms, struct instance_view *ret, struct error **err)
{
	enum attempt_state state = ATTEMPT_NEW;
	cleanup_free char *attempt_dir = instance_attempt_dir(in);
	if (attempt_dir && attempt_state(attempt_dir, &state, err) < 0)
		return -1;
	bool changed = false;
	if ((state == ATTEMPT_FINISHED || state == ATTEMPT_LOST) && in->ended_starts != in->starts) {
		note_end(in, attempt_dir, state, now_ms);
		changed = true;
	}
	if (state == ATTEMPT_RUNNING)
		changed = note_health(in, health, now_ms) || changed;
	if (changed && instance_save(in, err) < 0)
		return -1;
	instance_view_of(in, state, health, now_ms, drain_ms, ret);
	return 0;
}
