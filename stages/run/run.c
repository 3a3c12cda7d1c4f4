#include "stages/run/run.h"

#include "base/buf.h"

#define MAX_TEXT ((size_t)1024 * 1024) /* as large as a pipeline file may be */

static void check_text(const struct yaml_node *node, struct diag_list *diags)
{
	if (node->text[strspn(node->text, " \t\r\n")] == '\0')
		yaml_error(diags, node, "empty", NULL, "\"run\" has nothing to run");
}

static const struct schema command_schema = {.type = SCHEMA_STRING, .doc = "text for /bin/sh", .check = check_text};
static const struct schema list_schema = {
	.type = SCHEMA_LIST, .doc = "lines of one shell script", .item = &command_schema, .has_min = true, .min = 1};
static const struct schema body_schema = {
	.type = SCHEMA_EITHER,
	.doc = "shell text, or a list of lines; runs as /bin/sh -ec TEXT and ends with the first command that fails",
	.scalar = &command_schema,
	.list = &list_schema,
};

/* From the stage as it was written: nothing is ever filled into the text. What a run knows comes as environment variables. */
static int prepare(const struct stage_facts *facts, struct stage_work *ret, struct error **err)
{
	const struct yaml_node *body = facts->planned->stage->body;
	cleanup_buf struct buf text;
	buf_init(&text, MAX_TEXT);
	if (body->kind == YAML_SCALAR)
		buf_adds(&text, body->text);
	for (size_t i = 0; body->kind == YAML_SEQUENCE && i < body->n; i++)
		buf_addf(&text, "%s\n", body->values[i]->text);
	if (text.failed)
		return error_set(err, ERROR_TOO_LARGE, 0, "run: more than %zu bytes of shell text; put it into a file of the repository", MAX_TEXT);
	struct stage_work work = {.type = WORK_COMMAND};
	strlist_add(&work.argv, "/bin/sh");
	strlist_add(&work.argv, "-ec");
	strlist_add(&work.argv, text.data);
	*ret = work;
	return 0;
}

const struct stage_ops run_stage = {
	.kind = {.name = "run", .doc = "your own commands, run by /bin/sh in the workspace", .schema = &body_schema},
	.prepare = prepare,
};
