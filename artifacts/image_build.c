#include "artifacts/image_build.h"

#include "artifacts/layout.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>

#if defined(__x86_64__)
#define ARCHITECTURE "amd64"
#elif defined(__aarch64__)
#define ARCHITECTURE "arm64"
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE "riscv64"
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define ARCHITECTURE "ppc64le"
#elif defined(__s390x__)
#define ARCHITECTURE "s390x"
#else
#error "name this architecture as Go does (GOARCH)"
#endif

static int set_string(json_t *object, const char *key, const char *value, struct error **err)
{
	json_t *json = json_string(value);
	if (!json || json_object_set_new(object, key, json) < 0)
		return error_set(err, ERROR_INVALID, 0, "\"%s: %s\" is no UTF-8", key, value);
	return 0;
}

static int string_array(const char *const *items, json_t *config, const char *key, struct error **err)
{
	json_t *array = json_array();
	for (; items && *items; items++)
		if (json_array_append_new(array, json_string(*items)) < 0) {
			json_decref(array);
			return error_set(err, ERROR_INVALID, 0, "%s: \"%s\" is no UTF-8", key, *items);
		}
	if (json_array_size(array))
		json_object_set(config, key, array);
	json_decref(array);
	return 0;
}

static int env_array(const struct image_spec *spec, json_t *config, struct error **err)
{
	cleanup_json json_t *array = json_array();
	for (size_t i = 0; i < spec->n_env; i++) {
		json_t *text = json_sprintf("%s=%s", spec->env[i].name, spec->env[i].value);
		if (!text)
			return error_set(err, ERROR_INVALID, 0, "env %s: no UTF-8", spec->env[i].name);
		json_array_append_new(array, text);
	}
	if (spec->n_env)
		json_object_set(config, "Env", array);
	return 0;
}

/* The user's labels first, so that none of them can say otherwise than ours. */
static int labels_object(const struct image_spec *spec, json_t *labels, struct error **err)
{
	for (size_t i = 0; i < spec->n_labels; i++)
		if (set_string(labels, spec->labels[i].name, spec->labels[i].value, err) < 0)
			return -1;
	const struct image_pair own[] = {
		{PENSTOCK_BASE, spec->host_base ? "host" : "none"},
		{"org.opencontainers.image.title", spec->title},
		{"org.opencontainers.image.version", spec->version},
		{"org.opencontainers.image.revision", spec->revision},
	};
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (own[i].value && set_string(labels, own[i].name, own[i].value, err) < 0)
			return -1;
	return 0;
}

static int runtime_config(const struct image_spec *spec, json_t *config, struct error **err)
{
	json_t *labels = json_object();
	json_object_set_new(config, "Labels", labels);
	if (labels_object(spec, labels, err) < 0 || string_array(spec->entrypoint, config, "Entrypoint", err) < 0 ||
	    string_array(spec->cmd, config, "Cmd", err) < 0 || env_array(spec, config, err) < 0)
		return -1;
	if (spec->dir && set_string(config, "WorkingDir", spec->dir, err) < 0)
		return -1;
	if (spec->port) {
		char port[16];
		snprintf(port, sizeof(port), "%u/tcp", spec->port);
		json_object_set_new(config, "ExposedPorts", json_pack("{s:{}}", port));
	}
	return 0;
}

static int put_config(const struct image_spec *spec, const struct image_result *made, const char *layout, struct oci_descriptor *ret,
		      struct error **err)
{
	char created[RFC3339_SIZE];
	clock_rfc3339(spec->created * 1000, created);
	json_t *diff_ids = json_array();
	for (size_t i = 0; i < made->n_layers; i++)
		json_array_append_new(diff_ids, json_string(made->layers[i].diff_id));
	json_t *config = json_object();
	cleanup_json json_t *json = json_pack("{s:s, s:s, s:s, s:o, s:{s:s, s:o}}", "created", created, "architecture", ARCHITECTURE, "os",
					      "linux", "config", config, "rootfs", "type", "layers", "diff_ids", diff_ids);
	if (runtime_config(spec, config, err) < 0)
		return -1;
	return layout_put_json(layout, json, OCI_CONFIG, ret, err);
}

static int put_manifest(const struct oci_descriptor *config, struct image_result *made, const char *layout, struct error **err)
{
	json_t *layers = json_array();
	made->size = config->size;
	for (size_t i = 0; i < made->n_layers; i++) {
		json_array_append_new(layers, descriptor_json(&made->layers[i].blob));
		made->size += made->layers[i].blob.size;
	}
	cleanup_json json_t *json = json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", OCI_MANIFEST, "config",
					      descriptor_json(config), "layers", layers);
	if (layout_put_json(layout, json, OCI_MANIFEST, &made->manifest, err) < 0)
		return -1;
	made->size += made->manifest.size;
	return 0;
}

int image_build(const struct image_spec *spec, const char *context, const char *layout, const char *tag, struct image_result *ret,
		struct error **err)
{
	if (spec->n_layers == 0 || spec->n_layers > IMAGE_MAX_LAYERS)
		return error_set(err, ERROR_INVALID, 0, "an image has 1 to %d layers, not %zu", IMAGE_MAX_LAYERS, spec->n_layers);
	cleanup_fd int fd = open(context, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, errno, "cannot open context %s", context);
	if (layout_make(layout, err) < 0)
		return -1;
	struct image_result made = {.n_layers = spec->n_layers};
	for (size_t i = 0; i < spec->n_layers; i++) {
		const struct image_layer_spec *layer = &spec->layers[i];
		if (pack_layer(fd, &layer->item, layout, layer->compression, &made.layers[i], err) < 0)
			return error_context(err, "layer %zu (from %s to %s)", i + 1, layer->item.from, layer->item.to);
	}
	struct oci_descriptor config;
	if (put_config(spec, &made, layout, &config, err) < 0 || put_manifest(&config, &made, layout, err) < 0 ||
	    layout_set_tag(layout, tag, &made.manifest, err) < 0)
		return -1;
	*ret = made;
	return 0;
}
