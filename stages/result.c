#include "stages/result.h"

#include "base/alloc.h"
#include "base/utf8.h"

int result_print_text(const char *command, const struct buf *text)
{
	if (!text->failed)
		return fputs(text->data, stdout) >= 0 && fflush(stdout) == 0 ? 0 : 5;
	fprintf(stderr, "penstock %s: the result is longer than %zu bytes\n", command, text->max);
	return 5;
}

int result_print_json(const json_t *json)
{
	cleanup_free char *text = json_text(json);
	return fputs(text, stdout) >= 0 && fputc('\n', stdout) >= 0 && fflush(stdout) == 0 ? 0 : 5;
}

int result_fail(const char *command, const struct error *err)
{
	fprintf(stderr, "penstock %s: %s\n", command, error_message(err));
	return error_exit_status(err) == 5 ? 5 : 2;
}

void result_table_row(struct result_table *table, const char *const *cells)
{
	table->rows = xgrow(table->rows, &table->capacity, table->n + 1, sizeof(*table->rows));
	memset(&table->rows[table->n], 0, sizeof(*table->rows));
	for (size_t c = 0; c < table->n_columns; c++)
		table->rows[table->n].cells[c] = xstrdup(cells[c]);
	table->n++;
}

void result_table_print(const struct result_table *table, struct buf *out)
{
	size_t widths[RESULT_MAX_COLUMNS] = {0};
	for (size_t r = 0; r < table->n; r++) {
		for (size_t c = 0; c < table->n_columns; c++) {
			size_t width = utf8_count(table->rows[r].cells[c], strlen(table->rows[r].cells[c]));
			widths[c] = width > widths[c] ? width : widths[c];
		}
	}
	for (size_t r = 0; r < table->n; r++) {
		for (size_t c = 0; c < table->n_columns; c++) {
			const char *cell = table->rows[r].cells[c];
			size_t width = utf8_count(cell, strlen(cell));
			buf_adds(out, cell);
			for (; c + 1 < table->n_columns && width < widths[c] + 2; width++)
				buf_addc(out, ' ');
		}
		buf_addc(out, '\n');
	}
}

void result_table_done(struct result_table *table)
{
	for (size_t r = 0; r < table->n; r++)
		for (size_t c = 0; c < table->n_columns; c++)
			free(table->rows[r].cells[c]);
	free(table->rows);
	*table = (struct result_table){0};
}
