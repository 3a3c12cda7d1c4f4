/* Inside artifacts/ only: what store.c, incoming.c and collect.c share. */
#ifndef ARTIFACTS_STORE_PRIV_H
#define ARTIFACTS_STORE_PRIV_H

#include "artifacts/store.h"

#include <pthread.h>

struct oci_store {
	char *path;
	int fd;
	int blobs_fd;    /* blobs/sha256 */
	int incoming_fd; /* incoming */
	pthread_mutex_t lock; /* moving blobs in, index.json and collecting exclude one another */
};

/* An accepted delivery, incoming/<name>.accepted: {"manifests": {tag: digest}, "blobs": [digest]}. From the moment it is
 * written, everything in it is verified and belongs to the store, wherever its blobs still lie. */
#define ACCEPTED_SUFFIX ".accepted"
#define ACCEPTED_MAX ((size_t)8 * 1024 * 1024)
char *accepted_path(const struct oci_store *store, const char *name); /* allocated */
#endif
