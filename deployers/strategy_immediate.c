/* Immediate: the candidate at full size and weight 0, then all traffic at once. First releases and rollbacks by hand go this way. */
#include "deployers/rollout_priv.h"

static void leave(struct turn *turn, const char *decided_by, const char *why)
{
	enter(turn, ROLLOUT_PROMOTING, decided_by, "%s", why);
}

static void ready(struct turn *turn)
{
	char copies[COPIES_SIZE];
	enter(turn, ROLLOUT_PROMOTING, "health", "%s", copies_are_ready(turn->in->spec, copies));
}

/* Never reached from ready(); a stored rollout that says otherwise goes on to the end. */
static void step(struct turn *turn)
{
	enter(turn, ROLLOUT_PROMOTING, "health", "there are no steps");
}

const struct strategy_ops strategy_immediate = {
	.name = "immediate",
	.doc = "all traffic at once, as soon as all copies are ready",
	.ready = ready,
	.step = step,
	.leave = leave,
};
