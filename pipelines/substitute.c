/* `${{ space.name }}` in parsed scalars. The text of a file is parsed first and filled in afterwards, so nothing that is filled in
 * can change the structure of a pipeline; and it is never filled into what a shell reads. */
#include "pipelines/parse_priv.h"

#include "base/buf.h"

#include <ctype.h>
#include <string.h>

static const char *const space_names[] = {"matrix", "inputs", "git"};
static const char *const git_names[] = {"sha", "short_sha"};
/* What the world outside decides: a branch name can be anything, so commands get it as a variable and nothing else gets it. */
static const struct {
	const char *name, *variable;
} event_data[] = {
	{"branch", "CI_COMMIT_BRANCH"}, {"tag", "CI_COMMIT_TAG"},	  {"ref", "CI_COMMIT_REF"},
	{"message", "CI_COMMIT_MESSAGE"}, {"author", "CI_COMMIT_AUTHOR"}, {"before", "CI_COMMIT_BEFORE"},
};

struct placeholder {
	size_t start, len; /* in bytes of the text, "${{" and "}}" included */
	bool closed, well_formed;
	char space[64], name[64];
};

bool has_placeholder(const char *text)
{
	return text && strstr(text, "${{");
}

static const char *skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

static const char *read_word(const char *p, char *ret, size_t size)
{
	size_t n = 0;

	while (isalnum((unsigned char)p[n]) || p[n] == '_' || (n > 0 && p[n] == '-'))
		n++;
	if (n == 0 || n >= size)
		return NULL;
	memcpy(ret, p, n);
	ret[n] = '\0';
	return p + n;
}

/* The first placeholder at or behind text + from; false if there is none. */
static bool find_placeholder(const char *text, size_t from, struct placeholder *ret)
{
	const char *start = strstr(text + from, "${{"), *p, *end;

	if (!start)
		return false;
	*ret = (struct placeholder){.start = (size_t)(start - text), .len = 3};
	end = strstr(start, "}}");
	if (!end) {
		ret->len = strlen(start); /* nothing behind it can be one either */
		return true;
	}
	ret->closed = true;
	ret->len = (size_t)(end + 2 - start);
	p = read_word(skip_blanks(start + 3), ret->space, sizeof(ret->space));
	if (!p || *p != '.')
		return true;
	p = read_word(p + 1, ret->name, sizeof(ret->name));
	ret->well_formed = p && skip_blanks(p) == end;
	return true;
}

static unsigned characters(const char *text, size_t len)
{
	unsigned n = 0;

	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)text[i] & 0xc0) != 0x80;
	return n;
}

/* The placeholder's own place where that can be told (a scalar on one line without escapes), else the scalar's. */
static struct yaml_node place_of(const struct yaml_node *node, const char *text, const struct placeholder *found)
{
	struct yaml_node at = *node;
	unsigned length = characters(text, strlen(text));

	size_t shown = found->closed ? found->len : strlen("${{");

	if (node->end_column < node->column || strchr(text, '\n'))
		return at;
	if (node->end_column - node->column == length + (node->quoted ? 2 : 0)) {
		at.column += characters(text, found->start) + (node->quoted ? 1 : 0);
		at.end_column = at.column + characters(text + found->start, shown);
	}
	return at;
}

static int space_index(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(space_names); i++) {
		if (strcmp(space_names[i], word) == 0)
			return (int)i;
	}
	return -1;
}

static const char *suggestion(struct arena *arena, const char *word, const char *const *candidates, size_t n)
{
	const char *near = nearest_word(word, candidates, n);

	return near ? arena_printf(arena, "did you mean \"%s\"?", near) : NULL;
}

/* ---- checking ---- */

struct rules {
	struct parsing *parsing;
	unsigned spaces;
	const char *where; /* for messages when spaces lacks one: "run", "needs" */
	bool body;         /* inside a body, where the names of targets and secrets are never filled */
};

static const char *upper_variable(struct arena *arena, const char *prefix, const char *name)
{
	char *text = arena_printf(arena, "%s%s", prefix, name);

	for (char *p = text; *p; p++)
		*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
	return text;
}

static const char *hint_for_commands(struct arena *arena, const struct placeholder *found)
{
	const char *variable = NULL;

	if (strcmp(found->space, "matrix") == 0)
		variable = upper_variable(arena, "PENSTOCK_MATRIX_", found->name);
	else if (strcmp(found->space, "inputs") == 0)
		variable = upper_variable(arena, "PENSTOCK_INPUT_", found->name);
	else if (strcmp(found->space, "git") == 0 && strcmp(found->name, "sha") == 0)
		variable = "CI_COMMIT_SHA";
	return variable ? arena_printf(arena, "the command finds it in the environment: \"$%s\"", variable)
			: "put the value into env and read the variable in the command";
}

static void check_git_name(struct parsing *parsing, const struct yaml_node *at, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(git_names); i++) {
		if (strcmp(git_names[i], name) == 0)
			return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(event_data); i++) {
		if (strcmp(event_data[i].name, name) == 0) {
			yaml_error(parsing->diags, at, "substitution",
				   arena_printf(parsing->arena, "commands find it in the environment: \"$%s\"", event_data[i].variable),
				   "\"git.%s\" comes from outside and is never filled into a pipeline", name);
			return;
		}
	}
	yaml_error(parsing->diags, at, "substitution", suggestion(parsing->arena, name, git_names, ARRAY_SIZE(git_names)),
		   "there is no \"git.%s\"; expected git.sha or git.short_sha", name);
}

static void check_input_name(struct parsing *parsing, const struct yaml_node *at, const char *name)
{
	const struct yaml_node *inputs = manual_inputs(parsing->pipeline);
	cleanup_free const char **names = NULL;

	if (yaml_get(inputs, name))
		return;
	if (!inputs || inputs->n == 0) {
		yaml_error(parsing->diags, at, "substitution", "declare it under on.manual.inputs",
			   "\"inputs.%s\" is not declared: the pipeline has no manual inputs", name);
		return;
	}
	names = calloc(inputs->n, sizeof(*names));
	for (size_t i = 0; names && i < inputs->n; i++)
		names[i] = inputs->keys[i]->text;
	yaml_error(parsing->diags, at, "substitution", names ? suggestion(parsing->arena, name, names, inputs->n) : NULL,
		   "\"inputs.%s\" is not declared under on.manual.inputs", name);
}

static void check_one(const struct rules *rules, const struct yaml_node *at, const char *text, const struct placeholder *found)
{
	struct parsing *parsing = rules->parsing;
	int space = found->well_formed ? space_index(found->space) : -1;

	if (rules->spaces == 0) {
		bool run = strcmp(rules->where, "run") == 0;
		size_t shown = found->len < 80 ? found->len : 80;

		yaml_error(parsing->diags, at, "substitution", run ? hint_for_commands(parsing->arena, found) : NULL,
			   "\"%.*s\": nothing is ever filled into %s", (int)shown, text + found->start, rules->where);
	} else if (!found->closed) {
		yaml_error(parsing->diags, at, "substitution", NULL, "\"${{\" has no closing \"}}\"");
	} else if (!found->well_formed) {
		yaml_error(parsing->diags, at, "substitution", "expected ${{ matrix.NAME }}, ${{ inputs.NAME }} or ${{ git.sha }}",
			   "\"%.*s\" is not understood", (int)(found->len < 80 ? found->len : 80), text + found->start);
	} else if (space < 0) {
		yaml_error(parsing->diags, at, "substitution",
			   suggestion(parsing->arena, found->space, space_names, ARRAY_SIZE(space_names)),
			   "there is no \"%s\"; expected matrix, inputs or git", found->space);
	} else if (space == 0 && !(rules->spaces & FILL_MATRIX)) {
		yaml_error(parsing->diags, at, "substitution", "put it into the env of that stage",
			   "\"matrix.%s\" is known only in a stage that has a matrix", found->name);
	} else if (!(rules->spaces & 1u << space)) {
		yaml_error(parsing->diags, at, "substitution", NULL, "\"%s.%s\" is known only when a run starts; %s can use matrix values only",
			   found->space, found->name, rules->where);
	} else if (space == 1) {
		check_input_name(parsing, at, found->name);
	} else if (space == 2) {
		check_git_name(parsing, at, found->name);
	}
}

static void check_text(const struct rules *rules, const struct yaml_node *node)
{
	struct placeholder found;
	size_t from = 0, n = 0;

	if (has_placeholder(node->text) && strlen(node->text) > FILL_MAX_TEXT) {
		yaml_error(rules->parsing->diags, node, "too-large", NULL, "a value with \"${{\" has at most %d bytes", FILL_MAX_TEXT);
		return;
	}
	while (find_placeholder(node->text, from, &found)) {
		struct yaml_node at = place_of(node, node->text, &found);

		if (n++ == FILL_MAX_PLACEHOLDERS) {
			yaml_error(rules->parsing->diags, &at, "too-large", NULL, "a value has at most %d \"${{ }}\"", FILL_MAX_PLACEHOLDERS);
			return;
		}

		check_one(rules, &at, node->text, &found);
		from = found.start + found.len;
	}
}

static void check_tree(struct rules rules, const struct yaml_node *node)
{
	if (node->kind == YAML_SCALAR)
		check_text(&rules, node);
	for (size_t i = 0; node->kind == YAML_SEQUENCE && i < node->n; i++)
		check_tree(rules, node->values[i]);
	for (size_t i = 0; node->kind == YAML_MAPPING && i < node->n; i++) {
		const char *key = node->keys[i]->text;
		struct rules below = rules, none = rules;

		none.spaces = 0;
		none.where = "keys";
		if (has_placeholder(key))
			check_text(&none, node->keys[i]);
		if (rules.body && (strcmp(key, "target") == 0 || strcmp(key, "secret") == 0 || strcmp(key, "secrets") == 0)) {
			below.spaces = 0;
			below.where = strcmp(key, "target") == 0 ? "the name of a target" : "the name of a secret";
		}
		check_tree(below, node->values[i]);
	}
}

static bool is_kind(const struct parsing *parsing, const char *key)
{
	for (size_t i = 0; parsing->kinds[i]; i++) {
		if (strcmp(parsing->kinds[i]->name, key) == 0)
			return true;
	}
	return false;
}

void check_placeholders(struct parsing *parsing, const struct yaml_node *stage)
{
	static const char *const never[] = {"run", "secrets", "matrix"};

	if (stage->kind != YAML_MAPPING)
		return;
	for (size_t i = 0; i < stage->n; i++) {
		const char *key = stage->keys[i]->text;
		struct rules rules = {parsing, FILL_MATRIX, key, false};

		if (is_kind(parsing, key) || strcmp(key, "env") == 0)
			rules.spaces = FILL_MATRIX | FILL_INPUTS | FILL_GIT;
		rules.body = is_kind(parsing, key);
		for (size_t j = 0; j < ARRAY_SIZE(never); j++) {
			if (strcmp(key, never[j]) == 0)
				rules.spaces = 0;
		}
		check_tree(rules, stage->values[i]);
	}
}

void check_env_placeholders(struct parsing *parsing, const struct yaml_node *env)
{
	struct rules rules = {parsing, FILL_INPUTS | FILL_GIT, "env", false};

	if (env)
		check_tree(rules, env);
}

void refuse_placeholders(const struct yaml_node *node, const char *where, struct diag_list *diags)
{
	struct parsing parsing = {.diags = diags};
	struct rules rules = {&parsing, 0, where, false};

	if (node)
		check_tree(rules, node);
}

/* ---- filling ---- */

static const struct fill_value *fill_lookup(const struct fill *fill, int space, const char *name)
{
	for (size_t i = 0; i < fill->n_values[space]; i++) {
		if (strcmp(fill->values[space][i].name, name) == 0)
			return &fill->values[space][i];
	}
	return NULL;
}

static void report_missing(struct fill *fill, const struct yaml_node *at, const struct placeholder *found, int space)
{
	const char **names = arena_alloc(fill->arena, (fill->n_values[space] + 1) * sizeof(*names));

	for (size_t i = 0; i < fill->n_values[space]; i++)
		names[i] = fill->values[space][i].name;
	if (fill->n_values[space] == 0 && space == 0)
		yaml_error(fill->diags, at, "substitution", NULL, "\"matrix.%s\": stage \"%s\" has no matrix", found->name, fill->stage);
	else
		yaml_error(fill->diags, at, "substitution", suggestion(fill->arena, found->name, names, fill->n_values[space]),
			   "\"%s.%s\" has no value in stage \"%s\"", found->space, found->name, fill->stage);
}

const char *fill_text(struct fill *fill, const struct yaml_node *node, const char *text, bool *ret_quoted)
{
	cleanup_buf struct buf out = {0};
	struct placeholder found;
	size_t from = 0, n = 0;

	if (!has_placeholder(text) || strlen(text) > FILL_MAX_TEXT)
		return text;
	buf_init(&out, FILL_MAX_TEXT);
	for (; find_placeholder(text, from, &found); from = found.start + found.len) {
		int space = found.well_formed ? space_index(found.space) : -1;
		const struct fill_value *value = space >= 0 ? fill_lookup(fill, space, found.name) : NULL;

		if (n++ == FILL_MAX_PLACEHOLDERS)
			return text; /* told by check_placeholders() */
		buf_add(&out, text + from, found.start - from);
		if (space < 0 || !(fill->spaces & 1u << space)) {
			buf_add(&out, text + found.start, found.len);
			continue;
		}
		if (!value) {
			struct yaml_node at = place_of(node, text, &found);

			report_missing(fill, &at, &found, space);
			continue;
		}
		buf_adds(&out, value->value);
		/* `cpu: "${{ matrix.cpu }}"` has to be quoted in flow style and still means the number. */
		if (found.start == 0 && text[found.len] == '\0')
			*ret_quoted = value->quoted;
	}
	buf_adds(&out, text + from);
	if (out.failed || out.len > fill->budget->bytes) {
		if (!fill->budget->spent)
			yaml_error(fill->diags, node, "too-large", NULL,
				   "too large after substitution: more than %u bytes in one value, or %u in all", (unsigned)FILL_MAX_TEXT,
				   (unsigned)FILL_MAX_TOTAL);
		fill->budget->spent = true;
		return "";
	}
	fill->budget->bytes -= out.len;
	return arena_strndup(fill->arena, out.data, out.len);
}

static struct yaml_node *copy_node(struct fill *fill, const struct yaml_node *node)
{
	struct yaml_node *copy = arena_alloc(fill->arena, sizeof(*copy));

	*copy = *node;
	if (node->kind == YAML_SEQUENCE || node->kind == YAML_MAPPING) {
		copy->values = arena_alloc(fill->arena, (node->n + 1) * sizeof(*copy->values));
		memcpy(copy->values, node->values, node->n * sizeof(*copy->values));
	}
	return copy;
}

static bool tree_has_placeholder(const struct yaml_node *node)
{
	if (node->kind == YAML_SCALAR)
		return has_placeholder(node->text);
	if (node->kind != YAML_SEQUENCE && node->kind != YAML_MAPPING)
		return false;
	for (size_t i = 0; i < node->n; i++) {
		if (tree_has_placeholder(node->values[i]))
			return true;
	}
	return false;
}

/* Copies every collection above something that is filled; `fill_node` has made sure that there is something. */
static struct yaml_node *fill_copy(struct fill *fill, struct yaml_node *node)
{
	struct yaml_node *copy;

	if (fill->budget->spent || !tree_has_placeholder(node))
		return node;
	if (fill->budget->nodes < node->n + 1) {
		yaml_error(fill->diags, node, "too-large", NULL, "the pipeline is too large after its matrix is expanded");
		fill->budget->spent = true;
		return node;
	}
	fill->budget->nodes -= node->n + 1;
	copy = copy_node(fill, node);
	if (node->kind == YAML_SCALAR) {
		copy->text = fill_text(fill, node, node->text, &copy->quoted);
		return copy;
	}
	for (size_t i = 0; i < node->n; i++)
		copy->values[i] = fill_copy(fill, node->values[i]);
	return copy;
}

const struct yaml_node *fill_node(struct fill *fill, const struct yaml_node *node)
{
	/* Only the pointers of collections are shared with the source, which nobody writes to: the cast keeps one walker. */
	return node ? fill_copy(fill, (struct yaml_node *)(uintptr_t)node) : NULL;
}
