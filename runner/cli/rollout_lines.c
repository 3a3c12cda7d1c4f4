#include "runner/cli/rollout_lines.h"

#include "base/alloc.h"

#include <string.h>

enum ink rollout_ink(const json_t *rollout)
{
	static const struct {
		const char *state;
		enum ink ink;
	} inks[] = {
		{"promoted", INK_GREEN}, {"keeping_old", INK_GREEN},   {"failed", INK_RED},  {"rolled_back", INK_YELLOW},
		{"paused", INK_YELLOW},  {"awaiting", INK_YELLOW},     {"rolling_back", INK_YELLOW}, {"waiting", INK_DIM},
	};
	const char *state = json_string_or(rollout, "state", "");
	for (size_t i = 0; i < ARRAY_SIZE(inks); i++)
		if (strcmp(inks[i].state, state) == 0)
			return inks[i].ink;
	return INK_BLUE;
}

static void add_line(struct screen *screen, unsigned indent, const char *label, const char *text)
{
	if (!text[0])
		return;
	buf_addf(&screen->out, "%*s", (int)indent, "");
	screen_ink(screen, INK_DIM, "%s", label);
	screen_ink(screen, INK_PLAIN, " %s", text);
	buf_addc(&screen->out, '\n');
}

void add_rollout_lines(struct screen *screen, const json_t *rollout, unsigned indent)
{
	const json_t *candidate = json_object_get(rollout, "candidate");
	const char *state = json_string_or(rollout, "state", "");
	int64_t step = json_int_or(rollout, "step", 0), steps = json_int_or(rollout, "steps", 0);
	buf_addf(&screen->out, "%*s", (int)indent, "");
	screen_ink(screen, INK_BOLD, "rollout %lld", (long long)json_int_or(rollout, "id", 0));
	screen_ink(screen, INK_PLAIN, " of %s to %s: ", json_string_or(candidate, "version", "?"), json_string_or(rollout, "target", ""));
	screen_ink(screen, rollout_ink(rollout), "%s", state);
	if (step > 0 && steps > 0)
		screen_ink(screen, INK_PLAIN, ", step %lld of %lld", (long long)step, (long long)steps);
	if (!json_is_integer(json_object_get(rollout, "finished_ms")))
		screen_ink(screen, INK_PLAIN, ", %g%% of the traffic", (double)json_int_or(rollout, "weight_ppm", 0) / 10000);
	buf_addc(&screen->out, '\n');
	add_line(screen, indent + 2, "because:", json_string_or(rollout, "reason", ""));
	add_line(screen, indent + 2,
		 json_bool_or(rollout, "held", false) ? "held, waits for:" : "waits for:", json_string_or(rollout, "waits_for", ""));
}
