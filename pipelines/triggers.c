/* `on`: which events start the pipeline. */
#include "pipelines/parse_priv.h"

#include <string.h>

static const char *const input_types[] = {"string", "integer", "number", "boolean", "choice", NULL};
static const struct schema input_type = {SCHEMA_ENUM, .choices = input_types};
static const struct schema options = {SCHEMA_LIST, .item = &schema_string, .has_min = true, .min = 1};
static void check_input(const struct yaml_node *node, struct diag_list *diags);
static const struct schema_field input_fields[] = {
	{"type", &input_type, .doc = "what a value must be", .fallback = "string"},
	{"required", &schema_bool, .doc = "a manual run must give it", .fallback = "false"},
	{"default", &schema_string, .doc = "the value if none is given"},
	{"options", &options, .doc = "the values of a choice"},
	{"doc", &schema_string, .doc = "what it is for"},
	{.name = NULL}};
static const struct schema input_schema = {SCHEMA_STRUCT, .fields = input_fields, .check = check_input};
static const struct schema inputs_schema = {SCHEMA_MAP, .item = &input_schema, .has_max = true, .max = 64};

static const struct schema_field push_fields[] = {
	{"branches", &schema_patterns, .doc = "only pushes to these branches"},
	{"paths", &schema_patterns, .doc = "only if one of the changed files matches"},
	{.name = NULL}};
static const struct schema push_schema = {SCHEMA_STRUCT, .fields = push_fields};
static const struct schema_field tag_fields[] = {{"tags", &schema_patterns, .doc = "only these tags"}, {.name = NULL}};
static const struct schema tag_schema = {SCHEMA_STRUCT, .fields = tag_fields};
static const struct schema_field manual_fields[] = {{"inputs", &inputs_schema, .doc = "what a person fills in"}, {.name = NULL}};
static const struct schema manual_schema = {SCHEMA_STRUCT, .fields = manual_fields};
static const struct schema_field drift_fields[] = {
	{"target", &schema_name, .required = true, .doc = "the target whose monitoring asks for a new model"}, {.name = NULL}};
static const struct schema drift_schema = {SCHEMA_STRUCT, .fields = drift_fields};
static void check_cron(const struct yaml_node *node, struct diag_list *diags);
static void check_zone(const struct yaml_node *node, struct diag_list *diags);
static const struct schema cron_schema = {SCHEMA_STRING, .check = check_cron}, zone_schema = {SCHEMA_STRING, .check = check_zone};
static const struct schema_field schedule_fields[] = {
	{"cron", &cron_schema, .required = true, .doc = "minute, hour, day of month, month, day of week"},
	{"timezone", &zone_schema, .doc = "name from the time zone database", .fallback = "UTC"},
	{"branch", &schema_string, .doc = "which branch to run", .fallback = "the default branch"},
	{.name = NULL}};
static const struct schema schedule_row = {SCHEMA_STRUCT, .fields = schedule_fields};
static const struct schema schedule_schema = {SCHEMA_LIST, .item = &schedule_row, .has_min = true, .min = 1};

static const struct {
	const struct schema *schema;
	bool available;
} events[N_EVENT_KINDS] = {
	[EVENT_PUSH] = {&push_schema, true},	     [EVENT_PULL_REQUEST] = {&push_schema, true}, [EVENT_TAG] = {&tag_schema, true},
	[EVENT_SCHEDULE] = {&schedule_schema, false}, [EVENT_MANUAL] = {&manual_schema, true},	  [EVENT_DRIFT] = {&drift_schema, false},
};

static void check_cron(const struct yaml_node *node, struct diag_list *diags)
{
	cleanup_arena struct arena *arena = arena_new();
	const char *problem = cron_problem(arena, node->text);

	if (problem)
		yaml_error(diags, node, "cron", "for example \"0 3 * * 1\": Mondays at 03:00", "\"%s\" is no cron expression: %s", node->text,
			   problem);
}

static void check_zone(const struct yaml_node *node, struct diag_list *diags)
{
	const char *name = node->text;
	size_t len = strlen(name);

	if (len == 0 || len > 64 || strstr(name, "..") || name[0] == '/' ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/") != len)
		yaml_error(diags, node, "timezone", "for example Europe/Berlin", "\"%s\" is no time zone name", name);
}

static void check_input_names(const struct yaml_node *node, struct diag_list *diags)
{
	for (size_t i = 0; node && i < node->n; i++) {
		const char *name = node->keys[i]->text;

		if (!is_variable_name(name) || strlen(name) > 40)
			yaml_error(diags, node->keys[i], "bad-name", "letters, digits and \"_\", at most 40, starting with a letter",
				   "\"%s\" cannot name an input", name);
	}
}

static void check_input(const struct yaml_node *node, struct diag_list *diags)
{
	const struct yaml_node *fallback = yaml_get(node, "default"), *choices = yaml_get(node, "options");
	bool choice = strcmp(yaml_text(yaml_get(node, "type"), "string"), "choice") == 0;

	if (choice && !choices)
		yaml_error(diags, yaml_get(node, "type"), "missing-key", "for example options: [small, big]", "a choice needs options");
	if (!choice && choices)
		yaml_error(diags, yaml_get_key(node, "options"), "wrong-type", NULL, "only an input of type choice has options");
	if (fallback && (!choice || choices))
		input_accepts(node, NULL, fallback->text, fallback, diags);
}

bool input_accepts(const struct yaml_node *declaration, const char *name, const char *text, const struct yaml_node *at, struct diag_list *diags)
{
	const struct yaml_node value = {.kind = YAML_SCALAR, .text = text}, *choices = yaml_get(declaration, "options");
	const char *type = yaml_text(yaml_get(declaration, "type"), "string"), *near = NULL;
	const char *list[64];
	size_t n = 0;
	int64_t integer;
	double number;
	bool boolean, ok = true;

	if (strcmp(type, "integer") == 0)
		ok = yaml_int(&value, &integer);
	else if (strcmp(type, "number") == 0)
		ok = yaml_number(&value, &number);
	else if (strcmp(type, "boolean") == 0)
		ok = yaml_bool(&value, &boolean);
	if (strcmp(type, "choice") == 0) {
		for (ok = false; choices && n < choices->n && n < ARRAY_SIZE(list); n++) {
			list[n] = yaml_text(choices->values[n], "");
			ok = ok || strcmp(list[n], text) == 0;
		}
		near = nearest_word(text, list, n);
	}
	if (!ok) {
		char hint[200];

		snprintf(hint, sizeof(hint), "did you mean \"%.150s\"?", near ? near : "");
		type = strcmp(type, "choice") == 0 ? "option" : type;
		if (name)
			yaml_error(diags, at, "input", near ? hint : NULL, "\"%s\" is no %s for input \"%s\"", text, type, name);
		else
			yaml_error(diags, at, "input", near ? hint : NULL, "the default \"%s\" is no %s", text, type);
	}
	return ok;
}

const struct yaml_node *manual_inputs(const struct pipeline *pipeline)
{
	const struct yaml_node *inputs = yaml_get(pipeline->on[EVENT_MANUAL].node, "inputs");

	return inputs && inputs->kind == YAML_MAPPING ? inputs : NULL;
}

static void enable(struct parsing *parsing, const struct yaml_node *name, const struct yaml_node *node)
{
	const char *words[N_EVENT_KINDS];
	const char *near;
	struct trigger *trigger;
	size_t kind;

	for (kind = 0; kind < N_EVENT_KINDS; kind++) {
		words[kind] = event_kind_name((enum event_kind)kind);
		if (strcmp(words[kind], name->text) == 0)
			break;
	}
	if (kind == N_EVENT_KINDS) {
		near = nearest_word(name->text, words, N_EVENT_KINDS);
		yaml_error(parsing->diags, name, "unknown-event",
			   near ? arena_printf(parsing->arena, "did you mean \"%s\"?", near)
				: "events are push, pull_request, tag, manual, schedule and drift",
			   "there is no event \"%s\"", name->text);
		return;
	}
	trigger = &parsing->pipeline->on[kind];
	if (trigger->enabled)
		yaml_error(parsing->diags, name, "duplicate", NULL, "event \"%s\" is listed twice", name->text);
	trigger->enabled = true;
	if (!events[kind].available)
		yaml_error(parsing->diags, name, "unsupported", NULL, "\"%s\" triggers are not available in this build", name->text);
	if (!node || node->kind == YAML_NULL) {
		if (!events[kind].available)
			yaml_error(parsing->diags, name, "missing-key", NULL, "event \"%s\" needs its settings", name->text);
		return;
	}
	refuse_placeholders(node, "on", parsing->diags);
	trigger->node = node;
	check_named(events[kind].schema, name, node, parsing->diags);
	if (kind == EVENT_MANUAL)
		check_input_names(manual_inputs(parsing->pipeline), parsing->diags);
	trigger->branches = read_globs(parsing->arena, yaml_get(node, "branches"));
	trigger->tags = read_globs(parsing->arena, yaml_get(node, "tags"));
	trigger->paths = read_globs(parsing->arena, yaml_get(node, "paths"));
}

void read_triggers(struct parsing *parsing, const struct yaml_node *on)
{
	struct pipeline *pipeline = parsing->pipeline;

	if (!on) {
		pipeline->on[EVENT_PUSH].enabled = pipeline->on[EVENT_MANUAL].enabled = true;
		return;
	}
	pipeline->has_on = true;
	if (on->kind == YAML_SCALAR)
		enable(parsing, on, NULL);
	else if (on->kind == YAML_NULL || on->n == 0)
		yaml_error(parsing->diags, on->kind == YAML_NULL ? yaml_get_key(parsing->root, "on") : on, "wrong-type",
			   "leave `on` out to run on every push and by hand", "`on` names no event, so nothing would ever start this pipeline");
	for (size_t i = 0; on->kind == YAML_SEQUENCE && i < on->n; i++) {
		if (on->values[i]->kind == YAML_SCALAR)
			enable(parsing, on->values[i], NULL);
		else
			yaml_error(parsing->diags, on->values[i], "wrong-type", "settings of events need the form on: {push: {branches: [main]}}",
				   "a list of events holds names only");
	}
	for (size_t i = 0; on->kind == YAML_MAPPING && i < on->n; i++)
		enable(parsing, on->keys[i], on->values[i]);
}
