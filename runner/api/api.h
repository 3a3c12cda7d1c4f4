/* The JSON API on the command socket (docs/api.md). */
#ifndef RUNNER_API_API_H
#define RUNNER_API_API_H
#include "runner/http/http.h"
extern const struct http_route api_routes[]; /* ends with a NULL method */
#endif
