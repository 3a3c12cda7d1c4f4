/* Between quality_rules.c (what is asked) and quality.c (what is found). */
#ifndef GATES_QUALITY_PRIV_H
#define GATES_QUALITY_PRIV_H

#include "gates/metrics.h"
#include "gates/quality.h"

enum without_baseline { WITHOUT_PASS, WITHOUT_HOLD, WITHOUT_FAIL };

struct quality_rule {
	char *metric;             /* "roc_auc" or "file.latency_ms" */
	bool from_file;
	enum metric_id id;        /* unless from_file */
	char *file, *slice;       /* or NULL */
	bool has_least, has_most, versus_production, has_confidence;
	double least, most, margin;
	double confidence;        /* one-sided; 0.95 unless given */
	uint64_t min_rows;
	enum without_baseline without_baseline;
};

struct quality_rules {
	struct quality_rule *items;
	size_t n;
};
#endif
