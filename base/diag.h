/* Diagnostics: a mistake told at its place, all of them at once.
 *
 *     .penstock.yml:14:13: error: stage "score" needs "trian", which is no stage; did you mean "train"?
 *        14 |     needs: [trian]
 *           |             ^~~~~
 */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

#include "base/buf.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

enum diag_severity { DIAG_ERROR, DIAG_WARNING };

struct diag {
	enum diag_severity severity;
	const char *file;
	unsigned line, column, end_column; /* 1-based, columns in characters; end_column is exclusive, 0: unknown */
	const char *code;                  /* stable kebab-case word: "unknown-key", "cycle", "unknown-stage" ... */
	const char *message;
	const char *hint; /* NULL or "did you mean \"train\"?" */
};

struct diag_list; /* owns all its strings; keeps at most 1,000 and then says so */
struct diag_list *diag_list_new(void);
void diag_list_free(struct diag_list *list);
DEFINE_CLEANUP(struct diag_list, diag_list_free);
#define cleanup_diags CLEANUP(diag_list_free)

/* Copies everything. */
void diag_add(struct diag_list *list, const struct diag *diag);
size_t diag_count(const struct diag_list *list);
size_t diag_errors(const struct diag_list *list); /* the dropped ones too */
const struct diag *diag_at(const struct diag_list *list, size_t i); /* sorted by file, line, column */

/* Text with source line and caret; `source` may be NULL (no excerpt). */
void diag_print(const struct diag_list *list, const char *source, bool color, struct buf *out);
/* [{"file", "line", "column", "severity", "code", "message", "hint"}] */
json_t *diag_json(const struct diag_list *list);

/* The candidate nearest to `word` in edit distance if it is near enough to be meant, else NULL. */
const char *nearest_word(const char *word, const char *const *candidates, size_t n);
#endif
