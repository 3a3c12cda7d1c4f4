#include "stages/stage.h"

#include "stages/build/build.h"
#include "stages/deploy/deploy.h"
#include "stages/gate/gate.h"
#include "stages/run/run.h"
#include "stages/score/score.h"
#include "stages/validate/validate.h"

static int refuse(const struct stage_facts *facts, struct stage_work *ret, struct error **err)
{
	(void)ret;
	return error_set(err, ERROR_UNSUPPORTED, 0, "%s", facts->planned->stage->kind_row->unavailable);
}

/* Kinds that the language knows and this build refuses, so that nobody's stage is silently left out. */
#define UNAVAILABLE(kind_name, what)                                                                                           \
	{                                                                                                                       \
		.kind = {.name = kind_name, .doc = what, .schema = &schema_any, .unavailable = kind_name " stages are not available in this build"}, \
		.prepare = refuse,                                                                                              \
	}
static const struct stage_ops scan_stage = UNAVAILABLE("scan", "known vulnerabilities of locked dependencies");
static const struct stage_ops chart_stage = UNAVAILABLE("chart", "a Helm chart, packaged and pushed");
static const struct stage_ops approve_stage = UNAVAILABLE("approve", "a person's consent, bound to the commit");

/* One row a kind; the order is that of the manual. */
static const struct stage_ops *const rows[] = {
	&run_stage, &validate_stage, &score_stage, &gate_stage, &build_stage, &deploy_stage, &scan_stage, &chart_stage, &approve_stage, NULL};

const struct stage_ops *const *stage_registry(void)
{
	return rows;
}

const struct stage_ops *stage_find(const char *name)
{
	for (const struct stage_ops *const *row = rows; *row; row++)
		if (strcmp((*row)->kind.name, name) == 0)
			return *row;
	return NULL;
}

const struct stage_kind *const *stage_kinds(void)
{
	static const struct stage_kind *kinds[ARRAY_SIZE(rows)]; /* filled with the same pointers whenever asked */
	for (size_t i = 0; i + 1 < ARRAY_SIZE(rows); i++)
		kinds[i] = &rows[i]->kind;
	return kinds;
}
