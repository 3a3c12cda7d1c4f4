#include "base/file.h"
#include "gates/quality.h"
#include "stages/command.h"
#include "stages/gate/gate_priv.h"
#include "stages/result.h"

#include <getopt.h>

#define MAX_RESULTS ((size_t)64 * 1024 * 1024)
#define MAX_OUTPUT ((size_t)16 * 1024 * 1024)

static const char usage[] =
	"usage: penstock gate --rules FILE --metrics FILE [--baseline FILE] [--format text|json]\n"
	"\n"
	"Judges metrics by rules: pass, investigate or fail, with reasons.\n"
	"\n"
	"  --rules FILE                a list of rules, YAML or JSON (docs/stages/gate.md)\n"
	"  --metrics FILE              result of `penstock score --format json`\n"
	"  --baseline FILE             the same of production, for no_worse_than; without it this is a first release\n"
	"  --baseline-if-present FILE  the same, but the file may be missing\n"
	"  --format text|json          of the result on standard output (default text)\n"
	"\n"
	"What rules name as `file:` is read relative to the working directory.\n"
	"\n"
	"Exit status: 0 pass, 3 fail or investigate, 2 usage or bad file, 5 input/output error.\n";

struct arguments {
	const char *rules, *metrics, *baseline;
	bool baseline_may_miss, json, help;
};

static bool parse_arguments(int argc, char **argv, struct arguments *ret)
{
	static const struct option options[] = {
		{"rules", required_argument, NULL, 'r'},    {"metrics", required_argument, NULL, 'm'},
		{"baseline", required_argument, NULL, 'b'}, {"baseline-if-present", required_argument, NULL, 'p'},
		{"format", required_argument, NULL, 'f'},   {"help", no_argument, NULL, 'h'},
		{0}};
	optind = 0;
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 'r':
			ret->rules = optarg;
			break;
		case 'm':
			ret->metrics = optarg;
			break;
		case 'b':
		case 'p':
			ret->baseline = optarg;
			ret->baseline_may_miss = option == 'p';
			break;
		case 'f':
			ret->json = strcmp(optarg, "json") == 0;
			if (!ret->json && strcmp(optarg, "text") != 0)
				return false;
			break;
		case 'h':
			ret->help = true;
			return true;
		default:
			return false;
		}
	}
	return optind == argc && ret->rules && ret->metrics;
}

/* NULL after the mistakes were told. */
static struct quality_rules *read_rules(const char *path, int *ret_status)
{
	cleanup_free char *text = NULL;
	cleanup_error struct error *err = NULL;
	size_t len;
	if (file_read(path, YAML_MAX_BYTES, &text, &len, &err) < 0) {
		*ret_status = result_fail("gate", err);
		return NULL;
	}
	*ret_status = 2;
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_yaml struct yaml_doc *doc = yaml_parse(path, text, len, diags);
	if (!doc || diag_errors(diags) > 0 || !schema_check(&gate_rules_schema, yaml_root(doc), diags)) {
		cleanup_buf struct buf out;
		buf_init(&out, MAX_OUTPUT);
		diag_print(diags, text, false, &out);
		fputs(out.data, stderr);
		return NULL;
	}
	cleanup_json json_t *json = gate_rules_json(yaml_root(doc));
	struct quality_rules *rules = NULL;
	if (quality_parse(json, &rules, &err) < 0)
		*ret_status = result_fail("gate", err);
	return rules;
}

static json_t *read_files(const struct quality_rules *rules)
{
	cleanup_strlist struct strlist paths = {0};
	quality_files(rules, &paths);
	json_t *files = json_object();
	for (size_t i = 0; i < paths.n; i++) {
		cleanup_error struct error *err = NULL;
		json_t *json;
		if (json_read(paths.items[i], MAX_RESULTS, &json, &err) < 0)
			fprintf(stderr, "penstock gate: %s\n", error_message(err)); /* its rules fail and say so */
		else
			json_object_set_new(files, paths.items[i], json);
	}
	return files;
}

static int read_baseline(const struct arguments *arguments, json_t **ret, struct error **err)
{
	if (!arguments->baseline || (arguments->baseline_may_miss && !path_exists(arguments->baseline)))
		return 0;
	return json_read(arguments->baseline, MAX_RESULTS, ret, err);
}

static void describe(const json_t *result, struct buf *out)
{
	cleanup_result_table struct result_table table = {.n_columns = 3};
	size_t i;
	json_t *row;
	json_array_foreach(json_object_get(result, "rows"), i, row) {
		const char *const cells[] = {json_string_or(row, "verdict", ""), json_string_or(row, "rule", ""), json_string_or(row, "reason", "")};
		result_table_row(&table, cells);
	}
	result_table_print(&table, out);
	buf_addf(out, "verdict: %s\n", json_string_or(result, "verdict", ""));
}

static int judge(const struct arguments *arguments, const struct quality_rules *rules)
{
	cleanup_json json_t *metrics = NULL, *baseline = NULL;
	cleanup_error struct error *err = NULL;
	if (json_read(arguments->metrics, MAX_RESULTS, &metrics, &err) < 0 || read_baseline(arguments, &baseline, &err) < 0)
		return result_fail("gate", err);
	cleanup_json json_t *files = read_files(rules);
	const struct quality_inputs inputs = {metrics, baseline, files};
	cleanup_json json_t *result = quality_judge(rules, &inputs);
	cleanup_buf struct buf text;
	buf_init(&text, MAX_OUTPUT);
	describe(result, &text);
	if (arguments->json)
		fputs(text.data, stderr); /* the stage's log is for people */
	int status = arguments->json ? result_print_json(result) : result_print_text("gate", &text);
	if (status)
		return status;
	return strcmp(json_string_or(result, "verdict", ""), quality_verdict_name(QUALITY_PASS)) == 0 ? 0 : 3;
}

int gate_command(int argc, char **argv)
{
	struct arguments arguments = {0};
	if (!parse_arguments(argc, argv, &arguments)) {
		fputs(usage, stderr);
		return 2;
	}
	if (arguments.help) {
		fputs(usage, stdout);
		return 0;
	}
	int status;
	cleanup_quality_rules struct quality_rules *rules = read_rules(arguments.rules, &status);
	return rules ? judge(&arguments, rules) : status;
}
