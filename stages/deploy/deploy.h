/* The deploy stage: checks what PIPELINE says under `deploy:` and emits a struct rollout_spec. It starts nothing: the runner does. */
#ifndef STAGES_DEPLOY_DEPLOY_H
#define STAGES_DEPLOY_DEPLOY_H

#include "stages/stage.h"

extern const struct stage_ops deploy_stage;
#endif
