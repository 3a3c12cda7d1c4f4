/* `penstock lint`: every mistake of several pipeline files at once.
 *
 *     struct buf out; buf_init(&out, LINT_MAX_OUTPUT);
 *     struct lint_counts counts;
 *     lint_files(&(struct lint_options){.files = files, .n_files = n, .kinds = stage_kinds()}, &out, &counts);
 *     ... print out.data; exit status 2 if counts.errors ...
 *
 * Reads the files it is given and nothing else. What this build does not carry out is an error, too: the file would not run. */
#ifndef PIPELINES_LINT_H
#define PIPELINES_LINT_H

#include "base/buf.h"
#include "pipelines/pipeline.h"

#define LINT_MAX_FILES 1000
#define LINT_MAX_OUTPUT (64u * 1024 * 1024)

enum lint_format { LINT_TEXT, LINT_JSON };

struct lint_options {
	const char *const *files; /* in this order; at most LINT_MAX_FILES */
	size_t n_files;
	const struct stage_kind *const *kinds; /* NULL-terminated */
	enum lint_format format;
	bool color;                            /* text only */
};

struct lint_counts {
	size_t files, errors, warnings;
};

/* Appends to `out`: as text each mistake with its source line and a last line of counts; as JSON
 * {"files": n, "diagnostics": [{"file", "line", "column", "severity", "code", "message", "hint"}]} and a newline.
 * A file that cannot be read is a diagnostic with the code "unreadable". If `out` is too small it ends failed. */
void lint_files(const struct lint_options *options, struct buf *out, struct lint_counts *ret_counts);

/* "text" or "json"; false for any other word. */
bool lint_format_from_name(const char *name, enum lint_format *ret);
#endif
