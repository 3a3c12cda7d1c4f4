#include "data/values.h"
#include "stages/command.h"
#include "stages/result.h"
#include "stages/score/score_priv.h"

#include <getopt.h>

#define MAX_OUTPUT ((size_t)64 * 1024 * 1024)
#define SHORT_ROWS 40 /* in the log of a stage */

static const char usage[] =
	"usage: penstock score --predictions DATA --task binary|regression --label COLUMN --prediction COLUMN\n"
	"                      [--metrics NAME,...] [--slice COLUMN]... [--against DATA] [--threshold X] [--confidence X]\n"
	"                      [--format text|json]\n"
	"\n"
	"Measures predictions: every metric with its confidence interval, over all rows and by slices.\n"
	"\n"
	"  --predictions DATA     CSV with a label and a prediction per row\n"
	"  --metrics NAME,...     what to measure; may be given several times (default: the usual ones of the task)\n"
	"  --slice COLUMN         measure each of the column's values on its own; may be given several times\n"
	"  --against DATA         another model's predictions for the same rows, compared pair by pair\n"
	"  --threshold X          at or above it a row is called positive (default 0.5)\n"
	"  --confidence X         of the intervals, two-sided (default 0.95)\n"
	"  --format text|json     of the result on standard output (default text)\n"
	"\n"
	"Exit status: 0 measured, 2 usage or bad file, 5 input/output error.\n"
	"\n"
	"Metrics:\n";

static void print_usage(FILE *to)
{
	fputs(usage, to);
	for (int id = 0; id < N_METRICS; id++)
		fprintf(to, "  %-18s %-10s  %s\n", metric_name((enum metric_id)id), task_name(metric_task_of((enum metric_id)id)),
			metric_doc((enum metric_id)id));
}

static int add_metrics(const char *names, struct score_request *request, struct error **err)
{
	while (*names) {
		size_t len = strcspn(names, ",");
		cleanup_free char *name = xstrndup(names, len);
		enum metric_id id;
		if (!metric_from_name(name, &id)) {
			const char *near = metric_suggest(name);
			return error_set(err, ERROR_USAGE, 0, "there is no metric \"%s\"%s%s%s", name, near ? "; did you mean \"" : "",
					 near ? near : "", near ? "\"?" : "");
		}
		if (request->n_metrics == SCORE_MAX_METRICS)
			return error_set(err, ERROR_USAGE, 0, "more than %d metrics", SCORE_MAX_METRICS);
		request->metrics[request->n_metrics++] = id;
		names += len + (names[len] == ',');
	}
	return 0;
}

static int add_slice(const char *column, struct score_request *request, struct error **err)
{
	if (request->n_slices == SCORE_MAX_SLICES)
		return error_set(err, ERROR_USAGE, 0, "more than %d slices", SCORE_MAX_SLICES);
	request->slices[request->n_slices++] = column;
	return 0;
}

static int read_share(const char *option, const char *text, double low, double high, double *ret, struct error **err)
{
	double value;
	if (!value_float64(text, strlen(text), &value) || !(value >= low && value <= high))
		return error_set(err, ERROR_USAGE, 0, "%s: expected a number from %g to %g, not \"%s\"", option, low, high, text);
	*ret = value;
	return 0;
}

struct arguments {
	struct score_request request;
	bool has_task, json, help;
};

static int set_option(int option, const char *value, struct arguments *ret, struct error **err)
{
	struct score_request *request = &ret->request;
	switch (option) {
	case 'p':
		request->predictions = value;
		return 0;
	case 'a':
		request->against = value;
		return 0;
	case 'l':
		request->label = value;
		return 0;
	case 'x':
		request->prediction = value;
		return 0;
	case 't':
		ret->has_task = task_from_name(value, &request->task);
		if (!ret->has_task && strcmp(value, "multiclass") == 0)
			return error_set(err, ERROR_UNSUPPORTED, 0, "the task multiclass is not available in this build; use binary or regression");
		return ret->has_task ? 0 : error_set(err, ERROR_USAGE, 0, "--task: expected binary or regression, not \"%s\"", value);
	case 'm':
		return add_metrics(value, request, err);
	case 's':
		return add_slice(value, request, err);
	case 'T':
		if (read_share("--threshold", value, 0, 1, &request->options.threshold, err) < 0)
			return -1;
		if (request->options.threshold == 0)
			request->options.threshold = 1e-300; /* zero means "the default" there */
		return 0;
	case 'c':
		return read_share("--confidence", value, 0.5, 0.9999, &request->options.confidence, err);
	case 'f':
		ret->json = strcmp(value, "json") == 0;
		return ret->json || strcmp(value, "text") == 0 ? 0
							       : error_set(err, ERROR_USAGE, 0, "--format: expected text or json, not \"%s\"", value);
	default:
		return error_set(err, ERROR_USAGE, 0, "see penstock score --help");
	}
}

static int parse_arguments(int argc, char **argv, struct arguments *ret, struct error **err)
{
	static const struct option options[] = {
		{"predictions", required_argument, NULL, 'p'}, {"against", required_argument, NULL, 'a'},
		{"label", required_argument, NULL, 'l'},       {"prediction", required_argument, NULL, 'x'},
		{"task", required_argument, NULL, 't'},        {"metrics", required_argument, NULL, 'm'},
		{"slice", required_argument, NULL, 's'},       {"threshold", required_argument, NULL, 'T'},
		{"confidence", required_argument, NULL, 'c'},  {"format", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},              {0}};
	struct score_request *request = &ret->request;
	request->options.confidence = 0.95;
	optind = 0;
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		ret->help = ret->help || option == 'h';
		if (option != 'h' && set_option(option, optarg, ret, err) < 0)
			return -1;
	}
	if (ret->help)
		return 0;
	if (optind < argc)
		return error_set(err, ERROR_USAGE, 0, "unexpected argument \"%s\"", argv[optind]);
	if (!request->predictions || !ret->has_task || !request->label || !request->prediction)
		return error_set(err, ERROR_USAGE, 0, "--predictions, --task, --label and --prediction are needed; see penstock score --help");
	if (!request->n_metrics)
		score_default_metrics(request);
	return 0;
}

/* ---- for people ---- */

static void number_text(const json_t *row, const char *key, char ret[32])
{
	const json_t *value = json_object_get(row, key);
	if (json_is_number(value))
		snprintf(ret, 32, "%.5g", json_number_value(value));
	else
		snprintf(ret, 32, "-");
}

static void describe_list(const json_t *list, const char *value_key, const char *title, size_t max_rows, struct buf *out)
{
	cleanup_result_table struct result_table table = {.n_columns = 6};
	const char *const heads[] = {title, "slice", value_key, "interval", "rows", "method"};
	result_table_row(&table, heads);
	size_t i;
	json_t *row;
	json_array_foreach(list, i, row) {
		char value[32], low[32], high[32], interval[72], rows[32];
		if (i == max_rows)
			break;
		number_text(row, value_key, value);
		number_text(row, "low", low);
		number_text(row, "high", high);
		snprintf(interval, sizeof(interval), "%s .. %s", low, high);
		snprintf(rows, sizeof(rows), "%lld", (long long)json_int_or(row, "n", 0));
		const char *const cells[] = {json_string_or(row, "name", ""), json_string_or(row, "slice", "-"), value, interval, rows,
					     json_string_or(row, "method", json_string_or(row, "note", ""))};
		result_table_row(&table, cells);
	}
	result_table_print(&table, out);
	if (json_array_size(list) > max_rows)
		buf_addf(out, "... and %zu more\n", json_array_size(list) - max_rows);
}

static void describe(const json_t *result, size_t max_rows, struct buf *out)
{
	const json_t *paired = json_object_get(result, "paired"), *against = json_object_get(result, "against");
	buf_addf(out, "%lld rows, %s\n", (long long)json_int_or(result, "rows", 0), json_string_or(result, "task", ""));
	describe_list(json_object_get(result, "metrics"), "value", "metric", max_rows, out);
	if (json_array_size(paired))
		describe_list(paired, "difference", "against the other model", max_rows, out);
	const char *note = json_string_or(against, "note", NULL);
	if (note)
		buf_addf(out, "note: %s\n", note);
}

int score_command(int argc, char **argv)
{
	struct arguments arguments = {0};
	cleanup_error struct error *err = NULL;
	if (parse_arguments(argc, argv, &arguments, &err) < 0)
		return result_fail("score", err);
	if (arguments.help) {
		print_usage(stdout);
		return 0;
	}
	cleanup_json json_t *result = NULL;
	if (score_measure(&arguments.request, &result, &err) < 0)
		return result_fail("score", err);
	cleanup_buf struct buf text;
	buf_init(&text, MAX_OUTPUT);
	describe(result, arguments.json ? SHORT_ROWS : SIZE_MAX, &text);
	if (!arguments.json)
		return result_print_text("score", &text);
	fputs(text.data, stderr); /* the stage's log is for people */
	return result_print_json(result);
}
