/* The process target, driven by lines on standard input; what a daemon does with it and nothing else, so that what is measured is the
 * target's. bench.py kills and restarts it.
 *
 *     switching_driver image LAYOUT CONTEXT VERSION      prints a digest
 *     switching_driver serve STATE LAYOUT CONFIG A B     two images, two copies each
 *
 *     apply GENERATION PPM_A PPM_B PREVIEW               -> {"ms": 4.2}      applied and read back; PREVIEW: 0 none, 1 A, 2 B
 *     observe                                            -> {"ready": 4, "router": true, "ppm": [..], "preview": "sha256:..."}
 *
 * Errors are {"error": "..."}. */
#include "artifacts/commands.h"
#include "artifacts/image_build.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/yaml.h"
#include "deployers/target.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define COPIES 2

struct bench {
	struct loop *loop;
	struct target *target;
	const char *images[2];
	struct timespec asked;
	char line[256];
	size_t len;
	bool over;
};

static void say(json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(object);
}

static void say_error(const char *text)
{
	say(json_pack("{s:s}", "error", text));
}

static void on_applied(void *arg, uint64_t generation, struct error *err)
{
	const struct bench *bench = arg;
	struct timespec now;
	(void)generation;
	if (err) {
		say_error(error_message(err));
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	double ms = (double)(now.tv_sec - bench->asked.tv_sec) * 1e3 + (double)(now.tv_nsec - bench->asked.tv_nsec) / 1e6;
	say(json_pack("{s:f}", "ms", ms));
}

static void apply(struct bench *bench, uint64_t generation, uint32_t a, uint32_t b, unsigned preview)
{
	struct release releases[2] = {{.id = 1, .version = "a", .image = bench->images[0], .commit = "a"},
				      {.id = 2, .version = "b", .image = bench->images[1], .commit = "b"}};
	struct desired desired = {.arms = {{&releases[0], COPIES, a}, {&releases[1], COPIES, b}},
				  .n_arms = 2,
				  .generation = generation,
				  .preview = preview,
				  .health_path = "/healthz",
				  .health_within_ms = 30000};
	clock_gettime(CLOCK_MONOTONIC, &bench->asked);
	bench->target->ops->apply(bench->target, &desired, on_applied, bench);
}

static void on_observed(void *arg, const struct actual *actual, struct error *err)
{
	(void)arg;
	if (err) {
		say_error(error_message(err));
		return;
	}
	unsigned ready = 0;
	json_t *shares = json_object();
	for (unsigned i = 0; i < actual->n_arms; i++) {
		ready += actual->arms[i].ready;
		json_object_set_new(shares, actual->arms[i].image, json_integer(actual->arms[i].weight_ppm));
	}
	say(json_pack("{s:i, s:b, s:o, s:s, s:s, s:I}", "ready", (int)ready, "router", actual->router_ok, "ppm", shares, "preview",
		      actual->preview_image, "message", actual->message, "generation", (json_int_t)actual->generation));
}

static void command(struct bench *bench, const char *line)
{
	uint64_t generation;
	uint32_t a, b;
	unsigned preview;
	if (sscanf(line, "apply %" SCNu64 " %" SCNu32 " %" SCNu32 " %u", &generation, &a, &b, &preview) == 4)
		apply(bench, generation, a, b, preview);
	else if (strcmp(line, "observe") == 0)
		bench->target->ops->observe(bench->target, on_observed, bench);
	else
		say_error("no such command");
}

static void on_input(void *arg, int events)
{
	struct bench *bench = arg;
	char *end;
	(void)events;
	ssize_t n = read(STDIN_FILENO, bench->line + bench->len, sizeof(bench->line) - 1 - bench->len);
	if (n <= 0) {
		bench->over = true;
		return;
	}
	bench->len += (size_t)n;
	bench->line[bench->len] = '\0';
	while ((end = strchr(bench->line, '\n'))) {
		*end++ = '\0';
		command(bench, bench->line);
		bench->len = strlen(end);
		memmove(bench->line, end, bench->len + 1);
	}
}

static int open_target(struct bench *bench, char **argv, struct error **err)
{
	cleanup_free char *text = NULL, *self_dir = path_of_self();
	cleanup_free char *self = path_join(self_dir, "switching_driver");
	struct diag_list *diags = diag_list_new();
	if (file_read(argv[4], 65536, &text, NULL, err) < 0)
		return -1;
	struct yaml_doc *doc = yaml_parse(argv[4], text, strlen(text), diags);
	const struct target_ops *ops = target_find("process");
	if (!doc || !schema_check(ops->config, yaml_root(doc), diags))
		return error_set(err, ERROR_INVALID, 0, "%s is no configuration of a process target", argv[4]);
	struct target_config config = {
		.name = "prod", .kind = "process", .body = yaml_root(doc), .state_dir = argv[2], .layout = argv[3], .self = self};
	int status = ops->open(&config, bench->loop, &bench->target, err);
	diag_list_free(diags);
	yaml_doc_free(doc);
	return status;
}

static int serve(char **argv)
{
	struct bench bench = {.loop = loop_new(), .images = {argv[5], argv[6]}};
	struct error *err = NULL;
	if (open_target(&bench, argv, &err) < 0) {
		say_error(error_message(err));
		error_free(err);
		return 1;
	}
	struct loop_watch *watch = loop_watch_start(bench.loop, STDIN_FILENO, LOOP_READ, on_input, &bench);
	while (!bench.over)
		loop_turn(bench.loop);
	loop_watch_stop(watch);
	bench.target->ops->close(bench.target);
	return 0;
}

static int image(char **argv)
{
	static const struct image_layer_spec layers[] = {{.item = {.from = "app/", .to = "/app/"}, .compression = COMPRESSION_NONE}};
	const char *const entrypoint[] = {"/app/switching_server", argv[4], NULL};
	struct image_spec spec = {.host_base = true, .layers = layers, .n_layers = 1, .entrypoint = entrypoint, .dir = "/app", .port = 8080};
	struct image_result result;
	struct error *err = NULL;
	if (image_build(&spec, argv[3], argv[2], argv[4], &result, &err) < 0) {
		fprintf(stderr, "%s\n", error_message(err));
		error_free(err);
		return 1;
	}
	puts(result.manifest.digest);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "unpack") == 0) /* the target's children run its own executable */
		return unpack_command(argc - 1, argv + 1);
	if (!getenv("VERBOSE"))
		log_set_level(LOG_ERROR + 1);
	if (argc == 7 && strcmp(argv[1], "serve") == 0)
		return serve(argv);
	if (argc == 5 && strcmp(argv[1], "image") == 0)
		return image(argv);
	fputs("this is a part of tests/bench/switching/bench.py\n", stderr);
	return 2;
}
