/* A release: one image, built by one run, that can be deployed. Plain. */
#ifndef ARTIFACTS_RELEASE_H
#define ARTIFACTS_RELEASE_H

#include <stdint.h>

struct release {
	int64_t id;             /* row */
	int64_t run_id;
	const char *repository;
	const char *version;    /* "2026.11.23-12" or a tag */
	const char *image;      /* manifest digest "sha256:..." in state/oci */
	const char *commit;
	uint16_t port;          /* the image's port */
};
#endif
