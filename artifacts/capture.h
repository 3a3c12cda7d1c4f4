/* Outputs of a stage as an OCI artifact (artifactType application/vnd.penstock.outputs.v1): one reproducible tar layer per declared
 * output, annotated with its path. Runs in children (`penstock capture`, `penstock prepare`, `penstock unpack`), never in the daemon. */
#ifndef ARTIFACTS_CAPTURE_H
#define ARTIFACTS_CAPTURE_H

#include "base/digest.h"
#include "base/json.h"

/* Hashes and packs `outputs` ("model/", "out/metrics.json"; symlinks are stored as links, devices refused) from workspace into the layout
 * at `layout`, tagged "outputs". A missing output is INVALID naming it. An output inside another one ("out/" and "out/x.csv") is
 * stored once, and no outputs at all are an artifact too. The same files give the same digest. */
int capture_outputs(const char *workspace, const char *const *outputs, size_t n_outputs, const char *layout, char ret_manifest[DIGEST_SIZE],
		    struct error **err) must_check;
/* Unpacks a captured manifest from a layout into workspace (existing files of another artifact are a CONFLICT): what is there
 * already must be the same, whoever put it there. */
int capture_restore(const char *layout, const char *manifest_digest, const char *workspace, struct error **err) must_check;
/* All that an attempt needs, over the files of its commit: a file of an artifact replaces a file of the commit (a stage may
 * rewrite a committed metrics.json), while two artifacts that declare overlapping outputs are a CONFLICT that names both.
 * This is what a workspace is prepared with. Unpacks nothing if the declarations conflict. */
int capture_restore_all(const char *layout, const char *const *manifest_digests, size_t n, const char *workspace, struct error **err) must_check;
/* Unpacks an image's layers into `rootfs` (must not exist; made aside and renamed), whiteouts applied, under byte and entry budgets. */
int image_unpack(const char *layout, const char *manifest_digest, const char *rootfs, struct error **err) must_check;
/* What a target needs to run an image: from its config. */
struct image_config {
	char **entrypoint;  /* NULL-terminated: Entrypoint then Cmd */
	char **env;         /* NULL-terminated NAME=VALUE */
	char *dir;          /* working directory or NULL */
	uint16_t port;      /* first ExposedPorts, or 0 */
	bool host_base;     /* annotation/label io.penstock.base=host: runs on the host's /usr */
};
int image_config_read(const char *layout, const char *manifest_digest, struct image_config *ret, struct error **err) must_check;
void image_config_done(struct image_config *config);
#endif
