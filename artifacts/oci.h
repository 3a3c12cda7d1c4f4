/* Words of the OCI image specification 1.1 that several files here use, and the two plain things that are passed around. */
#ifndef ARTIFACTS_OCI_H
#define ARTIFACTS_OCI_H

#include "base/digest.h"

#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define OCI_EMPTY "application/vnd.oci.empty.v1+json" /* the two bytes {} */
#define OCI_LAYER_TAR "application/vnd.oci.image.layer.v1.tar"
#define OCI_LAYER_GZIP "application/vnd.oci.image.layer.v1.tar+gzip"
#define OCI_LAYER_ZSTD "application/vnd.oci.image.layer.v1.tar+zstd"
#define DOCKER_LAYER_GZIP "application/vnd.docker.image.rootfs.diff.tar.gzip"

#define PENSTOCK_OUTPUTS "application/vnd.penstock.outputs.v1" /* artifactType of a stage's outputs */

#define OCI_REF_NAME "org.opencontainers.image.ref.name"  /* index annotation: the tag */
#define PENSTOCK_OUTPUT "io.penstock.output"              /* layer annotation: the output as the pipeline declares it */
#define PENSTOCK_BASE "io.penstock.base"                  /* image label: "host" or "none" */

#define OCI_MANIFEST_MAX ((size_t)4 * 1024 * 1024) /* registries refuse larger ones */
#define OCI_BLOBS_MAX 10000                        /* of one artifact */

struct oci_descriptor {
	char digest[DIGEST_SIZE];
	uint64_t size;
	const char *media_type; /* static */
};

struct oci_layer {
	struct oci_descriptor blob;
	char diff_id[DIGEST_SIZE]; /* of the uncompressed tar */
};
#endif
