/* The controller with the real world around it; tests bring another. */
#include "runner/rollouts_priv.h"

int rollouts_open(struct core *core, struct rollouts **ret, struct error **err)
{
	static const struct rollouts_seams seams = {.find_target = target_find, .finish_stage = engine_finish_stage};
	return rollouts_open_with(core, &seams, ret, err);
}
