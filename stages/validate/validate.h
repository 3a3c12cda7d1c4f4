/* `validate` stages: tables against a data schema, with the offending rows named. */
#ifndef STAGES_VALIDATE_VALIDATE_H
#define STAGES_VALIDATE_VALIDATE_H

#include "stages/stage.h"

extern const struct stage_ops validate_stage;
#endif
