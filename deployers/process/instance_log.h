/* What a copy wrote. */
#ifndef DEPLOYERS_PROCESS_INSTANCE_LOG_H
#define DEPLOYERS_PROCESS_INSTANCE_LOG_H

#include "deployers/process/instances.h"

/* The last line that the program itself wrote and that is not empty, cut to size, what is no printable UTF-8 as "?"; "" if there is none. */
void instance_log_last(const char *attempt_dir, char *ret, size_t size);
/* Moves the log of the latest start to <state_dir>/logs/<id>.log and forgets all but the newest 20. Best effort: a log that cannot be
 * kept must not keep a copy from being removed. */
void instance_log_keep(const char *state_dir, const struct instance *instance);
/* Makes logs/<id>.log lead to the log of the latest start, while the copy is there. Best effort. */
void instance_log_show(const char *state_dir, const struct instance *instance);
#define KEPT_LOGS 20
#endif
