/* Files: whole reads with a limit, writes that survive a power cut, trees. All paths are host paths; paths that come from
 * a repository are checked with path_is_inside() first and opened beneath a directory with file_open_beneath(). */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Reads a whole regular file of at most max_bytes; *ret_text is NUL-terminated and owned by the caller; ret_len may be NULL.
 * Errors: NOT_FOUND, TOO_LARGE, INVALID (a directory, a device), IO. */
int file_read(const char *path, size_t max_bytes, char **ret_text, size_t *ret_len, struct error **err) must_check;

/* Writes aside, fsyncs, renames, fsyncs the directory. */
int file_write_atomic(const char *path, const void *bytes, size_t len, mode_t mode, struct error **err) must_check;

int fd_write_all(int fd, const void *bytes, size_t len, struct error **err) must_check;
int dir_sync(const char *path, struct error **err) must_check;
int dir_make(const char *path, mode_t mode, struct error **err) must_check;   /* with parents; an existing directory is fine */
int tree_remove(const char *path, struct error **err) must_check;             /* never follows symbolic links; absent is fine */
/* Copies a file's contents and its executable bit, by reflink where the file system can. INVALID if `from` is a symbolic link. */
int file_copy(const char *from, const char *to, struct error **err) must_check;
bool path_exists(const char *path);

char *path_join(const char *dir, const char *name); /* allocated */
/* A relative path without "..", ".", empty parts, leading "/" or control bytes: what a repository may name. */
bool path_is_inside(const char *path);
/* Opens `path` (path_is_inside) beneath dir_fd with openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS); returns an fd or -1. */
int file_open_beneath(int dir_fd, const char *path, int flags, mode_t mode, struct error **err) must_check;
/* dir_make() for a `path` (path_is_inside) beneath dir_fd: no part of it may be a symbolic link. */
int dir_make_beneath(int dir_fd, const char *path, mode_t mode, struct error **err) must_check;
/* The directory of the running executable; allocated. Used to find penstock-leader. */
char *path_of_self(void);
#endif
