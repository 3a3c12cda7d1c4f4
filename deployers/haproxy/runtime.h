/* HAProxy's command sockets on the loop: one connection a request, never blocking, each with a deadline. Requests to one client are sent
 * one after another, so that a write is done before the read that proves it is sent. */
#ifndef DEPLOYERS_HAPROXY_RUNTIME_H
#define DEPLOYERS_HAPROXY_RUNTIME_H

#include "base/loop.h"

struct runtime_client;
/* `path` is opened anew for each request; at most 107 bytes (use /proc/self/fd/N/name for long folders). `label` names it in errors. */
struct runtime_client *runtime_client_new(struct loop *loop, const char *path, const char *label);
void runtime_client_free(struct runtime_client *client); /* drops what is in flight without calling back; NULL is fine */

/* Exactly one of answer and err is set; both stay ours. Errors: UNAVAILABLE (nobody listens), TIMEOUT, TOO_LARGE, IO. */
typedef void (*runtime_done_fn)(void *arg, const char *answer, struct error *err);
/* `commands`: one line, several commands separated by ";". */
void runtime_send(struct runtime_client *client, const char *commands, runtime_done_fn done, void *arg);
#define RUNTIME_TIMEOUT_MS 3000
#define RUNTIME_MAX_ANSWER (4u * 1024 * 1024)
#endif
