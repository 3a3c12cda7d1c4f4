#include "artifacts/capture.h"
#include "artifacts/layout.h"
#include "artifacts/unpack.h"
#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static int unpack_layers(struct unpack *unpack, const json_t *manifest, const json_t *diff_ids, struct error **err)
{
	const json_t *layers = json_object_get(manifest, "layers");
	if (!json_is_array(layers) || !json_is_array(diff_ids) || json_array_size(layers) != json_array_size(diff_ids))
		return error_set(err, ERROR_INVALID, 0, "the config's rootfs.diff_ids do not fit the manifest's layers");
	for (size_t i = 0; i < json_array_size(layers); i++) {
		struct oci_descriptor layer;
		const char *diff_id = json_string_value(json_array_get(diff_ids, i));
		if (descriptor_read(json_array_get(layers, i), &layer, err) < 0)
			return -1;
		if (!diff_id || !digest_is_valid(diff_id))
			return error_set(err, ERROR_INVALID, 0, "the config's rootfs.diff_ids holds what is no sha256 digest");
		if (i > 0 && unpack_whiteouts(unpack, &layer, err) < 0)
			return -1;
		if (unpack_layer(unpack, &layer, diff_id, err) < 0)
			return -1;
	}
	return 0;
}

static int unpack_aside(int layout_fd, const char *manifest_digest, const char *aside, const struct unpack_limits *limits, struct error **err)
{
	cleanup_json json_t *manifest = NULL;
	cleanup_json json_t *config = NULL;
	const char *config_digest;
	if (layout_read_json(layout_fd, manifest_digest, &manifest, err) < 0 ||
	    json_need_string(json_object_get(manifest, "config"), "digest", &config_digest, err) < 0 ||
	    layout_read_json(layout_fd, config_digest, &config, err) < 0)
		return -1;
	if (tree_remove(aside, err) < 0) /* left by a crash */
		return -1;
	if (mkdir(aside, 0755) < 0 || chmod(aside, 0755) < 0)
		return error_set(err, ERROR_IO, errno, "cannot make directory %s", aside);
	cleanup_fd int root_fd = open(aside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open directory %s", aside);
	struct unpack unpack = {.layout_fd = layout_fd, .root = aside, .root_fd = root_fd, .existing = UNPACK_REPLACE, .left = *limits};
	if (unpack_layers(&unpack, manifest, json_object_get(json_object_get(config, "rootfs"), "diff_ids"), err) < 0)
		return -1;
	if (syncfs(root_fd) < 0) /* Its new name must not outlive a power cut that its files do not. */
		return error_set(err, ERROR_IO, errno, "cannot sync %s", aside);
	return 0;
}

int image_unpack_within(const char *layout, const char *manifest_digest, const char *rootfs, const struct unpack_limits *limits,
			struct error **err)
{
	if (path_exists(rootfs))
		return error_set(err, ERROR_CONFLICT, 0, "%s exists already", rootfs);
	cleanup_fd int layout_fd = layout_open(layout, err);
	if (layout_fd < 0)
		return -1;
	cleanup_free char *aside = xasprintf("%s.partial", rootfs);
	if (unpack_aside(layout_fd, manifest_digest, aside, limits, err) < 0) {
		cleanup_error struct error *second = NULL; /* The first says what happened. */
		if (tree_remove(aside, &second) < 0)
			error_context(err, "%s is left behind", aside);
		return error_context(err, "image %s", manifest_digest);
	}
	if (rename(aside, rootfs) < 0)
		return error_set(err, ERROR_IO, errno, "cannot rename %s to %s", aside, rootfs);
	return 0;
}

int image_unpack(const char *layout, const char *manifest_digest, const char *rootfs, struct error **err)
{
	return image_unpack_within(layout, manifest_digest, rootfs, &unpack_default_limits, err);
}
