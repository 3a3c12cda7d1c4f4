/* A deterministic tar writer: POSIX ustar, with pax records only for what ustar cannot hold (names over 255 bytes or without
 * a fitting slash, link targets over 100, files of 8 GiB and more). Owner 0/0, no names of users, time 0: nothing of the
 * machine gets in. Names are bytes; the locale is never asked (that is why this is not libarchive's writer).
 *
 *     struct tar_writer tar = {.write = sink, .arg = x};
 *     tar_begin(&tar, &(struct tar_entry){.path = "app/a", .type = TAR_FILE, .size = 3}, &err);
 *     tar_data(&tar, "abc", 3, &err);
 *     tar_finish(&tar, &err);
 *
 * Format: POSIX.1-2017, pax utility, "ustar Interchange Format" and "pax Interchange Format". */
#ifndef ARTIFACTS_TAR_WRITE_H
#define ARTIFACTS_TAR_WRITE_H

#include "base/cleanup.h"

#include <stdint.h>

enum tar_type { TAR_FILE, TAR_DIRECTORY, TAR_SYMLINK };

struct tar_entry {
	const char *path;   /* relative; no trailing slash, not even for directories */
	enum tar_type type;
	bool executable;    /* files: 0755 instead of 0644; directories are 0755, links 0777 */
	uint64_t size;      /* of a file */
	const char *target; /* of a link */
};

struct tar_writer {
	int (*write)(void *arg, const void *bytes, size_t len, struct error **err);
	void *arg;
	uint64_t left;      /* bytes of the current file still to come */
	unsigned padding;   /* after them */
};

/* Asserts that the entry before got all its bytes. */
int tar_begin(struct tar_writer *tar, const struct tar_entry *entry, struct error **err) must_check;
int tar_data(struct tar_writer *tar, const void *bytes, size_t len, struct error **err) must_check;
int tar_finish(struct tar_writer *tar, struct error **err) must_check;
#endif
