/* One line for people: why a stage ended as it did. */
#ifndef RUNNER_REASON_H
#define RUNNER_REASON_H

#include "base/json.h"

/* From a native stage's result: the first failing check with rows and values, the rules that said no with their numbers, the image that
 * was built. NULL if the result says nothing of the kind. Allocated. */
char *reason_of_result(const char *kind, const json_t *result);
/* The last line of a log that is not the leader's own remark; "" if there is none. Allocated, at most 200 bytes. */
char *reason_of_log(const char *path);
#endif
