/* Scoped ownership: `cleanup_x` on a declaration frees at the end of the scope, STEAL() hands it on.
 *
 *     cleanup_free char *path = path_join(dir, "log");
 *     cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
 *     ...
 *     return STEAL(path);
 *
 * Never mix with goto in one function. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include "base/error.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* DEFINE_CLEANUP(type, fn): cleanup function for variables of type `type *` whose destructor accepts NULL. */
#define DEFINE_CLEANUP(type, fn)                           \
	static inline void fn##_scoped(type **object)      \
	{                                                  \
		fn(*object);                               \
	}                                                  \
	struct fn##_takes_a_semicolon
#define CLEANUP(fn) __attribute__((cleanup(fn##_scoped)))

#define STEAL(pointer)                              \
	__extension__({                             \
		__typeof__(pointer) stolen_ = (pointer); \
		(pointer) = NULL;                   \
		stolen_;                            \
	})

static inline void cleanup_free_scoped(void *object)
{
	free(*(void **)object);
}
static inline void cleanup_fd_scoped(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void cleanup_file_scoped(FILE **file)
{
	if (*file)
		fclose(*file);
}
static inline void cleanup_dir_scoped(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}
static inline void cleanup_error_scoped(struct error **err)
{
	error_free(*err);
}
#define cleanup_free CLEANUP(cleanup_free)
#define cleanup_fd CLEANUP(cleanup_fd)
#define cleanup_file CLEANUP(cleanup_file)
#define cleanup_dir CLEANUP(cleanup_dir)
#define cleanup_error CLEANUP(cleanup_error)

static inline int steal_fd(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define must_check __attribute__((warn_unused_result))
#endif
