/* `build` stages: an OCI image from files of the workspace. */
#ifndef STAGES_BUILD_BUILD_H
#define STAGES_BUILD_BUILD_H

#include "stages/stage.h"

extern const struct stage_ops build_stage;
#endif
