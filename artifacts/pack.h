/* Packing: files of a directory as one layer, the same bytes every time. Order is the byte order of the full paths (a
 * directory counts as "name/"), so readdir's order, the locale, the umask and times do not matter. Symbolic links stay
 * links; sockets, FIFOs and devices are refused by name, and so are names that begin with ".wh.", which mean deletion in
 * a layer. Memory: one directory's names a level. */
#ifndef ARTIFACTS_PACK_H
#define ARTIFACTS_PACK_H

#include "artifacts/layer_write.h"

#define PACK_MAX_DEPTH 128
#define PACK_MAX_ENTRIES 1000000
#define PACK_MAX_NAME 4096

struct pack_item {
	const char *from; /* beneath the source directory, as path_is_inside(); a trailing "/" says: it is a directory, take its contents */
	const char *to;   /* absolute. With a trailing "/": put it into that directory under its own name (a "from/" gives its contents) */
};

/* Opens `from` beneath source_fd without following any link. NOT_FOUND, INVALID, DENIED and TOO_LARGE name the file;
 * a file that changes its size meanwhile is a CONFLICT. Directories above `to` are made part of the layer. */
int pack_layer(int source_fd, const struct pack_item *item, const char *layout, enum compression compression, struct oci_layer *ret,
	       struct error **err) must_check;
/* Is `to` an absolute path without "..", "." or empty parts (a trailing "/" is fine)? */
bool pack_target_is_valid(const char *to);
#endif
