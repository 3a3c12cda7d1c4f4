#include "artifacts/capture.h"

#include "artifacts/layout.h"
#include "artifacts/pack.h"
#include "artifacts/unpack.h"
#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>

#define TAG "outputs"

/* "model/" -> "model". */
static char *without_slash(const char *output)
{
	size_t len = strlen(output);
	return xstrndup(output, len && output[len - 1] == '/' ? len - 1 : len);
}

/* Is `path` the same as `dir` or beneath it? Neither has a slash at its end. */
static bool is_beneath(const char *path, const char *dir)
{
	size_t len = strlen(dir);
	return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* Is outputs[i] stored with another one? Of equal ones the first stays. */
static bool is_covered(char *const *paths, size_t n, size_t i)
{
	for (size_t j = 0; j < n; j++)
		if (j != i && is_beneath(paths[i], paths[j]) && (strcmp(paths[i], paths[j]) != 0 || j < i))
			return true;
	return false;
}

static int capture_one(int workspace_fd, const char *output, const char *path, const char *layout, json_t *layers, struct error **err)
{
	/* The layer holds the output under its own name; "model/" must be a directory, "model" may be one. */
	cleanup_free char *to = xasprintf("/%s", path);
	struct pack_item item = {.from = output, .to = to};
	struct oci_layer layer;
	cleanup_error struct error *why = NULL;
	if (pack_layer(workspace_fd, &item, layout, COMPRESSION_NONE, &layer, &why) < 0) {
		enum error_code code = error_code_of(why);
		if (code != ERROR_NOT_FOUND && code != ERROR_DENIED)
			return error_move(err, STEAL(why));
		return error_set(err, ERROR_INVALID, 0, "output \"%s\": %s", output, error_message(why));
	}
	json_t *name = json_string(output);
	if (!name)
		return error_set(err, ERROR_INVALID, 0, "the output's name \"%s\" is no UTF-8", output);
	json_t *descriptor = descriptor_json(&layer.blob);
	json_object_set_new(descriptor, "annotations", json_pack("{s:o}", PENSTOCK_OUTPUT, name));
	json_array_append_new(layers, descriptor);
	return 0;
}

static int capture_layers(const char *workspace, const char *const *outputs, size_t n, const char *layout, json_t *layers, struct error **err)
{
	cleanup_fd int fd = open(workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open workspace %s", workspace);
	cleanup_strlist struct strlist paths = {0};
	for (size_t i = 0; i < n; i++) {
		strlist_take(&paths, without_slash(outputs[i]));
		if (!path_is_inside(paths.items[i]))
			return error_set(err, ERROR_INVALID, 0, "output \"%s\" is no path inside the workspace", outputs[i]);
	}
	for (size_t i = 0; i < n; i++)
		if (!is_covered(paths.items, n, i) && capture_one(fd, outputs[i], paths.items[i], layout, layers, err) < 0)
			return -1;
	return 0;
}

int capture_outputs(const char *workspace, const char *const *outputs, size_t n_outputs, const char *layout, char ret_manifest[DIGEST_SIZE],
		    struct error **err)
{
	cleanup_json json_t *layers = json_array();
	cleanup_json json_t *none = json_object();
	struct oci_descriptor empty, manifest;
	if (layout_make(layout, err) < 0 || capture_layers(workspace, outputs, n_outputs, layout, layers, err) < 0 ||
	    layout_put_json(layout, none, OCI_EMPTY, &empty, err) < 0)
		return -1;
	if (json_array_size(layers) == 0) /* OCI wants at least one layer; the empty blob is what it names for that. */
		json_array_append_new(layers, descriptor_json(&empty));
	cleanup_json json_t *json = json_pack("{s:i, s:s, s:s, s:o, s:O}", "schemaVersion", 2, "mediaType", OCI_MANIFEST, "artifactType",
					      PENSTOCK_OUTPUTS, "config", descriptor_json(&empty), "layers", layers);
	if (layout_put_json(layout, json, OCI_MANIFEST, &manifest, err) < 0 || layout_set_tag(layout, TAG, &manifest, err) < 0)
		return -1;
	snprintf(ret_manifest, DIGEST_SIZE, "%s", manifest.digest);
	return 0;
}

static int read_outputs(int layout_fd, const char *digest, json_t **ret, struct error **err)
{
	cleanup_json json_t *manifest = NULL;
	if (layout_read_json(layout_fd, digest, &manifest, err) < 0)
		return -1;
	const char *type = json_string_or(manifest, "artifactType", "");
	if (strcmp(type, PENSTOCK_OUTPUTS) != 0 || !json_is_array(json_object_get(manifest, "layers")))
		return error_set(err, ERROR_INVALID, 0, "%s holds no outputs of a stage", digest);
	*ret = STEAL(manifest);
	return 0;
}

static int restore_one(struct unpack *unpack, const json_t *manifest, struct error **err)
{
	const json_t *layers = json_object_get(manifest, "layers");
	for (size_t i = 0; i < json_array_size(layers); i++) {
		struct oci_descriptor layer;
		if (descriptor_read(json_array_get(layers, i), &layer, err) < 0)
			return -1;
		if (strcmp(layer.media_type, OCI_EMPTY) == 0)
			continue;
		if (unpack_layer(unpack, &layer, strcmp(layer.media_type, OCI_LAYER_TAR) == 0 ? layer.digest : NULL, err) < 0)
			return -1;
	}
	return 0;
}

static int restore(const char *layout, const char *const *digests, const json_t *manifests, const char *workspace,
		   enum unpack_existing existing, struct error **err)
{
	cleanup_fd int layout_fd = layout_open(layout, err);
	if (layout_fd < 0)
		return -1;
	cleanup_fd int root_fd = open(workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open workspace %s", workspace);
	struct unpack unpack = {
		.layout_fd = layout_fd, .root = workspace, .root_fd = root_fd, .existing = existing, .left = unpack_default_limits};
	for (size_t i = 0; i < json_array_size(manifests); i++)
		if (restore_one(&unpack, json_array_get(manifests, i), err) < 0)
			return error_context(err, "restore outputs %s", digests[i]);
	return 0;
}

/* Manifests of all digests, in their order. */
static int read_all(const char *layout, const char *const *digests, size_t n, json_t *manifests, struct error **err)
{
	cleanup_fd int layout_fd = layout_open(layout, err);
	if (layout_fd < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		json_t *manifest = NULL;
		if (read_outputs(layout_fd, digests[i], &manifest, err) < 0)
			return error_context(err, "restore outputs");
		json_array_append_new(manifests, manifest);
	}
	return 0;
}

static const char *output_name(const json_t *manifest, size_t i)
{
	const json_t *layer = json_array_get(json_object_get(manifest, "layers"), i);
	return json_string_or(json_object_get(layer, "annotations"), PENSTOCK_OUTPUT, "");
}

/* Do two artifacts declare the same place? */
static int check_overlap(const json_t *a, const char *digest_a, const json_t *b, const char *digest_b, struct error **err)
{
	for (size_t i = 0; i < json_array_size(json_object_get(a, "layers")); i++)
		for (size_t j = 0; j < json_array_size(json_object_get(b, "layers")); j++) {
			cleanup_free char *x = without_slash(output_name(a, i));
			cleanup_free char *y = without_slash(output_name(b, j));
			if (x[0] && y[0] && (is_beneath(x, y) || is_beneath(y, x)))
				return error_set(err, ERROR_CONFLICT, 0,
						 "two needed stages have overlapping outputs: \"%s\" of %s and \"%s\" of %s",
						 output_name(a, i), digest_a, output_name(b, j), digest_b);
		}
	return 0;
}

int capture_restore_all(const char *layout, const char *const *digests, size_t n, const char *workspace, struct error **err)
{
	cleanup_json json_t *manifests = json_array();
	if (read_all(layout, digests, n, manifests, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(digests[i], digests[j]) != 0 &&
			    check_overlap(json_array_get(manifests, j), digests[j], json_array_get(manifests, i), digests[i], err) < 0)
				return -1;
	return restore(layout, digests, manifests, workspace, UNPACK_REPLACE_FILES, err);
}

int capture_restore(const char *layout, const char *manifest_digest, const char *workspace, struct error **err)
{
	cleanup_json json_t *manifests = json_array();
	if (read_all(layout, &manifest_digest, 1, manifests, err) < 0)
		return -1;
	return restore(layout, &manifest_digest, manifests, workspace, UNPACK_SAME_ONLY, err);
}
