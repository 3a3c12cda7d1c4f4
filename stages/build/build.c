#include "stages/build/build.h"

#include "stages/build/build_priv.h"

#define SPEC_NAME "build.json"
#define LAYOUT "/run/penstock/layout"
#define MAX_TIME 253402300799LL /* the end of the year 9999 */

/* The commit's time in seconds since 1970 from the stage's environment, or -1. The stage is pure: it asks no clock, and a
 * repeated run gets the same version. */
static int64_t committed_at(const struct plan_stage *planned)
{
	static const char *const names[] = {"CI_COMMIT_TIMESTAMP", "SOURCE_DATE_EPOCH"};
	for (size_t n = 0; n < ARRAY_SIZE(names); n++)
		for (size_t i = 0; i < planned->n_env; i++) {
			const char *text = planned->env[i].value;
			if (strcmp(planned->env[i].name, names[n]) != 0)
				continue;
			size_t digits = strspn(text, "0123456789");
			long long seconds = digits > 0 && digits <= 12 && !text[digits] ? strtoll(text, NULL, 10) : -1;
			if (seconds >= 0 && seconds <= MAX_TIME)
				return seconds;
		}
	return -1;
}

static int prepare(const struct stage_facts *facts, struct stage_work *ret, struct error **err)
{
	(void)err; /* The body fits its schema, so nothing can be wrong any more. */
	struct build_spec spec;
	build_spec_read(facts->planned->body, facts->arena, &spec);
	const struct event_facts *event = facts->event;
	int64_t committed = committed_at(facts->planned);
	if (!spec.version || strcmp(spec.version, "auto") == 0)
		spec.version = build_version(event->kind == EVENT_TAG ? event->tag : NULL, committed, event->run_number, facts->arena);
	spec.spec.created = committed > 0 ? committed : 0;
	spec.spec.revision = event->commit && event->commit[0] ? event->commit : NULL;

	cleanup_json json_t *json = build_spec_json(&spec);
	struct stage_work work = {.type = WORK_COMMAND, .native = true, .makes_image = true, .n_in_files = 1};
	work.in_files[0].name = xstrdup(SPEC_NAME);
	work.in_files[0].bytes = json_text_pretty(json);
	static const char *const argv[] = {STAGE_BINARY, "build", "--spec", STAGE_IN "/" SPEC_NAME, "--context", STAGE_WORKSPACE,
					   "--layout",   LAYOUT,  "--tag",  "image",                "--format",  "json"};
	for (size_t i = 0; i < ARRAY_SIZE(argv); i++)
		strlist_add(&work.argv, argv[i]);
	*ret = work;
	return 0;
}

const struct stage_ops build_stage = {
	.kind = {.name = "build", .doc = "an OCI image from files of the workspace", .schema = &build_body_schema},
	.prepare = prepare,
};
