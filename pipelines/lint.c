#include "pipelines/lint.h"

#include "base/alloc.h"
#include "base/file.h"

#include <string.h>

bool lint_format_from_name(const char *name, enum lint_format *ret)
{
	if (strcmp(name, "text") == 0)
		*ret = LINT_TEXT;
	else if (strcmp(name, "json") == 0)
		*ret = LINT_JSON;
	else
		return false;
	return true;
}

static void unreadable(const char *file, const struct error *err, struct diag_list *diags)
{
	diag_add(diags, &(struct diag){
		.severity = DIAG_ERROR, .file = file, .line = 1, .column = 1, .code = "unreadable", .message = error_message(err)});
}

/* The file's text, or NULL; its mistakes go to `diags`. */
static char *lint_one(const struct lint_options *options, const char *file, struct diag_list *diags, size_t *ret_stages)
{
	cleanup_error struct error *err = NULL;
	cleanup_pipeline struct pipeline *pipeline = NULL;
	char *text = NULL;
	size_t len = 0;

	/* One byte more than YAML may have, so that it is the parser that says what is too large. */
	if (file_read(file, YAML_MAX_BYTES + 1, &text, &len, &err) < 0) {
		unreadable(file, err, diags);
		return NULL;
	}
	pipeline = pipeline_parse(file, text, len, options->kinds, diags);
	*ret_stages = pipeline ? pipeline->n_stages : 0;
	return text;
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

void lint_files(const struct lint_options *options, struct buf *out, struct lint_counts *ret_counts)
{
	struct lint_counts counts = {.files = options->n_files};
	cleanup_json json_t *all = json_array();

	for (size_t i = 0; i < options->n_files; i++) {
		cleanup_diags struct diag_list *diags = diag_list_new();
		size_t stages = 0;
		cleanup_free char *text = lint_one(options, options->files[i], diags, &stages);

		counts.errors += diag_errors(diags);
		for (size_t j = 0; j < diag_count(diags); j++)
			counts.warnings += diag_at(diags, j)->severity == DIAG_WARNING;
		if (options->format == LINT_JSON) {
			cleanup_json json_t *found = diag_json(diags);

			json_array_extend(all, found);
			continue;
		}
		diag_print(diags, text, options->color, out);
		if (diag_errors(diags) == 0)
			buf_addf(out, "%s: ok (%zu stage%s)\n", options->files[i], stages, plural(stages));
	}
	if (options->format == LINT_JSON) {
		cleanup_json json_t *result = json_object();
		cleanup_free char *line = NULL;

		json_object_set_new(result, "files", json_integer((json_int_t)counts.files));
		json_object_set(result, "diagnostics", all);
		line = json_text_pretty(result);
		buf_adds(out, line);
	} else if (counts.errors + counts.warnings > 0) {
		buf_addf(out, "%zu file%s: %zu error%s, %zu warning%s\n", counts.files, plural(counts.files), counts.errors,
			 plural(counts.errors), counts.warnings, plural(counts.warnings));
	}
	*ret_counts = counts;
}
