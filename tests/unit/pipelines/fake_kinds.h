/* Stage kinds for tests of the language, which must not know the real ones (stages/ stands above pipelines/). */
#ifndef TESTS_FAKE_KINDS_H
#define TESTS_FAKE_KINDS_H

#include "pipelines/pipeline.h"

#include <string.h>

static const struct schema_field fake_validate_fields[] = {
	{"data", &schema_path, .required = true}, {"schema", &schema_path, .required = true}, {.name = NULL}};
static const struct schema fake_validate = {SCHEMA_STRUCT, .fields = fake_validate_fields};
static const struct schema fake_count = {SCHEMA_INTEGER, .has_min = true, .min = 1, .has_max = true, .max = 100};
static const struct schema_field fake_deploy_fields[] = {
	{.name = "target", .schema = &schema_name, .required = true},
	{.name = "image", .schema = &schema_string, .required = true},
	{.name = "replicas", .schema = &fake_count},
	{.name = "health", .schema = &schema_any},
	{.name = "strategy", .schema = &schema_any},
	{.name = "analysis", .schema = &schema_any},
	{.name = "keep_old", .schema = &schema_duration},
	{.name = NULL}};
static const struct schema fake_deploy = {SCHEMA_STRUCT, .fields = fake_deploy_fields};

/* As the real one: `image` names a build stage. */
static inline void fake_deploy_check(const struct pipeline *pipeline, const struct stage *stage, struct diag_list *diags)
{
	const struct yaml_node *image = yaml_get(stage->body, "image");
	long at = pipeline_find(pipeline, yaml_text(image, ""));

	if (at < 0 || strcmp(pipeline->stages[at].kind, "build") != 0)
		yaml_error(diags, image, "unknown-stage", NULL, "\"%s\" is no build stage", yaml_text(image, ""));
}

static const struct stage_kind fake_kind_run = {.name = "run", .doc = "a command", .schema = &schema_string};
static const struct stage_kind fake_kind_validate = {.name = "validate", .doc = "checks data", .schema = &fake_validate};
static const struct stage_kind fake_kind_score = {.name = "score", .doc = "measures", .schema = &schema_any};
static const struct stage_kind fake_kind_gate = {.name = "gate", .doc = "decides", .schema = &schema_any};
static const struct stage_kind fake_kind_build = {.name = "build", .doc = "packs", .schema = &schema_any};
static const struct stage_kind fake_kind_deploy = {.name = "deploy", .doc = "releases", .schema = &fake_deploy, .check = fake_deploy_check};
static const struct stage_kind fake_kind_scan = {.name = "scan", .doc = "looks", .schema = &schema_any};
static const struct stage_kind fake_kind_chart = {
	.name = "chart", .doc = "packs charts", .schema = &schema_any, .unavailable = "chart stages wait for the next release"};

/* What the language finds in this build. */
static const struct stage_kind *const fake_kinds[] = {&fake_kind_run,   &fake_kind_validate, &fake_kind_score, &fake_kind_gate,
						      &fake_kind_build, &fake_kind_deploy,   &fake_kind_chart, NULL};
/* With one that this build lacks. */
static const struct stage_kind *const fake_kinds_with_scan[] = {&fake_kind_run,	  &fake_kind_validate, &fake_kind_score, &fake_kind_gate,
								&fake_kind_build, &fake_kind_deploy,   &fake_kind_scan,	 NULL};
#endif
