/* Inside pipelines/ only: what the steps of parsing share. parse.c drives: triggers.c reads `on`, matrix.c expands a stage into
 * cells, substitute.c fills them, stage.c reads each cell, check.c looks at the graph. */
#ifndef PIPELINES_PARSE_PRIV_H
#define PIPELINES_PARSE_PRIV_H

#include "pipelines/pipeline.h"

#define MATRIX_MAX_CELLS 256
#define PIPELINE_MAX_STAGES 1000    /* after the matrix is expanded */
#define STAGE_MAX_KEYS 100          /* there are about twenty */
#define CELL_MAX_ERRORS 20          /* then the other cells of a matrix are not checked */
#define STAGE_MAX_ID 200            /* bytes; ids become folder names */
#define ENV_MAX 256                 /* variables of one env */
#define FILL_MAX_TEXT (64 * 1024)   /* bytes of one scalar after substitution */
#define FILL_MAX_PLACEHOLDERS 100  /* of one scalar */
#define FILL_MAX_TOTAL (16 << 20)   /* bytes of all scalars that one parse or one plan fills */
#define FILL_MAX_NODES 400000       /* nodes copied because something in them was filled */

/* ---- reading helpers ---- */
struct globs read_globs(struct arena *arena, const struct yaml_node *node); /* a scalar or a list of scalars */
const char *globs_text(struct arena *arena, const struct globs *globs);     /* "[main, dev]", for reasons */
bool is_variable_name(const char *text);                                    /* [A-Za-z_][A-Za-z0-9_]* */
extern const struct schema schema_patterns;                                 /* one pattern or a non-empty list */
void check_env(const struct yaml_node *env, struct diag_list *diags);

/* ---- `on` ---- */
struct parsing;
void read_triggers(struct parsing *parsing, const struct yaml_node *on);
const struct yaml_node *manual_inputs(const struct pipeline *pipeline); /* the mapping of declared inputs, or NULL */
/* NULL, or why the text is no cron expression of five fields. */
const char *cron_problem(struct arena *arena, const char *text);
/* Whether `text` is a value of the declared input; adds a diagnostic at `at` if not. */
bool input_accepts(const struct yaml_node *declaration, const char *name, const char *text, const struct yaml_node *at, struct diag_list *diags);

/* ---- `when` ---- */
extern const struct schema when_schema;
struct when read_when(struct arena *arena, const struct yaml_node *node);

/* ---- matrix ---- */
struct cell {
	struct name_value *values;
	bool *quoted; /* the value was a quoted scalar, so it stays a string where it is filled in */
	size_t n;
};
/* The cells of a stage, at least one unless there were mistakes: a stage without `matrix` has one cell without values. */
size_t matrix_cells(struct parsing *parsing, const char *stage, const struct yaml_node *matrix, struct cell **ret);
/* "train (lr=0.1, model=a)"; a "/" or control byte in a value becomes "_", since ids become folder names. */
const char *cell_id(struct arena *arena, const char *name, const struct cell *cell);

/* ---- substitution ---- */
enum fill_space { FILL_MATRIX = 1, FILL_INPUTS = 2, FILL_GIT = 4 };
struct fill_value {
	const char *name, *value;
	bool quoted;
};
/* Shared by all fills of one parse or one plan. */
struct fill_budget {
	size_t bytes, nodes; /* left */
	bool spent;          /* told already; nothing is filled any more */
};
#define FILL_BUDGET ((struct fill_budget){.bytes = FILL_MAX_TOTAL, .nodes = FILL_MAX_NODES})
struct fill {
	struct arena *arena;
	struct diag_list *diags;
	unsigned spaces; /* filled now; placeholders of other spaces stay as they are */
	const char *stage;
	const struct fill_value *values[3]; /* matrix, inputs, git */
	size_t n_values[3];
	struct fill_budget *budget;
};
/* The node with its placeholders filled in: the node itself if there is nothing to fill, else a copy in the arena with the same
 * positions. What was filled in is never looked at again. Adds a diagnostic for every name without a value. */
const struct yaml_node *fill_node(struct fill *fill, const struct yaml_node *node);
const char *fill_text(struct fill *fill, const struct yaml_node *at, const char *text, bool *ret_quoted);
/* Where placeholders may stand, and which names they may use; `stage` is the stage's mapping as written. */
void check_placeholders(struct parsing *parsing, const struct yaml_node *stage);
/* The same for the `env` of the whole file, which knows no matrix. */
void check_env_placeholders(struct parsing *parsing, const struct yaml_node *env);
/* The same for parts of the file in which none may stand. */
void refuse_placeholders(const struct yaml_node *node, const char *where, struct diag_list *diags);
bool has_placeholder(const char *text);
/* schema_check() that calls the node by its key; true if there was no mistake. */
bool check_named(const struct schema *schema, const struct yaml_node *key, const struct yaml_node *node, struct diag_list *diags);
/* That (schema_check() if key is NULL) and the kind's own check, without complaints about scalars that are still to be filled. */
bool check_body(const struct schema *schema, const struct yaml_node *key, const struct yaml_node *node, struct diag_list *diags);
void check_kind(const struct pipeline *pipeline, const struct stage *stage, struct diag_list *diags);

/* ---- stages ---- */
struct draft {
	struct stage stage;
	const struct yaml_node *key;              /* the stage's name in the file */
	const struct yaml_node *const *need_at;   /* where each of stage.needs was written */
	bool broken;                              /* its own text has mistakes: kinds do not look at it */
	bool in_cycle;
};
struct parsing {
	struct arena *arena;
	struct diag_list *diags;
	const struct stage_kind *const *kinds;
	struct pipeline *pipeline;
	const struct schema *stage_schema;
	const struct yaml_node *root;
	const struct yaml_node *env, *defaults;
	struct draft *drafts;
	size_t n, capacity;
	struct fill_budget budget;
	bool too_many; /* more stages than allowed: told already */
};
const struct schema *stage_schema_new(struct arena *arena, const struct stage_kind *const *kinds);
extern const struct schema defaults_schema, env_schema;
/* Adds the drafts of one entry of `stages`. */
void read_stage(struct parsing *parsing, const struct yaml_node *key, const struct yaml_node *node);

/* ---- the graph ---- */
void resolve_needs(struct parsing *parsing);
void check_graph(struct parsing *parsing);

/* For every diagnostic of `from` that `to` does not have yet. */
void diags_merge(struct diag_list *to, const struct diag_list *from);
#endif
