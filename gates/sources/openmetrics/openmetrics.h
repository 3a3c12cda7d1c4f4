/* The kind "openmetrics", and with it the built-in source "app": scrapes http://<instance>/metrics of every ready copy of both arms. All must
 * answer. */
#ifndef GATES_SOURCES_OPENMETRICS_OPENMETRICS_H
#define GATES_SOURCES_OPENMETRICS_OPENMETRICS_H

#include "gates/sources/source.h"

extern const struct source_ops openmetrics_source;
#endif
