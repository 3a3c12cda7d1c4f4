#include "base/file.h"
#include "stages/build/build_priv.h"
#include "stages/command.h"
#include "stages/result.h"

#include <getopt.h>
#include <stdio.h>

#define USAGE "usage: penstock build --spec FILE --context DIR --layout DIR [--tag NAME] [--format text|json]\n"

static const char help[] = USAGE "\n"
				 "Builds an image from files, without a container daemon: the same files give the same digest.\n"
				 "\n"
				 "  --spec FILE      what goes into it, as under `build:` in a pipeline\n"
				 "  --context DIR    the folder that its paths are taken from\n"
				 "  --layout DIR     the OCI image layout to write into\n"
				 "  --tag NAME       its name there\n"
				 "  --format FORMAT  text (default) or json\n"
				 "\n"
				 "Exit status: 0 built, 1 failed, 2 usage or bad file, 5 infrastructure.\n";

struct arguments {
	const char *spec, *context, *layout, *tag;
	bool json, help;
};

static bool parse_arguments(int argc, char **argv, struct arguments *ret)
{
	static const struct option options[] = {
		{"spec", required_argument, NULL, 's'}, {"context", required_argument, NULL, 'c'}, {"layout", required_argument, NULL, 'l'},
		{"tag", required_argument, NULL, 't'},  {"format", required_argument, NULL, 'f'},  {"help", no_argument, NULL, 'h'}, {0}};
	optind = 0;
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 's':
			ret->spec = optarg;
			break;
		case 'c':
			ret->context = optarg;
			break;
		case 'l':
			ret->layout = optarg;
			break;
		case 't':
			ret->tag = optarg;
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
	return optind == argc && ret->spec && ret->context && ret->layout;
}

static int fail(const struct error *err)
{
	fprintf(stderr, "penstock build: %s\n", error_message(err));
	return error_exit_status(err);
}

/* NULL after the mistakes were printed; *ret_status is then the exit status. The doc owns what the spec points at. */
static struct yaml_doc *read_spec(const char *path, struct arena *arena, struct build_spec *ret, int *ret_status)
{
	cleanup_free char *text = NULL;
	cleanup_error struct error *err = NULL;
	size_t len;
	if (file_read(path, YAML_MAX_BYTES, &text, &len, &err) < 0) {
		int status = fail(err);
		*ret_status = status == 5 ? 5 : 2;
		return NULL;
	}
	cleanup_diags struct diag_list *diags = diag_list_new();
	cleanup_yaml struct yaml_doc *doc = yaml_parse(path, text, len, diags);
	if (doc && diag_errors(diags) == 0 && schema_check(&build_spec_schema, yaml_root(doc), diags)) {
		build_spec_read(yaml_root(doc), arena, ret);
		return STEAL(doc);
	}
	cleanup_buf struct buf out;
	buf_init(&out, (size_t)4 * 1024 * 1024);
	diag_print(diags, text, false, &out);
	fputs(out.data, stderr);
	*ret_status = 2;
	return NULL;
}

static json_t *result_json(const struct image_result *result, const struct build_spec *spec)
{
	json_t *layers = json_array();
	for (size_t i = 0; i < result->n_layers; i++) {
		const struct oci_layer *layer = &result->layers[i];
		json_array_append_new(layers, json_pack("{s:s, s:s, s:I, s:s}", "digest", layer->blob.digest, "diff_id", layer->diff_id, "size",
							(json_int_t)layer->blob.size, "media_type", layer->blob.media_type));
	}
	return json_pack("{s:s, s:I, s:o, s:s, s:o}", "digest", result->manifest.digest, "size", (json_int_t)result->size, "layers", layers,
			 "version", spec->version, "ref", json_sprintf("%s:%s", spec->image, spec->version));
}

static void result_text(const struct image_result *result, const struct build_spec *spec, struct buf *out)
{
	buf_addf(out, "%s:%s\n%s  %llu bytes\n", spec->image, spec->version, result->manifest.digest, (unsigned long long)result->size);
	for (size_t i = 0; i < result->n_layers; i++)
		buf_addf(out, "  %s  %llu bytes  %s -> %s\n", result->layers[i].blob.digest, (unsigned long long)result->layers[i].blob.size,
			 spec->spec.layers[i].item.from, spec->spec.layers[i].item.to);
}

static int print_result(const struct image_result *result, const struct build_spec *spec, bool as_json)
{
	cleanup_buf struct buf out;
	buf_init(&out, (size_t)4 * 1024 * 1024);
	if (as_json) {
		cleanup_json json_t *json = result_json(result, spec);
		return result_print_json(json);
	}
	result_text(result, spec, &out);
	return result_print_text("build", &out);
}

int build_command(int argc, char **argv)
{
	struct arguments arguments = {0};
	if (!parse_arguments(argc, argv, &arguments)) {
		fputs(USAGE, stderr);
		return 2;
	}
	if (arguments.help)
		return fputs(help, stdout) < 0 ? 5 : 0;
	cleanup_arena struct arena *arena = arena_new();
	struct build_spec spec;
	int status;
	cleanup_yaml struct yaml_doc *doc = read_spec(arguments.spec, arena, &spec, &status);
	if (!doc)
		return status;
	if (!spec.version || strcmp(spec.version, "auto") == 0)
		spec.version = "dev"; /* Outside a run there is no number to count on. */
	spec.spec.version = spec.version;
	struct image_result result;
	cleanup_error struct error *err = NULL;
	if (image_build(&spec.spec, arguments.context, arguments.layout, arguments.tag ? arguments.tag : spec.version, &result, &err) < 0) {
		status = fail(err);
		return status == 5 ? 5 : 1; /* The spec was in order: what it asks for cannot be had from these files. */
	}
	return print_result(&result, &spec, arguments.json);
}
