/* Secrets: sealed at rest (AES-256-GCM, key file 0600 outside state), named by [A-Za-z0-9_]+. A secret too short to mask is refused. */
#ifndef RUNNER_SECRETS_H
#define RUNNER_SECRETS_H

#include "runner/core.h"

int secret_set(struct core *core, const char *name, const char *value, const char *actor, struct error **err) must_check;
int secret_remove(struct core *core, const char *name, const char *actor, struct error **err) must_check;
/* *ret is allocated, NUL-terminated, or NULL if there is no such secret. Wipe it with secret_wipe(). */
int secret_get(struct core *core, const char *name, char **ret, struct error **err) must_check;
void secret_wipe(char *value);
#endif
