/* `run` stages: the user's own commands, given to /bin/sh as they are written. */
#ifndef STAGES_RUN_RUN_H
#define STAGES_RUN_RUN_H

#include "stages/stage.h"

extern const struct stage_ops run_stage;
#endif
