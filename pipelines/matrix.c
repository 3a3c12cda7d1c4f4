#include "pipelines/parse_priv.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <string.h>

/* A stage's `matrix`: every combination of the axes, less those that a row of `exclude` names, and `include` on top: a row whose
 * axis values fit some combinations adds its other keys to them, any other row is a cell of its own. */

#define MAX_AXES 16
#define MAX_VALUES 32 /* of one cell, with those that include adds */
#define MAX_VALUE 100 /* bytes */

struct grid {
	struct parsing *parsing;
	const char *stage;
	const struct yaml_node *matrix;
	size_t axes[MAX_AXES]; /* indexes of the pairs of the mapping that are axes */
	size_t n_axes;
	struct cell *cells;
	size_t n, capacity, n_product; /* the first n_product cells come from the axes */
};

static bool is_axis_name(const char *text)
{
	char first = text[0];

	if (!((first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') || first == '_') || strlen(text) > 40)
		return false;
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == strlen(text);
}

static bool value_ok(struct grid *grid, const struct yaml_node *value)
{
	struct diag_list *diags = grid->parsing->diags;

	if (value->kind != YAML_SCALAR || !*value->text) {
		yaml_error(diags, value, "wrong-type", NULL, "a matrix value is a single text, number or boolean");
		return false;
	}
	if (has_placeholder(value->text))
		return false; /* told by check_placeholders() */
	if (strlen(value->text) > MAX_VALUE) {
		yaml_error(diags, value, "too-large", NULL, "a matrix value has at most %d bytes", MAX_VALUE);
		return false;
	}
	return true;
}

static bool axis_ok(struct grid *grid, const struct yaml_node *key, const struct yaml_node *values)
{
	struct diag_list *diags = grid->parsing->diags;
	bool ok = true;

	if (!is_axis_name(key->text)) {
		yaml_error(diags, key, "bad-name", "letters, digits, \"_\" and \"-\", at most 40, starting with a letter",
			   "\"%s\" cannot name a matrix axis", key->text);
		return false;
	}
	if (values->kind != YAML_SEQUENCE || values->n == 0) {
		yaml_error(diags, values->kind == YAML_NULL ? key : values, "wrong-type", "for example lr: [0.1, 0.01]",
			   "matrix axis \"%s\" needs a list with at least one value", key->text);
		return false;
	}
	if (values->n > MATRIX_MAX_CELLS) {
		yaml_error(diags, key, "matrix-size", NULL, "matrix axis \"%s\" has %zu values; a matrix has at most %d cells", key->text,
			   values->n, MATRIX_MAX_CELLS);
		return false;
	}
	for (size_t i = 0; i < values->n; i++) {
		if (!value_ok(grid, values->values[i])) {
			ok = false;
			continue;
		}
		for (size_t j = 0; j < i; j++) {
			if (values->values[j]->kind == YAML_SCALAR && strcmp(values->values[j]->text, values->values[i]->text) == 0) {
				yaml_error(diags, values->values[i], "duplicate", NULL, "matrix axis \"%s\" has the value \"%s\" twice",
					   key->text, values->values[i]->text);
				ok = false;
				break;
			}
		}
	}
	return ok;
}

static bool rows_ok(struct grid *grid, const struct yaml_node *rows, const char *what)
{
	struct diag_list *diags = grid->parsing->diags;
	bool ok = true;

	if (!rows)
		return true;
	if (rows->kind != YAML_SEQUENCE || rows->n > MATRIX_MAX_CELLS) {
		yaml_error(diags, rows, "wrong-type", NULL, "matrix %s needs a list of mappings, at most %d", what, MATRIX_MAX_CELLS);
		return false;
	}
	for (size_t i = 0; i < rows->n; i++) {
		const struct yaml_node *row = rows->values[i];

		if (row->kind != YAML_MAPPING || row->n == 0 || row->n > MAX_AXES) {
			yaml_error(diags, row, "wrong-type", "for example {lr: 0.1, model: big}", "a row of matrix %s is a mapping of values", what);
			ok = false;
			continue;
		}
		for (size_t j = 0; j < row->n; j++) {
			if (!is_axis_name(row->keys[j]->text)) {
				yaml_error(diags, row->keys[j], "bad-name", NULL, "\"%s\" cannot name a matrix value", row->keys[j]->text);
				ok = false;
			}
			ok = value_ok(grid, row->values[j]) && ok;
		}
	}
	return ok;
}

static bool is_axis(const struct grid *grid, const char *name)
{
	for (size_t i = 0; i < grid->n_axes; i++) {
		if (strcmp(grid->matrix->keys[grid->axes[i]]->text, name) == 0)
			return true;
	}
	return false;
}

static void cell_add(struct grid *grid, struct cell *cell, const struct yaml_node *key, const struct yaml_node *value)
{
	struct arena *arena = grid->parsing->arena;
	struct name_value *values = arena_alloc(arena, (cell->n + 1) * sizeof(*values));
	bool *quoted = arena_alloc(arena, (cell->n + 1) * sizeof(*quoted));

	for (size_t i = 0; i < cell->n; i++) {
		values[i] = cell->values[i];
		quoted[i] = cell->quoted[i];
	}
	values[cell->n] = (struct name_value){key->text, value->text};
	quoted[cell->n] = value->quoted;
	cell->values = values;
	cell->quoted = quoted;
	cell->n++;
}

static const char *cell_get(const struct cell *cell, const char *name)
{
	for (size_t i = 0; i < cell->n; i++) {
		if (strcmp(cell->values[i].name, name) == 0)
			return cell->values[i].value;
	}
	return NULL;
}

static void grid_push(struct grid *grid, struct cell cell)
{
	grid->cells = xgrow(grid->cells, &grid->capacity, grid->n + 1, sizeof(*grid->cells));
	grid->cells[grid->n++] = cell;
}

static bool excluded(struct grid *grid, const struct cell *cell, const struct yaml_node *exclude, bool *used)
{
	bool out = false;

	(void)grid;
	for (size_t i = 0; exclude && i < exclude->n; i++) {
		const struct yaml_node *row = exclude->values[i];
		bool fits = true;

		for (size_t j = 0; j < row->n && fits; j++) {
			const char *value = cell_get(cell, row->keys[j]->text);

			fits = value && strcmp(value, row->values[j]->text) == 0;
		}
		if (fits)
			out = used[i] = true;
	}
	return out;
}

/* False, with a diagnostic, if there would be too many. */
static bool product(struct grid *grid, const struct yaml_node *exclude)
{
	size_t total = 1, n_rows = exclude ? exclude->n : 0;
	cleanup_free bool *used = xcalloc(n_rows + 1, sizeof(*used));

	for (size_t a = 0; a < grid->n_axes; a++)
		total = total > 1000000 ? total : total * grid->matrix->values[grid->axes[a]]->n;
	if (total > MATRIX_MAX_CELLS) {
		yaml_error(grid->parsing->diags, yaml_get_key(grid->matrix, grid->matrix->keys[grid->axes[0]]->text), "matrix-size",
			   "split the stage, or name the combinations one by one under include",
			   "the matrix of stage \"%s\" has %s%zu cells; at most %d are allowed", grid->stage, total > 1000000 ? "more than " : "",
			   total > 1000000 ? 1000000 : total, MATRIX_MAX_CELLS);
		return false;
	}
	for (size_t i = 0; grid->n_axes > 0 && i < total; i++) {
		struct cell cell = {0};
		size_t stride = total, rest = i;

		for (size_t a = 0; a < grid->n_axes; a++) { /* the last axis changes fastest */
			const struct yaml_node *values = grid->matrix->values[grid->axes[a]];

			stride /= values->n;
			cell_add(grid, &cell, grid->matrix->keys[grid->axes[a]], values->values[rest / stride]);
			rest %= stride;
		}
		if (!excluded(grid, &cell, exclude, used))
			grid_push(grid, cell);
	}
	for (size_t i = 0; i < n_rows; i++) {
		if (!used[i])
			yaml_error(grid->parsing->diags, exclude->values[i], "matrix", "a row of exclude names values of the axes",
				   "this row excludes no cell of stage \"%s\"", grid->stage);
	}
	return true;
}

/* False, with a diagnostic, if a cell would get too many values. */
static bool include_row(struct grid *grid, const struct yaml_node *row)
{
	bool extended = false;

	for (size_t c = 0; c < grid->n_product; c++) {
		struct cell *cell = &grid->cells[c];
		bool fits = true;

		for (size_t j = 0; j < row->n && fits; j++) {
			const char *value = cell_get(cell, row->keys[j]->text);

			fits = !is_axis(grid, row->keys[j]->text) || (value && strcmp(value, row->values[j]->text) == 0);
		}
		if (!fits)
			continue;
		if (cell->n + row->n > MAX_VALUES) {
			yaml_error(grid->parsing->diags, row, "matrix-size", NULL, "a cell of stage \"%s\" has more than %d values", grid->stage,
				   MAX_VALUES);
			return false;
		}
		for (size_t j = 0; j < row->n; j++) {
			if (!cell_get(cell, row->keys[j]->text))
				cell_add(grid, cell, row->keys[j], row->values[j]);
		}
		extended = true;
	}
	if (!extended) {
		struct cell cell = {0};

		for (size_t j = 0; j < row->n; j++)
			cell_add(grid, &cell, row->keys[j], row->values[j]);
		grid_push(grid, cell);
	}
	return true;
}

static bool read_axes(struct grid *grid)
{
	struct diag_list *diags = grid->parsing->diags;
	const struct yaml_node *matrix = grid->matrix;
	bool ok = true;

	for (size_t i = 0; i < matrix->n; i++) {
		const char *name = matrix->keys[i]->text;

		if (strcmp(name, "include") == 0 || strcmp(name, "exclude") == 0)
			continue;
		if (grid->n_axes == MAX_AXES) {
			yaml_error(diags, matrix->keys[i], "matrix-size", NULL, "a matrix has at most %d axes", MAX_AXES);
			return false;
		}
		grid->axes[grid->n_axes++] = i;
		ok = axis_ok(grid, matrix->keys[i], matrix->values[i]) && ok;
	}
	ok = rows_ok(grid, yaml_get(matrix, "include"), "include") && ok;
	return rows_ok(grid, yaml_get(matrix, "exclude"), "exclude") && ok;
}

size_t matrix_cells(struct parsing *parsing, const char *stage, const struct yaml_node *matrix, struct cell **ret)
{
	struct grid grid = {.parsing = parsing, .stage = stage, .matrix = matrix};
	const struct yaml_node *include = yaml_get(matrix, "include");
	size_t n = 0;
	bool ok = true;

	*ret = arena_alloc(parsing->arena, sizeof(**ret));
	if (!matrix)
		return 1;
	if (matrix->kind != YAML_MAPPING || matrix->n == 0) {
		yaml_error(parsing->diags, matrix, "wrong-type", "for example matrix: {lr: [0.1, 0.01]}",
			   "matrix needs a mapping of axes to lists of values");
		return 0;
	}
	if (!read_axes(&grid) || !product(&grid, yaml_get(matrix, "exclude"))) {
		free(grid.cells);
		return 0;
	}
	grid.n_product = grid.n;
	for (size_t i = 0; include && i < include->n; i++)
		ok = include_row(&grid, include->values[i]) && ok;
	if (!ok) {
		free(grid.cells);
		return 0;
	}
	if (grid.n == 0) {
		yaml_error(parsing->diags, matrix, "matrix-size", NULL, "the matrix of stage \"%s\" has no cells left", stage);
	} else if (grid.n > MATRIX_MAX_CELLS) {
		yaml_error(parsing->diags, matrix, "matrix-size", NULL, "the matrix of stage \"%s\" has %zu cells; at most %d are allowed", stage,
			   grid.n, MATRIX_MAX_CELLS);
	} else {
		n = grid.n;
		*ret = arena_alloc(parsing->arena, n * sizeof(**ret));
		memcpy(*ret, grid.cells, n * sizeof(**ret));
	}
	free(grid.cells);
	return n;
}

const char *cell_id(struct arena *arena, const char *name, const struct cell *cell)
{
	cleanup_buf struct buf out = {0};
	char *id;

	if (cell->n == 0)
		return name;
	buf_init(&out, MAX_AXES * 2 * (MAX_VALUE + 64));
	buf_addf(&out, "%s (", name);
	for (size_t i = 0; i < cell->n; i++)
		buf_addf(&out, "%s%s=%s", i ? ", " : "", cell->values[i].name, cell->values[i].value);
	buf_adds(&out, ")");
	id = arena_strndup(arena, out.data, out.len);
	for (char *p = id; *p; p++) {
		if (*p == '/' || (unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '_';
	}
	return id;
}
