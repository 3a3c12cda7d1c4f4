/* Inside stages/build only: the body of a build stage as plain data, and back. The file that `penstock build --spec` reads is
 * such a body (YAML or JSON) with three more keys: revision, title, created. */
#ifndef STAGES_BUILD_BUILD_PRIV_H
#define STAGES_BUILD_BUILD_PRIV_H

#include "artifacts/image_build.h"
#include "base/arena.h"
#include "base/schema.h"

extern const struct schema build_body_schema, build_spec_schema;

struct build_spec {
	const char *image;       /* name without tag: "registry.local/fraud" */
	const char *version;     /* "auto" or as written; NULL: auto */
	struct image_spec spec;  /* without version */
};

/* Reads a node that fits one of the schemas; everything lives in the arena or the node. */
void build_spec_read(const struct yaml_node *node, struct arena *arena, struct build_spec *ret);
/* The spec file's contents; fits build_spec_schema and reads back as the same. New reference. */
json_t *build_spec_json(const struct build_spec *spec);
/* The version of an event: its tag (what no tag of an image may hold becomes "-"), else "YYYY.MM.DD-<run>" with the commit's day in
 * UTC, else (committed_s < 0: unknown) the run's number alone. In the arena. */
const char *build_version(const char *tag, int64_t committed_s, uint64_t run_number, struct arena *arena);
#endif
