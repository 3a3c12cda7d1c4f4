#include "gates/sequential/rows.h"

#include <stdlib.h>

const struct sequential_ops *const *sequential_registry(void)
{
	static const struct sequential_ops *const rows[] = {
		&sequential_rate_ratio,
		&sequential_rate_margin,
		&sequential_latency_ratio,
		&sequential_latency_shown,
		&sequential_distance_at_most,
		&sequential_mean_margin,
		NULL,
	};
	return rows;
}

const struct sequential_ops *sequential_for(const struct analysis_metric *metric)
{
	for (const struct sequential_ops *const *row = sequential_registry(); *row; row++)
		if ((*row)->kind == metric->kind && (*row)->takes(metric))
			return *row;
	abort(); /* each kind's last row takes everything */
}
