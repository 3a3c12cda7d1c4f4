/* The rows of registry.c, inside this folder only. */
#ifndef GATES_SEQUENTIAL_ROWS_H
#define GATES_SEQUENTIAL_ROWS_H

#include "gates/sequential/sequential.h"

extern const struct sequential_ops sequential_rate_ratio;
extern const struct sequential_ops sequential_rate_margin;
extern const struct sequential_ops sequential_latency_ratio;
extern const struct sequential_ops sequential_latency_shown;
extern const struct sequential_ops sequential_distance_at_most;
extern const struct sequential_ops sequential_mean_margin;
#endif
