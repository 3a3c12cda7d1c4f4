/* `penstock prepare --spec FILE`: fills the workspace of an attempt. The trusted first command under every leader; it runs as the daemon's
 * own user, reads mirrors and the store, and gives the finished workspace to the stage's user.
 *
 * The spec is JSON that the engine wrote beside the attempt:
 *   {"workspace": DIR,                     exists or not; what an interrupted prepare left in it is removed
 *    "uid": n, "gid": n,                   who will own it
 *    "mirror": DIR, "commit": SHA          the files of a commit, or
 *    "source": DIR,                        those of a folder
 *    "include": [GLOB...],                 empty: all of them
 *    "restore": [{"stage", "layout", "digest", "paths": [...]}],   outputs of needed stages
 *    "checkpoint": PATH,                   optional: a folder that has to be there to be mounted upon
 *    "extract": {"layout", "digest", "path", "to"}}                optional: one file of somebody else's outputs
 *
 * Exit status: 0, 1 (the request contradicts itself: overlapping outputs, LFS pointers), 5 (disk, store, mirror). */
#ifndef RUNNER_PREPARE_H
#define RUNNER_PREPARE_H

int prepare_command(int argc, char **argv);
#endif
