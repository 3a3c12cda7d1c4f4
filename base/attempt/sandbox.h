/* The command line of the sandbox program (bubblewrap) for a struct sandbox. Inside this folder only; built on our side so that the
 * leader merely executes it.
 *
 * The root is an allow-list on a private tmpfs: /usr read-only with the links beside it, or the entries of an unpacked image; a few files
 * of /etc; private /proc, /dev, /tmp. No capabilities, no further user namespaces, own pid, ipc, uts, cgroup and (unless `network`) net
 * namespaces. Process 1 is the leader program (leader_inside.c). */
#ifndef BASE_ATTEMPT_SANDBOX_H
#define BASE_ATTEMPT_SANDBOX_H

#include "base/alloc.h"
#include "base/attempt/attempt.h"

struct sandbox_wrapper {
	struct strlist argv;
	struct strlist stage; /* host paths; argv names them as <stage_dir>/<index>. Empty when we may not mount: argv names them themselves */
	const char *stage_dir;
};
/* MISSING without bubblewrap, INVALID for relative paths, NOT_FOUND for a rootfs that cannot be read. */
int sandbox_wrap(const struct sandbox *sandbox, struct sandbox_wrapper *ret, struct error **err) must_check;
void sandbox_wrapper_done(struct sandbox_wrapper *wrapper);
#endif
