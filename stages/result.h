/* What native stages share as commands: the result on standard output, mistakes on standard error, exit statuses of PIPELINE.md. */
#ifndef STAGES_RESULT_H
#define STAGES_RESULT_H

#include "base/buf.h"
#include "base/json.h"

/* 0, or 5: it could not be written (the command line tells that, for every command), or the text outgrew its buffer, which is told. */
int result_print_text(const char *command, const struct buf *text);
int result_print_json(const json_t *json);
/* "penstock COMMAND: message"; 5 for input/output errors, else 2: the arguments or files were bad. */
int result_fail(const char *command, const struct error *err);

/* A table for people: cells are padded to the widest of their column, the last one is not. Characters count, not bytes. */
#define RESULT_MAX_COLUMNS 8
struct result_table {
	struct { char *cells[RESULT_MAX_COLUMNS]; } *rows;
	size_t n, capacity, n_columns;
};
/* Copies n_columns texts. */
void result_table_row(struct result_table *table, const char *const *cells);
void result_table_print(const struct result_table *table, struct buf *out);
void result_table_done(struct result_table *table);
#define cleanup_result_table __attribute__((cleanup(result_table_done)))
#endif
