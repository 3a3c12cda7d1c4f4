/* `penstock analyze`: the sequential tests on recorded counts. */
#include "base/alloc.h"
#include "base/file.h"
#include "runner/cli/analyze_lines.h"
#include "runner/cli/commands.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MOST_BYTES ((size_t)256 * 1024 * 1024)
#define MAX_MISTAKES ((size_t)1024 * 1024)

static const char usage[] =
	"Usage: penstock analyze [OPTION...] FILE|-\n"
	"\n"
	"Runs the tests of a rollout on recorded counts: JSON Lines, one block each, valid at every line.\n"
	"\n"
	"  {\"metric\": \"error_rate\", \"stable\": {\"n\": 900, \"y\": 9}, \"candidate\": {\"n\": 100, \"y\": 3}}      a rate; \"instances\": [[n, "
	"y] ...]\n"
	"  {\"metric\": \"classes\", \"stable\": {\"counts\": [70, 30]}, \"candidate\": {\"counts\": [6, 4]}}          a distribution\n"
	"  {\"metric\": \"score\", \"stable\": {\"values\": [0.9, 0.8]}, \"candidate\": {\"n\": 2, \"sum\": 1.5}}      a mean\n"
	"  {\"metric\": \"latency_p99\", \"stable\": {\"ms\": [12.5, 14]}, \"candidate\": {\"ms\": [13]}}            a latency\n"
	"  beside: \"weight\": 0.1 (the candidate's share; the split is checked), \"step\": 2, \"seconds\": 60\n"
	"\n"
	"  --alpha A                   chance of a false alarm (default: 0.05)\n"
	"  --margin NAME=0.5%          rates: points; means: in their own unit (default: 0, equality)\n"
	"  --ratio NAME=1.2            rates; latencies (default there: 1.2)\n"
	"  --at-most NAME=0.1          distributions: distance (default: 0.1)\n"
	"  --distance NAME=psi         total_variation (default) or psi\n"
	"  --range NAME=0:1            of a mean's values (default: 0:1)\n"
	"  --better NAME=higher        lower (default) or higher\n"
	"  --show NAME                 shown, decides nothing\n"
	"  --bursts KIND               none, default, exchangeable, tempered (default: none, but `default` where lines have instances)\n"
	"  --every SECONDS             how long a line counted that does not say so (default: 60)\n"
	"  --format text|json          (--json: the same as --format json)\n"
	"  --help                      this text\n"
	"\n"
	"Exit status: 0 fine, 1 no verdict (undecided, no data, split broken), 2 a bad file or wrong usage, 3 worse.\n";

struct analyze {
	struct rollout_spec spec;
	struct arena *arena;
	bool bursts_given, json;
	double every;
	bool has_lines[ROLLOUT_MAX_METRICS];
};

struct since {
	enum verdict verdict;
	uint64_t block;
}; /* given at every look from this block on */

struct course {
	uint64_t blocks;
	struct since whole, metrics[ROLLOUT_MAX_METRICS];
};

static bool complain(const char *what, const char *value)
{
	fprintf(stderr, "penstock analyze: %s: \"%s\"\nTry `penstock analyze --help`.\n", what, value);
	return false;
}

/* ---- options ---- */

/* NAME=VALUE; the metric is made if no option named it before. */
static struct analysis_metric *metric_of(struct analyze *analyze, const char *text, const char **ret_value)
{
	const char *equals = strrchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text);
	struct rollout_spec *spec = &analyze->spec;
	*ret_value = equals ? equals + 1 : "";
	for (size_t i = 0; i < spec->n_metrics; i++)
		if (strlen(spec->metrics[i].metric) == len && strncmp(spec->metrics[i].metric, text, len) == 0)
			return &spec->metrics[i];
	if (!len || spec->n_metrics == ROLLOUT_MAX_METRICS)
		return NULL;
	struct analysis_metric *metric = &spec->metrics[spec->n_metrics++];
	*metric = (struct analysis_metric){.metric = arena_strndup(analyze->arena, text, len), .at_most = 0.1, .low = 0, .high = 1};
	return metric;
}

/* A number, with "%" a hundredth of it. */
static bool number(const char *text, double *ret)
{
	char *end;
	double value = strtod(text, &end);
	if (end == text || !isfinite(value))
		return false;
	if (*end == '%') {
		value /= 100;
		end++;
	}
	*ret = value;
	return !*end;
}

static bool range(const char *text, struct analysis_metric *metric)
{
	char *end;
	metric->low = strtod(text, &end);
	if (end == text || *end != ':')
		return false;
	text = end + 1;
	metric->high = strtod(text, &end);
	return end != text && !*end && isfinite(metric->low) && isfinite(metric->high) && metric->low < metric->high;
}

static bool set_metric(struct analyze *analyze, int option, const char *text)
{
	const char *value;
	struct analysis_metric *metric = metric_of(analyze, text, &value);
	if (!metric)
		return complain("expected NAME=VALUE, of at most 16 metrics", text);
	switch (option) {
	case 'm':
		return (number(value, &metric->margin) && metric->margin >= 0) || complain("--margin: expected NAME=0.5%", text);
	case 'r':
		return (number(value, &metric->ratio) && metric->ratio >= 1 && metric->ratio <= 1000) ||
		       complain("--ratio: expected NAME=1.2, at least 1", text);
	case 'd':
		return (number(value, &metric->at_most) && metric->at_most > 0) || complain("--at-most: expected NAME=0.1", text);
	case 'R':
		return range(value, metric) || complain("--range: expected NAME=LOW:HIGH", text);
	case 'D':
		metric->distance = strcmp(value, "psi") == 0 ? DISTANCE_PSI : DISTANCE_TOTAL_VARIATION;
		return strcmp(value, distance_name(metric->distance)) == 0 || complain("--distance: expected NAME=total_variation or NAME=psi", text);
	case 'b':
		metric->higher_is_better = strcmp(value, "higher") == 0;
		return metric->higher_is_better || strcmp(value, "lower") == 0 || complain("--better: expected NAME=lower or NAME=higher", text);
	default:
		metric->informational = true;
		return !*value || complain("--show: expected NAME", text);
	}
}

static bool set_bursts(struct analyze *analyze, const char *text)
{
	static const char *const names[] = {
		[BURSTS_DEFAULT] = "default", [BURSTS_NONE] = "none", [BURSTS_EXCHANGEABLE] = "exchangeable", [BURSTS_TEMPERED] = "tempered"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			analyze->spec.bursts = (enum burst_guard_kind)i;
			analyze->bursts_given = true;
			return true;
		}
	}
	return complain("--bursts: expected none, default, exchangeable or tempered", text);
}

static bool set(struct analyze *analyze, int option, const char *text)
{
	switch (option) {
	case 'a':
		return (number(text, &analyze->spec.alpha) && analyze->spec.alpha >= 1e-12 && analyze->spec.alpha <= 0.5) ||
		       complain("--alpha: expected a number between 1e-12 and 0.5", text);
	case 'B':
		return set_bursts(analyze, text);
	case 'e':
		return (number(text, &analyze->every) && analyze->every > 0 && analyze->every <= 31622400) ||
		       complain("--every: expected seconds", text);
	case 'f':
		analyze->json = strcmp(text, "json") == 0;
		return analyze->json || strcmp(text, "text") == 0 || complain("--format: expected text or json", text);
	}
	return set_metric(analyze, option, text);
}

/* ---- the file ---- */

static int read_input(const char *name, char **ret_text, size_t *ret_len, struct error **err)
{
	if (strcmp(name, "-") != 0)
		return file_read(name, MOST_BYTES, ret_text, ret_len, err);
	cleanup_buf struct buf text;
	char chunk[65536];
	size_t n;
	buf_init(&text, MOST_BYTES);
	while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0)
		buf_add(&text, chunk, n);
	if (ferror(stdin))
		return error_set(err, ERROR_IO, 0, "cannot read standard input");
	if (text.failed)
		return error_set(err, ERROR_TOO_LARGE, 0, "standard input: more than %zu bytes", MOST_BYTES);
	*ret_len = text.len;
	*ret_text = buf_steal(&text);
	return 0;
}

/* The split is checked on the lines of the first metric that tells shares: other metrics count the same requests once more. */
static int check_split(struct analysis *analysis, const struct analyze_line *line, size_t *splitter, struct error **err)
{
	if (line->weight < 0)
		return 0;
	if (*splitter == ROLLOUT_MAX_METRICS)
		*splitter = line->metric;
	struct analysis_block block = {.weight_ppm = (uint32_t)llround(line->weight * 1e6)};
	if (*splitter == line->metric) {
		block.stable.assigned = line->measure.stable.n + line->block.stable.completed;
		block.candidate.assigned = line->measure.candidate.n + line->block.candidate.completed;
	}
	return analysis_add(analysis, &block, err);
}

static void note(struct since *since, enum verdict verdict, uint64_t block)
{
	if (since->verdict != verdict || !since->block)
		*since = (struct since){verdict, block};
}

static void look(struct analysis *analysis, struct course *course, struct analysis_verdict *verdict)
{
	bool decides = false;
	analysis_verdict(analysis, verdict);
	analysis_look(analysis, verdict);
	for (size_t i = 0; i < verdict->n_metrics; i++)
		decides = decides || !verdict->metrics[i].informational;
	if (!decides) { /* a rollout would go by time; here there is none */
		verdict->verdict = VERDICT_UNDECIDED;
		snprintf(verdict->reason, sizeof(verdict->reason), "no metric decides: all are shown only");
	}
	note(&course->whole, verdict->verdict, course->blocks);
	for (size_t i = 0; i < verdict->n_metrics; i++)
		note(&course->metrics[i], verdict->metrics[i].verdict, course->blocks);
}

static int run(struct analyze *analyze, const char *text, size_t len, struct analysis *analysis, struct course *course,
	       struct analysis_verdict *verdict, struct error **err)
{
	const char *at = text, *end = text + len;
	struct analyze_line line;
	size_t splitter = ROLLOUT_MAX_METRICS;
	int64_t step = -1;
	while (analyze_next(&at, end, &analyze->spec, &line)) {
		struct analysis_metric *metric = &analyze->spec.metrics[line.metric];
		double seconds = line.seconds > 0 ? line.seconds : analyze->every;
		course->blocks++;
		if (line.step >= 0 && step >= 0 && line.step != step)
			analysis_step(analysis, (unsigned)line.step);
		step = line.step >= 0 ? line.step : step;
		metric->every_ms = (uint64_t)fmax(1, seconds * 1000);
		line.block.to_ms = (int64_t)metric->every_ms;
		line.block.weight_ppm = line.weight >= 0 ? (uint32_t)llround(line.weight * 1e6) : 0;
		if (check_split(analysis, &line, &splitter, err) < 0 ||
		    (metric->kind == METRIC_LATENCY ? analysis_latency(analysis, line.metric, &line.block, err)
						    : analysis_measure(analysis, line.metric, &line.measure, err)) < 0)
			return error_context(err, "block %" PRIu64, course->blocks);
		look(analysis, course, verdict);
	}
	return 0;
}

/* ---- the answer ---- */

static json_t *real(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *decided(const struct since *since)
{
	return since->verdict == VERDICT_FINE || since->verdict == VERDICT_WORSE ? json_integer((json_int_t)since->block) : json_null();
}

static json_t *metric_json(const struct analysis *analysis, const struct metric_verdict *metric, size_t i, const struct course *course)
{
	char change[300];
	analysis_what_would_change(analysis, i, change, sizeof(change));
	return json_pack("{s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:s}",
			 "name", metric->metric, "test", metric->test, "verdict", verdict_name(metric->verdict), "informational",
			 metric->informational, "log_e", real(metric->log_e_worse), "log_threshold", real(metric->log_threshold_worse), "log_e_fine",
			 real(metric->log_e_fine), "log_threshold_fine", real(metric->log_threshold_fine), "log_e_any", real(metric->log_e_any),
			 "p_anytime", real(metric->p_anytime), "stable", real(metric->stable), "candidate", real(metric->candidate), "estimate",
			 real(metric->estimate), "low", real(metric->low), "high", real(metric->high), "bound", real(metric->margin), "blocks",
			 (json_int_t)metric->blocks, "n", (json_int_t)(metric->n_stable + metric->n_candidate), "n_stable",
			 (json_int_t)metric->n_stable, "n_candidate", (json_int_t)metric->n_candidate, "dispersion", real(metric->dispersion),
			 "decided_at_block", decided(&course->metrics[i]), "what_would_change", change);
}

static void print_json(const struct analysis *analysis, const struct analyze *analyze, const struct analysis_verdict *verdict,
		       const struct course *course)
{
	json_t *metrics = json_array();
	for (size_t i = 0; i < verdict->n_metrics; i++)
		json_array_append_new(metrics, metric_json(analysis, &verdict->metrics[i], i, course));
	cleanup_json json_t *json = json_pack("{s:s, s:s, s:o, s:I, s:f, s:o, s:o}", "verdict", verdict_name(verdict->verdict), "reason",
					      verdict->reason, "decided_at_block", decided(&course->whole), "blocks", (json_int_t)course->blocks,
					      "alpha", analyze->spec.alpha, "split_p", real(verdict->split_p), "metrics", metrics);
	cleanup_free char *text = json_text_pretty(json);
	fputs(text, stdout);
}

static const char *shown(double value, const struct analysis_metric *metric, bool is_difference, char space[32])
{
	bool percent = metric->kind == METRIC_RATE && !(is_difference && metric->ratio > 0);
	if (isnan(value))
		return "-";
	if (isinf(value))
		return value > 0 ? "inf" : "-inf";
	if (metric->kind == METRIC_LATENCY && !is_difference)
		snprintf(space, 32, "%.3g ms", value);
	else
		snprintf(space, 32, !percent ? "%.4g" : is_difference ? "%.3g points" : "%.3g%%", percent ? 100 * value : value);
	return space;
}

static const char *e_value(double log_e, char space[32])
{
	double tens = floor(log_e / log(10));
	if (fabs(tens) < 3)
		snprintf(space, 32, "%.3g", exp(log_e));
	else
		snprintf(space, 32, "%.1fe%.0f", exp(log_e - tens * log(10)), tens);
	return space;
}

static void print_metric(const struct analysis *analysis, const struct analyze *analyze, const struct metric_verdict *metric, size_t i,
			 const struct course *course)
{
	const struct analysis_metric *spec = &analyze->spec.metrics[i];
	char a[32], b[32], estimate[32], low[32], high[32], bound[32], worse[32], least[32], fine[32], fine_least[32], change[300];
	analysis_what_would_change(analysis, i, change, sizeof(change));
	printf("%s: %s%s", metric->metric, verdict_name(metric->verdict), metric->informational ? " (shown only)" : "");
	if (metric->verdict == VERDICT_FINE || metric->verdict == VERDICT_WORSE)
		printf(", since block %" PRIu64, course->metrics[i].block);
	printf("\n  test       %s over %" PRIu64 " blocks: %" PRIu64 " of stable, %" PRIu64 " of the candidate\n", metric->test, metric->blocks,
	       metric->n_stable, metric->n_candidate);
	if (spec->kind != METRIC_DISTRIBUTION)
		printf("  arms       stable %s, candidate %s\n", shown(metric->stable, spec, false, a), shown(metric->candidate, spec, false, b));
	printf("  %s %s, between %s and %s (bound %s)\n",
	       spec->kind == METRIC_DISTRIBUTION                                                ? "distance  "
	       : spec->kind == METRIC_LATENCY || (spec->kind == METRIC_RATE && spec->ratio > 0) ? "ratio     "
												: "difference",
	       shown(metric->estimate, spec, true, estimate), shown(metric->low, spec, true, low), shown(metric->high, spec, true, high),
	       shown(metric->margin, spec, true, bound));
	printf("  worse      e-value %s of %s, p %.3g\n", e_value(metric->log_e_worse, worse), e_value(metric->log_threshold_worse, least),
	       metric->p_anytime);
	printf("  fine       e-value %s of %s\n", e_value(metric->log_e_fine, fine), e_value(metric->log_threshold_fine, fine_least));
	if (metric->dispersion > 0)
		printf("  dispersion %.3g of stable (1: requests are independent)\n", metric->dispersion);
	if (spec->kind == METRIC_DISTRIBUTION && metric->log_e_any > 0)
		printf("  alike      e-value %s against \"no difference at all\"\n", e_value(metric->log_e_any, a));
	printf("  changes    %s\n\n", change);
}

static void print_text(const struct analysis *analysis, const struct analyze *analyze, const struct analysis_verdict *verdict,
		       const struct course *course)
{
	for (size_t i = 0; i < verdict->n_metrics; i++)
		print_metric(analysis, analyze, &verdict->metrics[i], i, course);
	printf("%s after %" PRIu64 " blocks", verdict_name(verdict->verdict), course->blocks);
	if (verdict->verdict == VERDICT_FINE || verdict->verdict == VERDICT_WORSE)
		printf(", since block %" PRIu64, course->whole.block);
	printf(": %s\n", verdict->reason);
}

static int status_of(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_FINE:
		return 0;
	case VERDICT_WORSE:
		return 3;
	case VERDICT_UNDECIDED:
	case VERDICT_NO_DATA:
	case VERDICT_PROVIDER_ERROR:
	case VERDICT_SPLIT_BROKEN:
		return 1;
	}
	abort();
}

/* Metrics that options named and no line has would be without data for ever: that is a slip of the pen. */
static bool all_have_lines(const struct analyze *analyze, const char *file)
{
	for (size_t i = 0; i < analyze->spec.n_metrics; i++)
		if (!analyze->has_lines[i])
			return fprintf(stderr, "penstock analyze: %s has no line of metric \"%s\"\n", file, analyze->spec.metrics[i].metric), false;
	return analyze->spec.n_metrics > 0 || (fprintf(stderr, "penstock analyze: %s has no blocks\n", file), false);
}

static int analyze_file(struct analyze *analyze, const char *file)
{
	cleanup_error struct error *err = NULL;
	cleanup_free char *text = NULL;
	cleanup_buf struct buf mistakes;
	size_t len = 0;
	bool instances = false;
	buf_init(&mistakes, MAX_MISTAKES);
	if (read_input(file, &text, &len, &err) < 0)
		return fprintf(stderr, "penstock analyze: %s\n", error_message(err)), error_exit_status(err);
	size_t wrong = analyze_check(strcmp(file, "-") == 0 ? "stdin" : file, text, len, analyze->arena, &analyze->spec, analyze->has_lines,
				     &instances, &mistakes);
	if (wrong) {
		fprintf(stderr, "%s%spenstock analyze: %zu bad line%s; nothing was counted\n", mistakes.data, mistakes.failed ? "...\n" : "", wrong,
			wrong == 1 ? "" : "s");
		return 2;
	}
	if (!all_have_lines(analyze, file))
		return 2;
	if (!analyze->bursts_given)
		analyze->spec.bursts = instances ? BURSTS_DEFAULT : BURSTS_NONE;
	CLEANUP(analysis_free) struct analysis *analysis = analysis_new(&analyze->spec);
	struct course course = {0};
	struct analysis_verdict verdict;
	analysis_verdict(analysis, &verdict);
	if (run(analyze, text, len, analysis, &course, &verdict, &err) < 0)
		return fprintf(stderr, "penstock analyze: %s: %s\n", file, error_message(err)), 2;
	if (analyze->json)
		print_json(analysis, analyze, &verdict, &course);
	else
		print_text(analysis, analyze, &verdict, &course);
	return status_of(verdict.verdict);
}

int cli_analyze(int argc, char **argv)
{
	static const struct option choices[] = {{"alpha", required_argument, NULL, 'a'},  {"margin", required_argument, NULL, 'm'},
						{"ratio", required_argument, NULL, 'r'},  {"at-most", required_argument, NULL, 'd'},
						{"range", required_argument, NULL, 'R'},  {"distance", required_argument, NULL, 'D'},
						{"better", required_argument, NULL, 'b'}, {"show", required_argument, NULL, 's'},
						{"bursts", required_argument, NULL, 'B'}, {"every", required_argument, NULL, 'e'},
						{"format", required_argument, NULL, 'f'}, {"json", no_argument, NULL, 'j'},
						{"help", no_argument, NULL, 'h'},         {0}};
	CLEANUP(arena_free) struct arena *arena = arena_new();
	struct analyze analyze = {.spec = {.alpha = 0.05}, .arena = arena, .every = 60};
	optind = 0; /* from the start, and with GNU getopt's own state reset */
	for (int choice; (choice = getopt_long(argc, argv, "h", choices, NULL)) != -1;) {
		if (choice == 'h')
			return fputs(usage, stdout) < 0 ? 5 : 0;
		if (choice == '?')
			return fputs("Try `penstock analyze --help`.\n", stderr) < 0 ? 5 : 2;
		if (choice == 'j')
			analyze.json = true;
		else if (!set(&analyze, choice, optarg))
			return 2;
	}
	if (argc - optind != 1)
		return fputs("penstock analyze: expected one file, or - for standard input\nTry `penstock analyze --help`.\n", stderr) < 0 ? 5 : 2;
	return analyze_file(&analyze, argv[optind]);
}
