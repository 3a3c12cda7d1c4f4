/* Building an image: layers packed from a directory, a config and a manifest, in a layout. The same spec and files give the
 * same bytes, and so the same digest. */
#ifndef ARTIFACTS_IMAGE_BUILD_H
#define ARTIFACTS_IMAGE_BUILD_H

#include "artifacts/pack.h"
#include "base/json.h"

#define IMAGE_MAX_LAYERS 127 /* what overlay file systems of other runtimes take */

struct image_layer_spec {
	struct pack_item item;
	enum compression compression; /* weights are often better left as they are */
};

struct image_pair { const char *name, *value; };

/* All strings UTF-8, borrowed. Lists end with NULL or are counted; NULL lists are empty. */
struct image_spec {
	bool host_base;                 /* label io.penstock.base: host, else none */
	const struct image_layer_spec *layers;
	size_t n_layers;
	const char *const *entrypoint, *const *cmd;
	const struct image_pair *env, *labels;
	size_t n_env, n_labels;
	const char *dir;                /* working directory, absolute, or NULL */
	uint16_t port;                  /* 0: none */
	int64_t created;                /* seconds since 1970: the commit's time, or 0 */
	const char *title, *version, *revision; /* labels org.opencontainers.image.*, or NULL */
};

struct image_result {
	struct oci_descriptor manifest;
	uint64_t size; /* manifest, config and layers: what a pull transfers */
	struct oci_layer layers[IMAGE_MAX_LAYERS];
	size_t n_layers;
};

/* Builds into `layout` (made if it is missing) from the directory `context`, and names the manifest `tag`. Errors name the
 * layer: NOT_FOUND for a missing `from`, INVALID, TOO_LARGE, CONFLICT, IO, NO_SPACE. */
int image_build(const struct image_spec *spec, const char *context, const char *layout, const char *tag, struct image_result *ret,
		struct error **err) must_check;
#endif
