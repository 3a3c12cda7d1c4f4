#ifndef DEPLOYERS_PROCESS_H
#define DEPLOYERS_PROCESS_H

#include "deployers/target.h"

/* Kind `process`, for the registry. */
extern const struct target_ops process_target_ops;
#endif
