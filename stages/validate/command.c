#include "base/alloc.h"
#include "base/file.h"
#include "base/yaml.h"
#include "data/infer.h"
#include "stages/command.h"
#include "stages/result.h"
#include "stages/validate/validate_priv.h"

#include <getopt.h>

#define MAX_OUTPUT ((size_t)64 * 1024 * 1024)

static const char usage[] =
	"usage: penstock validate DATA... --schema FILE [--format text|json]\n"
	"       penstock validate --infer DATA\n"
	"\n"
	"Checks CSV files, as one table, against a data schema. A failed check tells how many rows offend, which, and with what values.\n"
	"\n"
	"  --schema FILE          the data schema (docs/data-schema.md)\n"
	"  --infer                writes a schema for DATA to standard output, to be edited\n"
	"  --format text|json     of the result on standard output (default text)\n"
	"\n"
	"Exit status: 0 passed, 1 failed, 2 usage, bad schema or malformed data, 5 input/output error.\n";

struct arguments {
	const char *schema;
	const char *const *data;
	size_t n_data;
	bool infer, json, help;
};

static int set_option(int option, struct arguments *ret, struct error **err)
{
	switch (option) {
	case 's':
		ret->schema = optarg;
		return 0;
	case 'i':
		ret->infer = true;
		return 0;
	case 'r':
		return error_set(err, ERROR_UNSUPPORTED, 0, "--reference: checks of drift are not available in this build");
	case 'f':
		ret->json = strcmp(optarg, "json") == 0;
		if (ret->json || strcmp(optarg, "text") == 0)
			return 0;
		return error_set(err, ERROR_USAGE, 0, "--format: expected text or json, not \"%s\"", optarg);
	case 'h':
		ret->help = true;
		return 0;
	default:
		return error_set(err, ERROR_USAGE, 0, "see penstock validate --help");
	}
}

static int parse_arguments(int argc, char **argv, struct arguments *ret, struct error **err)
{
	static const struct option options[] = {
		{"schema", required_argument, NULL, 's'}, {"infer", no_argument, NULL, 'i'}, {"reference", required_argument, NULL, 'r'},
		{"format", required_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'},  {0}};
	optind = 0;
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
		if (set_option(option, ret, err) < 0)
			return -1;
	ret->data = (const char *const *)argv + optind;
	ret->n_data = (size_t)(argc - optind);
	if (ret->help)
		return 0;
	if (ret->infer && (ret->schema || ret->json || ret->n_data != 1))
		return error_set(err, ERROR_USAGE, 0, "--infer takes one DATA and no other option; see penstock validate --help");
	if (!ret->infer && (!ret->schema || ret->n_data == 0))
		return error_set(err, ERROR_USAGE, 0, "DATA and --schema FILE are needed; see penstock validate --help");
	return 0;
}

/* Every mistake with its place; the first again in the last line, which is the one that a stage's summary shows. */
static int tell_mistakes(const char *path, const char *text, const struct diag_list *diags)
{
	cleanup_buf struct buf out;
	buf_init(&out, MAX_OUTPUT);
	diag_print(diags, text, false, &out);
	fputs(out.data, stderr);
	const struct diag *first = diag_at(diags, 0);
	size_t errors = diag_errors(diags);
	fprintf(stderr, "penstock validate: bad schema: %s:%u:%u: %s", path, first->line, first->column, first->message);
	if (errors > 1)
		fprintf(stderr, " (and %zu more mistake%s)", errors - 1, errors == 2 ? "" : "s");
	fputc('\n', stderr);
	return 2;
}

static int infer(const char *path)
{
	cleanup_error struct error *err = NULL;
	cleanup_buf struct buf text;
	buf_init(&text, MAX_OUTPUT);
	if (data_infer(path, &text, &err) < 0)
		return result_fail("validate", err);
	return result_print_text("validate", &text);
}

static void print_verdict(const struct check_report *report, struct buf *out)
{
	size_t failed = 0, skipped = 0;
	for (size_t i = 0; i < report->n_checks; i++) {
		failed += report->checks[i].verdict == CHECK_FAIL;
		skipped += report->checks[i].verdict == CHECK_SKIP;
	}
	buf_addf(out, "%s: %llu row%s, %zu check%s", report->passed ? "pass" : "fail", (unsigned long long)report->rows, report->rows == 1 ? "" : "s",
		 report->n_checks, report->n_checks == 1 ? "" : "s");
	if (failed)
		buf_addf(out, ", %zu failed", failed);
	if (skipped)
		buf_addf(out, ", %zu skipped", skipped);
	buf_addc(out, '\n');
}

static int print_report(const struct check_report *report, bool json)
{
	cleanup_buf struct buf text;
	buf_init(&text, MAX_OUTPUT);
	if (!json) {
		validate_print_columns(report, &text);
		buf_addc(&text, '\n');
	}
	validate_print_failures(report, &text);
	print_verdict(report, &text);
	if (!json)
		return result_print_text("validate", &text);
	fputs(text.data, stderr); /* the stage's log is for people */
	cleanup_json json_t *result = validate_report_json(report);
	return result_print_json(result);
}

int validate_command(int argc, char **argv)
{
	struct arguments arguments = {0};
	cleanup_error struct error *err = NULL;
	cleanup_free char *text = NULL;
	size_t len;
	if (parse_arguments(argc, argv, &arguments, &err) < 0)
		return result_fail("validate", err);
	if (arguments.help) {
		fputs(usage, stdout);
		return 0;
	}
	if (arguments.infer)
		return infer(arguments.data[0]);
	if (file_read(arguments.schema, YAML_MAX_BYTES, &text, &len, &err) < 0)
		return result_fail("validate", err);
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_data_schema struct data_schema *schema = data_schema_parse(arguments.schema, text, len, diags);
	if (!schema)
		return tell_mistakes(arguments.schema, text, diags);
	cleanup_check_report struct check_report *report = NULL;
	if (data_check(schema, arguments.data, arguments.n_data, &report, &err) < 0)
		return result_fail("validate", err);
	int status = print_report(report, arguments.json);
	return status ? status : report->passed ? 0 : 1;
}
