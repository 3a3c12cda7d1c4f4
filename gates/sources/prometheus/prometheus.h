/* The kind "prometheus": instant queries for counters and distributions, range queries for values. */
#ifndef GATES_SOURCES_PROMETHEUS_PROMETHEUS_H
#define GATES_SOURCES_PROMETHEUS_PROMETHEUS_H

#include "gates/sources/source.h"

extern const struct source_ops prometheus_source;
#endif
