/* `gate` stages: quality rules about the metrics of needed score stages. Rejected is exit status 3. */
#ifndef STAGES_GATE_GATE_H
#define STAGES_GATE_GATE_H

#include "stages/stage.h"

extern const struct stage_ops gate_stage;
#endif
