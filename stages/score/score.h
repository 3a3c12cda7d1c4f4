/* `score` stages: metrics of predictions, over all rows and by slices, with their uncertainty; paired with production's where both
 * predicted the same rows. */
#ifndef STAGES_SCORE_SCORE_H
#define STAGES_SCORE_SCORE_H

#include "stages/stage.h"

extern const struct stage_ops score_stage;
#endif
